"""The lake as one table: sealed and waiting events, each once, and the faults of its files."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noria.console.pages.users import served_use
from noria.core.errors import InputError
from noria.grow.log.lake import events
from noria.grow.log.read import log_of_events
from noria.grow.market.study import open_market
from noria.grow.settings import LogSettings
from noria.grow.usage import usage
from noria.grow.users.activity import growth
from noria.grow.users.study import open_log
from noria.lake.event import COLUMNS, FACTS, OUTBOX_DDL, OUTBOX_TABLE, Event, day_folder, new_id, outbox_file
from noria.lake.read import ARROW

START = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)


def make(count: int, **facts: object) -> list[Event]:
    return [
        Event(
            new_id(),
            START + timedelta(hours=number),
            "request",
            user=f"u{number % 3}",
            app="support",
            units=number,
            latency_ms=float(number + 1),
            **facts,
        )  # type: ignore[arg-type]
        for number in range(count)
    ]


def wait(lake: Path, rows: Sequence[Event], server: str = "main") -> None:
    path = outbox_file(lake, server)
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute(OUTBOX_DDL)
    marks = ", ".join("?" * len(COLUMNS))
    names = ", ".join(COLUMNS)
    connection.executemany(f"INSERT INTO {OUTBOX_TABLE} ({names}) VALUES ({marks})", [event.row() for event in rows])
    connection.commit()
    connection.close()


def seal(lake: Path, rows: Sequence[Event], name: str = "a") -> Path:
    folder = day_folder(lake, f"{rows[0].time:%Y-%m-%d}")
    folder.mkdir(parents=True, exist_ok=True)
    values = [{field: getattr(event, field) for field in COLUMNS} for event in rows]
    pq.write_table(pa.Table.from_pylist(values, ARROW), folder / f"{name}.parquet")
    return folder / f"{name}.parquet"


def test_an_event_in_outbox_and_parquet_counts_once(tmp_path: Path) -> None:
    rows = make(20)
    seal(tmp_path, rows[:12])
    seal(tmp_path, rows[8:14], "again")  # sealed twice by a server that was killed in between
    wait(tmp_path, rows[10:20])
    wait(tmp_path, make(5), "second")
    table = events(tmp_path)
    assert table.columns == tuple(FACTS)
    found = table.order_by("id").to_pyarrow()
    assert found.num_rows == 25
    assert found["id"].to_pylist()[:20] == sorted(event.id for event in rows)
    assert found["units"].to_pylist()[:20] == list(range(20))


def test_times_are_utc_whatever_zone_they_came_in(tmp_path: Path) -> None:
    wait(tmp_path, make(1))
    seal(tmp_path, make(1))
    times = events(tmp_path).time.to_pyarrow().to_pylist()
    assert times == [START.replace(tzinfo=None)] * 2


def test_the_real_outbox_is_read_before_and_after_sealing(tmp_path: Path) -> None:
    from noria.lake.outbox import Outbox

    rows = make(9)
    outbox = Outbox(tmp_path)
    outbox.append(rows)
    assert events(tmp_path).count().to_pyarrow().as_py() == 9
    outbox.seal()
    assert events(tmp_path).count().to_pyarrow().as_py() == 9
    assert events(tmp_path).units.sum().to_pyarrow().as_py() == sum(range(9))
    outbox.close()


def test_an_empty_lake_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no lake of events there"):
        events(tmp_path)
    outbox_file(tmp_path).parent.mkdir(parents=True)
    sqlite3.connect(outbox_file(tmp_path)).close()  # started, nothing stored yet
    table = events(tmp_path)
    assert table.count().to_pyarrow().as_py() == 0
    with pytest.raises(InputError, match="holds no events yet"):
        usage(table)
    with pytest.raises(InputError, match="holds no activity"):
        log_of_events(table)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    good = seal(tmp_path, make(3))
    bad = good.with_name("b.parquet")
    bad.write_bytes(good.read_bytes()[:100])
    with pytest.raises(InputError, match=r"b\.parquet cannot be read"):
        events(tmp_path)
    bad.unlink()
    pq.write_table(pa.table({"id": ["x"]}), bad)
    with pytest.raises(InputError, match=r"b\.parquet lacks columns of an event"):
        events(tmp_path)
    bad.unlink()
    outbox_file(tmp_path).parent.mkdir(parents=True)
    outbox_file(tmp_path).write_bytes(b"not a database, and long enough to be told from one" * 30)
    with pytest.raises(InputError, match="is not an outbox"):
        events(tmp_path)


def test_half_written_files_are_not_read(tmp_path: Path) -> None:
    good = seal(tmp_path, make(3))
    good.with_name(".b.parquet").write_bytes(b"cut short")
    assert events(tmp_path).count().to_pyarrow().as_py() == 3


def test_usage_counts_and_shares(tmp_path: Path) -> None:
    rows = make(6, model="sentiment")
    more = [
        Event(new_id(), START, "request", user="u9", app="monitor", outcome="failed"),
        Event(new_id(), START, "feedback", user="u9", subject="x", value=1.0),
    ]
    wait(tmp_path, rows + more)
    use = usage(events(tmp_path))
    assert (use.events, use.requests, use.users) == (8, 7, 4)
    assert use.kinds == {"request": 7, "feedback": 1}
    assert use.outcomes == {"ok": 6, "failed": 1}
    assert [(figure.name, round(figure.value * figure.n)) for figure in use.apps] == [("support", 6), ("monitor", 1)]
    assert sum(figure.value for figure in use.apps) == pytest.approx(1)
    assert [(figure.name, figure.value, figure.n) for figure in use.models] == [("sentiment", 1.0, 6)]
    median = next(figure for figure in use.latency_ms if figure.name == "support median")
    assert median.low is not None
    assert median.high is not None
    assert median.low <= median.value == 3.5 <= median.high


def test_feedback_joins_its_request_and_the_last_word_counts(tmp_path: Path) -> None:
    rows = make(5, model="sentiment", tenant="t")
    seal(tmp_path, rows)

    def word(about: str, value: float, hours: int, tenant: str = "t") -> Event:
        time = START + timedelta(hours=hours)
        return Event(new_id(), time, "feedback", subject=about, value=value, tenant=tenant)

    wait(
        tmp_path,
        [
            word(rows[0].id, 1, 9),
            word(rows[0].id, -1, 10),
            word(rows[1].id, 1, 9),
            word(rows[2].id, -1, 8),
            word(rows[2].id, 1, 9),
            word(rows[3].id, 1, 9, "other"),
            word("gone", 1, 9),
        ],
    )
    (figure,) = usage(events(tmp_path)).right
    assert (figure.name, round(figure.value * figure.n), figure.n) == ("sentiment", 2, 3)


def test_growth_reads_the_lake_by_application(tmp_path: Path) -> None:
    wait(tmp_path, make(50))
    account = growth(log_of_events(events(tmp_path)), "day", by="segment")
    assert account.defects() == []
    assert (
        [row.active for row in account.segment()] == [row.active for row in account.segment("support")] == [1, 3, 3, 1]
    )


def test_days_of_a_lake_are_those_of_the_zone_that_is_told(tmp_path: Path) -> None:
    """In the log, in the shares, in the command's settings and in the console, whatever days the files lie in."""
    rows = make(3) + [replace(event, time=event.time + timedelta(hours=16), user="late") for event in make(1)]
    seal(tmp_path, rows[:2])
    wait(tmp_path, rows[2:])
    shanghai, utc = LogSettings(zone="Asia/Shanghai"), LogSettings()
    told = {
        settings.zone: [(row.period, row.active) for row in growth(open_log(tmp_path, settings), "day").rows]
        for settings in (shanghai, utc)
    }
    assert told == {"Asia/Shanghai": [("2026-03-02", 4)], None: [("2026-03-01", 1), ("2026-03-02", 3)]}
    series = open_market(tmp_path, LogSettings(zone="Asia/Shanghai", period="day"))
    assert {point.time for point in series.points} == {"2026-03-02"}
    weeks = open_market(tmp_path, LogSettings(zone="America/New_York", period="week", week_starts="sunday"))
    assert {point.time for point in weeks.points} == {"2026-03-01"}
    use = served_use(tmp_path, {"zone": "Asia/Shanghai", "week_starts": "sunday"})
    assert use is not None
    assert (use.first, use.last) == ("2026-03-02", "2026-03-02")
    assert use.days["en"] == "days of Asia/Shanghai, weeks from Sunday"
    fiscal = LogSettings(fiscal="4-5-4", year_starts=2, week_starts="sunday", period="month")
    series = open_market(tmp_path, fiscal)
    assert {point.time for point in series.points} == {"2026-03"}
    assert "days of UTC, weeks from Sunday, months of 4-5-4 weeks" in series.provenance.text()
