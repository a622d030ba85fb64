"""The Python API gives the same results as the commands and prints nothing."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nlmcli
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring.evaluate import evaluate
from nlmcli.engine.training.records import Finished, Stepped

TEXT = "the students opened their books .\nthe students opened their laptops .\na cat sat on the mat .\n" * 20
SMALL = {"embed": 8, "hidden": 8, "batch_size": 4, "seq_len": 8, "steps": 30, "eval_every": 30}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return nlmcli.train(TEXT, out=tmp_path_factory.mktemp("api") / "run", model="rnn", **SMALL)


def test_only_public_names_can_be_accessed():
    assert {name: getattr(nlmcli, name) for name in nlmcli.__all__}.keys() == set(nlmcli.__all__)
    with pytest.raises(AttributeError, match="trian"):
        _ = nlmcli.trian


def test_the_engine_is_imported_lazily():
    code = "import sys, nlmcli; print([m for m in sys.modules if m.startswith(('nlmcli.', 'numpy', 'numba'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_training_text_is_saved_in_the_run_folder(trained):
    assert (trained.run / "corpus.txt").read_text() == TEXT
    assert trained.options["corpus"] == [str(trained.run / "corpus.txt")]
    assert trained.options["model"] == "rnn" and trained.options["batch-size"] == 4
    assert trained.parameters["Wh"].shape == (1, 8, 8)


def test_a_loaded_model_has_the_same_parameters(trained):
    loaded = nlmcli.load(trained.run)
    for name, value in trained.parameters.items():
        np.testing.assert_array_equal(loaded.parameters[name], value)
    assert nlmcli.load(str(trained.run / "last.npz")).run == trained.run


def test_training_on_files_is_bitwise_identical_to_training_on_their_text(trained, tmp_path):
    (tmp_path / "a.txt").write_text(TEXT[:500])
    (tmp_path / "b.txt").write_text(TEXT[500:])
    corpus = tmp_path / "whole.txt"
    corpus.write_text(TEXT)
    from_file = nlmcli.train(corpus, out=tmp_path / "one", model="rnn", **SMALL)
    for name, value in trained.parameters.items():
        np.testing.assert_array_equal(from_file.parameters[name], value)
    from_files = nlmcli.train([tmp_path / "a.txt", tmp_path / "b.txt"], out=tmp_path / "two", model="rnn", **SMALL)
    assert from_files.options["corpus"] == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]


def test_scores_agree_with_the_engine(trained):
    lm = LanguageModel.load(trained.run)
    assert trained.score("the students sat .") == evaluate(lm, text="the students sat .").report()
    tokens = trained.tokens("the students sat .")
    assert [t["token"] for t in tokens] == ["the", "students", "sat", "."]
    assert sum(t["nats"] for t in tokens) == pytest.approx(trained.score("the students sat .")["nats"], rel=1e-6)
    (first, p), (second, q), *_ = trained.next_words("the students", k=3)  # renormalized, since <unk> cannot be generated
    p_scored, q_scored = (trained.tokens(f"the students {word}")[-1]["p"] for word in (first, second))
    assert p_scored / q_scored == pytest.approx(p / q, rel=1e-4)
    assert len(trained.neighbors("cat", 4)) == 4


def test_hidden_units_attention_and_step_sizes_have_the_documented_shapes(tmp_path):
    text, N = "the students opened", 3
    small = {"steps": 2, "embed": 6, "batch_size": 4, "layers": 2}
    lstm = nlmcli.train(TEXT, tmp_path / "lstm", model="lstm", hidden=5, **small)
    assert lstm.hidden(text).shape == (N, 5)
    with pytest.raises(nlmcli.InputError, match="no attention"):
        lstm.attention(text)
    transformer = nlmcli.train(TEXT, tmp_path / "transformer", model="transformer", heads=3, context=8, **small)
    shares = transformer.attention(text)
    assert shares.shape == (2, 3, N + 1, N + 1) and transformer.hidden(text).shape == (N, 6)
    np.testing.assert_allclose(shares.sum(3), 1, rtol=1e-5)
    assert not shares[..., 0, 1:].any()
    mamba = nlmcli.train(TEXT, tmp_path / "mamba", model="mamba", hidden=7, **small)
    assert mamba.step_sizes(text).shape == (N, 2, 7) and (mamba.step_sizes(text) > 0).all()


def test_generated_text_continues_the_prompt_and_depends_on_the_seed(trained):
    text = trained.generate("the students", length=12, seed=3)
    assert text.startswith("the students") and len(text) > len("the students")
    assert text == trained.generate("the students", length=12, seed=3) == "the students" + "".join(trained.stream("the students", 12, 3))
    assert "." not in trained.generate("the", length=40, seed=1, stop=["."])
    greedy = {trained.generate("the", length=8, seed=seed, sampling=nlmcli.Sampling(greedy=True)) for seed in (1, 2, 3)}
    assert len(greedy) == 1


def test_a_run_can_be_extended(trained, tmp_path):
    first = nlmcli.train(TEXT, out=tmp_path / "run", **SMALL | {"steps": 10, "schedule": "constant", "lr": 0.01})
    extended = nlmcli.resume(first.run, steps=20)
    whole = nlmcli.train(TEXT, out=tmp_path / "whole", **SMALL | {"steps": 20, "schedule": "constant", "lr": 0.01})
    for name, value in nlmcli.load(whole.run / "last.npz").parameters.items():
        np.testing.assert_array_equal(nlmcli.load(extended.run / "last.npz").parameters[name], value)


def test_on_record_is_called_with_every_record(tmp_path):
    records = []
    nlmcli.train(TEXT, out=tmp_path / "run", on_record=records.append, **SMALL)
    assert sum(isinstance(record, Stepped) for record in records) == 30
    assert isinstance(records[-1], Finished)


def test_an_ngram_model(tmp_path):
    lm = nlmcli.train(TEXT, out=tmp_path / "run", model="ngram", context=3)
    assert lm.next_words("students opened", k=1)[0][0] == "their"


def test_nothing_is_printed(trained, tmp_path, capfd):
    nlmcli.train(TEXT, out=tmp_path / "run", **SMALL)
    trained.generate("zebra", length=5)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"modle": "rnn"}, "did you mean 'model'"),
        ({"model": "rn"}, "did you mean 'rnn'"),
        ({"hidden": "many"}, "must be an integer"),
        ({"heads": 2}, "model rnn has no --heads"),
    ],
)
def test_an_invalid_option_is_refused_before_a_folder_is_created(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(nlmcli.InputError, match=message):
        nlmcli.train(TEXT, **options)
    assert not (tmp_path / "runs").exists()


def test_a_file_name_given_as_text_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("corpus.txt").write_text(TEXT)
    with pytest.raises(nlmcli.InputError, match=r"Path\('corpus.txt'\)"):
        nlmcli.train("corpus.txt")
    assert not Path("runs").exists()


def test_an_existing_run_is_not_overwritten(trained):
    before = (trained.run / "corpus.txt").read_bytes()
    with pytest.raises(nlmcli.InputError, match="already holds a run"):
        nlmcli.train("another text\n" * 50, out=trained.run)
    assert (trained.run / "corpus.txt").read_bytes() == before


def test_diverging_training_raises_an_error(tmp_path):
    with pytest.raises(nlmcli.InputError, match="no better than guessing"):
        nlmcli.train(TEXT, out=tmp_path / "run", optimizer="sgd", lr=1e9, clip=0, **SMALL)


def test_the_default_folder_is_under_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lm = nlmcli.train(TEXT, **SMALL)
    assert lm.run == Path("runs/text-rnn-1") and nlmcli.load().run == lm.run
    assert json.dumps(lm.score("a cat"))
