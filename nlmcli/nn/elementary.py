"""exp, sigmoid, tanh and softplus of one number, the largest number and the sums of a row, written so that loops become vector code.

In single precision exp is a few multiplications, sixteen numbers at a time where the CPU has such lanes; the C
library's takes ten times as long, one number after another. In double precision, for gradcheck, it is the library's.
"""

import math

import numpy as np
from numba import types

from nlmcli.nn.kernel import formula_of, reduction

single = np.float32
ONE, HALF, TWO = single(1), single(0.5), single(2)
LARGEST = single(87)  # exp of more is taken for that of 87, close to the largest number; of less than -87 it is 0
NONE = single(0)
PER_LN2 = single(1 / math.log(2))
LN2 = single(0.693359375)  # with few digits, so that n · LN2 is exact for |n| < 2¹⁵ (Cody & Waite 1980) ...
LN2_REST = single(math.log(2) - 0.693359375)  # ... and the rest of ln 2
C2, C3, C4, C5, C6, C7 = (single(1 / math.factorial(k)) for k in range(2, 8))
A3, A5, A7, A9, A11, A13 = (single(1 / k) for k in range(3, 14, 2))  # artanh s = s + s³/3 + s⁵/5 + ...

SIGN = np.int32(31)
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


@formula_of(exp)
def exp_for(x):
    """eˣ = 2ⁿ eʳ with n the whole number nearest to x / ln 2; |r| ≤ ½ ln 2, and eight terms of Taylor's series give eʳ.

    A relative error of 1e-7. 2ⁿ is made by writing n + 127 where a single-precision number keeps its exponent.
    """
    if x != types.float32:
        return lambda x: math.exp(min(x, 709.0))

    def formula(x):
        at = min(max(x, -LARGEST), LARGEST)
        n = np.floor(at * PER_LN2 + HALF)
        r = at - n * LN2 - n * LN2_REST
        e = ((((((C7 * r + C6) * r + C5) * r + C4) * r + C3) * r + C2) * r + ONE) * r + ONE
        e *= np.int32((np.int32(n) + 127) << 23).view(np.float32)
        return NONE if x < -LARGEST else e

    return formula


@formula_of(sigmoid)
def sigmoid_for(x):
    if x != types.float32:
        return lambda x: 1 / (1 + exp(-x))
    return lambda x: ONE / (ONE + exp(-x))


@formula_of(tanh)
def tanh_for(x):
    """1 - 2 / (e²ˣ + 1), right to 2e-7 (absolute)."""
    if x != types.float32:
        return lambda x: math.tanh(x)
    return lambda x: ONE - TWO / (exp(TWO * x) + ONE)


@formula_of(softplus)
def softplus_for(x):
    """max(x, 0) + ln(1 + e), e = exp(-|x|) ≤ 1;  ln(1 + e) = 2 artanh s, s = e / (2 + e) ≤ 1/3, seven terms of its series.

    A relative error of 3e-7, for small e too.
    """
    if x != types.float32:
        return lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x)))

    def formula(x):
        e = exp(-abs(x))
        s = e / (TWO + e)
        q = s * s
        series = ((((((A13 * q + A11) * q + A9) * q + A7) * q + A5) * q + A3) * q + ONE) * s
        return max(x, NONE) + TWO * series

    return formula


@formula_of(largest)
def largest_for(row):
    """Whole numbers have a vector maximum and floats, for fear of NaN, do not.

    The bits of floats, read as whole numbers, are in the floats' own order once those of negative ones are turned round.
    A NaN counts as larger or smaller than all, by its sign.
    """
    if row.dtype != types.float32:
        return lambda row: row.max()

    def formula(row):
        bits = row.view(np.int32)
        top = np.int32(-MAGNITUDE - 1)
        for i in range(bits.size):
            top = max(top, bits[i] ^ ((bits[i] >> SIGN) & MAGNITUDE))
        return np.int32(top ^ ((top >> SIGN) & MAGNITUDE)).view(np.float32)

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
