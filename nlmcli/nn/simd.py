"""out[i:i+m, j:j+n] = start + A[i:i+m] @ panel[:, :n]: the register tile, in LLVM vector code for this CPU.

What it does, for readers who know NumPy and have never seen a kernel:

**Registers.** A CPU does arithmetic on registers, not on memory. A vector register holds several numbers side
by side, its lanes (16 float32 with AVX-512, 8 with AVX2, 4 with SSE and NEON), and one instruction multiplies
and adds all lanes at once: c += a * b. A CPU can start one or two of these per clock, but it cannot load
their operands from memory much faster than that. A dot product, s += A[i, k] * B[k, j], loads two numbers for
each multiply-add and so waits for memory most of the time.

**Outer products.** So `out` is cut into tiles that are small enough to stay in registers from the first k to the
last. Each step k adds an outer product to the tile:

    tile += A[i:i+8, k, None] * B[k, None, j:j+48]          8 rows x 48 columns = 8 x 3 registers of 16 lanes

Three vectors of B and eight numbers of A (each broadcast to all lanes) are loaded for 24 multiply-adds: eleven
loads for 24, where the dot product had two for one. More rows would be better still, but there are only 32
registers: 24 for the tile, 3 for B, the rest for A. Twenty-four independent sums also hide the latency of a
multiply-add, four clocks until its result can be used: there is always another one that need not wait. ROWS and
VECTORS are the shape of the tile for this instruction set.

**Panels.** Step k reads 48 adjacent elements of row k of B, step k + 1 the same columns of the next row, a whole
row further in memory: every step would touch new cache lines, and use only part of them, and new pages. So B is
copied once into panels of 48 columns, panels[p, k] = B[k, 48 p : 48 p + 48], and a tile reads its panel from
front to back as one stream. Weights that multiply many batches (every time step of an RNN) are packed once, so
that the copy costs almost nothing. The eight rows of A are eight streams already and are read in place.

**Masks.** The last panel of a matrix with 100 columns has 4 columns that exist and 44 that do not. Loads and
stores of the last vector of a tile carry a mask, one bit per lane: a lane whose bit is off is neither read nor
written, so nothing outside `out` is ever touched. Vectors and rows that lie entirely outside are not computed:
each number of rows and vectors has its own loop, 8 x 3 cases, chosen by a `switch`.

**Contract and the same bits.** Floating-point addition is not associative, so the order of sums decides the
last bits. Here each element of `out` is one chain, in the order of k, whatever its tile and lane:

    s = start;  s = fma(A[i, 0], B[0, j], s);  s = fma(A[i, 1], B[1, j], s);  ...

where fma multiplies and adds with one rounding. LLVM may fuse the two because they carry the flag `contract`;
it may not reorder the sum (`reassoc`), as a dot product in lanes would require, nor assume that NaN and infinity
do not occur. Rows may therefore be split among calls, tiles or threads: the bits are the same. Since a chain can
stop and resume from the value it stored, K may be split too. A CPU without fma rounds twice: different bits, but
just as reproducible.

**Pairs.** A number rounded to bfloat16 takes half a lane, and CPUs with AVX512_BF16 have an instruction that multiplies
both halves of all lanes, in the time of one multiply-add: c += a[1] * b[1], then c += a[0] * b[0]. Here A and the
panels hold (A[i, 2k], A[i, 2k+1]) and (B[2k, j], B[2k+1, j]) in each 32-bit lane (bf16.py makes them), and a step adds two
outer products. That is all that changes. Registers, panels, masks and strides are those of float32, there are half as
many steps, half as much memory is read, and the sums are float32 from the first to the last. The chain is

    s = fma(A[i, 1], B[1, j], s);  s = fma(A[i, 0], B[0, j], s);  s = fma(A[i, 3], B[3, j], s);  ...

so the bits still do not depend on how the work is split, if K is split between pairs.
"""

import inspect
import os
import platform
from functools import partial
from itertools import product

import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from nlmcli.kernel_cache import EXTERNAL_SYMBOLS, may_be_cached
from nlmcli.nn.kernel import JIT, kernel


def tile_shape(features):
    """(bytes of a vector, rows of a tile, vectors of a tile) for a CPU with these LLVM features."""
    if "+avx512f" in features:
        return 64, 8, 3  # 24 of 32 registers hold the tile
    if "+avx2" in features and "+fma" in features:
        return 32, 6, 2  # 12 of 16
    if "+neon" in features:
        return 16, 8, 2  # 16 of 32
    return 16, 4, 2  # 8 of 16


# Numba's list of features, not the host's: NUMBA_CPU_NAME with NUMBA_CPU_FEATURES can select a smaller CPU.
FEATURES = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
VECTOR_BYTES, ROWS, VECTORS = tile_shape(FEATURES)
# Whether a lane may hold a pair of bfloat16. LLVM aborts the process if a CPU without the instruction is to get it.
PAIRED = not JIT or ("+avx512bf16" in FEATURES and VECTOR_BYTES == 64)
PANEL_BYTES = VECTOR_BYTES * VECTORS  # one row of a panel: 48 float32 or 24 float64 with AVX-512

WIDE = 4 * VECTORS  # vectors of a tile of one row: as many independent sums as hide the latency, and long stretches of memory
AHEAD = 96  # steps k that leave time to prefetch the memory that the next tile writes

INT, INT32 = ir.IntType(64), ir.IntType(32)
CONTRACT = ("contract",)


class Lanes:
    """One element type: its LLVM types and the vector operations of a tile. Addresses are integers."""

    def __init__(self, scalar, size):
        self.scalar, self.size, self.count = scalar, size, VECTOR_BYTES // size
        self.vector = ir.VectorType(scalar, self.count)
        self.mask = ir.VectorType(ir.IntType(1), self.count)
        self.name = self.tile_name = f"v{self.count}f{8 * size}"  # LLVM's suffix for the vector type

    def splat(self, builder, x, vector):
        """The vector (x, x, ..., x)."""
        lane_0 = builder.insert_element(ir.Constant(vector, ir.Undefined), x, INT32(0))
        zeros = ir.Constant(ir.VectorType(INT32, self.count), [0] * self.count)
        return builder.shuffle_vector(lane_0, lane_0, zeros)

    def broadcast(self, builder, address):
        """The number at an address, broadcast to all lanes."""
        x = builder.load(builder.inttoptr(address, self.scalar.as_pointer()))
        x.align = self.size
        return self.splat(builder, x, self.vector)

    def mask_below(self, builder, n):
        """The mask of the lanes 0 .. n-1."""
        numbers = ir.VectorType(INT32, self.count)
        limit = self.splat(builder, builder.trunc(n, INT32), numbers)
        return builder.icmp_signed("<", ir.Constant(numbers, list(range(self.count))), limit)

    def load(self, builder, address, mask=None):
        """Adjacent numbers starting at an address; masked-out lanes are 0 and their memory is not read."""
        pointer = builder.inttoptr(address, self.vector.as_pointer())
        if mask is None:
            x = builder.load(pointer)
            x.align = self.size
            return x
        function_type = ir.FunctionType(self.vector, [pointer.type, INT32, self.mask, self.vector])
        masked = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.masked.load.{self.name}.p0")
        return builder.call(masked, [pointer, INT32(self.size), mask, ir.Constant(self.vector, None)])

    def store(self, builder, x, address, mask=None):
        """Write a vector to adjacent numbers; the memory of masked-out lanes is not touched."""
        pointer = builder.inttoptr(address, self.vector.as_pointer())
        if mask is None:
            builder.store(x, pointer).align = self.size
            return
        function_type = ir.FunctionType(ir.VoidType(), [self.vector, pointer.type, INT32, self.mask])
        masked = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.masked.store.{self.name}.p0")
        builder.call(masked, [x, pointer, INT32(self.size), mask])

    def multiply_add(self, builder, a, b, c):
        """a * b + c; LLVM makes it one instruction."""
        return builder.fadd(builder.fmul(a, b, flags=CONTRACT), c, flags=CONTRACT)


class Pairs(Lanes):
    """A pair of bfloat16 in each 32-bit lane, which are moved as if they were float32; the sums are float32."""

    def __init__(self):
        super().__init__(ir.FloatType(), 4)
        self.tile_name = "pairs"

    def multiply_add(self, builder, a, b, c):
        """fma(a[0], b[0], fma(a[1], b[1], c)) in each lane, one instruction (VDPBF16PS)."""
        words = ir.VectorType(INT32, self.count)
        function_type = ir.FunctionType(self.vector, [self.vector, words, words])
        dot = cgutils.get_or_insert_function(builder.module, function_type, "llvm.x86.avx512bf16.dpbf16ps.512")
        return builder.call(dot, [c, builder.bitcast(a, words), builder.bitcast(b, words)])


LANES = {types.float32: Lanes(ir.FloatType(), 4), types.float64: Lanes(ir.DoubleType(), 8), types.uint32: Pairs()}


def counted_loop(builder, count, values, body):
    """for k in range(count): values = body(k, values).  -> the last values, which stay in registers"""
    entry, (test, run, after) = builder.block, (builder.append_basic_block() for _ in range(3))
    builder.branch(test)
    builder.position_at_end(test)
    k, *carried = (builder.phi(x.type) for x in (count, *values))
    for phi, x in zip((k, *carried), (INT(0), *values), strict=True):
        phi.add_incoming(x, entry)
    builder.cbranch(builder.icmp_signed("<", k, count), run, after)
    builder.position_at_end(run)
    updated = body(k, carried)
    for phi, x in zip((k, *carried), (builder.add(k, INT(1)), *updated), strict=True):
        phi.add_incoming(x, builder.block)
    builder.branch(test)
    builder.position_at_end(after)
    return carried


def prefetch(builder, address):
    """Prefetch the cache line at an address for writing; no address is invalid here."""
    pointer = builder.inttoptr(address, ir.IntType(8).as_pointer())
    function_type = ir.FunctionType(ir.VoidType(), [pointer.type, INT32, INT32, INT32])
    builder.call(cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0"), [pointer, INT32(1), INT32(3), INT32(1)])


def fixed_tile(builder, lanes, rows, vectors, arguments):
    """One case of the tile: load rows x vectors registers, add `depth` outer products, store to `c`."""
    a, step_i, step_k, panel, panel_step, depth, source, source_step, c, c_step, _, columns = arguments
    edge = lanes.mask_below(builder, builder.sub(columns, INT((vectors - 1) * lanes.count)))
    masks = ([None] * (vectors - 1) + [edge]) * rows

    def addresses(base, step):
        starts = [builder.add(base, builder.mul(step, INT(i))) for i in range(rows)]
        return [builder.add(start, INT(VECTOR_BYTES * v)) for start in starts for v in range(vectors)]

    def outer_product(k, values):
        a, *sums = values
        row = builder.add(panel, builder.mul(k, panel_step))
        b = [lanes.load(builder, builder.add(row, INT(VECTOR_BYTES * v))) for v in range(vectors)]
        for i in range(rows):
            a_i = lanes.broadcast(builder, builder.add(a, builder.mul(step_i, INT(i))))
            for v in range(vectors):
                sums[i * vectors + v] = lanes.multiply_add(builder, a_i, b[v], sums[i * vectors + v])
        return [builder.add(a, step_k), *sums]

    sums = [lanes.load(builder, *place) for place in zip(addresses(source, source_step), masks, strict=True)]
    with builder.if_then(builder.icmp_signed(">", depth, INT(AHEAD))):
        for address in addresses(builder.add(c, builder.mul(c_step, INT(rows))), c_step):
            prefetch(builder, address)
    _, *sums = counted_loop(builder, depth, [a, *sums], outer_product)
    for x, address, mask in zip(sums, addresses(c, c_step), masks, strict=True):
        lanes.store(builder, x, address, mask)


def tile_function(module, lanes):
    """The tile as a function of addresses and strides, once per LLVM module: a switch over rows and vectors.

    fixed_tile unpacks the arguments. The sums start with the values at `source`, whose rows are `source_step`
    apart: the tile of `out` itself, or one row of zeros or of a bias with a step of 0.
    """
    name = f"nlm_tile_{lanes.tile_name}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT] * 12), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    *_, rows, columns = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    end = function.append_basic_block()
    vectors = builder.sdiv(builder.add(columns, INT(lanes.count - 1)), INT(lanes.count))
    choice = builder.switch(builder.add(builder.mul(rows, INT(WIDE + 1)), vectors), end)
    for r, v in [*product(range(1, ROWS + 1), range(1, VECTORS + 1)), (1, WIDE)]:
        builder.position_at_end(function.append_basic_block())
        choice.add_case(INT(r * (WIDE + 1) + v), builder.block)
        fixed_tile(builder, lanes, r, v, function.args)
        builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def unpack_arrays(context, builder, signature, args, *numbers):
    """(address, strides in bytes, shape) of the arguments with these numbers, which are arrays."""
    arrays = [context.make_array(signature.args[n])(context, builder, args[n]) for n in numbers]
    pairs = [[cgutils.unpack_tuple(builder, pair) for pair in (x.strides, x.shape)] for x in arrays]
    return [(builder.ptrtoint(x.data, INT), *pair) for x, pair in zip(arrays, pairs, strict=True)]


FROM_ZERO, FROM_OUT, FROM_BIAS = 0, 1, 2


def vector_code(reference):
    """Decorate an LLVM generator as a function for kernels; with the JIT off, it is the NumPy reference instead."""
    return intrinsic if JIT else lambda generator: reference


def tile_reference(A, i, panels, p, out, j, rows, columns, start, bias):
    part = out[i : i + rows, j : j + columns]
    initial = (0, part, bias[j : j + columns])[start]
    if A.dtype == np.uint32:
        part[...] = initial
        add_pairs(A[i : i + rows], panels[p, :, :columns], part)
    else:
        part[...] = initial + A[i : i + rows] @ panels[p, :, :columns]


def add_pairs(A, B, out):
    """out += A B in pairs, in the order and with the bits of the instruction, but for denormals.  A (M,K), B (K,N) uint32"""
    for k in range(A.shape[1]):
        for half in (lambda pair: pair & 0xFFFF0000, lambda pair: pair << 16):
            a, b = (np.ascontiguousarray(half(x)).view(np.float32) for x in (A[:, k], B[k]))
            out += a[:, None] * b


@vector_code(tile_reference)
def tile(typing, A, i, panels, p, out, j, rows, columns, start, bias):
    """out[i:i+rows, j:j+columns] = start + A[i:i+rows] @ panels[p, :, :columns].

    A (M, K) of any strides, panels (P, K, panel) with contiguous rows, out (M, N) and bias (N,) with unit
    column stride, all of one type; start is FROM_ZERO, FROM_OUT (accumulate into out) or FROM_BIAS
    (bias[j:j+columns] in every row). rows <= ROWS, columns <= panel or, for one row, WIDE vectors; nothing is checked here.
    """

    def generate(context, builder, signature, args):
        lanes = LANES[A.dtype]
        arrays = unpack_arrays(context, builder, signature, args, 0, 2, 4, 9)
        (a, a_steps, (_, depth)), (b, b_steps, _), (c, (c_step, _), _), (bias, _, _) = arrays
        i, p, j, rows, columns, start = (args[n] for n in (1, 3, 5, 6, 7, 8))
        zero_bytes = ir.Constant(ir.ArrayType(ir.IntType(8), WIDE * VECTOR_BYTES), None)
        zeros = builder.ptrtoint(cgutils.global_constant(builder, "zeros", zero_bytes), INT)
        column = builder.mul(j, INT(lanes.size))
        c = builder.add(builder.add(c, builder.mul(i, c_step)), column)
        accumulating = builder.icmp_signed("==", start, INT(FROM_OUT))
        from_bias = builder.icmp_signed("==", start, INT(FROM_BIAS))
        initial = builder.select(from_bias, builder.add(bias, column), zeros)
        builder.call(tile_function(builder.module, lanes), [
            builder.add(a, builder.mul(i, a_steps[0])), *a_steps,
            builder.add(b, builder.mul(p, b_steps[0])), b_steps[1], depth,
            builder.select(accumulating, c, initial), builder.select(accumulating, c_step, INT(0)),
            c, c_step, rows, columns,
        ])  # fmt: skip
        return context.get_dummy_value()

    integer = types.intp
    return types.void(A, integer, panels, integer, out, integer, integer, integer, integer, bias), generate


def copy_columns_reference(B, j, columns, panels, p):
    panels[p, :, :columns] = B[:, j : j + columns]
    panels[p, :, columns:] = 0


@vector_code(copy_columns_reference)
def copy_columns(typing, B, j, columns, panels, p):
    """panels[p, :, :columns] = B[:, j:j+columns], then zeros up to the panel's width. B has contiguous rows."""

    def generate(context, builder, signature, args):
        lanes = LANES[B.dtype]
        source, target = unpack_arrays(context, builder, signature, args, 0, 3)
        (b, (b_step, _), (depth, _)), (to, (to_step, _, _), _) = source, target
        _, j, columns, _, p = args
        b = builder.add(b, builder.mul(j, INT(lanes.size)))
        to = builder.add(to, builder.mul(p, to_step))

        def copy(masks):
            def row(k, values):
                source, target = values
                for v, mask in enumerate(masks):
                    x = lanes.load(builder, builder.add(source, INT(VECTOR_BYTES * v)), mask)
                    lanes.store(builder, x, builder.add(target, INT(VECTOR_BYTES * v)))
                return [builder.add(source, b_step), builder.add(target, INT(PANEL_BYTES))]

            counted_loop(builder, depth, [b, to], row)

        whole = builder.icmp_signed("==", columns, INT(VECTORS * lanes.count))
        rests = [builder.sub(columns, INT(v * lanes.count)) for v in range(VECTORS)]
        with builder.if_else(whole) as (full, partial):
            with full:
                copy([None] * VECTORS)
            with partial:
                copy([lanes.mask_below(builder, rest) for rest in rests])
        return context.get_dummy_value()

    return types.void(B, types.intp, types.intp, panels, types.intp), generate


def transpose_block_reference(B, k, j, columns, panels, p, c):
    lanes = VECTOR_BYTES // B.itemsize
    block = B[k : k + lanes, j : j + columns]
    panels[p, k : k + lanes, c : c + lanes] = np.pad(block, ((0, 0), (0, lanes - columns)), mode="edge")


@vector_code(transpose_block_reference)
def transpose_block(typing, B, k, j, columns, panels, p, c):
    """panels[p, k:k+lanes, c:c+lanes] = B[k:k+lanes, j:j+lanes], where the columns of B are contiguous.

    With fewer than `lanes` columns left, the last one is repeated. Each column is loaded as one vector; four
    rounds (for 16 lanes) of interleaving the first half of the vectors with the second half turn columns into
    rows.
    """

    def generate(context, builder, signature, args):
        lanes = LANES[B.dtype]
        n, half = lanes.count, lanes.count // 2
        (b, (_, b_step), _), (to, (to_step, _, _), _) = unpack_arrays(context, builder, signature, args, 0, 4)
        _, k, j, columns, _, p, c = args
        b = builder.add(b, builder.add(builder.mul(k, INT(lanes.size)), builder.mul(j, b_step)))
        row = builder.add(builder.mul(k, INT(PANEL_BYTES)), builder.mul(c, INT(lanes.size)))
        to = builder.add(builder.add(to, builder.mul(p, to_step)), row)
        last = builder.sub(columns, INT(1))
        x = []
        for column in range(n):
            number = builder.select(builder.icmp_signed("<", INT(column), columns), INT(column), last)
            x.append(lanes.load(builder, builder.add(b, builder.mul(number, b_step))))
        order = [lane for i in range(n) for lane in (i, n + i)]
        low, high = (ir.Constant(ir.VectorType(INT32, n), part) for part in (order[:n], order[n:]))
        for _ in range(n.bit_length() - 1):
            x = [builder.shuffle_vector(x[i], x[i + half], part) for i in range(half) for part in (low, high)]
        for number, values in enumerate(x):
            lanes.store(builder, values, builder.add(to, INT(PANEL_BYTES * number)))
        return context.get_dummy_value()

    return types.void(B, *[types.intp] * 3, panels, types.intp, types.intp), generate


def compile_once(function, signatures):
    """A kernel with its own machine code, which other kernels call by symbol name instead of compiling it again.

    Numba compiles a callee again into each of its callers, and the tile is large. So `function` is compiled
    here, or loaded from the cache, for each signature (a list of argument types, distinguished by the dtype of
    the first argument), and its address is registered with LLVM under a name. Kernels call the returned
    intrinsic, which emits only that name. A caller that a later process loads from the cache finds the name: its
    module had to import the one that called compile_once, which loads everything that the cache may hold of
    `function`; what the cache does not hold, no cached caller can use, and it is compiled along with its first
    caller. An undefined name would end the process, so a cached caller is not used if a name is missing, and must
    not outlive a change of these sources. Arrays may have any layout; None for an array passes an empty one.
    """
    if not JIT:
        return lambda *args: function(*(np.empty(0) if x is None else x for x in args))
    dispatcher, variants = kernel(function), {}
    by_dtype = {expected[0].dtype: tuple(expected) for expected in signatures}
    symbols = {dtype: f"{function.__module__}.{function.__qualname__}.{dtype}" for dtype in by_dtype}
    EXTERNAL_SYMBOLS.update(symbols.values())

    def variant(dtype):
        if dtype not in variants:
            expected = by_dtype[dtype]
            dispatcher.compile(expected)
            compiled = dispatcher.overloads[expected]
            llvm.add_symbol(symbols[dtype], compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))
            variants[dtype] = symbols[dtype], expected, compiled.signature.return_type
        return variants[dtype]

    for dtype, expected in by_dtype.items():
        if may_be_cached(dispatcher, expected):
            variant(dtype)

    def call(typing, *given):
        if getattr(given[0], "dtype", None) not in by_dtype:
            raise TypingError(f"{function.__name__}: no version for a first argument of type {given[0]}")
        symbol, expected, result = variant(given[0].dtype)
        for name, actual, type_ in zip(parameters, given, expected, strict=True):
            if not passes_as(actual, type_):
                raise TypingError(f"{function.__name__}: argument {name} is {actual}, not {type_}")

        converted = [type_ if isinstance(type_, types.Number) else actual for actual, type_ in zip(given, expected, strict=True)]
        return result(*converted), partial(call_by_name, symbol, result, expected)

    # Numba takes the names and number of the arguments from the signature; *given would arrive as one tuple.
    parameters = inspect.signature(function).parameters
    typing = inspect.Parameter("typing", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    call.__signature__ = inspect.Signature([typing, *parameters.values()])  # type: ignore[attr-defined]
    return intrinsic(call)


def call_by_name(symbol, result, expected, context, builder, signature, args):
    """Emit a call of the machine code that LLVM knows under a name; an argument that is None becomes an empty array."""
    empty = [not isinstance(t, types.Array | types.Number) for t in signature.args]
    null = context.get_constant_null
    values = [null(type_) if is_empty else x for x, is_empty, type_ in zip(args, empty, expected, strict=True)]
    function_type = context.call_conv.get_function_type(result, expected)
    callee = cgutils.get_or_insert_function(builder.module, function_type, symbol)
    status, value = context.call_conv.call_function(builder, callee, result, expected, values)
    with cgutils.if_unlikely(builder, status.is_error):
        context.call_conv.return_status_propagate(builder, status)
    return value


def passes_as(given, expected):
    """Whether a value of one Numba type can be passed to code compiled for another, regardless of layout."""
    if isinstance(expected, types.Number):
        return isinstance(given, types.Number | types.Boolean)
    if not isinstance(given, types.Array):
        return isinstance(given, types.NoneType | types.Omitted)
    same = given.ndim == expected.ndim and given.dtype == expected.dtype and given.aligned
    return same and (given.mutable or not expected.mutable)


def look_reference(words, i):
    return words[i]


@vector_code(look_reference)
def atomic_load(typing, words, i):
    """An atomic load of words[i], which other threads write; an ordinary read may be hoisted out of a loop.

    words (n,) int64, i in range. A pause instruction tells the CPU that this is a spin-wait loop.
    """

    def generate(context, builder, signature, args):
        [(data, (step,), _)] = unpack_arrays(context, builder, signature, args, 0)
        if platform.machine() in ("x86_64", "AMD64"):
            pause = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, pause, "llvm.x86.sse2.pause"), [])
        pointer = builder.inttoptr(builder.add(data, builder.mul(args[1], step)), INT.as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(words, types.intp), generate


@vector_code(lambda: None)
def yield_core(typing):
    """Yield this core to another thread that waits for it (sched_yield, on systems that have it)."""

    def generate(context, builder, signature, args):
        if os.name == "posix":
            builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate
