"""The thread pool: each job runs once, errors reach the caller, nothing hangs."""

import threading
import time
from functools import cache, partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.engine.gradient.threads import GRAIN, ThreadPool, available_threads
from nlmcli.nn.kernel import JIT

NUMBERS = [1, 2, 3, 4]
RUNS = 5000 if JIT else 300  # without the JIT, spinning takes a thousand times as long


@cache
def pool_of(n):
    """One pool for each n, since its threads live as long as the process."""
    return ThreadPool(n)


def run_within(seconds, function):
    """Run a function that may hang in a separate thread.  Raises what it raises; fails after that many seconds."""
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
def test_each_job_runs_once(n, count):
    done = []
    pool_of(n).run([partial(done.append, k) for k in range(count)])
    assert sorted(done) == list(range(count))


@pytest.mark.parametrize("n", NUMBERS)
def test_n_threads_run_n_jobs_at_once(n):
    """Each job waits for all others, so a thread that took two of them would deadlock."""
    barrier, seen = threading.Barrier(n, timeout=20), set()

    def meet():
        barrier.wait()
        seen.add(threading.get_ident())

    pool_of(n).run([meet] * n)
    assert len(seen) == n
    assert threading.get_ident() in seen


def fail(message):
    raise ZeroDivisionError(message)


@pytest.mark.parametrize(("n", "failing"), [(n, k) for n in NUMBERS for k in range(n)])
def test_an_error_reaches_the_caller_after_the_other_jobs_and_the_pool_stays_usable(n, failing):
    pool, done = pool_of(n), []

    def finish_late(k):
        time.sleep(0.01)
        done.append(k)

    jobs = [partial(fail, "in a job") if k == failing else partial(finish_late, k) for k in range(n)]
    with pytest.raises(ZeroDivisionError, match="in a job"):
        pool.run(jobs)
    expected = set(range(n)) - {failing} if n > 1 else set()
    assert set(done) == expected

    done_after = []
    pool.run([partial(done_after.append, k) for k in range(3 * n)])
    assert sorted(done_after) == list(range(3 * n))


@pytest.mark.parametrize("n", NUMBERS)
def test_if_all_jobs_fail_one_error_is_raised_and_none_remains(n):
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            pool_of(n).run([partial(fail, "one of many")] * 7)
    pool_of(n).run([int] * 7)


@pytest.mark.parametrize("n", NUMBERS)
@given(size=st.integers(0, 300_000), grain=st.sampled_from([1, 3, 48, GRAIN]), serial=st.sampled_from([0, 100, 1 << 16]))
def test_over_covers_the_range_once_in_parts_that_start_at_multiples_of_the_grain(n, size, grain, serial):
    parts = []
    pool_of(n).over(size, parts.append, grain, serial)
    parts.sort(key=lambda part: (part.start, part.stop))
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == size
    assert all(part.start % grain == 0 for part in parts)
    assert len(parts) == (1 if size <= serial else n)


def test_over_gives_every_thread_an_equal_part():
    sizes = []
    pool_of(4).over(100 * GRAIN, lambda part: sizes.append(part.stop - part.start))
    assert sizes == [25 * GRAIN] * 4


@pytest.mark.parametrize("n", [2, 4])
def test_thousands_of_short_runs_do_not_hang(n):
    """In a row, with occasional pauses long enough that the threads sleep."""
    pool, counts = pool_of(n), [0] * n

    def count(r):
        counts[r] += 1

    def run_many():
        for k in range(RUNS):
            pool.run([partial(count, r) for r in range(n)])
            if k % (RUNS // 20) == 0:
                time.sleep(0.003)

    run_within(60, run_many)
    assert counts == [RUNS] * n


def test_more_threads_than_cores():
    n = 3 * available_threads() + 1
    pool, done = ThreadPool(n), []

    def run_many():
        for _ in range(RUNS // 50):
            done.clear()
            pool.run([partial(done.append, k) for k in range(2 * n)])
            assert sorted(done) == list(range(2 * n))

    run_within(60, run_many)
