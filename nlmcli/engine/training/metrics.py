"""metrics.csv: how a run went, a row for every two hundredth part of it and one for each evaluation."""

import csv
import math
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TextIO

import numpy as np

from nlmcli.engine.run.atomic import write_atomically
from nlmcli.engine.training.length import Due
from nlmcli.engine.training.records import Evaluated, Record, Stepped
from nlmcli.errors import InputError

COLUMNS = ("step", "epoch", "train_loss", "valid_loss", "learning_rate", "gradient_norm", "tokens_per_second", "seconds")


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, by column; none where there is no such file. A last row that was cut off is left out.

    Raises InputError for a file that nlm did not write so, such as one that a spreadsheet has saved.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            head, *rows = list(csv.reader(file)) or [list(COLUMNS)]
    except FileNotFoundError:
        return []
    except (ValueError, csv.Error):  # bytes that are no text, or no table
        head, rows = [], []
    whole = [row for row in rows if is_row(row)]
    if tuple(head) != COLUMNS or whole != rows[: len(whole)] or len(rows) - len(whole) > 1:
        raise InputError(f"{path} is not as nlm wrote it, a program may have saved it anew; move it away, and curves begin anew")
    return [dict(zip(COLUMNS, row, strict=True)) for row in whole]


def is_row(row: list[str]) -> bool:
    """Whether a row is whole: a step, and for each column a number or nothing."""
    try:
        return len(row) == len(COLUMNS) and int(row[0]) >= 0 and all(not cell or math.isfinite(float(cell)) for cell in row[1:])
    except ValueError:
        return False


def open_at(path: Path, step: int) -> TextIO:
    """The file, open to be written on, with the rows of the first steps and no others. It is replaced whole, or left as it was."""
    text = StringIO(newline="")
    rows = csv.DictWriter(text, COLUMNS)
    rows.writeheader()
    rows.writerows(row for row in read_rows(path) if int(row["step"]) <= step)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))
    return open(path, "a", newline="", encoding="utf-8")


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
