"""Mamba: a state-space model without a recurrent matrix or a tanh, which selects by its input what to write, read and keep.

The residual stream v starts as the embeddings; each layer adds to it, and the head reads RMSNorm(v).

    r_t = RMSNorm(v_t);   x_t = r_t Wx;   z_t = r_t Wz;   u_t = silu(bK + Σ_k K_k x_{t-3+k})
    B_t = u_t WB;   C_t = u_t WC;   Δ_t = softplus(u_t W1 W2 + b1);   A = -e^lnA
    h_t = e^{Δ_t A} h_{t-1} + B_t Δ_t u_t;   y_t = C_t h_t + D u_t;   v_t + (y_t silu(z_t)) Wo

Gu & Dao 2023, with its letters A, B, C and D. As there, each channel has N = 16 numbers in h, its convolution sees 4
steps, W1 W2 has rank D/16, rounded up (none of the three is an option), and there are twice as many channels as
embedding dimensions unless `hidden` gives their number.
"""

from dataclasses import dataclass

import numpy as np

from nlmcli.models import base
from nlmcli.nn.activations import silu, silu_backward, softplus, softplus_backward
from nlmcli.nn.convolution import depthwise_convolution, depthwise_convolution_backward
from nlmcli.nn.dropout import dropout, dropout_backward
from nlmcli.nn.embedding import embedding, scatter_add
from nlmcli.nn.linear import add_column_sums, matmul_backward
from nlmcli.nn.matmul import matmul
from nlmcli.nn.rmsnorm import rmsnorm, rmsnorm_backward
from nlmcli.nn.selective_scan import selective_scan, selective_scan_backward
from nlmcli.options import ADVANCED, option

N = 16  # size of the state of each channel
WIDTH = 4  # kernel width of the convolution
DELTA_MIN, DELTA_MAX = 1e-3, 1e-1  # range of Δ at initialization


@dataclass(frozen=True)
class Config(base.Config):
    hidden: int | None = base.hidden(None, default_text="2 x embed")  # channels
    layers: int = base.layers(1)
    output_bias: bool = option(True, "Bias of the output layer, which Mamba elsewhere does not have.", panel=ADVANCED)


class Mamba(base.Model):
    """State: the last three x of each layer (L,B,3,H), and its h (L,B,N,H)."""

    Config = Config
    lr_scale = 15.0
    shard_columns = 8
    overfits = True

    @property
    def has_output_bias(self):
        return self.config.output_bias

    def channels(self):
        return self.config.hidden or 2 * self.config.embed

    def shapes(self):
        D, H, L, R = self.config.embed, self.channels(), self.config.layers, -(-self.config.embed // 16)
        inputs = {"g": (L, D), "Wx": (L, D, H), "Wz": (L, D, H), "K": (L, WIDTH, H), "bK": (L, H)}
        selection = {"WB": (L, H, N), "WC": (L, H, N), "W1": (L, H, R), "W2": (L, R, H), "b1": (L, H)}
        outputs = {"lnA": (L, N, H), "D": (L, H), "Wo": (L, H, D), "gf": (D,)}
        return {**self.embedding_shapes(), **inputs, **selection, **outputs, **self.output_shapes(D)}

    def matrices(self):
        return [name for name in super().matrices() if name != "D"]  # a gain per channel, capitalized as in the paper

    def initialize(self, rng, dtype=np.float32):
        """As in the paper: the states of a channel decay at rates 1 to 16, and the step sizes Δ are log-uniform."""
        P = super().initialize(rng, dtype)
        P.E[...] *= 2  # the shorter its input, the steeper RMSNorm
        P.g[...] = P.gf[...] = P.D[...] = 1
        P.lnA[...] = np.log(np.arange(1, N + 1))[:, None]
        delta = np.exp(rng.uniform(np.log(DELTA_MIN), np.log(DELTA_MAX), P.b1.shape))
        P.b1[...] = np.log(np.expm1(delta))  # softplus⁻¹
        return P

    def start(self, batch, dtype=np.float32):
        L, H = self.config.layers, self.channels()
        return np.zeros((L, batch, WIDTH - 1, H), dtype), np.zeros((L, batch, N, H), dtype)

    def forward(self, P, x, state, rng=None):
        v = embedding(P.E, x)[0].reshape(x.size, -1)
        after, layers = tuple(np.empty_like(memory) for memory in state), []
        for l in range(self.config.layers):
            out, *last, mixer_cache = mixer(P, l, v.reshape(*x.shape, -1), *(memory[l] for memory in state))
            for memory, value in zip(after, last, strict=True):
                memory[l] = value
            out, keep = dropout(out, self.config.dropout, rng)
            v = v + out
            layers.append((mixer_cache, keep))
        h, norm_cache = rmsnorm(v, P.gf)
        return h.reshape(*x.shape, -1), after, (P, x, layers, norm_cache)

    def step_sizes(self, P, x, state):
        """Δ of each channel of each layer, (L,T,B,H)."""
        *_, (_, _, layers, _) = self.forward(P, x, state)
        sizes = []
        for (*_, ssm_cache, _, _), _ in layers:
            *_, (_, delta, *_) = ssm_cache
            sizes.append(delta)
        return np.stack(sizes)

    def backward(self, dh, cache, G):
        P, x, layers, norm_cache = cache
        dv, dgf = rmsnorm_backward(dh.reshape(x.size, -1), norm_cache)
        G.gf += dgf
        for l in reversed(range(len(layers))):
            mixer_cache, keep = layers[l]
            (dout,) = dropout_backward(dv, keep)
            dv = dv + mixer_backward(dout, P, l, mixer_cache, G)
        scatter_add(G.E, x, dv.reshape(*x.shape, -1))


def mixer(P, l, v, before, h):
    """The output of layer l, to be added to v.  v (T,B,D), before (B,3,H), h (B,N,H) -> out (T B,D), last three x, last h, cache."""
    (T, M, D), H = v.shape, h.shape[2]
    r, norm_cache = rmsnorm(v.reshape(T * M, D), P.g[l])
    x = np.empty((WIDTH - 1 + T, M, H), v.dtype)  # starts with the three before
    x[: WIDTH - 1] = before.swapaxes(0, 1)
    matmul(r, P.Wx[l], out=x[WIDTH - 1 :].reshape(T * M, H))
    gate, gate_cache = silu(matmul(r, P.Wz[l]))
    c, convolution_cache = depthwise_convolution(x, P.K[l], P.bK[l])
    u, u_cache = silu(c)
    y, h, ssm_cache = ssm(P, l, u, h)
    gated = y * gate
    cache = r, norm_cache, gate, gate_cache, convolution_cache, u_cache, ssm_cache, y, gated
    return matmul(gated, P.Wo[l]), x[T:].swapaxes(0, 1), h, cache


def mixer_backward(dout, P, l, cache, G):
    """dout (T B,D) -> dv (T B,D); add the gradients of layer l to G."""
    r, norm_cache, gate, gate_cache, convolution_cache, u_cache, ssm_cache, y, gated = cache
    dgated = matmul_backward(dout, gated, P.Wo[l], G.Wo[l])
    (dz,) = silu_backward(dgated * y, gate_cache)
    du = ssm_backward(dgated * gate, P, l, ssm_cache, G)
    (dc,) = silu_backward(du, u_cache)
    dx, dK, dbK = depthwise_convolution_backward(dc, convolution_cache)
    G.K[l] += dK
    G.bK[l] += dbK
    dr = matmul_backward(dz, r, P.Wz[l], G.Wz[l])
    matmul_backward(dx[WIDTH - 1 :].reshape(dz.shape), r, P.Wx[l], G.Wx[l], dr)
    dv, dg = rmsnorm_backward(dr, norm_cache)
    G.g[l] += dg
    return dv


def ssm(P, l, u, h):
    """The selective scan of u, whose B, C and Δ are functions of u.  u (T,B,H), h (B,N,H) -> y (T B,H), the last h, cache."""
    T, M, H = u.shape
    rows = u.reshape(T * M, H)
    B, C, low = (matmul(rows, W[l]) for W in (P.WB, P.WC, P.W1))
    delta, delta_cache = softplus(matmul(low, P.W2[l], bias=P.b1[l]))
    A = -np.exp(P.lnA[l])
    B, C, delta = (each.reshape(T, M, -1) for each in (B, C, delta))
    (y, h), scan_cache = selective_scan(u, delta, A, B, C, P.D[l], h)
    return y.reshape(T * M, H), h, (rows, low, delta_cache, A, scan_cache)


def ssm_backward(dy, P, l, cache, G):
    """dy (T B,H) -> du (T,B,H), including the gradients through B, C and Δ."""
    rows, low, delta_cache, A, scan_cache = cache
    u = scan_cache[0]
    du, ddelta, dA, dB, dC, dD, _ = selective_scan_backward((dy.reshape(u.shape), None), scan_cache)
    G.lnA[l] += dA * A  # A = -e^lnA is its own derivative
    G.D[l] += dD
    (dsum,) = softplus_backward(ddelta.reshape(dy.shape), delta_cache)
    add_column_sums(dsum, G.b1[l])
    dlow = matmul_backward(dsum, low, P.W2[l], G.W2[l])
    for dY, W, dW in ((dB, P.WB, G.WB), (dC, P.WC, G.WC), (dlow, P.W1, G.W1)):
        matmul_backward(dY.reshape(len(rows), -1), rows, W[l], dW[l], du.reshape(dy.shape))
    return du
