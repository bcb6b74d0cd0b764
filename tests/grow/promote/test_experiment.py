"""An experiment from its file or its events to what it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noria.core.errors import InputError, SettingError
from noria.grow.promote.experiment import analyse
from noria.grow.promote.settings import CompareSettings, UnitSettings
from noria.grow.promote.study import study_experiment, study_outcomes
from noria.grow.promote.units import Units, read_units
from noria.grow.report.sections.experiment import experiment_section


def simulated(n: int = 4000, effect: float = 0.2, groups: int = 2, seed: int = 0, **more: object) -> Units:
    """Users whose outcome is half told by what they did before; the second group gains `effect`. Simulated."""
    random = np.random.default_rng(seed)
    before, group = random.normal(10, 2, n), random.integers(groups, size=n)
    outcome = before + random.normal(0, 2, n) + effect * (group == 1)
    names = ("control", *"bcdefgh"[: groups - 1])
    units = Units(names, group, outcome, "simulated users", before=before, note="simulated")
    return replace(units, **more)  # type: ignore[arg-type]


def test_a_covariate_takes_the_variance_away_that_it_explains() -> None:
    result = analyse(simulated())
    assert result.reduction == pytest.approx(0.5, abs=0.04)
    one = result.comparisons[0]
    assert one.found.high - one.found.low == pytest.approx((one.plain.high - one.plain.low) * 0.5**0.5, rel=0.05)
    assert one.found.method == "welch + cuped"
    assert result.covariate_p is not None
    assert result.covariate_p > 0.001


def test_cuped_intervals_cover_the_truth() -> None:
    hits = 0
    for seed in range(300):
        found = analyse(simulated(300, 0.5, seed=seed)).comparisons[0].found
        hits += found.low <= 0.5 <= found.high
    assert 0.915 <= hits / 300 <= 0.985


def test_a_covariate_that_came_after_is_doubted() -> None:
    units = simulated()
    assert units.before is not None
    result = analyse(replace(units, before=units.before + 0.5 * (units.group == 1)))
    assert result.covariate_p is not None
    assert result.covariate_p < 0.001
    assert "not from before" in result.notes[-1]["en"]


def test_a_covariate_missing_for_some_is_no_zero() -> None:
    units = simulated()
    assert units.before is not None
    before = np.where(np.arange(units.n) % 3 == 0, np.nan, units.before)
    result = analyse(replace(units, before=before))
    assert result.reduction == pytest.approx(1 / 3, abs=0.05)
    assert "1,334 users have no covariate" in result.notes[-1]["en"]


def test_ratio_metrics_with_a_covariate() -> None:
    random = np.random.default_rng(4)
    n = 6000
    views, taste, group = 1.0 + random.poisson(5, n), random.beta(3, 7, n), random.integers(2, size=n)
    clicks = random.binomial(views.astype(int), np.minimum(1, taste + 0.03 * group)).astype(float)
    units = Units(("a", "b"), group, clicks, "simulated", weight=views, before=taste)
    result = analyse(units)
    assert result.metric == "ratio"
    assert result.arms[0].value == pytest.approx(clicks[group == 0].sum() / views[group == 0].sum())
    found = result.comparisons[0].found
    assert found.method == "delta + cuped"
    assert found.low <= 0.03 <= found.high
    assert found.clear
    assert result.reduction is not None
    assert result.reduction > 0.2


def test_many_variants_share_the_chance_of_a_false_alarm() -> None:
    wrong: dict[str, int] = {"none": 0, "dunnett": 0, "holm": 0}
    for seed in range(250):
        units = simulated(600, 0.0, groups=5, seed=seed, before=None)
        for several in wrong:
            result = analyse(units, several=several)  # type: ignore[arg-type]
            wrong[several] += any(item.p_adjusted < 0.05 for item in result.comparisons)
    assert wrong["none"] / 250 > 0.11
    assert wrong["dunnett"] / 250 <= 0.085
    assert wrong["holm"] / 250 <= 0.085


def test_joint_intervals_and_joint_p_agree() -> None:
    result = analyse(simulated(3000, 0.3, groups=4))
    for item in result.comparisons:
        assert item.found.clear == (item.p_adjusted < 0.05)
        assert item.found.high - item.found.low > item.plain.high - item.plain.low or result.reduction
    alone = analyse(simulated(3000, 0.3, groups=4), several="bh")
    assert [
        item.p_adjusted <= other.p_adjusted + 1e-12
        for item, other in zip(alone.comparisons, result.comparisons, strict=True)
    ]


def test_a_mismatch_takes_the_verdict_back() -> None:
    result = analyse(simulated(meant=(0.6, 0.4)))
    assert not result.balance.sound
    assert result.text().startswith("Not to be believed")
    assert result.text()["zh"].startswith("不可采信")


def test_doubtful_sizes_are_told_before_the_finding_and_in_the_report() -> None:
    units = simulated(1000)
    units = replace(units, group=(np.arange(1000) < 541).astype(np.int64))  # p = 0.0104
    result = analyse(units)
    assert result.balance.state == "doubtful"
    assert result.text().startswith("Doubtful: ")
    assert result.text()["zh"].startswith("存疑：")
    assert "doubtful" in str(experiment_section(result).notes[0])


def write(tmp_path: Path, lines: list[str], header: str = "user,variant,outcome,before,time") -> Path:
    path = tmp_path / "units.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_what_cannot_be_used_is_set_aside_and_counted(tmp_path: Path) -> None:
    good = [
        f"u{row},{'对照组' if row % 2 else '新版'},{row % 3 == 0},{row},2026-03-{1 + row % 9:02d}" for row in range(40)
    ]
    bad = [
        ",新版,1,1,2026-03-01",
        "x1,,1,1,2026-03-01",
        "x2,新版,,1,2026-03-01",
        "x3,新版,nan,1,2026-03-01",
        "x4,新版,1,1,yesterday",
        "u1,新版,1,1,2026-03-01",
        "u3,对照组,0,1,2026-03-01",
    ]
    units = read_units(write(tmp_path, good + bad), duplicates="any")
    assert units.names == ("对照组", "新版")
    assert units.n == 39
    told = {problem.what: problem.rows for problem in units.problems}
    assert told == {
        "the user is empty": 1,
        "the group is empty": 1,
        "the outcome is missing or no finite number": 2,
        "the time cannot be read": 1,
        "1 users were in more than one group": 2,
    }
    assert units.as_of == "2026-03-09"
    assert analyse(units).metric == "rate"


@pytest.mark.parametrize(
    ("how", "outcomes", "metric"),
    [
        ("sum", [2.0, 0.0, 1.0, 0.0], "mean"),
        ("any", [1.0, 0.0, 1.0, 0.0], "rate"),
        ("first", [1.0, 0.0, 0.0, 0.0], "rate"),
    ],
)
def test_rows_of_0_and_1_of_one_user_are_asked_about(
    how: str, outcomes: list[float], metric: str, tmp_path: Path
) -> None:
    lines = ["a,control,1", "a,control,1", "b,x,0", "c,x,0", "c,x,1", "d,control,0"]
    path = write(tmp_path, lines, "user,variant,outcome")
    with pytest.raises(
        InputError, match=r"whose sum is no rate.*2 users of 4 rows, 1 of them the same.*line 2.*--duplicates any"
    ) as asked:
        read_units(path)
    assert "相加后不再是比率" in asked.value.text("zh")
    with pytest.raises(InputError, match="users have several rows: found '2 users"):
        read_units(path, duplicates="refuse")
    result = study_experiment(path, UnitSettings(duplicates=how))  # type: ignore[arg-type]
    assert (result.units.outcome.tolist(), result.metric) == (outcomes, metric)
    assert "2 users of 4 rows" in result.notes[0]["en"]


def test_the_first_row_of_a_user_is_the_first_in_time_and_any_sums_amounts(tmp_path: Path) -> None:
    lines = [
        "a,control,7,2026-01-02",
        "a,control,5,2026-01-01",
        "b,x,2,2026-01-01",
        "c,x,3,2026-01-01",
        "d,control,0,2026-01-03",
    ]
    path = write(tmp_path, lines, "user,variant,outcome,time")
    assert read_units(path, duplicates="first").outcome.tolist() == [5.0, 2.0, 3.0, 0.0]
    summed = read_units(path, duplicates="any")
    assert summed.outcome.tolist() == read_units(path).outcome.tolist() == [12.0, 2.0, 3.0, 0.0]
    assert "summed" in summed.notes[0]
    single = read_units(write(tmp_path, lines[2:], "user,variant,outcome,time"), duplicates="refuse")
    assert single.n == 3
    assert single.notes == ()


def test_rows_of_one_user_are_added_up(tmp_path: Path) -> None:
    lines = [
        "a,control,1,,2026-01-01",
        "a,control,2,5,2026-01-03",
        "b,x,4,7,2026-01-02",
        "c,x,0,,2026-01-02",
        "d,control,1,2,2026-01-02",
    ]
    units = read_units(write(tmp_path, lines))
    assert units.outcome.tolist() == [3.0, 4.0, 0.0, 1.0]
    assert units.before is not None
    assert units.before[[0, 1, 3]].tolist() == [5.0, 7.0, 2.0]
    assert units.day is not None
    assert (units.day - units.day.min()).tolist() == [0, 1, 1, 1]


def test_parquet_and_csv_give_the_same(tmp_path: Path) -> None:
    rows = {"user": ["a", "b", "c", "d"], "variant": ["A", "B", "A", "B"], "outcome": [1.5, 2.0, 0.5, 4.0]}
    pq.write_table(pa.table(rows), tmp_path / "u.parquet")
    lines = [",".join(str(rows[name][row]) for name in rows) for row in range(4)]
    one = read_units(tmp_path / "u.parquet")
    other = read_units(write(tmp_path, lines, "user,variant,outcome"))
    assert one.outcome.tolist() == other.outcome.tolist()
    assert one.names == other.names == ("A", "B")


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (["a,x,1", "b,x,2"], "user,variant,outcome", "only one group"),
        (["a,x,1"], "user,crowd,outcome", "no column 'variant'"),
        ([",x,1"], "user,variant,outcome", "holds no usable units"),
        (["a,x,1", "b,y,2", "c,y,3"], "user,variant,outcome", "too few users to compare"),
        (
            ["a,x,1,2026-01-01 10:00:00", "b,y,2,2026-01-01 10:00:00"],
            "user,variant,outcome,time",
            "times name no time zone",
        ),
        (["a,x,1,0", "b,y,2,0"], "user,variant,outcome,weight", "the weights are all zero"),
        ([f"u{row},g{row},1" for row in range(60)], "user,variant,outcome", "too many groups"),
    ],
)
def test_what_is_no_experiment_is_told_on_one_line(lines: list[str], header: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        study_experiment(write(tmp_path, lines, header))
    assert "\n" not in str(caught.value)


def test_a_column_or_group_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, ["a,x,1", "b,y,2"], "user,variant,outcome")
    with pytest.raises(InputError, match=r"no column 'spend'.*--before"):
        study_experiment(path, UnitSettings(before="spend"))
    with pytest.raises(SettingError, match="unknown group"):
        study_experiment(path, UnitSettings(control="z"))
    with pytest.raises(InputError, match="no such table"):
        study_experiment(tmp_path / "none.csv")


def test_a_lake_s_versions_are_groups(tmp_path: Path, lake_of: Callable[[list[dict[str, object]]], Path]) -> None:
    rows: list[dict[str, object]] = []
    for number in range(60):
        version = "old" if number % 2 else "new"
        rows.append({"kind": "request", "user": f"u{number}", "version": version})
        rows.append({"kind": "request", "user": f"u{number}", "version": version})
        if number % 3 == 0:
            rows.append({"kind": "conversion", "user": f"u{number}", "value": 9.0})
    rows += [
        {"kind": "request", "user": "both", "version": "old"},
        {"kind": "request", "user": "both", "version": "new"},
    ]
    lake = lake_of(rows)
    result = study_experiment(lake, UnitSettings(control="old"))
    assert result.units.counts == {"old": 30, "new": 30}
    assert [arm.successes for arm in result.arms] == [10, 10]
    assert "1 users were in more than one group" in result.units.problems[0].text()
    assert "only where chance decided" in result.notes[0]["en"]
    per = study_experiment(lake, UnitSettings(control="old", weight="exposures"))
    assert per.metric == "ratio"
    assert per.arms[0].value == pytest.approx(10 / 60)
    both = study_outcomes(lake, UnitSettings(control="old"), CompareSettings(also=("click",)))
    assert both.names == ("conversion", "click")
    assert [one.arms[0].successes for one in both.experiments] == [10, 0]
    with pytest.raises(SettingError, match="unknown kind of event"):
        study_experiment(lake, UnitSettings(outcome="purchase"))


def test_looks_by_day_and_the_report() -> None:
    units = simulated(effect=0.6, groups=3)
    result = analyse(replace(units, day=20_000 + np.arange(units.n) // 200))
    one = result.comparisons[0]
    assert len(one.looks) == 20
    assert one.decided is not None
    assert one.looks[-1].n == result.units.counts["control"] + result.units.counts["b"]
    assert one.looks[-1].value == pytest.approx(one.found.value)
    assert one.looks[-1].high - one.looks[-1].low > one.found.high - one.found.low  # looking at any time has its price
    section = experiment_section(result)
    assert len(section.charts) == 3
    assert json.dumps([chart.options for chart in section.charts], allow_nan=False)
    assert any("simulated" in note["en"] for note in section.notes)
    assert json.dumps(result.as_dict(), allow_nan=False)


def test_outcomes_that_are_missing_of_one_group_alone_are_told(tmp_path: Path) -> None:
    rows = [f"{user},{'AB'[user % 2]},{'' if user % 10 == 0 else user % 7}" for user in range(200)]
    even = [f"{user},{'AB'[user % 2]},{'' if user % 20 < 2 else user % 7}" for user in range(200)]
    path = tmp_path / "trial.csv"
    for lines, told in ((rows, True), (even, False)):
        path.write_text("\n".join(["user,variant,outcome", *lines]), encoding="utf-8")
        notes = [str(note) for note in read_units(path).notes]
        assert any("missing of 20 of 100 rows of A, 0 of 100 rows of B" in note for note in notes) == told
        assert any("The outcome is missing" in note for note in notes) == told
