"""How much memory a run needs is known before it begins; what cannot fit is refused."""

import pytest

from nlmcli.engine.gradient.team import shards_of
from nlmcli.engine.training import memory
from nlmcli.engine.training.train import memory_of
from nlmcli.errors import InputError
from nlmcli.optim import OPTIMIZERS


@pytest.fixture
def there(monkeypatch):
    """there(bytes): let so many be free."""
    return lambda n: monkeypatch.setattr(memory, "free", lambda: n)


def test_it_is_counted_in_vectors_as_long_as_the_parameters():
    assert memory.needed(1000, remembered=2, shards=8) == 4 * 1000 * (1 + 8 + 2)


def test_what_fits_to_the_byte_is_not_refused_and_one_byte_less_is(there):
    need = memory.needed(1_234_567, 2, 4)
    there(need)
    assert memory.check(1_234_567, 2, 4) == need
    there(need - 1)
    with pytest.raises(InputError) as caught:
        memory.check(1_234_567, 2, 4)
    assert str(caught.value) == (
        "1,234,567 parameters need about 0.0 GB of memory to train, and 0.0 GB are free; "
        "lower --hidden, --embed, --layers, --vocab-size or --batch-size"
    )
    there(None)  # a system that does not tell
    assert memory.check(10**12, 2, 4) > 10**12


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_a_run_says_what_its_arrays_take(training, optimizer, there):
    run = training("rnn", optimizer=optimizer)
    n, remembered = run.lm.P.flat.size, sum(vector.nbytes for vector in run.learner.optimizer.memory.values())
    need = memory_of(run.settings, n)
    assert need == run.lm.P.flat.nbytes + remembered + 4 * n * len(shards_of(4))
    there(need - 1)
    with pytest.raises(InputError, match=f"^{n:,} parameters need about "):
        training("rnn", optimizer=optimizer)


def test_what_is_refused_is_refused_before_it_is_made(training, tmp_path):
    before = memory.peak() or 0
    with pytest.raises(InputError, match=r"parameters need about [\d,.]+ GB of memory to train, and [\d.]+ GB are free; lower --hidden"):
        training("rnn", hidden=10**7, out=tmp_path / "run")
    assert (memory.peak() or 0) - before < 1 << 28 and not (tmp_path / "run").exists()


def test_the_system_tells_of_its_memory_in_bytes():
    for told in (memory.free(), memory.peak()):
        assert told is None or 1 << 24 < told < 1 << 50
