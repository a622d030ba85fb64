"""Reading a corpus, its error messages, and splitting off a held-out part."""

import gzip
import io
import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.errors import InputError
from nlmcli.text import corpus


@pytest.fixture
def write(tmp_path):
    def write(data, name="text.txt"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def error_message(path, **options):
    with pytest.raises(InputError) as caught:
        corpus.read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_line_ends_are_normalized_to_lf(write):
    assert corpus.read(write(b"a\r\nb\rc\n\r\n")) == "a\nb\nc\n\n"
    assert corpus.read(str(write(b"a"))) == "a"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "utf-16-le"])
def test_a_byte_order_mark_is_dropped(write, encoding):
    data = ("\ufeff" if encoding in ("utf-8", "utf-16-le") else "") + "Bär\n"
    assert corpus.read(write(data.encode(encoding)), encoding) == "Bär\n"


def test_other_encodings(write):
    assert corpus.read(write("Bär".encode("latin-1")), "latin-1") == "Bär"
    assert corpus.read(write("蚂蚁".encode("gb18030")), "GB18030") == "蚂蚁"


def test_a_dash_is_stdin(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Bär\r\n".encode())))
    assert corpus.read("-") == "Bär\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert error_message("-") == "stdin is empty; give a file with text"
    monkeypatch.setattr(sys, "stdin", None)
    assert error_message("-").startswith("stdin is closed")


def test_a_missing_file(write, tmp_path):
    write(b"a", "students.txt")
    assert error_message(tmp_path / "student.txt").endswith("student.txt'; did you mean 'students.txt'?")
    assert error_message(tmp_path / "xyz").endswith("xyz'; give the path of a text file")
    assert f"there is no folder '{tmp_path / 'no'}'" in error_message(tmp_path / "no" / "x.txt")
    assert error_message("nul\0name").startswith("cannot read 'nul\0name' (embedded null byte)")


def test_a_folder(tmp_path):
    assert error_message(tmp_path) == f"'{tmp_path}' is a folder; give a text file in it"


def test_a_file_without_read_permission(write, monkeypatch):
    def deny(path, mode):
        raise PermissionError(13, os.strerror(13))

    path = write(b"a")
    monkeypatch.setattr(type(path), "open", deny)
    assert error_message(path) == f"cannot read '{path}' (permission denied); give a readable file"


@pytest.mark.parametrize("data, message", [(b"", "is empty"), (b" \n\t\r\n", "only whitespace"),
                                        (b"\xef\xbb\xbf", "only whitespace")])  # fmt: skip
def test_a_file_without_text(write, data, message):
    path = write(data)
    assert error_message(path).startswith(f"'{path}' ") and message in error_message(path)


def npz():
    file = io.BytesIO()
    np.savez(file, a=1)
    return file.getvalue()


@pytest.mark.parametrize(
    "data, message",
    [
        (gzip.compress(b"text", mtime=0), "looks like a gzip archive"),
        (npz(), "looks like a zip archive (as .npz"),
        (b"\x93NUMPY\1\0", "looks like a NumPy array"),
        (b"%PDF-1.7\n", "looks like a PDF document"),
        (b"\x89PNG\r\n\x1a\n", "looks like a PNG image"),
        (b"text\0text", "looks binary, with a NUL at byte 4; give plain text"),
        ("text".encode("utf-16"), "looks like UTF-16 (byte order mark); try --encoding utf-16"),
        (b"\xfe\xff\0a", "try --encoding utf-16"),
        ("text".encode("utf-32"), "try --encoding utf-32"),
        (b"abc\xe4def", "is not valid UTF-8 at byte 3 (0xE4); give the encoding it was written in, "
                        "for example --encoding latin-1"),
    ],
)  # fmt: skip
def test_non_text_files_are_identified(write, data, message):
    assert message in error_message(write(data))


def test_wrong_encodings(write):
    path = write(b"abc")
    assert error_message(path, encoding="latin1x").startswith("unknown encoding 'latin1x'; did you mean 'latin-1'?")
    assert error_message(path, encoding="rot13").startswith("unknown encoding 'rot13'")
    assert error_message(path, encoding="nul\0").startswith("unknown encoding")
    assert "is not valid UTF-16 at byte 2" in error_message(path, encoding="utf-16")
    assert "is not valid PUNYCODE; give" in error_message(write(b"a-!"), encoding="punycode")


def test_an_installed_corpus_precedes_that_of_the_checkout(monkeypatch, tmp_path):
    installed, checkout = tmp_path / "installed", tmp_path / "checkout"
    monkeypatch.setattr(corpus, "_FOLDERS", (installed, checkout))
    checkout.mkdir()
    (checkout / "students.txt").write_text("books")
    assert corpus.shipped() == checkout / "students.txt"
    installed.mkdir()
    (installed / "students.txt").write_text("books")
    assert corpus.shipped("students") == installed / "students.txt"
    with pytest.raises(InputError, match="no corpus 'studens' ships with nlm; did you mean 'students'\\?"):
        corpus.shipped("studens")


def test_the_split_is_exact():
    train, valid = corpus.split("x" * 1_115_394, 0.1)
    assert (len(train), len(valid)) == (1_003_854, 111_540)
    assert corpus.split("0123456789", 0.9) == ("0", "123456789")  # (1 - 0.9) * 10 is 0.9999999999999998
    assert corpus.split("abc", 0) == ("abc", "")
    assert corpus.split("abcd", np.float64(0.5)) == ("ab", "cd")


@pytest.mark.parametrize("n", [0, 1, 9, 10, 11, 99, 1000, 12345, 32033])
def test_holding_out_a_tenth_leaves_nine_tenths(n):
    assert len(corpus.split("x" * n, 0.1)[0]) == int(0.9 * n)


@given(st.text(), st.floats(0, 1, exclude_max=True))
def test_the_parts_concatenate_to_the_text(text, fraction):
    assert "".join(corpus.split(text, fraction)) == text


@pytest.mark.parametrize("fraction", [1, 1.5, -0.1, float("nan")])
@pytest.mark.parametrize("split", [corpus.split, corpus.split_lines])
def test_a_fraction_out_of_range_is_rejected(split, fraction):
    with pytest.raises(InputError, match=f"fraction of {fraction} cannot be held out"):
        split("text", fraction)


LINES = st.lists(st.text("ab ", max_size=4), max_size=30)


@given(LINES, st.floats(0, 1, exclude_max=True))
def test_lines_are_split_by_their_content(lines, fraction):
    train, valid = corpus.split_lines("\n".join(lines), fraction)
    nonblank = [line for line in lines if line.strip()]
    assert not set(train) & set(valid)
    assert train == [line for line in nonblank if line in train]
    assert valid == [line for line in nonblank if line in valid]
    assert len(train) + len(valid) == len(nonblank)
    assert abs(len(set(valid)) - fraction * len(set(nonblank))) <= 0.5


@given(st.permutations([f"name {i % 17}" for i in range(40)]))
def test_the_split_is_independent_of_the_order_of_lines(lines):
    valid = corpus.split_lines("\n".join(lines), 0.25)[1]
    sorted_valid = corpus.split_lines("\n".join(sorted(lines)) + "\n", 0.25)[1]
    assert sorted(valid) == sorted_valid and len(set(valid)) == 4


def test_the_held_out_lines_are_the_same_on_every_platform():
    lines = "emma\nolivia\nava\nisabella\nsophia\nemma\n\ud800"
    assert corpus.split_lines(lines, 0.4)[1] == ["emma", "olivia", "emma"]
