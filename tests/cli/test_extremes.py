"""Whatever numbers an option is given, there is text, or one sentence and exit code 2: no warning, no traceback, no nan.

And whatever a terminal, a home or a cache is like, every command works.
"""

import os
import re
import subprocess
import sys
import warnings

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nlmcli.cli.app import main

FLOATS = st.floats() | st.sampled_from([0.0, -0.0, 1.0, 5e-324, 2.2e-308, 1e308, 0.5, -1.0])
WHOLE = st.integers(-(10**20), 10**20) | st.integers(-2, 9)
GENERATE = {
    "--temperature": FLOATS, "--top-p": FLOATS, "--min-p": FLOATS, "--repetition-penalty": FLOATS, "--top-k": WHOLE, "--seed": WHOLE,
}  # fmt: skip
BEAM = {"--beam": st.integers(-2, 5), "--length-penalty": FLOATS}
DYNAMIC = {"--dynamic-lr": FLOATS, "--dynamic-segment": WHOLE}
ODD = [{}, {"--temperature": 5e-324}, {"--repetition-penalty": 5e-324}, {"--temperature": 1e308, "--repetition-penalty": 1e308}]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of small runs: characters, lines of words, a Transformer, counts without smoothing.

    Their text has no letter n, so that none of them writes nan.
    """
    room = tmp_path_factory.mktemp("extremes")
    (room / "cats.txt").write_text("the blue cats hated the red cats .\na cat sat by the mat .\n" * 12)
    small = ["--embed", "4", "--batch-size", "4", "--seq-len", "8", "--steps", "8"]
    made = {
        "chars": ["--tokenizer", "char", "--hidden", "5", *small],
        "lines": ["--by", "line", "--hidden", "5", *small],
        "blocks": ["--model", "transformer", "--tokenizer", "char", "--context", "4", "--heads", "2", *small],
        "counts": ["--model", "ngram", "--tokenizer", "char", "--context", "3", "--add-k", "0"],
    }
    for name, options in made.items():
        assert main(["train", str(room / "cats.txt"), "--out", str(room / name), "--quiet", *options]) == 0
    return [room / name for name in made]


def asked(options):
    """Some of the options, each with a value, as they are typed."""
    return st.fixed_dictionaries({}, optional=options)


def tried(capsys, command, run, given_):
    """Run a command with all warnings as errors; it is to end well, or in one sentence."""
    capsys.readouterr()
    typed = [word for name, value in given_.items() for word in (f"{name}={value!r}",)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code = main([*command, "--run", str(run), "--quiet", *typed])
    out, err = capsys.readouterr()
    assert code in (0, 2), (typed, code, err)
    assert "Traceback" not in err and "Warning" not in err
    if code == 2:
        assert out == "" and err.startswith("nlm: ") and err.count("\n") == 1, (typed, err)
    else:
        assert err == "" and not re.search(r"\bnan\b", out), (typed, out)


many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@many
@given(given_=asked(GENERATE), which=st.integers(0, 3), probs=st.booleans())
@example(ODD[1], 0, True)
@example(ODD[2], 0, False)
@example(ODD[3], 2, True)
@example({"--temperature": 1e-308}, 3, False)
def test_whatever_sampling_is_asked_for(capsys, runs, given_, which, probs):
    way = ["--probs", "4"] if probs else ["--length", "6"]
    if probs:
        given_ = {name: value for name, value in given_.items() if name != "--seed"}
    tried(capsys, ["generate", "--prompt", "the ants", *way], runs[which], given_)


@many
@given(given_=asked(BEAM | {"--num": WHOLE}), which=st.integers(0, 3))
@example({"--beam": 3, "--length-penalty": -10.0}, 0)
def test_whatever_search_is_asked_for(capsys, runs, given_, which):
    if abs(given_.get("--num", 0)) > 50:  # as many texts are written as are asked for
        given_ = given_ | {"--num": -3}
    tried(capsys, ["generate", "--prompt", "a", "--length", "5"], runs[which], given_)


@many
@given(given_=asked(DYNAMIC), which=st.integers(0, 2))
@example({"--dynamic-lr": 1e300}, 0)
def test_whatever_evaluation_is_asked_for(capsys, runs, given_, which):
    tried(capsys, ["eval", "--text", "the ants sat .", *(["--dynamic"] if given_ else [])], runs[which], given_)


@many
@given(weight=FLOATS, which=st.integers(0, 3))
def test_whatever_mixture_is_asked_for(capsys, runs, weight, which):
    tried(capsys, ["eval", "--text", "the ants sat ."], runs[which], {"--mix": Text(f"{runs[which]}:{weight}")})


class Text(str):
    """A value that is typed as it is."""

    def __repr__(self):
        return str(self)


COMMANDS = {
    "help": ["--help"],
    "train help": ["train", "--help"],
    "presets": ["train", "--presets"],
    "tokenize": ["tokenize", "cats.txt", "--top", "5"],
    "train": ["train", "cats.txt", "--out", "new", "--embed", "4", "--hidden", "5", "--steps", "4", "--batch-size", "4", "--seq-len", "8"],
    "eval": ["eval", "--run", "{run}", "--text", "naïve ␣ 中文 ants", "--tokens"],
    "generate": ["generate", "--run", "{run}", "--prompt", "naïve 中文", "--seed", "1", "--length", "9"],
    "probs": ["generate", "--run", "{run}", "--probs", "3"],
    "gradcheck": ["gradcheck", "--example", "linear"],
    "inspect": ["inspect", "{run}"],
    "compare": ["compare", "{run}"],
    "export": ["export", "{run}", "e.vec"],
}


@pytest.fixture
def elsewhere(tmp_path):
    (tmp_path / "cats.txt").write_text("the blue cats hated the red cats .\na cat sat by the mat .\n" * 12)
    return tmp_path


def worked(command, run, room, **environment):
    words = [word.format(run=run) for word in COMMANDS[command]]
    env = {name: value for name, value in (os.environ | environment).items() if value is not None} | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-W", "error", "-m", "nlmcli", *words], cwd=room, env=env, capture_output=True, timeout=900)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    assert done.stdout.strip()
    return done


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_under_every_encoding(command, encoding, runs, elsewhere):
    done = worked(command, runs[0], elsewhere, PYTHONIOENCODING=encoding)
    done.stdout.decode(encoding), done.stderr.decode(encoding)


@pytest.mark.parametrize("columns", ["0", "1", "7", "-3", "x"])
@pytest.mark.parametrize("command", ["help", "train help", "tokenize", "eval", "compare"])
def test_every_width(command, columns, runs, elsewhere):
    worked(command, runs[0], elsewhere, COLUMNS=columns)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_home_and_a_cache_that_cannot_be_written(command, runs, elsewhere):
    (elsewhere / "cache").write_text("a file where a folder should be")
    worked(command, runs[0], elsewhere, HOME=None, XDG_CACHE_HOME=str(elsewhere / "cache"))
