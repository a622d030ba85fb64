"""Output to a terminal or a pipe: no control codes in a pipe, none of a corpus anywhere, and a clean exit on Ctrl-C."""

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
from nlmcli.cli.display import Display
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.training.records import Compiled, Evaluated, Started, Stepped
from nlmcli.nn.kernel import JIT

SMALL = ["--embed", "4", "--hidden", "4", "--batch-size", "4", "--seq-len", "8", "--tokenizer", "char", "--threads", "1"]
EVIL = "\x1b]0;gotcha\x07\x1b[31mred\x1b[0m \x9b5m \x7f \u202e"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
NLM = [sys.executable, "-c", "from nlmcli.cli.app import run; run()"]


@pytest.mark.parametrize("color", [{"NO_COLOR": "1"}, {"NO_COLOR": "", "TERM": "xterm-256color"}])
def test_plain_lines_in_a_pipe(process, corpus, color):
    environment = {"FORCE_COLOR": "", **color}
    train = ["train", corpus, *SMALL, "--steps", "4", "--out", "run"]
    for code, arguments in ((0, train), (0, ["train", "--help"]), (0, ["eval", "--run", "run"]), (2, ["eval", "--run", "none"])):
        completed = process(*arguments, env=environment)
        assert completed.returncode == code, completed.stderr
        assert completed.stdout or completed.stderr
        assert not RAW.search(completed.stdout + completed.stderr), arguments


def test_escape_sequences_of_a_corpus_or_a_prompt_are_never_printed(tmp_path, monkeypatch, capsys):
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


@pytest.mark.parametrize("no_color", ["", "1"])
def test_tokens_are_colored_by_their_surprisal_in_a_terminal_only(run, monkeypatch, capsys, no_color):
    class Terminal(io.StringIO):
        isatty = lambda self: True  # noqa: E731

    arguments = ["eval", "--run", str(run), "--text", "the antsQ", "--tokens", "--quiet"]
    assert main(arguments) == 0
    plain = capsys.readouterr().out
    assert "\x1b" not in plain
    for name, value in {"NO_COLOR": no_color, "TERM": "xterm-256color", "COLUMNS": "20"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout", Terminal())
    assert main(arguments) == 0
    shown = sys.stdout.getvalue()
    if no_color:
        assert shown == plain
        return
    legend = "up to 1 bit  up to 3 bits  up to 6 bits  up to 10 bits  more\n"
    assert re.sub(r"\x1b\[\d*m", "", shown) == plain.replace("\n\nP(text)", f"\n{legend}\nP(text)")
    codes = {"green": 32, "cyan": 36, "yellow": 33, "magenta": 35, "red": 31}
    for line in shown.splitlines()[1:10]:
        bits = float(re.search(r"(\d+\.\d\d) +\d+ ", line)[1])
        assert line.startswith(f"\x1b[{codes[surprisal.color(bits)]}m") and line.endswith("\x1b[0m")
    assert [surprisal.color(bits) for bits in (0, 1, 1.1, 6, 9, 50)] == ["green", "green", "cyan", "yellow", "magenta", "red"]


def test_escape_sequences_in_names_are_never_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in (["tokenize", f"{EVIL}.txt"], ["train", "--model", EVIL], ["eval", "--run", EVIL], [EVIL], ["train", f"--{EVIL}"]):
        assert main(arguments) == 2
        streams = capsys.readouterr()
        assert not RAW.search(streams.out) and not RAW.search(streams.err), arguments


def test_json_document_preserves_the_text(run, capsys):
    assert main(["generate", "--run", str(run), "--prompt", EVIL, "--length", "1", "--json", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["prompt"] == EVIL
    assert not re.search("[\x00-\x09\x0b-\x1f]", out)


def test_interrupted_ngram_run_prints_no_loss(training, capsys):
    trained = training("ngram")
    display = Display(trained.settings, False)
    for record in trained.run():
        display.show(record)
        trained.stop = True
        assert "nan" not in display.dashboard.status()
    display.summary(record)
    out = capsys.readouterr().out
    assert "loss" not in out and " n-grams counted in " in out and "(interrupted)" in out


def start_training(tmp_path, corpus):
    """Start a training run in another process and wait for its first evaluation.  -> the process"""
    arguments = ["train", str(corpus), *SMALL, "--steps", "10000000", "--eval-every", "5", "--out", "run"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    process = subprocess.Popen([*NLM, *arguments], cwd=tmp_path, **pipes)
    for line in process.stderr:
        if re.match("step +5 ", line):
            return process
    pytest.fail(f"the run ended: {process.communicate()}")


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send SIGINT to a single process")
def test_ctrl_c_saves_and_exits_with_130(tmp_path, corpus):
    process = start_training(tmp_path, corpus)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "finishing this step and saving" in err and "Traceback" not in err
    assert "(interrupted)" in out
    lm = LanguageModel.load(tmp_path / "run" / "last.npz")
    assert lm.about["step"] >= 5
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_run_leaves_a_complete_checkpoint(tmp_path, corpus):
    process = start_training(tmp_path, corpus)
    process.kill()
    process.communicate(timeout=60)
    for name in ("best.npz", "last.npz"):
        assert LanguageModel.load(tmp_path / "run" / name).about["step"] >= 5


def test_closed_pipe_is_not_an_error(run):
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
def test_training_continues_when_its_output_is_closed(tmp_path, corpus, stream):
    arguments = ["train", str(corpus), *SMALL, "--steps", "20", "--eval-every", "1", "--out", "run"]
    process = subprocess.Popen(
        [*NLM, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    getattr(process, stream).close()
    with process.stderr if stream == "stdout" else process.stdout as other:
        rest = other.read()
    assert process.wait(timeout=100) == 0
    assert "Traceback" not in rest and ("step     20" in rest or "saved to run" in rest)
    assert LanguageModel.load(tmp_path / "run" / "last.npz").about["step"] == 20


@pytest.mark.skipif(not JIT, reason="about compiled code")
def test_compilation_is_announced_only_without_cached_kernels(process, tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    arguments = ("gradcheck", "--layer", "linear")
    assert [process(*arguments, env=cache).stderr for _ in range(2)] == ["compiling kernels for this CPU, cached for later runs\n", ""]
    assert process(*arguments, "--quiet", env={"NUMBA_CACHE_DIR": str(tmp_path / "other")}).stderr == ""


def test_columns_are_aligned_by_terminal_cells():
    rows = [("日本", "1"), ("ants", "2"), ("e\u0301", "3")]
    assert report.columns(rows) == ["日本  1", "ants  2", "e\u0301     3"]
    assert report.truncate("日本語", 6) == "日本語" and report.truncate("日本語", 5) == "日本…" and report.truncate("ants", 3) == "an…"


def test_formatted_numbers():
    assert [report.probability(p, 6) for p in (0.5, 7.2e-8, 0)] == ["0.500000", "7.2e-08", "0.000000"]
    assert [report.number_of(n, "token") for n in (0, 1, 2000)] == ["0 tokens", "1 token", "2,000 tokens"]
    assert report.quoted("the ants") == '"the ants"' and report.quoted("$x") == "'$x'"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """terminal(records...) -> what is printed to a terminal of 80 columns, and the Display."""

    def show(*records):
        file = Terminal()
        monkeypatch.setattr("sys.stderr", file)
        monkeypatch.setenv("COLUMNS", "80")
        display = Display(Settings(), quiet=False)
        for record in records:
            display.show(record)
        return file.getvalue(), display

    return show


STARTED = Started(Path("run"), "rnn", 1234567, 1000, 10**6, 10**5, 0.01, 50_000, 2048, 64, 0.002, "the ants")
STEPPED = Stepped(12_345, 1.5, 123.456, 0.002, 1.0, 1_234_567.0, 4000.0, 4000.0)
EVALUATED = Evaluated(12_345, 12.3456, 12.3456, True, "日本語 " * 50)


def test_every_line_fits_into_80_columns(terminal):
    out, _ = terminal(STARTED, STEPPED, EVALUATED, EVALUATED)
    assert max(map(cell_len, out.splitlines())) <= 80
    assert out.count("sample: 日本語") == 2 and out.count("* best validation loss so far") == 1


@pytest.mark.parametrize("gain, is_said", [(None, False), (1.04, False), (1.62, True)])
def test_bf16_is_recommended_if_it_was_faster(terminal, gain, is_said):
    out, display = terminal(STARTED, Compiled(0.1, 0.02, gain))
    display.stop()
    assert ("--precision bf16 makes a step 1.6 times as fast on this CPU (measured)\n" in out) == is_said


@pytest.mark.parametrize("term, encoding, draws", [("xterm", "utf-8", True), ("dumb", "utf-8", False), ("xterm", "latin-1", False)])
def test_plain_lines_in_a_terminal_without_control_codes(terminal, monkeypatch, term, encoding, draws):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(Terminal, "encoding", encoding)
    out, display = terminal(STARTED, Compiled(0.1), STEPPED, EVALUATED)
    display.stop()
    assert bool(display.live) == bool(RAW.search(out)) == draws
    assert ("1,234,567 tokens/s" in out.split("sample:")[0].split("perplexity")[1]) != draws
