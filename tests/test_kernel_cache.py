"""The kernel cache across processes: reused, ignored if corrupted or outdated, and not needed if no folder is writable.

The processes run a copy of the package, so that all of them see the same sources.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nlmcli
from nlmcli.nn.kernel import JIT

pytestmark = pytest.mark.skipif(not JIT, reason="needs compiled kernels")

SCRIPT = """
import numpy as np
from nlmcli.kernel_cache import FOLDER
from nlmcli.nn.elementary import square_sum
print(square_sum(np.arange(5, dtype=np.float32)), sum(square_sum.stats.cache_hits.values()), FOLDER)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder with a copy of the package."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(Path(nlmcli.__file__).parent, folder / "nlmcli", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def compute(package, cache, **environment):
    """1² + 2² + 3² + 4² in a new process.  -> the number of kernels loaded from the cache, its folder or None."""
    variables = {name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"}}
    variables |= {"PYTHONPATH": str(package), "NUMBA_CACHE_DIR": str(cache)} | environment
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT], cwd=package, env=variables, capture_output=True, text=True, timeout=900
    )
    assert process.returncode == 0, process.stderr
    value, hits, folder = process.stdout.split(maxsplit=2)
    assert float(value) == 30
    return int(hits), None if folder.strip() == "None" else Path(folder.strip())


def files_of(folder):
    """The bytes and modification time of each file in a cache, by path."""
    return {path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.nb?")}


@pytest.fixture(scope="module")
def filled_cache(package, tmp_path_factory):
    """A cache filled by one process."""
    cache = tmp_path_factory.mktemp("cache")
    hits, folder = compute(package, cache)
    assert hits == 0 and folder.parent == cache
    return cache


def test_a_second_process_loads_what_the_first_compiled(package, filled_cache):
    before = files_of(filled_cache)
    assert sorted(path.suffix for path in before) == [".nbc", ".nbi"]
    assert compute(package, filled_cache)[0] == 1
    assert files_of(filled_cache) == before


def truncated(data):
    return data[: len(data) // 2]


def flip_bit_at(fraction):
    """A function that flips one bit at this fraction of a file."""

    def flip(data):
        i = min(int(fraction * len(data)), len(data) - 1)
        return data[:i] + bytes([data[i] ^ 8]) + data[i + 1 :]

    return flip


CORRUPTIONS = {
    "empty": lambda data: b"",
    "truncated": truncated,
    "first byte": flip_bit_at(0),
    "a middle byte": flip_bit_at(0.6),
    "last byte": flip_bit_at(1),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_corrupted_file_is_ignored_and_rewritten(package, filled_cache, tmp_path, suffix, corruption):
    cache = shutil.copytree(filled_cache, tmp_path / "cache")
    (path,) = cache.rglob(f"*{suffix}")
    path.write_bytes(CORRUPTIONS[corruption](path.read_bytes()))
    assert compute(package, cache)[0] == 0
    assert compute(package, cache)[0] == 1


def test_the_cache_folder_depends_on_the_sources(package, filled_cache, tmp_path):
    same, changed = (shutil.copytree(package, tmp_path / name) for name in ("same", "changed"))
    with open(changed / "nlmcli" / "nn" / "simd.py", "a", encoding="utf-8") as file:
        file.write("# a comment\n")
    folder = compute(package, filled_cache)[1]
    assert compute(same, filled_cache)[1] == folder
    hits, other = compute(changed, filled_cache)
    assert hits == 0
    assert other.parent == folder.parent and other != folder


def test_the_temporary_folder_is_used_if_the_users_cache_is_not_writable(package, tmp_path):
    file = tmp_path / "file"
    file.touch()
    results = [compute(package, file / "cache", TMPDIR=str(tmp_path)) for _ in range(2)]
    assert [hits for hits, _ in results] == [0, 1]
    assert results[0][1].is_relative_to(tmp_path)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="the folder is named after the user id")
def test_kernels_are_compiled_in_every_run_if_no_folder_is_writable(package, tmp_path):
    for name in ("file", f"nlm-{os.getuid()}"):
        (tmp_path / name).touch()
    for _ in range(2):
        assert compute(package, tmp_path / "file" / "cache", TMPDIR=str(tmp_path)) == (0, None)


MULTIPLY_SCRIPT = """
import numpy as np
from nlmcli.nn.matmul import multiply
A, out = np.ones((2, 3), np.float32), np.empty((2, 4), np.float32)
multiply(A, np.ones((3, 4), np.float32), out)
assert (out == 3).all()
"""


def test_a_kernel_that_calls_a_missing_kernel_is_ignored(package, tmp_path):
    """As after an interrupted compilation, or two processes that wrote one index: LLVM would abort the process."""
    environment = os.environ | {"PYTHONPATH": str(package), "NUMBA_CACHE_DIR": str(tmp_path)}

    def multiply():
        process = subprocess.run(
            [sys.executable, "-c", MULTIPLY_SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
        )
        assert process.returncode == 0, process.stderr
        return list(tmp_path.rglob("matmul.copy_panels*"))

    files = multiply()
    for path in files:
        path.unlink()
    assert files and sorted(multiply()) == sorted(files)
