"""The selective scan: a linear recurrence whose step size, input and output depend on the input (Gu & Dao 2023).

    h_t = e^{Δ_t A} h_{t-1} + B_t Δ_t x_t;   y_t = C_t h_t + D x_t

Letters as in the paper: each of the H channels of x has a state of N numbers in h, each with its own decay rate A < 0; the
step size Δ_t, the input weights B_t and the output weights C_t change with t. T steps, a batch of M texts.

The states of all steps would be T M N H numbers. Only every eighth state is kept; backward recomputes those in between.
"""

import numpy as np

from nlmcli.nn.elementary import dot, exp
from nlmcli.nn.kernel import kernel
from nlmcli.nn.pair import pair

CHUNK = 8  # steps from one kept state to the next


def selective_scan(x, delta, A, B, C, D, h0):
    """y and the final state.  x, delta (T,M,H), A (N,H), B, C (T,M,N), D (H,), h0 (M,N,H) -> y (T,M,H), h_T (M,N,H)."""
    y, h = np.empty_like(x), h0.copy()
    kept = np.empty((-(-len(x) // CHUNK), *h0.shape), x.dtype)  # kept[c] is the state before step 8 c
    scan(x, delta, A, B, C, D, h, y, kept)
    return (y, h), (x, delta, A, B, C, D, kept)


def selective_scan_backward(dy, cache):
    """Back-propagate from the last step to the first; g_t = dL/dh_t, and k_t = g_t e^{Δ_t A} h_{t-1} is the gradient of Δ_t A.

        g_t = C_t dy_t + e^{Δ_{t+1} A} g_{t+1};   dC_t = Σ_H dy_t h_t;   dB_t = Σ_H g_t Δ_t x_t;   dD = Σ_t dy_t x_t
        dA = Σ_t Δ_t k_t;   dΔ_t = Σ_N (A k_t + B_t g_t x_t);   dx_t = D dy_t + Σ_N B_t g_t Δ_t

    dy: dy (T,M,H) and the gradient of h_T, or None.  -> dx, ddelta, dA, dB, dC, dD, dh0
    """
    (dy, dlast), (*inputs, kept) = dy, cache
    g = np.zeros_like(kept[0]) if dlast is None else dlast.copy()
    gradients = tuple(np.zeros_like(each) for each in inputs)
    scan_backward(dy, tuple(inputs), kept, g, gradients)
    return *gradients, g


# No row views here: for rows as short as these, creating a view takes as long as the arithmetic.


@kernel
def scan(x, delta, A, B, C, D, h, y, kept):
    """h (M,N,H): the states before the first step, replaced by those after the last."""
    step = np.empty_like(D)  # Δ_t x_t
    for m in range(x.shape[1]):
        for t in range(x.shape[0]):
            if t % CHUNK == 0:
                copy(h[m], kept[t // CHUNK, m])
            for j in range(D.size):
                step[j] = delta[t, m, j] * x[t, m, j]
                y[t, m, j] = D[j] * x[t, m, j]
            for n in range(A.shape[0]):
                b, c = B[t, m, n], C[t, m, n]
                for j in range(D.size):
                    h[m, n, j] = exp(delta[t, m, j] * A[n, j]) * h[m, n, j] + step[j] * b
                for j in range(D.size):
                    y[t, m, j] += h[m, n, j] * c


@kernel
def copy(h, to):
    """to[...] = h, as a loop: Numba's array assignment adds seconds of compilation for its error message."""
    for n in range(h.shape[0]):
        for j in range(h.shape[1]):
            to[n, j] = h[n, j]


@kernel
def scan_backward(dy, given, kept, g, gradients):
    """Add to the gradients; g (M,N,H) becomes dh0."""
    A = given[2]
    h, decay = np.empty((CHUNK + 1, *A.shape), A.dtype), np.empty((CHUNK, *A.shape), A.dtype)
    step = np.empty((CHUNK, A.shape[1]), A.dtype)
    for m in range(dy.shape[1]):
        for first in range((kept.shape[0] - 1) * CHUNK, -1, -CHUNK):
            last = min(first + CHUNK, dy.shape[0])
            copy(kept[first // CHUNK, m], h[0])
            recompute_states(first, last, m, given, step, h, decay)
            for t in range(last - 1, first - 1, -1):
                step_backward(t, t - first, m, dy, given, step, h, decay, g, gradients)


@kernel
def recompute_states(first, last, m, given, step, h, decay):
    """Starting from h[0], for the steps t = first + i of a chunk: decay[i] = e^{Δ_t A}, step[i] = Δ_t x_t, and h[i+1]."""
    x, delta, A, B, _, _ = given
    N, H = A.shape
    for i in range(last - first):
        t = first + i
        for j in range(H):
            step[i, j] = delta[t, m, j] * x[t, m, j]
        for n in range(N):
            b = B[t, m, n]
            for j in range(H):
                decay[i, n, j] = exp(delta[t, m, j] * A[n, j])
            for j in range(H):
                h[i + 1, n, j] = decay[i, n, j] * h[i, n, j] + step[i, j] * b


@kernel
def step_backward(t, i, m, dy, given, step, h, decay, g, gradients):
    """Step t of text m, step i of its chunk.  g[m] = e^{Δ_{t+1} A} g_{t+1} becomes e^{Δ_t A} g_t."""
    x, delta, A, B, C, D = given
    dx, ddelta, dA, dB, dC, dD = gradients
    N, H = A.shape
    for n in range(N):
        b, c = B[t, m, n], C[t, m, n]
        dC[t, m, n] = dot(dy[t, m], h[i + 1, n])
        for j in range(H):
            g[m, n, j] += dy[t, m, j] * c
        dB[t, m, n] = dot(g[m, n], step[i])
        for j in range(H):
            dx[t, m, j] += g[m, n, j] * b  # times Δ_t, below
            g[m, n, j] *= decay[i, n, j]
        for j in range(H):
            k = g[m, n, j] * h[i, n, j]
            dA[n, j] += k * delta[t, m, j]
            ddelta[t, m, j] += k * A[n, j]
    for j in range(H):
        ddelta[t, m, j] += dx[t, m, j] * x[t, m, j]
        dx[t, m, j] = dx[t, m, j] * delta[t, m, j] + dy[t, m, j] * D[j]
    for j in range(H):
        dD[j] += dy[t, m, j] * x[t, m, j]


def _example(rng):
    T, M, H, N = CHUNK + 3, 2, 3, 2
    x, delta, A = rng.normal(size=(T, M, H)), rng.uniform(0.1, 1, (T, M, H)), -rng.uniform(0.1, 2, (N, H))
    return x, delta, A, *rng.normal(size=(2, T, M, N)), rng.normal(size=H), rng.normal(size=(M, N, H))


pair(selective_scan, selective_scan_backward, _example)
