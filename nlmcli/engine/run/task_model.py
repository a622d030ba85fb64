"""A trained model of a task on labelled texts: encoder and head with their parameters, tokenizer, labels and settings."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nlmcli.engine.run.labels import Labels
from nlmcli.engine.run.saved import Saved
from nlmcli.engine.run.settings import Settings
from nlmcli.errors import InputError
from nlmcli.heads import HEADS
from nlmcli.heads.base.encoder import PAIRS, Encoder
from nlmcli.heads.base.head import Head
from nlmcli.models import MODELS
from nlmcli.text.tokenizer import Tokenizer
from nlmcli.text.tokenizers.whitespace import Whitespace
from nlmcli.text.word_form import BUCKETS


@dataclass
class TaskModel(Saved):
    """`model` is a Head. rare: the words of the training part that are outside the vocabulary, for tag."""

    labels: Labels
    rare: tuple[str, ...] = ()

    def guessing(self) -> float:
        """The loss of an untrained model."""
        return self.labels.guessing()

    def described(self) -> dict[str, Any]:
        return super().described() | {"labels": self.labels.to_dict(), "rare": list(self.rare)}

    @classmethod
    def restored(cls, arrays: dict[str, np.ndarray], about: dict[str, Any], settings: Settings, tokenizer: Tokenizer) -> "TaskModel":
        labels, rare = Labels.from_dict(about.pop("labels")), tuple(about.pop("rare"))
        head = build_head(settings, tokenizer, labels)
        return cls(head, head.restore(arrays), tokenizer, settings, about, labels, rare)


def reads_forms(settings: Settings, tokenizer: Tokenizer) -> bool:
    """Whether words are also read by their form.  Raises InputError if they are asked to be and the tokenizer has no words."""
    asked, has_words = settings.task_config().subwords, isinstance(tokenizer, Whitespace)
    if asked and not has_words:
        raise InputError(f"--subwords reads the forms of words, and the {tokenizer.name} tokenizer has none; leave it out")
    return has_words if asked is None else asked


def reads_pairs(settings: Settings, labels: Labels) -> bool:
    """Whether pairs of neighboring words have embeddings too. Two texts are compared by their words, which pairs would blur."""
    asked = settings.task_config().bigrams
    return not (MODELS.get(settings.model).reads_order or labels.paired) if asked is None else asked


def build_head(settings: Settings, tokenizer: Tokenizer, labels: Labels) -> Head:
    """The untrained encoder and head of the settings, for this vocabulary and these labels."""
    config, model_config = settings.task_config(), settings.model_config()
    model = MODELS.get(settings.model)(replace(model_config, softmax="full", cutoffs=None), 1, newline=0)
    buckets = BUCKETS if reads_forms(settings, tokenizer) else 0
    pairs = PAIRS if reads_pairs(settings, labels) else 0
    encoder = Encoder(model, len(tokenizer), tokenizer.newline, config.bidirectional, buckets, pairs=pairs)
    weights = labels.weights(getattr(config, "balance", False)) if labels.names else None
    Task: Any = HEADS.get(settings.task)
    return Task(config, encoder, max(1, len(labels.names)), labels.paired, model_config.dropout, weights)
