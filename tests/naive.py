"""The definitions, slow and obvious, in float64: what the fast versions are compared with.

Row vectors, Y = XW, as everywhere in nlm. P is a mapping from letters to arrays.
"""

import math

import numpy as np


def embedding(E, x):
    """e = E[x]: the row of each id."""
    return np.array([E[i] for i in np.ravel(x)], float).reshape(*np.shape(x), len(E[0]))


def linear(X, W, b):
    """Y[n,m] = Σ_d X[n,d] W[d,m] + b[m]."""
    N, D, M = len(X), len(W), len(W[0])
    return np.array([[sum(float(X[n][d]) * float(W[d][m]) for d in range(D)) + float(b[m]) for m in range(M)] for n in range(N)])


def tanh(x):
    """tanh x = (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)."""
    return np.array([(math.exp(v) - math.exp(-v)) / (math.exp(v) + math.exp(-v)) for v in np.ravel(x)]).reshape(np.shape(x))


def sigmoid(x):
    """σ(x) = 1 / (1 + e⁻ˣ)."""
    return np.array([1 / (1 + math.exp(-v)) for v in np.ravel(x)]).reshape(np.shape(x))


def softmax(t):
    """p_i = exp(t_i) / Σ_j exp(t_j), of each row."""
    rows = [[math.exp(v) for v in row] for row in np.reshape(t, (-1, np.shape(t)[-1]))]
    return np.array([[v / math.fsum(row) for v in row] for row in rows]).reshape(np.shape(t))


def surprisal(z, target):
    """-ln softmax(z)[target]."""
    return -math.log(softmax(z)[target])


def softmax_cross_entropy(Z, targets):
    """The mean of -ln softmax(z)[target] over the targets that are not padding (below 0)."""
    losses = [surprisal(z, y) for z, y in zip(Z, targets, strict=True) if y >= 0]
    return math.fsum(losses) / max(1, len(losses))


def linear_cross_entropy(h, U, b2, targets):
    """The same of z = h U + b2."""
    return softmax_cross_entropy(linear(h, U, b2), targets)


def recur(a, Wh, h0):
    """h_t = tanh(a_t + h_{t-1} Wh), h_{-1} = h0.  a (T,B,H) -> h (T,B,H)."""
    h, out = h0, []
    for a_t in a:
        h = tanh(a_t + linear(h, Wh, np.zeros(len(Wh))))
        out.append(h)
    return np.array(out)


def lstm_step(x, h, c, W, Wh, b):
    """One step of an LSTM; the gates i, f, g, o stand side by side.  x (B,D), h, c (B,H), W (D,4H), Wh (H,4H), b (4H,) -> h, c."""
    z = linear(x, W, b) + linear(h, Wh, np.zeros(len(b)))
    i, f, g, o = np.split(z, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def dilated_convolution(x, before, W, b):
    """y_t = [x_{t-d}; x_t] W + b, d = len(before).  x (T,B,C) -> y (T,B,M)."""
    steps = [*before, *x]
    return np.array([linear(np.concatenate([steps[t], steps[t + len(before)]], axis=1), W, b) for t in range(len(x))])


def gate(a):
    """tanh(f) σ(g), a = [f; g]."""
    f, g = np.split(a, 2, axis=-1)
    return tanh(f) * sigmoid(g)


# The logits of the next word after these words, the first of which is a line end. n: the context of a window.


def last(words, n):
    """The last n words; before the first there are only line ends."""
    return ([words[0]] * n + words)[-n:]


def additive(P, words, n):
    """y = (e_1 + ... + e_n) U + b2."""
    o = sum(P["E"][w] for w in last(words, n))
    return linear([o], P["U"], P["b2"])[0]


def window(P, words, n):
    """y = tanh([e_1; ...; e_n] W1 + b1) U + b2."""
    x = np.concatenate([P["E"][w] for w in last(words, n)])
    return linear(tanh(linear([x], P["W1"], P["b1"])), P["U"], P["b2"])[0]


def nplm(P, words, n):
    """y = tanh(x W1 + b1) W2 + x W3 + b2, x = [e_1; ...; e_n]."""
    x = np.concatenate([P["E"][w] for w in last(words, n)])
    h = tanh(linear([x], P["W1"], P["b1"]))
    return (linear(h, P["W2"], P["b2"]) + linear([x], P["W3"], np.zeros(len(P["b2"]))))[0]


def input_matrix(P, l):
    """What layer l reads its input through."""
    return P["We"] if l == 0 else P["Wx"][l - 1]


def rnn(P, words, n):
    """y = h U + b2 after h_t = tanh(e_t We + h_{t-1} Wh + b1) over all words; each layer reads the one below."""
    y = P["E"][words]
    for l, Wh in enumerate(P["Wh"]):
        a = linear(y, input_matrix(P, l), P["b1"][l])
        y = recur(a[:, None], Wh, np.zeros((1, len(Wh))))[:, 0]
    return linear(y[-1:], P["U"], P["b2"])[0]


def lstm(P, words, n):
    """The same with LSTM steps."""
    y = P["E"][words]
    for l, Wh in enumerate(P["Wh"]):
        h = c = np.zeros((1, len(Wh)))
        out = []
        for x in y:
            h, c = lstm_step([x], h, c, input_matrix(P, l), Wh, P["b1"][l])
            out.append(h[0])
        y = out
    return linear(y[-1:], P["U"], P["b2"])[0]


def cnn(P, words, n):
    """y = tanh(Σ_l z_l Ws_l + bs) U + b2; layer l looks 2^l words back, the last no further than to the n-th last word."""
    x, s, seen = linear(P["E"][words], P["We"], P["be"])[:, None], P["bs"], 1
    for l in range(len(P["W1"])):
        d = min(2**l, n - seen)
        seen += d
        z = gate(dilated_convolution(x, np.zeros((d, *x[0].shape)), P["W1"][l], P["b1"][l]))
        s = s + linear(z[-1], P["Ws"][l], np.zeros(len(s)))[0]
        if l + 1 < len(P["W1"]):
            x = x + linear(z[:, 0], P["Wr"][l], P["br"][l])[:, None]
    return linear(tanh(s)[None], P["U"], P["b2"])[0]


MODELS = {"additive": additive, "cnn": cnn, "window": window, "nplm": nplm, "rnn": rnn, "lstm": lstm}


def surprisals(model, P, ids, newline, n=None):
    """-ln P(w_t | all before it) of every token of a text, each computed from the beginning."""
    return [surprisal(MODELS[model](P, [newline, *ids[:t]], n), ids[t]) for t in range(len(ids))]


def philox(counter, key):
    """Ten rounds of Philox 4x32 over four and two whole numbers of 32 bits.  Salmon et al. 2011"""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [b >> 32 ^ c[1] ^ k[0], b % 2**32, a >> 32 ^ c[3] ^ k[1], a % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


# Optimizers: θ after steps with the gradients gs, one number at a time.


def sgd(theta, gs, lr):
    for g in gs:
        theta = theta - lr * g
    return theta


def momentum(theta, gs, lr, beta=0.1):
    """The moving average of the steps η g; it begins with the first."""
    change = None
    for g in gs:
        change = lr * g if change is None else beta * lr * g + (1 - beta) * change
        theta = theta - change
    return theta


def adagrad(theta, gs, lr, epsilon=1e-10):
    s = 0.0
    for g in gs:
        s = s + g**2
        theta = theta - lr * g / (s**0.5 + epsilon)
    return theta


def rmsprop(theta, gs, lr, beta2=0.99, epsilon=1e-8):
    s = 0.0
    for g in gs:
        s = beta2 * s + (1 - beta2) * g**2
        theta = theta - lr * g / (s**0.5 + epsilon)
    return theta


def adam(theta, gs, lr, beta1=0.9, beta2=0.999, epsilon=1e-8):
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta = theta - lr * m_hat / (v_hat**0.5 + epsilon)
    return theta


def norm(g):
    """√Σ g²."""
    return math.sqrt(math.fsum(float(v) ** 2 for v in g))
