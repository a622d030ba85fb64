"""The one place in the project where jit flags stand.

A kernel is a plain Python function over arrays that Numba compiles for this CPU on its first call and keeps in a
cache. It releases the GIL (shards of a batch run on threads), divides as NumPy does (with Python's check for zero in
every division no loop would vectorise), and may fuse a multiply and an add into one instruction, which rounds once
instead of twice but always the same way: the same input gives the same bits.

A reduction is a kernel that adds up many numbers; the compiler may choose the order, which it does once, when it
compiles: a sum in the order of the text would wait for every single addition.
"""

import numba
from numba.extending import overload

JIT = not numba.config.DISABLE_JIT
FLAGS = {"error_model": "numpy", "fastmath": {"contract"}}


def kernel(function, **flags):
    """The function, compiled when it is first called. With NUMBA_DISABLE_JIT=1 it stays what it is."""
    if not JIT:
        return function
    from nlmcli.kernel_cache import keep

    compiled = numba.njit(nogil=True, **(FLAGS | flags))(function)
    keep(compiled)
    return compiled


def reduction(function):
    """A kernel whose additions may be made in any order."""
    return kernel(function, fastmath={"contract", "reassoc", "nsz"})


def formula_of(function):
    """Decorates choose(type): what `function` is inside kernels, for an argument of that type. Outside it is itself."""
    return overload(function, jit_options=FLAGS)
