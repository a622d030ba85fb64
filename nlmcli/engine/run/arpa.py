"""ARPA files as runs: an n-gram model with back-off weights, made by kenlm, SRILM or nlm, is used as a run is.

There is no formal definition. Read as well: blanks in place of tabs, CRLF, weights that are missing, positive or -0.0, numbers such as
1e-05, and files without <unk>, which then has log10 p = -100, as in kenlm. A line is <s>, its words and </s>: the end of a line.
"""

import gzip
from pathlib import Path

import numpy as np

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.settings import Settings
from nlmcli.errors import InputError
from nlmcli.models.base.backoff import MOST, BackOff, Config, Tables, trie
from nlmcli.nn.kernel import kernel
from nlmcli.text.tokenizer import UNKNOWN
from nlmcli.text.tokenizers.whitespace import EOS, Whitespace

BEGIN, END, ENDINGS = "<s>", "</s>", (".arpa", ".arpa.gz")
UNKNOWN_LOG = -100.0  # log10 p of <unk> in a file without it
FIELD, NUMBER, WORD = 1, 2, 3  # what is wrong with a line


def is_arpa(path: Path) -> bool:
    """Whether the name is that of an ARPA file."""
    return path.name.endswith(ENDINGS) and not path.is_dir()


def read_arpa(path: Path) -> LanguageModel:
    """The model in a file.  Raises InputError, with the line, if it is damaged or incomplete."""
    data = contents(path)
    counts, at = header(path, data)
    names, first_p, first_weight, at = single_words(path, data, at, counts[0])
    vocabulary = [UNKNOWN, EOS, *(name for name in names if name not in (UNKNOWN, BEGIN, END, EOS))]
    index = {name: i for i, name in enumerate(vocabulary)} | {BEGIN: 1, END: 1}
    V = len(vocabulary)
    log_p, log_weight = np.full(V, UNKNOWN_LOG), np.zeros(V)
    for name, value, back in zip(names, first_p, first_weight, strict=True):
        if name != BEGIN:
            log_p[index[name]] = value
        if name != END:
            log_weight[index[name]] = back
    hashes, ids = hashed(path, {**{name: index[name] for name in names}, BEGIN: 1, END: 1})
    orders, values, weights = [], [log_p], [log_weight]
    for n, count in enumerate(counts[1:], 2):
        at = section(path, data, at, n)
        grams, p, weight = np.empty((count, n), np.int32), np.empty(count), np.empty(count)
        at, wrong = parse(data, at, n, hashes, ids, grams, p, weight)
        if wrong:
            raise wrong_line(path, data, at, n, wrong)
        orders.append(grams)
        values.append(p)
        weights.append(weight)
    end_of_file(path, data, at)
    return run_of(path, Whitespace(vocabulary, np.zeros(V)), orders, values, weights)


def run_of(path: Path, tokenizer: Whitespace, orders: list, values: list, weights: list) -> LanguageModel:
    """The model of these n-grams."""
    V, n = len(tokenizer), len(orders) + 1
    try:
        word, first, sortings = trie(orders, V)
    except LookupError as error:
        order, row, what = error.args
        gram = " ".join(tokenizer.vocabulary[i] for i in orders[order - 2][row])
        raise InputError(f"{path}: the {order}-gram {gram!r} {what}; the file is not a complete ARPA file") from None
    p = np.concatenate([values[0], *(each[order] for each, order in zip(values[1:], sortings, strict=True))])
    left = np.concatenate([weights[0], *(each[order] for each, order in zip(weights[1:], sortings, strict=True))])
    tables = Tables(word, first, 10.0**p, 10.0 ** left[: len(first) - 1])
    settings = Settings.of(model="ngram", tokenizer="whitespace", by="line", context=n)
    model = BackOff(Config(n), V, tokenizer.newline)
    return LanguageModel(model, tables, tokenizer, settings, {"imported": str(path), "step": 1})


def contents(path: Path) -> np.ndarray:
    """The bytes of the file, mapped rather than read, unless it is compressed."""
    try:
        if path.suffix == ".gz":
            return np.frombuffer(gzip.open(path).read(), np.uint8)
        return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    except (OSError, EOFError) as error:
        raise InputError(f"cannot read {path} ({getattr(error, 'strerror', None) or error}); give an ARPA file") from None


def line_at(data: np.ndarray, at: int) -> tuple[str, int]:
    """The line that begins here, without blanks at its ends, and where the next one begins."""
    end = at + next_break(data, at)
    return bytes(data[at:end]).decode("utf-8", "replace").strip(), min(len(data), end + 1)


def header(path: Path, data: np.ndarray) -> tuple[list[int], int]:
    """The number of n-grams of each order."""
    counts, at, begun = list[int](), 0, False
    while at < len(data):
        line, after = line_at(data, at)
        if line == "\\data\\":
            begun = True
        elif begun and line.startswith("ngram "):
            order, _, count = line.removeprefix("ngram ").partition("=")
            if order.strip() != str(len(counts) + 1) or not count.strip().isdigit() or len(counts) == MOST:
                raise InputError(f"{path}: {line!r} is not the number of {len(counts) + 1}-grams; the file is not a complete ARPA file")
            counts.append(int(count))
        elif begun and line.startswith("\\"):
            break
        at = after
    if not counts or sum(counts) * 4 > len(data):  # no n-gram takes fewer bytes
        problem = "more n-grams than it can hold" if counts else "no \\data\\"
        raise InputError(f"{path} has {problem}; it is not a complete ARPA file")
    return counts, section(path, data, at, 1)


def section(path: Path, data: np.ndarray, at: int, n: int) -> int:
    """Where the n-grams of an order begin. Only empty lines may precede their title."""
    line = ""
    while at < len(data) and not line:
        line, at = line_at(data, at)
    if line != f"\\{n}-grams:":
        raise InputError(f"{path}: {line[:40]!r} stands where \\{n}-grams: should be; the file is cut, or a number in its head is wrong")
    return at


def end_of_file(path: Path, data: np.ndarray, at: int) -> None:
    line = ""
    while at < len(data) and not line:
        line, at = line_at(data, at)
    if line != "\\end\\":
        raise InputError(f"{path}: {line[:40]!r} stands where \\end\\ should be; the file is cut, or a number in its head is wrong")


def single_words(path: Path, data: np.ndarray, at: int, count: int) -> tuple[list[str], list[float], list[float], int]:
    """The words, with log10 p and log10 γ of each."""
    names, p, weight = list[str](), list[float](), list[float]()
    for _ in range(count):
        line, after = line_at(data, at)
        fields = line.split()
        try:
            if len(fields) not in (2, 3) or "\ufffd" in fields[1]:
                raise ValueError
            names.append(fields[1])
            p.append(log_of(fields[0]))
            weight.append(log_of(fields[2]) if len(fields) == 3 else 0.0)
        except ValueError:
            number = int(np.count_nonzero(data[:at] == ord("\n"))) + 1
            raise InputError(f"{path}, line {number}: {line[:40]!r} is not log10 p, a word in UTF-8, and perhaps a weight") from None
        at = after
    if len(set(names)) < len(names):
        raise InputError(f"{path}: a word is listed twice; the file is not a complete ARPA file")
    if END not in names:
        raise InputError(f"{path} has no {END}; without the end of a line its model cannot be used")
    return names, p, weight, at


def log_of(field: str) -> float:
    value = float(field)
    if not -1000 <= value <= 1000:  # not a number, or none that a power of ten could be made of
        raise ValueError
    return value


def hashed(path: Path, index: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The hash of each word, sorted, and the ids in the same order."""
    store = [np.frombuffer(name.encode(), np.uint8) for name in index]
    hashes = np.array([hash_of(each, 0, len(each)) for each in store], np.uint64)
    order = np.argsort(hashes)
    if len(np.unique(hashes)) < len(hashes):
        raise InputError(f"{path}: two words have the same hash; rename one of them")
    return hashes[order], np.array(list(index.values()), np.int32)[order]


def wrong_line(path: Path, data: np.ndarray, at: int, n: int, wrong: int) -> InputError:
    number = int(np.count_nonzero(data[:at] == ord("\n"))) + 1
    line = line_at(data, at)[0][:40]
    what = {
        FIELD: f"is not log10 p, {n} words, and perhaps a weight",
        NUMBER: "has a number that cannot be read",
        WORD: "has a word that is not among the 1-grams",
    }[wrong]
    return InputError(f"{path}, line {number}: {line!r} {what}; the file is cut or damaged")


@kernel
def next_break(data, at):
    """The number of bytes up to the end of the line, or of the file."""
    k = 0
    while at + k < data.size and data[at + k] != 10:
        k += 1
    return k


@kernel
def hash_of(data, start, stop):
    """FNV-1a, 64 bits."""
    h = np.uint64(0xCBF29CE484222325)
    for k in range(start, stop):
        h = (h ^ np.uint64(data[k])) * np.uint64(0x100000001B3)
    return h


@kernel
def parse(data, at, n, hashes, ids, grams, p, weight):
    """Parse the lines of n-grams into grams (K,n), p and weight (K,).

    -> where they end, and 0; or where a wrong line begins, and what is wrong with it
    """
    starts, stops = np.empty(n + 3, np.int64), np.empty(n + 3, np.int64)
    for k in range(len(grams)):
        begin, fields = at, 0
        while at < data.size and data[at] != 10:
            while at < data.size and (data[at] == 32 or data[at] == 9 or data[at] == 13):
                at += 1
            if at == data.size or data[at] == 10:
                break
            if fields == n + 2:
                return begin, FIELD
            starts[fields] = at
            while at < data.size and data[at] != 32 and data[at] != 9 and data[at] != 10 and data[at] != 13:
                at += 1
            stops[fields] = at
            fields += 1
        at += 1
        if fields < n + 1:
            return begin, FIELD
        p[k] = number(data, starts[0], stops[0])
        weight[k] = number(data, starts[n + 1], stops[n + 1]) if fields == n + 2 else 0.0
        if not (-1000 <= p[k] <= 1000 and -1000 <= weight[k] <= 1000):
            return begin, NUMBER
        for j in range(n):
            h = hash_of(data, starts[1 + j], stops[1 + j])
            i = np.searchsorted(hashes, h)
            if i == hashes.size or hashes[i] != h:
                return begin, WORD
            grams[k, j] = ids[i]
    return at, 0


@kernel
def number(data, start, stop):
    """A decimal number, with or without an exponent; NaN if it is none."""
    value, scale, digits, k, negative = 0.0, 0, 0, start, False
    if k < stop and (data[k] == 45 or data[k] == 43):
        negative = data[k] == 45
        k += 1
    while k < stop and 48 <= data[k] <= 57:
        value = value * 10 + (data[k] - 48)
        digits += 1
        k += 1
    if k < stop and data[k] == 46:
        k += 1
        while k < stop and 48 <= data[k] <= 57:
            value = value * 10 + (data[k] - 48)
            digits += 1
            scale -= 1
            k += 1
    if k < stop and (data[k] == 101 or data[k] == 69) and digits > 0:
        k += 1
        minus, exponent, digits = False, 0, 0
        if k < stop and (data[k] == 45 or data[k] == 43):
            minus = data[k] == 45
            k += 1
        while k < stop and 48 <= data[k] <= 57:
            exponent = min(1000, exponent * 10 + (data[k] - 48))
            digits += 1
            k += 1
        scale += -exponent if minus else exponent
    if digits == 0 or k < stop:
        return np.nan
    value = value * 10.0**scale
    return -value if negative else value
