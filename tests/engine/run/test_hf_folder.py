"""Hugging Face folders as runs: made by transformers (tests/golden/make_hf.py), and made by nlm."""

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from nlmcli.cli.app import main
from nlmcli.engine.exchange.export import export
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.safetensors import Tensors
from nlmcli.errors import InputError

GOLDEN = Path(__file__).parents[2] / "golden" / "hf"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
TEXT = "The ants sat on the red mat.\nTheir books opened, students!\n\nÜber ☃\n"


@pytest.mark.parametrize("name", EXPECTED)
def test_ids_and_logits_are_those_of_transformers(name):
    lm, expected = LanguageModel.load(GOLDEN / name), EXPECTED[name]
    assert lm.tokenizer.encode(TEXT).tolist() == expected["all_ids"]
    assert lm.tokenizer.decode(expected["all_ids"]) == TEXT
    x = np.array(expected["ids"])[:, None]
    assert lm.tokenizer.start == x[0, 0] != lm.tokenizer.newline
    h, _, _ = lm.model.forward(lm.P, x, lm.start(1))
    np.testing.assert_allclose(lm.model.logits(lm.P, h[:, 0]), expected["logits"], atol=1e-5)


def arrays_of(folder):
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        found = Tensors(file)
        tensors |= {name: np.array(found[name]) for name in found}
    return tensors


@pytest.mark.parametrize("name", EXPECTED)
def test_a_folder_that_is_read_and_exported_has_the_same_arrays(name, tmp_path):
    lm = LanguageModel.load(GOLDEN / name)
    export(lm, tmp_path / "again", "hf")
    first, second = arrays_of(GOLDEN / name), arrays_of(tmp_path / "again")
    assert first.keys() == second.keys()
    for key, value in first.items():
        np.testing.assert_array_equal(second[key], value)
    again = LanguageModel.load(tmp_path / "again")
    assert again.P.flat.tobytes() == lm.P.flat.tobytes() and again.tokenizer.start == lm.tokenizer.start
    np.testing.assert_array_equal(again.tokenizer.encode(TEXT), lm.tokenizer.encode(TEXT))


@pytest.mark.parametrize("model", ["transformer", "mamba"])
@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe", "whitespace", "word"])
def test_an_exported_run_is_the_same_when_it_is_read(training, tmp_path, model, tokenizer):
    run = training(model, tokenizer=tokenizer, steps=3, embed=6, output_bias=None if model == "transformer" else False, by="line")
    list(run.run())
    export(run.lm, tmp_path / "hf", "hf")
    read = LanguageModel.load(tmp_path / "hf")
    assert read.P.flat.tobytes() == run.lm.P.flat.tobytes() and read.P.shapes == run.lm.P.shapes
    assert read.tokenizer.vocabulary == run.lm.tokenizer.vocabulary and read.settings.by == "line"
    text = "the ants sat on Q .\n\nb"
    np.testing.assert_array_equal(read.tokenizer.encode(text), run.lm.tokenizer.encode(text))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of a small folder, and a text."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN / "gpt2-tied", tmp_path / "gpt")
    (tmp_path / "t.txt").write_text("The ants sat on the mat.\nTheir cat opened the red books.\n" * 20)
    (tmp_path / "labelled.tsv").write_text("pos\tthe ants sat\nneg\ttheir books opened\n" * 12)
    return tmp_path


def test_every_command_takes_a_folder(folder, capsys):
    assert main(["eval", "t.txt", "--run", "gpt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] > 100
    assert main(["generate", "--run", "gpt", "--prompt", "The ants", "--seed", "1", "--length", "40"]) == 0  # beyond its window
    assert capsys.readouterr().out.startswith("The ants")
    assert main(["inspect", "gpt"]) == 0 and main(["inspect", "gpt", "--neighbors", "a"]) == 0
    assert main(["gradcheck", "--run", "gpt", "--json"]) == 0
    capsys.readouterr()
    assert main(["eval", "--run", "gpt"]) == 2
    assert "gpt has no held-out text; give a FILE" in capsys.readouterr().err


def test_a_folder_is_a_start_for_training(folder, capsys):
    train = ["--init", "gpt", "--steps", "4", "--batch-size", "4", "--seq-len", "8", "--quiet"]
    assert main(["train", "t.txt", *train, "--out", "tuned", "--lr", "1e-9"]) == 0
    tuned, given = LanguageModel.load(folder / "tuned"), LanguageModel.load(folder / "gpt")
    np.testing.assert_allclose(tuned.P.flat, given.P.flat, atol=1e-6)
    assert tuned.tokenizer.start == given.tokenizer.start != tuned.tokenizer.newline
    assert main(["train", "--resume", "--out", "tuned", "--steps", "6", "--quiet"]) == 0
    assert main(["train", "labelled.tsv", "--task", "classify", *train, "--out", "labels"]) == 0
    capsys.readouterr()
    assert main(["predict", "--run", "labels", "--text", "the ants sat", "--json"]) == 0


def config_with(**changes):
    def change(folder):
        config = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(config))

    return change


def header_with(**changes):
    """Change entries of the header of the arrays; None removes one."""

    def change(folder):
        data = (folder / "model.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        for name, value in changes.items():
            name = name.replace("__", ".")
            header[name] = header[name] | value if isinstance(value, dict) else value
        text = json.dumps({name: value for name, value in header.items() if value is not None}).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])

    return change


def bytes_with(name, edit):
    return lambda folder: (folder / name).write_bytes(edit((folder / name).read_bytes()))


def text_of(name, text):
    return lambda folder: (folder / name).write_text(text)


def not_finite(folder):
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-4:] = struct.pack("<f", float("nan"))
    (folder / "model.safetensors").write_bytes(bytes(data))


def link_out(folder):
    shutil.move(folder / "model.safetensors", folder.parent / "elsewhere")
    (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere")


def pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


LN = "transformer__ln_f__weight"
BROKEN = {
    "no arrays": (lambda folder: (folder / "model.safetensors").unlink(), "gpt has no model.safetensors"),
    "a pickle": (pickle, "pytorch_model.bin is a pickle, which may run any code, and is not opened; convert it"),
    "empty arrays": (text_of("model.safetensors", ""), "is no safetensors file, or is cut"),
    "cut arrays": (bytes_with("model.safetensors", lambda data: data[:-40]), "it is cut or damaged"),
    "cut header": (bytes_with("model.safetensors", lambda data: data[:60]), "is no safetensors file, or is cut"),
    "a header of 2^60 bytes": (
        bytes_with("model.safetensors", lambda data: struct.pack("<Q", 1 << 60) + data[8:]),
        "its header would have",
    ),
    "a header that is not JSON": (bytes_with("model.safetensors", lambda data: data[:8] + b"x" + data[9:]), "its header is not JSON"),
    "more bytes than arrays": (bytes_with("model.safetensors", lambda data: data + bytes(8)), "bytes of arrays"),
    "a missing array": (header_with(**{LN: None}), "does not begin where the array before it ends|bytes of arrays"),
    "an array elsewhere": (header_with(**{LN: {"data_offsets": [10**9, 10**9 + 32]}}), "does not begin where the array before it ends"),
    "overlapping arrays": (header_with(**{LN: {"data_offsets": [0, 32]}}), "does not begin where the array before it ends"),
    "a negative place": (header_with(**{LN: {"data_offsets": [-32, 0]}}), "has no valid type, shape and place"),
    "a wrong shape": (header_with(**{LN: {"shape": [9]}}), "has no valid type, shape and place"),
    "another shape": (header_with(**{LN: {"shape": [2, 4]}}), "has the shape (2, 4), where the configuration says (8,)"),
    "an unknown type": (header_with(**{LN: {"dtype": "F8_E4M3"}}), "has no valid type, shape and place; nlm reads F32"),
    "numbers that are not finite": (not_finite, "has numbers that are not finite"),
    "another architecture": (config_with(model_type="llama"), "nlm reads models of type gpt2 and mamba, not 'llama'"),
    "another activation": (config_with(activation_function="relu"), "activation_function is 'relu', and nlm computes 'gelu_new'"),
    "another epsilon": (config_with(layer_norm_epsilon=1e-6), "layer_norm_epsilon is 1e-06, and nlm computes 1e-05"),
    "no width": (config_with(n_embd=None), "n_embd is None, not a number from 1 on"),
    "a width that is text": (config_with(n_embd="8"), "n_embd is '8', not a number from 1 on"),
    "another width": (config_with(n_embd=16), "where the configuration says"),
    "more layers": (config_with(n_layer=3), "lacks the array h.2.ln_1.weight"),
    "heads that do not fit": (config_with(n_head=3), "heads"),
    "a start that is no token": (config_with(bos_token_id=9999), "bos_token_id 9999 is no token that nlm could begin a text with"),
    "another vocabulary": (config_with(vocab_size=299), "has the shape (300, 8), where the configuration says (299, 8)"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "cannot read"),
    "a vocabulary smaller than the tokenizer's": (config_with(vocab_size=100), "tokens, and the model 100"),
    "another tokenizer": (text_of("tokenizer.json", '{"model": {"type": "Unigram", "vocab": []}}'), "tokenizer.json"),
    "a tokenizer that is no JSON": (text_of("tokenizer.json", "hello"), "is not a JSON document"),
    "a tokenizer that is a list": (text_of("tokenizer.json", "[1]"), "is not a JSON document"),
    "a configuration that is no JSON": (text_of("config.json", "{"), "is not a JSON document"),
    "a link out of the folder": (link_out, "model.safetensors leads out of the folder; copy the file into it"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_refused_in_one_sentence(folder, capsys, name):
    spoil, sentence = BROKEN[name]
    spoil(folder / "gpt")
    assert main(["eval", "t.txt", "--run", "gpt"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and any(part in err for part in sentence.split("|")), err


@pytest.mark.parametrize("name", ["../model-00001-of-00003.safetensors", "none.safetensors"])
def test_an_index_names_files_of_its_folder(tmp_path, name):
    shutil.copytree(GOLDEN / "gpt2-shards", tmp_path / "gpt")
    file = tmp_path / "gpt" / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    index["weight_map"][next(iter(index["weight_map"]))] = name
    file.write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"leads out of the folder|cannot read"):
        LanguageModel.load(tmp_path / "gpt")


def test_a_run_of_nlm_with_a_file_named_so_is_a_run(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("{}")
    assert LanguageModel.load(tmp_path / "run").settings.model == "rnn"
