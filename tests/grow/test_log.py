"""Logs from files: what is read, what is set aside and told, what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noria.core.errors import InputError
from noria.grow.bundled import CDNOW_LAST
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_rows, read_log
from noria.grow.log.user_days import between

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows(log: Log) -> list[tuple[object, ...]]:
    return sorted((tuple(row.values()) for row in log.table.to_pyarrow().to_pylist()), key=str)


def test_a_csv_with_names_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "客户,when,amount", "甲,2026-01-31T23:30:00-01:00,5.5", "乙,2026-02-01,")
    log = read_log(path, user="客户", time="when", value="amount", unit="元", now=NOW)
    assert rows(log) == [
        ("乙", datetime(2026, 2, 1), None, 1, ""),
        ("甲", datetime(2026, 2, 1, 0, 30), 5.5, 1, ""),
    ]
    assert (log.rows, log.users, log.first, log.as_of, log.problems) == (2, 2, date(2026, 2, 1), date(2026, 2, 1), ())


def test_bad_rows_are_counted_by_reason(tmp_path: Path) -> None:
    path = write(
        tmp_path / "log.csv",
        "id,user,time,value,units",
        "1,a,2026-01-01,1,1",
        "1,a,2026-01-01,1,1",  # the same id again
        "2,,2026-01-01,1,1",
        "3,b,soon,1,1",
        "4,b,0001-01-01,1,1",
        "5,b,2999-01-01,1,1",
        "6,b,2026-01-02,-3,1",
        "7,b,2026-01-02,much,1",
        "8,b,2026-01-02,nan,1",
        "9,b,2026-01-02,1,-1",
        "10,b,2026-01-02,1,many",
        "11,b,2026-01-02,2,2",
    )
    log = read_log(path, now=NOW)
    assert log.rows == 7
    assert {
        problem.what: (problem.rows, problem.example, problem.found) for problem in log.problems if not problem.kept
    } == {
        "the id came before": (1, "line 3", "1"),
        "the user is empty": (1, "line 4", ""),
        "the time cannot be read": (1, "line 5", "soon"),
        "the time is before 1970": (1, "line 6", "0001-01-01"),
        "the time lies in the future": (1, "line 7", "2999-01-01"),
    }
    assert {
        problem.what: (problem.rows, problem.example, problem.found) for problem in log.problems if problem.kept
    } == {
        "the value is negative, as of a refund": (1, "line 8", "-3"),
        "the value cannot be read": (1, "line 9", "much"),
        "the units are negative": (1, "line 11", "-1"),
        "the units cannot be read": (1, "line 12", "many"),
    }
    assert sorted(str(value) for _, _, value, _, _ in rows(log)) == ["1.0"] * 3 + ["2.0"] + ["None"] * 3


def test_times_without_a_zone_are_refused_until_one_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "user,time", "a,2026-03-01 07:30:00")
    with pytest.raises(InputError, match=r"name no time zone.*--zone UTC"):
        read_log(path, now=NOW)
    assert rows(read_log(path, zone="Asia/Shanghai", now=NOW))[0][1] == datetime(2026, 2, 28, 23, 30)
    assert rows(read_log(path, zone="UTC", now=NOW))[0][1] == datetime(2026, 3, 1, 7, 30)
    with pytest.raises(InputError, match="unknown time zone: found 'Mars'"):
        read_log(path, zone="Mars", now=NOW)


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "user": [7, 8],
            "time": pa.array([datetime(2026, 1, 1, 12, tzinfo=UTC)] * 2, pa.timestamp("ms", "Asia/Shanghai")),
            "value": [1.5, None],
            "segment": ["pro", None],
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    assert rows(read_log(tmp_path / "log.parquet", now=NOW)) == [
        ("7", datetime(2026, 1, 1, 12), 1.5, 1, "pro"),
        ("8", datetime(2026, 1, 1, 12), None, 1, ""),
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name,time", "a,2026-01-01"], "no column for the user: found 'name, time'"),
        (["user,when", "a,2026-01-01"], "no column for the time"),
        (["user,time"], "holds no activity"),
        (["user,time", ",2026-01-01"], "holds no activity: found '?1 row set aside: the user is empty"),
    ],
)
def test_logs_that_cannot_be_used(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_log(write(tmp_path / "log.csv", *lines), now=NOW)


def test_a_missing_and_a_broken_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such log"):
        read_log(tmp_path / "none.csv")
    (tmp_path / "log.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(InputError, match="is not Parquet, or is damaged"):
        read_log(tmp_path / "log.parquet")


def test_days_chosen_from_a_log() -> None:
    log = log_of_rows(
        pa.table({"user": ["a", "b", "a"], "time": ["2026-01-01", "2026-01-05", "2026-01-09"]}), source="s", now=NOW
    )
    part = between(log, date(2026, 1, 1), date(2026, 1, 8))
    assert (part.rows, part.users, part.as_of) == (2, 2, date(2026, 1, 8))
    with pytest.raises(InputError, match="holds no activity"):
        between(log, date(2027, 1, 1), date(2027, 1, 8))


def test_cdnow_is_whole(cdnow_log: Log) -> None:
    assert (cdnow_log.rows, cdnow_log.users, cdnow_log.problems) == (69_659, 23_570, ())
    assert (cdnow_log.first, cdnow_log.as_of) == (date(1997, 1, 1), CDNOW_LAST)
    total = (
        cdnow_log.table.aggregate(value=cdnow_log.table.value.sum(), units=cdnow_log.table.units.sum())
        .to_pyarrow()
        .to_pylist()[0]
    )
    assert total == {"value": pytest.approx(2_500_315.63, abs=0.01), "units": 167_881}
