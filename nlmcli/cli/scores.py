"""How well runs predict a text: the figures of one, or a table of several."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nlmcli.cli import report

FIGURES = (  # (what it is, its name, digits)
    ("nats per token", "nats_per_token", ".4f"),
    ("perplexity", "perplexity", ",.2f"),
    ("bits per token", "bits_per_token", ".4f"),
    ("bits per character", "bits_per_character", ".4f"),
    ("bits per byte", "bits_per_byte", ".4f"),
    ("top-1 accuracy", "top1", ".2%"),
    ("top-5 accuracy", "top5", ".2%"),
)
ROW = (
    *(("perplexity", "perplexity", ",.2f"), ("nats/token", "nats_per_token", ".4f"), ("bits/char", "bits_per_character", ".4f")),
    *(("bits/byte", "bits_per_byte", ".4f"), ("top-1", "top1", ".2%"), ("top-5", "top5", ".2%")),
)
UNKNOWN = "an <unk> does not say which word it is: the bits per character and byte leave that out"


@dataclass(frozen=True)
class Scored:
    """A text as a run scored it.  learner: the run while it learned, and static the score without that; or what was mixed in."""

    run: str
    lm: Any
    static: Any
    learner: Any = None
    mixture: Any = None

    @cached_property
    def result(self) -> Any:
        return self.static.scored_by(self.learner) if self.learner else self.static

    def report(self) -> dict[str, Any]:
        """All of it, by stable names."""
        out = self.result.report()
        if self.mixture:
            out["mix"] = {"run": self.mixture.name, "weight": self.mixture.weight, "fitted": self.mixture.fitted}
        if self.learner:
            out["dynamic"] = {"lr": self.learner.lr, "segment": self.learner.segment, "static": self.static.score.report()}
        return out

    def row(self) -> dict[str, Any]:
        """The same, and which run it is."""
        return {"run": self.run, "model": self.lm.settings.model} | self.report()


def facts(one: Scored, text: str | None, quiet: bool) -> None:
    """What was scored and every figure.  text: the string that was given, if one was."""
    r = one.result.report()
    rows = [
        ("text", report.printable(one.result.name) if text is None else f'"{report.cut(shown_text(text), 50)}"'),
        *how(one),
        ("tokens", f"{r['tokens']:,} ({r['unknowns']:,} unknown, {r['unknown_rate']:.2%})"),
        ("line ends", f"{r['line_ends']:,}, {'among the tokens' if r['line_ends_counted'] else 'read but not counted'}"),
        ("characters", f"{r['characters']:,}, in {report.number_of(r['bytes'], 'byte')}"),
    ]
    columns = [("dynamic" if one.learner else "all tokens", r, "")]
    if one.learner:
        columns.insert(0, ("static", one.static.report(), ""))
    if r["unknowns"]:
        columns.append(("without <unk>", r, "_known"))
    if len(columns) == 1:
        rows += [(name, cell(r, key, digits)) for name, key, digits in FIGURES]
    if r["floor_perplexity"]:
        rows.append(("floor perplexity", f"{r['floor_perplexity']:.2f}: what this text's own grammar reaches"))
    report.facts(rows)
    if len(columns) > 1:
        head = ("", *(name for name, _, _ in columns))
        body = [(name, *(cell(figures, key + ending, digits) for _, figures, ending in columns)) for name, key, digits in FIGURES]
        for line in ["", *report.columns([head, *body], right=range(1, len(head)))]:
            report.data(line)
    if r["unknowns"] and not quiet:
        report.message(UNKNOWN)


def how(one: Scored) -> list[tuple[str, str]]:
    """That it was a mixture, or learned while it read."""
    if mixture := one.mixture:
        best = ", the best on what the first run held out" if mixture.fitted else ""
        return [("mixture", report.printable(f"{1 - mixture.weight:.4f} of the run, {mixture.weight:.4f} of {mixture.name}{best}"))]
    if learner := one.learner:
        segments = f"segments of {report.number_of(learner.segment, 'token')}"
        return [("dynamic", f"{report.number_of(learner.steps, 'step')} at rate {learner.lr:g}, {segments}")]
    return []


def cell(figures: dict[str, Any], key: str, digits: str) -> str:
    """A figure as it is shown; nothing where there is none."""
    value = figures.get(key)
    return "" if value is None else format(value, digits)


def shown_text(text: str) -> str:
    """The text on one line."""
    return report.printable(text).replace("\n", "\\n").replace("\t", "\\t")


def table(scored: Sequence[Scored], quiet: bool) -> None:
    """A line for each run, and what is to be known of the figures."""
    rows = [one.result.report() for one in scored]
    columns = [("run", [report.printable(one.run) for one in scored]), ("model", [one.lm.settings.model for one in scored])]
    columns.append(("tokens", [f"{r['tokens']:,}" for r in rows]))
    if any(r["unknowns"] for r in rows):
        columns.append(("unknown", [f"{r['unknown_rate']:.2%}" for r in rows]))
    if scored[0].learner:
        columns.append(("static", [cell(one.static.report(), "perplexity", ",.2f") for one in scored]))
    columns += [(name, [cell(r, key, digits) for r in rows]) for name, key, digits in ROW]
    for line in report.columns(zip(*([name, *cells] for name, cells in columns), strict=True), right=range(2, len(columns))):
        report.data(line)
    for note in () if quiet else notes(scored, rows):
        report.message(report.printable(note))


def notes(scored: Sequence[Scored], rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What is to be known of the figures of several runs."""
    if len({(one.result.source.digest, one.result.source.characters) for one in scored}) > 1:
        yield "the runs held out different texts; give a FILE to score them on the same"
    if not rows[0]["line_ends_counted"]:
        yield "line ends were read but not counted"
    if scored[0].learner:
        yield "static: the perplexity without --dynamic"
    if any(r["unknowns"] for r in rows):
        yield UNKNOWN
