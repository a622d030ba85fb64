"""Shared fixtures: a tiny corpus, a tiny trained run, and factories for more runs."""

import os

# As in the command line program: BLAS reads these when NumPy is imported.
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import subprocess  # noqa: E402
import sys  # noqa: E402
from dataclasses import fields  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402

from nlmcli.engine.run.settings import Settings, options  # noqa: E402
from nlmcli.engine.training.count import Counting  # noqa: E402
from nlmcli.engine.training.train import Training  # noqa: E402
from nlmcli.models import MODELS  # noqa: E402

hypothesis.settings.register_profile("nlm", deadline=None)  # the first example may have to wait for a kernel to compile
hypothesis.settings.load_profile("nlm")

SENTENCES = (
    "students opened their books .",
    "the blue ants hated the red ants .",
    "a cat sat on the mat , and the ants sat on the cat .",
    "their books opened the students .",
)
SIZES = {"embed": 5, "hidden": 6, "layers": 2, "heads": 1, "context": 3, "dropout": 0.0}
RUN = {"tokenizer": "char", "batch_size": 4, "seq_len": 8, "steps": 20, "lr": 0.01}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """The path of a text file of twenty lines."""
    path = tmp_path_factory.mktemp("corpus") / "ants.txt"
    path.write_text("".join(f"{SENTENCES[(i * i + i // 3) % 4]}\n" for i in range(20)))
    return path


@pytest.fixture(scope="session")
def sizes():
    """Small sizes for the options that a model has: sizes("rnn", layers=1)."""

    def small(name, **options):
        names = {field.name for field in fields(MODELS.get(name).Config)}
        return {option: value for option, value in (SIZES | options).items() if option in names}

    return small


def is_gradient_option(listed):
    """Whether an option belongs to gradient descent and does not apply to a count-based model."""
    return listed.option.gradient or listed.owner == "optimizer"


@pytest.fixture
def training(tmp_path, corpus, sizes):
    """A factory of small training runs: training("rnn", steps=3, threads=2). Sizes that the model does not have are ignored."""
    numbers = iter(range(100))

    def make(model="rnn", threads=1, out=None, layers=1, **given):
        other_options = set(options()) - set(SIZES)
        small = sizes(model, layers=layers, **{k: v for k, v in given.items() if k in SIZES})
        chosen = RUN | small | {k: v for k, v in given.items() if k in other_options}
        assert set(given) <= other_options | set(SIZES)
        Run = Training if MODELS.get(model).neural else Counting
        chosen = {name: value for name, value in chosen.items() if Run is Training or not is_gradient_option(options()[name])}
        settings = Settings.of(**{"corpus": (str(corpus),), "model": model} | chosen)
        return Run(settings, out or tmp_path / f"run-{next(numbers)}", threads)

    return make


@pytest.fixture(scope="session")
def run(tmp_path_factory, corpus):
    """The folder of a small trained run: an RNN on characters, one layer."""
    folder = tmp_path_factory.mktemp("runs") / "ants"
    settings = Settings.of(corpus=(str(corpus),), model="rnn", **RUN | {"embed": 5, "hidden": 8, "steps": 40})
    for _ in Training(settings, folder, threads=1).run():
        pass
    return folder


@pytest.fixture
def process(tmp_path):
    """Run nlm in a separate process, in an empty folder: process("train", ...) -> the completed process."""

    def start(*arguments, path=None, cwd=tmp_path, env=None, **more):
        environment = os.environ | (env or {})
        if path:
            environment["PYTHONPATH"] = str(path)
        command = [sys.executable, "-W", "error", "-c", "from nlmcli.cli.app import run; run()", *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=900, **more)

    return start
