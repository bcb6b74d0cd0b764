"""Ratings on one scale: a shift common to all models is the scale's, and the published re-anchoring is found."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import InputError, SettingError
from noria.grow.market.drivers.ratings import Aligned, aligned


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_a_common_shift_changes_nothing(seed: int, dates: int) -> None:
    random = np.random.default_rng(seed)
    true = random.normal(1200, 80, 15)
    shifts = random.normal(0, 50, dates)
    table = true + shifts[:, None]
    table[random.random(table.shape) < 0.1] = np.nan
    names = [f"2025-{row + 1:02d}" for row in range(dates)]
    found = aligned(names, list("abcdefghijklmno"), table)
    assert found.anchors == ()
    last = true + shifts[-1]
    for row in range(dates):
        known = ~np.isnan(found.values[row])
        assert found.values[row, known] == pytest.approx(last[known], abs=1e-6)


def test_dates_that_nothing_ties_are_not_guessed() -> None:
    table = np.full((3, 6), 1000.0)
    table[1, 1:] = np.nan
    found = aligned(["a", "b", "c"], list("uvwxyz"), table)
    assert [date for date, *_ in found.anchors] == ["b", "c"]
    assert found.scale.tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="two dates or more"):
        aligned(["a"], ["m"], np.zeros((1, 1)))


@pytest.fixture(scope="module")
def arena(shared_data: Path) -> Aligned:
    with (shared_data / "market" / "arena-ratings.csv").open(encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    table = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])
    return aligned([row[0] for row in rows], header[1:], table)


def test_the_arena_s_new_anchor_is_found(arena: Aligned) -> None:
    # The median model jumped by 94, but models moved so differently that the two scales cannot be tied by any shift.
    (date, shift, spread), *others = [anchor for anchor in arena.anchors if anchor[0] >= "2024"]
    assert (date, others) == ("2024-06-29", [])
    assert shift == pytest.approx(94, abs=1)
    assert spread > 50
    row = arena.dates.index(date)
    assert arena.scale[row] == arena.scale[row - 1] + 1
    after = arena.values[row:, arena.models.index("gpt-4-0314")]
    assert np.nanmax(after) - np.nanmin(after) < 15  # a model that does not change keeps its rating, once drift is out
    assert 0.05 < np.nanmedian(arena.noise) < 10


def test_models_are_compared_on_one_date(arena: Aligned) -> None:
    date = arena.dates[-1]
    gap = arena.ahead("gpt-4-0314", date, ["chatgpt-4o-latest-20250129", "deepseek-r1"])
    assert gap < -50
    with pytest.raises(InputError, match="cannot be compared on"):
        arena.ahead("deepseek-r1", arena.dates[0], ["gpt-4-0314"])
    with pytest.raises(SettingError, match="unknown model"):
        arena.ahead("gpt-4-0314", date, ["deepsek-r1"])
