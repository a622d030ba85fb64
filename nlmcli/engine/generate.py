"""Text from a model: the distribution over the next token, shaped, drawn from, and fed back.

p_i = softmax(z / temperature)_i, kept only where every filter keeps it, and divided by what is left
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nlmcli.engine.language_model import LanguageModel
from nlmcli.engine.settings import finite
from nlmcli.errors import InputError
from nlmcli.models.base import State
from nlmcli.nn.activations import softmax
from nlmcli.text.tokenizer import Tokenizer, visible

WINDOW = 256  # ids that are looked back on to know how the next one is spaced
LONGEST = 20  # characters of an unseen piece that a note shows
HALF = "\ufffd"  # what an unfinished character decodes to


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.  temperature 1: as the model says; below 1: surer; 0 or greedy: always the most probable."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    greedy: bool = False

    def check(self) -> None:
        """Raises InputError for a value out of range."""
        for name, value in (("temperature", self.temperature), ("top-p", self.top_p), ("min-p", self.min_p)):
            finite(name, value)
        if not self.temperature >= 0:
            raise InputError(f"--temperature {self.temperature} is out of range; give 0 or more")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"--top-k {self.top_k} is too small; give 1 or more")
        for name, value in (("top-p", self.top_p), ("min-p", self.min_p)):
            if value is not None and not 0 < value <= 1:
                raise InputError(f"--{name} {value} is out of range; give a number above 0, at most 1")

    def shape(self, z: np.ndarray) -> np.ndarray:
        """The distribution that is drawn from.  z (B,V) logits -> p (B,V) float64, rows that sum to 1."""
        z = z.astype(np.float64)
        if self.greedy or self.temperature == 0:
            return np.eye(z.shape[1])[z.argmax(1)]
        p, _ = softmax(z / self.temperature)
        if self.top_k is not None:
            p = keep_most_probable(p, np.arange(p.shape[1]) < self.top_k)
        if self.top_p is not None:
            ordered = -np.sort(-p, axis=1)
            p = keep_most_probable(p, ordered.cumsum(1) - ordered < self.top_p)
        if self.min_p is not None:
            p = np.where(p >= self.min_p * p.max(1, keepdims=True), p, 0)
        return p / p.sum(1, keepdims=True)


def keep_most_probable(p: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """p with only the k-th most probable entries kept where keep[..., k] holds; equals in the order of their ids."""
    order = np.argsort(-p, axis=1, kind="stable")
    kept = np.zeros_like(p)
    np.put_along_axis(kept, order, np.take_along_axis(p, order, 1) * keep, 1)
    return kept


class Reader:
    """A model that has read a text and can say what comes next, B texts at a time."""

    def __init__(self, lm: LanguageModel, prompt: str, batch: int = 1):
        self.lm = lm
        self.state: State = lm.model.start(batch, lm.P.flat.dtype)
        self.read(np.full((1, batch), lm.tokenizer.newline))
        ids = lm.tokenizer.encode(prompt).astype(np.int64)
        if len(ids):
            self.read(np.repeat(ids[:, None], batch, axis=1))

    def read(self, x: np.ndarray) -> None:
        """Read on: x (T,B) ids."""
        h, self.state, _ = self.lm.model.forward(self.lm.P, x, self.state)
        self.logits = self.lm.model.logits(self.lm.P, h[-1])
        if self.lm.tokenizer.unknown is not None:
            self.logits[:, self.lm.tokenizer.unknown] = -np.inf  # an unknown word is nothing that could be written
            nothing = np.isneginf(self.logits).all(1)  # follows but an unknown word: without smoothing that may be
            self.logits[np.ix_(nothing, np.arange(self.logits.shape[1]) != self.lm.tokenizer.unknown)] = 0


def generate(
    lm: LanguageModel, prompt: str = "", length: int = 100, num: int = 1, seed: int | None = None, sampling: Sampling | None = None
) -> Iterator[np.ndarray]:
    """Ids (num,) of the next token of each of num texts, `length` times.  The same seed gives the same texts."""
    sampling = sampling or Sampling()
    sampling.check()
    rng = np.random.default_rng(seed)
    reader = Reader(lm, prompt, num)
    for _ in range(length):
        cumulative = sampling.shape(reader.logits).cumsum(1)
        draw = rng.random((num, 1)) * cumulative[:, -1:]
        x = (cumulative <= draw).sum(1)
        yield x
        reader.read(x[None])


def next_words(lm: LanguageModel, prompt: str, k: int, sampling: Sampling | None = None) -> list[tuple[str, float]]:
    """The k most probable next tokens and their probabilities."""
    reader = Reader(lm, prompt)
    p = (sampling or Sampling()).shape(reader.logits)[0]
    return [(lm.tokenizer.piece(int(i)), float(p[i])) for i in np.argsort(-p, kind="stable")[:k]]


def notes(lm: LanguageModel, prompt: str) -> list[str]:
    """What is to be said about a prompt: which of its pieces the model has never seen."""
    known = set(lm.tokenizer.vocabulary)
    folded = prompt.lower() if lm.tokenizer.lowercase else prompt
    unseen = [p for p in dict.fromkeys(lm.tokenizer.pieces(folded)) if p not in known]
    if not unseen or lm.tokenizer.unknown is None:
        return []
    more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
    shown = (f'"{p[:LONGEST]}{"…" * (len(p) > LONGEST)}"' for p in map(visible, unseen[:5]))
    return [f"never seen in training, read as <unk>: {', '.join(shown)}{more}"]


def write(
    lm: LanguageModel,
    prompt: str = "",
    length: int = 100,
    num: int = 1,
    seed: int | None = None,
    sampling: Sampling | None = None,
    stop: tuple[str, ...] = (),
) -> Iterator[tuple[int, str]]:
    """(which text, what it goes on with), piece by piece: num texts that begin with the prompt.

    A text ends after `length` tokens, before a string of `stop`, or, if the model was trained line by line, with its line.
    """
    stop = (*stop, "\n") if lm.settings.by == "line" else stop
    texts = [Decoder(lm.tokenizer, prompt, stop) for _ in range(num)]
    for ids in generate(lm, prompt, length, num, seed, sampling):
        for i, text in enumerate(texts):
            if not text.ended and (piece := text.add(int(ids[i]))):
                yield i, piece
        if all(text.ended for text in texts):
            break
    for i, text in enumerate(texts):
        if rest := text.rest():
            yield i, rest


class Decoder:
    """Ids one by one -> text as soon as it is sure: what may turn out to begin a stop string, or half a character, waits."""

    def __init__(self, tokenizer: Tokenizer, prompt: str, stop: tuple[str, ...]):
        self.tokenizer, self.stop, self.ended = tokenizer, stop, False
        self.ids = tokenizer.encode(prompt).tolist()[-WINDOW:]
        self.waiting = ""

    def add(self, i: int) -> str:
        """One id more -> what can be written now."""
        before = self.tokenizer.decode(self.ids).rstrip(HALF)
        self.ids = [*self.ids, i]
        self.waiting += self.tokenizer.decode(self.ids).rstrip(HALF)[len(before) :]
        self.ids = self.ids[-WINDOW:]
        at = min((k for s in self.stop if (k := self.waiting.find(s)) >= 0), default=None)
        if at is not None:
            self.ended, out, self.waiting = True, self.waiting[:at], ""
            return out
        held = max((k for s in self.stop for k in range(1, len(s)) if self.waiting.endswith(s[:k])), default=0)
        cut = len(self.waiting) - held
        out, self.waiting = self.waiting[:cut], self.waiting[cut:]
        return out

    def rest(self) -> str:
        """What still waited when the text came to its end."""
        return "" if self.ended else self.waiting
