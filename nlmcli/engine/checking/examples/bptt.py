"""Back-propagation through time: what is dJ/dWh, if Wh occurs at every step? The sum over its occurrences.

h_t = tanh(x_t We + h_{t-1} Wh + b1);   J = -ln softmax(h_T U)[target];   dJ/dWh = Σ_i dJ/dWh|(i)

dJ/dWh|(i) is the derivative by the i-th occurrence of Wh alone, all others kept: h_{i-1}ᵀ dJ/da_i, a_i what tanh is applied to.
"""

from functools import partial

import numpy as np

from nlmcli.engine.checking.examples.base.numeric import RATE, Line, slope
from nlmcli.models.rnn import elman, elman_backward
from nlmcli.nn.activations import softmax

ROWS = np.array([[-0.9, -0.3], [0.2, 0.9], [0.6, 0.4], [0.1, 0.4]])  # x_t We + b1
WH = np.array([[0.7, -0.3], [0.9, 0.3]])
U = np.array([[-0.4, 0.4, 0.2], [0.2, 0.4, -1.2]])
H0 = np.array([0.5, -0.6])
T, TARGET = len(ROWS), 0


def last_state(rows: np.ndarray, occurrences: list[np.ndarray]) -> np.ndarray:
    """h_T, each step with its own copy of Wh."""
    h = H0
    for row, Wh in zip(rows, occurrences, strict=True):
        h = np.tanh(row + h @ Wh)
    return h


def loss_of(h: np.ndarray) -> float:
    """J = -ln softmax(h U)[target]."""
    return float(-np.log(softmax(h @ U)[0][TARGET]))


def loss_at(rows: np.ndarray) -> float:
    """J with other x_t We + b1, and so with other a_t."""
    return loss_of(last_state(rows, [WH] * T))


def loss_with(Wh: np.ndarray, t: int | None = None) -> float:
    """J with another Wh: at step t alone, or at every step."""
    return loss_of(last_state(ROWS, [Wh if t in (k, None) else WH for k in range(T)]))


def forward(h: np.ndarray, p: np.ndarray) -> list[Line]:
    """What is given, and the states.  h (T,H), p (V,)"""
    return [
        ("h_t = tanh(x_t We + b1 + h_{t-1} Wh): the same Wh at every step", None, None),
        ("x_t We + b1, a row for each of: the students opened their", ROWS, None),
        ("Wh", WH, None),
        ("U, a column for each of: books laptops exams", U, None),
        ("h_0, from the text before", H0, None),
        ("h_t, rows: t = 1 to 4", h, None),
        ("p = softmax(h_4 U)", p, None),
        ("J = -ln p[books], at the last step", loss_of(h[-1]), None),
    ]


def shrinking(shares: list[np.ndarray]) -> list[Line]:
    """The norm of each share, from the last to the first, and its ratio to the norm of the one a step later."""
    norms = [float(np.linalg.norm(share)) for share in shares]
    earlier = [
        (f"share {i}: norm, and its ratio to share {i + 1}", np.array([norms[i - 1], norms[i - 1] / norms[i]]), None)
        for i in range(T - 1, 0, -1)
    ]
    return [
        ("The further back, the smaller: each step multiplies by Wh^T and 1 - h_t^2", None, None),
        (f"share {T}: norm", norms[-1], None),
        *earlier,
    ]


def lines() -> list[Line]:
    """J = -ln p[books] after four steps of an Elman network with two units."""
    (hs, _), cache = elman(ROWS, np.arange(T)[:, None], WH, H0[None])
    h = hs[:, 0]
    p, _ = softmax(h[-1] @ U)
    dh = np.zeros_like(hs)
    dh[-1, 0] = (p - np.eye(len(p))[TARGET]) @ U.T
    da, dWh, _ = elman_backward((dh, None), cache)
    before = np.vstack([H0, h[:-1]])  # h_{t-1}
    shares = [np.outer(before[t], da[t]) for t in range(T)]
    numeric, new = slope(loss_with, WH), WH - RATE * dWh
    return [
        *forward(h, p),
        ("Back from the last step, with a_t = x_t We + b1 + h_{t-1} Wh; rows: t = 1 to 4", None, None),
        ("dJ/dh_4 = (p - onehot(books)) U^T", dh[-1, 0], slope(loss_of, h[-1])),
        ("dJ/da_4 = dJ/dh_4 (1 - h_4^2), dJ/da_t = dJ/da_{t+1} Wh^T (1 - h_t^2)", da, slope(loss_at, ROWS)),
        ("Share i, dJ/dWh|(i), of occurrence i of Wh; numeric: only that one is changed", None, None),
        *((f"dJ/dWh|({t + 1}) = h_{t}^T dJ/da_{t + 1}", shares[t], slope(partial(loss_with, t=t), WH)) for t in reversed(range(T))),
        ("Wh as a whole; numeric: all its occurrences are changed together", None, None),
        ("dJ/dWh = the sum of all shares", np.sum(shares, axis=0), numeric),
        ("dJ/dWh by elman_backward, the code of nlm train --model rnn", dWh, numeric),
        *shrinking(shares),
        ("The update", None, None),
        (f"Wh - {RATE} dJ/dWh", new, None),
        ("J after the update", loss_with(new), None),
    ]
