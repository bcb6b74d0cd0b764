"""Share forecasts: the filter against the textbook, recovery from simulation, and what cannot be forecast."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pytest
from scipy.stats import multivariate_t

from noria.core.errors import InputError
from noria.core.messages import as_is
from noria.grow.forecast.shares.attraction import (
    ATTRACTION,
    DRIFT,
    PERSISTENCE,
    Dynamics,
    fit,
    log_ratios,
    log_t,
    shares_of,
)
from noria.grow.forecast.shares.backtest import backtest, crps, energy_score
from noria.grow.forecast.shares.baseline import MODELS
from noria.grow.market.share import OTHER, Shares
from noria.grow.series.calendars import following
from noria.grow.series.cells import Flag
from noria.grow.series.series import Floats, Provenance

PROVENANCE = Provenance("made", "CC0", date(2026, 1, 1))


def market_of(values: Floats, **facts: object) -> Shares:
    times = ("2020-01", *following(["2020-01"], len(values) - 1))
    names = (*"abcdefgh"[: values.shape[1] - 1], OTHER)
    return Shares(times, names, values, "share of users", PROVENANCE, 0.0001, **facts)  # type: ignore[arg-type]


def random_walk(periods: int, seed: int, drift: float = 0.0, spread: float = 0.08) -> Shares:
    random = np.random.default_rng(seed)
    steps = random.normal(drift, spread, (periods, 3))
    ratios = np.array([-0.5, -1.0, -1.5]) + np.cumsum(steps, axis=0)
    return market_of(shares_of(ratios))


def test_log_ratios_and_back() -> None:
    market = random_walk(10, 0)
    ratios, order = log_ratios(market, market.values)
    np.testing.assert_allclose(shares_of(ratios), market.values[:, list(order)])
    extreme = shares_of(np.array([[800.0, -800.0]]))
    assert np.isfinite(extreme).all()
    assert extreme.sum() == pytest.approx(1)


def test_the_density_is_the_textbook_t() -> None:
    scale = np.array([[2.0, 0.3], [0.3, 1.0]])
    error = np.array([0.5, -1.2])
    assert log_t(error, scale, 5.0) == pytest.approx(multivariate_t(shape=scale / 5, df=5).logpdf(error))


def test_the_filter_without_noise_is_the_plain_random_walk() -> None:
    market = random_walk(12, 1)
    (posterior,) = fit(market, PERSISTENCE).posteriors
    ratios, _ = log_ratios(market, market.values)
    np.testing.assert_allclose(posterior.mean[0], ratios[-1])
    changes = np.diff(ratios, axis=0)
    assert posterior.freedom == pytest.approx(3 + 2 + 11)
    np.testing.assert_allclose(
        posterior.scale - changes.T @ changes, np.diag(np.diag(posterior.scale - changes.T @ changes)), atol=1e-12
    )


def test_drift_is_found_and_persistence_is_kept() -> None:
    drifting = fit(random_walk(60, 2, drift=0.1, spread=0.03), DRIFT)
    # The first entity falls behind the other three, one of which leads and is what the ratios are taken against.
    np.testing.assert_allclose(np.sort(drifting.posteriors[0].mean[1]), [-0.1, 0, 0], atol=0.03)
    still = fit(random_walk(60, 3), PERSISTENCE)
    np.testing.assert_allclose(still.ahead(4).median()[-1], still.market.values[-1], atol=0.03)


def test_intervals_cover_what_they_promise() -> None:
    covered = []
    for seed in range(150):
        market = random_walk(31, 1000 + seed)
        seen = market_of(market.values[:30])
        low, high = fit(seen, PERSISTENCE).ahead(1, draws=400, seed=seed).interval(0.9)
        covered.append((market.values[30] >= low[0]) & (market.values[30] <= high[0]))
    assert 0.86 <= np.mean(covered) <= 0.94  # 600 shares, about 200 of them independent


def test_noise_is_told_from_movement() -> None:
    random = np.random.default_rng(5)
    noisy = market_of(shares_of(np.array([-0.5, -1.0, -1.5]) + random.normal(0, 0.1, (60, 3))))
    patterns = (Dynamics(noise=0.0), Dynamics(noise=3.0))
    assert fit(noisy, patterns).weights[1] > 0.99
    assert fit(random_walk(60, 6), patterns).weights[0] > 0.99


def test_a_missing_month_widens_the_forecast_and_breaks_nothing() -> None:
    market = random_walk(20, 7)
    values = market.values.copy()
    values[18:] = np.nan
    gap = fit(market_of(values), PERSISTENCE).ahead(1, draws=4000)
    known = fit(market_of(values[:18]), PERSISTENCE).ahead(1, draws=4000)
    assert np.ptp(gap.interval()[0]) > 0
    width = [float(np.mean(forecast.interval()[1] - forecast.interval()[0])) for forecast in (gap, known)]
    assert width[0] > 1.3 * width[1]


def test_a_break_is_no_movement() -> None:
    market = random_walk(20, 8)
    values = market.values.copy()
    values[:5, 2] /= 20  # tracked from the sixth month on
    values /= values.sum(1, keepdims=True)
    marked = market_of(values, breaks=((5, 2),))
    unmarked = market_of(values)
    widths = [np.subtract(*fit(each, PERSISTENCE).ahead(6).interval()[::-1])[-1, 2] for each in (marked, unmarked)]
    assert widths[0] < 0.5 * widths[1]


def test_zeros() -> None:
    values = random_walk(12, 9).values.copy()
    values[:, 3] = 0.0  # never there: stays at zero
    values[4, 2] = 0.0  # below the source's resolution once
    values /= values.sum(1, keepdims=True)
    forecast = fit(market_of(values)).ahead(3)
    assert (forecast.draws[:, :, 3] == 0).all()
    assert np.isfinite(forecast.draws).all()


@pytest.mark.parametrize(
    ("market", "message"),
    [
        (random_walk(3, 0), "too few periods with all shares known: found 3; allowed 5 or more"),
        (market_of(np.tile([1.0, 0.0], (10, 1))), "needs two entities"),
        (
            market_of(random_walk(9, 0).values, flags=(Flag("overlap", "2020-02", as_is("")),)),
            "overlap cannot be forecast.*2020-02",
        ),
    ],
)
def test_what_cannot_be_forecast_is_told(market: Shares, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit(market)


def test_scores_are_proper() -> None:
    random = np.random.default_rng(11)
    actual = random.normal(0, 1, (300, 2))
    good, wide, off = (random.normal(centre, spread, (300, 400, 2)) for centre, spread in ((0, 1), (0, 3), (1.5, 1)))
    for score in (lambda draws, came: crps(draws[:, 0], float(came[0])), energy_score):
        means = [
            np.mean([score(draws[place], came) for place, came in enumerate(actual)]) for draws in (good, wide, off)
        ]
        assert means[0] < min(means[1:])
    assert crps(np.array([2.0]), 5.0) == 3.0  # one draw: the absolute error
    exact = random.normal(0, 1, 4000)
    assert crps(exact, 0.0) == pytest.approx(0.2337, abs=0.02)  # (sqrt 2 - 1) / sqrt pi, Gneiting and Raftery (2007)


def test_nothing_beats_persistence_on_a_random_walk() -> None:
    result = backtest(random_walk(40, 12), horizon=2, first=20, draws=200)
    assert result.winner == "persistence"
    assert "Nothing beats persistence" in result.verdict()["en"]
    assert "没有模型" in result.verdict()["zh"]
    assert {standing.origins for standing in result.standings} == {20}
    assert {standing.trials for standing in result.standings} == {39}


PAIR = {name: MODELS[name] for name in ("persistence", "last-value", "drift")}


def test_drift_beats_persistence_where_there_is_drift() -> None:
    steps = np.random.default_rng(13).normal([0.06, 0, 0], 0.02, (40, 3))
    market = market_of(shares_of(np.array([-1.5, -1.0, -1.5]) + np.cumsum(steps, axis=0)))
    result = backtest(market, horizon=2, first=20, draws=200, models=PAIR)
    assert result.winner in ("drift", "blend")
    assert re.match(
        r"(drift|blend) beats persistence and the last value: energy score [\d.]+ points", result.verdict()["en"]
    )
    persistence, _, drift, _ = result.standings
    assert drift.energy < persistence.energy
    assert drift.crps < persistence.crps
    assert drift.mase < persistence.mase


def test_a_lead_in_what_nobody_reads_is_no_win() -> None:
    # What drifts is an entity of next to nothing: far ahead in log score, and by no clear part in points of share.
    market = random_walk(40, 13, drift=0.12, spread=0.02)
    result = backtest(market, horizon=2, first=20, draws=200, models=PAIR)
    drift = next(item for item in result.standings if item.model == "drift")
    assert drift.gain is not None
    assert drift.gain.low is not None
    assert drift.gain.low > 1
    assert result.ruling.verdict == "does not beat"


def test_a_back_test_sees_nothing_of_the_future() -> None:
    market = random_walk(24, 14)
    other = market.values.copy()
    other[20:] = other[19]
    first = [trial for trial in backtest(market, horizon=1, draws=200).trials if trial.origin < "2021-08"]
    second = [trial for trial in backtest(market_of(other), horizon=1, draws=200).trials if trial.origin < "2021-08"]
    assert first
    assert repr(first) == repr(second)  # the last value has no log score, and nan is not itself


def test_months_that_cannot_be_scored_are_left_out() -> None:
    market = random_walk(16, 15)
    values = market.values.copy()
    values[12] = np.nan
    result = backtest(market_of(values, breaks=((14, 1),)), horizon=1, draws=200)
    assert {trial.origin for trial in result.trials if trial.model == "drift"} == {
        "2020-08",
        "2020-09",
        "2020-10",
        "2020-11",
        "2020-12",
        "2021-01",
        "2021-03",
    } - {"2020-12"}
    with pytest.raises(InputError, match="too few periods to hold any out"):
        backtest(random_walk(6, 0))


def test_the_chatbot_forecast(chatbots: Shares) -> None:
    result = backtest(chatbots, horizon=3)
    assert {standing.model for standing in result.standings} == {*MODELS, "blend"}
    forecast = fit(chatbots, ATTRACTION).ahead(6, seed=1)
    assert forecast.times[-1] == "2026-09"
    low, high = forecast.interval()
    assert ((low <= forecast.median()) & (forecast.median() <= high)).all()
    assert (fit(chatbots, ATTRACTION).ahead(6, seed=1).draws == forecast.draws).all()
