"""The definitions, slow and obvious, in float64: references for the fast implementations.

Row vectors, Y = XW, as everywhere in nlm. P maps parameter names to arrays.
"""

import itertools
import math
import re
import unicodedata
from collections import Counter
from fractions import Fraction

import numpy as np

from nlmcli.nn.dropout import dropout_mask


def embedding(E, x):
    """e = E[x]: the row of each id."""
    return np.array([E[i] for i in np.ravel(x)], float).reshape(*np.shape(x), len(E[0]))


def linear(X, W, b):
    """Y[n,m] = Σ_d X[n,d] W[d,m] + b[m]."""
    N, D, M = len(X), len(W), len(W[0])
    return np.array([[sum(float(X[n][d]) * float(W[d][m]) for d in range(D)) + float(b[m]) for m in range(M)] for n in range(N)])


def from_tables(E, ids, W, b):
    """x W + b, x[k] the concatenated rows of E for ids[k]."""
    return linear([np.concatenate([E[i] for i in row]) for row in ids], W, b)


def tanh(x):
    """tanh x = (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)."""
    return np.array([(math.exp(v) - math.exp(-v)) / (math.exp(v) + math.exp(-v)) for v in np.ravel(x)]).reshape(np.shape(x))


def sigmoid(x):
    """σ(x) = 1 / (1 + e⁻ˣ)."""
    return np.array([1 / (1 + math.exp(-v)) for v in np.ravel(x)]).reshape(np.shape(x))


def silu(x):
    """x σ(x)."""
    return x * sigmoid(x)


def softplus(x):
    """ln(1 + eˣ)."""
    return np.array([math.log(1 + math.exp(v)) for v in np.ravel(x)]).reshape(np.shape(x))


def rmsnorm(x, g, epsilon=1e-5):
    """Each row divided by its root mean square, times g."""
    return np.array([[g[j] * v / math.sqrt(sum(w * w for w in row) / len(row) + epsilon) for j, v in enumerate(row)] for row in x])


def depthwise_convolution(x, K, b):
    """y[t,m,j] = b[j] + Σ_k K[k,j] x[t+k,m,j]."""
    W = len(K)
    return np.array([b + sum(K[k] * x[t + k] for k in range(W)) for t in range(len(x) - W + 1)])


def selective_scan(x, delta, A, B, C, D, h0):
    """h_t = e^(Δ_t A) h_{t-1} + B_t Δ_t x_t, y_t = C_t h_t + D x_t, one text and channel at a time.  -> y, h_T"""
    y, h = np.empty(np.shape(x)), np.array(h0, float)
    for t, m, j in np.ndindex(y.shape):
        h[m, :, j] = np.exp(delta[t, m, j] * A[:, j]) * h[m, :, j] + B[t, m] * delta[t, m, j] * x[t, m, j]
        y[t, m, j] = C[t, m] @ h[m, :, j] + D[j] * x[t, m, j]
    return y, h


def gelu(u):
    """½ u (1 + tanh(√(2/π) (u + 0.044715 u³)))."""
    return np.array([v / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in np.ravel(u)]).reshape(np.shape(u))


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


def adaptive_log_p(h, head, tails):
    """ln p of every word: of the shortlist y[K+w], of cluster i y[i] times a softmax of its own. A bias of shape (0,) is none."""
    rows = []
    for vector in h:
        y = softmax(vector @ head[0] + (head[1] if len(head[1]) else 0))
        p = list(y[len(tails) :])
        for i, (R, U, b) in enumerate(tails):
            read = vector if R is None else vector @ R
            p += [y[i] * each for each in softmax(read @ U + (b if len(b) else 0))]
        rows.append([math.log(each) for each in p])
    return np.array(rows)


def adaptive_cross_entropy(h, U, b, R, U1, b1, targets):
    """The mean of -ln p over the targets that are not padding (below 0), with one cluster."""
    log_p = adaptive_log_p(h, (U, b), [(R, U1, b1)])
    losses = [-row[y] for row, y in zip(log_p, targets, strict=True) if y >= 0]
    return math.fsum(losses) / max(1, len(losses))


def linear_cross_entropy(h, U, b2, targets):
    """The same for z = h U + b2."""
    return softmax_cross_entropy(linear(h, U, b2), targets)


def recur(a, Wh, h0):
    """h_t = tanh(a_t + h_{t-1} Wh), h_{-1} = h0.  a (T,B,H) -> h (T,B,H)."""
    h, out = h0, []
    for a_t in a:
        h = tanh(a_t + linear(h, Wh, np.zeros(len(Wh))))
        out.append(h)
    return np.array(out)


def lstm_step(x, h, c, W, Wh, b):
    """One step of an LSTM; the gates i, f, g, o are concatenated.  x (B,D), h, c (B,H), W (D,4H), Wh (H,4H), b (4H,) -> h, c."""
    z = linear(x, W, b) + linear(h, Wh, np.zeros(len(b)))
    i, f, g, o = np.split(z, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def gru_step(x, h, W, Wh, b, bn):
    """One step of a GRU; r, z, n are concatenated.  x (B,D), h (B,H), W (D,3H), Wh (H,3H), b (3H,), bn (H,) -> h."""
    r, z, n = np.split(linear(x, W, b), 3, axis=1)
    hr, hz, q = np.split(linear(h, Wh, np.zeros(len(b))), 3, axis=1)
    r, z = sigmoid(r + hr), sigmoid(z + hz)
    return (1 - z) * tanh(n + r * (q + bn)) + z * h


def dilated_convolution(x, before, W, b):
    """y_t = [x_{t-d}; x_t] W + b, d = len(before).  x (T,B,C) -> y (T,B,M)."""
    steps = [*before, *x]
    return np.array([linear(np.concatenate([steps[t], steps[t + len(before)]], axis=1), W, b) for t in range(len(x))])


def gate(a):
    """tanh(f) σ(g), a = [f; g]."""
    f, g = np.split(a, 2, axis=-1)
    return tanh(f) * sigmoid(g)


def layernorm(x, g, b):
    """Each row minus its mean, divided by √(variance + 1e-5), times g, plus b."""
    rows = []
    for row in x:
        mean = math.fsum(row) / len(row)
        variance = math.fsum((v - mean) ** 2 for v in row) / len(row)
        rows.append([(v - mean) / math.sqrt(variance + 1e-5) * float(gain) + float(bias) for v, gain, bias in zip(row, g, b, strict=True)])
    return np.array(rows)


def attention(qkv, heads, past, p=0.0, rng=None):
    """Each position attends to its block: to the positions read before (past) and to those in qkv.  qkv (B,T,3D) -> o (B,T,D)."""
    B, T, D = *np.shape(qkv)[:2], np.shape(qkv)[2] // 3
    K, V, filled = past
    n, d = K.shape[1], D // heads
    mask = dropout_mask((B, heads, T, n), p, rng, float)
    keep = np.ones((B, heads, T, n)) if mask is None else mask
    out = np.zeros((B, T, D))
    for b in range(B):
        for t in range(T):
            position = (filled[b] + t) % n
            own = qkv[b, max(0, t - position) : t + 1]
            before = position + 1 - len(own)
            k, v = np.concatenate([K[b, :before], own[:, D : 2 * D]]), np.concatenate([V[b, :before], own[:, 2 * D :]])
            for h in range(heads):
                part = slice(h * d, (h + 1) * d)
                share = softmax([qkv[b, t, part] @ key / math.sqrt(d) for key in k[:, part]])
                out[b, t, part] = sum(share[j] * keep[b, h, t, j] * v[j, part] for j in range(len(v)))
    return out


# The logits of the next word after these words, the first of which is an end of line. n: the context of a window.


def last_words(words, n):
    """The last n words, padded with ends of line on the left."""
    return ([words[0]] * n + words)[-n:]


def additive(P, words, n):
    """y = (e_1 + ... + e_n) U + b2."""
    o = sum(P["E"][w] for w in last_words(words, n))
    return linear([o], P["U"], P["b2"])[0]


def window(P, words, n):
    """y = tanh([e_1; ...; e_n] W1 + b1) U + b2."""
    x = np.concatenate([P["E"][w] for w in last_words(words, n)])
    return linear(tanh(linear([x], P["W1"], P["b1"])), P["U"], P["b2"])[0]


def nplm(P, words, n):
    """y = tanh(x W1 + b1) W2 + x W3 + b2, x = [e_1; ...; e_n]."""
    x = np.concatenate([P["E"][w] for w in last_words(words, n)])
    h = tanh(linear([x], P["W1"], P["b1"]))
    return (linear(h, P["W2"], P["b2"]) + linear([x], P["W3"], np.zeros(len(P["b2"]))))[0]


def input_matrix(P, l):
    """The input matrix of layer l."""
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


def gru(P, words, n):
    """The same with GRU steps."""
    y = P["E"][words]
    for l, Wh in enumerate(P["Wh"]):
        h, out = np.zeros((1, len(Wh))), []
        for x in y:
            h = gru_step([x], h, input_matrix(P, l), Wh, P["b1"][l], P["bn"][l])
            out.append(h[0])
        y = out
    return linear(y[-1:], P["U"], P["b2"])[0]


def mamba_layer(v, g, Wx, Wz, K, bK, WB, WC, W1, W2, b1, lnA, D, Wo):
    """The output of a layer, to be added to v (T,D), and its Δ (T,H)."""
    r, zero = rmsnorm(v, g), np.zeros(len(bK))
    x = np.concatenate([np.zeros((len(K) - 1, len(bK))), linear(r, Wx, zero)])
    u = silu(depthwise_convolution(x[:, None], K, bK))
    delta = softplus(u[:, 0] @ W1 @ W2 + b1)
    start = np.zeros((1, *lnA.shape))
    y, _ = selective_scan(u, delta[:, None], -np.exp(lnA), u @ WB, u @ WC, D, start)
    return (y[:, 0] * silu(linear(r, Wz, zero))) @ Wo, delta


def mamba_layers(P, words):
    """v after every layer has added to it, which starts as the embeddings, and Δ of every layer."""
    v, layer, deltas = P["E"][words], ("g", "Wx", "Wz", "K", "bK", "WB", "WC", "W1", "W2", "b1", "lnA", "D", "Wo"), []
    for l in range(len(P["g"])):
        out, delta = mamba_layer(v, *(P[name][l] for name in layer))
        v, deltas = v + out, [*deltas, delta]
    return v, deltas


def mamba(P, words, n):
    """y = RMSNorm(v) U + b2."""
    v, _ = mamba_layers(P, words)
    return linear(rmsnorm(v[-1:], P["gf"]), P["U"], P["b2"])[0]


def cnn(P, words, n):
    """y = tanh(Σ_l z_l Ws_l + bs) U + b2; layer l looks 2^l words back, the last layer only as far as the n-th last word."""
    x, s, seen = linear(P["E"][words], P["We"], P["be"])[:, None], P["bs"], 1
    for l in range(len(P["W1"])):
        d = min(2**l, n - seen)
        seen += d
        z = gate(dilated_convolution(x, np.zeros((d, *x[0].shape)), P["W1"][l], P["b1"][l]))
        s = s + linear(z[-1], P["Ws"][l], np.zeros(len(s)))[0]
        if l + 1 < len(P["W1"]):
            x = x + linear(z[:, 0], P["Wr"][l], P["br"][l])[:, None]
    return linear(tanh(s)[None], P["U"], P["b2"])[0]


def transformer(P, words, n):
    """y = LN(x) Eᵀ of the last word's x, read in blocks of n, with one head."""
    words = words[(len(words) - 1) // n * n :]
    x = P["E"][words] + P["Ep"][: len(words)]
    empty = np.zeros((1, n, x.shape[1])), np.zeros((1, n, x.shape[1])), [0]
    for l in range(len(P["Wqkv"])):
        qkv = linear(layernorm(x, P["ga"][l], P["ba"][l]), P["Wqkv"][l], P["bqkv"][l])
        x = x + linear(attention(qkv[None], 1, empty)[0], P["Wo"][l], P["bo"][l])
        u = linear(layernorm(x, P["gm"][l], P["bm"][l]), P["W1"][l], P["b1"][l])
        x = x + linear(gelu(u), P["W2"][l], P["b2"][l])
    return P["E"] @ layernorm(x[-1:], P["gf"], P["bf"])[0]


# Count-based models.


def ngrams(texts, newline, n):
    """(n-gram, the word before it) of every n-gram of the texts, except those that end in the end of line that begins a text.

    A unique word precedes each n-gram that begins a text.
    """
    for number, ids in enumerate(texts):
        words = [("before", number), newline, *ids]
        for end in range(max(2, n), len(words)):
            yield tuple(words[end - n + 1 : end + 1]), words[end - n]


def ngram_counts(texts, newline, n):
    """How often each n-gram occurs in the texts."""
    return Counter(ngram for ngram, _ in ngrams(texts, newline, n))


def continuation_counts(texts, newline, n):
    """How many different words precede each n-gram."""
    return Counter(ngram for ngram, _ in set(ngrams(texts, newline, n)))


def kneser_ney_discount(counts):
    """a -> D(a) of modified Kneser-Ney, from the numbers of n-grams with counts of 1, 2, 3 and 4."""
    n = [sum(a == i for a in counts.values()) for i in range(5)]
    D = [0.5, 1.0, 1.5]
    if n[1] and n[2] and n[3]:
        Y = n[1] / (n[1] + 2 * n[2])
        estimates = [1 - 2 * Y * n[2] / n[1], 2 - 3 * Y * n[3] / n[2], 3 - 4 * Y * n[4] / n[3]]
        D = estimates if min(estimates) > 0 else D
    return lambda a: [0.0, *D][min(a, 3)]


def kneser_ney(texts, newline, V, order, context):
    """p of all V words after the context, all words since the beginning of the text: interpolated from order 1 up."""
    p = [1 / V] * V
    for n in range(1, min(order, len(context) + 1) + 1):
        c = tuple(context[len(context) - n + 1 :])
        a = ngram_counts(texts, newline, n) if n == order else continuation_counts(texts, newline, n)
        D = kneser_ney_discount(a)
        total = sum(a[*c, w] for w in range(V))
        if total:
            left = sum(D(a[*c, w]) for w in range(V)) / total
            p = [(a[*c, w] - D(a[*c, w])) / total + left * p[w] for w in range(V)]
    return np.array(p)


def add_k(texts, newline, V, order, context, k):
    """(n(cw) + k V u(w)) / (n(c) + k V) after the last order - 1 words c; V the number of types in the texts, u uniform over them."""
    words = [w for ids in texts for w in ids]
    seen = set(words)
    rest = 1 / (len(words) + 1) if len(seen) < V else 0
    u = [(1 - rest) / len(seen) if w in seen else rest / (V - len(seen)) for w in range(V)]
    c = tuple(context[max(0, len(context) - order + 1) :])
    n = ngram_counts(texts, newline, len(c) + 1)
    total = sum(n[*c, w] for w in range(V))
    if not total:
        return np.array(u)
    return np.array([(n[*c, w] + k * len(seen) * u[w]) / (total + k * len(seen)) for w in range(V)])


MODELS = {
    **{"additive": additive, "window": window, "nplm": nplm, "cnn": cnn, "rnn": rnn, "lstm": lstm, "gru": gru},
    **{"transformer": transformer, "mamba": mamba},
}


def surprisals(model, P, ids, newline, n=None):
    """-ln P(w_t | all before it) of every token of a text, each computed from the beginning of the text."""
    return [surprisal(MODELS[model](P, [newline, *ids[:t]], n), ids[t]) for t in range(len(ids))]


def rank(z, target, excluded=None):
    """The position of the target when the words are sorted from the largest logit, equals by their ids, without the excluded one."""
    order = sorted((v for v in range(len(z)) if v == target or v != excluded), key=lambda v: (-z[v], v))
    return order.index(target)


def figures(text, ids, nll, ranks, unknown, line_ends, eos=True):
    """Every metric of a text, from -ln P and rank of each token, by definition. Only the tokens in line_ends have line breaks.

    eos: whether ends of line are scored.
    """
    counted = [(i, n, r) for i, n, r in zip(ids, nll, ranks, strict=True) if eos or i not in line_ends]
    known = [token for token in counted if token[0] != unknown]
    text = text if eos else text.replace("\n", "")
    nats, nats_known = (math.fsum(n for _, n, _ in tokens) for tokens in (counted, known))
    N, K = len(counted), len(known)
    return {
        "tokens": N,
        "characters": len(text),
        "bytes": len(text.encode("utf-8")),
        "unknowns": N - K,
        "line_ends": sum(i in line_ends for i in ids),
        "line_ends_counted": eos,
        "unknown_rate": (N - K) / N,
        "nats": nats,
        "nats_known": nats_known,
        "nats_per_token": nats / N,
        "nats_per_token_known": nats_known / K if K else None,
        "perplexity": math.exp(nats / N),
        "perplexity_known": math.exp(nats_known / K) if K else None,
        "bits_per_token": nats / N / math.log(2),
        "bits_per_token_known": nats_known / K / math.log(2) if K else None,
        "bits_per_character": nats / math.log(2) / len(text),
        "bits_per_byte": nats / math.log(2) / len(text.encode("utf-8")),
        **{f"top{k}": sum(r < k for _, _, r in known) / N for k in (1, 5)},  # <unk> is never chosen
        **{f"top{k}_known": sum(r < k for _, _, r in known) / K if K else None for k in (1, 5)},
    }


def rnn_segment(P, h, x, y):
    """-ln P of each of the words y that follow the words x, by an RNN of one layer in state h (H,), and the state after."""
    nll = []
    for word, target in zip(x, y, strict=True):
        h = tanh(P["E"][word] @ P["We"] + h @ P["Wh"][0] + P["b1"][0])
        nll.append(surprisal(h @ P["U"] + P["b2"], target))
    return nll, h


def dynamic_rnn(P, texts, line_end, lr, segment, clip):
    """-ln P of each word, segment by segment of each text; θ ← θ - η g after each segment, |g| clipped to clip (0: not clipped)."""
    P, out = {name: value.copy() for name, value in P.items()}, []
    for words in texts:
        h = np.zeros(P["Wh"].shape[-1])
        for start in range(0, len(words), segment):
            y = words[start : start + segment]
            x = [words[start - 1] if start else line_end, *y[:-1]]
            nll, after = rnn_segment(P, h, x, y)
            g = differences(P, lambda h=h, x=x, y=y: math.fsum(rnn_segment(P, h, x, y)[0]) / len(y))
            length = norm(np.concatenate([each.ravel() for each in g.values()]))
            for name, value in P.items():
                value -= lr * (min(1, clip / length) if clip else 1) * g[name]
            out, h = out + nll, after
    return out


def differences(P, loss, step=1e-5):
    """dL/dθ by central differences."""
    g = {name: np.empty_like(value) for name, value in P.items()}
    for name, value in P.items():
        for i in np.ndindex(value.shape):
            original = value[i]
            value[i] = original + step
            above = loss()
            value[i] = original - step
            below = loss()
            value[i] = original
            g[name][i] = (above - below) / (2 * step)
    return g


def philox(counter, key):
    """Ten rounds of Philox 4x32 on a counter of four and a key of two 32-bit integers.  Salmon et al. 2011"""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [b >> 32 ^ c[1] ^ k[0], b % 2**32, a >> 32 ^ c[3] ^ k[1], a % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


# Byte-level BPE.


def gpt2_words(text):
    """The matches of GPT-2's pattern, its \\p{L}, \\p{N} and \\s spelled out by the characters of the text."""

    def characters(belongs):
        return "".join(re.escape(c) for c in sorted(set(text)) if belongs(c)) or "\U0010fffd"

    blank = characters(lambda c: unicodedata.category(c)[0] == "Z" or c in "\t\n\v\f\r\x85")
    letter, number = (characters(lambda c, kind=kind: unicodedata.category(c)[0] == kind) for kind in "LN")
    runs = f" ?[{letter}]+| ?[{number}]+| ?[^{blank}{letter}{number}]+"
    return re.findall(f"'s|'t|'re|'ve|'m|'ll|'d|{runs}|[{blank}]+(?![^{blank}])|[{blank}]+", text)


def old(character):
    """Whether all Unicode versions in use agree on the character: one that Python 3.11 does not know is new."""
    return unicodedata.category(character) not in ("Cn", "Cs")


def merged(word, pair):
    """The word, a list of byte strings, with every occurrence of a pair merged, from the left."""
    word, out = list(word), []
    while word:
        both = tuple(word[:2]) == pair
        out.append(b"".join(word[: 1 + both]))
        del word[: 1 + both]
    return out


def bpe_merges(text, alphabet, size, min_count):
    """The merges, pairs of byte strings: always the most frequent pair; of equals, the one with the smaller ids."""
    words = [[bytes([b]) for b in word.encode("utf-8", "surrogatepass")] for word in gpt2_words(text)]
    tokens, merges = [bytes([b]) for b in alphabet], []
    while len(tokens) < size:
        counts = Counter(pair for word in words for pair in itertools.pairwise(word))
        pair = min(counts, key=lambda p: (-counts[p], tokens.index(p[0]), tokens.index(p[1])), default=None)
        if pair is None or counts[pair] < min_count:
            break
        merges.append(pair)
        tokens.append(b"".join(pair))
        words = [merged(word, pair) for word in words]
    return merges


def bpe_pieces(text, merges):
    """The tokens of a text, as byte strings: all merges are applied to each word, in order."""
    for word in gpt2_words(text):
        pieces = [bytes([b]) for b in word.encode("utf-8", "surrogatepass")]
        for pair in merges:
            pieces = merged(pieces, pair)
        yield from pieces


# Optimizers: θ after steps with the gradients gs, for one parameter.


def sgd(theta, gs, lr):
    for g in gs:
        theta = theta - lr * g
    return theta


def momentum(theta, gs, lr, beta=0.1):
    """The moving average of the steps η g, initialized with the first."""
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


def adamw(theta, gs, lr, weight_decay=0.1, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Adam's step after the decay of θ."""
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta = (1 - lr * weight_decay) * theta
        theta = theta - lr * m_hat / (v_hat**0.5 + epsilon)
    return theta


def sophia(theta, gs, curvatures, lr, beta1=0.96, beta2=0.99, epsilon=1e-12, weight_decay=0.2, gamma=0.05):
    """curvatures: the estimate before each step, or None."""
    m = h = 0.0
    for g, estimate in zip(gs, curvatures, strict=True):
        if estimate is not None:
            h = beta2 * h + (1 - beta2) * estimate
        m = beta1 * m + (1 - beta1) * g
        ratio = m / max(gamma * h, epsilon)
        theta = theta - lr * weight_decay * theta
        theta = theta - lr * (1 if ratio > 1 else -1 if ratio < -1 else ratio)
    return theta


def norm(g):
    """√Σ g²."""
    return math.sqrt(math.fsum(float(v) ** 2 for v in g))


# Figures of a classifier, a regression and a tagger.


def label_figures(gold, said, label):
    """(precision, recall, F1, count) of a label, example by example."""
    hits = sum(g == s == label for g, s in zip(gold, said, strict=True))
    count, answers = sum(g == label for g in gold), sum(s == label for s in said)
    precision, recall = hits / answers if answers else 0, hits / count if count else 0
    return precision, recall, 2 * precision * recall / (precision + recall) if hits else 0, count


def confusion(gold, said, L):
    """Row: what it is; column: what was said."""
    return [[sum((g, s) == (i, j) for g, s in zip(gold, said, strict=True)) for j in range(L)] for i in range(L)]


def wilson(correct, count, z=1.959963984540054):
    """The two p for which correct / count is z standard deviations √(p(1-p)/n) from p, by bisection."""

    def deviation(p):
        return abs(correct / count - p) - z * math.sqrt(p * (1 - p) / count)

    ends = []
    for inside, outside in ((correct / count, 0.0), (correct / count, 1.0)):
        for _ in range(200):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if deviation(middle) < 0 else (inside, middle)
        ends.append(outside)
    return ends


def pearson(x, y):
    """r² and its sign in exact arithmetic, then one root."""
    x, y = [Fraction(float(v)) for v in x], [Fraction(float(v)) for v in y]
    N = len(x)
    covariance = N * sum(a * b for a, b in zip(x, y, strict=True)) - sum(x) * sum(y)
    variances = [N * sum(v * v for v in side) - sum(side) ** 2 for side in (x, y)]
    if 0 in variances:
        return math.nan
    return math.copysign(math.sqrt(covariance**2 / (variances[0] * variances[1])), covariance)


def mean_ranks(x):
    """The mean of the places that each value could have in ascending order."""
    return [sum(w < v for w in x) + (1 + sum(w == v for w in x)) / 2 for v in x]


def spans(tags):
    """(start, stop, type): within each run of one type, the stretches that read S, or B or I, I..., perhaps E, or E alone."""
    found, at = [], 0
    for kind, run in itertools.groupby(tags, key=lambda tag: tag[2:]):
        prefixes = "".join(tag[0] for tag in run).replace("L", "E").replace("U", "S")
        found += [(at + m.start(), at + m.end(), kind) for m in re.finditer("S|[BI]I*E?|E", prefixes)]
        at += len(prefixes)
    return found


def to_bfloat16(x):
    """The nearest of the numbers whose lower 16 bits are 0, of two equally near ones the even one; denormals become 0.  x float32"""
    bits = np.array(x, np.float32).view(np.uint32).astype(np.int64)
    below, rest, sign, magnitude = bits // 2**16 * 2**16, bits % 2**16, bits // 2**31 * 2**31, bits % 2**31
    is_odd = below // 2**16 % 2 == 1
    up = (rest > 2**15) | ((rest == 2**15) & is_odd)
    nearest = below + 2**16 * up
    nearest = np.where(magnitude < 0x00800000, sign, nearest)
    nearest = np.where(magnitude > 0x7F800000, below | 0x400000, nearest)  # NaN
    return nearest.astype(np.uint32).view(np.float32)


def bf16_product(A, B, start):
    """start + A B, A and B rounded: pair by pair, the second term of each first; each sum is rounded once, to float32."""
    A, B, out = to_bfloat16(A), to_bfloat16(B), np.array(start, np.float32)
    K = A.shape[1]
    for k in range(0, K, 2):
        for j in (k + 1, k):
            if j < K:
                out = out + A[:, j, None] * B[j]  # a product of two numbers of 8 bits is exact
    return out


def read_arpa(text):
    """The n-grams of an ARPA file: tuple of words -> (log10 p, log10 of the back-off weight)."""
    head, *sections = re.split(r"^\\(\d+)-grams:$|^\\end\\$", text, flags=re.M)
    counts = {int(n): int(count) for n, count in re.findall(r"^ngram (\d+)=(\d+)$", head, re.M)}
    table = {}
    for n, section in zip(sections[::2], sections[1::2], strict=False):
        rows = [line.split("\t") for line in section.split("\n") if line]
        assert n is None or len(rows) == counts[int(n)]
        for p, words, *weight in rows if n else ():
            assert len(words.split(" ")) == int(n)
            table[tuple(words.split(" "))] = float(p), float(weight[0]) if weight else 0.0
    return table


def back_off(table, context, word):
    """log10 p(word | context) of an ARPA file: as listed or, if it is not, the context's weight and p after a shorter one."""
    if (*context, word) in table:
        return table[*context, word][0]
    return table.get(tuple(context), (0, 0.0))[1] + back_off(table, context[1:], word)


def with_cache(p, h, keys, words, theta, weight):
    """(1 - λ) p + λ Σ_i softmax_i(θ h · h_i) [w_i = w]; p itself if the cache is empty.  p (V,), h (H,), keys (n,H), words (n,)"""
    if not len(keys):
        return np.array(p, float)
    scores = [math.exp(theta * sum(float(a) * float(b) for a, b in zip(h, key, strict=True))) for key in keys]
    cache = [sum(s for s, word in zip(scores, words, strict=True) if word == w) / sum(scores) for w in range(len(p))]
    return np.array([(1 - weight) * float(a) + weight * b for a, b in zip(p, cache, strict=True)])
