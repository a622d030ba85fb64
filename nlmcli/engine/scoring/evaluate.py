"""Evaluation on a text: -ln P of every token given all tokens before it."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from nlmcli.engine.gradient.ranks import Ranks
from nlmcli.engine.gradient.threads import ThreadPool, shared_pool
from nlmcli.engine.reading.encoded import Encoded, encode, lines_of
from nlmcli.engine.reading.id_files import are_ids, read_ids
from nlmcli.engine.reading.texts import Text, Texts, check_available, of_string, read_corpus, read_texts
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.neural_cache import Cache
from nlmcli.engine.scoring.dynamic import Dynamic
from nlmcli.engine.scoring.mixture import Mixture, check_compatible, fitted
from nlmcli.engine.scoring.score import Score, Tally, perplexity
from nlmcli.engine.scoring.segments import CHUNK, TOGETHER, Segment, line_batches, line_segments, scored, stream_segments
from nlmcli.errors import InputError
from nlmcli.text.tokenizer import Tokenizer

Predictor = LanguageModel | Mixture | Dynamic
ReadCorpus = Callable[[tuple[str, ...], str], Text]


def score_text(
    lm: Predictor, text: str | Text | Encoded, eos: bool = True, pool: ThreadPool | None = None, ranks: Ranks | None = None
) -> Score:
    """The score of a text, read as in training: as one stream, or line by line.  eos: whether line ends are counted.

    pool: the threads; None: one per processor.  ranks: the processes that call this together and share out the lines, to the
    bits of one; a stream is read by each of them.  Raises InputError for a text without tokens.
    """
    text, tally = ensure_encoded(lm, text), Tally(lm.tokenizer, eos)
    if ranks is None or ranks.size == 1 or lm.settings.by != "line":
        for part in token_scores(lm, text, pool):
            tally.add(*part)
        return tally.score(text)
    mine = [tally.sums(*part) for part in token_scores(lm, text, pool, ranks)]
    by_rank = ranks.all_of([mine])
    for k in range(sum(map(len, by_rank))):  # batch k of the lines is that of rank k mod size
        tally.totals += by_rank[k % ranks.size][k // ranks.size]
    return tally.score(text)


def ensure_encoded(lm: Predictor, text: str | Text | Encoded) -> Encoded:
    """The text as the model's token ids, encoded unless it already is."""
    if isinstance(text, Encoded):
        return text
    return encode(lm.tokenizer, of_string(text) if isinstance(text, str) else text, lm.settings.by)


def token_scores(
    lm: Predictor, text: str | Text | Encoded, pool: ThreadPool | None = None, ranks: Ranks | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(ids, nll, rank), arrays of equal length, part by part in the order of the text; with ranks, the parts of this one."""
    text, parts = ensure_encoded(lm, text), list[tuple[np.ndarray, np.ndarray, np.ndarray]]()
    if isinstance(lm, Dynamic | Mixture):
        lm.reset()
    for segment, nll, rank in scored(lm, segments_of(lm, text, ranks), pool or shared_pool()):
        parts.append((segment.targets, nll, rank))
        if segment.is_last:
            y, nll, rank = (np.concatenate(part) for part in zip(*parts, strict=True))
            by_text = np.argsort(np.nonzero(y >= 0)[1], kind="stable")
            yield y.T[y.T >= 0], nll[by_text], rank[by_text]
            parts.clear()


def segments_of(lm: Predictor, text: Encoded, ranks: Ranks | None = None) -> Iterator[Segment]:
    """The segments of a text, or of this rank's lines; of a model that remembers what it has read, one text at a time."""
    chunk, together = CHUNK, TOGETHER
    if isinstance(lm, Dynamic) or (isinstance(lm, Mixture) and lm.one_at_a_time):
        chunk, together = lm.segment, 1
    first = lm.tokenizer.start
    if lm.settings.by != "line":
        yield from stream_segments(text.parts(chunk), first)
        return
    lines, (rank, size) = text.lines(), (ranks.rank, ranks.size) if ranks else (0, 1)
    for batch in islice(line_batches(text.lengths, together), rank, None, size):
        yield from line_segments(lines[batch], first, chunk)
        text.forget()


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
    if imported := lm.about.get("imported"):
        raise InputError(f"{imported} has no held-out text; give a FILE or --text to score, and weights where they would be fitted")
    check_available(lm.settings, "nlm eval --corpus FILE")
    texts, digests = read_texts(lm.settings, lm.tokenizer), lm.about.get("texts")
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
        name, source = ", ".join(paths), read_ids(paths, lm.tokenizer) if are_ids(paths) else read(paths, lm.settings.encoding)
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


def combined(
    lm: LanguageModel,
    dynamic: Dynamic | None = None,
    mix: Sequence[str] = (),
    cache: int | None = None,
    theta: float | None = None,
    weight: float | None = None,
) -> Mixture:
    """The model, or the same under dynamic evaluation, mixed with other runs and a neural cache of so many positions.

    mix: RUN:WEIGHT, or RUN.  theta, weight: θ and λ of the cache. Without weights, those that are best on the model's held-out text.
    """
    members: list[LanguageModel | Dynamic] = [lm if dynamic is None else dynamic]
    parsed = [named_weight(spec) for spec in mix]
    names, weights = [name for name, _ in parsed], [given for _, given in parsed]
    if cache is not None:
        if (theta is None) != (weight is None):
            raise InputError("give both --cache-theta and --cache-weight, or neither, for the best on the run's held-out text")
        Cache(cache, theta or 0.0).check(lm)
        weights.append(weight)
    for name in names:
        members.append(LanguageModel.load(Path(name)))
        check_compatible(lm, cast(LanguageModel, members[-1]))
    known = [each for each in weights if each is not None]
    if len(known) == len(weights):
        return Mixture(members, [1 - sum(known), *known], names, None if cache is None else Cache(cache, theta or 0.0))
    if known:
        raise InputError("give the weight of each --mix and --cache, or none of them, for the best on the run's held-out text")
    held_out = held_out_texts(lm).valid
    if not held_out:
        weight_options = [
            *(f"--mix {name}:0.1" for name in names),
            *(["--cache-theta 0.3 --cache-weight 0.1"] if cache is not None else []),
        ]
        raise InputError(f"the run has no held-out text to fit weights on; give them, such as {' '.join(weight_options)}")
    unfitted = Mixture(members, [1.0, *[0.0] * len(weights)], names, None if cache is None else Cache(cache, 0.0))
    return fitted(members, names, cache, segments_of(unfitted, ensure_encoded(lm, held_out)))


def named_weight(spec: str) -> tuple[str, float | None]:
    """RUN:WEIGHT, or RUN for a weight to be fitted; a colon in the name of a run that exists belongs to it."""
    path, colon, number = spec.rpartition(":")
    if colon and not Path(spec).exists():
        with contextlib.suppress(ValueError):
            return path, float(number)
    return spec, None
