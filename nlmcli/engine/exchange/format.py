"""The base class of all formats that a run can be exported to."""

from collections.abc import Callable
from typing import IO, ClassVar

from nlmcli.engine.run.saved import Saved
from nlmcli.errors import InputError
from nlmcli.text.tokenizer import Tokenizer, visible

Write = Callable[[IO[bytes]], object]


class Format:
    """A format. A subclass defines `files`, and `check` if it cannot hold every model."""

    about: ClassVar[str]  # what it is, and which programs read it
    endings: ClassVar[tuple[str, ...]] = ()  # of the names of its files; none for a folder
    usage: ClassVar[str] = ""  # a line of Python that reads it; {path} is replaced

    def check(self, run: Saved) -> None:
        """Raises InputError for a run that the format cannot hold."""

    def files(self, run: Saved) -> dict[str, Write]:
        """What to write: name -> a function of the open file; the name of a format's only file is empty."""
        raise NotImplementedError

    def notes(self, run: Saved) -> list[str]:
        """What the user should know about what was written."""
        return []


def printable_names(tokenizer: Tokenizer) -> list[str]:
    """Each token without blanks and control characters: a space as ␣, a line break as \\n.

    Raises InputError if two tokens would have the same name.
    """
    names = [visible(piece) for piece in tokenizer.vocabulary]
    if len(set(names)) < len(names):
        seen: dict[str, str] = {}
        for name, piece in zip(names, tokenizer.vocabulary, strict=True):
            if name in seen:
                raise InputError(f"the tokens {seen[name]!r} and {piece!r} would both be written as {name}; the format cannot hold them")
            seen[name] = piece
    return names


def quoting_note(tokenizer: Tokenizer) -> list[str]:
    """A note if names differ from tokens."""
    changed = sum(name != piece for name, piece in zip(printable_names(tokenizer), tokenizer.vocabulary, strict=True))
    quoted = f"tokens with blanks or control characters ({changed:,}) are written as nlm shows them: ␣ for a space, \\n for a line break"
    return [quoted] if changed else []


def check_embeddings(run: Saved) -> None:
    """Raises InputError for a model without embeddings."""
    if "E" not in run.P.shapes:
        raise InputError(f"model {run.settings.model} is count-based and has no embeddings; give a run of a neural model")
