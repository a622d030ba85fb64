"""A resumed run gives the same results as an uninterrupted one."""

import csv
import zlib

import numpy as np
import pytest

from nlmcli.engine.run.checkpoint import load
from nlmcli.engine.training.records import Finished, RolledBack, Stepped
from nlmcli.engine.training.train import Training
from nlmcli.errors import InputError
from nlmcli.models import MODELS, neural_names
from nlmcli.optim import OPTIMIZERS

STEPS = 12


def run_to_end(run):
    *_, finished = run.run()
    assert isinstance(finished, Finished)
    return finished


def stop_after(run, steps):
    """Run up to this step."""
    for record in run.run():
        if isinstance(record, Stepped) and record.step == steps:
            run.stop = True


def saved_state(folder):
    """All arrays of last.npz, the columns of metrics.csv that do not depend on time, and the best validation loss."""
    arrays, about = load(folder / "last.npz")
    with open(folder / "metrics.csv", newline="") as file:
        rows = [row[:6] for row in csv.reader(file)]
    return {name: value.tobytes() for name, value in arrays.items()}, rows, about["best"]


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
@pytest.mark.parametrize("model", neural_names())
def test_resumed_run_is_bitwise_identical(model, optimizer, by, training):
    options = {"by": by, "optimizer": optimizer, "steps": STEPS, "eval_every": 5, "dropout": 0.2, "layers": 2, "seq_len": 5}
    whole = training(model, threads=2, **options)
    run_to_end(whole)
    stopped = training(model, threads=1, **options)
    stop_after(stopped, 1 + zlib.crc32(f"{model} {optimizer} {by}".encode()) % (STEPS - 1))
    resumed = Training.resumed(stopped.folder, {}, threads=2)
    run_to_end(resumed)
    assert resumed.lm.P.flat.tobytes() == whole.lm.P.flat.tobytes()
    assert saved_state(resumed.folder) == saved_state(whole.folder)


def test_a_run_can_be_resumed_repeatedly(training):
    whole, run = training("lstm", steps=STEPS, dropout=0.1), training("lstm", steps=STEPS, dropout=0.1)
    run_to_end(whole)
    stop_after(run, 2)
    for steps in (3, 7, 11):
        run = Training.resumed(run.folder, {})
        stop_after(run, steps)
    run_to_end(Training.resumed(run.folder, {}))
    assert saved_state(run.folder) == saved_state(whole.folder)


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_a_run_is_resumed_in_its_precision(model, training):
    options = {"steps": STEPS, "embed": 40, "hidden": 40}
    whole, stopped, exact = (training(model, **options, precision=precision) for precision in ("bf16", "bf16", "float32"))
    run_to_end(whole)
    run_to_end(exact)
    stop_after(stopped, 5)
    resumed = Training.resumed(stopped.folder, {})
    run_to_end(resumed)
    assert saved_state(resumed.folder) == saved_state(whole.folder)
    assert saved_state(resumed.folder)[0] != saved_state(exact.folder)[0]


def test_the_precision_of_a_run_cannot_be_changed(training):
    stopped = training("rnn", steps=STEPS, precision="bf16")
    stop_after(stopped, 5)
    with pytest.raises(InputError, match=r"leave out --precision float32 \(the run's is bf16\)"):
        Training.resumed(stopped.folder, {"precision": "float32"})


def test_plateau_and_patience_are_resumed(training):
    options = {"schedule": "plateau", "lr": 0.2, "steps": 40, "eval_every": 2, "patience": 15}
    whole, stopped = training("rnn", **options), training("rnn", **options)
    run_to_end(whole)
    assert whole.progress.peak < 0.2
    stop_after(stopped, 21)
    run_to_end(Training.resumed(stopped.folder, {}))
    assert saved_state(stopped.folder) == saved_state(whole.folder)


def test_steps_after_the_last_checkpoint_are_repeated(training):
    """After a kill, metrics.csv is ahead of last.npz, and its last row is truncated."""
    whole, killed = training("rnn", steps=30, eval_every=7), training("rnn", steps=30, eval_every=7)
    run_to_end(whole)
    for record in killed.run():
        if isinstance(record, Stepped) and record.step == 19:
            break
    killed.metrics.file.close()  # as if the process had been killed
    assert load(killed.folder / "last.npz")[1]["step"] == 14
    with open(killed.folder / "metrics.csv", "a") as file:
        file.write("20,1.2")
    run_to_end(Training.resumed(killed.folder, {}))
    assert saved_state(killed.folder) == saved_state(whole.folder)


def test_a_finished_run_can_only_be_extended(training):
    run = training("rnn", steps=6, eval_every=3)
    run_to_end(run)
    with pytest.raises(InputError, match="finished after 6 steps; give more --steps"):
        Training.resumed(run.folder, {})
    with pytest.raises(InputError, match="finished after 6 steps"):
        Training.resumed(run.folder, {"steps": 4})
    stop_after(Training.resumed(run.folder, {"steps": 9}), 8)
    assert "steps: 9" in (run.folder / "config.yaml").read_text().splitlines()
    assert run_to_end(Training.resumed(run.folder, {})).steps == 9
    assert [row[0] for row in saved_state(run.folder)[1]][-1] == "9"


def test_changed_options_are_refused(training):
    run = training("rnn", steps=6)
    stop_after(run, 2)
    with pytest.raises(InputError, match=r"leave out --hidden 99 \(the run's is 6\) and --model lstm \(the run's is rnn\)"):
        Training.resumed(run.folder, {"hidden": 99, "model": "lstm"})
    Training.resumed(run.folder, {"hidden": 6, "model": "rnn", "eval_every": 2})


def test_a_changed_text_is_refused(training, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("students opened their books .\n" * 30)
    run = training("rnn", corpus=(str(text),), steps=6)
    stop_after(run, 2)
    text.write_text("students closed their books .\n" * 30)
    with pytest.raises(InputError, match="not the one this run started with"):
        Training.resumed(run.folder, {})


@pytest.mark.parametrize("model", neural_names())
def test_a_learning_rate_far_too_high_leads_to_rollbacks(model, training):
    run = training(model, lr=1e9, optimizer="sgd", clip=0.0, steps=200, eval_every=20)
    records = list(run.run())
    rates = [record.lr for record in records if isinstance(record, RolledBack)]
    finished = records[-1]
    assert rates == [1e9 / 2**k for k in range(1, len(rates) + 1)] and 1 <= len(rates) <= 4
    assert finished.diverged == (len(rates) == 4)
    assert np.isfinite(run.lm.P.flat).all() and np.isfinite(load(run.folder / "last.npz")[0]["E"]).all()


def test_a_learning_rate_slightly_too_high_is_halved_and_training_continues(training):
    run = training("rnn", lr=30.0, optimizer="sgd", clip=0.0, steps=150, eval_every=10, seed=2)
    records = list(run.run())
    rollbacks = [record for record in records if isinstance(record, RolledBack)]
    if rollbacks:
        assert rollbacks[0].back_to < rollbacks[0].step and run.progress.peak == 30.0 / 2 ** len(rollbacks)
    steps = [record.step for record in records if isinstance(record, Stepped)]
    assert steps[-1] == 150 or records[-1].diverged


def test_a_run_whose_batches_were_split_otherwise_goes_on(training, monkeypatch):
    """Its states are split anew: what is computed is the same but for rounding."""
    run = training("lstm", batch_size=32, steps=8, valid_fraction=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(MODELS.get("lstm"), "shard_columns", 16)
        for record in run.run():
            run.stop = getattr(record, "step", 0) == 4
    assert len({name.split(".")[1] for name in load(run.folder / "last.npz")[0] if name.startswith("state.")}) == 2
    resumed, whole = Training.resumed(run.folder, {}), training("lstm", batch_size=32, steps=8, valid_fraction=0.0)
    list(resumed.run())
    list(whole.run())
    assert len(resumed.learner.states) == 4
    np.testing.assert_allclose(resumed.lm.P.flat, whole.lm.P.flat, rtol=1e-3, atol=1e-5)
    for one, other in zip(resumed.learner.states, whole.learner.states, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
