"""The file of a sweep: which points it names, and what is refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.engine.sweep.space import Range, Values, check_points, read_space
from nlmcli.errors import InputError


@pytest.fixture
def space(tmp_path):
    def make(text):
        path = tmp_path / "try.yaml"
        path.write_text(text)
        return read_space(path)

    return make


def test_a_grid_has_every_combination_the_last_option_fastest(space):
    grid = space("model: lstm\nsteps: 10\nhidden: [4, 8]\ntie: [true, false]\nseed: [1, 2, 3]\n")
    assert grid.fixed == {"model": "lstm", "steps": 10} and grid.trials == 12 and grid.method == "grid"
    expected = [dict(zip(("hidden", "tie", "seed"), each, strict=True)) for each in itertools.product([4, 8], [True, False], [1, 2, 3])]
    assert [grid.point(n) for n in range(12)] == expected


def test_random_points_depend_on_their_number_and_the_seed_alone(space):
    text = (
        "method: random\ntrials: 40\nhidden: {from: 4, to: 64, log: true}\nlr: {from: 1e-4, to: 1e-2, log: true}\noptimizer: [adam, sgd]\n"
    )
    one, other = space(text), space(text + "method-seed: 2\n")
    points = [one.point(n) for n in range(40)]
    assert points == [one.point(n) for n in range(40)] and points != [other.point(n) for n in range(40)]
    assert len({point["lr"] for point in points}) > 30
    assert {point["optimizer"] for point in points} == {"adam", "sgd"}
    assert all(4 <= point["hidden"] <= 64 and 1e-4 <= point["lr"] <= 1e-2 for point in points)
    assert 8 < np.median([point["hidden"] for point in points]) < 32  # the middle of the logarithms is 16


def test_every_random_point_is_tried_with_each_seed(space):
    seeds = space("method: random\ntrials: 6\nlr: {from: 0.001, to: 0.1}\nseed: [5, 7]\n")
    points = [seeds.point(n) for n in range(6)]
    assert [point["seed"] for point in points] == [5, 7] * 3
    rates = [point["lr"] for point in points]
    assert rates[::2] == rates[1::2] and len(set(rates)) == 3


@given(st.integers(1, 50), st.integers(1, 50), st.booleans(), st.integers(0, 100))
def test_a_range_of_whole_numbers_has_both_bounds_and_nothing_beyond(low, width, log, seed):
    each, rng = Range(low, low + width, log), np.random.default_rng(seed)
    drawn = {each.draw(rng) for _ in range(50)}
    assert all(isinstance(value, int) and low <= value <= low + width for value in drawn)


@given(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3), st.booleans(), st.integers(0, 100))
def test_a_range_of_numbers_keeps_its_bounds(low, width, log, seed):
    each, rng = Range(low, low + width, log), np.random.default_rng(seed)
    assert all(low <= each.draw(rng) <= low + width for _ in range(50))


def test_steps_of_a_range():
    each, rng = Range(0.1, 0.5, step=0.1), np.random.default_rng(1)
    assert {each.draw(rng) for _ in range(200)} == {0.1, 0.2, 0.3, 0.4, 0.5}
    assert {Range(2, 9, step=3).draw(rng) for _ in range(100)} == {2, 5, 8}
    assert {Values(("a", "b")).draw(rng) for _ in range(50)} == {"a", "b"}


def test_what_is_minimized(space):
    assert space("hidden: [4, 8]\n").measure() == "nats per token"
    assert space("tokenizer: [char, word]\n").measure() == "bits per character"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden: 8\n", "no option varies"),
        ("hiden: [4, 8]\n", "unknown option 'hiden'. did you mean 'hidden'"),
        ("out: [a, b]\n", "unknown option 'out'; it is not a setting of a run"),
        ("hidden: []\n", "empty list"),
        ("hidden: [4, 4]\n", "the same value twice"),
        ("hidden: [4, many]\n", "'hidden' must be"),
        ("hidden: [4, 0]\n", "too small"),
        ("hidden: [4, 8]\nmethod: grit\n", "unknown method 'grit'. did you mean 'grid'"),
        ("hidden: [4, 8]\nmethod: random\n", "needs the number of trials"),
        ("hidden: [4, 8]\nmethod: random\ntrials: 0\n", "trials must be a whole number from 1"),
        ("hidden: [4, 8]\ntrials: 3\n", "which are 2 trials"),
        ("hidden: {from: 4, to: 8}\n", "hidden is a range, and a grid needs a list"),
        ("hidden: {from: 8, to: 4}\nmethod: random\ntrials: 2\n", "must rise"),
        ("hidden: {from: 4, until: 8}\nmethod: random\ntrials: 2\n", "must have from and to"),
        ("lr: {from: 0.1, to: 1, log: perhaps}\nmethod: random\ntrials: 2\n", "log must be true or false"),
        ("lr: {from: 0.1, to: 1, step: 0.1, log: true}\nmethod: random\ntrials: 2\n", "have no step"),
        ("lr: {from: 0, to: 1}\nmethod: random\ntrials: 2\n", "too small"),
        ("model: {from: 1, to: 2}\nmethod: random\ntrials: 2\n", "model is no number"),
        ("seed: [1, 2]\nmethod: tpe\ntrials: 2\n", "seed is not searched"),
        ("seed: {from: 1, to: 5}\nmethod: random\ntrials: 2\n", "seed is not searched"),
        ("hidden: [4, 8]\nprune: 1\n", "prune must be true"),
        ("tokenizer: [char, word]\nprune: true\n", "the tokens differ"),
        ("seed: [1, 2]\nhidden: [4, 8]\nhidden: [4]\n", "given twice"),
        ("- hidden\n", "contains no options"),
    ],
)
def test_a_file_that_is_no_sweep(space, text, message):
    with pytest.raises(InputError, match=message) as error:
        space(text)
    assert "try.yaml" in str(error.value) and "\n" not in str(error.value)


def test_points_that_are_impossible_are_found_before_anything_is_trained(space):
    with pytest.raises(InputError, match=r"try.yaml: model rnn, heads 2: model rnn has no --heads"):
        check_points(space("model: [transformer, rnn]\nheads: [2]\n"))
    with pytest.raises(InputError, match="embed"):
        check_points(space("method: tpe\ntrials: 3\nmodel: transformer\nheads: 3\nembed: {from: 4, to: 8}\n"))
