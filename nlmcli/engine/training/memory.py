"""How much memory there is, and how much of it a run needs."""

import os
import re
import sys
from pathlib import Path

from nlmcli.engine.run.container import memory_left
from nlmcli.errors import InputError

GB = 1e9


def needed(parameters: int, remembered: int, shards: int) -> int:
    """Bytes of θ, a gradient for each shard, and the optimizer's vectors, in single precision."""
    return 4 * parameters * (1 + shards + remembered)


def check(parameters: int, remembered: int, shards: int) -> int:
    """The bytes that a run needs beside its batches.  Raises InputError where there are fewer."""
    need, there = needed(parameters, remembered, shards), free()
    if there is not None and need > there:
        raise InputError(
            f"{parameters:,} parameters need about {need / GB:,.1f} GB of memory to train, and {there / GB:,.1f} GB are free; "
            "lower --hidden, --embed, --layers, --vocab-size or --batch-size"
        )
    return need


def free() -> int | None:
    """Bytes that this process may still take, within the limits of its container; None where the system does not tell."""
    there = free_of_machine()
    return there if there is None else int(min(there, memory_left()))


def free_of_machine() -> int | None:
    """Bytes that a new process may take; None where the system does not tell."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        return int(found[1]) * 1024 if found else None
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def peak() -> int | None:
    """The most memory this process ever held, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
