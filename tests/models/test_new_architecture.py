"""A new architecture is one new file: put into models/, the commands have it."""

import json
import shutil
from pathlib import Path

import pytest

import nlmcli
from nlmcli.text.corpus import shipped

TOY = '''
"""A bigram model: y_t = e_t U + b2."""

from dataclasses import dataclass

from nlmcli.models import base
from nlmcli.nn.embedding import embedding, embedding_backward


@dataclass(frozen=True)
class Config(base.Config):
    pass


class Toy(base.Model):
    Config = Config

    def shapes(self):
        return {"E": (self.V, self.config.embed), "U": (self.config.embed, self.V), "b2": (self.V,)}

    def start(self, batch, dtype="float32"):
        return ()

    def forward(self, P, x, state, rng=None):
        e, cache = embedding(P.E, x)
        return e, (), cache

    def backward(self, de, cache, G):
        G.E += embedding_backward(de, cache)[0]
'''


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the package with one file more."""
    root = tmp_path_factory.mktemp("house")
    shutil.copytree(Path(nlmcli.__file__).parent, root / "nlmcli", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(shipped().parent, root / "corpora", dirs_exist_ok=True)
    (root / "nlmcli" / "models" / "toy.py").write_text(TOY)
    return root


def test_a_file_in_models_is_all_it_takes(process, house, corpus):
    def nlm(*arguments):
        return process(*arguments, path=house, env={"NUMBA_DISABLE_JIT": "1"})

    done = nlm("gradcheck", "--model", "toy", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["name"] for row in json.loads(done.stdout)["rows"]] == ["E", "U", "b2"]

    sizes = ("--tokenizer", "char", "--embed", 6, "--batch-size", 4, "--seq-len", 8, "--steps", 30, "--lr", 0.05)
    done = nlm("train", corpus, "--model", "toy", *sizes, "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["model"], document["steps"]) == ("toy", 30)
    assert document["valid_loss"] < 2.9  # guessing: ln 23 = 3.1

    done = nlm("generate", "--run", "run", "--prompt", "ants", "--length", 20, "--seed", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ants") and len(done.stdout) == 25

    done = nlm("train", corpus, "--model", "toy", "--hidden", 5)
    assert done.returncode == 2 and "model toy has no --hidden" in done.stderr
