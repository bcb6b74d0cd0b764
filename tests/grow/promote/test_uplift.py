"""Whom to address: recovery from simulated campaigns, no heterogeneity where there is none, and an honest split."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from noria.core.errors import InputError, SettingError
from noria.grow.promote.experiment import analyse
from noria.grow.promote.learners import encode, learn, logistic, qini, ridge
from noria.grow.promote.settings import UnitSettings, UpliftSettings
from noria.grow.promote.simulated import campaign
from noria.grow.promote.study import study_uplift
from noria.grow.promote.units import read_features
from noria.grow.promote.uplift import Uplift, _halves, uplift
from noria.grow.report.sections.uplift import uplift_section


@pytest.fixture(scope="module")
def moved() -> Uplift:
    return uplift(campaign(20_000), seed=1)


def test_the_qini_curve_by_hand() -> None:
    # Five users in the order of the score; treated T, control C: T1 C0 T1 C1 C0
    treated = np.array([True, False, True, False, False])
    outcome = np.array([1.0, 0.0, 1.0, 1.0, 0.0])
    curve = qini(np.array([5.0, 4.0, 3.0, 2.0, 1.0]), outcome, treated)
    # gains a treated user: 1/2, 1/2, 2/2, (2 - 1 * 2/2)/2, (2 - 1 * 2/3)/2
    heights = [0.0, 0.5, 0.5, 1.0, 0.5, 2 / 3]
    area = np.trapezoid(heights, np.linspace(0, 1, 6)) - heights[-1] / 2
    assert curve.coefficient == pytest.approx(area)
    assert curve.gain[[0, 20, 60, 100]] == pytest.approx([0.0, 0.5, 1.0, 2 / 3])
    assert not curve.found  # five users prove nothing


def test_the_end_of_the_curve_is_the_effect_on_everyone(moved: Uplift) -> None:
    assert moved.curve.gain[-1] == pytest.approx(moved.everyone.value)
    assert moved.curve.low[-1] == pytest.approx(moved.everyone.low, abs=0.004)


def test_the_effect_on_everyone_is_the_experiment_s() -> None:
    units = campaign(3000, seed=4)
    three = replace(
        units, names=("control", "mailed", "called"), group=units.group + (np.arange(3000) % 3 == 0) * units.group
    )
    for one, variant in ((units, "mailed"), (replace(units, before=None), "mailed"), (three, "called")):
        found = uplift(one, variant=variant, draws=100)
        tried = next(item.found for item in analyse(one).comparisons if item.found.variant == variant)
        assert found.everyone == tried
        assert found.curve.users == sum(one.counts[name] for name in ("control", variant))
        assert found.learnt in (found.curve.users // 2, (found.curve.users - 1) // 2, found.curve.users // 2 - 1)


def test_the_halves_that_teach_one_another_are_alike() -> None:
    """The halves hold every user once, and each group alike."""
    treated = np.arange(2001) % 2 == 0
    halves = _halves(treated, np.random.default_rng(0))
    assert np.array_equal(np.sort(np.concatenate(halves)), np.arange(2001))
    for half in halves:
        assert abs(int(treated[half].sum()) - 500) <= 1


@pytest.mark.parametrize("learner", ["x", "two", "transformed"])
def test_who_is_moved_is_found_by_every_learner(learner: str) -> None:
    found = uplift(campaign(12_000, seed=2), learner=learner, seed=2)  # type: ignore[arg-type]
    assert found.found
    assert found.decision == "some"
    assert found.addressed is not None
    assert found.others is not None
    assert found.addressed.low > 0
    assert found.others.value < found.everyone.value < found.addressed.value
    assert found.traits[0].name == "visits"
    assert found.groups[0].value > found.groups[-1].value


def test_no_heterogeneity_is_called_where_there_is_none() -> None:
    calls = [uplift(campaign(1500, spread=0.0, seed=seed), draws=200, seed=seed).found for seed in range(120)]
    assert np.mean(calls) <= 0.06  # one-sided 2.5 % and what 120 simulations leave open
    none = uplift(campaign(1500, spread=0.0, effect=0.15, seed=3))
    assert none.decision == "everyone"
    assert none.text().startswith("No heterogeneity found")
    assert none.text()["zh"].startswith("未发现差异化效应")


def test_a_cost_above_the_effect_addresses_no_one() -> None:
    units = campaign(6000, spread=0.0, effect=0.0, seed=4)
    assert uplift(units, cost=0.2).decision == "no one"
    assert uplift(units).decision == "unknown"


def test_the_judges_taught_nothing() -> None:
    """Noise that can be learnt by heart gains nothing on those kept back; on those who taught it would."""
    random = np.random.default_rng(6)
    n = 600
    features = {f"x{place}": random.normal(size=n) for place in range(60)}
    units = replace(campaign(n, spread=0.0, effect=0.0, seed=6), features=features, before=None)
    found = uplift(units, learner="two", seed=6)
    assert not found.found
    rows = np.arange(n)
    matrix = encode(features, rows).matrix(features)
    treated = units.group == 1
    score = learn(matrix, units.outcome, treated, "two")(matrix)
    assert qini(score, units.outcome, treated).coefficient > found.curve.coefficient


def test_the_split_is_the_seed_s(moved: Uplift) -> None:
    assert uplift(campaign(20_000), seed=1).curve.coefficient == moved.curve.coefficient
    assert uplift(campaign(20_000), seed=2).curve.coefficient != moved.curve.coefficient


def test_many_users_are_judged_in_cells_of_neighbours() -> None:
    random = np.random.default_rng(8)
    n = 60_000
    treated = random.random(n) < 0.5
    score = random.random(n)
    outcome = (random.random(n) < 0.1 + 0.1 * score * treated).astype(float)
    whole = qini(score, outcome, treated, draws=250)
    few = [qini(score[part], outcome[part], treated[part], draws=250) for part in np.array_split(np.arange(n), 3)]
    assert whole.coefficient == pytest.approx(0.05 / 6, abs=0.003)  # ∫(φ - φ²/2)·0.1 - φ·0.05 = 1/120
    width = whole.coefficient_high - whole.coefficient_low
    wide = np.mean([one.coefficient_high - one.coefficient_low for one in few])
    assert width == pytest.approx(wide / 3**0.5, rel=0.2)


def test_ridge_and_logistic_recover_what_made_the_data() -> None:
    random = np.random.default_rng(9)
    matrix = random.normal(size=(20_000, 3))
    line = matrix @ [1.0, -2.0, 0.0] + 5
    assert ridge(matrix, line + random.normal(size=20_000))(np.eye(3)) == pytest.approx([6, 3, 5], abs=0.05)
    rates = 1 / (1 + np.exp(-(matrix @ [1.0, -0.5, 0.0] - 1)))
    fitted = logistic(matrix, (random.random(20_000) < rates).astype(float))
    assert np.abs(fitted(matrix) - rates).mean() < 0.01
    # columns that tell nothing are shrunk away
    noise = random.normal(size=(300, 40))
    assert np.std(ridge(noise, random.normal(size=300))(noise)) < 0.35


def test_missing_features_are_filled_and_words_counted() -> None:
    features = {"x": np.array([1.0, np.nan, 3.0, 5.0]), "w": np.array(["a", "b", "a", ""]), "same": np.ones(4)}
    how = encode(features, np.arange(4))
    assert how.names == ("x", "w = a", "w = –", "w = b")
    assert np.isfinite(how.matrix(features)).all()
    assert how.matrix(features).shape == (4, 5)
    new = {"x": np.array([np.nan]), "w": np.array(["never seen"]), "same": np.array([2.0])}
    assert how.matrix(new)[0, 1:4].tolist() == [0, 0, 0]


def test_from_a_file_to_the_report(tmp_path: Path) -> None:
    units = campaign(8000, seed=5)
    path = tmp_path / "campaign.csv"
    lines = [
        f"u{row},{units.names[units.group[row]]},{units.outcome[row]:g},{units.features['visits'][row]},{units.features['city'][row]}"
        for row in range(units.n)
    ]
    path.write_text("\n".join(["user,variant,outcome,visits,city", *lines]) + "\n", encoding="utf-8")
    found = study_uplift(path, UnitSettings(), UpliftSettings(features=("visits", "city")))
    assert found.found
    assert json.dumps(found.as_dict(), allow_nan=False)
    section = uplift_section(found)
    assert len(section.figures) == 4
    assert json.dumps([chart.options for chart in section.charts], allow_nan=False)


@pytest.mark.parametrize(
    ("settings", "how", "error", "message"),
    [
        (UnitSettings(), UpliftSettings(), InputError, "nothing is known of users that tells them apart"),
        (UnitSettings(), UpliftSettings(features=("none",)), InputError, r"no column 'none'.*--features"),
        (UnitSettings(), UpliftSettings(features=("x",), treated="zz"), SettingError, "unknown treated group"),
        (UnitSettings(weight="x"), UpliftSettings(features=("x",)), InputError, "uplift needs one outcome a user"),
    ],
)
def test_what_cannot_be_learnt_is_told(
    settings: UnitSettings, how: UpliftSettings, error: type[Exception], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "u.csv"
    lines = [f"u{row},{'a' if row % 2 else 'b'},{row % 3 == 0},{row % 7}" for row in range(900)]
    path.write_text("\n".join(["user,variant,outcome,x", *lines]) + "\n", encoding="utf-8")
    with pytest.raises(error, match=message):
        study_uplift(path, settings, how)


def test_too_few_users_teach_nothing() -> None:
    with pytest.raises(InputError, match="too few users to learn whom to address"):
        uplift(campaign(300))


def test_candidates_are_scored_as_the_judges_were(tmp_path: Path) -> None:
    units = campaign(6000, seed=7)
    found = uplift(replace(units, before=None), seed=7)
    assert found.features == ("visits", "city")
    path = tmp_path / "users.csv"
    path.write_text("id,visits,city\na,30,上海\nb,0.5,上海\nc,,Paris\n", encoding="utf-8")
    users, features = read_features(path, found.features, user="id")
    rows = found.scored(users, features)
    assert [row["user"] for row in rows] == ["a", "b", "c"]
    assert rows[0]["score"] > rows[2]["score"] > rows[1]["score"]
    assert [row["address"] for row in rows] == [row["score"] > 0 for row in rows]
    everyone = uplift(campaign(1500, spread=0.0, effect=0.15, seed=3))
    features["before"] = np.zeros(3)
    assert all(row["address"] for row in everyone.scored(users, features))
    with pytest.raises(InputError, match="no column 'user'"):
        read_features(path, ("visits",))
