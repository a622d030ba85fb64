"""Compiled kernels between processes: found again, never trusted when damaged or old, and done without where no file can be.

The processes run a copy of the package, so that its sources are the same for all of them.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nlmcli
from nlmcli.nn.kernel import JIT

pytestmark = pytest.mark.skipif(not JIT, reason="about compiled code")

SCRIPT = """
import numpy as np
from nlmcli.kernel_cache import FOLDER
from nlmcli.nn.elementary import square_sum
print(square_sum(np.arange(5, dtype=np.float32)), sum(square_sum.stats.cache_hits.values()), FOLDER)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The folder in which a copy of the package stands."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(Path(nlmcli.__file__).parent, folder / "nlmcli", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def compute(package, cache, **environment):
    """1² + 2² + 3² + 4² in a process of its own.  -> how many kernels came from the cache, its folder (None: there is none)."""
    given = {name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"}}
    given |= {"PYTHONPATH": str(package), "NUMBA_CACHE_DIR": str(cache)} | environment
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT], cwd=package, env=given, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    value, hits, folder = done.stdout.split(maxsplit=2)
    assert float(value) == 30
    return int(hits), None if folder.strip() == "None" else Path(folder.strip())


def files_of(folder):
    """The bytes and the time of each file of a cache, by its path."""
    return {path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.nb?")}


@pytest.fixture(scope="module")
def filled(package, tmp_path_factory):
    """A cache that one process has filled."""
    cache = tmp_path_factory.mktemp("cache")
    hits, folder = compute(package, cache)
    assert hits == 0 and folder.parent == cache
    return cache


def test_a_second_process_loads_what_the_first_compiled(package, filled):
    before = files_of(filled)
    assert sorted(path.suffix for path in before) == [".nbc", ".nbi"]
    assert compute(package, filled)[0] == 1
    assert files_of(filled) == before


def cut(data):
    return data[: len(data) // 2]


def flipped(at):
    """Turns one bit round, at a part of the way through the file."""

    def flip(data):
        place = min(int(at * len(data)), len(data) - 1)
        return data[:place] + bytes([data[place] ^ 8]) + data[place + 1 :]

    return flip


DAMAGES = {"empty": lambda data: b"", "cut off": cut, "first bit": flipped(0), "a bit inside": flipped(0.6), "last bit": flipped(1)}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_file_is_not_used_and_written_anew(package, filled, tmp_path, suffix, damage):
    cache = shutil.copytree(filled, tmp_path / "cache")
    (path,) = cache.rglob(f"*{suffix}")
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert compute(package, cache)[0] == 0
    assert compute(package, cache)[0] == 1


def test_another_source_is_another_folder_and_the_same_source_the_same(package, filled, tmp_path):
    same, changed = (shutil.copytree(package, tmp_path / name) for name in ("same", "changed"))
    with open(changed / "nlmcli" / "nn" / "simd.py", "a", encoding="utf-8") as file:
        file.write("# a comment\n")
    folder = compute(package, filled)[1]
    assert compute(same, filled)[1] == folder
    hits, other = compute(changed, filled)
    assert hits == 0
    assert other.parent == folder.parent and other != folder


def test_where_the_users_folder_cannot_be_written_the_systems_serves(package, tmp_path):
    file = tmp_path / "file"
    file.touch()
    kept = [compute(package, file / "cache", TMPDIR=str(tmp_path)) for _ in range(2)]
    assert [hits for hits, _ in kept] == [0, 1]
    assert kept[0][1].is_relative_to(tmp_path)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="the folder is named after the user's number")
def test_where_no_folder_can_be_written_kernels_are_compiled_each_time(package, tmp_path):
    for name in ("file", f"nlm-{os.getuid()}"):
        (tmp_path / name).touch()
    for _ in range(2):
        assert compute(package, tmp_path / "file" / "cache", TMPDIR=str(tmp_path)) == (0, None)


PRODUCT = """
import numpy as np
from nlmcli.nn.matmul import multiply
A, out = np.ones((2, 3), np.float32), np.empty((2, 4), np.float32)
multiply(A, np.ones((3, 4), np.float32), out)
assert (out == 3).all()
print(sum(multiply.stats.cache_hits.values()))
"""


def test_a_kernel_that_calls_one_which_is_gone_is_not_used(package, tmp_path):
    """As when a compilation was interrupted, or two processes wrote one index: LLVM would end the process."""
    environment = os.environ | {"PYTHONPATH": str(package), "NUMBA_CACHE_DIR": str(tmp_path)}

    def hits():
        done = subprocess.run([sys.executable, "-c", PRODUCT], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert (hits(), hits()) == (0, 1)
    for path in tmp_path.rglob("matmul.pack_panels*"):
        path.unlink()
    assert (hits(), hits()) == (0, 1)
