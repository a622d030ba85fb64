"""N-grams counted on disk, within little memory, are those counted in memory, to the bit; and they are used from the file."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.training import count_on_disk
from nlmcli.engine.training.count_on_disk import Counter, chunks_of, work_folder
from nlmcli.engine.writing.generate import next_words
from nlmcli.errors import InputError
from nlmcli.models.ngram import Config, NGram, bytes_of


def on_disk(model, texts, folder, capacity):
    with work_folder(folder) as files:
        counter = Counter(files, model, 10**6)
        counter.capacity = capacity
        counter.count(texts)
        P = model.counts_in_files(*(files.map(name) for name in ("word", "count", "first")), counter.sizes)
        return {name: np.array(value) for name, value in P.items()}


@given(
    texts=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=40), min_size=1, max_size=12),
    order=st.integers(1, 5),
    add_k=st.sampled_from([None, 0.5]),
    capacity=st.integers(1, 60),
    block=st.integers(1, 50),
    buckets=st.sampled_from([1, 4, 64]),
)
@settings(deadline=None, max_examples=150)
def test_the_same_trie_whatever_the_sizes_of_blocks_and_chunks(tmp_path_factory, texts, order, add_k, capacity, block, buckets):
    model = NGram(Config(context=order, add_k=add_k), 6, 0)
    texts = [np.array(text, np.uint8) for text in texts]
    expected = dict(model.count(texts).items())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(count_on_disk, "BLOCK", block)
        patch.setattr(count_on_disk, "BUCKETS", buckets)
        patch.setattr(count_on_disk, "MOST_FILES", 3)
        got = on_disk(model, texts, tmp_path_factory.mktemp("disk"), capacity)
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
        assert got[name].dtype == expected[name].dtype


def test_chunks_hold_what_fits():
    chunk_of, ends = chunks_of(np.array([3, 3, 9, 1, 1, 1, 0, 4]), 6)
    assert chunk_of.tolist() == [0, 0, 1, 2, 2, 2, 2, 3] and ends == [2, 3, 7, 8]


@pytest.mark.parametrize("by", ["stream", "line"])
def test_a_run_within_memory_is_the_run_without_and_reads_from_its_file(training, by, tmp_path):
    usual, within = (training("ngram", by=by, context=4, valid_fraction=0.3, **more) for more in ({}, {"memory": "1M"}))
    records = [list(run.run())[-1] for run in (usual, within)]
    assert records[0].valid_loss == records[1].valid_loss and records[0].parameters == records[1].parameters
    plain, mapped = (LanguageModel.load(run.folder) for run in (usual, within))
    assert isinstance(mapped.P.word, np.memmap) and isinstance(mapped.P.count, np.memmap) and not isinstance(plain.P.word, np.memmap)
    for name, value in plain.P.items():
        np.testing.assert_array_equal(value, mapped.P[name])
    text = "the ants sat on the mat ."
    for eos in (True, False):
        assert evaluate.score_text(plain, text, eos) == evaluate.score_text(mapped, text, eos)
    assert next_words(plain, "the", 5) == next_words(mapped, "the", 5)
    assert not (within.folder / "counting").exists()


def test_arrays_in_a_checkpoint_lie_where_they_can_be_mapped(training):
    run = training("ngram", memory="1M")
    list(run.run())
    arrays, _ = checkpoint.load(run.folder / "best.npz")
    assert all(value.ctypes.data % checkpoint.ALIGNMENT == 0 for value in arrays.values() if value.size)
    with np.load(run.folder / "best.npz", allow_pickle=False) as opened:
        for name, value in arrays.items():
            np.testing.assert_array_equal(opened[name], value)


@pytest.mark.parametrize("step", [97, 1013])
def test_damage_in_a_mapped_file_is_found(training, step):
    run = training("ngram", memory="1M")
    list(run.run())
    path = run.folder / "best.npz"
    data = path.read_bytes()
    arrays, _ = checkpoint.load(path)
    arrays = {name: np.array(value) for name, value in arrays.items()}
    refused = 0
    for at in range(0, len(data), step):
        path.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        try:
            read, _ = checkpoint.load(path)
        except InputError:
            refused += 1
            continue
        for name, value in arrays.items():
            np.testing.assert_array_equal(read[name], value)
    assert refused


def test_leftovers_of_a_killed_process_are_removed(training):
    run = training("ngram", memory="1M")
    (run.folder / "counting").mkdir()
    (run.folder / "counting" / "word").write_bytes(os.urandom(100))
    list(run.run())
    assert not (run.folder / "counting").exists()
    usual = training("ngram")
    list(usual.run())
    np.testing.assert_array_equal(LanguageModel.load(run.folder).P.word, LanguageModel.load(usual.folder).P.word)


@pytest.mark.parametrize(("text", "size"), [("2G", 2 * 10**9), ("500M", 5 * 10**8), ("1.5g", 15 * 10**8), ("1 GB", 10**9), (None, None)])
def test_sizes_of_memory(text, size):
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "2", "G", "-1G", "0M", "2T", "1e9", "nanM"])
def test_what_is_no_size_of_memory(text):
    with pytest.raises(InputError, match="is no size of memory; give one such as 500M or 2G"):
        Config(memory=text)
