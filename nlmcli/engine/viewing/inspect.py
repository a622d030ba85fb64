"""Inside a trained model: its parameters by name, and which words its embeddings hold to be alike."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.viewing.pictures import new_figure, save_figure
from nlmcli.errors import InputError, near
from nlmcli.text.tokenizer import Tokenizer, visible

MOST = 150  # words that a picture has room for


@dataclass(frozen=True)
class Parameter:
    """A parameter and what its entries are like.  rms: √ of the mean of their squares."""

    name: str
    shape: tuple[int, ...]
    size: int
    mean: float
    rms: float
    largest: float


def parameters(lm: LanguageModel) -> list[Parameter]:
    """Every parameter, in θ order."""
    found = []
    for name, value in lm.P.items():
        x = value.astype(np.float64)
        rms, largest = np.sqrt(np.square(x).mean()), np.abs(x).max()
        found.append(Parameter(name, value.shape, value.size, float(x.mean()), float(rms), float(largest)))
    return found


def embeddings(lm: LanguageModel) -> np.ndarray:
    """E (V,D) in double precision.  Raises InputError for a model that has none."""
    if "E" not in lm.P.shapes:
        raise InputError(f"model {lm.settings.model} has no embeddings to look at")
    return lm.P.E.astype(np.float64)


def neighbors(lm: LanguageModel, word: str, k: int) -> list[tuple[str, float]]:
    """The k types whose embeddings have the largest cosine with the word's, the word itself left out.

    Raises InputError for a word that is not in the vocabulary.
    """
    E, tokenizer = embeddings(lm), lm.tokenizer
    i = type_of(word.lower() if tokenizer.lowercase else word, tokenizer)
    directions = E / np.maximum(np.linalg.norm(E, axis=1, keepdims=True), 1e-30)
    cosine = directions @ directions[i]
    order = [int(j) for j in np.argsort(-cosine, kind="stable") if j != i]
    return [(tokenizer.piece(j), float(cosine[j])) for j in order[:k]]


def type_of(word: str, tokenizer: Tokenizer) -> int:
    """The id of a type, named as it is, as it prints, or without the blank that it begins with.  Raises InputError for no type."""
    if word in tokenizer.index:
        return tokenizer.index[word]
    printed = {tokenizer.piece(i): i for i in range(len(tokenizer))}
    found = [printed[form] for form in (word, visible(f" {word}")) if form in printed]
    if not found:
        raise InputError(f"{word!r} is not in the vocabulary{near(word, printed)}")
    return found[0]


def principal_components(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PCA (Pearson 1901): rows on the two directions in which they differ most.  X (N,D) -> (N,2), shares of the variance (2,)."""
    centred = X - X.mean(axis=0)
    left, s, _ = np.linalg.svd(centred, full_matrices=False)
    s = np.append(s, 0.0)[:2] if s.size < 2 else s
    shares = s[:2] ** 2 / max(float((s**2).sum()), 1e-30)
    return (left[:, :2] * s[:2]), shares


def plot_embeddings(lm: LanguageModel, path: Path) -> None:
    """A picture of the most frequent types where PCA puts them.  Raises InputError where it cannot be drawn."""
    E = embeddings(lm)
    if E.shape[1] < 2:
        raise InputError("embeddings of one number have no second direction to plot")
    shown = np.argsort(-lm.tokenizer.counts, kind="stable")[:MOST]
    at, shares = principal_components(E[shown])
    figure = new_figure(path, (10, 8))
    x, y = (f"component {k + 1} ({share:.0%} of the variance)" for k, share in enumerate(shares))
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    axes.scatter(*at.T, s=0)
    for i, (a, b) in zip(shown, at, strict=True):
        axes.annotate(lm.tokenizer.piece(int(i)), (a, b), fontsize=8, ha="center", va="center", parse_math=False)
    save_figure(figure, path)
