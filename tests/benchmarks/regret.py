"""Regret of the default learning rates: the validation loss at the default compared with the best of a grid around it.

    python tests/benchmarks/regret.py RESULTS.csv --shakespeare input.txt --names names.txt

Every neural model on three texts (the corpus that ships with nlm by words, tinyshakespeare by characters, names.txt by
lines) for 300 and for 2,000 steps. The grid extends from the default by factors of 2 until the best learning rate has a worse
neighbor on either side. Each finished run is a line of RESULTS.csv; the script resumes from these lines when it is started
again. Prints a Markdown table: regret = loss at the default / best loss - 1, with its maximum and mean.
"""

import argparse
import csv
import math
import os
import tempfile
from pathlib import Path
from statistics import mean

COLUMNS = ("model", "text", "steps", "lr", "default", "valid_loss")
STEPS = (300, 2000)


def texts_of(args):
    """name -> (corpus, options)"""
    texts = {"students": (None, {})}
    if args.shakespeare:
        texts["tinyshakespeare"] = (args.shakespeare, {"tokenizer": "char"})
    if args.names:
        texts["names"] = (args.names, {"tokenizer": "char", "by": "line"})
    return texts


class Results:
    """Measured losses: (model, text, steps) -> {learning rate: loss}, and the default learning rate of each."""

    def __init__(self, path):
        self.path, self.losses, self.defaults = path, {}, {}
        if path.exists():
            with open(path, newline="") as file:
                for row in csv.DictReader(file):
                    self.record(
                        row["model"], row["text"], int(row["steps"]), float(row["lr"]), int(row["default"]), float(row["valid_loss"])
                    )

    def record(self, model, text, steps, lr, default, loss):
        cell = model, text, steps
        self.losses.setdefault(cell, {})[lr] = loss
        if default:
            self.defaults[cell] = lr

    def add(self, *row):
        self.record(*row)
        new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            csv.writer(file).writerows([COLUMNS] * new + [row])


def measure(results, model, text, steps, corpus, options, lr=None):
    """Train one run and add its result.  lr: None for the default"""
    import nlmcli
    from nlmcli.errors import InputError

    records = []
    with tempfile.TemporaryDirectory() as folder:
        given = options | ({} if lr is None else {"lr": lr})
        try:
            nlmcli.train(corpus, out=Path(folder) / "run", model=model, steps=steps, on_record=records.append, **given)
            loss = records[-1].valid_loss
        except InputError as error:  # diverged
            if "guessing" not in str(error):
                raise
            loss = math.inf
    results.add(model, text, steps, rounded(records[0].lr), int(lr is None), loss)


def rounded(lr):
    return float(f"{lr:.4g}")


def next_rate(losses):
    """An untried neighbor of the best learning rate; None if the best one has a worse neighbor on either side."""
    best = min(losses, key=lambda lr: losses[lr])
    tried = sorted(losses)
    if not any(best < lr <= 2.01 * best for lr in tried):
        return rounded(2 * best)
    if not any(best / 2.01 <= lr < best for lr in tried):
        return rounded(best / 2)
    return None


def table(results):
    """The lines of a Markdown table; the last line has the largest and the mean regret."""
    yield "| model | text | steps | default | loss | best rate | loss | regret |\n|---|---|--:|--:|--:|--:|--:|--:|"
    regrets = []
    for (model, text, steps), losses in sorted(results.losses.items()):
        default = results.defaults[model, text, steps]
        best = min(losses, key=lambda lr: losses[lr])
        regrets.append(losses[default] / losses[best] - 1)
        row = f"{steps:,} | {default:g} | {losses[default]:.4f} | {best:g} | {losses[best]:.4f} | {regrets[-1]:.1%}"
        yield f"| {model} | {text} | {row} |"
    yield f"\nlargest regret {max(regrets):.1%}, mean {mean(regrets):.2%}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--shakespeare", type=Path)
    parser.add_argument("--names", type=Path)
    parser.add_argument("--model", action="append")
    parser.add_argument("--steps", action="append", type=int)
    parser.add_argument("--table", action="store_true", help="print the table of the existing results only")
    parser.add_argument("--defaults", action="store_true", help="measure only the defaults")
    args = parser.parse_args()
    from nlmcli.models import neural_names

    results = Results(args.results)
    texts = {} if args.table else texts_of(args)
    for steps in args.steps or STEPS:
        for text, (corpus, options) in texts.items():
            for model in args.model or neural_names():
                cell = model, text, steps
                if cell not in results.defaults:
                    measure(results, *cell, corpus, options)
                while not args.defaults and (lr := next_rate(results.losses[cell])):
                    measure(results, *cell, corpus, options, lr)
    print("\n".join(table(results)))


if __name__ == "__main__":
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
