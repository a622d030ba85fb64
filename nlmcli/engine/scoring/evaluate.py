"""Evaluation on a text: -ln P of every token given all tokens before it."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from nlmcli.engine.reading.batches import PADDING
from nlmcli.engine.reading.encoded import Encoded, encode, lines_of
from nlmcli.engine.reading.texts import Text, of_string, read_corpus, read_texts
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring.dynamic import Dynamic
from nlmcli.engine.scoring.mixture import Mixture, best_weight, check_compatible
from nlmcli.engine.scoring.score import Score, Tally, perplexity
from nlmcli.errors import InputError

CHUNK = 2048  # tokens per forward pass
TOGETHER = 64  # lines per batch

Predictor = LanguageModel | Mixture | Dynamic
ReadCorpus = Callable[[tuple[str, ...], str], Text]


def score_text(lm: Predictor, text: str | Text | Encoded, eos: bool = True) -> Score:
    """The score of a text, read as in training: as one stream, or line by line.  eos: whether line ends are counted.

    Raises InputError for a text without tokens.
    """
    text, tally = ensure_encoded(lm, text), Tally(lm.tokenizer, eos)
    for part in token_scores(lm, text):
        tally.add(*part)
    return tally.score(text)


def ensure_encoded(lm: Predictor, text: str | Text | Encoded) -> Encoded:
    """The text as the model's token ids, encoded unless it already is."""
    if isinstance(text, Encoded):
        return text
    return encode(lm.tokenizer, of_string(text) if isinstance(text, str) else text, lm.settings.by)


def token_scores(lm: Predictor, text: str | Text | Encoded) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(ids, nll, rank), arrays of equal length, part by part in the order of the text."""
    text, chunk, batch_size = ensure_encoded(lm, text), CHUNK, TOGETHER
    if isinstance(lm, Dynamic):  # learns from each part before it reads the next
        lm.reset()
        chunk, batch_size = lm.segment, 1
    if lm.settings.by == "line":
        lines = text.lines()
        for k in range(0, len(lines), batch_size):
            yield score_lines(lm, lines[k : k + batch_size], chunk)
            text.forget()
    else:
        yield from score_stream(lm, text.parts(chunk))


def score_stream(lm: Predictor, parts: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(ids, nll, rank) of each part of one long text, with the state carried from part to part.  parts: ids (N,)"""
    state, previous = lm.start(1), lm.tokenizer.newline
    for y in parts:
        nll, rank, state = lm.score(np.concatenate([[previous], y[:-1]])[:, None], y[:, None], state)
        previous = int(y[-1])
        yield y, nll, rank


def score_lines(lm: Predictor, lines: list[np.ndarray], chunk: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids, nll, rank) of a batch of lines, each read from the initial state; padding is not scored."""
    T, B = max(map(len, lines)), len(lines)
    y = np.full((T, B), PADDING)
    for b, line in enumerate(lines):
        y[: len(line), b] = line
    x = np.concatenate([np.full((1, B), lm.tokenizer.newline), np.maximum(y[:-1], 0)])
    state, scores, steps = lm.start(B), [], max(1, chunk // B)
    for t in range(0, T, steps):
        *score, state = lm.score(x[t : t + steps], y[t : t + steps], state)
        scores.append(score)
    by_line = np.argsort(np.nonzero(y >= 0)[1], kind="stable")
    nll, rank = (np.concatenate(parts)[by_line] for parts in zip(*scores, strict=True))
    return np.concatenate(lines), nll, rank


@dataclass(frozen=True)
class Evaluation:
    """A text, its token ids, its score, and, if known, the -ln P under the grammar that generated it."""

    name: str
    source: Text
    ids: Encoded
    score: Score
    floor: float | None = None

    @property
    def text(self) -> str:
        """The whole text."""
        return str(self.source)

    def report(self) -> dict[str, Any]:
        floor = perplexity(self.floor / self.score.tokens) if self.floor and self.score.line_ends_counted else None
        return {"text": self.name} | self.score.report() | {"floor_perplexity": floor}

    def scored_by(self, lm: Predictor) -> "Evaluation":
        """The evaluation of the same text by another model with the same tokenizer."""
        return replace(self, score=score_text(lm, self.ids, self.score.line_ends_counted))


def evaluate(
    lm: Predictor, paths: tuple[str, ...] = (), text: str | None = None, eos: bool = True, read: ReadCorpus = read_corpus
) -> Evaluation:
    """Score a string, files, or the held-out text of the model's run.  Raises InputError if there is nothing to score."""
    floor = None
    if text is not None:
        name, source = "--text", of_string(text)
    elif paths:
        name, source = ", ".join(paths), read(paths, lm.settings.encoding)
    else:
        texts = read_texts(lm.settings)
        name, source, floor = "the held-out part of the corpus", texts.valid, texts.floor
        if not source:
            raise InputError("the run has no held-out text; give a file or --text")
    if not source:
        raise InputError("there is no text to score; give a file or --text")
    ids = ensure_encoded(lm, source)
    return Evaluation(name, source, ids, score_text(lm, ids, eos), floor)


def evaluate_all(lms: Iterable[Predictor], paths: tuple[str, ...] = (), text: str | None = None, eos: bool = True) -> Iterator[Evaluation]:
    """The evaluation by each model. Files are read once for all models, since stdin cannot be read twice."""
    read = cache(read_corpus)
    return (evaluate(lm, paths, text, eos, read) for lm in lms)


def each_token(lm: Predictor, text: str, ids: Encoded | None = None) -> Iterator[dict[str, Any]]:
    """P(token | all tokens before it) of every token, in order, with its surprisal in nats and bits and its rank from 1.

    ids: of the text, if already encoded.  piece, in the result: the text that a token stands for, also for <unk>.
    """
    parts = lines_of(text) if lm.settings.by == "line" else [text]
    pieces = chain.from_iterable(map(lm.tokenizer.pieces, parts))
    for part, nlls, ranks in token_scores(lm, ids or text):
        for i, nats, rank in zip(part.tolist(), nlls.tolist(), ranks.tolist(), strict=True):
            token, piece = lm.tokenizer.piece(i), next(pieces)
            bits = nats / math.log(2)
            yield {"token": token, "piece": piece, "p": math.exp(-nats), "nats": nats, "bits": bits, "rank": rank + 1}


def mixture_of(lm: LanguageModel, spec: str) -> Mixture:
    """The model mixed with another one.  spec: RUN:WEIGHT, or RUN for the weight that is best on the model's held-out text."""
    name, colon, number = spec.rpartition(":")
    try:
        weight = float(number) if colon else None
    except ValueError:  # the path contains a colon
        weight = None
    name = name if weight is not None else spec
    other = LanguageModel.load(Path(name))
    if weight is not None:
        return Mixture(lm, other, weight, name)
    check_compatible(lm, other)
    held_out = read_texts(lm.settings).valid
    if not held_out:
        raise InputError(f"the run has no held-out text to fit the weight on; give a weight: --mix {name}:0.5")
    ids = ensure_encoded(lm, held_out)
    nlls = [np.concatenate([nll for _, nll, _ in token_scores(each, ids)]) for each in (lm, other)]
    return Mixture(lm, other, best_weight(*nlls), name, fitted=True)
