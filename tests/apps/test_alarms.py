from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.apps.monitor.alarms import Finding, Silences, Surges, Tail
from noria.apps.monitor.counts import History, interval, surprise

START = 1_893_456_000.0  # 2030-01-01
DAY = 86_400.0


@settings(deadline=None)  # the machine may be busy
@given(st.integers(1, 80), st.floats(0.05, 40), st.floats(0.02, 5))
def test_a_surprise_bounds_the_probability_of_a_negative_binomial_count(count: int, mean: float, uneven: float) -> None:
    from scipy.stats import nbinom

    shape = 1 / uneven
    bound = math.exp(-(surprise(count, mean, uneven) ** 2) / 2)
    assert bound >= nbinom.sf(count - 1, shape, shape / (shape + mean)) - 1e-12
    if count > mean:
        assert surprise(count + 1, mean, uneven) > surprise(count, mean, uneven)
        assert surprise(count, mean, 2 * uneven) < surprise(count, mean, uneven)
    else:
        assert bound == 1


@settings(deadline=None)
@given(st.floats(0.01, 500), st.floats(0.01, 3))
def test_the_interval_is_that_of_the_negative_binomial_distribution(mean: float, uneven: float) -> None:
    from scipy.stats import nbinom

    shape = 1 / uneven
    assert interval(mean, uneven) == tuple(nbinom.ppf((0.025, 0.975), shape, shape / (shape + mean)).astype(int))


def steps(counts: np.ndarray, minutes: float = 5.0) -> Iterator[tuple[float, float]]:
    return ((START + 60 * minutes * at, float(count)) for at, count in enumerate(counts))


def raised(counts: np.ndarray, minutes: float = 5.0, allowed: float = 1.0, surges: Surges | None = None) -> list[int]:
    surges = surges or Surges(minutes, 360)
    found = [(at, surges.add(moment, count, allowed)) for at, (moment, count) in enumerate(steps(counts, minutes))]
    return [at for at, finding in found if finding is not None and finding.is_new]


def uneven_counts(weeks: int, minutes: float, seed: int) -> np.ndarray:
    """Counts far more uneven than independent ones: log-normal hours with a daily rhythm, as of posts on a company."""
    chooser = np.random.default_rng(seed)
    at = np.arange(round(weeks * 7 * 1440 / minutes))
    day = np.exp(0.8 * np.sin(2 * np.pi * at * minutes / 1440))
    return chooser.poisson(8 * day * np.exp(chooser.normal(0, 0.5, len(at))))


def test_false_alarms_keep_to_what_is_allowed_on_uneven_counts() -> None:
    weeks = 16
    found = [len(raised(uneven_counts(weeks, 30, seed), 30)) for seed in range(4)]
    assert sum(found) <= 1.5 * weeks * len(found)  # the tail is learnt: the first days have more
    fewer = [len(raised(uneven_counts(weeks, 30, seed), 30, allowed=0.1)) for seed in range(4)]
    assert sum(fewer) < sum(found) or not sum(found)


@pytest.mark.parametrize(("length", "times"), [(1, 30), (6, 8), (72, 4)])
def test_a_burst_of_any_length_is_found_while_it_lasts(length: int, times: float) -> None:
    counts = np.random.default_rng(length).poisson(10, 288 * 7)
    begin = 288 * 5
    counts[begin : begin + length] = (counts[begin : begin + length] * times).astype(int)
    found = raised(counts)
    assert any(begin <= at < begin + length for at in found)


def test_the_first_hour_is_believed_only_when_it_is_far_out() -> None:
    """Nothing is known of the level: a doubling in the first hour is told by no one, twenty times as many are."""
    for factor, wanted in ((2, False), (20, True)):
        counts = np.full(14, 5)
        counts[11:] *= factor
        assert bool(raised(counts)) == wanted


def test_a_daily_rhythm_is_learnt_and_no_surge() -> None:
    at = np.arange(288 * 21)
    rhythm = 20 * np.exp(1.2 * np.sin(2 * np.pi * at / 288))
    counts = np.random.default_rng(1).poisson(rhythm)
    surges = Surges(5.0, 360)
    found = raised(counts, surges=surges)
    assert len([place for place in found if place > 288 * 4]) <= 2
    history = surges.history
    expected = []
    for moment, count in ((START + DAY * 21 + 300 * step, rhythm[step]) for step in range(288)):
        history.add(moment, float(round(count)))
        expected.append(history.step_expected)
    assert np.corrcoef(expected, rhythm[:288])[0, 1] > 0.9


def test_what_lasts_becomes_the_level() -> None:
    counts = np.random.default_rng(2).poisson(np.where(np.arange(288 * 14) < 288 * 5, 5, 15))
    surges = Surges(5.0, 360)
    assert len(raised(counts, surges=surges)) <= 4
    assert surges.history.rate * np.exp(0) > 8


def test_a_burst_teaches_no_more_than_a_high_step() -> None:
    plain = np.random.default_rng(3).poisson(10, 288 * 4)
    burst = plain.copy()
    burst[-20:] = 5_000
    levels = []
    for counts in (plain, burst):
        history = History(5.0)
        for moment, count in steps(counts):
            history.add(moment, count)
        levels.append(history.rate)
    assert levels[1] < 1.5 * levels[0]  # the mean itself would be nine times as large


@given(st.lists(st.floats(0, 12), min_size=1, max_size=300), st.floats(0.01, 5))
def test_a_tails_level_comes_as_often_as_it_says(values: list[float], rate: float) -> None:
    tail = Tail(72, 5.0)
    for value in values:
        tail.add(value, tail.level(1.0))
    assert tail.rate(tail.level(rate)) <= rate * (1 + 1e-6)  # less where even the expected distribution brings more
    assert tail.level(rate / 10) > tail.level(rate)


def test_verdicts_move_the_tail() -> None:
    def made() -> Tail:
        tail = Tail(72, 5.0)
        for value in (2.0, 3.0, 2.5, 3.5, 2.2, 5.0, 2.8, 3.1) * 4:
            tail.add(value, tail.level(1.0))
        return tail

    plain, confirmed, dismissed = made(), made(), made()
    for back in (3, 11, 19, 27):
        confirmed.confirm(72 * back, 72 * back - 10)
        dismissed.dismiss(5.0)
    for tail in (plain, confirmed, dismissed):
        tail.add(2.5, tail.level(1.0))
    assert confirmed.level(1.0) < plain.level(1.0) < dismissed.level(1.0)


@pytest.mark.parametrize("kind", [Surges, Silences])
def test_what_was_learnt_goes_through_json(kind: type[Surges] | type[Silences]) -> None:
    counts = np.random.default_rng(4).poisson(6, 700)
    counts[500:506], counts[520:600] = 90, 0
    whole, cut = kind(5.0, 360), kind(5.0, 360)
    found: dict[str, list[Finding | None]] = {"whole": [], "cut": []}
    for at, (moment, count) in enumerate(steps(counts)):
        if at % 97 == 0:
            kept = json.loads(json.dumps(cut.state()))
            cut = kind(5.0, 360)
            cut.restore(kept)
        found["whole"].append(whole.add(moment, count, 1.0))
        found["cut"].append(cut.add(moment, count, 1.0))
    assert any(found["whole"])
    for one, other in zip(found["whole"], found["cut"], strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert (one.is_new, one.steps, one.found) == (other.is_new, other.steps, other.found)
            assert one.surprise == pytest.approx(other.surprise, abs=1e-3)


def test_a_silence_is_raised_once_and_nights_are_none() -> None:
    at = np.arange(288 * 10)
    counts = np.random.default_rng(5).poisson(
        np.where(at % 288 < 96, 0.05, 6.0)
    )  # eight hours of next to nothing a day
    counts[288 * 8 + 150 : 288 * 8 + 230] = 0
    silences = Silences(5.0, 360)
    found = [silences.add(moment, count, 1.0) for moment, count in steps(counts)]
    new = [place for place, finding in enumerate(found) if finding is not None and finding.is_new and place > 288 * 3]
    assert len(new) == 1
    assert 288 * 8 + 150 < new[0] < 288 * 8 + 230


def test_a_text_that_comes_late_is_in_every_sum_that_reaches_back_to_it() -> None:
    counts = np.random.default_rng(6).poisson(3, 400)
    in_time, late = History(5.0), History(5.0)
    for at, (moment, count) in enumerate(steps(counts)):
        in_time.add(moment, count + (7 if at == 390 else 0))
        late.add(moment, count)
    late.amend(400 - 390, 7)
    assert late.found == in_time.found
    assert late.total(20) == in_time.total(20)
    late.amend(10_000, 7)  # longer ago than is looked at
    assert late.found == in_time.found
