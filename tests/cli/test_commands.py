"""Each command, run as from the command line."""

import json
import math
import re
import shlex
from decimal import Decimal

import pytest

from nlmcli.cli import report, scores, surprisal
from nlmcli.cli.app import main
from nlmcli.engine.scoring import dynamic
from nlmcli.models import neural_names
from nlmcli.nn.bf16 import IN_HARDWARE

SMALL = ["--embed", "4", "--batch-size", "4", "--seq-len", "8", "--steps", "4", "--tokenizer", "char", "--threads", "1"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Run every command in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def nlm(capsys):
    """nlm("eval", ...) -> exit code, stdout, stderr."""

    def run_command(*arguments):
        code = main([str(a) for a in arguments])
        return code, *capsys.readouterr()

    return run_command


@pytest.fixture
def document(nlm):
    """document("eval", ...) -> the JSON document on stdout, after exit code 0."""

    def run_command(*arguments):
        code, out, err = nlm(*arguments, "--json")
        assert code == 0, err
        assert out.count("\n") == 1
        return json.loads(out)

    return run_command


# tokenize


def test_the_ants_are_eight_tokens_and_six_types(nlm, document):
    sentence = "the blue ants hated the red ants."
    assert nlm("tokenize", "--text", sentence)[1].splitlines()[-1] == "8 tokens, 6 types"
    pieces = ["the", "blue", "ants", "hated", "the", "red", "ants", "."]
    assert document("tokenize", "--text", sentence) == {"pieces": pieces, "tokens": 8, "types": 6}


def test_counts_of_a_corpus(document, nlm, tmp_path):
    (tmp_path / "a.txt").write_text("a b a\nA b\n")
    counts = document("tokenize", "a.txt", "--min-count", "2")
    assert counts == {
        "tokens": 5, "types": 3, "line_ends": 2, "type_token_ratio": 0.6, "characters": 10, "characters_per_token": pytest.approx(10 / 7),
        "vocabulary": 4, "special": ["<unk>", "<eos>"], "unknown_rate": pytest.approx(1 / 7),
        "most_frequent": [["a", 2], ["b", 2], ["A", 1]],
    }  # fmt: skip
    assert document("tokenize", "a.txt", "--lowercase")["types"] == 2
    assert document("tokenize", "a.txt", "--top", "1")["most_frequent"] == [["a", 2]]
    code, out, _ = nlm("tokenize", "a.txt")
    assert code == 0 and "most frequent types" in out and "5 = 3 types + <unk>, <eos>" in nlm("tokenize", "a.txt", "--min-count", "1")[1]
    assert re.search(r"^  ␣ +3 ", nlm("tokenize", "a.txt", "--tokenizer", "char")[1], re.M)
    assert "special" not in nlm("tokenize", "a.txt", "--tokenizer", "byte")[1]
    assert "most frequent types" not in nlm("tokenize", "a.txt", "--quiet")[1]


def test_tokens_of_a_string_are_visible_and_counted(nlm):
    assert nlm("tokenize", "--tokenizer", "char", "--text", "a \n")[1] == "a | ␣ | \\n\n3 tokens, 3 types\n"
    assert nlm("tokenize", "--text", "a")[1] == "a\n1 token, 1 type\n"


def test_tokenizer_is_trained_saved_and_loaded(document, nlm, corpus):
    counts = document("tokenize", corpus, "--tokenizer", "bpe", "--vocab-size", "300", "--out", "tok.json")
    assert (counts["vocabulary"], counts["unknown_rate"], counts["special"]) == (300, 0, [])
    assert document("tokenize", corpus, "--tokenizer", "tok.json") == counts
    assert "--tokenizer tok.json" in nlm("tokenize", corpus, "--tokenizer", "bpe", "--vocab-size", "300", "--out", "tok.json")[2]
    pieces = document("tokenize", corpus, "--tokenizer", "bpe", "--vocab-size", "300", "--text", "the ants 蚂")
    assert pieces["pieces"][:2] == ["the", " ants"] and pieces == document("tokenize", "--tokenizer", "tok.json", "--text", "the ants 蚂")
    assert "the | ␣ants | ␣ | <0xE8> | <0x9A> | <0x82>\n" in nlm("tokenize", "--tokenizer", "tok.json", "--text", "the ants 蚂")[1]
    document("tokenize", corpus, "--out", "words.json")
    assert document("tokenize", corpus, "--tokenizer", "words.json") == document("tokenize", corpus)


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("tokenizer", ["bpe", "tok.json"])
def test_bpe_model_scores_and_generates(document, nlm, corpus, tokenizer, by):
    nlm("tokenize", corpus, "--tokenizer", "bpe", "--vocab-size", "280", "--out", "tok.json")
    document("train", corpus, *SMALL[:-4], "--threads", "1", "--tokenizer", tokenizer, "--by", by, "--out", "run")
    text = "the ants  \n\n\n opened 蚂\n"  # two lines and two blank ones
    *each, _ = map(json.loads, nlm("eval", "--run", "run", "--tokens", "--text", text, "--json")[1].splitlines())
    read = text if by == "stream" else "the ants  \n opened 蚂\n"
    assert "".join(token["piece"] for token in each).encode("utf-8", "surrogateescape").decode() == read
    code, out, _ = nlm("generate", "--run", "run", "--prompt", "the ants\n\n", "--length", "8")
    assert code == 0 and out.startswith("the ants\n\n")


def test_run_with_a_tokenizer_file_is_repeated_resumed_and_interpolated(document, nlm, corpus):
    nlm("tokenize", corpus, "--tokenizer", "bpe", "--vocab-size", "280", "--out", "tok.json")
    first = document("train", corpus, *SMALL[:-4], "--threads", "1", "--tokenizer", "tok.json", "--out", "run")
    again = document("train", "--config", "run/config.yaml", "--threads", "1", "--out", "again")
    assert again["valid_loss"] == first["valid_loss"]
    assert document("train", "--out", "run", "--resume", "--steps", "6")["steps"] == 6
    document("train", corpus, "--model", "ngram", "--tokenizer", "tok.json", "--out", "counts")
    mixed = document("eval", "--run", "run", "--mix", "counts")
    assert mixed["nats"] <= document("eval", "--run", "run")["nats"] * (1 + 1e-6)
    nlm("tokenize", corpus, "--tokenizer", "bpe", "--vocab-size", "270", "--out", "tok.json")
    code, _, err = nlm("train", "--out", "run", "--resume", "--steps", "8")
    assert code == 2 and "the tokenizer file is not the one this run started with" in err


@pytest.mark.parametrize(
    "options",
    [
        ["--stop", "ants", "--seed", "1"],
        ["--beam", "2"],
        ["--num", "2", "--seed", "1"],
        ["--probs", "3"],
        ["--temperature", "0.5", "--stop", "\n"],
    ],
)
def test_bpe_model_generates(nlm, corpus, options):
    nlm("train", corpus, *SMALL[:-4], "--threads", "1", "--tokenizer", "bpe", "--vocab-size", "270", "--out", "run")
    code, out, err = nlm("generate", "--run", "run", "--prompt", "the 蚂", "--length", "12", *options)
    assert code == 0 and err == "" and out.startswith("the 蚂")


def test_several_files_are_concatenated(document, tmp_path):
    (tmp_path / "a.txt").write_text("a b")
    (tmp_path / "b.txt").write_text("c\n")
    assert document("tokenize", "a.txt", "b.txt")["tokens"] == 3


# train

FINISHED = {
    "run", "model", "parameters", "steps", "train_loss", "valid_loss", "perplexity", "floor_perplexity", "tokens_per_second", "seconds",
    "compile_seconds", "peak_memory_bytes", "interrupted", "diverged",
}  # fmt: skip


@pytest.mark.parametrize("model", neural_names())
def test_every_neural_model_trains_scores_and_generates(document, nlm, corpus, sizes, model):
    given = {f"--{option}": value for option, value in sizes(model).items()}
    own = [word for option, value in given.items() for word in ([option] if value is True else [option, value])]
    result = document("train", corpus, "--model", model, *SMALL, *own, "--out", "run")
    assert set(result) == FINISHED
    assert (result["model"], result["steps"], result["interrupted"]) == (model, 4, False)
    assert math.exp(result["valid_loss"]) == pytest.approx(result["perplexity"])
    assert document("eval", "--run", "run")["nats_per_token"] == pytest.approx(result["valid_loss"], rel=1e-6)
    code, out, _ = nlm("generate", "--run", "run", "--length", "5", "--prompt", "ants")
    assert code == 0 and out.startswith("ants")
    assert nlm("gradcheck", "--run", "run")[0] == 0


def test_ngram_model_trains_scores_and_generates(document, nlm, corpus):
    result = document("train", corpus, "--model", "ngram", "--tokenizer", "char", "--out", "run")
    assert set(result) == FINISHED
    assert (result["model"], result["steps"], result["interrupted"], result["train_loss"]) == ("ngram", 1, False, None)
    assert math.exp(result["valid_loss"]) == pytest.approx(result["perplexity"])
    assert document("eval", "--run", "run")["nats_per_token"] == pytest.approx(result["valid_loss"], rel=1e-12)
    code, out, _ = nlm("generate", "--run", "run", "--length", "5", "--prompt", "ants")
    assert code == 0 and out.startswith("ants") and len(out) == 10
    assert nlm("gradcheck", "--run", "run")[0] == 2
    code, out, err = nlm("train", corpus, "--model", "ngram", "--tokenizer", "char", "--add-k", "0")
    assert code == 0 and "\nvalidation loss" in "\n" + out and " n-grams counted in " in out and "sample: " in err
    assert "step" not in out + err and "learning rate" not in err and "parameters" not in err and "nan" not in out + err
    code, out, err = nlm("train", corpus, "--model", "ngram", "--tokenizer", "char", "--valid-fraction", "0")
    assert code == 0 and "training loss" in out and "nan" not in out + err


def test_training_output(nlm, corpus):
    code, out, err = nlm("train", corpus, *SMALL, "--hidden", "6")
    assert code == 0
    assert "best validation loss" in out and "nlm generate --run runs/ants-rnn-1" in out
    assert "parameters" in err and "4 steps" in err and "perplexity" in err
    assert err.count("* best validation loss so far\n") == 1 and err.count("\nsample: ") == 4 and "peak memory" in out
    code, out, err = nlm("train", corpus, *SMALL, "--hidden", "6", "--quiet")
    assert (code, out, err) == (0, "", "")
    assert "runs/ants-rnn-3" in nlm("train", corpus, *SMALL, "--hidden", "6")[1]


def test_the_precision_of_a_run_is_said_and_kept(nlm, document, corpus):
    wide = [*SMALL, "--embed", "30", "--hidden", "30"]
    _, _, err = nlm("train", corpus, *wide, "--precision", "bf16", "--out", "rounded")
    assert ", products in bf16; memory" in err and "--precision bf16 makes" not in err
    assert ("the same bits, and are not faster" in err) == (not IN_HARDWARE)
    _, _, err = nlm("train", corpus, *wide, "--out", "exact")
    assert "bf16" not in err  # a run of four steps is too short to recommend it
    rounded, exact = (nlm("eval", "--run", run, "--text", "the ants sat")[1] for run in ("rounded", "exact"))
    assert re.search(r"^products +in bf16, as in training$", rounded, re.M) and "products" not in exact
    assert document("eval", "--run", "rounded", "--text", "the ants sat")["precision"] == "bf16"
    code, _, err = nlm("train", "--resume", "--out", "rounded", "--steps", "6", "--precision", "float32")
    assert code == 2 and "leave out --precision float32 (the run's is bf16)" in err
    assert ", products in bf16; memory" in nlm("train", "--resume", "--out", "rounded", "--steps", "6")[2]


def test_run_with_a_time_limit(nlm, document, corpus, tmp_path):
    at = SMALL.index("--steps")
    timed = [*SMALL[:at], *SMALL[at + 2 :], "--hidden", "6", "--minutes", "0.02"]
    code, _, err = nlm("train", corpus, *timed, "--out", "run")
    assert code == 0
    assert re.search(r"^steps of \d+ tokens for 1\.2 s, 1 thread$", err, re.M) and re.search(r"perplexity [\d.]+  [01]\.\d s left", err)
    assert "minutes: 0.02" in (tmp_path / "run" / "config.yaml").read_text()
    result = document("train", corpus, *timed, "--optimizer", "adamw", "--weight-decay", "0.3", "--out", "other")
    assert set(result) == FINISHED and result["steps"] >= 1 and not result["interrupted"]
    assert "weight-decay: 0.3" in (tmp_path / "other" / "config.yaml").read_text()


def test_early_stopping_is_reported(nlm, corpus):
    diverging = [
        "--steps",
        "500",
        "--eval-every",
        "1",
        "--patience",
        "2",
        "--optimizer",
        "sgd",
        "--lr",
        "5",
        "--clip",
        "0",
        "--hidden",
        "6",
    ]
    code, out, err = nlm("train", corpus, *SMALL, *diverging)
    assert code == 0, err
    assert err.count("early stopping: no improvement in 2 evaluations\n") == 1
    assert "(interrupted)" not in out and "500 steps in" not in out


def test_suggested_command_is_quoted_and_its_prompt_is_from_the_text(nlm, tmp_path):
    (tmp_path / "a b$.txt").write_text("the ants sat on it's mat, she said\n" * 40)
    out = nlm("train", "a b$.txt", *SMALL)[1]
    command = next(line for line in out.splitlines() if line.startswith("next: nlm "))
    assert command.endswith('--prompt "the ants sat"')
    code, out, _ = nlm(*shlex.split(command)[2:], "--length", "3")
    assert code == 0 and out.startswith("the ants sat")


def test_text_of_rare_words_gets_advice_on_the_vocabulary(nlm, tmp_path):
    (tmp_path / "rare.txt").write_text(" ".join(f"w{i}" for i in range(400)) + "\n")
    err = nlm("train", "rare.txt", "--steps", "1", "--embed", "4", "--hidden", "4", "--batch-size", "4")[2]
    assert "--min-count 1 or --tokenizer char" in err


def test_nothing_held_out_is_reported_by_train_and_eval(nlm, tmp_path):
    (tmp_path / "few.txt").write_text("the ants sat .\na cat sat .\n" * 20)
    err = nlm("train", "few.txt", *SMALL, "--by", "line", "--out", "run")[2]
    assert "nothing held out" in err and "--valid-fraction" in err
    assert nlm("eval", "--run", "run") == (2, "", "nlm: the run has no held-out text; give a file or --text\n")


def test_model_and_optimizer_options_are_saved(document, corpus, tmp_path):
    document("train", corpus, *SMALL, "--hidden", "6", "--layers", "2", "--optimizer", "momentum", "--beta", "0.3", "--out", "run")
    config = (tmp_path / "run" / "config.yaml").read_text()
    for line in ("hidden: 6", "layers: 2", "optimizer: momentum", "beta: 0.3", "seq-len: 8", "steps: 4"):
        assert line in config.splitlines()


# eval

METRICS = {
    "text", "tokens", "characters", "bytes", "unknowns", "nats", "nats_known", "top1", "top5", "nats_per_token", "perplexity",
    "bits_per_token", "bits_per_character", "bits_per_byte", "unknown_rate", "perplexity_known", "floor_perplexity",
    "nats_per_token_known", "bits_per_token_known", "top1_known", "top5_known", "line_ends", "line_ends_counted",
}  # fmt: skip


def test_eval_of_a_string(document, run):
    metrics = document("eval", "--run", run, "--text", "the ants")
    assert set(metrics) == METRICS
    assert (metrics["tokens"], metrics["characters"], metrics["text"]) == (8, 8, "--text")


def test_product_of_the_token_probabilities_is_the_probability_of_the_text(nlm, run):
    code, out, _ = nlm("eval", "--run", run, "--text", "the Q", "--tokens", "--json")
    *each, metrics = map(json.loads, out.splitlines())
    assert code == 0 and set(metrics) == METRICS
    assert [token["token"] for token in each] == ["t", "h", "e", "␣", "<unk>"]
    assert [token["piece"] for token in each] == ["t", "h", "e", " ", "Q"]
    assert math.prod(token["p"] for token in each) == pytest.approx(math.exp(-metrics["nats"]))
    assert set(each[0]) == {"token", "piece", "p", "nats", "bits", "rank"}
    code, out, err = nlm("eval", "--run", run, "--text", "the Q", "--tokens")
    assert code == 0 and f"P(text) = product = {surprisal.scientific(metrics['nats'])} = exp(-{metrics['nats']:.3f})" in out
    lines = out.splitlines()
    assert [line.split("  ")[0] for line in lines[:6]] == ["factor", "P(t)", "P(h | t)", "P(e | th)", "P(␣ | the)", "P(Q (<unk>) | the␣)"]
    assert lines[5].endswith(surprisal.scientific(metrics["nats"]))
    assert re.search('^text +"the Q"$', out, re.M) and re.search("^ +all tokens  without <unk>$", out, re.M)
    assert re.search(rf"^perplexity +{metrics['perplexity']:.2f} +{metrics['perplexity_known']:.2f}$", out, re.M)
    assert err == f"{scores.UNK_NOTE}\n"


def test_context_of_a_factor_starts_with_its_line_and_is_cut_from_the_left(nlm, corpus):
    nlm("train", corpus, "--model", "ngram", "--by", "line", "--out", "lines")
    text = "a cat sat on the mat , and the ants sat\nants"
    out = nlm("eval", "--run", "lines", "--text", text, "--tokens")[1].splitlines()
    assert out[2].startswith("P(cat | a) ") and out[13].startswith("P(ants) ")
    assert out[11].startswith("P(sat | … on the mat , and the ants) ")
    out = nlm("eval", corpus, "--run", "lines", "--tokens")[1]
    assert out.startswith("token ") and "product so far" not in out


def test_probability_below_the_range_of_a_float():
    for nats in (0, math.log(2), 2.3, 1e3, 1e5, math.log(1000)):
        digits, exponent = surprisal.scientific(nats).split("e")
        assert Decimal(digits).scaleb(int(exponent)) == pytest.approx(Decimal(-nats).exp(), rel=Decimal("0.0005"))
        assert 1 <= float(digits) < 10 and len(digits) == 5
    assert surprisal.scientific(math.inf) == "0"


def test_line_ends_are_counted_unless_no_eos(document, nlm, run):
    given = ("eval", "--run", run, "--text", "the ants\nsat\n")
    metrics = [document(*given), document(*given, "--no-eos")]
    assert [(each["tokens"], each["characters"], each["line_ends"]) for each in metrics] == [(13, 13, 2), (11, 11, 2)]
    assert [each["line_ends_counted"] for each in metrics] == [True, False] and metrics[0]["nats"] > metrics[1]["nats"]
    assert re.search("^line ends +2, counted as tokens$", nlm(*given)[1], re.M)
    assert re.search("^line ends +2, read but not counted$", nlm(*given, "--no-eos")[1], re.M)
    assert nlm("eval", "--run", run, "--text", "\n\n", "--no-eos") == (
        2,
        "",
        "nlm: the text has no tokens but line ends to score; give another\n",
    )


def test_table_of_several_runs(document, nlm, run, corpus):
    document("train", corpus, "--model", "ngram", "--out", "counts")
    alone = [document("eval", corpus, "--run", each) for each in (run, "counts")]
    table = document("eval", corpus, "--run", run, "--run", "counts")
    assert table == {"runs": [{"run": str(run), "model": "rnn"} | alone[0], {"run": "counts", "model": "ngram"} | alone[1]]}
    code, out, err = nlm("eval", corpus, "--run", run, "--run", "counts")
    head, *rows = (line.split() for line in out.splitlines())
    assert head == ["run", "model", "tokens", "perplexity", "nats/token", "bits/char", "bits/byte", "top-1", "top-5"]
    figures = [
        ("perplexity", ",.2f"),
        ("nats_per_token", ".4f"),
        ("bits_per_character", ".4f"),
        ("bits_per_byte", ".4f"),
        ("top1", ".2%"),
        ("top5", ".2%"),
    ]
    for row, name, each in zip(rows, (str(run), "counts"), alone, strict=True):
        assert row[0] == name and row[3:] == [format(each[key], digits) for key, digits in figures]
    assert (code, err) == (0, "")
    assert "held out different texts; give a FILE" not in nlm("eval", "--run", run, "--run", "counts")[2]
    document("train", corpus, "--model", "ngram", "--valid-fraction", "0.2", "--out", "other")
    assert "held out different texts; give a FILE" in nlm("eval", "--run", run, "--run", "other")[2]
    assert "unknown" in nlm("eval", "--run", run, "--run", "counts", "--text", "Q the")[1].splitlines()[0].split()


def test_dynamic_evaluation(document, nlm, run, corpus):
    static, metrics = document("eval", corpus, "--run", run), document("eval", corpus, "--run", run, "--dynamic")
    assert set(metrics) == METRICS | {"dynamic", "static"} and metrics["nats"] < static["nats"]
    assert {key: metrics["dynamic"][key] for key in ("rule", "lr", "segment")} == {"rule": "sgd", "lr": 0.03, "segment": 20}
    assert metrics["static"] == {key: static[key] for key in METRICS - {"text", "floor_perplexity"}}
    given = ("--dynamic", "--dynamic-lr", "0.2", "--dynamic-segment", "7")
    other = document("eval", corpus, "--run", run, *given)
    assert (other["dynamic"]["lr"], other["dynamic"]["segment"]) == (0.2, 7) and other["nats"] != metrics["nats"]
    code, out, err = nlm("eval", corpus, "--run", run, *given)
    steps = -(-metrics["tokens"] // 7)
    assert (code, err) == (0, "") and re.search(f"^dynamic +{steps} steps of sgd with learning rate 0.2, segments of 7 tokens$", out, re.M)
    assert re.search(rf"^perplexity +{static['perplexity']:.2f} +{other['perplexity']:.2f}$", out, re.M)
    *each, _ = nlm("eval", corpus, "--run", run, *given, "--tokens", "--json")[1].splitlines()
    assert math.fsum(json.loads(line)["nats"] for line in each) == pytest.approx(other["nats"])
    _, out, err = nlm("eval", corpus, "--run", run, "--run", run, "--dynamic")
    assert out.split()[:5] == ["run", "model", "tokens", "static", "perplexity"] and "static: " in err


def test_help_has_the_defaults_of_dynamic_evaluation(nlm):
    words = " ".join(nlm("eval", "--help")[1].replace("│", " ").split())
    assert (
        "[default: " + ", ".join(f"{rule} {rate:g}" for rule, rate in dynamic.RATES.items()) + "]" in words
        and f"[default: {dynamic.SEGMENT}]" in words
    )


def test_eval_of_a_file(document, run, corpus):
    assert document("eval", corpus, "--run", run)["tokens"] == len(corpus.read_text())


def test_interpolation_of_two_runs(document, nlm, run, corpus):
    document("train", corpus, "--model", "ngram", "--tokenizer", "char", "--out", "counts")
    alone = [document("eval", "--run", each)["nats"] for each in (run, "counts")]
    best = document("eval", "--run", run, "--mix", "counts")
    assert set(best) == METRICS | {"mix", "static"} and best["static"]["nats"] == alone[0]
    (other,) = best["mix"]["runs"]
    assert other["run"] == "counts" and best["mix"]["fitted"] and best["mix"]["weight"] + other["weight"] == pytest.approx(1)
    assert best["nats"] <= min(alone) * (1 + 1e-6)
    for weight in (0.2, 0.5):  # the n-gram model is far better on so small a text
        given = document("eval", "--run", run, "--mix", f"counts:{weight}")
        assert given["mix"] == {"weight": 1 - weight, "runs": [{"run": "counts", "weight": weight}], "fitted": False}
        assert min(alone) < given["nats"] < max(alone)
    code, out, _ = nlm("eval", "--run", run, "--mix", "counts", "--tokens", "--text", "the ants")
    assert code == 0 and re.search(r"^mixture +\d\.\d{4} of the run, \d\.\d{4} of counts, fitted on the run's held-out text$", out, re.M)
    assert out.startswith("factor ") and "P(text) = product" in out


def test_dynamic_evaluation_a_cache_and_two_runs_in_one_go(document, nlm, run, corpus):
    document("train", corpus, "--model", "ngram", "--tokenizer", "char", "--out", "counts")
    document("train", corpus, "--model", "window", "--tokenizer", "char", "--steps", "20", "--out", "window")
    given = ("--run", run, "--dynamic", "--cache", "50", "--mix", "counts", "--mix", "window")
    all_of_them = document("eval", *given)
    assert set(all_of_them) == METRICS | {"mix", "dynamic", "cache", "static"}
    weights = [all_of_them["mix"]["weight"], *(each["weight"] for each in all_of_them["mix"]["runs"]), all_of_them["cache"]["weight"]]
    assert sum(weights) == pytest.approx(1) and min(weights) >= 0 and len(weights) == 4
    fewer = [document("eval", "--run", run, *each)["nats"] for each in (("--dynamic",), ("--mix", "counts"), ("--cache", "50"))]
    assert all_of_them["nats"] < min(fewer)
    code, out, _ = nlm("eval", *given)
    assert code == 0 and re.search(r"^ +static +dynamic \+ mix \+ cache$", out, re.M)
    assert re.search(r"^cache +50 tokens, θ [\d.]+, weight \d\.\d{4}, fitted on the run's held-out text$", out, re.M)
    assert re.search(r"^mixture +\d\.\d{4} of the run, \d\.\d{4} of counts, \d\.\d{4} of window, fitted", out, re.M)
    lines = nlm("eval", *given, "--tokens", "--json")[1].splitlines()[:-1]
    assert math.fsum(json.loads(line)["nats"] for line in lines) == pytest.approx(all_of_them["nats"])
    code, _, err = nlm("eval", "--run", run, "--mix", "counts:0.2", "--mix", "window")
    assert code == 2 and "give the weight of each --mix and --cache, or none of them" in err
    code, _, err = nlm("eval", "--run", run, "--mix", "counts:0.7", "--mix", "window:0.7")
    assert code == 2 and "add up to 1.4, more than 1" in err


# generate


def test_same_seed_generates_the_same_text(nlm, document, run):
    arguments = ("generate", "--run", run, "--prompt", "the ants", "--length", "20", "--seed", "7")
    code, out, err = nlm(*arguments)
    assert code == 0 and err == "" and len(out) == 29
    assert nlm(*arguments)[1] == out
    assert document(*arguments) == {"prompt": "the ants", "texts": [out[:-1]]}


def test_generate_several_texts(nlm, document, run):
    generated = document("generate", "--run", run, "--num", "3", "--length", "10", "--seed", "1")
    assert len(set(generated["texts"])) == 3
    assert nlm("generate", "--run", run, "--num", "3", "--length", "10", "--seed", "1")[1] == (
        "{}\n--- 2 of 3 ---\n{}\n--- 3 of 3 ---\n{}\n".format(*generated["texts"])
    )


def test_generation_with_a_cache(document, nlm, run):
    arguments = ("generate", "--run", run, "--prompt", "the ants saw the ants", "--length", "20", "--seed", "7")
    plain, fitted = document(*arguments), document(*arguments, "--cache", "50")
    given = document(*arguments, "--cache", "50", "--cache-theta", "1", "--cache-weight", "0.9")
    assert plain != given and all(text.startswith("the ants saw the ants") for each in (fitted, given) for text in each["texts"])
    assert document(*arguments, "--cache", "50", "--cache-theta", "1", "--cache-weight", "0") == plain
    code, _, err = nlm(*arguments, "--cache-theta", "1")
    assert code == 2 and "--cache-theta has no effect without --cache; add --cache" in err


def test_alternatives_beside_each_token(nlm, document, run):
    text = "the ants"
    _, out, _ = nlm("eval", "--run", run, "--text", text, "--tokens", "--alternatives", 3, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    *tokens, _ = rows
    for t, token in enumerate(tokens):
        best = document("generate", "--run", run, "--prompt", text[:t], "--probs", 3)["next"]
        assert [each["token"] for each in token["alternatives"]] == [each["token"] for each in best]
        if token["rank"] == 1:
            assert token["alternatives"][0] == {"token": token["token"], "p": pytest.approx(token["p"])}
    table = nlm("eval", "--run", run, "--text", text, "--tokens", "--alternatives", 2)[1].splitlines()
    assert table[0].endswith("most probable")
    best = tokens[0]["alternatives"]
    assert table[1].endswith(", ".join(f"{each['token']} {report.probability(each['p'], 2)}" for each in best[:2]))
    for options, message in (
        (["--alternatives", 3], "--alternatives has no effect without --tokens"),
        (["--tokens", "--alternatives", 0], "--alternatives"),
        (["--tokens", "--alternatives", 3, "--dynamic"], "--alternatives and --dynamic cannot be combined"),
    ):
        code, out, err = nlm("eval", "--run", run, "--text", text, *options)
        assert code == 2 and out == "" and message in err


def test_next_tokens_as_a_bar_chart(nlm, document, run):
    generated = document("generate", "--run", run, "--prompt", "the ant", "--probs", "4")
    assert set(generated) == {"prompt", "next"} and len(generated["next"]) == 4
    probabilities = [token["p"] for token in generated["next"]]
    assert probabilities == sorted(probabilities, reverse=True)
    code, out, _ = nlm("generate", "--run", run, "--prompt", "the ant", "--probs", "4")
    assert code == 0 and out.startswith("the ant ____\n") and out.count("\n") == 5
    assert f"{probabilities[0]:.4f}  {report.bar(probabilities[0])}\n" in out


def test_unseen_character_in_a_prompt_is_reported(nlm, run):
    code, _, err = nlm("generate", "--run", run, "--prompt", "Q", "--length", "1")
    assert code == 0 and "never seen in training" in err
    assert nlm("generate", "--run", run, "--prompt", "Q", "--length", "1", "--quiet")[2] == ""


def test_sampling_options_can_make_it_greedy(document, run):
    greedy = document("generate", "--run", run, "--greedy", "--length", "12")
    for option in (("--top-k", "1"), ("--temperature", "0"), ("--top-p", "0.0001"), ("--min-p", "1")):
        assert document("generate", "--run", run, *option, "--length", "12") == greedy


# gradcheck


def test_gradcheck_lists_every_gradient(nlm, document):
    code, out, _ = nlm("gradcheck", "--layer", "linear")
    assert code == 0 and out.count(" ok\n") == 3 and "all 3 gradients agree" in out
    checked = document("gradcheck", "--model", "rnn")
    assert checked["passed"] is True
    assert set(checked["rows"][0]) == {"kind", "of", "name", "shape", "largest", "error", "passed"}
    everything = {(row["kind"], row["of"]) for row in document("gradcheck")["rows"]}
    assert everything >= {("layer", "linear"), *(("model", name) for name in neural_names())}
    assert "relative error" in out and max(map(len, out.splitlines())) <= 80


def test_gradcheck_fails_at_zero_tolerance(nlm):
    code, out, err = nlm("gradcheck", "--layer", "tanh", "--tolerance", "0")
    assert code == 1 and "WRONG" in out and err == ""
    assert nlm("gradcheck", "--layer", "tanh", "--tolerance", "0", "--quiet")[0] == 1


def test_version(nlm):
    import nlmcli

    assert nlm("--version") == (0, f"nlm {nlmcli.__version__}\n", "")


def test_choose_takes_numbers_and_text(run, process):
    completed = process("generate", "--run", run, "--prompt", "the", "--choose", "3", "--length", "3", input="2\n\nants\n")
    assert completed.returncode == 0, completed.stderr
    first, *_, last = completed.stdout.split(" ____\n")
    rows = [block.splitlines()[:3] for block in completed.stdout.split(" ____\n")[1:]]
    assert first == "the" and all([row.split()[0] for row in three] == ["1", "2", "3"] for three in rows)
    second_choice, first_choice = rows[0][1].split()[1], rows[1][0].split()[1]
    blank = {"␣": " ", "\\n": "\n"}
    assert last.endswith("the" + blank.get(second_choice, second_choice) + blank.get(first_choice, first_choice) + "ants\n")


def test_interactive_reads_prompts_to_the_end_of_stdin(run, process):
    completed = process("generate", "--run", run, "-i", "--length", "5", "--seed", "2", input="the\nants\n")
    single = process("generate", "--run", run, "--prompt", "ants", "--length", "5", "--seed", "2")
    lines = completed.stdout.splitlines()
    assert completed.returncode == 0 and lines[0].startswith("the") and completed.stdout.endswith(single.stdout)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--beam", "2", "--choose", "2"), "--beam and --choose cannot be combined"),
        (("--beam", "2", "--num", "2"), "--num has no effect together with --beam"),
        (("--beam", "2", "--top-k", "2"), "--beam does not sample"),
        (("--beam", "0"), "--beam 0 is too small"),
        (("--repetition-penalty", "0"), "--repetition-penalty 0.0 is too small; give a number above 0"),
    ],
)
def test_incompatible_generate_options(run, arguments, sentence, capsys):
    assert main(["generate", "--run", str(run), *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_beam_of_width_1_is_greedy(run, capsys):
    texts = []
    for arguments in (("--greedy",), ("--beam", "1"), ("--beam", "5")):
        assert main(["generate", "--run", str(run), "--prompt", "the", "--length", "8", *arguments]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] and texts[2].startswith("the")
