"""Presets, configuration files, the command line that overrides them; and the output before the first step."""

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
def empty_folder(tmp_path, monkeypatch):
    """Run every command in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def nlm(capsys):
    """nlm("train ...", path) -> exit code, stdout, stderr."""

    def run_command(line, *more):
        code = main([*line.split(), *map(str, more)])
        return code, *capsys.readouterr()

    return run_command


@pytest.fixture
def config_file(tmp_path):
    """config_file(hidden=6) -> the name of a YAML file with the options SMALL, overridden by these."""

    def write(**more):
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(SMALL | {name.replace("_", "-"): value for name, value in more.items()}))
        return "mine.yaml"

    return write


def saved_state(folder):
    """The arrays of last.npz, metrics.csv without its times, and the options of a run."""
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


def test_unknown_preset_gives_one_sentence(nlm):
    sentence = "nlm: unknown preset 'shakespear-gpt'; did you mean 'shakespeare-gpt'?\n"
    assert nlm("train --preset shakespear-gpt") == (2, "", sentence)


# precedence


def test_command_line_overrides_the_file_and_the_file_the_preset(nlm, corpus, config_file, tmp_path):
    line = f"train --preset shakespeare-gpt --config {config_file(model='transformer', hidden=16, heads=2, seed=5)} --embed 8 --out run"
    code, _, err = nlm(line, "--layers", "1", corpus)
    assert code == 0, err
    saved = read_options(tmp_path / "run" / "config.yaml")
    assert (saved["embed"], saved["layers"]) == (8, 1)  # typed; 4 and none in the file, 128 and 4 in the preset
    assert (saved["hidden"], saved["heads"], saved["lr"], saved["steps"], saved["seed"]) == (16, 2, 0.01, 6, 5)  # of the file
    assert (saved["optimizer"], saved["beta2"], saved["warmup"]) == ("adamw", 0.99, 100)  # of the preset


@pytest.mark.parametrize(("typed", "lengths"), [("--epochs 2", {"epochs": 2.0}), ("--minutes 0.01", {"minutes": 0.01}), ("", {"steps": 6})])
def test_another_length_option_overrides_the_length_in_the_file(nlm, corpus, config_file, tmp_path, typed, lengths):
    code, _, err = nlm(f"train --config {config_file()} --out run {typed}", corpus)
    assert code == 0, err
    saved = read_options(tmp_path / "run" / "config.yaml")
    assert {name: saved[name] for name in ("steps", "epochs", "minutes") if name in saved} == lengths


def test_typed_default_value_overrides_the_file(nlm, corpus, config_file, tmp_path):
    assert nlm(f"train --config {config_file(seed=7)} --seed 1 --batch-size 32 --out run", corpus)[0] == 0
    saved = read_options(tmp_path / "run" / "config.yaml")
    assert (saved["seed"], saved["batch_size"]) == (1, 32)


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
def test_saved_config_reproduces_the_run_bit_for_bit(nlm, corpus, config_file, tmp_path, options):
    code, _, err = nlm(f"train --config {config_file(**options)} --threads 2 --out one", corpus)
    assert code == 0, err
    assert nlm("train --config one/config.yaml --threads 1 --out two --quiet") == (0, "", "")
    assert saved_state(tmp_path / "one") == saved_state(tmp_path / "two")
    assert (tmp_path / "one" / "config.yaml").read_text() == (tmp_path / "two" / "config.yaml").read_text()


def test_saved_config_reproduces_an_ngram_run(nlm, corpus, tmp_path):
    assert nlm("train --model ngram --context 3 --tokenizer char --out one", corpus)[0] == 0
    assert nlm("train --config one/config.yaml --out two")[0] == 0
    assert saved_state(tmp_path / "one") == saved_state(tmp_path / "two")


def test_error_in_a_file_gives_one_sentence(nlm, tmp_path):
    for text, sentence in (("hiden: 5", "did you mean 'hidden'?"), ("steps: many", "option 'steps' must be an integer, not 'many'")):
        (tmp_path / "mine.yaml").write_text(text)
        code, out, err = nlm("train --config mine.yaml")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("nlm: mine.yaml: ") and sentence in err
    assert nlm("train --config none.yaml") == (2, "", "nlm: cannot read none.yaml (No such file or directory)\n")


# resuming


def test_resume_checks_the_options_of_files_and_presets(nlm, corpus, config_file, tmp_path):
    assert nlm(f"train --config {config_file()} --out run", corpus)[0] == 0
    code, _, err = nlm(f"train --resume --out run --config {config_file(hidden=7, lr=0.5)} --steps 9")
    assert (code, err.count("\n")) == (2, 1)
    assert "leave out " in err and "--hidden 7 (the run's is 5)" in err and "--lr 0.5 (the run's is 0.01)" in err and "--embed" not in err
    code, _, err = nlm("train --resume --out run --preset shakespeare-gpt --steps 9")
    assert code == 2 and "--model transformer (the run's is lstm)" in err
    code, out, err = nlm(f"train --resume --out run --config {config_file()} --steps 9")
    assert code == 0 and "resuming after step 6" in err and "9 steps in" in out


# before the first step


def test_sizes_memory_and_time_are_printed_before_the_first_step(nlm, corpus, config_file, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 5 * 10**9)
    code, _, err = nlm(f"train --config {config_file()} --out run", corpus)
    assert code == 0
    before = err[: err.index("step      ")]
    assert re.search(r"^lstm, [\d,]+ parameters; char vocabulary of \d+ types, 0\.0% unknown$", before, re.M)
    assert re.search(r"memory: [\d.]+ MB of 5,000 MB free$", before, re.M)
    assert re.search(r"^[\d,]+ training tokens, [\d,]+ held out, read as one stream$", before, re.M)
    assert re.search(r"^6 steps of \d+ tokens \([\d.]+ epochs\), \d threads?$", before, re.M)
    assert re.search(r"^estimated time [\d.]+ s plus evaluations, at [\d,]+ tokens/s$", before, re.M)


def test_run_that_does_not_fit_into_memory_is_refused(nlm, corpus, config_file, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "free", lambda: 10**9)
    code, out, err = nlm(f"train --config {config_file()} --hidden 10000 --out run", corpus)
    assert (code, out, err.count("\n")) == (2, "", 1) and not (tmp_path / "run").exists()
    assert re.match(
        r"nlm: training 400,\d{3},\d{3} parameters needs about [\d.]+ GB of memory, but only 1\.0 GB are free; lower --hidden", err
    )
    assert nlm(f"train --config {config_file()} --out run --quiet", corpus) == (0, "", "")
