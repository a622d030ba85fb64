"""Runs that an earlier nlm (0.1.0 of November 2026) made and stopped after 10 of 20 steps still load and go on as they would have."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from nlmcli.engine.api import load
from nlmcli.engine.run import checkpoint
from nlmcli.engine.training.records import Stepped
from nlmcli.engine.training.resume import settings_of
from nlmcli.engine.training.train import Training

MADE = Path(__file__).parent / "made_before"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A copy of the folder, to work in: the runs name their text relative to it."""
    shutil.copytree(MADE, tmp_path / "made")
    monkeypatch.chdir(tmp_path / "made")
    return tmp_path / "made"


def arrays_of(path):
    return checkpoint.load(path)[0]


def finish(run):
    for _ in run.run():
        pass
    return arrays_of(run.folder / "last.npz")


@pytest.mark.parametrize("name", ["rnn", "transformer"])
def test_it_resumes_to_the_arrays_it_would_have_had(name, made):
    half, whole = arrays_of(made / name / "last.npz"), arrays_of(made / name / "whole.npz")
    resumed = finish(Training.resumed(made / name, {}))
    assert resumed.keys() == whole.keys()
    for array in whole:
        np.testing.assert_allclose(resumed[array], whole[array], rtol=1e-4, atol=1e-6)
    if same_bits_on_this_cpu(name, made, half):
        assert all(resumed[array].tobytes() == whole[array].tobytes() for array in whole)


def same_bits_on_this_cpu(name, made, half):
    """Whether the first ten steps, taken anew, give the bits that were saved: another CPU may sum in another order."""
    run = Training(settings_of(made / name, {}), made / "anew")
    for record in run.run():
        run.stop = record.__class__ is Stepped and record.step == 10
        if run.stop:
            return all(value.tobytes() == half[key].tobytes() for key, value in run.lm.P.items())
    raise AssertionError("the run ended early")


def test_counts_load_and_score_as_they_did(made):
    lm = load(made / "ngram" / "last.npz")
    assert lm.next_words("the", 1) == [("blue", pytest.approx(0.850684621644812, rel=1e-6))]
    assert lm.score("the ants hated the books.")["perplexity"] == pytest.approx(16.308024842619904, rel=1e-12)
