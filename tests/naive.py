"""The definitions, slow and obvious, in float64: what the fast versions are compared with.

Row vectors, Y = XW, as everywhere in nlm. P is a mapping from letters to arrays.
"""

import math
from collections import Counter

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


# Models that count.


def ngrams(texts, newline, n):
    """(n-gram, the word before it) of every n-gram of the texts that ends in a word, not in the line end a text begins with.

    Before an n-gram that begins a text stands something that stands nowhere else.
    """
    for number, ids in enumerate(texts):
        words = [("before", number), newline, *ids]
        for end in range(max(2, n), len(words)):
            yield tuple(words[end - n + 1 : end + 1]), words[end - n]


def times(texts, newline, n):
    """How often each n-gram stands in the texts."""
    return Counter(ngram for ngram, _ in ngrams(texts, newline, n))


def words_before(texts, newline, n):
    """How many different words stand before each."""
    return Counter(ngram for ngram, _ in set(ngrams(texts, newline, n)))


def kneser_ney_discount(counts):
    """a -> D(a) of modified Kneser-Ney, from how many n-grams have counts of 1, 2, 3 and 4."""
    n = [sum(a == i for a in counts.values()) for i in range(5)]
    D = [0.5, 1.0, 1.5]
    if n[1] and n[2] and n[3]:
        Y = n[1] / (n[1] + 2 * n[2])
        found = [1 - 2 * Y * n[2] / n[1], 2 - 3 * Y * n[3] / n[2], 3 - 4 * Y * n[4] / n[3]]
        D = found if min(found) > 0 else D
    return lambda a: [0.0, *D][min(a, 3)]


def kneser_ney(texts, newline, V, order, context):
    """p of all V words after the context, the words from the beginning of the text on: from no context to one of order - 1."""
    p = [1 / V] * V
    for n in range(1, min(order, len(context) + 1) + 1):
        c = tuple(context[len(context) - n + 1 :])
        a = times(texts, newline, n) if n == order else words_before(texts, newline, n)
        D = kneser_ney_discount(a)
        total = sum(a[*c, w] for w in range(V))
        if total:
            left = sum(D(a[*c, w]) for w in range(V)) / total
            p = [(a[*c, w] - D(a[*c, w])) / total + left * p[w] for w in range(V)]
    return np.array(p)


def add_k(texts, newline, V, order, context, k):
    """(n(cw) + k V u(w)) / (n(c) + k V) of the last order - 1 words c; V the types of the texts, u alike for all of them."""
    words = [w for ids in texts for w in ids]
    seen = set(words)
    rest = 1 / (len(words) + 1) if len(seen) < V else 0
    u = [(1 - rest) / len(seen) if w in seen else rest / (V - len(seen)) for w in range(V)]
    c = tuple(context[max(0, len(context) - order + 1) :])
    n = times(texts, newline, len(c) + 1)
    total = sum(n[*c, w] for w in range(V))
    if not total:
        return np.array(u)
    return np.array([(n[*c, w] + k * len(seen) * u[w]) / (total + k * len(seen)) for w in range(V)])


MODELS = {"additive": additive, "window": window, "nplm": nplm, "rnn": rnn, "lstm": lstm}


def surprisals(model, P, ids, newline, n=None):
    """-ln P(w_t | all before it) of every token of a text, each computed from the beginning."""
    return [surprisal(MODELS[model](P, [newline, *ids[:t]], n), ids[t]) for t in range(len(ids))]


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
