"""The labelled files come from the seed, and the figures of labelled.json agree with independent, slower ones."""

import hashlib
import importlib.util
import json
import math
import random
import re
from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path

import pytest

CORPORA = Path(__file__).resolve().parents[2] / "corpora"
SETS = ["students-tags", "students-topics", "students-numbers", "students-pairs"]
UNIVERSAL = {"ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "NOUN", "NUM", "PRON", "PROPN", "PUNCT", "SCONJ", "VERB"}


def load_module():
    spec = importlib.util.spec_from_file_location("labelled", CORPORA / "labelled.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


labelled = load_module()
students = labelled.students
FACTS = json.loads((CORPORA / "labelled.json").read_text(encoding="utf-8"))


def read(name, part):
    """The examples of a shipped file: lists of [token, tag] lists for tags, else lists of columns."""
    text = (CORPORA / FACTS[name][part]["file"]).read_bytes().decode("ascii")
    if name == "students-tags":
        return [[line.split("\t") for line in block.splitlines()] for block in text.split("\n\n")]
    return [line.split("\t") for line in text.splitlines()]


def accuracy(guesses, labels):
    return sum(map(str.__eq__, guesses, labels)) / len(labels)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    labelled.write(folder)
    return folder


def test_shipped_files_are_reproduced_by_the_seed(written):
    files = sorted(path.name for path in written.iterdir())
    assert files == sorted(["labelled.json", *(FACTS[name][part]["file"] for name in SETS for part in ("train", "valid"))])
    for name in files:
        assert (written / name).read_bytes() == (CORPORA / name).read_bytes(), f"{name} is not up to date"


@pytest.mark.parametrize("name", SETS)
def test_facts_agree_with_the_files(name):
    for part in ("train", "valid"):
        fact = FACTS[name][part]
        assert fact["sha256"] == hashlib.sha256((CORPORA / fact["file"]).read_bytes()).hexdigest()
        assert fact["examples"] == len(read(name, part))


@pytest.mark.parametrize("name", SETS)
def test_no_held_out_example_stands_in_the_training_file(name):
    train = {json.dumps(example) for example in read(name, "train")}
    assert not [example for example in read(name, "valid") if json.dumps(example) in train]


@pytest.mark.parametrize("name", SETS)
def test_held_out_examples_are_the_first_samples(name):
    """They are not selected: the very first samples of the seed, of a number fixed in advance."""
    short = name.removeprefix("students-")
    assert labelled.make(short, labelled.SEED)[1] == [
        labelled.DRAW[short](rng) for rng in [random.Random(f"{short} {labelled.SEED}")] for _ in range(labelled.VALID)
    ]


@pytest.mark.parametrize("name", SETS[1:])
def test_texts_are_joined_lowercase_sentences(name):
    for _, *texts in [*read(name, "train"), *read(name, "valid")]:
        for text in texts:
            assert text == text.lower() == students.join(students.split(text))
            assert text[-1] == "."


@pytest.mark.parametrize("name", ["students-topics", "students-pairs"])
def test_every_label_is_in_both_parts_and_the_floor_is_the_commonest_one(name):
    train, valid = ([label for label, *_ in read(name, part)] for part in ("train", "valid"))
    assert set(train) == set(valid) == set(FACTS[name]["labels"])
    commonest = max(set(train), key=train.count)
    assert FACTS[name]["floor"] == pytest.approx(valid.count(commonest) / len(valid), abs=1e-6)
    assert FACTS[name]["floor"] < FACTS[name]["best"] - 0.3


# tags


def test_every_tag_is_a_universal_one():
    for part in ("train", "valid"):
        assert {tag for sentence in read("students-tags", part) for _, tag in sentence} == UNIVERSAL
    assert set(FACTS["students-tags"]["labels"]) == UNIVERSAL


def test_many_words_have_several_tags_and_the_commonest_one_is_not_enough():
    counts = defaultdict(Counter)
    for sentence in read("students-tags", "train"):
        for word, tag in sentence:
            counts[word][tag] += 1
    ambiguous = {word: set(tags) for word, tags in counts.items() if len(tags) > 1}
    assert ambiguous["painted"] == ambiguous["left"] == {"VERB", "ADJ"}
    assert ambiguous["saw"] == {"VERB", "NOUN"}
    assert ambiguous["before"] == {"ADP", "ADV", "SCONJ"}
    assert len(ambiguous) >= 15
    words, tags = zip(*[pair for sentence in read("students-tags", "valid") for pair in sentence], strict=True)
    baseline = accuracy([counts[word].most_common(1)[0][0] for word in words], tags)
    fact = FACTS["students-tags"]
    assert fact["commonest_tag_of_the_word"] == pytest.approx(baseline, abs=1e-6)
    assert fact["floor"] == pytest.approx(tags.count("NOUN") / len(tags), abs=1e-6)
    assert fact["floor"] < baseline < fact["best"] - 0.03


def contexts(sentence, ambiguous):
    """(two words before, the word, one after) and its tag, of ambiguous words; a word that tells its tag is replaced by it."""
    known = ["^", "^", *(word if word in ambiguous else tag for word, tag in sentence), "$"]
    return [(tuple(known[i : i + 4]), tag) for i, (word, tag) in enumerate(sentence) if word in ambiguous]


def test_the_tags_follow_from_the_sentence():
    """Best is 1: in many new sentences the same surroundings never have two tags, and they tell the held-out tags."""
    rng, possible, found = random.Random(1), defaultdict(set), defaultdict(set)
    new = [[word.split("/") for word in labelled.draw_tags(rng)] for _ in range(30000)]
    for word, tag in chain(*new):
        possible[word].add(tag)
    ambiguous = {word for word, tags in possible.items() if len(tags) > 1}
    for context, tag in chain(*(contexts(sentence, ambiguous) for sentence in new)):
        found[context].add(tag)
    assert not {context: tags for context, tags in found.items() if len(tags) > 1}
    held_out = list(chain(*(contexts(sentence, ambiguous) for sentence in read("students-tags", "valid"))))
    known = [found[context] == {tag} for context, tag in held_out if context in found]
    assert all(known)
    assert len(known) > 0.9 * len(held_out) > 300


def test_tags_do_not_change_what_is_sampled():
    """The tagged grammar without second readings samples the stories of students.py, from the same random numbers."""
    text = labelled.tag_grammar(students.GRAMMAR, labelled.TAGS)
    story = students.Call(students.read_grammar(text), "story")
    for seed in range(50):
        tagged = story.sample(labelled.Memory(), random.Random(seed))
        assert [word.split("/")[0] for word in tagged] == students.sample(random.Random(seed))[:-1]


def test_a_question_belongs_to_the_sentence_of_who_asks_it():
    words = students.split('the key was gone. "where is my key?" asked the king. the fox ran.')
    assert list(map(" ".join, labelled.sentences(words))) == [
        "the key was gone .",
        '" where is my key ? " asked the king .',
        "the fox ran .",
    ]


# exact probabilities


def prefix_probability(kind, words):
    """P(a story of this kind begins with these words), by the parser of students.py."""
    return sum(p for j, _, p in students.Call(students.RULES, kind).match(words, 0, {}) if j > len(words))


def test_with_nothing_hidden_the_probability_is_that_of_the_parser():
    rng = random.Random(2)
    for kind in labelled.KINDS:
        for _ in range(5):
            words = list(chain(*labelled.sample_kind(kind, rng)[:2]))
            assert labelled.probability(kind, words) == pytest.approx(prefix_probability(kind, words), rel=1e-9)


def test_hidden_sentences_of_a_finite_language(monkeypatch):
    """Enumerated by hand: hidden, HERO may or may not have a value; `she` follows only if it has one."""
    rules = students.read_grammar(
        "story = <tale>\ntale = [HERO | nobody] slept . <she HERO> sang .\nhero = 2 maria | tom\nshe = HERO\nshe maria = she\nshe tom = he"
    )
    monkeypatch.setattr(labelled, "RULES", rules)
    p = {word: labelled.probability("tale", [word, "sang", "."], hidden=1) for word in ("she", "he", "maria", "tom", "nobody")}
    assert p == pytest.approx({"she": 1 / 3, "he": 1 / 6, "maria": 1 / 3, "tom": 1 / 6, "nobody": 0})


def test_a_story_may_end_within_the_hidden_sentences(monkeypatch):
    rules = students.read_grammar("story = <tale>\ntale = maria slept . [3 tom sang . |]")
    monkeypatch.setattr(labelled, "RULES", rules)
    assert labelled.probability("tale", ["tom", "sang", "."], hidden=1) == pytest.approx(3 / 4)
    assert labelled.probability("tale", ["tom", "sang", "."], hidden=2) == 0


@pytest.mark.parametrize("kind", ["students", "outing", "belongings", "ants", "lecture", "drive"])
def test_hidden_sentences_agree_with_sampled_ones(kind):
    """P(text | kind) is the mean of P(text | kind, first sentence) over first sentences sampled from the grammar."""
    rng = random.Random(f"hidden {kind}")
    words = list(chain(*labelled.sample_kind(kind, rng)[1:3]))
    ratios = []
    for _ in range(1000):
        first = labelled.sample_kind(kind, rng)[0]
        ratios.append(prefix_probability(kind, first + words) / prefix_probability(kind, first))
    mean = math.fsum(ratios) / len(ratios)
    error = math.sqrt(math.fsum((ratio - mean) ** 2 for ratio in ratios)) / len(ratios)
    assert mean > 3 * error
    assert abs(labelled.probability(kind, words, hidden=1) - mean) < 4 * error + 1e-9 * mean


def test_the_best_topic_is_right_as_often_as_its_posterior_says():
    """On new texts the accuracy of the best kind agrees with the mean of its exact posterior."""
    rng, right, sure = random.Random(3), 0, []
    for _ in range(300):
        label, text = labelled.draw_topic(rng)
        p = labelled.kind_probabilities(students.split(text))
        assert p[label] > 0
        right += max(p, key=p.get) == label
        sure.append(max(p.values()) / math.fsum(p.values()))
    error = math.sqrt(sum(s * (1 - s) for s in sure)) / len(sure)
    assert abs(right / len(sure) - math.fsum(sure) / len(sure)) < 4 * error
    assert abs(FACTS["students-topics"]["best"] - math.fsum(sure) / len(sure)) < 0.05


# numbers


def test_the_text_determines_the_number():
    """Read by hand: there were `many`, `some` of them went."""
    value = {"one": 1, **labelled.NUMBERS, "eight": 8}
    for part in ("train", "valid"):
        for number, text in read("students-numbers", part):
            many, some = re.match(r"there were (\w+) .*?\. (\w+) of them ", text).groups()
            assert int(number) == value[many] - value[some]
            assert '"' not in text  # the last sentence, which tells the number
            assert text.rsplit(" ", 2)[1] == "counted"


def test_the_floor_of_the_numbers_is_the_error_of_the_mean():
    train, valid = ([int(number) for number, _ in read("students-numbers", part)] for part in ("train", "valid"))
    fact, mean = FACTS["students-numbers"], sum(train) / len(train)
    assert fact["measure"] == "mse"
    assert fact["best"] == 0
    assert fact["floor"] == pytest.approx(sum((n - mean) ** 2 for n in valid) / len(valid), abs=1e-6)
    assert fact["floor"] > 1.5
    assert set(train) == set(valid) == set(fact["labels"])


# pairs


def agree(first, second):
    """Whether town and vehicle are the same in both sentences, and her or his is said of the same hero."""
    town, vehicle = re.match(r"\w+ (\w+), the (\w+) ", second).groups()
    women = students.RULES["woman", ""].options
    his = "his" if first.split()[0] not in {option.parts[0].word for option in women} else "her"
    others = {"her", "his"} - {his}
    return f" {vehicle} " in first and first.endswith(f" to {town}.") and not others & set(second.split())


def test_the_best_of_the_pairs_is_that_of_agreement_read_by_hand():
    valid = read("students-pairs", "valid")
    guesses = ["same" if agree(first, second) else "different" for _, first, second in valid]
    assert FACTS["students-pairs"]["best"] == pytest.approx(accuracy(guesses, [label for label, *_ in valid]), abs=1e-6)
    assert all(guess == "same" for guess, (label, *_) in zip(guesses, valid, strict=True) if label == "same")


def test_one_word_is_not_enough_for_the_pairs():
    """Town alone or vehicle alone is clearly worse than both."""
    valid = read("students-pairs", "valid")
    for pattern in (r"\w+ (\w+),", r"\w+ \w+, the (\w+) "):
        guesses = ["same" if re.match(pattern, second)[1] in students.split(first) else "different" for _, first, second in valid]
        assert accuracy(guesses, [label for label, *_ in valid]) < FACTS["students-pairs"]["best"] - 0.03
