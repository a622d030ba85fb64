"""The memory of a run is computed before it starts; a run that does not fit is refused."""

import subprocess
import sys

import pytest

from nlmcli.engine.gradient.team import shards_of
from nlmcli.engine.training import memory
from nlmcli.engine.training.train import required_memory
from nlmcli.errors import InputError
from nlmcli.optim import OPTIMIZERS


@pytest.fixture
def set_free_memory(monkeypatch):
    """set_free_memory(bytes): mock the free memory."""
    return lambda n: monkeypatch.setattr(memory, "free", lambda: n)


def test_memory_is_a_multiple_of_the_parameters():
    assert memory.required(1000, optimizer_states=2, shards=8) == 4 * 1000 * (1 + 8 + 2)


def test_an_exact_fit_is_accepted_and_one_byte_less_is_refused(set_free_memory):
    needed = memory.required(1_234_567, 2, 4)
    set_free_memory(needed)
    assert memory.check(1_234_567, 2, 4) == needed
    set_free_memory(needed - 1)
    with pytest.raises(InputError) as error:
        memory.check(1_234_567, 2, 4)
    assert str(error.value) == (
        "training 1,234,567 parameters needs about 0.0 GB of memory, but only 0.0 GB are free; "
        "lower --hidden, --embed, --layers, --vocab-size or --batch-size"
    )
    set_free_memory(None)  # a system that does not report it
    assert memory.check(10**12, 2, 4) > 10**12


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_required_memory_is_that_of_the_arrays(training, optimizer, set_free_memory):
    run = training("rnn", optimizer=optimizer)
    n, state_bytes = run.lm.P.flat.size, sum(vector.nbytes for vector in run.learner.optimizer.memory.values())
    needed = required_memory(run.settings, n)
    assert needed == run.lm.P.flat.nbytes + state_bytes + 4 * n * len(shards_of(4, 8))
    set_free_memory(needed - 1)
    with pytest.raises(InputError, match=f"^training {n:,} parameters needs about "):
        training("rnn", optimizer=optimizer)


def test_a_run_is_refused_before_anything_is_allocated(training, tmp_path):
    before = memory.peak() or 0
    with pytest.raises(InputError, match=r"parameters needs about [\d,.]+ GB of memory, but only [\d.]+ GB are free; lower --hidden"):
        training("rnn", hidden=10**7, out=tmp_path / "run")
    assert (memory.peak() or 0) - before < 1 << 28 and not (tmp_path / "run").exists()


def test_free_and_peak_memory_are_in_bytes():
    for size in (memory.free(), memory.peak()):
        assert size is None or 1 << 24 < size < 1 << 50


def test_peak_memory_is_not_that_of_the_process_that_started_it():
    large = bytearray(b"x") * 600_000_000
    program = "from nlmcli.engine.training import memory; print(memory.peak())"
    peak = int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
    assert 10_000_000 < peak < 400_000_000 < len(large)
