"""Pictures, by matplotlib where it is installed: the extra `plot`."""

import warnings
from pathlib import Path
from typing import Any

from nlmcli.errors import InputError


def new_figure(path: Path, size: tuple[float, float]) -> Any:
    """An empty figure of that many inches.  Raises InputError for another kind of file, or where matplotlib is missing."""
    if path.suffix not in (".png", ".svg"):
        raise InputError(f"--plot {path} is neither .png nor .svg")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("--plot needs matplotlib, which is not installed; install it with: pip install 'nlmcli[plot]'") from None
    return Figure(figsize=size, layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write the picture.  Raises InputError where it cannot be written."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # letters that the font lacks are drawn as boxes
            figure.savefig(path)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror})") from None
