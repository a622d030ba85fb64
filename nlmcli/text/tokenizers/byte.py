"""Bytes: the 256 ids are the bytes of the text in UTF-8, so nothing is ever unknown."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nlmcli.errors import InputError
from nlmcli.text.tokenizer import Ids, Tokenizer, Writer

Decoder = codecs.getincrementaldecoder("utf-8")


def printable(byte: int) -> str:
    """A visible ASCII character as itself, any other byte as <0x0A>."""
    return chr(byte) if 0x20 < byte < 0x7F else f"<0x{byte:02X}>"


def utf8(text: str) -> npt.NDArray[np.uint8]:
    """text -> its bytes in UTF-8; a lone surrogate gets the three bytes it would have."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


class ByteWriter(Writer):
    """Bytes -> text; a byte that may begin a character waits for the next."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self.decoder = Decoder("replace")

    def add(self, i: int) -> str:
        return self.decoder.decode(self.bytes_of(i))

    def bytes_of(self, i: int) -> bytes:
        return bytes([i])

    def rest(self) -> str:
        return self.decoder.decode(b"", final=True)

    def copy(self) -> Writer:
        other = type(self)(self.tokenizer)
        other.decoder.setstate(self.decoder.getstate())
        return other


class Byte(Tokenizer):
    """Tokens are bytes. The vocabulary does not depend on the text, only the counts do."""

    name: ClassVar[str] = "byte"
    line_end: ClassVar[str] = printable(ord("\n"))
    reserved: ClassVar[tuple[str, ...]] = tuple(map(printable, range(256)))

    @classmethod
    def fit(
        cls,
        text: str | Iterable[str],
        *,
        vocab_size: int | None = None,
        min_count: int | None = None,
        lowercase: bool = False,
    ) -> Tokenizer:
        """The 256 bytes and their counts in the text.  Raises InputError for another size or a min_count."""
        if vocab_size not in (None, 256):
            raise InputError(f"vocab-size {vocab_size} does not suit the byte tokenizer; its types are always 256")
        if min_count not in (None, 1):
            raise InputError(f"min-count {min_count} does not suit the byte tokenizer; it knows every byte")
        counts = np.zeros(256, np.int64)
        for part in cls.parts(text, lowercase):
            counts += np.bincount(utf8(part), minlength=256)
        return cls(cls.reserved, counts, lowercase=lowercase)

    def pieces(self, text: str) -> list[str]:
        """The bytes of the text, in printable form."""
        return [self.vocabulary[i] for i in self.encode(text)]

    def encode(self, text: str) -> Ids:
        """text -> ids (bytes,) int32."""
        return utf8(text.lower() if self.lowercase else text).astype(np.int32)

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """ids -> text; bytes that are no UTF-8, such as half a character, give U+FFFD."""
        return self.checked(ids).astype(np.uint8).tobytes().decode("utf-8", "replace")

    def writer(self) -> Writer:
        return ByteWriter(self)
