"""The total -ln P of a text, in every unit."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nlmcli.engine.reading.encoded import Encoded
from nlmcli.errors import InputError
from nlmcli.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Score:
    """The totals from which every unit is computed.  nats: Σ -ln P;  *_known: without the <unk> tokens.

    top1, top5: accuracies.  line_ends: line ends among the tokens of the text; unless counted, no other figure includes them.
    """

    tokens: int
    characters: int
    bytes: int
    unknowns: int
    nats: float
    nats_known: float
    top1: float
    top5: float
    top1_known: float | None = None
    top5_known: float | None = None
    line_ends: int = 0
    line_ends_counted: bool = True

    def report(self) -> dict[str, Any]:
        """Every unit, by stable names."""
        bits, known = self.nats / math.log(2), self.tokens - self.unknowns
        nats_per_known = self.nats_known / known if known else None
        return asdict(self) | {
            "nats_per_token": self.nats / self.tokens,
            "perplexity": perplexity(self.nats / self.tokens),
            "bits_per_token": bits / self.tokens,
            "bits_per_character": bits / self.characters,
            "bits_per_byte": bits / self.bytes,
            "unknown_rate": self.unknowns / self.tokens,
            "nats_per_token_known": nats_per_known,
            "perplexity_known": None if nats_per_known is None else perplexity(nats_per_known),
            "bits_per_token_known": None if nats_per_known is None else nats_per_known / math.log(2),
        }


def perplexity(nats_per_token: float) -> float:
    """exp(mean -ln P): the number of equally likely tokens with the same uncertainty.  inf on overflow."""
    return math.exp(nats_per_token) if nats_per_token < 700 else math.inf


class Tally:
    """Sums tokens, -ln P and ranks, part by part.  eos: whether line ends are counted.

    A line end is <eos>, or a token that consists of line breaks only; a bpe token with other white space in it always counts.
    """

    def __init__(self, tokenizer: Tokenizer, eos: bool = True):
        self.tokenizer, self.eos = tokenizer, eos
        self.breaks = np.array([piece.count("\n") for piece in tokenizer.vocabulary])  # line breaks in each type
        self.is_line_end = self.breaks == np.array([len(piece) or -1 for piece in tokenizer.vocabulary])
        self.is_line_end[tokenizer.newline] = True
        self.totals = np.zeros(10)

    def add(self, ids: np.ndarray, nll: np.ndarray, rank: np.ndarray) -> None:
        """Add a part.  ids, nll, rank (N,)"""
        self.totals += self.sums(ids, nll, rank)

    def sums(self, ids: np.ndarray, nll: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """What a part adds (10,): tokens, nats, top-1 hits and top-5 hits; the same of known tokens; line ends, breaks in others."""
        line_end, known = self.is_line_end[ids], ids != self.tokenizer.unknown
        counted = np.full(len(ids), True) if self.eos else ~line_end
        values = np.stack([np.ones(len(ids)), nll.astype(np.float64), known & (rank < 1), known & (rank < 5)])
        ends = np.count_nonzero(line_end), self.breaks[ids[~line_end]].sum()
        return np.concatenate([values[:, counted].sum(1), values[:, counted & known].sum(1), ends])

    def score(self, text: Encoded) -> Score:
        """The score of the text whose tokens were added.  Raises InputError if none was counted."""
        tokens, nats, top1, top5, known, nats_known, *tops_known, line_ends, counted_breaks = self.totals.tolist()
        if not tokens:
            raise InputError(f"the text has no tokens {'' if self.eos else 'but line ends '}to score; give another")
        excluded = 0 if self.eos else max(0, text.line_ends - int(counted_breaks))
        top1_known, top5_known = (top / known if known else None for top in tops_known)
        return Score(
            tokens=int(tokens),
            characters=text.characters - excluded,
            bytes=text.bytes - excluded,
            unknowns=int(tokens - known),
            nats=nats,
            nats_known=nats_known,
            top1=top1 / tokens,
            top5=top5 / tokens,
            top1_known=top1_known,
            top5_known=top5_known,
            line_ends=int(line_ends),
            line_ends_counted=self.eos,
        )
