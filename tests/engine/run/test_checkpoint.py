"""Checkpoints that cannot be lost or half loaded: damage of every kind, disks that are full, writers that are killed."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from nlmcli.engine.run import atomic, checkpoint
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.errors import InputError

ARRAYS = {"E": np.arange(6, dtype=np.float32).reshape(2, 3), "state.0": np.array([1, -2], np.int64), "one": np.array(0.5)}
CHANGED = {name: value * 2 for name, value in ARRAYS.items()}, {"step": 4}
ABOUT = {"step": 3, "tokenizer": {"vocabulary": ["<unk>", "ä"]}}


@pytest.fixture
def path(tmp_path):
    """A small checkpoint."""
    checkpoint.save(tmp_path / "x.npz", ARRAYS, ABOUT)
    return tmp_path / "x.npz"


def same(found, arrays=ARRAYS, about=ABOUT):
    """Whether what was loaded is what was saved, to the bit."""
    values, told = found
    return told == {"format": checkpoint.FORMAT, **about} and {n: (v.dtype, v.shape, v.tobytes()) for n, v in values.items()} == {
        n: (v.dtype, v.shape, v.tobytes()) for n, v in arrays.items()
    }


def refused_or_same(path, data, **saved):
    """Whether these bytes are refused by the file's name; what is loaded from them is what was saved."""
    path.write_bytes(data)
    try:
        found = checkpoint.load(path)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return True
    assert same(found, **saved)
    return False


def flipped(data, bit):
    turned = bytearray(data)
    turned[bit // 8] ^= 1 << bit % 8
    return bytes(turned)


# damage


def test_what_is_saved_comes_back_and_numpy_reads_it(path):
    assert same(checkpoint.load(path))
    assert checkpoint.load(path)[0]["E"].flags.writeable
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == ["E", "about", "one", "state.0"]
        np.testing.assert_array_equal(file["E"], ARRAYS["E"])
        assert json.loads(str(file["about"]))["checksums"].keys() == ARRAYS.keys()


def test_a_cut_file_is_refused_wherever_it_is_cut(path, run):
    small, large = path.read_bytes(), (run / "last.npz").read_bytes()
    assert all(refused_or_same(path, small[:n]) for n in {*range(0, len(small), 3), *range(len(small) - 200, len(small))})
    lengths = {*range(0, len(large), 1000), *range(len(large) - 50, len(large))}
    assert all(refused_or_same(path, large[:n]) for n in lengths)


def test_a_flipped_bit_is_refused_or_says_nothing(path):
    """One bit of every byte. In what holds names, sizes and numbers none passes; dates and attributes may."""
    whole = path.read_bytes()
    passed = [at for at in range(len(whole)) if not refused_or_same(path, flipped(whole, 8 * at + at % 8))]
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        starts = [m.header_offset + 50 + len(m.filename) for m in archive.infolist()]  # a local header is 30 bytes, its extra field 20
        contents = [(start, start + m.file_size) for start, m in zip(starts, archive.infolist(), strict=True)]
    assert all(whole[start:].startswith(b"\x93NUMPY") for start in starts)
    assert not [at for at in passed for start, stop in contents if start <= at < stop]
    assert len(passed) < 70 * (len(ARRAYS) + 1)  # bytes of headers


def test_bits_of_a_trained_model_at_random(path, run):
    whole, rng = (run / "last.npz").read_bytes(), np.random.default_rng(5)
    arrays, about = checkpoint.load(run / "last.npz")
    del about["format"]
    for bit in rng.integers(0, 8 * len(whole), 500).tolist():
        refused_or_same(path, flipped(whole, bit), arrays=arrays, about=about)


def test_the_array_that_is_damaged_is_named(path):
    whole = path.read_bytes()
    at = whole.index(ARRAYS["E"].tobytes())
    path.write_bytes(flipped(whole, 8 * at))
    with pytest.raises(checkpoint.Damaged, match=r"x\.npz is damaged: array E does not match its checksum$"):
        checkpoint.load(path)


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path, given, how=zipfile.ZIP_STORED):
    """A zip of these members, whose own checksums fit."""
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in given.items():
            archive.writestr(name, data)


def test_arrays_of_another_checkpoint_are_refused(path, tmp_path):
    checkpoint.save(tmp_path / "y.npz", ARRAYS | {"E": ARRAYS["E"] + 1}, ABOUT)
    given = members(path)
    rewritten(path, given | {"E.npy": members(tmp_path / "y.npz")["E.npy"]})
    with pytest.raises(checkpoint.Damaged, match="array E does not match"):
        checkpoint.load(path)
    rewritten(path, given | {"more.npy": given["E.npy"]})
    with pytest.raises(checkpoint.Damaged, match="array more is none of its own"):
        checkpoint.load(path)
    rewritten(path, {name: given[name] for name in given if name != "E.npy"})
    with pytest.raises(checkpoint.Damaged, match="array E is missing"):
        checkpoint.load(path)


def header(shape, descr="<f4"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def pickled():
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array([print], object))
    return file.getvalue()


CRAFTED = {  # what a file of right checksums may say
    "a pickle": pickled(),
    "objects": header((2,), "|O") + b"12345678" * 2,
    "a shape of a gigabyte": header((1 << 28,)) + b"1234",
    "a shape of no end": header((1 << 62, 1 << 62)) + b"1234",
    "a negative shape": header((-1, -1)) + b"1234",
    "numbers left over": header((1,)) + b"12345678",
    "no header": b"1234",
    "another version": b"\x93NUMPY\x09\x00" + header((1,))[8:] + b"1234",
    "nothing": b"",
}


def crafted(path, data, how=zipfile.ZIP_STORED, named="E"):
    """A checkpoint one of whose members was made by hand, its checksums put right."""
    given = members(path) | {f"{named}.npy": data}
    about = json.loads(str(np.lib.format.read_array(io.BytesIO(members(path)["about.npy"]))))
    about["checksums"]["E"] = zipfile.crc32(given["E.npy"])
    told = io.BytesIO()
    np.lib.format.write_array(told, np.array(json.dumps(about)))
    rewritten(
        path, {"about.npy": told.getvalue()} | {name: one for name, one in given.items() if named == "about" or name != "about.npy"}, how
    )


@pytest.mark.parametrize("kind", CRAFTED)
@pytest.mark.parametrize("named", ["E", "about"])
def test_nothing_is_unpickled_and_nothing_large_made_room_for(path, kind, named, capsys):
    crafted(path, CRAFTED[kind], named=named)
    tracemalloc.start()
    try:
        with pytest.raises(checkpoint.Damaged, match=r"x\.npz is not a whole nlm checkpoint"):
            checkpoint.load(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert capsys.readouterr().out == ""


def test_what_is_packed_small_is_not_unpacked(path):
    crafted(path, header((1 << 26,), "|u1") + bytes(1 << 26), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(checkpoint.Damaged, match="packed in another way"):
        checkpoint.load(path)


def test_an_earlier_format_is_refused_in_one_sentence(path):
    np.savez(path, E=np.ones(3), about=np.array('{"format": 1}'))
    with pytest.raises(InputError, match=r"x\.npz has checkpoint format 1; this nlm reads format 2; train the model again$"):
        checkpoint.load(path)


def test_objects_are_not_saved(path):
    before = path.read_bytes()
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        checkpoint.save(path, {"E": np.array([print], object)}, {})
    assert path.read_bytes() == before and os.listdir(path.parent) == ["x.npz"]


# a run's other checkpoint


@pytest.fixture
def copied(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


@pytest.mark.parametrize(("name", "other"), [("best.npz", "last.npz"), ("last.npz", "best.npz")])
def test_where_one_is_damaged_the_other_is_named_and_not_taken(copied, name, other):
    whole = (copied / name).read_bytes()
    (copied / name).write_bytes(flipped(whole, 8 * (whole.index(b"\x93NUMPY") + 200)))  # a number of the first array
    given = copied if name == "best.npz" else copied / name
    with pytest.raises(InputError) as caught:
        LanguageModel.load(given)
    assert str(caught.value).startswith(f"{copied / name} is damaged: array ")
    assert str(caught.value).endswith(f"; its run's other checkpoint is whole: --run {copied / other}")
    LanguageModel.load(copied / other)
    (copied / other).write_bytes(b"")
    with pytest.raises(InputError, match=r"train the model again$"):
        LanguageModel.load(given)


def test_a_best_one_that_is_gone_is_missed(copied):
    (copied / "best.npz").unlink()
    with pytest.raises(InputError, match=r"best\.npz is missing; .*--run .*last\.npz$"):
        LanguageModel.load(copied)


# disks


class Full(io.FileIO):
    """A file on a disk that has room for so many bytes."""

    def __init__(self, path, room):
        super().__init__(path, "wb")
        self.room = room

    def write(self, data):
        if self.tell() + len(data) > self.room:
            super().write(bytes(data)[: max(0, self.room - self.tell())])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def refusal(path):
    """What is said when the checkpoint cannot be written anew."""
    with pytest.raises(InputError) as caught:
        checkpoint.save(path, *CHANGED)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_full_disk_leaves_the_old_one_whole_at_every_byte(path, monkeypatch):
    before, room, file = path.read_bytes(), 0, io.BytesIO()
    checkpoint.write(file, *CHANGED)
    monkeypatch.setattr(atomic, "open", lambda path, mode: Full(path, room), raising=False)
    for room in range(0, len(file.getvalue()), 7):  # noqa: B007
        said = refusal(path)
        assert said.startswith(f"cannot write {path} (no space left on device)")
        assert said.endswith(f"what {path} held before is still there, whole")
        assert path.read_bytes() == before and os.listdir(path.parent) == ["x.npz"]
    room = len(file.getvalue())
    checkpoint.save(path, *CHANGED)
    monkeypatch.undo()
    assert path.read_bytes() == file.getvalue()


def failing(code):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize(
    ("name", "code"),
    [("open", errno.EROFS), ("open", errno.EACCES), ("os.fsync", errno.EIO), ("os.fsync", errno.EDQUOT), ("os.replace", errno.EACCES)],
)
def test_a_failure_of_the_system_does_too(path, monkeypatch, name, code):
    before = path.read_bytes()
    where = (atomic, name) if name == "open" else (os, name[3:])
    monkeypatch.setattr(*where, failing(code), raising=False)
    assert f"({os.strerror(code).lower()})" in refusal(path)
    monkeypatch.undo()
    assert path.read_bytes() == before and os.listdir(path.parent) == ["x.npz"]


def test_where_nothing_was_before_nothing_is_said_of_it(tmp_path):
    said = refusal(tmp_path / "none" / "x.npz")
    assert said.endswith("(no such file or directory); make room, or give another folder")


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from nlmcli.engine.run import checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    checkpoint.save(Path(sys.argv[1]), {"E": np.ones(10_000)}, {})
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limits")
def test_a_limit_of_the_system_itself(path):
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-W", "error", "-c", LIMITED, path], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"cannot write {path} (file too large)") and done.stderr == ""
    assert path.read_bytes() == before and os.listdir(path.parent) == ["x.npz"]


# killed writers


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps what is open")
def test_the_next_writer_removes_what_dead_ones_left_and_nothing_else(path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    names = [f".{name}.{child.pid}.tmp" for name in ("x.npz", "best.npz", "notes.txt")] + [".x.npz.tmp", ".x.npz.99999999999999999999.tmp"]
    for name in names:
        (path.parent / name).touch()
    checkpoint.save(path, ARRAYS, ABOUT)
    assert set(os.listdir(path.parent)) == {"x.npz", *names[:-1]}
    child.communicate(b"\n")
    checkpoint.save(path, ARRAYS, ABOUT)
    assert set(os.listdir(path.parent)) == {"x.npz", *names[2:-1]}


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from nlmcli.engine.run import checkpoint

def save_for_ever(path, step):
    while True:
        step += 1
        arrays = {name: np.full(20_000, step, np.float32) for name in ("E", "optimizer.m")}
        checkpoint.save(path, arrays, {"step": step})
        os.write(ready, b".")

path, times, leftovers, before = Path(sys.argv[1]) / "last.npz", int(sys.argv[2]), 0, 0
checkpoint.save(path, {}, {"step": 0})
for seed in range(times):
    begun, ready = os.pipe()
    child = os.fork()
    if child == 0:
        save_for_ever(path, before)
    os.read(begun, 1)
    time.sleep(random.Random(seed).uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(begun), os.close(ready)
    arrays, about = checkpoint.load(path)
    assert all((value == about["step"]).all() for value in arrays.values()) and about["step"] >= before
    before, left = about["step"], len(list(path.parent.glob(".*")))
    assert left <= 1
    leftovers += left
checkpoint.save(path, {}, {})
print(times, before, leftovers, len(os.listdir(path.parent)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_a_writer_killed_at_any_instant_leaves_a_whole_checkpoint(tmp_path):
    """NLM_KILLS=200 kills more often."""
    kills = os.environ.get("NLM_KILLS", "25")
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path, kills], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    times, steps, leftovers, files = map(int, done.stdout.split())
    print(f"{times} kills, {steps} checkpoints, {leftovers} killed while writing")
    assert steps >= times and files == 1
