"""Everything that a page shows of a run, as JSON types: curves, samples, a passage token by token, embeddings, insides, mistakes."""

import math
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nlmcli.engine.reading.encoded import encode
from nlmcli.engine.reading.texts import Text
from nlmcli.engine.run import checkpoint, saved
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.task_model import TaskModel
from nlmcli.engine.scoring.evaluate import each_token, floor_perplexity, held_out_texts, token_scores
from nlmcli.engine.scoring.evaluate_task import evaluate_task
from nlmcli.engine.training.metrics import curve, read_rows
from nlmcli.engine.training.samples import read_samples
from nlmcli.engine.viewing import inside, mistakes
from nlmcli.engine.viewing.confusion import confusion
from nlmcli.engine.viewing.inspect import principal_components, unit_rows
from nlmcli.errors import InputError
from nlmcli.models import MODELS

PASSAGE = {"char": 700, "byte": 700}  # tokens that are shown; of other tokenizers OTHER_PASSAGE
OTHER_PASSAGE = 250
CHOICES = 5  # first choices shown of each token
SCORED_CHARACTERS = 100_000  # of the held-out text, over which the hardest and easiest types are found
LEAST_COUNT, EXTREMES = 3, 15
PLOTTED, NEIGHBORS = 250, 6  # types in the picture of the embeddings, and neighbors of each
UNITS, ATTENDED = 24, 40  # units, and tokens whose attention is shown
LONGEST, LONGEST_TEXT = 80, 300  # characters of a token, and of a text, that are shown
WORST, SENTENCES = 15, 8  # mistakes, and texts with all their tags, that are shown


def named(lm: LanguageModel, i: int) -> str:
    """The printable form of a type, cut off if it is very long."""
    return cut_off(lm.tokenizer.piece(int(i)))


def cut_off(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def summary(folder: Path) -> dict[str, Any]:
    """What a page shows of a run's folder, of a checkpoint in one, or of a model that other programs made.

    Raises InputError if there is none.
    """
    run = saved.load(folder)
    architecture = type(run.model) if isinstance(run, LanguageModel) else MODELS.get(run.settings.model)
    home = folder.parent if folder.suffix == ".npz" else folder
    about = checkpoint.description(home / "last.npz") if (home / "last.npz").exists() else run.about
    shown = {
        "run": str(folder),
        "model": run.settings.model,
        "equations": sys.modules[architecture.__module__].__doc__ or "",
        "parameters": int(run.P.flat.size),
        "shapes": {name: list(value.shape) for name, value in run.P.items()},
        "types": len(run.tokenizer),
        "settings": {name: value for name, value in run.settings.to_dict().items() if name not in ("model",)},
        "command": f"nlm train --config {home / 'config.yaml'}" if (home / "config.yaml").exists() else None,
        "about": {name: about.get(name) for name in ("step", "best", "bits_per_character", "seconds", "tokens_per_second", "figure")},
        "curves": curves(home),
        "samples": read_samples(home),
    }
    if isinstance(run, TaskModel):
        return shown | {"task": run.settings.task, "answers": answers(run)}
    assert isinstance(run, LanguageModel)
    return shown | of_language_model(run)


def curves(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """The columns of metrics.csv against the step, and the validation loss against the seconds."""
    rows = read_rows(folder / "metrics.csv") if folder.is_dir() else []
    names = ("train_loss", "valid_loss", "learning_rate", "gradient_norm", "tokens_per_second")
    return {name: curve(rows, name) for name in names} | {"valid_loss by seconds": curve(rows, "valid_loss", "seconds")}


def of_language_model(lm: LanguageModel) -> dict[str, Any]:
    """The floor of the loss, a passage, the hardest and easiest types, embeddings, and what goes on inside."""
    valid, shown = held_out(lm), dict[str, Any]()
    if valid is not None:
        shown["floor"] = floor(lm, *valid)
        text = str(valid[0].cut(0, min(SCORED_CHARACTERS, valid[0].characters)))
        passage = beginning(lm, text)
        shown["passage"] = passage_of(lm, passage)
        shown["extremes"] = extremes(lm, text)
        shown |= insides(lm, passage, text)
    if "E" in lm.P.shapes:
        shown["embeddings"] = picture(lm)
    return shown


def held_out(lm: LanguageModel) -> tuple[Text, float | None] | None:
    """The held-out text, and its -ln P under the grammar that generated it, if that is known; None if there is no such text."""
    try:
        texts = held_out_texts(lm)
    except InputError:
        return None
    return (texts.valid, texts.floor) if texts.valid else None


def floor(lm: LanguageModel, valid: Text, nats: float | None) -> float | None:
    """The least possible loss, in nats per token, if it is known."""
    if nats is None:
        return None
    perplexity = floor_perplexity(nats, lm.tokenizer, encode(lm.tokenizer, valid, lm.settings.by))
    return None if perplexity is None else math.log(perplexity)


def beginning(lm: LanguageModel, text: str) -> str:
    """The first lines of a text, or as much of the first one as is shown."""
    limit = PASSAGE.get(lm.tokenizer.name, OTHER_PASSAGE)
    kept, count = "", 0
    for line in text.splitlines(keepends=True):
        tokens = len(lm.tokenizer.encode(line))
        if count + tokens > limit and kept:
            break
        kept, count = kept + line, count + tokens
        if count > limit:
            return "".join(islice(lm.tokenizer.pieces(kept), limit))
    return kept or text[:limit]


def passage_of(lm: LanguageModel, text: str) -> list[dict[str, Any]]:
    """Each token with its surprisal, its rank, and the model's first choices."""
    tokens = list(each_token(lm, text))
    for token, best in zip(tokens, inside.choices(lm, inside.read(lm, text), CHOICES), strict=True):
        token |= {"choices": [(cut_off(name), p) for name, p in best], "token": cut_off(token["token"]), "piece": cut_off(token["piece"])}
    return tokens


def extremes(lm: LanguageModel, text: str) -> dict[str, list[tuple[str, float, int]]]:
    """The types with the highest and the lowest mean surprisal in bits, and how often they occur."""
    V = len(lm.tokenizer)
    bits, counts = np.zeros(V), np.zeros(V, np.int64)
    for ids, nll, _ in token_scores(lm, text):
        bits += np.bincount(ids, nll / math.log(2), V)
        counts += np.bincount(ids, minlength=V)
    often = np.flatnonzero(counts >= LEAST_COUNT)
    mean = bits[often] / counts[often]
    order = np.argsort(mean, kind="stable")
    listed = [(named(lm, often[k]), float(mean[k]), int(counts[often[k]])) for k in order]
    return {"easiest": listed[:EXTREMES], "hardest": listed[::-1][:EXTREMES]}


def insides(lm: LanguageModel, passage: str, text: str) -> dict[str, Any]:
    """Hidden units, attention or orders over the passage, whichever the model has."""
    reading, shown = inside.read(lm, passage), dict[str, Any]()
    if lm.model.neural:
        h, longer = inside.hidden(lm, reading), inside.read(lm, text[: 20 * len(passage)])
        ranked = inside.telling_units(inside.hidden(lm, longer), longer.pieces)[:UNITS]
        shown["units"] = [
            vars(each) | {"values": np.round(100 * inside.unit(h, each.unit)).astype(int).tolist()} for each in ranked if each.share > 0
        ]
    if hasattr(lm.model, "step_sizes"):
        shown["steps"] = np.round(inside.step_sizes(lm, reading).mean(axis=2), 5).T.tolist()
    if hasattr(lm.model, "attention"):
        first = reading.until(min(ATTENDED, lm.model.window - 1))
        shares = inside.attention(lm, first)
        shown["attention"] = {"tokens": ["(start)", *map(cut_off, first.tokens)], "shares": np.round(100 * shares).astype(int).tolist()}
    if hasattr(lm.model, "longest_seen"):
        shown["orders"] = inside.orders(lm, reading).tolist()
    return shown


def picture(lm: LanguageModel) -> dict[str, Any] | None:
    """The most frequent types in two dimensions (PCA), and the nearest of each by cosine."""
    E = lm.P.E.astype(np.float64)
    if E.shape[1] < 2 or not np.isfinite(E).all():
        return None
    shown = np.argsort(-lm.tokenizer.counts, kind="stable")[:PLOTTED]
    points, variance = principal_components(E[shown])
    unit = unit_rows(E[shown])
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, : min(NEIGHBORS, len(shown) - 1)]
    return {
        "tokens": [named(lm, i) for i in shown],
        "points": np.round(points / max(1e-12, np.abs(points).max()), 4).tolist(),
        "variance": variance.tolist(),
        "neighbors": [[(int(j), round(float(cosine[k, j]), 3)) for j in row] for k, row in enumerate(nearest)],
    }


def answers(run: TaskModel) -> dict[str, Any] | None:
    """The evaluation of a task on its held-out part; None if there is none."""
    try:
        e = evaluate_task(run)
    except InputError:
        return None
    found = list(mistakes.answers(run))
    worst = [
        {"text": in_context(each), "is": cut_off(each.truth), "said": cut_off(each.said), "badness": each.badness}
        for each in mistakes.worst(found, WORST)
    ]
    return e.report() | {"confusion": confusion(e), "worst": worst, "sentences": mistakes.sentences(found, SENTENCES)}


def in_context(answer: mistakes.Answer) -> list[str]:
    """The text before the word that was answered, the word, and the text after it; or the texts."""
    if answer.word is None:
        return [cut_off(text, LONGEST_TEXT) for text in answer.texts]
    before, after = " ".join(answer.texts[: answer.word]), " ".join(answer.texts[answer.word + 1 :])
    return [before[-LONGEST:], cut_off(answer.texts[answer.word]), after[:LONGEST]]
