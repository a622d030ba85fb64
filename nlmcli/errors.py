"""What nlm says when it cannot use what it was given."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What a user gave is not usable; the message is one clear sentence with the value and the mend."""


def near(name: str, known: Iterable[str]) -> str:
    """The tail "; did you mean 'lstm'?", or nothing where no known name is close."""
    spelling = {one.lower(): one for one in known}
    matches = difflib.get_close_matches(name.lower(), spelling, n=1)
    return f"; did you mean '{spelling[matches[0]]}'?" if matches else ""


def suggest(name: str, known: Iterable[str]) -> str:
    """The tail "; did you mean 'lstm'?", or "; known: a, b, c" where no known name is close."""
    known = list(known)
    if tail := near(name, known):
        return tail
    return f"; known: {', '.join(known)}" if known else ""
