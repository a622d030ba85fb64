"""Pictures: Zipf's curve with its slope, and the losses of a run."""

import numpy as np
import pytest

from nlmcli.cli.app import main
from nlmcli.engine.viewing.zipf_plot import slope, spaced_ranks


@pytest.mark.parametrize("s", [0.7, 1.0, 1.4])
def test_the_slope_of_a_power_law_is_its_exponent(s):
    counts = 1e6 / np.arange(1, 5001) ** s
    found, log_c = slope(counts.tolist())
    assert found == pytest.approx(s) and log_c == pytest.approx(np.log(1e6))


def test_ranks_are_evenly_spaced_on_a_logarithmic_scale():
    ranks = spaced_ranks(1000, 4)
    assert ranks.tolist() == [1, 10, 100, 1000] and spaced_ranks(1, 50).tolist() == [1]


@pytest.mark.parametrize("options", [[], ["--tokenizer", "char"], ["--vocab-size", "5"]])
def test_plot(corpus, tmp_path, capsys, options):
    pytest.importorskip("matplotlib")
    path = tmp_path / "zipf.svg"
    assert main(["tokenize", str(corpus), "--plot", str(path), *options]) == 0
    assert "<svg" in path.read_text() and "tokens" in capsys.readouterr().out
    assert main(["tokenize", "--text", "a b", "--plot", str(path)]) == 2
    assert "--plot has no effect together with --text" in capsys.readouterr().err


def test_train_plots_its_losses_at_the_end(corpus, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    small = ["--steps", "4", "--embed", "3", "--hidden", "3", "--eval-every", "2", "--batch-size", "4", "--seq-len", "4", "--quiet"]
    assert main(["train", str(corpus), "--out", str(tmp_path / "run"), "--plot", str(tmp_path / "loss.svg"), *small]) == 0
    assert "<svg" in (tmp_path / "loss.svg").read_text()
    assert main(["train", str(corpus), "--out", str(tmp_path / "other"), "--plot", "loss.gif", *small]) == 2
    assert "is neither .png nor .svg" in capsys.readouterr().err and not (tmp_path / "other").exists()


def test_a_confusion_matrix(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    lines = [f"{'good' if k % 3 else 'b$a_d^'}\tthe {'ants' if k % 3 else 'cats'} sat on mat {k} ." for k in range(60)]
    (tmp_path / "t.tsv").write_text("\n".join(lines) + "\n")
    run = ["--out", str(tmp_path / "run"), "--steps", "5", "--embed", "4", "--quiet"]
    assert main(["train", str(tmp_path / "t.tsv"), "--task", "classify", "--model", "additive", *run]) == 0
    assert main(["eval", "--run", str(tmp_path / "run"), "--plot", str(tmp_path / "c.svg")]) == 0
    drawn = (tmp_path / "c.svg").read_text()
    assert "#2662be" in drawn and "<svg" in drawn
    assert main(["eval", "--run", str(tmp_path / "run"), "--plot", str(tmp_path / "c.png")]) == 0
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    (tmp_path / "n.tsv").write_text("".join(f"{k % 5}\tthe ants {k} .\n" for k in range(60)))
    run[1] = str(tmp_path / "numbers")
    assert main(["train", str(tmp_path / "n.tsv"), "--task", "regress", "--model", "additive", *run]) == 0
    capsys.readouterr()
    assert main(["eval", "--run", str(tmp_path / "numbers"), "--plot", str(tmp_path / "n.png")]) == 2
    assert "this run answers with numbers" in capsys.readouterr().err
