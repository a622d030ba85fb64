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

From the outside in: `multiply` and `multiply_packed` cut K and N into blocks of B that stay in the
second-level cache; `multiply_block` cuts a block into tiles; `tile` (simd.py, which explains it) computes one
tile of out in registers.
"""

import numpy as np
from numba import types

from nlmcli.nn.kernel import kernel
from nlmcli.nn.simd import (
    FROM_BIAS,
    FROM_OUT,
    FROM_ZERO,
    PANEL_BYTES,
    ROWS,
    VECTOR_BYTES,
    compile_once,
    copy_columns,
    tile,
    transpose_block,
)

# Measured on a Zen 4 with 1 MB of second-level cache a core; half or twice as much costs a few percent.
DEPTH = 384  # rows of B in a block
BLOCK_BYTES = 320 * 1024  # a block of B
STRIP = 96  # rows of A that are multiplied by all panels of a block before the next rows are

REALS = types.float32, types.float64


def input_type(real, ndim):
    """The type of an array that is only read."""
    return types.Array(real, ndim, "A", readonly=True)


def output_type(real, ndim):
    """The type of an array that is written."""
    return types.Array(real, ndim, "A")


PACK = [(input_type(real, 2), output_type(real, 3)) for real in REALS]
MULTIPLY_PACKED = [(input_type(r, 2), input_type(r, 3), output_type(r, 2), types.intp, input_type(r, 1)) for r in REALS]
MULTIPLY = [(input_type(r, 2), input_type(r, 2), output_type(r, 2), types.intp, input_type(r, 1)) for r in REALS]


@kernel
def panel_shape(K, N, itemsize):
    """The shape of the panels of a (K, N) matrix: number of panels that cover N columns, K rows, width of a panel."""
    width = PANEL_BYTES // itemsize
    return (N + width - 1) // width, K, width


@kernel
def check_panels(panels, K, N):
    """Raises ValueError unless these can be the panels of a (K, N) matrix."""
    if panels.shape != panel_shape(K, N, panels.itemsize):
        raise ValueError("the panels do not have the shape of B's: panel_shape(K, N, itemsize)")
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


def pack_panels(B, panels):
    """panels[p, k, c] = B[k, p * width + c]."""
    K, N = B.shape
    check_panels(panels, K, N)
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


pack_by_name = compile_once(pack_panels, PACK)
block_by_name = compile_once(multiply_block, MULTIPLY_PACKED)


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
        pack_by_name(rows.T, strip)
        block_by_name(strip[0, :, : rows.shape[0]].T, panels, out[top : top + width], start, bias)


def multiply_panels(A, panels, out, start, bias):
    """out = start + A B, B in panels."""
    K, N = A.shape[1], out.shape[1]
    check_panels(panels, K, N)
    check_product(A, K, N, out, start, bias)
    width = panels.shape[2]
    count = max(1, BLOCK_BYTES // (max(1, min(K, DEPTH)) * PANEL_BYTES))  # panels in a block
    for p in range(0, panels.shape[0], count):
        columns = slice(p * width, (p + count) * width)
        for k in range(0, max(1, K), DEPTH):
            block = panels[p : p + count, k : k + DEPTH]
            begin = FROM_OUT if k > 0 else start
            multiply_strips(A[:, k : k + DEPTH], block, out[:, columns], begin, bias[columns])


def multiply_blocks(A, B, out, start, bias):
    """out = start + A B, packing B block by block."""
    K, N = B.shape
    check_product(A, K, N, out, start, bias)
    depth = max(1, min(K, DEPTH))
    total, _, width = panel_shape(depth, N, A.itemsize)
    count = max(1, min(total, BLOCK_BYTES // (depth * PANEL_BYTES)))  # panels in a block
    buffer = np.empty((count, depth, width), A.dtype)
    for j in range(0, N, count * width):
        columns = slice(j, j + count * width)
        for k in range(0, max(1, K), DEPTH):
            part = B[k : k + DEPTH, columns]
            block = buffer[: panel_shape(depth, part.shape[1], A.itemsize)[0], : part.shape[0]]
            pack_by_name(part, block)
            begin = FROM_OUT if k > 0 else start
            multiply_strips(A[:, k : k + DEPTH], block, out[:, columns], begin, bias[columns])


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
