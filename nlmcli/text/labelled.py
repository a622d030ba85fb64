"""Labelled files -> examples: texts with a label (classify), texts with a number (regress), words with a tag each (tag).

The first line that is not blank tells the format of a file for classify and regress:

- it starts with `{`: JSON lines, an object a line.  The keys are label, text and, if the first object has it, text2;
  for regress score, if the first object has no label.
- it starts with `__label__`: fastText, `__label__pos some text`.
- the path ends in .csv: CSV, separated by what this line has most of outside quotes: commas, semicolons or tabs.
- otherwise TSV: LABEL<TAB>TEXT or LABEL<TAB>TEXT<TAB>TEXT2, where a quote is a character like any other.

TSV and CSV have a header if a column is asked for by its name, or if none is asked for and the first row has a cell label
(or score, for regress) and a cell text.  Files for tag have a word a line, with a blank line after each sentence:

- CoNLL-U, if the first word has ten columns and a number, or if ten columns follow comments: the form and its UPOS tag.
- otherwise columns, separated by tabs if the first word's line has one and by whitespace if not: the word first, its tag last.

For prediction (answers=False) a file need not have answers.  Every line is an example then, in order, a blank one included:

- JSON lines, fastText and CSV are recognized as above, and the answer may be missing.  The header of a CSV file needs no label.
- Other lines are TSV if columns are asked for, if there is a header with the answer and the text, or if the first line has as
  many columns as expected.  Otherwise a line is a text, or the two texts of a pair with a tab between them.
- tag: CoNLL-U, columns, or running text, a sentence a line.  A file is running text if no columns are asked for, there is no
  tab in its first 20 nonblank lines, and their numbers of words differ; so are a single line of several words, and lines of
  several words whose number is not the expected one.  Where a blank line stands between these 20, one in four may differ and
  no number is expected: then the file is in columns, and a line that differs is a mistake.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

from nlmcli.errors import InputError, suggest
from nlmcli.text.corpus import Source, known_encoding, normalized, parts

_ANSWERS = {"classify": "label", "regress": "number", "tag": "tag"}
_PREFIX = "__label__"
_DOCUMENT = "-DOCSTART-"
_SNIPPET = 40  # characters of a line that a message quotes
_NAMES = 10  # keys or columns that a message lists
_SAMPLE = 20  # nonblank lines that tell running text from columns
_FIELD = 1 << 27  # characters of a CSV field; a longer one is a quote that is not closed
_SEPARATORS = {"\t": "tab", ",": "comma", ";": "semicolon", "": "blank"}

Row = tuple[int, list[str]]  # the number of its first line, its cells


@dataclass(frozen=True, slots=True)
class Example:
    """A text, or a pair of texts, with its label or number; or the words of a sentence with their tags."""

    line: int  # number of its first line in the file, from 1
    texts: tuple[str, ...]
    answers: tuple[str, ...]  # as written; one for each word for tag; empty if the file has none


class Labelled:
    """The examples of a labelled file ('-' is stdin), read anew at every iteration.

    name: as messages call the file.  description: its format and what is read of it.  paired: two texts an example.
    """

    def __init__(
        self,
        path: str | Path,
        task: str,
        columns: tuple[str, ...] | None = None,
        encoding: str = "utf-8",
        answers: bool = True,
        expected: int | None = None,
    ) -> None:
        """Recognize the format.

        columns: ANSWER, TEXT and perhaps TEXT2, or TAG, TOKEN; each a number from 1, the name of a column, a JSON key, or
        `last` for tag.  answers: False for prediction.  expected: the number of columns of a file with answers like that
        which the model was trained on, 3 for a pair.

        Raises InputError if the file cannot be read, or its first lines or the columns are wrong.
        """
        if task not in _ANSWERS:
            raise InputError(f"unknown task '{task}'{suggest(task, _ANSWERS)}")
        self._source, self._encoding = Source(path), known_encoding(encoding)
        self.name, self.task = self._source.name, task
        self._asked = _Asked(self.name, task, _checked(columns, task), answers, expected)
        recognize = _tag_format if task == "tag" else partial(_text_format, is_csv=str(path).lower().endswith(".csv"))
        self._format = recognize(self._asked, self._lines)
        self.description, self.paired = self._format.description, self._format.paired

    def __iter__(self) -> Iterator[Example]:
        """The examples in the order of the file.  Raises InputError at the first mistake, or if there are no examples."""
        examples = self._format.examples(self._lines())
        first = next(examples, None)
        if first is None:
            raise self._asked.no_examples()
        yield first
        yield from examples

    def _lines(self) -> Iterator[str]:
        """The lines of the file; only LF separates them."""
        rest: list[str] = []  # of a line that goes on in the next part
        for part in parts(self._source, self._encoding):
            rest.append(part)
            if "\n" in part:
                lines = "".join(rest).split("\n")
                rest = [lines.pop()]
                yield from lines
        if last := "".join(rest):
            yield last


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of a file, and how to complain about it."""

    name: str
    task: str
    columns: tuple[str, ...] | None
    answers: bool
    expected: int | None

    @property
    def answer(self) -> str:
        return _ANSWERS[self.task]

    def mistake(self, line: int, what: str) -> InputError:
        return InputError(f"{self.name} line {line} {what}")

    def no_examples(self) -> InputError:
        return InputError(f"{self.name} holds no examples; give a file with at least one")

    def bad_columns(self, why: str) -> InputError:
        return InputError(f"--columns {_shown(','.join(self.columns or ()))} {why}")


class _Format(Protocol):
    description: str
    paired: bool

    def examples(self, lines: Iterator[str]) -> Iterator[Example]: ...


def _checked(columns: tuple[str, ...] | None, task: str) -> tuple[str, ...] | None:
    """The columns asked for.  Raises InputError if their number is wrong, one is empty or one is named twice."""
    if columns is None:
        return None
    columns = tuple(column.strip() for column in columns)
    given, form = _shown(",".join(columns)), "TAG,TOKEN" if task == "tag" else "ANSWER,TEXT or ANSWER,TEXT,TEXT2"
    if len(columns) != 2 and (task == "tag" or len(columns) != 3):
        entries = "1 entry" if len(columns) == 1 else f"{len(columns)} entries"
        raise InputError(f"--columns {given} has {entries}; give {form}")
    if "" in columns:
        raise InputError(f"--columns {given} has an empty entry; give {form}")
    if len(set(columns)) < len(columns):
        raise InputError(f"--columns {given} names a column twice; give {form}")
    return columns


def _text_format(asked: _Asked, lines: Callable[[], Iterator[str]], is_csv: bool) -> _Format:
    """The format of a file for classify or regress."""
    line, text = next((line, text) for line, text in enumerate(lines(), 1) if text.strip())
    if text.lstrip().startswith("{"):
        return _JsonLines(asked, line, text)
    if text.lstrip().startswith(_PREFIX):
        return _FastText(asked)
    if is_csv:
        unquoted = "".join(text.split('"')[::2])
        delimiter = max(",;\t", key=unquoted.count)
        rows = partial(_csv_rows, asked, delimiter)
        first = next(((line, cells) for line, cells in rows(lines()) if _has_text(cells)), None)
        if first is None:
            raise asked.no_examples()
        return _Table(asked, rows, first, delimiter, quoted=True)
    cells = text.split("\t")
    is_table = asked.answers or asked.columns or asked.expected in (3, len(cells)) or _usual_header(asked, cells, False)
    return _Table(asked, _tsv_rows, (line, cells), "\t", quoted=False) if is_table else _Lines()


def _tag_format(asked: _Asked, lines: Callable[[], Iterator[str]]) -> _Format:
    """The format of a file for tag."""
    is_conllu = _is_conllu(lines())
    if not is_conllu and not asked.answers and asked.columns is None and _is_running_text(lines(), asked.expected):
        return _Lines()
    skipped = "#" if is_conllu else _DOCUMENT
    words = ((line, text) for line, text in enumerate(lines(), 1) if text.strip() and not text.startswith(skipped))
    first = next(words, None)
    if first is None:
        raise asked.no_examples()
    return _Columns(asked, *first, is_conllu)


def _is_conllu(lines: Iterator[str]) -> bool:
    nonblank = filter(str.strip, lines)
    first = next(nonblank)
    if first.startswith("# "):
        return next((text for text in nonblank if not text.startswith("#")), "").count("\t") == 9
    return first.count("\t") == 9 and first[0].isdigit()


def _is_running_text(lines: Iterator[str], expected: int | None) -> bool:
    """Whether lines for tag are sentences rather than words: the module's docstring has the rule."""
    sample = list(islice(((line, text) for line, text in enumerate(lines, 1) if text.strip()), _SAMPLE))
    if any("\t" in text or text.startswith(_DOCUMENT) for _, text in sample):
        return False
    [(usual, times)] = Counter(len(text.split()) for _, text in sample).most_common(1)
    if sample[-1][0] - sample[0][0] >= len(sample):  # a blank line stands between them
        return 4 * times < 3 * len(sample)
    return times < len(sample) or (usual > 1 and (times == 1 or expected not in (None, usual)))


class _Lines:
    """A text a line, without answers."""

    description, paired = "lines", False

    def examples(self, lines: Iterator[str]) -> Iterator[Example]:
        for line, text in enumerate(lines, 1):
            yield Example(line, (text.strip(),), ())


class _FastText:
    """`__label__pos some text`."""

    description, paired = f"fastText: {_PREFIX}, text", False

    def __init__(self, asked: _Asked) -> None:
        self.asked = asked
        if asked.columns:
            raise asked.bad_columns(f"has no effect on {asked.name}, which is in the format of fastText; leave it out")

    def examples(self, lines: Iterator[str]) -> Iterator[Example]:
        for line, text in enumerate(lines, 1):
            if text.strip() or not self.asked.answers:
                yield self.example(line, text.strip())

    def example(self, line: int, text: str) -> Example:
        if text.count(_PREFIX) > 1 and (labels := sum(word.startswith(_PREFIX) for word in text.split())) > 1:
            raise self.asked.mistake(line, f"has {labels} labels; nlm learns one label a text")
        word, *texts = text.split(None, 1) if text.startswith(_PREFIX) else ("", text)
        label = word.removeprefix(_PREFIX)
        if self.asked.answers and not label:
            raise self.asked.mistake(line, f"has no {self.asked.answer}: {quoted(text)}; write {_PREFIX}{self.asked.answer.upper()} TEXT")
        return Example(line, tuple(texts) or ("",), (label,) if label else ())


class _Number(str):
    """A JSON number as written."""


class _Whole(_Number):
    """A JSON number without a fraction and an exponent, as written."""


class _JsonLines:
    """A JSON object a line."""

    # An object is a tuple of pairs, so that it differs from a list and shows a key that it has twice.
    decoder = json.JSONDecoder(object_pairs_hook=tuple, parse_float=_Number, parse_int=_Whole, parse_constant=_Number)

    def __init__(self, asked: _Asked, line: int, text: str) -> None:
        self.asked = asked
        first = self.parsed(line, text)
        if asked.columns:
            self.answer, *self.texts = asked.columns
        else:
            has_score = asked.task == "regress" and "score" in first and "label" not in first
            self.answer, self.texts = "score" if has_score else "label", ["text", "text2"] if "text2" in first else ["text"]
        self.paired = len(self.texts) == 2
        answer = [self.answer] if asked.answers or self.answer in first else []
        self.description = f"JSON lines: {', '.join(map(_shown, answer + self.texts))}"

    def examples(self, lines: Iterator[str]) -> Iterator[Example]:
        for line, text in enumerate(lines, 1):
            if text.strip():
                yield self.example(line, self.parsed(line, text))
            elif not self.asked.answers:
                yield Example(line, ("",) * len(self.texts), ())

    def parsed(self, line: int, text: str) -> dict[str, Any]:
        """The object of a line.  Raises InputError if it is none, or has a key twice."""
        try:
            pairs = self.decoder.decode(text)
        except (ValueError, RecursionError):
            pairs = None
        if not isinstance(pairs, tuple):
            raise self.asked.mistake(line, f"is not a JSON object: {quoted(text)}")
        row = dict(pairs)
        if len(row) < len(pairs):
            key = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise self.asked.mistake(line, f"has the key {quoted(key)} twice")
        return row

    def example(self, line: int, row: dict[str, Any]) -> Example:
        wanted = [self.answer, *self.texts] if self.asked.answers else self.texts
        for key in wanted:
            if key not in row:
                raise self.asked.mistake(line, f"has no key {quoted(key)}; its keys: {_listed(row)}")
        answer = self.label(line, row.get(self.answer))
        if self.asked.answers and not answer:
            raise self.asked.mistake(line, f"has no {self.asked.answer}")
        return Example(line, tuple([self.text(line, key, row[key]) for key in self.texts]), (answer,) if answer else ())

    def text(self, line: int, key: str, value: Any) -> str:
        if not _is_string(value):
            raise self.asked.mistake(line, f"has {_kind(value)} as {quoted(key)}; write a string")
        return _one_line(normalized(value))

    def label(self, line: int, value: Any) -> str:
        """The label or the number as written; "" if there is none, which prediction allows, as it does not read it."""
        if isinstance(value, _Number if self.asked.task == "regress" else _Whole):
            return str(value)
        if self.asked.task != "regress" and isinstance(value, bool):
            return "true" if value else "false"
        if self.asked.task != "regress" and _is_string(value):
            return _one_line(normalized(value))
        if not self.asked.answers:
            return ""
        form = "a number" if self.asked.task == "regress" else "a string, a whole number, true or false"
        raise self.asked.mistake(line, f"has {_kind(value)} as {quoted(self.answer)}; write {form}")


def _is_string(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, _Number)


def _kind(value: Any) -> str:
    """What a JSON value is, with its article."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, _Number):
        return f"the number {_shown(value)}"
    return "an object" if isinstance(value, tuple) else "a list" if isinstance(value, list) else "a string"


def _tsv_rows(lines: Iterator[str]) -> Iterator[Row]:
    return ((line, text.split("\t")) for line, text in enumerate(lines, 1))


def _csv_rows(asked: _Asked, delimiter: str, lines: Iterator[str]) -> Iterator[Row]:
    """Rows of a CSV file; a blank line is a row without cells.  Raises InputError if quotes are wrong."""
    csv.field_size_limit(_FIELD)
    reader, line = csv.reader((f"{text}\n" for text in lines), delimiter=delimiter, strict=True), 1
    try:
        for cells in reader:
            yield line, [_one_line(cell) if "\n" in cell else cell for cell in cells]
            line = reader.line_num + 1
    except csv.Error as error:
        what = "a quote is not closed"
        if "expected after" in str(error):
            what = "text follows a closing quote; write a quote in a quoted field twice"
        raise InputError(f"{asked.name} line {line}: {what}") from None


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns that are read of a table, from 0."""

    header: bool
    answer: int | None  # None if the file has no answers
    texts: tuple[int, ...]


class _Table:
    """TSV or CSV, an example a row."""

    def __init__(self, asked: _Asked, rows: Callable[[Iterator[str]], Iterator[Row]], first: Row, delimiter: str, quoted: bool) -> None:
        """rows: lines -> rows.  first: the first row with text.  quoted: CSV."""
        self.asked, self.rows, self.delimiter, self.quoted = asked, rows, delimiter, quoted
        line, cells = first[0], [cell.strip() for cell in first[1]]
        self.layout = layout = self.asked_layout(line, cells) if asked.columns else self.usual_layout(line, cells)
        self.width = len(cells) if layout.header or not asked.columns else None  # of every row
        self.form = cells if layout.header else self.roles(layout.answer is not None, len(layout.texts) == 2)
        self.paired = len(layout.texts) == 2
        self.description = self.described(cells)

    def described(self, cells: list[str]) -> str:
        answer = [] if self.layout.answer is None else [self.layout.answer]
        columns, kind = [*answer, *self.layout.texts], "CSV" if self.quoted else "TSV"
        if self.layout.header:
            return f"{kind} with header: {', '.join(_shown(cells[at]) for at in columns)}"
        names = [self.asked.answer] * len(answer) + ["text"] * len(self.layout.texts)
        if columns != list(range(len(columns))):
            names = [f"column {at + 1}" for at in columns]
        return f"{kind}: {', '.join(names)}"

    def roles(self, answer: bool, paired: bool) -> list[str]:
        """What the cells of a row are, for a message."""
        return [self.asked.answer.upper()] * answer + ["TEXT"] + ["TEXT2"] * paired

    def asked_layout(self, line: int, cells: list[str]) -> _Layout:
        """The columns asked for.  Raises InputError if there are no such columns; the answer may be missing in prediction."""
        columns = self.asked.columns or ()
        header = any(_number(self.asked, column) is None for column in columns)
        found = [self.position(column, line, cells, required=bool(i) or self.asked.answers) for i, column in enumerate(columns)]
        if len(set(found)) < len(found):
            raise self.asked.bad_columns("names a column twice")
        return _Layout(header, found[0], tuple(at for at in found[1:] if at is not None))

    def position(self, column: str, line: int, cells: list[str], required: bool) -> int | None:
        """The column with this name or number, from 0; None if there is none and it is not required."""
        number = _number(self.asked, column)
        at = _named(self.asked, column, cells) if number is None else number - 1
        if at is not None and at < len(cells):
            return at
        if not required:
            return None
        if number is None:
            raise InputError(f"{self.asked.name} has no column {quoted(column)}; its columns: {_listed(cells)}")
        raise _beyond(self.asked, column, line, len(cells))

    def usual_layout(self, line: int, cells: list[str]) -> _Layout:
        """The columns of a file that has a usual header, or none.  Raises InputError if it has too many or too few."""
        if header := _usual_header(self.asked, cells, self.quoted):
            return header
        answers, paired, columns = self.asked.answers, self.asked.expected == 3, len(cells)
        if not answers and columns != self.asked.expected and columns == 1 + paired:
            return _Layout(False, None, tuple(range(columns)))
        if columns in (2, 3) and (answers or self.quoted or columns == self.asked.expected):
            return _Layout(False, 0, tuple(range(1, columns)))
        if columns > 2:
            raise self.asked.mistake(line, f"has {_columns(columns)}; say with --columns which to read")
        form = self.written(self.roles(answers, paired))
        raise self.asked.mistake(line, f"has 1 column; write {form}" if self.quoted else f"has no tab: {quoted(cells[0])}; write {form}")

    def examples(self, lines: Iterator[str]) -> Iterator[Example]:
        rows, at, texts, width = self.rows(lines), self.layout.answer, self.layout.texts, self.width
        if self.layout.header:
            next(cells for _, cells in rows if _has_text(cells))
        required = self.asked.answers
        for line, cells in rows:
            if len(cells) != width and not self.fits(line, cells):
                if not required:
                    yield Example(line, ("",) * len(texts), ())
                continue
            answer = cells[at].strip() if at is not None and at < len(cells) else ""
            if required and not answer:
                if _has_text(cells):
                    raise self.asked.mistake(line, f"has no {self.asked.answer}")
                continue
            yield Example(line, tuple([cells[at].strip() for at in texts]), (answer,) if answer else ())

    def fits(self, line: int, cells: list[str]) -> bool:
        """Whether a row has the columns that are read; False if it is blank.  Raises InputError otherwise."""
        if not _has_text(cells):
            return False
        if self.width is not None:
            raise self.misfit(line, cells, self.width)
        answer = [self.layout.answer] if self.asked.answers and self.layout.answer is not None else []
        last = max([*answer, *self.layout.texts])
        if last < len(cells):
            return True
        remedy = f"a missing {_SEPARATORS[self.delimiter]}?" if self.quoted else "a blank in place of a tab?"
        raise self.asked.mistake(line, f"has {_columns(len(cells))} where column {last + 1} is read; {remedy}")

    def misfit(self, line: int, cells: list[str], width: int) -> InputError:
        """The message for a row with more or fewer columns than the rows before."""
        separator, form = _SEPARATORS[self.delimiter], self.written(self.form)
        if len(cells) == 1 and not self.quoted:
            return self.asked.mistake(line, f"has no tab: {quoted(cells[0])}; write {form}")
        remedy = f"write {form}"
        if len(cells) > width:
            remedy = f"{'quote' if self.quoted else 'remove'} the {separator}" + ", or give --columns" * (not self.asked.columns)
        return self.asked.mistake(line, f"has {_columns(len(cells))}, those before have {width}; {remedy}")

    def written(self, cells: list[str]) -> str:
        """Cells as they are written in a row, for a message."""
        return ("<TAB>" if self.delimiter == "\t" else self.delimiter).join(map(_shown, cells))


def _usual_header(asked: _Asked, cells: list[str], quoted: bool) -> _Layout | None:
    """The columns of a header with the answer and the text; for prediction from CSV, the text is enough.  None: it is no header."""
    names = [cell.strip().lower() for cell in cells]
    answers = [name for name in (("label", "score") if asked.task == "regress" else ("label",)) if name in names]
    if "text" not in names or not (answers or (quoted and not asked.answers)):
        return None
    answer = _named(asked, answers[0], names) if answers else None
    texts = [_named(asked, name, names) for name in ("text", "text2")]
    return _Layout(True, answer, tuple(at for at in texts if at is not None))


def _named(asked: _Asked, name: str, cells: list[str]) -> int | None:
    """The column with this name, from 0; None if there is none.  Raises InputError if there are several."""
    if cells.count(name) > 1:
        raise InputError(f"{asked.name} has {cells.count(name)} columns {quoted(name)}; rename one")
    return cells.index(name) if name in cells else None


def _number(asked: _Asked, column: str) -> int | None:
    """The number of a column, from 1; None if it is a name.  Raises InputError if it is zero or negative."""
    digits = column.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        return None
    number = int(column[:18])
    if number < 1:
        raise asked.bad_columns("is out of range; columns are numbered from 1")
    return number


def _beyond(asked: _Asked, column: str, line: int, columns: int) -> InputError:
    """The message for a column asked for that the first row does not have."""
    return asked.bad_columns(f"asks for column {_shown(column)}; {asked.name} line {line} has {_columns(columns)}")


class _Columns:
    """CoNLL-U, or columns with a word a line: an example a sentence."""

    paired = False

    def __init__(self, asked: _Asked, line: int, first: str, is_conllu: bool) -> None:
        """first: the first line with a word; line: its number."""
        self.asked, self.is_conllu = asked, is_conllu
        self.separator = "\t" if "\t" in first else ""
        self.width: int | None = None  # of every line, if no columns are asked for
        columns = len(self.cells(first))
        if asked.columns:
            self.tag, self.word = (self.position(column) for column in asked.columns)
        elif is_conllu:
            self.tag, self.word = 3, 1
        else:
            self.tag, self.word, self.width = max(columns - 1, 1), 0, columns
        for at in (self.word, self.tag) if asked.answers else (self.word,):
            if asked.columns and at >= columns:
                raise _beyond(asked, str(at + 1), line, columns)
        self.description = self.described(columns)

    def position(self, column: str) -> int:
        """The column, from 0; -1 is the last one."""
        number = _number(self.asked, column)
        if number is None and column != "last":
            raise self.asked.bad_columns(f"names {quoted(column)}, which is neither the number of a column nor last")
        return -1 if number is None else number - 1

    def described(self, columns: int) -> str:
        kind = "CoNLL-U" if self.is_conllu else "columns"
        usual = (3, 1) if self.is_conllu else (columns - 1, 0)
        read = [at for at in (self.word, self.tag) if at < columns]
        names = ["last column" if at < 0 else f"column {at + 1}" for at in read]
        if (self.tag % columns if len(read) == 2 else usual[0], self.word) == usual:
            names = ["form", "UPOS"] if self.is_conllu else ["word", "tag"][: len(read)]
        return f"{kind}: {', '.join(names)}"

    def cells(self, text: str) -> list[str]:
        return [cell.strip() for cell in text.split("\t")] if self.separator else text.split()

    def examples(self, lines: Iterator[str]) -> Iterator[Example]:
        words: list[str] = []
        tags: list[str] = []
        start = 0
        for line, text in enumerate(chain(lines, [""]), 1):
            if not text.strip():
                if words:
                    yield Example(start, tuple(words), tuple(tags) if all(tags) else ())
                words, tags = [], []
            elif not self.is_skipped(text):
                word, tag = self.pair(line, self.cells(text))
                start = start if words else line
                words.append(word)
                tags.append(tag)

    def is_skipped(self, text: str) -> bool:
        """Whether a line is a comment, a range or an empty node of CoNLL-U, or starts a document."""
        if not self.is_conllu:
            return text.startswith(_DOCUMENT)
        identifier = text.split("\t", 1)[0]
        return text.startswith("#") or ("\t" in text and ("-" in identifier or "." in identifier))

    def pair(self, line: int, cells: list[str]) -> tuple[str, str]:
        """The word of a line and its tag, "" if it has none and need not have one."""
        columns = len(cells)
        if self.width is not None and columns > self.width:
            remedy = f"remove the {_SEPARATORS[self.separator]}, or give --columns"
            raise self.asked.mistake(line, f"has {_columns(columns)}, those before have {self.width}; {remedy}")
        word, tag = (at if at >= 0 else max(columns - 1, other + 1) for at, other in ((self.word, self.tag), (self.tag, self.word)))
        if word >= columns:
            raise self.misfit(line, columns, f"word {word + 1}")
        has_tag = tag < columns
        if not has_tag and (self.asked.answers or self.width not in (None, columns)):
            raise self.misfit(line, columns, f"tag {tag + 1}")
        if not cells[word]:
            raise self.asked.mistake(line, "has no word")
        if has_tag and self.asked.answers and not cells[tag]:
            raise self.asked.mistake(line, "has no tag")
        return cells[word], cells[tag] if has_tag else ""

    def misfit(self, line: int, columns: int, missing: str) -> InputError:
        remedy = "a blank in place of a tab?" if self.separator else "write the word, a blank and its tag"
        return self.asked.mistake(line, f"has {_columns(columns)} where {missing} is read; {remedy}")


def _has_text(cells: list[str]) -> bool:
    """Whether a row is not blank."""
    return any(map(str.strip, cells))


def _one_line(text: str) -> str:
    """The text stripped, with one space in place of every run of line breaks."""
    return " ".join(filter(None, text.strip().split("\n")))


def _columns(number: int) -> str:
    return "1 column" if number == 1 else f"{number} columns"


def _listed(names: Iterable[str]) -> str:
    """The first few names, for a message; "none" if there are none."""
    first = list(islice(names, _NAMES + 1))
    if not first:
        return "none"
    return ", ".join([*map(_shown, first[:_NAMES]), *["…"] * (len(first) > _NAMES)])


def quoted(text: str) -> str:
    """The first characters of a text in quotes, for a message."""
    return f"'{_shown(text.strip())}'"


def _shown(text: str) -> str:
    """The first characters of a text, on one line, for a message."""
    start = "".join(character if character.isprintable() else " " for character in text[:_SNIPPET])
    return f"{start}…" if len(text) > _SNIPPET else start
