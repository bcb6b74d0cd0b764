"""Diffusion: published parameters, thousands at once, intervals that cover, and ceilings that cannot be told."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import InputError, SettingError
from noria.grow.forecast.levels.adoption import fit_compared, fit_one
from noria.grow.forecast.levels.curves import BASS, Periods
from noria.grow.forecast.levels.diffusion import BOTH, EVEN, Estimator, fit_many
from noria.grow.forecast.levels.problem import Noise, _solved
from noria.grow.series.series import Floats

TEN_YEARS = [840, 1470, 2110, 4000, 7590, 10950, 10530, 9470, 7790, 5890]


def simulated(size: int, periods: int, noise: float, seed: int, proportional: bool = False) -> tuple[Floats, Floats]:
    """Return simulated sales (size, periods) and their true p, q and ceiling (size, 3)."""
    random = np.random.default_rng(seed)
    p, q = random.lognormal(np.log(0.02), 0.4, size), random.lognormal(np.log(0.4), 0.25, size)
    parts = Periods(np.arange(1.0, periods + 1), True).part(BASS, np.log(np.column_stack([p, q])))
    sales = 1000 * parts
    if proportional:
        sales = sales * np.exp(random.normal(0, noise, sales.shape))
    else:
        sales = np.maximum(sales + random.normal(0, noise * sales.max(1, keepdims=True), sales.shape), 0.0)
    return sales, np.column_stack([p, q, np.full(size, 1000.0)])


def test_two_parameters_that_move_the_curve_alike_share_the_step():
    regular, singular = np.diag([2.0, 4.0]), np.ones((2, 2))
    found = _solved(
        np.stack([regular, singular, np.full((2, 2), np.nan)]), np.array([[2.0, 4.0], [2.0, 2.0], [1.0, 1.0]])
    )
    assert found[:2] == pytest.approx(np.ones((2, 2)))
    assert np.isnan(found[2]).all()


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict[str, dict[str, object]]:
    cases = json.loads((shared_data / "market" / "bass-golden.json").read_text(encoding="utf-8"))["cases"]
    return {case["id"]: case for case in cases}


def test_the_published_fit_to_the_density(golden: dict[str, dict[str, object]]) -> None:
    case = golden["nls-ten-years"]
    fitted = fit_one(case["series"], estimator="density")  # type: ignore[arg-type]
    refit = case["refit"]
    assert isinstance(refit, dict)
    for ours, theirs in (("p", "p"), ("q", "q"), ("ceiling", "M")):
        assert fitted.parameters[ours] == pytest.approx(refit[theirs], rel=1e-5)
        assert fitted.errors[ours] == pytest.approx(refit[f"se_{theirs}"], rel=1e-3)
    assert np.sqrt(fitted.group.squares[0] / 7) == pytest.approx(refit["rse"], rel=1e-5)
    assert fitted.converged


def test_the_published_regression(golden: dict[str, dict[str, object]]) -> None:
    case = golden["ols-five-years"]
    fitted = fit_one(case["series"], estimator="ols")  # type: ignore[arg-type]
    refit = case["refit"]
    assert isinstance(refit, dict)
    expected = (refit["p"], refit["q"], refit["M"])
    assert tuple(fitted.parameters.values()) == pytest.approx(expected, rel=1e-7)
    low, high = fitted.intervals["ceiling"]
    assert low < refit["M"] < high


AIR_CONDITIONERS = [96, 195, 238, 380, 1045, 1230, 1267, 1828, 1586, 1673, 1800, 1580, 1500]
"""Room air conditioners, thousand units, 1949 to 1961 (Bass 1969)."""


def test_noise_is_named_and_least_squares_stands_beside_it() -> None:
    found = fit_compared(np.array(AIR_CONDITIONERS, dtype=float), "bass", kind="flow", estimator="likelihood")
    # Nonlinear least squares as published (Srinivasan and Mason 1986): p .0094, q .3748.
    squares = found.others["nls"]
    expected = {"p": 0.0094, "q": 0.3748, "ceiling": 18_713}
    assert squares.parameters == pytest.approx(expected, rel=5e-3)
    assert not found.intervals["p"][0] <= squares.parameters["p"] <= found.intervals["p"][1]
    assert "proportional noise" in found.estimation()
    assert "0.5 above" in found.estimation()
    assert "等幅噪声" in squares.estimation()["zh"]
    facts = found.as_dict()
    assert (facts["estimator"], facts["noise"]) == ("likelihood", "proportional")
    assert facts["others"]["nls"]["noise"] == "even"


def test_estimators_that_agree_stay_out_of_sight() -> None:
    sales, _ = simulated(1, 20, 0.0, 2)
    assert set(fit_compared(sales[0], "bass", kind="flow", estimator="nls").others) <= {"ols"}


@pytest.mark.parametrize("estimator", ["nls", "ols", "density"])
def test_every_estimator_forecasts_by_its_own_equation(estimator: Estimator) -> None:
    ahead = fit_one(AIR_CONDITIONERS, estimator=estimator).ahead(4, draws=400)
    assert (ahead.draws >= 0).all()
    assert not ahead.logged.any()  # even noise
    assert 500 < ahead.median()[0] < 1500
    assert np.all(np.diff(ahead.median()) < 0)  # past the turn


def test_the_density_forecasts_the_density() -> None:
    density = Periods(np.arange(1.0, 21.0), True, dense=True).part(BASS, np.log([[0.01, 0.4]]))[0] * 1000
    ahead = fit_one(density[:16], estimator="density").ahead(4, draws=200)
    np.testing.assert_allclose(ahead.median(), density[16:], rtol=1e-3)


def test_a_regression_of_no_curve_says_so() -> None:
    with pytest.raises(InputError, match="those of no Bass curve"):
        fit_one([1, 2, 4, 8, 16], estimator="ols")
    with pytest.raises(InputError, match="every period from the launch on"):
        fit_one([1, np.nan, 4, 5, 6, 4], estimator="ols")
    many = fit_many([TEN_YEARS, [2.0**n for n in range(10)]], estimator="ols")
    assert list(many.problems) == [1]
    assert np.isfinite(many.parameters["q"][0])


def test_estimators_are_told_apart() -> None:
    found = [fit_one(TEN_YEARS, estimator=each).parameters["p"] for each in ("nls", "density", "ols")]
    assert min(abs(a - b) for a, b in itertools.pairwise(sorted(found))) > 0.001
    for each in ("density", "ols"):
        with pytest.raises(SettingError, match="are for flows under Bass"):
            fit_one(TEN_YEARS, "logistic", estimator=each)
        with pytest.raises(SettingError, match="likelihood or nls"):
            fit_one(TEN_YEARS, estimator=each, effort=np.ones((10, 1)))


@pytest.mark.parametrize("curve", ["bass", "logistic", "gompertz"])
def test_many_at_once_are_as_good_as_one_by_one(curve: str) -> None:
    sales, _ = simulated(12, 16, 0.05, 1)
    sales[3, 5] = np.nan
    sales[4, :3] = np.nan
    many = fit_many(sales, curve, noises=BOTH)
    assert many.problems == {}
    for row in range(12):
        one = fit_one(sales[row], curve, noises=BOTH)
        for name, value in one.parameters.items():
            assert many.parameters[name][row] == pytest.approx(value, rel=1e-4)


def test_without_noise_the_truth_comes_back() -> None:
    sales, truth = simulated(50, 20, 0.0, 2)
    many = fit_many(sales, noises=EVEN)
    np.testing.assert_allclose(np.column_stack(list(many.parameters.values())), truth, rtol=1e-4)
    ahead = Periods(np.arange(21.0, 27.0), True).part(BASS, np.log(truth[:, :2])) * 1000
    np.testing.assert_allclose(many.expected(6), ahead, rtol=1e-3, atol=1e-6)


def test_series_of_one_kind_learn_of_each_other() -> None:
    random = np.random.default_rng(8)
    shapes = np.column_stack([random.normal(np.log(0.01), 0.3, 200), random.normal(np.log(0.4), 0.1, 200)])
    sales = 1000 * Periods(np.arange(1.0, 15.0), True).part(BASS, shapes)
    seen = np.maximum(sales[:, :8] * np.exp(random.normal(0, 0.1, (200, 8))), 0)
    many = fit_many(seen)
    alone, together = (np.abs(many.expected(6, pooled=each) - sales[:, 8:]).mean() for each in (False, True))
    assert together < 0.8 * alone  # few have turned after eight periods
    lone = fit_many(seen[:3])
    np.testing.assert_array_equal(lone.expected(2), lone.expected(2, pooled=True))  # three tell nothing of a spread


def test_a_fit_is_a_minimum() -> None:
    from scipy.optimize import minimize

    sales, _ = simulated(3, 15, 0.08, 3)
    many = fit_many(sales, noises=EVEN)
    group = many.groups[0]
    for row in range(3):
        problem = group.problem.of([row])
        best = minimize(
            lambda full, problem=problem: float(np.sum(problem.deviations(full[None])[0] ** 2)),
            group.full[row],
            method="Nelder-Mead",
        )
        assert group.squares[row] <= best.fun * (1 + 1e-6)


@pytest.mark.parametrize(("proportional", "noise"), [(False, 0.03), (True, 0.1)])
def test_simulated_intervals_cover(proportional: bool, noise: float) -> None:
    size, periods, ahead = 120, 14, 3
    sales, truth = simulated(size, periods + ahead, noise, 7, proportional)
    inside, came = [], []
    for row in range(size):
        one = fit_one(sales[row, :periods], noises=(Noise(proportional),))
        ends = np.array(list(one.intervals.values()))
        inside.append((ends[:, 0] <= truth[row]) & (truth[row] <= ends[:, 1]))
        low, high = one.ahead(ahead, draws=600, seed=row).interval(0.9)
        came.append((low <= sales[row, periods:]) & (sales[row, periods:] <= high))
    error = 3 * np.sqrt(0.9 * 0.1 / size)
    assert np.abs(np.mean(inside, 0) - 0.9).max() < error
    assert np.abs(np.mean(came, 0) - 0.9).max() < error


def test_before_the_turn_the_ceiling_is_not_identified_and_after_it_is() -> None:
    early, late = fit_one(TEN_YEARS[:5]), fit_one(TEN_YEARS[:7])
    assert not early.identified["ceiling"]
    assert early.intervals["ceiling"][1] == np.inf
    assert "not identified: the turn has not been seen yet" in early.verdict()["en"]
    assert "无法识别" in early.verdict()["zh"]
    assert "not identified" in early.figures()[-1].text()
    assert late.identified["ceiling"]
    assert late.intervals["ceiling"][0] > sum(TEN_YEARS[:6])
    # What may come is bounded all the same, and holds what came.
    low, high = early.ahead(3).interval(0.9)
    assert ((low < TEN_YEARS[5:8]) & (TEN_YEARS[5:8] < high)).all()
    assert high[-1] < 20 * max(TEN_YEARS)


def test_profile_intervals_end_where_the_likelihood_falls_enough() -> None:
    from scipy.stats import f as f_distribution

    one = fit_one(TEN_YEARS, noises=EVEN)
    group = one.group
    bar = float(group.squares[0]) * (1 + f_distribution.ppf(0.9, 1, 7) / 7)
    for place, (name, ends) in enumerate(one.intervals.items()):
        for end in ends:
            fixed = np.zeros((1, 3))
            fixed[0, place] = 1
            start = group.full.copy()
            start[0, place] = np.log(end)
            _, squares, _ = group.problem.polish(start, fixed)
            assert squares[0] == pytest.approx(bar, rel=1e-3), name


def test_a_covariate_speeds_adoption_up() -> None:
    random = np.random.default_rng(4)
    effort = random.normal(0, 0.3, (30, 1))
    shapes = np.array([[np.log(0.01), np.log(0.35), 1.5]])
    sales = 1000 * Periods(np.arange(1.0, 31.0), True, effort).part(BASS, shapes)[0]
    seen = np.maximum(sales[:24] + random.normal(0, 1.0, 24), 0)
    one = fit_one(seen, effort=effort[:24], noises=EVEN)
    low, high = one.intervals["effect 1"]
    assert low < 1.5 < high
    assert low > 0
    ahead = one.ahead(6, effort=effort[24:], draws=500)
    np.testing.assert_allclose(ahead.median(), sales[24:], atol=8)
    with pytest.raises(InputError, match="needs their future"):
        one.ahead(6)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e9), st.just(float("nan"))), min_size=5, max_size=20),
    st.sampled_from(["bass", "logistic", "gompertz"]),
    st.sampled_from(["flow", "level"]),
)
def test_whatever_the_series_nothing_is_silently_wrong(values: list[float], curve: str, kind: str) -> None:
    try:
        one = fit_one(values, curve, kind=kind)  # type: ignore[arg-type]
    except InputError:  # one that says why, as the cases below do
        return
    assert all(np.isfinite(value) for value in one.parameters.values())
    ahead = one.ahead(4, draws=50)
    assert (ahead.draws >= 0).all()
    assert np.isfinite(ahead.draws).all()
    if kind == "flow" and not one.group.problem.noise.proportional:
        assert one.path().sum() <= one.parameters["ceiling"] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("values", "facts", "message"),
    [
        ([1, 2, 3], {}, "3 values are too few for 3 parameters: 4 or more are needed"),
        ([0, 0, 0, 0, 0], {}, "nothing above zero was seen"),
        ([1, 2, -3, 4, 5], {}, "values of diffusion are amounts: found -3"),
        ([1, 2, 3, 4, float("inf")], {}, "values of diffusion are amounts: found inf"),
        ([1, 2, 3, 4, 5], {"times": np.array([1.0, 2, 2, 3, 4])}, "times must rise"),
        ([1, 2, 3, 4, 5], {"effort": np.zeros((2, 1))}, "covariates need a row for every period"),
    ],
)
def test_bad_series_are_named(values: list[float], facts: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_one(values, **facts)  # type: ignore[arg-type]


def test_one_bad_series_among_many_loses_nothing_of_the_others() -> None:
    sales, truth = simulated(4, 15, 0.0, 5)
    sales[1] = 0.0
    sales[2, 3:] = np.nan
    many = fit_many(sales, noises=EVEN)
    assert set(many.problems) == {1, 2}
    assert "3 values are too few" in many.problems[2]
    np.testing.assert_allclose(many.parameters["q"][[0, 3]], truth[[0, 3], 1], rtol=1e-4)
    assert np.isnan(many.parameters["q"][[1, 2]]).all()
    with pytest.raises(SettingError, match="unknown curve"):
        fit_many(sales, "weibull")


def test_a_ceiling_below_the_latest_value_is_not_told_as_known() -> None:
    values = [170, 1000, 5200, 13000, 30000, 61000, 100000, 140000, 180000, 215000, 240000, 260000, 280000, 300000]
    bass = fit_one([*values, 310000, 330000, 340000, 360000, 365000, 380000], "bass", kind="level")
    assert bass.intervals["ceiling"][1] < 380_000
    assert "does not fit" in bass.verdict()
    assert "lies below the latest value, 380,000" in bass.verdict()
