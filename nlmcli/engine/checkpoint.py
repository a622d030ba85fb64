"""A checkpoint is one .npz that `numpy.load` reads with allow_pickle=False.

Parameters stand under their letters, everything else under a prefix (`optimizer.m`, `state.0.0`), and `about` is a JSON
text: format version, model, sizes, tokenizer, settings, counters. It is written beside the old file and renamed over
it, so that at every instant there is a whole one.
"""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from nlmcli.errors import InputError

FORMAT = 1


def write_atomically(path: Path, write) -> None:
    """write(file) into a temporary file in the same folder, then fsync and rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save(path: Path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write arrays by name, and what they are."""
    text = np.array(json.dumps({"format": FORMAT, **about}))
    named: dict[str, Any] = arrays  # savez has an option among its names, allow_pickle, that no array of ours is called
    write_atomically(path, lambda file: np.savez(file, about=text, **named))


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and what they are.  Raises InputError for a file that is none, is damaged or is of a later format."""
    try:
        with open(path, "rb") as bytes_of, np.load(bytes_of, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop("about")))
    except FileNotFoundError:
        raise InputError(f"no checkpoint at {path}") from None
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a whole nlm checkpoint ({error or type(error).__name__})") from None
    if not isinstance(about, dict):
        raise InputError(f"{path} is not a whole nlm checkpoint (it does not say what it is)")
    if about.get("format") != FORMAT:
        raise InputError(f"{path} has checkpoint format {about.get('format')}; this nlm reads format {FORMAT}")
    return arrays, about
