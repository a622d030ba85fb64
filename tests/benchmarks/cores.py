"""How much of a training step can be shared out over cores, and how fast it should be on more of them than there are here.

    python tests/benchmarks/cores.py tinyshakespeare.txt [--rounds 15]

Of each case it measures, on one thread, the shards of a step, what threads share out in ranges (the sum over the shards, the
update), and the rest; and how long a hand-off takes, from an empty job on every thread. The model:

    T(n) = rest + max over threads of its shards + ranges / n + hand-offs (1 + log2 n) t

with shard s on thread s mod n, and t the hand-off of two threads over 1 + log2 2. It assumes that a core is as fast beside
others as alone, which shared caches and clocks that fall make too good; the column "2, measured" shows how far off it is where it can
be checked. Milliseconds a step, and how many times as fast as one thread.
"""

import argparse
import math
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from ranks import CASES  # noqa: E402

from nlmcli.engine.gradient.team import Shard  # noqa: E402
from nlmcli.engine.gradient.threads import SERIAL, ThreadPool, available_threads  # noqa: E402
from nlmcli.engine.run.settings import Settings, options_of  # noqa: E402
from nlmcli.engine.training.train import Training  # noqa: E402

MORE = {
    "lstm, characters, batch 64": {"model": "lstm", "embed": 64, "hidden": 256, "batch-size": 64, "seq-len": 64},
    "mamba, characters": {"model": "mamba", "batch-size": 32, "seq-len": 64},
}
CORES = (1, 2, 4, 8, 16)


def timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Measured:
    """A case: its learner with one thread, and with all there are."""

    def __init__(self, corpus: Path, options: dict, folder: Path):
        common = {"tokenizer": "char", "optimizer": "adam", "lr": 1e-3, "steps": 100, "corpus": [str(corpus)]}
        settings = Settings.of(**options_of(options | common))
        self.threads = available_threads()
        self.runs = [Training(settings, folder / str(n), n) for n in (1, self.threads)]
        self.batch = self.runs[0].batches.batch(0)
        for run in self.runs:
            run.learner.warm_up(self.batch)
            run.learner.update(self.batch, 0, lr=0.0)
        self.pool = self.runs[0].learner.team.workers
        self.columns = self.runs[0].learner.team.columns(self.batch.x.shape[1])
        self.samples: dict[str, list] = {"step": [], "all threads": [], "shards": [], "ranges": [], "handoffs": []}

    def measure(self) -> None:
        """One round. Learning rate 0: all steps are the same work."""
        for name, run in zip(("step", "all threads"), self.runs, strict=True):
            self.samples[name].append(timed(partial(run.learner.update, self.batch, 0, lr=0.0)))
        learner, ranges, handoffs = self.runs[0].learner, [0.0], [1]  # the shards themselves are one hand-off
        over = self.pool.over

        def measured_over(size, job, *more, **named):
            ranges[0] += timed(partial(over, size, job, *more, **named))
            handoffs[0] += size > named.get("serial", SERIAL)  # fewer numbers are not shared out

        self.pool.over = measured_over
        learner.update(self.batch, 0, lr=0.0)
        del self.pool.over
        self.samples["ranges"].append(ranges[0])
        self.samples["handoffs"].append(handoffs[0])
        team, summed, states = learner.team, next(iter(learner.team.summed_slices.values())), learner.team.start(self.batch.x.shape[1])
        times = []
        for s, part in enumerate(self.columns):
            shard = Shard(team.model, self.batch, part, states[s], team.gradients[s], None)
            times.append(timed(partial(shard.step, learner.P, 1e-3, summed)))
        self.samples["shards"].append(times)

    def medians(self) -> dict:
        return {
            name: [statistics.median(each) for each in zip(*values, strict=True)] if name == "shards" else statistics.median(values)
            for name, values in self.samples.items()
        }


def handoff(threads: int) -> float:
    """Seconds of an empty job on every thread, over 1 + log2 of their number."""
    pool = ThreadPool(threads)
    jobs = [lambda: None] * threads
    return statistics.median(timed(partial(pool.run, jobs)) for _ in range(2000)) / (1 + math.log2(threads))


def projected(m: dict, n: int, t: float) -> float:
    """T(n)."""
    rest = max(0.0, m["step"] - sum(m["shards"]) - m["ranges"])
    longest = max(sum(m["shards"][r::n]) for r in range(n))
    return rest + longest + m["ranges"] / n + (m["handoffs"] * (1 + math.log2(n)) * t if n > 1 else 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    a = parser.parse_args()
    threads = available_threads()
    t = handoff(max(2, threads))
    print(f"a hand-off between {max(2, threads)} threads takes {t * (1 + math.log2(max(2, threads))) * 1e6:.1f} µs\n")
    head = ["case", "shards", "hand-offs", "shards ms", "ranges ms", "rest ms", *(f"{n}" for n in CORES), f"{threads}, measured"]
    print("| " + " | ".join(head) + " |\n|---|" + "--:|" * (len(head) - 1))
    with tempfile.TemporaryDirectory() as folder:
        for name, options in (CASES | MORE).items():
            case = Measured(a.corpus, options, Path(folder) / name)
            for _ in range(a.rounds):
                case.measure()
            m = case.medians()
            rest = m["step"] - sum(m["shards"]) - m["ranges"]
            parts = [f"{seconds * 1e3:.2f}" for seconds in (sum(m["shards"]), m["ranges"], rest)]
            speeds = [f"{m['step'] / projected(m, n, t):.2f}" for n in CORES]
            row = [name, str(len(case.columns)), f"{m['handoffs']:.0f}", *parts, *speeds, f"{m['step'] / m['all threads']:.2f}"]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
