"""Threads that share out a run's work: the same jobs whatever their number, in an order that does not matter.

To wake a sleeping thread takes some 50 µs, a quarter of a small model's whole step. So before a thread sleeps it watches
for a while whether it is wanted: for less time than a step takes, since on a busy machine another could use the core.
"""

import math
import os
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from nlmcli.engine.run.container import processors
from nlmcli.nn.kernel import kernel
from nlmcli.nn.simd import give_way, look

LOOKS = 20000  # of some 10 ns each, before a thread sleeps
BETWEEN = 64  # looks until it asks whether another wants the core
GRAIN = 1 << 14  # parts of a range begin at multiples of this
ALONE = 1 << 16  # numbers that one thread goes through sooner than two agree on it
MOST_THREADS = 1024

Job = Callable[[], Any]


def available_threads() -> int:
    """The processors this process may use, as many as its container has time on."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(there, processors())))


class Threads:
    """n threads, of which the caller is one. The others live as long as the process."""

    def __init__(self, n: int):
        self.n = n
        self.jobs: Sequence[Job] = []
        self.failures: list[BaseException] = []
        self.turns = np.zeros(n, np.int64)  # which call of `run` each thread has come to; [0]: the caller
        self.go = [threading.Lock() for _ in range(n)]
        self.done = [threading.Lock() for _ in range(n)]
        for r in range(1, n):
            self.go[r].acquire()
            self.done[r].acquire()
            threading.Thread(target=self.work, args=(r,), daemon=True).start()

    def work(self, r: int) -> None:
        turn = 0
        while True:
            turn += 1
            watch(self.turns, 0, turn, LOOKS)
            self.go[r].acquire()
            try:
                self.take(r)
            except BaseException as error:  # the caller raises it
                self.failures.append(error)
            self.turns[r] = turn
            self.done[r].release()

    def take(self, r: int) -> None:
        with quiet():
            for job in self.jobs[r :: self.n]:
                job()

    def run(self, jobs: Sequence[Job]) -> None:
        """All jobs, shared out; back when all are done. Raises what one of them raised."""
        if self.n == 1 or len(jobs) == 1:
            with quiet():
                for job in jobs:
                    job()
            return
        self.jobs, self.failures = jobs, []
        self.turns[0] += 1
        for r in range(1, self.n):
            self.go[r].release()
        try:
            self.take(0)
        finally:
            for r in range(1, self.n):
                watch(self.turns, r, self.turns[0], LOOKS)
                self.done[r].acquire()
        if self.failures:
            raise self.failures[0]

    def over(self, size: int, job: Callable[[slice], Any], grain: int = GRAIN, alone: int = ALONE) -> None:
        """job(part) over parts of range(size) that begin at multiples of the grain, one for each thread."""
        if size <= alone or self.n == 1:
            job(slice(0, size))
            return
        edges = [size * r // self.n // grain * grain for r in range(self.n)] + [size]
        self.run([part_of(job, *ends) for ends in pairwise(edges)])


def quiet() -> np.errstate:
    """No warnings of numbers too large, which every thread gives for itself: a run that diverges shows in its loss."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def part_of(job: Callable[[slice], Any], start: int, stop: int) -> Job:
    return lambda: job(slice(start, stop))


@kernel
def watch(turns, r, turn, looks):
    """Wait until thread r has come to this turn, at most so many looks."""
    for i in range(looks):
        if look(turns, r) >= turn:
            return
        if i % BETWEEN == 0:
            give_way()
