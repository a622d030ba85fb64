"""Figures, drawn with matplotlib if it is installed (the extra `plot`)."""

import warnings
from pathlib import Path
from typing import Any

from nlmcli.errors import InputError


def new_figure(path: Path, size: tuple[float, float]) -> Any:
    """An empty figure.  size: in inches.  Raises InputError for an unsupported file type, or if matplotlib is not installed."""
    if path.suffix not in (".png", ".svg"):
        raise InputError(f"--plot {path} is neither .png nor .svg")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("--plot needs matplotlib, which is not installed; install it with: pip install 'nlmcli[plot]'") from None
    return Figure(figsize=size, layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write the figure to a file.  Raises InputError if it cannot be written."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # glyphs missing from the font are drawn as boxes
            figure.savefig(path)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror})") from None
