"""Tasks on labelled texts, from the command line: any file is learned from, or refused in one sentence with file and line."""

import json
import re
import sys
from pathlib import Path

import pytest

from nlmcli.cli.app import main
from nlmcli.heads import HEADS
from nlmcli.models import neural_names

GOOD = "".join(f"{label}\tthe {label} ants slept{' again' * (k % 3)}\n" for k in range(12) for label in ("red", "blue", "green"))
TAGGED = "".join(f"the\tDET\n{word}\t{tag}\nslept\tVERB\n\n" for word, tag in [("ants", "NOUN"), ("Anna", "PROPN"), ("red", "ADJ")] * 8)
QUICK = ["--model", "additive", "--embed", "8", "--steps", "30", "--threads", "1", "--quiet"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.tsv").write_text(GOOD)
    (tmp_path / "good.conll").write_text(TAGGED)
    return tmp_path


def run(capsys, *arguments):
    """Exit code, stdout, stderr."""
    code = main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def train(capsys, file, task, *more):
    return run(capsys, "train", file, "--task", task, "--out", "runs/run", *QUICK, *more)


TRAINS = {  # name: (task, contents)
    "bom.tsv": ("classify", "\ufeff" + GOOD),
    "crlf.tsv": ("classify", GOOD.replace("\n", "\r\n")),
    "no_final_newline.tsv": ("classify", GOOD.rstrip("\n")),
    "blank_lines.tsv": ("classify", GOOD.replace("\n", "\n\n")),
    "quotes.tsv": ("classify", GOOD.replace("the", '"the')),
    "header.tsv": ("classify", "label\ttext\n" + GOOD),
    "empty_texts.tsv": ("classify", GOOD + "red\t\nblue\t\n"),
    "only_unknown.tsv": ("classify", "".join(f"{'ab'[k % 2]}\tword{k}\n" for k in range(20))),
    "emoji.tsv": ("classify", GOOD.replace("red\t", "🐜 ant\t")),
    "control.tsv": ("classify", GOOD.replace("red\t", "r\x1b[31med\t")),
    "spaces.tsv": ("classify", GOOD.replace("red\t", "dark red\t")),
    "nan.tsv": ("classify", GOOD.replace("red\t", "nan\t")),
    "many_labels.tsv": ("classify", "".join(f"label{k}\tword{k % 7} ants\n" for k in range(3000))),
    "long_line.tsv": ("classify", GOOD + "red\t" + "ants " * 100_000 + "\n"),
    "fast.txt": (
        "classify",
        GOOD.replace("\t", " ")
        .replace("red the", "__label__red the")
        .replace("blue the", "__label__blue the")
        .replace("green the", "__label__green the"),
    ),
    "lines.jsonl": (
        "classify",
        "".join(json.dumps({"label": row.split("\t")[0], "text": row.split("\t")[1]}) + "\n" for row in GOOD.splitlines()),
    ),
    "table.csv": (
        "classify",
        "text,label\n" + "".join(f'"{row.split(chr(9))[1]}, said ""she""",{row.split(chr(9))[0]}\n' for row in GOOD.splitlines()),
    ),
    "pairs.tsv": ("classify", "".join(f"{'yes' if k % 2 else 'no'}\tthe ants\tthe {'ants' if k % 2 else 'cats'} {k}\n" for k in range(30))),
    "numbers.tsv": ("regress", "".join(f"{k % 5}.5e0\t{'big ' * (k % 5)}ants\n" for k in range(30))),
    "huge_numbers.tsv": ("regress", "".join(f"{k % 5 * 1e30}\t{'big ' * (k % 5)}ants\n" for k in range(30))),
    "good.conll": ("tag", TAGGED),
    "blanks.conll": ("tag", TAGGED.replace("\t", " ")),
    "spans.conll": (
        "tag",
        TAGGED.replace("DET", "O").replace("NOUN", "B-ANT").replace("PROPN", "B-PER").replace("ADJ", "O").replace("VERB", "O"),
    ),
    "one_sentence.conll": ("tag", TAGGED.replace("\n\n", "\n") * 40),
    "single_words.conll": ("tag", "ants\tNOUN\n\nslept\tVERB\n\n" * 10),
    "docstart.conll": ("tag", "-DOCSTART- -X-\n\n" + TAGGED.replace("\t", " ")),
    "tree.conllu": (
        "tag",
        "# sent_id = 1\n# text = du chien\n1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n1\tde\tde\tADP\t_\t_\t_\t_\t_\t_\n"
        "2\tle\tle\tDET\t_\t_\t_\t_\t_\t_\n2.1\tx\t_\tX\t_\t_\t_\t_\t_\t_\n3\tchien\tchien\tNOUN\t_\t_\t_\t_\t_\t_\n\n" * 12,
    ),
}


@pytest.mark.parametrize("name", TRAINS)
def test_an_unusual_file_is_learned_from_scored_and_answered(folder, capsys, name):
    task, contents = TRAINS[name]
    (folder / name).write_text(contents, encoding="utf-8", newline="")
    code, out, err = train(capsys, name, task, "--valid", name)
    assert (code, err) == (0, ""), err
    code, out, err = run(capsys, "eval", name, "--quiet")
    assert (code, err) == (0, "") and ("accuracy" in out or "Pearson" in out)
    assert "\x1b" not in out
    code, out, err = run(capsys, "predict", name, "--quiet")
    assert (code, err) == (0, "") and out and "\x1b" not in out


REFUSED = {  # name: (task, contents, the sentence)
    "no_tab.tsv": ("classify", GOOD + "How far is it\n", r"'no_tab.tsv' line 37 .*no tab|'no_tab.tsv' line 37 has 1 column"),
    "ragged.tsv": ("classify", GOOD + "red\ta\tb\n", "'ragged.tsv' line 37 has 3 columns"),
    "no_label.tsv": ("classify", GOOD + "\tthe ants\n", "'no_label.tsv' line 37 has no label"),
    "one_label.tsv": ("classify", "red\tthe ants\n" * 9, "all 9 texts have the label 'red'; there is nothing to tell apart"),
    "empty.tsv": ("classify", "", "'empty.tsv' is empty"),
    "blank.tsv": ("classify", " \n\n", "only whitespace"),
    "only_header.tsv": ("classify", "label\ttext\n", "holds no examples"),
    "plain.txt": ("classify", "the ants hated the ants .\n" * 5, "has no tab"),
    "two_labels.txt": ("classify", "__label__a __label__b x\n", "has 2 labels"),
    "broken.jsonl": ("classify", '{"label": "a", "text": "b"}\n[1]\n', "line 2 is not a JSON object"),
    "open_quote.csv": ("classify", 'label,text\nred,"the ants\n', "a quote is not closed"),
    "word.tsv": ("regress", "1\ta\nn/a\tb\n", "line 2: 'n/a' is not a number"),
    "inf.tsv": ("regress", "1\ta\ninf\tb\n", "line 2: 'inf' is not a number"),
    "overflow.tsv": ("regress", "1\ta\n1e400\tb\n", "line 2: '1e400' is not a number"),
    "comma.tsv": ("regress", "1\ta\n1,5\tb\n", "line 2: '1,5' is not a number"),
    "equal.tsv": ("regress", "1\ta\n1\tb\n", "all 2 numbers are equal"),
    "blank_for_tab.conll": (
        "tag",
        TAGGED + "the DET\n",
        "line 97 has 1 column where tag 2 is read; a blank in place of a tab?|line 97 has 1 column",
    ),
    "one_tag.conll": ("tag", "ants\tX\n" * 5, "all 5 words have the tag 'X'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_file_is_refused_in_one_sentence_and_loses_nothing(folder, capsys, name):
    task, contents, sentence = REFUSED[name]
    (folder / name).write_text(contents, newline="")
    code, out, err = train(capsys, name, task)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and re.search(sentence, err), err
    assert not (folder / "runs" / "run" / "last.npz").exists()


def test_bytes_that_are_not_text_are_refused(folder, capsys):
    for name, data in {"latin.tsv": "a\tcafé\n".encode("latin-1"), "nul.tsv": b"a\tb\0c\n"}.items():
        (folder / name).write_bytes(data)
        code, _, err = train(capsys, name, "classify")
        assert code == 2 and err.count("\n") == 1


OPTIONS = {
    ("classify", "--columns", "9,1"): "--columns",
    ("classify", "--positive", "pink"): "--positive 'pink' is not a label",
    ("classify", "--model", "ngram"): "model ngram has no encoder",
    ("classify", "--subwords", "--tokenizer", "char"): "--subwords",
    ("regress", "--balance"): "task regress has no --balance",
    ("generate", "--balance"): "task generate has no --balance",
    ("clasify",): "unknown task 'clasify'; did you mean 'classify'?",
    ("classify", "--init", "nowhere"): "nowhere",
    ("classify", "--softmax", "adaptive"): "--softmax adaptive is an output layer over the vocabulary, and task classify has none",
}


@pytest.mark.parametrize("options", OPTIONS)
def test_options_that_do_not_fit_are_refused(folder, capsys, options):
    task, *more = options
    code, _, err = run(capsys, "train", "good.tsv", "--task", task, "--steps", "2", "--out", "runs/run", *more)
    assert code == 2 and err.count("\n") == 1 and OPTIONS[options] in err, err


@pytest.mark.parametrize("name", neural_names())
def test_every_model_is_an_encoder(folder, capsys, name):
    arguments = ["train", "good.tsv", "--task", "classify", "--model", name, "--steps", "2", "--threads", "1", "--quiet"]
    assert run(capsys, *arguments)[0] == 0


@pytest.mark.parametrize("tokenizer", ["word", "whitespace", "char", "byte", "bpe"])
@pytest.mark.parametrize("task", ["classify", "tag"])
def test_every_tokenizer_reads_labelled_texts(folder, capsys, tokenizer, task):
    file = "good.conll" if task == "tag" else "good.tsv"
    assert train(capsys, file, task, "--tokenizer", tokenizer, "--valid", file)[::2] == (0, "")
    code, out, err = run(capsys, "predict", "--text", "the unheard ants", "--quiet")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == (4 if task == "tag" else 1)


def test_predict_answers_every_line_in_order(folder, capsys):
    train(capsys, "good.tsv", "classify")
    texts = ["the red ants slept", "", "the green ants slept", "zzz", "the blue ants slept", "", " the\u00a0red "]
    (folder / "new.txt").write_text("".join(f"{text}\n" for text in texts))
    code, out, _ = run(capsys, "predict", "new.txt", "--quiet")
    lines = out.splitlines()
    assert code == 0 and len(lines) == len(texts)
    for text, line in zip(texts, lines, strict=True):
        _, alone, _ = run(capsys, "predict", "--text", text, "--quiet")
        label, p = line.split("\t")
        assert alone.split("\t")[0] == label
        assert float(alone.split("\t")[1]) == pytest.approx(float(p), abs=2e-4)
    _, out, _ = run(capsys, "predict", "new.txt", "--quiet", "--probs", "9")
    for line in out.splitlines():
        assert sum(map(float, line.split("\t")[1::2])) == pytest.approx(1, abs=1e-3)
    _, out, _ = run(capsys, "predict", "new.txt", "--quiet", "--json")
    assert [set(json.loads(line)) for line in out.splitlines()] == [{"label", "p"}] * len(texts)


def test_predict_reads_stdin(folder, capsys, monkeypatch):
    import io

    train(capsys, "good.tsv", "classify")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the red ants\n\nthe blue ants\n")))
    code, out, _ = run(capsys, "predict", "-", "--quiet")
    assert code == 0 and len(out.splitlines()) == 3


def test_tags_stand_behind_the_words_of_the_file(folder, capsys):
    train(capsys, "good.conll", "tag", "--steps", "60")
    (folder / "words.conll").write_text("the\nants\n\nAnna\nslept\n")
    _, out, _ = run(capsys, "predict", "words.conll", "--quiet")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["the", "ants", "", "Anna", "slept", ""]
    _, out, _ = run(capsys, "predict", "good.conll", "--quiet")
    rows = [line.split("\t") for line in out.splitlines() if line]
    assert ["\t".join(row[:2]) for row in rows] == [line for line in TAGGED.splitlines() if line]


def test_the_evaluation_agrees_with_scikit_learn_on_the_answers_that_are_printed(folder, capsys):
    metrics = pytest.importorskip("sklearn.metrics")
    train(capsys, "good.tsv", "classify", "--steps", "4")
    gold = [row.split("\t")[0] for row in GOOD.splitlines()]
    _, out, _ = run(capsys, "predict", "good.tsv", "--quiet")
    said = [line.split("\t")[0] for line in out.splitlines()]
    _, out, _ = run(capsys, "eval", "good.tsv", "--json")
    found = json.loads(out)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(gold, said))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(gold, said, average="macro"))
    assert found["weighted_f1"] == pytest.approx(metrics.f1_score(gold, said, average="weighted"))


def test_a_label_that_training_did_not_have_is_a_warning_and_counts_as_wrong(folder, capsys):
    train(capsys, "good.tsv", "classify")
    (folder / "new.tsv").write_text("red\tthe red ants\npink\tthe pink ants\n")
    code, out, err = run(capsys, "eval", "new.tsv")
    assert code == 0
    assert "1 answer has a label that was not in training and counts as wrong: 'pink' (line 2)" in err
    assert "of 2;" in out and "2 of 2" not in out


def test_held_out_texts_that_are_trained_on_are_counted(folder, capsys):
    _, _, err = run(
        capsys, "train", "good.tsv", "--task", "classify", "--valid", "good.tsv", *[each for each in QUICK if each != "--quiet"]
    )
    assert "36 of 36 held-out texts stand in the training file too" in err


def test_a_run_of_one_kind_is_not_used_as_another(folder, capsys):
    train(capsys, "good.tsv", "classify")
    for command in (
        ["generate"],
        ["eval", "--dynamic"],
        ["eval", "--tokens"],
        ["eval", "--text", "the ants"],
        ["generate", "--probs", "3"],
    ):
        code, _, err = run(capsys, *command, "--run", "runs/run")
        assert code == 2 and err.count("\n") == 1 and "--task classify" in err, (command, err)
    (folder / "ants.txt").write_text("the ants sat on the cat .\n" * 30)
    run(capsys, "train", "ants.txt", "--out", "lm", "--steps", "2", "--batch-size", "2", "--quiet")
    code, _, err = run(capsys, "predict", "--run", "lm", "--text", "x")
    assert code == 2 and "--task generate" in err and err.count("\n") == 1


@pytest.mark.parametrize("task", [name for name, Task in HEADS.members().items() if Task.labelled])
def test_a_language_model_is_a_start_for_every_task(folder, capsys, task):
    text = " ".join(word for row in GOOD.splitlines() for word in row.split("\t")[1].split())
    (folder / "ants.txt").write_text("\n".join([text] * 3))
    assert run(capsys, "train", "ants.txt", "--model", "gru", "--hidden", "12", "--out", "lm", "--steps", "3", "--quiet")[0] == 0
    file = {"tag": "good.conll", "regress": "numbers.tsv"}.get(task, "good.tsv")
    (folder / "numbers.tsv").write_text(TRAINS["numbers.tsv"][1])
    common = ["train", file, "--task", task, "--init", "lm", "--steps", "2", "--quiet"]
    assert run(capsys, *common, "--out", "runs/run")[::2] == (0, "")
    code, _, err = run(capsys, *common, "--hidden", "13", "--out", "other")
    assert code == 2 and "--hidden 13 comes from --init, where it is 12" in err
    assert "hidden: 12" in Path("runs/run/config.yaml").read_text()


def test_a_language_model_with_clusters_is_a_start_for_a_task_and_for_another_text(folder, capsys):
    import numpy as np

    text = " ".join(word for row in GOOD.splitlines() for word in row.split("\t")[1].split())
    (folder / "ants.txt").write_text("\n".join([text] * 3))
    options = [
        "--model",
        "lstm",
        "--hidden",
        "12",
        "--embed",
        "8",
        "--tie",
        "--softmax",
        "adaptive",
        "--cutoffs",
        "3,5",
        "--min-count",
        "1",
    ]
    assert run(capsys, "train", "ants.txt", *options, "--out", "lm", "--steps", "3", "--quiet")[0] == 0
    for name, more in (("task", ["good.tsv", "--task", "classify"]), ("text", ["ants.txt"])):
        assert run(capsys, "train", *more, "--init", "lm", "--steps", "1", "--lr", "1e-9", "--out", name, "--quiet")[::2] == (0, "")
    trained, text_run, task_run = (np.load(f"{name}/last.npz") for name in ("lm", "text", "task"))
    for name in ("C", "E", "Wp", "Wh", "b2"):
        np.testing.assert_allclose(text_run[name], trained[name], atol=1e-6)
    np.testing.assert_allclose(task_run["Wh"], trained["Wh"], atol=1e-6)
    assert "C" not in task_run.files and "softmax: adaptive" in Path("text/config.yaml").read_text()


def test_an_encoder_starts_with_the_parameters_of_the_run_it_comes_from(folder, capsys):
    import numpy as np

    from nlmcli.engine.run.settings import Settings
    from nlmcli.engine.training.initial import with_init
    from nlmcli.engine.training.train import Training

    train(capsys, "good.tsv", "classify")
    given = {"task": "classify", "corpus": ("good.tsv",), "init": "runs/run", "steps": 1}
    trained, begun = np.load("runs/run/best.npz"), Training(Settings.of(**with_init(given)), folder / "next", 1)
    np.testing.assert_array_equal(begun.lm.P.E, trained["E"])
    assert begun.lm.tokenizer.vocabulary == json.loads(str(trained["about"]))["tokenizer"]["vocabulary"]


def test_inspect_and_compare_know_tasks(folder, capsys):
    train(capsys, "good.tsv", "classify")
    code, out, _ = run(capsys, "inspect", "runs/run")
    assert code == 0 and "classify" in out
    code, out, _ = run(capsys, "compare", "runs/run")
    assert code == 0 and "accuracy" in out
