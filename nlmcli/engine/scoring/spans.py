"""Spans, such as names, in the tags of a sentence, and how many are found: as conlleval counts.  Tjong Kim Sang & Buchholz 2000

A tag is O, outside, or a prefix and a type, as B-PER:

    B begins a span,   I continues it,   E or L ends it,   S or U is a span of one token

One rule reads BIO, IOB1, IOBES and BILOU (Ramshaw & Marcus 1995; Ratinov & Roth 2009), and any tags a model may emit: spans are the
longest runs of one type that no B, S or U begins anew and no E, L, S or U ends. Hence I or E after O or after another type begins a
span, too. As in conlleval, [ and ] are spans of one token, "." is outside, and any other prefix continues.
Unlike there, a tag without a type is outside.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OPENING, CLOSING = frozenset("BSU[]"), frozenset("ELSU[]")  # no span goes on into a token with the first, or out of one with the second
OUTSIDE = frozenset("O.")
PREFIXES, EVIDENCE = frozenset("BIELSU"), frozenset("BISU")  # of tags of spans: no others, and at least one of these


@dataclass(frozen=True)
class SpanScore:
    """The figures of the spans of one type, or of all.  type: "" for all; count: spans there are; said: spans predicted; correct: both"""

    type: str
    precision: float
    recall: float
    f1: float
    count: int
    said: int
    correct: int


def are_spans(tags: Iterable[str]) -> bool:
    """Whether tags are those of spans: each is O or has a known prefix and a type, and one at least begins or continues a span."""
    prefixes = {tag[:1] if tag[1:2] == "-" and tag[2:] else "" for tag in set(tags) - {"O"}}
    return prefixes <= PREFIXES and bool(prefixes & EVIDENCE)


def spans_of(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """(start, stop, type) of each span in the tags of one sentence, in order; stop is exclusive."""
    spans, start, (prefix, kind) = [], 0, ("", "")
    for k, (next_prefix, next_kind) in enumerate(map(split, [*tags, "O"])):
        if kind != next_kind or prefix in CLOSING or next_prefix in OPENING:
            if kind:
                spans.append((start, k, kind))
            start = k
        prefix, kind = next_prefix, next_kind
    return spans


def split(tag: str) -> tuple[str, str]:
    """The prefix and the type of a tag, "" without one; ("", "") for a tag that is outside."""
    prefix, _, kind = tag.partition("-")
    return (prefix, kind) if prefix not in OUTSIDE else ("", "")


class SpanCounter:
    """Counts spans by type, sentence by sentence. A predicted span is correct if start, stop and type are."""

    def __init__(self) -> None:
        self.gold, self.said, self.correct = Counter[str](), Counter[str](), Counter[str]()

    def add(self, gold: Sequence[str], said: Sequence[str]) -> None:
        """The tags of one sentence, and those predicted.  Raises ValueError if there is not one for each token."""
        if len(gold) != len(said):
            raise ValueError(f"{len(said)} tags were predicted for a sentence of {len(gold)}")
        spans, predicted = set(spans_of(gold)), set(spans_of(said))
        for counter, found in ((self.gold, spans), (self.said, predicted), (self.correct, spans & predicted)):
            counter.update(kind for _, _, kind in found)

    def scores(self) -> list[SpanScore]:
        """The figures of each type that occurs or was predicted, in alphabetical order."""
        return [span_score(kind, self.gold[kind], self.said[kind], self.correct[kind]) for kind in sorted(self.gold | self.said)]

    def overall(self) -> SpanScore:
        """The figures of the spans of all types together, the micro average."""
        return span_score("", self.gold.total(), self.said.total(), self.correct.total())


def span_score(kind: str, count: int, said: int, correct: int) -> SpanScore:
    """precision = correct / said, recall = correct / count, F1 = 2 correct / (count + said); 0 / 0 counts as 0."""
    precision, recall, f1 = (a / b if b else 0.0 for a, b in ((correct, said), (correct, count), (2 * correct, count + said)))
    return SpanScore(kind, precision, recall, f1, count, said, correct)
