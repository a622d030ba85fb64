"""Embeddings: one row of E for each token id."""

import numpy as np

from nlmcli.nn.kernel import kernel
from nlmcli.nn.pair import pair


def embedding(E, x):
    """e = E[x].  E (V,D), x ids of any shape -> e (*x.shape, D)."""
    return E[x], (E.shape, x)


def embedding_backward(de, cache):
    """dE[v] = Σ of the rows of de whose id is v; a repeated id sums its gradients.  de (*x.shape, D) -> dE (V,D)."""
    shape, x = cache
    dE = np.zeros(shape, de.dtype)
    scatter_add(dE, x, de)
    return (dE,)


def context_windows(before, x):
    """The last n ids at each position, oldest first.  before (n-1,B), x (T,B) -> ids (T,B,n), and the last n-1 ids (n-1,B)."""
    read = np.concatenate([before, x])
    ids = np.empty((*x.shape, len(before) + 1), read.dtype)
    copy_windows(read, ids)
    return ids, read[len(x) :]


@kernel
def copy_windows(read, ids):
    for t in range(ids.shape[0]):
        for b in range(ids.shape[1]):
            for j in range(ids.shape[2]):
                ids[t, b, j] = read[t + j, b]


def scatter_add(dE, x, de):
    """dE[x] += de, in the order of x.  dE (V,D), x ids of any shape, de (*x.shape, D)."""
    scatter_add_rows(dE, x.reshape(-1), de.reshape(-1, dE.shape[1]))


@kernel
def scatter_add_rows(table, ids, rows):
    """table[ids[k]] += rows[k], in the order of k.  table (V,D), rows (N, D or more, of which the first D are added)."""
    for k in range(ids.size):
        row, more = table[ids[k]], rows[k]
        for j in range(row.size):
            row[j] += more[j]


@kernel
def gather_add(table, ids, rows):
    """rows[k] += table[ids[k]].  table (V,D), rows (N,D)."""
    for k in range(ids.size):
        row, more = rows[k], table[ids[k]]
        for j in range(row.size):
            row[j] += more[j]


def _example(rng):
    return rng.normal(size=(5, 3)), np.array([[1, 4, 1], [0, 1, 2]])


pair(embedding, embedding_backward, _example)
