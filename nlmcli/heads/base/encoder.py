"""A model as an encoder of whole texts, one way or both ways.

    h_t = the model's h_t;   both ways: h_t = [h→_t; h←_t], where h← reads the text from its end, and the embeddings E are shared

Only the words of a batch take part: their rows are read from E, or composed of E and of the features of the word's form, and
are the embeddings that the model sees.  So a word outside the vocabulary has an embedding too, <unk> and what its form adds.
The pair of a word and the one before it may have an embedding of its own, by a hash, which is added to the word's (Joulin et al. 2017).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmcli.models.base import Model
from nlmcli.nn.params import Named, Params, Shapes
from nlmcli.nn.reverse import reverse
from nlmcli.nn.subwords import add_gradients, add_grams, grams_of

BACK = "_back"  # suffix of the parameters that read from the end
PAIRS = 1 << 16  # rows of the table of pairs of words
UNKNOWN_WEIGHT = 1.0  # in training a word that occurs c times is <unk> with probability a / (a + c)        Kiperwasser & Goldberg 2016


@dataclass(frozen=True)
class Forms:
    """What is read of each word: word (N,), its row of E, and grams[starts[k]:starts[k+1]], its rows of S.  Ids of x are numbers of words.

    unknown: the row of E that stands for a word outside the vocabulary; hidden (N,): the probability that it does in training.
    """

    word: np.ndarray
    starts: np.ndarray
    grams: np.ndarray
    unknown: int
    hidden: np.ndarray


class Encoder:
    """h (T,B,F) of texts x (T,B), whose padding is negative.

    S: the embeddings of the features of words, and below them those of pairs of words, if either is read.
    """

    def __init__(
        self,
        model: Model,
        vocabulary: int,
        newline: int,
        bidirectional: bool = False,
        buckets: int = 0,
        forms: Forms | None = None,
        pairs: int = 0,
    ):
        """model: built for a newline of 0, the first row of the embeddings of a batch.  newline: the id that stands for it in x.

        buckets, pairs: the rows of S for the features of words and for pairs of words; 0 if they are not read.
        """
        self.model, self.V, self.newline = model, vocabulary, newline
        self.buckets, self.forms, self.pairs = buckets, forms, pairs
        self.directions = ["", BACK] if bidirectional else [""]
        self.names = [name for name in model.encoder_shapes() if name != "E"]

    def shapes(self) -> Shapes:
        """name -> shape of every parameter."""
        shapes = self.model.encoder_shapes()
        D = shapes["E"][1]
        features = {"S": (self.buckets + self.pairs, D)} if self.reads_features else {}
        halves = {name + way: shapes[name] for way in self.directions for name in self.names}
        return {"E": (self.V, D), **features, **halves}

    @property
    def reads_features(self) -> bool:
        """Whether an embedding is more than a row of E."""
        return self.buckets + self.pairs > 0

    @property
    def features(self) -> int:
        """F, the size of h_t."""
        probe = Named({name: np.zeros(shape, np.float32) for name, shape in self.model.encoder_shapes().items()})
        h, _, _ = self.model.forward(probe, np.zeros((1, 1), np.int64), self.model.start(1))  # type: ignore[arg-type]
        return h.shape[2] * len(self.directions)

    def initialize(self, P: Params, rng: np.random.Generator) -> None:
        """Initial parameters: those of the model, for each direction its own; E ~ N(0, 0.1), S a third of that."""
        P.E[...] = rng.standard_normal(P.E.shape) / np.sqrt(10)
        if self.reads_features:
            P.S[...] = rng.standard_normal(P.S.shape) / np.sqrt(90)
        for way in self.directions:
            initial = self.model.initialize(rng, P.flat.dtype)
            for name in self.names:
                P[name + way][...] = initial[name]

    def forward(self, P: Params, x: np.ndarray, rng: Any = None) -> tuple[np.ndarray, np.ndarray, Any]:
        """h (T,B,F), the lengths (B,) of the texts, cache.  rng: a Philox in training, else None."""
        lengths = (x >= 0).sum(0)
        words, before, index = self.distinct(x)
        e, read = self.embed(P, words, before, rng)
        state, caches, halves = self.model.start(x.shape[1], P.flat.dtype), [], []
        for way in self.directions:
            ids = reverse(index, lengths)[0] if way else index
            h, _, cache = self.model.forward(self.half(P, e, way), ids, state, rng)  # type: ignore[arg-type]
            halves.append(reverse(h, lengths)[0] if way else h)
            caches.append(cache)
        return halves[0] if len(halves) == 1 else np.concatenate(halves, axis=2), lengths, (caches, lengths, e, read)

    def backward(self, dh: np.ndarray, cache: Any, G: Params) -> None:
        """Add dL/dθ to G.  dh (T,B,F), 0 at padding."""
        caches, lengths, e, (rows, starts, grams) = cache
        de = np.zeros_like(e)
        for way, half, dhalf in zip(self.directions, caches, np.split(dh, len(caches), axis=2), strict=True):
            dhalf = np.ascontiguousarray(dhalf)
            self.model.backward(reverse(dhalf, lengths)[0] if way else dhalf, half, self.half(G, de, way))  # type: ignore[arg-type]
        add_gradients(de, rows, starts, grams, G.E, G.S if self.reads_features else G.E)

    def rows_read(self, x: np.ndarray) -> np.ndarray:
        """The rows of [E; S] that may be read for x, some several times: whether a word is <unk> is not known before."""
        if not self.reads_features:
            return x[x >= 0]
        words, before, _ = self.distinct(x)
        rows, _, grams = self.rows_of(words, before)
        unknown = [] if self.forms is None else [self.forms.unknown]
        return np.concatenate([np.array(unknown, np.int64), rows, self.V + grams])

    def distinct(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The distinct words of x (T,B), the first of them the end of line, which also stands for padding; the word before each,
        -1 at the start of a text, if pairs are read; and the number of each position's word (T,B)."""
        ids = np.where((x < 0) | (x == self.newline), -1, x)
        count = int(ids.max(initial=0)) + 2
        keys = ids + 1
        if self.pairs:
            keys[1:] += np.where(ids[1:] < 0, 0, keys[:-1]) * count
        keys, index = np.unique(keys, return_inverse=True)
        words, before = keys % count - 1, keys // count - 1
        words[0] = self.newline  # every text begins with one, so that -1 is among them, and the first
        return words, before, index.reshape(x.shape)

    def rows_of(self, words: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The row of E of each word, and its rows of S: grams[starts[k]:starts[k+1]]."""
        forms, rows, starts, grams = self.forms, words, np.zeros(len(words) + 1, np.int64), np.empty(0, np.int64)
        if forms is not None:
            rows = forms.word[words]
            starts[1:] = np.cumsum(forms.starts[words + 1] - forms.starts[words])
            grams = grams_of(words, forms.starts, forms.grams)
        if self.pairs:
            known = before if forms is None else np.where(before < 0, -1, forms.word[before])
            grams = np.insert(grams, starts[1:], self.buckets + pair_rows(known, rows, self.pairs))
            starts = starts + np.arange(len(starts))
        return rows, starts, grams

    def embed(
        self, P: Params, words: np.ndarray, before: np.ndarray, rng: Any
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The embedding of each word, and which rows of E and S it is the sum of."""
        rows, starts, grams = self.rows_of(words, before)
        if self.forms is not None and rng is not None:  # the same for all occurrences in a batch
            u = np.random.default_rng([rng.seed, rng.step, rng.shard]).random(len(words))
            rows = np.where(u < self.forms.hidden[words], self.forms.unknown, rows)
        e = P.E[rows]
        if self.reads_features:
            add_grams(P.S, starts, grams, e)
        return e, (rows, starts, grams)

    def half(self, P: Params, e: np.ndarray, way: str) -> Named:
        """The parameters of one direction under the model's names, with these embeddings."""
        return Named({"E": e, **{name: P[name + way] for name in self.names}})


def pair_rows(before: np.ndarray, word: np.ndarray, size: int) -> np.ndarray:
    """A row below `size` for each pair of rows of E, by a multiplicative hash.  before: -1 at the start of a text."""
    mixed = (before.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + word.astype(np.uint64)) * np.uint64(0xD6E8FEB86659FD93)
    return ((mixed >> np.uint64(32)) % np.uint64(size)).astype(np.int64)
