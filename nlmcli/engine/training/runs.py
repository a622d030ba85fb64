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


def new_folder(out: Path | None, settings: Settings) -> Path:
    """The run's folder, made, with its config.yaml.  Raises InputError where there is a run already, or no folder can be made."""
    corpus = Path(settings.corpus[0]).stem if settings.corpus else "students"
    folder = make_folder(out, corpus, settings.model)
    write_config(folder, settings)
    return folder


def make_folder(out: Path | None, corpus: str, model: str) -> Path:
    """This folder, or the first under ./runs named after the corpus and the model that there is not yet.

    Raises InputError where there is a run already, or no folder can be made.
    """
    numbered = (RUNS / f"{corpus}-{model}-{n}" for n in itertools.count(1))
    folder = out or next(path for path in numbered if not path.exists())
    if (folder / "last.npz").exists():
        raise InputError(f"{folder} holds a run already; go on with --resume, or give another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} ({error.strerror})") from None
    return folder
