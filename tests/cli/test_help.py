"""Help: every command shows an example, and the example works as it is printed."""

import re
import shlex

import pytest

from nlmcli.cli.app import app, main

COMMANDS = sorted(command.callback.__name__ for command in app.registered_commands)
SMALL = ["--steps", "2", "--batch-size", "4", "--seq-len", "8", "--embed", "4", "--hidden", "4", "--valid-fraction", "0.001"]


def example_of(command, capsys):
    """The words after nlm of the example that a command's help shows."""
    assert main([command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (at,) = (i for i, line in enumerate(lines) if line.strip().startswith("Example:"))
    end = next(i for i in range(at, len(lines)) if not lines[i].strip())
    words = shlex.split(" ".join(line.strip() for line in lines[at:end]))
    assert words[:2] == ["Example:", "nlm"] and words[2] == command
    return words[2:]


def test_the_commands(capsys):
    assert COMMANDS == ["eval", "generate", "gradcheck", "tokenize", "train"]
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"\b{command}\b", out) for command in COMMANDS)
    assert "130" in out


def test_no_arguments_show_the_help(capsys):
    assert main([]) == 2
    assert "tokenize" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_json_quiet_and_one_example(command, capsys):
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--json" in out and "--quiet" in out and out.count("Example: nlm ") == 1


def test_the_examples_work_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train = example_of("train", capsys)
    assert main([*train, *SMALL]) == 0  # as it is printed it takes minutes
    for command in COMMANDS:
        arguments = example_of(command, capsys)
        if command != "train":
            assert main(arguments) == 0, command
            assert capsys.readouterr().out
