"""A text that a model and a person write together: the model says what is probable, the person takes it or not."""

import numpy as np

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.writing.generate import Decoder, Reader, seen_in
from nlmcli.engine.writing.sampling import Sampling


class Choosing:
    """What is written so far, and what may come next."""

    def __init__(self, lm: LanguageModel, prompt: str, sampling: Sampling):
        self.lm, self.sampling, self.written = lm, sampling, prompt
        self.reader, self.decoder = Reader(lm, prompt), Decoder(lm.tokenizer, prompt, ())
        self.seen = seen_in(lm, prompt)
        self.order = np.empty(0, np.int64)

    def most_probable(self, k: int) -> list[tuple[str, float]]:
        """The k most probable next tokens and their probabilities."""
        p = self.sampling.shape(self.reader.logits, self.seen)[0]
        self.order = np.argsort(-p, kind="stable")[:k]
        return [(self.lm.tokenizer.piece(int(i)), float(p[i])) for i in self.order]

    def take(self, number: int) -> None:
        """Go on with one of those, counted from 1."""
        self.read(self.order[number - 1 : number])

    def add(self, text: str) -> None:
        """Go on with a text of one's own."""
        self.read(self.lm.tokenizer.encode(text))

    def read(self, ids: np.ndarray) -> None:
        for i in ids.astype(np.int64):
            self.written += self.decoder.add(int(i))
            self.seen[0, i] = True
            self.reader.read(i.reshape(1, 1))
