"""Levels and users to come: random walks, curves and cohorts, all above zero, back-tested alike."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import InputError
from noria.grow.forecast.levels.cohorts import active_of, cohort_model, triangle_of
from noria.grow.forecast.levels.levels import (
    LEVEL_MODELS,
    Levels,
    backtest_levels,
    forecast_levels,
    levels_of,
    random_walk,
)
from noria.grow.forecast.study import period_for, study_levels, study_users_ahead
from noria.grow.log.log import Log
from noria.grow.series.calendars import following
from noria.grow.series.series import Floats, Point, Provenance, Series
from noria.grow.users.activity import growth
from noria.grow.users.retention import retention

PROVENANCE = Provenance("simulated", "CC0", date(2026, 1, 1))


def history(values: object, kind: str = "level") -> Levels:
    table = np.asarray(values, dtype=np.float64)
    return Levels(("2020-01", *following(["2020-01"], len(table) - 1)), table, kind, "a", "users", PROVENANCE)  # type: ignore[arg-type]


def logistic(periods: int, noise: float, seed: int) -> Floats:
    random = np.random.default_rng(seed)
    return 1000 / (1 + np.exp(-0.35 * (np.arange(periods) - 14))) * np.exp(random.normal(0, noise, periods))


def test_a_walk_covers_and_its_density_is_that_of_its_draws() -> None:
    random = np.random.default_rng(0)
    covered, mass = [], []
    for seed in range(150):
        values = 100 * np.exp(np.cumsum(random.normal(0.02, 0.1, 23)))
        ahead = random_walk(history(values[:20]), 3, 500, seed, drifting=True)
        low, high = ahead.interval(0.9)
        covered.append((low <= values[20:]) & (values[20:] <= high))
        if seed < 3:
            at = np.geomspace(1, 1e4, 3001)
            density = np.exp([ahead.log_density(each, 3) for each in at])
            mass.append(np.trapezoid(density, at))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.05)
    assert mass == pytest.approx([1, 1, 1], abs=0.02)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.one_of(st.just(0.0), st.floats(0.01, 1e6)), min_size=6, max_size=16).filter(lambda each: max(each) > 0),
    st.sampled_from(sorted(LEVEL_MODELS)),
)
def test_nothing_falls_below_zero(values: list[float], name: str) -> None:
    try:
        ahead = forecast_levels(history(values), name, 5, draws=60)
    except InputError as error:
        assert "zeros cannot be told" in str(error)  # noqa: PT017
        return
    assert (ahead.draws >= 0).all()
    assert np.isfinite(ahead.draws).all()
    assert np.isfinite(ahead.log_density(values[-1], 2)) != (name == "last-value")


def test_saturation_is_foreseen_and_beats_persistence() -> None:
    result = backtest_levels(history(logistic(30, 0.03, 1)), horizon=2, draws=300, first=10)
    assert result.winner in ("logistic", "blend", "bass")
    standing = {item.model: item for item in result.standings}
    assert standing["logistic"].mase < standing["persistence"].mase
    assert standing["logistic"].crps < standing["drift"].crps
    assert result.weights["logistic"] > result.weights["drift"]


# Views a month of the English Wikipedia's article on ChatGPT, 2023-01 to 2025-04 (Wikimedia pageviews, CC0).
VIEWS = (
    5349371,
    5947457,
    6916888,
    8009498,
    7126714,
    5723544,
    2926034,
    1906589,
    2120546,
    2136737,
    2247191,
    2048877,
    2448529,
    2408484,
    1914228,
    1478087,
    1378272,
    1674856,
    787459,
    647852,
    1057844,
    1532236,
    1787879,
    1669915,
    2568792,
    2601557,
    2756392,
    4441034,
)


@pytest.mark.parametrize("name", ["bass", "gompertz", "logistic"])
def test_a_curve_that_says_nothing_of_the_past_is_not_believed_of_the_future(name: str) -> None:
    ahead = forecast_levels(history(VIEWS, "flow"), name, 3)
    assert ahead.draws.max() < 100 * max(VIEWS)
    low, high = ahead.interval(0.9)
    assert (low < VIEWS[-1]).all()
    assert (high > 0.3 * VIEWS[-1]).all()


def test_nothing_beats_persistence_where_nothing_is_to_be_known() -> None:
    random = np.random.default_rng(2)
    result = backtest_levels(
        history(100 * np.exp(np.cumsum(random.normal(0, 0.1, 40)))), horizon=2, draws=300, first=24
    )
    assert "Nothing beats persistence" in result.verdict()["en"]
    assert result.winner == "persistence"


def test_a_model_that_cannot_take_part_is_named_and_the_others_go_on() -> None:
    values = logistic(20, 0.05, 3)
    values[2] = 0.0
    result = backtest_levels(history(values), draws=200)
    assert set(result.silent) == {"bass", "gompertz", "logistic"}
    assert "zeros cannot be told under proportional noise" in result.silent["bass"]
    assert {item.model for item in result.standings} == {"persistence", "last-value", "drift", "blend"}


def test_only_what_may_be_scored_is_scored() -> None:
    values = logistic(20, 0.05, 4)
    values[15] = np.nan
    scored = np.ones(20)
    scored[17] = 0
    result = backtest_levels(history(values), horizon=1, draws=200, scored=scored)
    origins = {trial.origin for trial in result.trials}
    assert not {history(values).times[14], history(values).times[16]} & origins
    with pytest.raises(InputError, match="too few values to hold any out"):
        backtest_levels(history(values[:6]))


def test_levels_of_a_series() -> None:
    points = [
        Point(f"2025-0{month}", name, "", "users", float(month), "people") for month in (1, 2, 4) for name in ("a", "b")
    ]
    series = Series(tuple(points), PROVENANCE)
    with pytest.raises(InputError, match="several entities: found 'a, b'"):
        levels_of(series, "level")
    with pytest.raises(InputError, match="no such entity"):
        levels_of(series, "level", entity="c")
    found = levels_of(series, "level", entity="b")
    assert found.times == ("2025-01", "2025-02", "2025-03", "2025-04")
    np.testing.assert_array_equal(found.values, [1, 2, np.nan, 4])
    percents = Series((Point("2025-01", "a", "", "share", 3.0, "percent"),), PROVENANCE)
    with pytest.raises(InputError, match="needs amounts, not shares"):
        levels_of(percents, "flow")


def test_three_points_are_plain_errors() -> None:
    study = study_levels(history([1.0, 2.0, 3.0]))
    assert study.outlook is None
    assert study.adoptions == {}
    assert "too few values: found 3" in study.silence


def test_cohorts_add_up_to_the_active(cdnow_tenth: Log) -> None:
    triangle = triangle_of(retention(cdnow_tenth, "month"))
    whole = [row.active for row in growth(cdnow_tenth, "month").segment() if row.complete]
    np.testing.assert_array_equal(active_of(triangle), whole)


def test_cohorts_see_nothing_of_the_future(cdnow_tenth: Log) -> None:
    kept = retention(cdnow_tenth, "month")
    triangle = triangle_of(kept)
    spoiled = triangle.copy()
    rows, ages = np.indices(triangle.shape)
    spoiled[(rows + ages >= 12) & ~np.isnan(triangle)] = 7
    seen = history(active_of(triangle)[:12])
    first, second = (cohort_model(each)(seen, 3, 100, 0) for each in (triangle, spoiled))
    np.testing.assert_array_equal(first.draws, second.draws)


def test_cohorts_foresee_what_a_launch_leaves(cdnow_tenth: Log) -> None:
    study = study_users_ahead(cdnow_tenth, "month", draws=400)
    assert study.backtest is not None
    standing = {item.model: item for item in study.backtest.standings}
    assert standing["cohorts"].mase < standing["persistence"].mase
    assert study.history.times[0] == "1997-01"
    assert period_for(cdnow_tenth) == "month"
    assert "cannot fall" in study.adoptions["bass"].verdict()["en"]


def test_simulated_cohorts_cover() -> None:
    random = np.random.default_rng(9)
    covered = []
    for seed in range(60):
        triangle = np.full((18, 18), np.nan)
        sizes = 500 * np.exp(np.cumsum(random.normal(0, 0.1, 18)))
        for cohort in range(18):
            ages = np.arange(18 - cohort)
            rate = np.where(ages == 0, 1.0, 0.4 * np.maximum(ages, 1) ** -0.5)
            size = int(sizes[cohort])
            triangle[cohort, : len(ages)] = random.binomial(size, rate)
            triangle[cohort, 0] = size
        active = active_of(triangle)
        low, high = cohort_model(triangle)(history(active[:15]), 3, 300, seed).interval(0.9)
        covered.append((low <= active[15:]) & (active[15:] <= high))
    assert 0.82 <= np.mean(covered) <= 0.97


def test_cohorts_that_cannot_be_told_say_so() -> None:
    triangle = np.array([[5, 0, 0], [4, 0, np.nan], [3, np.nan, np.nan]])
    with pytest.raises(InputError, match="someone who came back"):
        cohort_model(triangle)(history(active_of(triangle)), 2, 50, 0)
