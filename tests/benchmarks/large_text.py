"""Peak memory of `nlm train` on a text larger than the memory it uses: a smaller text, repeated.

    python tests/benchmarks/large_text.py TEXT --gb 1 --tokenizer char --tokenizer whitespace

Text, token ids and run are in a temporary folder, which is removed; it needs up to three times the size of the text. Options
that this script does not know are passed on to `nlm train`; the defaults are twenty steps and a held-out fraction of 0.0001.
Prints a Markdown table: training tokens, and peak resident memory and the total seconds of reading, encoding and training, of the
first run and of a second one.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nlmcli.kernel_cache import user_cache

OPTIONS = ["--model", "rnn", "--valid-fraction", "0.0001", "--steps", "20", "--eval-every", "20", "--out", "run", "--json"]


def repeat(source, size, path):
    """Write a text repeatedly, up to that many bytes or a little more."""
    with open(path, "wb") as file:
        while file.tell() < size:
            with open(source, "rb") as content:
                shutil.copyfileobj(content, file)


def train(folder, tokenizer, options):
    """Train with an empty cache of token ids.  -> the JSON document of `nlm train --json`, training tokens, total seconds"""
    environment = os.environ | {"XDG_CACHE_HOME": folder, "NUMBA_CACHE_DIR": str(user_cache())}
    command = [sys.executable, "-c", "from nlmcli.cli.app import run; run()", "train", "text.txt", "--tokenizer", tokenizer]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as workdir:
        os.symlink(Path(folder) / "text.txt", Path(workdir) / "text.txt")
        completed = subprocess.run([*command, *OPTIONS, *options], cwd=workdir, env=environment, capture_output=True, text=True)
    if completed.returncode:
        raise SystemExit(f"{tokenizer}: {completed.stderr}")
    tokens = next(line for line in completed.stderr.splitlines() if " training token" in line).split()[0]
    return json.loads(completed.stdout), tokens, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--tokenizer", action="append")
    args, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        repeat(args.text, args.gb * 1e9, text)
        time.sleep(3)  # what changed a moment ago is read again
        print(f"{text.stat().st_size:,} bytes\n\n| tokenizer | tokens | peak MB | seconds | again | seconds |\n|---|--:|--:|--:|--:|--:|")
        for tokenizer in args.tokenizer or ["char", "whitespace"]:
            result, tokens, seconds = train(folder, tokenizer, options)
            second, _, seconds_again = train(folder, tokenizer, options)
            peaks = [each["peak_memory_bytes"] / 1e6 for each in (result, second)]
            print(f"| {tokenizer} | {tokens} | {peaks[0]:,.0f} | {seconds:.0f} | {peaks[1]:,.0f} | {seconds_again:.1f} |", flush=True)


if __name__ == "__main__":
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    main()
