"""What reaches a terminal or a pipe: no control codes of ours, none of a corpus, and a clean end on Ctrl-C."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from nlmcli.cli import report, surprisal
from nlmcli.cli.app import main
from nlmcli.cli.progress import Progress
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.training.records import Compiled, Evaluated, Started, Stepped
from nlmcli.nn.kernel import JIT

SMALL = ["--embed", "4", "--hidden", "4", "--batch-size", "4", "--seq-len", "8", "--tokenizer", "char", "--threads", "1"]
EVIL = "\x1b]0;gotcha\x07\x1b[31mred\x1b[0m \x9b5m \x7f \u202e"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
NLM = [sys.executable, "-c", "from nlmcli.cli.app import run; run()"]


@pytest.mark.parametrize("colour", [{"NO_COLOR": "1"}, {"NO_COLOR": "", "TERM": "xterm-256color"}])
def test_a_pipe_gets_plain_lines(process, corpus, colour):
    environment = {"FORCE_COLOR": "", **colour}
    train = ["train", corpus, *SMALL, "--steps", "4", "--out", "run"]
    for code, arguments in ((0, train), (0, ["train", "--help"]), (0, ["eval", "--run", "run"]), (2, ["eval", "--run", "none"])):
        done = process(*arguments, env=environment)
        assert done.returncode == code, done.stderr
        assert done.stdout or done.stderr
        assert not RAW.search(done.stdout + done.stderr), arguments


def test_escapes_of_a_corpus_or_a_prompt_never_come_through(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "written", report.printable)  # as in a terminal
    (tmp_path / "evil.txt").write_text(f"{EVIL} ants {EVIL}\n" * 40, encoding="utf-8")
    for tokenizer in ("word", "char", "byte"):
        out = f"run-{tokenizer}"
        options = [*SMALL, "--tokenizer", tokenizer, "--steps", "4", "--out", out]
        for arguments in (
            ["tokenize", "evil.txt", "--tokenizer", tokenizer],
            ["tokenize", "--text", EVIL, "--tokenizer", tokenizer],
            ["train", "evil.txt", *options],
            ["generate", "--run", out, "--prompt", EVIL, "--length", "60", "--seed", "1"],
            ["generate", "--run", out, "--prompt", EVIL, "--length", "20", "--num", "2"],
            ["generate", "--run", out, "--prompt", EVIL, "--probs", "30"],
            ["eval", "--run", out, "--text", EVIL, "--tokens"],
            ["eval", "--run", out, "--run", out, "--text", EVIL],
        ):
            assert main(arguments) == 0
            streams = capsys.readouterr()
            assert not RAW.search(streams.out) and not RAW.search(streams.err), arguments


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_tokens_are_coloured_by_their_surprisal_in_a_terminal_only(run, monkeypatch, capsys, no_colour):
    class Terminal(io.StringIO):
        isatty = lambda self: True  # noqa: E731

    arguments = ["eval", "--run", str(run), "--text", "the antsQ", "--tokens", "--quiet"]
    assert main(arguments) == 0
    plain = capsys.readouterr().out
    assert "\x1b" not in plain
    for name, value in {"NO_COLOR": no_colour, "TERM": "xterm-256color", "COLUMNS": "20"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout", Terminal())
    assert main(arguments) == 0
    shown = sys.stdout.getvalue()
    if no_colour:
        assert shown == plain
        return
    scale = "up to 1 bit  up to 3 bits  up to 6 bits  up to 10 bits  more\n"
    assert re.sub(r"\x1b\[\d*m", "", shown) == plain.replace("\n\nP(text)", f"\n{scale}\nP(text)")
    colours = {"green": 32, "cyan": 36, "yellow": 33, "magenta": 35, "red": 31}
    for line in shown.splitlines()[1:10]:
        bits = float(re.search(r"(\d+\.\d\d) +\d+ ", line)[1])
        assert line.startswith(f"\x1b[{colours[surprisal.colour(bits)]}m") and line.endswith("\x1b[0m")
    assert [surprisal.colour(bits) for bits in (0, 1, 1.1, 6, 9, 50)] == ["green", "green", "cyan", "yellow", "magenta", "red"]


def test_escapes_in_names_never_come_through(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in (["tokenize", f"{EVIL}.txt"], ["train", "--model", EVIL], ["eval", "--run", EVIL], [EVIL], ["train", f"--{EVIL}"]):
        assert main(arguments) == 2
        streams = capsys.readouterr()
        assert not RAW.search(streams.out) and not RAW.search(streams.err), arguments


def test_a_json_document_holds_the_text_as_it_is(run, capsys):
    assert main(["generate", "--run", str(run), "--prompt", EVIL, "--length", "1", "--json", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["prompt"] == EVIL
    assert not re.search("[\x00-\x09\x0b-\x1f]", out)


def test_a_count_that_is_stopped_says_no_loss(training, capsys):
    trained = training("ngram")
    progress = Progress(trained.settings, False)
    for record in trained.run():
        progress.show(record)
        trained.stop = True
        assert "nan" not in progress.dashboard.state()
    progress.summary(record)
    out = capsys.readouterr().out
    assert "loss" not in out and " n-grams counted in " in out and "(interrupted)" in out


def started(tmp_path, corpus):
    """A training run in a process of its own, once it has saved its first evaluation."""
    arguments = ["train", str(corpus), *SMALL, "--steps", "10000000", "--eval-every", "5", "--out", "run"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    process = subprocess.Popen([*NLM, *arguments], cwd=tmp_path, **pipes)
    for line in process.stderr:
        if re.match("step +5 ", line):
            return process
    pytest.fail(f"the run ended: {process.communicate()}")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_saves_and_exits_with_130(tmp_path, corpus):
    process = started(tmp_path, corpus)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "finishing this step and saving" in err and "Traceback" not in err
    assert "(interrupted)" in out
    lm = LanguageModel.load(tmp_path / "run" / "last.npz")
    assert lm.about["step"] >= 5
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_run_leaves_a_whole_checkpoint(tmp_path, corpus):
    process = started(tmp_path, corpus)
    process.kill()
    process.communicate(timeout=60)
    for name in ("best.npz", "last.npz"):
        assert LanguageModel.load(tmp_path / "run" / name).about["step"] >= 5


def test_a_closed_pipe_is_no_error(run):
    process = subprocess.Popen(
        [*NLM, "generate", "--run", str(run), "--length", "100000", "--seed", "1", "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert err == b""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_training_goes_on_to_its_end_though_nobody_reads(tmp_path, corpus, stream):
    arguments = ["train", str(corpus), *SMALL, "--steps", "20", "--eval-every", "1", "--out", "run"]
    process = subprocess.Popen(
        [*NLM, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    getattr(process, stream).close()
    with process.stderr if stream == "stdout" else process.stdout as other:
        rest = other.read()
    assert process.wait(timeout=100) == 0
    assert "Traceback" not in rest and ("step     20" in rest or "saved in run" in rest)
    assert LanguageModel.load(tmp_path / "run" / "last.npz").about["step"] == 20


@pytest.mark.skipif(not JIT, reason="about compiled code")
def test_compiling_is_announced_once_and_only_where_it_happens(process, tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    arguments = ("gradcheck", "--layer", "linear")
    assert [process(*arguments, env=cache).stderr for _ in range(2)] == ["compiling kernels for this CPU, once\n", ""]
    assert process(*arguments, "--quiet", env={"NUMBA_CACHE_DIR": str(tmp_path / "other")}).stderr == ""


def test_cells_are_counted_not_characters():
    rows = [("日本", "1"), ("ants", "2"), ("e\u0301", "3")]
    assert report.columns(rows) == ["日本  1", "ants  2", "e\u0301     3"]
    assert report.cut("日本語", 6) == "日本語" and report.cut("日本語", 5) == "日本…" and report.cut("ants", 3) == "an…"


def test_numbers_stay_readable():
    assert [report.probability(p, 6) for p in (0.5, 7.2e-8, 0)] == ["0.500000", "7.2e-08", "0.000000"]
    assert [report.number_of(n, "token") for n in (0, 1, 2000)] == ["0 tokens", "1 token", "2,000 tokens"]
    assert report.quoted("the ants") == '"the ants"' and report.quoted("$x") == "'$x'"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """terminal(records...) -> what a terminal of 80 columns shows of them, and the Progress."""

    def show(*records):
        file = Terminal()
        monkeypatch.setattr("sys.stderr", file)
        monkeypatch.setenv("COLUMNS", "80")
        progress = Progress(Settings(), quiet=False)
        for record in records:
            progress.show(record)
        return file.getvalue(), progress

    return show


STARTED = Started(Path("run"), "rnn", 1234567, 1000, 10**6, 10**5, 0.01, 50_000, 2048, 64, 0.002, "the ants")
STEPPED = Stepped(12_345, 1.5, 123.456, 0.002, 1.0, 1_234_567.0, 4000.0, 4000.0)
EVALUATED = Evaluated(12_345, 12.3456, 12.3456, True, "日本語 " * 50)


def test_a_terminal_of_80_columns_holds_every_line(terminal):
    out, _ = terminal(STARTED, STEPPED, EVALUATED, EVALUATED)
    assert max(map(cell_len, out.splitlines())) <= 80
    assert out.count("sample: 日本語") == 2 and out.count("* best so far") == 1


@pytest.mark.parametrize("term, encoding, draws", [("xterm", "utf-8", True), ("dumb", "utf-8", False), ("xterm", "latin-1", False)])
def test_a_terminal_that_cannot_draw_gets_plain_lines(terminal, monkeypatch, term, encoding, draws):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(Terminal, "encoding", encoding)
    out, progress = terminal(STARTED, Compiled(0.1), STEPPED, EVALUATED)
    progress.stop()
    assert bool(progress.live) == bool(RAW.search(out)) == draws
    assert ("1,234,567 tokens/s" in out.split("sample:")[0].split("perplexity")[1]) != draws
