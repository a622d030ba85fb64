"""How well a run of a task answers: its figures beside those of always giving the same answer, and its mistakes."""

from collections.abc import Sequence
from typing import Any

from nlmcli.cli import report

MAX_MATRIX = 12  # labels of a confusion matrix that is printed whole
MAX_KNOWN = 1000  # labels of the run, in all, for which one is computed
MAX_LABELS = 50  # labels in the table
MAX_MISTAKES = 12


def print_evaluation(e: Any, quiet: bool) -> None:
    """Print the evaluation of a labelled file."""
    if e.judgement.correlation:
        print_correlation(e)
        return
    a, task = e.judgement.accuracy, e.model.settings.task
    low, high = a.interval
    what = "word" if task == "tag" else "text"
    rows = [
        (what + "s", f"{report.printable(e.name)}, {report.number_of(a.count, what)}"),
        ("accuracy", f"{a.accuracy:.2%} ({a.correct:,} of {a.count:,}; 95 % sure between {low:.1%} and {high:.1%})"),
        ("floor", f"{e.floor:.2%}, always {report.printable(e.model.labels.names[0])!r}"),
    ]
    if e.judgement.unseen:
        n, right = e.judgement.unseen
        rows.append(("unseen words", f"{right / n:.2%} ({right:,} of {n:,})" if n else "none"))
    rows += [("macro F1", f"{100 * a.macro_f1:.2f}"), ("weighted F1", f"{100 * a.weighted_f1:.2f}")]
    if len(e.model.labels.names) == 2 and task != "tag":
        one = a.of(e.positive)
        rows.append((f"of {report.printable(one.label)!r}", f"precision {one.precision:.4f}, recall {one.recall:.4f}, F1 {one.f1:.4f}"))
    rows.append((f"nats per {what}", f"{e.judgement.loss:.4f}"))
    report.pairs(rows)
    if not quiet:
        warn(e)
    if e.judgement.spans:
        print_spans(e.judgement.spans)
    print_labels(a, what)
    print_mistakes(a)


def warn(e: Any) -> None:
    """Messages about labels that training did not have, and texts that were too long."""
    if e.unseen:
        total = sum(n for _, n in e.unseen.values())
        first = ", ".join(f"{report.printable(label)!r} (line {line})" for label, (line, _) in list(e.unseen.items())[:5])
        more = ", ..." if len(e.unseen) > 5 else ""
        has = "answer has a label that was" if total == 1 else "answers have labels that were"
        report.message(f"{total:,} {has} not in training and {'counts' if total == 1 else 'count'} as wrong: {first}{more}")
    if e.cut:
        report.message(
            f"{report.number_of(e.cut, 'text')} longer than {e.model.settings.seq_len - 1} tokens: the rest of each was not read"
        )


def print_correlation(e: Any) -> None:
    c = e.judgement.correlation
    report.pairs(
        [
            ("texts", f"{report.printable(e.name)}, {report.number_of(c.count, 'text')}"),
            ("Pearson", f"{c.pearson:.4f}"),
            ("Spearman", f"{c.spearman:.4f}"),
            ("squared error", f"{c.mse:.4g} (floor {c.floor_mse:.4g}, always the mean {e.model.labels.mean:.4g})"),
            ("absolute error", f"{c.mae:.4g} (floor {c.floor_mae:.4g})"),
        ]
    )


def print_spans(spans: Any) -> None:
    """Precision, recall and F1 of whole spans, as conlleval counts them."""
    scores = [spans.overall(), *spans.scores()]
    head = ("spans", "precision", "recall", "F1", "count", "said")
    rows = [(report.printable(s.type) or "all", *table_figures(s), f"{s.count:,}", f"{s.said:,}") for s in scores]
    print_table(head, rows)


def print_labels(a: Any, what: str) -> None:
    scores = a.by_label()
    rows = [(report.printable(s.label), *table_figures(s), f"{s.count:,}") for s in scores[:MAX_LABELS]]
    print_table(("label", "precision", "recall", "F1", f"{what}s"), rows)
    if len(scores) > MAX_LABELS:
        report.data(f"... and {len(scores) - MAX_LABELS:,} more labels; all of them with --json")


def table_figures(s: Any) -> tuple[str, str, str]:
    return f"{s.precision:.4f}", f"{s.recall:.4f}", f"{s.f1:.4f}"


def print_mistakes(a: Any) -> None:
    """The confusion matrix, or the most frequent mistakes if it would be too large."""
    labels = [s.label for s in a.by_label()]
    if len(labels) <= MAX_MATRIX and len(a.labels) <= MAX_KNOWN:
        print_confusion(a, labels)
        return
    listed = [f"{report.printable(i)} said to be {report.printable(s)} {n:,}" for i, s, n in a.mistakes(MAX_MISTAKES)]
    if listed:
        report.data()
        report.data(f"mistakes: {', '.join(listed)}")


def print_confusion(a: Any, labels: list[str]) -> None:
    """The confusion matrix of these labels: rows what it is, columns what was said."""
    at, confusion = {label: i for i, label in enumerate(a.labels)}, a.confusion()
    marks = [f"{k + 1}" for k in range(len(labels))]
    rows = [
        (f"{mark} {report.printable(label)}", *(f"{confusion[at[label], at[said]]:,}" for said in labels))
        for mark, label in zip(marks, labels, strict=True)
    ]
    print_table(("is, said:", *marks), rows)


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    report.data()
    for line in report.columns([head, *rows], right=range(1, len(head))):
        report.data(line)


def print_runs(evaluations: list[tuple[str, Any]]) -> None:
    """A table of several runs on the same text, best first."""
    rows = sorted(((e.judgement.figure[1], run, e) for run, e in evaluations), key=lambda row: -row[0])
    name = rows[0][2].judgement.figure[0]
    table = [
        (report.printable(run), e.model.settings.task, e.model.settings.model, f"{value:.4f}", f"{e.judgement.loss:.4f}")
        for value, run, e in rows
    ]
    for line in report.columns([("run", "task", "model", name, "loss"), *table], right=(3, 4)):
        report.data(line)
