"""Beam search: an approximate search for the most probable text that keeps the W best hypotheses at every step.

score of a text of n tokens = ln P(text) / ((5 + n) / 6)^A;   a length penalty A > 0 favors longer texts.
Wu et al. 2016
"""

import math
from dataclasses import dataclass

import numpy as np

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.writing.generate import Decoder, Predictor
from nlmcli.options import Option, check_at_least

LENGTH_PENALTY = 0.6  # the default A


@dataclass(frozen=True)
class Hypothesis:
    """A continuation of the prompt: its text so far, ln P of its tokens, their number, and its decoder."""

    text: str
    logp: float
    tokens: int
    decoder: Decoder

    def extend(self, i: int, logp: float) -> "Hypothesis":
        """The hypothesis with token id i appended; logp: ln P including it."""
        decoder = self.decoder.copy()
        return Hypothesis(self.text + decoder.add(i), logp, self.tokens + 1, decoder)

    def score(self, length_penalty: float) -> float:
        return self.logp * math.exp(max(-700.0, min(700.0, -length_penalty * math.log((5 + self.tokens) / 6))))


def beam_search(
    lm: LanguageModel, prompt: str, length: int, width: int, length_penalty: float = LENGTH_PENALTY, stop: tuple[str, ...] = ()
) -> Hypothesis:
    """The best hypothesis found, of at most `length` tokens; `text` is its continuation of the prompt.

    A text ends before a string of `stop` or, if the model was trained by line, at the end of its line.
    Raises InputError for a beam width below 1.
    """
    check_at_least("beam", width, 1)
    Option(least=-100, most=100).check("length_penalty", length_penalty)
    stop = (*stop, "\n") if lm.settings.by == "line" else stop
    predictor = Predictor(lm, prompt, width)
    alive, finished = [Hypothesis("", 0.0, 0, Decoder(lm.tokenizer, prompt, stop))], list[Hypothesis]()
    for _ in range(length):
        parents, tokens, logp = best_extensions(predictor.logits[: len(alive)], np.array([each.logp for each in alive]), width)
        extended = [alive[k].extend(i, p) for k, i, p in zip(parents, tokens, logp, strict=True)]
        unfinished = [k for k, each in enumerate(extended) if not each.decoder.finished]
        finished += [each for each in extended if each.decoder.finished]
        alive = [extended[k] for k in unfinished]
        if not alive or len(finished) >= width:
            break
        rows = np.resize(unfinished, width)  # unused rows of the batch repeat the others
        predictor.reorder(np.array(parents)[rows])
        predictor.read(np.array(tokens)[rows][None])
    return max(finished + alive, key=lambda each: each.score(length_penalty))


def best_extensions(logits: np.ndarray, logp: np.ndarray, width: int) -> tuple[list[int], list[int], list[float]]:
    """The most probable one-token extensions of all hypotheses: parent, token id, ln P.  logits (W,V), logp (W,)."""
    z = logits.astype(np.float64)
    total = logp[:, None] + z - np.logaddexp.reduce(z, axis=1, keepdims=True)
    best = np.argsort(-total, axis=None, kind="stable")[:width]
    best = best[np.isfinite(total.flat[best])]
    parents, tokens = np.divmod(best, z.shape[1])
    return parents.tolist(), tokens.tolist(), total.flat[best].tolist()
