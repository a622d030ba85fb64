"""The length of a run, in steps, epochs or minutes."""

import csv
import itertools
import math

import pytest

from nlmcli.engine.training import train
from nlmcli.engine.training.length import Minutes, Steps, every
from nlmcli.engine.training.records import Evaluated, Started, Stepped


@pytest.fixture
def clock(monkeypatch):
    """A mock clock that stands still unless `now` is changed."""

    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(train, "time", clock)
    return clock


@pytest.fixture
def timed(training, clock, monkeypatch):
    """timed(minutes, step=seconds, evaluation=seconds, ...): a run with these durations on the mock clock."""

    def make(minutes, step, evaluation=0.0, compiling=50.0, **options):
        run = training(**{"steps": None, "minutes": minutes, "lr": 0.1} | options)

        def taking(seconds, function):
            def timed_function(*arguments, **named):
                result = function(*arguments, **named)
                clock.now += seconds
                return result

            return timed_function

        monkeypatch.setattr(run.learner, "update", taking(step, run.learner.update))
        monkeypatch.setattr(run.learner, "warm_up", taking(compiling, run.learner.warm_up))
        monkeypatch.setattr(train.evaluate, "score_text", taking(evaluation, train.evaluate.score_text))
        return run

    return make


def only(kind, records):
    return [record for record in records if isinstance(record, kind)]


def test_length_in_steps_and_in_epochs(training):
    epoch = training(steps=None, epochs=1.0)
    assert epoch.length.steps == epoch.batches.steps_per_epoch
    assert training(steps=None, epochs=2.5).length.steps == math.ceil(2.5 * epoch.length.steps)
    assert training(steps=7).length.steps == 7
    assert training(steps=None).length.steps == 1000  # the text is short


def test_progress_and_remaining_time():
    steps, minutes = Steps(100, warmup=20), Minutes(2)
    assert [steps.progress(step, 1.0) for step in (20, 60, 100)] == [0, 0.5, 1]
    assert steps.seconds_left(25, 5.0) == 15 and [steps.is_complete(step, 1e9) for step in (99, 100)] == [False, True]
    assert [minutes.progress(7, seconds) for seconds in (0.0, 30.0, 120.0, 121.0)] == [0, 0.25, 1, 1]
    assert [minutes.seconds_left(7, seconds) for seconds in (30.0, 121.0)] == [90, 0]
    assert [minutes.is_complete(10**9, seconds) for seconds in (119.9, 120.0)] == [False, True]


@pytest.mark.parametrize("seconds", [1.0, 7.0, 13.0])
def test_ten_triggers_in_a_run_of_minutes(seconds):
    is_due = Minutes(10).evenly_spaced(10)
    due = [s for step in range(1, int(600 / seconds) + 1) if is_due(step, s := step * seconds)]
    assert len(due) == 10 if 600 % seconds == 0 else 9
    assert all(0 <= s - 60 * k < seconds for k, s in enumerate(due, 1))


def test_nothing_is_due_immediately_after_resuming():
    is_due = Minutes(10).evenly_spaced(10, elapsed=130.0)
    assert [is_due(step, seconds) for step, seconds in enumerate((131.0, 179.0, 180.0, 181.0), 1)] == [False, False, True, False]


def test_every_n_steps_and_never():
    assert not any(every(0)(step, 1e9) for step in range(5))
    assert [step for step in range(1, 10) if every(3)(step, 0.0)] == [3, 6, 9]


def test_a_run_of_one_minute(timed):
    """The minute starts after compilation: 40 steps of 1.5 s, less the time of nine evaluations."""
    run = timed(1.0, step=1.5, evaluation=1.0, schedule="linear")
    records = list(run.run())
    (started,), steps, evaluations, finished = only(Started, records), only(Stepped, records), only(Evaluated, records), records[-1]
    assert started.steps is None and not finished.interrupted
    assert 57 < finished.seconds <= 61.5 and len(steps) == finished.steps == 34
    assert [r.step for r in evaluations] == [4, 8, 12, 16, 20, 24, 28, 32, 34]
    assert all(r.seconds + r.seconds_left == pytest.approx(60) for r in steps)
    starts = [0.0, *(r.seconds + (r.step in {e.step for e in evaluations}) for r in steps[:-1])]
    assert [r.lr for r in steps] == pytest.approx([0.1 * (1 - 0.9 * seconds / 60) for seconds in starts])


def test_long_evaluations_do_not_exceed_the_time(timed):
    run = timed(1.0, step=1.0, evaluation=12.0)
    records = list(run.run())
    assert [r.step for r in only(Evaluated, records)] == [6, 12, 18]  # no time for a fourth one of 12 s
    assert records[-1].seconds == 54


@pytest.mark.parametrize("options", [{}, {"eval_every": 0}, {"valid_fraction": 0.0}])
def test_even_the_shortest_run_takes_one_step(timed, options):
    run = timed(0.001, step=30.0, evaluation=30.0, **options)
    records = list(run.run())
    assert run.progress.step == 1 and not records[-1].interrupted and (run.folder / "last.npz").exists()
    assert len(only(Evaluated, records)) == (not options)


def test_eval_every_in_a_run_of_minutes(timed):
    run = timed(1.0, step=1.0, eval_every=25)
    assert [r.step for r in only(Evaluated, run.run())] == [25, 50, 60]


def test_metrics_are_evenly_spaced_in_a_run_of_minutes(timed):
    """A minute of 600 steps has about 200 rows of steps: every third step, up to rounding."""
    run = timed(1.0, step=0.1, eval_every=0)
    list(run.run())
    with open(run.folder / "metrics.csv", newline="", encoding="utf-8") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert 195 <= len(steps) <= 200 and {b - a for a, b in itertools.pairwise(steps)} <= {2, 3, 4}


def test_a_run_stopped_early_is_interrupted(timed):
    run = timed(1.0, step=1.0, eval_every=0)
    for record in run.run():
        if isinstance(record, Stepped) and record.step == 5:
            run.stop = True
    assert (record.steps, record.interrupted) == (5, True)
