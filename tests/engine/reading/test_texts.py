"""Texts read part by part give the same result, bit for bit, as in memory; and their ids in a memory-mapped file."""

import io
import mmap
import os
import threading
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.engine.reading import encoded, remembered
from nlmcli.engine.reading.batches import Lines, Stream
from nlmcli.engine.reading.dataset import read_dataset
from nlmcli.engine.reading.encoded import encode
from nlmcli.engine.reading.texts import of_string, read_corpus, read_texts
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.scoring import evaluate
from nlmcli.errors import InputError
from nlmcli.text import corpus
from nlmcli.text.tokenizers import TOKENIZERS

PROSE = "The ants, 蚂蚁 und Bär \U0001f41c!\r\n\r\nstudents opened\rtheir books .\n a b  c\u3000d\n<eos> e\n" * 4
ODD = st.text(st.sampled_from("ab \n\r\u3000ä蚁\ufeff"), max_size=40)


@pytest.fixture(params=[4, 7, 50])
def small_parts(request, monkeypatch):
    """Read only this many bytes at a time."""
    monkeypatch.setattr(corpus, "PART", request.param)


def decoded(data, encoding="utf-8"):
    """The expected text: decoded at once, without byte order mark, every end of line LF."""
    return data.decode(encoding).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


# parts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "gb18030", "utf-7"])
@pytest.mark.parametrize("part", [4, 5, 7, 64])
def test_the_parts_join_to_the_text(tmp_path, monkeypatch, encoding, part):
    monkeypatch.setattr(corpus, "PART", part)
    (tmp_path / "a.txt").write_bytes(PROSE.encode(encoding))
    assert corpus.read(tmp_path / "a.txt", encoding) == decoded(PROSE.encode(encoding), encoding)


def test_utf_16_without_a_byte_order_mark_has_native_byte_order(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "PART", 5)
    for encoding in ("utf-16", "utf-32"):
        data = PROSE.encode(encoding)[2 if encoding == "utf-16" else 4 :]
        (tmp_path / "a.txt").write_bytes(data)
        assert corpus.read(tmp_path / "a.txt", encoding) == decoded(data, encoding)


@given(text=ODD, part=st.integers(4, 9))
def test_the_parts_join_to_the_text_wherever_it_is_cut(tmp_path_factory, text, part):
    path = tmp_path_factory.getbasetemp() / "odd.txt"
    path.write_bytes(text.encode())
    before, corpus.PART = corpus.PART, part
    try:
        if text.removeprefix("\ufeff").strip():
            assert corpus.read(path) == decoded(text.encode())
        else:
            with pytest.raises(InputError, match=r"empty|whitespace"):
                corpus.read(path)
    finally:
        corpus.PART = before


@pytest.mark.parametrize("part", [8, 9, 10, 11, 12, 13, 1 << 20])
def test_an_invalid_byte_is_reported_with_its_offset(tmp_path, monkeypatch, part):
    monkeypatch.setattr(corpus, "PART", part)
    for data, message in [
        (b"0123456789\xe4x", "is not valid UTF-8 at byte 10 (0xE4); give the encoding"),
        ("012345678蚁".encode()[:-1], "is not valid UTF-8 at byte 9 (0xE8)"),
        (b"0123456789\xed\xa0\x80x", "at byte 10 (0xED), a lone surrogate; fix the file"),
        (b"0123456789 123\0x", "looks binary, with a NUL at byte 14"),
    ]:
        (tmp_path / "a.txt").write_bytes(data)
        with pytest.raises(InputError) as caught:
            corpus.read(tmp_path / "a.txt")
        assert message in str(caught.value)


# a corpus


def test_files_are_concatenated_with_an_end_of_line_between_them(tmp_path):
    names = []
    for i, text in enumerate(["a", "b\n", "c"]):
        (tmp_path / f"{i}.txt").write_text(text)
        names.append(str(tmp_path / f"{i}.txt"))
    assert str(read_corpus(tuple(names))) == "a\nb\nc"
    assert read_corpus(tuple(names)).characters == 5


@pytest.mark.parametrize("fraction", [0, 0.1, 0.35, 0.9])
def test_a_corpus_is_split_like_its_text(tmp_path, small_parts, fraction):
    (tmp_path / "a.txt").write_bytes(PROSE.encode())
    text = decoded(PROSE.encode())
    settings = {"corpus": (str(tmp_path / "a.txt"),), "valid_fraction": fraction}
    stream, line = (read_texts(Settings.of(by=by, **settings)) for by in ("stream", "line"))
    assert (str(stream.train), str(stream.valid)) == corpus.split(text, fraction)
    sides = corpus.split_lines(text, fraction)
    assert [str(line.train), str(line.valid)] == ["".join(f"{each}\n" for each in side) for side in sides]
    for part in (stream.train, stream.valid, line.train, line.valid):
        assert bool(part) == bool(str(part))


@pytest.mark.parametrize("name", ["byte", "char", "whitespace", "word"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_a_tokenizer_fitted_to_parts_equals_one_fitted_to_the_text(tmp_path, small_parts, name, lowercase):
    (tmp_path / "a.txt").write_bytes(PROSE.encode())
    text, Tokenizer = decoded(PROSE.encode()), TOKENIZERS.get(name)
    by_parts = Tokenizer.fit(read_corpus((str(tmp_path / "a.txt"),)), lowercase=lowercase)
    assert by_parts.to_dict() == Tokenizer.fit(text, lowercase=lowercase).to_dict()


class Pipe:
    """A stdin that can be read once."""

    def __init__(self, data):
        self.buffer = io.BytesIO(data)


@pytest.mark.parametrize("limit", [10, 1 << 20])
def test_stdin_can_be_read_repeatedly(monkeypatch, limit):
    monkeypatch.setattr(corpus, "PIPE_BUFFER", limit)
    monkeypatch.setattr("sys.stdin", Pipe(PROSE.encode()))
    text = read_corpus(("-",))
    assert str(text) == str(text) == decoded(PROSE.encode())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_can_be_read_repeatedly(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(PROSE.encode(),))
    writer.start()
    text = read_corpus((str(tmp_path / "pipe"),))
    writer.join()
    assert str(text) == str(text) == decoded(PROSE.encode())


def test_a_file_that_changes_between_two_passes_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("the ants sat\n")
    text = read_corpus((str(tmp_path / "a.txt"),))
    (tmp_path / "a.txt").write_text("the ants\n")
    with pytest.raises(InputError, match=r"a\.txt' changed while it was being read; try again$"):
        str(text)


def test_a_text_is_never_in_memory_as_a_whole(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"the ants sat on the cat .\n" * 1_000_000)
    tracemalloc.start()
    try:
        texts = read_texts(Settings.of(corpus=(str(tmp_path / "a.txt"),), tokenizer="char"))
        assert sum(map(len, texts.train)) + sum(map(len, texts.valid)) == 26_000_000
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


# ids


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A temporary cache, in which every text counts as large.  -> a function that lists its files"""
    monkeypatch.setattr(remembered, "LARGE", 1)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    return lambda: sorted((tmp_path / "cache").rglob("*.ids"))


@pytest.fixture
def prose(tmp_path):
    """A text of 26,000 characters and its tokenizer."""
    (tmp_path / "a.txt").write_bytes(PROSE.encode() * 80)
    text = read_corpus((str(tmp_path / "a.txt"),))
    return TOKENIZERS.get("word").fit(text, min_count=1), text


@pytest.mark.parametrize("by", ["stream", "line"])
def test_the_ids_from_a_file_equal_those_in_memory(cache, prose, by, small_parts):
    tokenizer, text = prose
    written, reread = encode(tokenizer, text, by), encode(tokenizer, text, by)
    assert len(cache()) == 1 and isinstance(written.ids.base, mmap.mmap) and written.ids.dtype == np.uint8
    expected = encode(tokenizer, of_string(str(text)), by)
    read = str(text) if by == "stream" else "".join(line + "\n" for line in str(text).split("\n") if line.strip())
    np.testing.assert_array_equal(expected.ids, tokenizer.encode(read))
    assert (expected.characters, expected.bytes) == (len(read), len(read.encode()))
    for each in (written, reread):
        np.testing.assert_array_equal(each.ids, expected.ids)
        np.testing.assert_array_equal(each.lengths, expected.lengths)
        assert (each.characters, each.bytes) == (expected.characters, expected.bytes)
        each.forget()
        np.testing.assert_array_equal(np.concatenate(list(each.parts(1000))), expected.ids)
    if by == "line":
        lines = [tokenizer.encode(line + "\n") for line in str(text).split("\n") if line.strip()]
        assert [line.tolist() for line in written.lines()] == [line.tolist() for line in lines]


@pytest.mark.parametrize(("types", "dtype"), [(256, np.uint8), (257, np.uint16), (1 << 16, np.uint16), ((1 << 16) + 1, np.int32)])
def test_ids_have_the_smallest_dtype_that_holds_them(types, dtype):
    words = [f"w{i}" for i in range(types - 2)]
    tokenizer = TOKENIZERS.get("whitespace").fit(" ".join(words))
    result = encode(tokenizer, of_string(" ".join(words)), "stream")
    assert len(tokenizer) == types and result.ids.dtype == dtype and result.ids[-1] == types - 1


def truncated(data):
    return data[:-1]


def extended(data):
    return data + b"\0"


def header_bit_flipped(data):
    return data[:9] + bytes([data[9] ^ 1]) + data[10:]


def id_bit_flipped(data):
    return data[:5000] + bytes([data[5000] ^ 64]) + data[5001:]


def checksum_bit_flipped(data):
    return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]


@pytest.mark.parametrize(
    "damage", [truncated, extended, header_bit_flipped, checksum_bit_flipped, lambda data: b"", lambda data: data[:100]]
)
def test_a_damaged_file_is_rewritten(cache, prose, damage):
    expected = encode(*prose, "line").ids.copy()
    (path,) = cache()
    original = path.read_bytes()
    path.write_bytes(damage(original))
    np.testing.assert_array_equal(encode(*prose, "line").ids, expected)
    assert cache() == [path] and path.read_bytes() == original


READS = {
    "a batch of a stream": ("stream", lambda e: [Stream(e.ids, 0, 4, 8, 1, e.check).batch(step) for step in range(300)]),
    "a batch of lines": ("line", lambda e: [batches.batch(step) for batches in [Lines(e.lines(), 0, 4, 8, 1)] for step in range(400)]),
    "all in order": ("stream", lambda e: list(e.parts(100))),
    "counting": ("stream", lambda e: e.check(0, len(e))),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("at", [4096, 5000, 8000])
def test_damaged_ids_are_noticed_before_they_are_used(cache, prose, monkeypatch, read, at):
    monkeypatch.setattr(encoded, "BLOCK", 512)
    by, reading = READS[read]
    expected = encode(*prose, by).ids.copy()
    reading(encode(*prose, by))
    (path,) = cache()
    data = path.read_bytes()
    path.write_bytes(data[:at] + bytes([data[at] ^ 64]) + data[at + 1 :])
    with pytest.raises(InputError, match="was damaged and is removed; the same command encodes it again"):
        reading(encode(*prose, by))
    assert cache() == []
    np.testing.assert_array_equal(encode(*prose, by).ids, expected)


def test_damaged_lengths_are_noticed(cache, prose, monkeypatch):
    monkeypatch.setattr(encoded, "BLOCK", 512)
    size = encode(*prose, "line").ids.nbytes
    (path,) = cache()
    data = path.read_bytes()
    at = 4096 + size + 20
    path.write_bytes(data[:at] + bytes([data[at] ^ 64]) + data[at + 1 :])
    with pytest.raises(InputError, match="was damaged"):
        encode(*prose, "line").lines()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"by": "line"},
        {"tokenizer": "word", "min_count": 1},
        {"tokenizer": "bpe", "vocab_size": 270},
        {"valid_tokens": 30},
        {"valid_tokens": 10**6},
    ],
)
@pytest.mark.parametrize("large", [1, 25 * len(PROSE)])  # so that all parts are long; so that only the training text is
def test_what_was_found_out_about_a_long_text_is_kept_until_it_changes(cache, tmp_path, monkeypatch, options, large):
    monkeypatch.setattr(remembered, "LARGE", large)
    monkeypatch.setattr(remembered, "MOMENT", 0.0)
    path, reads = tmp_path / "a.txt", []
    path.write_bytes(PROSE.encode() * 40)
    settings = Settings.of(corpus=(str(path),), valid_fraction=0.2, **{"tokenizer": "char"} | options)
    parts = corpus.parts
    monkeypatch.setattr(corpus, "parts", lambda *given: reads.append(given) or parts(*given))

    def facts(dataset):
        ids = dataset.train.ids.tolist(), dataset.held_out.ids.tolist()
        return dataset.digests(), dataset.tokenizer.to_dict(), ids, dataset.texts.opening()

    time.sleep(0.01)
    first = facts(read_dataset(settings))
    assert reads
    reads.clear()
    assert facts(read_dataset(settings)) == first
    assert reads == []
    monkeypatch.setattr(remembered, "LARGE", 1 << 40)
    assert facts(read_dataset(settings)) == first  # found out anew
    monkeypatch.setattr(remembered, "LARGE", large)
    inode = path.stat()
    path.write_bytes(PROSE.replace("a", "o").encode() * 40)  # as long as before
    os.utime(path, ns=(inode.st_atime_ns, inode.st_mtime_ns))  # and as old
    time.sleep(0.01)
    reads.clear()
    assert facts(read_dataset(settings)) != first and reads
    for kept in (tmp_path / "cache").rglob("*.json"):
        kept.write_bytes(kept.read_bytes().replace(b"1", b"2"))  # damaged
    second = facts(read_dataset(settings))
    monkeypatch.setattr(remembered, "LARGE", 1 << 40)
    assert facts(read_dataset(settings)) == second


def test_a_file_that_changed_a_moment_ago_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "LARGE", 1)
    (tmp_path / "a.txt").write_text("the ants sat .")
    assert remembered.stamps([tmp_path / "a.txt"]) is None
    monkeypatch.setattr(remembered, "MOMENT", -1.0)
    assert remembered.stamps([tmp_path / "a.txt"])
    assert remembered.stamps([tmp_path / "a.txt", tmp_path]) is None and remembered.stamps([tmp_path / "none"]) is None


def test_each_text_tokenizer_and_mode_has_its_own_file(cache, prose, tmp_path, monkeypatch):
    tokenizer, text = prose
    encode(tokenizer, text, "stream"), encode(tokenizer, text, "line")
    encode(type(tokenizer).fit(text, min_count=50), text, "stream")
    encode(tokenizer, text.cut(0, 100), "stream"), encode(tokenizer, text.cut(0, 101), "stream")
    monkeypatch.setattr("nlmcli.kernel_cache.source_hash", lambda: "other sources")
    encode(tokenizer, text, "stream")
    assert len(cache()) == 6


def test_files_unused_for_a_month_are_removed(cache, prose):
    tokenizer, text = prose
    encode(tokenizer, text, "stream"), encode(tokenizer, text, "line")
    old, used = cache()
    for path in (old, used):
        os.utime(path, (1, 1))
    contents = old.read_bytes()
    encode(tokenizer, text, "stream"), encode(tokenizer, text, "line")  # uses both again
    assert len(cache()) == 2 and contents == old.read_bytes()
    os.utime(old, (1, 1))
    encode(tokenizer, text.cut(0, 50), "stream")
    assert len(cache()) == 2 and used in cache() and old not in cache()


@pytest.mark.parametrize("by", ["stream", "line"])
def test_training_from_files_equals_training_from_memory(training, by, tmp_path, monkeypatch, request):
    options = {"by": by, "steps": 12, "eval_every": 4, "valid_fraction": 0.3}
    in_memory = training(**options)
    list(in_memory.run())
    cache = request.getfixturevalue("cache")
    monkeypatch.setattr("nlmcli.engine.training.train.FORGET", 3)
    monkeypatch.setattr(corpus, "PART", 64)
    mapped = training(**options)
    list(mapped.run())
    assert len(cache()) == 2
    assert mapped.progress.losses == in_memory.progress.losses and mapped.progress.valid_loss == in_memory.progress.valid_loss
    assert mapped.lm.P.flat.tobytes() == in_memory.lm.P.flat.tobytes()
    assert evaluate.evaluate(mapped.lm).score == evaluate.score_text(in_memory.lm, in_memory.dataset.held_out)


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("tokenizer", ["word", "char", "byte"])
def test_the_first_held_out_tokens(tmp_path, by, tokenizer):
    (tmp_path / "a.txt").write_text("the ants sat .\n\nthe cat, it sat on a mat .\nno\n" * 30)
    options = {"corpus": (str(tmp_path / "a.txt"),), "by": by, "tokenizer": tokenizer, "valid_fraction": 0.5}
    whole = read_dataset(Settings.of(**options))
    for n in (1, 5, 23, 60):
        first = read_dataset(Settings.of(**options, valid_tokens=n))
        k = len(first.held_out)
        assert n <= k <= n + 30 and not first.is_whole
        assert first.held_out.ids.tolist() == whole.held_out.ids[:k].tolist()
        assert whole.tokenizer.decode(first.held_out.ids)[-1] == "\n"
        assert first.digests() == whole.digests()
    assert read_dataset(Settings.of(**options, valid_tokens=10**9)).is_whole
