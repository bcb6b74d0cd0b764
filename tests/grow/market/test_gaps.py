"""Gaps in a market: every cell is told for what it is, bounds hold the truth, and no event comes from a gap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.grow.forecast.shares.entry import entries
from noria.grow.market.gaps import STATES
from noria.grow.market.ranks import rank_stability
from noria.grow.market.share import OTHER, Shares, concentration, gathered, shares, whole_market
from noria.grow.series.series import Floats, Point, Series
from tests.grow.market.test_share import PROVENANCE, codes, series_of

LEADERS = st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0, 7.5, 30.0, 31.0, 100.0])


@st.composite
def hidden(draw: Any) -> tuple[Floats, Floats, str]:
    """Return a whole table, the same with cells hidden, and its unit."""
    periods, names = draw(st.integers(2, 6)), draw(st.integers(2, 5))
    rows = draw(
        st.lists(
            st.lists(LEADERS, min_size=names, max_size=names).filter(lambda row: sum(row) > 0),
            min_size=periods,
            max_size=periods,
        )
    )
    table = np.array(rows)
    unit = draw(st.sampled_from(["users", "percent"]))
    if unit == "percent":
        rest = draw(st.sampled_from([1.0, 1.0, 1.3]))
        table = np.round(100 * table / table.sum(1, keepdims=True) / rest, 3)
    gaps = draw(st.lists(st.booleans(), min_size=table.size, max_size=table.size))
    return table, np.where(np.array(gaps).reshape(table.shape), np.nan, table), unit


def market_of(table: Floats, unit: str, unlisted: Any = "auto") -> Shares:
    """Return the shares of a table, (times, names), whose names are a, b ...; those of a name in its own column."""
    listed = {
        "abcdefghijklmnop"[at]: [None if value != value else float(value) for value in table[:, at]]
        for at in range(table.shape[1])
    }
    return shares(series_of(listed, unit=unit), unlisted=unlisted)


@settings(max_examples=40)
@given(hidden())
def test_the_truth_lies_within_the_bounds_and_no_event_comes_from_a_gap(world: tuple[Floats, Floats, str]) -> None:
    table, seen, unit = world
    whole = market_of(table, unit)
    if np.isnan(seen).all() or any(flag.code in ("total", "overlap") for flag in whole.flags):
        return
    market = market_of(seen, unit)
    if any(flag.code == "total" for flag in market.flags):
        return
    column = {name: at for at, name in enumerate(whole.entities)}
    order = [column[name] for name in market.entities]
    truth, cells = whole.values[:, order], market.cells
    assert (cells.low - 1e-9 <= truth).all()
    assert (truth <= cells.high + 1e-9).all()
    both = ~np.isnan(market.values) & (cells.states <= 1)
    assert (np.abs(market.values - truth)[both] <= 1e-9 + 6 * market.resolution).all()
    # Events: an entry or exit of the hidden table is one of the whole table, in the stretch that is told.
    there = {
        (flag.code, str(flag.what.values["name"])): flag.time for flag in whole.flags if flag.code in ("entry", "exit")
    }
    for flag in market.flags:
        if flag.code in ("entry", "exit"):
            values = flag.what.values
            if flag.what.code.endswith("nothing_was_left"):  # to within rounding
                continue
            when = there[flag.code, str(values["name"])]
            assert str(values.get("after", "")) < when <= flag.time
    if not any(flag.code == "bounded" for flag in market.flags):
        assert len(entries(market).paths) <= len(entries(whole).paths)
    moved = {(step.before, step.time): step for step in rank_stability(whole)}
    for step in rank_stability(market):
        full = moved.get((step.before, step.time))
        true = 0.5 * np.abs(truth[market.times.index(step.time)] - truth[market.times.index(step.before)]).sum()
        assert step.moved <= true + 1e-9 <= step.moved_high + 2e-9
        assert full is None or step.n <= full.n
    for item, full_item in zip(concentration(market), concentration(whole), strict=True):
        if item.least is not None and item.most is not None and full_item.hhi is not None:
            assert item.least - 1e-6 <= full_item.hhi
            assert (full_item.hhi_high or 0) <= item.most + 1e-6


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_a_list_of_the_largest_bounds_those_that_are_not_on_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    names, listed = int(random.integers(5, 14)), int(random.integers(3, 5))
    table = np.exp(np.cumsum(random.normal(0, 0.3, (8, names)), axis=0) + np.linspace(0, 3, names))
    cut = np.sort(table, axis=1)[:, -listed][:, None]
    seen = np.where(table >= cut, table, np.nan)
    kept = ~np.isnan(seen).all(0)
    market = market_of(seen[:, kept], "users", "below-cut")
    inside = table[:, kept] / table[:, kept].sum(1, keepdims=True)
    order = ["abcdefghijklmnop".index(name) for name in market.entities[:-1]]
    assert (market.cells.low[:, :-1] - 1e-9 <= inside[:, order]).all()
    assert (inside[:, order] <= market.cells.high[:, :-1] + 1e-9).all()
    assert market.whole.all()
    assert "entry" not in {code for code, _ in codes(market)}


def told(market: Shares, row: int, name: str) -> tuple[str, float, float]:
    column = market.entities.index(name)
    cells = market.cells
    return STATES[cells.states[row, column]], cells.low[row, column], cells.high[row, column]


def test_one_missing_share_hides_no_other() -> None:
    market = shares(series_of({"A": [70.0, 70.0, 66.25], "B": [30.0, None, 33.75]}))
    assert market.values[1, 0] == pytest.approx(0.7)
    assert told(market, 1, "B") == ("missing", 0, pytest.approx(0.3, abs=1e-3))
    item = concentration(market)[1]
    assert (item.hhi, item.least, item.most) == (None, pytest.approx(4900, abs=5), pytest.approx(5800, abs=10))
    (flag,) = [flag for flag in market.flags if flag.code == "missing"]
    assert "nothing was published" not in flag.what
    assert "not known: B; with what is not named 30.0% at most" in flag.what


def test_of_amounts_the_order_and_a_total_are_known_although_one_is_missing() -> None:
    table: dict[str, list[float | None]] = {"A": [70.0, 60.0], "B": [30.0, 45.0], "C": [20.0, None]}
    market = shares(series_of(table, unit="USD"))
    assert np.isnan(market.values[1]).all()
    assert told(market, 1, "A") == ("published", 0, pytest.approx(60 / 105))
    (step,) = rank_stability(market)
    assert (step.n, step.tau) == (2, 1.0)
    assert step.moved == pytest.approx(
        70 / 120 - 60 / 105
    )  # A cannot have held more than that; B and C may have stayed
    sized = shares(series_of({**table, "Total": [120.0, 120.0]}, unit="USD"))
    assert sized.values[1, :2].tolist() == pytest.approx([0.5, 0.375])
    assert told(sized, 1, "C") == ("missing", 0, pytest.approx(0.125, abs=0.01))


def top_ten(periods: int = 13, names: int = 14) -> tuple[Floats, Floats]:
    """Return a simulated whole market, seeded, and its ten largest of each week."""
    random = np.random.default_rng(5)
    table = np.round(np.exp(np.cumsum(random.normal(0, 0.25, (periods, names)), axis=0) + np.linspace(3, 5, names)))
    return table, np.where(table >= np.sort(table, axis=1)[:, -10][:, None], table, np.nan)


@pytest.mark.parametrize("unlisted", ["auto", "below-cut"])
def test_a_top_ten_list_gives_shares_with_bounds(unlisted: Any) -> None:
    table, seen = top_ten()
    kept = ~np.isnan(seen).all(0)
    market = market_of(seen[:, kept], "downloads", unlisted)
    assert market.whole.all()
    assert {flag.code for flag in market.flags} == {"unit", "list"}
    order = ["abcdefghijklmnop".index(name) for name in market.entities[:-1]]
    inside = (table[:, kept] / table[:, kept].sum(1, keepdims=True))[:, order]
    assert (market.cells.low[:, :-1] <= inside + 1e-12).all()
    assert (inside <= market.cells.high[:, :-1] + 1e-12).all()
    assert (np.abs(market.values[:, :-1] - inside) < 0.02).all()
    assert (market.cells.states[:, :-1] == STATES.index("below the cut")).sum() == np.isnan(seen[:, kept]).sum()
    assert not entries(market).paths
    assert {step.n for step in rank_stability(market)} <= {8, 9, 10}
    assert np.isnan(market_of(seen[:, kept], "downloads", "missing").values).any()


def test_a_rename_and_hidden_leaders_are_no_list() -> None:
    random = np.random.default_rng(2)
    table = np.round(random.uniform(50, 100, (8, 5)))
    renamed, hidden_ = table.copy(), table.copy()
    renamed[4:, 0], renamed[:4, 1] = np.nan, np.nan
    renamed[:, 2:] = np.round(random.uniform(1, 20, (8, 3)))
    hidden_[np.arange(8), table.argmax(1)] = np.nan  # one a period, and always the largest
    for seen in (renamed, hidden_):
        assert "list" not in {code for code, _ in codes(market_of(seen, "users"))}


@pytest.mark.parametrize("unit", ["visits", "percent"])
def test_all_zero_is_not_measured_and_nobody_enters(unit: str) -> None:
    chatgpt: list[float | None] = [0.0, 0.0, 80.0, 79.0, 0.0, 78.0, 77.0, 0.0]
    gemini: list[float | None] = [0.0, 0.0, 20.0, 21.0, 0.0, 22.0, 23.0, 0.0]
    market = shares(series_of({"ChatGPT": chatgpt, "Gemini": gemini}, unit=unit))
    assert [flag.what.code for flag in market.flags if flag.code != "unit"] == [
        *["flags.broken.before"] * 2,
        "flags.broken.between",
        "flags.broken.after",
    ]
    assert [flag.time for flag in gathered(market.flags) if flag.code != "unit"] == [
        "2025-01 to 2025-02 (2)",
        "2025-05",
        "2025-08",
    ]
    assert market.whole.tolist() == [0, 0, 1, 1, 0, 1, 1, 0]
    assert [step.time for step in rank_stability(market)] == ["2025-04", "2025-07"]
    assert max(step.moved for step in rank_stability(market)) == pytest.approx(0.01)
    assert market.latest()[0].name.endswith("2025-07")


def test_a_broken_week_of_a_list_is_told_although_one_is_missing_there_too() -> None:
    _, seen = top_ten()
    seen[4] = np.where(np.isnan(seen[4]), np.nan, 0.0)
    market = market_of(seen[:, ~np.isnan(seen).all(0)], "downloads")
    assert ("broken", market.times[4]) in codes(market)
    assert market.whole.tolist() == [row != 4 for row in range(13)]
    lone = shares(series_of({"a": [5.0, 0.0, 5.0], "b": [5.0, None, 5.0], "c": [1.0, 0.0, 1.0]}, unit="users"))
    assert "broken" not in {code for code, _ in codes(lone)}  # b may have had all of it


def test_zeros_beside_others_are_counts() -> None:
    """Nobody bought in one segment while others did: a count of nothing, as a server's own events have it."""
    points = [
        Point(time, name, segment, "requests", value, "requests")
        for time, values in (("2025-01", (3.0, 1.0)), ("2025-02", (0.0, 0.0)))
        for name, value in zip("ab", values, strict=True)
        for segment in ("zh", "en")
        if segment == "zh"
    ]
    points += [Point(point.time, point.entity, "en", "requests", 2.0, "requests") for point in points]
    series = Series(tuple(sorted(points, key=lambda point: point.time)), PROVENANCE)
    assert "broken" not in {code for code, _ in codes(shares(series, "requests", "zh"))}


def test_what_is_not_published_is_read_as_it_is_told_to_be() -> None:
    table: dict[str, list[float | None]] = {"a": [60.0, 60.0, 60.0], "b": [30.0, None, 30.0], "c": [None, 5.0, 10.0]}
    values = {
        unlisted: shares(series_of(table, unit="users"), unlisted=unlisted)
        for unlisted in ("missing", "zero", "below-cut", "outside")
    }
    assert values["missing"].whole.tolist() == [0, 0, 1]
    assert values["zero"].values[1].tolist() == pytest.approx([60 / 65, 0, 5 / 65, 0])
    assert values["below-cut"].values[0, 2] == pytest.approx(15 / 105)
    assert told(values["below-cut"], 0, "c") == ("below the cut", 0, pytest.approx(30 / 120))
    assert values["outside"].whole.tolist() == [1, 0, 1]
    assert told(values["outside"], 0, "c") == ("taken for zero", 0, 0)
    assert ("entry", "2025-02") in codes(values["outside"])
    assert "entry" not in {code for code, _ in codes(values["below-cut"])}


def test_an_entry_is_told_as_a_stretch_where_a_gap_hides_when() -> None:
    market = shares(series_of({"a": [90.0, 90.0, 90.0, 80.0], "b": [0.0, None, 0.5, 12.0]}, unit="users"))
    (flag,) = [flag for flag in market.flags if flag.code == "entry"]
    assert "b enters after 2025-01, by 2025-03" in flag.what
    hidden_before = shares(series_of({"a": [90.0, 90.0, 90.0], "b": [None, 0.0, 0.5]}, unit="users"))
    assert "entry" not in {code for code, _ in codes(hidden_before)}  # it may have been there, and come again
    at_once = shares(series_of({"a": [90.0, 90.0], "b": [0.0, 60.0]}, unit="users"))
    assert "with 40.0% at once" in next(flag.what for flag in at_once.flags if flag.code == "entry")
    assert at_once.entities[-1] == OTHER


def test_a_zero_between_two_large_shares_is_asked_about() -> None:
    market = shares(series_of({"a": [50.0, 0.0, 55.0], "b": [50.0, 45.0, 45.0], "c": [1.0, 0.0, 1.0]}, unit="users"))
    (flag,) = [flag for flag in market.flags if flag.code == "dip"]
    assert (flag.time, flag.what.values["name"]) == ("2025-02", "a")
    assert market.whole.all()


def test_gaps_that_change_from_period_to_period_are_one_line() -> None:
    random = np.random.default_rng(0)
    table = random.uniform(1, 9, (12, 9))
    table[np.arange(12), random.integers(0, 9, 12)] = np.nan
    table[np.arange(12), random.integers(0, 9, 12)] = np.nan
    (flag,) = [flag for flag in gathered(market_of(table, "users").flags) if flag.code == "missing"]
    assert flag.time == "2025-01 to 2025-12 (12)"
    assert flag.what.startswith("1 to 2 of ")


def test_of_several_segments_bounds_add_up() -> None:
    points = [
        Point("2025-01", name, segment, "sales", value, "USD")
        for segment, values in (("x", {"a": 40.0, "b": 20.0}), ("y", {"a": 30.0, "b": 5.0, "c": 5.0}))
        for name, value in values.items()
    ]
    market = whole_market(Series(tuple(points), PROVENANCE), unlisted="below-cut")
    assert told(market, 0, "c") == ("below the cut", pytest.approx(5 / 100), pytest.approx(25 / 120))
    assert market.values[0, market.entities.index("a")] == pytest.approx(70 / 110)


def test_a_name_that_a_published_rest_may_hold_is_no_event() -> None:
    rows = [(31.5, 20.25, 4.25, None, 44.0), (32.5, 20.25, None, 4.25, 43.0), (33.5, 20.25, None, 4.25, 42.0)]
    table = {name: [row[at] for row in rows] for at, name in enumerate(("A", "B", "D", "E", "Other"))}
    market = shares(series_of(table))  # type: ignore[arg-type]
    assert market.whole.all()
    assert told(market, 0, "E") == ("derived", 0, pytest.approx(0.44, abs=1e-3))
    assert "inside the rest, if anywhere" in next(flag.what for flag in market.flags if flag.code == "bounded")
    assert not {"entry", "exit"} & {code for code, _ in codes(market)}
    assert rank_stability(market)[0].moved < 0.02


def test_a_total_of_those_that_are_there_says_nothing_of_a_hole() -> None:
    """A spreadsheet adds up what there is: Bolt, 900 before and 950 after, is not zero in between."""
    rows = {"2024-01": (1200, 900, 2100), "2024-02": (1300, None, 1300), "2024-03": (1400, 950, 2350)}
    points = [
        Point(time, name, "", "sales", None if value is None else float(value), "units")
        for time, values in rows.items()
        for name, value in zip(("Acme", "Bolt", "Total"), values, strict=True)
    ]
    market = shares(Series(tuple(points), PROVENANCE))
    state, low, high = told(market, 1, "Bolt")
    assert (state, low) == ("missing", 0.0)
    assert high > 0.5
    said = [str(flag.text()) for flag in market.flags]
    assert any("Total is the sum of those that are there, without Bolt" in line for line in said)
    assert not any("--unlisted outside" in line for line in said)  # which helps before a first value and after a last
    assert any("--unlisted below-cut" in line for line in said)
