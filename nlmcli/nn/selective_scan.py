"""The selective scan: a linear recurrence whose step, input and output the text itself decides (Gu & Dao 2023).

    h_t = e^{Δ_t A} h_{t-1} + B_t Δ_t x_t;   y_t = C_t h_t + D x_t

Letters as in the paper: each of H channels of x has N numbers in h, which decay at rates of their own, A < 0; how long
a step Δ_t lasts, what is written, B_t, and what is read, C_t, change with t. T steps, M texts side by side.

The states of all steps would be T M N H numbers. Only every eighth is kept; backward makes those between once more.
"""

import numpy as np

from nlmcli.nn.elementary import dot, exp
from nlmcli.nn.kernel import kernel
from nlmcli.nn.pair import pair

CHUNK = 8  # steps from one state that is kept to the next


def selective_scan(x, delta, A, B, C, D, h0):
    """y and the last h.  x, delta (T,M,H), A (N,H), B, C (T,M,N), D (H,), h0 (M,N,H) -> y (T,M,H), h_T (M,N,H)."""
    y, h = np.empty_like(x), h0.copy()
    kept = np.empty((-(-len(x) // CHUNK), *h0.shape), x.dtype)  # kept[c] is the state before step 8 c
    scan(x, delta, A, B, C, D, h, y, kept)
    return (y, h), (x, delta, A, B, C, D, kept)


def selective_scan_backward(dy, cache):
    """From the last step to the first; g_t = dL/dh_t, and k_t = g_t e^{Δ_t A} h_{t-1} is the gradient of Δ_t A.

        g_t = C_t dy_t + e^{Δ_{t+1} A} g_{t+1};   dC_t = Σ_H dy_t h_t;   dB_t = Σ_H g_t Δ_t x_t;   dD = Σ_t dy_t x_t
        dA = Σ_t Δ_t k_t;   dΔ_t = Σ_N (A k_t + B_t g_t x_t);   dx_t = D dy_t + Σ_N B_t g_t Δ_t

    dy: dy (T,M,H) and what comes back through h_T, None for nothing.  -> dx, ddelta, dA, dB, dC, dD, dh0
    """
    (dy, dlast), (x, delta, A, B, C, D, kept) = dy, cache
    g = np.zeros_like(kept[0]) if dlast is None else dlast.copy()
    dx, ddelta, dA, dB, dC, dD = (np.zeros_like(each) for each in (x, delta, A, B, C, D))
    scan_backward(dy, x, delta, A, B, C, D, kept, g, dx, ddelta, dA, dB, dC, dD)
    return dx, ddelta, dA, dB, dC, dD, g


@kernel
def scan(x, delta, A, B, C, D, last, y, kept):
    """last (M,N,H): the states before the first step become those after the last."""
    step = np.empty_like(D)  # Δ_t x_t
    for m in range(x.shape[1]):
        h = last[m]
        for t in range(x.shape[0]):
            if t % CHUNK == 0:
                kept[t // CHUNK, m] = h
            xt, dt, out = x[t, m], delta[t, m], y[t, m]
            for j in range(D.size):
                step[j] = dt[j] * xt[j]
                out[j] = D[j] * xt[j]
            for n in range(A.shape[0]):
                a, hn, b, c = A[n], h[n], B[t, m, n], C[t, m, n]
                for j in range(D.size):
                    hn[j] = exp(dt[j] * a[j]) * hn[j] + step[j] * b
                for j in range(D.size):
                    out[j] += hn[j] * c


@kernel
def states_again(x, delta, A, B, m, first, last, h, decay):
    """h[i + 1] and decay[i] = e^{Δ_t A} of the steps t = first + i up to last, from h[0]."""
    step = np.empty(x.shape[2], x.dtype)
    for i in range(last - first):
        xt, dt = x[first + i, m], delta[first + i, m]
        for j in range(step.size):
            step[j] = dt[j] * xt[j]
        for n in range(A.shape[0]):
            a, e, before, after, b = A[n], decay[i, n], h[i, n], h[i + 1, n], B[first + i, m, n]
            for j in range(step.size):
                e[j] = exp(dt[j] * a[j])
            for j in range(step.size):
                after[j] = e[j] * before[j] + step[j] * b


@kernel
def scan_backward(dy, x, delta, A, B, C, D, kept, g, dx, ddelta, dA, dB, dC, dD):
    """Adds into everything whose name starts with d; g (M,N,H) becomes dh0."""
    h, decay = np.empty((CHUNK + 1, *A.shape), A.dtype), np.empty((CHUNK, *A.shape), A.dtype)
    for m in range(x.shape[1]):
        for c in range(kept.shape[0] - 1, -1, -1):
            first, last = c * CHUNK, min((c + 1) * CHUNK, x.shape[0])
            h[0] = kept[c, m]
            states_again(x, delta, A, B, m, first, last, h, decay)
            for t in range(last - 1, first - 1, -1):
                i = t - first
                step_backward(
                    dy[t, m], x[t, m], delta[t, m], A, B[t, m], C[t, m], D, h[i], h[i + 1], decay[i],
                    g[m], dx[t, m], ddelta[t, m], dA, dB[t, m], dC[t, m], dD,
                )  # fmt: skip


@kernel
def step_backward(dy, x, delta, A, B, C, D, before, after, decay, g, dx, ddelta, dA, dB, dC, dD):
    """One step of one text. g (N,H): e^{Δ_{t+1} A} g_{t+1} becomes e^{Δ_t A} g_t."""
    step, into = np.empty_like(x), np.zeros_like(x)  # Δ x, and Σ_N B g
    for j in range(x.size):
        step[j] = delta[j] * x[j]
    for n in range(B.size):
        gn, a, e, h, da, b, c = g[n], A[n], decay[n], before[n], dA[n], B[n], C[n]
        dC[n] = dot(dy, after[n])
        for j in range(x.size):
            gn[j] += dy[j] * c
        dB[n] = dot(gn, step)
        for j in range(x.size):
            into[j] += gn[j] * b
            gn[j] *= e[j]
        for j in range(x.size):
            k = gn[j] * h[j]
            da[j] += k * delta[j]
            ddelta[j] += k * a[j]
    for j in range(x.size):
        dx[j] += into[j] * delta[j] + dy[j] * D[j]
        ddelta[j] += into[j] * x[j]
    for j in range(x.size):
        dD[j] += dy[j] * x[j]


def _example(rng):
    T, M, H, N = CHUNK + 3, 2, 3, 2
    x, delta, A = rng.normal(size=(T, M, H)), rng.uniform(0.1, 1, (T, M, H)), -rng.uniform(0.1, 2, (N, H))
    return x, delta, A, *rng.normal(size=(2, T, M, N)), rng.normal(size=H), rng.normal(size=(M, N, H))


pair(selective_scan, selective_scan_backward, _example)
