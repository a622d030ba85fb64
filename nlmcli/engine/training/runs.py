"""What every run has, whether it learns step by step or counts: its texts, its folder, and what it tells at the end."""

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


def sample_of(lm: LanguageModel) -> str:
    """A few words as the model writes them."""
    length = 120 if lm.tokenizer.name in ("char", "byte") else 30
    ids = np.array(list(itertools.chain(*generate(lm, length=length, seed=lm.settings.seed, sampling=Sampling(0.8)))))
    return lm.tokenizer.decode(ids)


def prompt_of(texts: Texts, settings: Settings) -> str:
    return texts.opening() if settings.corpus else SHIPPED_PROMPT


def floor_perplexity(texts: Texts, tokens: int) -> float | None:
    """That of the grammar which made the text, on the tokens that are held out."""
    return evaluate.perplexity(texts.floor / tokens) if texts.floor else None


def fresh_folder(settings: Settings) -> Path:
    """The first folder under ./runs named after the corpus and the model that does not exist yet."""
    corpus = Path(settings.corpus[0]).stem if settings.corpus else "students"
    return first_free(corpus, settings.model)


def first_free(corpus: str, model: str) -> Path:
    numbered = (RUNS / f"{corpus}-{model}-{n}" for n in itertools.count(1))
    return next(path for path in numbered if not path.exists())


def new_folder(folder: Path, settings: Settings) -> None:
    """Make a run's folder, with its config.yaml.  Raises InputError as `make_folder` does."""
    make_folder(folder)
    write_config(folder, settings)


def make_folder(folder: Path) -> None:
    """Make a folder for a run.  Raises InputError where there is a run already, or the folder cannot be made."""
    if (folder / "last.npz").exists():
        raise InputError(f"{folder} holds a run already; go on with --resume, or give another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} ({error.strerror})") from None
