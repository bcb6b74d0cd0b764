"""Dividing a budget: the best division on any curves, and none where the data do not tell."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import SettingError
from noria.grow.promote.allocation import allocate
from noria.grow.promote.budget import Budget, divide
from noria.grow.promote.response import Responses, respond
from noria.grow.promote.settings import BudgetSettings, SpendSettings
from noria.grow.promote.simulated import advertising
from noria.grow.promote.study import open_spend, study_budget
from noria.grow.report.sections.budget import budget_section


@pytest.fixture(scope="module")
def fitted() -> Responses:
    return respond(advertising(seed=1).spend, draws=800, seed=1)


@pytest.fixture(scope="module")
def divided(fitted: Responses) -> Budget:
    return divide(fitted)


def hill(spend: np.ndarray, strength: float, half: float, slope: float) -> np.ndarray:
    return strength * spend**slope / (spend**slope + half**slope)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_the_division_is_the_best_on_a_grid(seed: int) -> None:
    """Three channels, slopes from a half to three: a search over all divisions in steps of a fortieth finds none better."""
    random = np.random.default_rng(seed)
    strength, half, slope = random.uniform(1, 10, 3), random.uniform(1, 20, 3), random.uniform(0.5, 3.0, 3)
    low, high, total = random.uniform(0, 3, 3), random.uniform(12, 30, 3), 20.0
    spends = np.stack([np.linspace(*ends, 81) for ends in zip(low, high, strict=True)])
    curves = np.stack(
        [hill(row, *how) for row, how in zip(spends, zip(strength, half, slope, strict=True), strict=True)]
    )

    def brought(parts: np.ndarray) -> np.ndarray:
        return sum(hill(parts[..., place], strength[place], half[place], slope[place]) for place in range(3))

    found = allocate(spends, curves, total)
    assert found.sum() == pytest.approx(total, rel=1e-6)
    assert (found >= low - 1e-9).all()
    assert (found <= high + 1e-9).all()
    grid = np.array(
        [
            (a, b, total - a - b)
            for a, b in itertools.product(np.linspace(low[0], high[0], 41), np.linspace(low[1], high[1], 41))
        ]
    )
    grid = grid[(grid[:, 2] >= low[2]) & (grid[:, 2] <= high[2])]
    best = float(brought(grid).max())
    assert brought(found) >= best - 2e-3 * abs(best)


def test_a_slope_above_one_is_no_trap() -> None:
    """Split evenly the money does nothing anywhere; a method that only climbs from there would stay."""
    spends = np.stack([np.linspace(0, 10, 101)] * 2)
    curves = np.stack([hill(spends[0], 10, 8, 6), hill(spends[1], 10.5, 8, 6)])
    assert allocate(spends, curves, 10.0) == pytest.approx([0, 10], abs=0.05)


def test_bounds_that_leave_no_division_are_told() -> None:
    spends = np.stack([np.linspace(1, 2, 5)] * 2)
    with pytest.raises(SettingError, match="the bounds leave no way to spend the budget: found '5'; allowed 2 to 4"):
        allocate(spends, spends, 5.0)
    assert allocate(spends, spends, 2.0).tolist() == [1.0, 1.0]
    assert allocate(spends, spends, 4.0).tolist() == [2.0, 2.0]


def test_a_recommended_division_gains_what_it_says(divided: Budget) -> None:
    """Simulated: the true gain of the division lies in its interval, and is most of what the true best would gain."""
    assert divided.recommended
    assert divided.gain is not None
    assert divided.gain.low is not None
    assert divided.gain.high is not None
    market = advertising(seed=1)
    recent = replace(market, spend=replace(market.spend, amounts=market.spend.amounts[-52:]))
    multiples = np.array([channel.planned / channel.spend for channel in divided.channels])  # type: ignore[operator]
    gained = recent.contributions(multiples).sum() - recent.contributions().sum()
    assert divided.gain.low <= gained <= divided.gain.high
    assert sum(channel.planned or 0 for channel in divided.channels) == pytest.approx(divided.now)
    at = np.linspace(0.5, 1.5, 21)
    present = np.array([channel.spend for channel in divided.channels])
    best = (
        max(
            recent.contributions([a, b, c]).sum()
            for a, b in itertools.product(at, at)
            if 0.5 <= (c := (present.sum() - a * present[0] - b * present[1]) / present[2]) <= 1.5
        )
        - recent.contributions().sum()
    )
    assert gained >= 0.7 * best


def test_each_channel_says_what_it_brings(divided: Budget) -> None:
    truth = advertising(seed=1)
    recent = replace(truth, spend=replace(truth.spend, amounts=truth.spend.amounts[-52:])).contributions()
    for channel, brought in zip(divided.channels, recent, strict=True):
        assert channel.status == "identified"
        assert channel.contribution is not None
        assert channel.contribution.low is not None
        assert channel.contribution.high is not None
        assert channel.contribution.low <= brought <= channel.contribution.high
        assert channel.contribution.note == "simulated"


@pytest.mark.parametrize(("how", "status"), [({"flat": True}, "flat"), ({"constant": True}, "unidentified")])
def test_flat_or_unidentified_is_no_recommendation_and_no_equal_split(how: dict[str, bool], status: str) -> None:
    found = divide(respond(advertising(**how).spend, draws=600))  # type: ignore[arg-type]
    assert [channel.status for channel in found.channels] == [status] * 3
    assert not found.recommended
    assert all(channel.planned is None for channel in found.channels)
    assert found.text().startswith("No recommendation: flat or unidentified")
    assert found.text()["zh"].startswith("不作推荐：响应平坦或无法识别")


def test_flat_markets_are_not_taken_for_others() -> None:
    """Simulated: of eight markets where no channel does anything, none gets a recommendation."""
    for seed in range(8):
        found = divide(respond(advertising(104, flat=True, seed=seed).spend, draws=400, seed=seed))
        assert not found.recommended
        assert not any(channel.status == "identified" for channel in found.channels)


def test_twins_are_not_told_apart() -> None:
    market = advertising(seed=2)
    amounts = np.column_stack(
        [market.spend.amounts[:, 0], market.spend.amounts[:, 0] * 1.0001, market.spend.amounts[:, 2]]
    )
    found = divide(respond(replace(market.spend, amounts=amounts), draws=600))
    assert {channel.name: channel.status for channel in found.channels}["search"] == "unidentified"
    assert {channel.name: channel.status for channel in found.channels}["video"] == "unidentified"
    assert not found.recommended


def test_a_larger_sum_and_bounds_of_one_channel(fitted: Responses) -> None:
    now = divide(fitted).now
    more = divide(fitted, total=now * 1.2, bounds={"search": (0.9, 1.1)})
    assert more.recommended
    planned = {channel.name: channel.planned or 0.0 for channel in more.channels}
    assert sum(planned.values()) == pytest.approx(now * 1.2)
    search = next(channel for channel in more.channels if channel.name == "search")
    assert planned["search"] <= 1.1 * search.spend * (1 + 1e-9)
    with pytest.raises(SettingError, match="the bounds leave no way to spend"):
        divide(fitted, total=now * 3)
    with pytest.raises(SettingError, match="unknown channel"):
        divide(fitted, bounds={"serch": (0.5, 1.0)})


def test_unsettled_draws_recommend_nothing(fitted: Responses) -> None:
    found = divide(replace(fitted, ratio=1.3))
    assert (found.recommended, found.reason) == (False, "unsettled")
    assert "did not settle" in found.text()


def test_the_simulated_market_of_robyn(shared_data: Path) -> None:
    """208 weeks that Meta simulated (MIT); the truth is not published, so only what may be said of it is tested."""
    columns = SpendSettings(
        time="DATE",
        outcome="revenue",
        channels=("tv_S", "ooh_S", "print_S", "facebook_S", "search_S"),
        controls=("competitor_sales_B", "newsletter"),
        events="events",
        licence="MIT",
        note="simulated",
    )
    study = study_budget(open_spend(shared_data / "market" / "robyn-weekly.csv", columns), BudgetSettings(draws=400))
    status = {channel.name: channel.status for channel in study.budget.channels}
    assert status["tv_S"] == "identified"
    assert not study.budget.recommended
    assert study.held is not None
    section = budget_section(study)
    assert "simulated" in " ".join(note["en"] for note in section.notes)
    assert json.dumps(study.budget.as_dict(), allow_nan=False)


def test_the_report_of_a_budget(divided: Budget) -> None:
    from noria.grow.promote.study import BudgetStudy

    section = budget_section(BudgetStudy(divided, None))
    assert len(section.charts) == 4
    assert len(section.figures) == 4
    assert json.dumps([chart.options for chart in section.charts], allow_nan=False)


@pytest.mark.parametrize("told", ["search", "search=1", "=1:2", "search=a:b"])
def test_bounds_that_cannot_be_read_are_told(told: str) -> None:
    with pytest.raises(SettingError, match="bounds cannot be read"):
        study_budget(advertising(40).spend, BudgetSettings(bounds=(told,), draws=200))
