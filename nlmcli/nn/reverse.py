"""A text read backward: its steps in reverse order, the padding after them in place.

y_t = h_{n-1-t} for t < n;   y_t = h_t for the padding t >= n          n the number of steps of the text
"""

import numpy as np

from nlmcli.nn.kernel import kernel
from nlmcli.nn.pair import pair


def reverse(h, lengths):
    """Each column of h in reverse order.  h (T,B) or (T,B,F), lengths (B,) -> y of h's shape."""
    y = np.empty(h.shape, h.dtype)
    reverse_rows(h.reshape(*h.shape[:2], -1), lengths, y.reshape(*h.shape[:2], -1))
    return y, lengths


def reverse_backward(dy, lengths):
    """dh = dy reversed: the order is its own inverse."""
    return (reverse(dy, lengths)[0],)


@kernel
def reverse_rows(h, lengths, y):
    for t in range(h.shape[0]):
        for b in range(h.shape[1]):
            source, target = h[lengths[b] - 1 - t if t < lengths[b] else t, b], y[t, b]
            for j in range(source.size):
                target[j] = source[j]


pair(reverse, reverse_backward, lambda rng: (rng.normal(size=(4, 3, 2)), np.array([4, 2, 1])))
