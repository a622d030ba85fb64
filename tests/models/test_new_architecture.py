"""A new architecture is one new file in models/, which makes it available to every command."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import nlmcli
from nlmcli.engine.run.checkpoint import load
from nlmcli.text.corpus import shipped

TOY = '''
"""A bigram model: y_t = A e_t U + b2."""

from dataclasses import dataclass

from nlmcli.models import base
from nlmcli.nn.embedding import embedding, embedding_backward
from nlmcli.options import option


@dataclass(frozen=True)
class Config(base.Config):
    loudness: float = option(2.0, "Loudness of the embeddings.", "A", above=0, below=100)
    plain: int = 1  # an option without a help text


class Toy(base.Model):
    Config = Config

    def shapes(self):
        return {**self.embedding_shapes(), **self.output_shapes(self.config.embed)}

    def start(self, batch, dtype="float32"):
        return ()

    def forward(self, P, x, state, rng=None):
        e, cache = embedding(P.E, x)
        return self.config.loudness * e, (), cache

    def backward(self, dh, cache, G):
        G.E += embedding_backward(self.config.loudness * dh, cache)[0]
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package with one more model."""
    root = tmp_path_factory.mktemp("package")
    shutil.copytree(Path(nlmcli.__file__).parent, root / "nlmcli", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(shipped().parent, root / "corpora", dirs_exist_ok=True)
    (root / "nlmcli" / "models" / "toy.py").write_text(TOY)
    return root


def test_a_file_in_models_is_all_it_takes(process, package, corpus):
    def nlm(*arguments):
        return process(*arguments, path=package, env={"NUMBA_DISABLE_JIT": "1"})

    done = nlm("gradcheck", "--model", "toy", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["name"] for row in json.loads(done.stdout)["rows"]} == {"E", "U", "b2", "R1", "U1", "R2", "U2", "C"}

    sizes = ("--tokenizer", "char", "--embed", 6, "--batch-size", 4, "--seq-len", 8, "--steps", 30, "--lr", 0.05)
    done = nlm("train", corpus, "--model", "toy", *sizes, "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["model"], document["steps"]) == ("toy", 30)
    assert document["valid_loss"] < 2.9  # a uniform prediction: ln 23 = 3.1

    done = nlm("generate", "--run", "run", "--prompt", "ants", "--length", 20, "--seed", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ants") and len(done.stdout) == 25

    done = nlm("train", corpus, "--model", "toy", "--hidden", 5)
    assert done.returncode == 2 and "model toy has no --hidden" in done.stderr


def test_a_config_field_is_an_option_everywhere(process, package, corpus, tmp_path):
    def nlm(*arguments):
        return process(*arguments, path=package, env={"NUMBA_DISABLE_JIT": "1", "COLUMNS": "200"})

    help_text = nlm("train", "--help").stdout
    assert re.search(r"--loudness +A +Loudness of the embeddings \(toy\)\. \[default: 2\]", help_text)
    assert re.search(r"--plain .*\(toy\)\. \[default: 1\]", help_text)

    small = ("--tokenizer", "char", "--embed", 6, "--batch-size", 4, "--seq-len", 8, "--steps", 3, "--quiet")
    from_cli = nlm("train", corpus, "--model", "toy", *small, "--loudness", 3.5, "--out", "from_cli")
    assert from_cli.returncode == 0, from_cli.stderr
    (tmp_path / "toy.yaml").write_text("model: toy\nloudness: 3.5\n")
    from_yaml = nlm("train", corpus, "--config", "toy.yaml", *small, "--out", "from_yaml")
    assert from_yaml.returncode == 0, from_yaml.stderr
    assert yaml.safe_load((tmp_path / "from_yaml" / "config.yaml").read_text())["loudness"] == 3.5
    options = "tokenizer='char', embed=6, batch_size=4, seq_len=8, steps=3, out='from_api'"
    code = f"import nlmcli, pathlib; nlmcli.train(pathlib.Path({str(corpus)!r}), model='toy', loudness=3.5, {options})"
    environment = os.environ | {"PYTHONPATH": str(package), "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True)
    arrays = [load(tmp_path / name / "last.npz")[0]["E"].tobytes() for name in ("from_cli", "from_yaml", "from_api")]
    assert len(set(arrays)) == 1
    default = nlm("train", corpus, "--model", "toy", *small, "--out", "default")
    assert default.returncode == 0 and load(tmp_path / "default" / "last.npz")[0]["E"].tobytes() != arrays[0]

    rejected = nlm("train", corpus, "--model", "toy", "--loudness", 100)
    assert (rejected.returncode, rejected.stderr) == (2, "nlm: --loudness 100.0 is too large; give a number below 100\n")
    rejected = nlm("train", corpus, "--model", "rnn", "--loudness", 1)
    assert rejected.returncode == 2 and "model rnn has no --loudness; its options: --embed, --dropout, --tie, " in rejected.stderr
    (tmp_path / "toy.yaml").write_text("model: toy\nloudness: very\n")
    rejected = nlm("train", corpus, "--config", "toy.yaml")
    assert rejected.returncode == 2 and "option 'loudness' must be a number, not 'very'" in rejected.stderr
