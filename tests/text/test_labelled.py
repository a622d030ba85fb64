"""Reading labelled files: every format, every message, and files written by others."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.errors import InputError
from nlmcli.text import corpus, labelled
from nlmcli.text.labelled import Example, Labelled


@pytest.fixture
def write(tmp_path, monkeypatch):
    """write(text, name) -> the name of the file, relative to the current folder, so that messages are short."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="q.tsv"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write


def read(path, task="classify", columns=None, **options):
    """(description, [(line, texts, answers), …])"""
    file = Labelled(path, task, columns, **options)
    examples = [(example.line, example.texts, example.answers) for example in file]
    assert all(len(texts) == 1 + file.paired for _, texts, _ in examples) or task == "tag"
    return file.description, examples


def error_message(path, task="classify", columns=None, **options):
    with pytest.raises(InputError) as caught:
        read(path, task, columns, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# TSV


def test_tsv(write):
    path = write("pos\tgood film\n\n neg \t  bad \n \t \npos\t\n")
    assert read(path) == ("TSV: label, text", [(1, ("good film",), ("pos",)), (3, ("bad",), ("neg",)), (5, ("",), ("pos",))])
    file = Labelled(path, "classify")
    assert (file.name, file.paired) == ("'q.tsv'", False)
    assert next(iter(file)) == Example(line=1, texts=("good film",), answers=("pos",))


def test_tsv_with_pairs_and_with_numbers(write):
    path = write("1\ta b\tc\n0\td\te", "pairs.tsv")
    assert read(path) == ("TSV: label, text, text", [(1, ("a b", "c"), ("1",)), (2, ("d", "e"), ("0",))])
    assert read(write("4.50\tnice\n"), "regress") == ("TSV: number, text", [(1, ("nice",), ("4.50",))])
    assert Labelled(path, "classify").paired


def test_tsv_columns_by_number(write):
    path = write("1\tgood\tpos\tx\n2\tbad\tneg\n")
    assert read(path, columns=("3", "2")) == ("TSV: column 3, column 2", [(1, ("good",), ("pos",)), (2, ("bad",), ("neg",))])
    assert read(path, columns=("1", "2"))[0] == "TSV: label, text"
    assert read(path, columns=(" 3", "1", "2 "))[1][1] == (2, ("2", "bad"), ("neg",))


@pytest.mark.parametrize("header, columns, description", [
    ("Text \tid\t Label", None, "TSV with header: Label, Text"),
    (" sentence \tid\tgenre ", ("genre", "sentence"), "TSV with header: genre, sentence"),
    ("sentence\tid\tgenre", ("3", "sentence"), "TSV with header: genre, sentence"),
])  # fmt: skip
def test_tsv_with_a_header(write, header, columns, description):
    path = write(f"\n{header}\na\t1\tpos\n\nb\t2\tneg\n")
    assert read(path, columns=columns) == (description, [(3, ("a",), ("pos",)), (5, ("b",), ("neg",))])


def test_a_header_for_numbers_may_say_score(write):
    path = write("score\ttext\ttext2\n1\ta\tb\n")
    assert read(path, "regress") == ("TSV with header: score, text, text2", [(2, ("a", "b"), ("1",))])
    assert read(path)[0] == "TSV: label, text, text"  # for classify it is an example
    path = write("text\tscore\tlabel\na\t1\t2\n")
    assert read(path, "regress") == ("TSV with header: label, text", [(2, ("a",), ("2",))])


def test_a_quote_is_a_character_in_tsv(write):
    assert read(write('pos\t"a\nneg\tb"\n'))[1] == [(1, ('"a',), ("pos",)), (2, ('b"',), ("neg",))]


def test_only_lf_separates_lines(write):
    assert read(write("pos\ta\x0bb\x0cc\x85d\u2028e\x1cf\nneg\tg\n"))[1] == [
        (1, ("a\x0bb\x0cc\x85d\u2028e\x1cf",), ("pos",)),
        (2, ("g",), ("neg",)),
    ]


@pytest.mark.parametrize("part", [1, 2, 3, 5, 1 << 20])
def test_lines_longer_than_a_part(write, monkeypatch, part):
    monkeypatch.setattr(corpus, "PART", part)
    monkeypatch.setattr(corpus, "_check_start", lambda *_: None)
    path = write("\r\npos\tbär\r\n\r\nneg\tlong text\r\n\r\nneg\tend")
    assert read(path)[1] == [(2, ("bär",), ("pos",)), (4, ("long text",), ("neg",)), (6, ("end",), ("neg",))]


def test_byte_order_mark_line_ends_and_encoding(write):
    expected = [(1, ("Bär",), ("pos",)), (3, ("b",), ("neg",))]
    assert read(write("\ufeffpos\tBär\r\n\r\nneg\tb\r".encode()))[1] == expected
    assert read(write("pos\tBär\r\n\r\nneg\tb".encode("latin-1")), encoding="latin-1")[1] == expected
    assert read(write("pos\tBär\n\nneg\tb".encode("utf-16")), encoding="UTF-16")[1] == expected
    assert error_message(write("pos\tBär".encode("latin-1"))).startswith("'q.tsv' is not valid UTF-8 at byte 5")
    assert error_message("q.tsv", encoding="latin1x").startswith("unknown encoding 'latin1x'")


def test_a_file_is_read_repeatedly_and_lazily(write):
    file = Labelled(write("pos\ta\nneg\tb\nbad\n"), "classify")
    first, second = iter(file), iter(file)
    assert [next(first).line, next(second).line, next(first).line, next(second).line] == [1, 1, 2, 2]
    with pytest.raises(InputError, match="line 3 has no tab"):
        next(first)


@pytest.mark.parametrize("text, columns, message", [
    ("pos\ta\n\nHow far is it from the Earth to the Moon, please?\n", None,
     "'q.tsv' line 3 has no tab: 'How far is it from the Earth to the Moon…'; write LABEL<TAB>TEXT"),
    ("just text\n", None, "'q.tsv' line 1 has no tab: 'just text'; write LABEL<TAB>TEXT"),
    ("a\tb\tc\nd\n", None, "'q.tsv' line 2 has no tab: 'd'; write LABEL<TAB>TEXT<TAB>TEXT2"),
    ("a\tb\tc\nd\te\n", None, "'q.tsv' line 2 has 2 columns, those before have 3; write LABEL<TAB>TEXT<TAB>TEXT2"),
    ("text\tlabel\nd\n", None, "'q.tsv' line 2 has no tab: 'd'; write text<TAB>label"),
    ("a\tb\na\tb\tc\n", None, "'q.tsv' line 2 has 3 columns, those before have 2; remove the tab, or give --columns"),
    ("x\ty\na\tb\tc\n", ("x", "y"), "'q.tsv' line 2 has 3 columns, those before have 2; remove the tab"),
    ("a\tb\tc\td\n", None, "'q.tsv' line 1 has 4 columns; say with --columns which to read"),
    ("a\tb\n \tc\n", None, "'q.tsv' line 2 has no label"),
    ("a\tb\na\t\n", ("2", "1"), "'q.tsv' line 2 has no label"),
    ("a\tb\tc\nd\te\n", ("3", "1"), "'q.tsv' line 2 has 2 columns where column 3 is read; a blank in place of a tab?"),
    ("a\tb\n", ("3", "1"), "--columns 3,1 asks for column 3; 'q.tsv' line 1 has 2 columns"),
    ("a\tb\n", ("1", "9" * 5000), f"--columns 1,{'9' * 38}… asks for column {'9' * 40}…; 'q.tsv' line 1 has 2 columns"),
    ("a\tb\n", ("0", "1"), "--columns 0,1 is out of range; columns are numbered from 1"),
    ("a\tb\n", ("1", "-2"), "--columns 1,-2 is out of range; columns are numbered from 1"),
    ("a\tb\n", ("1",), "--columns 1 has 1 entry; give ANSWER,TEXT or ANSWER,TEXT,TEXT2"),
    ("a\tb\n", ("1", "2", "3", "4"), "--columns 1,2,3,4 has 4 entries; give ANSWER,TEXT or ANSWER,TEXT,TEXT2"),
    ("a\tb\n", ("1", " "), "--columns 1, has an empty entry; give ANSWER,TEXT or ANSWER,TEXT,TEXT2"),
    ("a\tb\n", ("2", "2"), "--columns 2,2 names a column twice; give ANSWER,TEXT or ANSWER,TEXT,TEXT2"),
    ("a\tb\n", ("a", "1"), "--columns a,1 names a column twice"),
    ("label\ttext\nx\ty\n", ("genre", "text"), "'q.tsv' has no column 'genre'; its columns: label, text"),
    ("label\ttext\ttext\nx\ty\tz\n", None, "'q.tsv' has 2 columns 'text'; rename one"),
    ("label\ttext\n\n", None, "'q.tsv' holds no examples; give a file with at least one"),
    (" \n\n", None, "'q.tsv' contains only whitespace; give a file with text"),
    ("", None, "'q.tsv' is empty; give a file with text"),
])  # fmt: skip
def test_tsv_mistakes(write, text, columns, message):
    assert error_message(write(text), columns=columns) == message


def test_mistakes_for_numbers_say_number(write):
    assert error_message(write("just text\n"), "regress") == "'q.tsv' line 1 has no tab: 'just text'; write NUMBER<TAB>TEXT"
    assert error_message(write("1\ta\n\tb\n"), "regress") == "'q.tsv' line 2 has no number"


def test_messages_stay_on_one_line_and_hide_control_characters(write):
    assert error_message(write("\x1b[31m red\x85\u2028\n")) == "'q.tsv' line 1 has no tab: ' [31m red'; write LABEL<TAB>TEXT"
    path = write("".join(f"c{i}\t" for i in range(12)))
    assert error_message(path, columns=("x", "c1")).endswith("its columns: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, …")


def test_long_snippets_and_lists_are_cut(write):
    assert error_message(write("x" * 40)) == f"'q.tsv' line 1 has no tab: '{'x' * 40}'; write LABEL<TAB>TEXT"
    assert error_message(write("x" * 41)) == f"'q.tsv' line 1 has no tab: '{'x' * 40}…'; write LABEL<TAB>TEXT"
    path = write("\t".join(f"c{i}" for i in range(10)))
    assert error_message(path, columns=("x", "c1")).endswith("its columns: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9")


def test_other_errors(write):
    assert error_message("no.tsv").startswith("no file 'no.tsv'")
    assert error_message(write("a\tb\n"), "clasify") == "unknown task 'clasify'; did you mean 'classify'?"


# CSV


def test_csv(write):
    path = write('pos,"good, ""very"" good"\n\nneg,"bad\nfilm\n\n\n!"\npos,\n', "x.CSV")
    assert read(path) == ("CSV: label, text", [
        (1, ('good, "very" good',), ("pos",)), (3, ("bad film !",), ("neg",)), (8, ("",), ("pos",)),
    ])  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_delimiters(write, delimiter):
    path = write(f'"pos"{delimiter}"a,b;c\td,;\t!"\nneg{delimiter}e\n', "x.csv")
    assert read(path)[1] == [(1, ("a,b;c\td,;\t!",), ("pos",)), (2, ("e",), ("neg",))]


def test_csv_prefers_the_comma(write):
    assert read(write("pos,a;b\n", "x.csv"))[1] == [(1, ("a;b",), ("pos",))]
    assert read(write("pos;a;b,c\n", "x.csv"))[1] == [(1, ("a", "b,c"), ("pos",))]


def test_csv_with_a_header(write):
    path = write('id,"a\ngenre",sentence\r\n1,jazz,"x\r\ny"\r\n2,pop,z\r\n', "x.csv")
    assert read(path, columns=("a genre", "sentence")) == (
        "CSV with header: a genre, sentence",
        [(3, ("x y",), ("jazz",)), (5, ("z",), ("pop",))],
    )
    assert read(write("id,TEXT2,text,LABEL\n1,b,a,pos\n", "x.csv")) == (
        "CSV with header: LABEL, text, TEXT2",
        [(2, ("a", "b"), ("pos",))],
    )


@pytest.mark.parametrize("text, columns, message", [
    ("label,text\n1,2\n", ("genre", "text"), "'x.csv' has no column 'genre'; its columns: label, text"),
    ("a,b\n\na,b,c\n", None, "'x.csv' line 3 has 3 columns, those before have 2; quote the comma, or give --columns"),
    ("g;t\na;b;c\n", ("g", "t"), "'x.csv' line 2 has 3 columns, those before have 2; quote the semicolon"),
    ('a,b\n"a,b"\n', None, "'x.csv' line 2 has 1 column, those before have 2; write LABEL,TEXT"),
    ("text;label\na\n", None, "'x.csv' line 2 has 1 column, those before have 2; write text;label"),
    ("text\n", None, "'x.csv' line 1 has 1 column; write LABEL,TEXT"),
    ("a,b,c,d\n", None, "'x.csv' line 1 has 4 columns; say with --columns which to read"),
    ("a,b,c\na,b\n", ("1", "3"), "'x.csv' line 2 has 2 columns where column 3 is read; a missing comma?"),
    ('a,"b\nc"\n"",d\n', None, "'x.csv' line 3 has no label"),
    ('a,b\n"c\n",d\ne,"f\ng,h\n', None, "'x.csv' line 4: a quote is not closed"),
    ('a,b\nc,"d" e\n', None, "'x.csv' line 2: text follows a closing quote; write a quote in a quoted field twice"),
    ("label,text\n", None, "'x.csv' holds no examples; give a file with at least one"),
    (",\n,\n", None, "'x.csv' holds no examples; give a file with at least one"),
    ("a,b\0\n", None, "'x.csv' looks binary, with a NUL at byte 3; give plain text"),
])  # fmt: skip
def test_csv_mistakes(write, text, columns, message):
    assert error_message(write(text, "x.csv"), columns=columns) == message


def test_long_csv_fields(write, monkeypatch):
    assert read(write(f"pos,{'x' * 200_000}\n", "x.csv"))[1] == [(1, ("x" * 200_000,), ("pos",))]
    monkeypatch.setattr(labelled, "_FIELD", 1000)
    assert error_message("x.csv") == "'x.csv' line 1: a quote is not closed"


def test_a_nul_in_utf_16_csv_is_a_character(write):
    assert read(write("pos,a\0b\n".encode("utf-16"), "x.csv"), encoding="utf-16")[1] == [(1, ("a\0b",), ("pos",))]


# JSON lines


def test_json_lines(write):
    path = write(
        ' {"label": "pos", "text": " good\\r\\n\\n film ", "id": 1.5}\n \n'
        '{"text": "\\ud800x", "label": 3}\n{"text": "", "label": true}\n{"text": "t", "label": false}\n',
        "q.jsonl",
    )
    assert read(path) == ("JSON lines: label, text", [
        (1, ("good  film",), ("pos",)), (3, ("\ufffdx",), ("3",)), (4, ("",), ("true",)), (5, ("t",), ("false",)),
    ])  # fmt: skip


def test_json_lines_with_pairs_and_other_keys(write):
    path = write('{"label": "a", "text": "b", "text2": "c"}\n', "q.jsonl")
    assert read(path) == ("JSON lines: label, text, text2", [(1, ("b", "c"), ("a",))])
    assert read(path, columns=("text2", "label")) == ("JSON lines: text2, label", [(1, ("a",), ("c",))])
    assert read(write('{"0": "a", "1": "b"}'), columns=("0", "1"))[1] == [(1, ("b",), ("a",))]


def test_json_numbers_are_kept_as_written(write):
    numbers = ["4.50", "-3", "1e400", "NaN", "-Infinity", "9" * 5000]
    path = write("".join(f'{{"label": {number}, "text": ""}}\n' for number in numbers))
    assert [answers for _, _, answers in read(path, "regress")[1]] == [(number,) for number in numbers]
    assert all(type(answer) is str for _, _, [answer] in read(path, "regress")[1])
    assert read(write('{"score": 1, "text": "a"}'), "regress") == ("JSON lines: score, text", [(1, ("a",), ("1",))])


GOOD = '{"label": "a", "text": "b"}\n\n'


@pytest.mark.parametrize("line, message", [
    ("[1, 2]", "is not a JSON object: '[1, 2]'"),
    ('{"label": "a", ', "is not a JSON object: '{\"label\": \"a\",'"),
    ("{}{}", "is not a JSON object: '{}{}'"),
    ('{"label": "a", "body": "b"}', "has no key 'text'; its keys: label, body"),
    ('{"text": "a"}', "has no key 'label'; its keys: text"),
    ("{}", "has no key 'label'; its keys: none"),
    ('{"label": "a", "text": 1.50}', "has the number 1.50 as 'text'; write a string"),
    ('{"label": "a", "text": null}', "has null as 'text'; write a string"),
    ('{"label": "a", "text": ["b"]}', "has a list as 'text'; write a string"),
    ('{"label": "a", "text": {}}', "has an object as 'text'; write a string"),
    ('{"label": "a", "text": true}', "has true as 'text'; write a string"),
    ('{"label": null, "text": ""}', "has null as 'label'; write a string, a whole number, true or false"),
    ('{"label": 1.0, "text": ""}', "has the number 1.0 as 'label'; write a string, a whole number, true or false"),
    ('{"label": NaN, "text": ""}', "has the number NaN as 'label'; write a string, a whole number, true or false"),
    ('{"label": [], "text": ""}', "has a list as 'label'; write a string, a whole number, true or false"),
    ('{"label": {}, "text": ""}', "has an object as 'label'; write a string, a whole number, true or false"),
    ('{"label": " ", "text": ""}', "has no label"),
    ('{"label": "a", "text": "b", "text": "b"}', "has the key 'text' twice"),
])  # fmt: skip
def test_json_mistakes(write, line, message):
    assert error_message(write(f"{GOOD}{line}\n", "q.jsonl")) == f"'q.jsonl' line 3 {message}"


def test_json_mistakes_in_the_first_line_and_for_numbers(write):
    assert error_message(write("{cough} hello", "q.jsonl")) == "'q.jsonl' line 1 is not a JSON object: '{cough} hello'"
    path = write('{"label": "1", "text": ""}')
    assert error_message(path, "regress") == "'q.tsv' line 1 has a string as 'label'; write a number"
    assert error_message(path, columns=("genre", "text")) == "'q.tsv' line 1 has no key 'genre'; its keys: label, text"


@pytest.mark.parametrize("text", ['{"a": ' + "[" * 100_000, '{"a":' * 100_000, '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"])
def test_deeply_nested_json(write, text):
    assert error_message(write(text)) == f"'q.tsv' line 1 is not a JSON object: '{text[:40]}…'"


# fastText


def test_fasttext(write):
    path = write("\n __label__pos good  film \n__label__neg\n \n __label__a\tb\n", "f.txt")
    assert read(path) == ("fastText: __label__, text", [
        (2, ("good  film",), ("pos",)), (3, ("",), ("neg",)), (5, ("b",), ("a",)),
    ])  # fmt: skip


@pytest.mark.parametrize("line, message", [
    ("__label__a __label__b text", "has 2 labels; nlm learns one label a text"),
    ("__label__a b __label__c __label__d", "has 3 labels; nlm learns one label a text"),
    ("text alone", "has no label: 'text alone'; write __label__LABEL TEXT"),
    ("__label__ text", "has no label: '__label__ text'; write __label__LABEL TEXT"),
])  # fmt: skip
def test_fasttext_mistakes(write, line, message):
    assert error_message(write(f"__label__x y\n\n{line}\n", "f.txt")) == f"'f.txt' line 3 {message}"


def test_fasttext_has_no_columns(write):
    message = "--columns 1,2 has no effect on 'f.txt', which is in the format of fastText; leave it out"
    assert error_message(write("__label__x y\n", "f.txt"), columns=("1", "2")) == message


# tag

CONLLU = """# newdoc
# text = Vámonos al mar.
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\tV\tMood=Imp\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tP\t_\t1\tobj\t_\t_
2.1\tx\ty\tNOUN\tN\t_\t_\t_\t_\t_

# sent_id = 2

1\tmar\tmar\tNOUN\tN\tGender=Masc\t0\troot\t_\t_
"""


def test_conllu(write):
    path = write(CONLLU)
    expected = [(4, ("Vamos", "nos"), ("VERB", "PRON")), (10, ("mar",), ("NOUN",))]
    assert read(path, "tag") == ("CoNLL-U: form, UPOS", expected)
    assert read(path, "tag", ("4", "2")) == ("CoNLL-U: form, UPOS", expected)
    assert read(path, "tag", ("5", "2"))[0] == "CoNLL-U: column 2, column 5"
    assert read(path, "tag", ("5", "3"))[1] == [(4, ("ir", "nosotros"), ("V", "P")), (10, ("mar",), ("N",))]
    assert read(path, "tag", ("last", "2")) == (
        "CoNLL-U: column 2, last column",
        [(4, ("Vamos", "nos"), ("_", "_")), (10, ("mar",), ("_",))],
    )
    without_comments = write("\n".join(CONLLU.split("\n")[2:6]))
    assert read(without_comments, "tag") == ("CoNLL-U: form, UPOS", [(2, ("Vamos", "nos"), ("VERB", "PRON"))])
    assert not Labelled(path, "tag").paired


def test_ten_columns_without_a_number_are_no_conllu(write):
    path = write("dog\tb\tc\td\te\tf\tg\th\ti\tN\n")
    assert read(path, "tag") == ("columns: word, tag", [(1, ("dog",), ("N",))])


def test_columns_by_tabs(write):
    path = write(" \n-DOCSTART-\tO\n\nNew York\tB\n is \t O\n \t \n\n# \tO\n#1\tX\n")
    expected = [(4, ("New York", "is"), ("B", "O")), (8, ("#", "#1"), ("O", "X"))]
    assert read(path, "tag") == ("columns: word, tag", expected)
    for columns in (("2", "1"), ("last", "1")):
        assert read(path, "tag", columns) == ("columns: word, tag", expected)


def test_columns_by_blanks(write):
    path = write("# x y O\r\nthe  DT\tx B-NP\r\n\r\ndog NN x I-NP\r\n")
    assert read(path, "tag") == ("columns: word, tag", [(1, ("#", "the"), ("O", "B-NP")), (4, ("dog",), ("I-NP",))])
    assert read(path, "tag", ("2", "1")) == ("columns: column 1, column 2", [(1, ("#", "the"), ("x", "DT")), (4, ("dog",), ("NN",))])
    assert read(path, "tag", ("1", "last")) == (
        "columns: last column, column 1",
        [(1, ("O", "B-NP"), ("#", "the")), (4, ("I-NP",), ("dog",))],
    )


def test_words_may_start_like_other_formats(write):
    assert read(write("{ P\n\n__label__x N\n", "x.csv"), "tag")[1] == [(1, ("{",), ("P",)), (3, ("__label__x",), ("N",))]


@pytest.mark.parametrize("text, columns, message", [
    ("a\tX\n\nb Y\n", None, "'x.conll' line 3 has 1 column where tag 2 is read; a blank in place of a tab?"),
    ("a X\n\nb\n", None, "'x.conll' line 3 has 1 column where tag 2 is read; write the word, a blank and its tag"),
    ("a\nb\n", None, "'x.conll' line 1 has 1 column where tag 2 is read; write the word, a blank and its tag"),
    ("a\tb\tX\nb\tY\n", None, "'x.conll' line 2 has 2 columns where tag 3 is read; a blank in place of a tab?"),
    ("a\tX\nb\tc\tY\n", None, "'x.conll' line 2 has 3 columns, those before have 2; remove the tab, or give --columns"),
    ("a X\nNew York Y\n", None, "'x.conll' line 2 has 3 columns, those before have 2; remove the blank, or give --columns"),
    (CONLLU + "2 de de ADP\n", None, "'x.conll' line 11 has 1 column where word 2 is read; a blank in place of a tab?"),
    ("a\tX\nb\n", ("last", "1"), "'x.conll' line 2 has 1 column where tag 2 is read; a blank in place of a tab?"),
    ("a\tX\nb\n", ("1", "last"), "'x.conll' line 2 has 1 column where word 2 is read; a blank in place of a tab?"),
    ("a\tX\n\tY\n", None, "'x.conll' line 2 has no word"),
    ("a\tX\nb\t \n", None, "'x.conll' line 2 has no tag"),
    ("a\tX\n", ("3", "1"), "--columns 3,1 asks for column 3; 'x.conll' line 1 has 2 columns"),
    (CONLLU, ("4", "11"), "--columns 4,11 asks for column 11; 'x.conll' line 3 has 10 columns"),
    ("a\tX\n", ("0", "1"), "--columns 0,1 is out of range; columns are numbered from 1"),
    ("a\tX\n", ("UPOS", "1"), "--columns UPOS,1 names 'UPOS', which is neither the number of a column nor last"),
    ("a\tX\n", ("1", "2", "3"), "--columns 1,2,3 has 3 entries; give TAG,TOKEN"),
    ("-DOCSTART- O\n\n", None, "'x.conll' holds no examples; give a file with at least one"),
    ("1-2" + "\t_" * 9, None, "'x.conll' holds no examples; give a file with at least one"),
])  # fmt: skip
def test_tag_mistakes(write, text, columns, message):
    assert error_message(write(text, "x.conll"), "tag", columns) == message


# Prediction


def predict(path, task="classify", columns=None, expected=None):
    return read(path, task, columns, answers=False, expected=expected)


def test_prediction_from_lines(write):
    path = write("good film\n\n a\tb \n \nlabel\n")
    lines = [(1, ("good film",), ()), (2, ("",), ()), (3, ("a\tb",), ()), (4, ("",), ()), (5, ("label",), ())]
    assert predict(path) == predict(path, expected=2) == ("lines", lines)
    assert predict(write("a\tb\tc"), expected=2) == ("lines", [(1, ("a\tb\tc",), ())])
    assert predict(write("a\tb"), expected=None) == ("lines", [(1, ("a\tb",), ())])


def test_prediction_from_tsv(write):
    path = write("pos\ta\n\n\tb\nneg\tc\n")
    examples = [(1, ("a",), ("pos",)), (2, ("",), ()), (3, ("b",), ()), (4, ("c",), ("neg",))]
    assert predict(path, expected=2) == predict(path, columns=("1", "2")) == ("TSV: label, text", examples)
    assert predict(write("a\n\nb\n"), columns=("2", "1")) == ("TSV: text", [(1, ("a",), ()), (2, ("",), ()), (3, ("b",), ())])
    assert predict(write("a\tpos\nb\n"), columns=("2", "1"))[1] == [(1, ("a",), ("pos",)), (2, ("b",), ())]
    assert predict(write("id\ttext\tlabel\n1\ta\tpos\n"), expected=2) == ("TSV with header: label, text", [(2, ("a",), ("pos",))])
    assert predict(write("id\tbody\n1\ta\n"), columns=("genre", "body")) == ("TSV with header: body", [(2, ("a",), ())])


def test_prediction_of_pairs(write):
    path = write("a\tb\n\n\tc\n")
    assert predict(path, expected=3) == ("TSV: text, text", [(1, ("a", "b"), ()), (2, ("", ""), ()), (3, ("", "c"), ())])
    assert predict(write("x\ta\tb\n"), expected=3) == ("TSV: label, text, text", [(1, ("a", "b"), ("x",))])
    assert predict(write("a,b\nc,d\n", "x.csv"), expected=3) == ("CSV: text, text", [(1, ("a", "b"), ()), (2, ("c", "d"), ())])
    assert predict(write('{"text": "a", "text2": "b"}\n\n'))[1] == [(1, ("a", "b"), ()), (2, ("", ""), ())]


def test_prediction_from_other_formats(write):
    assert predict(write('{"text": "a"}\n\n{"text": "b", "label": "x"}\n{"text": "c", "label": null}\n')) == (
        "JSON lines: text",
        [(1, ("a",), ()), (2, ("",), ()), (3, ("b",), ("x",)), (4, ("c",), ())],
    )
    assert predict(write('{"text": "a", "label": "x"}\n')) == ("JSON lines: label, text", [(1, ("a",), ("x",))])
    assert predict(write("__label__x a\n\nb c\n__label__y\n")) == (
        "fastText: __label__, text",
        [(1, ("a",), ("x",)), (2, ("",), ()), (3, ("b c",), ()), (4, ("",), ("y",))],
    )
    assert predict(write('id,text\n1,a\n\n2,"b\nc"\n3,d\n', "x.csv")) == (
        "CSV with header: text",
        [(2, ("a",), ()), (3, ("",), ()), (4, ("b c",), ()), (6, ("d",), ())],
    )
    assert predict(write('"a, b"\n\nc\n', "x.csv")) == ("CSV: text", [(1, ("a, b",), ()), (2, ("",), ()), (3, ("c",), ())])
    assert predict(write("x,a\n,b\n", "x.csv")) == ("CSV: label, text", [(1, ("a",), ("x",)), (2, ("b",), ())])


@pytest.mark.parametrize("text, name, options, message", [
    ("just a text\n", "q.tsv", {"expected": 3}, "'q.tsv' line 1 has no tab: 'just a text'; write TEXT<TAB>TEXT2"),
    ("a\tb\nc\n", "q.tsv", {"expected": 3}, "'q.tsv' line 2 has no tab: 'c'; write TEXT<TAB>TEXT2"),
    ("a\tb\tc\td\n", "q.tsv", {"expected": 3}, "'q.tsv' line 1 has 4 columns; say with --columns which to read"),
    ("x\ta\ny\n", "q.tsv", {"expected": 2}, "'q.tsv' line 2 has no tab: 'y'; write LABEL<TAB>TEXT"),
    ("a\n", "x.csv", {"expected": 3}, "'x.csv' line 1 has 1 column; write TEXT,TEXT2"),
    ("a\n", "q.tsv", {"columns": ("1", "2")}, "--columns 1,2 asks for column 2; 'q.tsv' line 1 has 1 column"),
    ("a b\n", "q.tsv", {"columns": ("x", "y")}, "'q.tsv' has no column 'y'; its columns: a b"),
    ('{"label": 1}\n', "q.tsv", {}, "'q.tsv' line 1 has no key 'text'; its keys: label"),
])  # fmt: skip
def test_prediction_mistakes(write, text, name, options, message):
    assert error_message(write(text, name), answers=False, **options) == message


@pytest.mark.parametrize("text, expected", [
    ("the dog barks\na cat\n\nno\n", None),
    ("the dog barks\n\na cat\n", None),
    ("the dog barks", None),
    ("the dog barks", 3),
    ("the dog barks\na cat sleeps\n", 2),
    ("one\ntwo words\n", None),
    ("\n \n" + "two words\n" * 19 + "three more words\n", None),
])  # fmt: skip
def test_running_text_for_tag(write, text, expected):
    lines = text.removesuffix("\n").split("\n")
    assert predict(write(text), "tag", expected=expected) == ("lines", [(i, (line.strip(),), ()) for i, line in enumerate(lines, 1)])


@pytest.mark.parametrize("text, examples", [
    ("the\ndog\n\nbarks\n", [(1, ("the", "dog"), ()), (4, ("barks",), ())]),
    ("dog", [(1, ("dog",), ())]),
    ("the D\ndog N\n", [(1, ("the", "dog"), ("D", "N"))]),
    ("the D\n\ndog N\n", [(1, ("the",), ("D",)), (3, ("dog",), ("N",))]),
    ("New York\tN\n", [(1, ("New York",), ("N",))]),
    ("a\tN\nb\t\n\nc\tX\n", [(1, ("a", "b"), ()), (4, ("c",), ("X",))]),
    ("-DOCSTART- O\n\na O\n", [(3, ("a",), ("O",))]),
    ("\n\n" + "a N\n" * 20 + "b N", [(3, ("a",) * 20 + ("b",), ("N",) * 21)]),
])  # fmt: skip
def test_prediction_from_columns(write, text, examples):
    description, found = predict(write(text), "tag", expected=2)
    assert found == examples
    assert description == ("columns: word, tag" if "N" in text or "O" in text else "columns: word")


def test_prediction_from_conllu_and_from_columns_asked_for(write):
    assert predict(write(CONLLU), "tag") == read("q.tsv", "tag")
    assert predict(write("the dog barks\na cat\n"), "tag", ("last", "1")) == (
        "columns: word, tag",
        [(1, ("the", "a"), ("barks", "cat"))],
    )
    assert predict(write("a\nb\n"), "tag", ("2", "1")) == ("columns: word", [(1, ("a", "b"), ())])


@pytest.mark.parametrize("text, columns, message", [
    ("a\nb\n\nc\n10 000\n", None, "'q.tsv' line 5 has 2 columns, those before have 1; remove the blank, or give --columns"),
    ("a X\n\nb X\nc Y\nd\n", None, "'q.tsv' line 5 has 1 column where tag 2 is read; write the word, a blank and its tag"),
    ("a\tX\nb Y\n", None, "'q.tsv' line 2 has 1 column where tag 2 is read; a blank in place of a tab?"),
    ("a\n", ("1", "2"), "--columns 1,2 asks for column 2; 'q.tsv' line 1 has 1 column"),
])  # fmt: skip
def test_mistakes_in_columns_for_prediction(write, text, columns, message):
    assert error_message(write(text), "tag", columns, answers=False) == message


# Written by others

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")
LABELS = st.sampled_from(["pos", "neg", "é", "a b", '"'])


def unix(text):
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(st.lists(st.tuples(LABELS, st.text(CHARACTERS).filter(lambda text: not set("\t\r\n") & set(text))), min_size=1))
def test_tsv_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("tsv") / "q.tsv"
    path.write_bytes("".join(f"{label}\t{text}\n" for label, text in rows).encode())
    expected = [(line, (text.strip(),), (label,)) for line, (label, text) in enumerate(rows, 1)]
    assert read(path) == ("TSV: label, text", expected)


@given(
    st.lists(st.tuples(st.text(CHARACTERS).map(unix), LABELS, st.text(st.sampled_from('a ,;"\t\n'))), min_size=1),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_csv_round_trip(tmp_path_factory, rows, delimiter, end, quoting):
    file, path, expected = io.StringIO(newline=""), tmp_path_factory.mktemp("csv") / "x.csv", []
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)
    for text, label, second in [("text", "label", "text2"), *rows]:
        texts = tuple(" ".join(filter(None, unix(cell).strip().split("\n"))) for cell in (text, second))
        expected.append((1 + unix(file.getvalue()).count("\n"), texts, (label,)))
        writer.writerow([text, label, second])
    path.write_bytes(file.getvalue().encode())
    assert read(path) == ("CSV with header: label, text, text2", expected[1:])


@given(st.lists(st.tuples(LABELS, st.text(CHARACTERS)), min_size=1), st.booleans())
def test_json_round_trip(tmp_path_factory, rows, ascii):
    path = tmp_path_factory.mktemp("json") / "q.jsonl"
    lines = (json.dumps({"label": label, "text": text}, ensure_ascii=ascii) for label, text in rows)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    expected = [" ".join(filter(None, unix(text).strip().split("\n"))) for _, text in rows]
    assert [(texts, answers) for _, texts, answers in read(path)[1]] == [
        ((text,), (label,)) for text, (label, _) in zip(expected, rows, strict=True)
    ]


PIECES = st.sampled_from(
    [*'a1-.#{}[]",;', " ", "\t", "\n", "\n", "\n\n", "__label__x ", '{"label": 1, "text": "a"}', "label", "text", "-DOCSTART-"]
)
COLUMNS = st.none() | st.lists(st.sampled_from(["1", "2", "3", "last", "label", "text", "a"]), min_size=2, max_size=3).map(tuple)


@given(st.lists(PIECES, min_size=1, max_size=30).map("".join), st.sampled_from(["classify", "regress", "tag"]), COLUMNS,
       st.booleans(), st.sampled_from([None, 2, 3]), st.sampled_from(["q.tsv", "x.csv"]))  # fmt: skip
def test_any_file_is_read_or_refused(tmp_path_factory, text, task, columns, answers, expected, name):
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(text.encode())
    try:
        description, examples = read(path, task, columns, answers=answers, expected=expected)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert examples and [line for line, _, _ in examples] == sorted({line for line, _, _ in examples})
    assert all(labels and all(labels) for _, _, labels in examples) or not answers
    if task == "tag":
        assert all(len(words) == len(tags) for _, words, tags in examples if tags)
    elif not answers and name == "q.tsv":
        skipped = text[: len(text) - len(text.lstrip())].count("\n") + 1 if "header" in description else 0
        assert [line for line, _, _ in examples] == list(range(skipped + 1, text.removesuffix("\n").count("\n") + 2))
