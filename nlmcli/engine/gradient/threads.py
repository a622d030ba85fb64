"""A thread pool that shares out the work of a run: the jobs are the same for any number of threads, and their order does not matter.

Waking a sleeping thread takes about 50 µs, a quarter of a whole step of a small model. So a thread spins before it sleeps: for
less time than a step takes, since another process may need the core on a busy machine.
"""

import math
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from nlmcli.engine.run.container import processors
from nlmcli.nn.kernel import kernel
from nlmcli.nn.precision import current, products_in
from nlmcli.nn.simd import atomic_load, yield_core

SPINS = 20000  # of about 10 ns each, before a thread sleeps
SPINS_PER_YIELD = 64  # spins after which the thread offers its core to others
GRAIN = 1 << 14  # parts of a range start at multiples of this
SERIAL = 1 << 16  # ranges up to this size are processed by one thread: synchronization would take longer
MAX_THREADS = 1024

Job = Callable[[], Any]


def available_threads() -> int:
    """The number of processors that this process may use, at most what its container gives it time on."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(count, processors())))


class ThreadPool:
    """n threads, one of which is the caller. The workers live as long as the process."""

    def __init__(self, n: int):
        self.n, self.precision = n, "float32"
        self.shares: list[Iterable[Job]] = []  # of each thread
        self.errors: list[BaseException] = []
        self.calls = np.zeros(n, np.int64)  # the last call of `run` that each worker has completed; [0]: that the caller has started
        self.start_locks = [threading.Lock() for _ in range(n)]
        self.done_locks = [threading.Lock() for _ in range(n)]
        for r in range(1, n):
            self.start_locks[r].acquire()
            self.done_locks[r].acquire()
            threading.Thread(target=self.worker, args=(r,), daemon=True).start()

    def worker(self, r: int) -> None:
        """The loop of thread r."""
        call = 0
        while True:
            call += 1
            spin_until(self.calls, 0, call, SPINS)
            self.start_locks[r].acquire()
            try:
                self.run_share(r)
            except BaseException as error:  # raised again by the caller
                self.errors.append(error)
            self.calls[r] = call
            self.done_locks[r].release()

    def run_share(self, r: int) -> None:
        """Run the jobs of thread r."""
        with quiet(), products_in(self.precision):
            for job in self.shares[r]:
                job()

    def run(self, jobs: Sequence[Job], as_free: bool = False) -> None:
        """Run all jobs in parallel, in the caller's precision, and return when all are done. Raises the exception of a job that failed.

        Thread r runs every n-th job, from job r on, which are the same whenever it is called and in its cache;
        as_free: each job in turn is run by the first thread that is free.
        """
        if self.n == 1 or len(jobs) == 1:
            with quiet():
                for job in jobs:
                    job()
            return
        self.shares = [iter(jobs)] * self.n if as_free else [jobs[r :: self.n] for r in range(self.n)]
        self.errors, self.precision = [], current()
        self.calls[0] += 1
        for r in range(1, self.n):
            self.start_locks[r].release()
        try:
            self.run_share(0)
        finally:
            for r in range(1, self.n):
                spin_until(self.calls, r, self.calls[0], SPINS)
                self.done_locks[r].acquire()
        if self.errors:
            raise self.errors[0]

    def over(self, size: int, job: Callable[[slice], Any], grain: int = GRAIN, serial: int = SERIAL) -> None:
        """Parallel for: job(part) over parts of range(size) that start at multiples of the grain, one per thread."""
        if size <= serial or self.n == 1:
            job(slice(0, size))
            return
        edges = [size * r // self.n // grain * grain for r in range(self.n)] + [size]
        self.run([part_of(job, *ends) for ends in pairwise(edges)])


@cache
def shared_pool() -> ThreadPool:
    """One thread per processor, for whatever is not a run of training, which has its own number."""
    return ThreadPool(available_threads())


def quiet() -> np.errstate:
    """Silence floating-point warnings, which are set per thread: a run that diverges shows in its loss."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def part_of(job: Callable[[slice], Any], start: int, stop: int) -> Job:
    return lambda: job(slice(start, stop))


@kernel
def spin_until(calls, r, call, spins):
    """Spin until calls[r] >= call, at most `spins` times."""
    for i in range(spins):
        if atomic_load(calls, r) >= call:
            return
        if i % SPINS_PER_YIELD == 0:
            yield_core()
