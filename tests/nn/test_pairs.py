"""Every pair of functions: backward against central differences, forward against the definition."""

import copy

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmcli.engine.checking.gradcheck import all_pairs, check_pair
from nlmcli.nn.philox import Philox

PAIRS = all_pairs()
DEFINITIONS = (
    *(
        "adaptive_cross_entropy",
        "attention",
        "depthwise_convolution",
        "dilated_convolution",
        "embedding",
        "from_tables",
        "gate",
        "gelu",
        "layernorm",
        "linear",
    ),
    *("linear_cross_entropy", "rmsnorm", "silu", "softmax", "softmax_cross_entropy", "softplus", "tanh"),
)
SIZE = st.integers(1, 9)


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_backward_is_the_derivative_of_forward(name):
    for row in check_pair(PAIRS[name]):
        assert row.error <= 1e-6, row


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_inputs_are_not_modified(name):
    inputs = PAIRS[name].example(np.random.default_rng(1))
    before = copy.deepcopy(inputs)
    y, cache = PAIRS[name].forward(*inputs)
    PAIRS[name].backward(tuple(map(np.ones_like, y)) if isinstance(y, tuple) else np.ones_like(y), cache)
    for after, original in zip(inputs, before, strict=True):
        if isinstance(after, np.ndarray | tuple):
            np.testing.assert_equal(after, original)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_forward_is_the_definition(name):
    inputs = PAIRS[name].example(np.random.default_rng(2))
    y, _ = PAIRS[name].forward(*inputs)
    np.testing.assert_allclose(y, getattr(naive, name)(*inputs), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(N=SIZE, D=SIZE, M=SIZE, seed=st.integers(0, 99))
@settings(max_examples=25)
def test_linear_of_any_size(dtype, N, D, M, seed):
    rng = np.random.default_rng(seed)
    X, W, b = (rng.normal(size=shape).astype(dtype) for shape in ((N, D), (D, M), (M,)))
    Y, cache = PAIRS["linear"].forward(X, W, b)
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}
    assert Y.dtype == dtype
    np.testing.assert_allclose(Y, naive.linear(X, W, b), **close)
    dX, dW, db = PAIRS["linear"].backward(Y, cache)
    np.testing.assert_allclose(dX, naive.linear(Y, W.T, np.zeros(D)), **close)
    np.testing.assert_allclose(dW, naive.linear(X.T, Y, np.zeros(M)), **close)
    np.testing.assert_allclose(db, Y.astype(float).sum(0), **close)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(T=SIZE, B=SIZE, H=SIZE, seed=st.integers(0, 99))
@settings(max_examples=15)
def test_recurrences_of_any_size(dtype, T, B, H, seed):
    rng = np.random.default_rng(seed)
    R = 4
    index = rng.integers(0, R, (T, B))
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}

    rows, Wh, h0, c0 = (rng.normal(size=shape).astype(dtype) for shape in ((R, H), (H, H), (B, H), (B, H)))
    (h, last), _ = PAIRS["elman"].forward(rows, index, Wh, h0)
    np.testing.assert_allclose(h, naive.recur(naive.embedding(rows, index), Wh, h0), **close)
    np.testing.assert_array_equal(last, h[-1])
    assert h.dtype == dtype

    rows, Wh = rng.normal(size=(R, 4 * H)).astype(dtype), rng.normal(size=(H, 4 * H)).astype(dtype)
    (h, *last), _ = PAIRS["lstm"].forward(rows, index, Wh, h0, c0)
    state = h0, c0
    for t in range(T):
        state = naive.lstm_step(rows[index[t]], *state, np.eye(4 * H), Wh, np.zeros(4 * H))
        np.testing.assert_allclose(h[t], state[0], **close)
    np.testing.assert_allclose(last, state, **close)

    rows, Wh, bn = (rng.normal(size=shape).astype(dtype) for shape in ((R, 3 * H), (H, 3 * H), H))
    (h, last), _ = PAIRS["gru"].forward(rows, index, Wh, bn, h0)
    state = h0
    for t in range(T):
        state = naive.gru_step(rows[index[t]], state, np.eye(3 * H), Wh, np.zeros(3 * H), bn)
        np.testing.assert_allclose(h[t], state, **close)
    np.testing.assert_array_equal(last, h[-1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(T=st.integers(1, 20), M=SIZE, H=SIZE, N=SIZE, seed=st.integers(0, 99))
@settings(max_examples=15)
def test_the_selective_scan_of_any_size(dtype, T, M, H, N, seed):
    rng = np.random.default_rng(seed)
    x, B, C, D, h0 = (rng.normal(size=shape).astype(dtype) for shape in ((T, M, H), (T, M, N), (T, M, N), (H,), (M, N, H)))
    delta, A = rng.uniform(0, 2, (T, M, H)).astype(dtype), -rng.uniform(0, 9, (N, H)).astype(dtype)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}
    (y, h), _ = PAIRS["selective_scan"].forward(x, delta, A, B, C, D, h0)
    assert y.dtype == h.dtype == dtype
    for actual, expected in zip((y, h), naive.selective_scan(x, delta, A, B, C, D, h0), strict=True):
        np.testing.assert_allclose(actual, expected, **close)


@pytest.mark.parametrize("T", [1, 7, 8, 9, 16, 17])
def test_a_scan_in_two_parts_has_the_gradient_of_the_whole_scan(T):
    """The second part's dh0 is the gradient of the first part's final state, wherever the cut is."""
    rng = np.random.default_rng(T)
    pair, (x, delta, A, B, C, D, h0) = PAIRS["selective_scan"], PAIRS["selective_scan"].example(rng)
    x, delta, B, C = (np.resize(v, (T + 5, *v.shape[1:])) for v in (x, delta, B, C))
    dy = rng.normal(size=x.shape)
    _, cache = pair.forward(x, delta, A, B, C, D, h0)
    whole = pair.backward((dy, None), cache)
    (_, h), first = pair.forward(x[:T], delta[:T], A, B[:T], C[:T], D, h0)
    _, second = pair.forward(x[T:], delta[T:], A, B[T:], C[T:], D, h)
    late = pair.backward((dy[T:], None), second)
    early = pair.backward((dy[:T], late[-1]), first)
    for name, a, b, expected in zip(pair.input_names(), early, late, whole, strict=True):
        joined = a if name == "h0" else a + b if name in ("A", "D") else np.concatenate([a, b])
        np.testing.assert_allclose(joined, expected, rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(T=SIZE, B=SIZE, C=SIZE, M=SIZE, d=SIZE, seed=st.integers(0, 99))
@settings(max_examples=15)
def test_convolutions_of_any_size(dtype, T, B, C, M, d, seed):
    """d may exceed the number of steps."""
    rng = np.random.default_rng(seed)
    inputs = [rng.normal(size=shape).astype(dtype) for shape in ((T, B, C), (d, B, C), (2 * C, M), (M,))]
    y, cache = PAIRS["dilated_convolution"].forward(*inputs)
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-12}
    np.testing.assert_allclose(y, naive.dilated_convolution(*inputs), **close)
    dx, dbefore, dW, db = PAIRS["dilated_convolution"].backward(y, cache)
    dsteps = np.zeros((d + T, B, C))
    dsteps[:T] += y @ inputs[2][:C].T
    dsteps[d:] += y @ inputs[2][C:].T
    steps = np.concatenate([inputs[1], inputs[0]])
    np.testing.assert_allclose(np.concatenate([dbefore, dx]), dsteps, **close)
    np.testing.assert_allclose(dW, np.concatenate([np.einsum("tbc,tbm->cm", part, y) for part in (steps[:T], steps[d:])]), **close)
    np.testing.assert_allclose(db, y.sum((0, 1)), **close)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(N=SIZE, D=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_layernorm_of_any_size(dtype, N, D, seed):
    rng = np.random.default_rng(seed)
    x, g, b = 3 + rng.normal(size=(N, D)).astype(dtype), rng.normal(size=D).astype(dtype), rng.normal(size=D).astype(dtype)
    y, _ = PAIRS["layernorm"].forward(x, g, b)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-10}
    assert y.dtype == dtype
    np.testing.assert_allclose(y, naive.layernorm(x.astype(float), g, b), **close)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(B=st.integers(1, 3), T=st.integers(1, 70), n=st.integers(1, 70), heads=st.integers(1, 3), d=SIZE, seed=st.integers(0, 99))
@settings(max_examples=15)
def test_attention_of_any_size(dtype, B, T, n, heads, d, seed):
    rng = np.random.default_rng(seed)
    past = *rng.normal(size=(2, B, n, heads * d)).astype(dtype), rng.integers(0, n, B)
    qkv, do = rng.normal(size=(B, T, 3 * heads * d)).astype(dtype), rng.normal(size=(B, T, heads * d)).astype(dtype)
    o, cache = PAIRS["attention"].forward(qkv, heads, past)
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}
    assert o.dtype == dtype
    np.testing.assert_allclose(o, naive.attention(qkv, heads, past), **close)
    (dqkv,) = PAIRS["attention"].backward(do, cache)
    direction = rng.normal(size=qkv.shape)
    above, below = ((do * naive.attention(qkv + step * direction, heads, past)).sum() for step in (1e-6, -1e-6))
    assert (dqkv * direction).sum() == pytest.approx((above - below) / 2e-6, rel=2e-3 if dtype == "float32" else 1e-5, abs=1e-3)


@given(N=SIZE, H=SIZE, V=st.integers(2, 40), seed=st.integers(0, 99), padded=st.booleans())
@settings(max_examples=25)
def test_the_head_of_any_size(N, H, V, seed, padded):
    rng = np.random.default_rng(seed)
    h, U, b2 = rng.normal(size=(N, H)), rng.normal(size=(H, V)), rng.normal(size=V)
    targets = rng.integers(-1 if padded else 0, V, N)
    loss, cache = PAIRS["linear_cross_entropy"].forward(h, U, b2, targets)
    assert loss == pytest.approx(naive.linear_cross_entropy(h, U, b2, targets), rel=1e-12, abs=1e-13)
    dh, dU, db2 = PAIRS["linear_cross_entropy"].backward(1.0, cache)
    n = max(1, (targets >= 0).sum())
    dz = np.array([(p - np.eye(V)[y]) / n if y >= 0 else 0 * p for p, y in zip(naive.softmax(h @ U + b2), targets, strict=True)])
    np.testing.assert_allclose(dh, dz @ U.T, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(dU, h.T @ dz, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(db2, dz.sum(0), rtol=1e-10, atol=1e-13)


@given(V=SIZE, D=SIZE, ids=st.lists(st.integers(0, 8), min_size=1, max_size=12))
@settings(max_examples=25)
def test_a_repeated_id_sums_its_gradients(V, D, ids):
    rng = np.random.default_rng(0)
    x = np.array(ids) % V
    E, de = rng.normal(size=(V, D)), rng.normal(size=(len(x), D))
    e, cache = PAIRS["embedding"].forward(E, x)
    np.testing.assert_array_equal(e, naive.embedding(E, x))
    (dE,) = PAIRS["embedding"].backward(de, cache)
    np.testing.assert_allclose(dE, [sum((g for g, i in zip(de, x, strict=True) if i == v), np.zeros(D)) for v in range(V)], atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_logits_do_not_overflow(dtype):
    z = np.array([[1000.0, 0.0, -1000.0], [-1000.0, -1000.0, -1000.0]], dtype)
    p, _ = PAIRS["softmax"].forward(z)
    np.testing.assert_allclose(p, [[1, 0, 0], [1 / 3] * 3], rtol=1e-6)
    loss, _ = PAIRS["softmax_cross_entropy"].forward(z, np.array([1, 2]))
    assert loss == pytest.approx((1000 + np.log(3)) / 2, rel=1e-6)


def test_dropout_preserves_the_mean_and_does_nothing_in_evaluation():
    forward = PAIRS["dropout"].forward
    x = np.ones((200, 100))
    dropped, _ = forward(x, 0.25, Philox(0))
    assert set(np.unique(dropped)) <= {0, np.float64(np.float32(1 / 0.75)), 1 / 0.75}
    assert dropped.mean() == pytest.approx(1, abs=0.02)
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(forward(x, 0.25, None)[0], x)
