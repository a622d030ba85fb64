"""nanoGPT's and llm.c's files of token ids are read as they are."""

import numpy as np
import pytest

from nlmcli.engine.reading import id_files, remembered
from nlmcli.engine.reading.dataset import read_dataset
from nlmcli.engine.reading.id_files import are_ids
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.training.train import Training
from nlmcli.errors import InputError
from nlmcli.text import saved

TEXT = "the ants sat .\nthe bear, 蚂蚁 and Bär \U0001f41c!\nstudents opened\ttheir books .\n" * 20
TINY = {"model": "rnn", "embed": 4, "hidden": 5, "batch_size": 4, "seq_len": 6, "steps": 6, "valid_fraction": 0.25}


@pytest.fixture
def tokenizer(tmp_path):
    """A byte-level BPE, and its file."""
    fitted = saved.fit("bpe", TEXT, vocab_size=290)
    (tmp_path / "bpe.json").write_text(saved.to_json(fitted))
    return fitted


@pytest.fixture
def files(tmp_path, tokenizer):
    """The text as a text file, as nanoGPT's file, and as two shards of llm.c, by the command line words that name them."""
    ids = tokenizer.encode(TEXT).astype("<u2")
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    ids.tofile(tmp_path / "nano.bin")
    half = len(ids) // 2
    for name, part in (("one.bin", ids[:half]), ("two.bin", ids[half:])):
        header = np.zeros(256, "<i4")
        header[:3] = 20240520, 1, len(part)
        (tmp_path / name).write_bytes(header.tobytes() + part.tobytes())
    return {kind: tuple(str(tmp_path / name) for name in names.split()) for kind, names in KINDS.items()}


KINDS = {"text": "a.txt", "nanoGPT": "nano.bin", "llm.c": "one.bin two.bin"}


def settings(files, tmp_path, **more):
    return Settings.of(corpus=files, tokenizer=str(tmp_path / "bpe.json"), **TINY | more)


@pytest.mark.parametrize("kind", ["nanoGPT", "llm.c"])
@pytest.mark.parametrize("part", [7, 1 << 20])
def test_the_ids_counts_and_sizes_are_those_of_the_text(files, tmp_path, tokenizer, kind, part, monkeypatch):
    monkeypatch.setattr(id_files, "PART", part)
    with_ids = read_dataset(settings(files[kind], tmp_path, valid=files[kind][-1]))
    expected = tokenizer.encode(TEXT)
    np.testing.assert_array_equal(with_ids.train.ids, expected)
    assert (with_ids.train.characters, with_ids.train.bytes, with_ids.train.line_ends) == (len(TEXT), len(TEXT.encode()), 60)
    np.testing.assert_array_equal(with_ids.tokenizer.counts, np.bincount(expected, minlength=len(tokenizer)))
    assert with_ids.train.ids.dtype == np.uint16
    parts = read_dataset(settings(files[kind], tmp_path))
    np.testing.assert_array_equal(np.concatenate([parts.train.ids, parts.held_out.ids]), expected)
    assert len(parts.held_out) == round(len(expected) * 0.25)
    assert str(with_ids.texts.train).replace("�", "") == TEXT or part < 100  # a part may end within a character
    assert len(read_dataset(settings(files[kind], tmp_path, valid_tokens=9)).held_out) == 9


def test_a_run_on_ids_is_evaluated_resumed_and_knows_its_files(files, tmp_path):
    one, other = (Training(settings(files[kind], tmp_path), tmp_path / kind) for kind in ("nanoGPT", "llm.c"))
    for run in (one, other):
        list(run.run())
    np.testing.assert_array_equal(one.lm.P.flat, other.lm.P.flat)
    lm = LanguageModel.load(tmp_path / "nanoGPT")
    assert evaluate.evaluate(lm).score == evaluate.score_text(lm, one.dataset.held_out)
    whole = evaluate.evaluate(lm, files["text"]).score
    assert evaluate.evaluate(lm, files["llm.c"]).score == whole
    more = Training.resumed(tmp_path / "nanoGPT", {"steps": 8})
    list(more.run())
    ids = np.fromfile(files["nanoGPT"][0], "<u2")
    ids[-3] += 1
    ids.tofile(files["nanoGPT"][0])
    with pytest.raises(InputError, match="has changed since"):
        evaluate.evaluate(lm)
    with pytest.raises(InputError, match="is not the one this run started with"):
        Training.resumed(tmp_path / "nanoGPT", {"steps": 9})


def test_long_files_are_checked_once(files, tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "LARGE", 1)
    monkeypatch.setattr(remembered, "MOMENT", -10.0)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    first = read_dataset(settings(files["llm.c"], tmp_path)).digests()
    monkeypatch.setattr(id_files, "checked", None)
    assert read_dataset(settings(files["llm.c"], tmp_path)).digests() == first


def test_what_is_no_file_of_ids(files, tmp_path):
    def refused(message, corpus, **more):
        with pytest.raises(InputError, match=message) as error:
            read_dataset(settings(corpus, tmp_path, **more))
        assert "\n" not in str(error.value)

    def written(name, data):
        (tmp_path / name).write_bytes(data)
        return (str(tmp_path / name),)

    shard = (tmp_path / "one.bin").read_bytes()
    refused("cannot read .*none.bin.*no such file", (str(tmp_path / "none.bin"),))
    refused("an odd number", written("odd.bin", b"abc"))
    refused("or it is cut off", written("cut.bin", shard[:-2]))
    refused("of version 1", written("version.bin", shard[:4] + b"\x07" + shard[5:]))
    refused(
        "id 60000 at position 2 of .*far.bin' is outside of the vocabulary of 290",
        written("far.bin", np.array([1, 2, 60000], "<u2").tobytes()),
    )
    refused("cannot be read together", (*files["text"], *files["nanoGPT"]))
    refused("cannot be read together", files["nanoGPT"], valid=files["text"][0])
    refused("cannot be read by line", files["nanoGPT"], by="line")
    with pytest.raises(InputError, match="need the byte-level BPE that made them"):
        read_dataset(Settings.of(corpus=files["nanoGPT"], tokenizer="char", **TINY))
    refused("holds out the whole corpus|too few|no text", written("empty.bin", b""))
    assert not are_ids(()) and not are_ids((None,)) and are_ids(("a.bin", None))
