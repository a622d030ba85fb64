"""nlm report: the figures in the page are those of the other commands, and no text in it is more than text."""

import base64
import hashlib
import html.parser
import json
import math
import re

import numpy as np
import pytest
from browser import CHROMIUM, Page, complaints

from nlmcli.cli import page
from nlmcli.cli.app import main
from nlmcli.cli.page import chart
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.training.metrics import read_rows
from nlmcli.engine.training.samples import keep_until, read_samples
from nlmcli.engine.viewing import inside
from nlmcli.engine.viewing.summary import summary
from nlmcli.engine.writing.generate import next_words

CURVES = ("train_loss", "valid_loss", "learning_rate", "gradient_norm", "tokens_per_second", "valid_loss by seconds")
VOID = {"meta", "link", "input"}


class Parser(html.parser.HTMLParser):
    """The elements of a page, and the text in each kind; fails if they are not nested."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts, self.ids = [], [], {}, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)


def written(tmp_path, *runs):
    """The page of these runs.  -> its text, its elements, what its script reads"""
    assert main(["report", *map(str, runs), "--out", str(tmp_path / "page.html"), "--quiet"]) == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    parsed = Parser(text)
    assert len(parsed.ids) == len(set(parsed.ids))
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return text, parsed, json.loads(data[1])


@pytest.fixture
def runs(training):
    """Runs of several models, by name."""
    made = {}
    for name, more in (("lstm", {}), ("transformer", {"context": 16}), ("ngram", {"context": 3}), ("additive", {})):
        list((run := training(name, valid_fraction=0.3, eval_every=5, **more)).run())
        made[name] = run.folder
    return made


def test_figures_are_those_of_eval_inspect_and_metrics(runs, tmp_path):
    text, parsed, data = written(tmp_path, runs["lstm"])
    lm = LanguageModel.load(runs["lstm"])
    rows = read_rows(runs["lstm"] / "metrics.csv")
    expected = [[float(row["step"]), float(row["valid_loss"])] for row in rows if row["valid_loss"]]
    (valid,) = [series for series in data["charts"][0]["series"] if series["name"] == "validation"]
    assert valid["points"] == expected
    (train,) = [series for series in data["charts"][0]["series"] if series["name"] == "training"]
    assert train["points"] == [[float(row["step"]), float(row["train_loss"])] for row in rows if not row["valid_loss"]]
    passage = "".join(parsed_pieces(lm, data))
    held_out = str(evaluate.held_out_texts(lm).valid)
    assert held_out.startswith(passage)
    tokens = list(evaluate.each_token(lm, passage))
    assert [token["bits"] for token in data["passage"]] == pytest.approx([token["bits"] for token in tokens])
    assert [token["rank"] for token in data["passage"]] == [token["rank"] for token in tokens]
    for t in (0, 3, len(tokens) - 1):
        best = next_words(lm, passage[:t], len(data["passage"][t]["choices"]))
        assert [name for name, _ in data["passage"][t]["choices"]] == [name for name, _ in best]
        shares = np.array([p for _, p in data["passage"][t]["choices"]]) / [p for _, p in best]
        np.testing.assert_allclose(shares, shares[0], rtol=1e-4)  # what <unk> has is not shared out here
        assert shares[0] <= 1
    h = inside.hidden(lm, inside.read(lm, passage))
    chosen = summary(runs["lstm"])["units"][0]
    np.testing.assert_allclose(data["units"][0]["values"], 100 * inside.unit(h, chosen["unit"]), atol=0.51)
    best = min(loss for _, loss in expected)
    assert f"best validation loss {best:.4f} nats per token, perplexity {math.exp(best):,.2f}" in text
    assert "h_t = o tanh(c_t)" in text and f"nlm train --config {runs['lstm']}/config.yaml" in text
    assert [step for step, _ in read_samples(runs["lstm"])] == [5, 10, 15, 20]
    for _, sample in read_samples(runs["lstm"]):
        assert sample.split("\n")[0] in " ".join(parsed.texts["p"])


def parsed_pieces(lm, data):
    return [lm.tokenizer.vocabulary[lm.tokenizer.index[token["token"].replace("␣", " ").replace("\\n", "\n")]] for token in data["passage"]]


def test_every_kind_of_run_has_its_parts(runs, tmp_path):
    has = {"transformer": ("attention", "units"), "ngram": ("orders",), "additive": ("units",)}
    for name, parts in has.items():
        _, parsed, data = written(tmp_path, runs[name])
        assert set(parts) <= set(parsed.ids)
        assert ("attention" in data) == (name == "transformer")
    lm = LanguageModel.load(runs["transformer"])
    _, _, data = written(tmp_path, runs["transformer"])
    text = "".join(parsed_pieces(lm, data))[: len(data["attention"]["tokens"]) - 1]
    shares = inside.attention(lm, inside.read(lm, text))
    np.testing.assert_allclose(data["attention"]["shares"], 100 * shares, atol=0.51)


def test_several_runs_side_by_side(runs, tmp_path):
    text, _, data = written(tmp_path, *runs.values())
    assert all(str(folder) in text for folder in runs.values())
    assert {series["name"] for series in data["charts"][1]["series"]} == {str(folder) for folder in runs.values()}


def test_a_task(tmp_path):
    lines = [f"{'good' if k % 3 else 'bad'}\tthe {'ants' if k % 3 else 'cats'} <b> sat & {k} .\n" for k in range(60)]
    (tmp_path / "t.tsv").write_text("".join(lines))
    small = ["--steps", "30", "--embed", "6", "--hidden", "6"]
    assert (
        main(["train", str(tmp_path / "t.tsv"), "--task", "classify", "--model", "rnn", "--out", str(tmp_path / "run"), "--quiet", *small])
        == 0
    )
    text, _, _ = written(tmp_path, tmp_path / "run")
    assert "What is said to be what" in text and "accuracy" in text


NASTY = [
    "</script><script>document.title='run'</script>",
    "<img src=x onerror=document.title='run'> \"'` &amp; <!-- ]]>",
    "\u202eevil\u202c \u2066x\u2069 \x1b[31m \x07 \u2028 \ufeff",
    "</style></textarea></title><svg onload=alert(1)>",
    "a" * 200_000,
]


@pytest.mark.parametrize("tokenizer", ["char", "whitespace", "byte"])
def test_no_text_is_more_than_text(tmp_path, tokenizer):
    corpus = "\n".join(NASTY * 2) + "\n" + "\n".join(NASTY[:4] * 40) + "\n"
    (tmp_path / "nasty<b>.txt").write_text(corpus, encoding="utf-8", errors="surrogatepass")
    run, small = tmp_path / "run<b>", ["--steps", "4", "--embed", "4", "--hidden", "4", "--eval-every", "2", "--batch-size", "4"]
    corpus_and_out = [str(tmp_path / "nasty<b>.txt"), "--out", str(run)]
    assert main(["train", *corpus_and_out, "--tokenizer", tokenizer, *small, "--quiet", "--model", "rnn"]) == 0
    text, parsed, _ = written(tmp_path, run)
    scripts = [attributes for tag, attributes in parsed.elements if tag == "script"]
    assert len(scripts) == 2 and scripts[0] == {"type": "application/json", "id": "data"} and scripts[1] == {}
    assert not [tag for tag, _ in parsed.elements if tag in ("img", "iframe", "object", "textarea", "form")]
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on") or name == "style"]
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text)
    assert len(text) < 3_000_000


def test_the_policy_allows_exactly_this_style_and_script(runs, tmp_path):
    text, parsed, _ = written(tmp_path, runs["lstm"])
    (policy,) = [attributes["content"] for tag, attributes in parsed.elements if attributes.get("http-equiv") == "Content-Security-Policy"]
    for kind in ("style", "script"):
        (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        assert f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    assert not re.search(r"(src|href)=.(?!#|data:,)", text) and "http://" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    page = Page(tmp_path_factory.mktemp("browser"))
    yield page
    page.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_in_a_browser_nothing_is_wrong(runs, tmp_path, browser, width, dark):
    for name, folder in runs.items():
        written(tmp_path, folder)
        browser.open(tmp_path / "page.html", width, dark=dark)
        assert browser.run("document.documentElement.className") == "scripted"
        assert complaints(browser) == {}, name
        assert browser.logged == [] and set(browser.requests) <= {(tmp_path / "page.html").as_uri(), "data:,"}, name
    written(tmp_path, *runs.values())
    browser.open(tmp_path / "page.html", width, dark=dark)
    assert complaints(browser) == {} and browser.logged == []


def test_what_a_reader_can_do(runs, tmp_path, browser):
    _, _, data = written(tmp_path, runs["transformer"])
    browser.open(tmp_path / "page.html")
    browser.hover("#passage span:nth-child(3)")
    detail = browser.run("document.querySelector('#detail').textContent")
    expected = data["passage"][2]
    assert f"{expected['bits']:.2f} bits" in detail and all(name in detail for name, _ in expected["choices"])
    browser.touch("#passage span:nth-child(8)")
    assert f"{data['passage'][7]['bits']:.2f} bits" in browser.run("document.querySelector('#detail').textContent")
    browser.run("document.querySelector('#passage').focus()")
    browser.press("ArrowRight")
    assert browser.run("[...document.querySelectorAll('#passage span')].indexOf(document.querySelector('#passage .chosen'))") == 8
    browser.press("Home")
    assert browser.run("document.querySelectorAll('#passage span')[0].className").endswith("chosen")
    for number, chart_data in enumerate(data["charts"][:1]):
        browser.hover(f"svg[data-chart='{number}']")
        output = browser.run(f"document.querySelector(\"svg[data-chart='{number}']\").parentElement.querySelector('output').textContent")
        assert all(f"{series['name']} " in output for series in chart_data["series"]) and " at " in output
        browser.run(f"document.querySelector(\"svg[data-chart='{number}']\").focus()")
        browser.press("End")
        output = browser.run(f"document.querySelector(\"svg[data-chart='{number}']\").parentElement.querySelector('output').textContent")
        assert all(f"at {series['points'][-1][0]:g}" in output for series in chart_data["series"])
    token = data["embeddings"]["tokens"][4]
    browser.run("document.querySelector('#search').focus()")
    for c in token:
        browser.press(c)
    assert browser.run("document.querySelector('#search').value") == token
    neighbors = browser.run("document.querySelector('#neighbors').textContent")
    assert neighbors.startswith(f"{token}: {data['embeddings']['tokens'][data['embeddings']['neighbors'][4][0][0]]} ")
    colors = "[...document.querySelectorAll('#units span')].map((e) => e.className)"
    before = browser.run(colors)
    browser.run("document.querySelector('#unit').value = 2; document.querySelector('#unit').dispatchEvent(new Event('change'))")
    expected = [level_of(value) for value in data["units"][2]["values"]]
    assert browser.run(colors) == expected != before
    assert browser.logged == [] and complaints(browser) == {}


def level_of(value):
    level = min(8, math.ceil(abs(value) / 12.5))
    return f"{'w' if value > 0 else 'c'}{level}" if level else ""


def test_without_a_script_the_page_is_readable(runs, tmp_path, browser):
    text, _, _ = written(tmp_path, runs["lstm"])
    bare = text.replace("<script>", "<template>").replace("</script>\n</body>", "</template>\n</body>")
    (tmp_path / "bare.html").write_text(bare, encoding="utf-8")
    browser.open(tmp_path / "bare.html")
    assert browser.run("document.documentElement.className") == ""
    assert not browser.run("[...document.querySelectorAll('.needs-script')].some((e) => e.getClientRects().length)")
    assert browser.run("[...document.querySelectorAll('#units [class]')].length > 5")
    assert complaints(browser) == {} and browser.logged == []


def test_the_policy_blocks_what_was_planted(runs, tmp_path, browser):
    text, _, _ = written(tmp_path, runs["transformer"])
    planted = text.replace("</main>", "<script>document.title = 'planted'</script><p style='color: red' onclick='x()'></p></main>")
    (tmp_path / "planted.html").write_text(planted, encoding="utf-8")
    browser.open(tmp_path / "planted.html")
    assert browser.run("document.title") != "planted"
    assert any("Content Security Policy" in str(entry) for entry in browser.logged)


def test_ticks_and_numbers_of_axes():
    assert chart.ticks(0, 10) == pytest.approx([0, 5, 10]) or len(chart.ticks(0, 10)) <= 6
    for low, high in ((0, 1), (1e-7, 3e-7), (-5, 12345), (2.0, 2.001)):
        found = chart.ticks(low, high)
        assert 2 <= len(found) <= 6 and all(low - 1e-9 <= value <= high + 1e-9 * max(1, abs(high)) for value in found)
    assert [chart.number_of(x) for x in (0, 1e-5, 0.00025, 0.001, 2.5, 12000, 3e6)] == ["0", "1e-5", "2.5e-4", "0.001", "2.5", "12k", "3M"]
    assert chart.svg(chart.Chart("t", "x", [chart.Series("a", [(1, math.nan)])]), 0) == []
    assert page.build([summary_of_nothing()]).startswith("<!doctype html>")


def summary_of_nothing():
    return {
        "run": "r", "model": "rnn", "parameters": 0, "types": 0, "about": {}, "samples": [], "equations": "", "command": "", "shapes": {},
        "settings": {}, "versions": {},
        "curves": {name: [] for name in CURVES},
    }  # fmt: skip


def test_samples_of_later_steps_are_removed(tmp_path):
    (tmp_path / "samples.jsonl").write_text('{"step": 1, "text": "a"}\n{"step": 5, "text": "b\\n"}\n{"st')
    assert read_samples(tmp_path) == [(1, "a"), (5, "b\n")]
    keep_until(tmp_path, 4)
    assert read_samples(tmp_path) == [(1, "a")]
    assert read_samples(tmp_path / "none") == []


def test_models_of_other_programs_and_checkpoints(runs, tmp_path, capsys):
    assert main(["export", str(runs["ngram"]), str(tmp_path / "counts.arpa"), "--quiet"]) == 0
    text, parsed, _ = written(tmp_path, tmp_path / "counts.arpa")
    assert "Katz 1987" in text and "Repeat it" not in text and "about" in parsed.ids
    assert main(["export", str(runs["transformer"]), str(tmp_path / "folder"), "--to", "hf", "--quiet"]) == 0
    text, _, _ = written(tmp_path, tmp_path / "folder")
    assert "Repeat it" not in text
    _, _, data = written(tmp_path, runs["lstm"])
    _, _, of_checkpoint = written(tmp_path, runs["lstm"] / "best.npz")
    assert of_checkpoint == data
    capsys.readouterr()
    for run, text in ((runs["ngram"], "the"), (tmp_path / "counts.arpa", "t h e")):
        assert main(["inspect", str(run), "--orders", text, "--json"]) == 0
    one, other = (json.loads(line)["tokens"] for line in capsys.readouterr().out.splitlines())
    assert one == other[:3] and [each["context_seen"] for each in one] == [1, 2, 2]
