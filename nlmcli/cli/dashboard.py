"""What a terminal shows of a run while it goes on: a panel of curves and figures, or one line where there is no room for it."""

import math
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from nlmcli.cli import curves, report
from nlmcli.engine.scoring.evaluate import perplexity
from nlmcli.engine.training.metrics import read_rows
from nlmcli.engine.training.records import Evaluated, RolledBack, Started, Stepped

SAMPLE = "sample: "
INTERRUPTED = "finishing this step and saving; Ctrl-C again leaves at once"
NARROWEST, LOWEST = 40, 12  # cells and rows of a terminal that has room for the panel
FEWEST, MOST = 9, 12  # rows of the panel
WIDE, FIGURES = 64, 26  # cells: from where on the figures stand beside the curves, and what they take there
MARGIN, AXIS = 8, 2  # cells beside the curves, rows below them
ECHO = 4  # cells that the last row leaves free, for the ^C that a terminal echoes
SMOOTH = 20  # steps that the loss and the speed shown are the mean of, about
BEGINNING = 0.2  # the share of the steps whose losses are not drawn: their fall would flatten all the rest


class Dashboard:
    """Takes in the records of a run; what Rich draws of them is drawn in a thread of its own, which reads and locks nothing."""

    def __init__(self, console: Console, counting: bool = False):
        self.console, self.counting = console, counting
        self.interrupted = False
        self.steps: int | None = None
        self.step: Stepped | None = None
        self.train, self.valid = curves.Means(), curves.Means()
        self.loss = self.speed = 0.0
        self.seen = 0  # steps since the run began or went back
        self.latest: float | None = None  # validation loss
        self.best = math.inf
        self.sample = ""
        self.drawn: list[int] = []  # cells of each row on the terminal

    def take(self, record: Any) -> None:
        if isinstance(record, Stepped):
            self.stepped(record)
        elif isinstance(record, Started):
            self.steps = record.steps
            if record.resumed is not None:
                self.resume(record.run / "metrics.csv", record.resumed)
        elif isinstance(record, Evaluated):
            self.evaluated(record.step, record.valid_loss)
            self.sample = " ".join(report.printable(record.sample).split())
        elif isinstance(record, RolledBack):
            self.seen = 0
            self.train.back_to(record.back_to)
            self.valid.back_to(record.back_to)

    def stepped(self, r: Stepped) -> None:
        self.seen += 1
        share = 1 / min(self.seen, SMOOTH)
        self.loss += share * (r.loss - self.loss)
        self.speed += share * (r.tokens_per_second - self.speed)
        self.train.add(r.step, self.loss)
        self.step = r

    def evaluated(self, step: int, loss: float) -> None:
        self.latest, self.best = loss, min(loss, self.best)
        self.valid.add(step, loss)

    def resume(self, path: Path, step: int) -> None:
        """Take in the rows that an earlier run has left, up to that step."""
        for row in read_rows(path):
            if int(row["step"]) <= step:
                if row["valid_loss"]:
                    self.evaluated(int(row["step"]), float(row["valid_loss"]))
                else:
                    self.train.add(int(row["step"]), float(row["train_loss"]))
        self.train.each = max(1, step // max(1, len(self.train.points)))

    def current(self) -> "Dashboard":
        """Itself. Where the terminal has become narrower it has broken rows in two: then the cursor goes up over these first."""
        broken = sum((cells - 1) // self.console.width for cells in self.drawn if cells)
        if broken:
            self.console.control(Control(*((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)) * broken))
        return self

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = self.rows(*options.size)
        self.drawn = [cell_len(row.plain) for row in rows]
        yield Text("\n", no_wrap=True, overflow="crop").join(rows)

    def rows(self, width: int, height: int) -> list[Text]:
        """What is shown on a terminal of that size."""
        if self.counting or self.step is None or width < NARROWEST or height < LOWEST:
            return [Text(self.line(width))]
        most = max(FEWEST, min(MOST, height // 2))
        last = self.footer(width, 2 if most == MOST else 1)
        body = self.beside if width >= WIDE else self.below
        return [self.header(self.step, width), *map(Text, body(width, most - 1 - len(last))), *last]

    def header(self, r: Stepped, width: int) -> Text:
        """Where the run is: in steps, as a bar, and in time."""
        right = f" {report.duration(r.seconds_left)} left"
        left = f"{report.cut(self.where(r), width - len(right) - 1)} "
        cells = width - len(left) - len(right)
        done = round(cells * r.seconds / max(r.seconds + r.seconds_left, 1e-9))
        return Text.assemble(left, ("━" * done, "cyan"), ("─" * (cells - done), "dim"), right)

    def where(self, r: Stepped) -> str:
        return f"step {r.step:,}" + (f" of {self.steps:,}" if self.steps else "")

    def figures(self, r: Stepped) -> list[tuple[str, str]]:
        """Names and values, what matters most first."""
        found = [("train", f"{self.loss:.4f}")]
        if self.latest is not None:
            star = "*" if self.latest <= self.best else ""
            found += [
                ("valid", f"{self.latest:.4f}{star}"),
                ("perplexity", f"{perplexity(self.latest):,.2f}"),
                ("best", f"{self.best:.4f}"),
            ]
        found += [("tokens/s", f"{self.speed:,.0f}"), ("lr", f"{r.lr:.3g}"), ("gradient", f"{r.gradient_norm:.3g}")]
        return [*found, ("epoch", f"{r.epoch:.2f}"), ("elapsed", report.duration(r.seconds))]

    def beside(self, width: int, rows: int) -> list[str]:
        """The curves, and the figures to their right."""
        assert self.step is not None
        plot = self.plot(self.step, width - FIGURES, rows)
        figures = report.columns(self.figures(self.step))[:rows]
        both = zip(plot + [""] * (rows - len(plot)), figures + [""] * (rows - len(figures)), strict=True)
        return [report.cut(f"{report.padded(left, width - FIGURES)}  {right}".rstrip(), width) for left, right in both]

    def below(self, width: int, rows: int) -> list[str]:
        """The curves, and the figures below, two in a row."""
        assert self.step is not None
        figures = self.figures(self.step)[: rows // 2 * 2]
        figures += [("", "")] * (len(figures) % 2)
        pairs = report.columns([a + b for a, b in zip(figures[::2], figures[1::2], strict=True)])
        return [report.cut(row, width) for row in (*self.plot(self.step, width, rows - len(pairs)), *pairs)]

    def plot(self, r: Stepped, width: int, rows: int) -> list[str]:
        """The losses of training and of validation; with an axis below where there is room for one."""
        first, axis = r.step * BEGINNING, AXIS if rows > 3 * AXIS else 0
        train, valid = self.train.since(first), self.valid.since(first)
        if len(train) < 2:  # no curve yet
            return [""] * rows
        return curves.plot([curves.Curve("t", train), curves.Curve("v", valid)], width - MARGIN, rows - axis, " steps")[:rows]

    def footer(self, width: int, rows: int) -> list[Text]:
        """What the model writes, or that the run is about to end."""
        if self.interrupted:
            return [Text(report.cut(INTERRUPTED, width - ECHO), style="yellow")]
        words = f"{SAMPLE}{self.sample}" if self.sample else ""
        lines = [line.plain.rstrip() for line in Text(words).wrap(self.console, width - ECHO)] or [""]
        return [Text(line) for line in (*lines[: rows - 1], report.cut(" ".join(lines[rows - 1 :]), width - ECHO))]

    def line(self, width: int) -> str:
        """All in one line, what matters most first."""
        return report.cut(INTERRUPTED if self.interrupted else self.state(), width - ECHO)

    def state(self) -> str:
        r = self.step
        if r is None:
            return ""
        if self.counting:
            return f"counted at {r.tokens_per_second:,.0f} tokens/s; scoring"
        left, speed = f"{report.duration(r.seconds_left)} left", f"{self.speed:,.0f} tokens/s"
        parts = (self.where(r), f"loss {self.loss:.3f}", left, speed, report.curve([loss for _, loss in self.valid.points], 10))
        return " · ".join(part for part in parts if part)
