"""Presets, configuration files and the command line, which goes first; and what is said before the first step."""

import json
import re

import pytest
import yaml

from nlmcli.cli.app import main
from nlmcli.engine.run.checkpoint import load
from nlmcli.engine.run.config import read_options
from nlmcli.engine.run.presets import presets
from nlmcli.engine.training import memory

SMALL = {
    "model": "lstm",
    "embed": 4,
    "hidden": 5,
    "tokenizer": "char",
    "batch-size": 4,
    "seq-len": 8,
    "steps": 6,
    "dropout": 0.1,
    "lr": 0.01,
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every command runs in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def nlm(capsys):
    """nlm("train ...", path) -> exit code, stdout, stderr."""

    def start(line, *more):
        code = main([*line.split(), *map(str, more)])
        return code, *capsys.readouterr()

    return start


@pytest.fixture
def written(tmp_path):
    """written(hidden=6) -> the name of a file of small options, with these over them."""

    def write(**more):
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(SMALL | {name.replace("_", "-"): value for name, value in more.items()}))
        return "mine.yaml"

    return write


def kept(folder):
    """The parameters, the curves but for times, and the options of a run."""
    arrays, about = load(folder / "last.npz")
    rows = [line.split(",")[:6] for line in (folder / "metrics.csv").read_text().splitlines()]
    return {name: value.tobytes() for name, value in arrays.items()}, rows, about["settings"]


# presets


def test_presets_are_listed(nlm):
    code, out, err = nlm("train --presets")
    assert (code, err) == (0, "")
    for preset in presets():
        assert f"{preset.name}\n  {preset.about}\n" in out
    code, out, _ = nlm("train --presets --json")
    assert code == 0 and [each["name"] for each in json.loads(out)["presets"]] == [preset.name for preset in presets()]


def test_an_unknown_preset_is_one_sentence(nlm):
    said = "nlm: unknown preset 'shakespear-gpt'; did you mean 'shakespeare-gpt'?\n"
    assert nlm("train --preset shakespear-gpt") == (2, "", said)


# who goes first


def test_the_command_line_goes_before_the_file_and_the_file_before_the_preset(nlm, corpus, written, tmp_path):
    line = f"train --preset shakespeare-gpt --config {written(model='transformer', hidden=16, heads=2, seed=5)} --embed 8 --out run"
    code, _, err = nlm(line, "--layers", "1", corpus)
    assert code == 0, err
    told = read_options(tmp_path / "run" / "config.yaml")
    assert (told["embed"], told["layers"]) == (8, 1)  # typed; 4 and none in the file, 128 and 4 in the preset
    assert (told["hidden"], told["heads"], told["lr"], told["steps"], told["seed"]) == (16, 2, 0.01, 6, 5)  # of the file
    assert (told["optimizer"], told["beta2"], told["warmup"]) == ("adamw", 0.99, 100)  # of the preset


@pytest.mark.parametrize(("typed", "lengths"), [("--epochs 2", {"epochs": 2.0}), ("--minutes 0.01", {"minutes": 0.01}), ("", {"steps": 6})])
def test_another_way_to_say_how_long_takes_the_place_of_the_files(nlm, corpus, written, tmp_path, typed, lengths):
    code, _, err = nlm(f"train --config {written()} --out run {typed}", corpus)
    assert code == 0, err
    told = read_options(tmp_path / "run" / "config.yaml")
    assert {name: told[name] for name in ("steps", "epochs", "minutes") if name in told} == lengths


def test_even_a_default_that_is_typed_goes_first(nlm, corpus, written, tmp_path):
    assert nlm(f"train --config {written(seed=7)} --seed 1 --batch-size 32 --out run", corpus)[0] == 0
    told = read_options(tmp_path / "run" / "config.yaml")
    assert (told["seed"], told["batch_size"]) == (1, 32)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"by": "line", "optimizer": "sophia", "lr": None, "schedule": "linear", "eval_every": 2},
        {"optimizer": "adamw", "clip": 0, "epochs": 0.5, "steps": None, "lowercase": True, "schedule": "plateau", "eval_every": 2},
        {"model": "transformer", "heads": 2, "layers": 2, "tie": False, "tokenizer": "byte"},
        {"model": "cnn", "context": 3, "warmup": 3, "optimizer": "momentum", "beta": 0.3, "valid_fraction": 0.0},
    ],
)
def test_each_run_writes_the_file_that_makes_it_again_to_the_bit(nlm, corpus, written, tmp_path, options):
    code, _, err = nlm(f"train --config {written(**options)} --threads 2 --out one", corpus)
    assert code == 0, err
    assert nlm("train --config one/config.yaml --threads 1 --out two --quiet") == (0, "", "")
    assert kept(tmp_path / "one") == kept(tmp_path / "two")
    assert (tmp_path / "one" / "config.yaml").read_text() == (tmp_path / "two" / "config.yaml").read_text()


def test_a_count_does_so_too(nlm, corpus, tmp_path):
    assert nlm("train --model ngram --context 3 --tokenizer char --out one", corpus)[0] == 0
    assert nlm("train --config one/config.yaml --out two")[0] == 0
    assert kept(tmp_path / "one") == kept(tmp_path / "two")


def test_what_is_wrong_in_a_file_is_one_sentence(nlm, tmp_path):
    for text, said in (("hiden: 5", "did you mean 'hidden'?"), ("steps: many", "option 'steps' is 'many', which is not a whole number")):
        (tmp_path / "mine.yaml").write_text(text)
        code, out, err = nlm("train --config mine.yaml")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("nlm: mine.yaml: ") and said in err
    assert nlm("train --config none.yaml") == (2, "", "nlm: cannot read none.yaml (No such file or directory)\n")


# resuming


def test_resuming_asks_files_and_presets_too_whether_they_mean_the_same_run(nlm, corpus, written, tmp_path):
    assert nlm(f"train --config {written()} --out run", corpus)[0] == 0
    code, _, err = nlm(f"train --resume --out run --config {written(hidden=7, lr=0.5)} --steps 9")
    assert (code, err.count("\n")) == (2, 1)
    assert "leave out " in err and "--hidden 7 (the run's is 5)" in err and "--lr 0.5 (the run's is 0.01)" in err and "--embed" not in err
    code, _, err = nlm("train --resume --out run --preset shakespeare-gpt --steps 9")
    assert code == 2 and "--model transformer (the run's is lstm)" in err
    code, out, err = nlm(f"train --resume --out run --config {written()} --steps 9")
    assert code == 0 and "going on after step 6" in err and "9 steps in" in out


# before the first step


def test_what_a_run_needs_and_how_long_it_takes_is_said_before_its_first_step(nlm, corpus, written, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 5 * 10**9)
    code, _, err = nlm(f"train --config {written()} --out run", corpus)
    assert code == 0
    before = err[: err.index("step      ")]
    assert re.search(r"^lstm, [\d,]+ parameters, \d+ types \(char\)", before, re.M)
    assert re.search(r"memory: [\d.]+ MB of 5,000 free$", before, re.M)
    assert re.search(r"^[\d,]+ tokens to train on, [\d,]+ held out, by stream$", before, re.M)
    assert re.search(r"^6 steps of \d+ tokens \([\d.]+ epochs\), \d threads?$", before, re.M)
    assert re.search(r"^about [\d.]+ s without evaluations, at [\d,]+ tokens/s$", before, re.M)


def test_what_cannot_fit_is_refused_with_the_options_to_lower(nlm, corpus, written, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "free", lambda: 10**9)
    code, out, err = nlm(f"train --config {written()} --hidden 10000 --out run", corpus)
    assert (code, out, err.count("\n")) == (2, "", 1) and not (tmp_path / "run").exists()
    assert re.match(r"nlm: 400,\d{3},\d{3} parameters need about [\d.]+ GB of memory to train, and 1\.0 GB are free; lower --hidden", err)
    assert nlm(f"train --config {written()} --out run --quiet", corpus) == (0, "", "")
