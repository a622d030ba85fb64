"""Every invalid input gives one sentence on stderr and exit code 2, without a traceback."""

import errno
import gzip
import io
import os
import re

import numpy as np
import pytest

from nlmcli.cli import report
from nlmcli.cli.app import main
from nlmcli.errors import InputError
from nlmcli.models import neural_names
from nlmcli.optim import OPTIMIZERS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one corpus, ants.txt, and all kinds of invalid ones."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "blank.txt").write_bytes(b" \n\n\t ")
    (tmp_path / "binary.txt").write_bytes(b"abc\0def")
    (tmp_path / "latin.txt").write_bytes("café\n".encode("latin-1"))
    (tmp_path / "short.txt").write_text("the ants sat on the cat .\n")
    (tmp_path / "ants.txt").write_text("the ants sat on the cat .\n" * 30)
    np.savez(tmp_path / "arrays.npz", E=np.ones(3))
    (tmp_path / "text.npz").write_text("the ants")
    (tmp_path / "number.json").write_text("3")
    return tmp_path


CORPORA = {
    "missing.txt": "no file 'missing.txt'",
    "antz.txt": "did you mean 'ants.txt'",
    "no/where.txt": "there is no folder 'no'",
    "folder": "'folder' is a folder",
    "empty.txt": "'empty.txt' is empty",
    "blank.txt": "only whitespace",
    "binary.txt": "looks binary",
    "latin.txt": "not valid UTF-8 at byte 3",
    "arrays.npz": "zip archive",
}

TRAIN = {
    "--model lsmt": "unknown model 'lsmt'",
    "--model rn": "did you mean 'rnn'",
    "--model zzz": "known: additive",
    "--model additive --hidden 5": "model additive has no --hidden; its options: --",
    "--model window --layers 2": "model window has no --layers",
    "--model rnn --heads 2": "model rnn has no --heads",
    "--model transformer --embed 10 --heads 4": "--embed 10 is not divisible by --heads 4; give a multiple of 4",
    "--model ngram --hidden 5": "model ngram has no --hidden; its options: --context, --add-k",
    "--model ngram --dropout 0.1": "model ngram has no --dropout",
    "--model ngram --add-k -1": "--add-k -1.0 is too small",
    "--model ngram --add-k nan": "--add-k nan is not a number",
    "--model ngram": "model ngram is count-based and has no --steps; its options: --context, --add-k",
    "--model rnn --add-k 1": "model rnn has no --add-k",
    "--optimizer adamm": "did you mean 'adam'",
    "--optimizer sgd --beta1 0.5": "optimizer sgd has no --beta1",
    "--optimizer adam --weight-decay 0.1": "optimizer adam has no --weight-decay; its options: --beta1, --beta2, --epsilon",
    "--optimizer sgd --weight-decay 0.1": "optimizer sgd has no --weight-decay; its options: none",
    "--optimizer sophia --beta 0.1": "its options: --beta1, --beta2, --epsilon, --weight-decay",
    "--optimizer adamw --weight-decay -1": "--weight-decay -1.0 is too small; give 0 or more",
    "--minutes 1": "--steps and --minutes each set the training length; give only one of them",
    "--epochs 2": "--steps and --epochs each set the training length",
    "--epochs 2 --minutes 1": "--steps and --epochs and --minutes each set the training length",
    "--minutes 0": "--minutes 0.0 is too small; give a number above 0",
    "--minutes nan": "--minutes nan is not a number",
    "--patience 0": "--patience 0 is too small; give 1 or more",
    "--schedule plateau --eval-every 0": "--schedule plateau needs validation, and there is none",
    "--schedule plateau --valid-fraction 0": "--schedule plateau needs validation, and there is none; give --valid FILE",
    "--patience 3 --valid-fraction 0": "--patience needs validation, and there is none",
    "--schedule cosin": "did you mean 'cosine'",
    "--tokenizer wrod": "did you mean 'word'",
    "--by lines": "did you mean 'line'",
    "--encoding utf-9": "unknown encoding",
    "--batch-size 0": "--batch-size 0 is too small; give 1 or more",
    "--seq-len -3": "--seq-len -3 is too small",
    "--hidden 0": "--hidden 0 is too small",
    "--embed 0": "--embed 0 is too small",
    "--steps 0": "--steps 0 is too small",
    "--epochs 0": "--epochs 0.0 is too small",
    "--lr 0": "--lr 0.0 is too small",
    "--lr nan": "--lr nan is not a number",
    "--epochs inf": "--epochs inf is not a finite number",
    "--clip nan": "--clip nan is not a number",
    "--dropout 1": "--dropout 1.0 is too large; give a number below 1",
    "--dropout -0.1": "--dropout -0.1 is too small; give 0 or more",
    "--valid-fraction 1": "--valid-fraction 1.0 is too large; give a number below 1",
    "--clip -1": "--clip -1.0 is too small",
    "--seed -1": "--seed -1 is too small",
    "--vocab-size 1": "vocab-size 1 is too small",
    "--min-count 0": "min-count 0 is too small",
    "--batch-size 100000": "too few for a batch size of 100000",
    "--softmax adaptiv": "did you mean 'adaptive'",
    "--cutoffs 3": "--cutoffs 3 is an option of --softmax adaptive; give it too, or leave both out",
    "--softmax adaptive --cutoffs many": "--cutoffs 'many' is not a list of numbers such as 2000,10000",
    "--softmax adaptive --cutoffs 3,3": "--cutoffs 3,3 must increase, from at least 1 to less than the ",
    "--softmax adaptive --cutoffs 0,3": "--cutoffs 0,3 must increase",
    "--softmax adaptive --cutoffs 3,999": "--cutoffs 3,999 must increase",
    "--dropout-words 1": "--dropout-words 1.0 is too large",
    "--model window --dropout-recurrent 0.5": "model window has no --dropout-recurrent",
    "--dropout-kind varational": "did you mean 'variational'",
    "--threads 0": "--threads 0",
    "--threads -1": "--threads -1",
    "--valid missing.txt": "no file 'missing.txt'",
    "--steps many": "--steps",
    "--lerning-rate 1": "No such option",
    "--out ants.txt": "ants.txt",
}

OTHERS = {
    "eval": "no run under ./runs; train one with: nlm train",
    "generate": "no run under",
    "eval --run nowhere": "no checkpoint at nowhere",
    "eval --run folder": "no checkpoint in folder",
    "eval --run text.npz": "text.npz is not a valid nlm checkpoint",
    "generate --run arrays.npz": "arrays.npz is not a valid nlm checkpoint",
    "gradcheck --run nowhere": "no checkpoint at nowhere",
    "gradcheck --model rn": "did you mean 'rnn'",
    "gradcheck --model ngram": "model ngram is count-based and has no gradients to check",
    "gradcheck --layer liner": "did you mean 'linear'",
    "gradcheck --dtype float16 --layer linear": "unknown dtype",
    "gradcheck --example softmaks": "did you mean 'softmax'",
    "tokenize --tokenizer wrod ants.txt": "did you mean 'word'",
    "tokenize --tokenizer wrod --text ants": "did you mean 'word'",
    "tokenize --vocab-size 0 ants.txt": "vocab-size 0 is too small",
    "tokenize --vocab-size 200 --tokenizer bpe ants.txt": "vocab-size 200 is too small for the bpe tokenizer; give 256 or more",
    "tokenize --tokenizer none.json ants.txt": "no file 'none.json'",
    "tokenize --tokenizer none.json --text ants": "no file 'none.json'",
    "tokenize --tokenizer number.json ants.txt": "'number.json' contains no tokenizer",
    "tokenize --out tok.txt ants.txt": "--out tok.txt does not end in .json",
    "tokenize --out nowhere/tok.json ants.txt": "cannot write nowhere/tok.json",
    "tokenize --encoding rot13 ants.txt": "unknown encoding",
    "tokenize --encoding rot13": "unknown encoding",
    "tokenize --encoding rot13 --text ants": "unknown encoding",
    "generate --prompt": "requires an argument",
    "generate --debug --prompt": "requires an argument",
    "--debug eval --nonsense": "No such option",
    "trian ants.txt": "No such command 'trian'",
    "eval --nonsense": "No such option",
    "generate --length many": "--length",
}

SAMPLING = {
    "--temperature -1": "--temperature -1.0 is too small; give 0 or more",
    "--temperature nan": "--temperature nan is not a number",
    "--top-k 0": "--top-k 0 is too small",
    "--top-p 1.5": "--top-p 1.5 is too large; give 1 or less",
    "--min-p 0": "--min-p 0.0 is too small; give a number above 0",
    "--length -1": "--length -1",
    "--num 0": "--num 0",
    "--num -1": "--num -1",
    "--probs 0": "--probs 0",
    "--seed -1": "--seed -1",
}


def assert_refused(capsys, line, sentence):
    code = main(line.split() if isinstance(line, str) else line)
    out, err = capsys.readouterr()
    assert code == 2, (code, out, err)
    assert sentence in err and out == ""
    assert err.count("\n") == 1 and err.startswith("nlm: ") and "Traceback" not in err


@pytest.mark.parametrize("command", ["tokenize", "train"])
@pytest.mark.parametrize("file", CORPORA)
def test_invalid_corpus(folder, capsys, command, file):
    assert_refused(capsys, [command, file], CORPORA[file])
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("options", TRAIN)
def test_invalid_training_options(folder, capsys, options):
    assert_refused(capsys, f"train ants.txt --steps 1 {options}", TRAIN[options])
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("line", OTHERS)
def test_invalid_input_of_other_commands(folder, capsys, line):
    assert_refused(capsys, line, OTHERS[line])


GRADIENT_DESCENT = {"--lr 0.1": "--lr", "--epochs 2": "--epochs", "--batch-size 8": "--batch-size", "--optimizer sgd": "--optimizer"}


@pytest.mark.parametrize("options", GRADIENT_DESCENT)
def test_ngram_model_has_no_gradient_descent_options(folder, capsys, options):
    assert_refused(capsys, f"train ants.txt --model ngram {options}", f"model ngram is count-based and has no {GRADIENT_DESCENT[options]};")
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("options", SAMPLING)
def test_invalid_sampling_options(folder, capsys, run, options):
    assert_refused(capsys, ["generate", "--run", str(run), "--quiet", *options.split()], SAMPLING[options])


FILES = {  # each with 200 lines, or none
    "one byte": b"a",
    "two bytes": b"ab",
    "NUL": b"ants\0cats\n" * 200,
    "only line ends": b"\n" * 200,
    "carriage returns": b"\r" * 200,
    "one long line": b"the ants sat on it " * 2000,
    "one long word": b"a" * 20_000,
    "utf-16": ("the ants sat\n" * 200).encode("utf-16"),
    "utf-16 without a byte order mark": ("the ants sat\n" * 200).encode("utf-16-be"),
    "gzip": gzip.compress(b"the ants sat\n" * 200),
    "all distinct": " ".join(f"w{i}" for i in range(3000)).encode(),
    "one word": b"ants " * 1000,
    "one word a line": b"ants\n" * 200,
    "invalid": b"ants \xff\xfe\x80\n" * 200,
    "lone surrogate": b"ants \xed\xa0\x80\n" * 200,
    "byte order mark": b"\xef\xbb\xbf" + b"the ants sat\n" * 200,
    "only a byte order mark": b"\xef\xbb\xbf",
    "crlf": b"the ants\r\nsat\r\n" * 100,
    "escapes": "\x1b]0;gotcha\x07\x1b[31mred\x1b[0m \x9b5m \x7f \u202e\n".encode() * 200,
    "only escapes": b"\x1b[2J\x1b[H" * 300,
    "control characters": bytes(range(1, 32)) * 20 + "".join(map(chr, range(127, 160))).encode() * 20,
    "combining marks": ("a" + "\u0301" * 50 + "\n").encode() * 50,
    "scripts of the world": "漢字\u3000仮名 \U0001f642 עברית \u2028\ufffe\U0010ffff\n".encode() * 50,
    "reserved": b"<unk> <eos> <pad>\n" * 200,
    "markup": b"[bold red]x[/] [link=http://x]y[/link]\n" * 100,
}
TINY = ["--steps", "2", "--embed", "4", "--hidden", "4", "--batch-size", "4", "--seq-len", "8", "--threads", "1"]
SMALL = {"rnn": TINY, "cnn": TINY, "mamba": TINY, "transformer": [*TINY, "--heads", "2", "--layers", "1", "--context", "4"], "ngram": []}
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


@pytest.mark.parametrize("tokenizer", ["word", "whitespace", "char", "byte"])
@pytest.mark.parametrize("kind", FILES)
def test_any_file_trains_and_generates_or_gives_one_sentence(folder, capsys, monkeypatch, kind, tokenizer):
    monkeypatch.setattr(report, "written", report.printable)  # as on a terminal
    (folder / "any.txt").write_bytes(FILES[kind])
    for model, by in [
        ("ngram", "stream"),
        ("ngram", "line"),
        *zip(["rnn", "cnn", "transformer", "mamba"], ["stream", "line"] * 2, strict=True),
    ]:
        out = f"{model}-{by}"
        train = ["train", "any.txt", "--tokenizer", tokenizer, "--by", by, "--model", model, *SMALL[model], "--out", out]
        code = main(train)
        streams = capsys.readouterr()
        assert not RAW.search(streams.out + streams.err)
        if code == 2:
            assert streams.out == "" and streams.err.startswith("nlm: ") and streams.err.count("\n") == 1 and not (folder / out).exists()
            continue
        assert code == 0
        prompt = FILES[kind][:30].decode("utf-8", "ignore")
        for more in ([], ["--prompt", prompt], ["--prompt", prompt, "--probs", "5"], ["--json"]):
            assert main(["generate", "--run", out, "--length", "8", *more]) == 0
            streams = capsys.readouterr()
            assert not RAW.search(streams.out + streams.err) and "Traceback" not in streams.err


def test_full_disk_gives_one_sentence(folder, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/metrics.csv")

    monkeypatch.setattr("nlmcli.engine.training.train.open_at", full)
    assert main(["train", "ants.txt", *TINY, "--out", "run", "--quiet"]) == 2
    assert capsys.readouterr().err == "nlm: cannot read or write run/metrics.csv (no space left on device)\n"


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("model", neural_names())
def test_divergence_at_learning_rate_100_is_explained(folder, capsys, model, optimizer):
    (folder / "lines.txt").write_text(
        "".join(f"the {a} ants sat on the {b} .\n" for a in ("red", "blue", "old") for b in ("mat", "cat")) * 10
    )
    options = [
        "--lr",
        "100",
        "--steps",
        "60",
        "--tokenizer",
        "char",
        "--embed",
        "8",
        "--batch-size",
        "8",
        "--seq-len",
        "16",
        "--threads",
        "1",
    ]
    code = main(["train", "lines.txt", "--model", model, "--optimizer", optimizer, *options, "--out", "run"])
    out, err = capsys.readouterr()
    rollback = r"(?:is worse than guessing|is not finite) after step \d+; rolled back to step \d+ with half the learning rate, ([\d.]+)"
    rates = re.findall(rollback, err)
    assert rates == [f"{100 / 2**k:g}" for k in range(1, len(rates) + 1)] and not re.search(r"\b(nan|inf)\b", out + err)
    assert code == (1 if len(rates) == 4 else 0)
    if code:
        default_lr = OPTIMIZERS.get(optimizer).lr
        assert f"training diverged; try --lr {min(default_lr, 1):g}, or --clip 0.1" in err
        assert "training loss" not in out and "saved to run" in out
    assert main(["generate", "--run", "run", "--length", "5"]) == 0
    assert "nan" not in capsys.readouterr().out


def test_divergence_is_reported_even_with_quiet(folder, capsys):
    diverging = ["train", "ants.txt", "--lr", "1000", "--optimizer", "sgd", "--clip", "0", "--steps", "60"]
    for more in (["--quiet"], ["--json", "--quiet"]):
        assert main([*diverging, *more]) == 1
        assert f"training diverged; try --lr {OPTIMIZERS.get('sgd').lr:g}, or --clip 1\n" in capsys.readouterr().err


def test_interrupt_inside_a_kernel(folder, capsys, monkeypatch):
    """Numba turns the KeyboardInterrupt into a SystemError."""

    def interrupted(*_, **__):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise SystemError("returned a result with an exception set") from error

    monkeypatch.setattr("nlmcli.engine.scoring.evaluate.score_text", interrupted)
    assert main(["train", "ants.txt", *TINY, "--out", "run", "--quiet"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1000000000000000000000", "9223372036854775808"])
@pytest.mark.parametrize("name", ["hidden", "seed", "steps", "threads", "batch-size", "eval-every", "warmup", "lr", "minutes"])
def test_huge_numbers(folder, capsys, name, number):
    assert_refused(capsys, ["train", "ants.txt", f"--{name}", number], f"--{name} ")


def test_corpus_too_short_for_the_batch_suggests_a_batch_size(folder, capsys):
    assert_refused(capsys, "train short.txt --tokenizer char --batch-size 64", "lower --batch-size to")
    small = ["--tokenizer", "char", "--steps", "1", "--embed", "4", "--hidden", "4", "--quiet"]
    assert main(["train", "short.txt", "--batch-size", "11", *small]) == 0


def test_nothing_left_to_train_on(folder, capsys):
    (folder / "one.txt").write_text("the ants sat .\n")
    assert_refused(capsys, "train one.txt --by line --valid-fraction 0.9 --steps 1", "corpus")


@pytest.mark.parametrize("name", ["best.npz", "last.npz"])
def test_truncated_checkpoint(folder, capsys, run, name):
    (folder / "cut").mkdir()
    (folder / "cut" / name).write_bytes((run / name).read_bytes()[:2000])
    assert_refused(capsys, "eval --run cut", f"{os.path.join('cut', name)} is not a valid nlm checkpoint")


def test_eval_of_an_empty_string_and_a_missing_file(folder, capsys, run):
    assert_refused(capsys, ["eval", "--run", str(run), "--text", ""], "no text to score")
    assert_refused(capsys, ["eval", "missing.txt", "--run", str(run)], "no file 'missing.txt'")


def test_incompatible_eval_options(folder, capsys, run):
    one, both = ["eval", "--run", str(run)], ["eval", "--run", str(run), "--run", str(run)]
    assert_refused(capsys, [*one, "--dynamic-lr", "1"], "--dynamic-lr has no effect without --dynamic; add --dynamic")
    assert_refused(capsys, [*one, "--dynamic-segment", "1"], "--dynamic-segment has no effect without --dynamic; add --dynamic")
    assert_refused(capsys, [*one, "--dynamic", "--dynamic-lr", "nan"], "--dynamic-lr nan is not a number")
    assert_refused(capsys, [*one, "--dynamic", "--dynamic-segment", "0"], "--dynamic-segment 0 is too small; give 1 or more")
    assert_refused(capsys, [*both, "--mix", "x"], "--mix works with a single run; give --run once")
    assert_refused(capsys, [*both, "--tokens"], "--tokens works with a single run; give --run once")
    assert main(["train", "ants.txt", "--model", "ngram", "--quiet", "--out", "counts"]) == 0
    capsys.readouterr()
    assert_refused(capsys, "eval --run counts --dynamic", "model ngram is count-based and has no gradients to learn from")
    assert_refused(capsys, ["eval", "--run", "counts", "--text", "  "], "the text has no tokens to score; give another")


def test_runs_that_cannot_be_interpolated(folder, capsys, run):
    counted = ["train", "ants.txt", "--model", "ngram", "--quiet"]
    assert main([*counted, "--out", "words"]) == 0
    assert_refused(capsys, ["eval", "--run", "words", "--mix", str(run)], "do not have the same tokenizer (word of 8 types; char of ")
    assert main([*counted, "--by", "line", "--valid-fraction", "0", "--out", "lines"]) == 0
    assert_refused(capsys, "eval --run words --mix lines", "one run reads by stream, the other by line; train both with the same --by")
    assert_refused(capsys, "eval --run words --mix words:1.5", "a weight of 1.5 is out of range; give a number from 0 to 1")
    assert_refused(capsys, "eval --run words --mix words:nan", "a weight of nan is out of range")
    assert_refused(capsys, "eval --run words --mix words:half", "no checkpoint at words:half")
    assert_refused(capsys, "eval --run words --mix nowhere", "no checkpoint at nowhere")
    assert_refused(
        capsys, "eval --run lines --mix lines ants.txt", "no held-out text to fit weights on; give them, such as --mix lines:0.1"
    )
    assert main(["eval", "--run", "lines", "--mix", "lines:0.5", "ants.txt"]) == 0


def test_debug_raises_the_error(folder):
    with pytest.raises(InputError, match="unknown model"):
        main(["train", "--model", "lsmt", "--debug"])


def test_debug_as_an_option_and_as_a_value(folder, capsys):
    for line in ("train --debug --model lsmt", "--debug train --model lsmt"):
        with pytest.raises(InputError, match="unknown model"):
            main(line.split())
    assert main(["tokenize", "--text", "--debug"]) == 0
    assert capsys.readouterr().out.startswith("- | - | debug\n")
    assert_refused(capsys, ["eval", "--text", "--debug"], "no run under ./runs")


def test_lone_surrogate_in_a_file(folder, capsys):
    (folder / "half.txt").write_bytes(b"ants \xed\xa0\x80\n")
    assert_refused(capsys, "tokenize half.txt", "a lone surrogate; fix the file")


def test_corpus_from_stdin(folder, capsys, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(b"the ants sat\n")

    monkeypatch.setattr("sys.stdin", Stdin())
    assert main(["tokenize", "-"]) == 0
    assert "tokens" in capsys.readouterr().out


def test_out_of_memory_gives_one_sentence(folder, capsys, monkeypatch):
    def out_of_memory(*_):
        raise MemoryError

    monkeypatch.setattr("nlmcli.engine.reading.tokens.count", out_of_memory)
    assert_refused(capsys, "tokenize ants.txt", "out of memory")


def test_process_exits_with_code_2(folder, process):
    completed = process("train", "missing.txt")
    assert (completed.returncode, completed.stdout) == (2, "")
    assert completed.stderr.startswith("nlm: no file 'missing.txt'") and completed.stderr.count("\n") == 1
