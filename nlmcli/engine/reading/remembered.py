"""What was found out about a long text, kept in the cache folder, so that the next run on it starts at once.

A file is taken to be the same if its place on the disk, its size and the times of its last changes are: as Git and make do.
Files that changed less than a moment before are read again, since another change could bear the same time.
"""

import contextlib
import hashlib
import json
import os
import stat
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nlmcli import kernel_cache
from nlmcli.engine.run.atomic import Unwritable, write_atomically

LARGE = 1 << 26  # bytes, or characters, from which on a text is long
MOMENT = 2.0  # seconds
FOLDER = "texts"  # in the cache folder
MAX_UNUSED = 30 * 24 * 3600.0  # seconds after which an unused file is removed


def remembered(key: Sequence[Any] | None, find_out: Callable[[], Any]) -> Any:
    """A value of JSON types that was found out before for this key, by the same nlm; else it is found out now.

    key: JSON types; None: the text is short, and nothing is kept
    """
    folder = kernel_cache.writable_folder(FOLDER) if key is not None else None
    if folder is None:
        return find_out()
    name = hashlib.sha256(json.dumps([key, kernel_cache.source_hash()]).encode()).hexdigest()[:32]
    path = Path(folder) / f"{name}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # missing or damaged
        os.utime(path)
        saved = json.loads(path.read_bytes())
        if zlib.crc32(saved["value"].encode()) == saved["crc"]:
            return json.loads(saved["value"])
    value = find_out()
    text = json.dumps(value)
    content = json.dumps({"value": text, "crc": zlib.crc32(text.encode())}).encode()
    with contextlib.suppress(Unwritable):
        write_atomically(path, lambda file: file.write(content))
    return value


def stamps(paths: Sequence[Path]) -> list[Any] | None:
    """What tells whether files are the same as before; None if they are short, too new, or no files."""
    found, size, changed = [], 0, 0.0
    for path in paths:
        try:
            s = path.stat()
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(s.st_mode):
            return None
        found.append([str(path.resolve()), s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns])
        size, changed = size + s.st_size, max(changed, s.st_mtime, s.st_ctime)
    return found if size >= LARGE and changed < time.time() - MOMENT else None


def remove_unused(folder: Path) -> None:
    """Remove the files that have not been used for a month."""
    for path in (*folder.glob("*.ids"), *folder.glob("*.json")):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - MAX_UNUSED:
                path.unlink()
