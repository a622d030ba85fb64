"""A training step (forward, backward, clip, update) of every architecture at its default sizes, with all threads.

`pytest -n 0 tests/benchmarks/bench_steps.py --benchmark-json=steps.json` writes the times, with tokens per second in
extra_info. The text is synthetic, with the vocabulary size of a small corpus and word frequencies by Zipf's law.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the command line; read when NumPy is imported

import numpy as np
import pytest

from nlmcli.engine.run.settings import Settings
from nlmcli.engine.training.train import Training
from nlmcli.models import neural_names
from nlmcli.nn.kernel import JIT

pytestmark = [
    pytest.mark.skipif(not JIT, reason="there are no kernels to measure"),
    pytest.mark.benchmark(min_rounds=5, max_time=0.5),
]

TYPES, LENGTH, LINE = 3000, 30_000, 10  # types, words, words per line


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """The path of the text: the frequency of the k-th word is proportional to 1/k (Zipf)."""
    rng = np.random.default_rng(0)
    letters = rng.integers(ord("a"), ord("z") + 1, (TYPES, 6), np.uint8)
    words = np.array([row.tobytes().decode() for row in letters])
    frequency = 1 / np.arange(1, TYPES + 1)
    drawn = rng.choice(words, (LENGTH // LINE, LINE), p=frequency / frequency.sum())
    path = tmp_path_factory.mktemp("text") / "zipf.txt"
    path.write_text("".join(" ".join(line) + "\n" for line in drawn), encoding="utf-8")
    return path


@pytest.mark.parametrize("tokenizer", ["char", "word"])
@pytest.mark.parametrize("model", neural_names())
def test_step(benchmark, text, tmp_path, model, tokenizer):
    training = Training(Settings.of(corpus=(str(text),), model=model, tokenizer=tokenizer), tmp_path / "run")
    batch, learner = training.batches.batch(0), training.learner
    learner.warm_up(batch)
    learner.update(batch, 0, lr=0.0)
    benchmark.group = tokenizer
    benchmark(learner.update, batch, 0, lr=0.0)  # with a learning rate of 0 the work is the same, and all steps are equal
    tokens = int(np.count_nonzero(batch.y >= 0))
    benchmark.extra_info |= {"tokens": tokens, "threads": learner.team.threads, "parameters": training.lm.P.flat.size}
    if benchmark.stats:  # none with --benchmark-disable
        benchmark.extra_info["tokens_per_second"] = round(tokens / benchmark.stats["median"])
