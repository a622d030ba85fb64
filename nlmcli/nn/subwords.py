"""Embeddings of words and of the character n-grams in them, added up (Bojanowski et al. 2017).

e_w = E[w] + Σ_{g in w} S[g]
"""

import numpy as np

from nlmcli.nn.kernel import kernel
from nlmcli.nn.pair import pair


def subwords(E, S, words, starts, grams):
    """The embedding of each word.  E (V,D), S (G,D), words (N,) rows of E, grams[starts[k]:starts[k+1]] rows of S -> e (N,D)."""
    e = E[words]
    add_grams(S, starts, grams, e)
    return e, (E.shape, S.shape, words, starts, grams)


def subwords_backward(de, cache):
    """dE[w] and dS[g] sum the rows of de of the words that read them.  de (N,D) -> dE (V,D), dS (G,D)."""
    E_shape, S_shape, words, starts, grams = cache
    dE, dS = np.zeros(E_shape, de.dtype), np.zeros(S_shape, de.dtype)
    add_gradients(de, words, starts, grams, dE, dS)
    return dE, dS


@kernel
def grams_of(words, starts, grams):
    """The n-grams of all words, one after another."""
    n = 0
    for k in range(words.size):
        n += starts[words[k] + 1] - starts[words[k]]
    out, n = np.empty(n, np.int64), 0
    for k in range(words.size):
        for i in range(starts[words[k]], starts[words[k] + 1]):
            out[n] = grams[i]
            n += 1
    return out


@kernel
def add_grams(S, starts, grams, e):
    for k in range(e.shape[0]):
        row = e[k]
        for i in range(starts[k], starts[k + 1]):
            more = S[grams[i]]
            for j in range(row.size):
                row[j] += more[j]


@kernel
def add_gradients(de, words, starts, grams, dE, dS):
    """dE[w] += de;  dS[g] += de, in the order of the words."""
    for k in range(de.shape[0]):
        row, word = de[k], dE[words[k]]
        for j in range(row.size):
            word[j] += row[j]
        for i in range(starts[k], starts[k + 1]):
            gram = dS[grams[i]]
            for j in range(row.size):
                gram[j] += row[j]


def _example(rng):
    return rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), np.array([1, 3, 1]), np.array([0, 2, 2, 5]), np.array([0, 4, 4, 1, 2])


pair(subwords, subwords_backward, _example)
