"""Faults that were found once, each with the right value: what is figured, kept, said and refused."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import nlmcli
from nlmcli.cli.app import main
from nlmcli.engine.run import atomic, ownership
from nlmcli.engine.run.checkpoint import load
from nlmcli.engine.writing.choose import Choosing
from nlmcli.errors import InputError

LINES = "".join(f"the {a} ants hated the {b} cat number {k}.\n" for k, (a, b) in enumerate([("blue", "red"), ("red", "old")] * 20))
SMALL = ["--tokenizer", "char", "--embed", "4", "--hidden", "5", "--batch-size", "4", "--seq-len", "8", "--steps", "6", "--quiet"]


@pytest.fixture(autouse=True)
def room(tmp_path, monkeypatch):
    """An empty folder with one text in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ants.txt").write_text(LINES)
    return tmp_path


@pytest.fixture
def nlm(capsys):
    """nlm("eval", ...) -> exit code, stdout, stderr."""

    def start(*arguments):
        code = main([*map(str, arguments)])
        return code, *capsys.readouterr()

    return start


@pytest.fixture
def small(nlm):
    """A small run of the text: small("run", "--by", "line")."""

    def train(out, *more, text="ants.txt"):
        code, _, err = nlm("train", text, *SMALL, "--out", out, *more)
        assert code == 0, err

    return train


# what is held out


@pytest.mark.parametrize("by", ["stream", "line"])
def test_another_text_is_not_called_held_out(nlm, small, room, by):
    small("run", "--by", by)
    assert nlm("eval", "--run", "run")[0] == 0
    text = (room / "ants.txt").read_text()
    for changed in (text[: len(text) // 2], text + "more\n" * 9, text.swapcase(), "".join(sorted(text))):
        (room / "ants.txt").write_text(changed)
        for command in (("eval", "--run", "run"), ("eval", "--run", "run", "--mix", "run")):
            code, out, err = nlm(*command)
            assert (code, out) == (2, "") and "has changed since this run held a part of it out" in err
    (room / "elsewhere.txt").write_text(text)
    code, out, _ = nlm("eval", "--run", "run", "--corpus", "elsewhere.txt")
    assert code == 0 and "the held-out part" in out


def test_a_run_resumes_only_with_its_own_text_wherever_that_lies(nlm, small, room):
    small("run")
    text = (room / "ants.txt").read_text()
    (room / "ants.txt").write_text(text[::-1].strip() + "\n")  # the same characters, as often
    code, _, err = nlm("train", "--resume", "--out", "run", "--steps", 9)
    assert code == 2 and "not the one this run started with" in err
    (room / "moved.txt").write_text(text)
    assert nlm("train", "moved.txt", "--resume", "--out", "run", "--steps", 9)[0] == 0
    assert nlm("eval", "--run", "run")[0] == 0  # knows the new name


def test_a_text_from_stdin_is_said_to_be_gone(process, room):
    done = process("train", "-", *SMALL, "--out", "run", input=LINES)
    assert done.returncode == 0, done.stderr
    for command in (("eval", "--run", "run"), ("train", "--resume", "--out", "run", "--steps", "9")):
        done = process(*command, stdin=None)
        assert done.returncode == 2 and "came from stdin and is gone; name a file with the same text" in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_text_from_a_pipe_is_said_to_be_gone(process, room):
    os.mkfifo(room / "pipe")
    threading.Thread(target=(room / "pipe").write_text, args=(LINES,)).start()
    assert process("train", "pipe", *SMALL, "--out", "run").returncode == 0
    done = process("eval", "--run", "run")
    assert done.returncode == 2 and "came from the pipe pipe and is gone" in done.stderr


def test_no_floor_for_another_task(nlm):
    for options in (["--vocab-size", "6"], ["--lowercase"], ["--tokenizer", "char"]):
        code, out, _ = nlm("train", "--model", "ngram", "--json", "--out", "-".join(options), *options)
        assert code == 0 and json.loads(out)["floor_perplexity"] is None
    code, out, _ = nlm("train", "--model", "ngram", "--json", "--out", "words")
    assert json.loads(out)["floor_perplexity"] == pytest.approx(4.03, abs=0.005)


def test_compare_says_that_losses_are_about_different_texts(nlm, small, room):
    small("one"), small("same")
    assert "have different held-out texts" not in nlm("compare", "one", "same")[2]
    small("other", "--valid-fraction", "0.2")
    code, _, err = nlm("compare", "one", "other")
    assert code == 0 and "these runs have different held-out texts" in err


# lines


def test_blank_lines_are_no_lines_whatever_is_held_out(nlm, small, room):
    (room / "blank.txt").write_text(LINES.replace("\n", "\n\n \n"))
    small("with", "--by", "line", "--valid", "ants.txt", text="blank.txt")
    small("without", "--by", "line", "--valid", "blank.txt")
    kept = [load(room / name / "last.npz")[0]["E"].tobytes() for name in ("with", "without")]
    assert kept[0] == kept[1]
    scores = [json.loads(nlm("eval", file, "--run", "with", "--json")[1]) for file in ("ants.txt", "blank.txt")]
    assert scores[0] | {"text": ""} == scores[1] | {"text": ""}


def test_a_last_line_end_that_is_understood_is_a_character_too(nlm, small, room):
    small("run", "--by", "line")
    scores = [json.loads(nlm("eval", "--run", "run", "--text", text, "--json")[1]) for text in ("the ants", "the ants\n")]
    assert scores[0] == scores[1] and scores[0]["characters"] == scores[0]["tokens"] == 9


def test_strings_are_read_as_files_are(nlm, small, room):
    small("run")
    (room / "crlf.txt").write_bytes("\ufeffthe ants\r\nsat\r".encode())
    file = json.loads(nlm("eval", "crlf.txt", "--run", "run", "--json")[1])
    string = json.loads(nlm("eval", "--text", "\ufeffthe ants\r\nsat\r", "--run", "run", "--json")[1])
    assert file | {"text": ""} == string | {"text": ""} and file["characters"] == 13
    outs = [nlm("generate", "--run", "run", "--prompt", p, "--probs", 3, "--json")[1] for p in ("ants\r\nsat", "ants\nsat")]
    assert json.loads(outs[0])["next"] == json.loads(outs[1])["next"]


def test_a_long_line_among_short_ones_takes_no_room_for_64_of_it(training, monkeypatch):
    from nlmcli.engine.scoring import evaluate, segments

    lm, text = training("rnn", by="line").lm, "the ants sat .\n" * 70 + "a cat " * 500 + "\n" + "red ants .\n" * 70
    whole, sizes = evaluate.score_text(lm, text), []
    line_segments = segments.line_segments
    monkeypatch.setattr(segments, "PADDED", 4000)
    monkeypatch.setattr(evaluate, "line_segments", lambda *a: sizes.append(len(a[0]) * max(map(len, a[0]))) or line_segments(*a))
    parts = evaluate.score_text(lm, text)
    assert max(sizes) <= 4000 and parts.nats == pytest.approx(whole.nats, rel=1e-6) and parts.tokens == whole.tokens


# options that could not act


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--probs 3 --num 2", "--num has no effect together with --probs"),
        ("--probs 3 --stop a", "--stop has no effect together with --probs"),
        ("--probs 3 --seed 1", "--seed has no effect together with --probs"),
        ("--choose 3 --num 2", "--num has no effect together with --choose"),
        ("--choose 3 --json", "--json has no effect together with --choose"),
        ("--interactive --json", "--json has no effect together with --interactive"),
        ("--beam 2 --seed 1", "--seed has no effect together with --beam"),
        ("--length-penalty 1", "--length-penalty has no effect without --beam"),
        ("--beam 2 --length-penalty 300", "--length-penalty 300.0 is too large; give 100 or less"),
        ("--beam 2 --length-penalty -300", "--length-penalty -300.0 is too small; give -100 or more"),
        ("--beam 2 --length-penalty nan", "--length-penalty nan is not a number"),
    ],
)
def test_an_option_that_cannot_act_is_refused(nlm, small, options, said):
    small("run")
    code, out, err = nlm("generate", "--run", "run", *options.split())
    assert (code, out) == (2, "") and said in err and err.count("\n") == 1


def test_an_empty_stop_text_is_refused(nlm, small, room):
    small("run")
    code, out, err = nlm("generate", "--run", "run", "--stop", "")
    assert (code, out) == (2, "") and "--stop is empty" in err
    lm = nlmcli.load(room / "run")
    with pytest.raises(InputError, match="empty"):
        lm.generate("the", stop="")
    whole = lm.generate("", length=60, seed=3)
    cut = next(whole[k : k + 2] for k in range(10, 50) if whole[k : k + 2] not in whole[: k + 1])
    assert lm.generate("", length=60, seed=3, stop=cut) == whole[: whole.index(cut)]  # one stop text, not one for each letter


def test_probs_and_choose_heed_a_repetition_penalty(nlm, small, room):
    small("run")

    def seen_share(*options):
        found = json.loads(nlm("generate", "--run", "run", "--prompt", "the", "--probs", 99, "--json", *options)[1])["next"]
        return sum(token["p"] for token in found if token["token"] in "the")

    assert seen_share("--repetition-penalty", "50") < 0.9 * seen_share()
    choosing = Choosing(nlmcli.load(room / "run").lm, "the", nlmcli.Sampling(repetition_penalty=50.0))
    assert sum(p for token, p in choosing.most_probable(99) if token in "the") == pytest.approx(seen_share("--repetition-penalty", "50"))


@pytest.mark.parametrize("temperature", ["1e-308", "1e-310", "5e-324", "1e15"])
@pytest.mark.parametrize("penalty", ["1", "1e-320", "1e15"])
def test_extreme_temperatures_and_penalties_write_text(nlm, small, temperature, penalty):
    small("run")
    for way in (["--seed", "1", "--length", "8"], ["--probs", "3", "--quiet"]):
        code, out, err = nlm("generate", "--run", "run", "--temperature", temperature, "--repetition-penalty", penalty, *way)
        assert (code, err) == (0, "") and "nan" not in out and "<unk>" not in out


def test_a_colon_in_a_run_s_name_is_part_of_it(nlm, small):
    small("exp:1", "--seed", "2"), small("exp")
    code, out, _ = nlm("eval", "--run", "exp", "--mix", "exp:1", "--json")
    assert code == 0 and json.loads(out)["mix"]["runs"][0]["run"] == "exp:1"
    code, out, _ = nlm("eval", "--run", "exp", "--mix", "exp:1:0.25", "--json")
    assert code == 0 and json.loads(out)["mix"] == {"weight": 0.75, "runs": [{"run": "exp:1", "weight": 0.25}], "fitted": False}


# what is kept


def test_a_folder_belongs_to_one_process_at_a_time(process, room):
    script = (
        "import sys, nlmcli; from nlmcli.engine.run.ownership import claim; claim(__import__('pathlib').Path('run'));"
        "print('owned', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=room)
    assert owner.stdout.readline() == b"owned\n"
    done = process("train", "ants.txt", *SMALL, "--out", "run")
    assert done.returncode == 2 and done.stderr == "nlm: run is in use by another nlm train; wait until it ends, or give another --out\n"
    with owner:  # its lock goes with it
        owner.kill()
    assert process("train", "ants.txt", *SMALL, "--out", "run").returncode == 0


def test_two_runs_without_a_name_get_two_folders(room):
    command = [sys.executable, "-c", "from nlmcli.cli.app import run; run()", "train", "ants.txt", *SMALL]
    runs = [subprocess.Popen(command, cwd=room, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert sorted(path.name for path in (room / "runs").iterdir()) == ["ants-rnn-1", "ants-rnn-2", "ants-rnn-3"]


def test_a_text_that_cannot_be_read_leaves_no_folder(nlm, room):
    assert nlm("train", "none.txt")[0] == 2 and not (room / "runs").exists()
    (room / "mine").mkdir()
    assert nlm("train", "none.txt", "--out", "mine")[0] == 2 and (room / "mine").exists()
    assert (room / "mine").resolve() not in ownership.HELD


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b",", b";"),
        lambda data: data.replace(b"step", b"Schritt"),
        lambda data: data.decode().encode("utf-16"),
        lambda data: data[:40] + b"\xff\xfe\0" + data[40:],
        lambda data: data.replace(b"\n1,", b"\none,"),
    ],
)
def test_a_metrics_file_that_was_saved_anew_is_one_sentence(nlm, small, room, change):
    small("run", "--eval-every", "2")
    path = room / "run" / "metrics.csv"
    saved = change(path.read_bytes())
    path.write_bytes(saved)
    for command in (("train", "--resume", "--out", "run", "--steps", "9"), ("compare", "run")):
        code, _, err = nlm(*command)
        assert code == 2 and "is not as nlm wrote it" in err and err.count("\n") == 1
    assert path.read_bytes() == saved
    path.unlink()
    assert nlm("train", "--resume", "--out", "run", "--steps", "9", "--quiet")[0] == 0


def test_a_metrics_file_is_rewritten_whole_or_not_at_all(nlm, small, room, monkeypatch):
    from nlmcli.engine.training import metrics

    small("run", "--eval-every", "2")
    path = room / "run" / "metrics.csv"
    before = path.read_bytes()

    def full(*_):
        raise atomic.Unwritable("cannot write (no space left)")

    monkeypatch.setattr(metrics, "write_atomically", full)
    assert nlm("train", "--resume", "--out", "run", "--steps", "9", "--quiet")[0] == 2
    assert path.read_bytes() == before


def test_a_symbolic_link_stays_and_a_pipe_is_written_into(nlm, room):
    (room / "real.json").write_text("{}")
    (room / "link.json").symlink_to("real.json")
    assert nlm("tokenize", "ants.txt", "--out", "link.json")[0] == 0
    assert (room / "link.json").is_symlink() and "vocabulary" in (room / "real.json").read_text()
    os.mkfifo(room / "pipe.json")
    got = []
    reader = threading.Thread(target=lambda: got.append((room / "pipe.json").read_text()))
    reader.start()
    assert nlm("tokenize", "ants.txt", "--out", "pipe.json")[0] == 0
    reader.join(10)
    assert json.loads(got[0])["name"] == "word"


@pytest.mark.parametrize("number", [n for n in ("SIGTERM", "SIGHUP") if hasattr(signal, n)])
def test_a_closed_terminal_saves_like_a_request_to_end(room, number):
    command = [sys.executable, "-c", "from nlmcli.cli.app import run; run()", "train", "ants.txt", *SMALL, "--steps", "1000000"]
    env = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    run = subprocess.Popen([*command, "--out", "run"], cwd=room, stdout=subprocess.DEVNULL, env=env)
    for _ in range(600):
        if (room / "run" / "last.npz").exists():
            break
        time.sleep(0.1)
    run.send_signal(getattr(signal, number))
    assert run.wait(60) == 130
    assert load(room / "run" / "last.npz")[1]["step"] > 0


def test_what_a_full_cache_cannot_keep_is_not_kept(training, monkeypatch, tmp_path):
    from nlmcli import kernel_cache
    from nlmcli.engine.reading import encoded, remembered
    from nlmcli.engine.reading.texts import read_corpus

    def full(*_):
        raise atomic.Unwritable("cannot write (no space left)")

    monkeypatch.setattr(remembered, "LARGE", 1)
    monkeypatch.setattr(encoded, "write_atomically", full)
    monkeypatch.setattr(kernel_cache, "user_cache", lambda: tmp_path / "cache")
    lm = training("rnn").lm
    text = read_corpus((str(tmp_path / "ants.txt"),))
    assert np.array_equal(encoded.encode(lm.tokenizer, text, "stream").ids, lm.tokenizer.encode(str(text)))


@pytest.mark.parametrize("value", ["", "relative"])
def test_a_cache_that_is_no_absolute_path_is_not_used(process, room, value):
    assert process("tokenize", "ants.txt", env={"XDG_CACHE_HOME": value, "HOME": str(room / "home")}).returncode == 0
    assert not (room / "relative").exists() and not (room / "nlm").exists()


# what is shown


TEXT = "a\u3000b\u00a0c\u200cd\u200de \u2028 \U0001f469\u200d\U0001f4bb"


def test_a_generated_text_is_unaltered_but_for_what_a_terminal_obeys():
    from nlmcli.cli import report

    assert report.printable(TEXT) == TEXT
    assert report.printable("\x1b[2J\x9b\x07\u202e\u2066\ud800\x7f\r") == r"\x1b[2J\x9b\x07\u202e\u2066\ud800\x7f\r"
    assert report.written("\x1b\u202e") == "\x1b\u202e"  # no terminal here: nothing is escaped


def test_a_prompt_comes_out_as_it_went_in(process, small, room):
    small("run")
    done = process("generate", "--run", "run", "--prompt", TEXT, "--length", 3, "--quiet")
    assert done.returncode == 0 and done.stdout.startswith(TEXT)
    done = process("generate", "--run", "run", "--prompt", TEXT, "--length", 3, "--json", "--quiet")
    assert TEXT in done.stdout and json.loads(done.stdout)["prompt"] == TEXT


def test_the_note_on_unseen_characters_is_not_within_the_text(small, room):
    small("run")
    command = [
        sys.executable,
        "-c",
        "from nlmcli.cli.app import run; run()",
        "generate",
        "--run",
        "run",
        "--prompt",
        "Ωants",
        "--length",
        "9",
    ]
    done = subprocess.run(command, cwd=room, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    note, *text = [line for line in done.stdout.splitlines() if not line.startswith("compiling")]
    assert "never seen in training" in note and text[0].startswith("Ωants") and "never" not in "".join(text)


def test_the_next_command_can_be_typed_whatever_the_folder_s_bytes(process, room):
    from nlmcli.cli import report

    name = os.fsdecode(b"run-\xff'\x1b")
    said = report.shell_word(name)
    done = subprocess.run(["bash", "-c", f"printf %s {said}"], stdout=subprocess.PIPE)
    assert done.stdout == os.fsencode(name) and report.printable(said) == said


def test_out_of_memory_advises_what_the_command_has(monkeypatch, nlm, small):
    small("run")

    def none(*_, **__):
        raise MemoryError

    monkeypatch.setattr("nlmcli.engine.writing.generate.next_words", none)
    code, _, err = nlm("generate", "--run", "run", "--probs", 2)
    assert code == 2 and "--num" in err and "--batch-size" not in err


# from Python and from YAML


def test_arguments_from_python_are_taken_or_refused_as_input(small, room):
    small("run")
    lm = nlmcli.load(room / "run")
    for given in ({"seed": -1}, {"length": 1.5}, {"length": -1}, {"seed": "x"}, {"sampling": nlmcli.Sampling(top_k=1.5)}):
        with pytest.raises(InputError):
            lm.generate("the", **given)
    for k in (0, -1, 1.5, "3"):
        with pytest.raises(InputError):
            lm.next_words("the", k=k)
        with pytest.raises(InputError):
            lm.neighbors("t", k=k)
    for text in ("\ud800", "the \udcff ants"):
        assert lm.generate(text, length=2, seed=1) and lm.next_words(text) and lm.score(text)["tokens"] and lm.tokens(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: 3\nlr: 0.1\nsteps: 5\n", "'steps' is given twice"),
        ("minutes: 1:30\n", "option 'minutes' must be a number, not '1:30'"),
        ("steps: 1_000\n", "option 'steps' must be an integer, not '1_000'"),
    ],
)
def test_yaml_that_means_something_else_is_refused(nlm, room, text, said):
    (room / "mine.yaml").write_text(text)
    code, _, err = nlm("train", "ants.txt", "--config", "mine.yaml")
    assert code == 2 and said in err


def test_a_number_in_yaml_is_decimal(nlm, room):
    (room / "mine.yaml").write_text("steps: 010\n")
    assert nlm("train", "ants.txt", "--config", "mine.yaml", *SMALL[:-3], "--quiet", "--out", "run")[0] == 0
    assert load(room / "run" / "last.npz")[1]["step"] == 10


def test_a_tilde_is_the_home(nlm, small, room, monkeypatch):
    monkeypatch.setenv("HOME", str(room / "home"))
    (room / "home").mkdir()
    (room / "home" / "text.txt").write_text(LINES)
    small("~/x", text="~/text.txt")
    assert (room / "home" / "x" / "last.npz").exists() and not (room / "~").exists()


def test_a_validation_file_that_is_trained_on_is_said(nlm, room):
    code, _, err = nlm("train", "ants.txt", *SMALL[:-1], "--valid", room / "ants.txt", "--out", "run")
    assert code == 0 and "is also trained on" in err


# containers


def test_the_limits_of_control_groups_are_those_of_memory_and_threads(tmp_path, monkeypatch):
    from nlmcli.engine.gradient import threads
    from nlmcli.engine.run import container
    from nlmcli.engine.training import memory

    root, own = tmp_path / "cgroup", tmp_path / "own"
    monkeypatch.setattr(container, "ROOT", root)
    monkeypatch.setattr(container, "OWN", own)

    def group(path, **files):
        (root / path).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (root / path / name.replace("__", ".")).write_text(text)

    group("a/b", memory__max="max", memory__current="5000", cpu__max="max 100000")
    group("a", memory__max="9000", memory__current="6000", cpu__max="150000 100000", memory__stat="anon 1\ninactive_file 500\n")
    own.write_text("0::/a/b\n")
    assert container.memory_left() == memory.free() == 3500
    assert container.processors() == 1.5 and threads.available_threads() <= 2
    group("memory/job", memory__limit_in_bytes="1000", memory__usage_in_bytes="400")
    group("cpu,cpuacct/job", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    (root / "cpu").symlink_to(root / "cpu,cpuacct")
    own.write_text("5:memory:/job\n4:cpu,cpuacct:/job\n")
    assert container.memory_left() == 600 and container.processors() == 0.5 and threads.available_threads() == 1
    own.unlink()
    assert container.memory_left() == container.processors() == float("inf")


def test_where_probs_and_eval_differ_is_said(nlm, room):
    (room / "rare.txt").write_text("".join(f"the ants hated w{k} .\n" for k in range(60)))
    assert nlm("train", "rare.txt", "--steps", "60", "--batch-size", "4", "--seq-len", "8", "--quiet", "--out", "run")[0] == 0
    code, out, err = nlm("generate", "--run", "run", "--prompt", "the ants hated", "--probs", 3)
    said = re.search(r"<unk> is left out here; nlm eval --tokens includes it, with probability (0\.\d{4})", err)
    assert code == 0 and said and "<unk>" not in out
    tokens = nlm("eval", "--run", "run", "--text", "the ants hated w1", "--tokens", "--json")[1].splitlines()
    assert json.loads(tokens[3])["p"] == pytest.approx(float(said[1]), abs=6e-5)
    small = ["--model", "transformer", "--heads", "1", "--context", "4", "--embed", "4", "--steps", "2", "--batch-size", "4"]
    assert nlm("train", "ants.txt", *small, "--quiet", "--out", "blocks")[0] == 0
    assert "reads blocks of 4 tokens" in nlm("eval", "--run", "blocks", "--text", "the ants hated the cat", "--tokens")[2]
    assert "reads blocks" not in nlm("eval", "--run", "blocks", "--text", "the ants", "--tokens")[2]
