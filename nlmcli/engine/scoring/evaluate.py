"""How well a model predicts a text: -ln P of every token given all before it."""

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
from nlmcli.engine.reading.texts import Text, Texts, check_there, of_string, read_corpus, read_texts
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring.dynamic import Dynamic
from nlmcli.engine.scoring.mixture import Mixture, best_weight, check
from nlmcli.engine.scoring.score import Score, Tally, perplexity
from nlmcli.errors import InputError
from nlmcli.text.tokenizer import Tokenizer

CHUNK = 2048  # tokens that go through the model at once
TOGETHER = 64  # lines that do
PADDED = 1 << 18  # tokens of lines side by side, with what pads the shorter ones

Predictor = LanguageModel | Mixture | Dynamic
ReadCorpus = Callable[[tuple[str, ...], str], Text]


def score_text(lm: Predictor, text: str | Text | Encoded, eos: bool = True) -> Score:
    """The score of a text, read as the model was trained: as one stream, or line by line.  eos: line ends are counted.

    Raises InputError for a text without tokens.
    """
    text, tally = encoded(lm, text), Tally(lm.tokenizer, eos)
    for part in token_scores(lm, text):
        tally.add(*part)
    return tally.score(text)


def encoded(lm: Predictor, text: str | Text | Encoded) -> Encoded:
    """The text as the model's ids, if it is not that already."""
    if isinstance(text, Encoded):
        return text
    return encode(lm.tokenizer, of_string(text) if isinstance(text, str) else text, lm.settings.by)


def token_scores(lm: Predictor, text: str | Text | Encoded) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(ids, nll, rank), arrays of equal length, part by part in the order of the text."""
    text, chunk, together = encoded(lm, text), CHUNK, TOGETHER
    if isinstance(lm, Dynamic):  # learns from each part before it reads the next
        lm.begin()
        chunk, together = lm.segment, 1
    if lm.settings.by == "line":
        lines = text.lines()
        for some in side_by_side(text.lengths, together):
            yield score_lines(lm, lines[some], chunk)
            text.forget()
    else:
        yield from score_stream(lm, text.parts(chunk))


def side_by_side(lengths: np.ndarray, together: int) -> Iterator[slice]:
    """Lines to be read side by side: in their order, at most so many, and few enough that padded to the longest they fit."""
    start = longest = 0
    for k, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if k > start and (k - start == together or longest * (k + 1 - start) > PADDED):
            yield slice(start, k)
            start, longest = k, length
    if start < len(lengths):
        yield slice(start, len(lengths))


def score_stream(lm: Predictor, parts: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(ids, nll, rank) of one long text, the state carried from part to part.  ids (N,) of each part."""
    state, before = lm.start(1), lm.tokenizer.newline
    for y in parts:
        nll, rank, state = lm.score(np.concatenate([[before], y[:-1]])[:, None], y[:, None], state)
        before = int(y[-1])
        yield y, nll, rank


def score_lines(lm: Predictor, lines: list[np.ndarray], chunk: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids, nll, rank) of lines read side by side, each from a fresh state; what pads the shorter ones is not scored."""
    T, B = max(map(len, lines)), len(lines)
    y = np.full((T, B), PADDING)
    for b, line in enumerate(lines):
        y[: len(line), b] = line
    x = np.concatenate([np.full((1, B), lm.tokenizer.newline), np.maximum(y[:-1], 0)])
    state, scores, step = lm.start(B), [], max(1, chunk // B)
    for t in range(0, T, step):
        *score, state = lm.score(x[t : t + step], y[t : t + step], state)
        scores.append(score)
    by_line = np.argsort(np.nonzero(y >= 0)[1], kind="stable")
    nll, rank = (np.concatenate(parts)[by_line] for parts in zip(*scores, strict=True))
    return np.concatenate(lines), nll, rank


@dataclass(frozen=True)
class Evaluation:
    """A text, its token ids, its score, and, where it is known, the -ln P of the grammar that generated it."""

    name: str
    source: Text
    tokenizer: Tokenizer
    ids: Encoded
    score: Score
    floor: float | None = None

    @property
    def text(self) -> str:
        """The text, whole."""
        return str(self.source)

    def report(self) -> dict[str, Any]:
        floor = floor_perplexity(self.floor, self.tokenizer, self.ids) if self.score.line_ends_counted else None
        return {"text": self.name} | self.score.report() | {"floor_perplexity": floor}

    def scored_by(self, lm: Predictor) -> "Evaluation":
        """The evaluation of the same text by another model."""
        return replace(self, score=score_text(lm, self.ids, self.score.line_ends_counted))


def held_out_of(lm: Predictor) -> Texts:
    """The texts of a run, of which a part was held out.  Raises InputError where they are not what they were, or are gone."""
    check_there(lm.settings, "nlm eval --corpus FILE")
    texts, known = read_texts(lm.settings), lm.about.get("texts")
    if known is not None and known["valid"] != texts.valid.digest:
        where = lm.settings.valid or ", ".join(lm.settings.corpus) or "the corpus that ships with nlm"
        raise InputError(f"{where} is not the text of which this run held a part out; name that one with --corpus, or score a FILE")
    return texts


def floor_perplexity(floor: float | None, tokenizer: Tokenizer, ids: Encoded) -> float | None:
    """The perplexity that the grammar of a text reaches, where its -ln P is known.

    None where the model has another task than the grammar: where words are unknown, or the tokens are not its words.
    """
    if floor is None or tokenizer.name != "word" or tokenizer.lowercase:
        return None
    unknown = any((part == tokenizer.unknown).any() for part in ids.parts(1 << 20))
    return None if unknown else perplexity(floor / len(ids))


def evaluate(
    lm: Predictor, paths: tuple[str, ...] = (), text: str | None = None, eos: bool = True, read: ReadCorpus = read_corpus
) -> Evaluation:
    """Score a string, files, or what training held out.  Raises InputError where there is nothing to score."""
    floor = None
    if text is not None:
        name, source = "--text", of_string(text)
    elif paths:
        name, source = ", ".join(paths), read(paths, lm.settings.encoding)
    else:
        held_out = held_out_of(lm)
        name, source, floor = "the held-out part of the corpus", held_out.valid, held_out.floor
        if not source:
            raise InputError("training held nothing out; give a file or --text")
    if not source:
        raise InputError("there is no text to score; give a file or --text")
    ids = encoded(lm, source)
    return Evaluation(name, source, lm.tokenizer, ids, score_text(lm, ids, eos), floor)


def evaluate_all(lms: Iterable[Predictor], paths: tuple[str, ...] = (), text: str | None = None, eos: bool = True) -> Iterator[Evaluation]:
    """The evaluation by each of the models. Files are read once for all of them: stdin could not be read again."""
    read = cache(read_corpus)
    return (evaluate(lm, paths, text, eos, read) for lm in lms)


def each_token(lm: Predictor, text: str, ids: Encoded | None = None) -> Iterator[dict[str, Any]]:
    """P(token | all before it) of every token, in order, with its surprisal in nats and bits and its rank from 1.

    ids: the text's, where they are known already.  piece, in what is yielded: the text that a token stands for, <unk> too.
    """
    parts = lines_of(text) if lm.settings.by == "line" else [text]
    pieces = chain.from_iterable(map(lm.tokenizer.pieces, parts))
    for part, nll, rank in token_scores(lm, ids or text):
        for i, nats, place in zip(part.tolist(), nll.tolist(), rank.tolist(), strict=True):
            token, piece = lm.tokenizer.piece(i), next(pieces)
            bits = nats / math.log(2)
            yield {"token": token, "piece": piece, "p": math.exp(-nats), "nats": nats, "bits": bits, "rank": place + 1}


def mixture_of(lm: LanguageModel, wanted: str) -> Mixture:
    """The model mixed with another, `RUN:WEIGHT`, or `RUN`: with the weight that is best on what the model's training held out."""
    name, weight = wanted, None
    if not Path(wanted).exists():  # else the colon is one of the path
        path, colon, number = wanted.rpartition(":")
        with contextlib.suppress(ValueError):
            name, weight = (path, float(number)) if colon else (name, weight)
    other = LanguageModel.load(Path(name))
    if weight is not None:
        return Mixture(lm, other, weight, name)
    check(lm, other)
    held_out = held_out_of(lm).valid
    if not held_out:
        raise InputError(f"training held nothing out to find a weight with; give one: --mix {name}:0.5")
    ids = encoded(lm, held_out)
    nlls = [np.concatenate([nll for _, nll, _ in token_scores(each, ids)]) for each in (lm, other)]
    return Mixture(lm, other, best_weight(*nlls), name, fitted=True)
