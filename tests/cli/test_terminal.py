"""What reaches a terminal or a pipe: no control codes of ours, none of a corpus, and a clean end on Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from nlmcli.cli.app import main
from nlmcli.engine.language_model import LanguageModel

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
        ):
            assert main(arguments) == 0
            streams = capsys.readouterr()
            assert not RAW.search(streams.out) and not RAW.search(streams.err), arguments


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
        [*NLM, "generate", "--run", str(run), "--length", "100000", "--seed", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert err == b""
