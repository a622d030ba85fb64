"""Peak memory of `nlm train` on a text larger than it: another text, repeated.

    python tests/benchmarks/large_text.py TEXT --gb 1 --tokenizer char --tokenizer whitespace

Text, ids and run stand in a temporary folder, which is removed; it takes up to three times the size of the text. Options
that this script does not know are handed on to `nlm train`; it holds a ten-thousandth out and takes twenty steps otherwise.
Printed is a table in Markdown: tokens, the most memory that was resident, and seconds for all: reading, encoding, training.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nlmcli.kernel_cache import user_cache

OPTIONS = ["--model", "rnn", "--valid-fraction", "0.0001", "--steps", "20", "--eval-every", "20", "--out", "run", "--json"]


def repeat(source, size, path):
    """Write a text again and again, to that many bytes or a little more."""
    piece = source.read_bytes()
    with open(path, "wb") as file:
        while file.tell() < size:
            file.write(piece)


def train(room, tokenizer, options):
    """What `nlm train --json` says of a run that begins with no ids kept, and how many seconds all of it took."""
    environment = os.environ | {"XDG_CACHE_HOME": room, "NUMBA_CACHE_DIR": str(user_cache())}
    command = [sys.executable, "-c", "from nlmcli.cli.app import run; run()", "train", "text.txt", "--tokenizer", tokenizer]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=room) as folder:
        os.symlink(Path(room) / "text.txt", Path(folder) / "text.txt")
        done = subprocess.run([*command, *OPTIONS, *options], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{tokenizer}: {done.stderr}")
    tokens = next(line for line in done.stderr.splitlines() if " to train on" in line).split()[0]
    return json.loads(done.stdout), tokens, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--tokenizer", action="append")
    a, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as room:
        text = Path(room) / "text.txt"
        repeat(a.text, a.gb * 1e9, text)
        print(f"{text.stat().st_size:,} bytes\n\n| tokenizer | tokens | peak MB | seconds |\n|---|--:|--:|--:|")
        for tokenizer in a.tokenizer or ["char", "whitespace"]:
            told, tokens, seconds = train(room, tokenizer, options)
            print(f"| {tokenizer} | {tokens} | {told['peak_memory_bytes'] / 1e6:,.0f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    main()
