"""Training speed of a bidirectional LSTM on labelled texts, nlm and PyTorch in turn, as a ratio.

    python tests/benchmarks/tasks.py TAGS.conll TEXTS.tsv --torch PYTHON [--threads N]

PYTHON: an interpreter that has PyTorch and NumPy. Both get the same batches, ids prepared before, and train with Adam and the
same dropout; PyTorch with padding and with packed sequences, of which the faster counts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import geometric_mean, median

import numpy as np

STEPS, WARM_UP, ROUNDS = 120, 20, 3
TASKS = {"tag": {"batch_size": 16, "subwords": False}, "classify": {"batch_size": 32, "bidirectional": True}}
SIZES = {"model": "lstm", "embed": 64, "hidden": 128, "dropout": 0.3, "optimizer": "adam"}


def training(task, path, threads):
    """A run of nlm on a file, not started."""
    from nlmcli.engine.run.settings import Settings
    from nlmcli.engine.training.train import Training

    settings = Settings.of(task=task, corpus=(path,), steps=STEPS, **SIZES, **TASKS[task])
    return Training(settings, Path(tempfile.mkdtemp()) / "run", threads)


def nlm(task, path, threads):
    """Tokens per second, median over the steps."""
    run = training(task, path, threads)
    run.learner.warm_up(run.batches.batch(0))
    run.start_time = time.perf_counter()
    for _ in range(STEPS):
        run.take_step()
    return median(run.speeds[WARM_UP:])


def save_batches(task, path, file):
    """The batches of the first steps, and the sizes of the model."""
    run = training(task, path, 1)
    arrays = {}
    for k in range(STEPS):
        batch = run.batches.batch(k)
        arrays |= {f"x{k}": batch.x, f"y{k}": batch.y}
    np.savez(file, vocabulary=len(run.dataset.tokenizer), labels=len(run.dataset.labels.names), **arrays)


def torch_speed(task, file, threads, packed):
    """Tokens per second of the same training in PyTorch, median over the steps."""
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    torch.set_num_threads(threads)
    data = np.load(file)
    embeddings, drop = nn.Embedding(int(data["vocabulary"]), 64), nn.Dropout(0.3)
    nn.init.normal_(embeddings.weight, std=0.1**0.5)
    lstm, head = nn.LSTM(64, 128, bidirectional=True), nn.Linear(256, int(data["labels"]))
    parameters = [*embeddings.parameters(), *lstm.parameters(), *head.parameters()]
    optimizer, speeds = torch.optim.Adam(parameters, 1e-3), []
    for k in range(STEPS):
        x, y = torch.from_numpy(data[f"x{k}"]), torch.from_numpy(data[f"y{k}"].astype(np.int64))
        start = time.perf_counter()
        real = x >= 0
        lengths = real.sum(0)
        e = drop(embeddings(x.clamp(min=0)))
        if packed:
            h, _ = pad_packed_sequence(lstm(pack_padded_sequence(e, lengths, enforce_sorted=False))[0])
        else:
            h, _ = lstm(e)
        h = drop(h) if task == "tag" else drop((h * real[:, :, None]).sum(0) / lengths[:, None])
        loss = nn.functional.cross_entropy(head(h).reshape(-1, head.out_features), y.reshape(-1), ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        speeds.append(int(real.sum()) / (time.perf_counter() - start))
    return median(speeds[WARM_UP:])


def child(python, *arguments):
    """The number that this script prints when an interpreter runs it with these arguments, without OPENBLAS settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    command = [python, __file__, "--child", json.dumps(arguments)]
    return float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout)


def compare(task, path, python, threads):
    """Print the speeds of several rounds, and their ratio."""
    file = str(Path(tempfile.mkdtemp()) / "batches.npz")
    save_batches(task, path, file)
    ratios = []
    for _ in range(ROUNDS):
        ours = child(sys.executable, "nlm", task, path, threads)
        theirs = [child(python, "torch", task, file, threads, packed) for packed in (False, True)]
        ratios.append(ours / max(theirs))
        print(f"{task}, {threads} threads: nlm {ours:,.0f} tokens/s, PyTorch {theirs[0]:,.0f} padded, {theirs[1]:,.0f} packed", flush=True)
    print(f"{task}, {threads} threads: nlm is {geometric_mean(ratios):.2f} times as fast")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="labelled words, labelled texts")
    parser.add_argument("--torch", help="interpreter that has PyTorch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        kind, *arguments = json.loads(given.child)
        print(nlm(*arguments) if kind == "nlm" else torch_speed(*arguments))
        return
    for task, path in zip(TASKS, given.files, strict=True):
        compare(task, path, given.torch, given.threads)


if __name__ == "__main__":
    main()
