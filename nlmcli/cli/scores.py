"""How well runs predict a text: all metrics of one run, or a table of several runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nlmcli.cli import report

METRICS = (  # (label, key, format)
    ("nats per token", "nats_per_token", ".4f"),
    ("perplexity", "perplexity", ",.2f"),
    ("bits per token", "bits_per_token", ".4f"),
    ("bits per character", "bits_per_character", ".4f"),
    ("bits per byte", "bits_per_byte", ".4f"),
    ("top-1 accuracy", "top1", ".2%"),
    ("top-5 accuracy", "top5", ".2%"),
)
TABLE_METRICS = (
    *(("perplexity", "perplexity", ",.2f"), ("nats/token", "nats_per_token", ".4f"), ("bits/char", "bits_per_character", ".4f")),
    *(("bits/byte", "bits_per_byte", ".4f"), ("top-1", "top1", ".2%"), ("top-5", "top5", ".2%")),
)
UNK_NOTE = "<unk> does not tell which word it replaces, so bits per character and per byte are underestimates"


@dataclass(frozen=True)
class ScoredRun:
    """The evaluation of a run on a text.  better: the same under dynamic evaluation, with a cache or mixed with other runs"""

    run: str
    lm: Any
    static: Any
    better: Any = None

    @cached_property
    def result(self) -> Any:
        return self.static.scored_by(self.better) if self.better else self.static

    @property
    def kinds(self) -> dict[str, dict[str, Any]]:
        """What makes it better, by the option that asks for it: its settings, by stable names."""
        better, kinds = self.better, dict[str, dict[str, Any]]()
        if better is None:
            return kinds
        dynamic = better.dynamic if hasattr(better, "members") else better
        if dynamic:
            kinds["dynamic"] = dynamic.report()
        if dynamic is not better:
            if better.names:
                kinds["mix"] = better.report()
            if better.cache:
                kinds["cache"] = {
                    "size": better.cache.size,
                    "theta": better.cache.theta,
                    "weight": better.weights[-1],
                    "fitted": better.fitted,
                }
        return kinds

    def report(self) -> dict[str, Any]:
        """All metrics, by stable names."""
        out = self.result.report()
        if self.lm.settings.precision != "float32":
            out["precision"] = self.lm.settings.precision
        if self.better:
            out |= self.kinds | {"static": self.static.score.report()}
        return out

    def row(self) -> dict[str, Any]:
        """The same with the run and its model."""
        return {"run": self.run, "model": self.lm.settings.model} | self.report()


def print_metrics(one: ScoredRun, text: str | None, quiet: bool) -> None:
    """Print what was scored and every metric.  text: the string of --text, if one was given."""
    r = one.result.report()
    rows = [
        ("text", report.printable(one.result.name) if text is None else f'"{report.truncate(single_line(text), 50)}"'),
        *method(one),
        ("tokens", f"{r['tokens']:,} ({r['unknowns']:,} unknown, {r['unknown_rate']:.2%})"),
        ("line ends", f"{r['line_ends']:,}, {'counted as tokens' if r['line_ends_counted'] else 'read but not counted'}"),
        ("characters", f"{r['characters']:,} ({report.number_of(r['bytes'], 'byte')})"),
    ]
    if one.lm.settings.precision != "float32":
        rows.append(("products", f"in {one.lm.settings.precision}, as in training"))
    columns = [(" + ".join(one.kinds) if one.better else "all tokens", r, "")]
    if one.better:
        columns.insert(0, ("static", one.static.report(), ""))
    if r["unknowns"]:
        columns.append(("without <unk>", r, "_known"))
    if len(columns) == 1:
        rows += [(name, cell(r, key, spec)) for name, key, spec in METRICS]
    if r["floor_perplexity"]:
        rows.append(("floor perplexity", f"{r['floor_perplexity']:.2f}, of the grammar that generated this text"))
    report.pairs(rows)
    if len(columns) > 1:
        head = ("", *(name for name, _, _ in columns))
        body = [(name, *(cell(values, key + suffix, spec) for _, values, suffix in columns)) for name, key, spec in METRICS]
        for line in ["", *report.columns([head, *body], right=range(1, len(head)))]:
            report.data(line)
    if r["unknowns"] and not quiet:
        report.message(UNK_NOTE)


def method(one: ScoredRun) -> Iterator[tuple[str, str]]:
    """Lines about dynamic evaluation, mixture and cache, as far as they were asked for."""
    kinds = one.kinds
    if dynamic := kinds.get("dynamic"):
        steps, segments = report.number_of(dynamic["steps"], "step"), f"segments of {report.number_of(dynamic['segment'], 'token')}"
        yield "dynamic", f"{steps} of {dynamic['rule']} with learning rate {dynamic['lr']:g}, {segments}"
    fitted = ", fitted on the run's held-out text" if one.better and getattr(one.better, "fitted", False) else ""
    if mix := kinds.get("mix"):
        others = ", ".join(f"{each['weight']:.4f} of {each['run']}" for each in mix["runs"])
        yield "mixture", report.printable(f"{mix['weight']:.4f} of the run, {others}{fitted}")
    if cache := kinds.get("cache"):
        yield "cache", f"{report.number_of(cache['size'], 'token')}, θ {cache['theta']:g}, weight {cache['weight']:.4f}{fitted}"


def cell(values: dict[str, Any], key: str, spec: str) -> str:
    """A metric, formatted; empty if it is undefined."""
    value = values.get(key)
    return "" if value is None else format(value, spec)


def single_line(text: str) -> str:
    """The text on one line."""
    return report.printable(text).replace("\n", "\\n").replace("\t", "\\t")


def print_table(scored: Sequence[ScoredRun], quiet: bool) -> None:
    """Print one line per run, and notes on the metrics."""
    rows = [one.result.report() for one in scored]
    columns = [("run", [report.printable(one.run) for one in scored]), ("model", [one.lm.settings.model for one in scored])]
    columns.append(("tokens", [f"{r['tokens']:,}" for r in rows]))
    if any(r["unknowns"] for r in rows):
        columns.append(("unknown", [f"{r['unknown_rate']:.2%}" for r in rows]))
    if scored[0].better:
        columns.append(("static", [cell(one.static.report(), "perplexity", ",.2f") for one in scored]))
    columns += [(name, [cell(r, key, spec) for r in rows]) for name, key, spec in TABLE_METRICS]
    for line in report.columns(zip(*([name, *cells] for name, cells in columns), strict=True), right=range(2, len(columns))):
        report.data(line)
    for note in () if quiet else notes(scored, rows):
        report.message(report.printable(note))


def notes(scored: Sequence[ScoredRun], rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What to know before comparing these runs."""
    if len({(one.result.source.digest, one.result.source.characters) for one in scored}) > 1:
        yield "the runs held out different texts; give a FILE to score all of them on the same text"
    if not rows[0]["line_ends_counted"]:
        yield "line ends were read but not counted"
    if scored[0].better:
        yield f"static: perplexity without --{' and --'.join(scored[0].kinds)}"
    if any(r["unknowns"] for r in rows):
        yield UNK_NOTE
