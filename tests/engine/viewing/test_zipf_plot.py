"""Zipf's curve, and its slope."""

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
