"""The memory that training needs, and the memory that is available."""

import os
import re
import sys
from pathlib import Path

from nlmcli.engine.run.container import memory_left
from nlmcli.errors import InputError

GB = 1e9


def required(parameters: int, optimizer_states: int, shards: int) -> int:
    """Bytes of θ, one gradient per shard, and the optimizer's state vectors, in float32."""
    return 4 * parameters * (1 + shards + optimizer_states)


def check(parameters: int, optimizer_states: int, shards: int) -> int:
    """The bytes that a run needs, without its batches.  Raises InputError if fewer are available."""
    needed, available = required(parameters, optimizer_states, shards), free()
    if available is not None and needed > available:
        raise InputError(
            f"training {parameters:,} parameters needs about {needed / GB:,.1f} GB of memory, but only {available / GB:,.1f} GB are free; "
            "lower --hidden, --embed, --layers, --vocab-size or --batch-size"
        )
    return needed


def free() -> int | None:
    """Bytes that this process may still allocate, within the limits of its container; None if the system does not report it."""
    of_machine = free_of_machine()
    return of_machine if of_machine is None else int(min(of_machine, memory_left()))


def free_of_machine() -> int | None:
    """Bytes available to a new process; None if the system does not report it."""
    try:
        match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        return int(match[1]) * 1024 if match else None
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def peak() -> int | None:
    """Peak memory of this process (maximum resident set size) in bytes; None if the system does not report it."""
    try:  # not getrusage: on Linux its figure includes the memory of the process that started this one
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]
    except (OSError, TypeError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
