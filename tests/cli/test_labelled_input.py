"""Hostile labelled files: train, eval and predict work or give one sentence with exit code 2, and nothing is lost."""

import io
import json
import math
import re

import pytest

import nlmcli
from nlmcli.cli.app import main

RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
TINY = ["--model", "additive", "--steps", "3", "--threads", "1", "--quiet"]


def texts(one="pos", other="neg", n=40):
    """A TSV file with two labels."""
    return "".join(f"{(other, one)[i % 2]}\tthe {('bad', 'good')[i % 2]} film {i % 7} {i}\n" for i in range(n))


def scores(n=30):
    return "".join(f"{i % 9 / 2}\ta text of {i % 9} words {i}\n" for i in range(n))


def words(separator="\t", n=20):
    """A file in columns: a word and its tag a line."""
    rows = [("the", "DET"), ("ant", "NOUN"), ("sat", "VERB"), (".", "PUNCT")]
    return "".join("".join(f"{word}{separator}{tag}\n" for word, tag in rows) + "\n" for _ in range(n))


def node(number, word, tag):
    return f"{number}\t{word}\t_\t{tag}\t_\t_\t0\t_\t_\t_\n"


T, PAIRS = texts(), "yes\ta b\tb\nno\tc\td e\n" * 20
TREES = ("# text = x\n1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n" + node(1, "de", "ADP") + node(2, "le", "DET") + node(2.1, "x", "X") + "\n") * 15

WORKS = {  # the first word of a name is the task; its end may be .csv
    "classify bom": "\ufeff" + T,
    "classify crlf": T.replace("\n", "\r\n"),
    "classify cr": T.replace("\n", "\r"),
    "classify leading blank lines": "\n\n \n" + T,
    "classify two examples": "pos\tgood\nneg\tbad\n",
    "classify 1000 labels": "".join(f"l{i}\ttext {i}\n" for i in range(1000)),
    "classify quotes": 'pos\t"good film\nneg\tbad" film"\n' * 20,
    "classify 1 MB line": T + "pos\t" + "word " * 200_000 + "\n",
    "classify 1 MB word": T + "pos\t" + "w" * 1_000_000 + "\n",
    "classify empty texts": "pos\t\nneg\t\n" * 20,
    "classify all words distinct": "".join(f"{'ab'[i % 2]}\tw{i} v{i}\n" for i in range(100)),
    "classify labels with spaces": texts("very good", "very  bad"),
    "classify emoji": texts("🙂", "👩‍👩‍👧"),
    "classify control characters": texts("\x1b[31mred", "\x07b\x9b5m \u202e"),
    "classify line separators": texts("a\u2028b", "c\x0bd\x0ce"),
    "classify nan and inf": texts("nan", "inf"),
    "classify reserved": texts("<unk>", "<eos>"),
    "classify markup": texts("[bold]", "[/]"),
    "classify long label": texts("L" * 100_000),
    "classify pairs": PAIRS,
    "classify json": "".join(json.dumps({"label": "ab"[i % 2], "text": f"w{i % 2}\tx\ny"}) + "\n" for i in range(40)),
    "classify json whole numbers": '{"label": 0, "text": "x"}\n{"label": 1, "text": "y"}\n' * 20,
    "classify json truth": '{"label": true, "text": "x"}\n{"label": false, "text": "y"}\n' * 20,
    "classify json surrogate": '{"label": "\\ud800", "text": "x \\ud800"}\n{"label": "b", "text": "y"}\n' * 20,
    "classify json NUL": '{"label": "a\\u0000", "text": "x\\u0000"}\n{"label": "b", "text": "y"}\n' * 20,
    "classify quoted.csv": "label,text\n" + 'pos,"good, film"\nneg,"bad ""x"" \n y"\n' * 20,
    "classify semicolons.csv": 'label;text\npos;"good, film"\nneg;bad\n' * 20,
    "classify fastText": "__label__pos good\n__label__neg\n" * 20,
    "classify columns of words": words(),
    "regress": scores(),
    "regress two": "1\ta\n2\tb\n",
    "regress large": "1e99\ta\n-1e99\tb\n" * 20,
    "regress close": "1000000000000000\ta\n1000000000000001\tb\n" * 20,
    "regress json": '{"score": 1, "text": "a"}\n{"score": 2.5e0, "text": "b"}\n' * 20,
    "tag": words(),
    "tag blanks": words(" "),
    "tag crlf bom": "\ufeff" + words().replace("\n", "\r\n"),
    "tag trees": TREES,
    "tag 3000 words": "".join(f"w{i % 50}\tT{i % 4}\n" for i in range(3000)),
    "tag single words": "".join(f"w{i % 9}\t{'AB'[i % 2]}\n\n" for i in range(40)),
    "tag spans": "-DOCSTART- O\n\n" + "John NNP B-PER\nSmith NNP I-PER\nsat V O\n\n" * 20,
    "tag 1 MB word": words() + "w" * 1_000_000 + "\tX\n",
    "tag control characters": "a\x07\t\x1b[31mX\nb\tY\n\n" * 20,
    "tag spaces": "New York\tX\nb\u00a0c\tY\n\n" * 20,
}

REFUSED = {  # what train says, after the name of the file; eval and predict may read the file
    "classify ragged": (T + "pos\n", " line 41 has no tab: 'pos'; write LABEL<TAB>TEXT"),
    "classify blank for tab": (T + "pos good film\n", " line 41 has no tab: 'pos good film'; write LABEL<TAB>TEXT"),
    "classify tabs in text": (T + "pos\tgood\tfilm\n", " line 41 has 3 columns, those before have 2; remove the tab"),
    "classify no label": (T + "\tgood\n", " line 41 has no label"),
    "classify one label": (texts("pos", "pos"), " texts have the label 'pos'; there is nothing to tell apart"),
    "classify one long label": (texts("p" * 5000, "p" * 5000), "p…'; there is nothing to tell apart"),
    "classify one example": ("pos\tgood\n", ": its only text has the label 'pos'; there is nothing to tell apart"),
    "classify empty": ("", " is empty"),
    "classify whitespace": (" \n\t\n", " contains only whitespace"),
    "classify only bom": ("\ufeff", " contains only whitespace"),
    "classify only header": ("label\ttext\n", " holds no examples"),
    "classify NUL": (T + "pos\tx\0y\n", " looks binary, with a NUL at byte"),
    "classify latin-1": ((T + "pos\tcafé\n").encode("latin-1"), " is not valid UTF-8 at byte"),
    "classify utf-16": (T.encode("utf-16"), " looks like UTF-16"),
    "classify running text": ("the ants sat .\n" * 30, " line 1 has no tab: 'the ants sat .'; write LABEL<TAB>TEXT"),
    "classify header twice": ("label\ttext\ttext\n" + PAIRS, " has 2 columns 'text'; rename one"),
    "classify trees": (TREES, " line 1 has no tab"),
    "classify json broken": ('{"label": "a", "text": "x"}\n{"label": \n', " line 2 is not a JSON object"),
    "classify json list": ('{"label": "a", "text": "x"}\n[1]\n', " line 2 is not a JSON object: '[1]'"),
    "classify json pretty": ('{\n  "label": "a"\n}\n', " line 1 is not a JSON object: '{'"),
    "classify json deep": ('{"label": ' + "[" * 100_000 + "\n", " line 1 is not a JSON object"),
    "classify json twice": ('{"label": "a", "label": "b", "text": "x"}\n', " line 1 has the key 'label' twice"),
    "classify json null": ('{"label": null, "text": "x"}\n', " line 1 has null as 'label'; write a string"),
    "classify json fraction": ('{"label": 1.5, "text": "x"}\n', " line 1 has the number 1.5 as 'label'"),
    "classify json no keys": ("{}\n", " line 1 has no key 'label'; its keys: none"),
    "classify json no text": ('{"label": "a"}\n', " line 1 has no key 'text'; its keys: label"),
    "classify json list as text": ('{"label": "a", "text": ["x"]}\n', " line 1 has a list as 'text'; write a string"),
    "classify open.csv": ('label,text\npos,"good\nneg,bad\n', " line 2: a quote is not closed"),
    "classify comma.csv": ("label,text\npos,good, film\n", " line 2 has 3 columns, those before have 2; quote the comma"),
    "classify two labels": ("__label__a __label__b x\n", " line 1 has 2 labels; nlm learns one label a text"),
    "regress inf": (scores() + "inf\tx\n", " line 31: 'inf' is not a number; write one such as 3 or -1.5"),
    "regress nan": (scores() + "nan\tx\n", " line 31: 'nan' is not a number"),
    "regress 1e400": (scores() + "1e400\tx\n", " line 31: '1e400' is not a number"),
    "regress 1e300": (scores() + "1e300\tx\n", " line 31: '1e300' is too large; give numbers of at most 1e+100"),
    "regress comma": (scores() + "1,5\tx\n", " line 31: '1,5' is not a number"),
    "regress underscore": (scores() + "1_5\tx\n", " line 31: '1_5' is not a number"),
    "regress empty": (scores() + "\tx\n", " line 31 has no number"),
    "regress 400 digits": (scores() + "1" * 400 + "\tx\n", "1…' is not a number"),
    "regress equal": ("0.1\ta\n" * 30, ": all 30 numbers are equal; there is nothing to learn"),
    "regress nearly equal": ("1e-320\ta\n0\tb\n" * 20, " numbers differ by too little"),
    "regress one": ("1\ta\n", ": it has a single example to train on; give more"),
    "regress labels": (T, " line 1: 'neg' is not a number"),
    "regress json string": ('{"score": "1", "text": "a"}\n', " line 1 has a string as 'score'; write a number"),
    "tag one tag": ("a\tX\n\n" * 30, ": all 30 words have the tag 'X'; there is nothing to tell apart"),
    "tag no tag": (words() + "word\n", " line 101 has 1 column where tag 2 is read; a blank in place of a tab?"),
    "tag empty tag": (words() + "word\t\n", " line 101 has no tag"),
    "tag empty word": (words() + "\tX\n", " line 101 has no word"),
    "tag ragged": (words() + "a\tb\tc\n", " line 101 has 3 columns, those before have 2"),
    "tag blanks in trees": (TREES + "1 w _ T _ _ _ _ _ _\n", " has 1 column where word 2 is read; a blank in place of a tab?"),
    "tag texts": (T, ": a single sentence, with tags of several words such as 'the bad film"),
    "tag one column": ("the\nants\n\n" * 9, " line 1 has 1 column where tag 2 is read"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a run of each task: trained("classify")."""
    folder = tmp_path_factory.mktemp("tasks")
    for task, contents in {"classify": T, "regress": scores(), "tag": words(), "pairs": PAIRS}.items():
        (folder / f"{task}.txt").write_text(contents)
        given = ["--task", task if task != "pairs" else "classify", "--out", str(folder / task)]
        assert main(["train", str(folder / f"{task}.txt"), *given, *TINY]) == 0
    return lambda task: str(folder / task)


def nlm(capsys, *arguments):
    """Exit code, stdout, stderr; an error is one sentence, and no control character reaches the terminal."""
    code = main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    assert code in (0, 2) and "Traceback" not in err and "Warning" not in err, err[-2000:]
    assert not RAW.search(out + err)
    if code:
        assert err.startswith("nlm: ") and err.count("\n") == 1 and len(err) < 400, err[:2000]
    return code, out, err


def refused(capsys, *arguments):
    """The sentence that these arguments give."""
    code, out, err = nlm(capsys, *arguments)
    assert (code, out) == (2, ""), (code, out, err)
    return err


def file_of(folder, name, contents):
    path = folder / name.replace(" ", "-")
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode("utf-8"))
    return name.split()[0], path.name


@pytest.mark.parametrize("name", WORKS)
def test_an_unusual_file_works_throughout(folder, capsys, name):
    task, file = file_of(folder, name, WORKS[name])
    assert nlm(capsys, "train", file, "--task", task, "--out", "run", *TINY)[::2] == (0, "")
    assert nlm(capsys, "eval", file, "--run", "run", "--quiet")[::2] == (0, "")
    code, out, _ = nlm(capsys, "eval", file, "--run", "run", "--json", "--quiet")
    report = json.loads(out, parse_constant=pytest.fail)
    assert code == 0 and (task != "tag" or report["words"] > 0)
    code, lines, _ = nlm(capsys, "predict", file, "--run", "run", "--quiet")
    code, objects, _ = nlm(capsys, "predict", file, "--run", "run", "--quiet", "--json")
    assert code == 0
    parsed = [json.loads(line, parse_constant=pytest.fail) for line in objects.split("\n")[:-1]]
    assert len(parsed) == (lines.count("\n\n") if task == "tag" else lines.count("\n"))
    if task != "tag":
        assert len(parsed) >= report["texts"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_file_is_refused_and_an_existing_run_stays(folder, capsys, trained, name):
    contents, sentence = REFUSED[name]
    task, file = file_of(folder, name, contents)
    err = refused(capsys, "train", file, "--task", task, "--out", "run", *TINY)
    assert err.startswith(f"nlm: '{file}'") and sentence in err, err
    assert not (folder / "run").exists()
    for command in ("eval", "predict"):
        nlm(capsys, command, file, "--run", trained(task), "--quiet")  # answers, or one sentence
    (folder / "good").write_text({"classify": T, "regress": scores(), "tag": words()}[task])
    assert main(["train", "good", "--task", task, "--out", "run", *TINY]) == 0
    before = {path.name: path.read_bytes() for path in (folder / "run").iterdir()}
    refused(capsys, "train", file, "--task", task, "--out", "run", *TINY)
    assert {path.name: path.read_bytes() for path in (folder / "run").iterdir()} == before


def test_files_of_pairs_and_of_single_texts_do_not_mix(folder, capsys, trained):
    (folder / "one").write_text(T)
    (folder / "two").write_text(PAIRS)
    train = ["train", "--task", "classify", "--out", "run", *TINY]
    assert "'one' has one text a line, 'two' has two texts" in refused(capsys, *train, "one", "two")
    assert "'one' has one text a line, 'two' has two texts" in refused(capsys, *train, "one", "--valid", "two")
    assert "'two' has two texts a line, 'one' has one text" in refused(capsys, *train, "two", "--valid", "one")
    assert not (folder / "run").exists()
    assert "'two' has two texts a line, and this run was trained on one" in refused(capsys, "eval", "two", "--run", trained("classify"))
    assert "'one' has one text a line, and this run was trained on two" in refused(capsys, "eval", "one", "--run", trained("pairs"))
    assert "give --text twice" in refused(capsys, "predict", "--text", "x", "--run", trained("pairs"))
    assert "give --text once" in refused(capsys, "predict", "--text", "x", "--text", "y", "--run", trained("classify"))


def test_held_out_labels_that_training_does_not_have_are_told(folder, capsys):
    (folder / "one").write_text(T)
    loud = [each for each in TINY if each != "--quiet"]
    for k, (valid, sentence) in enumerate(
        {"odd\tx\npos\ty\n": "1 held-out label is not in", "a\tx\nb\ty\n": "2 held-out labels are not in"}.items()
    ):
        (folder / "valid").write_text(valid)
        code, _, err = nlm(capsys, "train", "one", "--task", "classify", "--valid", "valid", "--out", f"run{k}", *loud)
        assert code == 0 and err.count(sentence) == 1
    assert f"valid {math.log(2):.4f}" in err  # the loss of guessing, since no answer can be compared
    _, out, _ = nlm(capsys, "eval", "valid", "--run", "run1", "--json")
    assert json.loads(out)["nats"] is None and json.loads(out)["accuracy"] == 0


OPTIONS = {
    "--columns x,y": "'one' has no column 'x'; its columns: neg, the bad film 0 0",
    "--columns 1,9": "--columns 1,9 asks for column 9; 'one' line 1 has 2 columns",
    "--columns 0,1": "is out of range",
    "--columns 1": "has 1 entry",
    "--columns 1,1": "names a column twice",
    "--columns=": "has 1 entry",
    "--positive x": "--positive 'x' is not a label; the labels: 'neg', 'pos'",
    "--subwords --tokenizer char": "--subwords reads the forms of words",
    "--valid missing": "no file 'missing'",
    "--init missing": "no checkpoint at missing",
}


@pytest.mark.parametrize("options", OPTIONS)
def test_options_that_do_not_fit_the_file(folder, capsys, options):
    (folder / "one").write_text(T)
    assert OPTIONS[options] in refused(capsys, "train", "one", "--task", "classify", "--out", "run", *TINY, *options.split())
    assert not (folder / "run").exists()


class Stdin:
    """A stdin that can be read once."""

    def __init__(self, text):
        self.buffer = io.BytesIO(text.encode())


def test_a_run_that_was_read_from_stdin(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", Stdin(T))
    assert nlm(capsys, "train", "-", "--task", "classify", "--out", "run", *TINY)[0] == 0
    assert "came from stdin and is gone" in refused(capsys, "eval", "--run", "run")
    assert "came from stdin and is gone" in refused(capsys, "train", "--resume", "--out", "run", "--steps", "9")
    assert "stdin can be read by one run only" in refused(capsys, "eval", "-", "--run", "run", "--run", "run/last.npz")
    monkeypatch.setattr("sys.stdin", Stdin(T))
    assert nlm(capsys, "eval", "-", "--run", "run", "--quiet")[0] == 0


@pytest.mark.parametrize("task", ["classify", "regress", "tag"])
def test_answers_are_those_of_each_text_alone(folder, capsys, trained, task):
    lines = ["the good film", "", "a", "  ", "zzz qqq the bad film . " * 9, "", "the ant sat ."] * 2
    (folder / "texts").write_text("".join(f"{line}\n" for line in lines))
    _, out, _ = nlm(capsys, "predict", "texts", "--run", trained(task), "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == len(lines)
    for line, answer in zip(lines[:7], found, strict=False):
        _, out, _ = nlm(capsys, "predict", "--text", line, "--run", trained(task), "--json")
        alone = json.loads(out)
        for key, value in answer.items():
            assert alone[key] == (pytest.approx(value, rel=1e-4, abs=1e-6) if key in ("p", "number") else value)


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_the_probabilities_of_all_labels_sum_to_one(folder, capsys, trained, task):
    (folder / "texts").write_text("the good film\n\nthe ant sat .\n")
    _, out, _ = nlm(capsys, "predict", "texts", "--run", trained(task), "--probs", "1000", "--quiet")
    rows = [line.split("\t")[task == "tag" :] for line in out.splitlines() if line]
    assert rows and all(sum(map(float, row[1::2])) == pytest.approx(1, abs=3e-4) for row in rows)
    assert all(row[1::2] == sorted(row[1::2], reverse=True) for row in rows)


def test_prediction_does_not_read_answers(folder, capsys, trained):
    rows = ['{"score": "high", "text": "a"}\n', '{"score": 2, "text": "b"}\n', '{"text": "c"}\n']
    (folder / "texts").write_text("".join(rows))
    code, out, _ = nlm(capsys, "predict", "texts", "--run", trained("regress"), "--quiet")
    assert code == 0 and out.count("\n") == 3


def test_figures_agree_with_scikit_learn_on_the_printed_answers(folder, capsys, trained):
    metrics = pytest.importorskip("sklearn.metrics")
    for task in ("classify", "tag"):
        _, out, _ = nlm(capsys, "predict", f"{trained(task)}.txt", "--run", trained(task), "--quiet")
        rows = [line.split("\t") for line in out.splitlines() if line]
        gold = [line.split("\t")[task == "tag"] for line in (T if task == "classify" else words()).splitlines() if line]
        said = [row[0] if task == "classify" else row[-1] for row in rows]
        report = json.loads(nlm(capsys, "eval", f"{trained(task)}.txt", "--run", trained(task), "--json")[1])
        assert report["accuracy"] == pytest.approx(metrics.accuracy_score(gold, said))
        assert report["macro_f1"] == pytest.approx(metrics.f1_score(gold, said, average="macro", zero_division=0))
    gold = [float(line.split("\t")[0]) for line in scores().splitlines()]
    _, out, _ = nlm(capsys, "predict", f"{trained('regress')}.txt", "--run", trained("regress"), "--quiet")
    report = json.loads(nlm(capsys, "eval", f"{trained('regress')}.txt", "--run", trained("regress"), "--json")[1])
    assert report["mse"] == pytest.approx(metrics.mean_squared_error(gold, list(map(float, out.split()))), rel=1e-3)


def test_spans_agree_with_seqeval_on_the_printed_answers(folder, capsys):
    seqeval = pytest.importorskip("seqeval.metrics")
    (folder / "spans").write_text(WORKS["tag spans"])
    nlm(capsys, "train", "spans", "--task", "tag", "--out", "run", *TINY)
    _, out, _ = nlm(capsys, "predict", "spans", "--run", "run", "--quiet")
    sentences = [[line.split("\t") for line in block.splitlines()] for block in out.strip().split("\n\n")]
    gold, said = ([[row[at] for row in rows] for rows in sentences] for at in (-2, -1))
    report = json.loads(nlm(capsys, "eval", "spans", "--run", "run", "--json")[1])
    assert report["spans"]["overall"]["f1"] == pytest.approx(seqeval.f1_score(gold, said))


def test_a_task_starts_from_another_task(folder, capsys, trained):
    (folder / "words").write_text(words())
    train = ["train", "words", "--task", "tag", "--init", trained("classify"), "--steps", "2", "--threads", "1", "--quiet"]
    assert nlm(capsys, *train, "--out", "run")[::2] == (0, "")
    assert "comes from --init" in refused(capsys, *train, "--embed", "7", "--out", "other")
    assert not (folder / "other").exists()


def test_a_resumed_task_ends_as_one_that_was_not_interrupted(folder, capsys):
    (folder / "one").write_text(T)
    train = [
        "train",
        "one",
        "--task",
        "classify",
        "--model",
        "additive",
        "--threads",
        "1",
        "--quiet",
        "--lr",
        "0.01",
        "--schedule",
        "constant",
    ]
    assert nlm(capsys, *train, "--steps", "8", "--out", "whole")[0] == 0
    assert nlm(capsys, *train, "--steps", "4", "--out", "half")[0] == 0
    assert nlm(capsys, "train", "--resume", "--out", "half", "--steps", "8", "--quiet")[0] == 0
    whole, half = (nlm(capsys, "predict", "one", "--run", f"{run}/last.npz", "--json", "--quiet")[1] for run in ("whole", "half"))
    assert whole == half


def test_memory_of_a_prediction_does_not_grow_with_the_number_of_labels(folder, capsys):
    from nlmcli.engine.scoring.predict import Answering

    (folder / "many").write_text("".join(f"l{i}\ttext {i}\n" for i in range(1000)))
    nlm(capsys, "train", "many", "--task", "classify", "--valid-fraction", "0", "--out", "run", *TINY)
    task = nlmcli.load("run")
    examples = [nlmcli.engine.scoring.predict.text_example(task.model, (f"text {i}",)) for i in range(200)]
    (chunk,) = Answering(task.model).predict(examples, 3)
    assert chunk.labels.shape == (200, 3) and chunk.labels.base is None


def test_the_python_api_of_tasks(folder, trained):
    (folder / "one.tsv").write_text(T)
    task = nlmcli.train(folder / "one.tsv", task="classify", model="additive", steps=3, threads=1, out=folder / "run")
    (label, p), other = task.predict(["the good film", ""])
    assert label in ("pos", "neg") and 0.5 <= p <= 1 and len(other) == 2
    assert task.score(folder / "one.tsv")["texts"] == 40
    assert nlmcli.resume(folder / "run", steps=5, threads=1).predict(["x"])
    assert all(isinstance(number, float) for number in nlmcli.load(trained("regress")).predict(["x", "y"]))
    ((one, two),) = nlmcli.load(trained("tag")).predict(["the ant"])
    assert (one[0], two[0]) == ("the", "ant")
    assert len(nlmcli.load(trained("pairs")).predict([("a", "b")])) == 1
    with pytest.raises(nlmcli.InputError, match="trained on pairs"):
        nlmcli.load(trained("pairs")).predict(["a"])
    with pytest.raises(nlmcli.InputError, match="nothing to tell apart"):
        nlmcli.train("pos\tgood\n" * 9, task="classify", model="additive", steps=3, out=folder / "text")
    assert nlmcli.train(T, task="classify", model="additive", steps=3, threads=1, out=folder / "text").labels
