"""ARPA files as runs, beside an obvious reader (tests/naive.py), and beside kenlm where it is installed."""

import gzip
import json

import naive
import numpy as np
import pytest

from nlmcli.cli.app import main
from nlmcli.engine.exchange.export import export
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring.evaluate import token_scores
from nlmcli.errors import InputError

TIDY = """\\data\\
ngram 1=6
ngram 2=5
ngram 3=3

\\1-grams:
-1.1	<unk>
-0.9	</s>
-99	<s>	-0.3
-0.7	a	-0.25
-0.8	b	0.1
-1.2	c

\\2-grams:
-0.4	<s> a	-0.2
-0.5	a b	-0.15
-0.6	b a	-0.05
-0.3	a a	-0.7
-1e-05	b </s>

\\3-grams:
-0.2	<s> a b
-0.1	a b a
-0.35	a a c

\\end\\
"""
MESSY = {
    "tidy": TIDY,
    "carriage returns": TIDY.replace("\n", "\r\n"),
    "blanks in place of tabs": TIDY.replace("\t", " "),
    "two blanks, and blanks at the ends": TIDY.replace(" ", "  ").replace("ngram  ", "ngram ").replace("\n-0", " \n -0"),
    "text before the head": "made by a program\n\n" + TIDY,
    "no end of the last line": TIDY.removesuffix("\n"),
    "empty lines between sections": TIDY.replace("\n\n", "\n\n\n\n"),
    "no <unk>": TIDY.replace("-1.1	<unk>\n", "").replace("1=6", "1=5"),
    "minus zero": TIDY.replace("-0.15", "-0.0"),
    "an exponent": TIDY.replace("-0.25", "-2.5e-1").replace("0.1\n", "1E-1\n"),
    "a weight of what nothing follows": TIDY.replace("-1.2	c", "-1.2	c	-0.5"),
    "other orders of lines": TIDY.replace("-0.2	<s> a b\n-0.1	a b a", "-0.1	a b a\n-0.2	<s> a b"),
}
BROKEN = {
    "empty": ("", r"has no \\data\\"),
    "no ARPA": ("hello\n" * 9, r"has no \\data\\"),
    "cut": (TIDY[: TIDY.index("-0.1	a b a")], "line 23: '' is not log10 p, 3 words"),
    "cut between sections": (TIDY[: TIDY.index("\\3-grams")], "stands where .3-grams: should be; the file is cut"),
    "no end": (TIDY.replace("\\end\\", ""), r"stands where \\end\\ should be"),
    "too few": (TIDY.replace("2=5", "2=4"), r"'-1e-05\\tb </s>' stands where \\3-grams: should be|stands where"),
    "too many": (TIDY.replace("2=5", "2=6"), "line 20: '' is not log10 p, 2 words"),
    "far too many": (TIDY.replace("2=5", "2=5000000000000"), "has more n-grams than it can hold"),
    "no number": (TIDY.replace("2=5", "2=many"), "'ngram 2=many' is not the number of 2-grams"),
    "an order is missing": (TIDY.replace("ngram 2=5\n", ""), "'ngram 3=3' is not the number of 2-grams"),
    "an unknown word": (TIDY.replace("a a c", "a a d"), "line 24: '-0.35\\\\ta a d' has a word that is not among the 1-grams"),
    "one word too many": (TIDY.replace("a a c", "a a c b b"), "is not log10 p, 3 words, and perhaps a weight"),
    "not a number": (TIDY.replace("-0.35", "nan"), "has a number that cannot be read"),
    "infinity": (TIDY.replace("-0.35", "-1e999"), "has a number that cannot be read"),
    "letters": (TIDY.replace("-0.35", "-0.3x"), "has a number that cannot be read"),
    "a word twice": (TIDY.replace("c\n\n\\2", "b\n\n\\2"), "a word is listed twice"),
    "an n-gram twice": (TIDY.replace("a a c", "a b a"), "the 3-gram 'a b a' is listed twice"),
    "no context": (TIDY.replace("a a c", "c a b"), "the 3-gram 'c a b' has a context that is not listed"),
    "no end of line": (TIDY.replace("</s>", "e"), "has no </s>"),
    "no UTF-8": (TIDY.replace("-1.2	c", "-1.2	\udcff"), "line 12: "),
}
LINES = ("a b a", "a a c a", "c c b", "", "b z a b", "a")


def written(tmp_path, text, name="m.arpa"):
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return tmp_path / name


def scored(lm, line):
    return tuple(np.concatenate(part) for part in zip(*token_scores(lm, line + "\n"), strict=True))


def expected(text, line):
    """log10 P of each word of a line and of its end, by the obvious reader."""
    normal = "\n".join(" ".join(part.split()) for part in text.split("\n"))
    body = normal[normal.index("\\data\\") :]
    lines = [row if row[:1] in ("\\", "n", "") else as_tabs(row, body) for row in body.split("\n")]
    table = naive.read_arpa("\n".join(lines))
    table.setdefault(("<unk>",), (-100.0, 0.0))
    words = ["<s>", *(word if (word,) in table else "<unk>" for word in line.split()), "</s>"]
    return [naive.back_off(table, tuple(words[max(0, k - 2) : k]), words[k]) for k in range(1, len(words))]


def as_tabs(row, body):
    """A line with blanks between all fields, with tabs where they belong."""
    number, *fields = row.split(" ")
    words = [field for field in fields if not field.lstrip("-").replace(".", "").replace("e-", "").replace("E-", "").isdigit()]
    return "\t".join([number, " ".join(words), *fields[len(words) :]])


@pytest.mark.parametrize("name", MESSY)
@pytest.mark.parametrize("packed", [False, True])
def test_files_as_programs_write_them(tmp_path, name, packed):
    path = written(tmp_path, MESSY[name])
    if packed:
        (tmp_path / "m.arpa.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "m.arpa.gz"
    lm = LanguageModel.load(path)
    for line in (line for line in LINES if line):
        _, nll, _ = scored(lm, line)
        np.testing.assert_allclose(-nll / np.log(10), expected(MESSY[name], line), atol=1e-9)


@pytest.mark.parametrize("name", MESSY)
def test_ranks_and_probabilities_are_those_of_all_words(tmp_path, name):
    lm = LanguageModel.load(written(tmp_path, MESSY[name]))
    for line in (line for line in LINES if line):
        ids, nll, rank = scored(lm, line)
        x = np.array([lm.tokenizer.newline, *ids[:-1]])[:, None]
        h, _, _ = lm.model.forward(lm.P, x, lm.start(1))
        log_p = lm.model.logits(lm.P, h[:, 0])
        np.testing.assert_allclose(-nll, log_p[np.arange(len(ids)), ids], rtol=1e-12)
        rivals = log_p.copy()
        rivals[:, 0] = np.where(ids == 0, rivals[:, 0], -np.inf)
        np.testing.assert_array_equal(rank, (rivals > -nll[:, None] + 1e-12).sum(1))


@pytest.mark.parametrize("name", BROKEN)
def test_damaged_files_are_refused_in_one_sentence(tmp_path, name, capsys):
    text, sentence = BROKEN[name]
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=sentence):
        LanguageModel.load(path)
    assert main(["eval", "--run", str(path), "--text", "a b"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1


def test_a_compressed_file_that_is_cut(tmp_path):
    (tmp_path / "m.arpa.gz").write_bytes(gzip.compress(TIDY.encode())[:-20])
    with pytest.raises(InputError, match=r"cannot read .*m\.arpa\.gz"):
        LanguageModel.load(tmp_path / "m.arpa.gz")
    with pytest.raises(InputError, match=r"cannot read .*none\.arpa \(No such file"):
        LanguageModel.load(tmp_path / "none.arpa")


def test_a_model_is_the_same_after_export_and_reading(training, tmp_path):
    run = training("ngram", tokenizer="whitespace", by="line", context=4)
    list(run.run())
    export(run.lm, tmp_path / "m.arpa")
    lm = LanguageModel.load(tmp_path / "m.arpa")
    assert lm.tokenizer.vocabulary == run.lm.tokenizer.vocabulary
    for line in ("the ants sat on the mat .", "a cat hated the", "what is this"):
        (ids, nll, rank), (read_ids, read_nll, read_rank) = scored(run.lm, line), scored(lm, line)
        np.testing.assert_array_equal(read_ids, ids)
        np.testing.assert_allclose(read_nll, nll, atol=1e-6)
        assert (abs(read_rank - rank) <= 1).mean() > 0.7  # words that are equally probable are so to seven digits


def test_every_command_takes_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, TIDY)
    (tmp_path / "t.txt").write_text("a b a\nb a a c\n")
    assert main(["eval", "t.txt", "--run", "m.arpa", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == 9
    assert main(["generate", "--run", "m.arpa", "--prompt", "a", "--seed", "1", "--length", "5"]) == 0
    assert capsys.readouterr().out.startswith("a")
    assert main(["generate", "--run", "m.arpa", "--prompt", "a", "--probs", "3", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["next"]) == 3
    assert main(["inspect", "m.arpa"]) == 0
    assert "ngram" in capsys.readouterr().out
    for command, sentence in {
        ("eval", "--run", "m.arpa"): "m.arpa has no held-out text; give a FILE or --text to score",
        ("gradcheck", "--run", "m.arpa"): "is count-based and has no gradients to check",
        ("eval", "--run", "m.arpa", "--text", "a", "--dynamic"): "is count-based and has no gradients to learn from",
        ("export", "m.arpa", "n.arpa"): "m.arpa is an ARPA file already; copy it",
        ("export", "m.arpa", "n.vec"): "is count-based and has no embeddings",
        ("train", "t.txt", "--init", "m.arpa"): "is count-based and has no encoder",
    }.items():
        assert main(list(command)) == 2
        err = capsys.readouterr().err
        assert sentence in err and err.count("\n") == 1


def test_kenlm_gives_the_same_probabilities(tmp_path):
    kenlm = pytest.importorskip("kenlm")
    for name in ("tidy", "an exponent", "minus zero"):
        path = written(tmp_path, MESSY[name].replace("0.1\n", "0\n").replace("1E-1\n", "0\n"))  # it takes no positive weights
        model, lm = kenlm.Model(str(path)), LanguageModel.load(path)
        for line in LINES:
            if line:
                found = [score for score, _, _ in model.full_scores(line, bos=True, eos=True)]
                np.testing.assert_allclose(-scored(lm, line)[1] / np.log(10), found, atol=1e-5)
