"""How well a model predicts a text: -ln P of every token given all before it, added up and told in every unit."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nlmcli.engine.language_model import LanguageModel, read_corpus, read_texts
from nlmcli.errors import InputError
from nlmcli.models.base import Model
from nlmcli.nn.cross_entropy import head_score
from nlmcli.nn.params import Params

CHUNK = 2048  # tokens that go through the model at once
TOGETHER = 64  # lines that do


@dataclass(frozen=True)
class Score:
    """The sums that every unit is made from.  nats: Σ -ln P;  *_known: the same without the tokens that are <unk>."""

    tokens: int
    characters: int
    bytes: int
    unknowns: int
    nats: float
    nats_known: float
    top1: float
    top5: float

    def report(self) -> dict[str, Any]:
        """Every unit, by stable names."""
        per_token, known = self.nats / self.tokens, self.tokens - self.unknowns
        bits = self.nats / math.log(2)
        return asdict(self) | {
            "nats_per_token": per_token,
            "perplexity": perplexity(per_token),
            "bits_per_token": bits / self.tokens,
            "bits_per_character": bits / self.characters,
            "bits_per_byte": bits / self.bytes,
            "unknown_rate": self.unknowns / self.tokens,
            "perplexity_known": perplexity(self.nats_known / known) if known else None,
        }


def perplexity(nats_per_token: float) -> float:
    """exp of the mean: among how many equally likely tokens the model would be as unsure.  inf where it is too large."""
    return math.exp(nats_per_token) if nats_per_token < 700 else math.inf


def score_text(lm: LanguageModel, text: str) -> Score:
    """The score of a text, read as the model was trained: as one stream, or line by line."""
    parts = list(token_scores(lm, text))
    ids, nll, rank = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    unknown = ids == lm.tokenizer.unknown
    nll = nll.astype(np.float64)
    return Score(
        tokens=len(ids),
        characters=len(text),
        bytes=len(text.encode("utf-8", "surrogatepass")),
        unknowns=int(unknown.sum()),
        nats=float(nll.sum()),
        nats_known=float(nll[~unknown].sum()),
        top1=float((rank < 1).mean()),
        top5=float((rank < 5).mean()),
    )


def token_scores(lm: LanguageModel, text: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(ids, nll, rank), arrays of equal length, part by part in the order of the text."""
    if lm.settings.by == "line":
        lines = [lm.tokenizer.encode(line + "\n") for line in text.removesuffix("\n").split("\n")]
        for k in range(0, len(lines), TOGETHER):
            yield score_lines(lm.model, lm.P, lines[k : k + TOGETHER])
    else:
        yield from score_stream(lm.model, lm.P, lm.tokenizer.encode(text))


def score_stream(model: Model, P: Params, ids: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(ids, nll, rank) of one long text, the state carried from chunk to chunk.  ids (N,)."""
    state = model.start(1, P.flat.dtype)
    before = np.concatenate([[model.newline], ids[:-1]])
    for k in range(0, len(ids), CHUNK):
        x, y = before[k : k + CHUNK, None], ids[k : k + CHUNK]
        h, state, _ = model.forward(P, x, state)
        yield y, *head_score(h[:, 0], *model.head(P), y)


def score_lines(model: Model, P: Params, lines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids, nll, rank) of lines read side by side, each from a fresh state; what pads the shorter ones is not scored."""
    T, B = max(map(len, lines)), len(lines)
    y, real = np.zeros((B, T), np.int64), np.zeros((B, T), bool)
    for b, line in enumerate(lines):
        y[b, : len(line)], real[b, : len(line)] = line, True
    x = np.concatenate([np.full((B, 1), model.newline), y[:, :-1]], axis=1)
    state, encoded, step = model.start(B, P.flat.dtype), [], max(1, CHUNK // B)
    for t in range(0, T, step):
        h, state, _ = model.forward(P, np.ascontiguousarray(x[:, t : t + step].T), state)
        encoded.append(h)
    h = np.concatenate(encoded).swapaxes(0, 1)
    return y[real], *head_score(h[real], *model.head(P), y[real])


@dataclass(frozen=True)
class Evaluation:
    """A text, its score, and, where it is known, the -ln P of the grammar that made it."""

    name: str
    text: str
    score: Score
    floor: float | None = None

    def report(self) -> dict[str, Any]:
        floor = perplexity(self.floor / self.score.tokens) if self.floor else None
        return {"text": self.name} | self.score.report() | {"floor_perplexity": floor}


def evaluate(lm: LanguageModel, paths: tuple[str, ...] = (), text: str | None = None) -> Evaluation:
    """Score a string, files, or what training held out.  Raises InputError where there is nothing to score."""
    floor = None
    if text is not None:
        name = "--text"
    elif paths:
        name, text = ", ".join(paths), read_corpus(paths, lm.settings.encoding)
    else:
        held_out = read_texts(lm.settings)
        name, text, floor = "the held-out part of the corpus", held_out.valid, held_out.floor
        if not text:
            raise InputError("training held nothing out; give a file or --text")
    if not text:
        raise InputError("there is no text to score; give a file or --text")
    return Evaluation(name, text, score_text(lm, text), floor)


def each_token(lm: LanguageModel, text: str) -> Iterator[dict[str, Any]]:
    """P(token | all before it) of every token, in order, with its surprisal in nats and bits and its rank from 1.

    piece: what stood in the text where the token is <unk>.
    """
    ended = text.removesuffix("\n") + "\n" if lm.settings.by == "line" else text
    pieces = iter(lm.tokenizer.pieces(ended))
    for ids, nll, rank in token_scores(lm, text):
        for i, nats, place in zip(ids.tolist(), nll.tolist(), rank.tolist(), strict=True):
            token, piece = lm.tokenizer.piece(i), next(pieces)
            bits = nats / math.log(2)
            yield {"token": token, "piece": piece, "p": math.exp(-nats), "nats": nats, "bits": bits, "rank": place + 1}
