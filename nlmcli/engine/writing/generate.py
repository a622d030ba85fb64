"""Text from a model: the distribution over the next token, shaped, drawn from, and fed back."""

import copy
from collections.abc import Iterable, Iterator

import numpy as np

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.writing.sampling import Sampling
from nlmcli.errors import InputError
from nlmcli.models.base import State
from nlmcli.options import check_whole
from nlmcli.text.corpus import normalized
from nlmcli.text.tokenizer import Tokenizer, visible
from nlmcli.text.tokenizers.bpe import Bpe
from nlmcli.text.tokenizers.char import Char

WINDOW = 256  # ids of a prompt that are looked back on to know how the next one is spaced
BLANK_AT_END = "the prompt ends with a blank, but the words of this model begin with theirs; better leave it out"
LONGEST, MENTIONED = 20, 5  # characters of an unseen piece that a note shows, and how many such pieces


class Reader:
    """A model that has read a text and can say what comes next, B texts at a time.

    Where the model's window is full, it begins afresh with the last half of it: it always sees half a window at least.
    """

    def __init__(self, lm: LanguageModel, prompt: str, batch: int = 1):
        self.lm = lm
        self.state: State = lm.model.start(batch, lm.P.flat.dtype)
        self.seen = np.empty((0, batch), np.int64)  # what is in the window
        self.read(np.full((1, batch), lm.tokenizer.newline))
        ids = lm.tokenizer.encode(prompt).astype(np.int64)
        if len(ids):
            self.read(np.repeat(ids[:, None], batch, axis=1))

    def read(self, x: np.ndarray) -> None:
        """Read on: x (T,B) ids."""
        if self.lm.model.window:
            x = self.slide(x, self.lm.model.window)
        h, self.state, _ = self.lm.model.forward(self.lm.P, x, self.state)
        self.logits = self.lm.model.logits(self.lm.P, h[-1])
        if self.lm.tokenizer.unknown is not None:
            self.logits[:, self.lm.tokenizer.unknown] = -np.inf  # an unknown word is nothing that could be written
            nothing = np.isneginf(self.logits).all(1)  # follows but an unknown word: without smoothing that may be
            self.logits[np.ix_(nothing, np.arange(self.logits.shape[1]) != self.lm.tokenizer.unknown)] = 0

    def reorder(self, order: np.ndarray) -> None:
        """Text k becomes what text order[k] is."""
        self.state = tuple(memory[:, order] for memory in self.state)
        self.logits, self.seen = self.logits[order], self.seen[:, order]

    def slide(self, x: np.ndarray, window: int) -> np.ndarray:
        """What is to be read for x: x itself, or from a fresh state the window that x ends in."""
        self.seen = np.concatenate([self.seen, x])
        beyond = len(self.seen) - window
        if beyond <= 0:
            return x
        step = window - window // 2
        self.seen = self.seen[-(-beyond // step) * step :]
        self.state = self.lm.model.start(x.shape[1], self.lm.P.flat.dtype)
        return self.seen


def generate(
    lm: LanguageModel, prompt: str = "", length: int = 100, num: int = 1, seed: int | None = None, sampling: Sampling | None = None
) -> Iterator[np.ndarray]:
    """Ids (num,) of the next token of each of num texts, `length` times.

    The same seed gives the same texts, and text i is the same however many there are: each has its own random numbers.
    """
    for name, value, least in (("length", length, 0), ("num", num, 1), ("seed", seed, 0)):
        check_whole(name, value, least)
    sampling = sampling or Sampling()
    sampling.check()
    rngs = [np.random.default_rng(None if seed is None else [seed, i]) for i in range(num)]
    reader, seen = Reader(lm, prompt, num), np.repeat(seen_in(lm, prompt), num, axis=0)
    for _ in range(length):
        cumulative = sampling.shape(reader.logits, seen).cumsum(1)
        draw = np.array([[rng.random()] for rng in rngs]) * cumulative[:, -1:]
        x = (cumulative <= draw).sum(1)
        seen[np.arange(num), x] = True
        yield x
        reader.read(x[None])


def seen_in(lm: LanguageModel, text: str) -> np.ndarray:
    """(1,V) whether each token occurs in a text."""
    seen = np.zeros((1, len(lm.tokenizer)), bool)
    seen[:, lm.tokenizer.encode(text)] = True
    return seen


def next_words(lm: LanguageModel, prompt: str, k: int, sampling: Sampling | None = None) -> list[tuple[str, float]]:
    """The k most probable next tokens and their probabilities."""
    check_whole("k", k, 1)
    reader = Reader(lm, prompt)
    p = (sampling or Sampling()).shape(reader.logits, seen_in(lm, prompt))[0]
    return [(lm.tokenizer.piece(int(i)), float(p[i])) for i in np.argsort(-p, kind="stable")[:k]]


def readable(lm: LanguageModel, prompt: str) -> tuple[str, list[str]]:
    """The prompt as the model can read it, and what is to be said about that.

    An unknown word is read as <unk>; an unknown character as its nearest known relative, or left out. To bpe nothing is unknown.
    """
    tokenizer, prompt = lm.tokenizer, normalized(prompt)
    if isinstance(tokenizer, Bpe):
        return prompt, [BLANK_AT_END] if prompt.endswith(" ") else []
    folded = prompt.lower() if tokenizer.lowercase else prompt
    unseen = [p for p in dict.fromkeys(tokenizer.pieces(folded)) if p not in tokenizer.index]
    if not unseen or tokenizer.unknown is None:
        return prompt, []
    if not isinstance(tokenizer, Char):
        return prompt, [f"never seen in training, read as <unk>: {listed(map(quoted, unseen))}"]
    forms = {p: tokenizer.nearest(p) for p in unseen}
    said = [f"{quoted(p)} {f'read as {quoted(form)}' if form else 'left out'}" for p, form in forms.items()]
    return "".join(forms.get(c, c) for c in folded), [f"never seen in training: {listed(said)}"]


def quoted(piece: str) -> str:
    """A piece in quotation marks, visible and not too long."""
    shown = visible(piece[:LONGEST])
    return f'"{shown}{"…" * (len(piece) > LONGEST)}"'


def listed(items: Iterable[str]) -> str:
    """The first few of them, and how many more there are."""
    items = list(items)
    return ", ".join(items[:MENTIONED]) + (f" and {len(items) - MENTIONED} more" if len(items) > MENTIONED else "")


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
    if "" in stop:
        raise InputError("a stop text is empty; give the text before which to end")
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
    """Ids one by one -> text as soon as it is sure: what may turn out to begin a stop string waits."""

    def __init__(self, tokenizer: Tokenizer, prompt: str, stop: tuple[str, ...]):
        self.writer, self.stop, self.ended = tokenizer.writer(), stop, False
        for i in tokenizer.encode(prompt)[-WINDOW:].tolist():
            self.writer.add(i)
        self.waiting = ""

    def add(self, i: int) -> str:
        """One id more -> what can be written now."""
        self.waiting += self.writer.add(i)
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
        return "" if self.ended else self.waiting + self.writer.rest()

    def copy(self) -> "Decoder":
        """A decoder that has written the same and goes on by itself."""
        other = copy.copy(self)
        other.writer = self.writer.copy()
        return other
