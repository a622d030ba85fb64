"""The grammar of students.py writes and reads the same language: samples agree with exact probabilities."""

import hashlib
import importlib.util
import json
import math
import random
from collections import Counter
from pathlib import Path

import pytest

CORPORA = Path(__file__).resolve().parents[2] / "corpora"


def load():
    spec = importlib.util.spec_from_file_location("students", CORPORA / "students.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


students = load()


def stories(number, seed):
    rng = random.Random(seed)
    return [students.sample(rng) for _ in range(number)]


def grammar(text):
    """The rule `start` of a small grammar."""
    return students.Call(students.read_grammar(text), "start")


def mass(rule, words):
    return sum(p for j, _, p in rule.match(words, 0, {}) if j == len(words))


def choices(rule):
    """Every Choice inside a rule's own brackets."""
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


def test_shipped_files_are_what_the_seed_makes(tmp_path):
    students.write(tmp_path)
    for name in ("students.txt", "students.json"):
        assert (tmp_path / name).read_bytes() == (CORPORA / name).read_bytes(), f"{name} is not up to date"


def test_another_seed_makes_another_text(text):
    assert "".join(students.make_text(students.SEED + 1)) != text


def test_facts_agree_with_the_text(text, facts):
    valid = text[int(0.9 * len(text)) :]
    assert facts["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert facts["valid_characters"] == len(valid)
    assert facts["valid_stories"] == valid.count("\n")
    assert facts["valid_tokens"] == len(students.split(valid))
    assert facts["perplexity"] == pytest.approx(math.exp(facts["nats"] / facts["valid_tokens"]))
    assert facts["bits_per_character"] == pytest.approx(facts["nats"] / math.log(2) / len(valid))


def test_cut_falls_at_the_beginning_of_a_story(text):
    cut = int(0.9 * len(text))
    assert text[cut - 1] == "\n"
    assert text.endswith("\n")


def test_validation_stories_are_the_first_ones_drawn(text):
    """They were never chosen: the very first draws of the seed, a number of them fixed beforehand."""
    drawn = "".join(map(students.join, stories(students.VALID_STORIES, students.SEED)))
    assert text[int(0.9 * len(text)) :] == drawn


def test_every_word_is_seen_often_enough_to_be_learned(text):
    counts = Counter(students.split(text[: int(0.9 * len(text))]))
    assert 300 <= len(counts) <= 700
    assert min(counts.values()) >= 20, counts.most_common()[-5:]


def test_text_is_lower_case_stories_of_known_symbols(text):
    assert text == text.lower()
    assert set(text) <= set('abcdefghijklmnopqrstuvwxyz .,?"\n')
    assert all(line[-1] in '."' for line in text.splitlines())


def test_splitting_and_joining_give_the_text_back(text):
    lines = text.splitlines(keepends=True)
    assert [students.join(students.split(line)) for line in lines] == lines


def test_weights_of_every_choice_sum_to_one():
    found = [choice for rule in students.RULES.values() for choice in choices(rule)]
    assert len(found) > len(students.RULES)
    for choice in found:
        assert math.fsum(choice.weights) == pytest.approx(1, abs=1e-12)
        assert min(choice.weights) > 0
        assert len(choice.weights) == len(choice.options)


def test_next_words_sum_to_one_after_random_prefixes():
    rng = random.Random(3)
    for story in stories(100, seed=4):
        after = students.next_words(story[: rng.randrange(len(story))])
        assert math.fsum(after.values()) == pytest.approx(1, abs=1e-9)


def test_next_word_probabilities_multiply_to_the_probability_of_the_story():
    """ln P(story) = sum over i of ln P(word i | the words before it)."""
    for story in stories(60, seed=5):
        chain = math.fsum(math.log(students.next_words(story[:i])[story[i]]) for i in range(len(story)))
        assert math.exp(chain - math.log(students.probability(story))) == pytest.approx(1, abs=1e-9)


def test_nothing_comes_after_the_end_of_a_story():
    assert students.next_words(stories(1, seed=6)[0]) == {}


def test_probabilities_of_a_finite_language_sum_to_one():
    """Enumerated by hand: a variable said twice agrees, a rule asked for by name follows it."""
    start = grammar("start = HERO slept [, and <she HERO> HERO | 3]\nhero = 2 maria | tom\nshe maria = she\nshe tom = he")
    language = {"maria slept": 1 / 2, "tom slept": 1 / 4, "maria slept , and she maria": 1 / 6, "tom slept , and he tom": 1 / 12}
    for words, p in language.items():
        assert mass(start, words.split()) == pytest.approx(p)
    assert mass(start, ["maria", "slept", ",", "and", "she", "tom"]) == 0


def test_ambiguous_words_have_the_sum_of_their_derivations():
    start = grammar("start = <left> c | a <right>\nleft = a b | a\nright = b c | c")
    assert len(list(start.match(["a", "b", "c"], 0, {}))) == 2
    assert mass(start, ["a", "b", "c"]) == pytest.approx(1 / 2)
    assert mass(start, ["a", "c"]) == pytest.approx(1 / 2)


def test_stories_really_are_ambiguous():
    """So that the sum over derivations matters in the corpus itself."""
    derivations = [sum(1 for _ in students.STORY.match(story, 0, {})) for story in stories(200, seed=7)]
    assert max(derivations) > 1


def test_sampled_openings_agree_with_the_exact_distribution():
    prompt = students.split(students.PROMPT)
    exact, seen = students.next_words(prompt), {"first": Counter(), "later": Counter()}
    for story in stories(8000, seed=8):
        for i in range(len(story) - 3):
            if story[i : i + 3] == prompt:
                seen["later" if i else "first"][story[i + 3]] += 1
    for where, counts in seen.items():
        n = counts.total()
        assert n > 500, where
        assert set(counts) == set(exact)
        for word, p in exact.items():
            assert abs(counts[word] - n * p) < 4 * math.sqrt(n * p * (1 - p)), (where, word)


def test_openings_have_the_same_exact_distribution_wherever_they_stand():
    prompt = students.split(students.PROMPT)
    exact, middles = students.next_words(prompt), 0
    for story in stories(300, seed=9):
        for i in range(1, len(story) - 3):
            if story[i : i + 3] == prompt:
                middles += 1
                assert students.next_words(story[: i + 3]) == pytest.approx(exact, abs=1e-9)
    assert middles > 20


def test_perplexity_of_fresh_stories_is_near_the_shipped_floor(facts):
    """Twice as many new stories have the same entropy per token, up to chance (about 0.01 nats)."""
    fresh = stories(800, seed=10)
    nats = -sum(math.log(students.probability(story)) for story in fresh) / sum(map(len, fresh))
    assert nats == pytest.approx(facts["nats_per_token"], abs=0.04)


@pytest.mark.parametrize("error", ["zebra", "exploded", "\n", "."])
def test_a_planted_error_has_probability_zero(error):
    for story in stories(40, seed=11):
        assert students.probability(story) > 0
        wrong = [*story[:1], error, *story[1:]]
        assert students.probability(wrong) == 0
        assert students.next_words(wrong[:2]) == {}


def test_agreement_is_part_of_the_language():
    """The pronoun is the hero's and the verb is the item's, however far back they stand."""
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
