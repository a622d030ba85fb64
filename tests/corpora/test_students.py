"""The grammar in students.py generates and parses the same language: samples agree with exact probabilities."""

import hashlib
import importlib.util
import json
import math
import random
from collections import Counter
from pathlib import Path

import pytest

CORPORA = Path(__file__).resolve().parents[2] / "corpora"


def load_module():
    spec = importlib.util.spec_from_file_location("students", CORPORA / "students.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


students = load_module()


def stories(n, seed):
    rng = random.Random(seed)
    return [students.sample(rng) for _ in range(n)]


def grammar(text):
    """The rule `start` of a small grammar."""
    return students.Call(students.read_grammar(text), "start")


def probability(rule, words):
    """P(words) under one rule."""
    return sum(p for j, _, p in rule.match(words, 0, {}) if j == len(words))


def choices(rule):
    """Every Choice in a rule, nested ones included."""
    if isinstance(rule, students.Choice):
        yield rule
    for part in getattr(rule, "options", getattr(rule, "parts", [])):
        yield from choices(part)


@pytest.fixture(scope="module")
def text():
    return (CORPORA / "students.txt").read_bytes().decode("utf-8")


@pytest.fixture(scope="module")
def facts():
    return json.loads((CORPORA / "students.json").read_text(encoding="utf-8"))


def test_shipped_files_are_reproduced_by_the_seed(tmp_path):
    students.write(tmp_path)
    for name in ("students.txt", "students.json"):
        assert (tmp_path / name).read_bytes() == (CORPORA / name).read_bytes(), f"{name} is not up to date"


def test_another_seed_gives_another_text(text):
    assert "".join(students.make_text(students.SEED + 1)) != text


def test_facts_agree_with_the_text(text, facts):
    valid = text[int(0.9 * len(text)) :]
    assert facts["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert facts["valid_characters"] == len(valid)
    assert facts["valid_stories"] == valid.count("\n")
    assert facts["valid_tokens"] == len(students.split(valid))
    assert facts["perplexity"] == pytest.approx(math.exp(facts["nats"] / facts["valid_tokens"]))
    assert facts["bits_per_character"] == pytest.approx(facts["nats"] / math.log(2) / len(valid))


def test_the_split_is_at_the_beginning_of_a_story(text):
    cut = int(0.9 * len(text))
    assert text[cut - 1] == "\n"
    assert text.endswith("\n")


def test_validation_stories_are_the_first_samples(text):
    """They are not selected: the very first samples of the seed, of a number fixed in advance."""
    sampled = "".join(map(students.join, stories(students.VALID_STORIES, students.SEED)))
    assert text[int(0.9 * len(text)) :] == sampled


def test_every_word_is_frequent_enough_to_be_learned(text):
    counts = Counter(students.split(text[: int(0.9 * len(text))]))
    assert 300 <= len(counts) <= 700
    assert min(counts.values()) >= 20, counts.most_common()[-5:]


def test_text_is_lowercase_with_few_characters(text):
    assert text == text.lower()
    assert set(text) <= set('abcdefghijklmnopqrstuvwxyz .,?"\n')
    assert all(line[-1] in '."' for line in text.splitlines())


def test_splitting_and_joining_round_trips(text):
    lines = text.splitlines(keepends=True)
    assert [students.join(students.split(line)) for line in lines] == lines


def test_weights_of_every_choice_sum_to_one():
    all_choices = [choice for rule in students.RULES.values() for choice in choices(rule)]
    assert len(all_choices) > len(students.RULES)
    for choice in all_choices:
        assert math.fsum(choice.weights) == pytest.approx(1, abs=1e-12)
        assert min(choice.weights) > 0
        assert len(choice.weights) == len(choice.options)


def test_next_words_sum_to_one_after_random_prefixes():
    rng = random.Random(3)
    for story in stories(100, seed=4):
        distribution = students.next_words(story[: rng.randrange(len(story))])
        assert math.fsum(distribution.values()) == pytest.approx(1, abs=1e-9)


def test_next_word_probabilities_multiply_to_the_probability_of_the_story():
    """ln P(story) = sum over i of ln P(word i | the preceding words)."""
    for story in stories(60, seed=5):
        logp = math.fsum(math.log(students.next_words(story[:i])[story[i]]) for i in range(len(story)))
        assert math.exp(logp - math.log(students.probability(story))) == pytest.approx(1, abs=1e-9)


def test_nothing_comes_after_the_end_of_a_story():
    assert students.next_words(stories(1, seed=6)[0]) == {}


def test_probabilities_of_a_finite_language_sum_to_one():
    """Enumerated by hand: a repeated variable keeps its value, and a rule called with it agrees."""
    start = grammar("start = HERO slept [, and <she HERO> HERO | 3]\nhero = 2 maria | tom\nshe maria = she\nshe tom = he")
    language = {"maria slept": 1 / 2, "tom slept": 1 / 4, "maria slept , and she maria": 1 / 6, "tom slept , and he tom": 1 / 12}
    for words, p in language.items():
        assert probability(start, words.split()) == pytest.approx(p)
    assert probability(start, ["maria", "slept", ",", "and", "she", "tom"]) == 0


def test_probability_of_ambiguous_words_sums_over_derivations():
    start = grammar("start = <left> c | a <right>\nleft = a b | a\nright = b c | c")
    assert len(list(start.match(["a", "b", "c"], 0, {}))) == 2
    assert probability(start, ["a", "b", "c"]) == pytest.approx(1 / 2)
    assert probability(start, ["a", "c"]) == pytest.approx(1 / 2)


def test_some_stories_are_ambiguous():
    """The sum over derivations matters in the corpus itself."""
    derivations = [sum(1 for _ in students.STORY.match(story, 0, {})) for story in stories(200, seed=7)]
    assert max(derivations) > 1


def test_sampled_openings_agree_with_the_exact_distribution():
    prompt = students.split(students.PROMPT)
    exact, observed = students.next_words(prompt), {"first": Counter(), "later": Counter()}
    for story in stories(8000, seed=8):
        for i in range(len(story) - 3):
            if story[i : i + 3] == prompt:
                observed["later" if i else "first"][story[i + 3]] += 1
    for where, counts in observed.items():
        n = counts.total()
        assert n > 500, where
        assert set(counts) == set(exact)
        for word, p in exact.items():
            assert abs(counts[word] - n * p) < 4 * math.sqrt(n * p * (1 - p)), (where, word)


def test_openings_have_the_same_exact_distribution_at_any_position():
    prompt = students.split(students.PROMPT)
    exact, count = students.next_words(prompt), 0
    for story in stories(300, seed=9):
        for i in range(1, len(story) - 3):
            if story[i : i + 3] == prompt:
                count += 1
                assert students.next_words(story[: i + 3]) == pytest.approx(exact, abs=1e-9)
    assert count > 20


def test_perplexity_of_new_stories_is_near_the_shipped_floor(facts):
    """Twice as many new stories have the same entropy per token, up to sampling noise (about 0.01 nats)."""
    new = stories(800, seed=10)
    nats = -sum(math.log(students.probability(story)) for story in new) / sum(map(len, new))
    assert nats == pytest.approx(facts["nats_per_token"], abs=0.04)


@pytest.mark.parametrize("error", ["zebra", "exploded", "\n", "."])
def test_an_inserted_error_has_probability_zero(error):
    for story in stories(40, seed=11):
        assert students.probability(story) > 0
        ungrammatical = [*story[:1], error, *story[1:]]
        assert students.probability(ungrammatical) == 0
        assert students.next_words(ungrammatical[:2]) == {}


def test_agreement_is_part_of_the_language():
    """The pronoun agrees with the hero and the verb with the item, however far back they are."""
    exploded = "maria bought her new ipad quickly . the ipad exploded because it fell"
    for prefix, right, wrong in [
        ("maria lost her cold key near the zoo .", "she", "he"),
        ("the keys that the child left on the desk", "were", "was"),
        ("the key that the child with the big dog left on the desk", "was", "were"),
        (exploded, "off", "in"),
    ]:
        words = students.next_words(students.split(prefix))
        assert right in words
        assert wrong not in words
