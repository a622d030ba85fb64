"""Texts of a labelled file -> token ids, also for words outside the vocabulary if their form is read.

Ids up to V are the tokenizer's.  A word outside the vocabulary gets the next free id, which stands for <unk> and its form.
"""

from array import array
from collections.abc import Sequence

import numpy as np

from nlmcli.heads.base.encoder import UNKNOWN_WEIGHT, Forms
from nlmcli.text import word_form
from nlmcli.text.tokenizer import Tokenizer
from nlmcli.text.tokenizers.whitespace import Whitespace

MAX_NEW = 1 << 16  # words outside the vocabulary that are remembered


class Lexicon:
    """The ids of texts and words."""

    def __init__(self, tokenizer: Tokenizer, reads_forms: bool):
        self.tokenizer, self.reads_forms = tokenizer, reads_forms
        self.ids: dict[str, list[int]] = {}  # of words already seen
        self.new: list[str] = []  # words with ids from V on
        if reads_forms:
            self.grams, self.starts = array("q"), array("q", [0])
            for word in tokenizer.vocabulary:
                self.add_form(word)

    def add_form(self, word: str) -> None:
        special = word in self.tokenizer.reserved
        self.grams.extend([] if special else word_form.rows(word))
        self.starts.append(len(self.grams))

    def forget(self) -> None:
        """Forget the words outside the vocabulary, so that memory does not grow with the text."""
        if len(self.new) > MAX_NEW:
            V = len(self.tokenizer)
            self.ids, self.new = {}, []
            if self.reads_forms:
                del self.starts[V + 1 :]
                del self.grams[self.starts[V] :]

    def forms(self) -> Forms | None:
        """The forms of all ids given out so far; None if forms are not read."""
        if not self.reads_forms:
            return None
        V, unknown = len(self.tokenizer), self.tokenizer.unknown or 0
        word = np.concatenate([np.arange(V), np.full(len(self.new), unknown)])
        counts = self.tokenizer.counts.astype(np.float64)
        hidden = np.concatenate([UNKNOWN_WEIGHT / (UNKNOWN_WEIGHT + counts), np.ones(len(self.new))])
        hidden[self.tokenizer.newline] = 0
        return Forms(word, np.array(self.starts), np.array(self.grams), unknown, hidden)

    def texts(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text."""
        if self.reads_forms:
            pieces = self.tokenizer.pieces
            return [np.array([i for piece in pieces(text) for i in self.word(piece)], np.int64) for text in texts]
        if self.tokenizer.name != "bpe":  # several texts at once are faster, where a line break is always a token of its own
            ids = self.tokenizer.encode("".join(f"{text}\n" for text in texts))
            ends = np.flatnonzero(ids == self.tokenizer.newline)
            if len(ends) == len(texts):
                return [part[:-1] for part in np.split(ids, ends[:-1] + 1)]
        return [self.tokenizer.encode(text) for text in texts]

    def word_ids(self, word: str, is_first: bool) -> list[int]:
        """The ids of a word of a sentence, at least one."""
        return self.word(word if is_first or isinstance(self.tokenizer, Whitespace) else f" {word}")

    def word(self, word: str) -> list[int]:
        """The ids of a word, at least one; of tokenizers without words those of its pieces."""
        known = self.ids.get(word)
        if known is None:
            t = self.tokenizer
            ids = [self.token(piece) for piece in t.pieces(word)] if isinstance(t, Whitespace) else t.encode(word).tolist()
            known = self.ids[word] = ids or [t.unknown or 0]
        return known

    def token(self, piece: str) -> int:
        """The id of a token, a new one if it is outside the vocabulary and forms are read."""
        i = self.tokenizer.index.get(piece.lower() if self.tokenizer.lowercase else piece)
        if i is not None:
            return i
        if not self.reads_forms:
            return self.tokenizer.unknown or 0
        self.new.append(piece)
        self.add_form(piece)
        return len(self.tokenizer) + len(self.new) - 1
