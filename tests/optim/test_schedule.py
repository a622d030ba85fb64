"""Learning rate schedules."""

import itertools

import pytest

from nlmcli.engine.scoring import evaluate
from nlmcli.engine.scoring.evaluate import Score
from nlmcli.engine.training.length import Steps
from nlmcli.engine.training.records import Evaluated, Stepped
from nlmcli.optim.base.schedule import DECAYS, Schedule

ENDS = {"constant": (1, 1, 1), "linear": (1, 0.55, 0.1), "cosine": (1, 0.55, 0.1), "plateau": (1, 1, 1)}


@pytest.mark.parametrize("name", DECAYS)
def test_a_schedule_at_its_beginning_middle_and_end(name):
    assert [DECAYS[name](p) for p in (0, 0.5, 1)] == pytest.approx(ENDS[name])


@pytest.mark.parametrize("name", DECAYS)
def test_a_schedule_warms_up_to_its_peak_and_never_rises_afterwards(name):
    schedule, steps = Schedule(name, 4), Steps(20, 4)
    rates = [schedule.rate(0.4, step, steps.progress(step, 0.0)) for step in range(20)]
    assert rates[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])
    assert all(a >= b > 0 for a, b in itertools.pairwise(rates[4:]))


def test_plateau_divides_the_rate_by_four_after_each_evaluation_without_improvement():
    schedule, peak, rates = Schedule("plateau"), 0.8, []
    for step, improved in enumerate([True, False, True, True, False, False], 1):
        peak = schedule.peak_after(peak, step, improved)
        rates.append(schedule.rate(peak, step, step / 6))
    assert rates == [0.8, 0.2, 0.2, 0.2, 0.05, 0.0125]


@pytest.mark.parametrize("name", sorted(set(DECAYS) - {"plateau"}))
def test_other_schedules_do_not_depend_on_validation(name):
    assert Schedule(name).peak_after(0.8, 1, improved=False) == 0.8


def test_plateau_ignores_evaluations_during_the_warm_up():
    schedule = Schedule("plateau", warmup=4)
    assert [schedule.peak_after(0.8, step, improved=False) for step in (2, 4, 6)] == [0.8, 0.8, 0.2]
    assert [schedule.rate(0.8, step, 0.0) for step in (3, 4)] == [0.8, 0.8]


@pytest.fixture
def scripted(monkeypatch):
    """scripted(losses): the losses of the next evaluations."""

    def script(losses):
        remaining = iter(losses)
        monkeypatch.setattr(evaluate, "score_text", lambda *_, **__: Score(1, 1, 1, 0, next(remaining), 0.0, 0.0, 0.0))

    return script


def test_a_run_with_plateau_follows_its_validation_loss(training, scripted):
    scripted([3.0, 2.0, 2.5, 2.0, 1.9, 1.95])
    trained = training(schedule="plateau", warmup=2, lr=0.16, steps=12, eval_every=2)
    rates = [record.lr for record in trained.run() if isinstance(record, Stepped)]
    assert rates == [0.08, 0.16, 0.16, 0.16, 0.16, 0.16, 0.04, 0.04, 0.01, 0.01, 0.01, 0.01]
    rows = (trained.folder / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("learning_rate")
    assert [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[3] == ""] == rates


@pytest.mark.parametrize(("patience", "steps"), [(1, 3), (2, 6), (3, 8), (None, 8)])
def test_patience_stops_a_run_early(training, scripted, patience, steps):
    scripted([3.0, 2.0, 2.5, 1.9, 1.9, 2.1, 1.8, 1.9])
    trained = training(patience=patience, steps=8, eval_every=1)
    *records, done = trained.run()
    assert (trained.progress.step, done.steps, done.interrupted) == (steps, steps, False)
    evaluations = [record for record in records if isinstance(record, Evaluated)]
    assert [record.waited for record in evaluations] == [0, 0, 1, 0, 1, 2, 0, 1][:steps]
