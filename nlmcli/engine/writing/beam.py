"""Beam search: the text that is most probable as a whole, as far as a search that keeps W beginnings finds it.

score of a text of n tokens = ln P(text) / ((5 + n) / 6)^A;   with A, the length penalty, above 0 a longer text loses less.
Wu et al. 2016
"""

from dataclasses import dataclass

import numpy as np

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.writing.generate import Decoder, Reader
from nlmcli.options import Option, check_at_least

LENGTH_PENALTY = 0.6  # A, where none is given


@dataclass(frozen=True)
class Hypothesis:
    """A text that goes on from the prompt, ln P of its tokens, and what has been written of it so far."""

    text: str
    logp: float
    tokens: int
    decoder: Decoder

    def with_token(self, i: int, logp: float) -> "Hypothesis":
        decoder = self.decoder.copy()
        return Hypothesis(self.text + decoder.add(i), logp, self.tokens + 1, decoder)

    def score(self, length_penalty: float) -> float:
        return self.logp / ((5 + self.tokens) / 6) ** length_penalty


def beam_search(
    lm: LanguageModel, prompt: str, length: int, width: int, length_penalty: float = LENGTH_PENALTY, stop: tuple[str, ...] = ()
) -> Hypothesis:
    """The best text of at most `length` tokens among those that the search has seen, its end in `text`.

    A text ends before a string of `stop`, or, if the model was trained line by line, with its line.
    Raises InputError for a width below 1.
    """
    check_at_least("beam", width, 1)
    Option(least=-10, most=10).check("length_penalty", length_penalty)
    stop = (*stop, "\n") if lm.settings.by == "line" else stop
    reader = Reader(lm, prompt, width)
    alive, ended = [Hypothesis("", 0.0, 0, Decoder(lm.tokenizer, prompt, stop))], list[Hypothesis]()
    for _ in range(length):
        parents, tokens, logp = best_steps(reader.logits[: len(alive)], np.array([one.logp for one in alive]), width)
        grown = [alive[k].with_token(i, p) for k, i, p in zip(parents, tokens, logp, strict=True)]
        going = [k for k, one in enumerate(grown) if not one.decoder.ended]
        ended += [one for one in grown if one.decoder.ended]
        alive = [grown[k] for k in going]
        if not alive or len(ended) >= width:
            break
        rows = np.resize(going, width)  # places that are free repeat what others hold
        reader.reorder(np.array(parents)[rows])
        reader.read(np.array(tokens)[rows][None])
    return max(ended + alive, key=lambda one: one.score(length_penalty))


def best_steps(logits: np.ndarray, logp: np.ndarray, width: int) -> tuple[list[int], list[int], list[float]]:
    """The most probable next steps of all beginnings: whose, which token, ln P with it.  logits (W,V), logp (W,)."""
    z = logits.astype(np.float64)
    total = logp[:, None] + z - np.logaddexp.reduce(z, axis=1, keepdims=True)
    best = np.argsort(-total, axis=None, kind="stable")[:width]
    best = best[np.isfinite(total.flat[best])]
    parents, tokens = np.divmod(best, z.shape[1])
    return parents.tolist(), tokens.tolist(), total.flat[best].tolist()
