"""What neural and count-based runs share: folder, samples, prompt and floor perplexity."""

import itertools
from pathlib import Path

import numpy as np

from nlmcli.engine.reading.texts import Texts
from nlmcli.engine.run.config import write_config
from nlmcli.engine.run.language_model import RUNS, LanguageModel
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.scoring import evaluate
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


def floor_perplexity(texts: Texts, tokens: int) -> float | None:
    """The perplexity of the grammar that generated the text, on its held-out tokens; None if it is unknown."""
    return evaluate.perplexity(texts.floor / tokens) if texts.floor else None


def default_folder(settings: Settings) -> Path:
    """The first unused folder under ./runs named after the corpus and the model."""
    corpus = Path(settings.corpus[0]).stem if settings.corpus else "students"
    return unused_folder(corpus, settings.model)


def unused_folder(corpus: str, model: str) -> Path:
    numbered = (RUNS / f"{corpus}-{model}-{n}" for n in itertools.count(1))
    return next(path for path in numbered if not path.exists())


def create_run(folder: Path, settings: Settings) -> None:
    """Create the folder of a run, with its config.yaml.  Raises InputError as `create_folder` does."""
    create_folder(folder)
    write_config(folder, settings)


def create_folder(folder: Path) -> None:
    """Create a folder for a run.  Raises InputError if it already holds a run or cannot be created."""
    if (folder / "last.npz").exists():
        raise InputError(f"{folder} already holds a run; continue it with --resume, or give another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot create the folder {folder} ({error.strerror})") from None
