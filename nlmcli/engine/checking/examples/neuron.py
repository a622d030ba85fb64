"""A single neuron behind another: every factor of the chain rule."""

import numpy as np

from nlmcli.engine.checking.examples.base.numeric import RATE, Line, slope


def lines() -> list[Line]:
    """b = w1 x, h = tanh(b), a = w2 h, o = tanh(a), L = ½ (y - o)²: the chain rule, factor by factor."""
    x, y, w1, w2 = 0.5, 1.0, 0.8, -0.6

    def h_of(w1):
        return np.tanh(w1 * x)

    def loss(w1, w2):
        return 0.5 * (y - np.tanh(w2 * h_of(w1))) ** 2

    b = w1 * x
    h = h_of(w1)
    a = w2 * h
    o = np.tanh(a)
    dL_do, do_da, da_dw2, da_dh, dh_db, db_dw1 = o - y, 1 - o**2, h, w2, 1 - h**2, x
    dL_dw2 = dL_do * do_da * da_dw2
    dL_dw1 = dL_do * do_da * da_dh * dh_db * db_dw1
    new1, new2 = w1 - RATE * dL_dw1, w2 - RATE * dL_dw2
    return [
        ("x", x, None),
        ("y", y, None),
        ("w1", w1, None),
        ("w2", w2, None),
        ("b = w1 x", b, None),
        ("h = tanh(b)", h, None),
        ("a = w2 h", a, None),
        ("o = tanh(a)", o, None),
        ("L = 1/2 (y - o)^2", loss(w1, w2), None),
        ("dL/do = o - y", dL_do, slope(lambda o: 0.5 * (y - o) ** 2, o)),
        ("do/da = 1 - o^2", do_da, slope(np.tanh, a)),
        ("da/dw2 = h", da_dw2, slope(lambda w: w * h, w2)),
        ("da/dh = w2", da_dh, slope(lambda h: w2 * h, h)),
        ("dh/db = 1 - h^2", dh_db, slope(np.tanh, b)),
        ("db/dw1 = x", db_dw1, slope(lambda w: w * x, w1)),
        ("dL/dw2 = dL/do do/da da/dw2", dL_dw2, slope(lambda w: loss(w1, w), w2)),
        ("dL/dw1 = dL/do do/da da/dh dh/db db/dw1", dL_dw1, slope(lambda w: loss(w, w2), w1)),
        (f"w2 - {RATE} dL/dw2", new2, None),
        (f"w1 - {RATE} dL/dw1", new1, None),
        ("L after the update", loss(new1, new2), None),
    ]
