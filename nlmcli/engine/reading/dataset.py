"""The corpus of a run: the tokenizer fitted to the training text, and both texts as token ids."""

from dataclasses import dataclass

from nlmcli.engine.reading.batches import Lines, Stream
from nlmcli.engine.reading.encoded import Encoded, encode
from nlmcli.engine.reading.remembered import key_of, remembered
from nlmcli.engine.reading.texts import Text, Texts, read_texts
from nlmcli.engine.run.settings import Settings
from nlmcli.errors import InputError
from nlmcli.text import saved
from nlmcli.text.tokenizer import Tokenizer
from nlmcli.text.tokenizers import from_dict


@dataclass(frozen=True)
class Dataset:
    """The texts, the tokenizer, and the token ids of the training text and of the held-out text."""

    texts: Texts
    tokenizer: Tokenizer
    train: Encoded
    held_out: Encoded

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

    def digests(self) -> dict[str, str]:
        """Digests of the training part and the held-out part."""
        return {"train": self.texts.train.digest, "valid": self.texts.valid.digest}


def read_dataset(settings: Settings, tokenizer: Tokenizer | None = None) -> Dataset:
    """Read the corpus of a run.  tokenizer: of the run that it starts from.

    Raises InputError if no text is left to train on, or for a file that is not text."""
    s, texts = settings, read_texts(settings)
    if not texts.train:
        raise InputError(f"--valid-fraction {s.valid_fraction} holds out the whole corpus; lower it, or give a longer text")
    if tokenizer is None:
        tokenizer = fitted(s, texts.train)
    return Dataset(texts, tokenizer, *(encode(tokenizer, part, s.by) for part in (texts.train, texts.valid)))


def fitted(s: Settings, train: Text) -> Tokenizer:
    """The tokenizer of a run, fitted to its training text unless a run on the same long text did so before."""
    if s.tokenizer.endswith(saved.ENDING):  # its file may change
        return saved.fit(s.tokenizer, train, s.vocab_size, s.min_count, s.lowercase)
    options = s.vocab_size, s.min_count, s.lowercase
    key = key_of(train.digest, train.characters, "tokenizer", s.tokenizer, *options)
    return from_dict(remembered(key, lambda: saved.fit(s.tokenizer, train, *options).to_dict()))
