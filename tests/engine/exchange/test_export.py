"""Exports: every file is read back by an obvious reader, and by other programs' libraries where they are installed."""

import json
import struct

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmcli.cli.app import main
from nlmcli.engine.exchange.export import export
from nlmcli.engine.exchange.format import printable_names
from nlmcli.engine.exchange.formats import FORMATS
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring.evaluate import token_scores
from nlmcli.errors import InputError

TEXT = "the ants sat .\ntheir books opened the mat\nQ a cat\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """trained(model, ...): a small trained run, one for each set of options."""
    root, runs = tmp_path_factory.mktemp("export"), {}
    corpus = root / "ants.txt"
    corpus.write_text("the ants sat on the mat .\na cat hated their books .\nthe students opened the books\n" * 12)

    def make(model, **options):
        key = (model, *sorted(options.items()))
        if key not in runs:
            folder = root / f"run{len(runs)}"
            typed = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in options.items()]
            length = [] if model == "ngram" else ["--steps", "8", "--batch-size", "4", "--seq-len", "8"]
            assert main(["train", str(corpus), "--model", model, *typed, *length, "--quiet", "--out", str(folder)]) == 0
            runs[key] = LanguageModel.load(folder)
        return runs[key]

    return make


def tensors_of(path):
    """The arrays of a safetensors file of float32, and its metadata."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    about, arrays, end = header.pop("__metadata__"), {}, 0
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        assert entry["dtype"] == "F32" and start == end
        arrays[name], end = np.frombuffer(body[start:stop], "<f4").reshape(entry["shape"]), stop
    assert end == len(body) and (8 + length) % 8 == 0
    return arrays, about


# ARPA


@pytest.mark.parametrize("options", [{"context": 3}, {"context": 4, "by": "line"}, {"context": 1}, {"context": 2, "lowercase": True}])
@pytest.mark.parametrize("tokenizer", ["word", "char", "byte", "whitespace"])
def test_an_arpa_file_gives_every_word_of_a_line_the_same_probability(trained, tmp_path, tokenizer, options):
    lm = trained("ngram", tokenizer=tokenizer, **options)
    export(lm, tmp_path / "a.arpa")
    table, names = naive.read_arpa((tmp_path / "a.arpa").read_text()), printable_names(lm.tokenizer)
    order = options["context"]
    for line in TEXT.splitlines():
        ids, nll, _ = (np.concatenate(part) for part in zip(*token_scores(lm, line + "\n"), strict=True))
        words = ["<s>", *(names[i] for i in ids[:-1]), "</s>"]
        for k, expected in enumerate(nll, 1):
            context = tuple(words[max(0, k - order + 1) : k])
            assert naive.back_off(table, context, words[k]) == pytest.approx(-expected / np.log(10), abs=1e-6)


def test_probabilities_of_an_arpa_file_sum_to_one(trained, tmp_path):
    lm = trained("ngram", context=3, by="line")
    export(lm, tmp_path / "a.arpa")
    table = naive.read_arpa((tmp_path / "a.arpa").read_text())
    words = [gram[0] for gram in table if len(gram) == 1 and gram != ("<s>",)]
    for context in [(), ("the",), ("<s>",), ("the", "ants"), ("<s>", "a"), ("mat", "cat")]:
        assert sum(10 ** naive.back_off(table, context, word) for word in words) == pytest.approx(1, abs=1e-6)


@given(st.floats(-99, 2))
@settings(max_examples=300)
def test_numbers_are_written_with_seven_decimals(x):
    from nlmcli.engine.exchange.formats.arpa import write_number

    out = np.zeros(40, np.uint8)
    end = write_number(x, out, 3)
    assert float(out[3:end].tobytes()) == pytest.approx(x, abs=5.0001e-8)
    assert (
        out[3:end].tobytes().decode() in (f"{x:.7f}", f"{x:.7f}".lstrip("-")) or abs(float(f"{x:.7f}") - float(out[3:end].tobytes())) < 2e-7
    )


# embeddings


@pytest.mark.parametrize("tokenizer", ["char", "word", "bpe"])
def test_vectors_are_read_back_to_the_bit(trained, tmp_path, tokenizer):
    lm = trained("window", tokenizer=tokenizer, **({"vocab_size": 270} if tokenizer == "bpe" else {}))
    names = printable_names(lm.tokenizer)
    exported = export(lm, tmp_path / "e.vec")
    head, *lines = (tmp_path / "e.vec").read_text().removesuffix("\n").split("\n")
    assert head == f"{len(names)} {lm.P.E.shape[1]}"
    assert [line.split(" ")[0] for line in lines] == names
    np.testing.assert_array_equal(np.array([line.split(" ")[1:] for line in lines], np.float32), lm.P.E)
    assert bool(exported.notes) == (names != lm.tokenizer.vocabulary)
    export(lm, tmp_path / "projector", "tsv")
    vectors = [line.split("\t") for line in (tmp_path / "projector" / "vectors.tsv").read_text().splitlines()]
    np.testing.assert_array_equal(np.array(vectors, np.float32), lm.P.E)
    title, *rows = (line.split("\t") for line in (tmp_path / "projector" / "metadata.tsv").read_text().removesuffix("\n").split("\n"))
    assert title == ["token", "count"] and rows == [[n, str(c)] for n, c in zip(names, lm.tokenizer.counts, strict=True)]


def test_tokens_that_would_have_the_same_name_are_refused(trained, tmp_path):
    lm = trained("window", tokenizer="char")
    lm.tokenizer.vocabulary[lm.tokenizer.vocabulary.index(".")] = "␣"
    with pytest.raises(InputError, match="would both be written as ␣; the format cannot hold them"):
        export(lm, tmp_path / "e.vec")
    assert not list(tmp_path.iterdir())
    lm.tokenizer.vocabulary[lm.tokenizer.vocabulary.index("␣")] = "."


# networks


@pytest.mark.parametrize("model", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("tie", [False, True])
def test_recurrent_networks_have_the_names_of_pytorch(trained, tmp_path, model, tie):
    lm = trained(model, layers=2, hidden=9, embed=5, **({"tie": True} if tie else {}))
    export(lm, tmp_path / "m.safetensors")
    arrays, about = tensors_of(tmp_path / "m.safetensors")
    gates, V = {"rnn": 1, "lstm": 4, "gru": 3}[model], len(lm.tokenizer)
    shapes = {"embedding.weight": (V, 5), "output.weight": (V, 5 if tie else 9), "output.bias": (V,)}
    shapes |= {"projection.weight": (5, 9)} if tie else {}
    for l, width in enumerate((5, 9)):
        shapes |= {f"{model}.weight_ih_l{l}": (gates * 9, width), f"{model}.weight_hh_l{l}": (gates * 9, 9)}
        shapes |= {f"{model}.bias_{which}_l{l}": (gates * 9,) for which in ("ih", "hh")}
    assert {name: array.shape for name, array in arrays.items()} == shapes and about == {"format": "pt"}
    np.testing.assert_array_equal(arrays[f"{model}.weight_ih_l1"], lm.P.Wx[0].T)
    np.testing.assert_array_equal(arrays["output.weight"], lm.P.E if tie else lm.P.U.T)


@pytest.mark.parametrize("options", [{"tie": True}, {"no_tie": True, "hidden": 20}])
def test_a_transformer_as_a_folder(trained, tmp_path, options):
    lm = trained("transformer", layers=2, heads=2, embed=8, context=16, tokenizer="char", **options)
    exported = export(lm, tmp_path / "gpt", "hf")
    assert sorted(exported.files) == sorted(path.name for path in (tmp_path / "gpt").iterdir())
    arrays, _ = tensors_of(tmp_path / "gpt" / "model.safetensors")
    config = json.loads((tmp_path / "gpt" / "config.json").read_text())
    assert config["tie_word_embeddings"] == ("lm_head.weight" not in arrays) == ("tie" in options)
    assert (config["n_inner"], config["n_positions"], config["vocab_size"]) == (options.get("hidden", 32), 16, len(lm.tokenizer))
    np.testing.assert_array_equal(arrays["transformer.h.1.attn.c_attn.weight"], lm.P.Wqkv[1])
    assert len(arrays) == 4 + 12 * 2 + ("no_tie" in options)


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe", "whitespace"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_the_exported_tokenizer_gives_the_same_ids_and_text(trained, tmp_path, tokenizer, lowercase):
    tokenizers = pytest.importorskip("tokenizers")
    options = {"tokenizer": tokenizer, "layers": 1, "heads": 1, "embed": 8, "context": 16}
    lm = trained(
        "transformer", **options, **({"lowercase": True} if lowercase else {}), **({"vocab_size": 270} if tokenizer == "bpe" else {})
    )
    export(lm, tmp_path / "gpt", "hf")
    other = tokenizers.Tokenizer.from_file(str(tmp_path / "gpt" / "tokenizer.json"))
    for text in (TEXT, "", "\n\n", "Ünknown ☃ characters\n", "two  blanks\tand a tab"):
        ids = lm.tokenizer.encode(text).tolist()
        assert other.encode(text).ids == [lm.tokenizer.newline, *ids]
        if tokenizer != "whitespace":
            assert other.decode(ids, skip_special_tokens=False) == lm.tokenizer.decode(ids)


def test_mamba_as_a_folder(trained, tmp_path):
    lm = trained("mamba", embed=8, no_output_bias=True)
    export(lm, tmp_path / "mamba", "hf")
    arrays, _ = tensors_of(tmp_path / "mamba" / "model.safetensors")
    np.testing.assert_array_equal(arrays["backbone.layers.0.mixer.A_log"], lm.P.lnA[0].T)
    np.testing.assert_array_equal(arrays["backbone.layers.0.mixer.in_proj.weight"][:16], lm.P.Wx[0].T)
    assert "lm_head.weight" in arrays and "b2" not in lm.P.shapes


def test_gguf_has_the_tensors_and_the_tokenizer(trained, tmp_path):
    lm = trained("transformer", tokenizer="bpe", vocab_size=270, layers=1, heads=2, embed=8, context=16)
    export(lm, tmp_path / "m.gguf")
    data = (tmp_path / "m.gguf").read_bytes()
    magic, version, tensors, _ = struct.unpack("<4sIQQ", data[:24])
    assert (magic, version, tensors) == (b"GGUF", 3, 4 + 12)
    assert lm.P.E.tobytes() in data and np.ascontiguousarray(lm.P.W2[0].T).tobytes() in data
    gguf = pytest.importorskip("gguf")
    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    found = {tensor.name: tensor.data for tensor in reader.tensors}
    np.testing.assert_array_equal(found["token_embd.weight"], lm.P.E)
    np.testing.assert_array_equal(found["blk.0.ffn_down.weight"], lm.P.W2[0].T)
    assert reader.fields["gpt2.context_length"].contents() == 16


# refusals, and what lies where an export goes


REFUSED = {
    ("lstm", "a.arpa", None): "ARPA files hold n-grams, and this is a run of --model lstm",
    ("ngram", "a.vec", None): "model ngram is count-based and has no embeddings",
    ("lstm", "folder", "hf"): "a run of --model lstm --task generate is no language model of transformer or mamba",
    ("mamba", "folder", "hf"): "Mamba has no bias in its output layer there, and this model does; train with --no-output-bias",
    ("window", "a.safetensors", None): "is no language model of rnn, lstm, gru",
    ("lstm", "a.gguf", None): "is no GPT-2",
    ("transformer", "a.gguf", None): "llama.cpp reads tokens of bpe, not of word; train with --tokenizer bpe",
    ("lstm", "a.bin", None): "the ending of",
    ("lstm", "folder", None): "give one with --to: arpa, gguf, hf, state-dict, tsv, vec",
    ("lstm", "a.vec", "vek"): "did you mean 'vec'",
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: "-".join(map(str, case)))
def test_what_a_format_cannot_hold_is_refused_in_one_sentence(trained, tmp_path, capsys, case):
    model, name, to = case
    options = {"layers": 1, "heads": 1, "embed": 8, "context": 8} if model == "transformer" else {}
    run = next(path for path in [trained(model, **options)])
    run.save(tmp_path / "run.npz")
    code = main(["export", str(tmp_path / "run.npz"), str(tmp_path / name), *(["--to", to] if to else [])])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "") and REFUSED[case] in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_clusters_are_refused_where_they_do_not_exist(trained, tmp_path):
    clusters = {"softmax": "adaptive", "cutoffs": "3,6"}
    with pytest.raises(InputError, match="train with --softmax full"):
        export(trained("lstm", **clusters), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="train with --softmax full"):
        export(trained("transformer", layers=1, heads=1, embed=8, context=8, **clusters), tmp_path / "folder", "hf")


def test_additive_smoothing_is_no_arpa_file(trained, tmp_path):
    with pytest.raises(InputError, match="additive smoothing is not of the form of an ARPA file; train without --add-k"):
        export(trained("ngram", add_k=1), tmp_path / "a.arpa")


def test_a_folder_replaces_an_earlier_export_and_nothing_else(trained, tmp_path):
    lm, folder = trained("window"), tmp_path / "projector"
    export(lm, folder, "tsv")
    (folder / "vectors.tsv").write_text("old")
    export(lm, folder, "tsv")
    assert (folder / "vectors.tsv").read_text() != "old"
    (folder / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match=r"exists, and has mine.txt in it; give another folder"):
        export(lm, folder, "tsv")
    assert (folder / "mine.txt").read_text() == "precious"
    (tmp_path / "file").write_text("precious")
    with pytest.raises(InputError, match="exists, and has file in it"):
        export(lm, tmp_path / "file", "tsv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "projector"]


def test_an_export_that_fails_leaves_what_was_there(trained, tmp_path, monkeypatch):
    lm, folder = trained("window"), tmp_path / "projector"
    export(lm, folder, "tsv")
    before = (folder / "vectors.tsv").read_bytes()

    def fail(self, run):
        def write(file):
            file.write(b"half")
            raise OSError(28, "No space left on device")

        return {"vectors.tsv": write, "metadata.tsv": write}

    monkeypatch.setattr(FORMATS.get("tsv"), "files", fail)
    with pytest.raises(InputError, match="no space left on device"):
        export(lm, folder, "tsv")
    assert (folder / "vectors.tsv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["projector"]


def test_the_command_says_what_it_wrote(trained, tmp_path, capsys):
    trained("window").save(tmp_path / "run.npz")
    assert main(["export", str(tmp_path / "run.npz"), str(tmp_path / "e.vec")]) == 0
    out, err = capsys.readouterr()
    assert out == f"wrote {tmp_path / 'e.vec'}; 0.0 MB\n" and "load_word2vec_format(" in err
    assert main(["export", str(tmp_path / "run.npz"), str(tmp_path / "p"), "--to", "tsv", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["format"] == "tsv" and document["files"] == ["vectors.tsv", "metadata.tsv"] and document["bytes"] > 0
