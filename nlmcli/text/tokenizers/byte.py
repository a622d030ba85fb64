"""Bytes: the ids are the UTF-8 bytes of the text, so nothing is ever unknown."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nlmcli.errors import InputError
from nlmcli.text.tokenizer import DecodeStream, Ids, Tokenizer

Utf8Decoder = codecs.getincrementaldecoder("utf-8")


def printable(byte: int) -> str:
    """A visible ASCII character as itself, any other byte as <0x0A>."""
    return chr(byte) if 0x20 < byte < 0x7F else f"<0x{byte:02X}>"


def utf8(text: str) -> npt.NDArray[np.uint8]:
    """text -> its UTF-8 bytes; a lone surrogate is encoded as three bytes."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


class ByteDecodeStream(DecodeStream):
    """Bytes -> text; the bytes of an incomplete character are held back."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self.decoder = Utf8Decoder("replace")

    def add(self, i: int) -> str:
        return self.decoder.decode(self.bytes_of(i))

    def bytes_of(self, i: int) -> bytes:
        return bytes([i])

    def rest(self) -> str:
        return self.decoder.decode(b"", final=True)

    def copy(self) -> DecodeStream:
        other = type(self)(self.tokenizer)
        other.decoder.setstate(self.decoder.getstate())
        return other


class Byte(Tokenizer):
    """Tokens are bytes. Only the counts depend on the training text, not the vocabulary."""

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
        """The 256 bytes and their counts in the text.  Raises InputError for any other vocab_size or min_count."""
        if vocab_size not in (None, 256):
            raise InputError(f"vocab-size {vocab_size} does not apply to the byte tokenizer, which always has 256 types; leave it out")
        if min_count not in (None, 1):
            raise InputError(f"min-count {min_count} does not apply to the byte tokenizer, to which no byte is unknown; leave it out")
        counts = np.zeros(256, np.int64)
        for part in cls.parts(text, lowercase):
            counts += np.bincount(utf8(part), minlength=256)
        return cls(cls.reserved, counts, lowercase=lowercase)

    def pieces(self, text: str) -> list[str]:
        """The bytes of the text in printable form."""
        return [self.vocabulary[i] for i in self.encode(text)]

    def encode(self, text: str) -> Ids:
        """text -> ids (bytes,) int32."""
        return utf8(text.lower() if self.lowercase else text).astype(np.int32)

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """ids -> text; invalid UTF-8, such as an incomplete character, becomes U+FFFD."""
        return self.check_ids(ids).astype(np.uint8).tobytes().decode("utf-8", "replace")

    def writer(self) -> DecodeStream:
        return ByteDecodeStream(self)
