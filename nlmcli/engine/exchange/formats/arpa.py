"""ARPA: an n-gram model as text, a line for each n-gram, read by kenlm, SRILM and others.

    log10 p(w|c)   c w   log10 γ(cw)

p of an n-gram that is not listed is γ(c) p(w|c'): interpolated Kneser-Ney smoothing is of this form, since what is listed is the
interpolated p. A line is a sentence there: <s>, its words, </s>. nlm reads an end of line before the first word and after the
last one. Models that read a text as one stream also have n-grams with the end of a line inside; they are left out, and each line
then has the probability that it has on its own.
"""

from typing import IO

import numpy as np

from nlmcli.engine.exchange.format import Format, printable_names, quoting_note
from nlmcli.errors import InputError
from nlmcli.nn.kernel import kernel
from nlmcli.nn.ngram_ranks import fill

BEGIN, END = "<s>", "</s>"
IMPOSSIBLE = -99.0  # log10 p of what is never predicted
CHUNK = 1 << 14  # n-grams whose lines are made at a time
NUMBER = 16  # bytes that a number, with a tab, may take
DECIMALS = 7


class Arpa(Format):
    """All n-grams, of every order."""

    about = "n-grams as text, with back-off weights: kenlm, SRILM"
    endings = (".arpa",)
    usage = 'kenlm.Model("{path}")'

    def check(self, run):
        if run.settings.model != "ngram":
            raise InputError(f"ARPA files hold n-grams, and this is a run of --model {run.settings.model}")
        if run.about.get("imported"):
            raise InputError(f"{run.about['imported']} is an ARPA file already; copy it")
        if run.settings.model_config().add_k is not None:
            raise InputError("additive smoothing is not of the form of an ARPA file; train without --add-k")
        printable_names(run.tokenizer)

    def notes(self, run):
        model = BackOff(run)
        left_out = len(model.word) + 1 - sum(model.listed())
        inside = [f"{left_out:,} n-grams with the end of a line inside are left out: there a line is a sentence"] * (left_out > 0)
        return quoting_note(run.tokenizer) + inside

    def files(self, run):
        return {"": BackOff(run).write}


class BackOff:
    """An n-gram model in the form of the file.  order, V, newline; word, first, parent: of the trie; log_p (M,), log_left (I,)"""

    def __init__(self, run):
        P, model = run.P, run.model
        self.order, self.V, self.newline = model.config.context, model.V, run.tokenizer.newline
        self.word, self.first, M = P.word, P.first, len(P.word)
        p, low, left = np.zeros(M), np.zeros(M), np.ones(len(P.first) - 1)
        arguments = model.prediction_arguments(P)
        fill(*arguments, p, low, left)
        p[: self.V] = arguments[-1]
        with np.errstate(divide="ignore"):
            self.log_p, self.log_left = (np.maximum(np.log10(each), IMPOSSIBLE) for each in (p, left))
        ends = [self.V]  # of the n-grams of each order
        for _ in range(self.order - 1):
            ends.append(int(P.first[ends[-1]]) if ends[-1] < len(P.first) else M)
        self.parts = list(zip([0, *ends[:-1]], ends, strict=True))
        self.parent = np.repeat(np.arange(len(P.first) - 1, dtype=np.int32), np.diff(P.first))  # of the nodes from V on
        self.names = [self.name(i, name) for i, name in enumerate(printable_names(run.tokenizer))] + [BEGIN]

    def name(self, i: int, name: str) -> str:
        """What stands for word i: names that have a meaning in the format get a backslash."""
        return END if i == self.newline else "\\" + name if name in (BEGIN, END) else name

    def listed(self) -> list[int]:
        """The number of n-grams of each order that the file lists, with <s> among the single words."""
        counts = [count_listed(*part, n, self.parent, self.word, self.V, self.newline) for n, part in enumerate(self.parts, 1)]
        return [counts[0] + 1, *counts[1:]]

    def write(self, file: IO[bytes]) -> None:
        file.write(b"\\data\\\n")
        file.writelines(f"ngram {n}={count}\n".encode() for n, count in enumerate(self.listed(), 1))
        encoded = [name.encode() for name in self.names]
        store, bounds = np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)])
        longest = max(map(len, encoded))
        for n, (start, stop) in enumerate(self.parts, 1):
            file.write(f"\n\\{n}-grams:\n".encode())
            out = np.empty(min(CHUNK, stop - start) * (2 * NUMBER + n * (longest + 1)), np.uint8)
            for at in range(start, stop, CHUNK):
                tables = self.parent, self.word, self.first, self.log_p, self.log_left
                size = write_lines(at, min(stop, at + CHUNK), n, *tables, self.V, self.newline, store, bounds, out)
                file.write(out[:size].data)
            if n == 1:
                has_weight = self.order > 1 and self.first[self.newline] < self.first[self.newline + 1]
                weight = f"\t{self.log_left[self.newline]:.{DECIMALS}f}" if has_weight else ""
                file.write(f"{IMPOSSIBLE:g}\t{BEGIN}{weight}\n".encode())
        file.write(b"\n\\end\\\n")


@kernel
def has_line_end_inside(i, n, parent, word, V, newline):
    """Whether a word of n-gram i, but for the first and the last, is the end of a line."""
    for _ in range(n - 2):
        i = parent[i - V]
        if word[i] == newline:
            return True
    return False


@kernel
def count_listed(start, stop, n, parent, word, V, newline):
    listed = 0
    for i in range(start, stop):
        listed += not has_line_end_inside(i, n, parent, word, V, newline)
    return listed


@kernel
def write_lines(start, stop, n, parent, word, first, log_p, log_left, V, newline, store, bounds, out):
    """Write the lines of n-grams start to stop, of order n, into out.  -> the number of bytes"""
    at, ids = 0, np.empty(n, np.int64)
    for i in range(start, stop):
        if has_line_end_inside(i, n, parent, word, V, newline):
            continue
        node = i
        for k in range(n - 1, -1, -1):
            ids[k] = word[node]
            if k > 0:
                node = parent[node - V]
        if n > 1 and ids[0] == newline:
            ids[0] = V  # <s>, whose name follows those of all words
        at = write_number(log_p[i], out, at)
        for k in range(n):
            out[at] = 9 if k == 0 else 32  # a tab before the first word, a blank before the others
            at += 1
            for byte in store[bounds[ids[k]] : bounds[ids[k] + 1]]:
                out[at] = byte
                at += 1
        if i < log_left.size and first[i] < first[i + 1] and ids[n - 1] != newline:
            out[at] = 9
            at = write_number(log_left[i], out, at + 1)
        out[at] = 10
        at += 1
    return at


@kernel
def write_number(x, out, at):
    """Write x with seven decimals.  -> the position after it"""
    scaled = np.int64(np.rint(abs(x) * 10.0**DECIMALS))
    if x < 0 and scaled > 0:
        out[at] = 45  # a minus
        at += 1
    whole, size = scaled // 10**DECIMALS, 1
    while whole >= 10**size:
        size += 1
    for k in range(size - 1, -1, -1):
        out[at + k] = 48 + whole % 10
        whole //= 10
    out[at + size] = 46  # a point
    at += size + 1
    rest = scaled % 10**DECIMALS
    for k in range(DECIMALS - 1, -1, -1):
        out[at + k] = 48 + rest % 10
        rest //= 10
    return at + DECIMALS
