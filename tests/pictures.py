"""Draw the two pictures at the beginning of README.md: the display of a run in a terminal, and its page.

python tests/pictures.py        writes tests/pictures/dashboard.svg and page.svg; needs Chromium, to measure the page
"""

import io
import re
import tempfile
import xml.etree.ElementTree as ET
from html import escape
from importlib import resources
from pathlib import Path

from browser import Page
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from nlmcli.cli import page
from nlmcli.cli.dashboard import Dashboard
from nlmcli.cli.page import sections
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.training.train import Training
from nlmcli.engine.viewing.summary import summary

FOLDER = Path(__file__).parent / "pictures"
CELL, ROW, MARGIN = 8.0, 18, 16  # of a terminal, in pixels
COLUMNS, LINES = 92, 28
COLORS = {"cyan": ' fill="#56c1d6"', "dim": ' fill="#5b6270"'}
SHOWN_STEP = 700
WIDTH = 1000  # of the page
SHOWN_TOKENS = 140
CHOSEN = 11  # token of the passage whose first choices are shown


def run_and_draw(folder: Path) -> str:
    """Train the README's network.  -> the display after SHOWN_STEP steps, as SVG"""
    drawn, dashboard = "", Dashboard(Console(file=io.StringIO(), width=COLUMNS, height=LINES))
    for record in Training(Settings.of(model="rnn"), folder).run():
        dashboard.update(record)
        if getattr(record, "step", 0) == SHOWN_STEP and not drawn:
            drawn = terminal_svg(dashboard.rows(COLUMNS, LINES))
    return drawn


def terminal_svg(rows: list[Text]) -> str:
    """Rows of a terminal; every run of characters has its exact width, whatever the font."""
    width, height = COLUMNS * CELL + 2 * MARGIN, len(rows) * ROW + 2 * MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}">',
        '<rect width="100%" height="100%" rx="8" fill="#15171b"/>',
        '<g font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="13" fill="#e8eaee">',
    ]
    for k, row in enumerate(rows):
        y, at = MARGIN + (k + 0.75) * ROW, 0
        for part in row.divide(sorted({edge for span in row.spans for edge in (span.start, span.end)})):
            color = COLORS.get(str(part.spans[0].style) if part.spans else "", "")
            for words in re.finditer(r"\S+( \S+)*", part.plain):
                x, length = (cell_len(text) * CELL for text in (part.plain[: words.start()], words[0]))
                lines.append(
                    f'<text x="{MARGIN + at * CELL + x:.0f}" y="{y:.1f}" textLength="{length:.0f}" lengthAdjust="spacingAndGlyphs"{color}>'
                    f"{escape(words[0])}</text>"
                )
            at += cell_len(part.plain)
    return "\n".join([*lines, "</g>", "</svg>", ""])


def page_svg(s: dict) -> str:
    """The most telling parts of the page, as a page within a picture, light or dark as the reader's is."""
    style = resources.files(page).joinpath("style.css").read_text(encoding="utf-8")
    s["passage"] = s["passage"][:SHOWN_TOKENS]
    for each in s["units"]:
        each["values"] = each["values"][:SHOWN_TOKENS]
    charts = [chart for chart in sections.charts_of(s) if chart.title.startswith(("loss", "learning"))]
    chosen = s["passage"][CHOSEN]
    choices = sections.table(("probability", "token"), [(f"{p:.2%}", token) for token, p in chosen["choices"]], numeric=(0,))
    text = [line for line in sections.passage(s["passage"]) if "needs-script" not in line]
    marked = (
        re.sub(r"<span", "<SPAN", text[1], count=CHOSEN).replace("<span", '<span style="outline: 2px solid"', 1).replace("<SPAN", "<span")
    )
    body = [
        f"<header><h1>{sections.shown(s['run'])}</h1><p>{sections.headline(s)}</p></header><main>",
        *sections.figures(charts),
        "<h2>A held-out passage, token by token</h2>", text[0], marked,
        f'<div class="detail"><p><strong>{sections.shown(chosen["token"])}</strong> {chosen["bits"]:.2f} bits, '
        f"probability {chosen['p']:.4f}, rank {chosen['rank']:,}. The model's first choices:</p>", *choices, "</div>",
        "<h2>Inside: hidden units</h2>",
        *[line for line in sections.units(s["units"], s["passage"]) if "needs-script" not in line],
        "<h2>Embeddings</h2>", *[line for line in sections.embeddings(s["embeddings"]) if "needs-script" not in line],
        "</main>",
    ]  # fmt: skip
    inner = "\n".join(body).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ')
    height = measured(f"<!doctype html><style>{style}</style><body>{inner}</body>")
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f'<foreignObject width="100%" height="100%"><div xmlns="http://www.w3.org/1999/xhtml">'
        f"<style>{escape(style.replace('body {', '.page {'))}</style>"
        f'<div class="page" style="border-radius: 8px">\n{inner}\n</div></div></foreignObject></svg>\n'
    )
    ET.fromstring(picture)  # well formed
    return picture


def measured(content: str) -> int:
    """The height of a page that is WIDTH wide."""
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "page.html").write_text(content, encoding="utf-8")
        browser = Page(Path(folder) / "profile")
        try:
            browser.open(path, WIDTH, 100)
            return int(browser.run("document.documentElement.scrollHeight"))
        finally:
            browser.close()


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "runs" / "rnn"
        (FOLDER / "dashboard.svg").write_text(run_and_draw(run), encoding="utf-8")
        s = summary(run) | {"run": "runs/rnn"}
    (FOLDER / "page.svg").write_text(page_svg(s), encoding="utf-8")
    print(*(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB" for path in sorted(FOLDER.iterdir())), sep="\n")


if __name__ == "__main__":
    main()
