"""How long a run is: steps, epochs or minutes."""

import csv
import itertools
import math

import pytest

from nlmcli.engine.training import train
from nlmcli.engine.training.length import Minutes, Steps, every
from nlmcli.engine.training.records import Evaluated, Started, Stepped


@pytest.fixture
def clock(monkeypatch):
    """A clock that only goes on where clock(seconds) says so: a step, an evaluation."""

    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(train, "time", clock)
    return clock


@pytest.fixture
def timed(training, clock, monkeypatch):
    """timed(minutes, step=seconds, evaluation=seconds, ...): a run whose steps and evaluations take so long."""

    def make(minutes, step, evaluation=0.0, compiling=50.0, **given):
        trained = training(**{"steps": None, "minutes": minutes, "lr": 0.1} | given)

        def after(function, seconds):
            def longer(*arguments):
                result = function(*arguments)
                clock.now += seconds
                return result

            return longer

        monkeypatch.setattr(trained.learner, "update", after(trained.learner.update, step))
        monkeypatch.setattr(trained.learner, "warm_up", after(trained.learner.warm_up, compiling))
        monkeypatch.setattr(train.evaluate, "score_text", after(train.evaluate.score_text, evaluation))
        return trained

    return make


def of(kind, records):
    return [record for record in records if isinstance(record, kind)]


def test_steps_are_counted_in_steps_and_epochs_in_batches(training):
    once = training(steps=None, epochs=1.0)
    assert once.length.steps == once.batches.steps_per_epoch
    assert training(steps=None, epochs=2.5).length.steps == math.ceil(2.5 * once.length.steps)
    assert training(steps=7).length.steps == 7
    assert training(steps=None).length.steps == 1000  # the text is short


def test_progress_and_what_is_left():
    steps, minutes = Steps(100, warmup=20), Minutes(2)
    assert [steps.progress(step, 1.0) for step in (20, 60, 100)] == [0, 0.5, 1]
    assert steps.left(25, 5.0) == 15 and [steps.over(step, 1e9) for step in (99, 100)] == [False, True]
    assert [minutes.progress(7, seconds) for seconds in (0.0, 30.0, 120.0, 121.0)] == [0, 0.25, 1, 1]
    assert [minutes.left(7, seconds) for seconds in (30.0, 121.0)] == [90, 0]
    assert [minutes.over(10**9, seconds) for seconds in (119.9, 120.0)] == [False, True]


@pytest.mark.parametrize("seconds", [1.0, 7.0, 13.0])
def test_ten_times_in_a_run_by_the_clock(seconds):
    due = Minutes(10).times(10)
    at = [s for step in range(1, int(600 / seconds) + 1) if due(step, s := step * seconds)]
    assert len(at) == 10 if 600 % seconds == 0 else 9
    assert all(0 <= s - 60 * k < seconds for k, s in enumerate(at, 1))


def test_a_run_that_is_resumed_is_not_at_once_due():
    due = Minutes(10).times(10, since=130.0)
    assert [due(step, seconds) for step, seconds in enumerate((131.0, 179.0, 180.0, 181.0), 1)] == [False, False, True, False]


def test_never_and_every_few_steps():
    assert not any(every(0)(step, 1e9) for step in range(5))
    assert [step for step in range(1, 10) if every(3)(step, 0.0)] == [3, 6, 9]


def test_a_run_of_so_many_minutes(timed):
    """A minute after compiling: 40 steps of 1.5 s, less the last evaluation's and the nine before it."""
    trained = timed(1.0, step=1.5, evaluation=1.0, schedule="linear")
    records = list(trained.run())
    (started,), steps, evaluations, done = of(Started, records), of(Stepped, records), of(Evaluated, records), records[-1]
    assert started.steps is None and not done.interrupted
    assert 57 < done.seconds <= 61.5 and len(steps) == done.steps == 34
    assert [r.step for r in evaluations] == [4, 8, 12, 16, 20, 24, 28, 32, 34]
    assert all(r.seconds + r.seconds_left == pytest.approx(60) for r in steps)
    begun = [0.0, *(r.seconds + (r.step in {e.step for e in evaluations}) for r in steps[:-1])]
    assert [r.lr for r in steps] == pytest.approx([0.1 * (1 - 0.9 * seconds / 60) for seconds in begun])


def test_evaluations_that_take_long_leave_the_time_to_the_steps(timed):
    trained = timed(1.0, step=1.0, evaluation=12.0)
    records = list(trained.run())
    assert [r.step for r in of(Evaluated, records)] == [6, 12, 18]  # for a fourth of 12 s there is no time
    assert records[-1].seconds == 54


@pytest.mark.parametrize("given", [{}, {"eval_every": 0}, {"valid_fraction": 0.0}])
def test_a_run_takes_a_step_however_short_it_is(timed, given):
    trained = timed(0.001, step=30.0, evaluation=30.0, **given)
    records = list(trained.run())
    assert trained.progress.step == 1 and not records[-1].interrupted and (trained.folder / "last.npz").exists()
    assert len(of(Evaluated, records)) == (not given)


def test_evaluations_by_steps_and_by_the_clock_do_not_exclude_each_other(timed):
    trained = timed(1.0, step=1.0, eval_every=25)
    assert [r.step for r in of(Evaluated, trained.run())] == [25, 50, 60]


def test_metrics_are_spaced_by_the_clock(timed):
    """A minute of 600 steps has 200 rows of steps: every third, give or take what is lost in rounding."""
    trained = timed(1.0, step=0.1, eval_every=0)
    list(trained.run())
    with open(trained.folder / "metrics.csv", newline="", encoding="utf-8") as file:
        at = [int(row["step"]) for row in csv.DictReader(file)]
    assert 195 <= len(at) <= 200 and {b - a for a, b in itertools.pairwise(at)} <= {2, 3, 4}


def test_a_run_that_is_stopped_before_its_time_was_interrupted(timed):
    trained = timed(1.0, step=1.0, eval_every=0)
    for record in trained.run():
        if isinstance(record, Stepped) and record.step == 5:
            trained.stop = True
    assert (record.steps, record.interrupted) == (5, True)
