"""The texts of a run, read part by part from their files as often as wanted: none stands in memory whole."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nlmcli.engine.run.settings import Settings
from nlmcli.errors import InputError
from nlmcli.text import corpus
from nlmcli.text.tokenizer import AFTER_LINE_END, cut

WORD = r"(?<![\w'’-])\w[\w'’-]*"


@dataclass(frozen=True)
class Text:
    """What `read` yields, part by part.  characters: how many, at most.  digest: one for each content; "": not known."""

    read: Callable[[], Iterator[str]]
    characters: int
    digest: str = ""

    def __iter__(self) -> Iterator[str]:
        return self.read()

    def __bool__(self) -> bool:
        return self.characters > 0

    def __str__(self) -> str:
        return "".join(self)

    def cut(self, start: int, stop: int) -> "Text":
        """The characters from start to stop."""
        return Text(lambda: between(self.read(), start, stop), stop - start, f"{self.digest}[{start}:{stop}]")

    def side(self, last: bytes, held: bool, lines: int) -> "Text":
        """The lines that train, or those held out: these have a digest up to `last`.  lines: how many different ones there are."""

        def read() -> Iterator[str]:
            for part in cut(self.read(), AFTER_LINE_END):
                yield "".join(f"{line}\n" for line in corpus.of_side(part.split("\n"), last, held))

        return Text(lambda: filter(None, read()), self.characters if lines else 0, f"{self.digest} {last.hex()} {held}")


def between(parts: Iterator[str], start: int, stop: int) -> Iterator[str]:
    """The characters from start to stop of these parts."""
    at = 0
    for part in parts:
        if piece := part[max(0, start - at) : max(0, stop - at)]:
            yield piece
        at += len(part)
        if at >= stop:
            return


def of_string(text: str) -> Text:
    """A text that is given as a string, read as a file would be."""
    text = corpus.normalized(text)
    return Text(lambda: iter([text] if text else []), len(text))


@dataclass(frozen=True)
class Texts:
    """A corpus cut into what is trained on and what is held out.  floor: nats of a perfect model on what is held out."""

    train: Text
    valid: Text
    floor: float | None = None

    def opening(self) -> str:
        """A prompt: the first two or three words of what is held out, or, where nothing is, of what is trained on."""
        start = beginning(self.valid)
        _, _, rest = start.partition("\n")  # what is held out of a stream may begin within a word
        text = rest.strip() or start.strip() or beginning(self.train).strip()
        words = re.search(rf"{WORD}(?: {WORD}){{1,2}}", text[:1000]) or re.search(WORD, text[:1000])
        return (words[0] if words else text.split("\n")[0])[:40]


def beginning(text: Text) -> str:
    """The first part of a text."""
    return next(iter(text), "")


def read_corpus(paths: tuple[str, ...], encoding: str = "utf-8") -> Text:
    """The texts of these files one after another, or the corpus that ships.  Raises InputError for what is not a text."""
    encoding = corpus.known_encoding(encoding)
    if not paths:
        return scanned(partial(joined, [corpus.Source(corpus.shipped())], "utf-8"))
    return scanned(partial(joined, [corpus.Source(path) for path in paths], encoding))


def joined(sources: list[corpus.Source], encoding: str) -> Iterator[str]:
    """The parts of all files, each file but the last ending with its line."""
    for source in sources:
        last = ""
        for last in corpus.parts(source, encoding):
            yield last
        if source is not sources[-1] and not last.endswith("\n"):
            yield "\n"


def scanned(read: Callable[[], Iterator[str]]) -> Text:
    """The text, read once: so it is known to be one, how long it is, and the SHA-256 of its UTF-8."""
    characters, digest = 0, hashlib.sha256()
    for part in read():
        characters += len(part)
        digest.update(part.encode("utf-8", "surrogatepass"))
    return Text(read, characters, digest.hexdigest())


def check_there(settings: Settings, command: str) -> None:
    """Raises InputError where a text of the settings came through stdin or a pipe, and is gone.  command: how to name a file anew."""
    for path in (*settings.corpus, settings.valid):
        if path == "-" or (path and Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir())):
            name = "stdin" if path == "-" else f"the pipe {path}"
            raise InputError(f"this run's text came from {name}, and is gone; name a file with the same text: {command}")


def read_texts(settings: Settings) -> Texts:
    """Find the corpus of a run and hold a part out.  Raises InputError for what is not a text."""
    s = settings
    whole = read_corpus(s.corpus, s.encoding)
    if s.valid:
        return Texts(whole, read_corpus((s.valid,), s.encoding))
    if s.by == "stream":
        at = corpus.kept(whole.characters, s.valid_fraction)
        floor = floor_of(whole) if s.valid_fraction == 0.1 else None
        return Texts(whole.cut(0, at), whole.cut(at, whole.characters), floor)
    lines = (line for part in cut(whole, AFTER_LINE_END) for line in part.split("\n"))
    last, train, valid = corpus.held_out(lines, s.valid_fraction)
    return Texts(whole.side(last, False, train), whole.side(last, True, valid))


def floor_of(whole: Text) -> float | None:
    """-ln P of the held-out tenth under the grammar that made the text, where the text is one that ships with nlm."""
    try:
        shipped = corpus.shipped().parent
    except InputError:
        return None
    for path in shipped.glob("*.json"):
        facts = json.loads(path.read_text())
        if facts.get("sha256") == whole.digest:
            return facts["nats"]
    return None
