"""Words and punctuation: Unicode words, each mark of punctuation apart, and the way back to running text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from copy import deepcopy
from itertools import chain
from typing import ClassVar

from nlmcli.text.tokenizer import UNKNOWN, Tokenizer, Writer
from nlmcli.text.tokenizers.whitespace import END, Whitespace

# Scripts without blanks, each letter a word of its own: Han, kana, Bopomofo, Thai, Lao, Myanmar, Khmer.
ALONE = (
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u3041-\u3096\u309b-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f"
    "\u3105-\u312f\u31a0-\u31bf\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1050-\u108f\u1780-\u17d3"
)
# The punctuation of those scripts, as wide as their letters.
WIDE = "\u3001-\u3003\u3008-\u3020\u3030\u303d\u30a0\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"


def _marks() -> str:
    """The characters that belong to the one before: combining marks, joiners, the soft hyphen."""
    ranges: list[list[int]] = []  # few ranges are tested much faster than many single characters
    for code in chain(range(0x300, 0x20000), range(0xE0100, 0xE01F0)):
        if unicodedata.category(chr(code))[0] == "M":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "\u00ad\u200c\u200d" + "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def _pattern() -> re.Pattern[str]:
    """One piece of a string without blanks."""
    marks = f"[{_marks()}]"
    unit = rf"[^\W_{ALONE}]"
    word = f"{unit}+(?:{marks}+{unit}*)*"
    hyphen = r"['\u2019\u2010\u2011-]"
    in_number = r"(?<=\d)[.,](?=\d)"
    in_abbreviation = rf"(?<={unit})(?<!{unit}{unit})\.(?={unit}(?!{unit}|{marks}))"  # U.S, e.g
    inner = f"(?:{hyphen}|{in_number}|{in_abbreviation})"
    return re.compile(rf"{UNKNOWN}|{END}|{word}(?:{inner}{word})*|(?s:.){marks}*")


_PIECE = _pattern()


class Word(Whitespace):
    """Tokens are words, numbers and marks of punctuation; a line end is `<eos>`.

    Apostrophes and hyphens inside a word (don't, well-known), the point or comma inside a number (3.14) and
    the points inside an abbreviation of single letters (U.S) belong to it, as combining marks do to their
    letter. Each letter of a script without blanks is a word. A literal `<unk>` or `<eos>` is that type.
    """

    name: ClassVar[str] = "word"
    default_min_count: ClassVar[int] = 2

    @classmethod
    def split(cls, string: str) -> list[str]:
        """The pieces of one string without blanks."""
        return _PIECE.findall(string)

    @classmethod
    def join(cls, pieces: Sequence[str]) -> str:
        """Pieces -> running text, spaced as print does; what is joined falls into the same pieces again.

        A piece is spaced by what stands before it only, so the text of a prefix is a prefix of the text.
        """
        page = Page()
        return "".join(map(page.add, pieces))

    def writer(self) -> Writer:
        return WordWriter(self)


class Page:
    """Lines of pieces, one after the other."""

    def __init__(self) -> None:
        self.line = Line()

    def add(self, piece: str) -> str:
        """What the piece adds to the text: itself, with a blank or without, or a line break."""
        if piece != END:
            return self.line.add(piece)
        self.line = Line()
        return "\n"


class WordWriter(Writer):
    """Words spaced as print does."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self.page = Page()

    def add(self, i: int) -> str:
        return self.page.add(self.tokenizer.vocabulary[i])

    def copy(self) -> Writer:
        other = WordWriter(self.tokenizer)
        other.page = deepcopy(self.page)
        return other


BEFORE = frozenset(".,;:!?)]}%‰°…")  # no blank before
SENTENCE_ENDS = frozenset(".!?…")
AFTER = frozenset("([{¿¡#@")  # no blank after
AROUND = frozenset("/—―")  # no blank on either side
CURRENCY = frozenset("$£€¥₹₩₽")
CLOSED_BY = {"“": "”", "‘": "’", "„": "“”", "‚": "‘’", "«": "»", "»": "«", "‹": "›", "›": "‹"}
CLOSERS = frozenset("”’")  # these close what was opened on another line, too
TOGGLES = frozenset('"_`')  # open, close, open, ...
ELIDED = frozenset(["i", "o", "th", "wi"])  # i' the, o' the, th' hour, wi' the
ELISIONS = frozenset(["tis", "twas", "twere", "twill", "twould", "em", "til", "cause", "bout"])
NO_OWNERS = frozenset(["as", "does", "has", "his", "is", "its", "says", "this", "thus", "us", "was", "yes"])

_WIDE = re.compile(f"[{ALONE}{WIDE}]")
_WIDE_PUNCTUATION = re.compile(f"[{WIDE}]")


class Line:
    """Where the blanks go on one line: a piece may cling to the one before, and to the one after."""

    def __init__(self) -> None:
        self.opened: list[str] = []  # quotes not yet closed
        self.run: list[str] = []  # the last pieces without a blank between
        self.last = ""
        self.follower = "any"  # what clings to the last piece: "any", "number" or "none"

    def add(self, piece: str) -> str:
        """The next piece, with the blank before it if there is one."""
        elided = piece.lower() in ELISIONS or piece[0].isdigit()
        if elided and self.last == "'" and self.opened[-1:] == ["'"]:
            self.opened.pop()  # no quote began: 'tis, '90s
        before, follower = self.sides(piece)
        drawn = self.follower == "any" or (self.follower == "number" and piece[0].isdigit())
        joined = (before or drawn or self.wide(piece)) and self.stays_apart(piece)
        self.run = [*self.run[-2:], piece] if joined else [piece]
        self.last, self.follower = piece, follower
        return piece if joined else " " + piece

    def stays_apart(self, piece: str) -> bool:
        """Whether the piece stays a piece without a blank; three in a row are enough to tell."""
        near = [*self.run[-2:], piece]
        return Word.split("".join(near)) == near

    def wide(self, piece: str) -> bool:
        """Whether no blank stands between the two, one of them being of a script without blanks."""
        pair = self.last, piece
        if any(_WIDE_PUNCTUATION.match(one) for one in pair):
            return True
        narrow_word = any(one[:1].isalpha() and not _WIDE.match(one) for one in pair)
        return any(map(_WIDE.match, pair)) and not narrow_word

    def sides(self, piece: str) -> tuple[bool, str]:
        """Whether the piece clings to the one before, and what clings to it."""
        mark, after_number = piece[0], self.last[:1].isdigit()
        if mark in BEFORE:
            return True, "number" if mark == ":" and after_number else "none"
        if mark in AFTER:
            return False, "any"
        if mark in AROUND or (mark == "–" and after_number):
            return True, "any"
        if mark == self.last == "-":
            return True, "none"
        if mark in CURRENCY or mark == "-":
            return False, "none" if after_number else "number"
        if mark in CLOSED_BY or mark in CLOSERS or mark in TOGGLES or mark == "'":
            return self.quote(mark)
        return False, "none"

    def quote(self, mark: str) -> tuple[bool, str]:
        """The same for a quotation mark: it closes what is open, else opens; an apostrophe may do neither."""
        for depth in reversed(range(len(self.opened))):
            if mark in CLOSED_BY.get(self.opened[depth], self.opened[depth]):
                del self.opened[depth:]
                return True, "none"
        after = self.last.lower()
        owner = after.endswith("s") and after not in ELISIONS | NO_OWNERS
        if mark == "”" or (mark in "'’" and (owner or after in ELIDED)):
            return True, "none"  # students' books, o' the
        if mark == "’":  # closes a quote of another line (said.’), or stands for letters (’tis)
            return after in SENTENCE_ENDS, "none" if after in SENTENCE_ENDS else "any"
        self.opened.append(mark)
        return False, "any"
