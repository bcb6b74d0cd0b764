"""Logs of users as people have them: each small input by name, then its kind in every dialect, form of time, and zone."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from noria.cli.main import main
from noria.core.errors import InputError
from noria.grow.log.amounts import decimal_mark, read_amounts
from noria.grow.log.date_order import order_of
from noria.grow.log.log import Log
from noria.grow.log.names import PLACEHOLDERS
from noria.grow.log.read import read_log
from noria.grow.log.zones import from_wall, local_calendar, steps_of
from noria.grow.settings import LogSettings
from noria.grow.users.activity import growth
from noria.grow.users.study import open_log, study_users
from noria.text.times import Stamp, read_times

CASES = Path(__file__).parent / "inputs" / "ship-grow"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def active(log: Log, unit: Any) -> list[tuple[str, int]]:
    """Return each period with its active users."""
    return [(row.period, row.active) for row in growth(log, unit).rows]


def acts(log: Log) -> list[tuple[Any, ...]]:
    return sorted(((row["user"], row["time"], row["value"]) for row in log.table.to_pyarrow().to_pylist()), key=str)


def aside(log: Log) -> int:
    """Return how many rows were set aside."""
    return sum(problem.rows for problem in log.problems if not problem.kept)


# The inputs by name.


def test_days_are_told_where_the_times_were_written() -> None:
    log = read_log(CASES / "zone-day.csv", zone="Asia/Shanghai", now=NOW)
    assert active(log, "day") == [("2024-03-01", 2), ("2024-03-02", 2), ("2024-03-03", 1)]
    assert (log.first, log.as_of) == (date(2024, 3, 1), date(2024, 3, 3))
    in_utc = read_log(CASES / "zone-day.csv", zone="Asia/Shanghai", day_zone="UTC", now=NOW)
    assert active(in_utc, "day")[0] == ("2024-02-29", 1)


def test_months_are_told_where_the_times_were_written() -> None:
    log = read_log(CASES / "zone-month.csv", zone="Asia/Shanghai", now=NOW)
    assert [count for _, count in active(log, "month")] == [1, 2, 3, 1]


def test_bare_days_are_days_in_any_zone() -> None:
    for zone in ("Asia/Shanghai", "America/New_York", "Pacific/Kiritimati", None):
        log = read_log(CASES / "dates-mixed.csv", zone=zone, now=NOW)
        assert active(log, "day") == [("2024-03-01", 5), ("2024-03-02", 1)]


def test_times_in_many_forms() -> None:
    log = read_log(CASES / "offsets.csv", zone="UTC", now=NOW)
    assert (log.rows, log.problems) == (15, ())
    assert active(log, "day") == [("2024-03-01", 14), ("2024-03-02", 1)]


def test_an_empty_id_is_no_id() -> None:
    log = read_log(CASES / "ids-empty.csv", now=NOW)
    assert (log.rows, aside(log)) == (5, 1)
    assert active(log, "day") == [("2024-03-01", 3), ("2024-03-02", 2)]


def test_an_amount_never_removes_its_act() -> None:
    log = read_log(CASES / "thousands.csv", now=NOW)
    assert (log.rows, aside(log)) == (4, 0)
    assert [value for _, _, value in acts(log)] == [1250.0, 35.0, 980.0, None]
    assert [problem.text() for problem in log.problems] == [
        "of 1 row the amount is set aside, the act is kept: the value is negative, as of a refund (first at line 5: '-20')"
    ]


def test_words_for_nobody_are_no_users() -> None:
    log = read_log(CASES / "users-null.csv", now=NOW)
    assert (log.users, log.rows, aside(log)) == (1, 1, 7)
    assert "null, undefined, None, NaN, anonymous, 0" in log.problems[0].what
    kept = read_log(CASES / "users-null.csv", keep_users=("0", "None"), now=NOW)
    assert (kept.users, aside(kept)) == (3, 5)


def test_semicolons_and_decimal_commas() -> None:
    log = read_log(CASES / "semicolon.csv", now=NOW)
    assert [value for _, _, value in acts(log)] == [12.5, 1234.0, 3.0]
    assert log.notes == ("cells parted by ';'", "value: a comma stands before the decimals")


def test_a_table_in_gbk() -> None:
    log = read_log(CASES / "gbk.csv", user="用户", time="时间", value="金额", now=NOW)
    assert [user for user, _, _ in acts(log)] == ["张三", "李四"]
    assert log.notes == ("read as GB18030",)
    by_name = read_log(CASES / "gbk.csv", now=NOW)
    assert acts(by_name) == acts(log)
    assert by_name.notes[1]["zh"] == "所读的列：用户取自“用户”、时间取自“时间”、数额取自“金额”"
    with pytest.raises(InputError, match=r"no column for the user: found '用户, 时间, 金额'.*one named 'who'.*--user"):
        read_log(CASES / "gbk.csv", user="who", now=NOW)


def test_the_reason_for_no_forecast_is_the_true_one() -> None:
    study = study_users(read_log(CASES / "same-price.csv", now=NOW))
    assert "too few expected repeats a week" in study.silence
    assert "0 of 26 weeks with 30 or more" in study.silence
    assert "paid the same" in study.silences["spend"]


def test_the_command_tells_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "users", str(CASES / "zone-day.csv"), "--zone", "Asia/Shanghai", "--period", "day"]) == 0
    said = capsys.readouterr().out
    assert "2024-03-01 to 2024-03-03, days of Asia/Shanghai" in said
    assert main(["grow", "users", str(CASES / "users-null.csv"), "--period", "day"]) == 0
    assert "7 rows set aside: the user stands for nobody (null, undefined" in capsys.readouterr().out
    assert main(["grow", "users", str(CASES / "zone-day.csv"), "--zone", "Asia/Shanghi"]) == 2
    assert "did you mean Asia/Shanghai?" in capsys.readouterr().err


# Every row is an act, or set aside with its reason: in every dialect.

CELL = st.text(
    st.characters(codec="gb18030", exclude_categories=("C", "Z"), exclude_characters='"\\'), max_size=6
) | st.sampled_from(
    [
        "#",
        "#remark",
        "a,b",
        "x;y",
        "p|q",
        "'",
        "it's",
        "中文,逗号",
        "",
        "1,5",
        "–",
        'say "hi"',
        "two\nlines",
        "tab\there",
        "\\",
    ]
)
ROW = st.tuples(
    st.sampled_from(["u1", "u2", "#7", "张三", "o'neil", "null", ""]),
    st.sampled_from(["2024-03-01", "2024-03-01T08:00:00Z", "2024/3/2", "soon", "", "1709251200"]),
    st.sampled_from(["", "5", "12.50", "-3", "much"]),
    CELL,
)
BAD_USERS, BAD_TIMES = ("null", ""), ("soon", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dialects")


@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    rows=st.lists(ROW, min_size=1, max_size=12),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    packing=st.sampled_from(["", ".gz", ".bz2"]),
    shape=st.sampled_from(["plain", "blank lines", "surplus empties", "short", "long"]),
    at=st.integers(0, 11),
)
def test_every_row_is_an_act_or_set_aside_with_its_reason(
    folder: Path,
    rows: list[tuple[str, ...]],
    delimiter: str,
    quoting: Any,
    encoding: str,
    line_end: str,
    packing: str,
    shape: str,
    at: int,
) -> None:
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    writer.writerow(("user", "time", "value", "note"))
    writer.writerow(
        ("first", "2024-03-01", "1.5", "一二三四五六七八九十的是在不了有和人这中大为上")
    )  # so that a guess has something to go by
    at %= len(rows)
    broken = 0
    for number, row in enumerate(rows):
        if number != at or shape == "plain":
            writer.writerow(row)
        elif shape == "blank lines":
            sink.write(line_end)
            writer.writerow(row)
        elif shape == "surplus empties":
            writer.writerow((*row, "", ""))
        elif shape == "short":
            writer.writerow(row[:2])
        else:
            writer.writerow((*row, "one", "too many"))
            broken = 1
    image = sink.getvalue().encode(encoding)
    path = folder / f"log{'.tsv' if delimiter == chr(9) else '.csv'}{packing}"
    path.write_bytes({"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[packing](image))
    log = read_log(path, zone="UTC", now=NOW)
    usable = [
        row
        for number, row in enumerate(rows)
        if not (broken and number == at) and row[0] not in BAD_USERS and row[1] not in BAD_TIMES
    ]
    assert log.rows + aside(log) == len(rows) + 1
    assert Counter(user for user, _, _ in acts(log)) == Counter([*(row[0] for row in usable), "first"])
    reasons = {problem.what: problem.rows for problem in log.problems}
    assert reasons.get("more cells than columns", 0) == broken
    # What stands where a problem begins is what is told of it.
    lines = sink.getvalue().split("\n")
    for problem in log.problems:
        line = int(problem.example.removeprefix("line "))
        if problem.what.startswith("the user stands"):
            assert "null" in lines[line - 1]
        if problem.what == "the time cannot be read":
            assert "soon" in lines[line - 1]


@pytest.mark.parametrize("packing", ["", ".gz"])
def test_big_files_are_read_in_blocks_and_lines_are_told_rightly(tmp_path: Path, packing: str) -> None:
    lines = ["id,user,time,note"]
    lines += [f'e{number},u{number % 97},2024-03-{number % 28 + 1:02d},"note\n{number}"' for number in range(120_000)]
    lines[60_001] = "e60000,u5"  # a short line
    lines[70_001] = "e70000,#u6,2024-03-05,#no remark"
    lines[80_001] = "e80000,u7,2024-03-06,more,than,columns"
    lines[90_001] = 'e90000,u8,never,""'
    path = tmp_path / f"log.csv{packing}"
    image = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(image, 1) if packing else image)
    log = read_log(path, now=NOW)
    assert (log.rows, aside(log)) == (119_997, 3)
    places = {problem.what: problem.example for problem in log.problems}
    # Two lines a row, but one for the four rows that were changed above.
    assert places == {
        "the time is empty": f"line {60_000 * 2 + 2}",
        "more cells than columns": f"line {80_000 * 2 + 2 - 2}",
        "the time cannot be read": f"line {90_000 * 2 + 2 - 3}",
    }


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ('u2,2024-03-02,"never closed', 3000),
        ('u2,2024-03-02,"odd" quote', 3000),
        ('u2,2024-03-02,a "word" inside', 3001),
        ("u2,2024-03-02,\udcff\udcfe", 3000),
        ('u2,2024-03-02,"over\ntwo lines"', 3001),
    ],
)
@pytest.mark.parametrize("quoted", ["fine", '"fine"', '"f,\nine"'])
def test_one_bad_line_takes_no_other_with_it(tmp_path: Path, line: str, rows: int, quoted: str) -> None:
    lines = [
        "user,time,note",
        *(f"u{number},2024-03-01,{quoted}" for number in range(1500)),
        line,
        *(f"u{number},2024-03-03,{quoted}" for number in range(1500)),
    ]
    path = tmp_path / "log.csv"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape") + b"\n")
    log = read_log(path, now=NOW)
    assert log.rows + aside(log) == 3001
    assert log.rows >= rows


def test_the_same_log_in_every_kind_of_file(tmp_path: Path) -> None:
    rows = [
        {"user": "a", "time": "2024-03-01T08:00:00Z", "value": 2.5},
        {"user": "b", "time": "2024-03-02", "value": None},
    ]
    (tmp_path / "log.jsonl").write_text(
        '{"user": "a", "time": "2024-03-01T08:00:00Z", "value": 2.5}\n\n{"user": "b", "time": "2024-03-02"}\n'
    )
    (tmp_path / "log.csv").write_text("user,time,value\r\na,2024-03-01T08:00:00Z,2.5\r\nb,2024-03-02,\r\n")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    (tmp_path / "log.dat").write_text("user;time;value\na;2024-03-01T08:00:00Z;2,5\nb;2024-03-02;\n")
    expected = [("a", datetime(2024, 3, 1, 8), 2.5), ("b", datetime(2024, 3, 2), None)]
    for name in ("log.jsonl", "log.csv", "log.parquet", "log.dat"):
        assert acts(read_log(tmp_path / name, now=NOW)) == expected


# Times.

INSTANTS = st.integers(315_532_800, 1_900_000_000)
FORMS: dict[str, Callable[[datetime], str]] = {
    "iso": lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "iso, small z": lambda at: at.strftime("%Y-%m-%dT%H:%M:%Sz"),
    "iso, offset": lambda at: at.astimezone(ZoneInfo("Asia/Shanghai")).isoformat(),
    "iso, short offset": lambda at: at.astimezone(ZoneInfo("America/New_York")).strftime("%Y-%m-%d %H:%M:%S%z"),
    "iso, blank before the offset": lambda at: at.astimezone(ZoneInfo("Asia/Kolkata")).strftime("%Y-%m-%d %H:%M:%S %z"),
    "iso, parts of a second": lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00"),
    "iso, basic": lambda at: at.strftime("%Y%m%dT%H%M%SZ"),
    "JavaScript": lambda at: at.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)"),
    "mail": lambda at: at.strftime("%a, %d %b %Y %H:%M:%S +0000"),
    "web server": lambda at: at.strftime("%d/%b/%Y:%H:%M:%S +0000"),
    "seconds": lambda at: str(int(at.timestamp())),
    "milliseconds": lambda at: str(int(at.timestamp() * 1000)),
    "microseconds": lambda at: str(int(at.timestamp() * 1_000_000)),
    "Java": lambda at: at.astimezone(ZoneInfo("Asia/Tokyo")).isoformat() + "[Asia/Tokyo]",
    "a named zone": lambda at: at.astimezone(ZoneInfo("Asia/Shanghai")).strftime("%Y-%m-%d %H:%M:%S Asia/Shanghai"),
}
"""Forms that name an instant."""


def utc_of(stamp: Stamp) -> datetime:
    """Return the instant of a stamp that says how far it is from UTC, or that is taken to be UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=stamp.wall - (stamp.ahead or 0))


@settings(max_examples=200, deadline=None)
@given(seconds=INSTANTS, form=st.sampled_from(sorted(FORMS)))
def test_every_form_of_an_instant_is_that_instant(seconds: int, form: str) -> None:
    at = datetime.fromtimestamp(max(seconds, 1_000_000_000 if form.endswith("seconds") else 0), UTC)
    (stamp,) = read_times([FORMS[form](at)])
    assert stamp is not None
    assert utc_of(stamp) == at


def test_the_engine_and_the_reader_of_single_times_agree(tmp_path: Path) -> None:
    chance = random.Random(7)
    texts = [
        write(datetime.fromtimestamp(chance.randrange(1_000_000_000, 1_700_000_000), UTC))
        for write in FORMS.values()
        for _ in range(20)
    ]
    texts += [
        "2024-03-01",
        "20240301",
        "2024-3-1 8:05",
        "2024-03-01T24:00:00",
        "2024年3月1日 下午3:05",
        "45352",
        "45352.25",
        "2024-03-01 08:00:00.5",
    ]
    path = tmp_path / "log.csv"
    path.write_text(
        "\n".join(["user,time", *(f'u{number},"{text}"' for number, text in enumerate(texts))]), encoding="utf-8"
    )
    log = read_log(path, zone="UTC", now=NOW)
    assert log.problems == ()
    found = {user: time for user, time, _ in acts(log)}
    for number, (text, stamp) in enumerate(zip(texts, read_times(texts), strict=True)):
        assert stamp is not None
        assert found[f"u{number}"] == utc_of(stamp).replace(tzinfo=None), text


@pytest.mark.parametrize(
    ("texts", "order", "days"),
    [
        (["12/1/2010 8:26", "13/1/2010 8:26"], "", [date(2010, 1, 12), date(2010, 1, 13)]),
        (["12/1/2010 8:26", "12/13/2010 8:26"], "", [date(2010, 12, 1), date(2010, 12, 13)]),
        (["12/1/2010"], "mdy", [date(2010, 12, 1)]),
        (["12-1-2010"], "dmy", [date(2010, 1, 12)]),
        (["10/12/01"], "ymd", [date(2010, 12, 1)]),
        (["1.3.2024", "3/3/2024"], "", [date(2024, 3, 1), date(2024, 3, 3)]),
    ],
)
def test_days_before_months_are_told_by_the_data(texts: list[str], order: Any, days: list[date]) -> None:
    assert [utc_of(stamp).date() for stamp in read_times(texts, order or order_of(texts).order) if stamp] == days


@pytest.mark.parametrize("lines", [["12/1/2010 8:26"], ["13/1/2010 8:26", "1/13/2010 8:26"], ["12/1/10 8:26"]])
def test_dates_that_cannot_be_told_apart_are_asked_about(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["user,time", *(f"u,{line}" for line in lines)]))
    with pytest.raises(InputError, match=r"days or months come first.*--date-order"):
        read_log(path, zone="UTC", now=NOW)
    log = open_log(path, LogSettings(zone="UTC", date_order="mdy"))
    assert log.rows + aside(log) == len(lines)


# Amounts.


@pytest.mark.parametrize(
    ("texts", "amounts"),
    [
        (
            ["1,250.00", "¥35", "(20)", "−20", "20-", "$1,250", "１２．５"],
            [1250.0, 35.0, -20.0, -20.0, -20.0, 1250.0, 12.5],
        ),
        (["12,50", "1.234,00", "1.234", "€ 7", "1 250,5"], [12.5, 1234.0, 1234.0, 7.0, 1250.5]),
        (["1,250", "3万", "12元", "RMB 20", "US$ 5"], [1250.0, 30_000.0, 12.0, 20.0, 5.0]),
        (["much", "1,2,3", "1.2.3", "12.3%", "--", "5)"], [None] * 6),
    ],
)
def test_amounts_as_people_write_them(texts: list[str], amounts: list[float | None]) -> None:
    assert read_amounts(texts, decimal_mark(texts)) == amounts


def test_a_decimal_comma_changes_what_casts_too(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text('user,time,value\na,2024-03-01,"1.234,5"\nb,2024-03-01,1.234\nc,2024-03-01,7\n')
    assert [value for _, _, value in acts(read_log(path, now=NOW))] == [1234.5, 1234.0, 7.0]
    assert [value for _, _, value in acts(read_log(path, decimal=".", now=NOW))] == [None, 1.234, 7.0]


@pytest.mark.parametrize("missing", ["", "nan", "NaN", "null", "None", "N/A", "-", "--"])
def test_an_amount_that_is_missing_is_no_amount_and_no_fault(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"user,time,value\na,2024-03-01,{missing}\nb,2024-03-01,much\nc,2024-03-01,7\n")
    log = read_log(path, now=NOW)
    assert [value for _, _, value in acts(log)] == [None, None, 7.0]
    assert [(problem.what, problem.rows, problem.found) for problem in log.problems] == [
        ("the value cannot be read", 1, "much")
    ]


# Names.


def test_every_word_for_nobody_is_told_and_may_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    words = [*PLACEHOLDERS, "NULL", "N/A", "Anonymous"]
    path.write_text(
        "\n".join(
            ["user,time", "real,2024-03-01", *('"' + word.replace('"', '""') + '",2024-03-01' for word in words)]
        ),
        encoding="utf-8",
    )
    log = read_log(path, now=NOW)
    assert (log.users, aside(log)) == (1, len(words))
    assert read_log(path, keep_users=PLACEHOLDERS, now=NOW).rows == len(words) + 1


@pytest.mark.parametrize(("users", "kept"), [(range(5), 5), ([0, 3, 4], 2), (["0", "u1"], 1)])
def test_zero_is_a_user_where_users_are_numbered_from_it(tmp_path: Path, users: Any, kept: int) -> None:
    rows = [f"{user},2024-03-01" for user in users]
    (tmp_path / "log.csv").write_text("\n".join(["user,time", *rows]))
    assert read_log(tmp_path / "log.csv", now=NOW).users == kept


# Days, weeks and months are those of the people who live in a zone.

ZONES = (
    "Asia/Shanghai",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Havana",
    "Pacific/Apia",
    "+05:45",
    "UTC",
)
WEEKDAYS = {"monday": 0, "sunday": 6, "saturday": 5}


def plain_zone(name: str) -> Any:
    return datetime.strptime(name, "%z").tzinfo if name[0] in "+-" else ZoneInfo(name)


def begin(day: date, unit: str, week_starts: str) -> str:
    if unit == "week":
        day -= timedelta(days=(day.weekday() - WEEKDAYS[week_starts]) % 7)
    return (day.replace(day=1) if unit == "month" else day).isoformat()


@pytest.mark.parametrize("zone", ZONES)
def test_periods_are_those_that_a_calendar_on_the_wall_shows(tmp_path: Path, zone: str) -> None:
    chance = random.Random(zone)
    there = plain_zone(zone)
    start = int(datetime(2011, 6, 1, tzinfo=UTC).timestamp())  # Apia leaves out a day at the end of this year
    moments = [start + chance.randrange(2 * 366 * 86_400) for _ in range(1500)]
    moments += [
        step // 1_000_000 + shift
        for step, _ in steps_of(zone)
        if start <= step // 1_000_000 < start + 2 * 366 * 86_400
        for shift in (-3601, -1, 0, 1, 1800, 3600, 7200, 86_399)
    ]
    rows = [(f"u{chance.randrange(40)}", datetime.fromtimestamp(moment, UTC)) for moment in moments]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["user,time", *(f"{user},{at:%Y-%m-%dT%H:%M:%SZ}" for user, at in rows)]))
    for week_starts in WEEKDAYS:
        log = read_log(path, day_zone=zone, week_starts=week_starts, now=NOW)
        for unit in ("day", "week", "month"):
            told: dict[str, set[str]] = {}
            for user, at in rows:
                told.setdefault(begin(at.astimezone(there).date(), unit, week_starts), set()).add(user)
            account = growth(log, unit)
            assert account.defects() == []
            assert {row.period: row.active for row in account.rows if row.active} == {
                period: len(users) for period, users in told.items()
            }


@pytest.mark.parametrize("zone", ZONES)
def test_a_clock_on_the_wall_is_read_as_its_zone_has_it(zone: str) -> None:
    there, chance, back = plain_zone(zone), random.Random(zone), from_wall(steps_of(zone))
    calendar = local_calendar(zone)
    for _ in range(2000):
        wall = datetime(1980, 1, 1) + timedelta(seconds=chance.randrange(45 * 365 * 86_400))
        shown = int((wall - datetime(1970, 1, 1)).total_seconds()) * 1_000_000
        ahead = [offset for start, offset in back if start <= shown][-1] if back[0][0] <= shown else back[0][1]
        expected = wall.replace(tzinfo=there).astimezone(UTC)
        assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=shown - ahead) == expected
        assert calendar.day(shown - ahead) == (expected.astimezone(there).date() - date(1970, 1, 1)).days


# What a stranger's files hold.


@pytest.mark.parametrize("delimiter", ["，", ",", ";", "|", "\t"])
def test_any_delimiter_is_read_by_one_parser_or_the_other(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "l.csv"
    rows = ["user,time", "a,2024-03-01", "b,2024-03-02"]
    path.write_text("\n".join(row.replace(",", delimiter) for row in rows) + "\n", encoding="utf-8")
    assert [user for user, _, _ in acts(read_log(path, now=NOW))] == ["a", "b"]


def test_words_for_nobody_in_disguise(tmp_path: Path) -> None:
    """In brackets, in full width, with marks that nobody sees, and blanks of other kinds."""
    words = [
        "ＮＵＬＬ",
        "＜null＞",
        "null\u200b",
        "\u3000",
        "\u00a0",
        "—",
        "(blank)",
        "[None]",
        "{nan}",
        "'anonymous'",
        "n.a.",
        "Guest_User",
        "未登录",
        "Not logged in",
        "0.0",
        "-1",
        "0" * 32,
    ]
    people = ["安娜", "nullius", "Ann\u00a0Lee", "-12", "Ｂｅｒｔ"]
    path = tmp_path / "l.csv"
    path.write_text("user,time\n" + "".join(f'"{word}",2024-03-01\n' for word in [*words, *people]), encoding="utf-8")
    log = read_log(path, now=NOW)
    assert (log.rows, aside(log)) == (len(people), len(words))
    numbered = tmp_path / "n.csv"
    numbered.write_text("user,time\n" + "".join(f"{user}.0,2024-03-01\n" for user in range(9)), encoding="utf-8")
    assert read_log(numbered, now=NOW).users == 9


@pytest.mark.parametrize("short", ["u1,2024-03-01", "u1,2024-03-01,"])
def test_one_short_line_of_many_is_told_and_takes_no_act(tmp_path: Path, short: str) -> None:
    lines = [f"u{place % 50},2024-03-{place % 28 + 1:02d},5.00,x" for place in range(3000)]
    lines[1500] = short
    path = tmp_path / "l.csv"
    path.write_text("user,time,value,segment\n" + "\n".join(lines) + "\n", encoding="utf-8")
    log = read_log(path, now=NOW)
    assert (log.rows, aside(log)) == (3000, 0)
    assert log.notes == ("1 row with fewer cells than columns: those that lack are empty (first at line 1502)",)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("3.5k", 3500),
        ("5M€", 5e6),
        ("$3.2 million", 3.2e6),
        ("€1.5bn", 1.5e9),
        ("3千", 3000),
        ("1.2百万", 1.2e6),
        ("2千万元", 2e7),
        ("5 万", 50_000),
        ("20 mln", 2e7),
        ("(3k)", -3000),
        ("Rs. 500", 500),
        ("10 zł", 10),
        ("5 kr", 5),
        ("A$5", 5),
        ("5 dollars", 5),
        ("₹ 1,00,000", 100_000),
        ("1.234.567", 1_234_567),
        ("50分", None),
        ("5角", None),
        ("50p", None),
        ("5c", None),
        ("5 g", None),
        ("50%", None),
        ("free", None),
    ],
)
def test_what_stands_behind_a_number_multiplies_it_or_it_is_none(text: str, amount: float | None) -> None:
    assert read_amounts([text], decimal_mark([text])) == [pytest.approx(amount) if amount is not None else None]


def test_what_is_understood_of_numbers_is_told(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("user;time;value;units\na;2024-03-01;1.234;1.5\nb;2024-03-01;2.500;2\n", encoding="utf-8")
    notes = read_log(path, now=NOW).notes
    assert any("'1.234' is read as 1.234; --decimal ," in note for note in notes)
    assert any("units: of 1 row they are no whole number" in note for note in notes)
    path.write_text("user,time,value\na,2024-03-01,3.5k\nb,2024-03-01,2\n", encoding="utf-8")
    assert read_log(path, now=NOW).notes == ("value: amounts such as '3.5k' are read as 3,500",)


def test_remarks_above_the_columns_are_passed_over_and_told(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("# exported by a tool\n# in March\nuser,time\n#1,2024-03-01\nb,2024-03-02\n", encoding="utf-8")
    log = read_log(path, now=NOW)
    assert [user for user, _, _ in acts(log)] == ["#1", "b"]
    assert any("above the names of the columns passed over" in note for note in log.notes)


def test_amounts_in_several_currencies_are_told(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text(
        'user,time,value\na,2024-03-01,"US$ 1,250.00"\nb,2024-03-01,35元\nc,2024-03-01,￥5\n', encoding="utf-8"
    )
    (note,) = read_log(path, now=NOW).notes
    assert "in several currencies ('35元', 'US$ 1,250.00')" in note
