"""Logs as people's programs write them: what a column is called, whether days or months come first, what parts the cells."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from noria.core.errors import InputError
from noria.grow.log.columns import column_named, named_columns
from noria.grow.log.date_order import order_of
from noria.grow.log.log import Log
from noria.grow.log.read import read_log
from noria.text.headings import bare_name
from noria.text.times import read_times

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def acts(log: Log) -> list[tuple[Any, ...]]:
    rows = log.table.to_pyarrow().to_pylist()
    return sorted(((row["user"], row["time"], row["value"]) for row in rows), key=str)


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("header", "user", "time", "value"),
    [
        (["订单号", "用户ID", "下单时间", "支付金额(元)"], "用户ID", "下单时间", "支付金额(元)"),
        (["InvoiceNo", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"], "CustomerID", "InvoiceDate", ""),
        (["会员编号", "日期", "金额"], "会员编号", "日期", "金额"),
        (["user_name", "user_id", "created_at", "Total Amount"], "user_id", "created_at", "Total Amount"),
        (["order date", "ship date", "client"], "client", "order date", ""),
        (["ship date", "bill date", "client"], "client", "", ""),
        (["x", "y"], "", "", ""),
    ],
)
def test_columns_are_found_by_the_names_people_give_them(header: list[str], user: str, time: str, value: str) -> None:
    assert [column_named(part, header) for part in ("user", "time", "value")] == [user, time, value]
    assert len({bare_name(name) for name in header}) == len(header)


def test_a_column_that_is_named_is_never_another() -> None:
    header = ["who", "when", "user id", "time"]
    columns, found = named_columns(header, {"user": "who", "time": "time", "value": "value"})
    assert (columns, found) == ({"user": "who", "time": "time", "value": "value"}, {})
    columns, found = named_columns(header, {"user": "nobody there", "time": "when"})
    assert columns["user"] == "nobody there"


def spread(order: str, *, first: date, days: Sequence[int], mark: str = "/", short: bool = False) -> list[str]:
    """Return days after the first, written in an order."""
    parts = {"d": "%d", "m": "%m", "y": "%y" if short else "%Y"}
    return [(first + timedelta(day)).strftime(mark.join(parts[one] for one in order)) for day in days]


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("order", ["dmy", "mdy", "ymd"])
def test_days_and_months_are_told_by_a_day_above_12_or_by_the_order_of_the_rows(order: str, short: bool) -> None:
    if order == "ymd" and not short:
        return  # no other order begins with four digits
    assert order_of(["24/03/05", "24/03/06", "24/03/09"])[::2] == ("ymd", "year")  # else on the 24th of three years
    assert order_of(["24/3/5", "24/3/6"])[::2] == ("ymd", "above_12")  # no year has one digit
    if not short:  # 28/11/11 may be in 2028 too
        judged = order_of(spread(order, first=date(2011, 11, 28), days=[0, 3, 9, 40]))
        assert (judged.order, judged.why) == (order, "above_12")
    by_rows = spread(order, first=date(2024, 1, 1), days=[0, 1, 5, 31, 36, 37, 61, 67, 91, 100], short=short)
    found = order_of(by_rows)
    assert found.order == order
    walls = [stamp.wall for stamp in read_times(by_rows[:10], found.order) if stamp]
    assert walls == sorted(walls)
    assert len(walls) == 10


def test_rows_in_no_order_leave_the_question_open(tmp_path: Path) -> None:
    dates = ["3/4/2024", "1/2/2024", "5/6/2024", "2/9/2024", "7/1/2024", "4/4/2024", "11/12/2024"]
    with pytest.raises(InputError, match="found '3/4/2024'; allowed dmy, mdy or ymd; say it with --date-order"):
        order_of(dates)
    few = ["1/1/2024", "1/2/2024", "1/3/2024"]
    with pytest.raises(InputError, match="--date-order"):
        order_of(few)  # in both readings one after the other
    with pytest.raises(InputError, match="'3/13/2024 and 13/3/2024'"):
        order_of(["1/1/2024", "13/3/2024", "3/13/2024"])
    path = written(tmp_path / "log.csv", "user,time\n" + "\n".join(f"u,{one}" for one in dates))
    log = read_log(path, date_order="dmy", now=NOW)
    assert log.first == date(2024, 1, 7)


@pytest.mark.parametrize(
    "text",
    [
        "user time value\nu1 2025-03-03T08:37:00 1.5\nu2 2025-03-04T09:00:00 2\n",
        "user time value\nu1 2025-03-03 08:37:00 1.5\nu2 2025-03-04 09:00:00 2\n",
        "user   date        time      value\nu1     2025-03-03  08:37:00    1.5\nu2     2025-03-04  09:00:00      2\n",
        'user time value\nu1 "2025-03-03 08:37" 1.5\nu2 "2025-03-04 09:00" 2\n',
        "  user time value\n  u1   3/3/2025 8:37  1.5\n  u2   3/4/2025 9:00    2\n  u3   3/13/2025\n",
        "日期,时间,用户,金额\n2025-03-03,8:37,u1,1.5\n2025/3/4,上午9:00,u2,2\n",
        "user|date|time|value\nu1|2025年3月3日|8:37 AM|1.5\nu2|2025年3月4日|9:00 AM|2\n",
    ],
)
def test_blanks_part_cells_and_a_clock_joins_its_day(text: str, tmp_path: Path) -> None:
    log = read_log(written(tmp_path / "log.txt", text), zone="UTC", now=NOW)
    assert acts(log)[:2] == [("u1", datetime(2025, 3, 3, 8, 37), 1.5), ("u2", datetime(2025, 3, 4, 9), 2.0)]


def test_a_single_column_of_sentences_is_not_parted_by_its_blanks(tmp_path: Path) -> None:
    text = "review\nvery good\nquite bad\n"
    with pytest.raises(InputError, match="no column for the user: found 'review'"):
        read_log(written(tmp_path / "log.csv", text), now=NOW)


@pytest.mark.parametrize(
    "written_month", ["2025年3月", "2025-03", "2025/3", "Mar 2025", "March 2025", "03/2025", "2025.03"]
)
def test_months_are_their_first_day_and_told(written_month: str, tmp_path: Path) -> None:
    log = read_log(written(tmp_path / "log.csv", f"用户,月份\na,{written_month}\nb,{written_month}\n"), now=NOW)
    assert [time for _, time, _ in acts(log)] == [datetime(2025, 3, 1)] * 2
    assert f"times such as '{written_month}' name a month" in log.notes[-1]
    assert "只写到月" in log.notes[-1]["zh"]


@pytest.mark.parametrize("told", ["1740991020", "1740991020000", "1740991020.0", "1.74099102e9", "1.74099102E+12"])
def test_seconds_since_1970_in_every_way_that_programs_write_them(told: str, tmp_path: Path) -> None:
    log = read_log(written(tmp_path / "log.csv", f"user,time\na,{told}\n"), now=NOW)
    assert acts(log)[0][1] == datetime(2025, 3, 3, 8, 37)


def test_a_report_with_titles_a_total_and_a_footnote(tmp_path: Path) -> None:
    text = '三月订单导出\n导出时间：2025-04-01\n\n用户ID,下单时间,金额(元),\nu1,2025-03-03,"1,200.50",\nu2,2025-03-04,3,\n合计,,"1,203.50",\n'
    log = read_log(written(tmp_path / "log.csv", text, "gb18030"), now=NOW)
    assert acts(log) == [("u1", datetime(2025, 3, 3), 1200.5), ("u2", datetime(2025, 3, 4), 3.0)]
    assert [problem.what for problem in log.problems] == ["the time is empty"]
    assert "三月订单导出" in " ".join(note["zh"] for note in log.notes)
