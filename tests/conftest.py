"""What several tests share: a tiny corpus, a tiny trained run, and a way to make more of them."""

import os

# As the command line does it: BLAS reads these when NumPy is imported.
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

hypothesis.settings.register_profile("nlm", deadline=None)  # the first example of a kernel waits for its compilation
hypothesis.settings.load_profile("nlm")

SENTENCES = (
    "students opened their books .",
    "the blue ants hated the red ants .",
    "a cat sat on the mat , and the ants sat on the cat .",
    "their books opened the students .",
)
SIZES = {"embed": 5, "hidden": 6, "layers": 2, "heads": 1, "context": 3, "tie": True, "dropout": 0.0}
RUN = {"tokenizer": "char", "batch_size": 4, "seq_len": 8, "steps": 20, "lr": 0.01}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """The path of a text of twenty lines."""
    path = tmp_path_factory.mktemp("corpus") / "ants.txt"
    path.write_text("".join(f"{SENTENCES[(i * i + i // 3) % 4]}\n" for i in range(20)))
    return path


@pytest.fixture(scope="session")
def sizes():
    """Small sizes for a model, as far as it has them: sizes("rnn", layers=1)."""

    def small(name, **given):
        has = {field.name for field in fields(MODELS.get(name).Config)}
        return {option: value for option, value in (SIZES | given).items() if option in has}

    return small


def of_gradient_descent(each):
    """Whether an option has no meaning for a model that counts."""
    return each.option.gradient or each.owner == "optimizer"


@pytest.fixture
def training(tmp_path, corpus, sizes):
    """A maker of small training runs: training("rnn", steps=3, threads=2). Options the model lacks are left out."""
    count = iter(range(100))

    def make(model="rnn", threads=1, out=None, layers=1, **given):
        own = set(options()) - set(SIZES)
        small = sizes(model, layers=layers, **{k: v for k, v in given.items() if k in SIZES})
        chosen = RUN | small | {k: v for k, v in given.items() if k in own}
        assert set(given) <= own | set(SIZES)
        Kind = Training if MODELS.get(model).neural else Counting
        chosen = {name: value for name, value in chosen.items() if Kind is Training or not of_gradient_descent(options()[name])}
        settings = Settings.of(**{"corpus": (str(corpus),), "model": model} | chosen)
        return Kind(settings, out or tmp_path / f"run-{next(count)}", threads)

    return make


@pytest.fixture(scope="session")
def run(tmp_path_factory, corpus):
    """The folder of a small trained run: characters, one layer."""
    folder = tmp_path_factory.mktemp("runs") / "ants"
    settings = Settings.of(corpus=(str(corpus),), model="rnn", **RUN | {"embed": 5, "hidden": 8, "steps": 40})
    for _ in Training(settings, folder, threads=1).run():
        pass
    return folder


@pytest.fixture
def process(tmp_path):
    """nlm in a process of its own, in an empty folder: process("train", ...) -> the completed process."""

    def start(*arguments, path=None, cwd=tmp_path, env=None, **more):
        environment = os.environ | (env or {})
        if path:
            environment["PYTHONPATH"] = str(path)
        command = [sys.executable, "-W", "error", "-c", "from nlmcli.cli.app import run; run()", *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=200, **more)

    return start
