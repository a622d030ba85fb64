"""Which words share a cluster in an adaptive softmax: those for which a training step takes the least time.

A part of the vocabulary costs (rows + MOVED) words · width + STARTED multiplications, where `rows` is how many tokens of a
batch are in it. MOVED stands for reading and updating its parameters, STARTED for what takes time whatever its size.
"""

import numpy as np

from nlmcli.errors import InputError

MOVED, STARTED = 100, 3_000_000  # in multiplications of a product, measured on a CPU with AVX-512: 6 take some 15 ps on two cores
REDUCTION = 4  # each cluster reads a vector a fourth as wide as the cluster before
MOST_CLUSTERS, LEAST_WORDS, GROWTH = 4, 50, 1.2  # cutoffs that are tried grow by this factor
LEAST_WIDTH = 12  # of what a cluster reads, if it is reduced: narrower, a step is faster, but the predictions are far worse
ROWS = 1024  # tokens in a batch, if it is not known


def reduced(width: int, cluster: int) -> int:
    """The width of what a cluster reads, counted from 1."""
    return max(1, width // REDUCTION**cluster)


def parsed(cutoffs: str, vocabulary: int) -> tuple[int, ...]:
    """The cutoffs in "2000,10000".  Raises InputError unless they are increasing numbers inside the vocabulary."""
    try:
        given = tuple(int(number) for number in cutoffs.split(","))
    except ValueError:
        raise InputError(f"--cutoffs {cutoffs!r} is not a list of numbers such as 2000,10000") from None
    if given[0] < 1 or any(a >= b for a, b in zip(given, (*given[1:], vocabulary), strict=True)):
        raise InputError(f"--cutoffs {cutoffs} must increase, from at least 1 to less than the {vocabulary:,} types of the vocabulary")
    return given


def best_cutoffs(counts: np.ndarray, width: int, reduces: bool = True, rows: int = ROWS) -> tuple[int, ...]:
    """The first word of each cluster.  counts (V,): of each word, in the order of ids; width: of h; rows: tokens in a batch

    reduces: whether clusters read fewer dimensions. Empty for a vocabulary so small that it is best in one part.
    """
    V = len(counts)
    before = np.concatenate([[0], np.cumsum(counts) / max(1, counts.sum())])
    ends = [*candidates(V), V]
    Best = dict[int, tuple[float, tuple[int, ...]]]  # of the first words, the least cost and the ends of the parts
    best: Best = {end: (cost(rows, end, width), (end,)) for end in ends}
    cheapest = best[V]
    for i in range(1, MOST_CLUSTERS + 1):
        own = reduced(width, i) if reduces else width
        if reduces and own < LEAST_WIDTH:
            break
        longer: Best = {}
        for end in ends:
            options = []
            for start in [each for each in best if each < end]:
                inside = rows * (before[end] - before[start])
                reduction = inside * width * own if reduces else 0
                total, parts = best[start]
                options.append((total + (rows + MOVED) * width + reduction + cost(inside, end - start, own), (*parts, end)))
            if options:
                longer[end] = min(options)
        best = longer
        if V not in best:
            break
        cheapest = min(cheapest, best[V])
    return cheapest[1][:-1]


def cost(rows: float, words: int, width: int) -> float:
    return (rows + MOVED) * words * width + STARTED


def candidates(V: int) -> list[int]:
    """Cutoffs below V that are worth trying."""
    found, end = [], float(LEAST_WORDS)
    while end < V:
        found.append(int(end))
        end *= GROWTH
    return found


def zipf(V: int) -> np.ndarray:
    """The counts that Zipf's law expects, up to a factor: word k occurs 1 / (k + 1) times."""
    return 1 / np.arange(1.0, V + 1)
