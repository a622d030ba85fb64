"""The panel that a terminal shows while a model trains."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from nlmcli.cli.curves import POINTS, Means
from nlmcli.cli.dashboard import Dashboard
from nlmcli.engine.training.metrics import COLUMNS
from nlmcli.engine.training.records import Evaluated, RolledBack, Started, Stepped

STARTED = Started(Path("run"), "rnn", 1234567, 1000, 10**6, 10**5, 0.01, 50_000, 2048, 64, 0.002, "the ants")
STEPPED = Stepped(12_345, 1.5, 123.456, 0.002, 0.875, 1_234_567.0, 4000.0, 12_000.0)
EVALUATED = Evaluated(12_345, 2.5, 2.25, True, "the ants \x1b[31mhated\x07 \u202e 日本語 " * 20)
RAW = re.compile("[\x00-\x1f\x7f-\x9f\u202e]")


@pytest.fixture
def dashboard():
    """dashboard(records...) -> a Dashboard that has taken them in."""

    def make(*records, counting=False, **console):
        shown = Dashboard(Console(file=io.StringIO(), force_terminal=True, **console), counting)
        for record in records:
            shown.take(record)
        return shown

    return make


def going(n=50, steps=50):
    """The records of n steps, whose losses fall from 6."""
    return [Stepped(k, k / 10, 1 + 5 / k, 0.002, 1.0, 1000.0, float(k), float(steps - k)) for k in range(1, n + 1)]


def text(rows):
    return "\n".join(row.plain for row in rows)


@pytest.mark.parametrize("width", [40, 50, 64, 80, 100, 200])
@pytest.mark.parametrize("height", [12, 16, 24, 60])
@pytest.mark.parametrize(
    "step", [replace(STEPPED, step=10**8), replace(STEPPED, step=1), replace(STEPPED, loss=1e-5, tokens_per_second=1e12)]
)
def test_the_panel_fits_whatever_it_says(dashboard, width, height, step):
    for records in ((STARTED, step), (replace(STARTED, steps=10**9), *going(40), step, EVALUATED)):
        shown = dashboard(*records)
        for shown.interrupted in (False, True):
            rows = shown.rows(width, height)
            assert 9 <= len(rows) <= 12 and len(rows) <= height
            assert max(cell_len(row.plain) for row in rows) <= width
            assert cell_len(rows[-1].plain) <= width - 4
            assert not any(RAW.search(row.plain) for row in rows)


def test_the_panel_has_every_figure(dashboard):
    shown = dashboard(STARTED, STEPPED, EVALUATED)
    said = text(shown.rows(80, 24))
    assert said.startswith("step 12,345 of 50,000 ━") and said.splitlines()[0].endswith("─ 3:20:00 left")
    for name, value in {
        "train": "123.4560", "valid": "2.2500*", "best": "2.2500", "perplexity": "9.49", "tokens/s": "1,234,567",
        "lr": "0.002", "gradient": "0.875", "epoch": "1.50", "elapsed": "1:06:40",
    }.items():  # fmt: skip
        assert re.search(rf"{name} +{re.escape(value)}$", said, re.MULTILINE), name
    assert r"sample: the ants \x1b[31mhated\x07 \u202e 日本語 the ants" in said
    done, rest = (said.splitlines()[0].count(part) for part in "━─")
    assert abs(done / (done + rest) - 1 / 4) < 1 / (done + rest)  # of the time
    shown.take(replace(EVALUATED, valid_loss=2.5, best=False))
    assert re.search(r"valid +2\.5000$", text(shown.rows(80, 24)), re.MULTILINE) and "best        2.2500" in text(shown.rows(80, 24))


def test_the_curves_fall_and_bear_their_marks(dashboard):
    rows = [row.plain for row in dashboard(STARTED, *going(), replace(EVALUATED, step=50, valid_loss=2.0)).rows(80, 24)]
    curve = rows[1:8]
    assert "t" in "".join(row[:54] for row in curve[-2:]) and any(row[:54].rstrip().endswith("v") for row in curve)
    first = [re.search("[\u2801-\u28ff]", row).start() for row in curve if re.search("[\u2801-\u28ff]", row)]
    assert first == sorted(first)
    assert rows[9].split()[:3] == ["10", "50", "steps"]  # without the first fifth
    assert rows[10].startswith("sample: ")


def test_little_room_leaves_one_line(dashboard):
    shown = dashboard(replace(STARTED, steps=None), STEPPED)
    for size in ((39, 24), (80, 11), (30, 8), (1, 1)):
        (row,) = shown.rows(*size)
        assert cell_len(row.plain) <= max(1, size[0] - 4)
    assert text(shown.rows(80, 8)) == "step 12,345 · loss 123.456 · 3:20:00 left · 1,234,567 tokens/s"
    shown.take(EVALUATED)
    assert text(shown.rows(80, 8)).endswith("tokens/s · ▁")
    shown.interrupted = True
    assert text(shown.rows(80, 8)) == "finishing this step and saving; Ctrl-C again leaves at once"


def test_a_count_has_no_panel(dashboard):
    counted = replace(STEPPED, loss=float("nan"))
    assert text(dashboard(counted, counting=True).rows(80, 24)) == "counted at 1,234,567 tokens/s; scoring"


def test_an_interrupt_is_told_below_the_curves(dashboard):
    shown = dashboard(STARTED, STEPPED, EVALUATED)
    shown.interrupted = True
    assert text(shown.rows(80, 24)).splitlines()[-1].startswith("finishing this step and saving")
    assert text(dashboard(STARTED).rows(80, 24)) == ""


def test_what_was_rolled_back_is_no_longer_drawn(dashboard):
    shown = dashboard(STARTED, *going(30), replace(EVALUATED, step=30), RolledBack(30, 1e9, 20, 0.001))
    assert shown.train.points[-1][0] == 20 and not shown.valid.points
    shown.take(replace(STEPPED, step=21, loss=1.25))
    assert shown.loss == 1.25


def test_a_resumed_run_goes_on_with_its_curves(dashboard, tmp_path):
    rows = [(k, 0.1, 5.0 / k, 4.0 / k if k == 40 else "", 0.002, 1, 1000, k) for k in range(20, 101, 20)]
    rows.insert(1, (40, 0.1, 5.0 / 40, "", 0.002, 1, 1000, 40))
    (tmp_path / "metrics.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in [COLUMNS, *rows]))
    shown = dashboard(replace(STARTED, run=tmp_path, resumed=80))
    assert shown.train.points == [(k, 5 / k) for k in (20, 40, 60, 80)] and shown.train.each == 20
    assert shown.valid.points == [(40, 0.1)] and shown.best == shown.latest == 0.1


def test_a_series_keeps_its_shape_and_never_grows():
    means = Means()
    for x in range(100_000):
        means.add(x, x)
        assert len(means.points) < POINTS
    assert len(means.points) >= POINTS // 2 - 1
    assert all(y == x - (means.each - 1) / 2 for x, y in means.points)  # the mean of those that end at x


def test_a_narrower_terminal_is_cleared_of_the_rows_it_broke(dashboard):
    shown = dashboard(STARTED, STEPPED, EVALUATED, width=80, height=24)
    shown.console.print(shown)
    shown.current()
    before = shown.console.file.getvalue()
    broken = sum(cell_len(row.plain) > 50 for row in shown.rows(80, 24))
    shown.console.width = 50
    shown.current()
    assert shown.console.file.getvalue()[len(before) :] == "\x1b[2K\x1b[1A" * broken and broken > 5


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")
def test_on_a_terminal_the_panel_comes_and_goes(corpus, tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    options = "--embed 4 --hidden 4 --batch-size 4 --seq-len 8 --tokenizer char --threads 1 --steps 10000000 --eval-every 50 --out run"
    code = "from nlmcli.cli.app import run; run()"
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", str(corpus), *options.split()], cwd=tmp_path, env=environment, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said, until, stopped = "", time.monotonic() + 200, False
    while time.monotonic() < until:
        try:
            said += os.read(ours, 100_000).decode("utf-8", "replace")
        except OSError:  # the other end is closed
            break
        if not stopped and re.search("valid +[0-9.]", said) and "elapsed" in said:
            process.send_signal(signal.SIGINT)
            stopped = True
    os.close(ours)
    assert process.wait(timeout=10) == 130
    panel, _, end = said.rpartition("\x1b[2K")
    assert "─" in panel and "\x1b[?25l" in panel and "\x1b[?25h" in panel + end
    assert not re.search("[─│]", end) and "saved in run (interrupted)" in end
    assert re.search(r"step +50 .*\r\n", panel)
