"""Rivals, generations and efforts, studied whole: the truth comes back, densities are those of the draws, and the bar is persistence."""

from __future__ import annotations

import numpy as np
import pytest
from markets import PROVENANCE, browsers, measured, operating_systems
from scipy.stats import gaussian_kde

from noria.core.errors import InputError, SettingError
from noria.grow.forecast.joint.generations import in_use
from noria.grow.forecast.joint.rivals import rivals_ahead, study_rivals
from noria.grow.forecast.joint.several import Amounts, Joint, amounts_of, random_walks, study_amounts
from noria.grow.forecast.joint.succession import by_launch, generations_ahead, study_generations
from noria.grow.forecast.levels.curves import BASS, Periods
from noria.grow.forecast.levels.effort import effort_of, study_effort
from noria.grow.forecast.levels.levels import levels_of
from noria.grow.series.calendars import following
from noria.grow.series.series import Floats, read_series

GENERATIONS = ["Windows XP", "Windows 7", "Windows 10"]


def amounts(values: Floats, names: tuple[str, ...] = ()) -> Amounts:
    times = ("2020-01", *following(["2020-01"], len(values) - 1))
    return Amounts(times, names or tuple("abcdef"[: values.shape[1]]), values, "users", PROVENANCE)


def competing(periods: int, seed: int = 0) -> Floats:
    """Return two simulated rivals of which b takes from a."""
    random = np.random.default_rng(seed)
    logs, seen = np.log([20.0, 2.0]), []
    for _ in range(periods):
        seen.append(np.exp(logs))
        logs = logs + [0.3, 0.35] + np.array([[-0.01, -0.02], [0.0, -0.012]]) @ np.exp(logs) + random.normal(0, 0.03, 2)
    return np.array(seen)


def succeeding(periods: int, seed: int = 0) -> Floats:
    truth = in_use(
        np.tile([[0.01, 0.25]], (2, 1)), np.array([100.0, 60.0]), np.array([-5.0, 20.0]), np.arange(1.0, periods + 1)
    )
    return np.maximum(truth + np.random.default_rng(seed).normal(0, 1.0, truth.shape), 0.0) * (truth > 0)


def test_rivals_whose_growth_bends_are_foreseen_better_than_by_persistence() -> None:
    study = study_rivals(amounts(competing(40)[:20]), horizon=4, holdout=1, draws=500)
    assert {item.model for item in study.ahead.backtest.standings} == {  # type: ignore[union-attr]
        "persistence",
        "last-value",
        "lotka-volterra",
        "blend",
    }
    assert study.ahead.model != "persistence"
    low, high = study.ahead.interval(0.9)
    truth = competing(40)[20:24]
    assert np.mean((low <= truth) & (truth <= high)) >= 0.75
    assert study.ahead.times == ("2021-09", "2021-10", "2021-11", "2021-12")
    assert "balance" in study.notes()[0]["en"] or "stay at" in study.notes()[0]["en"]


@pytest.mark.parametrize("which", ["walks", "rivals", "generations"])
def test_the_density_is_that_of_the_draws(which: str) -> None:
    if which == "generations":
        history = amounts(succeeding(40))
        joint = generations_ahead(history, 2, 6000, 0, succession=by_launch(history, ["a=2019-08"]))
    else:
        history = amounts(competing(25))
        joint = random_walks(history, 2, 6000, 0) if which == "walks" else rivals_ahead(history, 2, 6000, 0)
    for ahead in (1, 2):
        sample = joint.draws[:, ahead - 1]
        point = np.median(sample, axis=0)
        # The tails of a walk whose noise is hardly known would widen the smoothing of its middle.
        near = (np.abs(np.log(sample / point)) < 0.5).all(1)
        sample, missing = sample[near], np.log(near.mean())
        smoothed = gaussian_kde(sample.T, bw_method=0.15).logpdf(point).item() + missing
        assert joint.log_density(point, ahead) == pytest.approx(smoothed, abs=0.25)


def test_the_density_of_one_rival_alone_is_that_of_its_draws() -> None:
    joint = rivals_ahead(amounts(competing(25)), 1, 6000, 0)
    point = np.array([np.nan, float(np.median(joint.draws[:, 0, 1]))])
    assert joint.log_density(point, 1) == pytest.approx(
        gaussian_kde(joint.draws[:, 0, 1]).logpdf(point[1]).item(), abs=0.2
    )


def test_a_gap_at_the_end_is_stepped_over() -> None:
    whole, cut = competing(25), competing(25)
    cut[-1] = np.nan
    ahead = rivals_ahead(amounts(cut), 1, 4000, 0)
    two = rivals_ahead(amounts(whole[:-1]), 2, 4000, 0)
    np.testing.assert_allclose(np.median(ahead.draws[:, 0], axis=0), np.median(two.draws[:, 1], axis=0), rtol=1e-9)


def test_generations_simulated_are_foreseen_and_one_not_yet_there_has_nothing() -> None:
    values = succeeding(60)
    study = study_generations(by_launch(amounts(values[:50]), ["a=2019-08"]), horizon=10, draws=500)
    assert study.launches == {"a": "2019-08", "b": "2021-09"}
    low, high = study.ahead.interval(0.9)
    assert np.mean((low <= values[50:]) & (values[50:] <= high)) >= 0.75
    history = amounts(values)
    early = generations_ahead(history.until(15), 3, 200, 0, succession=by_launch(history, ["a=2019-08"]))
    assert (early.draws[..., 1] == 0).all()
    assert (early.draws[..., 0] > 0).any()


def test_real_generations_and_rivals(shared_data, tmp_path) -> None:  # type: ignore[no-untyped-def]
    history = amounts_of(read_series(operating_systems(shared_data, tmp_path / "windows.csv")), taking=GENERATIONS)
    study = study_generations(by_launch(history, ["Windows XP=2001-10"]), horizon=6, draws=400)
    assert list(study.launches.values()) == ["2001-10", "2009-01", "2015-08"]
    median = study.ahead.median()
    assert median[-1, 2] > history.values[-1, 2]  # Windows 10 was on its way up
    assert study.ahead.backtest is not None
    rivals = amounts_of(
        read_series(browsers(shared_data, tmp_path / "browsers.csv")), taking=["Chrome", "Firefox", "Internet Explorer"]
    )
    found = study_rivals(rivals, draws=400)
    assert found.ahead.backtest is not None
    standings = {item.model: item for item in found.ahead.backtest.standings}
    assert standings["lotka-volterra"].gain.value > 0  # type: ignore[union-attr]
    assert "do not add up to one whole" in found.notes()[-1]["en"]


def test_launches_are_read_off_or_told() -> None:
    history = amounts(succeeding(40))
    with pytest.raises(InputError, match="a is there from the first period on"):
        by_launch(history)
    with pytest.raises(SettingError, match="a launch is told as NAME=TIME"):
        by_launch(history, ["2019-08"])
    with pytest.raises(SettingError, match="unknown generation"):
        by_launch(history, ["c=2019-08"])
    with pytest.raises(InputError, match="not a time of this series"):
        by_launch(history, ["a=2019"])
    with pytest.raises(InputError, match="launched at one time"):
        by_launch(history, ["a=2021-09"])
    with pytest.raises(InputError, match="launched after the last period"):
        study_generations(by_launch(history, ["a=2019-08", "b=2024-01"]))


def sold(effect: float, seed: int = 0) -> tuple[Floats, Floats]:
    """Return sales of generalised Bass and the price behind them."""
    random = np.random.default_rng(seed)
    price = 100 * np.exp(np.cumsum(np.append(0.0, random.normal(-0.01, 0.2, 29))))
    changes = np.diff(np.log(price), prepend=np.log(price[0]))[:, None]
    shapes = np.array([[np.log(0.01), np.log(0.25), effect]])
    flow = 1000 * Periods(np.arange(1.0, 31.0), True, changes).part(BASS, shapes)[0]
    return flow * random.normal(1, 0.02, 30), price


def test_an_effort_is_found_and_a_plan_is_followed() -> None:
    sales, price = sold(-0.8)
    known = np.where(np.arange(30) < 26, sales, np.nan)
    series = measured({"sales": known[:, None], "price": price[:, None]})
    points = tuple(point for point in series.points if point.value is not None)
    flow = levels_of(type(series)(points, series.provenance), "flow", "sales")
    effort = effort_of(type(series)(points, series.provenance), ["price"], flow)
    assert effort.planned.shape == (4, 1)
    study = study_effort(flow, effort, horizon=4, draws=300)
    figure = next(figure for figure in study.adoptions["generalised"].figures() if figure.name == "effect of price")
    assert figure.low < -0.8 < figure.high < 0  # type: ignore[operator]
    assert "as the series plans it" in effort.note(4)["en"]
    assert "2 period(s)" in type(effort)(effort.names, effort.changes, effort.planned[:2]).note(4)["en"]
    followed = study_effort(flow, effort, horizon=4, draws=300, model="generalised").outlook
    assert followed is not None
    np.testing.assert_allclose(followed.median(), sales[26:], rtol=0.25)


def test_efforts_that_cannot_be_used_are_named() -> None:
    sales, price = sold(-0.8)
    price[3] = 0.0
    series = measured({"sales": sales[:, None], "price": price[:, None]})
    flow = levels_of(series, "flow", "sales")
    with pytest.raises(InputError, match=r"price must be above zero in every period: found '0\.0 in 2020-04'"):
        effort_of(series, ["price"], flow)
    with pytest.raises(SettingError, match="unknown measure"):
        effort_of(series, ["prise"], flow)


def test_amounts_that_act_on_one_another_need_two_and_a_known_model() -> None:
    series = measured({"users": competing(20)})
    with pytest.raises(InputError, match="two entities or more"):
        amounts_of(series, taking=["e0"])
    with pytest.raises(SettingError, match="unknown entity"):
        amounts_of(series, taking=["e0", "e9"])
    with pytest.raises(SettingError, match="no such model"):
        study_amounts(amounts_of(series), {"persistence": random_walks}, model="bass")
    short = study_rivals(amounts(competing(7)), draws=200)
    assert short.ahead.backtest is None
    assert short.ahead.model == "persistence"
    late = competing(12)
    late[:10, 1] = 0.0
    with pytest.raises(InputError, match="too few values of b for persistence"):
        study_amounts(amounts(late), {"persistence": random_walks})


def test_the_blend_is_a_mixture() -> None:
    history = amounts(competing(30))

    def low(known: Amounts, horizon: int, draws: int, seed: int) -> Joint:
        return random_walks(known, horizon, draws, seed + 1)

    study = study_amounts(history, {"persistence": random_walks, "lotka-volterra": low}, model="blend", draws=300)
    assert study.outlook.draws.shape == (300, 6, 2)
    one = random_walks(history, 6, 300, 0).log_density(history.values[-1], 1)
    assert study.outlook.log_density(history.values[-1], 1) == pytest.approx(one, abs=0.3)
