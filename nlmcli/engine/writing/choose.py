"""Interactive generation: the model proposes the most probable next tokens, and the user picks one or types their own text."""

import numpy as np

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.writing.generate import Decoder, Predictor, most_probable, tokens_in
from nlmcli.engine.writing.sampling import Sampling


class Choosing:
    """The text written so far, and the candidates for the next token."""

    def __init__(self, lm: LanguageModel, prompt: str, sampling: Sampling):
        self.lm, self.sampling, self.written = lm, sampling, prompt
        self.predictor, self.decoder = Predictor(lm, prompt), Decoder(lm.tokenizer, prompt, ())
        self.seen = tokens_in(lm, prompt)
        self.candidates = np.empty(0, np.int64)

    def most_probable(self, k: int) -> list[tuple[str, float]]:
        """The k most probable next tokens and their probabilities."""
        p = self.sampling.probabilities(self.predictor.logits, self.seen)[0]
        self.candidates = most_probable(self.lm, p, k)
        return [(self.lm.tokenizer.piece(int(i)), float(p[i])) for i in self.candidates]

    def take(self, number: int) -> None:
        """Append one of these candidates, numbered from 1."""
        self.append(self.candidates[number - 1 : number])

    def add(self, text: str) -> None:
        """Append a text that the user typed."""
        self.append(self.lm.tokenizer.encode(text))

    def append(self, ids: np.ndarray) -> None:
        for i in ids.astype(np.int64):
            self.written += self.decoder.add(int(i))
            self.seen[0, i] = True
            self.predictor.read(i.reshape(1, 1))
