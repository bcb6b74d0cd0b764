"""The Series contract: provenance first, missing is missing, measures apart, faults named by line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from markets import write_series

from noria.core.errors import InputError, RowError, SettingError
from noria.grow.bundled import chatbot_shares
from noria.grow.series.calendars import between, following
from noria.grow.series.series import Series, read_series

HEAD = (
    "# source: 某统计局",
    "# licence: CC0",
    "# as_of: 2026-03-31",
    "time,entity,segment,measure,value,unit,provisional,break",
)


def write(path: Path, *lines: str, head: tuple[str, ...] = HEAD) -> Path:
    path.write_text("\n".join((*head, *lines)) + "\n", encoding="utf-8")
    return path


def test_missing_is_missing_and_gaps_are_rows(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.csv",
        "2026-01,甲,,收入份额,60,percent,,",
        "2026-01,乙,,收入份额,,percent,,",
        "2026-03,甲,,收入份额,55,percent,,",
        "2026-04,甲,,收入份额,50,percent,yes,",
        "2026-04,乙,,收入份额,0,percent,,yes",
    )
    series = read_series(path)
    times, entities, values = series.matrix()
    assert times == ["2026-01", "2026-02", "2026-03", "2026-04"]
    assert entities == ["甲", "乙"]
    np.testing.assert_array_equal(values, [[60, np.nan], [np.nan, np.nan], [55, np.nan], [50, 0]])
    assert series.provisional_times == ("2026-04",)
    assert [point.entity for point in series.points if point.broken] == ["乙"]
    assert series.provenance.text()["zh"] == "某统计局（CC0），截至 2026-03-31"


def test_measures_are_never_mixed(tmp_path: Path) -> None:
    series = read_series(
        write(tmp_path / "s.csv", "2026,a,cn,revenue,1,USD,,", "2026,a,cn,users,2,users,,", "2026,a,eu,users,3,users,,")
    )
    with pytest.raises(InputError, match="several measures, which must not be mixed: found 'revenue, users'"):
        series.matrix()
    with pytest.raises(InputError, match="several segments"):
        series.matrix("users")
    with pytest.raises(SettingError, match=r"unknown measure: found 'user'.*did you mean users"):
        series.matrix("user")
    assert series.matrix("users", "eu")[2].tolist() == [[3]]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_series_survives_writing_and_reading(tmp_path: Path, suffix: str) -> None:
    series = read_series(write(tmp_path / "s.csv", "2026-01-31,甲,,m,0.1,USD,yes,", "2026-02-01,甲,,m,,USD,,yes"))
    write_series(series, tmp_path / f"again.{suffix}")
    again: Series = read_series(tmp_path / f"again.{suffix}")
    assert again == series


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2026-13,a,,m,1,USD,,", r"line 5, field 'time': not a time: found '2026-13'"),
        ("0001-01,a,,m,1,USD,,", "not a time"),
        ("2026-01,,,m,1,USD,,", "field 'entity': empty"),
        ("2026-01,a,,m,-1,USD,,", "field 'value': negative"),
        ("2026-01,a,,m,inf,USD,,", "field 'value': not a number"),
        ("2026-01,a,,m,一,USD,,", "field 'value': not a number"),
        ("2026-01,a,,m,1,USD,maybe,", "field 'provisional': not yes or no"),
    ],
)
def test_a_bad_point_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(RowError, match=message):
        read_series(write(tmp_path / "s.csv", line))


def test_points_twice_and_times_of_two_forms(tmp_path: Path) -> None:
    with pytest.raises(RowError, match="this point came before: found '2026-01 a m'"):
        read_series(write(tmp_path / "s.csv", "2026-01,a,,m,1,USD,,", "2026-01,a,,m,2,USD,,"))
    with pytest.raises(RowError, match="one form"):
        read_series(write(tmp_path / "s.csv", "2026-01,a,,m,1,USD,,", "2026,a,,m,2,USD,,"))
    with pytest.raises(InputError, match="several units"):
        read_series(write(tmp_path / "s.csv", "2026-01,a,,m,1,USD,,", "2026-02,a,,m,2,EUR,,"))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (HEAD[1:], "does not say where its figures come from: found 'no source'"),
        (("# source: x", "# licence: y", "# as_of: soon", HEAD[3]), "as_of is not a day"),
        (("# sorce: x", *HEAD), "unknown key of provenance: found 'sorce'.*did you mean source"),
        ((*HEAD[:3], "time,entity,value"), "line 5: another number of cells than the header"),
    ],
)
def test_a_file_without_its_provenance_is_refused(tmp_path: Path, head: tuple[str, ...], message: str) -> None:
    with pytest.raises((InputError, SettingError), match=message):
        read_series(write(tmp_path / "s.csv", "2026-01,a,,m,1,USD,,", head=head))


def test_files_that_are_no_series(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such series"):
        read_series(tmp_path / "none.csv")
    with pytest.raises(InputError, match="holds no points"):
        read_series(write(tmp_path / "s.csv"))
    (tmp_path / "s.csv").write_bytes("# source: 统计".encode("gb18030"))
    with pytest.raises(InputError, match="holds no table"):
        read_series(tmp_path / "s.csv")
    (tmp_path / "s.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read"):
        read_series(tmp_path / "s.parquet")


def test_times_go_on_across_years() -> None:
    assert between(["2025-12-30", "2025-12-31", "2026-01-02"]) == [
        "2025-12-30",
        "2025-12-31",
        "2026-01-01",
        "2026-01-02",
    ]
    assert following(["2025-11"], 3) == ["2025-12", "2026-01", "2026-02"]
    assert following(["2025"], 2) == ["2026", "2027"]
    assert following(["2024-02-28"], 2) == ["2024-02-29", "2024-03-01"]


def test_weekly_and_quarterly_series_have_no_empty_days(tmp_path: Path) -> None:
    weekly = read_series(write(tmp_path / "w.csv", *(f"2026-01-{day:02d},a,,m,1,USD,," for day in (5, 12, 26))))
    assert weekly.matrix()[0] == ["2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"]
    quarterly = read_series(write(tmp_path / "q.csv", *(f"2025-{month},a,,m,1,USD,," for month in ("01", "04", "10"))))
    assert quarterly.matrix()[0] == ["2025-01", "2025-04", "2025-07", "2025-10"]
    assert following(quarterly.matrix()[0], 2) == ["2026-01", "2026-04"]


def test_the_bundled_shares_are_the_published_ones(shared_data: Path) -> None:
    with (shared_data / "market" / "chatbot-share.csv").open(encoding="utf-8") as stream:
        published = {(row["month"], row["brand"]): float(row["share_percent"]) for row in csv.DictReader(stream)}
    series = read_series(chatbot_shares())
    assert {(point.time, point.entity): point.value for point in series.points} == published
    assert series.provenance.licence == "CC BY-SA 3.0"
    assert (chatbot_shares().parent / series.provenance.notice).is_file()
