"""The live display of a run in a terminal: a panel of curves and metrics, or one status line if there is no room for it."""

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
INTERRUPTED = "finishing this step and saving; press Ctrl-C again to quit now"
MIN_WIDTH, MIN_HEIGHT = 40, 12  # cells and rows of a terminal with room for the panel
MIN_ROWS, MAX_ROWS = 9, 12  # of the panel
WIDE, METRICS_WIDTH = 64, 26  # cells: the width from which the metrics are to the right of the curves, and what they take there
MARGIN, AXIS = 8, 2  # cells to the left of the curves, rows below them
ECHO = 4  # cells left free in the last row, for the ^C that a terminal echoes
SMOOTHING = 20  # steps: time constant of the moving averages of loss and speed
SKIPPED = 0.2  # share of the steps, from the first on, whose losses are not drawn: their steep fall would flatten the rest


class Dashboard:
    """Collects the records of a run. Rich renders it in a thread, which only reads and takes no locks."""

    def __init__(self, console: Console, counting: bool = False):
        self.console, self.counting = console, counting
        self.interrupted = False
        self.steps: int | None = None
        self.step: Stepped | None = None
        self.train, self.valid = curves.Downsampled(), curves.Downsampled()
        self.loss = self.speed = 0.0  # moving averages
        self.averaged = 0  # steps since the start or the last rollback
        self.valid_loss: float | None = None  # of the last evaluation
        self.best_loss = math.inf
        self.figure: tuple[str, str] | None = None  # name and value of the task's own figure
        self.sample = ""
        self.row_widths: list[int] = []  # cells of each row on the terminal

    def update(self, record: Any) -> None:
        if isinstance(record, Stepped):
            self.add_step(record)
        elif isinstance(record, Started):
            self.steps = record.steps
            if record.resumed is not None:
                self.read_metrics(record.run / "metrics.csv", record.resumed)
        elif isinstance(record, Evaluated):
            self.add_evaluation(record.step, record.valid_loss)
            self.figure = record.figure and (record.figure[0], f"{record.figure[1]:.4f}{'*' if record.best else ''}")
            self.sample = " ".join(report.printable(record.sample).split())
        elif isinstance(record, RolledBack):
            self.averaged = 0
            self.train.drop_after(record.back_to)
            self.valid.drop_after(record.back_to)

    def add_step(self, r: Stepped) -> None:
        self.averaged += 1
        share = 1 / min(self.averaged, SMOOTHING)
        self.loss += share * (r.loss - self.loss)
        self.speed += share * (r.tokens_per_second - self.speed)
        self.train.add(r.step, self.loss)
        self.step = r

    def add_evaluation(self, step: int, loss: float) -> None:
        self.valid_loss, self.best_loss = loss, min(loss, self.best_loss)
        self.valid.add(step, loss)

    def read_metrics(self, path: Path, step: int) -> None:
        """Add the rows that an earlier run has written, up to that step."""
        for row in read_rows(path):
            if int(row["step"]) <= step:
                if row["valid_loss"]:
                    self.add_evaluation(int(row["step"]), float(row["valid_loss"]))
                else:
                    self.train.add(int(row["step"]), float(row["train_loss"]))
        self.train.values_per_point = max(1, step // max(1, len(self.train.points)))

    def renderable(self) -> "Dashboard":
        """The dashboard itself. If the terminal has become narrower and has wrapped rows, first erases as many more rows."""
        wrapped = sum((cells - 1) // self.console.width for cells in self.row_widths if cells)
        if wrapped:
            self.console.control(Control(*((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)) * wrapped))
        return self

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = self.rows(*options.size)
        self.row_widths = [cell_len(row.plain) for row in rows]
        yield Text("\n", no_wrap=True, overflow="crop").join(rows)

    def rows(self, width: int, height: int) -> list[Text]:
        """The rows to show on a terminal of that size."""
        if self.counting or self.step is None or width < MIN_WIDTH or height < MIN_HEIGHT:
            return [Text(self.status_line(width))]
        most = max(MIN_ROWS, min(MAX_ROWS, height // 2))
        footer = self.footer(width, 2 if most == MAX_ROWS else 1)
        body = self.side_by_side if width >= WIDE else self.stacked
        return [self.header(self.step, width), *map(Text, body(width, most - 1 - len(footer))), *footer]

    def header(self, r: Stepped, width: int) -> Text:
        """The step, a progress bar, and the time left."""
        right = f" {report.duration(r.seconds_left)} left"
        left = f"{report.truncate(self.position(r), width - len(right) - 1)} "
        cells = width - len(left) - len(right)
        done = round(cells * r.seconds / max(r.seconds + r.seconds_left, 1e-9))
        return Text.assemble(left, ("━" * done, "cyan"), ("─" * (cells - done), "dim"), right)

    def position(self, r: Stepped) -> str:
        return f"step {r.step:,}" + (f" of {self.steps:,}" if self.steps else "")

    def metrics(self, r: Stepped) -> list[tuple[str, str]]:
        """Names and values, the most important first."""
        pairs = [("train", f"{self.loss:.4f}")]
        if self.valid_loss is not None:
            star = "*" if self.valid_loss <= self.best_loss else ""
            pairs += [
                ("valid", f"{self.valid_loss:.4f}{star}"),
                self.figure or ("perplexity", f"{perplexity(self.valid_loss):,.2f}"),
                ("best", f"{self.best_loss:.4f}"),
            ]
        pairs += [("tokens/s", f"{self.speed:,.0f}"), ("lr", f"{r.lr:.3g}"), ("grad norm", f"{r.gradient_norm:.3g}")]
        return [*pairs, ("epoch", f"{r.epoch:.2f}"), ("elapsed", report.duration(r.seconds))]

    def side_by_side(self, width: int, rows: int) -> list[str]:
        """The curves, and the metrics to their right."""
        assert self.step is not None
        plot = self.plot(self.step, width - METRICS_WIDTH, rows)
        metrics = report.columns(self.metrics(self.step))[:rows]
        both = zip(plot + [""] * (rows - len(plot)), metrics + [""] * (rows - len(metrics)), strict=True)
        return [report.truncate(f"{report.pad(left, width - METRICS_WIDTH)}  {right}".rstrip(), width) for left, right in both]

    def stacked(self, width: int, rows: int) -> list[str]:
        """The curves, and the metrics below them, two per row."""
        assert self.step is not None
        metrics = self.metrics(self.step)[: rows // 2 * 2]
        metrics += [("", "")] * (len(metrics) % 2)
        pairs = report.columns([a + b for a, b in zip(metrics[::2], metrics[1::2], strict=True)])
        return [report.truncate(row, width) for row in (*self.plot(self.step, width, rows - len(pairs)), *pairs)]

    def plot(self, r: Stepped, width: int, rows: int) -> list[str]:
        """The curves of training and validation loss, with an x axis if there is room for one."""
        first, axis = r.step * SKIPPED, AXIS if rows > 3 * AXIS else 0
        train, valid = self.train.since(first), self.valid.since(first)
        if len(train) < 2:  # no curve yet
            return [""] * rows
        return curves.plot([curves.Curve("t", train), curves.Curve("v", valid)], width - MARGIN, rows - axis, " steps")[:rows]

    def footer(self, width: int, rows: int) -> list[Text]:
        """The last sample of the model, or the message that the run is being interrupted."""
        if self.interrupted:
            return [Text(report.truncate(INTERRUPTED, width - ECHO), style="yellow")]
        words = f"{SAMPLE}{self.sample}" if self.sample else ""
        lines = [line.plain.rstrip() for line in Text(words).wrap(self.console, width - ECHO)] or [""]
        return [Text(line) for line in (*lines[: rows - 1], report.truncate(" ".join(lines[rows - 1 :]), width - ECHO))]

    def status_line(self, width: int) -> str:
        """The state of the run in one line, the most important first."""
        return report.truncate(INTERRUPTED if self.interrupted else self.status(), width - ECHO)

    def status(self) -> str:
        r = self.step
        if r is None:
            return ""
        if self.counting:
            return f"counted at {r.tokens_per_second:,.0f} tokens/s; scoring"
        left, speed = f"{report.duration(r.seconds_left)} left", f"{self.speed:,.0f} tokens/s"
        parts = (self.position(r), f"loss {self.loss:.3f}", left, speed, report.sparkline([loss for _, loss in self.valid.points], 10))
        return " · ".join(part for part in parts if part)
