"""nlm compare: the table of runs, and their validation loss curves."""

import json
import sys
from pathlib import Path

import pytest

from nlmcli.cli.app import main
from nlmcli.cli.curves import Curve, plot
from nlmcli.engine.viewing.compare import read


@pytest.fixture
def two_runs(tmp_path, monkeypatch, training):
    """The folders of two runs under ./runs, with a good and a far too small learning rate."""
    monkeypatch.chdir(tmp_path)
    folders = []
    for name, lr in (("good", 0.02), ("poor", 1e-5)):
        folders.append(Path("runs") / name)
        for _ in training("rnn", out=folders[-1], lr=lr, steps=30).run():
            pass
    return folders


def test_read_a_run(training, tmp_path):
    trained = training("rnn", out=tmp_path / "r")
    *_, last = trained.run()
    run = read(tmp_path / "r")
    assert (run.model, run.steps, run.parameters) == ("rnn", last.steps, last.parameters)
    assert run.valid_loss == last.valid_loss
    assert len(run.valid) == 10 and min(loss for _, loss in run.valid) == pytest.approx(last.valid_loss, rel=1e-5)
    assert run.bits_per_character == pytest.approx(last.valid_loss / 0.6931471805599453)  # a token is a character here


def test_read_an_ngram_run(training, tmp_path):
    list(training("ngram", out=tmp_path / "counted").run())
    run = read(tmp_path / "counted")
    assert run.valid_loss == pytest.approx(run.valid[-1][1], rel=1e-5)
    assert run.bits_per_character is not None


def test_best_run_first_and_a_curve_for_every_run(two_runs, capsys):
    assert main(["compare"]) == 0
    out = capsys.readouterr().out
    table, _, drawing = out.partition("\nvalidation loss")
    assert [line.split()[1] for line in table.splitlines()[1:]] == [str(folder) for folder in two_runs]
    assert "a" in drawing and "b" in drawing


def test_json_has_the_curve(two_runs, capsys):
    assert main(["compare", str(two_runs[1]), "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["run"] == str(two_runs[1]) and len(run["valid"]) == 10


def test_plot_requires_matplotlib(two_runs, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["compare", "--plot", "x.png"]) == 2
    assert "pip install 'nlmcli[plot]'" in capsys.readouterr().err
    assert main(["compare", "--plot", "x.gif"]) == 2
    assert capsys.readouterr().err == "nlm: --plot x.gif is neither .png nor .svg\n"


def test_plot_to_a_file(two_runs):
    pytest.importorskip("matplotlib")
    assert main(["compare", "--plot", "x.svg", "-q"]) == 0
    assert "<svg" in Path("x.svg").read_text()


@pytest.mark.parametrize("arguments", [["compare"], ["compare", "nothing"]])
def test_no_run_gives_one_sentence(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_decreasing_curve_is_drawn_from_top_left_to_bottom_right():
    lines = plot([Curve("a", [(0, 2.0), (10, 1.0)])], width=8, height=4, unit=" s")
    left_ends = [next(i for i, c in enumerate(line[3:]) if c != " ") for line in lines[:4]]
    assert left_ends == sorted(left_ends) and lines[3].endswith("a")
    assert lines[0].startswith("2 ┤") and lines[3].startswith("1 ┤") and lines[-1].split() == ["0", "10", "s"]


def test_curves_with_the_same_end_and_a_curve_without_finite_points():
    lines = plot([Curve("a", [(0, 2.0), (1, 1.0)]), Curve("b", [(0, 1.5), (1, 1.0)])])
    assert sum("a" in line for line in lines) == sum("b" in line for line in lines) == 1
    assert plot([Curve("a", [(0.0, float("nan"))])]) == []
