"""The order of a market: Kendall's tau beside scipy's, what rounding leaves open, and what changed hands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from noria.grow.market.ranks import least_stable, rank_stability
from noria.grow.market.share import Shares, shares
from tests.grow.market.test_share import series_of


@given(st.permutations([40.0, 25.0, 15.0, 12.0, 5.0, 3.0]))
def test_tau_is_kendall_s(order: list[float]) -> None:
    before = [40.0, 25.0, 15.0, 12.0, 5.0, 3.0]
    market = shares(series_of({name: [before[place], order[place]] for place, name in enumerate("abcdef")}))
    step = rank_stability(market)[0]
    assert step.tau == pytest.approx(kendalltau(before, order).statistic)  # without ties tau-a is tau-b
    assert step.n == 6
    assert step.moved == pytest.approx(0.5 * np.abs(np.array(before) - order).sum() / 100)


def test_pairs_within_rounding_are_left_open() -> None:
    step = rank_stability(shares(series_of({"a": [50.0, 51.0], "b": [50.0, 48.0], "c": [0.0, 1.0]})))[0]
    assert step.low == pytest.approx(step.tau - 1 / 3)
    assert step.high == pytest.approx(step.tau + 1 / 3)


def test_an_entity_that_is_nowhere_is_not_ranked_and_gaps_are_not_bridged() -> None:
    market = shares(
        series_of({"a": [60.0, None, 60.0, 30.0], "b": [40.0, 40.0, 40.0, 70.0], "c": [0.0, 0.0, 0.0, 0.0]})
    )
    steps = rank_stability(market)
    assert [(step.before, step.time, step.n, step.tau) for step in steps] == [("2025-03", "2025-04", 2, -1.0)]


def test_the_chatbots_order(chatbots: Shares) -> None:
    steps = rank_stability(chatbots)
    assert len(steps) == 11
    assert steps[0].broken  # Copilot's tracking began: no movement of the market
    least = least_stable(steps)
    assert least is not None
    assert least.time != steps[0].time
