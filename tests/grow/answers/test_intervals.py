"""Intervals over questions: exact where each question has one answer, never narrower for draws that are all alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from noria.grow.answers.intervals import between_questions, differences, rates, ratios


def test_one_answer_a_question_is_the_exact_binomial_interval_or_a_little_wider() -> None:
    hits = np.repeat([1.0, 0.0], [18, 42])
    one = rates(hits, np.ones(60))
    exact = binomtest(18, 60).proportion_ci(0.9)
    assert one.value == pytest.approx(0.3)
    assert one.low == pytest.approx(exact.low, abs=0.01)
    assert one.high == pytest.approx(exact.high, abs=0.01)


def test_draws_that_are_all_alike_add_nothing() -> None:
    hits = np.repeat([1.0, 0.0], [3, 7])
    few, many = rates(hits, np.ones(10)), rates(50 * hits, np.full(10, 50.0))
    assert many.value == few.value
    assert many.high - many.low > 0.95 * (few.high - few.low)
    unlike = rates(np.full(10, 15.0) + np.tile([-1.0, 1.0], 5), np.full(10, 50.0))
    assert unlike.high - unlike.low < 0.5 * (many.high - many.low)


def test_a_brand_that_no_answer_names_counts_each_question_once() -> None:
    none = rates(np.zeros(20), np.full(20, 5.0))
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(1 - 0.05 ** (1 / 20))
    every = rates(np.full(20, 5.0), np.full(20, 5.0))
    assert (every.value, every.high) == (1.0, 1.0)
    assert every.low == pytest.approx(0.05 ** (1 / 20))


def test_each_question_weighs_the_same_and_those_without_answers_are_left_out() -> None:
    one = rates(np.array([[9.0, 0.0, 0.0]]), np.array([9.0, 1.0, 0.0]))
    assert one.value == pytest.approx([0.5])
    single = rates(np.array([[3.0]]), np.array([5.0]))
    assert (single.low[0], single.high[0]) == (0.0, 1.0)
    unasked = rates(np.zeros((1, 2)), np.zeros(2))
    assert np.isnan(unasked.value).all()
    assert np.isnan(unasked.low).all()


def test_shares_of_all_named_sum_to_one_and_hold_their_intervals() -> None:
    random = np.random.default_rng(0)
    named = random.binomial(5, random.uniform(0, 1, (3, 40)) * [[0.9], [0.4], [0.1]]).astype(float)
    one = ratios(named, named.sum(0), np.full(40, 5.0))
    assert one.value.sum() == pytest.approx(1)
    assert (one.low < one.value).all()
    assert (one.value < one.high).all()
    assert np.isnan(ratios(np.zeros((2, 3)), np.zeros(3), np.full(3, 5.0)).value).all()


def test_a_difference_is_narrower_where_both_sides_rise_and_fall_with_the_question() -> None:
    random = np.random.default_rng(1)
    level = random.uniform(0, 1, 40)
    answers = np.full(40, 5.0)
    one, other = (random.binomial(5, level).astype(float)[None] for _ in range(2))
    paired = differences((one, answers), (other, answers))
    loose = differences((one, answers), (other, answers), paired=False)
    assert paired.value == loose.value
    assert paired.high - paired.low < 0.7 * (loose.high - loose.low)
    turned = differences((other, answers), (one, answers))
    assert turned.low == pytest.approx(-paired.high)
    assert (paired.low < 0 < paired.high).all()
    same = differences((np.zeros((1, 40)), answers), (np.zeros((1, 40)), answers))
    assert same.low < 0 < same.high  # none of 40 questions is not none of all


def test_the_part_between_questions() -> None:
    answers = np.full(10, 5.0)
    assert between_questions(np.repeat([[5.0, 0.0]], [5], axis=1).reshape(1, 10), answers) == 1.0
    random = np.random.default_rng(2)
    assert between_questions(random.binomial(20, 0.5, (1, 300)).astype(float), np.full(300, 20.0)) == pytest.approx(
        0, abs=0.02
    )
    wide = random.binomial(20, random.beta(0.5, 0.5, 300)).astype(float)[None]
    assert between_questions(wide, np.full(300, 20.0)) == pytest.approx(0.5, abs=0.08)
    assert between_questions(np.ones((1, 10)), np.ones(10)) is None
    assert between_questions(np.zeros((1, 10)), answers) is None


def test_the_promise_holds_where_answers_to_one_question_are_alike() -> None:
    """Intervals at 90 %, 400 worlds of 30 questions with 5 draws; the binomial interval over draws covers 67 % here."""
    random = np.random.default_rng(3)
    hits = random.binomial(5, random.beta(0.3, 0.7, (400, 30))).astype(float)
    one = rates(hits, np.full(30, 5.0))
    assert ((one.low <= 0.3) & (one.high >= 0.3)).mean() >= 0.88
