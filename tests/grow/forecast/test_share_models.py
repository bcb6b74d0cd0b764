"""Structural log-ratios, rivalry, newcomers and the blend: densities that integrate to one, and what each is for."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import InputError, SettingError
from noria.core.messages import as_is
from noria.grow.forecast.scoring.scores import counts_of, stacked
from noria.grow.forecast.shares.attraction import log_ratios, shares_of
from noria.grow.forecast.shares.backtest import backtest
from noria.grow.forecast.shares.baseline import MODELS, forecast_shares
from noria.grow.forecast.shares.entry import NEWCOMER, entries, with_newcomers
from noria.grow.forecast.shares.rivalry import fit_rivalry
from noria.grow.forecast.shares.structural import GRID, fit_structural, isometric
from noria.grow.market.share import OTHER, Shares
from noria.grow.series.calendars import following
from noria.grow.series.cells import Flag
from noria.grow.series.series import Floats, Provenance

PROVENANCE = Provenance("simulated", "CC0", date(2026, 1, 1))


def market_of(values: Floats, **facts: object) -> Shares:
    times = ("2020-01", *following(["2020-01"], len(values) - 1))
    names = (*"abcdefgh"[: values.shape[1] - 1], OTHER)
    return Shares(times, names, values, "share of users", PROVENANCE, 0.0001, **facts)  # type: ignore[arg-type]


def random_walk(periods: int, seed: int, entities: int = 3, spread: float = 0.08) -> Shares:
    random = np.random.default_rng(seed)
    ratios = np.linspace(-0.3, -1.2, entities - 1) + np.cumsum(
        random.normal(0, spread, (periods, entities - 1)), axis=0
    )
    return market_of(shares_of(ratios))


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "last-value"])
def test_a_density_integrates_to_one_and_is_that_of_the_draws(name: str, horizon: int) -> None:
    market = random_walk(20, 1, entities=2)
    model = MODELS[name](market)
    ratios, _ = log_ratios(market, market.values)
    grid = np.linspace(ratios[-1, 0] - 3, ratios[-1, 0] + 3, 601)
    density = np.exp([model.log_density(np.array([at]), horizon) for at in grid])
    mass = np.cumsum(density) * (grid[1] - grid[0])
    assert mass[-1] == pytest.approx(1.0, abs=0.01)
    draws = model.ahead(horizon, draws=4000, seed=3).draws[:, -1, :]
    seen = np.log(draws[:, model.present[1]] / draws[:, model.present[0]])
    for part in (0.1, 0.5, 0.9):
        at = np.interp(part, mass, grid + (grid[1] - grid[0]) / 2)
        assert np.mean(seen < at) == pytest.approx(part, abs=0.03)


@given(st.integers(1, 9))
def test_isometric_log_ratios_keep_distances_and_angles(size: int) -> None:
    basis = isometric(size)
    full = np.concatenate([-basis.sum(0, keepdims=True), basis])  # the base's own row makes each column sum to nothing
    np.testing.assert_allclose(full.T @ full, np.eye(size), atol=1e-12)


def test_each_coordinate_has_dynamics_of_its_own() -> None:
    random = np.random.default_rng(2)
    drifting = np.cumsum(np.full(80, 0.05) + random.normal(0, 0.01, 80))
    noisy = random.normal(0, 0.3, 80)
    coordinates = np.column_stack([drifting - 2, noisy - 1])
    fitted = fit_structural(market_of(shares_of(coordinates @ np.linalg.inv(isometric(2)))))
    swapped = fitted.present[0] != 0
    assert fitted.present[0] in (0, 1, 2)
    if not swapped:
        trending, jumping = fitted.best
        assert trending.slope > 0
        assert jumping.noise > 1
    assert fitted.weights.sum(0) == pytest.approx(np.ones(2))
    assert len(GRID) == 66


def test_rivalry_finds_who_takes_from_whom() -> None:
    # The second gains on the first in proportion to the first's share; simulated.
    random = np.random.default_rng(3)
    ratios = np.zeros((80, 2))
    ratios[0] = [-3.0, -1.0]
    for step in range(79):
        share = shares_of(ratios[step])
        ratios[step + 1] = ratios[step] + np.array([0.15 * share[0] - 0.05, 0.0]) + random.normal(0, 0.02, 2)
    market = market_of(shares_of(ratios))
    test = backtest(
        market, horizon=3, first=40, draws=200, models={name: MODELS[name] for name in ("persistence", "rivalry")}
    )
    assert test.winner in ("rivalry", "blend")
    assert fit_rivalry(market).weights[0] < 0.01  # not a random walk
    assert fit_rivalry(random_walk(60, 4)).weights[:2].sum() > 0.5  # a random walk is taken for one


def test_a_gap_at_the_end_is_walked_through() -> None:
    values = random_walk(20, 5).values.copy()
    values[18:] = np.nan
    for model in (fit_structural, fit_rivalry):
        gap, known = model(market_of(values)).ahead(1, draws=3000), model(market_of(values[:18])).ahead(3, draws=3000)
        widths = [np.subtract(*forecast.interval()[::-1])[-1] for forecast in (gap, known)]
        np.testing.assert_allclose(widths[0], widths[1], rtol=0.15)


@pytest.mark.parametrize("model", [fit_structural, fit_rivalry])
def test_what_cannot_be_forecast_is_told(model: object) -> None:
    assert callable(model)
    with pytest.raises(InputError, match="too few periods with all shares known: found 3; allowed 5"):
        model(random_walk(3, 0))
    with pytest.raises(InputError, match="overlap cannot be forecast"):
        model(market_of(random_walk(9, 0).values, flags=(Flag("overlap", "2020-02", as_is("")),)))


def test_stacking_finds_the_mixture() -> None:
    random = np.random.default_rng(6)
    came = np.where(random.random(400) < 0.7, random.normal(0, 1, 400), random.normal(6, 1, 400))
    scores = np.column_stack([-0.5 * came**2, -0.5 * (came - 6) ** 2, -0.5 * (came - 30) ** 2])
    weights = stacked(scores)
    assert weights[0] == pytest.approx(0.7, abs=0.06)
    assert weights[2] < 0.01
    np.testing.assert_allclose(stacked(np.empty((0, 4))), 0.25)
    assert stacked(scores[:1])[0] < 0.8  # one forecast proves little


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6).filter(lambda each: sum(each) > 0.01), st.integers(1, 500))
def test_counts_sum_to_the_draws_asked_for(parts: list[float], draws: int) -> None:
    weights = np.array(parts) / sum(parts)
    counts = counts_of(weights, draws)
    assert sum(counts) == draws
    assert np.abs(np.array(counts) - weights * draws).max() <= 1


def test_the_blend_learns_only_from_the_past() -> None:
    market = random_walk(26, 7)
    other = market.values.copy()
    other[20:] = other[19][::-1]
    pair = {name: MODELS[name] for name in ("persistence", "drift")}
    first, second = (backtest(each, horizon=1, draws=200, models=pair) for each in (market, market_of(other)))
    known = market.times[:19]
    mine = [trial for trial in first.trials if trial.model == "blend" and trial.origin in known]
    assert mine
    assert mine == [trial for trial in second.trials if trial.model == "blend" and trial.origin in known]
    assert sum(first.weights.values()) == pytest.approx(1)
    assert first.weights != second.weights


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 50), st.integers(1, 8))
def test_the_blend_and_newcomers_sum_to_one(seed: int, horizon: int) -> None:
    values = random_walk(20, seed).values.copy()
    values[:8, 1] = 0.0
    values /= values.sum(1, keepdims=True)
    market = market_of(values)
    forecast = with_newcomers(forecast_shares(market, "blend", horizon, draws=60, seed=seed), market, seed=seed)
    assert forecast.entities[-1] == NEWCOMER
    assert np.abs(forecast.draws.sum(-1) - 1).max() < 1e-12
    assert (forecast.draws >= 0).all()
    assert len(forecast.draws) == 60


def test_entries_are_counted_and_breaks_are_none() -> None:
    values = random_walk(21, 8).values.copy()
    values[:9, 1] = 0.0
    values /= values.sum(1, keepdims=True)
    market = market_of(values)
    seen = entries(market)
    assert (len(seen.paths), seen.periods) == (1, 20)
    assert seen.pace().value == 0.05
    assert seen.pace().low > 0
    forecast = forecast_shares(market, "persistence", 6, draws=500)
    taken = with_newcomers(forecast, market).draws[:, :, -1]
    assert 0.1 < np.mean(taken[:, -1] > 0) < 0.6
    tracked = market_of(values, breaks=((9, 1),))
    assert entries(tracked).paths == ()
    assert entries(tracked).pace().low == 0
    assert (with_newcomers(forecast, tracked).draws[:, :, -1] == 0).all()


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(SettingError, match="unknown model of shares: found 'arima'"):
        forecast_shares(random_walk(9, 0), "arima", 3)
