"""Several processes of mpiexec train the model of one process, to the bit; and end together when one of them fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest

from nlmcli.engine.gradient.ranks import Ranks
from nlmcli.engine.run import checkpoint
from nlmcli.models import neural_names

pytest.importorskip("mpi4py", reason="the extra mpi is not installed")
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec")

RUNS = Path(__file__).with_name("mpi_runs.py")
SMALL = {"embed": 6, "hidden": 6, "batch-size": 64, "seq-len": 5, "eval-every": 2, "valid-fraction": 0.2, "seed": 1}
LARGE = {"small": 1 << 20, "large": 8}  # vocabulary size from which on the head is shared out by words


def cases():
    """Every model with a small and a large vocabulary, tied and not, with dropout, by stream and by line, with several optimizers."""
    for name in neural_names():
        yield name, "small", {}
        yield name, "large", {"dropout": 0.3, "tie": True, "embed": 6, "by": "line"}
    yield "rnn", "large", {"dropout": 0.2, "optimizer": "sophia"}
    yield "lstm", "small", {"tie": True, "optimizer": "adagrad", "average": 0.9}
    yield "gru", "large", {"by": "line"}
    yield "lstm", "large", {"softmax": "adaptive", "cutoffs": "5,9"}
    yield "lstm", "large", {"softmax": "adaptive", "cutoffs": "5", "tie": True, "dropout-words": 0.1, "dropout-recurrent": 0.1}
    yield "transformer", "small", {"precision": "bf16"}


def plan_of(corpus, folder):
    """The runs of all cases, in a folder."""
    runs = []
    for k, (model, size, more) in enumerate(cases()):
        options = SMALL | {"corpus": str(corpus), "model": model, "tokenizer": "char", "steps": 4} | more
        if model == "transformer":
            options = {name: value for name, value in options.items() if name not in ("hidden",)} | {"heads": 2, "context": 5}
        if model == "additive":
            options.pop("hidden")
        runs.append({"options": options, "large": LARGE[size], "folder": str(folder / str(k))})
    return runs


def trained(tmp_path, ranks, threads, runs, **more):
    """Run a plan.  -> the digest of the parameters and the losses of each run"""
    path, results = tmp_path / f"plan-{ranks}.json", tmp_path / f"results-{ranks}.json"
    path.write_text(json.dumps({"threads": threads, "runs": runs, "results": str(results)} | more))
    command = [sys.executable, RUNS, path] if ranks == 1 else [MPIEXEC, "-n", str(ranks), sys.executable, RUNS, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(results.read_text())


@pytest.fixture(scope="module")
def one_process(corpus, tmp_path_factory):
    """What a single process trains."""
    room = tmp_path_factory.mktemp("one")
    return trained(room, 1, 1, plan_of(corpus, room))


@pytest.mark.parametrize(("ranks", "threads"), [(2, 1), (3, 2), (4, 1), (6, 1)])
def test_any_number_of_ranks_gives_the_bits_of_one_process(corpus, tmp_path, one_process, ranks, threads):
    runs = plan_of(corpus, tmp_path)
    several = trained(tmp_path, ranks, threads, runs)
    for run, one, other in zip(runs, one_process, several, strict=True):
        assert one == other, run["options"]


def test_a_run_goes_on_with_another_number_of_ranks(corpus, tmp_path, one_process):
    runs = plan_of(corpus, tmp_path)
    trained(tmp_path, 3, 1, [run | {"stop": 1} for run in runs])
    about = checkpoint.load(tmp_path / "0" / "last.npz")[1]
    assert about["step"] == 1
    trained(tmp_path, 2, 1, [run | {"stop": 3, "resume": True} for run in runs])
    several = trained(tmp_path, 1, 2, [run | {"resume": True} for run in runs])
    for run, one, other in zip(runs, one_process, several, strict=True):
        assert one == other, run["options"]


def test_shares_are_contiguous_and_rank_0_always_has_one():
    for n in range(1, 10):
        for size in range(1, 10):
            here, shares = Ranks(), []
            for rank in range(size):
                here.rank, here.size = rank, size
                shares.append(list(here.share(n)))
            assert list(chain(*shares)) == list(range(n)) and shares[0]
            ends = np.cumsum(np.arange(1, n + 1)).tolist()
            edges = here.edges(ends)
            assert [b - a for a, b in pairwise(edges)] == [sum(k + 1 for k in share) for share in shares]


def begun(tmp_path, corpus, **more):
    """A run of three ranks that takes long, after its first steps.  -> mpiexec's process, the folder of the run"""
    folder, path = tmp_path / "run", tmp_path / "plan.json"
    options = SMALL | {"corpus": str(corpus), "model": "rnn", "tokenizer": "char", "steps": 100000}
    run = {"options": options, "large": LARGE["small"], "folder": str(folder)} | more
    path.write_text(json.dumps({"threads": 1, "runs": [run], "results": str(tmp_path / "none.json"), "slow": 0.002}))
    process = subprocess.Popen(
        [MPIEXEC, "-n", "3", sys.executable, RUNS, path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    for _ in range(1200):
        if process.poll() is not None or ((folder / "best.npz").exists() and checkpoint.description(folder / "last.npz")["step"] > 0):
            return process, folder
        time.sleep(0.1)
    raise AssertionError("the run did not begin")


def ranks_of(path):
    """The processes that run a plan, by their command lines."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(path).encode() in words and words[0] == sys.executable.encode():
            found.append(int(each.parent.name))
    return found


def assert_all_end(path):
    """Within two seconds."""
    end = time.monotonic() + 2
    while ranks_of(path):
        assert time.monotonic() < end, "ranks are left"
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_rank_that_is_killed_ends_all_and_leaves_whole_files(corpus, tmp_path, victim):
    process, folder = begun(tmp_path, corpus)
    os.kill(ranks_of(tmp_path / "plan.json")[victim], signal.SIGKILL)
    assert_all_end(tmp_path / "plan.json")
    assert process.wait(5) != 0
    process.stderr.close()
    for name in ("last.npz", "best.npz"):
        assert checkpoint.load(folder / name)[1]["step"] > 0


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_command_line_failures(corpus, tmp_path):
    command = [MPIEXEC, "-n", "3", sys.executable, "-m", "nlmcli", "train"]

    def ended(*words, code):
        done = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=100)
        assert done.returncode == code, done.stderr
        return [line for line in done.stderr.splitlines() if line.startswith("nlm:")]

    assert ended("nowhere.txt", code=2) == ["nlm: no file 'nowhere.txt'; give the path of a text file"]
    assert len(ended(str(corpus), "--hidden", "-1", code=2)) == 1
    assert ended(str(corpus), "--out", "run", "--steps", "4", "--hidden", "8", code=0) == []
    assert len(ended(str(corpus), "--out", "run", "--steps", "4", code=2)) == 1  # there is a run already
    assert ended("--resume", "--out", "run", "--steps", "6", code=0) == []
    assert ended(str(corpus), "--out", "counts", "--model", "ngram", code=0) == []
    assert checkpoint.load(tmp_path / "run" / "last.npz")[1]["step"] == 6


def test_an_error_in_one_rank_ends_all(corpus, tmp_path):
    start = time.monotonic()
    process, _ = begun(tmp_path, corpus, **{"raise": 40})
    text = process.communicate(timeout=60)[1].decode()
    assert process.returncode != 0 and time.monotonic() - start < 60
    assert "RuntimeError: planted" in text
