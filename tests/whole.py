"""A model together with its output layer, as in training."""

from nlmcli.engine.checking.gradcheck import all_pairs
from nlmcli.nn.adaptive_softmax import adaptive_gradient


def loss_and_gradient(model, P, x, y, state, rng=None):
    """The mean loss of a batch, h, the state after it, and dL/dθ, with the output layer that all models share."""
    h, after, cache = model.forward(P, x, state, rng)
    rows, targets, G = h.reshape(-1, h.shape[-1]), y.reshape(-1), P.zeros_like()
    if model.cutoffs:
        n = max(1, (targets >= 0).sum())
        parts = model.head(P), model.tails(P), targets, model.cutoffs, 1 / n, model.head(G), model.tails(G)
        total, dh = adaptive_gradient(rows, *parts)
        loss = total / n
    else:
        head = all_pairs()["linear_cross_entropy"]
        loss, head_cache = head.forward(rows, *model.head(P), targets)
        dh, dU, db2 = head.backward(1.0, head_cache)
        GU, Gb2 = model.head(G)
        GU += dU
        Gb2 += db2
    model.backward(dh.reshape(h.shape), cache, G)
    return loss, h, after, G
