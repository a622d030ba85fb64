"""Files of token ids that other programs have made: they are read as they are, beside the tokenizer.json that made them.

nanoGPT: the ids alone, uint16.  llm.c: a header of 256 int32 (magic number, version, number of ids), then the ids, uint16.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nlmcli.engine.reading.remembered import remembered, stamps
from nlmcli.engine.reading.texts import Text, Texts, slice_parts
from nlmcli.engine.run.settings import Settings
from nlmcli.errors import InputError
from nlmcli.text import corpus, saved
from nlmcli.text.tokenizers.bpe import Bpe

ENDING = ".bin"
HEADER, MAGIC, VERSION = 256, 20240520, 1  # of llm.c: int32, of which the first two are these
KIND = np.dtype("<u2")
PART = 1 << 20  # ids read at a time


@dataclass(frozen=True)
class IdText(Text):
    """A text given as token ids, which `ids` yields in parts: it is counted and cut by them, not by its characters."""

    ids: Callable[[], Iterator[np.ndarray]] = lambda: iter(())
    tokenizer: Any = None

    def cut(self, start: int, stop: int) -> "IdText":
        return id_text(self.tokenizer, lambda: slice_parts(self.ids(), start, stop), stop - start, f"{self.digest}[{start}:{stop}]")


def id_text(tokenizer: Bpe, ids: Callable[[], Iterator[np.ndarray]], n: int, digest: str) -> IdText:
    return IdText(lambda: map(tokenizer.decode, ids()), n, digest, ids=ids, tokenizer=tokenizer)


def are_ids(paths: Sequence[str | None]) -> bool:
    """Whether these are files of ids.  Raises InputError if only some of them are."""
    kinds = {str(path).endswith(ENDING) for path in paths if path is not None}
    if len(kinds) > 1:
        raise InputError(f"files of token ids ({ENDING}) and text files cannot be read together; give files of one kind")
    return kinds == {True}


def read_id_texts(s: Settings, tokenizer: Any = None) -> Texts:
    """The training and the held-out text of a run on files of ids.  Raises InputError for files that do not hold such ids."""
    if s.by != "stream":
        raise InputError(f"files of token ids are one stream and cannot be read by {s.by}; leave out --by")
    tokenizer = tokenizer or saved.fit(s.tokenizer, "", s.vocab_size, s.min_count, s.lowercase)
    whole = read_ids(s.corpus, tokenizer)
    if s.valid:
        return Texts(whole, read_ids((s.valid,), tokenizer))
    at = corpus.kept(whole.characters, s.valid_fraction)
    return Texts(whole.cut(0, at), whole.cut(at, whole.characters))


def read_ids(paths: Sequence[str], tokenizer: Any) -> IdText:
    """The concatenated files.  Raises InputError for a file that does not hold ids of this tokenizer."""
    if not isinstance(tokenizer, Bpe):
        raise InputError(f"files of token ids need the byte-level BPE that made them: --tokenizer FILE.json, not {tokenizer.name}")
    files = [corpus.expanded(path) for path in paths]
    spans = [span_of(path) for path in files]
    parts, known = partial(parts_of, files, spans), stamps(files)
    key = None if known is None else ["ids", *known, len(tokenizer)]
    digest = remembered(key, lambda: checked(parts(), files, len(tokenizer)))
    return id_text(tokenizer, parts, sum(n for _, n in spans), digest)


def counts_of(text: IdText) -> np.ndarray:
    """How often each type occurs.  -> (V,)"""
    counts = np.zeros(len(text.tokenizer), np.int64)
    for part in text.ids():
        counts += np.bincount(part, minlength=len(counts))
    return counts


def sizes_of_types(tokenizer: Bpe) -> np.ndarray:
    """The characters, bytes and line ends in each type, none in a special one.  -> (3,V)"""
    special = set(tokenizer.special)
    texts = [b"" if piece in special else token for piece, token in zip(tokenizer.vocabulary, tokenizer.tokens, strict=True)]
    characters = [sum(byte & 0xC0 != 0x80 for byte in token) for token in texts]  # all bytes but those that continue a character
    return np.array([characters, [len(token) for token in texts], [token.count(b"\n") for token in texts]])


def span_of(path: Path) -> tuple[int, int]:
    """Where the ids of a file begin, in bytes, and how many there are."""
    try:
        size = path.stat().st_size
        header = np.fromfile(path, "<i4", HEADER)
    except OSError as error:
        raise InputError(f"cannot read '{path}' ({(error.strerror or str(error)).lower()}); give a file of token ids") from None
    if len(header) == HEADER and header[0] == MAGIC:
        start, n = 4 * HEADER, int(header[2])
        if header[1] != VERSION or n < 0 or size != start + n * KIND.itemsize:
            raise InputError(f"'{path}' is no shard of llm.c of version {VERSION}, or it is cut off: {n:,} ids are announced")
        return start, n
    if size % KIND.itemsize:
        raise InputError(f"'{path}' has {size:,} bytes, an odd number, and holds no ids of two bytes each; is it a text file?")
    return 0, size // KIND.itemsize


def parts_of(files: Sequence[Path], spans: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
    """The ids of all files, part by part."""
    for path, (start, n) in zip(files, spans, strict=True):
        for at in range(0, n, PART):
            part = np.fromfile(path, KIND, min(PART, n - at), offset=start + at * KIND.itemsize)
            if len(part) < min(PART, n - at):
                raise InputError(f"'{path}' changed while it was being read; try again")
            yield part


def checked(parts: Iterator[np.ndarray], files: Sequence[Path], V: int) -> str:
    """A digest of the ids.  Raises InputError for one that is outside of the vocabulary."""
    digest, at = hashlib.sha256(), 0
    for part in parts:
        if part.max(initial=0) >= V:
            k = int(np.argmax(part >= V))
            names = " and ".join(f"'{path}'" for path in files)
            raise InputError(
                f"id {part[k]} at position {at + k:,} of {names} is outside of the vocabulary of {V:,} types; is the tokenizer another one?"
            )
        digest.update(part.tobytes())
        at += len(part)
    return f"ids {digest.hexdigest()}"
