"""Counts of a text: tokens, types, and what the vocabulary leaves unknown."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from nlmcli import text
from nlmcli.engine.texts import read_corpus
from nlmcli.text.corpus import known_encoding
from nlmcli.text.tokenizer import visible


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


def pieces_of(string: str, tokenizer: str, lowercase: bool = False, encoding: str = "utf-8") -> Pieces:
    """The pieces of a string, before any vocabulary.  Raises InputError for an unknown tokenizer or encoding."""
    known_encoding(encoding)
    fitted = text.tokenizer_class(tokenizer).fit(string, min_count=1, lowercase=lowercase)
    return Pieces(fitted.pieces(string.lower() if lowercase else string))


def count(
    paths: tuple[str, ...],
    tokenizer: str,
    vocab_size: int | None = None,
    min_count: int | None = None,
    lowercase: bool = False,
    encoding: str = "utf-8",
    top: int = 10,
) -> dict[str, Any]:
    """Tokens and types of a corpus (line ends apart), their ratio, the vocabulary and what it leaves unknown."""
    corpus = read_corpus(paths, encoding)
    Tokenizer = text.tokenizer_class(tokenizer)
    everything = Tokenizer.fit(corpus, min_count=1, lowercase=lowercase)
    fitted = Tokenizer.fit(corpus, vocab_size=vocab_size, min_count=min_count, lowercase=lowercase)
    line_ends = int(everything.counts[everything.newline])
    counts = Counter({everything.piece(i): int(n) for i, n in enumerate(everything.counts) if n and i != everything.newline})
    tokens = sum(counts.values())
    special = [] if fitted.unknown is None else list(dict.fromkeys((*Tokenizer.reserved, Tokenizer.line_end)))
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
