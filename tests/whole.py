"""A model together with its head, as in training."""

from nlmcli.engine.checking.gradcheck import all_pairs


def loss_and_gradient(model, P, x, y, state, rng=None):
    """The mean loss of a batch, h, the state after it, and dL/dθ, with the head that all models share."""
    head = all_pairs()["linear_cross_entropy"]
    h, after, cache = model.forward(P, x, state, rng)
    loss, head_cache = head.forward(h.reshape(-1, h.shape[-1]), *model.head(P), y.reshape(-1))
    dh, dU, db2 = head.backward(1.0, head_cache)
    G = P.zeros_like()
    GU, Gb2 = model.head(G)
    GU += dU
    Gb2 += db2
    model.backward(dh.reshape(h.shape), cache, G)
    return loss, h, after, G
