"""metrics.csv, the training log of a run: one row for every 1/200 of its length, and one for each evaluation."""

import csv
import math
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TextIO

import numpy as np

from nlmcli.engine.run.atomic import write_atomically
from nlmcli.engine.training.length import Trigger
from nlmcli.engine.training.records import Evaluated, Record, Stepped
from nlmcli.errors import InputError

COLUMNS = ("step", "epoch", "train_loss", "valid_loss", "learning_rate", "gradient_norm", "tokens_per_second", "seconds")


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, by column; an empty list if the file does not exist. A truncated last row is skipped.

    Raises InputError for a file that nlm did not write like that, for example one that a spreadsheet has saved.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            head, *rows = list(csv.reader(file)) or [list(COLUMNS)]
    except FileNotFoundError:
        return []
    except (ValueError, csv.Error):  # not text, or not a table
        head, rows = [], []
    whole = [row for row in rows if is_row(row)]
    if tuple(head) != COLUMNS or whole != rows[: len(whole)] or len(rows) - len(whole) > 1:
        raise InputError(f"{path} is not as nlm wrote it; another program may have saved it; move it away to start a new one")
    return [dict(zip(COLUMNS, row, strict=True)) for row in whole]


def curve(rows: Sequence[dict[str, str]], name: str, x: str = "step") -> list[tuple[float, float]]:
    """The values of a column against the step, or against the seconds.

    The row of an evaluation repeats its step with the mean training loss since the evaluation before: as a point of the
    training curve it counts only if there are no others.
    """
    chosen = [row for row in rows if row[name]]
    if name == "train_loss":
        chosen = [row for row in chosen if not row["valid_loss"]] or chosen
    return [(float(row[x]), float(row[name])) for row in chosen]


def is_row(row: list[str]) -> bool:
    """Whether a row is complete: a step, and for each other column a number or nothing."""
    try:
        return len(row) == len(COLUMNS) and int(row[0]) >= 0 and all(not cell or math.isfinite(float(cell)) for cell in row[1:])
    except ValueError:
        return False


def open_at(path: Path, step: int) -> TextIO:
    """The file, open for appending, with only the rows up to this step. It is replaced as a whole, or not at all."""
    text = StringIO(newline="")
    rows = csv.DictWriter(text, COLUMNS)
    rows.writeheader()
    rows.writerows(row for row in read_rows(path) if int(row["step"]) <= step)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))
    return open(path, "a", newline="", encoding="utf-8")


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
