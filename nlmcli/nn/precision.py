"""The precision of matrix products, which each thread chooses for itself: float32, or bf16.

bf16: the inputs of a product are rounded to bfloat16, the upper half of a float32 (8 bits of precision instead of 24, the
same range), and its sums stay float32. Parameters, gradients and everything between two products stay float32 too. A CPU
that multiplies two pairs of such numbers at once has twice the speed (nn/bf16.py).

Kernels read the choice where they run: it lies in the storage that the operating system keeps for each thread, so that a run
in one thread never changes what another computes.
"""

import ctypes
import sys
from typing import Any

from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

from nlmcli.kernel_cache import EXTERNAL_SYMBOLS
from nlmcli.nn.simd import vector_code

PRECISIONS = ("float32", "bf16")
READ, KEY = "nlm.thread_value", "nlm.precision_key"  # LLVM symbols: the system's function, and the key to pass it


def thread_storage() -> tuple[Any, Any, ctypes.c_ulong]:
    """Functions that read and write a value of the current thread, and its key."""
    key = ctypes.c_ulong()
    if sys.platform == "win32":
        system = ctypes.WinDLL("kernel32")
        read, write, key.value = system.TlsGetValue, system.TlsSetValue, system.TlsAlloc()
    else:
        system = ctypes.CDLL(None)
        read, write = system.pthread_getspecific, system.pthread_setspecific
        system.pthread_key_create(ctypes.byref(key), None)
    read.argtypes, read.restype = [ctypes.c_ulong], ctypes.c_void_p
    write.argtypes = [ctypes.c_ulong, ctypes.c_void_p]
    return read, write, key


read_value, write_value, key = thread_storage()
llvm.add_symbol(READ, ctypes.cast(read_value, ctypes.c_void_p).value)
llvm.add_symbol(KEY, ctypes.addressof(key))
EXTERNAL_SYMBOLS.update((READ, KEY))


def current() -> str:
    """The precision of this thread's products."""
    return PRECISIONS[read_value(key) or 0]


class products_in:
    """A context in which this thread computes its products in a precision."""

    def __init__(self, precision: str):
        self.number = PRECISIONS.index(precision)

    def __enter__(self) -> None:
        self.before = read_value(key)
        write_value(key, self.number)

    def __exit__(self, *_: object) -> None:
        write_value(key, self.before)


@vector_code(lambda: read_value(key) or 0)
def thread_precision(typing):
    """The number of this thread's precision in PRECISIONS, for kernels."""

    def generate(context, builder, signature, args):
        word = ir.IntType(64)
        function_type = ir.FunctionType(word, [word])
        read = cgutils.get_or_insert_function(builder.module, function_type, READ)
        return builder.call(read, [builder.load(context.get_c_value(builder, word, KEY))])

    return types.intp(), generate
