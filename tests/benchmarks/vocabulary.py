"""Large vocabularies: what an adaptive softmax brings, and how long nlm and PyTorch take to a given validation perplexity.

    python tests/benchmarks/vocabulary.py speed --train wiki.train.tokens --valid wiki.valid.tokens
    python tests/benchmarks/vocabulary.py race --train wiki.train.tokens --valid wiki.valid.tokens --python PYTHON_WITH_TORCH

speed: tokens per second and peak memory of an LSTM with a full and an adaptive softmax, alternately, for two sizes of the
vocabulary; then the validation perplexity of each after equal minutes.

race: an LSTM of the same size with the same clusters and the same optimizer in nlm and in PyTorch (AdaptiveLogSoftmaxWithLoss),
one after the other, several learning rates each. Both read the same ids in the same batches. Reported: the seconds spent in
training steps, without evaluations and compilation, until the validation perplexity is reached, of the best rate of each.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BATCH, STEPS, HIDDEN, CLIP = 32, 64, 200, 1.0
RATES = (0.002, 0.005, 0.01)
MODEL = {"model": "lstm", "tokenizer": "whitespace", "embed": HIDDEN, "hidden": HIDDEN, "batch-size": BATCH, "seq-len": STEPS, "clip": CLIP}


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}


def train(corpus: Path, valid: Path, folder: str, options: dict[str, object]) -> dict[str, float]:
    """What `nlm train --json` reports."""
    typed = [f"--{name}={value}" for name, value in (MODEL | options).items()]
    command = [sys.executable, "-m", "nlmcli", "train", str(corpus), "--valid", str(valid), *typed, "--out", f"{folder}/run"]
    done = subprocess.run([*command, "--json", "--quiet"], capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout))


def speed(a: argparse.Namespace) -> None:
    """Print a line for each size of the vocabulary and each softmax."""
    print(f"{'V':>8}{'softmax':>10}{'tokens/s':>12}{'MB':>8}{f'perplexity after {a.minutes:g} min':>30}")
    for vocabulary in (10_000, 1_000_000):
        runs: dict[str, list[dict[str, float]]] = {"full": [], "adaptive": []}
        for _ in range(a.rounds):
            for softmax, results in runs.items():
                with tempfile.TemporaryDirectory() as folder:
                    given = {"vocab-size": vocabulary, "softmax": softmax, "precision": a.precision, "steps": 60, "eval-every": 0}
                    results.append(train(a.train, a.valid, folder, given))
        for softmax, results in runs.items():
            with tempfile.TemporaryDirectory() as folder:
                given = {"vocab-size": vocabulary, "softmax": softmax, "precision": a.precision, "minutes": a.minutes}
                perplexity = train(a.train, a.valid, folder, given)["perplexity"]
            fast = statistics.median(result["tokens_per_second"] for result in results)
            memory = statistics.median(result["peak_memory_bytes"] for result in results) / 1e6
            print(f"{vocabulary:8}{softmax:>10}{fast:12,.0f}{memory:8,.0f}{perplexity:30.1f}", flush=True)


def race(a: argparse.Namespace) -> None:
    """Print the seconds of each learning rate, and the ratio of the best ones."""
    with tempfile.TemporaryDirectory() as folder:
        cutoffs = encode(a.train, a.valid, Path(folder))
        best = {}
        for name, python in (("nlm", sys.executable), ("torch", a.python)):
            seconds = []
            for rate in RATES:
                arguments = [name, "--folder", folder, "--rate", str(rate), "--cutoffs", cutoffs, "--target", str(a.target)]
                more = ["--train", str(a.train), "--valid", str(a.valid), "--limit", str(a.limit), "--precision", a.precision]
                command = [python, __file__, *arguments, *more]
                done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
                if done.returncode:
                    raise SystemExit(done.stderr)
                result = json.loads(done.stdout.splitlines()[-1])
                print(f"{name:6} rate {rate:<8g} {result}", flush=True)
                seconds.append(result["seconds"])
            best[name] = min(seconds)
    print(f"perplexity {a.target:g}: nlm {best['nlm']:.1f} s, PyTorch {best['torch']:.1f} s, {best['nlm'] / best['torch']:.3f} of its time")


def encode(train_file: Path, valid_file: Path, folder: Path) -> str:
    """Write the ids of both texts for both sides.  -> the cutoffs that nlm chooses"""
    from nlmcli.engine.reading.dataset import read_dataset
    from nlmcli.engine.run.language_model import with_cutoffs
    from nlmcli.engine.run.settings import Settings

    options = {name.replace("-", "_"): value for name, value in MODEL.items()}
    settings = Settings.of(corpus=(str(train_file),), valid=str(valid_file), softmax="adaptive", **options)
    dataset = read_dataset(settings)
    np.savez(
        folder / "ids.npz", train=dataset.train.ids, valid=dataset.held_out.ids, V=len(dataset.tokenizer), newline=dataset.tokenizer.newline
    )
    return str(with_cutoffs(settings, dataset.tokenizer).get("cutoffs"))


def race_nlm(a: argparse.Namespace) -> None:
    from nlmcli.engine.run.settings import Settings
    from nlmcli.engine.training.records import Evaluated, Stepped
    from nlmcli.engine.training.train import Training

    options = {name.replace("-", "_"): value for name, value in MODEL.items()}
    given = {"softmax": "adaptive", "cutoffs": a.cutoffs, "schedule": "constant", "lr": a.rate, "steps": 10**6, "eval_every": a.every}
    settings = Settings.of(corpus=(str(a.train),), valid=str(a.valid), precision=a.precision, **options, **given)
    run = Training(settings, a.folder / f"nlm-{a.rate}")
    seconds, perplexity, steps = 0.0, math.inf, 0
    for record in run.run():
        if isinstance(record, Stepped):
            seconds, steps = seconds + BATCH * STEPS / record.tokens_per_second, record.step
        if isinstance(record, Evaluated):
            perplexity = math.exp(record.valid_loss)
            run.stop = perplexity <= a.target or seconds > a.limit
    print(json.dumps({"seconds": seconds if perplexity <= a.target else math.inf, "steps": steps, "perplexity": perplexity}))


def race_torch(a: argparse.Namespace) -> None:
    import torch

    torch.manual_seed(1)
    ids = np.load(a.folder / "ids.npz")
    V, length = int(ids["V"]), len(ids["train"]) // BATCH
    y = torch.tensor(ids["train"][: BATCH * length].astype(np.int64)).reshape(BATCH, length).T.contiguous()
    x = torch.cat([torch.tensor([[int(ids["newline"]), *y[-1, :-1].tolist()]]), y[:-1]])
    valid = torch.tensor(np.concatenate([[int(ids["newline"])], ids["valid"].astype(np.int64)]))
    embeddings, body = torch.nn.Embedding(V, HIDDEN), torch.nn.LSTM(HIDDEN, HIDDEN)
    head = torch.nn.AdaptiveLogSoftmaxWithLoss(HIDDEN, V, [int(c) for c in a.cutoffs.split(",")], div_value=a.division, head_bias=True)
    torch.nn.init.normal_(embeddings.weight, std=0.1)
    parameters = [*embeddings.parameters(), *body.parameters(), *head.parameters()]
    adam = torch.optim.Adam(parameters, lr=a.rate)

    def perplexity() -> float:
        state, total = None, 0.0
        with torch.no_grad():
            for start in range(0, len(valid) - 1, 2048):
                h, state = body(embeddings(valid[start : start + 2048][: len(valid) - 1 - start, None]), state)
                targets = valid[start + 1 : start + 2049]
                total += float(head(h[: len(targets), 0], targets).loss) * len(targets)
        return math.exp(total / (len(valid) - 1))

    seconds, reached, state, step = 0.0, math.inf, None, 0
    while reached > a.target and seconds < a.limit:
        begin = step % -(-length // STEPS) * STEPS
        state = None if begin == 0 or state is None else tuple(part.detach() for part in state)
        start = time.perf_counter()
        h, state = body(embeddings(x[begin : begin + STEPS]), state)
        loss = head(h.reshape(-1, HIDDEN), y[begin : begin + STEPS].reshape(-1)).loss
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        adam.step()
        seconds, step = seconds + time.perf_counter() - start, step + 1
        if step % a.every == 0:
            reached = perplexity()
    print(json.dumps({"seconds": seconds if reached <= a.target else math.inf, "steps": step, "perplexity": reached}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "race", "nlm", "torch"))
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--python", default=sys.executable, help="race: the Python of an environment with PyTorch")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--target", type=float, default=180.0, help="race: the validation perplexity")
    parser.add_argument("--limit", type=float, default=600.0, help="race: seconds of steps after which a run is given up")
    parser.add_argument("--every", type=int, default=100, help="race: steps between evaluations")
    parser.add_argument("--division", type=float, default=4.0, help="race: div_value of PyTorch's clusters")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--cutoffs")
    arguments = parser.parse_args()
    {"speed": speed, "race": race, "nlm": race_nlm, "torch": race_torch}[arguments.what](arguments)


if __name__ == "__main__":
    main()
