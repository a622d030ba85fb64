"""Inspection of a trained model: its parameters by name, the nearest neighbors and a plot of its embeddings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.viewing.figures import TEXT, new_axes, new_figure, save_figure
from nlmcli.errors import InputError, near
from nlmcli.text.tokenizer import Tokenizer, visible

PLOTTED_TYPES = 150  # most that fit into a plot


@dataclass(frozen=True)
class Parameter:
    """A parameter with statistics of its entries.  rms: root mean square; largest: absolute value."""

    name: str
    shape: tuple[int, ...]
    size: int
    mean: float
    rms: float
    largest: float


def parameters(lm: LanguageModel) -> list[Parameter]:
    """Every parameter, in θ order."""
    statistics = []
    for name, value in lm.P.items():
        x = value.astype(np.float64)
        rms, largest = np.sqrt(np.square(x).mean()), np.abs(x).max()
        statistics.append(Parameter(name, value.shape, value.size, float(x.mean()), float(rms), float(largest)))
    return statistics


def embeddings(lm: LanguageModel) -> np.ndarray:
    """E (V,D) in float64.  Raises InputError for a model without embeddings."""
    if "E" not in lm.P.shapes:
        raise InputError(f"model {lm.settings.model} has no embeddings; give a run of another model")
    return lm.P.E.astype(np.float64)


def neighbors(lm: LanguageModel, word: str, k: int) -> list[tuple[str, float]]:
    """The k types with the largest cosine similarity to the word's embedding, without the word itself.

    Raises InputError for a word that is not in the vocabulary, or a model without embeddings.
    """
    E, tokenizer = embeddings(lm), lm.tokenizer
    i = type_of(word.lower() if tokenizer.lowercase else word, tokenizer)
    normalized = unit_rows(E)
    cosine = normalized @ normalized[i]
    order = [int(j) for j in np.argsort(-cosine, kind="stable") if j != i]
    return [(tokenizer.piece(j), float(cosine[j])) for j in order[:k]]


def unit_rows(X: np.ndarray) -> np.ndarray:
    """Each row divided by its length; rows of zeros stay."""
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-30)


def type_of(word: str, tokenizer: Tokenizer) -> int:
    """The id of a type, given verbatim, as printed, or without its leading space.  Raises InputError if it is not in the vocabulary."""
    if word in tokenizer.index:
        return tokenizer.index[word]
    printed = {tokenizer.piece(i): i for i in range(len(tokenizer))}
    ids = [printed[form] for form in (word, visible(f" {word}")) if form in printed]
    if not ids:
        raise InputError(f"{word!r} is not in the vocabulary{near(word, printed)}")
    return ids[0]


def principal_components(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PCA (Pearson 1901): the first two principal components of the rows.  X (N,D) -> (N,2), explained variance ratios (2,)"""
    centered = X - X.mean(axis=0)
    left, s, _ = np.linalg.svd(centered, full_matrices=False)
    s = np.append(s, 0.0)[:2] if s.size < 2 else s
    ratios = s[:2] ** 2 / max(float((s**2).sum()), 1e-30)
    return (left[:, :2] * s[:2]), ratios


def plot_embeddings(lm: LanguageModel, path: Path) -> None:
    """Plot the embeddings of the most frequent types, projected by PCA.  Raises InputError if they cannot be plotted."""
    E = embeddings(lm)
    if E.shape[1] < 2:
        raise InputError("embeddings of size 1 cannot be plotted in two dimensions; train with --embed 2 or more")
    shown = np.argsort(-lm.tokenizer.counts, kind="stable")[:PLOTTED_TYPES]
    points, ratios = principal_components(E[shown])
    figure = new_figure(path, (10, 8))
    x, y = (f"component {k + 1} ({ratio:.0%} of the variance)" for k, ratio in enumerate(ratios))
    axes = new_axes(figure, xlabel=x, ylabel=y)
    axes.scatter(*points.T, s=0)
    for i, (a, b) in zip(shown, points, strict=True):
        axes.annotate(lm.tokenizer.piece(int(i)), (a, b), fontsize=8, ha="center", va="center", color=TEXT, parse_math=False)
    save_figure(figure, path)
