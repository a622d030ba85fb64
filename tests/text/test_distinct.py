"""Different strings, counted in memory or in files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.text import distinct
from nlmcli.text.distinct import Distinct


@given(
    strings=st.lists(st.binary(min_size=2, max_size=2), max_size=300),
    batch=st.integers(1, 20),
    most=st.integers(1, 100),
)
def test_as_a_sorted_set(strings, batch, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "BATCH", batch)
        patch.setattr(distinct, "MOST", most)
        expected = sorted(set(strings))
        with Distinct(2) as different:
            half = len(strings) // 2
            different.add(strings[:half])
            different.add(iter(strings[half:]))
            assert different.count() == len(expected)
            assert [different.smallest(k) for k in range(len(expected))] == expected


def test_files_are_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(distinct, "MOST", 100)
    monkeypatch.setattr(distinct.tempfile, "tempdir", str(tmp_path))
    rng = np.random.default_rng(1)
    with Distinct(16) as different:
        different.add(rng.bytes(16) for _ in range(1000))
        assert list(tmp_path.iterdir()) and len(different.known) < 100
        assert different.count() == 1000
    assert not list(tmp_path.iterdir())
