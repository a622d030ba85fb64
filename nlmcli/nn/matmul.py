"""out = A B, out = out + A B or out = b + A B.   A (M, K), B (K, N), b (N,) -> out (M, N).  float32, float64.

Each element of out is one chain of multiply-adds in the order of k:

    s = 0, out[i, j] or b[j];   s = fma(A[i, k], B[k, j], s) for k = 0 .. K-1;   out[i, j] = s

so its bits depend on row i of A, column j of B and the start value, not on how rows or columns are split among
calls.

Weights that multiply many batches are packed once and used many times; a B that is used once is packed on the
fly. A and B may have any strides (a transpose costs nothing, `A.T` is a view); out needs contiguous rows, with
any row stride, and must not overlap an input. In a kernel, an RNN's time step is

    panels = pack(Wh)
    for t in range(T):
        multiply_packed(h[t], panels, out=h[t + 1], accumulate=True)        # h_{t+1} += h_t Wh

A thread may choose to have the inputs of its float32 products rounded to bfloat16 (precision.py): `multiply` and
`multiply_packed` then compute the same sums from pairs of numbers (bf16.py), unless K is small. Panels are of the
precision in which they were packed.

From the outside in: `multiply` and `multiply_packed` cut K and N into blocks of B that stay in the
second-level cache; `multiply_block` cuts a block into tiles; `tile` (simd.py, which explains it) computes one
tile of out in registers.
"""

import numpy as np
from numba import types

from nlmcli.nn.bf16 import LANE, PER_LANE, SMALLEST, lanes_of, pairs_across, pairs_of
from nlmcli.nn.kernel import kernel, kernel_overload
from nlmcli.nn.precision import PRECISIONS, thread_precision
from nlmcli.nn.simd import (
    FROM_BIAS,
    FROM_OUT,
    FROM_ZERO,
    PAIRED,
    PANEL_BYTES,
    ROWS,
    VECTOR_BYTES,
    VECTORS,
    WIDE,
    compile_once,
    copy_columns,
    tile,
    transpose_block,
)

# Measured on a Zen 4 with 1 MB of second-level cache a core; half or twice as much costs a few percent.
DEPTH = 384  # rows of B in a block
BLOCK_BYTES = 320 * 1024  # a block of B
STRIP = 96  # rows of A that are multiplied by all panels of a block before the next rows are

BF16 = PRECISIONS.index("bf16")
REALS = types.float32, types.float64


def input_type(real, ndim):
    """The type of an array that is only read."""
    return types.Array(real, ndim, "A", readonly=True)


def output_type(real, ndim):
    """The type of an array that is written."""
    return types.Array(real, ndim, "A")


LANE_TYPES = (*REALS, *([types.uint32] if PAIRED else []))  # of what the tile multiplies; uint32: pairs of bfloat16
SUMS = {real: real for real in REALS} | {types.uint32: types.float32}

PACK = [(input_type(real, 2), output_type(real, 3)) for real in REALS]
COPY = [(input_type(lane, 2), output_type(lane, 3)) for lane in LANE_TYPES]
MULTIPLY_TILES = [
    (input_type(lane, 2), input_type(lane, 3), output_type(SUMS[lane], 2), types.intp, input_type(SUMS[lane], 1)) for lane in LANE_TYPES
]
MULTIPLY_PACKED = [(input_type(r, 2), input_type(r, 3), output_type(r, 2), types.intp, input_type(r, 1)) for r in REALS]
MULTIPLY = [(input_type(r, 2), input_type(r, 2), output_type(r, 2), types.intp, input_type(r, 1)) for r in REALS]


@kernel
def in_pairs(itemsize, K):
    """Whether this thread rounds the inputs of a product over K terms to pairs of bfloat16."""
    return itemsize == 4 and K > SMALLEST and thread_precision() == BF16


@kernel
def panel_shape(K, N, itemsize):
    """The shape of the panels of a (K, N) matrix: number of panels that cover N columns, rows (K, or lanes of K numbers), width."""
    return shape_in_lanes(lanes_of(K) if in_pairs(itemsize, K) else K, N, itemsize)


@kernel
def shape_in_lanes(rows, N, itemsize):
    width = PANEL_BYTES // itemsize
    return (N + width - 1) // width, rows, width


@kernel
def check_panels(panels, rows, N):
    """Raises ValueError unless these can be the panels of a matrix of N columns, with so many rows."""
    if panels.shape != shape_in_lanes(rows, N, panels.itemsize):
        raise ValueError("the panels do not have the shape of B's: panel_shape(K, N, itemsize), in the same precision")
    if panels.size > 0 and (panels.strides[1] != PANEL_BYTES or panels.strides[2] != panels.itemsize):
        raise ValueError("panels must be contiguous from row to row")


@kernel
def check_product(A, K, N, out, start, bias):
    """Raises ValueError unless A times a (K, N) matrix fits out and bias: vector code writes without bounds checks."""
    if A.shape[1] != K:
        raise ValueError("A must have as many columns as B has rows")
    if out.shape != (A.shape[0], N):
        raise ValueError("out must have the rows of A and the columns of B")
    if out.shape[0] > 0 and N > 1 and out.strides[1] != out.itemsize:
        raise ValueError("out must have contiguous rows")
    if start != FROM_ZERO and start != FROM_OUT and start != FROM_BIAS:
        raise ValueError("give either accumulate or bias, not both")
    if start == FROM_BIAS and (bias.shape[0] != N or (N > 1 and bias.strides[0] != bias.itemsize)):
        raise ValueError("bias must be contiguous, with one number for each column of B")


def copy_panels(B, panels):
    """panels[p, k, c] = B[k, p * width + c]."""
    K, N = B.shape
    width, lanes = panels.shape[2], VECTOR_BYTES // B.itemsize
    rows_contiguous = B.strides[1] == B.itemsize
    blocked = K // lanes * lanes if B.strides[0] == B.itemsize else 0  # rows that transpose_block can handle
    for p in range(panels.shape[0]):
        j = p * width
        columns = min(width, N - j)
        if rows_contiguous:
            copy_columns(B, j, columns, panels, p)
            continue
        for c in range(0, columns, lanes):
            for k in range(0, blocked, lanes):
                transpose_block(B, k, j + c, min(lanes, columns - c), panels, p, c)
        for c in range(width):
            for k in range(blocked, K):
                panels[p, k, c] = B[k, j + min(c, columns - 1)]


def multiply_block(A, panels, out, start, bias):
    """out = start + A B by tiles, for a block of B that fits into the cache."""
    M, N = out.shape
    width = panels.shape[2]
    for top in range(0, M, STRIP):
        rows = min(STRIP, M - top)
        tiles = (rows + ROWS - 1) // ROWS
        for p in range(panels.shape[0]):
            columns = min(width, N - p * width)
            for t in range(tiles):  # of similar height: 10 rows are 5 + 5, not 8 + 2
                first, last = rows * t // tiles, rows * (t + 1) // tiles
                tile(A, top + first, panels, p, out, p * width, last - first, columns, start, bias)


copy_by_name = compile_once(copy_panels, COPY)
block_by_name = compile_once(multiply_block, MULTIPLY_TILES)


@kernel
def multiply_strips(A, panels, out, start, bias):
    """multiply_block, after copying rows of A if its columns lie far apart in memory.

    A tile traverses A by columns. If they are half a memory page or more apart, each of them needs its own entry
    of the TLB; with four panels or more, copying the rows is cheaper than the TLB misses.
    """
    M, K = A.shape
    transposed = A.strides[0] == A.itemsize and A.strides[1] >= 2048
    if not transposed or panels.shape[0] < 4:
        block_by_name(A, panels, out, start, bias)
        return
    width = panels.shape[2]
    strip = np.empty((1, K, width), A.dtype)
    for top in range(0, M, width):
        rows = A[top : top + width]
        copy_by_name(rows.T, strip)
        block_by_name(strip[0, :, : rows.shape[0]].T, panels, out[top : top + width], start, bias)


@kernel
def multiply_lanes(A, panels, out, start, bias):
    """out = start + A B block by block; A and the panels hold numbers of one kind: reals, or pairs."""
    K, width = A.shape[1], panels.shape[2]
    count = max(1, BLOCK_BYTES // (max(1, min(K, DEPTH)) * PANEL_BYTES))  # panels in a block
    if K <= DEPTH and panels.shape[0] <= count:
        multiply_strips(A, panels, out, start, bias)
        return
    for p in range(0, panels.shape[0], count):
        columns = slice(p * width, (p + count) * width)
        for k in range(0, max(1, K), DEPTH):
            block = panels[p : p + count, k : k + DEPTH]
            multiply_strips(A[:, k : k + DEPTH], block, out[:, columns], FROM_OUT if k > 0 else start, bias[columns])


@kernel
def multiply_in_place(A, B, out, start, bias):
    """out = start + A B for at most a strip of rows of A.  B (K,N) with contiguous rows

    Packing B would take longer than reading it where it lies: the panels are its columns, but for the last that do not fill a vector.
    """
    (K, N), lanes, done = B.shape, VECTOR_BYTES // B.itemsize, 0
    for vectors in (WIDE if A.shape[0] == 1 else VECTORS, VECTORS, 1):
        panel = vectors * lanes
        count = (N - done) // panel
        columns = slice(done, done + count * panel)
        shape, strides = (count, K, panel), (panel * B.itemsize, B.strides[0], B.itemsize)
        block_by_name(A, np.lib.stride_tricks.as_strided(B[:, columns], shape, strides), out[:, columns], start, bias[columns])
        done += count * panel
    if done < N:
        last = np.empty((1, K, VECTORS * lanes), B.dtype)
        copy_by_name(B[:, done:], last)
        block_by_name(A, last, out[:, done:], start, bias[done:])


@kernel
def multiply_packing(A, B, pairs, out, start, bias):
    """multiply_lanes, packing B block by block.  pairs: whether A holds pairs of numbers, which B is to be rounded to."""
    K, N, width = A.shape[1], B.shape[1], PANEL_BYTES // B.itemsize
    depth, per_row = max(1, min(K, DEPTH)), PER_LANE if pairs else 1
    count = max(1, min((N + width - 1) // width, BLOCK_BYTES // (depth * PANEL_BYTES)))  # panels in a block
    buffer = np.empty((count, depth, width), B.dtype)
    for j in range(0, N, count * width):
        columns = slice(j, j + count * width)
        for k in range(0, max(1, K), DEPTH):
            part = B[k * per_row : (k + DEPTH) * per_row, columns]
            block = buffer[: (part.shape[1] + width - 1) // width, : min(DEPTH, K - k)]
            if pairs:
                pack_pairs(part, block)
            else:
                copy_by_name(part, block)
            multiply_strips(A[:, k : k + DEPTH], block.view(A.dtype), out[:, columns], FROM_OUT if k > 0 else start, bias[columns])


def multiply_packing_pairs(A, B, out, start, bias):
    """multiply_packing after rounding A; no double is ever rounded."""
    multiply_packing(pairs_of(A), B, True, out, start, bias)


def multiply_pairs(A, panels, out, start, bias):
    """multiply_lanes for panels of pairs, after rounding A; no double is ever rounded."""
    multiply_lanes(pairs_of(A), panels.view(LANE), out, start, bias)


def pack_pairs(B, panels):
    """panels[p, k, c] = the numbers of B[:, p * width + c] in pairs; no double is ever rounded."""
    N, width = B.shape[1], panels.shape[2]
    if B.strides[1] != B.itemsize and B.strides[0] == B.itemsize:
        copy_by_name(pairs_of(B.T).T, panels.view(LANE))
        return
    rows = B if B.strides[1] == B.itemsize else B.copy()
    for p in range(panels.shape[0]):
        pairs_across(rows, p * width, min(width, N - p * width), panels[p].view(LANE))


@kernel_overload(multiply_pairs)
def multiply_pairs_of(A, panels, out, start, bias):
    return multiply_pairs if A.dtype == types.float32 else lambda A, panels, out, start, bias: None


@kernel_overload(multiply_packing_pairs)
def multiply_packing_pairs_of(A, B, out, start, bias):
    return multiply_packing_pairs if A.dtype == types.float32 else lambda A, B, out, start, bias: None


@kernel_overload(pack_pairs)
def pack_pairs_of(B, panels):
    return pack_pairs if B.dtype == types.float32 else lambda B, panels: None


def pack_panels(B, panels):
    """panels[p, k, c] = B[k, p * width + c], or the same in pairs."""
    K, N = B.shape
    pairs = in_pairs(B.itemsize, K)
    check_panels(panels, lanes_of(K) if pairs else K, N)
    if pairs:
        pack_pairs(B, panels)
    else:
        copy_by_name(B, panels)


def multiply_panels(A, panels, out, start, bias):
    """out = start + A B, B in panels."""
    K, N = A.shape[1], out.shape[1]
    pairs = in_pairs(A.itemsize, K)
    check_panels(panels, lanes_of(K) if pairs else K, N)
    check_product(A, K, N, out, start, bias)
    if pairs:
        multiply_pairs(A, panels, out, start, bias)
    else:
        multiply_lanes(A, panels, out, start, bias)


def multiply_blocks(A, B, out, start, bias):
    """out = start + A B, packing B block by block."""
    check_product(A, B.shape[0], B.shape[1], out, start, bias)
    if in_pairs(A.itemsize, B.shape[0]):
        multiply_packing_pairs(A, B, out, start, bias)
    elif A.shape[0] <= STRIP and B.strides[1] == B.itemsize:
        multiply_in_place(A, B, out, start, bias)
    else:
        multiply_packing(A, B, False, out, start, bias)


pack_by_name = compile_once(pack_panels, PACK)
panels_by_name = compile_once(multiply_panels, MULTIPLY_PACKED)
blocks_by_name = compile_once(multiply_blocks, MULTIPLY)


@kernel
def pack_into(B, panels):
    """panels[p, k, c] = B[k, p * width + c].   B (K, N) -> panels of shape panel_shape(K, N, itemsize)."""
    pack_by_name(B, panels)


@kernel
def pack(B):
    """B (K, N) packed in panels, for multiply_packed. The last panel's columns beyond N are never used."""
    panels = np.empty(panel_shape(B.shape[0], B.shape[1], B.itemsize), B.dtype)
    pack_by_name(B, panels)
    return panels


@kernel
def multiply_packed(A, panels, out, accumulate=False, bias=None):
    """out = A B; with accumulate, out + A B; with bias, bias + A B.   A (M, K), panels = pack(B), out (M, N).

    out must not overlap A or panels, which is not checked.  Raises ValueError if shapes or strides do not fit.
    """
    start = (FROM_OUT if accumulate else FROM_ZERO) + (FROM_ZERO if bias is None else FROM_BIAS)
    panels_by_name(A, panels, out, start, bias)


@kernel
def multiply(A, B, out, accumulate=False, bias=None):
    """out = A B; with accumulate, out + A B; with bias, bias + A B.   A (M, K), B (K, N), out (M, N).

    out must not overlap A or B, which is not checked.  Raises ValueError if shapes or strides do not fit.
    """
    start = (FROM_OUT if accumulate else FROM_ZERO) + (FROM_ZERO if bias is None else FROM_BIAS)
    blocks_by_name(A, B, out, start, bias)


def matmul(A, B, out=None, accumulate=False, bias=None):
    """`multiply` for Python: A B, added to out with accumulate, to bias with bias.  -> out

    Raises ValueError if dtypes, shapes or strides do not fit, or if out shares memory with an input.
    """
    for name, x, ndim in (("A", A, 2), ("B", B, 2), ("out", out, 2), ("bias", bias, 1)):
        check_array(name, x, ndim, A.dtype)
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"A of shape {A.shape} cannot be multiplied by B of shape {B.shape}")
    if accumulate and (out is None or bias is not None):
        raise ValueError("accumulate needs an out to add to, and no bias")
    N = B.shape[1]
    shape = A.shape[0], N
    if out is None:
        out = np.empty(shape, A.dtype)
    if out.shape != shape or not out.flags.writeable:
        raise ValueError(f"out must be writable and of shape {shape}, not {out.shape}")
    if bias is not None and bias.shape != (N,):
        raise ValueError(f"bias must have {N} elements, not {bias.size}")
    for name, x in (("A", A), ("B", B), ("bias", bias)):
        if x is not None and np.shares_memory(out, x):
            raise ValueError(f"out shares memory with {name}, which would change while it is read")
    multiply(A, B, out, accumulate, None if bias is None else np.ascontiguousarray(bias))
    return out


def check_array(name, x, ndim, dtype):
    """Raises ValueError unless x is None or an aligned array with ndim dimensions and A's dtype, float32 or float64."""
    if x is None:
        return
    if x.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, not {x.ndim}")
    if not x.flags.aligned:
        raise ValueError(f"{name} is not aligned in memory; copy it first")
    if x.dtype != dtype or dtype not in (np.float32, np.float64):
        raise ValueError(f"{name} must be float32 or float64 like A ({dtype}), not {x.dtype}")
