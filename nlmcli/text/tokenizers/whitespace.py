"""Text that is tokenised already: its tokens stand between blanks, one sentence or paragraph on a line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nlmcli.nn.kernel import kernel
from nlmcli.text.strings import Bytes, Memory, Strings, class_at, counted
from nlmcli.text.tokenizer import UNKNOWN, Ids, Tokenizer, Writer
from nlmcli.text.tokenizers.char import CODE_POINTS

END = "<eos>"
NEWLINE = ord("\n")


class TokenWriter(Writer):
    """One blank between tokens, none around a line break."""

    last = END

    def add(self, i: int) -> str:
        piece, before = self.tokenizer.vocabulary[i], self.last
        self.last = piece
        return "\n" if piece == END else piece if before == END else f" {piece}"


class Whitespace(Tokenizer):
    """Tokens are what stands between blanks. A line end is `<eos>`; a literal `<unk>` is the unknown type."""

    name: ClassVar[str] = "whitespace"
    line_end: ClassVar[str] = END
    reserved: ClassVar[tuple[str, ...]] = (UNKNOWN, END)

    def __init__(self, vocabulary: Iterable[str], counts: npt.ArrayLike, *, lowercase: bool = False, min_count: int = 1) -> None:
        super().__init__(vocabulary, counts, lowercase=lowercase, min_count=min_count)
        self._memory = Memory(between_blanks, self.work_out)

    @classmethod
    def split(cls, string: str) -> list[str]:
        """The pieces of one string without blanks: here the string itself."""
        return [string]

    @classmethod
    def split_string(cls, string: str) -> list[str]:
        """The pieces of one string between blanks, or of a line end."""
        return [END] if string == "\n" else cls.split(string)

    @classmethod
    def count(cls, parts: Iterable[str]) -> Mapping[str, int]:
        """How often each piece stands in the parts; each distinct string is split once."""
        strings, counts = counted(parts, between_blanks)
        found: Counter[str] = Counter()
        for string, times in zip(strings.of(0), counts.tolist(), strict=True):
            for piece in cls.split_string(string):
                found[piece] += times
        return found

    def pieces(self, text: str) -> list[str]:
        """What the text falls into; a line end is `<eos>`."""
        folded = text.lower() if self.lowercase else text
        strings = re.findall(r"\n|\S+", folded)
        return [piece for string in strings for piece in self.split_string(string)]

    def work_out(self, strings: Strings, first: int) -> tuple[list[int], list[int]]:
        """The ids of strings, and how many each has."""
        unknown = self.index[UNKNOWN]
        split = [self.split_string(string) for string in strings.of(first)]
        return [self.index.get(piece, unknown) for pieces in split for piece in pieces], list(map(len, split))

    def encode(self, text: str) -> Ids:
        """text -> ids (tokens,) int32."""
        return self._memory.encode(self.parts(text, self.lowercase))

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """ids -> text with one blank between tokens; `<eos>` is a line break without blanks around it."""
        return self.join([self.vocabulary[i] for i in self.checked(ids)])

    def writer(self) -> Writer:
        return TokenWriter(self)

    @classmethod
    def join(cls, pieces: Sequence[str]) -> str:
        """Pieces -> running text."""
        lines = " ".join("\n" if piece == END else piece for piece in pieces)
        return lines.replace(" \n", "\n").replace("\n ", "\n")


@cache
def blanks() -> npt.NDArray[np.uint8]:
    """1 for what Python takes for white space, by code point."""
    table = np.zeros(CODE_POINTS, np.uint8)
    table[[code for code in range(0x3001) if chr(code).isspace()]] = 1
    return table


def between_blanks(data: Bytes) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """starts, ends of what stands between blanks, and of each line end."""
    return cut_at_blanks(data, blanks())


@kernel
def cut_at_blanks(data, blank):
    """The same.  blank: 1 for white space, by code point."""
    starts, ends = np.empty(len(data), np.int32), np.empty(len(data), np.int32)
    size, start, i = 0, -1, 0
    while i < len(data):
        is_blank, after = class_at(data, i, blank)
        if is_blank and start >= 0:
            ends[size], size, start = i, size + 1, -1
        if data[i] == NEWLINE:
            starts[size], ends[size], size = i, after, size + 1
        elif not is_blank and start < 0:
            starts[size], start = i, i
        i = after
    if start >= 0:
        ends[size], size = len(data), size + 1
    return starts[:size], ends[:size]
