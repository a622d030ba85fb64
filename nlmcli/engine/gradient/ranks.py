"""The processes of one run: one, or those that mpiexec started, on this machine or several.

Every rank holds all parameters and computes the gradients of some shards.  What they exchange is put together in the order
of the shards, so the bits are those of one process:

    Σ_s g_s = ((g_0 + g_1) + g_2) + ...    a chain: each rank adds its shards to the sum of the ranks before it, and passes it on

An Allreduce would add up each rank's shards first, which rounds otherwise.  Rank 0 decides whatever depends on the clock, on
signals or on files, and is the only one that writes.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from nlmcli.errors import InputError

STARTED_BY = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "MPI_LOCALNRANKS")  # what mpiexec of MPICH, Intel MPI and Open MPI sets
CHUNK = 1 << 15  # numbers that a rank passes on at a time, while the next ones arrive
PATIENCE = 1.0  # seconds in which all ranks must have met the same error, or it is that of one


class Ranks:
    """One process: nothing is exchanged."""

    rank, size = 0, 1

    def share(self, n: int) -> range:
        """The shards of this rank, of n."""
        return range(self.first(self.rank, n), self.first(self.rank + 1, n))

    def first(self, rank: int, n: int) -> int:
        """The first shard of a rank, of n; rank 0 always has one."""
        return -(-rank * n // self.size)

    def edges(self, ends: Sequence[int]) -> list[int]:
        """Where the rows of each rank begin, if n parts end at these rows; and where the last one's end."""
        starts = [0, *ends]
        return [starts[self.first(rank, len(ends))] for rank in range(self.size + 1)]

    def agreed(self, value: Any) -> Any:
        """The value of rank 0."""
        return value

    def all_of(self, items: list[Any]) -> list[Any]:
        """The items of all ranks, one after another."""
        return items

    def fill(self, rows: np.ndarray, edges: Sequence[int]) -> None:
        """Complete an array of which every rank has the rows between its edges."""

    def joined(self, parts: list[np.ndarray], ends: Sequence[int]) -> np.ndarray:
        """The rows of the shards of all ranks, of which these are this rank's.  ends: where each shard's rows end"""
        return np.concatenate(parts)

    def add_disjoint(self, values: np.ndarray) -> None:
        """Complete an array of which every number is 0 on all ranks but one."""

    def sum_in_order(self, total: np.ndarray, vectors: Sequence[np.ndarray]) -> None:
        """total = the sum of the vectors of all ranks, one after another.  The first vector of rank 0 is `total` itself."""
        raise NotImplementedError

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """A context that rank 0 runs before the others do."""
        if self.rank > 0:
            self.wait()
        yield
        if self.rank == 0:
            self.wait()

    def wait(self) -> None:
        """Until all ranks are here."""

    def local_size(self) -> int:
        """The number of ranks on this machine."""
        return 1


class Mpi(Ranks):
    """The ranks that mpiexec started."""

    def __init__(self, MPI: Any, comm: Any = None):
        self.MPI = MPI
        self.comm = comm or MPI.COMM_WORLD
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        self.errors = self.comm.Dup()  # where ranks meet that have an error

    def agreed(self, value):
        return self.comm.bcast(value, 0)

    def all_of(self, items):
        return [item for part in self.comm.allgather(items) for item in part]

    def fill(self, rows, edges):
        width = rows[:1].size if len(rows) else 0
        counts, starts = np.diff(edges) * width, np.array(edges[:-1]) * width
        kind = self.MPI._typedict[rows.dtype.char]
        self.comm.Allgatherv(self.MPI.IN_PLACE, [rows, counts, starts, kind])

    def joined(self, parts, ends):
        kind, width = self.agreed((parts[0].dtype, parts[0].shape[1:]) if parts else None)
        rows, edges = np.empty((ends[-1], *width), kind), self.edges(ends)
        if parts:
            np.concatenate(parts, out=rows[edges[self.rank] : edges[self.rank + 1]])
        self.fill(rows, edges)
        return rows

    def add_disjoint(self, values):
        self.comm.Allreduce(self.MPI.IN_PLACE, values)

    def sum_in_order(self, total, vectors):
        buffer, sent = np.empty_like(total), []
        for start in range(0, total.size, CHUNK):
            part = slice(start, start + CHUNK)
            addends = [each[part] for each in vectors]
            chunk = buffer[part]
            if self.rank > 0:
                self.comm.Recv(chunk, self.rank - 1)
            else:
                chunk[:] = addends.pop(0)
            for each in addends:
                chunk += each
            if self.rank < self.size - 1:
                sent.append(self.comm.Isend(chunk, self.rank + 1))
        self.MPI.Request.Waitall(sent)
        if self.rank == self.size - 1:
            total[:] = buffer
        self.comm.Bcast(total, self.size - 1)

    def wait(self):
        self.comm.Barrier()

    def local_size(self):
        return self.comm.Split_type(self.MPI.COMM_TYPE_SHARED).Get_size()


def started() -> bool:
    """Whether mpiexec started this process."""
    return any(name in os.environ for name in STARTED_BY)


@cache
def ranks() -> Ranks:
    """The processes of this run.  Raises InputError if mpiexec started several and mpi4py is not installed."""
    if not started():
        return Ranks()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: no MPI library
        if int(os.environ.get("PMI_SIZE", os.environ.get("OMPI_COMM_WORLD_SIZE", "2"))) == 1:
            return Ranks()
        missing = "mpi4py, which is not installed" if isinstance(error, ImportError) else "an MPI library, which is not installed"
        raise InputError(f"several ranks need {missing}; install both with: pip install 'nlmcli[mpi]' mpich") from None
    return Mpi(MPI) if MPI.COMM_WORLD.Get_size() > 1 else Ranks()


def others() -> Mpi | None:
    """The ranks, if there are several and they can be reached."""
    if not started():
        return None
    try:
        here = ranks()
    except InputError:
        return None
    return here if isinstance(here, Mpi) else None


def number() -> int:
    """The number of this process among those that mpiexec started."""
    here = others()
    return here.rank if here else int(os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK", "0")))


def met_by_all() -> bool:
    """Whether all ranks meet here, with an error, within the time that they have; True if there is only one."""
    here = others()
    if here is None:
        return True
    request, end = here.errors.Ibarrier(), time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if request.Test():
            return True
        time.sleep(0.01)
    return False


def end_all(code: int) -> None:
    """End the processes of all ranks at once."""
    if here := others():
        here.comm.Abort(code)
