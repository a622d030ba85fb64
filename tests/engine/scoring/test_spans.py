"""Spans in tags, against hand-computed examples, a slow reading of the same rule, and seqeval."""

from itertools import product

import naive
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.engine.scoring.spans import SpanCounter, SpanScore, are_spans, spans_of

BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
IOBES = (*BIO, "E-PER", "S-PER", "E-LOC", "S-LOC")
BILOU = tuple(tag.replace("E-", "L-").replace("S-", "U-") for tag in IOBES)
sentences = st.lists(st.lists(st.tuples(st.sampled_from(IOBES), st.sampled_from(IOBES)), max_size=8), max_size=6)
SPANS = [(0, 2, "PER"), (3, 4, "LOC"), (4, 6, "LOC")]


def counted(pairs):
    """The counter of sentences of (gold, said) tags."""
    counter = SpanCounter()
    for sentence in pairs:
        counter.add([gold for gold, _ in sentence], [said for _, said in sentence])
    return counter


@pytest.mark.parametrize(
    "tags",
    [
        "B-PER I-PER O B-LOC B-LOC I-LOC",
        "I-PER I-PER O I-LOC B-LOC I-LOC",
        "B-PER E-PER O S-LOC B-LOC E-LOC",
        "B-PER L-PER O U-LOC B-LOC L-LOC",
    ],
    ids=["BIO", "IOB1", "IOBES", "BILOU"],
)
def test_the_same_spans_in_every_scheme(tags):
    assert spans_of(tags.split()) == SPANS and are_spans(tags.split())


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("", []),
        ("O O", []),
        ("O I-A I-A", [(1, 3, "A")]),
        ("B-A I-B", [(0, 1, "A"), (1, 2, "B")]),
        ("I-A E-A I-A", [(0, 2, "A"), (2, 3, "A")]),
        ("E-A E-A", [(0, 1, "A"), (1, 2, "A")]),
        ("B-A S-A E-A", [(0, 1, "A"), (1, 2, "A"), (2, 3, "A")]),
        ("B-per-son I-per-son", [(0, 2, "per-son")]),
        ("[-A ]-A I-A", [(0, 1, "A"), (1, 2, "A"), (2, 3, "A")]),
        ("B-A .-A I-A", [(0, 1, "A"), (2, 3, "A")]),
        ("B-A M-A E-A", [(0, 3, "A")]),
        ("B-A I B- <unk>", [(0, 1, "A")]),
    ],
)
def test_where_a_span_begins_and_ends(tags, spans):
    assert spans_of(tags.split()) == spans


@pytest.mark.parametrize(("scheme", "length"), [(BIO, 5), (IOBES, 4), (BILOU, 4)], ids=["BIO", "IOBES", "BILOU"])
def test_every_short_sentence(scheme, length):
    """A boundary depends on two neighbors only."""
    for tags in product(scheme, repeat=length):
        assert spans_of(tags) == naive.spans(tags), tags


@pytest.mark.parametrize(("scheme", "length"), [(BIO, 5), (IOBES, 4)], ids=["BIO", "IOBES"])
def test_every_short_sentence_as_seqeval_reads_it(scheme, length):
    labeling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    for tags in product(scheme, repeat=length):
        assert spans_of(tags) == [(start, last + 1, kind) for kind, start, last in labeling.get_entities(list(tags))], tags


def test_a_worked_example():
    counter = SpanCounter()
    counter.add(["B-PER", "I-PER", "O", "B-LOC"], ["B-PER", "I-PER", "B-LOC", "O"])
    counter.add(["B-PER", "O", "B-LOC", "I-LOC"], ["B-PER", "I-PER", "B-LOC", "I-LOC"])
    counter.add(["O", "O"], ["O", "I-ORG"])
    assert counter.scores() == [
        SpanScore("LOC", precision=1 / 2, recall=1 / 2, f1=1 / 2, count=2, said=2, correct=1),
        SpanScore("ORG", precision=0.0, recall=0.0, f1=0.0, count=0, said=1, correct=0),
        SpanScore("PER", precision=1 / 2, recall=1 / 2, f1=1 / 2, count=2, said=2, correct=1),
    ]
    assert counter.overall() == SpanScore("", precision=2 / 5, recall=2 / 4, f1=4 / 9, count=4, said=5, correct=2)


def test_a_type_that_is_never_found():
    counter = SpanCounter()
    counter.add(["B-PER", "O"], ["O", "O"])
    assert counter.scores() == [SpanScore("PER", 0.0, 0.0, 0.0, 1, 0, 0)] and counter.overall().recall == 0


def test_no_spans():
    counter = SpanCounter()
    assert counter.scores() == [] and counter.overall() == SpanScore("", 0.0, 0.0, 0.0, 0, 0, 0)
    counter.add([], [])
    counter.add(["O"], ["O"])
    assert counter.scores() == [] and counter.overall() == SpanScore("", 0.0, 0.0, 0.0, 0, 0, 0)


def test_no_span_goes_on_in_the_next_sentence():
    counter = SpanCounter()
    counter.add(["B-PER"], ["B-PER"])
    counter.add(["I-PER"], ["I-PER"])
    assert counter.overall().count == 2


@given(sentences)
def test_it_is_the_definition(pairs):
    found = {score.type: (score.count, score.said, score.correct) for score in counted(pairs).scores()}
    spans = [{(k, *span) for k, sentence in enumerate(pairs) for span in naive.spans([pair[side] for pair in sentence])} for side in (0, 1)]
    types = sorted({span[-1] for side in spans for span in side})
    sides = (*spans, spans[0] & spans[1])
    assert found == {kind: tuple(sum(span[-1] == kind for span in side) for side in sides) for kind in types}
    assert list(found) == types


@given(sentences)
def test_it_is_what_seqeval_says(pairs):
    labeling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    counter = counted(pairs)
    gold, said = ([[pair[side] for pair in sentence] for sentence in pairs] for side in (0, 1))
    if not counter.overall().count + counter.overall().said:
        return  # seqeval fails where there are no types
    precision, recall, f1, count = labeling.precision_recall_fscore_support(gold, said, average="micro", zero_division=0)
    overall = counter.overall()
    assert (overall.precision, overall.recall, overall.f1, overall.count) == pytest.approx((precision, recall, f1, count))
    by_type = zip(*labeling.precision_recall_fscore_support(gold, said, average=None, zero_division=0), strict=True)
    for score, figures in zip(counter.scores(), by_type, strict=True):  # its types, too, are in alphabetical order
        assert (score.precision, score.recall, score.f1, score.count) == pytest.approx(figures)


def test_one_tag_for_each_token():
    with pytest.raises(ValueError, match="1 tags were predicted for a sentence of 2"):
        SpanCounter().add(["O", "O"], ["O"])


@pytest.mark.parametrize("tags", [BIO, IOBES, BILOU, ("I-A",), ("O", "S-A"), ("U-A-B", "O"), ("B-1",)])
def test_tags_of_spans(tags):
    assert are_spans(tags) and are_spans(iter(tags))


@pytest.mark.parametrize(
    "tags",
    [
        (),
        ("O",),
        ("O", "E-A", "L-A"),
        ("NN", "-LRB-", "I"),
        ("X-Y",),
        ("B-A", "X-Y"),
        ("B-A", "NN"),
        ("B-A", "I"),
        ("B-A", "B-"),
        ("B-A", "-LRB-"),
        ("B-A", ""),
        ("B-A", "o"),
        ("b-A",),
        ("BI-A",),
        ("I", "B", "O"),
        ("PER-B", "PER-I", "O"),
    ],
)
def test_other_tags(tags):
    assert not are_spans(tags)
