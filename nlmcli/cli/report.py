"""How results are printed: data on stdout, progress and messages on stderr, text of a corpus or a model with its control codes escaped."""

import json
import math
import os
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

BLOCKS = "▁▂▃▄▅▆▇█"


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
    """Print a JSON document as one line to stdout. Non-finite numbers become null; non-printable characters are escaped."""
    text = json.dumps(to_json(values), ensure_ascii=False)
    data("".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text))


def to_json(value: Any) -> Any:
    """The value as JSON types; NumPy's converted, non-finite numbers None."""
    if isinstance(value, dict):
        return {key: to_json(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return to_json(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def printable(text: str) -> str:
    """The text with its control characters escaped, except line breaks and tabs, so that a terminal does not obey them."""
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
