"""What goes on inside a model while it reads a text: its hidden units, its attention, which order of n-grams answered."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmcli.engine.reading.encoded import lines_of
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring.segments import CHUNK
from nlmcli.engine.writing.generate import most_probable
from nlmcli.errors import InputError
from nlmcli.nn.precision import products_in

ROWS = 64  # whose probabilities are computed at a time


@dataclass(frozen=True)
class Reading:
    """A text as a model reads it.  tokens, pieces: the printable form and the text of each token;  starts: whether it begins a text"""

    ids: np.ndarray
    tokens: list[str]
    pieces: list[str]
    starts: np.ndarray

    def until(self, n: int) -> "Reading":
        """The first n tokens of the first text."""
        n = min(n, int(np.flatnonzero([*self.starts[1:], True])[0]) + 1)
        return Reading(self.ids[:n], self.tokens[:n], self.pieces[:n], self.starts[:n])


def read(lm: LanguageModel, text: str) -> Reading:
    """The tokens of a text; of a model that reads by line, each line is a text of its own.  Raises InputError if there is none."""
    ids, pieces, starts = list[int](), list[str](), list[bool]()
    for part in lines_of(text) if lm.settings.by == "line" else [text]:
        encoded = lm.tokenizer.encode(part).tolist()
        ids += encoded
        pieces += lm.tokenizer.pieces(part)
        starts += [k == 0 for k in range(len(encoded))]
    if not ids:
        raise InputError("the text has no tokens; give a longer one")
    return Reading(np.array(ids), [lm.tokenizer.piece(i) for i in ids], pieces, np.array(starts))


def texts_of(reading: Reading) -> Iterator[np.ndarray]:
    """The ids of each text."""
    yield from np.split(reading.ids, np.flatnonzero(reading.starts)[1:])


def hidden(lm: LanguageModel, reading: Reading) -> np.ndarray:
    """h after each token, (N,H): what the output layer reads to predict the next one.  Raises InputError for a model without one."""
    if not lm.model.neural:
        raise InputError(f"model {lm.settings.model} counts and has no hidden units; give a run of a neural model")
    rows = []
    with products_in(lm.settings.precision):
        for ids in texts_of(reading):
            x = np.concatenate([[lm.tokenizer.start], ids])[:, None]
            h = lm.model.forward(lm.P, x, lm.start(1))[0][1:, 0]
            rows.append(h.reshape(len(ids), -1))
    return np.concatenate(rows)


def attention(lm: LanguageModel, reading: Reading) -> np.ndarray:
    """How much each position attends to each, (L,heads,N+1,N+1): row t is the distribution of token t over tokens 0 to t.

    Token 0 is the one that precedes a text.  Raises InputError for another model, and for a text longer than its context.
    """
    if not hasattr(lm.model, "attention"):
        raise InputError(f"model {lm.settings.model} has no attention; give a run of a Transformer")
    x = np.concatenate([[lm.tokenizer.start], reading.ids])[:, None]
    if len(x) > lm.model.window:
        raise InputError(
            f"the text has {len(reading.ids):,} tokens, and the model attends to at most {lm.model.window - 1} before the next"
        )
    if reading.starts.sum() > 1:
        raise InputError("the model reads line by line; give a single line")
    with products_in(lm.settings.precision):
        probabilities = lm.model.attention(lm.P, x, lm.start(1))[:, 0, :, : len(x), : len(x)]
    return np.where(np.tri(len(x), dtype=bool), probabilities, 0)


def orders(lm: LanguageModel, reading: Reading) -> np.ndarray:
    """How many words of context were seen together with each token in training, (N,); -1 if not even the token was.

    Raises InputError for a model that does not count n-grams.
    """
    if not hasattr(lm.model, "longest_seen"):
        raise InputError(f"model {lm.settings.model} does not count n-grams; give a run of model ngram")
    found = []
    for ids in texts_of(reading):
        x = np.concatenate([[lm.tokenizer.start], ids[:-1]])[:, None]
        contexts = lm.model.forward(lm.P, x, lm.start(1))[0][:, 0]
        found.append(lm.model.longest_seen(lm.P, contexts, ids))
    return np.concatenate(found)


def step_sizes(lm: LanguageModel, reading: Reading) -> np.ndarray:
    """Δ of each channel of each layer at each token, (N,L,H): how much of it is written to the state, and how much is forgotten.

    Raises InputError for a model without it.
    """
    if not hasattr(lm.model, "step_sizes"):
        raise InputError(f"model {lm.settings.model} has no step sizes; give a run of Mamba")
    found = []
    with products_in(lm.settings.precision):
        for ids in texts_of(reading):
            x = np.concatenate([[lm.tokenizer.start], ids])[:, None]
            found.append(lm.model.step_sizes(lm.P, x, lm.start(1))[:, 1:, 0].swapaxes(0, 1))
    return np.concatenate(found)


def choices(lm: LanguageModel, reading: Reading, k: int) -> Iterator[list[tuple[str, float]]]:
    """The k most probable tokens in the place of each, and their probabilities; <unk>, which is never chosen, is left out."""
    for ids in texts_of(reading):
        state = lm.start(1)
        x = np.concatenate([[lm.tokenizer.start], ids[:-1]])[:, None]
        for start in range(0, len(x), CHUNK):
            with products_in(lm.settings.precision):
                h, state = lm.model.advance(lm.P, x[start : start + CHUNK], state)
                rows = h.reshape(len(h), -1)
                parts = [lm.model.logits(lm.P, rows[at : at + ROWS]) for at in range(0, len(rows), ROWS)]
            for z in parts:
                yield from first_choices(lm, z.astype(np.float64), k)


def first_choices(lm: LanguageModel, z: np.ndarray, k: int) -> Iterator[list[tuple[str, float]]]:
    """The k most probable tokens by the logits z (N,V)."""
    p = np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))
    for row in p:
        yield [(lm.tokenizer.piece(int(i)), float(row[i])) for i in most_probable(lm, row, k)]


@dataclass(frozen=True)
class Telling:
    """A hidden unit, and the property of the text that it tells most of.  share: of the variance of the property, by a line (r²)"""

    unit: int
    property: str
    share: float


def position_in_line(pieces: Sequence[str]) -> np.ndarray:
    """The characters since the last line break, after each piece."""
    at, places = 0, []
    for piece in pieces:
        _, line_break, tail = piece.rpartition("\n")
        at = len(tail) if line_break else at + len(piece)
        places.append(at)
    return np.array(places, float)


def inside_quotes(pieces: Sequence[str]) -> np.ndarray:
    """Whether a quotation is open after each piece."""
    is_open, places = False, []
    for piece in pieces:
        for c in piece:
            is_open = c not in CLOSING if c in OPENING + CLOSING else not is_open if c == '"' else is_open and c != "\n"
        places.append(is_open)
    return np.array(places, float)


OPENING, CLOSING = "“„«", "”»"


def next_is(test: Callable[[str], bool]) -> Callable[[Sequence[str]], np.ndarray]:
    """Whether the first character of the next piece is of this kind."""
    return lambda pieces: np.array([bool(piece) and test(piece[0]) for piece in [*pieces[1:], ""]], float)


PROPERTIES: dict[str, Callable[[Sequence[str]], np.ndarray]] = {
    "position in the line": position_in_line,
    "inside quotation marks": inside_quotes,
    "the next is a letter": next_is(str.isalpha),
    "the next is a capital": next_is(str.isupper),
    "the next is a space": next_is(lambda c: c in " \t"),
    "the next ends the line": next_is(lambda c: c == "\n"),
    "the next is a digit": next_is(str.isdigit),
    "the next is punctuation": next_is(lambda c: not c.isalnum() and not c.isspace()),
    "length of the word so far": lambda pieces: word_lengths(pieces),
}


def word_lengths(pieces: Sequence[str]) -> np.ndarray:
    """The letters since the last character that is none, after each piece."""
    length, places = 0, []
    for piece in pieces:
        for c in piece:
            length = length + 1 if c.isalnum() else 0
        places.append(length)
    return np.array(places, float)


def telling_units(h: np.ndarray, pieces: Sequence[str]) -> list[Telling]:
    """Every unit with the property that it tells most of, the most telling first.  h (N,H) of a text in these pieces

    The share is the squared correlation of unit and property over the text: what one unit alone explains.
    """
    units = standardized(h.astype(np.float64))
    best = [(0.0, "nothing")] * h.shape[1]
    for name, measure in PROPERTIES.items():
        y = standardized(measure(pieces)[:, None])[:, 0]
        for unit, share in enumerate((units.T @ y / len(y)) ** 2):
            best[unit] = max(best[unit], (float(share), name))
    found = [Telling(unit, name, share) for unit, (share, name) in enumerate(best)]
    return sorted(found, key=lambda each: -each.share)


def standardized(x: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and standard deviation 1; of 0 if they are constant."""
    centered = x - x.mean(axis=0)
    deviation = np.sqrt((centered**2).mean(axis=0))
    return centered / np.where(deviation > 1e-12 * np.maximum(1, np.abs(x).max(axis=0)), deviation, math.inf)


def unit(h: np.ndarray, number: int) -> np.ndarray:
    """A hidden unit over the text, scaled to lie between -1 and 1.  Raises InputError if there is no such unit."""
    if not 0 <= number < h.shape[1]:
        raise InputError(f"there is no unit {number}; the model has the units 0 to {h.shape[1] - 1}")
    values: Any = h[:, number].astype(np.float64)
    return values / max(1e-12, np.abs(values).max())
