"""The promotion plan: it joins what was found, and says what was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from noria.core.errors import InputError
from noria.grow.log.lake import events
from noria.grow.log.read import log_of_events
from noria.grow.promote.experiment import analyse
from noria.grow.promote.plan import Plan, needs_of, plan
from noria.grow.promote.planning import PlanStudy, study_plan
from noria.grow.promote.settings import BudgetSettings, PlanBasis, PlanSettings, UnitSettings
from noria.grow.promote.simulated import advertising, campaign
from noria.grow.promote.study import BudgetStudy, study_budget
from noria.grow.promote.units import Units
from noria.grow.promote.uplift import Uplift, uplift
from noria.grow.report.page import write_report
from noria.grow.report.sections.promotion import promotion_sections


@pytest.fixture(scope="module")
def whom() -> Uplift:
    return uplift(campaign(12_000, seed=1), seed=1)


@pytest.fixture(scope="module")
def money() -> BudgetStudy:
    return study_budget(advertising(104, seed=1).spend, BudgetSettings(draws=600))


@pytest.fixture(scope="module")
def made(whom: Uplift, money: BudgetStudy) -> Plan:
    return plan(whom=whom, money=money, reach=30_000, periods=8, users_a_day=1000)


def test_users_expected_are_effect_times_users_and_weeks_times_gain(
    made: Plan, whom: Uplift, money: BudgetStudy
) -> None:
    won, gained = (item.figure for item in made.expected)
    assert whom.addressed is not None
    users = round(30_000 * whom.share)
    assert (won.value, won.low, won.high) == pytest.approx(
        tuple(users * end for end in (whom.addressed.value, whom.addressed.low, whom.addressed.high))
    )
    assert money.budget.gain is not None
    assert gained.value == pytest.approx(8 * money.budget.gain.value)
    assert any("not added" in gap["en"] for gap in made.gaps)


def test_the_plan_is_simulated_where_its_data_are(made: Plan) -> None:
    assert made.simulated
    assert "simulated" in made.text("en").splitlines()[1]
    assert "模拟" in made.text("zh").splitlines()[1]


def test_addressing_is_measured_by_half_held_out(made: Plan) -> None:
    first = made.measures[0]
    assert first.design is not None
    assert first.design.control == first.design.treated
    assert first.design.days == -(-first.design.users // 1000)
    assert "held out at random" in first.how["en"]
    assert "weeks" in made.measures[1].how["en"]


def test_the_largest_channel_that_is_not_identified_is_the_one_to_test() -> None:
    market = advertising(104, constant=True)
    found = study_budget(market.spend, BudgetSettings(draws=400))
    made = plan(money=found)
    test = made.measures[0]
    assert test.what["en"] == "Channel video"
    assert test.design is not None
    assert test.design.control >= 2
    assert "video" in made.text("zh")


def test_both_languages_say_the_same_parts(made: Plan) -> None:
    assert len(made.text("en").splitlines()) == len(made.text("zh").splitlines())
    assert [title for title, _ in made.parts()] == [
        "Whom to address",
        "Channels and budget",
        "What to expect",
        "How it will be measured",
        "Not known",
    ]
    assert json.dumps(made.as_dict(), allow_nan=False, ensure_ascii=False)


def test_what_is_not_known_stands_as_a_gap() -> None:
    flat = study_budget(advertising(80, flat=True).spend, BudgetSettings(draws=400))
    made = plan(money=flat)
    assert not made.expected
    gaps = " ".join(gap["en"] for gap in made.gaps)
    assert "Whom to address" in gaps
    assert "What users ask about" in gaps
    assert "No recommendation" in made.text("en")


def test_a_broken_experiment_gives_no_audience() -> None:
    units = campaign(3000, seed=2)
    kept = (units.group == 0) | (np.arange(units.n) % 4 > 0)
    broken = replace(
        units,
        group=units.group[kept],
        outcome=units.outcome[kept],
        before=None,
        day=None,
        features={name: values[kept] for name, values in units.features.items()},
    )
    made = plan(tried=analyse(broken), whom=uplift(broken))
    assert made.audience == ()
    assert not made.expected
    assert any("mismatch" in gap["en"] for gap in made.gaps)


def test_without_features_the_best_clear_variant_goes_to_everyone() -> None:
    units = campaign(6000, effect=0.06, seed=3)
    made = plan(tried=analyse(replace(units, before=None, features={})))
    assert made.audience[0].address
    assert "everyone alike, with mailed" in made.text("en")
    assert "A thousand users addressed" in made.text("en")
    none = plan(tried=analyse(replace(campaign(3000, effect=0.0, spread=0.0, seed=3), before=None, features={})))
    assert not none.audience[0].address
    assert not none.expected


def test_needs_are_shares_of_users(lake_of: Callable[[list[dict[str, object]]], Path]) -> None:
    rows = [
        {"kind": "request", "user": f"u{number % 10}", "segment": "退款" if number % 10 < 4 else "发票"}
        for number in range(40)
    ]
    rows += [{"kind": "request", "user": "u0", "segment": "发票"}, {"kind": "request", "user": "u9"}]
    rows = [{"app": "support", **row} for row in rows] + [
        {"kind": "request", "user": "u9", "segment": "taste", "app": "recommend"}
    ]
    lake = lake_of(rows)
    asked = study_plan(lake, PlanBasis(), PlanSettings(app="support")).plan.needs
    assert [need.name for need in asked] == ["发票", "退款"]
    table = events(lake)
    needs = needs_of(log_of_events(table.filter(table.app == "support"), segment="segment"))
    assert [(need.name, need.value, need.n) for need in needs] == [("发票", 0.7, 10), ("退款", 0.4, 10)]
    assert needs[0].low is not None
    assert needs[0].low < 0.7


def test_from_files_to_a_page(tmp_path: Path, lake_of: Callable[[list[dict[str, object]]], Path]) -> None:
    lake = lake_of([{"kind": "request", "user": f"u{number}", "segment": "invoice"} for number in range(9)])
    path = tmp_path / "u.csv"
    lines = [f"u{row},{'a' if row % 2 else 'b'},{int(row % 10 < 2 + 3 * (row % 2))}" for row in range(2000)]
    path.write_text("\n".join(["user,variant,outcome", *lines]) + "\n", encoding="utf-8")
    study = study_plan(lake, PlanBasis(experiment=path, units=UnitSettings(control="b")))
    assert isinstance(study, PlanStudy)
    assert study.whom is None
    assert "invoice: 100.0% of users" in study.plan.text("en")
    page = write_report(tmp_path / "plan.html", promotion_sections(study)).read_text(encoding="utf-8")
    assert '<section id="plan"' in page
    assert '<section id="experiment"' in page
    with pytest.raises(InputError, match="a plan needs something to rest on"):
        study_plan(None, PlanBasis())


def test_who_carries_the_effect_and_doubtful_sizes_stand_in_the_plan() -> None:
    random = np.random.default_rng(5)
    spent = random.exponential(size=2000)
    spent[0] = 400.0
    group = (np.arange(2000) >= 945).astype(np.int64)  # p = 0.0148
    made = plan(tried=analyse(Units(("control", "mailed"), group, spent, "simulated users")))
    gaps = [gap["en"] for gap in made.gaps]
    assert any(gap.startswith("Sample ratio doubtful") for gap in gaps)
    assert any("One user of control (400;" in gap for gap in gaps)
    assert made.audience  # doubtful is no mismatch
