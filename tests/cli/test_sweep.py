"""nlm sweep: what it prints, what it leaves behind, and what it refuses."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from nlmcli.cli.app import main
from nlmcli.engine.run import checkpoint

pytest.importorskip("optuna", reason="the extra sweep is not installed")


@pytest.fixture
def sweep(tmp_path, corpus, monkeypatch, capsys):
    """Run nlm sweep with a file of these options: sweep("lr: [0.1, 0.2]", "--json") -> exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(varied, *options, steps=20, name="try.yaml"):
        fixed = f"corpus: {corpus}\nmodel: rnn\ntokenizer: char\nembed: 4\nbatch-size: 4\nseq-len: 8\neval-every: 10\n"
        Path(name).write_text(f"{fixed}steps: {steps}\n{varied}\n")
        code = main(["sweep", name, "--threads", "1", *map(str, options)])
        return code, *capsys.readouterr()

    return run


def parameters(folder):
    return checkpoint.load(folder / "last.npz")[0]


def test_points_best_first_and_the_command_that_repeats_the_best(sweep, capsys):
    code, out, err = sweep("hidden: [3]\nlr: [1e-7, 0.02]")
    assert code == 0 and err.startswith("2 trials, grid; sweep: sweeps/try\n")
    head, best, worst, written, following = out.splitlines()
    assert head.split()[-3:] == ["hidden", "lr", "trials"]
    assert best.split()[1:] == ["3", "0.02", "1"] and worst.split()[1:] == ["3", "1e-07", "0"]
    assert float(best.split()[0]) < float(worst.split()[0])
    assert written == "best options: sweeps/try/best.yaml" and following == "next: nlm train --config sweeps/try/best.yaml"
    assert main(["train", "--config", "sweeps/try/best.yaml", "--out", "again", "--threads", "1", "--quiet"]) == 0
    trained, again = parameters(Path("sweeps/try/001")), parameters(Path("again"))
    for name in trained:
        np.testing.assert_array_equal(trained[name], again[name], err_msg=name)
    capsys.readouterr()
    assert main(["compare", "sweeps/try"]) == 0
    assert best in capsys.readouterr().out


def test_a_grid_gives_the_same_runs_with_one_and_three_workers(sweep):
    varied = "seed: [1, 2]\nlr: [0.01, 0.02]\nhidden: [3, 5]"
    assert sweep(varied, "--jobs", 1, "--out", "one")[0] == 0
    code, _, err = sweep(varied, "--jobs", 3, "--out", "three")
    assert code == 0, err
    runs = sorted(Path("one").glob("[0-9]*"))
    assert len(runs) == 8 and [each.name for each in runs] == sorted(each.name for each in Path("three").glob("[0-9]*"))
    for one in runs:
        other = Path("three") / one.name
        assert (one / "config.yaml").read_text() == (other / "config.yaml").read_text()
        mine, others = parameters(one), parameters(other)
        assert mine.keys() == others.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], others[name], err_msg=f"{one.name} {name}")


def test_a_second_start_of_a_finished_sweep_trains_nothing(sweep):
    _, first, _ = sweep("lr: [0.01, 0.02]")
    ages = {path: path.stat().st_mtime_ns for path in Path("sweeps/try").glob("[0-9]*/*")}
    copy = os.stat("sweeps/try/sweep.yaml")
    code, second, _ = sweep("lr: [0.01, 0.02]")
    assert code == 0 and second == first
    assert {path: path.stat().st_mtime_ns for path in Path("sweeps/try").glob("[0-9]*/*")} == ages
    after = os.stat("sweeps/try/sweep.yaml")  # other workers may be reading it
    assert (after.st_ino, after.st_mtime_ns) == (copy.st_ino, copy.st_mtime_ns)


def test_more_trials_of_a_random_sweep_are_added(sweep):
    varied = "method: random\nlr: {{from: 1e-3, to: 1e-1, log: true}}\ntrials: {}"
    sweep(varied.format(2))
    old = parameters(Path("sweeps/try/001"))
    code, out, _ = sweep(varied.format(3), "--json")
    document = json.loads(out)
    assert code == 0 and [each["state"] for each in document["trials"]] == ["complete"] * 3
    np.testing.assert_array_equal(old["E"], parameters(Path("sweeps/try/001"))["E"])
    assert document["best"]["loss"] == min(each["loss"] for each in document["trials"])


def test_one_task_of_an_array(sweep):
    code, out, _ = sweep("lr: [0.01, 0.02, 0.03]", "--task", 1)
    assert code == 0 and [path.name for path in sorted(Path("sweeps/try").glob("0*"))] == ["001"]
    assert out.splitlines()[1].split()[1:] == ["0.02", "1"]


def test_a_dry_run_trains_nothing(sweep):
    code, out, _ = sweep("lr: [0.01, 0.02]\nhidden: [3, 300]", "--dry-run")
    assert code == 0 and out.startswith("4 trials, grid; varied: lr, hidden\nabout ") and "MB a process" in out
    assert not Path("sweeps").exists()
    document = json.loads(sweep("lr: [0.01, 0.02]", "--dry-run", "--json")[1])
    assert document["trials"] == 2 and document["seconds"] > 0 and document["jobs"] == 1


@pytest.mark.parametrize(
    ("prepare", "options", "message"),
    [
        (None, ["--task", "2"], "--task 2: this sweep has the trials 0 to 1"),
        (None, ["--jobs", "0"], "--jobs"),
        ("something", [], "sweeps/try holds something else; give another --out"),
        ("sweep", [], "sweeps/try holds another sweep than try.yaml; give another --out, or its own file, sweeps/try/sweep.yaml"),
    ],
)
def test_refused_in_one_sentence(sweep, prepare, options, message):
    if prepare == "something":
        Path("sweeps/try").mkdir(parents=True)
        Path("sweeps/try/letter.txt").write_text("Dear reader")
    elif prepare == "sweep":
        sweep("lr: [0.5]")
    before = {path: path.read_bytes() for path in Path().rglob("sweeps/**/*") if path.is_file()}
    code, out, err = sweep("lr: [0.1, 0.2]", *options)
    assert code == 2 and out == "" and message in err and len(err.splitlines()) == 1
    assert {path: path.read_bytes() for path in Path().rglob("sweeps/**/*") if path.is_file()} == before


def test_the_folder_that_another_process_is_about_to_fill_is_joined(sweep):
    Path("sweeps/try").mkdir(parents=True)
    Path(f"sweeps/try/.sweep.yaml.{os.getpid()}.tmp").write_text("corpus: ")
    assert sweep("lr: [0.1]")[0] == 0


def test_without_optuna(sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = sweep("lr: [0.1]")
    assert code == 2 and err.endswith("install it with: pip install 'nlmcli[sweep]'\n")
