"""Pre-tokenized text: tokens separated by whitespace, one sentence or paragraph per line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nlmcli.nn.kernel import kernel
from nlmcli.text.strings import Bytes, EncodingCache, StringTable, class_at, count_strings
from nlmcli.text.tokenizer import UNKNOWN, DecodeStream, Ids, Tokenizer
from nlmcli.text.tokenizers.char import CODE_POINTS

EOS = "<eos>"
NEWLINE = ord("\n")
MOST_STRINGS = 1 << 22  # distinct strings that are counted: with their counts, some 700 MB


class WhitespaceDecodeStream(DecodeStream):
    """Joins tokens by one space, without spaces around a line break."""

    last = EOS

    def add(self, i: int) -> str:
        piece, previous = self.tokenizer.vocabulary[i], self.last
        self.last = piece
        return "\n" if piece == EOS else piece if previous == EOS else f" {piece}"


class Whitespace(Tokenizer):
    """Tokens are separated by whitespace. The end of a line is `<eos>`; a literal `<unk>` is the unknown token."""

    name: ClassVar[str] = "whitespace"
    line_end: ClassVar[str] = EOS
    reserved: ClassVar[tuple[str, ...]] = (UNKNOWN, EOS)

    def __init__(self, vocabulary: Iterable[str], counts: npt.ArrayLike, *, lowercase: bool = False, min_count: int = 1) -> None:
        super().__init__(vocabulary, counts, lowercase=lowercase, min_count=min_count)
        self._cache = EncodingCache(split_whitespace, self.encode_strings)

    @classmethod
    def split(cls, string: str) -> list[str]:
        """The tokens of one string without whitespace: here the string itself."""
        return [string]

    @classmethod
    def split_string(cls, string: str) -> list[str]:
        """The tokens of one string between whitespace, or of a line break."""
        return [EOS] if string == "\n" else cls.split(string)

    @classmethod
    def count(cls, parts: Iterable[str]) -> Mapping[str, int]:
        """The count of each type in the parts of a text; each distinct string is split once, and the rarest of very many are unknown."""
        strings, string_counts, dropped = count_strings(parts, split_whitespace, most=MOST_STRINGS)
        counts: Counter[str] = Counter({UNKNOWN: dropped} if dropped else {})
        for string, count in zip(strings.to_list(), string_counts.tolist(), strict=True):
            for piece in cls.split_string(string):
                counts[piece] += count
        return counts

    def pieces(self, text: str) -> list[str]:
        """The tokens of the text as strings; the end of a line is `<eos>`."""
        text = text.lower() if self.lowercase else text
        strings = re.findall(r"\n|\S+", text)
        return [piece for string in strings for piece in self.split_string(string)]

    def encode_strings(self, strings: StringTable, first: int) -> tuple[list[int], list[int]]:
        """The concatenated ids of the strings from number `first` on, and how many each has."""
        unknown = self.index[UNKNOWN]
        split = [self.split_string(string) for string in strings.to_list(first)]
        return [self.index.get(piece, unknown) for pieces in split for piece in pieces], list(map(len, split))

    def encode(self, text: str) -> Ids:
        """text -> ids (tokens,) int32."""
        return self._cache.encode(self.parts(text, self.lowercase))

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """ids -> text with one space between tokens; `<eos>` becomes a line break without spaces around it."""
        return self.join([self.vocabulary[i] for i in self.check_ids(ids)])

    def writer(self) -> DecodeStream:
        return WhitespaceDecodeStream(self)

    @classmethod
    def join(cls, pieces: Sequence[str]) -> str:
        """Detokenize: tokens -> text."""
        lines = " ".join("\n" if piece == EOS else piece for piece in pieces)
        return lines.replace(" \n", "\n").replace("\n ", "\n")


@cache
def whitespace_table() -> npt.NDArray[np.uint8]:
    """1 for whitespace as defined by str.isspace, else 0, by code point."""
    table = np.zeros(CODE_POINTS, np.uint8)
    table[[code for code in range(0x3001) if chr(code).isspace()]] = 1
    return table


def split_whitespace(data: Bytes) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """starts, ends of the strings between whitespace, and of each line break."""
    return split_at(data, whitespace_table())


@kernel
def split_at(data, whitespace):
    """starts, ends as in split_whitespace.  whitespace: 1 for whitespace, by code point."""
    starts, ends = np.empty(len(data), np.int32), np.empty(len(data), np.int32)
    size, start, i = 0, -1, 0
    while i < len(data):
        is_space, after = class_at(data, i, whitespace)
        if is_space and start >= 0:
            ends[size], size, start = i, size + 1, -1
        if data[i] == NEWLINE:
            starts[size], ends[size], size = i, after, size + 1
        elif not is_space and start < 0:
            starts[size], start = i, i
        i = after
    if start >= 0:
        ends[size], size = len(data), size + 1
    return starts[:size], ends[:size]
