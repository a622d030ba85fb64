"""What every task promises, on every neural model: gradients, learning, padding, and the same bits whatever the threads."""

from pathlib import Path

import numpy as np
import pytest

from nlmcli.engine.api import begin
from nlmcli.engine.checking.gradcheck import check_head, labelled_tasks
from nlmcli.engine.gradient.team import Team
from nlmcli.engine.reading.batches import Batch
from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.run.task_model import TaskModel
from nlmcli.engine.training.train import Training
from nlmcli.heads import HEADS
from nlmcli.heads.base.encoder import Encoder
from nlmcli.models import MODELS, neural_names
from nlmcli.nn.params import Params
from nlmcli.nn.reverse import reverse

on_every_model = pytest.mark.parametrize("name", neural_names())
of_every_task = pytest.mark.parametrize("task", labelled_tasks())
SIZES = {"embed": 8, "hidden": 12, "layers": 1, "heads": 2, "context": 4}
COLORS, ANIMALS = ("red", "blue", "green"), ("ants", "cats", "dogs", "frogs")


def make(name, task, labels=3, paired=False, bidirectional=True, V=9, pairs=None, **config):
    Architecture, Task = MODELS.get(name), HEADS.get(task)
    has = Architecture.Config.__dataclass_fields__
    model = Architecture(Architecture.Config(**{k: v for k, v in SIZES.items() if k in has}), 1, newline=0)
    pairs = (0 if model.reads_order else 50) if pairs is None else pairs
    return Task(Task.Config(bidirectional=bidirectional, **config), Encoder(model, V, 1, bidirectional, pairs=pairs), labels, paired)


def batch_of(head, lengths, seed=0):
    """A batch of texts of these lengths, which begin with a newline, and answers."""
    rng = np.random.default_rng(seed)
    x = np.where(np.arange(max(lengths))[:, None] < np.array(lengths), rng.integers(2, 9, (max(lengths), len(lengths))), -1)
    x[0] = 1
    return Batch(x, head.example_answers(rng, x), fresh=True)


@of_every_task
@on_every_model
def test_every_gradient_agrees_with_central_differences(task, name):
    rows = check_head(task, name)
    assert len(rows) >= 4
    assert [row for row in rows if not row.passed] == []
    assert max(row.error for row in rows) <= 1e-6


@of_every_task
@on_every_model
def test_padding_changes_nothing(task, name):
    """A text answers the same beside a longer one; bits may differ, since products of other shapes are summed in another order."""
    head = make(name, task)
    P = head.initialize(np.random.default_rng(0))
    P.flat += 0.1 * np.random.default_rng(1).standard_normal(P.flat.size).astype(np.float32)
    both = batch_of(head, (4, 9))
    read = (both.x >= 0) & (np.arange(9)[:, None] > 0)
    alone = head.predict(P, both.x[:4, :1], read[:4, :1])
    together = head.predict(P, both.x, read)[: len(alone)]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


@of_every_task
@on_every_model
@pytest.mark.parametrize("size", [5, 40])
def test_shards_and_threads_give_the_same_bits(task, name, size):
    head = make(name, task)
    batch = batch_of(head, tuple(2 + b % 6 for b in range(size)))
    results = []
    for threads in (1, 2, 3):
        P = head.initialize(np.random.default_rng(0))
        G, team = P.zeros_like(), Team(head, threads)
        loss, norm, _ = team.gradient(P, G, batch, team.start(size), (1, 0))
        results.append((loss, norm, G.flat.copy()))
    for loss, norm, g in results[1:]:
        assert (loss, norm) == results[0][:2]
        np.testing.assert_array_equal(g, results[0][2])


@of_every_task
@on_every_model
def test_the_gradient_of_shards_is_that_of_the_whole_batch(task, name):
    head = make(name, task)
    batch = batch_of(head, (3, 5, 2, 6, 4))
    P = head.initialize(np.random.default_rng(0), np.float64)
    whole = P.zeros_like()
    total, _ = head.step(P, batch.x, batch.y.reshape(-1), (), 1 / batch.targets, whole)
    G = P.zeros_like()
    loss, norm, _ = Team(head, 2).gradient(P, G, batch, [(), ()])
    np.testing.assert_allclose(G.flat, whole.flat, rtol=1e-8, atol=1e-12)
    assert loss == pytest.approx(total / batch.targets)
    assert norm == pytest.approx(np.linalg.norm(whole.flat))


@on_every_model
def test_both_ways_of_a_reversed_text_exchange_the_halves(name):
    encoder = make(name, "tag", pairs=0).encoder  # a pair is a word and the one before it: reversed, it is another
    P = Params(encoder.shapes())
    encoder.initialize(P, np.random.default_rng(0))
    for each in encoder.names:
        P[each + "_back"][...] = P[each]
    x = np.array([[1, 1], [3, 4], [5, 2], [1, -1]])
    lengths = np.array([4, 3])
    h, n, _ = encoder.forward(P, x)
    np.testing.assert_array_equal(n, lengths)
    reversed_h, _, _ = encoder.forward(P, reverse(x, lengths)[0])
    forward, backward = np.split(h, 2, axis=2)
    again = reverse(reversed_h, lengths)[0]
    for b, length in enumerate(lengths):
        np.testing.assert_allclose(again[:length, b], np.concatenate([backward, forward], 2)[:length, b], rtol=1e-5, atol=1e-6)


def write_examples(path, task, n):
    """n examples with an answer that follows from their words."""
    rng = np.random.default_rng(0)
    blocks = []
    for _ in range(n):
        color, animal, more = rng.choice(COLORS), rng.choice(ANIMALS), rng.choice(["big", "small"], rng.integers(0, 4))
        words = ["the", color, *more, animal, "slept"]
        if task == "tag":
            tags = ["DET", "COLOR", *["ADJ"] * len(more), "NOUN", "VERB"]
            blocks.append("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)) + "\n")
        else:
            answer = color if task == "classify" else f"{COLORS.index(color) * 2.5 - 1}"
            blocks.append(f"{answer}\t{' '.join(words)}\n")
    path.write_text("".join(blocks))
    return str(path)


def settings_of(tmp_path, task, name, **given):
    path = write_examples(tmp_path / f"{task}.{'conll' if task == 'tag' else 'tsv'}", task, 20)
    has = MODELS.get(name).Config.__dataclass_fields__
    sizes = {k: v for k, v in {**SIZES, "embed": 16, "hidden": 16, "dropout": 0.1}.items() if k in has}
    return Settings.of(**{"task": task, "model": name, "corpus": (path,), "valid": path, "batch_size": 8, "steps": 300, **sizes, **given})


@of_every_task
@on_every_model
def test_it_overfits_twenty_examples(task, name, tmp_path):
    *_, finished = begin(settings_of(tmp_path, task, name, dropout=0.0, lr=0.01), tmp_path / "run").run()
    assert finished.figure[1] > 0.99
    assert finished.valid_loss < 0.1


@of_every_task
@on_every_model
def test_a_resumed_run_has_the_bits_of_one_that_never_stopped(task, name, tmp_path):
    settings = settings_of(tmp_path, task, name, steps=12, eval_every=4)
    for _ in begin(settings, tmp_path / "whole", threads=2).run():
        pass
    stopped = begin(settings, tmp_path / "stopped", threads=1)
    for record in stopped.run():
        stopped.stop = getattr(record, "step", 0) >= 5
    resumed = Training.resumed(tmp_path / "stopped", {}, 2)
    for _ in resumed.run():
        pass
    whole, again = (checkpoint.load(tmp_path / run / "last.npz")[0] for run in ("whole", "stopped"))
    assert whole.keys() == again.keys()
    for key in whole:
        np.testing.assert_array_equal(whole[key], again[key], err_msg=key)


@of_every_task
def test_a_saved_task_is_loaded_bit_for_bit(task, tmp_path):
    run = begin(settings_of(tmp_path, task, "rnn", steps=5), tmp_path / "run")
    for _ in run.run():
        pass
    loaded = TaskModel.load(tmp_path / "run" / "last.npz")
    np.testing.assert_array_equal(loaded.P.flat, run.lm.P.flat)
    assert loaded.labels == run.lm.labels


@pytest.mark.parametrize("task", ["classify", "regress"])
def test_a_file_sorted_by_its_answers_trains_as_well_as_a_shuffled_one(task, tmp_path):
    settings = settings_of(tmp_path, task, "additive", steps=200, batch_size=4)
    lines = Path(settings.corpus[0]).read_text().splitlines(keepends=True)
    losses = []
    for k, order in enumerate((sorted(lines), lines)):
        path = tmp_path / f"{k}.tsv"
        path.write_text("".join(order))
        *_, finished = begin(Settings.of(**settings.by_field() | {"corpus": (str(path),)}), tmp_path / str(k)).run()
        losses.append(finished.valid_loss)
    assert max(losses) < 0.1


def test_balanced_labels_weigh_the_same():
    from nlmcli.engine.run.labels import Labels

    labels = Labels(("a", "b"), (30, 10), examples=40)
    weights = labels.weights(balance=True)
    assert 30 * weights[0] == pytest.approx(10 * weights[1])
    assert 30 * weights[0] + 10 * weights[1] == pytest.approx(40)


@of_every_task
def test_the_loss_at_the_start_is_that_of_guessing(task, tmp_path):
    run = begin(settings_of(tmp_path, task, "lstm", steps=1), tmp_path / "run")
    losses = [record.loss for record in run.run() if type(record).__name__ == "Stepped"]
    assert losses[0] == pytest.approx(run.lm.guessing(), rel=0.5 if task == "regress" else 0.1)


@of_every_task
def test_the_python_api_trains_answers_and_scores(task, tmp_path):
    import nlmcli

    settings = settings_of(tmp_path, task, "additive")
    run = nlmcli.train(Path(settings.corpus[0]), out=tmp_path / "run", task=task, model="additive", steps=300, lr=0.02, batch_size=8)
    words = ["the", "red", "big", "ants", "slept"]
    (answer,) = run.predict([" ".join(words)])
    if task == "classify":
        assert answer[0] == "red" and answer[1] > 0.9
    elif task == "regress":
        assert answer == pytest.approx(-1, abs=0.5)
    else:
        assert answer == list(zip(words, ["DET", "COLOR", "ADJ", "NOUN", "VERB"], strict=True))
    assert run.score(settings.corpus[0]) == nlmcli.load(tmp_path / "run").score(settings.corpus[0])
    with pytest.raises(nlmcli.InputError):
        run.predict([("one", "two")])
