"""nlmcli.nn.matmul against NumPy in float64; with NUMBA_DISABLE_JIT=1, the same tests run without kernels."""

import platform

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmcli.nn.kernel import JIT
from nlmcli.nn.matmul import matmul, multiply, multiply_packed, pack, pack_into, panel_shape

compiled_only = pytest.mark.skipif(not JIT, reason="needs compiled code")
many_examples = settings(max_examples=1000 if JIT else 150, derandomize=True, deadline=None, database=None)
some_examples = settings(max_examples=200 if JIT else 30, derandomize=True, deadline=None, database=None)

# Sizes around the height of a tile (4 to 8), a vector (4 to 16), a panel (8 to 48), a strip (96) and a block (384).
sizes = st.one_of(st.integers(0, 20), st.integers(0, 110), st.sampled_from([95, 96, 97, 144, 383, 384, 385, 400]))
reals = st.sampled_from([np.float32, np.float64])
layouts = st.sampled_from(["rows", "columns", "window", "backwards", "every second", "repeated", "far apart"])
seeds = st.integers(0, 2**32 - 1)


def laid_out(values, layout):
    """The same (M, N) numbers with another memory layout ("repeated": the first row in every row)."""
    M, N = values.shape
    if layout == "rows":
        return values
    if layout == "columns":
        return np.asfortranarray(values)
    if layout == "repeated":
        return np.broadcast_to(values[:1], (M, N)) if M else values
    if layout == "far apart":  # contiguous columns, more than a memory page from one to the next
        buffer = np.zeros((N, M + 1100), values.dtype).T[:M]
    elif layout == "every second":
        buffer = np.zeros((2 * M, 2 * N), values.dtype)[::2, ::2]
    elif layout == "backwards":
        buffer = np.zeros((M, N), values.dtype)[::-1, ::-1]
    else:
        buffer = np.zeros((M + 3, N + 5), values.dtype)[2 : 2 + M, 4 : 4 + N]
    buffer[...] = values
    return buffer


def random_matrix(rng, M, N, real, layout="rows"):
    return laid_out(rng.standard_normal((M, N)).astype(real), layout)


def packed_product(A, B, out, accumulate, bias):
    multiply_packed(A, pack(B), out, accumulate, bias)


def python_product(A, B, out, accumulate, bias):
    assert matmul(A, B, out, accumulate, bias) is out


@many_examples
@given(sizes, sizes, sizes, reals, layouts, layouts, st.sampled_from(["plain", "accumulate", "bias"]),
       st.sampled_from([multiply, packed_product, python_product]), seeds)  # fmt: skip
def test_product_is_correct_to_rounding_and_writes_nowhere_else(M, K, N, real, layout_a, layout_b, start, product, seed):
    rng = np.random.default_rng(seed)
    A, B = random_matrix(rng, M, K, real, layout_a), random_matrix(rng, K, N, real, layout_b)
    bias = rng.standard_normal(N).astype(real) if start == "bias" else None
    around = random_matrix(rng, M + 4, N + 60, real)
    out, before = around[2 : 2 + M, 29 : 29 + N], around.copy()
    initial = {"plain": np.zeros(N), "accumulate": out.astype(float), "bias": bias}[start]
    exact = initial + A.astype(float) @ B.astype(float)
    size = np.abs(initial) + np.abs(A).astype(float) @ np.abs(B).astype(float)

    product(A, B, out, start == "accumulate", bias)

    assert np.all(np.abs(out - exact) <= (K + 2) * np.finfo(real).eps * size)
    out[...] = before[2 : 2 + M, 29 : 29 + N]
    assert around.tobytes() == before.tobytes()


@some_examples
@given(sizes, sizes, reals, layouts, seeds)
def test_panels_hold_the_columns_and_nothing_else_is_written(K, N, real, layout, seed):
    rng = np.random.default_rng(seed)
    B = random_matrix(rng, K, N, real, layout)
    P, _, width = shape = panel_shape(K, N, B.itemsize)
    buffer = rng.standard_normal((P + 2, *shape[1:])).astype(real)
    before = buffer.copy()
    pack_into(B, buffer[1 : 1 + P])
    columns = buffer[1 : 1 + P].transpose(1, 0, 2).reshape(K, P * width)
    assert np.array_equal(columns[:, :N], B)
    assert np.array_equal(buffer[[0, -1]], before[[0, -1]])
    assert np.isfinite(buffer).all()


@compiled_only
@some_examples
@given(sizes, sizes, sizes, reals, layouts, st.data(), seeds)
def test_same_bits_however_the_work_is_split(M, K, N, real, layout, data, seed):
    rng = np.random.default_rng(seed)
    A, B = random_matrix(rng, M, K, real, layout), random_matrix(rng, K, N, real)
    whole, packed, parts = (np.zeros((M, N), real) for _ in range(3))
    multiply(A, B, whole)
    multiply_packed(A, pack(B), packed)
    i, k, j = (data.draw(st.integers(0, n)) for n in (M, K, N))
    for rows in (slice(0, i), slice(i, M)):
        for columns in (slice(0, j), slice(j, N)):
            multiply(A[rows, :k], B[:k, columns], parts[rows, columns])
            multiply_packed(A[rows, k:], pack(B[k:, columns]), parts[rows, columns], True)
    assert whole.tobytes() == packed.tobytes() == parts.tobytes()


@some_examples
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), reals, seeds)
def test_nan_and_infinity_spread_as_in_numpy(M, K, N, real, seed):
    rng = np.random.default_rng(seed)
    A, B = random_matrix(rng, M, K, real), random_matrix(rng, K, N, real)
    for X in (A, B):
        for value in (np.nan, np.inf, -np.inf, 0):
            X[rng.integers(X.shape[0]), rng.integers(X.shape[1])] = value
    with np.errstate(invalid="ignore"):
        expected, actual = A @ B, matmul(A, B)
    special = ~np.isfinite(expected)
    assert np.array_equal(actual[special], expected[special], equal_nan=True)
    assert np.isfinite(actual[~special]).all()


@pytest.mark.parametrize("product", [multiply, packed_product, python_product])
def test_a_product_over_no_columns_is_the_start_value(product):
    A, B, bias = np.zeros((3, 0)), np.zeros((0, 70)), np.arange(70.0)
    out = np.ones((3, 70))
    product(A, B, out, True, None)
    assert (out == 1).all()
    product(A, B, out, False, bias)
    assert (out == bias).all()
    product(A, B, out, False, None)
    assert (out == 0).all()


def test_a_read_only_array_can_be_an_input_but_not_the_output():
    A, B = np.ones((2, 3)), np.ones((3, 4))
    for x in (A, B):
        x.flags.writeable = False
    assert (matmul(A, B) == 3).all()
    out = np.zeros((2, 4))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writable"):
        matmul(A, B, out)


F = np.ones((4, 6), np.float32)
WIDE = np.zeros((6, 12), np.float32)
ERRORS = {
    "A of shape (4, 6) cannot be multiplied by B of shape (4, 6)": lambda: matmul(F, F),
    "B must have 2 dimensions, not 1": lambda: matmul(F, F[0]),
    "B must be float32 or float64 like A (float32), not float64": lambda: matmul(F, F.T.astype(float)),
    "A must be float32 or float64 like A (int64), not int64": lambda: matmul(F.astype(int), F.T.astype(int)),
    "accumulate needs an out to add to, and no bias": lambda: matmul(F, F.T, accumulate=True),
    "out must be writable and of shape (4, 4), not (4, 6)": lambda: matmul(F, F.T, F.copy()),
    "out must have contiguous rows": lambda: matmul(F, F.T, np.zeros((4, 4), np.float32, order="F")),
    "bias must have 4 elements, not 6": lambda: matmul(F, F.T, bias=F[0]),
    "out shares memory with A": lambda: matmul(WIDE[:, :6], F.T, WIDE[:, 4:8]),
    "out shares memory with B": lambda: matmul(F, WIDE[:, :6], WIDE[2:, :6]),
    "out shares memory with bias": lambda: matmul(F, F.T, WIDE[:4, :4], bias=WIDE[0, :4]),
}


@pytest.mark.parametrize("message", ERRORS)
def test_matmul_reports_invalid_arguments(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert message in str(error.value)


def test_out_in_the_same_rows_as_an_input_but_other_columns_does_not_overlap():
    both = np.arange(48, dtype=np.float32).reshape(4, 12)
    expected = both[:, :6] @ np.eye(6, dtype=np.float32)
    assert np.array_equal(matmul(both[:, :6], np.eye(6, dtype=np.float32), both[:, 6:]), expected)


OUT = np.zeros((4, 4), np.float32)
KERNEL_ERRORS = {
    "A must have as many columns as B has rows": lambda: multiply(F, F, OUT),
    "out must have the rows of A": lambda: multiply(F, F.T, OUT[:3]),
    "out must have contiguous rows": lambda: multiply(F, F.T, OUT.T),
    "either accumulate or bias": lambda: multiply(F, F.T, OUT, True, OUT[0]),
    "bias must be contiguous": lambda: multiply(F, F.T, OUT, False, OUT[:, 0]),
    "the panels do not have the shape": lambda: multiply_packed(F, pack(F), OUT),
    "panels must be contiguous": lambda: pack_into(F, np.zeros(panel_shape(4, 6, 4), np.float32)[:, ::-1]),
}


@pytest.mark.parametrize("message", KERNEL_ERRORS)
def test_kernels_check_shapes_before_they_write(message):
    with pytest.raises(ValueError, match=message):
        KERNEL_ERRORS[message]()


CALLER = """
import sys
import numpy as np
from nlmcli.nn.kernel import kernel
from nlmcli.nn.matmul import multiply_packed, pack

@kernel
def steps(h, Wh):
    panels = pack(Wh)
    for t in range(h.shape[0] - 1):
        multiply_packed(h[t], panels, out=h[t + 1], accumulate=True)

if __name__ == "__main__":
    h = np.ones((5, 7, 50), np.float32)
    steps(h, np.eye(50, dtype=np.float32) * 2)
    print(h[4, 0, 0], sum(steps.stats.cache_hits.values()))
"""


@compiled_only
def test_a_kernel_that_multiplies_is_cached_for_other_processes(run_script):
    first, second = run_script(CALLER), run_script(CALLER)
    assert first == ["31.0", "0"]
    assert second == ["31.0", "1"]


NARROW = """
import numpy as np
from nlmcli.nn import simd
from nlmcli.nn.matmul import matmul
rng = np.random.default_rng(0)
for M in (1, 5, 6, 13):
    for N in (1, 7, 16, 61):
        for real in (np.float32, np.float64):
            A, B = (rng.integers(-9, 9, shape).astype(real) for shape in ((M, 30), (30, N)))
            around = np.zeros((M, N + 9), real)
            for b in (B, np.asfortranarray(B)):
                assert (matmul(A, b, around[:, 4 : 4 + N]) == A @ B).all()
            assert (around[:, :4] == 0).all() and (around[:, 4 + N :] == 0).all()
print(simd.VECTOR_BYTES)
"""


@compiled_only
@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="uses x86 features")
@pytest.mark.parametrize("features, size", [("+sse4.2", "16"), ("+avx,+avx2,+fma", "32")])
def test_narrower_vectors(run_script, features, size):
    assert run_script(NARROW, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features) == [size]
