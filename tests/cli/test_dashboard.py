"""The live panel in a terminal during training."""

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

from nlmcli.cli.curves import MAX_POINTS, Downsampled
from nlmcli.cli.dashboard import Dashboard
from nlmcli.engine.training.metrics import COLUMNS
from nlmcli.engine.training.records import Evaluated, RolledBack, Started, Stepped

STARTED = Started(Path("run"), "rnn", 1234567, 1000, 10**6, 10**5, 0.01, 50_000, 2048, 64, 0.002, "the ants")
STEPPED = Stepped(12_345, 1.5, 123.456, 0.002, 0.875, 1_234_567.0, 4000.0, 12_000.0)
EVALUATED = Evaluated(12_345, 2.5, 2.25, True, "the ants \x1b[31mhated\x07 \u202e 日本語 " * 20)
RAW = re.compile("[\x00-\x1f\x7f-\x9f\u202e]")


@pytest.fixture
def dashboard():
    """dashboard(records...) -> a Dashboard updated with them."""

    def make(*records, counting=False, **console):
        shown = Dashboard(Console(file=io.StringIO(), force_terminal=True, **console), counting)
        for record in records:
            shown.update(record)
        return shown

    return make


def steps_of(n=50, steps=50):
    """The records of n steps, with losses decreasing from 6."""
    return [Stepped(k, k / 10, 1 + 5 / k, 0.002, 1.0, 1000.0, float(k), float(steps - k)) for k in range(1, n + 1)]


def text(rows):
    return "\n".join(row.plain for row in rows)


@pytest.mark.parametrize("width", [40, 50, 64, 80, 100, 200])
@pytest.mark.parametrize("height", [12, 16, 24, 60])
@pytest.mark.parametrize(
    "step", [replace(STEPPED, step=10**8), replace(STEPPED, step=1), replace(STEPPED, loss=1e-5, tokens_per_second=1e12)]
)
def test_panel_fits_into_the_terminal(dashboard, width, height, step):
    for records in ((STARTED, step), (replace(STARTED, steps=10**9), *steps_of(40), step, EVALUATED)):
        shown = dashboard(*records)
        for shown.interrupted in (False, True):
            rows = shown.rows(width, height)
            assert 9 <= len(rows) <= 12 and len(rows) <= height
            assert max(cell_len(row.plain) for row in rows) <= width
            assert cell_len(rows[-1].plain) <= width - 4
            assert not any(RAW.search(row.plain) for row in rows)


def test_panel_has_every_metric(dashboard):
    shown = dashboard(STARTED, STEPPED, EVALUATED)
    panel = text(shown.rows(80, 24))
    assert panel.startswith("step 12,345 of 50,000 ━") and panel.splitlines()[0].endswith("─ 3:20:00 left")
    for name, value in {
        "train": "123.4560", "valid": "2.2500*", "best": "2.2500", "perplexity": "9.49", "tokens/s": "1,234,567",
        "lr": "0.002", "grad norm": "0.875", "epoch": "1.50", "elapsed": "1:06:40",
    }.items():  # fmt: skip
        assert re.search(rf"{name} +{re.escape(value)}$", panel, re.MULTILINE), name
    assert r"sample: the ants \x1b[31mhated\x07 \u202e 日本語 the ants" in panel
    done, remaining = (panel.splitlines()[0].count(part) for part in "━─")
    assert abs(done / (done + remaining) - 1 / 4) < 1 / (done + remaining)  # of the time has passed
    shown.update(replace(EVALUATED, valid_loss=2.5, best=False))
    assert re.search(r"valid +2\.5000$", text(shown.rows(80, 24)), re.MULTILINE) and "best        2.2500" in text(shown.rows(80, 24))


def test_curves_decrease_and_have_their_marks(dashboard):
    rows = [row.plain for row in dashboard(STARTED, *steps_of(), replace(EVALUATED, step=50, valid_loss=2.0)).rows(80, 24)]
    curve = rows[1:8]
    assert "t" in "".join(row[:54] for row in curve[-2:]) and any(row[:54].rstrip().endswith("v") for row in curve)
    left_ends = [re.search("[\u2801-\u28ff]", row).start() for row in curve if re.search("[\u2801-\u28ff]", row)]
    assert left_ends == sorted(left_ends)
    assert rows[9].split()[:3] == ["10", "50", "steps"]  # without the first fifth
    assert rows[10].startswith("sample: ")


def test_small_terminal_shows_one_line(dashboard):
    shown = dashboard(replace(STARTED, steps=None), STEPPED)
    for size in ((39, 24), (80, 11), (30, 8), (1, 1)):
        (row,) = shown.rows(*size)
        assert cell_len(row.plain) <= max(1, size[0] - 4)
    assert text(shown.rows(80, 8)) == "step 12,345 · loss 123.456 · 3:20:00 left · 1,234,567 tokens/s"
    shown.update(EVALUATED)
    assert text(shown.rows(80, 8)).endswith("tokens/s · ▁")
    shown.interrupted = True
    assert text(shown.rows(80, 8)) == "finishing this step and saving; press Ctrl-C again to quit now"


def test_ngram_model_has_no_panel(dashboard):
    counted = replace(STEPPED, loss=float("nan"))
    assert text(dashboard(counted, counting=True).rows(80, 24)) == "counted at 1,234,567 tokens/s; scoring"


def test_interrupt_message_is_below_the_curves(dashboard):
    shown = dashboard(STARTED, STEPPED, EVALUATED)
    shown.interrupted = True
    assert text(shown.rows(80, 24)).splitlines()[-1].startswith("finishing this step and saving")
    assert text(dashboard(STARTED).rows(80, 24)) == ""


def test_rollback_drops_points(dashboard):
    shown = dashboard(STARTED, *steps_of(30), replace(EVALUATED, step=30), RolledBack(30, 1e9, 20, 0.001))
    assert shown.train.points[-1][0] == 20 and not shown.valid.points
    shown.update(replace(STEPPED, step=21, loss=1.25))
    assert shown.loss == 1.25


def test_resumed_run_continues_its_curves(dashboard, tmp_path):
    rows = [(k, 0.1, 5.0 / k, 4.0 / k if k == 40 else "", 0.002, 1, 1000, k) for k in range(20, 101, 20)]
    rows.insert(1, (40, 0.1, 5.0 / 40, "", 0.002, 1, 1000, 40))
    (tmp_path / "metrics.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in [COLUMNS, *rows]))
    shown = dashboard(replace(STARTED, run=tmp_path, resumed=80))
    assert shown.train.points == [(k, 5 / k) for k in (20, 40, 60, 80)] and shown.train.values_per_point == 20
    assert shown.valid.points == [(40, 0.1)] and shown.best_loss == shown.valid_loss == 0.1


def test_downsampled_series_stays_small():
    series = Downsampled()
    for x in range(100_000):
        series.add(x, x)
        assert len(series.points) < MAX_POINTS
    assert len(series.points) >= MAX_POINTS // 2 - 1
    assert all(y == x - (series.values_per_point - 1) / 2 for x, y in series.points)  # the mean of the last values up to x


def test_wrapped_rows_of_a_narrower_terminal_are_erased(dashboard):
    shown = dashboard(STARTED, STEPPED, EVALUATED, width=80, height=24)
    shown.console.print(shown)
    shown.renderable()
    before = shown.console.file.getvalue()
    wrapped = sum(cell_len(row.plain) > 50 for row in shown.rows(80, 24))
    shown.console.width = 50
    shown.renderable()
    assert shown.console.file.getvalue()[len(before) :] == "\x1b[2K\x1b[1A" * wrapped and wrapped > 5


@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX pseudo-terminals")
def test_panel_in_a_pseudo_terminal(corpus, tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    parent_end, child_end = pty.openpty()
    fcntl.ioctl(child_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    options = "--embed 4 --hidden 4 --batch-size 4 --seq-len 8 --tokenizer char --threads 1 --steps 10000000 --eval-every 50 --out run"
    code = "from nlmcli.cli.app import run; run()"
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", str(corpus), *options.split()],
        cwd=tmp_path,
        env=environment,
        stdout=child_end,
        stderr=child_end,
    )
    os.close(child_end)
    output, deadline, stopped = "", time.monotonic() + 200, False
    while time.monotonic() < deadline:
        try:
            output += os.read(parent_end, 100_000).decode("utf-8", "replace")
        except OSError:  # the other end is closed
            break
        if not stopped and re.search("valid +[0-9.]", output) and "elapsed" in output:
            process.send_signal(signal.SIGINT)
            stopped = True
    os.close(parent_end)
    assert process.wait(timeout=10) == 130
    panel, _, end = output.rpartition("\x1b[2K")
    assert "─" in panel and "\x1b[?25l" in panel and "\x1b[?25h" in panel + end
    assert not re.search("[─│]", end) and "saved to run (interrupted)" in end
    assert re.search(r"step +50 .*\r\n", panel)
