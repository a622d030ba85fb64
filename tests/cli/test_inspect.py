"""nlm inspect: parameters, neighbors and the plot of the embeddings."""

import json

import numpy as np
import pytest

from nlmcli.cli.app import main
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.viewing.inspect import neighbors, parameters, principal_components, type_of
from nlmcli.errors import InputError


@pytest.fixture
def lm(run):
    return LanguageModel.load(run)


def test_every_parameter_is_listed_with_its_statistics(lm, run, capsys):
    listed = {p.name: p for p in parameters(lm)}
    assert list(listed) == list(lm.P.shapes)
    U = lm.P.U.astype(np.float64)
    assert listed["U"].rms == pytest.approx(np.sqrt((U * U).mean())) and listed["U"].largest == np.abs(U).max()
    assert main(["inspect", str(run)]) == 0
    out = capsys.readouterr().out
    assert f"rnn, {lm.P.flat.size:,} parameters" in out and "Wh" in out and "1 x 8 x 8" in out
    assert main(["inspect", str(run), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert sum(p["size"] for p in about["parameters"]) == lm.P.flat.size


def test_neighbors_are_sorted_by_cosine(lm, run, capsys):
    lm.P.E[...] = np.random.default_rng(0).normal(size=lm.P.E.shape)
    a, b, c = (lm.tokenizer.index[letter] for letter in "abc")
    lm.P.E[b] = 3 * lm.P.E[a]
    lm.P.E[c] = -lm.P.E[a]
    nearest = neighbors(lm, "a", len(lm.tokenizer) - 1)
    assert nearest[0] == ("b", pytest.approx(1)) and nearest[-1] == ("c", pytest.approx(-1))
    assert "a" not in dict(nearest) and [cosine for _, cosine in nearest] == sorted((c for _, c in nearest), reverse=True)
    assert main(["inspect", str(run), "--neighbors", "a", "--top", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["inspect", str(run), "--neighbors", "Ω"]) == 2
    assert "'Ω' is not in the vocabulary" in capsys.readouterr().err


def test_type_by_its_text_its_printed_form_or_without_its_leading_blank(training):
    lm = training("rnn", tokenizer="bpe").lm
    tokenizer = lm.tokenizer
    assert {" ants", "the", " the", "\n"} <= set(tokenizer.vocabulary) and "ants" not in tokenizer.index
    named = {"ants": " ants", "␣ants": " ants", " ants": " ants", "the": "the", "␣the": " the", "\\n": "\n"}
    for name, token in named.items():
        assert type_of(name, tokenizer) == tokenizer.index[token]
    with pytest.raises(InputError, match="'␣aunts' is not in the vocabulary; did you mean '␣ants'"):
        type_of("␣aunts", tokenizer)
    assert len(neighbors(lm, "ants", 3)) == 3


def test_principal_components_have_the_most_variance():
    rng = np.random.default_rng(1)
    axes, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    spread = rng.normal(size=(400, 5)) * [5, 2, 0.1, 0.1, 0.1]
    at, shares = principal_components(spread @ axes.T + 7)
    for k in range(2):
        assert abs(np.corrcoef(at[:, k], spread[:, k])[0, 1]) > 0.99
    assert shares == pytest.approx([25 / 29.03, 4 / 29.03], abs=0.05)


def test_plot_of_the_embeddings(run, tmp_path):
    pytest.importorskip("matplotlib")
    assert main(["inspect", str(run), "--plot", str(tmp_path / "e.png"), "-q"]) == 0
    assert (tmp_path / "e.png").read_bytes()[:4] == b"\x89PNG"


def test_units_attention_and_orders(training, capsys):
    folders = {}
    for name, more in (("lstm", {}), ("transformer", {"context": 16}), ("ngram", {"context": 3}), ("mamba", {"layers": 2})):
        list((run := training(name, **more)).run())
        folders[name] = str(run.folder)
    capsys.readouterr()
    assert main(["inspect", folders["mamba"], "--step-sizes", "the ants"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["token", "layer", "1", "layer", "2"] and [row.split()[0] for row in rows] == ["t", "h", "e", "␣", *"ants"]
    assert main(["inspect", folders["mamba"], "--step-sizes", "the ants", "--json"]) == 0
    sizes = [each["step_sizes"] for each in json.loads(capsys.readouterr().out)["tokens"]]
    assert [f"{size:.4f}" for size in sizes[0]] == [cell for cell in rows[0].split() if cell.startswith("0.")]
    assert main(["inspect", folders["lstm"], "--units", "the ants"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("unit  tells") and "h  " in out and "over the held-out text" in err
    assert main(["inspect", folders["lstm"], "--units", "the ants", "--unit", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["unit"] == 2 and [each["token"] for each in document["tokens"]] == ["t", "h", "e", "␣", *"ants"]
    assert [each["share"] for each in document["units"]] == sorted((each["share"] for each in document["units"]), reverse=True)
    assert main(["inspect", folders["transformer"], "--attention", "the ants"]) == 0
    assert capsys.readouterr().out.startswith("layer 1, head 1: ")
    assert main(["inspect", folders["transformer"], "--attention", "the ants", "--json"]) == 0
    assert np.array(json.loads(capsys.readouterr().out)["attention"]).shape[-2:] == (9, 9)
    assert main(["inspect", folders["ngram"], "--orders", "the ants☃"]) == 0
    assert "not seen" in capsys.readouterr().out
    assert main(["inspect", folders["ngram"], "--orders", "the ants", "--json"]) == 0
    assert [each["context_seen"] for each in json.loads(capsys.readouterr().out)["tokens"]][:3] == [1, 2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--units", "a", "--orders", "a"], "--units and --orders cannot be combined"),
        (["--unit", "3"], "--unit has no effect without --units"),
        (["--units", "a", "--unit", "99"], "there is no unit 99"),
        (["--units", ""], "the text has no tokens"),
        (["--attention", "a"], "model rnn has no attention"),
        (["--step-sizes", "a"], "model rnn has no step sizes"),
        (["--orders", "a"], "model rnn does not count n-grams"),
    ],
)
def test_what_cannot_be_shown(run, capsys, options, message):
    assert main(["inspect", str(run), *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
