"""Tasks on labelled texts: training speed beside PyTorch, and the speed and memory of `nlm predict`.

    python tests/benchmarks/tasks.py TAGS.conll TEXTS.tsv --torch PYTHON

A bidirectional LSTM (embed 64, hidden 128 a direction, dropout 0.3, Adam) tags words in batches of 16 texts, and classifies
texts in batches of 32. nlm and PyTorch take the same steps on the same batches in turn, each in a process of its own, with
one thread, then with two. What PyTorch reads is in memory beforehand; nlm's step includes filling its batch. PyTorch reads
packed sequences, and padded ones as if the padding were text, and the faster of the two counts. PYTHON is one with PyTorch.
Then a window and an additive run answer 100,000 short lines, each as a whole process. OPENBLAS_* is cleared for all of them.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LSTM = {"model": "lstm", "embed": 64, "hidden": 128, "dropout": 0.3, "bidirectional": True}
CASES = {
    "tag": {"task": "tag", "batch_size": 16, "subwords": False, "classifier": "linear", "label_smoothing": 0.0, **LSTM},
    "classify": {"task": "classify", "batch_size": 32, **LSTM},
}
WARM_UP = 10  # steps before those that are timed
LINES, WORDS = 100_000, 10  # of the file to predict: its lines, and the words in each


def training_of(job):
    """The run of a job."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the command line; read when NumPy is imported
    from nlmcli.engine.run.settings import Settings
    from nlmcli.engine.training.train import Training

    settings = Settings.of(**CASES[job["case"]], corpus=(job["corpus"],), steps=WARM_UP + job["steps"], eval_every=0)
    return Training(settings, Path(job["folder"]) / "run", threads=job["threads"])


def write_batches(job):
    """Write the batches of all steps, and what PyTorch needs to know of the run."""
    import numpy as np

    training = training_of(job)
    batches = [training.batches.batch(step) for step in range(WARM_UP + job["steps"])]
    arrays = {f"{name}{k}": getattr(batch, name) for k, batch in enumerate(batches) for name in ("x", "y")}
    sizes = {"vocabulary": len(training.dataset.tokenizer), "labels": len(training.dataset.labels.names)}
    np.savez(job["batches"], lr=training.settings.lr, **sizes, **arrays)
    return {name: int(value) for name, value in sizes.items()} | {"tokens": sum(batch.tokens for batch in batches[WARM_UP:])}


def time_nlm(job):
    """The seconds of the timed steps, and the mean loss of the last twenty."""
    training = training_of(job)
    training.learner.warm_up(training.batches.batch(0))  # compiles
    training.start_time = time.perf_counter()
    return timed([training.take_step] * (WARM_UP + job["steps"])) | {"parameters": training.lm.P.flat.size}


def timed(steps):
    """Call the steps.  -> the seconds of those after the warm-up, and the mean loss of the last twenty"""
    losses = [step() for step in steps[:WARM_UP]]
    start = time.perf_counter()
    losses += [step() for step in steps[WARM_UP:]]
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "loss": sum(float(getattr(loss, "loss", loss)) for loss in losses[-20:]) / 20}


def time_torch(job):
    """The same for PyTorch."""
    from functools import partial

    import numpy as np
    import torch

    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    with np.load(job["batches"]) as file:
        arrays = dict(file)
    model = torch_model(job["case"], int(arrays["vocabulary"]), int(arrays["labels"]), job["packed"])
    optimizer = torch.optim.Adam(model.parameters(), float(arrays["lr"]), fused=True)
    inputs = [torch_batch(arrays[f"x{k}"], arrays[f"y{k}"]) for k in range(WARM_UP + job["steps"])]
    steps = [partial(torch_step, model, optimizer, *each) for each in inputs]
    return timed(steps) | {"parameters": sum(parameter.numel() for parameter in model.parameters())}


def torch_batch(x, y):
    """ids (T,B), 0 as padding; which steps are real (T,B); lengths (B,); answers, -1 where there is none."""
    import torch

    ids, real = torch.from_numpy(x).clamp(min=0), torch.from_numpy(x >= 0)
    return ids, real[..., None].float(), real.sum(0), torch.from_numpy(y).reshape(-1).long()


def torch_step(model, optimizer, ids, real, lengths, y):
    """A training step: forward, backward, clip, update.  -> loss"""
    import torch

    optimizer.zero_grad(set_to_none=True)
    loss = torch.nn.functional.cross_entropy(model(ids, real, lengths), y, ignore_index=-1)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def torch_model(case, vocabulary, labels, packed):
    """Embeddings, a bidirectional LSTM, dropout of what it reads and of what the output layer reads: each step, or their mean."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.drop = torch.nn.Embedding(vocabulary, LSTM["embed"]), torch.nn.Dropout(LSTM["dropout"])
            self.lstm = torch.nn.LSTM(LSTM["embed"], LSTM["hidden"], bidirectional=True)
            self.out = torch.nn.Linear(2 * LSTM["hidden"], labels)
            torch.nn.init.normal_(self.embed.weight, 0, math.sqrt(0.1))

        def forward(self, ids, real, lengths):
            e = self.drop(self.embed(ids))
            h, _ = self.lstm(pack_padded_sequence(e, lengths, enforce_sorted=False) if packed else e)
            h = pad_packed_sequence(h)[0] if packed else h
            if case == "classify":
                h = (h * real).sum(0) / lengths[:, None]
            return self.out(self.drop(h)).reshape(-1, labels)

    return Model()


SIDES = {"batches": write_batches, "nlm": time_nlm, "torch": time_torch}


def environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}


def run_side(python, side, **job):
    """Run one side of a job in a process of its own, with a folder of its own.  -> what it measured"""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, __file__, "--side", side, json.dumps(job | {"folder": folder})]
        completed = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if completed.returncode:
        raise SystemExit(f"{side}: {completed.stderr}")
    return json.loads(completed.stdout.splitlines()[-1])


def compare(case, corpus, args):
    """Print the training speed of both sides, in turn, with one and with two threads."""
    with tempfile.TemporaryDirectory() as folder:
        job = {"case": case, "corpus": corpus, "steps": args.steps, "batches": str(Path(folder) / "batches.npz")}
        about = run_side(sys.executable, "batches", threads=1, **job)
        print(f"{case}: {about['vocabulary']:,} words, {about['labels']} labels, {about['tokens'] / args.steps:.0f} tokens a step")
        for threads in (1, 2):
            rounds = [one_round(args.torch, threads=threads, **job) for _ in range(args.rounds)]
            print(report(f"{case}, {threads} thread{'s' * (threads > 1)}", rounds, about["tokens"]), flush=True)


def one_round(python, **job):
    """What each side measured: nlm, PyTorch packed, PyTorch padded."""
    return {
        "nlm": run_side(sys.executable, "nlm", **job),
        "packed": run_side(python, "torch", packed=True, **job),
        "padded": run_side(python, "torch", packed=False, **job),
    }


def report(name, rounds, tokens):
    """One line: tokens per second of each, and nlm divided by the faster PyTorch of the same round, as geometric means."""
    ratios = [min(each["packed"]["seconds"], each["padded"]["seconds"]) / each["nlm"]["seconds"] for each in rounds]
    speeds = [f"{side} {tokens / mean([each[side]['seconds'] for each in rounds]):,.0f}" for side in rounds[0]]
    losses = ", ".join(f"{each['loss']:.3f}" for each in rounds[-1].values())
    spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
    return f"{name}: {', '.join(speeds)} tokens/s; nlm / PyTorch {mean(ratios):.2f} {spread}; losses {losses}"


def mean(values):
    """The geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def nlm(folder, *arguments):
    """Run nlm there as a whole process, its output to a file.  -> seconds, peak memory in bytes"""
    command = [sys.executable, "-c", "from nlmcli.cli.app import run; run()", *arguments]
    with open(folder / "output.txt", "wb") as output, open(folder / "errors.txt", "wb") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)  # the usage of this process alone
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"nlm {' '.join(arguments)}: {(folder / 'errors.txt').read_text(encoding='utf-8')}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def write_lines(texts, path):
    """Short lines of consecutive words of these texts; the first column is the label."""
    words = [word for line in texts.read_text(encoding="utf-8").splitlines() for word in line.split("\t")[-1].split()]
    starts = (k * WORDS % (len(words) - WORDS) for k in range(LINES))
    path.write_text("".join(f"{' '.join(words[start : start + WORDS])}\n" for start in starts), encoding="utf-8")


def predict(texts, rounds):
    """Print how fast a window and an additive run answer a file of short lines, and their peak memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_lines(texts, folder / "lines.txt")
        for model in ("window", "additive"):
            nlm(folder, "train", str(texts), "--task", "classify", "--model", model, "--steps", "200", "--out", model)
            measured = [nlm(folder, "predict", "lines.txt", "--run", model, "--quiet") for _ in range(rounds)]
            with open(folder / "output.txt", "rb") as file:
                assert sum(1 for _ in file) == LINES
            seconds, peaks = zip(*measured, strict=True)
            print(f"predict, {model}: {LINES / mean(seconds):,.0f} texts/s, peak {max(peaks) / 1e6:,.0f} MB", flush=True)


def main():
    if sys.argv[1:2] == ["--side"]:
        print(json.dumps(SIDES[sys.argv[2]](json.loads(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tags", type=Path, help="words and tags, of --task tag")
    parser.add_argument("texts", type=Path, help="labels and texts, of --task classify")
    parser.add_argument("--torch", help="a Python with PyTorch; without it, only predict is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=150)
    args = parser.parse_args()
    if args.torch:
        compare("tag", str(args.tags.resolve()), args)
        compare("classify", str(args.texts.resolve()), args)
    predict(args.texts.resolve(), args.rounds)


if __name__ == "__main__":
    main()
