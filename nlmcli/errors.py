"""The exception for invalid user input, and spelling suggestions for its messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Invalid user input; the message is one clear sentence that states the value and how to fix it."""


def near(name: str, known: Iterable[str]) -> str:
    """The suffix "; did you mean 'lstm'?", or "" if no known name is close."""
    spelling = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), spelling, n=1)
    return f"; did you mean '{spelling[matches[0]]}'?" if matches else ""


def suggest(name: str, known: Iterable[str]) -> str:
    """The suffix "; did you mean 'lstm'?", or "; known: a, b, c" if no known name is close."""
    known = list(known)
    if suffix := near(name, known):
        return suffix
    return f"; known: {', '.join(known)}" if known else ""
