"""Statistics of a text: tokens, types, and the rate of unknown tokens."""

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
    """The tokens that a string is split into."""

    pieces: list[str]

    @property
    def tokens(self) -> int:
        return len(self.pieces)

    @property
    def types(self) -> int:
        return len(set(self.pieces))

    def visible(self) -> list[str]:
        """The pieces, with spaces and ends of line made visible."""
        return [visible(piece) for piece in self.pieces]

    def report(self) -> dict[str, Any]:
        return {"pieces": self.pieces, "tokens": self.tokens, "types": self.types}


def split_string(string: str, fitted: Tokenizer) -> Pieces:
    """Split a string into pieces, before any is replaced by <unk>."""
    return Pieces(fitted.pieces(string.lower() if fitted.lowercase else string))


def fit(settings: Settings, string: str | None = None) -> tuple[Text, Tokenizer]:
    """The tokenizer of the settings, and the text it was fitted to.

    The text is the corpus, or the given string unless the tokenizer has to learn its pieces from a corpus.
    """
    s = settings
    known_encoding(s.encoding)
    text = read_corpus(s.corpus, s.encoding) if string is None or saved.learns(s.tokenizer) else of_string(string)
    return text, saved.fit(s.tokenizer, text, s.vocab_size, s.min_count, s.lowercase)


def save(tokenizer: Tokenizer, path: Path) -> None:
    """Write a tokenizer to a file.  Raises InputError if it cannot be written, or its name does not end in .json."""
    if path.suffix != saved.ENDING:
        raise InputError(f"--out {path} does not end in {saved.ENDING}; give a file name that does")
    write_atomically(path, lambda file: file.write(saved.to_json(tokenizer).encode("utf-8", "backslashreplace")))


def type_counts(corpus: Text, fitted: Tokenizer) -> tuple[Counter[str], int]:
    """How often each type of a corpus occurs, before any is replaced by <unk>, without ends of line; and the number of those."""
    unlimited = fitted if fitted.learned else type(fitted).fit(corpus, min_count=1, lowercase=fitted.lowercase)
    counts = Counter({unlimited.piece(i): int(n) for i, n in enumerate(unlimited.counts) if n and i != unlimited.newline})
    return counts, int(unlimited.counts[unlimited.newline])


def count(corpus: Text, fitted: Tokenizer, counts: Counter[str], line_ends: int, top: int = 10) -> dict[str, Any]:
    """Tokens and types of a corpus (ends of line counted separately), their ratio, vocabulary size and rate of <unk>.

    counts, line_ends: of `type_counts`
    """
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
