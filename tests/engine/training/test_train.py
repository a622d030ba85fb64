"""Training: optimizers, clipping and schedules, runs and their files, checkpoints."""

import csv
import math
import pickle

import naive
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.engine.run import atomic, checkpoint
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.saved import newest_run
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.training.records import Evaluated, Finished, Started, Stepped
from nlmcli.errors import InputError
from nlmcli.optim import OPTIMIZERS
from nlmcli.optim.base.clip import clip_scale

SIMPLE = ["adagrad", "adam", "momentum", "rmsprop", "sgd"]


def optimizer_of(name, size, dtype=np.float64, **constants):
    Optimizer = OPTIMIZERS.get(name)
    return Optimizer(Optimizer.Config(**constants), size, dtype)


# optimizers


@pytest.mark.parametrize("name", SIMPLE)
def test_optimizer_matches_its_reference_implementation(name):
    rng = np.random.default_rng(0)
    theta, gs = rng.normal(size=11), rng.normal(size=(6, 11))
    optimizer, updated = optimizer_of(name, 11), theta.copy()
    for t, g in enumerate(gs, 1):
        optimizer.step(updated, g, 1.0, 0.05, t)
    np.testing.assert_allclose(updated, [getattr(naive, name)(theta[i], gs[:, i], 0.05) for i in range(11)], rtol=1e-10, atol=1e-12)


CONSTANTS = [("momentum", {"beta": 0.4}), ("adagrad", {"epsilon": 0.1}), ("rmsprop", {"beta2": 0.5, "epsilon": 0.1})]


@pytest.mark.parametrize(("name", "constants"), [*CONSTANTS, ("adam", {"beta1": 0.5, "beta2": 0.7, "epsilon": 0.1})])
def test_optimizer_constants_match_the_reference_implementation(name, constants):
    gs = np.random.default_rng(1).normal(size=(5, 1))
    optimizer, theta = optimizer_of(name, 1, **constants), np.array([2.0])
    for t, g in enumerate(gs, 1):
        optimizer.step(theta, g, 1.0, 0.1, t)
    assert theta[0] == pytest.approx(getattr(naive, name)(2.0, gs[:, 0], 0.1, **constants), rel=1e-10)


@pytest.mark.parametrize("name", SIMPLE)
def test_scale_multiplies_the_gradient_in_float32(name):
    rng = np.random.default_rng(2)
    theta, gs = rng.normal(size=7).astype(np.float32), rng.normal(size=(4, 7)).astype(np.float32)
    optimizer, updated = optimizer_of(name, 7, np.float32), theta.copy()
    for t, g in enumerate(gs, 1):
        optimizer.step(updated, g, 0.25, 0.05, t)
    assert updated.dtype == np.float32
    expected = [getattr(naive, name)(float(theta[i]), 0.25 * gs[:, i].astype(float), 0.05) for i in range(7)]
    np.testing.assert_allclose(updated, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SIMPLE)
def test_optimizer_converges_on_a_quadratic(name):
    """L = ½ Σ c (θ - a)², with its minimum at a."""
    a, c = np.array([1.0, -2.0, 0.5]), np.array([1.0, 0.3, 2.0])
    theta, optimizer = np.zeros(3), optimizer_of(name, 3)
    for t in range(1, 1501):
        optimizer.step(theta, c * (theta - a), 1.0, (1.0 if name == "adagrad" else 0.3) * (1 - t / 1501), t)
    np.testing.assert_allclose(theta, a, atol=1e-3)


def test_sgd_on_a_quadratic_in_closed_form():
    """θ - a shrinks by (1 - η) each step on ½(θ - a)²."""
    theta, optimizer = np.array([5.0]), optimizer_of("sgd", 1)
    for t in range(1, 11):
        optimizer.step(theta, theta - 1, 1.0, 0.1, t)
    assert theta[0] == pytest.approx(1 + 4 * 0.9**10, rel=1e-12)


@pytest.mark.parametrize("name", SIMPLE)
def test_a_zero_gradient_leaves_the_parameters_unchanged(name):
    theta, optimizer = np.ones(3), optimizer_of(name, 3)
    optimizer.step(theta, np.zeros(3), 1.0, 0.1, 1)
    np.testing.assert_array_equal(theta, np.ones(3))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.names()))
def test_every_optimizer_trains(training, name):
    run = training(optimizer=name, steps=60, lr=None, eval_every=0)
    list(run.run())
    assert np.mean(run.progress.losses[-5:]) < run.progress.losses[0] - 0.05


# gradient clipping and learning rate


@given(st.floats(0, 1e6), st.floats(0.01, 10))
def test_clipping_bounds_the_norm(norm, max_norm):
    scale = clip_scale(norm, max_norm)
    assert scale == 1 if norm <= max_norm else norm * scale == pytest.approx(max_norm)


def test_a_maximum_norm_of_zero_turns_clipping_off():
    assert clip_scale(1e9, 0) == 1


@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_sgd_moves_by_the_learning_rate_times_the_clipped_norm(training, clip):
    """θ moves by η |g|, or by η times the maximum norm if |g| exceeds it."""
    run = training(optimizer="sgd", lr=0.5, clip=clip, schedule="constant", steps=1, eval_every=0)
    before = run.lm.P.flat.copy()
    (step,) = (record for record in run.run() if isinstance(record, Stepped))
    distance = naive.norm(run.lm.P.flat.astype(float) - before)
    assert step.gradient_norm > 0.01
    assert distance == pytest.approx(0.5 * (clip or step.gradient_norm), rel=1e-4)


def test_learning_rates_follow_the_schedule(training):
    trained = training(schedule="linear", warmup=2, lr=0.1, steps=6, eval_every=0)
    rates = [record.lr for record in trained.run() if isinstance(record, Stepped)]
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.0775, 0.055, 0.0325])


# runs


@pytest.mark.parametrize("by", ["stream", "line"])
def test_records_of_a_run_whose_loss_decreases(training, by):
    trained = training(by=by, steps=60, eval_every=20, lr=0.02, valid_fraction=0.3)
    records = list(trained.run())
    assert isinstance(records[0], Started) and isinstance(records[-1], Finished)
    steps = [r for r in records if isinstance(r, Stepped)]
    evaluations = [r for r in records if isinstance(r, Evaluated)]
    assert [r.step for r in steps] == list(range(1, 61)) and [r.step for r in evaluations] == [20, 40, 60]
    assert np.mean(trained.progress.losses[-10:]) < np.mean(trained.progress.losses[:10]) - 0.2
    assert evaluations[-1].valid_loss < evaluations[0].valid_loss
    assert evaluations[0].train_loss == pytest.approx(np.mean(trained.progress.losses[:20]))
    finished = records[-1]
    assert (finished.steps, finished.interrupted) == (60, False)
    assert finished.valid_loss == min(r.valid_loss for r in evaluations)
    assert finished.perplexity == pytest.approx(math.exp(finished.valid_loss))


def test_a_run_writes_five_files(run):
    assert sorted(path.name for path in run.iterdir()) == ["best.npz", "config.yaml", "last.npz", "metrics.csv", "samples.jsonl"]


def test_metrics_have_a_row_for_each_step_and_each_evaluation(training):
    trained = training(steps=6, eval_every=3)
    evaluations = [r for r in trained.run() if isinstance(r, Evaluated)]
    with open(trained.folder / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "3", "4", "5", "6", "6"]
    assert [float(row["valid_loss"]) for row in rows if row["valid_loss"]] == pytest.approx([r.valid_loss for r in evaluations], rel=1e-5)
    step_losses = [float(row["train_loss"]) for row in rows if not row["valid_loss"]]
    assert step_losses == pytest.approx(trained.progress.losses, rel=1e-5)
    assert all(float(row["gradient_norm"]) > 0 and float(row["tokens_per_second"]) > 0 for row in rows)


def test_config_yaml_holds_the_settings(training):
    trained = training(steps=1, dropout=0.25, batch_size=3, lr=0.0125)
    list(trained.run())
    with open(trained.folder / "config.yaml", encoding="utf-8") as file:
        config = yaml.safe_load(file)
    assert (config["batch-size"], config["dropout"], config["lr"], config["model"]) == (3, 0.25, 0.0125, "rnn")
    assert Settings.from_dict(config) == trained.settings


def test_best_and_last_checkpoints(training):
    trained = training(
        steps=24, eval_every=2, lr=0.4, optimizer="adam", schedule="constant", clip=0.0
    )  # the learning rate is so high that the loss increases
    losses = [r.valid_loss for r in trained.run() if isinstance(r, Evaluated)]
    assert min(losses) < losses[-1]
    for name, expected in (("best.npz", min(losses)), ("last.npz", losses[-1])):
        lm = LanguageModel.load(trained.folder / name)
        score = evaluate.score_text(lm, trained.dataset.texts.valid)
        assert score.nats / score.tokens == pytest.approx(expected, rel=1e-6)
    assert LanguageModel.load(trained.folder).about["valid_loss"] == min(losses)


def test_stop_ends_a_run_after_the_current_step(training):
    trained = training(steps=50, eval_every=0)
    for record in trained.run():
        if isinstance(record, Stepped) and record.step == 7:
            trained.stop = True
    assert trained.progress.step == 7 and isinstance(record, Finished)
    assert record.interrupted and record.steps == 7
    assert LanguageModel.load(trained.folder / "last.npz").P.flat.tobytes() == trained.lm.P.flat.tobytes()


def test_without_validation_nothing_is_held_out(training, corpus):
    trained = training(steps=2, valid_fraction=0.0, tokenizer="char")
    *_, finished = trained.run()
    assert (finished.valid_loss, finished.perplexity) == (None, None)
    assert str(trained.dataset.texts.train) == corpus.read_text()
    assert not (trained.folder / "best.npz").exists()


def test_validation_on_a_separate_file(training, tmp_path):
    valid = tmp_path / "valid.txt"
    valid.write_text("a cat sat .\n")
    trained = training(steps=1, valid=str(valid))
    (record,) = (r for r in trained.run() if isinstance(r, Evaluated))
    score = evaluate.score_text(trained.lm, "a cat sat .\n")
    assert record.valid_loss == pytest.approx(score.nats / score.tokens, rel=1e-6)


def test_epochs_are_counted_in_batches(training):
    epoch = training(steps=None, epochs=1.0)
    assert epoch.length.steps == epoch.batches.steps_per_epoch
    assert training(steps=None, epochs=2.5).length.steps == math.ceil(2.5 * epoch.length.steps)


def test_dropout_is_off_in_evaluation(training):
    trained = training(steps=1, dropout=0.9)
    records = list(trained.run())
    (evaluation,) = (r for r in records if isinstance(r, Evaluated))
    scores = [evaluate.score_text(trained.lm, trained.dataset.texts.valid) for _ in range(2)]
    assert scores[0] == scores[1] and evaluation.valid_loss == pytest.approx(scores[0].nats / scores[0].tokens, rel=1e-12)
    without_dropout = training(steps=1)
    without_dropout.lm.P.flat[:] = trained.lm.P.flat
    assert evaluate.score_text(without_dropout.lm, trained.dataset.texts.valid) == scores[0]


def test_more_threads_than_shards(training):
    one, many = training(batch_size=1, steps=3), training(batch_size=1, steps=3, threads=8)
    list(one.run()), list(many.run())
    assert one.progress.losses == many.progress.losses


def test_a_folder_that_holds_a_run_is_not_overwritten(training, run):
    before = (run / "last.npz").read_bytes()
    with pytest.raises(InputError, match="already holds a run"):
        list(training(out=run).run())
    assert (run / "last.npz").read_bytes() == before


def test_the_newest_run_is_the_one_saved_last(training, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no run under"):
        newest_run()
    for name in ("b", "a"):
        list(training(out=tmp_path / "runs" / name, steps=1).run())
    assert newest_run().name == "a"


# checkpoints


def test_a_checkpoint_can_be_read_with_numpy_alone(run):
    with np.load(run / "last.npz", allow_pickle=False) as file:
        assert {"E", "We", "Wh", "b1", "U", "b2", "about", "optimizer.m", "optimizer.v"} <= set(file.files)
    with np.load(run / "best.npz", allow_pickle=False) as file:
        assert not any(name.startswith("optimizer") for name in file.files)


def test_a_failed_write_leaves_only_the_old_file(tmp_path):
    path = tmp_path / "x.npz"
    checkpoint.save(path, {"E": np.ones(3)}, {"step": 1})
    before = path.read_bytes()

    def failing(file):
        file.write(b"half")
        raise OSError("the disk is full")

    with pytest.raises(InputError, match=r"cannot write .*x\.npz \(the disk is full\).* is unchanged"):
        atomic.write_atomically(path, failing)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.npz"]


def test_a_checkpoint_preserves_values_and_dtypes(tmp_path):
    arrays = {"E": np.arange(6, dtype=np.float32).reshape(2, 3), "state.0": np.array([1, 2], np.int64)}
    checkpoint.save(tmp_path / "x.npz", arrays, {"step": 3, "best": None})
    loaded, about = checkpoint.load(tmp_path / "x.npz")
    assert about == {"format": checkpoint.FORMAT, "step": 3, "best": None}
    for name, value in arrays.items():
        assert loaded[name].dtype == value.dtype
        np.testing.assert_array_equal(loaded[name], value)


def pickled(whole):
    class Payload:
        def __reduce__(self):
            return print, ("a checkpoint must not run code",)

    return pickle.dumps(Payload())


INVALID_FILES = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "without its last bytes": lambda whole: whole[:-30],
    "empty": lambda whole: b"",
    "text": lambda whole: b"the ants sat on the cat\n",
    "a pickle": pickled,
    "corrupted in the middle": lambda whole: whole[:300] + b"\xff" * 40 + whole[340:],
}


@pytest.mark.parametrize("kind", INVALID_FILES)
def test_the_error_names_an_invalid_file(run, tmp_path, capsys, kind):
    path = tmp_path / "bad.npz"
    path.write_bytes(INVALID_FILES[kind]((run / "last.npz").read_bytes()))
    with pytest.raises(InputError, match=r"bad\.npz"):
        LanguageModel.load(path)
    assert capsys.readouterr().out == ""


def save_pickles(path):
    np.savez(path, about=np.array([{"format": 1}], dtype=object))


def save_without_about(path):
    np.savez(path, E=np.ones(3))


def save_about_as_list(path):
    np.savez(path, about=np.array("[1, 2]"))


def save_empty(path):
    checkpoint.save(path, {}, {})


def save_one_array(path):
    with open(path, "wb") as file:
        np.save(file, np.ones(3))


@pytest.mark.parametrize("save", [save_pickles, save_without_about, save_about_as_list, save_empty, save_one_array])
def test_the_error_names_an_npz_file_that_is_not_a_checkpoint(tmp_path, save):
    save(tmp_path / "bad.npz")
    with pytest.raises(InputError, match=r"bad\.npz"):
        LanguageModel.load(tmp_path / "bad.npz")


def test_a_newer_format_is_refused(tmp_path):
    np.savez(tmp_path / "new.npz", about=np.array('{"format": 99}'))
    with pytest.raises(InputError, match=r"new\.npz has checkpoint format 99"):
        checkpoint.load(tmp_path / "new.npz")


def test_an_array_of_the_wrong_shape_is_refused(run, tmp_path):
    arrays, about = checkpoint.load(run / "best.npz")
    about.pop("format")
    checkpoint.save(tmp_path / "odd.npz", arrays | {"Wh": np.zeros((1, 2, 2), np.float32)}, about)
    with pytest.raises(InputError, match=r"odd\.npz has no Wh of shape"):
        LanguageModel.load(tmp_path / "odd.npz")


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        LanguageModel.load(tmp_path / "none.npz")
    with pytest.raises(InputError, match="no checkpoint in"):
        LanguageModel.load(tmp_path)
