"""Word vectors from a file as a run's first embeddings."""

import gzip

import numpy as np
import pytest

from nlmcli.cli.app import main
from nlmcli.engine.exchange.vectors import read_vectors
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.settings import Settings
from nlmcli.errors import InputError

ROWS = {"the": 0, "ants": 1, "new york": 2}
GOOD = {
    "word2vec": "3 2\nthe 1 2\nants 3e-1 -4\ncats 5 6\n",
    "without a header": "the 1 2\nants 0.3 -4\n",
    "blanks at the end, as word2vec writes them": "2 2\nthe 1 2 \nants 0.3 -4 \n",
    "tabs and carriage returns": "the\t1\t2\r\nants\t0.3\t-4\r\n",
    "twice": "the 1 2\nants 0.3 -4\nthe 7 8\n",
    "empty lines": "\nthe 1 2\n\nants 0.3 -4\n\n",
}
BAD = {
    "the 1 2 3\n": "has vectors of 3 dimensions, and --embed is 2; give --embed 3",
    "2 300\nthe 1 2\n": "has vectors of 300 dimensions",
    "the 1 2\nants 3\n": "line 2: there are 1 numbers in place of 2",
    "the 1 2\nants 3 x\n": "line 2: not all of 2 fields are finite numbers",
    "the 1 nan\n": "line 1: not all of 2 fields",
    "the 1 1e400\n": "line 1: not all of 2 fields",
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("packed", [False, True])
def test_vectors_are_read(tmp_path, name, packed):
    path = tmp_path / ("e.vec.gz" if packed else "e.vec")
    path.write_bytes(gzip.compress(GOOD[name].encode()) if packed else GOOD[name].encode())
    found = read_vectors(path, 2, ROWS)
    assert found.keys() == {0, 1}
    np.testing.assert_array_equal([found[0], found[1]], np.array([[1, 2], [0.3, -4]], np.float32))


def test_a_token_may_have_blanks(tmp_path):
    (tmp_path / "e.vec").write_text("the 1 2\nnew york 3 4\n")
    np.testing.assert_array_equal(read_vectors(tmp_path / "e.vec", 2, ROWS)[2], [3, 4])


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_vector_is_refused(tmp_path, text):
    (tmp_path / "e.vec").write_text(text)
    with pytest.raises(InputError, match=BAD[text].replace("(", r"\(")):
        read_vectors(tmp_path / "e.vec", 2, ROWS)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ants.txt").write_text("the ants sat on the mat .\na cat hated their books .\n" * 20)
    return tmp_path


TRAIN = ["train", "ants.txt", "--model", "lstm", "--embed", "4", "--steps", "2", "--batch-size", "4", "--seq-len", "8"]


def test_a_run_starts_from_exported_vectors(folder, capsys):
    assert main([*TRAIN, "--tokenizer", "char", "--out", "first", "--quiet"]) == 0
    assert main(["export", "first", "e.vec", "--quiet"]) == 0
    capsys.readouterr()
    assert main([*TRAIN, "--tokenizer", "char", "--out", "second", "--embeddings", "e.vec", "--lr", "1e-12"]) == 0
    err = capsys.readouterr().err
    first, second = (LanguageModel.load(folder / name) for name in ("first", "second"))
    assert f"{len(first.tokenizer)} of {len(first.tokenizer)} embeddings come from e.vec" in err
    np.testing.assert_allclose(second.P.E, first.P.E, atol=1e-9)
    assert not np.allclose(second.P.Wh, first.P.Wh, atol=1e-3)


def test_a_resumed_run_needs_the_file_no_more(folder, capsys):
    (folder / "e.vec").write_text("the 1 2 3 4\nants 5 6 7 8\n")
    assert main([*TRAIN, "--out", "run", "--embeddings", "e.vec", "--quiet"]) == 0
    (folder / "e.vec").unlink()
    assert main(["train", "--resume", "--out", "run", "--steps", "4", "--quiet"]) == 0


def test_refusals(folder, capsys):
    (folder / "e.vec").write_text("les 1 2 3 4\n")
    (folder / "wide.vec").write_text("the 1 2 3\n")
    for options, sentence in {
        ("--embeddings", "e.vec"): "e.vec has a vector for none of the ",
        ("--embeddings", "wide.vec"): "wide.vec has vectors of 3 dimensions, and --embed is 4; give --embed 3",
        ("--embeddings", "nowhere.vec"): "cannot read nowhere.vec (no such file or directory)",
        ("--embeddings", "."): "cannot read .",
    }.items():
        assert main([*TRAIN, "--out", "run", *options]) == 2
        err = capsys.readouterr().err
        assert sentence in err and not (folder / "run").exists()
    with pytest.raises(InputError, match="--init and --embeddings both set the embeddings; give only one of them"):
        Settings.of(init="run", embeddings="e.vec").check()
