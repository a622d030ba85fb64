"""What neural and count-based runs share: folder, samples, prompt and floor perplexity."""

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


def sample_text(lm: LanguageModel) -> str:
    """A short text sampled from the model, for the log."""
    length = 120 if lm.tokenizer.name in ("char", "byte") else 30
    ids = np.array(list(itertools.chain(*generate(lm, length=length, seed=lm.settings.seed, sampling=Sampling(0.8)))))
    return lm.tokenizer.decode(ids)


def suggested_prompt(texts: Texts, settings: Settings) -> str:
    return texts.opening() if settings.corpus else SHIPPED_PROMPT


def run_name(settings: Settings) -> str:
    """The name of a run without --out: its corpus and its model."""
    shipped = "students" if settings.task == "generate" else f"students-{settings.task}"
    return f"{Path(settings.corpus[0]).stem if settings.corpus else shipped}-{settings.model}"


def check_unused(folder: Path) -> None:
    """Raises InputError if a folder already holds a run."""
    if (folder / "last.npz").exists():
        raise InputError(f"{folder} already holds a run; continue it with --resume, or give another --out")
