"""Help: every command shows an example, and the example works as printed."""

import re
import shlex
import subprocess
import sys
from dataclasses import fields

import pytest
from readme import README, with_table

from nlmcli.cli.app import app, main
from nlmcli.engine.run.settings import options
from nlmcli.models import MODELS
from nlmcli.optim import OPTIMIZERS
from nlmcli.optim.base.schedule import DECAYS
from nlmcli.text.tokenizers import TOKENIZERS

COMMANDS = sorted(command.callback.__name__ for command in app.registered_commands)
SMALL = ["--steps", "2", "--batch-size", "4", "--seq-len", "8", "--embed", "4", "--hidden", "4", "--valid-fraction", "0.001"]


def example_of(command, capsys):
    """The arguments of nlm in the example of a command's help."""
    assert main([command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (at,) = (i for i, line in enumerate(lines) if line.strip().startswith("Example:"))
    end = next(i for i in range(at, len(lines)) if not lines[i].strip())
    words = shlex.split(" ".join(line.strip() for line in lines[at:end]))
    assert words[:2] == ["Example:", "nlm"] and words[2] == command
    return words[2:]


def test_list_of_commands(capsys):
    assert COMMANDS == ["compare", "eval", "export", "generate", "gradcheck", "inspect", "predict", "report", "sweep", "tokenize", "train"]
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"\b{command}\b", out) for command in COMMANDS)
    assert "130" in out


def test_no_arguments_show_the_help(capsys):
    assert main([]) == 2
    assert "tokenize" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_json_quiet_and_an_example(command, capsys):
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--json" in out and "--quiet" in out and out.count("Example: nlm ") == 1


@pytest.fixture
def words(capsys):
    """words("train") -> its help on one line, without frames."""

    def read(*command):
        assert main([*command, "--help"]) == 0
        return " ".join(capsys.readouterr().out.replace("│", " ").split())

    return read


def test_defaults_are_shown(words):
    shown = words("train")
    for default in ("default: rnn", "default: word", "default: ten epochs, but at least 1,000 and at most 5,000 steps"):
        assert default in shown


def test_help_lists_the_names_of_the_registries(words):
    shown = words("train")
    for names in (MODELS.names(), OPTIMIZERS.names(), TOKENIZERS.names(), list(DECAYS)):
        assert ", ".join(names) in shown


@pytest.mark.parametrize("name", [name for name, each in options().items() if each.owner == "model"])
def test_model_option_lists_the_models_that_have_it(words, name):
    having = [model for model in MODELS.names() if name in {field.name for field in fields(MODELS.get(model).Config)}]
    lacking = sorted(set(MODELS.names()) - set(having))
    named = f"all but {lacking[0]}" if len(lacking) == 1 else ", ".join(having)
    assert re.search(rf"--{name.replace('_', '-')} [^(]*( \(1: [^)]*\))? \({named}\)\. \[default: ", words("train"))


@pytest.mark.parametrize("name", [name for name in options() if name != "corpus"])
def test_every_option_has_a_sentence_of_help(words, name):
    shown = re.search(rf"--{name.replace('_', '-')} (.*?)(?= --|$)", words("train"))
    assert shown and re.search(r"[A-Zβγε].*\.", shown[1]), name


@pytest.mark.parametrize("command", [(), *((command,) for command in COMMANDS)])
def test_no_python_types_and_short_help_option(words, capsys, command):
    assert not re.search("<(bool|str|int|float|list|path)", words(*command))
    assert main([*command, "-h"]) == 0
    assert " ".join(capsys.readouterr().out.replace("│", " ").split()) == words(*command)


def test_quick_start(words):
    assert 'Quick start: nlm train, then nlm generate --prompt "students opened their"' in words()


def test_examples_work_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train = example_of("train", capsys)
    assert main([*train, *SMALL]) == 0  # as printed it takes minutes
    (tmp_path / "sweep.yaml").write_text("model: rnn\nsteps: 4\nhidden: [4, 8]\n")
    for command in sorted(COMMANDS, key=lambda name: name == "predict"):  # which needs a run of another task, and it the newest
        arguments = example_of(command, capsys)
        if command == "predict":
            assert main(["train", "--task", "classify", "--model", "additive", "--steps", "5"]) == 0
            capsys.readouterr()
        if command != "train":
            assert main(arguments) == 0, command
            assert capsys.readouterr().out


def test_the_readme_lists_every_option():
    """Renewed by python tests/readme.py --table."""
    lines = README.read_text(encoding="utf-8").split("\n")
    assert with_table(lines) == lines


def test_python_m_runs_the_command(tmp_path):
    commands = [[sys.executable, "-m", "nlmcli"], [sys.executable, "-c", "from nlmcli.cli.app import run; run()"]]
    for arguments in (["--version"], ["--help"], ["train", "--help"], ["frobnicate"]):
        completed = [subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=tmp_path) for command in commands]
        module, script = ((each.returncode, each.stdout, each.stderr) for each in completed)
        assert module == script
