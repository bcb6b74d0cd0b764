"""Labels inside labels, on a table made for it and on the browser shares, which overlap so."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from noria.core.errors import InputError, SettingError
from noria.grow.forecast.shares.attraction import fit
from noria.grow.market.bases import without
from noria.grow.market.nested import nested
from noria.grow.market.share import gathered, shares
from noria.grow.series.series import Point, Provenance, Series
from tests.grow.market.test_share import codes, series_of


def test_a_sum_of_others_is_named() -> None:
    table = {
        "maker": [70.0, 60.0, 50.0],
        "one": [40.0, 30.0, 10.0],
        "two": [30.0, 30.0, 40.0],
        "else": [30.0, 40.0, 50.0],
    }
    market = shares(series_of(table))
    assert ("nested", "2025-01") in codes(market)
    flag = next(flag for flag in market.flags if flag.code == "nested")
    assert "maker equals" in flag.what
    assert "3 periods" in flag.what
    cleaned = shares(without(series_of(table), ["maker"]))
    assert cleaned.whole.all()
    with pytest.raises(SettingError, match=r"unknown entity: found 'makr'.*did you mean maker"):
        without(series_of(table), ["makr"])
    with pytest.raises(InputError, match="no entity would be left"):
        without(series_of(table), list(table))


def test_a_sum_by_chance_is_not_named() -> None:
    random = np.random.default_rng(0)
    assert nested(list("abcde"), random.dirichlet(np.ones(5), 30), 1e-6) == []


@pytest.fixture(scope="module")
def browsers(shared_data: Path) -> Series:
    with (shared_data / "market" / "browser-share.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    points = [
        Point(row["Date"], name, "", "visitors", float(row[name]) if row[name] else None, "percent")
        for row in rows
        for name in row
        if name != "Date"
    ]
    return Series(tuple(points), Provenance("W3Schools browser statistics", "unclear", date(2016, 5, 31)))


def test_browser_shares_overlap_and_the_label_that_does_it_is_named(browsers: Series) -> None:
    market = shares(browsers)
    told = {flag.code for flag in market.flags}
    assert {"missing", "nested"} <= told
    assert "Moz-All equals" in next(flag.what for flag in market.flags if flag.code == "nested")
    outside = shares(browsers, unlisted="outside")
    assert any(flag.code == "overlap" for flag in outside.flags)
    with pytest.raises(InputError, match="overlap cannot be forecast"):
        fit(outside)


def test_without_that_label_every_published_month_is_whole(browsers: Series) -> None:
    market = shares(without(browsers, ["Moz-All"]), unlisted="outside")
    published = ~np.isnan(market.values).all(1)
    known = {point.time for point in browsers.points}
    assert published.sum() == len(known) == 137
    assert market.whole.sum() >= 0.95 * published.sum()
    # Steps of two months until 2007: the months between are missing, and are told in one line, not in 35.
    assert sum(flag.code == "missing" for flag in market.flags) > 30
    assert sum(flag.code == "missing" for flag in gathered(market.flags)) <= 3
    row = market.times.index("2002-01")
    assert market.values[row, market.entities.index("Chrome")] == 0.0
    assert "Chrome is not listed in" in " ".join(flag.what for flag in market.flags if flag.code == "unlisted")
    assert np.isnan(shares(without(browsers, ["Moz-All"])).values[row]).any()  # unless asked, missing is not zero
