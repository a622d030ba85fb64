"""The ladder: every model, trained on the same text for the same time.

    python tests/benchmarks/ladder.py CORPUS... --minutes 1 --tokenizer char

Options that this script does not know are passed on to every `nlm train`. Prints a Markdown table: parameters, training
tokens per second (median over whole steps), bits per character and perplexity of the held-out text, and tokens per second
when generating a single text.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LADDER = {  # from n-grams to state-space models; options that differ from the model's defaults
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
GENERATED = 1000  # tokens


def train(corpus, model, minutes, options, folder):
    """Train a run.  -> the JSON document of `nlm train --json`"""
    length = [] if model == "ngram" else ["--minutes", str(minutes)]
    command = [sys.executable, "-c", "from nlmcli.cli.app import run; run()", "train", *corpus, "--model", model, *LADDER[model]]
    completed = subprocess.run([*command, *length, *options, "--out", folder, "--json", "-q"], capture_output=True, text=True)
    if completed.returncode:
        raise SystemExit(f"{model}: {completed.stderr}")
    return json.loads(completed.stdout.splitlines()[-1])


def generation_speed(folder):
    """Tokens per second when generating a single text."""
    from nlmcli.engine.run.language_model import LanguageModel
    from nlmcli.engine.writing.generate import write

    lm = LanguageModel.load(folder)
    for length in (20, GENERATED):  # the first time to compile kernels
        start = time.perf_counter()
        for _ in write(lm, "", length, seed=1):
            pass
    return GENERATED / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="*")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--model", action="append", choices=LADDER)
    args, options = parser.parse_known_args()
    print("| model | parameters | tokens/s | bits/character | perplexity | generated tokens/s |\n|---|--:|--:|--:|--:|--:|")
    for model in args.model or LADDER:
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / model
            r = train(args.corpus, model, args.minutes, options, folder)
            about = json.loads(nlm("inspect", folder, "--json"))["about"]
            row = f"{r['parameters']:,} | {r['tokens_per_second']:,.0f} | {about['bits_per_character']:.4f} | {r['perplexity']:.2f}"
            print(f"| {model} | {row} | {generation_speed(folder):,.0f} |", flush=True)


def nlm(*arguments):
    """Run a command.  -> its stdout"""
    command = [sys.executable, "-c", "from nlmcli.cli.app import run; run()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
