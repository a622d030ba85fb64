"""Scalar exp, sigmoid, tanh and softplus, and the maximum and sums of a row, written so that loops over them are vectorized.

In single precision exp is a few multiplications, on sixteen numbers at a time if the CPU has that many lanes; the C
library's takes ten times as long, one number after another. In double precision, for gradcheck, it is the library's.
"""

import math

import numpy as np
from numba import types

from nlmcli.nn.kernel import kernel_overload, reduction

single = np.float32
ONE, HALF, TWO = single(1), single(0.5), single(2)
EXP_LIMIT = single(87)  # exp(x) is exp(87), close to the largest number, for x above it, and 0 for x below -87
ZERO = single(0)
PER_LN2 = single(1 / math.log(2))
LN2 = single(0.693359375)  # with few digits, so that n · LN2 is exact for |n| < 2¹⁵ (Cody & Waite 1980) ...
LN2_REST = single(math.log(2) - 0.693359375)  # ... and the remainder of ln 2
C2, C3, C4, C5, C6, C7 = (single(1 / math.factorial(k)) for k in range(2, 8))
A3, A5, A7, A9, A11, A13 = (single(1 / k) for k in range(3, 14, 2))  # artanh s = s + s³/3 + s⁵/5 + ...

SIGN_SHIFT = np.int32(31)
MAGNITUDE = np.int32(0x7FFFFFFF)


def exp(x):
    """eˣ."""
    return np.exp(np.minimum(x, 88.0 if x.dtype == np.float32 else 709.0))


def sigmoid(x):
    """1 / (1 + e⁻ˣ)."""
    return 1 / (1 + exp(-x))


def tanh(x):
    """(eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)."""
    return math.tanh(x)


def softplus(x):
    """ln(1 + eˣ), which is x for large x and eˣ for small."""
    return np.logaddexp(x.dtype.type(0), x)


def largest(row):
    """max_i row_i."""
    return row.max()


@kernel_overload(exp)
def exp_for(x):
    """eˣ = 2ⁿ eʳ with n the integer nearest to x / ln 2; |r| ≤ ½ ln 2, and eight terms of the Taylor series give eʳ.

    Relative error 1e-7. 2ⁿ is the single-precision number with n + 127 in its exponent bits.
    """
    if x != types.float32:
        return lambda x: math.exp(min(x, 709.0))

    def formula(x):
        clamped = min(max(x, -EXP_LIMIT), EXP_LIMIT)
        n = np.floor(clamped * PER_LN2 + HALF)
        r = clamped - n * LN2 - n * LN2_REST
        e = ((((((C7 * r + C6) * r + C5) * r + C4) * r + C3) * r + C2) * r + ONE) * r + ONE
        e *= np.int32((np.int32(n) + 127) << 23).view(np.float32)
        return ZERO if x < -EXP_LIMIT else e

    return formula


@kernel_overload(sigmoid)
def sigmoid_for(x):
    if x != types.float32:
        return lambda x: 1 / (1 + exp(-x))
    return lambda x: ONE / (ONE + exp(-x))


@kernel_overload(tanh)
def tanh_for(x):
    """1 - 2 / (e²ˣ + 1); absolute error 2e-7."""
    if x != types.float32:
        return lambda x: math.tanh(x)
    return lambda x: ONE - TWO / (exp(TWO * x) + ONE)


@kernel_overload(softplus)
def softplus_for(x):
    """max(x, 0) + ln(1 + e), e = exp(-|x|) ≤ 1;  ln(1 + e) = 2 artanh s, s = e / (2 + e) ≤ 1/3, seven terms of its series.

    Relative error 3e-7, for small e too.
    """
    if x != types.float32:
        return lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x)))

    def formula(x):
        e = exp(-abs(x))
        s = e / (TWO + e)
        q = s * s
        series = ((((((A13 * q + A11) * q + A9) * q + A7) * q + A5) * q + A3) * q + ONE) * s
        return max(x, ZERO) + TWO * series

    return formula


@kernel_overload(largest)
def largest_for(row):
    """max_i row_i as a maximum of integers: LLVM vectorizes that one, but not the maximum of floats, because of NaN.

    The bits of floats, read as integers, have the order of the floats once those of negative numbers are flipped.
    A NaN counts as larger or smaller than every number, by its sign.
    """
    if row.dtype != types.float32:
        return lambda row: row.max()

    def formula(row):
        bits = row.view(np.int32)
        top = np.int32(-MAGNITUDE - 1)
        for i in range(bits.size):
            top = max(top, bits[i] ^ ((bits[i] >> SIGN_SHIFT) & MAGNITUDE))
        return np.int32(top ^ ((top >> SIGN_SHIFT) & MAGNITUDE)).view(np.float32)

    return formula


@reduction
def total(row):
    """Σ_i row_i."""
    s = row.dtype.type(0)
    for i in range(row.size):
        s += row[i]
    return s


@reduction
def square_sum(row):
    """Σ_i row_i²."""
    s = row.dtype.type(0)
    for i in range(row.size):
        s += row[i] * row[i]
    return s


@reduction
def dot(a, b):
    """Σ_i a_i b_i."""
    s = a.dtype.type(0)
    for i in range(a.size):
        s += a[i] * b[i]
    return s
