"""What a head reads of a text: the mean over its steps; of a pair, both means and how they differ."""

from typing import Any

import numpy as np

from nlmcli.nn.compare import compare, compare_backward
from nlmcli.nn.mean_pool import mean_pool, mean_pool_backward


def pool(h: np.ndarray, lengths: np.ndarray, paired: bool) -> tuple[np.ndarray, Any]:
    """h (T,B,F) -> x (B,F); of pairs h (T,2B,F) -> x = [u; v; |u - v|; u v] (B,4F)."""
    means, cache = mean_pool(h, lengths)
    if not paired:
        return means, (cache, None)
    x, compare_cache = compare(*np.split(means, 2))
    return x, (cache, compare_cache)


def pool_backward(dx: np.ndarray, cache: Any) -> np.ndarray:
    """dx -> dh (T,B,F), or (T,2B,F)."""
    pool_cache, compare_cache = cache
    if compare_cache is not None:
        dx = np.concatenate(compare_backward(dx, compare_cache))
    return mean_pool_backward(dx, pool_cache)[0]
