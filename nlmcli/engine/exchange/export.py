"""Export: a run as files of other programs, whole or not at all."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from nlmcli.engine.exchange.format import Write
from nlmcli.engine.exchange.formats import FORMATS
from nlmcli.engine.run.atomic import Unwritable, sync_folder, write_atomically
from nlmcli.engine.run.saved import Saved
from nlmcli.errors import InputError
from nlmcli.options import long_name


@dataclass(frozen=True)
class Exported:
    """What was written.  files: their names, if it is a folder; bytes: of all; notes: what the user should know"""

    path: Path
    format: str
    files: tuple[str, ...]
    bytes: int
    notes: tuple[str, ...]
    usage: str


def export(run: Saved, path: Path, to: str | None = None) -> Exported:
    """Write a run in a format; None: the one that the ending of the path tells.

    Raises InputError if the format cannot hold it, or for a path that cannot be written.
    """
    name = format_name(path, to)
    format = FORMATS.get(name)()
    format.check(run)
    files = format.files(run)
    if format.endings:
        write_atomically(path, files[""])
    else:
        write_folder(path, files)
    parts = (path,) if format.endings else [path / each for each in files]
    size = sum(part.stat().st_size for part in parts if part.is_file())
    names = () if format.endings else tuple(files)
    return Exported(path, long_name(name), names, size, tuple(format.notes(run)), format.usage.format(path=path))


def format_name(path: Path, to: str | None) -> str:
    """The name of the format in the registry.  Raises InputError for an unknown one, or if the ending tells none."""
    if to is not None:
        name = to.replace("-", "_")
        FORMATS.get(name)
        return name
    for name, format in FORMATS.members().items():
        if path.suffix and path.suffix in format.endings:
            return name
    raise InputError(f"the ending of {path} tells no format; give one with --to: {', '.join(map(long_name, FORMATS.names()))}")


def write_folder(path: Path, files: dict[str, Write]) -> None:
    """Write all files into a new folder, which then takes the place of a former export.

    Raises InputError if the folder has something else in it, or cannot be written.
    """
    if path.exists() or path.is_symlink():
        others = sorted({entry.name for entry in path.iterdir()} - set(files)) if path.is_dir() else [path.name]
        if others:
            raise InputError(f"{path} exists, and has {others[0]} in it; give another folder")
    new, old = (path.with_name(f".{path.name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for name, write in files.items():
            write_atomically(new / name, write)
        if path.exists():
            os.rename(path, old)
        os.rename(new, path)
    except OSError as error:
        raise Unwritable(f"cannot write {path} ({(error.strerror or str(error)).lower()}); give another folder") from None
    finally:
        if old.exists() and not path.exists():
            os.rename(old, path)
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(new, ignore_errors=True)
    sync_folder(path.parent)
