"""What every run has, whether it learns step by step or counts: its texts, its folder, and what it tells at the end."""

import itertools
import math
from pathlib import Path

import numpy as np
import yaml

from nlmcli.engine import evaluate
from nlmcli.engine.atomic import write_atomically
from nlmcli.engine.data import Lines, Stream
from nlmcli.engine.encoded import Encoded
from nlmcli.engine.generate import generate
from nlmcli.engine.language_model import RUNS, LanguageModel
from nlmcli.engine.sampling import Sampling
from nlmcli.engine.settings import Settings
from nlmcli.engine.texts import Texts, read_texts
from nlmcli.errors import InputError
from nlmcli.text import saved
from nlmcli.text.tokenizer import Tokenizer

SHIPPED_PROMPT = "students opened their"


def read_and_fit(settings: Settings) -> tuple[Texts, Tokenizer]:
    """The texts, and a tokenizer fitted to what is trained on.  Raises InputError where that is nothing."""
    s, texts = settings, read_texts(settings)
    if not texts.train:
        raise InputError(f"--valid-fraction {s.valid_fraction} holds out the whole corpus; lower it, or give a longer text")
    return texts, saved.fit(s.tokenizer, texts.train, s.vocab_size, s.min_count, s.lowercase)


def read_data(settings: Settings, tokenizer: Tokenizer, train: Encoded) -> Stream | Lines:
    """The text to train on, as the settings read it."""
    s = settings
    if s.by == "stream":
        return Stream(train.ids, tokenizer.newline, s.batch_size, s.seq_len, s.seed)
    return Lines(train.lines(), tokenizer.newline, s.batch_size, s.seq_len, s.seed)


def sample_of(lm: LanguageModel) -> str:
    """A few words as the model writes them."""
    length = 120 if lm.tokenizer.name in ("char", "byte") else 30
    ids = np.array(list(itertools.chain(*generate(lm, length=length, seed=lm.settings.seed, sampling=Sampling(0.8)))))
    return lm.tokenizer.decode(ids)


def unknown_rate(tokenizer: Tokenizer) -> float:
    """The share of tokens of the training text that are <unk>."""
    return tokenizer.counts[tokenizer.unknown] / tokenizer.counts.sum() if tokenizer.unknown is not None else 0.0


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


def write_config(folder: Path, settings: Settings) -> None:
    """The settings as a run's config.yaml, by the options' names."""
    config = yaml.safe_dump(settings.to_dict(), sort_keys=False, allow_unicode=True)
    write_atomically(folder / "config.yaml", lambda file: file.write(config.encode()))


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


def finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
