"""The texts of a run, read part by part from their files on every pass: no text is ever in memory as a whole."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nlmcli.engine.reading import remembered as memory
from nlmcli.engine.reading.remembered import remembered, stamps
from nlmcli.engine.run.settings import Settings
from nlmcli.errors import InputError
from nlmcli.text import corpus
from nlmcli.text.tokenizer import AFTER_LINE_END, cut

START = 10_000  # characters
WORD = r"(?<![\w'’-])\w[\w'’-]*"


@dataclass(frozen=True)
class Text:
    """The text that `read` yields in parts.

    characters: their number, or an upper bound.  digest: identifies the content; "": unknown.  end: where, in characters, a
    text that is cut out of a longer one ends there: all that comes before is read whenever this is read.
    """

    read: Callable[[], Iterator[str]]
    characters: int
    digest: str = ""
    end: int = 0

    def __iter__(self) -> Iterator[str]:
        return self.read()

    def __bool__(self) -> bool:
        return self.characters > 0

    def __str__(self) -> str:
        return "".join(self)

    def cut(self, start: int, stop: int) -> "Text":
        """The characters from start to stop."""
        digest, end = f"{self.digest}[{start}:{stop}]", self.end - self.characters + stop if self.end else stop
        return Text(lambda: slice_parts(self.read(), start, stop), stop - start, digest, end)

    @property
    def is_long(self) -> bool:
        """Whether what is found out about it is kept in files."""
        return bool(self.digest) and max(self.characters, self.end) >= memory.LARGE

    def key(self, *about: Any) -> list[Any] | None:
        """The key of something to be remembered about it; None if it is short or unknown."""
        return [self.digest, *about] if self.is_long else None

    def without_blank_lines(self) -> "Text":
        """The lines that are not blank."""
        return self.select_lines(b"", held_out=False, distinct=self.characters)

    def select_lines(self, last: bytes, held_out: bool, distinct: int) -> "Text":
        """The held-out lines, whose digest is at most `last`, or the training lines.  distinct: their number without repeats."""

        def read() -> Iterator[str]:
            for part in cut(self.read(), AFTER_LINE_END):
                yield "".join(f"{line}\n" for line in corpus.of_side(part.split("\n"), last, held_out))

        return Text(lambda: filter(None, read()), self.characters if distinct else 0, f"{self.digest} {last.hex()} {held_out}")


def slice_parts(parts: Iterator[Any], start: int, stop: int) -> Iterator[Any]:
    """The characters, or the ids, from start to stop of a text given in parts."""
    at = 0
    for part in parts:
        piece = part[max(0, start - at) : max(0, stop - at)]
        if len(piece):
            yield piece
        at += len(part)
        if at >= stop:
            return


def of_string(text: str) -> Text:
    """A string as a Text, normalized as the contents of a file are."""
    text = corpus.normalized(text)
    return Text(lambda: iter([text] if text else []), len(text))


@dataclass(frozen=True)
class Texts:
    """A corpus split into training and held-out text.  floor: nll of the held-out text, in nats, under the true distribution."""

    train: Text
    valid: Text
    floor: float | None = None

    def opening(self) -> str:
        """A prompt: the first two or three words of the held-out text; of the training text if nothing is held out."""
        start = start_of(self.valid)
        _, _, rest = start.partition("\n")  # the held-out part of a stream may start in the middle of a word
        text = rest.strip() or start.strip() or start_of(self.train).strip()
        words = re.search(rf"{WORD}(?: {WORD}){{1,2}}", text[:1000]) or re.search(WORD, text[:1000])
        return (words[0] if words else text.split("\n")[0])[:40]


def start_of(text: Text) -> str:
    """The first characters of a text, "" if it is empty."""
    return str(remembered(text.key("start"), lambda: next(iter(text), "")[:START]))


def read_corpus(paths: tuple[str, ...], encoding: str = "utf-8") -> Text:
    """The concatenated files, or the corpus that ships with nlm.  Raises InputError for a file that is not text."""
    encoding = corpus.known_encoding(encoding)
    if not paths:
        return scan(partial(concatenate, [corpus.Source(corpus.shipped())], "utf-8"))
    sources = [corpus.Source(path) for path in paths]
    read = partial(concatenate, sources, encoding)
    files = stamps([source.path for source in sources])
    characters, digest = remembered(None if files is None else ["text", *files, encoding], lambda: measured(read))
    return Text(read, characters, digest)


def concatenate(sources: list[corpus.Source], encoding: str) -> Iterator[str]:
    """The parts of all files; an end of line is added between files where it is missing."""
    for source in sources:
        last = ""
        for last in corpus.parts(source, encoding):
            yield last
        if source is not sources[-1] and not last.endswith("\n"):
            yield "\n"


def scan(read: Callable[[], Iterator[str]]) -> Text:
    """A text that is read once, to validate it."""
    return Text(read, *measured(read))


def measured(read: Callable[[], Iterator[str]]) -> tuple[int, str]:
    """Read a text once.  -> the number of its characters and the SHA-256 of its UTF-8 encoding"""
    characters, digest = 0, hashlib.sha256()
    for part in read():
        characters += len(part)
        digest.update(part.encode("utf-8", "surrogatepass"))
    return characters, digest.hexdigest()


def check_available(settings: Settings, command: str) -> None:
    """Raises InputError if a text was read from stdin or a pipe and is gone.  command: that accepts another file."""
    for path in (*settings.corpus, settings.valid):
        if path == "-" or (path and Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir())):
            name = "stdin" if path == "-" else f"the pipe {path}"
            raise InputError(f"the text of this run came from {name} and is gone; name a file with the same text: {command}")


def read_texts(settings: Settings, tokenizer: Any = None) -> Texts:
    """Read the corpus of a run and hold out a part.  tokenizer: of files of token ids; None: that of the settings

    Raises InputError for a file that is not text.
    """
    from nlmcli.engine.reading.id_files import are_ids, read_id_texts

    s = settings
    if are_ids((*s.corpus, s.valid)):
        return read_id_texts(s, tokenizer)
    whole = read_corpus(s.corpus, s.encoding)
    if s.by == "line" and s.valid:
        return Texts(whole.without_blank_lines(), read_corpus((s.valid,), s.encoding).without_blank_lines())
    if s.valid:
        return Texts(whole, read_corpus((s.valid,), s.encoding))
    if s.by == "stream":
        at = corpus.kept(whole.characters, s.valid_fraction)
        floor = floor_of(whole) if s.valid_fraction == 0.1 else None
        return Texts(whole.cut(0, at), whole.cut(at, whole.characters), floor)
    digest, train, valid = remembered(whole.key("held out", s.valid_fraction), lambda: held_out_lines(whole, s.valid_fraction))
    last = bytes.fromhex(digest)
    return Texts(whole.select_lines(last, False, train), whole.select_lines(last, True, valid))


def held_out_lines(whole: Text, fraction: float) -> tuple[str, int, int]:
    """What corpus.held_out tells of the lines of a text, its digest in hexadecimal digits."""
    last, train, valid = corpus.held_out((line for part in cut(whole, AFTER_LINE_END) for line in part.split("\n")), fraction)
    return last.hex(), train, valid


def floor_of(whole: Text) -> float | None:
    """-ln P of the held-out tenth under the grammar that generated the text; None unless the text ships with nlm."""
    try:
        shipped = corpus.shipped().parent
    except InputError:
        return None
    for path in shipped.glob("*.json"):
        facts = json.loads(path.read_text())
        if facts.get("sha256") == whole.digest:
            return facts["nats"]
    return None
