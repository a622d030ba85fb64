"""What every run has, whether it learns step by step or counts: its texts, its folder, and what it tells at the end."""

import itertools
from pathlib import Path

import numpy as np

from nlmcli.engine.reading.texts import Texts
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.writing.generate import generate
from nlmcli.engine.writing.sampling import Sampling
from nlmcli.errors import InputError

SHIPPED_PROMPT = "students opened their"


def sample_of(lm: LanguageModel) -> str:
    """A few words as the model writes them."""
    length = 120 if lm.tokenizer.name in ("char", "byte") else 30
    ids = np.array(list(itertools.chain(*generate(lm, length=length, seed=lm.settings.seed, sampling=Sampling(0.8)))))
    return lm.tokenizer.decode(ids)


def prompt_of(texts: Texts, settings: Settings) -> str:
    return texts.opening() if settings.corpus else SHIPPED_PROMPT


def name_of(settings: Settings) -> str:
    """What a run's folder is named after where none is given: the corpus and the model."""
    return f"{Path(settings.corpus[0]).stem if settings.corpus else 'students'}-{settings.model}"


def check_free(folder: Path) -> None:
    """Raises InputError where a folder holds a run already."""
    if (folder / "last.npz").exists():
        raise InputError(f"{folder} holds a run already; go on with --resume, or give another --out")
