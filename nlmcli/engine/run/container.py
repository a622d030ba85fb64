"""The limits of a container: the memory and the processors that its control groups (cgroups) allow this process.

Version 2 has one hierarchy (memory.max, cpu.max), version 1 one for each controller. Every group from the process's own up to
the root may set a limit; the smallest one counts.
"""

import math
from collections.abc import Iterator
from pathlib import Path

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def groups(controller: str) -> Iterator[Path]:
    """The folders of this process's group and its ancestors: of version 2, and of a controller's hierarchy of version 1."""
    try:
        lines = OWN.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            tree = ROOT / controller if controllers else ROOT
            group = tree / path.lstrip("/")
            yield from (each for each in (group, *group.parents) if each == tree or tree in each.parents)
            yield ROOT / controllers if controllers else ROOT  # inside a container, its own group may be mounted as the root


def numbers(folder: Path, name: str) -> list[float]:
    """The numbers in a file of a group; empty if the file does not exist."""
    try:
        return [math.inf if word == "max" else float(word) for word in (folder / name).read_text().split()]
    except (OSError, ValueError):
        return []


def memory_left() -> float:
    """Bytes that the groups still allow; infinite without a limit."""
    left = math.inf
    for folder in groups("memory"):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            for most in numbers(folder, limit):
                left = min(left, most - (numbers(folder, used) or [0.0])[0] + reclaimable(folder))
    return max(left, 0.0)


def reclaimable(folder: Path) -> float:
    """Bytes of the page cache of a group, which the kernel reclaims when memory is needed."""
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
        return sum(float(line.split()[1]) for line in lines if line.split()[0] in ("inactive_file", "total_inactive_file"))
    except (OSError, ValueError, IndexError):
        return 0.0


def processors() -> float:
    """The number of processors that the groups allow, possibly fractional; infinite without a limit."""
    allowed = math.inf
    for folder in groups("cpu"):
        if len(quota := numbers(folder, "cpu.max")) == 2:
            allowed = min(allowed, quota[0] / quota[1])
        quota, period = numbers(folder, "cpu.cfs_quota_us"), numbers(folder, "cpu.cfs_period_us")
        if quota and period and quota[0] > 0:
            allowed = min(allowed, quota[0] / period[0])
    return allowed
