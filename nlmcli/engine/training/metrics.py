"""metrics.csv: how a run went, a row for every two hundredth part of it and one for each evaluation."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from nlmcli.engine.training.length import Due
from nlmcli.engine.training.records import Evaluated, Record, Stepped

COLUMNS = ("step", "epoch", "train_loss", "valid_loss", "learning_rate", "gradient_norm", "tokens_per_second", "seconds")


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, by column; none where there is no such file. A row that was cut off is no row."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if None not in row.values() and None not in row]
    except FileNotFoundError:
        return []


def open_at(path: Path, step: int) -> TextIO:
    """The file, open to be written on, with the rows of the first steps and no others."""
    kept = [row for row in read_rows(path) if int(row["step"]) <= step]
    file = open(path, "w", newline="", encoding="utf-8")  # noqa: SIM115 (whoever called closes it)
    rows = csv.DictWriter(file, COLUMNS)
    rows.writeheader()
    rows.writerows(kept)
    file.flush()
    return file


class Metrics:
    """Writes the rows."""

    def __init__(self, file: TextIO, due: Due, losses: Sequence[float] = ()):
        """losses: of the steps since the last row that told of steps."""
        self.file, self.due, self.losses = file, due, list(losses)
        self.rows = csv.writer(file)

    def write(self, record: Record) -> None:
        """Note a step or an evaluation."""
        if isinstance(record, Stepped):
            self.last = record
            self.losses.append(record.loss)
            if self.due(record.step, record.seconds):
                self.row(float(np.mean(self.losses)), None)
                self.losses.clear()
        elif isinstance(record, Evaluated):
            self.row(record.train_loss, record.valid_loss)

    def row(self, train_loss: float | None, valid_loss: float | None) -> None:
        r = self.last
        numbers = (r.epoch, train_loss, valid_loss, r.lr, r.gradient_norm, r.tokens_per_second, r.seconds)
        self.rows.writerow([r.step, *("" if x is None else f"{x:.6g}" for x in numbers)])
        self.file.flush()
