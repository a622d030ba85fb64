"""The average of the parameters: its definition, where it is used, and that it changes nothing about training."""

import numpy as np
import pytest

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring.evaluate import score_text
from nlmcli.engine.training.records import Stepped
from nlmcli.engine.training.train import Training
from nlmcli.optim.base.average import FORGOTTEN


def test_it_is_the_exponential_moving_average(training):
    run = training("lstm", steps=30, average=0.6, eval_every=0)
    expected = run.lm.P.flat.astype(float)
    for record in run.run():
        if isinstance(record, Stepped):
            d = min(0.6, record.step / (record.step + FORGOTTEN))
            expected = d * expected + (1 - d) * run.lm.P.flat
    np.testing.assert_allclose(run.learner.average.mean, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(expected, run.lm.P.flat, rtol=1e-3)


def test_training_is_the_same_and_the_average_is_evaluated_and_saved(training):
    plain, run = training("rnn", steps=20, eval_every=20), training("rnn", steps=20, eval_every=20, average=0.9)
    for each in (plain, run):
        for _ in each.run():
            pass
    assert plain.lm.P.flat.tobytes() == run.lm.P.flat.tobytes()
    mean = run.learner.average.mean
    for name in ("", "best.npz", "last.npz"):
        assert LanguageModel.load(run.folder / name).P.flat.tobytes() == mean.tobytes()
    score = score_text(LanguageModel.load(run.folder), run.dataset.held_out)
    assert run.progress.best == pytest.approx(score.nats / score.tokens, rel=1e-6)
    assert run.progress.best != plain.progress.best


def test_a_resumed_run_has_the_same_average(training):
    whole, stopped = (training("gru", steps=15, eval_every=4, average=0.8) for _ in range(2))
    for _ in whole.run():
        pass
    for record in stopped.run():
        stopped.stop = isinstance(record, Stepped) and record.step == 7
    resumed = Training.resumed(stopped.folder, {})
    for _ in resumed.run():
        pass
    assert resumed.lm.P.flat.tobytes() == whole.lm.P.flat.tobytes()
    assert resumed.learner.average.mean.tobytes() == whole.learner.average.mean.tobytes()
    assert resumed.progress.best == whole.progress.best
