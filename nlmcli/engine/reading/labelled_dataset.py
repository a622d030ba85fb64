"""The labelled texts of a run: the tokenizer and the labels of the training part, and both parts as token ids."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import numpy as np

from nlmcli.engine.reading.examples import ExampleBatches, Examples, Reader, number
from nlmcli.engine.reading.lexicon import Lexicon
from nlmcli.engine.reading.texts import Text
from nlmcli.engine.run.labels import Labels
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.run.task_model import reads_forms
from nlmcli.errors import InputError
from nlmcli.text import corpus, saved
from nlmcli.text.labelled import Example, Labelled, quoted
from nlmcli.text.tokenizer import Tokenizer

SHIPPED = {"classify": "students-topics.tsv", "regress": "students-numbers.tsv", "tag": "students-tags.conll"}


@dataclass
class LabelledDataset:
    """duplicates: the number of held-out texts that stand in the training part too.  rare: words outside the vocabulary, for tag."""

    files: list[Labelled]
    tokenizer: Tokenizer
    lexicon: Lexicon
    labels: Labels
    train: Examples
    held_out: Examples
    texts: dict[str, str]
    duplicates: int
    held_out_examples: int
    rare: tuple[str, ...] = field(default=())

    def batches(self, settings: Settings) -> ExampleBatches:
        """The training batches."""
        return ExampleBatches(self.train, settings.batch_size, settings.seed)

    def digests(self) -> dict[str, str]:
        """Digests of the training part and the held-out part."""
        return self.texts

    @property
    def has_held_out(self) -> bool:
        return len(self.held_out) > 0

    def forget(self) -> None:
        """Nothing: the ids are in memory."""

    def held_out_tokens(self) -> int:
        """The number of held-out tokens, the ends of line included."""
        return len(self.held_out.ids)


class Part:
    """The training examples or the held-out ones, read anew on every pass."""

    def __init__(self, files: list[Labelled], last: bytes = b"", held_out: bool | None = None):
        """held_out: the examples whose digest is at most `last`, or the others; None: all of them."""
        self.files, self.last, self.held_out = files, last, held_out

    def __iter__(self) -> Iterator[Example]:
        return filter(self.has, chain(*self.files))

    def has(self, example: Example) -> bool:
        """Whether an example of the files belongs to this part."""
        return self.held_out is None or (corpus.digest(key(example)) <= self.last) == self.held_out

    def numbers(self) -> np.ndarray:
        """The answers as numbers.  Raises InputError for one in the files, of this part or not, that is none."""
        values = array("d")
        for file in self.files:
            for example in file:
                value = number(example, file.name)
                if self.has(example):
                    values.append(value)
        return np.array(values)

    def lines(self) -> Iterator[str]:
        """Each text as a line."""
        for example in self:
            yield " ".join(example.texts) + "\n" if self.files[0].task == "tag" else "".join(f"{text}\n" for text in example.texts)


def key(example: Example) -> str:
    """What makes two examples the same text."""
    return "\t".join(example.texts)


def columns_of(settings: Settings) -> tuple[str, ...] | None:
    asked = settings.task_config().columns
    return None if asked is None else tuple(asked.split(","))


def open_files(paths: tuple[str, ...], settings: Settings) -> list[Labelled]:
    """The files of a run.  Raises InputError if their formats differ in the number of texts."""
    if not paths:
        return [shipped(settings, SHIPPED[settings.task])]
    files = [Labelled(path, settings.task, columns_of(settings), settings.encoding) for path in paths]
    check_same_texts(files)
    return files


def check_same_texts(files: list[Labelled]) -> None:
    """Raises InputError if some files have one text a line and others two."""
    for other in files[1:]:
        if other.paired != files[0].paired:
            one, two = ("one text", "two texts")[:: -1 if files[0].paired else 1]
            raise InputError(f"{files[0].name} has {one} a line, {other.name} has {two}; give files of one kind")


def shipped(settings: Settings, name: str) -> Labelled:
    """A labelled file that ships with nlm; messages call it by its name alone."""
    file = Labelled(corpus.shipped_file(name), settings.task)
    file.name = f"'{name}'"
    return file


def read_labelled(settings: Settings, tokenizer: Tokenizer | None = None) -> LabelledDataset:
    """Read the labelled files of a run, and hold out a part.  tokenizer: of the run that this one starts from.

    Raises InputError for a file that is not as it should be, or has nothing to learn.
    """
    s = settings
    train, valid = parts(s)
    labels = read_labels(train, s)
    if tokenizer is None:
        tokenizer = saved.fit(s.tokenizer, Text(lambda: blocks(train.lines()), 1), s.vocab_size, s.min_count, s.lowercase)
    if s.task == "regress":
        valid.numbers()
    lexicon = Lexicon(tokenizer, reads_forms(s, tokenizer))
    if s.get("positive") not in (None, *labels.names):
        shown = ", ".join(map(quoted, labels.names[:10])) + ", ..." * (len(labels.names) > 10)
        raise InputError(f"--positive {s.get('positive')!r} is not a label; the labels: {shown}")
    reader = partial(Reader, s.task, lexicon, labels, s.seq_len)
    train_digest, _ = digest(train)
    valid_digest, held_out = digest(valid)
    return LabelledDataset(
        train.files,
        tokenizer,
        lexicon,
        labels,
        reader().encode(train),
        reader().encode(valid),
        {"train": train_digest, "valid": valid_digest},
        duplicates(train, valid),
        held_out,
        rare_words(train, tokenizer) if s.task == "tag" else (),
    )


def parts(s: Settings) -> tuple[Part, Part]:
    """The training part and the held-out part."""
    files = open_files(s.corpus, s)
    if s.valid or not s.corpus:
        valid = open_files((s.valid,), s) if s.valid else [shipped(s, SHIPPED[s.task].replace(".", ".valid.", 1))]
        check_same_texts(files + valid)
        return Part(files), Part(valid)
    last, _, held = corpus.held_out(map(key, chain(*files)), s.valid_fraction)
    if not held:
        return Part(files), Part([])
    return Part(files, last, False), Part(files, last, True)


def read_labels(train: Part, s: Settings) -> Labels:
    """The labels of the training part, or mean and deviation of its numbers.  Raises InputError if there is nothing to learn."""
    name, paired = train.files[0].name, train.files[0].paired
    if s.task == "regress":
        values = train.numbers()
        check_numbers(values, name)
        return Labels((), (), float(values.mean()), float(values.std()), paired, len(values))
    counts: Counter[str] = Counter()
    n = 0
    for example in train:
        counts.update(example.answers)
        n += 1
    names = sorted(counts, key=lambda label: (-counts[label], label))
    if len(names) < 2:
        raise InputError(f"{name}: {only(counts, 'word' if s.task == 'tag' else 'text')}; there is nothing to tell apart")
    if s.task == "tag" and n == 1 and (several := next((label for label in names if " " in label), None)):
        raise InputError(
            f"{name}: a single sentence, with tags of several words such as {quoted(several)}; "
            "give --task classify for a text a line, or a blank line after each sentence"
        )
    return Labels(tuple(names), tuple(counts[label] for label in names), paired=paired, examples=n)


def check_numbers(values: np.ndarray, name: str) -> None:
    """Raises InputError if the numbers of the training part do not differ."""
    if len(values) < 2:
        raise InputError(f"{name}: it has {'no examples' if len(values) == 0 else 'a single example'} to train on; give more")
    if values.min() == values.max():  # their deviation may differ from 0 by rounding
        raise InputError(f"{name}: all {len(values):,} numbers are equal; there is nothing to learn")
    if values.std() == 0:
        raise InputError(f"{name}: the {len(values):,} numbers differ by too little; multiply them all by a large number")


def only(counts: Counter[str], what: str) -> str:
    """What is wrong with a training part of fewer than two labels, for a message."""
    if not counts:
        return "it has no examples to train on"
    [(label, n)] = counts.items()
    kind = "tag" if what == "word" else "label"
    return f"its only {what} has the {kind} {quoted(label)}" if n == 1 else f"all {n:,} {what}s have the {kind} {quoted(label)}"


def blocks(lines: Iterator[str], size: int = 1 << 20) -> Iterator[str]:
    """The lines in larger strings."""
    block: list[str] = []
    length = 0
    for line in lines:
        block.append(line)
        length += len(line)
        if length >= size:
            yield "".join(block)
            block, length = [], 0
    if block:
        yield "".join(block)


def digest(part: Part) -> tuple[str, int]:
    """The SHA-256 of texts and answers, in order, and the number of examples."""
    sha, n = hashlib.sha256(), 0
    for example in part:
        sha.update("\t".join((*example.texts, *example.answers, "\n")).encode("utf-8", "surrogatepass"))
        n += 1
    return sha.hexdigest(), n


def duplicates(train: Part, valid: Part) -> int:
    """The number of held-out texts that stand in the training part too."""
    if valid.held_out is not None:
        return 0  # equal texts are on the same side
    held = Counter(corpus.digest(key(example)) for example in valid)
    found = {each for each in (corpus.digest(key(example)) for example in train) if each in held}
    return sum(held[each] for each in found)


def rare_words(train: Part, tokenizer: Tokenizer) -> tuple[str, ...]:
    """The words of the training part that are outside the vocabulary, sorted."""
    return tuple(sorted({word for example in train for word in example.texts if word not in tokenizer.index}))
