"""The ladder: every model on one text for the same time, and what each rung buys.

    python tests/benchmarks/ladder.py CORPUS... --minutes 1 --tokenizer char

Options that this script does not know are handed on to every `nlm train`. Printed is a table in Markdown: parameters, tokens
per second in training (the median of whole steps), bits per character of the held-out part, and tokens per second when one
text is written token by token.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LADDER = {  # from counting to state spaces; beside the model's own defaults
    "ngram": ["--context", "6"],
    "additive": ["--context", "8"],
    "window": [],
    "nplm": [],
    "cnn": ["--context", "32"],
    "rnn": [],
    "lstm": [],
    "gru": [],
    "transformer": ["--embed", "128", "--warmup", "100"],
    "mamba": ["--layers", "2"],
}
WRITTEN = 1000  # tokens


def train(corpus, model, minutes, options, folder):
    """What `nlm train --json` says of a run."""
    length = [] if model == "ngram" else ["--minutes", str(minutes)]
    command = [sys.executable, "-c", "from nlmcli.cli.app import run; run()", "train", *corpus, "--model", model, *LADDER[model]]
    done = subprocess.run([*command, *length, *options, "--out", folder, "--json", "-q"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{model}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def writing_speed(folder):
    """Tokens per second of one text."""
    from nlmcli.engine.run.language_model import LanguageModel
    from nlmcli.engine.writing.generate import write

    lm = LanguageModel.load(folder)
    for length in (20, WRITTEN):  # the first time for the kernels
        start = time.perf_counter()
        for _ in write(lm, "", length, seed=1):
            pass
    return WRITTEN / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="*")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--model", action="append", choices=LADDER)
    a, options = parser.parse_known_args()
    print("| model | parameters | tokens/s | bits/character | perplexity | writes tokens/s |\n|---|--:|--:|--:|--:|--:|")
    for model in a.model or LADDER:
        with tempfile.TemporaryDirectory() as room:
            folder = Path(room) / model
            r = train(a.corpus, model, a.minutes, options, folder)
            about = json.loads(nlm("inspect", folder, "--json"))["about"]
            row = f"{r['parameters']:,} | {r['tokens_per_second']:,.0f} | {about['bits_per_character']:.4f} | {r['perplexity']:.2f}"
            print(f"| {model} | {row} | {writing_speed(folder):,.0f} |", flush=True)


def nlm(*arguments):
    """What a command prints."""
    command = [sys.executable, "-c", "from nlmcli.cli.app import run; run()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
