"""How results are printed: data on stdout, progress and messages on stderr, text of a corpus or a model with its control codes escaped."""

import codecs
import json
import math
import os
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from typing import Any, TextIO

BLOCKS = "▁▂▃▄▅▆▇█"


# ASCII replacements for the symbols that nlm prints, for streams whose encoding lacks them.
DRAWN = {"─": "-", "━": "-", "│": "|", "┃": "|", "…": "...", "·": ".", "␣": "_", "–": "-", "—": "-", "→": "->", "≤": "<=", "π": "pi"}
PLAIN = "plain.ascii"  # the name of the error handler


def plain_ascii(error: UnicodeError) -> tuple[str, int]:
    """Encoding error handler: replace characters that the encoding lacks by similar ASCII ones, or by escapes."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(ascii_of, error.object[error.start : error.end])), error.end


def ascii_of(c: str) -> str:
    """The ASCII replacement of a character."""
    if c in DRAWN:
        return DRAWN[c]
    if "\u2500" <= c <= "\u257f":  # corners and crossings
        return "+"
    if "\u2580" <= c <= "\u259f":  # blocks
        return "#"
    if "\u2800" <= c <= "\u28ff":  # braille
        return " " if c == "\u2800" else "*"
    return c.encode("unicode_escape").decode()


codecs.register_error(PLAIN, plain_ascii)


def write_anything(stream: TextIO) -> None:
    """Make a stream accept every character, whatever its encoding."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors=PLAIN)


def data(line: str = "", end: str = "\n") -> None:
    """Print a line of results to stdout."""
    print(line, end=end, flush=True)


def message(line: str = "") -> None:
    """Print a line of progress or a message to stderr; nothing if its reader has closed it."""
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Redirect a stream whose reader has closed it to the null device, pending output included."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def document(values: dict[str, Any]) -> None:
    """Print a JSON document as one line to stdout."""
    data(as_json(values))


def as_json(values: dict[str, Any]) -> str:
    """A JSON document as one line. Non-finite numbers become null; characters that a terminal may obey are escaped."""
    text = json.dumps(to_json(values), ensure_ascii=False)
    return OBEYED.sub(lambda match: json.dumps(match[0])[1:-1], text)


def to_json(value: Any) -> Any:
    """The value as JSON types; NumPy's converted, non-finite numbers None."""
    if isinstance(value, dict):
        return {key: to_json(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return to_json(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


# Characters that a terminal may obey: control characters except tab and line feed, and bidirectional controls; also lone
# surrogates, which cannot be encoded. All others, such as no-break spaces and joiners, are printed as they are.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def printable(text: str) -> str:
    """The text with the characters that a terminal may obey escaped."""
    return OBEYED.sub(escaped, text)


def written(text: str) -> str:
    """The text for stdout: escaped on a terminal, unaltered in a file or a pipe."""
    return printable(text) if sys.stdout.isatty() else text


def shell_word(path: str) -> str:
    """A path quoted for the shell, as $'...' if it has bytes that are not printable."""
    if not OBEYED.search(path):
        return shlex.quote(path)
    letters = (chr(b) if 0x20 <= b < 0x7F and b not in b"'\\" else f"\\x{b:02x}" for b in os.fsencode(path))
    return f"$'{''.join(letters)}'"


def quoted(text: str) -> str:
    """The text as one shell word; in double quotes if these suffice."""
    return shlex.quote(text) if re.search(r'["$`\\!]', text) else f'"{text}"'


def truncate(text: str, cells: int) -> str:
    """The text, cut to that many terminal cells with an ellipsis if it is wider."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= cells else set_cell_size(text, max(0, cells - 1)).rstrip() + "…"


def pad(text: str, cells: int, right: bool = False) -> str:
    """The text padded with blanks to that many terminal cells.  right: right-aligned."""
    from rich.cells import cell_len

    blanks = " " * (cells - cell_len(text))
    return blanks + text if right else text + blanks


def number_of(n: int, noun: str) -> str:
    """1 token, 2 tokens."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def probability(p: float, digits: int) -> str:
    """The probability to that many decimals, or as 7.2e-08 if these leave fewer than two significant digits."""
    return f"{p:.{digits}f}" if p == 0 or p >= 10 ** (1 - digits) else f"{p:.1e}"


def columns(rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """The rows as lines of aligned columns; those whose index is in `right` are right-aligned."""
    from rich.cells import cell_len

    rows = [list(row) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(pad(cell, w, i in right) for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]


def pairs(values: Iterable[tuple[str, str]]) -> None:
    """Print names and values to stdout, one pair per line."""
    for line in columns(values):
        data(line)


def bar(share: float, width: int = 40) -> str:
    """A bar of that share of the width, to an eighth of a character."""
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """The last values of a series as a line of block characters."""
    shown = [v for v in values[-width:] if math.isfinite(v)]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    return "".join(BLOCKS[round((v - low) / (high - low or 1) * 7)] for v in shown)


def duration(seconds: float) -> str:
    """12.3 s, 4:05, 1:02:03."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
