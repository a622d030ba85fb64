"""The parts of a page. Each returns lines of HTML; what its script needs goes into one dictionary."""

import html
import math
from collections.abc import Iterator, Sequence
from typing import Any

from nlmcli.cli import report
from nlmcli.cli.page.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Series, extent, svg

SCROLLED = '<div class="scroll" tabindex="0" role="group" aria-label="{}">'
END = "<eos>"  # the token of a line end, where tokens are words
OUTSIDE = "O"  # the tag of words outside of all spans
LEVELS = 8  # of a color
BITS_PER_LEVEL = 1.5
EMBEDDING_SIZE, MARGIN = (640, 448), 24
LABEL_SIZES = (11, 17)  # font sizes of the names of types, on a wide and on a narrow screen, as in style.css
LOSSES = {
    "classify": "loss, nats per text",
    "tag": "loss, nats per word",
    "regress": "squared error, in standard deviations",
}
REASONS = {
    "best": "best validation loss",
    "step": "steps",
    "bits_per_character": "bits per character",
    "seconds": "time",
    "tokens_per_second": "tokens/s",
}


def shown(value: object) -> str:
    """A text for HTML: control characters visible, and nothing in it markup."""
    return html.escape(report.printable(str(value)), quote=True)


def one(s: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The page of one run."""
    charts = charts_of(s)
    data: dict[str, Any] = {"charts": [chart_data(chart) for chart in charts]}
    parts: list[tuple[str, str, list[str]]] = [("curves", "Curves", figures(charts))]
    if s["samples"]:
        parts.append(("samples", "Samples, as they got better", samples(s["samples"])))
    if s.get("passage"):
        data["passage"] = [{name: token[name] for name in ("token", "bits", "p", "rank", "choices")} for token in s["passage"]]
        parts.append(("text", "A held-out passage, token by token", passage(s["passage"])))
        parts.append(("words", "Hardest and easiest", extremes(s["extremes"])))
    if s.get("units"):
        data["units"] = [{"values": each["values"]} for each in s["units"]]
        parts.append(("inside", "Inside: hidden units", units(s["units"], s["passage"])))
    if s.get("steps"):
        parts.append(("steps", "Inside: step sizes Δ", steps(s["steps"], s["passage"])))
    if s.get("attention"):
        data["attention"] = s["attention"]
        parts.append(("attention-part", "Inside: attention", attention(s["attention"])))
    if s.get("orders"):
        parts.append(("orders", "Inside: how much context was seen", orders(s["orders"], s["passage"])))
    if s.get("embeddings"):
        data["embeddings"] = {name: s["embeddings"][name] for name in ("tokens", "neighbors")}
        parts.append(("map", "Embeddings", embeddings(s["embeddings"])))
    if s.get("answers"):
        parts.append(("answers", "Answers on the held-out part", answers(s["answers"])))
    parts.append(("about", "The run", about(s)))
    kept = [part for part in parts if part[2]]
    links = " ".join(f'<a href="#{name}">{title}</a>' for name, title, _ in kept)
    body = [
        "<header>",
        f"<h1>{shown(s['run'])}</h1>",
        f"<p>{headline(s)}</p>",
        f'<nav aria-label="Parts of this page">{links}</nav>',
        "</header>",
        "<main>",
    ]
    for name, title, lines in kept:
        body += [f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>', *lines, "</section>"]
    return [*body, "</main>"], data


def headline(s: dict[str, Any]) -> str:
    """The run in a sentence."""
    best, figure = s["about"].get("best"), s["about"].get("figure")
    what = f"{shown(s['model'])}, {s['parameters']:,} parameters, {s['types']:,} types"
    if figure:
        return f"{what}; best {shown(figure[0])} {figure[1]:.4f}"
    if best is None:
        return what
    return f"{what}; best validation loss {best:.4f} nats per token, perplexity {math.exp(min(best, 700)):,.2f}"


def charts_of(s: dict[str, Any]) -> list[Chart]:
    """Losses, learning rate, gradient norm and speed against the step."""
    c, best = s["curves"], s["about"].get("best")
    mark = min(c["valid_loss"], key=lambda point: point[1]) if c["valid_loss"] and best is not None else None
    losses = [Series("training", c["train_loss"]), Series("validation", c["valid_loss"])]
    charts = [Chart(LOSSES.get(s.get("task", ""), "loss, nats per token"), "step", losses, s.get("floor"), mark)]
    for name, title in (("learning_rate", "learning rate"), ("gradient_norm", "gradient norm"), ("tokens_per_second", "tokens per second")):
        charts.append(Chart(title, "step", [Series(title, c[name])]))
    return [chart for chart in charts if any(len(series.points) > 1 for series in chart.finite())]


def chart_data(chart: Chart) -> dict[str, Any]:
    """What the script needs to show the values under the pointer."""
    series = chart.finite()
    return {
        "width": WIDTH, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM,
        "extent": extent([x for each in series for x, _ in each.points]),
        "series": [{"name": each.name, "points": each.points} for each in series],
    }  # fmt: skip


def figures(charts: Sequence[Chart]) -> list[str]:
    drawn = [line for k, chart in enumerate(charts) for line in svg(chart, k)]
    return ['<div class="columns wide">', *drawn, "</div>"] if drawn else []


def samples(rows: Sequence[tuple[int, str]]) -> list[str]:
    """The first and the last samples; those between can be opened."""
    lines = [f'<h3>step {step:,}</h3><p class="text">{shown(text)}</p>' for step, text in rows]
    if len(lines) <= 4:
        return lines
    middle = f"<details><summary>{len(lines) - 3:,} samples between</summary>"
    return [lines[0], middle, *lines[1:-2], "</details>", *lines[-2:]]


def colored(pieces: Sequence[str], classes: Sequence[str], titles: Sequence[str]) -> str:
    """A text, each token in a span of its own."""
    spans = []
    for piece, name, title in zip(pieces, classes, titles, strict=True):
        attributes = (f' class="{name}"' if name else "") + (f' title="{shown(title)}"' if title else "")
        spans.append(f"<span{attributes}>{visible_piece(piece)}</span>")
    return "".join(spans)


def visible_piece(piece: str) -> str:
    """The text of a token; its line breaks are kept, and shown, so that there is something to point at."""
    return "\n".join(shown(part) for part in piece.split("\n")).replace("\n", "↵\n") or "∅"


def spaced(tokens: Sequence[dict[str, Any]]) -> list[str]:
    """The pieces of a passage as they are read: words, whose spaces are not part of them, are set apart."""
    pieces = [token["piece"] for token in tokens]
    if any(" " in piece for piece in pieces):
        return pieces
    return ["\n" if piece in ("\n", END) else piece if piece.endswith("\n") else f"{piece} " for piece in pieces]


def level(value: float) -> int:
    """A value from 0 to 1 as one of the levels of a color; 0: none."""
    return min(LEVELS, math.ceil(value * LEVELS - 1e-9)) if value > 0 else 0


def passage(tokens: Sequence[dict[str, Any]]) -> list[str]:
    classes = [f"w{n}" if (n := level(token["bits"] / (LEVELS * BITS_PER_LEVEL))) else "" for token in tokens]
    titles = [f"{token['bits']:.2f} bits, rank {token['rank']:,}" for token in tokens]
    scale = "".join(f'<span class="w{n}">{n * BITS_PER_LEVEL:g}</span>' for n in range(1, LEVELS + 1))
    mean = sum(token["bits"] for token in tokens) / len(tokens)
    return [
        '<p class="soft">The darker, the more surprising, in bits: '
        f'<span class="scale">{scale}</span> and more. Mean {mean:.2f} bits per token.</p>',
        '<p class="soft needs-script">Point at a token, touch it, or move with the arrow keys, to see what the model expected there.</p>',
        f'<div class="text" id="passage" tabindex="0" role="group" aria-label="Passage">{colored(spaced(tokens), classes, titles)}</div>',
        '<div class="detail needs-script" id="detail" aria-live="polite"></div>',
    ]


def extremes(found: dict[str, Any]) -> list[str]:
    lines = ['<p class="soft">Types that occur at least three times at the beginning of the held-out text, by their mean surprisal.</p>']
    lines.append('<div class="columns">')
    for name in ("hardest", "easiest"):
        rows = [(token, f"{bits:.2f}", f"{count:,}") for token, bits, count in found[name]]
        lines += [f"<div><h3>{name.capitalize()}</h3>", *table(("token", "bits", "times"), rows, numeric=(1, 2)), "</div>"]
    return [*lines, "</div>"]


def table(
    head: Sequence[str], rows: Sequence[Sequence[object]], numeric: Sequence[int] = (), marked_up: Sequence[int] = (), name: str = "Table"
) -> list[str]:
    """A table.  numeric: the columns of numbers; marked_up: those that are HTML already"""

    def row(cells: Sequence[object], tag: str) -> str:
        made = []
        for k, cell in enumerate(cells):
            attributes = ' class="n"' if k in numeric else ""
            made.append(f"<{tag}{attributes}>{cell if k in marked_up else shown(cell)}</{tag}>")
        return f"<tr>{''.join(made)}</tr>"

    return [
        SCROLLED.format(name),
        "<table>",
        row(head, "th"),
        *(row(each, "td") for each in rows),
        "</table></div>",
    ]


def units(ranked: Sequence[dict[str, Any]], tokens: Sequence[dict[str, Any]]) -> list[str]:
    options = "".join(
        f'<option value="{k}">unit {each["unit"]}: {shown(each["property"])} ({each["share"]:.0%})</option>'
        for k, each in enumerate(ranked)
    )
    first = ranked[0]
    classes = [f"{'w' if v > 0 else 'c'}{n}" if (n := level(abs(v) / 100)) else "" for v in first["values"]]
    return [
        '<p class="soft">The passage colored by one hidden unit after each token: warm where it is positive, cool where it is negative. '
        "The units that alone explain most of a property of the held-out text come first, with the share of its variance (r²).</p>",
        f'<p class="needs-script"><label>Unit <select id="unit">{options}</select></label></p>',
        f'<p class="soft">Unit {first["unit"]} tells {shown(first["property"])} best of all ({first["share"]:.0%}).</p>',
        f'<div class="text" id="units">{colored(spaced(tokens), classes, [""] * len(tokens))}</div>',
    ]


def steps(layers: Sequence[Sequence[float]], tokens: Sequence[dict[str, Any]]) -> list[str]:
    """The passage by the mean Δ of each layer."""
    lines = [
        '<p class="soft">The darker, the larger the mean step Δ of the layer at this token, between its least and its largest here: '
        "with a large step the state takes the token in and forgets what was before; with a small one it passes the token over.</p>"
    ]
    for l, sizes in enumerate(layers):
        low, high = extent(sizes)
        classes = [f"c{n}" if (n := level((size - low) / (high - low))) else "" for size in sizes]
        lines.append(f"<h3>layer {l + 1}, Δ from {low:.4f} to {high:.4f}</h3>")
        lines.append(f'<div class="text">{colored(spaced(tokens), classes, [f"Δ {size:.4f}" for size in sizes])}</div>')
    return lines


def attention(found: dict[str, Any]) -> list[str]:
    tokens, shares = found["tokens"], found["shares"]
    options = "".join(
        f'<option value="{l},{h}">layer {l + 1}, head {h + 1}</option>' for l, heads in enumerate(shares) for h in range(len(heads))
    )
    rows = []
    for t, token in enumerate(tokens):
        cells = "".join(f'<td class="{f"c{n}" if (n := level(shares[0][0][t][j] / 100)) else ""}"></td>' for j in range(t + 1))
        rows.append(f'<tr><th scope="row">{shown(token)}</th>{cells}</tr>')
    return [
        '<p class="soft">Each row is a token; the darker a square, the more it attends to the token of that column. '
        "Columns are in the order of the rows.</p>",
        f'<p class="needs-script"><label>Show <select id="head">{options}</select></label></p>',
        SCROLLED.format("Attention"),
        f'<table class="attention" id="attention">{"".join(rows)}</table></div>',
    ]


def orders(seen: Sequence[int], tokens: Sequence[dict[str, Any]]) -> list[str]:
    """The passage by how much context of each token the training text had."""
    most = max(1, *seen)
    classes = [f"w{LEVELS // 2}" if n < 0 else f"c{k}" if (k := level(n / most)) else "" for n in seen]
    titles = ["not in the training text" if n < 0 else f"seen after {report.number_of(n, 'token')} of context" for n in seen]
    counts = [
        (("never seen" if n < 0 else f"after {n}"), f"{seen.count(n):,}", f"{seen.count(n) / len(seen):.1%}") for n in range(-1, most + 1)
    ]
    return [
        '<p class="soft">The darker, the more tokens of context were seen together with this one in training; warm: it was never seen.</p>',
        f'<div class="text">{colored(spaced(tokens), classes, titles)}</div>',
        *table(("context", "tokens", "share"), [row for row in counts if row[1] != "0"], numeric=(1, 2)),
    ]


def embeddings(found: dict[str, Any]) -> list[str]:
    """A point for every type, and its name where there is room for one: on a wide screen, or on a narrow one too."""
    width, height = EMBEDDING_SIZE
    places = [(width / 2 + x * (width / 2 - MARGIN), height / 2 - y * (height / 2 - MARGIN)) for x, y in found["points"]]
    wide = with_room(found["tokens"], places, LABEL_SIZES[0], range(len(places)))
    narrow = with_room(found["tokens"], places, LABEL_SIZES[1], wide)
    dots = []
    for k, (token, (x, y)) in enumerate(zip(found["tokens"], places, strict=True)):
        kind = "both" if k in narrow else "wide-only" if k in wide else "unnamed"
        dots.append(
            f'<g class="type {kind}"><circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
            f'<text x="{x:.1f}" y="{y:.1f}" dy="0.35em" text-anchor="middle">{shown(token)}</text></g>'
        )
    first, second = found["variance"]
    return [
        f'<p class="soft">The most frequent types in two dimensions (PCA; {first:.0%} and {second:.0%} of the variance); '
        "a point is a type whose name has no room.</p>",
        '<p class="needs-script"><label>Search <input id="search" autocomplete="off"></label> <output id="neighbors"></output></p>',
        f'<svg id="embeddings" viewBox="0 0 {width} {height}" role="img" aria-label="Embeddings in two dimensions">',
        *dots,
        "</svg>",
    ]


def with_room(names: Sequence[str], places: Sequence[tuple[float, float]], size: float, among: Sequence[int]) -> list[int]:
    """Which of some names can stand at their places, in a type of this size, without touching one before or the edge."""
    kept: dict[int, tuple[float, float, float, float]] = {}
    width, height = EMBEDDING_SIZE
    for k in among:
        x, y = places[k]
        half = size * widest(report.printable(names[k])) / 2 + 1
        box = x - half, y - 0.65 * size, x + half, y + 0.65 * size
        inside = box[0] >= 0 and box[2] <= width and box[1] >= 0 and box[3] <= height
        if inside and not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in kept.values()):
            kept[k] = box
    return list(kept)


def widest(name: str) -> float:
    """The width of a name in font sizes, at most; marks without a cell of their own may yet be drawn as boxes."""
    return sum(1.0 if c in "mwMW@%…" or not c.isascii() else 0.8 if c.isupper() else 0.65 for c in name)


def answers(found: dict[str, Any]) -> list[str]:
    """The figures of a task, its confusion matrix and commonest mistakes."""
    names = ("texts", "words", "accuracy", "floor", "macro_f1", "weighted_f1", "pearson", "spearman", "mse", "mae", "floor_mse", "nats")
    figures = [
        (name.replace("_", " "), f"{found[name]:,}" if isinstance(found[name], int) else f"{found[name]:.4f}")
        for name in names
        if found.get(name) is not None
    ]
    lines = table(("figure", "value"), figures, numeric=(1,))
    if matrix := found.get("confusion"):
        lines += ["<h3>What is said to be what</h3>", *confusion(matrix)]
    if found.get("spans"):
        overall = found["spans"]["overall"]
        rows = [
            (each["type"] or "all", f"{each['precision']:.4f}", f"{each['recall']:.4f}", f"{each['f1']:.4f}")
            for each in (overall, *found["spans"]["types"])
        ]
        lines += ["<h3>Spans</h3>", *table(("type", "precision", "recall", "F1"), rows, numeric=(1, 2, 3))]
    if found.get("mistakes"):
        mistakes = [(each["is"], each["said"], f"{each['count']:,}") for each in found["mistakes"]]
        lines += ["<h3>Commonest mistakes</h3>", *table(("is", "was said to be", "times"), mistakes, numeric=(2,))]
    if found.get("worst"):
        lines += ["<h3>Worst mistakes</h3>", *worst(found["worst"], is_number="mse" in found)]
    if found.get("sentences"):
        lines += ["<h3>The first sentences</h3>", *sentences(found["sentences"])]
    return lines


def worst(rows: Sequence[dict[str, Any]], is_number: bool) -> list[str]:
    """The texts that are answered worst, with the word in question marked."""
    cells = []
    for each in rows:
        parts = [shown(part) for part in each["text"]]
        text = f"{parts[0]} <mark>{parts[1]}</mark> {parts[2]}" if len(parts) == 3 else " / ".join(parts)
        badness = f"{each['badness']:.3g}" if is_number else f"{each['badness']:.0%}"
        cells.append((each["is"], each["said"], badness, text))
    head = ("is", "was said to be", "difference" if is_number else "with probability", "text")
    return table(head, cells, numeric=(2,), marked_up=(3,), name="Worst mistakes")


def sentences(rows: Sequence[Sequence[dict[str, Any]]]) -> list[str]:
    """Sentences with a tag under each word: cool where it is right, warm where it is wrong."""
    lines = ['<p class="soft">Under each word its tag: cool where it is right; where it is wrong, warm, after the right one.</p>']
    for row in rows:
        words = []
        for each in row:
            right = each["is"] == each["said"]
            tag = shown(each["said"]) if right else f"{shown(each['is'])} → {shown(each['said'])}"
            color = ("" if each["said"] == OUTSIDE else "c3") if right else "w5"
            words.append(f'<span class="tagged{f" {color}" if color else ""}">{shown(each["word"])}<small>{tag}</small></span>')
        lines.append(f'<p class="sentence">{" ".join(words)}</p>')
    return lines


def confusion(matrix: dict[str, Any]) -> list[str]:
    labels, counts = matrix["labels"], matrix["counts"]
    rows = []
    for label, row in zip(labels, counts, strict=True):
        total = max(1, sum(row))
        cells = "".join(
            f'<td class="n{f" {kind}{n}" if (n := level(v / total)) else ""}">{v:,}</td>'
            for v, kind in zip(row, kinds(label, labels), strict=True)
        )
        rows.append(f'<tr><th scope="row">{shown(label)}</th>{cells}</tr>')
    head = "".join(f'<th class="n" scope="col">{shown(label)}</th>' for label in labels)
    more = [f'<p class="soft">and {matrix["others"]:,} more labels</p>'] if matrix["others"] else []
    return [SCROLLED.format("Confusion matrix"), f"<table><tr><td></td>{head}</tr>{''.join(rows)}</table></div>", *more]


def kinds(label: str, labels: Sequence[str]) -> Iterator[str]:
    """The color of each cell of a row: right answers cool, wrong ones warm."""
    return ("c" if other == label else "w" for other in labels)


def about(s: dict[str, Any]) -> list[str]:
    """Equations, settings, versions, and the command that repeats the run."""
    a = s["about"]
    facts = [*fact_rows(a), *s["versions"].items()]
    settings = [(name, ", ".join(map(str, v)) if isinstance(v, list) else v) for name, v in s["settings"].items()]
    shapes = [(name, " x ".join(map(str, shape))) for name, shape in s["shapes"].items()]
    return [
        f'<p>Repeat it with <code>{shown(s["command"])}</code></p>' if s["command"] else "",
        f'<pre>{html.escape(s["equations"].strip())}</pre>',
        '<div class="columns">',
        "<div><h3>Facts</h3>", *table(("fact", "value"), facts), "</div>",
        "<div><h3>Settings</h3>", *table(("option", "value"), settings), "</div>",
        "<div><h3>Parameters</h3>", *table(("name", "shape"), shapes), "</div>",
        "</div>",
    ]  # fmt: skip


def fact_rows(a: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, title in REASONS.items():
        value = a.get(name)
        if value is None:
            continue
        if name == "seconds":
            yield title, report.duration(value)
        else:
            yield title, f"{value:,}" if isinstance(value, int) else f"{value:,.4f}" if value < 100 else f"{value:,.0f}"


def several(summaries: Sequence[dict[str, Any]]) -> tuple[list[str], dict[str, Any]]:
    """The page of several runs: a table, and their validation curves on common axes."""
    ranked = sorted(summaries, key=lambda s: math.inf if s["about"].get("best") is None else s["about"]["best"])
    rows = []
    for s in ranked:
        a = s["about"]
        cells = (a.get("best"), ".4f"), (a.get("bits_per_character"), ".4f"), (a.get("tokens_per_second"), ",.0f")
        rows.append(
            (
                s["run"],
                s["model"],
                f"{s['parameters']:,}",
                *("" if v is None else format(v, spec) for v, spec in cells),
                report.duration(a.get("seconds") or 0),
            )
        )
    charts = [
        Chart(f"validation loss over {x}", x, [Series(s["run"], s["curves"][name]) for s in ranked])
        for name, x in (("valid_loss by seconds", "seconds"), ("valid_loss", "step"))
    ]
    charts = [chart for chart in charts if chart.finite()]
    body = ["<header>", f"<h1>{len(summaries)} runs</h1>", "</header>", "<main>", "<section><h2>The best first</h2>"]
    body += table(("run", "model", "parameters", "nats/token", "bits/character", "tokens/s", "time"), rows, numeric=(2, 3, 4, 5, 6))
    return [*body, "</section>", "<section><h2>Curves</h2>", *figures(charts), "</section>", "</main>"], {
        "charts": [chart_data(c) for c in charts]
    }
