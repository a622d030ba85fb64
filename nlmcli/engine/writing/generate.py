"""Text generation: predict the distribution of the next token, filter it, sample a token, and feed it back."""

import copy
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise

import numpy as np

from nlmcli.engine.gradient.threads import shared_pool
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.writing.sampling import Sampling
from nlmcli.errors import InputError
from nlmcli.models.base import State
from nlmcli.nn.adaptive_softmax import adaptive_draw_one
from nlmcli.nn.cross_entropy import logits
from nlmcli.options import check_whole
from nlmcli.text.corpus import normalized
from nlmcli.text.tokenizer import Tokenizer, visible
from nlmcli.text.tokenizers.bpe import Bpe
from nlmcli.text.tokenizers.char import Char

SHARED_PRODUCT = 1 << 23  # multiplications that take several times as long as waking a thread
PROMPT_IDS = 256  # the last ids of a prompt that a decoder reads, to space the first new word correctly
TRAILING_SPACE = "the prompt ends with a space, but the words of this model start with one; leave it out"
MAX_CHARACTERS, MAX_PIECES = 20, 5  # of an unseen piece that a note shows, and of such pieces that it lists


class Predictor:
    """Incremental prediction: the state and the next-token logits of a model after B texts.

    When the model's context window is full, it restarts with the last half of it, so it always sees at least half a window.
    """

    def __init__(self, lm: LanguageModel, prompt: str, batch: int = 1):
        self.lm = lm
        self.known: np.ndarray | None = None
        self.state: State = lm.model.start(batch, lm.P.flat.dtype)
        self.seen = np.empty((0, batch), np.int64)  # the ids in the window
        self.h = np.empty((0, 0))  # of the last token (B,H)
        self.keys, self.words = np.empty((0, batch, 0)), np.empty((0, batch), np.int64)  # of the cache: (M,B,H), (M,B)
        self.read(np.full((1, batch), lm.tokenizer.start))
        ids = lm.tokenizer.encode(prompt).astype(np.int64)
        if len(ids):
            self.read(np.repeat(ids[:, None], batch, axis=1))

    def read(self, x: np.ndarray) -> None:
        """Append x (T,B) ids to the texts."""
        new = x
        if self.lm.model.window:
            x = self.slide(x, self.lm.model.window)
        h, self.state = self.lm.model.advance(self.lm.P, x, self.state)
        if self.lm.recall:
            self.remember(new, h[len(h) - len(new) :], self.lm.recall.cache.size)
        self.h, self.known = h[-1].copy(), None

    def remember(self, x: np.ndarray, h: np.ndarray, size: int) -> None:
        """Store which h each of these ids (T,B) followed, and forget all but the last `size`.  h (T,B,H): after each id"""
        before = self.h[None] if self.h.size else h[:0]
        followed = np.concatenate([before, h[:-1]])
        keys = np.concatenate([self.keys, followed]) if self.keys.size else followed
        self.keys, self.words = keys[-size:], np.concatenate([self.words, x[len(x) - len(followed) :]])[-size:]

    @property
    def logits(self) -> np.ndarray:
        """Of the next token (B,V); computed when they are needed."""
        if self.known is None:
            self.known = logits_of(self.lm, self.h)
            if self.lm.recall:
                self.known = self.lm.recall.logits(self.known, self.h, self.keys, self.words)
            if self.lm.tokenizer.unknown is not None:
                self.exclude(self.known, self.lm.tokenizer.unknown)
        return self.known

    def exclude(self, logits: np.ndarray, unknown: int) -> None:
        """Set the logits of <unk>, which is never generated, to -inf."""
        self.unknown_logits = logits[:, unknown].copy()
        logits[:, unknown] = -np.inf
        if not self.lm.model.neural:  # without smoothing, <unk> may be the only token with a probability above 0
            stuck = np.isneginf(logits).all(1)
            logits[np.ix_(stuck, np.arange(logits.shape[1]) != unknown)] = 0

    def draw(self, sampling: Sampling, seen: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The next token of each text (B,), drawn with u (B,) in [0, 1).  seen (B,V): whether each token occurs in the text"""
        lm, cutoffs = self.lm, self.lm.model.cutoffs
        by_clusters = cutoffs and lm.excluded < cutoffs[0] and sampling.is_plain and not lm.recall
        if by_clusters:  # only those that are drawn are computed
            return adaptive_draw_one(self.h, lm.model.head(lm.P), lm.model.tails(lm.P), cutoffs, lm.excluded, u)
        return sampling.draw(self.logits, seen, u)

    def reorder(self, order: np.ndarray) -> None:
        """Replace text k by text order[k]."""
        self.state = tuple(memory[:, order] for memory in self.state)
        self.h, self.seen = self.h[order], self.seen[:, order]
        self.keys, self.words = self.keys[:, order], self.words[:, order]
        self.known = None if self.known is None else self.known[order]

    def slide(self, x: np.ndarray, window: int) -> np.ndarray:
        """The ids to read to append x: x itself or, if the window is full, the new window from the initial state."""
        self.seen = np.concatenate([self.seen, x])
        excess = len(self.seen) - window
        if excess <= 0:
            return x
        step = window - window // 2
        self.seen = self.seen[-(-excess // step) * step :]
        self.state = self.lm.model.start(x.shape[1], self.lm.P.flat.dtype)
        return self.seen


def logits_of(lm: LanguageModel, h: np.ndarray) -> np.ndarray:
    """z = h U + b2, a large product shared out over threads.  h (B,H) -> (B,V)"""
    if not lm.model.neural or lm.model.cutoffs or h.size * len(lm.tokenizer) < SHARED_PRODUCT:
        return lm.model.logits(lm.P, h)
    (U, b2), pool = lm.model.head(lm.P), shared_pool()
    z = np.empty((len(h), U.shape[1]), h.dtype)
    edges = [U.shape[1] * part // pool.n for part in range(pool.n + 1)]
    pool.run([partial(logits, h, U[:, a:b], b2[a:b], z[:, a:b]) for a, b in pairwise(edges)])
    return z


def generate(
    lm: LanguageModel, prompt: str = "", length: int = 100, num: int = 1, seed: int | None = None, sampling: Sampling | None = None
) -> Iterator[np.ndarray]:
    """Yield the next token id of each of num texts, (num,), `length` times.

    The same seed gives the same texts, and text i does not depend on num: each has its own random generator.
    """
    for name, value, least in (("length", length, 0), ("num", num, 1), ("seed", seed, 0)):
        check_whole(name, value, least)
    sampling = sampling or Sampling()
    sampling.check()
    rngs = [np.random.default_rng(None if seed is None else [seed, i]) for i in range(num)]
    predictor, seen, every = Predictor(lm, prompt, num), np.repeat(tokens_in(lm, prompt), num, axis=0), np.arange(num)
    for _ in range(length):
        x = predictor.draw(sampling, seen, np.array([rng.random() for rng in rngs]))
        seen[every, x] = True
        yield x
        predictor.read(x[None])


def tokens_in(lm: LanguageModel, text: str) -> np.ndarray:
    """Whether each token occurs in a text (1,V)."""
    seen = np.zeros((1, len(lm.tokenizer)), bool)
    seen[:, lm.tokenizer.encode(text)] = True
    return seen


def next_words(lm: LanguageModel, prompt: str, k: int, sampling: Sampling | None = None) -> list[tuple[str, float]]:
    """The k most probable next tokens and their probabilities."""
    check_whole("k", k, 1)
    predictor = Predictor(lm, prompt)
    p = (sampling or Sampling()).probabilities(predictor.logits, tokens_in(lm, prompt))[0]
    return [(lm.tokenizer.piece(int(i)), float(p[i])) for i in most_probable(lm, p, k)]


def unknown_probability(lm: LanguageModel, prompt: str) -> float:
    """The probability of <unk> after the prompt, which is left out of the distribution that is sampled from."""
    if lm.tokenizer.unknown is None:
        return 0.0
    predictor = Predictor(lm, readable(lm, prompt)[0])
    others = np.logaddexp.reduce(predictor.logits[0].astype(np.float64))
    unknown = float(predictor.unknown_logits[0])
    return float(np.exp(unknown - np.logaddexp(others, unknown)))


def most_probable(lm: LanguageModel, p: np.ndarray, k: int) -> np.ndarray:
    """The ids of the k most probable tokens without <unk>, ties in the order of ids.  p (V,)"""
    order = np.argsort(-p, kind="stable")
    return order[order != lm.excluded][:k]


def readable(lm: LanguageModel, prompt: str) -> tuple[str, list[str]]:
    """The prompt as the model reads it, and notes for the user.

    An unknown word is read as <unk>; an unknown character as the most similar known one, or left out. bpe has no unknown text.
    """
    tokenizer, prompt = lm.tokenizer, normalized(prompt)
    if isinstance(tokenizer, Bpe):
        return prompt, [TRAILING_SPACE] if prompt.endswith(" ") else []
    folded = prompt.lower() if tokenizer.lowercase else prompt
    unseen = [p for p in dict.fromkeys(tokenizer.pieces(folded)) if p not in tokenizer.index]
    if not unseen or tokenizer.unknown is None:
        return prompt, []
    if not isinstance(tokenizer, Char):
        return prompt, [f"never seen in training, read as <unk>: {join_first(map(quote, unseen))}"]
    forms = {p: tokenizer.nearest(p) for p in unseen}
    changes = [f"{quote(p)} {f'read as {quote(form)}' if form else 'left out'}" for p, form in forms.items()]
    return "".join(forms.get(c, c) for c in folded), [f"never seen in training: {join_first(changes)}"]


def quote(piece: str) -> str:
    """A piece in quotation marks, with nonprinting characters made visible, shortened if it is long."""
    shown = visible(piece[:MAX_CHARACTERS])
    return f'"{shown}{"…" * (len(piece) > MAX_CHARACTERS)}"'


def join_first(items: Iterable[str]) -> str:
    """The first few items, and the number of the others."""
    items = list(items)
    return ", ".join(items[:MAX_PIECES]) + (f" and {len(items) - MAX_PIECES} more" if len(items) > MAX_PIECES else "")


def write(
    lm: LanguageModel,
    prompt: str = "",
    length: int = 100,
    num: int = 1,
    seed: int | None = None,
    sampling: Sampling | None = None,
    stop: tuple[str, ...] = (),
) -> Iterator[tuple[int, str]]:
    """Generate num continuations of the prompt, streamed as (index of the text, next piece of it).

    A text ends after `length` tokens, before a string of `stop` or, if the model was trained by line, at the end of its line.
    """
    if "" in stop:
        raise InputError("a stop string is empty; give the string to stop before")
    stop = (*stop, "\n") if lm.settings.by == "line" else stop
    decoders = [Decoder(lm.tokenizer, prompt, stop) for _ in range(num)]
    for ids in generate(lm, prompt, length, num, seed, sampling):
        for i, decoder in enumerate(decoders):
            if not decoder.finished and (piece := decoder.add(int(ids[i]))):
                yield i, piece
        if all(decoder.finished for decoder in decoders):
            break
    for i, decoder in enumerate(decoders):
        if rest := decoder.rest():
            yield i, rest


class Decoder:
    """Incremental detokenization: token ids one by one -> text; what may be the beginning of a stop string is held back."""

    def __init__(self, tokenizer: Tokenizer, prompt: str, stop: tuple[str, ...]):
        self.writer, self.stop, self.finished = tokenizer.writer(), stop, False
        for i in tokenizer.encode(prompt)[-PROMPT_IDS:].tolist():
            self.writer.add(i)
        self.pending = ""

    def add(self, i: int) -> str:
        """Add an id.  -> the text that is now certain"""
        piece = self.writer.add(i)
        if not self.stop:
            return piece
        self.pending += piece
        at = min((k for s in self.stop if (k := self.pending.find(s)) >= 0), default=None)
        if at is not None:
            self.finished, out, self.pending = True, self.pending[:at], ""
            return out
        held_back = max((k for s in self.stop for k in range(1, len(s)) if self.pending.endswith(s[:k])), default=0)
        cut = len(self.pending) - held_back
        out, self.pending = self.pending[:cut], self.pending[cut:]
        return out

    def rest(self) -> str:
        """The text still held back when generation ends."""
        return "" if self.finished else self.pending + self.writer.rest()

    def copy(self) -> "Decoder":
        """An independent decoder in the same state."""
        other = copy.copy(self)
        other.writer = self.writer.copy()
        return other
