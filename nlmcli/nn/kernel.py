"""The one file that sets jit flags.

A kernel is a plain Python function over arrays that Numba compiles for this CPU on its first call and keeps in a
cache. It releases the GIL (the shards of a batch run on threads), divides as NumPy does (Python's check for division
by zero would keep loops from being vectorized), and may fuse a multiplication and an addition into one instruction,
which rounds once instead of twice but always the same way: the same input gives the same bits.

A reduction is a kernel that sums many numbers in an order that the compiler chooses, once, at compile time: in the
order of the source, each addition would wait for the one before.
"""

import numba
from numba.extending import overload

JIT = not numba.config.DISABLE_JIT
FLAGS = {"error_model": "numpy", "fastmath": {"contract"}}


def kernel(function, **flags):
    """The function, compiled on its first call; with NUMBA_DISABLE_JIT=1 the function itself."""
    if not JIT:
        return function
    from nlmcli.kernel_cache import keep

    compiled = numba.njit(nogil=True, **(FLAGS | flags))(function)
    keep(compiled)
    return compiled


def reduction(function):
    """A kernel whose additions may be reordered."""
    return kernel(function, fastmath={"contract", "reassoc", "nsz"})


def separately_rounded(function):
    """A kernel whose every multiplication and addition is rounded: its bits are the same in all kernels that it is compiled into."""
    return kernel(function, fastmath=False)


def kernel_overload(function):
    """Decorate choose(type) -> the implementation of `function` inside kernels, for an argument of that type."""
    return overload(function, jit_options=FLAGS)
