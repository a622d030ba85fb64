"""Words and punctuation: Unicode words, every punctuation mark a separate token, and detokenization."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from copy import deepcopy
from itertools import chain
from typing import ClassVar

from nlmcli.text.tokenizer import UNKNOWN, DecodeStream, Tokenizer
from nlmcli.text.tokenizers.whitespace import EOS, Whitespace

# Scripts without spaces between words, in which each letter is a token: Han, kana, Bopomofo, Thai, Lao, Myanmar, Khmer.
UNSPACED = (
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u3041-\u3096\u309b-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f"
    "\u3105-\u312f\u31a0-\u31bf\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1050-\u108f\u1780-\u17d3"
)
# The fullwidth punctuation of those scripts.
FULLWIDTH_PUNCTUATION = "\u3001-\u3003\u3008-\u3020\u3030\u303d\u30a0\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"


def _marks() -> str:
    """Regex ranges of the characters that attach to the previous one: combining marks, joiners, the soft hyphen."""
    ranges: list[list[int]] = []  # a few ranges match much faster than many single characters
    for code in chain(range(0x300, 0x20000), range(0xE0100, 0xE01F0)):
        if unicodedata.category(chr(code))[0] == "M":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "\u00ad\u200c\u200d" + "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def _pattern() -> re.Pattern[str]:
    """The regex for one token of a string without whitespace."""
    marks = f"[{_marks()}]"
    unit = rf"[^\W_{UNSPACED}]"
    word = f"{unit}+(?:{marks}+{unit}*)*"
    hyphen = r"['\u2019\u2010\u2011-]"
    in_number = r"(?<=\d)[.,](?=\d)"
    in_abbreviation = rf"(?<={unit})(?<!{unit}{unit})\.(?={unit}(?!{unit}|{marks}))"  # U.S, e.g
    inner = f"(?:{hyphen}|{in_number}|{in_abbreviation})"
    return re.compile(rf"{UNKNOWN}|{EOS}|{word}(?:{inner}{word})*|(?s:.){marks}*")


_TOKEN = _pattern()


class Word(Whitespace):
    """Tokens are words, numbers and punctuation marks; the end of a line is `<eos>`.

    Apostrophes and hyphens inside a word (don't, well-known), a period or comma inside a number (3.14) and
    periods inside an abbreviation of single letters (U.S) belong to the token, as combining marks belong to
    their letter. Each letter of a script without spaces is a token. A literal `<unk>` or `<eos>` is that token.
    """

    name: ClassVar[str] = "word"
    default_min_count: ClassVar[int] = 2

    @classmethod
    def split(cls, string: str) -> list[str]:
        """The tokens of one string without whitespace."""
        return _TOKEN.findall(string)

    @classmethod
    def join(cls, pieces: Sequence[str]) -> str:
        """Detokenize: tokens -> text with conventional spacing, which splits into the same tokens again.

        The spacing of a token depends only on the tokens before it, so the text of a prefix is a prefix of the text.
        """
        detokenizer = Detokenizer()
        return "".join(map(detokenizer.add, pieces))

    def writer(self) -> DecodeStream:
        return WordDecodeStream(self)


class Detokenizer:
    """Tokens one by one -> text with conventional spacing."""

    def __init__(self) -> None:
        self.line = LineDetokenizer()

    def add(self, piece: str) -> str:
        """The text that this token adds: the token, with or without a space before it, or a line break."""
        if piece != EOS:
            return self.line.add(piece)
        self.line = LineDetokenizer()
        return "\n"


class WordDecodeStream(DecodeStream):
    """Ids -> text with conventional spacing."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self.detokenizer = Detokenizer()

    def add(self, i: int) -> str:
        return self.detokenizer.add(self.tokenizer.vocabulary[i])

    def copy(self) -> DecodeStream:
        other = WordDecodeStream(self.tokenizer)
        other.detokenizer = deepcopy(self.detokenizer)
        return other


NO_SPACE_BEFORE = frozenset(".,;:!?)]}%‰°…")
SENTENCE_ENDS = frozenset(".!?…")
NO_SPACE_AFTER = frozenset("([{¿¡#@")
NO_SPACE_AROUND = frozenset("/—―")
CURRENCY = frozenset("$£€¥₹₩₽")
CLOSING_MARKS = {"“": "”", "‘": "’", "„": "“”", "‚": "‘’", "«": "»", "»": "«", "‹": "›", "›": "‹"}
UNMATCHED_CLOSING_MARKS = frozenset("”’")  # may also close a quote opened on another line
SYMMETRIC_MARKS = frozenset('"_`')  # alternately open and close
FINAL_ELISIONS = frozenset(["i", "o", "th", "wi"])  # i' the, o' the, th' hour, wi' the
INITIAL_ELISIONS = frozenset(["tis", "twas", "twere", "twill", "twould", "em", "til", "cause", "bout"])  # 'tis, 'twas, ...
NOT_POSSESSIVE = frozenset(["as", "does", "has", "his", "is", "its", "says", "this", "thus", "us", "was", "yes"])

_UNSPACED = re.compile(f"[{UNSPACED}{FULLWIDTH_PUNCTUATION}]")
_FULLWIDTH_PUNCTUATION = re.compile(f"[{FULLWIDTH_PUNCTUATION}]")


class LineDetokenizer:
    """Spacing on one line: a token may attach to the previous token, to the next one, or to both."""

    def __init__(self) -> None:
        self.open_quotes: list[str] = []
        self.run: list[str] = []  # the last tokens without a space between them
        self.last = ""
        self.attaches_next = "any"  # which next token attaches to the last one: "any", "number" or "none"

    def add(self, piece: str) -> str:
        """The token, with a space before it if it needs one."""
        elided = piece.lower() in INITIAL_ELISIONS or piece[0].isdigit()
        if elided and self.last == "'" and self.open_quotes[-1:] == ["'"]:
            self.open_quotes.pop()  # an apostrophe, not a quote: 'tis, '90s
        attaches_previous, attaches_next = self.sides(piece)
        attracted = self.attaches_next == "any" or (self.attaches_next == "number" and piece[0].isdigit())
        joined = (attaches_previous or attracted or self.is_unspaced(piece)) and self.stays_separate(piece)
        self.run = [*self.run[-2:], piece] if joined else [piece]
        self.last, self.attaches_next = piece, attaches_next
        return piece if joined else " " + piece

    def stays_separate(self, piece: str) -> bool:
        """Whether the token remains a separate token without a space before it; three tokens in a row decide it."""
        tokens = [*self.run[-2:], piece]
        return Word.split("".join(tokens)) == tokens

    def is_unspaced(self, piece: str) -> bool:
        """Whether no space separates the last token and this one because a script without spaces is involved."""
        pair = self.last, piece
        if any(_FULLWIDTH_PUNCTUATION.match(token) for token in pair):
            return True
        has_spaced_word = any(token[:1].isalpha() and not _UNSPACED.match(token) for token in pair)
        return any(map(_UNSPACED.match, pair)) and not has_spaced_word

    def sides(self, piece: str) -> tuple[bool, str]:
        """Whether the token attaches to the previous one, and what attaches to it."""
        mark, after_number = piece[0], self.last[:1].isdigit()
        if mark in NO_SPACE_BEFORE:
            return True, "number" if mark == ":" and after_number else "none"
        if mark in NO_SPACE_AFTER:
            return False, "any"
        if mark in NO_SPACE_AROUND or (mark == "–" and after_number):
            return True, "any"
        if mark == self.last == "-":
            return True, "none"
        if mark in CURRENCY or mark == "-":
            return False, "none" if after_number else "number"
        if mark in CLOSING_MARKS or mark in UNMATCHED_CLOSING_MARKS or mark in SYMMETRIC_MARKS or mark == "'":
            return self.quote_sides(mark)
        return False, "none"

    def quote_sides(self, mark: str) -> tuple[bool, str]:
        """The same for a quotation mark: it closes an open quote, else opens one; an apostrophe may do neither."""
        for depth in reversed(range(len(self.open_quotes))):
            if mark in CLOSING_MARKS.get(self.open_quotes[depth], self.open_quotes[depth]):
                del self.open_quotes[depth:]
                return True, "none"
        last = self.last.lower()
        possessive = last.endswith("s") and last not in INITIAL_ELISIONS | NOT_POSSESSIVE
        if mark == "”" or (mark in "'’" and (possessive or last in FINAL_ELISIONS)):
            return True, "none"  # students' books, o' the
        if mark == "’":  # closes a quote from another line (said.’), or replaces letters (’tis)
            return last in SENTENCE_ENDS, "none" if last in SENTENCE_ENDS else "any"
        self.open_quotes.append(mark)
        return False, "any"
