"""Checkpoints are never lost or partially loaded: damaged files, full disks, killed writers."""

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


def is_equal(loaded, arrays=ARRAYS, about=ABOUT):
    """Whether the loaded arrays and description equal the saved ones, bit for bit."""
    values, description = loaded
    return description == {"format": checkpoint.FORMAT, **about} and {n: (v.dtype, v.shape, v.tobytes()) for n, v in values.items()} == {
        n: (v.dtype, v.shape, v.tobytes()) for n, v in arrays.items()
    }


def is_refused(path, data, **saved):
    """Whether a file of these bytes is refused, with a message that names it; otherwise it must load what was saved."""
    path.write_bytes(data)
    try:
        loaded = checkpoint.load(path)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return True
    assert is_equal(loaded, **saved)
    return False


def flipped(data, bit):
    flipped_data = bytearray(data)
    flipped_data[bit // 8] ^= 1 << bit % 8
    return bytes(flipped_data)


# damage


def test_a_checkpoint_round_trips_and_numpy_reads_it(path):
    assert is_equal(checkpoint.load(path))
    assert checkpoint.load(path)[0]["E"].flags.writeable
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == ["E", "about", "one", "state.0"]
        np.testing.assert_array_equal(file["E"], ARRAYS["E"])
        assert json.loads(str(file["about"]))["checksums"].keys() == ARRAYS.keys()


def test_a_file_truncated_anywhere_is_refused(path, run):
    small, large = path.read_bytes(), (run / "last.npz").read_bytes()
    assert all(is_refused(path, small[:n]) for n in {*range(0, len(small), 3), *range(len(small) - 200, len(small))})
    lengths = {*range(0, len(large), 1000), *range(len(large) - 50, len(large))}
    assert all(is_refused(path, large[:n]) for n in lengths)


def test_a_flipped_bit_is_refused_or_has_no_effect(path):
    """One bit of every byte. None passes in names, sizes and numbers; those in dates and attributes may."""
    whole = path.read_bytes()
    passed = [at for at in range(len(whole)) if not is_refused(path, flipped(whole, 8 * at + at % 8))]
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        heads = [m.header_offset for m in archive.infolist()]
        lengths = [(whole[at + 26 : at + 28], whole[at + 28 : at + 30]) for at in heads]  # of the name, and of the extra field
        starts = [at + 30 + sum(int.from_bytes(n, "little") for n in each) for at, each in zip(heads, lengths, strict=True)]
        contents = [(start, start + m.file_size) for start, m in zip(starts, archive.infolist(), strict=True)]
    assert all(whole[start:].startswith(b"\x93NUMPY") for start in starts)
    assert not [at for at in passed for start, stop in contents if start <= at < stop]
    assert len(passed) < (70 + 2 * 68) * (len(ARRAYS) + 1)  # bytes of headers, and of the padding in both of them


def test_random_flipped_bits_of_a_trained_model(path, run):
    whole, rng = (run / "last.npz").read_bytes(), np.random.default_rng(5)
    arrays, about = checkpoint.load(run / "last.npz")
    del about["format"]
    for bit in rng.integers(0, 8 * len(whole), 500).tolist():
        is_refused(path, flipped(whole, bit), arrays=arrays, about=about)


def test_the_error_names_the_damaged_array(path):
    whole = path.read_bytes()
    at = whole.index(ARRAYS["E"].tobytes())
    path.write_bytes(flipped(whole, 8 * at))
    with pytest.raises(checkpoint.Damaged, match=r"x\.npz is damaged: array E does not match its checksum$"):
        checkpoint.load(path)


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path, contents, compression=zipfile.ZIP_STORED):
    """Write a zip of these members, with correct checksums."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def test_arrays_of_another_checkpoint_are_refused(path, tmp_path):
    checkpoint.save(tmp_path / "y.npz", ARRAYS | {"E": ARRAYS["E"] + 1}, ABOUT)
    original = members(path)
    write_zip(path, original | {"E.npy": members(tmp_path / "y.npz")["E.npy"]})
    with pytest.raises(checkpoint.Damaged, match="array E does not match"):
        checkpoint.load(path)
    write_zip(path, original | {"more.npy": original["E.npy"]})
    with pytest.raises(checkpoint.Damaged, match="array more is unexpected"):
        checkpoint.load(path)
    write_zip(path, {name: original[name] for name in original if name != "E.npy"})
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


CRAFTED = {  # contents of a member with a correct checksum
    "a pickle": pickled(),
    "objects": header((2,), "|O") + b"12345678" * 2,
    "a shape of a gigabyte": header((1 << 28,)) + b"1234",
    "a huge shape": header((1 << 62, 1 << 62)) + b"1234",
    "a negative shape": header((-1, -1)) + b"1234",
    "excess data": header((1,)) + b"12345678",
    "no header": b"1234",
    "an unsupported version": b"\x93NUMPY\x09\x00" + header((1,))[8:] + b"1234",
    "no data": b"",
}


def craft(path, data, compression=zipfile.ZIP_STORED, name="E"):
    """Replace a member of a checkpoint, and correct the checksums."""
    contents = members(path) | {f"{name}.npy": data}
    about = json.loads(str(np.lib.format.read_array(io.BytesIO(members(path)["about.npy"]))))
    about["checksums"]["E"] = zipfile.crc32(contents["E.npy"])
    description = io.BytesIO()
    np.lib.format.write_array(description, np.array(json.dumps(about)))
    others = {member: each for member, each in contents.items() if name == "about" or member != "about.npy"}
    write_zip(path, {"about.npy": description.getvalue()} | others, compression)


@pytest.mark.parametrize("kind", CRAFTED)
@pytest.mark.parametrize("name", ["E", "about"])
def test_nothing_is_unpickled_and_no_large_array_is_allocated(path, kind, name, capsys):
    craft(path, CRAFTED[kind], name=name)
    tracemalloc.start()
    try:
        with pytest.raises(checkpoint.Damaged, match=r"x\.npz is not a valid nlm checkpoint"):
            checkpoint.load(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert capsys.readouterr().out == ""


def test_a_compressed_array_is_refused(path):
    craft(path, header((1 << 26,), "|u1") + bytes(1 << 26), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(checkpoint.Damaged, match="is compressed"):
        checkpoint.load(path)


def test_an_earlier_format_is_refused(path):
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
def test_if_one_is_damaged_the_error_suggests_the_other_and_does_not_load_it(copied, name, other):
    whole = (copied / name).read_bytes()
    (copied / name).write_bytes(flipped(whole, 8 * (whole.index(b"\x93NUMPY") + 200)))  # a number of the first array
    target = copied if name == "best.npz" else copied / name
    with pytest.raises(InputError) as caught:
        LanguageModel.load(target)
    assert str(caught.value).startswith(f"{copied / name} is damaged: array ")
    assert str(caught.value).endswith(f"; the run's other checkpoint is intact: --run {copied / other}")
    LanguageModel.load(copied / other)
    (copied / other).write_bytes(b"")
    with pytest.raises(InputError, match=r"train the model again$"):
        LanguageModel.load(target)


def test_a_missing_best_checkpoint_is_an_error(copied):
    (copied / "best.npz").unlink()
    with pytest.raises(InputError, match=r"best\.npz is missing; .*--run .*last\.npz$"):
        LanguageModel.load(copied)


# disks


class FullDiskFile(io.FileIO):
    """A file on a disk with room for that many bytes."""

    def __init__(self, path, room):
        super().__init__(path, "wb")
        self.room = room

    def write(self, data):
        if self.tell() + len(data) > self.room:
            super().write(bytes(data)[: max(0, self.room - self.tell())])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def save_error(path):
    """The message when the checkpoint cannot be overwritten."""
    with pytest.raises(InputError) as caught:
        checkpoint.save(path, *CHANGED)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_disk_that_fills_up_at_any_byte_leaves_the_old_checkpoint_unchanged(path, monkeypatch):
    before, room, file = path.read_bytes(), 0, io.BytesIO()
    checkpoint.write(file, *CHANGED)
    monkeypatch.setattr(atomic, "open", lambda path, mode: FullDiskFile(path, room), raising=False)
    for room in range(0, len(file.getvalue()), 7):  # noqa: B007
        message = save_error(path)
        assert message.startswith(f"cannot write {path} (no space left on device)")
        assert message.endswith(f"; the previous {path} is unchanged")
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
def test_a_system_error_leaves_the_old_checkpoint_unchanged(path, monkeypatch, name, code):
    before = path.read_bytes()
    where = (atomic, name) if name == "open" else (os, name[3:])
    monkeypatch.setattr(*where, failing(code), raising=False)
    assert f"({os.strerror(code).lower()})" in save_error(path)
    monkeypatch.undo()
    assert path.read_bytes() == before and os.listdir(path.parent) == ["x.npz"]


def test_the_error_mentions_no_previous_file_if_there_was_none(tmp_path):
    message = save_error(tmp_path / "none" / "x.npz")
    assert message.endswith("(no such file or directory); free some disk space, or give another folder")


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


@pytest.mark.skipif(os.name == "nt", reason="Windows has no resource limits")
def test_a_file_size_limit_leaves_the_old_checkpoint_unchanged(path):
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-W", "error", "-c", LIMITED, path], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"cannot write {path} (file too large)") and done.stderr == ""
    assert path.read_bytes() == before and os.listdir(path.parent) == ["x.npz"]


# killed writers


@pytest.mark.skipif(os.name == "nt", reason="Windows does not remove open files")
def test_the_next_writer_removes_leftovers_of_dead_writers_and_nothing_else(path):
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

def save_forever(path, step):
    while True:
        step += 1
        arrays = {name: np.full(20_000, step, np.float32) for name in ("E", "optimizer.m")}
        checkpoint.save(path, arrays, {"step": step})
        os.write(ready, b".")

path, times, leftovers, before = Path(sys.argv[1]) / "last.npz", int(sys.argv[2]), 0, 0
checkpoint.save(path, {}, {"step": 0})
for seed in range(times):
    started, ready = os.pipe()
    child = os.fork()
    if child == 0:
        save_forever(path, before)
    os.read(started, 1)
    time.sleep(random.Random(seed).uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(started), os.close(ready)
    arrays, about = checkpoint.load(path)
    assert all((value == about["step"]).all() for value in arrays.values()) and about["step"] >= before
    before, temporary = about["step"], len(list(path.parent.glob(".*")))
    assert temporary <= 1
    leftovers += temporary
checkpoint.save(path, {}, {})
print(times, before, leftovers, len(os.listdir(path.parent)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_a_writer_killed_at_any_instant_leaves_a_complete_checkpoint(tmp_path):
    """NLM_KILLS: the number of kills."""
    kills = os.environ.get("NLM_KILLS", "25")
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path, kills], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    times, steps, leftovers, files = map(int, done.stdout.split())
    print(f"{times} kills, {steps} checkpoints, {leftovers} killed while writing")
    assert steps >= times and files == 1
