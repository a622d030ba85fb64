"""The held-out texts that a task model answers worst, and the first ones with all their tags."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from nlmcli.engine.reading.examples import number
from nlmcli.engine.reading.labelled_dataset import parts
from nlmcli.engine.run.task_model import TaskModel
from nlmcli.engine.scoring.predict import Answering

EXAMPLES = 2_000  # of the held-out part, among which the worst are found


@dataclass(frozen=True)
class Answer:
    """The answer to a text, or to a word of it.

    said, truth: as they are written; badness: how wrong it is, the probability of a wrong label or the difference of two
    numbers, 0 if it is right; word: the place of the word in the texts, None for other tasks
    """

    texts: tuple[str, ...]
    truth: str
    said: str
    badness: float
    word: int | None = None


def answers(model: TaskModel, examples: int = EXAMPLES) -> Iterator[Answer]:
    """The answers to the first held-out examples, in order."""
    part, names = parts(model.settings)[1], model.labels.names
    for chunk in Answering(model).predict(islice(part, examples)):
        if chunk.numbers is not None:
            for example, y in zip(chunk.examples, chunk.numbers.tolist(), strict=True):
                true = number(example, part.files[0].name)
                yield Answer(example.texts, f"{true:g}", f"{y:.3g}", abs(true - y))
            continue
        assert chunk.labels is not None and chunk.probabilities is not None
        said = zip((names[i] for i in chunk.labels[:, 0].tolist()), chunk.probabilities[:, 0].tolist(), strict=True)
        for example in chunk.examples:
            for k, truth in enumerate(example.answers):
                label, p = next(said)
                place = k if model.settings.task == "tag" else None
                yield Answer(example.texts, truth, label, 0.0 if label == truth else p, place)


def worst(found: list[Answer], k: int) -> list[Answer]:
    """The k worst answers that are wrong, the worst first."""
    return sorted((each for each in found if each.badness > 0), key=lambda each: -each.badness)[:k]


def sentences(found: list[Answer], k: int) -> list[list[dict[str, Any]]]:
    """The first k texts of task tag, word by word."""
    shown: list[list[dict[str, Any]]] = []
    for each in found:
        if each.word is None:
            return []
        if each.word == 0:
            if len(shown) == k:
                break
            shown.append([])
        shown[-1].append({"word": each.texts[each.word], "is": each.truth, "said": each.said})
    return shown
