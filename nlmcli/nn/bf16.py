"""Numbers rounded to bfloat16 and kept in pairs, which one instruction multiplies by two (simd.py explains the tile).

bfloat16 is the upper half of a float32: its sign, its 8 bits of exponent and the first 7 bits behind the point, rounded to
nearest, ties to even. Two of them fit in one 32-bit lane:

    pairs of A, by rows       P[i, k] = (A[i, 2k], A[i, 2k+1])          pairs_along
    pairs of B, by columns    P[k, j] = (B[2k, j], B[2k+1, j])          pairs_across

so that a product of K terms becomes one of K/2 lanes, each of which adds two: s = fma(a[1], b[1], s), then s = fma(a[0], b[0],
s). An odd K is completed with a zero. The product of two bfloat16 has 16 bits and is exact in float32, hence each fma rounds
once whether or not the CPU fuses it, and a CPU without the instruction (AVX512_BF16) gives the same bits with the ordinary
tile: there P has two float32 lanes for each pair, the rounded numbers in the order in which they are added. Only numbers
below 1.2e-38 (denormals) differ, which the instruction takes for 0.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from nlmcli.nn.kernel import JIT, kernel
from nlmcli.nn.simd import INT, INT32, LANES, PAIRED, VECTOR_BYTES, counted_loop, unpack_arrays, vector_code

SMALLEST = 16  # products of at most so many terms stay float32: rounding would take longer than it saves
PER_LANE = 2 if PAIRED else 1  # numbers in each 32-bit lane of P
LANE = np.uint32 if PAIRED else np.float32
IN_HARDWARE = PAIRED and JIT  # otherwise bf16 gives the same bits, but is not faster than float32

FLOATS = LANES[types.float32]
HALVES = ir.VectorType(ir.IntType(16), 2 * FLOATS.count)  # a vector of pairs
LANE_BYTES = FLOATS.size


@kernel
def lanes_of(K):
    """The number of lanes that K rounded numbers take in P."""
    return (K + 1) // 2 * (2 // PER_LANE)


def rounded(X):
    """The bits of X rounded to bfloat16, in the upper half of each uint32; denormals become 0, NaN stays NaN.  X float32"""
    bits = np.ascontiguousarray(X).view(np.uint32)
    magnitude = bits & 0x7FFFFFFF
    up = bits + 0x7FFF + ((bits >> 16) & 1)
    up = np.where(magnitude > 0x7F800000, bits | 0x400000, up)
    return np.where(magnitude < 0x800000, bits & 0x80000000, up) & np.uint32(0xFFFF0000)


def two_vectors(builder, low, high):
    """The 16 numbers of `low` rounded, then those of `high`, as 32 halves."""
    function_type = ir.FunctionType(HALVES, [FLOATS.vector, FLOATS.vector])
    convert = cgutils.get_or_insert_function(builder.module, function_type, "llvm.x86.avx512bf16.cvtne2ps2bf16.512")
    return builder.call(convert, [high, low])


def for_vectors(builder, count, body):
    """body(first lane, mask) for each whole vector of `count` lanes, whose mask is None, and for the rest of them."""
    lanes = INT(FLOATS.count)
    whole = builder.sdiv(count, lanes)

    def whole_vector(v, _):
        body(builder.mul(v, lanes), None)
        return []

    counted_loop(builder, whole, [], whole_vector)
    done = builder.mul(whole, lanes)
    with builder.if_then(builder.icmp_signed(">", count, done)):
        body(done, FLOATS.mask_below(builder, builder.sub(count, done)))


def pairs_along_reference(X, P):
    bits = np.pad(rounded(X), ((0, 0), (0, X.shape[1] % 2)))
    P[...] = bits[:, ::2] >> 16 | bits[:, 1::2]


@vector_code(pairs_along_reference)
def round_along(typing, X, P):
    """P[i, k] = (X[i, 2k], X[i, 2k+1]), with a 0 beyond the last column.  X, P with contiguous rows"""

    def generate(context, builder, signature, args):
        (x, (x_step, _), (rows, columns)), (p, (p_step, _), (_, pairs)) = unpack_arrays(context, builder, signature, args, 0, 1)

        def row(i, values):
            x, p = values

            def vector(first, mask):  # 16 pairs; with a mask, the columns that are left are fewer than 32
                source = builder.add(x, builder.mul(first, INT(2 * LANE_BYTES)))
                left = builder.sub(columns, builder.mul(first, INT(2)))
                masks = [mask and FLOATS.mask_below(builder, builder.sub(left, INT(v * FLOATS.count))) for v in range(2)]
                low, high = (FLOATS.load(builder, builder.add(source, INT(VECTOR_BYTES * v)), masks[v]) for v in range(2))
                both = builder.bitcast(two_vectors(builder, low, high), FLOATS.vector)
                FLOATS.store(builder, both, builder.add(p, builder.mul(first, INT(LANE_BYTES))), mask)

            full = builder.sdiv(columns, INT(2 * FLOATS.count))  # vectors in which no pair lacks its second number
            counted = builder.mul(full, INT(FLOATS.count))
            for_vectors(builder, counted, vector)
            with builder.if_then(builder.icmp_signed(">", pairs, counted)):
                vector(counted, FLOATS.mask_below(builder, builder.sub(pairs, counted)))
            return [builder.add(x, x_step), builder.add(p, p_step)]

        counted_loop(builder, rows, [x, p], row)
        return context.get_dummy_value()

    return types.void(X, P), generate


def pairs_across_reference(X, j, columns, P):
    pairs_along_reference(X[:, j : j + columns].T, P[:, :columns].T)


@vector_code(pairs_across_reference)
def round_across(typing, X, j, columns, P):
    """P[k, c] = (X[2k, j+c], X[2k+1, j+c]) for c < columns, with a 0 below the last row.  X, P with contiguous rows"""

    def generate(context, builder, signature, args):
        (x, (x_step, _), (rows, _)), (p, (p_step, _), _) = unpack_arrays(context, builder, signature, args, 0, 3)
        x = builder.add(x, builder.mul(args[1], INT(LANE_BYTES)))
        order = [lane for i in range(FLOATS.count) for lane in (i, FLOATS.count + i)]
        interleaved = ir.Constant(ir.VectorType(INT32, 2 * FLOATS.count), order)

        def pairs_of_rows(has_second):
            def pair(k, values):
                x, p = values

                def vector(first, mask):
                    at = builder.mul(first, INT(LANE_BYTES))
                    low, high = FLOATS.load(builder, builder.add(x, at), mask), ir.Constant(FLOATS.vector, None)
                    if has_second:
                        high = FLOATS.load(builder, builder.add(builder.add(x, x_step), at), mask)
                    both = two_vectors(builder, low, high)
                    both = builder.bitcast(builder.shuffle_vector(both, both, interleaved), FLOATS.vector)
                    FLOATS.store(builder, both, builder.add(p, at), mask)

                for_vectors(builder, args[2], vector)
                return [builder.add(x, builder.mul(x_step, INT(2))), builder.add(p, p_step)]

            return pair

        places = counted_loop(builder, builder.sdiv(rows, INT(2)), [x, p], pairs_of_rows(True))
        counted_loop(builder, builder.srem(rows, INT(2)), places, pairs_of_rows(False))
        return context.get_dummy_value()

    return types.void(X, types.intp, types.intp, P), generate


@kernel
def rounded_bits(bits):
    """`rounded` of the bits of one number."""
    magnitude = bits & np.uint32(0x7FFFFFFF)
    if magnitude > np.uint32(0x7F800000):
        bits |= np.uint32(0x400000)
    elif magnitude < np.uint32(0x800000):
        bits &= np.uint32(0x80000000)
    else:
        bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return bits & np.uint32(0xFFFF0000)


@kernel
def spread_along(X, P):
    """P[i, k] = X[i, k] rounded, each pair of columns in reverse order: round_along for a tile of float32."""
    source, target = X.view(np.uint32), P.view(np.uint32)
    K = X.shape[1]
    for i in range(X.shape[0]):
        if K % 2:
            target[i, K - 1] = 0
        for k in range(K):
            target[i, k ^ 1] = rounded_bits(source[i, k])


@kernel
def pairs_along(X, P):
    """P[i] = the numbers of X[i] in pairs.  X (M,K) float32, P (M, lanes_of(K)) of LANE, both with contiguous rows"""
    round_along(X, P) if PAIRED else spread_along(X, P)


@kernel
def pairs_across(X, j, columns, P):
    """P[:, c] = the numbers of X[:, j + c] in pairs.  X (K,N) float32, P (lanes_of(K), columns or more) of LANE; contiguous rows"""
    if PAIRED:
        round_across(X, j, columns, P)
    else:
        spread_along(X[:, j : j + columns].T, P[:, :columns].T)


@kernel
def pairs_of(A):
    """The numbers of A's rows in pairs.  A (M,K) float32 of any strides -> (M, lanes_of(K)) of LANE, contiguous if A is, in either order"""
    M, lanes = A.shape[0], lanes_of(A.shape[1])
    if A.strides[0] == A.itemsize and A.strides[1] != A.itemsize:
        columns = np.empty((lanes, M), LANE)
        pairs_across(A.T, 0, M, columns)
        return columns.T
    rows = np.empty((M, lanes), LANE)
    pairs_along(A if A.strides[1] == A.itemsize else A.copy(), rows)
    return rows
