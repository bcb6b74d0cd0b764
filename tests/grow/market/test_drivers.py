"""Drivers: coefficients and errors beside statsmodels', recovery of simulated truths, and what is not identified."""

from __future__ import annotations

import csv
import warnings
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from markets import PROVENANCE, measured, simulated

from noria.core.errors import InputError, SettingError
from noria.grow.market.drivers.attraction import explain
from noria.grow.market.drivers.identify import reliability
from noria.grow.market.drivers.panel import Panel, panel_of
from noria.grow.market.drivers.regression import Absorber, regress
from noria.grow.series.series import Floats, Point, Provenance, Series


def panel_frame(panel: Panel) -> pd.DataFrame:
    frame = pd.DataFrame(panel.x, columns=list(panel.drivers))
    return frame.assign(y=panel.y, level=panel.level, entity=panel.entity, time=panel.time)


def test_coefficients_and_errors_are_statsmodels_own() -> None:
    panel = panel_of(simulated(8, 20, 1, effects={"price": -0.05, "rating": 0.1}), "share", ["price", "rating"])
    fitted = regress(panel.y, panel.x, Absorber(panel.groups), panel.entity, panel.time, repeats=99)
    frame = panel_frame(panel)
    model = smf.ols("y ~ price + rating + C(level) + C(time)", frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # more dummies than clusters: of no concern for two coefficients
        peer = model.fit(cov_type="cluster", cov_kwds={"groups": frame.entity})
        names = ["price", "rating"]
        assert fitted.values == pytest.approx(peer.params[names].to_numpy(), rel=1e-8)
        assert fitted.errors == pytest.approx(peer.bse[names].to_numpy(), rel=1e-8)
    assert fitted.method == "wild cluster bootstrap"


def test_a_single_entity_has_newey_and_west_s_errors() -> None:
    random = np.random.default_rng(0)
    x = np.cumsum(random.normal(0, 1, 120)) + 60
    y = np.exp(0.02 * x + 0.001 * np.arange(120) + random.normal(0, 0.1, 120))
    series = measured({"share": y[:, None], "spend": x[:, None]}, {"share": "CNY"})
    effect = explain(panel_of(series, "share", ["spend"])).effects[0]
    frame = pd.DataFrame({"y": np.log(y), "x": x, "t": np.arange(120)})
    reach = int(4 * 1.2 ** (2 / 9))
    peer = smf.ols("y ~ x + t", frame).fit(cov_type="HAC", cov_kwds={"maxlags": reach, "use_correction": False})
    assert effect.value == pytest.approx(peer.params["x"], rel=1e-8)
    assert effect.low is not None
    assert effect.high is not None
    from scipy.stats import t as student

    half = student.ppf(0.975, 119) * peer.bse["x"] * np.sqrt(119 / 117)
    assert effect.high - effect.value == pytest.approx(half, rel=1e-8)
    assert effect.method == "Driscoll-Kraay"


def test_large_panels_are_absorbed_exactly() -> None:
    random = np.random.default_rng(3)
    groups = [random.integers(0, 500, 4000), random.integers(0, 30, 4000)]
    values = random.normal(0, 1, (4000, 2))
    absorbed = Absorber(groups)(values)
    dummies = np.concatenate([np.eye(500)[groups[0]], np.eye(30)[groups[1]]], axis=1)
    exact = values - dummies @ np.linalg.lstsq(dummies, values, rcond=None)[0]
    assert absorbed == pytest.approx(exact, abs=1e-9)
    assert Absorber(groups).rank == np.linalg.matrix_rank(dummies)


def test_log_centring_is_the_same_as_an_effect_for_each_period() -> None:
    series = simulated(6, 15, 4, effects={"rating": 0.08})
    panel = panel_of(series, "share", ["rating"])
    logs = np.log(panel.share)  # Cooper and Nakanishi 1988, equation 2.12
    centred_y = logs - (np.bincount(panel.time, logs) / np.bincount(panel.time))[panel.time]
    mean = np.bincount(panel.time, panel.x[:, 0]) / np.bincount(panel.time)
    centred_x = panel.x[:, 0] - mean[panel.time]
    level = np.eye(6)[panel.entity]
    x = np.column_stack([centred_x, level])
    assert np.linalg.lstsq(x, centred_y, rcond=None)[0][0] == pytest.approx(
        explain(panel, repeats=99).effects[0].value, rel=1e-8
    )


def test_simulated_truth_is_inside_as_often_as_promised() -> None:
    inside, trials = 0, 120
    for seed in range(trials):  # 8 entities, autocorrelated errors: the case where plain errors fail
        panel = panel_of(simulated(8, 16, 100 + seed, effects={"rating": 0.05}), "share", ["rating"])
        effect = explain(panel, level=0.9, repeats=199, seed=seed).effects[0]
        assert effect.low is not None
        assert effect.high is not None
        inside += effect.low <= 0.05 <= effect.high
    assert 0.83 * trials <= inside <= 0.96 * trials  # 90 %, give or take two and a half standard errors


def test_mci_recovers_an_elasticity_and_growth_a_change() -> None:
    random = np.random.default_rng(5)
    price = np.exp(np.cumsum(random.normal(0, 0.2, (30, 8)), axis=0))
    pull = price**-1.5 * np.exp(random.normal(0, 0.05, (30, 8)) + random.normal(0, 1, 8))
    series = measured({"share": pull / pull.sum(1, keepdims=True), "price": price}, {"share": "share"})
    study = explain(panel_of(series, "share", ["price"], form="mci"))
    effect = study.effects[0]
    assert effect.value == pytest.approx(-1.5, abs=0.1)
    assert "goes with less" in effect.verdict["en"]
    own = study.elasticities()["price"]
    assert own["e0"] == pytest.approx(effect.value * (1 - study.panel.share[(study.panel.entity == 0)][-1]))
    growth = explain(panel_of(series, "share", ["price"], form="growth"))
    assert growth.elasticities() == {}
    assert growth.panel.y.size == 29 * 8


def test_a_lagged_driver_is_read_where_it_was() -> None:
    random = np.random.default_rng(6)
    rating = np.cumsum(random.normal(0, 1, (25, 7)), axis=0) + 50
    pull = np.exp(0.1 * np.concatenate([rating[:1], rating[:-1]]) + random.normal(0, 0.01, (25, 7)))
    series = measured({"share": pull / pull.sum(1, keepdims=True), "rating": rating}, {"share": "share"})
    assert explain(panel_of(series, "share", ["rating"], lag=1), repeats=199).effects[0].value == pytest.approx(
        0.1, abs=0.005
    )
    assert panel_of(series, "share", ["rating"], lag=1).y.size == 24 * 7


def reasons_of(measures: dict[str, Floats], drivers: list[str]) -> dict[str, str]:
    series = measured(measures, {"share": "share"})
    return {
        effect.driver: effect.verdict["en"]
        for effect in explain(panel_of(series, "share", drivers), repeats=199).effects
    }


def test_what_cannot_be_told_says_why() -> None:
    random = np.random.default_rng(7)
    share = random.dirichlet(np.full(7, 20.0), 20)
    walk = np.cumsum(random.normal(0, 1, (20, 7)), axis=0) + 50
    one = np.full((20, 7), 5.0)
    one[10:, 2] = 9.0
    told = reasons_of(
        {
            "share": share,
            "constant": np.full((20, 7), 3.0),
            "country": np.tile(np.arange(7.0), (20, 1)),
            "season": np.tile(np.arange(20.0)[:, None], (1, 7)),
            "spend": walk,
            "clicks": 3 * walk + random.normal(0, 0.01, walk.shape),
            "launch": one,
            "rating": np.cumsum(random.normal(0, 1, (20, 7)), axis=0) + 50,
        },
        ["constant", "country", "season", "spend", "clicks", "launch", "rating"],
    )
    assert told["constant"] == "not identified: it never varies"
    assert "differs between entities but never changes" in told["country"]
    assert "moves for all entities alike" in told["season"]
    assert "of clicks most: they cannot be told apart" in told["spend"]
    assert "of spend most" in told["clicks"]
    assert "e2 alone" in told["launch"]
    assert told["rating"].startswith("not told from zero")


def test_few_entities_and_few_periods_are_named() -> None:
    random = np.random.default_rng(8)
    few = {"share": random.dirichlet(np.ones(3), 12), "price": random.random((12, 3)) + 1}
    assert "3 entities and 12 periods: too few" in reasons_of(few, ["price"])["price"]
    short = {
        "share": random.dirichlet(np.ones(6), 3),
        "price": random.random((3, 6)) + 1,
        "rating": random.random((3, 6)) + 1,
    }
    assert set(reasons_of(short, ["price", "rating"])) == {"price", "rating"}
    tiny = {"share": random.dirichlet(np.ones(6), 2), "price": random.random((2, 6)) + 1}
    assert "observations for" in reasons_of(tiny, ["price"])["price"]


def test_gaps_zeros_and_breaks_are_counted() -> None:
    random = np.random.default_rng(9)
    share = random.dirichlet(np.full(6, 30.0), 20)
    price = random.random((20, 6)) + 1
    share[3, 2], price[4, 4] = 0.0, np.nan
    panel = panel_of(
        measured({"share": share, "price": price}, {"share": "share"}, breaks=((10, 1),)), "share", ["price"]
    )
    assert panel.y.size == 118
    assert [problem["en"] for problem in panel.problems] == [
        "1 observations left out: the outcome is zero, which has no logarithm",
        "1 observations left out: price is not known",
    ]
    assert np.unique(panel.level).size == 7  # entity e1 counts as another after its break
    assert len(panel.entities) == 6
    growth = panel_of(measured({"share": share, "price": price}, breaks=((10, 1),)), "share", ["price"], form="growth")
    assert "break lies between" in " ".join(problem["en"] for problem in growth.problems)


def test_drivers_that_never_meet_the_outcome() -> None:
    nothing = np.full((10, 2), np.nan)
    share, rating = nothing.copy(), nothing.copy()
    share[:5], rating[5:] = 0.5, 3.0
    with pytest.raises(
        InputError, match="not identified: share and rating are known together for no entity and period"
    ):
        panel_of(measured({"share": share, "rating": rating}), "share", ["rating"])
    with pytest.raises(SettingError, match=r"unknown measure: found 'prise'.*did you mean price"):
        panel_of(measured({"share": share, "price": rating}), "share", ["prise"])
    with pytest.raises(InputError, match="no driver was named"):
        panel_of(measured({"share": share, "price": rating}), "share", [])


def noisy(seed: int, error: float) -> Series:
    random = np.random.default_rng(seed)
    true = np.cumsum(random.normal(0, 1, (24, 10)), axis=0) + 50
    pull = np.exp(0.2 * true + random.normal(0, 0.1, true.shape))
    seen = true + random.normal(0, error, true.shape)
    return measured(
        {
            "share": pull / pull.sum(1, keepdims=True),
            "rating": seen,
            "rating standard error": np.full(true.shape, error),
        },
        {"share": "share"},
    )


def test_a_driver_with_an_error_of_its_own_is_corrected() -> None:
    naive, corrected, inside = [], [], 0
    for seed in range(40):
        effect = explain(panel_of(noisy(seed, 1.2), "share", ["rating"]), repeats=99).effects[0]
        assert effect.naive is not None
        assert effect.low is not None
        assert effect.high is not None
        naive.append(effect.naive)
        corrected.append(effect.value)
        inside += effect.low <= 0.2 <= effect.high
    assert np.mean(naive) < 0.175  # shrunk towards zero
    assert np.mean(corrected) == pytest.approx(0.2, abs=0.012)
    assert inside >= 34


def test_a_driver_that_is_mostly_error_is_not_identified() -> None:
    panel = panel_of(noisy(0, 4.0), "share", ["rating"])
    assert reliability(panel, Absorber(panel.groups))[0] < 0.5
    assert "its own measurement error" in explain(panel, repeats=99).effects[0].verdict["en"]


def test_simulated_marketing_tells_spend_and_impressions_not_apart(shared_data: Path) -> None:
    """The data are simulated by their publisher; two columns of one channel move together."""
    with (shared_data / "market" / "robyn-weekly.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    names = ["revenue", "tv_S", "print_S", "facebook_S", "facebook_I", "competitor_sales_B"]
    points = [Point(row["DATE"], "brand", "", name, float(row[name]), name) for row in rows for name in names]
    series = Series(tuple(points), Provenance("Robyn, simulated", "MIT", date(2019, 11, 11)))
    effects = {effect.driver: effect for effect in explain(panel_of(series, "revenue", names[1:])).effects}
    assert effects["tv_S"].identified
    assert effects["tv_S"].value > 0
    assert "of facebook_I most: they cannot be told apart" in effects["facebook_S"].verdict["en"]
    assert "of facebook_S most" in effects["facebook_I"].verdict["en"]
    assert effects["tv_S"].n == 208


def test_ratings_and_shares_that_never_met(shared_data: Path) -> None:
    """The ratings end in February 2025 and the shares begin in April: nothing can be said of one by the other."""
    with (shared_data / "market" / "chatbot-share.csv").open(encoding="utf-8") as stream:
        points = [
            Point(row["month"], row["brand"], "", "share", float(row["share_percent"]), "percent")
            for row in csv.DictReader(stream)
        ]
    with (shared_data / "market" / "arena-ratings.csv").open(encoding="utf-8") as stream:
        last = {row["date"][:7]: float(row["gpt-4o-2024-08-06"] or "nan") for row in csv.DictReader(stream)}
    points += [
        Point(month, "ChatGPT", "", "rating", value, "points") for month, value in last.items() if value == value
    ]
    series = Series(tuple(sorted(points, key=lambda point: point.time)), PROVENANCE)
    with pytest.raises(
        InputError,
        match="not identified: share and rating are known together for no entity and period",
    ):
        panel_of(series, "share", ["rating"])


def test_what_is_kept_is_one_less_the_leverage() -> None:
    random = np.random.default_rng(4)
    groups = [random.integers(0, 6, 40), random.integers(0, 9, 40)]
    for chosen in (groups, groups[:1]):
        dummies = np.concatenate([np.eye(int(codes.max()) + 1)[codes] for codes in chosen], axis=1)
        leverage = np.diag(dummies @ np.linalg.pinv(dummies))
        assert Absorber(chosen).kept == pytest.approx(1 - leverage, abs=1e-9)
