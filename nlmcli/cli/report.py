"""How results are printed: data on stdout, progress and messages on stderr, and nothing raw from a corpus or a model."""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

BLOCKS = "▁▂▃▄▅▆▇█"


def data(line: str = "", end: str = "\n") -> None:
    """A line of results, on stdout."""
    print(line, end=end, flush=True)


def message(line: str = "") -> None:
    """A line about what goes on, on stderr."""
    print(line, file=sys.stderr, flush=True)


def document(values: dict[str, Any]) -> None:
    """One JSON document on one line, on stdout. What is not finite is null."""
    print(json.dumps(plain(values), ensure_ascii=False), flush=True)


def plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def printable(text: str) -> str:
    """The text with its control characters, line ends and tabs excepted, as escapes a terminal does not obey."""
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def columns(rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """The rows as lines, their cells under each other; the columns in `right` end under each other."""
    rows = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def facts(values: Iterable[tuple[str, str]]) -> None:
    """Names and values, one pair a line, on stdout."""
    for line in columns(values):
        data(line)


def bar(share: float, width: int = 40) -> str:
    """A bar of that share of the width, to an eighth of a character."""
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def curve(values: Sequence[float], width: int = 24) -> str:
    """The last values of a series as a line of blocks."""
    seen = [v for v in values[-width:] if math.isfinite(v)]
    low, high = min(seen, default=0.0), max(seen, default=0.0)
    return "".join(BLOCKS[round((v - low) / (high - low or 1) * 7)] for v in seen)


def duration(seconds: float) -> str:
    """12.3 s, 4:05, 1:02:03."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
