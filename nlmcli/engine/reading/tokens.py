"""Counts of a text: tokens, types, and what the vocabulary leaves unknown."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlmcli.engine.reading.texts import Text, of_string, read_corpus
from nlmcli.engine.run.atomic import write_atomically
from nlmcli.engine.run.settings import Settings
from nlmcli.errors import InputError
from nlmcli.text import saved
from nlmcli.text.corpus import known_encoding
from nlmcli.text.tokenizer import Tokenizer, visible


@dataclass(frozen=True)
class Pieces:
    """What one string falls into."""

    pieces: list[str]

    @property
    def tokens(self) -> int:
        return len(self.pieces)

    @property
    def types(self) -> int:
        return len(set(self.pieces))

    def visible(self) -> list[str]:
        """The pieces with their blanks and line ends to be seen."""
        return [visible(piece) for piece in self.pieces]

    def report(self) -> dict[str, Any]:
        return {"pieces": self.pieces, "tokens": self.tokens, "types": self.types}


def pieces_of(string: str, fitted: Tokenizer) -> Pieces:
    """The pieces of a string, before any vocabulary."""
    return Pieces(fitted.pieces(string.lower() if fitted.lowercase else string))


def fit(settings: Settings, string: str | None = None) -> tuple[Text, Tokenizer]:
    """The tokenizer that the settings name, and the text it was fitted on.

    The text is the corpus; or, where only the pieces of a string are asked for, that string, unless the tokenizer has to learn
    from a corpus what pieces there are.
    """
    s = settings
    known_encoding(s.encoding)
    text = read_corpus(s.corpus, s.encoding) if string is None or saved.learns(s.tokenizer) else of_string(string)
    return text, saved.fit(s.tokenizer, text, s.vocab_size, s.min_count, s.lowercase)


def save(tokenizer: Tokenizer, path: Path) -> None:
    """Write the tokenizer's file.  Raises InputError where it cannot be written, or its name does not say that it is JSON."""
    if path.suffix != saved.ENDING:
        raise InputError(f"--out {path} does not end in {saved.ENDING}, as the file of a tokenizer does")
    write_atomically(path, lambda file: file.write(saved.to_json(tokenizer).encode("utf-8", "backslashreplace")))


def count(corpus: Text, fitted: Tokenizer, top: int = 10) -> dict[str, Any]:
    """Tokens and types of a corpus (line ends apart), their ratio, the vocabulary and what it leaves unknown."""
    everything = fitted if fitted.learned else type(fitted).fit(corpus, min_count=1, lowercase=fitted.lowercase)
    line_ends = int(everything.counts[everything.newline])
    counts = Counter({everything.piece(i): int(n) for i, n in enumerate(everything.counts) if n and i != everything.newline})
    tokens = sum(counts.values())
    special = [] if fitted.unknown is None else list(dict.fromkeys((*fitted.reserved, fitted.line_end)))
    unknowns = int(fitted.counts[fitted.unknown]) if fitted.unknown is not None else 0
    return {
        "tokens": tokens,
        "types": len(counts),
        "line_ends": line_ends,
        "type_token_ratio": len(counts) / max(1, tokens),
        "characters": corpus.characters,
        "characters_per_token": corpus.characters / max(1, tokens + line_ends),
        "vocabulary": len(fitted),
        "special": [visible(piece) for piece in special],
        "unknown_rate": unknowns / max(1, tokens + line_ends),
        "most_frequent": counts.most_common(top),
    }
