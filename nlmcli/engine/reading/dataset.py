"""The corpus of a run: the tokenizer fitted to the training text, and both texts as token ids."""

import re
from dataclasses import dataclass
from typing import cast

import numpy as np

from nlmcli.engine.reading.batches import Lines, Stream
from nlmcli.engine.reading.encoded import Encoded, encode
from nlmcli.engine.reading.id_files import IdText, counts_of
from nlmcli.engine.reading.remembered import remembered
from nlmcli.engine.reading.texts import Text, Texts, read_texts
from nlmcli.engine.run.settings import Settings
from nlmcli.errors import InputError
from nlmcli.text import saved
from nlmcli.text.tokenizer import AFTER_LINE_END, Tokenizer, cut
from nlmcli.text.tokenizers import from_dict


@dataclass(frozen=True)
class Dataset:
    """The texts, the tokenizer, and the token ids of the training text and of the held-out text, or of its beginning."""

    texts: Texts
    tokenizer: Tokenizer
    train: Encoded
    held_out: Encoded
    is_whole: bool = True  # whether `held_out` is all of the held-out text

    def batches(self, settings: Settings) -> Stream | Lines:
        """The training batches.  Raises InputError if the text is too short for a batch."""
        s, first = settings, self.tokenizer.start
        if s.by == "stream":
            return Stream(self.train.ids, first, s.batch_size, s.seq_len, s.seed, self.train.check)
        return Lines(self.train.lines(), first, s.batch_size, s.seq_len, s.seed)

    @property
    def has_held_out(self) -> bool:
        return bool(self.texts.valid)

    def forget(self) -> None:
        """Release the memory of the part of the training text that was read."""
        self.train.forget()

    def held_out_tokens(self) -> int:
        """The number of held-out tokens."""
        return len(self.held_out)

    def floor(self) -> float | None:
        """-ln P of the held-out text in nats under the true distribution, if that is known and all of the text is scored."""
        return self.texts.floor if self.is_whole else None

    def digests(self) -> dict[str, str]:
        """Digests of the training part and the held-out part."""
        return {"train": self.texts.train.digest, "valid": self.texts.valid.digest}


def read_dataset(settings: Settings, tokenizer: Tokenizer | None = None) -> Dataset:
    """Read the corpus of a run.  tokenizer: of the run that it starts from.

    Raises InputError if no text is left to train on, or for a file that is not text."""
    s, texts = settings, read_texts(settings, tokenizer)
    if not texts.train:
        raise InputError(f"--valid-fraction {s.valid_fraction} holds out the whole corpus; lower it, or give a longer text")
    if tokenizer is None:
        tokenizer = fitted(s, texts.train)
    valid = texts.valid if s.valid_tokens is None else beginning(tokenizer, texts.valid, s.valid_tokens)
    return Dataset(texts, tokenizer, encode(tokenizer, texts.train, s.by), encode(tokenizer, valid, s.by), valid is texts.valid)


def beginning(tokenizer: Tokenizer, text: Text, tokens: int) -> Text:
    """The first lines of a text, with at least so many tokens in all."""
    if isinstance(text, IdText):
        return text.cut(0, tokens) if tokens < text.characters else text
    key = text.key("beginning", tokens, tokenizer.to_dict())
    characters = remembered(key, lambda: length_of_beginning(tokenizer, text, tokens))
    return text if characters is None else text.cut(0, characters)


def length_of_beginning(tokenizer: Tokenizer, text: Text, tokens: int) -> int | None:
    """The number of characters in the first lines of a text with at least so many tokens; None if it has fewer."""
    counted = characters = 0
    for part in cut(text, AFTER_LINE_END):
        for line in re.findall(r"[^\n]*\n|[^\n]+", part):
            counted, characters = counted + len(tokenizer.encode(line)), characters + len(line)
            if counted >= tokens:
                return characters
    return None


def fitted(s: Settings, train: Text) -> Tokenizer:
    """The tokenizer of a run, fitted to its training text unless a run on the same long text did so before."""
    if isinstance(train, IdText):
        train.tokenizer.counts = np.array(remembered(train.key("counts"), lambda: counts_of(train).tolist()))
        return cast(Tokenizer, train.tokenizer)
    if s.tokenizer.endswith(saved.ENDING):  # its file may change
        return saved.fit(s.tokenizer, train, s.vocab_size, s.min_count, s.lowercase)
    options = s.vocab_size, s.min_count, s.lowercase
    return from_dict(remembered(train.key("tokenizer", s.tokenizer, *options), lambda: saved.fit(s.tokenizer, train, *options).to_dict()))
