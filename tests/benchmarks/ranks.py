"""Training speed of one process with one thread, one with two, and two processes with one thread each, measured in turn.

    python tests/benchmarks/ranks.py tinyshakespeare.txt [--rounds 5] [--ranks 2]

tokens/s: the median over whole steps of `nlm train --json`, then over the rounds; the last columns are medians of the ratios.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CASES = {
    "rnn, characters": {"model": "rnn", "embed": 64, "hidden": 256, "batch-size": 32, "seq-len": 64},
    "lstm, characters": {"model": "lstm", "embed": 64, "hidden": 256, "batch-size": 32, "seq-len": 64},
    "transformer, characters": {
        "model": "transformer",
        "embed": 128,
        "layers": 4,
        "heads": 4,
        "context": 64,
        "batch-size": 12,
        "seq-len": 64,
    },
}
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def speed(corpus: Path, options: dict[str, object], ranks: int, threads: int, steps: int) -> float:
    """Tokens per second of one run."""
    common = {"tokenizer": "char", "optimizer": "adam", "lr": 1e-3, "schedule": "constant", "steps": steps, "eval-every": 0}
    typed = [f"--{name}={value}" for name, value in (options | common).items()]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "nlmcli", "train", str(corpus), *typed, "--out", f"{folder}/run", "--threads", str(threads)]
        started = [] if ranks == 1 else [str(MPIEXEC), "-n", str(ranks)]
        done = subprocess.run([*started, *command, "--json", "--quiet"], capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        return float(json.loads(done.stdout)["tokens_per_second"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100)
    a = parser.parse_args()
    if MPIEXEC is None:
        raise SystemExit("there is no mpiexec; install one with: pip install mpi4py mpich")
    n = a.ranks
    ways = {"1 x 1": (1, 1), f"1 x {n}": (1, n), f"{n} x 1": (n, 1)}
    print(f"{'tokens/s':24}" + "".join(f"{way:>12}" for way in ways) + f"{f'{n} x 1 / 1 x 1':>16}{f'{n} x 1 / 1 x {n}':>16}")
    for name, options in CASES.items():
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(a.rounds):
            for way, (ranks, threads) in ways.items():
                found[way].append(speed(a.corpus, options, ranks, threads, a.steps))
        one, threaded, several = found.values()
        ratios = [statistics.median(x / y for x, y in zip(several, base, strict=True)) for base in (one, threaded)]
        medians = "".join(f"{statistics.median(values):12,.0f}" for values in found.values())
        print(f"{name:24}{medians}" + "".join(f"{ratio:16.2f}" for ratio in ratios), flush=True)


if __name__ == "__main__":
    main()
