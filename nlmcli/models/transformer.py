"""The Transformer: layers in which each position attends to those before it, followed by an MLP per position.

    x = E[w] + Ep[position]
    x = x + attention(LN(x; ga, ba) Wqkv + bqkv) Wo + bo          in each of L layers
    x = x + gelu(LN(x; gm, bm) W1 + b1) W2 + b2
    y = LN(x; gf, bf) U,   U = Eᵀ if tied

Vaswani et al. 2017, as a decoder with pre-normalization: GPT-2 (Radford et al. 2019), number for number, so that its
weights carry over. Dropout is where GPT-2 has it: on the embeddings, on the attention probabilities, and on the output of
each attention and MLP.

A text is read in blocks of `context` tokens: token t has position t mod context and attends to its own block up to itself.
"""

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from nlmcli.errors import InputError
from nlmcli.models import base
from nlmcli.nn.activations import gelu_and_gradient, gelu_into
from nlmcli.nn.attention import attend, attend_backward
from nlmcli.nn.dropout import dropout, dropout_backward, dropout_mask_or_empty
from nlmcli.nn.embedding import scatter_add
from nlmcli.nn.kernel import kernel
from nlmcli.nn.layernorm import add_layernorm_gradients, affine, layernorm, layernorm_backward, normalize
from nlmcli.nn.linear import add_gradients, add_weight_gradients
from nlmcli.nn.matmul import multiply
from nlmcli.options import option


@dataclass(frozen=True)
class Config(base.Config):
    hidden: int | None = base.hidden(None, default_text="4 x embed")  # of the MLP
    layers: int = base.layers(4)
    heads: int = option(4, "Attention heads.", "N", least=1)
    context: int = base.context(64)
    tie: bool = base.tie(True)

    def __post_init__(self):
        if self.embed % self.heads:
            raise InputError(f"--embed {self.embed} is not divisible by --heads {self.heads}; give a multiple of {self.heads}")


class Layers(NamedTuple):
    """The parameters of all layers, or their gradients; axis 0 of each is the layer."""

    ga: np.ndarray
    ba: np.ndarray
    Wqkv: np.ndarray
    bqkv: np.ndarray
    Wo: np.ndarray
    bo: np.ndarray
    gm: np.ndarray
    bm: np.ndarray
    W1: np.ndarray
    b1: np.ndarray
    W2: np.ndarray
    b2: np.ndarray


class Activations(NamedTuple):
    """The activations that backward needs, by layer.  N = B T rows, those of a text together.

    The inputs of attention and MLP are recomputed from x̂, and the output of GELU from its input: that costs less than memory.
    """

    a_hat: np.ndarray  # (L,N,D) x̂ before attention, and its 1/√(var + ε) (L,N)
    a_r: np.ndarray
    qkv: np.ndarray  # (L,B,T,3D)
    prob: np.ndarray  # (L,B,heads,T,n)
    used: np.ndarray  # the same after dropout
    o: np.ndarray  # (L,B,T,D)
    m_hat: np.ndarray  # the same before the MLP
    m_r: np.ndarray
    u: np.ndarray  # (L,N,H) input of the MLP's GELU


class DropoutMasks(NamedTuple):
    """The dropout masks, by layer; empty if nothing is dropped."""

    prob: np.ndarray  # (L,B,heads,T,n)
    a: np.ndarray  # (L,N,D) of the attention output
    m: np.ndarray  # (L,N,D) of the MLP output


class Transformer(base.Model):
    """State (KV cache): keys and values (L,B,n,D) of the block so far, and how many of its n positions each text has filled (1,B)."""

    Config = Config
    lr_scale = 3.2
    shard_columns = 4
    lr_power = 0.0

    @property
    def has_output_bias(self):
        return False

    @property
    def window(self):
        return self.config.context

    @property
    def hidden(self):
        return self.config.hidden or 4 * self.config.embed

    def shapes(self):
        D, H, L = self.config.embed, self.hidden, self.config.layers
        return {
            **self.embedding_shapes(), "Ep": (self.config.context, D),
            "ga": (L, D), "ba": (L, D), "Wqkv": (L, D, 3 * D), "bqkv": (L, 3 * D), "Wo": (L, D, D), "bo": (L, D),
            "gm": (L, D), "bm": (L, D), "W1": (L, D, H), "b1": (L, H), "W2": (L, H, D), "b2": (L, D),
            "gf": (D,), "bf": (D,), **self.output_shapes(D),
        }  # fmt: skip

    def embedded_ids(self, x, state):
        return [x]

    def initialize(self, rng, dtype=np.float32):
        """Each layer adds to x twice, so the matrices whose outputs are added are divided by √2L (Radford et al. 2019)."""
        P = super().initialize(rng, dtype)
        P.Ep[...] *= 0.02 * np.sqrt(self.config.context)
        for added in (P.Wo, P.W2):
            added[...] /= np.sqrt(2 * self.config.layers)
        for gain in (P.ga, P.gm, P.gf):
            gain[...] = 1
        return P

    def start(self, batch, dtype=np.float32):
        empty = (self.config.layers, batch, self.config.context, self.config.embed)
        return np.zeros(empty, dtype), np.zeros(empty, dtype), np.zeros((1, batch), np.int64)

    def forward(self, P, x, state, rng=None):
        h, saved, cache = self.encoded(P, x, state, rng)
        return h, self.next_state(saved.qkv, state), cache

    def advance(self, P, x, state):
        h, saved, _ = self.encoded(P, x, state)
        K, V, filled = state
        remember(saved.qkv, filled[0], (), K, V)
        return h, (K, V, (filled + len(x)) % self.config.context)

    def attention(self, P, x, state):
        """The attention probabilities of each text, layer and head, (L,B,heads,T,n); those of later positions are undefined."""
        return self.encoded(P, x, state)[1].prob

    def encoded(self, P, x, state, rng=None):
        """h (T,B,D), the activations, and the cache of `forward`."""
        (T, B), W = x.shape, self.layers(P)
        K, V, (filled,) = state
        rows = np.empty((B * T, self.config.embed), P.E.dtype)
        embed(P.E, P.Ep, x, filled, rows)
        rows, e_keep = dropout(rows, self.config.dropout, rng)
        keep = self.draw_masks(B, T, rng, rows.dtype)
        saved = self.allocate(B, T, keep, rows.dtype)
        encode(rows, W, K, V, filled, keep, saved)
        h, norm_cache = layernorm(rows, P.gf, P.bf)
        cache = x, e_keep, W, state, keep, saved, norm_cache
        return np.ascontiguousarray(h.reshape(B, T, -1).swapaxes(0, 1)), saved, cache

    def backward(self, dh, cache, G):
        x, e_keep, W, (K, V, (filled,)), keep, saved, norm_cache = cache
        dh = np.ascontiguousarray(dh.swapaxes(0, 1)).reshape(x.size, -1)
        dx, dgf, dbf = layernorm_backward(dh, norm_cache)
        G.gf += dgf
        G.bf += dbf
        encode_backward(dx, W, K, V, filled, keep, saved, self.layers(G))
        (de,) = dropout_backward(dx, e_keep)
        scatter_add(G.E, np.ascontiguousarray(x.T), de)
        scatter_add(G.Ep, (filled[:, None] + np.arange(len(x))) % self.config.context, de)

    def next_state(self, qkv, state):
        """The keys and values of each text's current block; none if a block has just ended.  qkv (L,B,T,3D)"""
        filled = (state[2] + qkv.shape[2]) % self.config.context
        if not filled.any() and not state[2].any():
            return state  # from the start of a block to the start of the next
        K, V, _ = self.start(qkv.shape[1], qkv.dtype)
        remember(qkv, state[2][0], state[:2], K, V)
        return K, V, filled

    def layers(self, P):
        return Layers(*(P[name] for name in Layers._fields))

    def draw_masks(self, B, T, rng, dtype):
        c = self.config
        shapes = (c.layers, B, c.heads, T, c.context), (c.layers, B * T, c.embed), (c.layers, B * T, c.embed)
        return DropoutMasks(*(dropout_mask_or_empty(shape, c.dropout, rng, dtype) for shape in shapes))

    def allocate(self, B, T, keep, dtype):
        """The arrays that `encode` fills, as views of one array: the system would reclaim many and clear them for the next step."""
        L, D, H, heads, n = self.config.layers, self.config.embed, self.hidden, self.config.heads, self.config.context
        N = B * T
        prob = (L, B, heads, T, n)
        used = prob if keep.prob.size else (0,)
        shapes = (L, N, D), (L, N), (L, B, T, 3 * D), prob, used, (L, B, T, D), (L, N, D), (L, N), (L, N, H)
        sizes = list(map(math.prod, shapes))
        ends = list(accumulate(sizes))
        buffer = np.empty(ends[-1], dtype)
        views = (buffer[end - size : end].reshape(shape) for shape, size, end in zip(shapes, sizes, ends, strict=True))
        saved = Activations(*views)
        return saved if keep.prob.size else saved._replace(used=saved.prob)


@kernel
def embed(E, Ep, x, filled, rows):
    """rows = E[x] + Ep[position], those of a text together.  x (T,B), filled (B,), rows (B T, D)"""
    T, n = x.shape[0], Ep.shape[0]
    for b in range(x.shape[1]):
        for t in range(T):
            row, e, position = rows[b * T + t], E[x[t, b]], Ep[(filled[b] + t) % n]
            for j in range(row.size):
                row[j] = e[j] + position[j]


@kernel
def remember(qkv, filled, before, K, V):
    """Write the keys and values of each text's current block to K and V (L,B,n,D).  qkv (L,B,T,3D)

    before: the keys and values of what the blocks already held, (L,B,n,D) each; () if those are K and V.
    """
    (L, B, T, _), (n, D) = qkv.shape, K.shape[2:]
    for b in range(B):
        now = (filled[b] + T) % n
        new = min(T, now)
        old = now - new
        for l in range(L):
            if len(before) > 0:
                K[l, b, :old], V[l, b, :old] = before[0][l, b, :old], before[1][l, b, :old]
            K[l, b, old:now], V[l, b, old:now] = qkv[l, b, T - new :, D : 2 * D], qkv[l, b, T - new :, 2 * D :]


@kernel
def encode(x, W, past_k, past_v, filled, keep, saved):
    """Forward pass of all layers, in place.  x (N,D)."""
    (N, D), H = x.shape, saved.u.shape[2]
    n, v, more = np.empty_like(x), np.empty((N, H), x.dtype), np.empty_like(x)
    for l in range(W.Wqkv.shape[0]):
        qkv, o, u = saved.qkv[l].reshape(N, 3 * D), saved.o[l].reshape(N, D), saved.u[l]
        normalize(x, W.ga[l], W.ba[l], n, saved.a_hat[l], saved.a_r[l])
        multiply(n, W.Wqkv[l], qkv, bias=W.bqkv[l])
        attend(saved.qkv[l], past_k[l], past_v[l], filled, keep.prob[l], saved.prob[l], saved.used[l], saved.o[l])
        multiply(o, W.Wo[l], more, bias=W.bo[l])
        add_residual(x, more, keep.a[l])
        normalize(x, W.gm[l], W.bm[l], n, saved.m_hat[l], saved.m_r[l])
        multiply(n, W.W1[l], u, bias=W.b1[l])
        gelu_into(u.reshape(u.size), v.reshape(v.size))
        multiply(v, W.W2[l], more, bias=W.b2[l])
        add_residual(x, more, keep.m[l])


@kernel
def encode_backward(dx, W, past_k, past_v, filled, keep, saved, dW):
    """Backward pass of all layers, in place; add the gradients of their parameters to dW.  dx (N,D)."""
    N, D = dx.shape
    n, v, du, dn = np.empty_like(dx), np.empty_like(saved.u[0]), np.empty_like(saved.u[0]), np.empty_like(dx)
    do, dqkv = np.empty_like(saved.o[0]), np.empty_like(saved.qkv[0])
    for l in range(W.Wqkv.shape[0] - 1, -1, -1):
        u, d = saved.u[l], masked(dx, keep.m[l])
        multiply(d, W.W2[l].T, du)
        gelu_and_gradient(u.reshape(u.size), du.reshape(du.size), v.reshape(v.size))
        add_weight_gradients(v, d, dW.W2[l], dW.b2[l])
        affine(saved.m_hat[l], W.gm[l], W.bm[l], n)
        add_gradients(n, W.W1[l], du, dn, dW.W1[l], dW.b1[l])
        add_layernorm_gradients(dn, saved.m_hat[l], saved.m_r[l], W.gm[l], dx, dW.gm[l], dW.bm[l])
        d = masked(dx, keep.a[l])
        add_gradients(saved.o[l].reshape(N, D), W.Wo[l], d, do.reshape(N, D), dW.Wo[l], dW.bo[l])
        attend_backward(do, saved.qkv[l], past_k[l], past_v[l], filled, keep.prob[l], saved.prob[l], saved.used[l], dqkv)
        affine(saved.a_hat[l], W.ga[l], W.ba[l], n)
        add_gradients(n, W.Wqkv[l], dqkv.reshape(N, 3 * D), dn, dW.Wqkv[l], dW.bqkv[l])
        add_layernorm_gradients(dn, saved.a_hat[l], saved.a_r[l], W.ga[l], dx, dW.ga[l], dW.ba[l])


@kernel
def add_residual(x, more, keep):
    """x += more keep."""
    for k in range(x.shape[0]):
        row, add = x[k], more[k]
        if keep.size > 0:
            by = keep[k]
            for j in range(row.size):
                add[j] *= by[j]
        for j in range(row.size):
            row[j] += add[j]


@kernel
def masked(dx, keep):
    """dx keep, or dx itself if nothing is dropped."""
    if keep.size == 0:
        return dx
    return dx * keep
