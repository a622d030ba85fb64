"""Byte-level byte-pair encoding: frequent pieces of words, put together from bytes, so nothing is ever unknown.

Sennrich et al. 2016; the bytes, their order and the cuts between words are GPT-2's (Radford et al. 2019).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nlmcli.errors import InputError
from nlmcli.text.merges import apply, learn
from nlmcli.text.split import BEFORE_BLANK, split
from nlmcli.text.strings import Memory, Strings, counted
from nlmcli.text.tokenizer import Ids, Tokenizer, Writer
from nlmcli.text.tokenizers.byte import ByteWriter

VOCAB_SIZE = 8192  # where none is given
MOST = 1 << 23  # bytes of distinct words that merges are learned from: some hundred megabytes of English have so many
PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]  # bytes that are a visible character of Latin-1
ALPHABET = np.array([*PRINTABLE, *(byte for byte in range(256) if byte not in PRINTABLE)], np.uint8)  # by their ids


def text_of(token: bytes) -> str:
    """A token as text. A byte that belongs to no whole character is a lone surrogate (PEP 383), so no two are the same text."""
    return token.decode("utf-8", "surrogateescape")


def bytes_of(piece: str) -> bytes:
    """The token of which that is the text."""
    return piece.encode("utf-8", "surrogateescape")


class BpeWriter(ByteWriter):
    """Tokens -> text; bytes that may begin a character wait for the next."""

    tokenizer: Bpe

    def bytes_of(self, i: int) -> bytes:
        return self.tokenizer.tokens[i]


class Bpe(Tokenizer):
    """Tokens are bytes and what merges make of them.  merges: pairs of ids, in the order in which they were learned.

    special: tokens that no text is ever encoded to, whatever it reads like; a file made elsewhere may have such.
    """

    name: ClassVar[str] = "bpe"
    line_end: ClassVar[str] = "\n"
    default_min_count: ClassVar[int] = 2
    cut_at: ClassVar[re.Pattern[str]] = BEFORE_BLANK
    fields: ClassVar[tuple[str, ...]] = (*Tokenizer.fields, "merges", "special")
    learned: ClassVar[bool] = True

    def __init__(
        self,
        vocabulary: Iterable[str],
        counts: npt.ArrayLike,
        *,
        merges: Iterable[Sequence[int]],
        special: Iterable[str] = (),
        lowercase: bool = False,
        min_count: int = 1,
    ) -> None:
        """Raises InputError where a byte has no id, or a merge is not one of tokens to a token."""
        super().__init__(vocabulary, counts, lowercase=lowercase, min_count=min_count)
        self.merges, self.special = [(int(left), int(right)) for left, right in merges], list(special)
        self.tokens = [bytes_of(piece) for piece in self.vocabulary]
        ids = {token: i for i, token in enumerate(self.tokens)}
        try:
            self._of_byte = np.array([ids[bytes([byte])] for byte in range(256)], np.int32)
            made = {pair: ids[self.tokens[pair[0]] + self.tokens[pair[1]]] for pair in self.merges}
        except (KeyError, IndexError):
            raise InputError("a bpe vocabulary holds the 256 bytes and what each merge makes; fit the tokenizer again") from None
        ranks = {pair: rank for rank, pair in enumerate(self.merges)}  # of a pair that comes twice, the last
        known = sorted(made)
        self._pairs = np.array([left << 32 | right for left, right in known], np.int64)
        self._ranks = np.array([ranks[pair] for pair in known], np.int64)
        self._made = np.array([made[pair] for pair in known], np.int32)
        self._memory = Memory(split, self.work_out)

    @classmethod
    def fit(
        cls,
        text: str | Iterable[str],
        *,
        vocab_size: int | None = None,
        min_count: int | None = None,
        lowercase: bool = False,
    ) -> Tokenizer:
        """The bytes, and the merges learned from the text until there are vocab_size tokens (None: 8192).

        A pair seen less than min_count times (None: 2) is not merged. The text is read twice: for the merges, of a long text
        only its beginning (MOST), and for the counts.  Raises InputError for a bound too small.
        """
        vocab_size = VOCAB_SIZE if vocab_size is None else vocab_size
        min_count = cls.default_min_count if min_count is None else min_count
        cls.check_bounds(vocab_size, min_count)
        words, counts = counted(cls.parts(text, lowercase), split, MOST)
        pairs = learn(words.store, words.bounds[: len(words) + 1], counts, ALPHABET, vocab_size, min_count).tolist()
        merges = [(pair >> 32, pair & 0xFFFFFFFF) for pair in pairs]
        tokens = [bytes([byte]) for byte in ALPHABET.tolist()]
        for left, right in merges:
            tokens.append(tokens[left] + tokens[right])
        fitted = cls(map(text_of, tokens), np.zeros(len(tokens)), merges=merges, lowercase=lowercase, min_count=min_count)
        return fitted.counting(text)

    @classmethod
    def check_bounds(cls, vocab_size: int | None, min_count: int) -> None:
        """Raises InputError for bounds under which no vocabulary exists."""
        super().check_bounds(None, min_count)
        if vocab_size is not None and vocab_size < 256:
            raise InputError(f"vocab-size {vocab_size} is too small for the bpe tokenizer; give 256 or more")

    def work_out(self, words: Strings, first: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The ids of words, and how many each has."""
        return apply(words.store, words.bounds[: len(words) + 1], first, self._of_byte, self._pairs, self._ranks, self._made)

    def pieces(self, text: str) -> list[str]:
        """The tokens of the text."""
        return [self.vocabulary[i] for i in self.encode(text)]

    def encode(self, text: str) -> Ids:
        """text -> ids (tokens,) int32."""
        return self._memory.encode(self.parts(text, self.lowercase))

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """ids -> text; bytes that are no UTF-8, such as half a character, give U+FFFD."""
        return b"".join([self.tokens[i] for i in self.checked(ids)]).decode("utf-8", "replace")

    def writer(self) -> Writer:
        return BpeWriter(self)

    def to_dict(self) -> dict[str, Any]:
        """All of the tokenizer, as JSON can hold it."""
        return super().to_dict() | {"merges": [list(pair) for pair in self.merges], "special": list(self.special)}
