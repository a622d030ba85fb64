"""Backward compatibility: runs saved by nlm 0.1.0 (November 2026) after 10 of 20 steps load and resume with the same results."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from nlmcli.engine.api import load
from nlmcli.engine.run import checkpoint
from nlmcli.engine.training.records import Stepped
from nlmcli.engine.training.resume import resumed_settings
from nlmcli.engine.training.train import Training

SAVED_RUNS = Path(__file__).parent / "made_before"


@pytest.fixture
def saved_runs(tmp_path, monkeypatch):
    """A copy of the folder as the working directory: the runs refer to their text by a relative path."""
    shutil.copytree(SAVED_RUNS, tmp_path / "saved")
    monkeypatch.chdir(tmp_path / "saved")
    return tmp_path / "saved"


def arrays_of(path):
    return checkpoint.load(path)[0]


def run_to_end(run):
    for _ in run.run():
        pass
    return arrays_of(run.folder / "last.npz")


@pytest.mark.parametrize("name", ["rnn", "transformer"])
def test_resuming_gives_the_arrays_of_the_uninterrupted_run(name, saved_runs):
    half, whole = arrays_of(saved_runs / name / "last.npz"), arrays_of(saved_runs / name / "whole.npz")
    resumed = run_to_end(Training.resumed(saved_runs / name, {}))
    assert resumed.keys() == whole.keys()
    for array in whole:
        np.testing.assert_allclose(resumed[array], whole[array], rtol=1e-4, atol=1e-6)
    if is_bitwise_reproducible(name, saved_runs, half):
        assert all(resumed[array].tobytes() == whole[array].tobytes() for array in whole)


def is_bitwise_reproducible(name, saved_runs, half):
    """Whether repeating the first ten steps gives the saved bits: another CPU may sum in a different order."""
    run = Training(resumed_settings(saved_runs / name, {}), saved_runs / "repeated")
    for record in run.run():
        run.stop = record.__class__ is Stepped and record.step == 10
        if run.stop:
            return all(value.tobytes() == half[key].tobytes() for key, value in run.lm.P.items())
    raise AssertionError("the run ended before step 10")


def test_ngram_counts_give_the_same_scores(saved_runs):
    lm = load(saved_runs / "ngram" / "last.npz")
    assert lm.next_words("the", 1) == [("blue", pytest.approx(0.850684621644812, rel=1e-6))]
    assert lm.score("the ants hated the books.")["perplexity"] == pytest.approx(16.308024842619904, rel=1e-12)
