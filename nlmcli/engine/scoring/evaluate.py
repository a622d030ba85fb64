"""Evaluation on a text: -ln P of every token given all tokens before it."""

import contextlib
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
from nlmcli.engine.reading.texts import Text, Texts, check_available, of_string, read_corpus, read_texts
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring.dynamic import Dynamic
from nlmcli.engine.scoring.mixture import Mixture, best_weight, check_compatible
from nlmcli.engine.scoring.score import Score, Tally, perplexity
from nlmcli.errors import InputError
from nlmcli.text.tokenizer import Tokenizer

CHUNK = 2048  # tokens per forward pass
TOGETHER = 64  # lines per batch
PADDED = 1 << 18  # tokens per batch of lines, padding included

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
        for batch in line_batches(text.lengths, batch_size):
            yield score_lines(lm, lines[batch], chunk)
            text.forget()
    else:
        yield from score_stream(lm, text.parts(chunk))


def line_batches(lengths: np.ndarray, batch_size: int) -> Iterator[slice]:
    """Batches of consecutive lines: at most batch_size of them, and at most PADDED tokens when padded, if more than one line."""
    start = longest = 0
    for block in range(0, len(lengths), CHUNK):
        for k, length in enumerate(lengths[block : block + CHUNK].tolist(), block):
            longest = max(longest, length)
            if k > start and (k - start == batch_size or longest * (k + 1 - start) > PADDED):
                yield slice(start, k)
                start, longest = k, length
    if start < len(lengths):
        yield slice(start, len(lengths))


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
    tokenizer: Tokenizer
    ids: Encoded
    score: Score
    floor: float | None = None

    @property
    def text(self) -> str:
        """The whole text."""
        return str(self.source)

    def report(self) -> dict[str, Any]:
        floor = floor_perplexity(self.floor, self.tokenizer, self.ids) if self.score.line_ends_counted else None
        return {"text": self.name} | self.score.report() | {"floor_perplexity": floor}

    def scored_by(self, lm: Predictor) -> "Evaluation":
        """The evaluation of the same text by another model with the same tokenizer."""
        return replace(self, score=score_text(lm, self.ids, self.score.line_ends_counted))


def held_out_texts(lm: Predictor) -> Texts:
    """The texts of a run, one of them held out.  Raises InputError if they have changed or are gone."""
    check_available(lm.settings, "nlm eval --corpus FILE")
    texts, digests = read_texts(lm.settings), lm.about.get("texts")
    if digests is not None and digests["valid"] != texts.valid.digest:
        name = lm.settings.valid or ", ".join(lm.settings.corpus) or "the corpus that ships with nlm"
        raise InputError(f"{name} has changed since this run held a part of it out; name the original with --corpus, or score a FILE")
    return texts


def floor_perplexity(floor: float | None, tokenizer: Tokenizer, ids: Encoded) -> float | None:
    """The perplexity of the grammar that generated a text, if its -ln P is known.

    None if the task differs from the grammar's: some words are unknown, or the tokens are not its words.
    """
    if floor is None or tokenizer.name != "word" or tokenizer.lowercase:
        return None
    has_unknown = any((part == tokenizer.unknown).any() for part in ids.parts(1 << 20))
    return None if has_unknown else perplexity(floor / len(ids))


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
        texts = held_out_texts(lm)
        name, source, floor = "the held-out part of the corpus", texts.valid, texts.floor
        if not source:
            raise InputError("the run has no held-out text; give a file or --text")
    if not source:
        raise InputError("there is no text to score; give a file or --text")
    ids = ensure_encoded(lm, source)
    return Evaluation(name, source, lm.tokenizer, ids, score_text(lm, ids, eos), floor)


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


def load_mixture(lm: LanguageModel, spec: str) -> Mixture:
    """The model mixed with another one.  spec: RUN:WEIGHT, or RUN for the weight that is best on the model's held-out text."""
    name, weight = spec, None
    if not Path(spec).exists():  # otherwise the colon belongs to the path
        path, colon, number = spec.rpartition(":")
        with contextlib.suppress(ValueError):
            name, weight = (path, float(number)) if colon else (name, weight)
    other = LanguageModel.load(Path(name))
    if weight is not None:
        return Mixture(lm, other, weight, name)
    check_compatible(lm, other)
    held_out = held_out_texts(lm).valid
    if not held_out:
        raise InputError(f"the run has no held-out text to fit the weight on; give a weight: --mix {name}:0.5")
    ids = ensure_encoded(lm, held_out)
    nlls = [np.concatenate([nll for _, nll, _ in token_scores(each, ids)]) for each in (lm, other)]
    return Mixture(lm, other, best_weight(*nlls), name, fitted=True)
