"""The default learning rate: by optimizer, model, steps and epochs."""

import pytest

from nlmcli.engine.run.settings import Settings
from nlmcli.engine.training.learner import Learner
from nlmcli.engine.training.rate import default_rate
from nlmcli.models import neural_names
from nlmcli.optim import OPTIMIZERS


def rate(steps, steps_per_epoch=10**6, **options):
    return default_rate(Settings.of(**options), steps, steps_per_epoch)


def test_it_is_the_models_multiple_of_the_optimizers_after_a_thousand_steps():
    assert rate(1000, model="rnn") == 5.5 * OPTIMIZERS.get("adam").lr
    assert rate(1000, model="lstm", optimizer="sgd") == 10 * OPTIMIZERS.get("sgd").lr


@pytest.mark.parametrize("model", neural_names())
def test_it_falls_with_the_steps_or_stays_and_never_rises(model):
    rates = [rate(steps, model=model) for steps in (100, 300, 1000, 3000, 10**4, 10**6)]
    assert rates == sorted(rates, reverse=True) and rates[-1] > 0
    assert (rates[0] == rates[-1]) == (model == "transformer")


def test_it_falls_with_the_epochs_for_models_that_overfit():
    assert rate(1000, 250, model="gru") == rate(1000, model="gru") == 4 * rate(1000, 62.5, model="gru")
    assert rate(1000, 1, model="lstm") == rate(1000, model="lstm")


def test_a_time_limit_is_taken_for_the_steps_that_fit_into_it(training, monkeypatch):
    monkeypatch.setattr(Learner, "warm_up", lambda *_: 0.25)
    run = training("gru", lr=None, steps=None, minutes=10.0)
    assert (
        run.settings.lr
        == run.progress.peak
        == run.lm.settings.lr
        == rate(round(0.8 * 600 / 0.25), run.batches.steps_per_epoch, model="gru")
    )


def test_a_run_says_and_keeps_the_rate_it_takes(training):
    run = training("gru", lr=None, steps=50)
    expected = default_rate(run.settings, 50, run.batches.steps_per_epoch)
    started = next(run.run())
    assert started.lr == run.settings.lr == expected
