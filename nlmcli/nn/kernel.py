"""The one place in the project where jit flags stand.

A kernel is a plain Python function over arrays that Numba compiles for this CPU on its first call and keeps in its
cache. It releases the GIL (shards of a batch run on threads), divides as NumPy does (with Python's check for zero in
every division no loop would vectorise), and may fuse a multiply and an add into one instruction, which rounds once
instead of twice but always the same way: the same input gives the same bits.
"""

import numba

kernel = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
JIT = not numba.config.DISABLE_JIT
