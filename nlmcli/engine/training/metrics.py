"""metrics.csv, the training log of a run: one row for every 1/200 of its length, and one for each evaluation."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from nlmcli.engine.training.length import Trigger
from nlmcli.engine.training.records import Evaluated, Record, Stepped

COLUMNS = ("step", "epoch", "train_loss", "valid_loss", "learning_rate", "gradient_norm", "tokens_per_second", "seconds")


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, by column; an empty list if the file does not exist. Truncated rows are skipped."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if None not in row.values() and None not in row]
    except FileNotFoundError:
        return []


def open_at(path: Path, step: int) -> TextIO:
    """The file, open for appending, with only the rows up to this step."""
    kept = [row for row in read_rows(path) if int(row["step"]) <= step]
    file = open(path, "w", newline="", encoding="utf-8")  # noqa: SIM115 (the caller closes it)
    rows = csv.DictWriter(file, COLUMNS)
    rows.writeheader()
    rows.writerows(kept)
    file.flush()
    return file


class Metrics:
    """Writes the rows."""

    def __init__(self, file: TextIO, is_due: Trigger, losses: Sequence[float] = ()):
        """is_due: when to write a row of steps.  losses: of the steps since the last such row."""
        self.file, self.is_due, self.losses = file, is_due, list(losses)
        self.writer = csv.writer(file)

    def write(self, record: Record) -> None:
        """Log a step or an evaluation."""
        if isinstance(record, Stepped):
            self.last_step = record
            self.losses.append(record.loss)
            if self.is_due(record.step, record.seconds):
                self.write_row(float(np.mean(self.losses)), None)
                self.losses.clear()
        elif isinstance(record, Evaluated):
            self.write_row(record.train_loss, record.valid_loss)

    def write_row(self, train_loss: float | None, valid_loss: float | None) -> None:
        r = self.last_step
        values = (r.epoch, train_loss, valid_loss, r.lr, r.gradient_norm, r.tokens_per_second, r.seconds)
        self.writer.writerow([r.step, *("" if x is None else f"{x:.6g}" for x in values)])
        self.file.flush()
