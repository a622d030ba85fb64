"""Products of numbers rounded to bfloat16: the bits of the definition in naive.py, on this CPU, on smaller ones and without the JIT."""

import platform
import threading

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmcli.nn.bf16 import IN_HARDWARE, SMALLEST, rounded
from nlmcli.nn.kernel import JIT
from nlmcli.nn.matmul import multiply, multiply_packed, pack
from nlmcli.nn.precision import current, products_in

compiled_only = pytest.mark.skipif(not JIT, reason="needs compiled code")
many_examples = settings(max_examples=1000 if JIT else 100, derandomize=True, deadline=None, database=None)
some_examples = settings(max_examples=100 if JIT else 20, derandomize=True, deadline=None, database=None)

# Around the height of a tile, a vector, a panel, a strip, and for K a block of 384 pairs.
sizes = st.one_of(st.integers(0, 20), st.integers(0, 70), st.sampled_from([95, 96, 97, 144]))
depths = st.one_of(st.integers(SMALLEST + 1, 80), st.sampled_from([383, 384, 385, 767, 768, 769, 790]))
layouts = st.sampled_from(["rows", "columns", "window", "every second", "backwards", "far apart"])
seeds = st.integers(0, 2**32 - 1)


def laid_out(values, layout):
    """The same numbers with another memory layout."""
    M, N = values.shape
    buffer = {
        "rows": lambda: np.zeros((M, N), np.float32),
        "columns": lambda: np.zeros((N, M), np.float32).T,
        "window": lambda: np.zeros((M + 3, N + 5), np.float32)[2 : 2 + M, 4 : 4 + N],
        "every second": lambda: np.zeros((2 * M, 2 * N), np.float32)[::2, ::2],
        "backwards": lambda: np.zeros((M, N), np.float32)[::-1, ::-1],
        "far apart": lambda: np.zeros((N, M + 1100), np.float32).T[:M],
    }[layout]()
    buffer[...] = values
    return buffer


def random_matrix(rng, M, N, layout="rows"):
    return laid_out(rng.standard_normal((M, N)).astype(np.float32), layout)


def packed_product(A, B, out, accumulate=False, bias=None):
    multiply_packed(A, pack(B), out, accumulate, bias)


@many_examples
@given(sizes, depths, sizes, layouts, layouts, st.sampled_from(["plain", "accumulate", "bias"]),
       st.sampled_from([multiply, packed_product]), seeds)  # fmt: skip
def test_a_product_has_the_bits_of_its_definition_and_writes_nowhere_else(M, K, N, layout_a, layout_b, start, product, seed):
    rng = np.random.default_rng(seed)
    A, B = random_matrix(rng, M, K, layout_a), random_matrix(rng, K, N, layout_b)
    bias = rng.standard_normal(N).astype(np.float32) if start == "bias" else None
    around = random_matrix(rng, M + 4, N + 60)
    out, before = around[2 : 2 + M, 29 : 29 + N], around.copy()
    initial = {"plain": np.zeros((M, N)), "accumulate": out.copy(), "bias": np.tile(bias if bias is not None else 0, (M, 1))}[start]

    with products_in("bf16"):
        product(A, B, out, start == "accumulate", bias)

    assert out.tobytes() == naive.bf16_product(A, B, initial).tobytes()
    out[...] = before[2 : 2 + M, 29 : 29 + N]
    assert around.tobytes() == before.tobytes()


@some_examples
@given(sizes, depths, sizes, layouts, st.data(), seeds)
def test_same_bits_however_the_work_is_split(M, K, N, layout, data, seed):
    rng = np.random.default_rng(seed)
    A, B = random_matrix(rng, M, K, layout), random_matrix(rng, K, N)
    whole, parts = np.zeros((2, M, N), np.float32)
    i, j = (data.draw(st.integers(0, n)) for n in (M, N))
    k = 2 * data.draw(st.integers((SMALLEST + 2) // 2, max((SMALLEST + 2) // 2, (K - SMALLEST - 1) // 2)))
    with products_in("bf16"):
        multiply(A, B, whole)
        for rows in (slice(0, i), slice(i, M)):
            for columns in (slice(0, j), slice(j, N)):
                if K - k > SMALLEST:  # fewer terms would not be rounded
                    multiply(A[rows, :k], B[:k, columns], parts[rows, columns])
                    packed_product(A[rows, k:], B[k:, columns], parts[rows, columns], True)
                else:
                    packed_product(A[rows], B[:, columns], parts[rows, columns])
    assert whole.tobytes() == parts.tobytes()


@many_examples
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8))
def test_numbers_are_rounded_to_the_nearest_even(bits):
    X = np.array([bits], np.uint32).view(np.float32)
    assert rounded(X).view(np.float32).tobytes() == naive.to_bfloat16(X).tobytes()


def test_ties_denormals_and_what_is_not_finite():
    given = [1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1 - 2**-8, 3.4e38, -np.inf, 1e-39, -1e-39, 0.1]
    expected = [1, 1 + 2**-6, 1 + 2**-7, -1, np.inf, -np.inf, 0, -0.0, 0.10009765625]
    A = np.zeros((len(given), SMALLEST + 1), np.float32)
    A[:, 4] = given
    B, out = np.zeros((SMALLEST + 1, 3), np.float32), np.ones((len(given), 3), np.float32)
    B[4] = 1
    with products_in("bf16"), np.errstate(invalid="ignore"):
        multiply(A, B, out)
        assert np.array_equal(out[:, 1], np.array(expected, np.float32))
        A[1, 7], A[2, 7], B[7, 1] = np.nan, np.inf, 1
        multiply(A, B, out)
    assert np.isnan(out[1]).all()
    assert out[2, 1] == np.inf and np.isnan(out[2, [0, 2]]).all()  # infinity times zero


@pytest.mark.parametrize(("K", "real"), [(SMALLEST, np.float32), (200, np.float64)])
def test_short_sums_and_doubles_are_not_rounded(K, real):
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((30, K)).astype(real), rng.standard_normal((K, 70)).astype(real)
    usual, within = np.empty((2, 30, 70), real)
    multiply(A, B, usual)
    with products_in("bf16"):
        packed_product(A, B, within)
    assert usual.tobytes() == within.tobytes()


def test_a_thread_does_not_change_the_precision_of_another():
    A = np.full((4, 40), 1.01, np.float32)
    results = {}

    def product(name):
        out = np.empty((4, 4), np.float32)
        multiply(A, A.T, out)
        results[name] = current(), float(out[0, 0])

    with products_in("bf16"):
        product("here")
        thread = threading.Thread(target=product, args=("there",))
        thread.start()
        thread.join()
        with products_in("float32"):
            product("inside")
        product("here again")
    product("after")
    assert {name: precision for name, (precision, _) in results.items()} == {
        "here": "bf16", "there": "float32", "inside": "float32", "here again": "bf16", "after": "float32",
    }  # fmt: skip
    rounded_square = 40 * float(naive.to_bfloat16(np.float32(1.01))) ** 2
    assert results["here"][1] == results["here again"][1] == pytest.approx(rounded_square, rel=1e-6)
    assert results["there"][1] == results["inside"][1] == results["after"][1] == pytest.approx(40 * 1.01**2, rel=1e-6)


def test_panels_of_another_precision_are_refused():
    A, B, out = np.ones((3, 41), np.float32), np.ones((41, 5), np.float32), np.empty((3, 5), np.float32)
    panels = pack(B)
    with products_in("bf16"), pytest.raises(ValueError, match="in the same precision"):
        multiply_packed(A, panels, out)


ANY_CPU = """
import naive
import numpy as np
from nlmcli.nn import simd
from nlmcli.nn.matmul import multiply, multiply_packed, pack
from nlmcli.nn.precision import products_in

rng = np.random.default_rng(0)
for M, K, N in ((1, 17, 1), (5, 40, 61), (13, 33, 100), (97, 800, 49), (16, 1001, 24)):
    for order in ("CC", "CF", "FC", "FF"):
        A, B = (np.asarray(rng.standard_normal(s).astype(np.float32), order=o) for s, o in zip(((M, K), (K, N)), order))
        expected, outs = naive.bf16_product(A, B, np.zeros((M, N))), np.empty((2, M, N), np.float32)
        with products_in("bf16"):
            multiply(A, B, outs[0])
            multiply_packed(A, pack(B), outs[1])
        assert outs[0].tobytes() == outs[1].tobytes() == expected.tobytes(), (M, K, N, order)
print(simd.PAIRED, simd.VECTOR_BYTES, sum(multiply.stats.cache_hits.values()))
"""
CPUS = {
    "+sse4.2": ["False", "16", "0"],
    "+avx,+avx2,+fma": ["False", "32", "0"],
    "+avx,+avx2,+fma,+avx512f,+avx512bw,+avx512dq,+avx512vl": ["False", "64", "0"],
}


@compiled_only
@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="uses x86 features")
def test_a_cpu_without_the_instruction_gives_the_same_bits_and_does_not_use_its_kernels(run_script, tmp_path):
    """All CPUs share one cache, which each of them fills for itself."""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    if IN_HARDWARE:
        assert run_script(ANY_CPU, **cache) == ["True", "64", "0"]
    for features, expected in CPUS.items():
        if "avx512f" not in features or IN_HARDWARE:
            assert run_script(ANY_CPU, **cache, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features) == expected
