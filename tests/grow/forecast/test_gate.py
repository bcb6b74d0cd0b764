"""The gate of forecasts: three verdicts that agree with what came after, breaks that the data tell, and bars that stay where they are."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

import benchmarks
from noria.grow.bundled import chatbot_shares
from noria.grow.forecast.last_value import last_value
from noria.grow.forecast.levels.levels import LEVEL_MODELS, Levels, backtest_levels, forecast_levels
from noria.grow.forecast.scoring.breaks import breaks_of
from noria.grow.forecast.scoring.gate import ENOUGH, blocks_of, leads_of, still_wanted
from noria.grow.forecast.scoring.rolling import first_origin
from noria.grow.forecast.scoring.standings import Backtest, Past, Trial, standings_of
from noria.grow.forecast.shares.attraction import shares_of
from noria.grow.forecast.shares.backtest import backtest
from noria.grow.forecast.shares.baseline import MODELS
from noria.grow.forecast.shares.mirror import log_shrinkage, opposite, original
from noria.grow.forecast.shares.persistence import stay
from noria.grow.market.share import Shares, shares
from noria.grow.series.calendars import following
from noria.grow.series.series import Floats, Provenance, Series, read_series

PROVENANCE = Provenance("simulated", "CC0", date(2026, 1, 1))


@pytest.fixture(scope="module")
def later() -> Shares:
    """Return the bundled market with the six months that came after it."""
    seen = read_series(chatbot_shares())
    after = read_series(Path(benchmarks.__file__).with_name("statcounter-after.csv"))
    return shares(Series((*seen.points, *after.points), seen.provenance))


def months(size: int) -> tuple[str, ...]:
    return ("2020-01", *following(["2020-01"], size - 1))


def levels(values: Floats) -> Levels:
    return Levels(months(len(values)), np.asarray(values, dtype=np.float64), "level", "a", "users", PROVENANCE)


def tried(model: Floats, bar: Floats, gains: Floats, horizon: int = 3) -> Backtest:
    """Return the back-test of one model: energy scores of it and of persistence at each origin, and log scores above persistence."""
    trials = [
        Trial(name, str(place), ahead, log, energy, energy, energy, 100.0, (0.5, 0.8, 0.9), 1.0, place)
        for place in range(len(bar))
        for ahead in range(1, horizon + 1)
        for name, energy, log in (("persistence", bar[place], 0.0), ("bass", model[place], gains[place]))
    ]
    return Backtest(tuple(trials), standings_of(trials, 1.0), horizon, unit="users")


def test_on_the_chatbots_nobody_can_tell_and_what_came_after_agrees(chatbots: Shares, later: Shares) -> None:
    test = backtest(chatbots, horizon=3)
    assert test.winner == "persistence"
    assert test.ruling.verdict == "cannot tell"
    assert (test.ruling.origins, test.ruling.independent) == (6, 2)
    assert test.ruling.periods_more == 16
    assert "2 independent origins of 8 wanted (6 in all). About 16 more periods" in test.verdict()["en"]
    assert "尚无法判断" in test.verdict()["zh"]
    # Drift, which the log score alone let through, was twice as far off as persistence on the six months that came.
    truth = later.values[12:18]
    came = {
        name: np.abs(MODELS[name](chatbots).ahead(6, draws=1000).median() - truth).mean() * 100
        for name in ("persistence", "last-value", "drift")
    }
    assert came["drift"] == pytest.approx(1.57, abs=0.05)
    assert came["persistence"] == pytest.approx(0.71, abs=0.02)
    assert came["last-value"] == pytest.approx(0.71, abs=0.02)


def test_half_the_error_beats_persistence_though_one_log_score_is_far_from_all_others() -> None:
    random = np.random.default_rng(0)
    gains = random.normal(0.5, 0.3, 24)
    gains[11] = -300.0
    found = tried(random.normal(570, 60, 24), random.normal(1200, 150, 24), gains)
    assert found.winner == "bass"
    assert found.ruling.independent == ENOUGH
    assert found.ruling.lead is not None
    assert found.ruling.lead.value == pytest.approx(0.53, abs=0.03)
    assert "Bass beats persistence" in found.verdict()["en"]
    assert "优于" in found.verdict()["zh"]
    # The same lead in error, and less density at most origins: not a win, and the reason is told.
    lost = tried(random.normal(570, 60, 24), random.normal(1200, 150, 24), gains - 1.0)
    assert lost.ruling.verdict == "does not beat"
    assert "loses in the log score" in lost.verdict()["en"]
    # Better in the log score alone is no win either.
    alone = tried(random.normal(1200, 150, 24), random.normal(1200, 150, 24), random.normal(2, 0.3, 24))
    assert alone.ruling.verdict == "does not beat"


def test_too_few_origins_tell_nothing_however_clear_the_lead() -> None:
    few = tried(np.full(20, 1.0), np.full(20, 2.0) + np.arange(20) / 100, np.ones(20))
    assert (few.ruling.verdict, few.ruling.independent, few.ruling.periods_more) == ("cannot tell", 7, 2)
    enough = tried(np.full(22, 1.0), np.full(22, 2.0) + np.arange(22) / 100, np.ones(22))
    assert enough.ruling.verdict == "beats"
    told = enough.ruling.as_dict()
    assert (told["verdict"], told["independent"], told["origins_wanted"]) == ("beats", 8, ENOUGH)


def test_origins_count_where_their_forecasts_do_not_overlap() -> None:
    assert blocks_of([6, 7, 8, 9, 10, 11], 3) == [0, 0, 0, 1, 1, 1]
    assert blocks_of([6, 9, 10, 14], 3) == [0, 1, 1, 2]
    assert still_wanted(6, 2, 3) == 16
    # As many more periods as are told to be needed are enough.
    size = 12
    origins = size - first_origin(size, 6, 3)
    size += still_wanted(origins, 2, 3)
    places = range(first_origin(size, 6, 3), size)
    assert blocks_of(list(places), 3)[-1] + 1 == ENOUGH


def test_the_interval_of_overlapping_scores_covers_what_it_promises() -> None:
    random = np.random.default_rng(1)
    shocks = random.normal(0, 1, (300, 26))
    scores = shocks[:, 2:] + shocks[:, 1:-1] + shocks[:, :-2]  # of horizons that share all but one period
    found = [leads_of(row[:, None], range(24), 3, 0.9)[0] for row in scores]
    covered = np.mean([lead.low <= 0 <= lead.high for lead in found])  # type: ignore[operator]
    assert 0.86 <= covered <= 0.95
    # Of six models that are all like the bar, one leads as often as it may.
    many = random.normal(0, 1, (200, 24, 6))
    wins = np.mean([max(lead.low for lead in leads_of(each, range(24), 3)) > 0 for each in many])  # type: ignore[type-var]
    assert wins <= 0.06


def test_the_median_of_persistence_is_todays_value(later: Shares) -> None:
    june = Shares(
        later.times[:15],
        later.entities,
        later.values[:15],
        later.base,
        later.provenance,
        later.resolution,
        (),
        ((1, 3),),
    )
    assert june.values[-1, 0] == pytest.approx(0.769, abs=0.001)
    ahead = stay(june).ahead(12, draws=1000)
    np.testing.assert_allclose(ahead.median(), np.tile(june.values[-1], (12, 1)), atol=1e-3)
    np.testing.assert_allclose(ahead.draws.sum(-1), 1, atol=1e-12)
    last = MODELS["last-value"](june).ahead(12, draws=1000)
    np.testing.assert_allclose(last.median(), np.tile(june.values[-1], (12, 1)), atol=1e-9)
    np.testing.assert_allclose(last.draws.sum(-1), 1, atol=1e-9)
    assert (last.draws >= 0).all()
    level = forecast_levels(levels(np.geomspace(10, 900, 20)), "persistence", 6, draws=500)
    np.testing.assert_allclose(level.median(), 900, rtol=1e-3)


def test_opposites_lie_on_the_other_side_and_have_the_density_of_their_originals() -> None:
    random = np.random.default_rng(2)
    today = np.array([0.6, 0.3, 0.1])
    base = np.log(today[1:] / today[0])
    drawn = shares_of(base + random.normal(0, 0.4, (500, 2)))
    mirrored = opposite(drawn, today)
    np.testing.assert_allclose(mirrored.sum(1), 1)
    assert (mirrored > 0).all()
    assert ((drawn - today) * (mirrored - today) <= 0).all()
    np.testing.assert_allclose(original(mirrored, today), drawn, atol=1e-9)
    # Mass of the opposites' density over a grid of log-ratios.
    step, mass = 0.25, 0.0
    for first in base[0] + np.arange(-2.2, 1.7, step):
        for second in base[1] + np.arange(-2.2, 1.7, step):
            before, volume = log_shrinkage(np.array([first, second]), today)
            if np.isfinite(volume):
                mass += np.exp(volume - 0.5 * np.sum((before - base) ** 2) / 0.16) / (2 * np.pi * 0.16)
    assert mass * step**2 == pytest.approx(1, abs=0.05)


def test_a_launch_ramp_is_forgotten_when_it_is_over() -> None:
    inside, reached = [], []
    for seed in range(40):
        random = np.random.default_rng(seed)
        pace = np.where(np.arange(33) < 8, 1.0, 0.0) * random.exponential(1, 33)
        values = 1000 * np.exp(np.cumsum(pace + random.normal(0, 0.05, 33)))
        low, high = forecast_levels(levels(values[:30]), "persistence", 3, draws=400, seed=seed).interval(0.9)
        inside.append((low <= values[30:]) & (values[30:] <= high))
        reached.append(high[2] / low[2])
    assert 0.8 <= np.mean(inside) <= 0.99  # 120 values, about 40 of them independent
    # One size of change for ramp and calm alike gave a factor of more than 50.
    assert np.median(reached) < 2


def test_the_last_value_moves_as_it_once_did_either_way() -> None:
    values = np.array([[10.0, 0.0], [11.0, 0.0], [np.nan, 5.0], [12.0, 4.0], [14.0, 6.0]])
    draws = last_value(values, 3, 600, 0)
    assert (draws >= 0).all()
    np.testing.assert_allclose(np.median(draws, 0)[:, 0], 14, rtol=1e-9)
    assert draws[:, 0, 0].max() == pytest.approx(14 * 14 / 12)
    assert draws[:, 0, 0].min() == pytest.approx(14 * 12 / 14)


def test_breaks_are_told_with_their_date_and_seldom_where_there_is_none() -> None:
    random = np.random.default_rng(3)
    calm = np.cumsum(random.normal(0, 0.05, 40))
    jump = calm + 2.0 * (np.arange(40) >= 25)
    (found,) = breaks_of(jump[:, None])
    assert (found.row, found.kind) == (25, "jump")
    turned = np.cumsum(np.where(np.arange(60) < 30, 0.1, -0.1) + random.normal(0, 0.04, 60))
    assert {each.kind for each in breaks_of(turned[:, None])} == {"regime"}
    assert abs(breaks_of(turned[:, None])[0].row - 31) <= 2
    noisy = random.normal(0, 1, 60) + 4.0 * (np.arange(60) >= 20)
    assert {each.row for each in breaks_of(noisy[:, None])} == {20}
    alarms = [bool(breaks_of(np.cumsum(random.standard_t(5, 24))[:, None])) for _ in range(12)]
    assert sum(alarms) <= 3  # 5 % of 12 series; more in one of 440 runs


def test_the_gate_says_whether_its_origins_lie_on_one_side_of_a_break() -> None:
    random = np.random.default_rng(4)
    calm = 100 * np.exp(np.cumsum(random.normal(0, 0.03, 40)))
    models = {name: LEVEL_MODELS[name] for name in ("persistence", "last-value", "drift")}
    one = backtest_levels(levels(calm), models=models, draws=200)
    assert "All 24 origins lie in one regime" in one.verdict()["en"]
    assert "同一阶段" in one.verdict()["zh"]
    broken = backtest_levels(levels(np.where(np.arange(40) >= 30, 3, 1) * calm), models=models, draws=200)
    assert "in 2% to 9% of simulated ones): a 2022-07 (a jump)." in broken.verdict()["en"]
    assert "straddle a break at 2022-07: 9 of 24 lie after it" in broken.verdict()["en"]
    assert "跨越 2022-07" in broken.verdict()["zh"]
    assert [(each["time"], each["kind"]) for each in broken.break_facts()] == [("2022-07", "jump")]
    marked = Past(months(12), ("a", "b"), np.zeros((12, 2)), ((3, 1),))
    assert [(each.row, each.kind) for each in marked.breaks] == [(3, "marked")]
