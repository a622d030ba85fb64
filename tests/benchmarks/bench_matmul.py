"""Matrix products compared with NumPy's, one thread each, with the peak rate of the register tile, and with the same in bf16.

`python tests/benchmarks/bench_matmul.py` measures all of them one after another, round by round, and prints a
table of ratios: a machine's speed drifts, so only measurements of the same round are comparable.
`pytest -n 0 tests/benchmarks/bench_matmul.py` prints the times with pytest-benchmark.
"""

import os

# Before NumPy is imported: OpenBLAS with one thread, and the kernels that it chooses for this CPU.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

import statistics  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from nlmcli.nn.kernel import JIT, kernel  # noqa: E402
from nlmcli.nn.matmul import multiply, multiply_packed, pack  # noqa: E402
from nlmcli.nn.precision import products_in  # noqa: E402
from nlmcli.nn.simd import FROM_ZERO, PANEL_BYTES, ROWS, tile  # noqa: E402

# (M, K, N, transposed factor)
STEPS = [(M, K, N, "") for K, N in ((64, 64), (128, 128), (256, 256), (256, 1024), (512, 512), (1024, 1024))
         for M in (4, 8, 16, 32)]  # fmt: skip
MODELS = [(10, 200, 800, ""), (32, 64, 256, ""), (64, 256, 256, ""), (2048, 256, 65, ""),
          (65, 2048, 256, "A"), (256, 2048, 1024, "A"), (1024, 2048, 1024, "A"), (2048, 1024, 256, "B"),
          (768, 128, 512, ""), (768, 512, 128, "B")]  # fmt: skip
LARGE = [(1024, 1024, 1024, ""), (400, 200, 10000, ""), (10000, 400, 200, "A"), (200, 400, 10000, "A"),
         (10000, 256, 256, ""), (256, 10000, 256, ""), (256, 10000, 256, "B"),
         (256, 256, 10000, "")]  # fmt: skip
SHAPES = STEPS + MODELS + LARGE


@kernel
def repeat_tile(A, panels, out, bias, times):
    """Repeat the bare tile: A and the panel stay in the L1 cache."""
    for _ in range(times):
        tile(A, 0, panels, 0, out, 0, A.shape[0], out.shape[1], FROM_ZERO, bias)


@kernel
def repeat_packed(A, panels, out, times):
    """Repeat a product with packed weights, as in a kernel's loop over time steps."""
    for _ in range(times):
        multiply_packed(A, panels, out)


def matrix(rows, columns, transposed=False):
    """A random float32 matrix.  transposed: with contiguous columns."""
    x = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
    return np.asfortranarray(x) if transposed else x


def factors(shape):
    """A, B and an output array for A B."""
    M, K, N, transposed = shape
    return matrix(M, K, transposed == "A"), matrix(K, N, transposed == "B"), np.empty((M, N), np.float32)


def label(shape):
    M, K, N, transposed = shape
    return f"{M} x {K} x {N}{transposed and f' {transposed}^T'}"


@pytest.mark.parametrize("shape", SHAPES, ids=label)
@pytest.mark.parametrize("product", ["numpy", "multiply", "packed"])
def test_product(benchmark, shape, product):
    A, B, out = factors(shape)
    panels = pack(B)
    run = {
        "numpy": lambda: np.matmul(A, B, out=out),
        "multiply": lambda: multiply(A, B, out),
        "packed": lambda: multiply_packed(A, panels, out),
    }
    benchmark.group = label(shape)
    benchmark(run[product])


def seconds(function):
    """The time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def repeated(function, times):
    """A function that calls another `times` times."""

    def loop():
        for _ in range(times):
            function()

    return loop


def in_bf16(function):
    """The function, with its products in bf16."""

    def rounded():
        with products_in("bf16"):
            return function()

    return rounded


def rates(shape, rounds):
    """GFLOP/s in each round, one list each for the bare tile, packed, multiply, NumPy, and the second and third in bf16."""
    A, B, out = factors(shape)
    panels, pairs, flops = pack(B), in_bf16(lambda: pack(B))(), 2 * out.size * A.shape[1]
    times = max(1, int(5e7 / flops))  # about half a millisecond
    small, width = matrix(ROWS, 128), PANEL_BYTES // 4
    panel, corner, bias = (
        pack(matrix(128, width)),
        np.empty((ROWS, width), np.float32),
        np.empty(0, np.float32),
    )
    per_tile = 2 * corner.size * 128
    tiles = int(5e7 / per_tile)
    candidates = [
        (lambda: repeat_tile(small, panel, corner, bias, tiles), per_tile * tiles),
        (lambda: repeat_packed(A, panels, out, times), flops * times),
        (repeated(lambda: multiply(A, B, out), times), flops * times),
        (repeated(lambda: np.matmul(A, B, out=out), times), flops * times),
        (in_bf16(lambda: repeat_packed(A, pairs, out, times)), flops * times),
        (in_bf16(repeated(lambda: multiply(A, B, out), times)), flops * times),
    ]
    for function, _ in candidates:
        function()
    measured = [[work / seconds(function) / 1e9 for function, work in candidates] for _ in range(rounds)]
    return list(zip(*measured, strict=True))


def ratio(a, b):
    """The median of a / b over the rounds."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def table(shapes=SHAPES, rounds=15):
    """Print median GFLOP/s and the median ratios over the rounds."""
    heads = ["tile", "packed", "once", "NumPy", "packed bf16", "once bf16", "packed/tile", "packed/NumPy", "once/NumPy", "packed bf16/32"]
    print(f"{'M x K x N':22}" + "".join(f"{head:>15}" for head in heads))
    for shape in shapes:
        bare, packed, once, numpy, rounded, _ = all_rates = rates(shape, rounds)
        speeds = "".join(f"{statistics.median(rate):15.0f}" for rate in all_rates)
        ratios = ratio(packed, bare), ratio(packed, numpy), ratio(once, numpy), ratio(rounded, packed)
        print(f"{label(shape):22}{speeds}" + "".join(f"{x:15.2f}" for x in ratios), flush=True)


if __name__ == "__main__":
    if not JIT:
        raise SystemExit("NUMBA_DISABLE_JIT is set: there are no kernels to measure")
    table()
