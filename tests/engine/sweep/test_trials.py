"""Sweeps end to end: every trial is an ordinary run, whoever runs it and however often it was killed."""

import random
import shutil
import signal
import subprocess
import sys
import time
import uuid

import numpy as np
import pytest

from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.ownership import claim, release
from nlmcli.engine.sweep import study as study_file
from nlmcli.engine.sweep.results import best_of, points_of, write_best
from nlmcli.engine.sweep.space import read_space
from nlmcli.engine.sweep.study import COMPLETE, FAILED, PRUNED, RUNNING, WAITING, Study
from nlmcli.engine.sweep.worker import Worker
from nlmcli.engine.training.count import Counting
from nlmcli.engine.training.train import Training
from nlmcli.errors import InputError

HOLD = """
import sys, time
from pathlib import Path
from nlmcli.engine.run.ownership import claim
claim(Path(sys.argv[1]))
print(1, flush=True)
time.sleep(60)
"""


def parameters(folder):
    """The trained parameters of a run, and of its best evaluation."""
    return [checkpoint.load(folder / name)[0] for name in ("last.npz", "best.npz")]


def never_killed(space, number, folder):
    """The same trial as a plain run."""
    training = Training(space.settings(space.point(number)), folder, threads=1)
    list(training.run())
    return parameters(folder)


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def swept(path, folder, **options):
    """A sweep run to its end in this process.  -> its study"""
    study = Study(read_space(path), folder, **options)
    Worker(study, threads=1).work()
    return study


@pytest.fixture
def folder(tmp_path):
    (folder := tmp_path / "sweep").mkdir()
    return folder


def test_every_trial_is_the_run_that_its_options_describe(sweep_file, folder, tmp_path):
    path = sweep_file("lr: [0.001, 0.1]\nseed: [1, 2]\nhidden: [5]")
    study = swept(path, folder)
    trials = study.trials()
    assert [each.state for each in trials] == [COMPLETE] * 4
    for each in trials:
        assert each.options == study.space.point(each.number)
        run = study.trial_folder(each.number)
        assert_equal(parameters(run), never_killed(study.space, each.number, tmp_path / f"plain-{each.number}"))
        assert each.loss == checkpoint.load(run / "last.npz")[1]["best"]
    points = points_of(study.space, trials)
    assert [point.options for point in points] == [{"lr": 0.1, "hidden": 5}, {"lr": 0.001, "hidden": 5}]
    assert points[0].loss == pytest.approx(np.mean([trials[2].loss, trials[3].loss]))
    assert points[0].deviation == pytest.approx(np.std([trials[2].loss, trials[3].loss], ddof=1))
    written = write_best(study, best_of(points))
    assert written.read_bytes() == (study.trial_folder(2) / "config.yaml").read_bytes()


@pytest.mark.parametrize("where", ["journal", "sqlite", "postgres"])
def test_trials_of_killed_workers_are_resumed_to_the_same_bits(sweep_file, folder, tmp_path, request, where):
    trials, kills, steps = (24, 20, 4000) if where == "journal" else (6, 6, 2500)
    path = sweep_file(f"seed: {list(range(1, trials + 1))}\nhidden: [6]", steps=steps, name=f"s{uuid.uuid4().hex}.yaml")
    folder = folder.rename(tmp_path / path.stem)  # studies in one database are known by the folder's name
    address = (
        {"journal": None, "sqlite": f"sqlite:///{tmp_path}/study.db"}.get(where) if where != "postgres" else request.getfixturevalue(where)
    )
    shutil.copyfile(path, folder / study_file.SPACE)
    study = Study(read_space(path), folder, address)
    options = ["--out", folder, "--jobs", "1", "--threads", "1", *(["--study", address] if address else [])]
    command = [sys.executable, "-m", "nlmcli", "sweep", path, *options, "--worker", "--quiet"]
    chance, workers, killed = random.Random(1), [], 0
    with open(tmp_path / "errors.log", "wb") as errors:
        try:
            for _ in range(600):
                ended = [each for each in workers if each.poll() is not None]
                assert all(each.returncode in (0, -signal.SIGKILL) for each in ended), (tmp_path / "errors.log").read_text()
                workers = [each for each in workers if each not in ended]
                if all(each.state == COMPLETE for each in study.trials()):
                    break
                workers += [subprocess.Popen(command, stderr=errors) for _ in range(3 - len(workers))]
                time.sleep(chance.uniform(0.5, 2.5))
                if killed < kills and any((folder / "locks").glob("*")):
                    chance.choice(workers).send_signal(signal.SIGKILL)
                    killed += 1
            assert all(each.wait(60) in (0, -signal.SIGKILL) for each in workers), (tmp_path / "errors.log").read_text()
        finally:
            for each in workers:
                each.kill()
                each.wait()
    print(killed, "workers were killed")
    assert [each.state for each in study.trials()] == [COMPLETE] * trials and killed > kills // 3
    for number in range(trials):
        run = study.trial_folder(number)
        assert_equal(parameters(run), never_killed(study.space, number, tmp_path / f"plain-{number}"))
    study.close()


def test_a_trial_that_is_held_is_left_alone_and_taken_when_its_worker_is_gone(sweep_file, folder):
    study = Study(read_space(sweep_file("lr: [0.1, 0.2]")), folder)
    first, second = study.take(), study.take()
    assert (first.number, second.number) == (0, 1)
    assert study.take() is None  # both are running, and this process holds them
    release(study.trial_lock(1))
    assert study.take().number == 1


def test_of_two_workers_one_gets_the_trial(sweep_file, folder, monkeypatch):
    space = read_space(sweep_file("lr: [0.1, 0.2]"))
    one, other = Study(space, folder), Study(space, folder)
    stale = other.frozen()
    assert one.take().number == 0
    release(one.trial_lock(0))
    one.tell(one.optuna.trial.Trial(one.study, one.frozen()[0]._trial_id), COMPLETE, 1.0)
    monkeypatch.setattr(other, "frozen", lambda: stale)  # as it was before the first took it
    assert other.take().number == 1


def test_an_interrupted_trial_goes_on(sweep_file, folder, tmp_path):
    study = Study(read_space(sweep_file("seed: [3]\nhidden: [5]", steps=200)), folder)
    worker = Worker(study, threads=1)
    report = study.report

    def interrupt_after_report(*given):
        worker.interrupt()
        return report(*given)

    study.report = interrupt_after_report
    worker.work()
    (trial,) = study.trials()
    assert trial.state == RUNNING and 0 < checkpoint.load(study.trial_folder(0) / "last.npz")[1]["step"] < 200
    study = swept(sweep_file("seed: [3]\nhidden: [5]", steps=200), folder)
    assert [each.state for each in study.trials()] == [COMPLETE]
    assert_equal(parameters(study.trial_folder(0)), never_killed(study.space, 0, tmp_path / "plain"))


def test_pruning_ends_bad_trials_early(sweep_file, folder):
    study = swept(sweep_file("lr: [0.05, 0.04, 3e-7, 2e-7, 1e-7]\nprune: 2", steps=400), folder)
    trials = study.trials()
    assert trials[0].state == COMPLETE
    assert [each.state for each in trials[2:]] == [PRUNED] * 3, trials
    assert all(len(each.losses) < 10 and each.losses[0][0] == 40 for each in trials[2:])
    assert best_of(points_of(study.space, trials)).options["lr"] in (0.05, 0.04)


def test_tpe_finds_the_better_half(sweep_file, folder):
    study = swept(sweep_file("method: tpe\ntrials: 16\nhidden: [5]\nlr: {from: 1e-6, to: 0.1, log: true}", steps=40), folder)
    trials = study.trials()
    assert [each.state for each in trials] == [COMPLETE] * 16
    assert best_of(points_of(study.space, trials)).options["lr"] > 0.003


def test_a_trial_that_fails_says_why_and_the_others_go_on(sweep_file, folder):
    study = swept(sweep_file("valid-fraction: [0.0, 0.2]"), folder)
    failed, complete = study.trials()
    assert (failed.state, complete.state) == (FAILED, COMPLETE)
    assert failed.reason == "it has no validation loss to compare by; raise valid-fraction, or give valid and eval-every"


def test_counted_models_too(tmp_path, corpus, folder):
    (path := tmp_path / "counts.yaml").write_text(f"corpus: {corpus}\nmodel: ngram\ncontext: [1, 2, 3]\n")
    study = Study(read_space(path), folder)
    Counting(study.space.settings(study.space.point(0)), study.trial_folder(0))  # left by a worker that died after counting
    study = swept(path, folder)
    assert [each.state for each in study.trials()] == [COMPLETE] * 3
    assert all(each.loss == checkpoint.load(study.trial_folder(each.number) / "last.npz")[1]["best"] for each in study.trials())


def test_a_trial_on_which_workers_die_again_and_again_has_failed(sweep_file, folder, monkeypatch):
    study = Study(read_space(sweep_file("lr: [0.1]")), folder)

    def die(*_):
        raise SystemExit

    monkeypatch.setattr("nlmcli.engine.sweep.worker.begun", die)
    for _ in range(study_file.MOST_DEATHS):
        with pytest.raises(SystemExit):
            Worker(study, threads=1).work()
        assert study.trials()[0].state == RUNNING
    Worker(study, threads=1).work()
    (trial,) = study.trials()
    assert trial.state == FAILED and trial.reason == f"its worker died {study_file.MOST_DEATHS} times after step 0"


def test_a_study_of_another_sweep(sweep_file, folder):
    Study(read_space(sweep_file("lr: [0.1]")), folder)
    with pytest.raises(InputError, match="belongs to another sweep"):
        Study(read_space(sweep_file("lr: [0.2]")), folder)
    assert all(each.state == WAITING for each in Study(read_space(sweep_file("lr: [0.1]")), folder).trials())


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("study.db", "is no address of a database"),
        ("mongodb://x/y", "cannot use the study"),
        ("sqlite:////nowhere/study.db", "cannot use the study.*unable to open"),
        ("postgresql+pg8000://nlm@127.0.0.1:1/none", "cannot use the study"),
        ("oracle://x/y", "needs the Python package"),
    ],
)
def test_an_address_that_cannot_be_used(sweep_file, folder, address, message):
    with pytest.raises(InputError, match=message) as error:
        Study(read_space(sweep_file("lr: [0.1]")), folder, address)
    assert "\n" not in str(error.value)


def test_half_a_line_of_a_killed_writer_is_removed(sweep_file, folder):
    path = sweep_file("lr: [0.1, 0.2]")
    Study(read_space(path), folder)
    with open(folder / study_file.JOURNAL, "ab") as file:
        file.write(b'{"op_code": 5, "wor')
    study = swept(path, folder)
    assert [each.state for each in study.trials()] == [COMPLETE] * 2
    assert b'"wor{' not in (folder / study_file.JOURNAL).read_bytes()


def test_locks_of_trials_are_those_of_the_system(sweep_file, folder):
    study = Study(read_space(sweep_file("lr: [0.1, 0.2]")), folder)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, study.trial_lock(0)], stdout=subprocess.PIPE)
    holder.stdout.readline()
    try:
        assert study.take().number == 1
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    claim(study.trial_lock(0))
