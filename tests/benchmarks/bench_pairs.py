"""Every pair of forward and backward functions, on float32 arrays of the sizes of a real training step.

`pytest -n 0 tests/benchmarks/bench_pairs.py` prints the times. A pair without an entry in INPUTS is measured on its own small
example, which measures little more than the overhead of a call.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as for a shard; read when NumPy is imported

import numpy as np
import pytest

from nlmcli.engine.checking.gradcheck import all_pairs
from nlmcli.nn.kernel import JIT
from nlmcli.nn.pair import is_differentiable
from nlmcli.nn.philox import Philox

pytestmark = [
    pytest.mark.skipif(not JIT, reason="there are no kernels to measure"),
    pytest.mark.benchmark(min_rounds=5, max_time=0.3),
]

PAIRS = all_pairs()
T, B, D, H, CHARACTERS, WORDS, CONTEXT, HEADS = 64, 16, 64, 256, 65, 10_000, 5, 4
N = T * B  # one shard of a batch


def floats(rng, *shape):
    """Random numbers of the scale of weights, so that nothing saturates over T steps."""
    return (rng.standard_normal(shape) / np.sqrt(H)).astype(np.float32)


def characters(rng, *shape):
    return rng.integers(0, CHARACTERS, shape)


def recurrence(gates, memories, biases=0):
    """Inputs of a character-level recurrent network: rows, index, Wh, biases and initial states."""

    def draw(rng):
        states = [floats(rng, B, H) for _ in range(memories)]
        weights = [floats(rng, H, gates * H), *(floats(rng, H) for _ in range(biases))]
        return floats(rng, CHARACTERS, gates * H), characters(rng, T, B), *weights, *states

    return draw


def gated_layers(rng):
    """Four layers with a context of sixteen tokens."""
    shapes = [(T, B, D), (15, B, D), (4, 2 * D, 2 * D), (4, 2 * D), (3, D, D), (3, D), (4, D, D), (D,)]
    x, before, *weights = (floats(rng, *shape) for shape in shapes)
    return x, before, np.array([1, 2, 4, 8]), *weights, None


def queries(rng):
    """The qkv of a shard, and an empty block of past keys and values."""
    past = np.zeros((B, T, H), np.float32), np.zeros((B, T, H), np.float32), np.zeros(B, np.int64)
    return floats(rng, B, T, 3 * H), HEADS, past


INPUTS = {
    "attention": queries,
    "dilated_convolution": lambda rng: (floats(rng, T, B, D), floats(rng, 8, B, D), floats(rng, 2 * D, 2 * D), floats(rng, 2 * D)),
    "dropout": lambda rng: (floats(rng, T, B, H), 0.2, Philox(0)),
    "elman": recurrence(gates=1, memories=1),
    "embedding": lambda rng: (floats(rng, WORDS, D), rng.integers(0, WORDS, (T, B))),
    "gate": lambda rng: (floats(rng, T, B, 2 * D),),
    "gated_layers": gated_layers,
    "gelu": lambda rng: (floats(rng, N, 4 * H),),
    "gru": recurrence(gates=3, memories=1, biases=1),
    "layernorm": lambda rng: (floats(rng, N, H), floats(rng, H), floats(rng, H)),
    "linear": lambda rng: (floats(rng, N, D), floats(rng, D, 4 * H), floats(rng, 4 * H)),
    "linear_cross_entropy": lambda rng: (floats(rng, N, H), floats(rng, H, WORDS), floats(rng, WORDS), rng.integers(0, WORDS, N)),
    "lstm": recurrence(gates=4, memories=2),
    "softmax": lambda rng: (floats(rng, N, CHARACTERS),),
    "softmax_cross_entropy": lambda rng: (floats(rng, N, CHARACTERS), characters(rng, N)),
    "tanh": lambda rng: (floats(rng, N, H),),
    "window": lambda rng: (floats(rng, WORDS, D), rng.integers(0, WORDS, (N, CONTEXT)), floats(rng, CONTEXT * D, H), floats(rng, H)),
}


def inputs_of(name):
    """The inputs of a pair from INPUTS, or its example, in float32."""
    given = INPUTS.get(name, PAIRS[name].example)(np.random.default_rng(0))
    return tuple(value.astype(np.float32) if is_differentiable(value) else value for value in given)


def gradient_like(y):
    """A random dL/dy for a y that is an array, a number, or a tuple of them."""
    if isinstance(y, tuple):
        return tuple(map(gradient_like, y))
    return floats(np.random.default_rng(1), *np.shape(y)) if np.ndim(y) else np.float32(1)


def test_inputs_belong_to_pairs():
    assert set(INPUTS) <= set(PAIRS)


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_forward(benchmark, name):
    inputs, forward = inputs_of(name), PAIRS[name].forward
    forward(*inputs)  # compiles
    benchmark.group = name
    benchmark(forward, *inputs)


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_backward(benchmark, name):
    y, cache = PAIRS[name].forward(*inputs_of(name))
    dy, backward = gradient_like(y), PAIRS[name].backward
    backward(dy, cache)  # compiles
    benchmark.group = name
    benchmark(backward, dy, cache)
