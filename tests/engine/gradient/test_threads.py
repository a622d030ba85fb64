"""Threads that share out jobs: each is done once, errors come back, nothing hangs."""

import threading
import time
from functools import cache, partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.engine.gradient.threads import GRAIN, Threads, available_threads
from nlmcli.nn.kernel import JIT

NUMBERS = [1, 2, 3, 4]
RUNS = 5000 if JIT else 300  # without the JIT a thread's watching takes a thousand times as long


@cache
def threads_of(n):
    """Made once: they live as long as the process."""
    return Threads(n)


def within(seconds, function):
    """What the function does, in a thread of its own that may hang."""
    errors = []

    def run():
        try:
            function()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"still running after {seconds} s"
    if errors:
        raise errors[0]


@pytest.mark.parametrize("n", NUMBERS)
@given(count=st.integers(0, 40))
def test_each_job_is_done_once(n, count):
    done = []
    threads_of(n).run([partial(done.append, k) for k in range(count)])
    assert sorted(done) == list(range(count))


@pytest.mark.parametrize("n", NUMBERS)
def test_as_many_jobs_run_at_once_as_there_are_threads(n):
    """Each waits for all others; one thread that took two of them would wait for itself."""
    barrier, seen = threading.Barrier(n, timeout=20), set()

    def meet():
        barrier.wait()
        seen.add(threading.get_ident())

    threads_of(n).run([meet] * n)
    assert len(seen) == n
    assert threading.get_ident() in seen


def fail(what):
    raise ZeroDivisionError(what)


@pytest.mark.parametrize(("n", "failing"), [(n, k) for n in NUMBERS for k in range(n)])
def test_an_error_reaches_the_caller_after_the_others_are_done_and_the_threads_work_on(n, failing):
    threads, done = threads_of(n), []

    def late(k):
        time.sleep(0.01)
        done.append(k)

    jobs = [partial(fail, "in a job") if k == failing else partial(late, k) for k in range(n)]
    with pytest.raises(ZeroDivisionError, match="in a job"):
        threads.run(jobs)
    expected = set(range(n)) - {failing} if n > 1 else set()
    assert set(done) == expected

    again = []
    threads.run([partial(again.append, k) for k in range(3 * n)])
    assert sorted(again) == list(range(3 * n))


@pytest.mark.parametrize("n", NUMBERS)
def test_where_all_fail_one_error_is_raised_and_none_is_left_over(n):
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            threads_of(n).run([partial(fail, "one of many")] * 7)
    threads_of(n).run([int] * 7)


@pytest.mark.parametrize("n", NUMBERS)
@given(size=st.integers(0, 300_000), grain=st.sampled_from([1, 3, 48, GRAIN]), alone=st.sampled_from([0, 100, 1 << 16]))
def test_over_covers_the_range_once_in_parts_that_begin_at_the_grain(n, size, grain, alone):
    parts = []
    threads_of(n).over(size, parts.append, grain, alone)
    parts.sort(key=lambda part: (part.start, part.stop))
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == size
    assert all(part.start % grain == 0 for part in parts)
    assert len(parts) == (1 if size <= alone else n)


def test_over_gives_every_thread_a_like_part():
    sizes = []
    threads_of(4).over(100 * GRAIN, lambda part: sizes.append(part.stop - part.start))
    assert sizes == [25 * GRAIN] * 4


@pytest.mark.parametrize("n", [2, 4])
def test_thousands_of_short_runs_do_not_hang(n):
    """In a row, and now and then with so long a pause that the threads sleep."""
    threads, counts = threads_of(n), [0] * n

    def count(r):
        counts[r] += 1

    def many():
        for k in range(RUNS):
            threads.run([partial(count, r) for r in range(n)])
            if k % (RUNS // 20) == 0:
                time.sleep(0.003)

    within(60, many)
    assert counts == [RUNS] * n


def test_more_threads_than_cores():
    n = 3 * available_threads() + 1
    threads, done = Threads(n), []

    def many():
        for _ in range(RUNS // 50):
            done.clear()
            threads.run([partial(done.append, k) for k in range(2 * n)])
            assert sorted(done) == list(range(2 * n))

    within(60, many)
