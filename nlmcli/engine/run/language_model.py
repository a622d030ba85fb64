"""A trained language model with everything needed to use it: parameters, tokenizer, settings; the contents of a checkpoint."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nlmcli.engine.run.neural_cache import Recall
from nlmcli.engine.run.saved import Saved
from nlmcli.engine.run.settings import Settings
from nlmcli.models import MODELS
from nlmcli.models.base import Model, State
from nlmcli.models.base.clusters import best_cutoffs
from nlmcli.nn.precision import products_in
from nlmcli.text.tokenizer import Tokenizer


@dataclass
class LanguageModel(Saved):
    """The model of a run of --task generate.  recall: a neural cache that generation consults, or None"""

    recall: Recall | None = None

    @classmethod
    def restored(cls, arrays: dict[str, np.ndarray], about: dict[str, Any], settings: Settings, tokenizer: Tokenizer) -> "LanguageModel":
        model = build(settings, tokenizer)
        return cls(model, model.restore(arrays), tokenizer, settings, about)

    def start(self, batch: int) -> State:
        """The initial state, before the first token of each of `batch` texts."""
        return self.model.start(batch, self.P.flat.dtype)

    def score(self, x: np.ndarray, targets: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray, State]:
        """nll (N,) and rank (N,) of the N targets that are not padding, by time step, and the state after x.  x, targets (T,B).

        The rank is the position in the order in which greedy decoding and `--probs` choose: equals by their ids, without <unk>.
        """
        with products_in(self.settings.precision):
            return self.model.score(self.P, x, targets, state, self.excluded)

    def guessing(self) -> float:
        """The loss of equally probable tokens, in nats."""
        return math.log(max(2, self.model.V))

    @property
    def excluded(self) -> int:
        """The id of <unk>, which is never generated; -1 if the tokenizer has none."""
        return -1 if self.tokenizer.unknown is None else self.tokenizer.unknown


def with_cutoffs(s: Settings, tokenizer: Tokenizer) -> Settings:
    """The settings with the cutoffs of an adaptive softmax, chosen by how often each word occurs; a full one if no cluster pays."""
    if s.get("softmax") != "adaptive" or s.get("cutoffs"):
        return s
    config = s.model_config()
    probe = MODELS.get(s.model)(replace(config, cutoffs="1", tie=False), max(2, len(tokenizer)), tokenizer.start)
    width = config.embed if config.tie else probe.shapes()["U"][0]
    chosen = best_cutoffs(tokenizer.counts, width, not config.tie, s.batch_size * s.seq_len)
    found = {"softmax": "adaptive", "cutoffs": ",".join(map(str, chosen))} if chosen else {"softmax": "full"}
    return replace(s, config={**s.config, **found})


def build(settings: Settings, tokenizer: Tokenizer) -> Model:
    """The untrained model of the settings, for this vocabulary."""
    Architecture = MODELS.get(settings.model)
    return Architecture(settings.model_config(), len(tokenizer), tokenizer.start)
