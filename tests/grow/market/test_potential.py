"""Market size: medians and ranges that can be worked by hand, a tornado, agreement, and files with faults."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from markets import a_range

from noria.core.errors import InputError, RowError
from noria.grow.market.penetration import penetration
from noria.grow.market.potential import potential, read_ranges

HEAD = "industry,approach,factor,low,high,unit,source"


def test_a_product_of_log_normals_is_log_normal() -> None:
    ranges = [a_range("bank", "top-down", "firms", 1000, 4000), a_range("bank", "top-down", "spend", 10, 1000)]
    size = potential(ranges, draws=200_000).sizes[0]
    assert size.name == "top-down, bank"
    assert size.value == pytest.approx(2000 * 100, rel=0.03)
    half = np.hypot(np.log(2), np.log(10))  # half widths of a normal's 90 % range add in squares
    assert (size.low, size.high) == (
        pytest.approx(200_000 * np.exp(-half), rel=0.05),
        pytest.approx(200_000 * np.exp(half), rel=0.05),
    )
    assert size.n == 200_000
    assert size.level == 0.9


def test_a_single_range_comes_back() -> None:
    size = potential([a_range("", "bottom-up", "share", 0.2, 0.6, "part")], draws=200_000).sizes[0]
    assert (size.low, size.high) == (pytest.approx(0.2, abs=0.01), pytest.approx(0.6, abs=0.01))
    exact = potential([a_range("", "bottom-up", "firms", 7, 7)]).sizes[0]
    assert (exact.low, exact.value, exact.high) == (7, 7, 7)


def test_what_is_uncertain_for_all_is_uncertain_together() -> None:
    own = [a_range(name, "top-down", "spend", 10, 1000) for name in "ab"]
    apart = potential(own, draws=50_000).sizes[-1]
    common = potential(
        [a_range("", "top-down", "spend", 10, 1000), *(a_range(name, "top-down", "firms", 1, 1) for name in "ab")],
        draws=50_000,
    ).sizes[-1]
    assert apart.name == common.name == "top-down, total"
    assert apart.low is not None
    assert apart.high is not None
    assert common.low is not None
    assert common.high is not None
    assert common.high / common.low > 1.3 * apart.high / apart.low


def test_the_order_of_rows_changes_nothing() -> None:
    ranges = [
        a_range("a", "top-down", "x", 1, 9),
        a_range("a", "top-down", "y", 2, 3),
        a_range("b", "top-down", "x", 1, 2),
    ]
    assert {figure.name: figure for figure in potential(ranges).sizes} == {
        figure.name: figure for figure in potential(ranges[::-1]).sizes
    }
    assert potential(ranges, seed=1).sizes != potential(ranges, seed=2).sizes


def test_the_tornado_names_the_widest_input_first() -> None:
    found = potential(
        [
            a_range("a", "top-down", "narrow", 90, 110),
            a_range("a", "top-down", "wide", 1, 100),
            a_range("b", "top-down", "small", 1, 100),
        ]
    )
    bars = found.tornado["top-down"]
    assert [bar.factor for bar in bars] == ["wide", "narrow", "small"]
    assert bars[0].high - bars[0].low == pytest.approx(np.sqrt(90 * 110) * 99)
    assert bars[0].part > 0.9


def test_approaches_agree_or_do_not() -> None:
    near = [a_range("a", "top-down", "x", 50, 200), a_range("a", "bottom-up", "x", 50, 200)]
    assert [item.agrees for item in potential(near).agreements] == [True, True]
    far = potential([near[0], a_range("a", "bottom-up", "x", 5000, 6000)]).agreements[0]
    assert not far.agrees
    assert "disagree by a factor of" in far.verdict["en"]
    uneven = potential([*near, a_range("b", "top-down", "x", 50, 200)])
    assert [item.industry for item in uneven.agreements] == ["a"]  # totals of different industries are not compared


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,sideways,x,1,2,USD,s", r"line 2, field 'approach': unknown approach: found 'sideways'"),
        ("a,top-down,,1,2,USD,s", "field 'factor': empty"),
        ("a,top-down,x,1,2,USD,", "field 'source': empty"),
        ("a,top-down,x,-1,2,USD,s", "field 'low': not a number above zero"),
        ("a,top-down,x,1,many,USD,s", "field 'high': not a number above zero"),
        ("a,top-down,x,3,2,USD,s", "low is above high"),
        ("a,top-down,x,0.5,1,part,s", "a part reaches one"),
        ("a,top-down,x,2,2,part,s", "a part is above one"),
        ("a,top-down,x,1,2,USD,s\na,top-down,x,1,3,USD,s", "line 3, field 'factor': this input came before"),
    ],
)
def test_a_bad_range_is_named(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(f"{HEAD}\n{line}\n", encoding="utf-8")
    with pytest.raises(RowError, match=message):
        read_ranges(tmp_path / "r.csv")


def test_files_that_are_no_ranges(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file of ranges"):
        read_ranges(tmp_path / "r.csv")
    (tmp_path / "r.csv").write_text("industry,low\n", encoding="utf-8")
    with pytest.raises(InputError, match="lacks columns of ranges"):
        read_ranges(tmp_path / "r.csv")
    (tmp_path / "r.csv").write_text(f"# 注\n{HEAD}\n\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no ranges"):
        read_ranges(tmp_path / "r.csv")
    with pytest.raises(InputError, match="there are no ranges"):
        potential([])


def logistic(years: np.ndarray, pace: float, ceiling: float) -> np.ndarray:
    return ceiling / (1 + np.exp(-pace * (years - 4)))


def test_penetration_recovers_a_logistic_curve() -> None:
    years = np.arange(0, 3, 0.25)
    values = logistic(years, 1.2, 1000) * np.exp(np.random.default_rng(0).normal(0, 0.02, years.size))
    times = [f"{2020 + int(year)}-{1 + 3 * round(4 * (year % 1)):02d}" for year in years]
    found = penetration(times, values.tolist(), (990, 1010), source="simulated", draws=5000)
    part, pace, half = found.figures()
    assert part.value == pytest.approx(values[-1] / 1000, rel=0.02)
    assert np.log1p(pace.value) == pytest.approx(1.2, abs=0.08)
    assert half.low is not None
    assert half.high is not None
    assert half.low <= 4 - 2.75 + 0.05
    assert half.high >= 4 - 2.75 - 0.05
    wide = penetration(times, values.tolist(), (500, 5000), source="simulated", draws=5000).figures()[2]
    assert wide.low is not None
    assert wide.high is not None
    assert wide.high - wide.low > 3 * (half.high - half.low)  # a ceiling nobody knows is time nobody knows


def test_a_series_that_does_not_grow_has_no_time() -> None:
    values = [100, 104, 97, 103, 99, 101]
    found = penetration([f"{year}" for year in range(2020, 2026)], values, (900, 1100), source="made")
    assert found.years_to_half is None
    assert found.why is not None
    assert len(found.figures()) == 2


@pytest.mark.parametrize(
    ("times", "values", "ceiling", "message"),
    [
        (["2020", "2021", "2022"], [1, 2, 3], (9, 10), "too few points"),
        (["2020", "2021", "2022", "2023"], [1, 2, 3, 12], (9, 10), "above the lowest ceiling"),
        (["2020", "2021", "2022", "2023"], [1, 2, 0, 3], (9, 10), "not above zero"),
        (["2020", "2021", "2021", "2023"], [1, 2, 2, 3], (9, 10), "not in order"),
        (["2020", "2021", "2022", "2023"], [1, 2, 2, 3], (10, 9), "no range above zero"),
    ],
)
def test_what_has_no_penetration(
    times: list[str], values: list[float], ceiling: tuple[float, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        penetration(times, values, ceiling, source="made")


def test_chatgpt_s_weekly_users(shared_data: Path) -> None:
    with (shared_data / "market" / "ai-users.csv").open(encoding="utf-8") as stream:
        rows = [
            row
            for row in csv.DictReader(stream)
            if row["Product"] == "ChatGPT"
            and row["Active users time period"] == "Weekly"
            and row["Active users"]
            and row["Exclude from graph view"] != "True"
        ]
    # One product, one definition (weekly), each date once, in order of the date itself.
    points = sorted({row["Date"]: float(row["Active users"]) for row in rows}.items())
    assert len(points) >= 8
    found = penetration(
        [day for day, _ in points], [value for _, value in points], (3.0e9, 5.5e9), source="Epoch AI", draws=5000
    )
    part, _, half = found.figures()
    assert part.value == pytest.approx(0.2, abs=0.05)
    assert half.low is not None
    assert half.low > 0
