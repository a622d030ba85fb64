"""What rounding the inputs of products to bfloat16 costs: the validation loss of the same runs in float32 and in bf16.

    python tests/benchmarks/precision.py --shakespeare input.txt --words wikitext-2/train.txt

Each seed is trained twice, alike but for --precision, and the difference of the two losses is reported with its standard
error. Both runs of a pair start from the same parameters and read the same batches, but diverge as two seeds do, so that the
spread over seeds is the yardstick.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

CHARACTERS = {"tokenizer": "char", "steps": 1000}
WORDS = {"tokenizer": "whitespace", "vocab-size": 10000, "steps": 1000}


def valid_loss(corpus: Path, precision: str, seed: int, options: dict[str, object]) -> tuple[float, float]:
    """The best validation loss of a run in nats per token, and its tokens per second."""
    with tempfile.TemporaryDirectory() as folder:
        typed = [f"--{name}={value}" for name, value in (options | {"precision": precision, "seed": seed, "out": f"{folder}/run"}).items()]
        command = [sys.executable, "-m", "nlmcli", "train", str(corpus), *typed, "--json", "--quiet"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    finished = json.loads(done.stdout)
    return finished["valid_loss"], finished["tokens_per_second"]


def compare(name: str, corpus: Path, seeds: int, options: dict[str, object]) -> None:
    """Print one line of the table."""
    exact, rounded = (([valid_loss(corpus, precision, seed, options) for seed in range(1, seeds + 1)]) for precision in ("float32", "bf16"))
    differences = [b - a for (a, _), (b, _) in zip(exact, rounded, strict=True)]
    error = statistics.stdev(differences) / math.sqrt(seeds)
    losses = [statistics.mean(loss for loss, _ in runs) for runs in (exact, rounded)]
    gain = statistics.median(b / a for (_, a), (_, b) in zip(exact, rounded, strict=True))
    print(
        f"{name:24}{seeds:6}{losses[0]:10.4f}{losses[1]:10.4f}{statistics.mean(differences):+12.4f} ± {error:.4f}{gain:10.2f}", flush=True
    )


def cases(arguments: argparse.Namespace) -> Iterator[tuple[str, Path, int, dict[str, object]]]:
    for model in ("lstm", "transformer"):
        yield f"{model}, characters", arguments.shakespeare, 5, CHARACTERS | {"model": model}
    yield "lstm, words", arguments.words, 2, WORDS | {"model": "lstm"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shakespeare", type=Path, required=True, help="tinyshakespeare")
    parser.add_argument("--words", type=Path, required=True, help="the training part of WikiText-2")
    print(f"{'run':24}{'seeds':>6}{'float32':>10}{'bf16':>10}{'bf16 - float32':>21}{'speed':>10}")
    for case in cases(parser.parse_args()):
        compare(*case)


if __name__ == "__main__":
    main()
