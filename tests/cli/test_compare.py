"""Runs beside each other, and the curves that show how they went."""

import json
import sys
from pathlib import Path

import pytest

from nlmcli.cli.app import main
from nlmcli.cli.curves import Curve, plot
from nlmcli.engine.viewing.compare import read


@pytest.fixture
def two_runs(tmp_path, monkeypatch, training):
    """The folders of a run that learned and of one that hardly did, under ./runs."""
    monkeypatch.chdir(tmp_path)
    folders = []
    for name, lr in (("good", 0.02), ("poor", 1e-5)):
        folders.append(Path("runs") / name)
        for _ in training("rnn", out=folders[-1], lr=lr, steps=30).run():
            pass
    return folders


def test_a_run_is_read_as_it_went(training, tmp_path):
    trained = training("rnn", out=tmp_path / "r")
    *_, last = trained.run()
    run = read(tmp_path / "r")
    assert (run.model, run.steps, run.parameters) == ("rnn", last.steps, last.parameters)
    assert run.valid_loss == last.valid_loss
    assert len(run.valid) == 10 and min(loss for _, loss in run.valid) == pytest.approx(last.valid_loss, rel=1e-5)
    assert run.bits_per_character == pytest.approx(last.valid_loss / 0.6931471805599453)  # a token is a character here


def test_a_run_that_counted_has_its_figures_too(training, tmp_path):
    list(training("ngram", out=tmp_path / "counted").run())
    found = read(tmp_path / "counted")
    assert found.valid_loss == pytest.approx(found.valid[-1][1], rel=1e-5)
    assert found.bits_per_character is not None


def test_the_best_run_stands_first_and_every_run_has_its_curve(two_runs, capsys):
    assert main(["compare"]) == 0
    out = capsys.readouterr().out
    table, _, drawing = out.partition("\nvalidation loss")
    assert [line.split()[1] for line in table.splitlines()[1:]] == [str(folder) for folder in two_runs]
    assert "a" in drawing and "b" in drawing


def test_json_has_every_run_and_its_curve(two_runs, capsys):
    assert main(["compare", str(two_runs[1]), "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["run"] == str(two_runs[1]) and len(run["valid"]) == 10


def test_a_picture_needs_matplotlib_and_says_so(two_runs, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["compare", "--plot", "x.png"]) == 2
    assert "pip install 'nlmcli[plot]'" in capsys.readouterr().err
    assert main(["compare", "--plot", "x.gif"]) == 2
    assert capsys.readouterr().err == "nlm: --plot x.gif is neither .png nor .svg\n"


def test_a_picture_is_drawn_where_matplotlib_is(two_runs):
    pytest.importorskip("matplotlib")
    assert main(["compare", "--plot", "x.svg", "-q"]) == 0
    assert "<svg" in Path("x.svg").read_text()


@pytest.mark.parametrize("arguments", [["compare"], ["compare", "nothing"]])
def test_no_run_is_one_sentence(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_falling_line_is_drawn_from_the_top_left_to_the_bottom_right():
    lines = plot([Curve("a", [(0, 2.0), (10, 1.0)])], width=8, height=4, unit=" s")
    first = [next(i for i, c in enumerate(line[3:]) if c != " ") for line in lines[:4]]
    assert first == sorted(first) and lines[3].endswith("a")
    assert lines[0].startswith("2 ┤") and lines[3].startswith("1 ┤") and lines[-1].split() == ["0", "10", "s"]


def test_curves_that_end_in_one_place_keep_their_marks_and_nothing_is_drawn_of_nothing():
    lines = plot([Curve("a", [(0, 2.0), (1, 1.0)]), Curve("b", [(0, 1.5), (1, 1.0)])])
    assert sum("a" in line for line in lines) == sum("b" in line for line in lines) == 1
    assert plot([Curve("a", [(0.0, float("nan"))])]) == []
