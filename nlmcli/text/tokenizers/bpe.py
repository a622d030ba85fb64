"""Byte-level byte-pair encoding: tokens are frequent subwords merged from bytes, so nothing is ever unknown.

Sennrich et al. 2016; the order of the bytes and the pre-tokenization are GPT-2's (Radford et al. 2019).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nlmcli.errors import InputError
from nlmcli.text.merges import apply_bpe, learn_bpe
from nlmcli.text.pretokenize import BEFORE_WHITESPACE, pretokenize
from nlmcli.text.strings import EncodingCache, StringTable, count_strings
from nlmcli.text.tokenizer import DecodeStream, Ids, Tokenizer
from nlmcli.text.tokenizers.byte import ByteDecodeStream

VOCAB_SIZE = 8192  # default
MAX_BYTES = 1 << 23  # of distinct words that merges are learned from; a few hundred megabytes of English have as many
PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]  # bytes that are visible characters of Latin-1
ALPHABET = np.array([*PRINTABLE, *(byte for byte in range(256) if byte not in PRINTABLE)], np.uint8)  # the bytes by id


def token_to_text(token: bytes) -> str:
    """A token as text. A byte of an incomplete character becomes a lone surrogate (PEP 383), so the map is one-to-one."""
    return token.decode("utf-8", "surrogateescape")


def text_to_token(piece: str) -> bytes:
    """The inverse of token_to_text."""
    return piece.encode("utf-8", "surrogateescape")


class BpeDecodeStream(ByteDecodeStream):
    """Tokens -> text; the bytes of an incomplete character are held back."""

    tokenizer: Bpe

    def bytes_of(self, i: int) -> bytes:
        return self.tokenizer.tokens[i]


class Bpe(Tokenizer):
    """Tokens are bytes and the results of merges.  merges: pairs of ids, in the order in which they were learned.

    special: tokens that encoding never produces, even if the text contains them; files from other tools may have some.
    """

    name: ClassVar[str] = "bpe"
    line_end: ClassVar[str] = "\n"
    default_min_count: ClassVar[int] = 2
    cut_at: ClassVar[re.Pattern[str]] = BEFORE_WHITESPACE
    fields: ClassVar[tuple[str, ...]] = (*Tokenizer.fields, "merges", "special", "start_token")
    learned: ClassVar[bool] = True

    def __init__(
        self,
        vocabulary: Iterable[str],
        counts: npt.ArrayLike,
        *,
        merges: Iterable[Sequence[int]],
        special: Iterable[str] = (),
        start_token: str | None = None,
        lowercase: bool = False,
        min_count: int = 1,
    ) -> None:
        """start_token: the special token that stands before a text; None: the end of line.

        Raises InputError if a byte has no id, or a merge or its result is not in the vocabulary.
        """
        super().__init__(vocabulary, counts, lowercase=lowercase, min_count=min_count)
        self.start_token = start_token
        if start_token is not None:
            self.start = self.index[start_token]
        self.merges, self.special = [(int(left), int(right)) for left, right in merges], list(special)
        self.tokens = [text_to_token(piece) for piece in self.vocabulary]
        ids = {token: i for i, token in enumerate(self.tokens)}
        try:
            self._byte_ids = np.array([ids[bytes([byte])] for byte in range(256)], np.int32)
            merged = {pair: ids[self.tokens[pair[0]] + self.tokens[pair[1]]] for pair in self.merges}
        except (KeyError, IndexError):
            raise InputError("a bpe vocabulary must contain all 256 bytes and the result of each merge; fit the tokenizer again") from None
        ranks = {pair: rank for rank, pair in enumerate(self.merges)}  # for a repeated pair, the last rank
        pairs = sorted(merged)
        self._pairs = np.array([left << 32 | right for left, right in pairs], np.int64)
        self._ranks = np.array([ranks[pair] for pair in pairs], np.int64)
        self._merged_ids = np.array([merged[pair] for pair in pairs], np.int32)
        self._cache = EncodingCache(pretokenize, self.encode_words)

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

        A pair that occurs less than min_count times (None: 2) is not merged. The text is read twice: for the merges (only the
        beginning of a long text, see MAX_BYTES) and for the counts.  Raises InputError for a limit that is too small.
        """
        vocab_size = VOCAB_SIZE if vocab_size is None else vocab_size
        min_count = cls.default_min_count if min_count is None else min_count
        cls.check_bounds(vocab_size, min_count)
        words, counts, _ = count_strings(cls.parts(text, lowercase), pretokenize, MAX_BYTES)
        pairs = learn_bpe(words.store, words.bounds[: len(words) + 1], counts, ALPHABET, vocab_size, min_count).tolist()
        merges = [(pair >> 32, pair & 0xFFFFFFFF) for pair in pairs]
        tokens = [bytes([byte]) for byte in ALPHABET.tolist()]
        for left, right in merges:
            tokens.append(tokens[left] + tokens[right])
        fitted = cls(map(token_to_text, tokens), np.zeros(len(tokens)), merges=merges, lowercase=lowercase, min_count=min_count)
        return fitted.recount(text)

    @classmethod
    def check_bounds(cls, vocab_size: int | None, min_count: int) -> None:
        """Raises InputError for limits that allow no vocabulary."""
        super().check_bounds(None, min_count)
        if vocab_size is not None and vocab_size < 256:
            raise InputError(f"vocab-size {vocab_size} is too small for the bpe tokenizer; give 256 or more")

    def encode_words(self, words: StringTable, first: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The concatenated ids of the words from number `first` on, and how many each has."""
        return apply_bpe(words.store, words.bounds[: len(words) + 1], first, self._byte_ids, self._pairs, self._ranks, self._merged_ids)

    def pieces(self, text: str) -> list[str]:
        """The tokens of the text as strings."""
        return [self.vocabulary[i] for i in self.encode(text)]

    def encode(self, text: str) -> Ids:
        """text -> ids (tokens,) int32."""
        return self._cache.encode(self.parts(text, self.lowercase))

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """ids -> text; invalid UTF-8, such as an incomplete character, becomes U+FFFD."""
        return b"".join([self.tokens[i] for i in self.check_ids(ids)]).decode("utf-8", "replace")

    def writer(self) -> DecodeStream:
        return BpeDecodeStream(self)

    def to_dict(self) -> dict[str, Any]:
        """The complete tokenizer as JSON-serializable data."""
        merges = [list(pair) for pair in self.merges]
        return super().to_dict() | {"merges": merges, "special": list(self.special), "start_token": self.start_token}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Tokenizer:
        return super().from_dict({"start_token": None} | dict(saved))  # which earlier versions did not save
