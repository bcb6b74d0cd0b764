"""One analytics, many engines: every metric gives the same on PostgreSQL and ClickHouse as on DuckDB, and the published case on each."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pytest

from benchmarks import engines
from benchmarks.engines import stored
from noria.cli.main import main
from noria.core.errors import InputError, PackageError, SettingError
from noria.grow.log.acts import log_of_table
from noria.grow.log.engines import connect_engine, once, open_engine
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_events
from noria.grow.log.user_days import between
from noria.grow.log.zones import LocalCalendar, local_calendar
from noria.grow.market.served import served_series
from noria.grow.settings import LogSettings
from noria.grow.usage import usage
from noria.grow.users.activity import PERIODS, growth, stickiness
from noria.grow.users.funnel import ORDERS, funnel, parse_steps
from noria.grow.users.holdout import hold_out
from noria.grow.users.journey import journey
from noria.grow.users.needs import needs
from noria.grow.users.power import power
from noria.grow.users.retention import KINDS, retention
from noria.grow.users.spend import hold_out_spend
from noria.grow.users.survival import survival
from tests.grow.worlds import events_table, world_log

UNTIL = date(1997, 9, 30)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A cluster of its own in a temporary folder, reached through a socket there; gone afterwards."""
    with engines.postgres() as address:
        if address is None:
            pytest.skip("PostgreSQL (Debian package postgresql) or the package psycopg is not installed")
        yield address


@pytest.fixture(scope="module")
def clickhouse() -> str:
    """ClickHouse inside this process."""
    address = engines.clickhouse()
    if address is None:
        pytest.skip("the packages chdb and clickhouse_connect are not installed")
    return address


@pytest.fixture(scope="module")
def world() -> pa.Table:
    return events_table()


@pytest.fixture(scope="module", params=["postgres", "clickhouse"])
def engine(request: pytest.FixtureRequest, world: pa.Table, cdnow_tenth: Log) -> Iterator[Any]:
    """Each engine with the simulated events and the real purchases in tables of its own."""
    backend = connect_engine(request.getfixturevalue(request.param))
    rows = cdnow_tenth.table.select("user", "time", "value", "units").to_pyarrow()
    zoned = rows.set_column(1, "time", rows["time"].cast(pa.timestamp("us", "UTC")))
    stored(backend, "events", world)
    stored(backend, "purchases", zoned)
    yield backend
    backend.disconnect()


@pytest.fixture(scope="module")
def ours() -> Log:
    """The same events in DuckDB."""
    return world_log(ibis.duckdb.connect())


@pytest.fixture(scope="module")
def theirs(engine: Any) -> Log:
    return log_of_events(once(engine.table("events")), source="world")


def alike(one: Any, other: Any) -> None:
    """Fail unless two results are equal, numbers to nine digits: engines add up in orders of their own."""
    if isinstance(one, float) and isinstance(other, float):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            alike(value, other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            alike(a, b)
    elif hasattr(one, "__dataclass_fields__"):
        for name in one.__dataclass_fields__:
            alike(getattr(one, name), getattr(other, name))
    elif hasattr(one, "tolist"):
        alike(one.tolist(), other.tolist())
    else:
        assert one == other


def test_the_log_itself(ours: Log, theirs: Log) -> None:
    assert (theirs.rows, theirs.users, theirs.first, theirs.as_of) == (ours.rows, ours.users, ours.first, ours.as_of)


@pytest.mark.parametrize("unit", PERIODS[:3])
@pytest.mark.parametrize("by", [(), ("app",), ("app", "model"), ("tenant", "topic")])
def test_growth(ours: Log, theirs: Log, unit: Any, by: tuple[str, ...]) -> None:
    account = growth(theirs, unit, by=by)
    assert account.defects() == []
    alike(account, growth(ours, unit, by=by))


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"])
def test_days_of_a_zone(engine: Any, ours: Log, world: pa.Table, zone: str) -> None:
    """Days, weeks that begin on Sunday, and months of a zone: counted in Python, and by each engine, in all that counts days."""
    calendar = local_calendar(zone, "sunday")
    assert ours.facts is not None
    there = log_of_events(once(engine.table("events")), source="world", calendar=calendar)
    here = log_of_events(ours.facts, source="world", calendar=calendar)
    assert (there.first, there.as_of) == (here.first, here.as_of)
    active: dict[str, set[str]] = {}
    for row in world.select(["kind", "user", "time"]).to_pylist():
        if row["kind"] == "request" and row["user"]:
            active.setdefault(row["time"].astimezone(ZoneInfo(zone)).date().isoformat(), set()).add(row["user"])
    assert {row.period: row.active for row in growth(there, "day").rows if row.active} == {
        day: len(users) for day, users in active.items()
    }
    for unit in PERIODS[:3]:
        alike(growth(there, unit), growth(here, unit))
    alike(retention(there, "week", "recurring"), retention(here, "week", "recurring"))
    alike(journey(there, "week"), journey(here, "week"))
    alike(power(there), power(here))
    alike(needs(there), needs(here))
    alike(
        served_series(there.facts, "app", "week", calendar=calendar),
        served_series(here.facts, "app", "week", calendar=calendar),
    )


@pytest.mark.parametrize(
    "calendar",
    [
        local_calendar("America/New_York", "sunday", "4-5-4", 2),
        local_calendar("Asia/Shanghai", fiscal="iso"),
        local_calendar("Asia/Kathmandu", "saturday", year_starts=4),
    ],
    ids=["retail", "iso", "april"],
)
def test_fiscal_periods(engine: Any, ours: Log, calendar: LocalCalendar) -> None:
    assert ours.facts is not None
    there = log_of_events(once(engine.table("events")), source="world", calendar=calendar)
    here = log_of_events(ours.facts, source="world", calendar=calendar)
    for unit in ("month", "quarter", "year"):
        account = growth(there, unit)
        assert account.defects() == []
        alike(account, growth(here, unit))
    alike(retention(there, "month", "rolling"), retention(here, "month", "rolling"))
    alike(
        served_series(there.facts, "app", "month", calendar=calendar),
        served_series(here.facts, "app", "month", calendar=calendar),
    )


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.date32()])
def test_clocks_without_a_zone_are_read_in_the_one_that_is_told(engine: Any, kind: pa.DataType) -> None:
    walls = [
        datetime(2024, 3, 9, 23, 30),
        datetime(2024, 3, 10, 0, 30),
        datetime(2024, 3, 10, 23, 59),
        datetime(2024, 11, 3, 1, 30),
    ]
    rows = pa.table(
        {"user": ["a", "b", "c", "d"], "time": pa.array(walls).cast(pa.timestamp("us")).cast(kind, safe=False)}
    )
    name = f"walls_{kind.bit_width}"
    if engine.name == "clickhouse":
        column = "DateTime64(6)" if kind == pa.timestamp("us") else "Date32"
        engine.con.command(
            f'CREATE TABLE "{name}" ("user" String, "time" {column}) ENGINE = MergeTree ORDER BY tuple()'
        )
        engine.con.insert_arrow(name, rows)
    else:
        engine.create_table(name, rows)
    log = log_of_table(engine.table(name), LogSettings(zone="America/New_York"), source=name)
    assert [(row.period, row.active) for row in growth(log, "day").rows if row.active] == [
        ("2024-03-09", 1),
        ("2024-03-10", 2),
        ("2024-11-03", 1),
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", PERIODS[:3])
def test_retention(ours: Log, theirs: Log, unit: Any, kind: Any) -> None:
    alike(retention(theirs, unit, kind), retention(ours, unit, kind))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("days", [1, 7, None])
def test_funnel(ours: Log, theirs: Log, order: Any, days: float | None) -> None:
    steps = parse_steps("impression > click > conversion", ours)
    found = funnel(theirs, steps, days=days, order=order)
    assert found.users[1] > 0
    alike(found, funnel(ours, steps, days=days, order=order))


def test_habits_and_needs(ours: Log, theirs: Log) -> None:
    way = journey(theirs, "week")
    assert way.viral is not None
    assert way.silence == {}
    alike(way, journey(ours, "week"))
    alike(power(theirs), power(ours))
    alike(stickiness(theirs), stickiness(ours))
    found = needs(theirs)
    assert {need.topic for need in found} == {"delivery", "退款", "price", "(none)"}
    assert any(need.unmet and need.unmet.value > 0 and need.change for need in found)
    alike(found, needs(ours))
    alike(survival(theirs, 21), survival(ours, 21))


def test_usage(engine: Any, ours: Log) -> None:
    assert ours.facts is not None
    mine = usage(ours.facts)
    told = usage(once(engine.table("events")))
    alike(
        (told.events, told.users, told.kinds, told.apps, told.models, told.right),
        (mine.events, mine.users, mine.kinds, mine.apps, mine.models, mine.right),
    )


def test_the_real_purchases(engine: Any, cdnow_tenth: Log) -> None:
    log = log_of_table(engine.table("purchases"), LogSettings(unit="USD"), source=cdnow_tenth.source)
    log = between(log, date(1997, 1, 1), date(1998, 6, 30))
    assert (log.rows, log.users, log.problems) == (cdnow_tenth.rows, 2357, ())
    held, mine = hold_out(log, UNTIL, 39), hold_out(cdnow_tenth, UNTIL, 39)
    alike(held.figures(), mine.figures())
    found = {name: model.parameters for name, model in held.models.items()}
    assert found["BG/NBD"][0] == pytest.approx(0.243, abs=0.001)  # Fader, Hardie and Lee (2005)
    assert found["MBG/NBD"][0] == pytest.approx(0.525, abs=0.001)
    assert found["Pareto/NBD"][3] == pytest.approx(11.669, abs=0.01)
    paid, ours = hold_out_spend(log, UNTIL), hold_out_spend(cdnow_tenth, UNTIL)
    assert paid.error.value == pytest.approx(
        ours.error.value, rel=1e-6
    )  # sums of amounts differ in the last bit, the search in more
    assert paid.model.users == ours.model.users == 946


def test_the_published_retention(engine: Any, shared_data: Path) -> None:
    golden = json.loads((shared_data / "growth" / "posthog-retention-golden.json").read_text(encoding="utf-8"))
    rows = pa.table(
        {
            "user": [event["user"] for event in golden["events"]],
            "time": pa.array([date(2024, 1, 1) + timedelta(days=event["day"]) for event in golden["events"]]).cast(
                pa.timestamp("us", "UTC")
            ),
        }
    )
    stored(engine, "published", rows)
    triangle = retention(log_of_table(engine.table("published"), source="published"), "day", "recurring")
    assert list(triangle.counts.values()) == list(golden["expected"].values())


def test_bad_rows_of_a_table_are_counted_by_reason(engine: Any) -> None:
    day = [date(2024, 1, 1 + number) for number in range(7)]
    rows = pa.table(
        {
            "id": ["1", "1", "2", "3", "4", "", "6", "null", ""],
            "user": ["a", "a", " ", "b", "b", "b", "c", "None", "NULL"],
            "time": pa.array(
                [day[0], day[1], day[2], date(1960, 1, 1), date(2290, 1, 1), day[5], day[6], day[6], day[6]]
            ).cast(pa.timestamp("us", "UTC")),
            "value": pa.array([1.0, 1.0, 1.0, 1.0, 1.0, -1.0, None, 1.0, 1.0]),
        }
    )
    stored(engine, "poor", rows)
    log = log_of_table(engine.table("poor"), source="poor")
    assert (log.rows, log.users, log.first) == (3, 3, day[0])
    assert {(problem.what, problem.rows, problem.kept) for problem in log.problems} == {
        ("the id came before", 1, False),
        ("the user is empty", 1, False),
        ("the time is before 1970", 1, False),
        ("the time lies in the future", 1, False),
        ("the value is negative, as of a refund", 1, True),
        ("the user stands for nobody", 2, False),
    }
    kept = log_of_table(engine.table("poor"), LogSettings(keep_users=("none",)), source="poor")
    assert (kept.users, kept.rows) == (4, 4)


def test_the_command_reads_an_engine(postgres: str, engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    if engine.name != "postgres":
        pytest.skip("ClickHouse in this process belongs to the engine's own connection")
    assert main(["grow", "users", "--lake", postgres, "--by", "app", "--funnel", "impression > click", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["source"] == "postgres table events"
    assert told["defects"] == []
    assert told["funnel"]["steps"][0]["step"] == "impression"
    assert main(["grow", "users", postgres, "--table", "nothing"]) == 2
    said = capsys.readouterr().err
    assert "no such table there: found 'nothing'; allowed events" in said
    assert len(said.strip().splitlines()) == 1


def test_a_file_of_duckdb_is_an_engine_too(tmp_path: Path, world: pa.Table, ours: Log) -> None:
    path = tmp_path / "lake.db"
    with_events = ibis.duckdb.connect(path)
    with_events.create_table("events", world)
    with_events.disconnect()
    log = open_engine(f"duckdb://{path}")
    assert (log.rows, log.users) == (ours.rows, ours.users)
    assert growth(log, "week", by="segment").segments() == ["support", "recommend", "monitor"]


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("mysql://db/shop", SettingError, "unknown kind of engine: found 'mysql'"),
        ("postgres://reader:secret@127.0.0.1:1/shop", InputError, r"postgres://127.0.0.1:1/shop cannot be reached"),
        ("duckdb:///nowhere/at/all.db", InputError, "duckdb:///nowhere/at/all.db cannot be reached"),
    ],
)
def test_what_cannot_be_reached_is_told_without_its_password(
    address: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        open_engine(address)
    assert "secret" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "ibis.backends.postgres", raising=False)
    with pytest.raises(PackageError, match=r"noria\[postgres\]"):
        connect_engine("postgres://db/shop")


@pytest.mark.parametrize(
    ("column", "settings", "message"),
    [
        (pa.array([1, 2]), {}, "the time is no time"),
        (pa.array([date(2024, 1, 1)] * 2).cast(pa.timestamp("us")), {}, "name no time zone.*--zone UTC"),
        (pa.array([date(2024, 1, 1)] * 2).cast(pa.timestamp("us")), {"zone": "Asia/Nowhere"}, "unknown time zone"),
        (pa.array([date(2024, 1, 1)] * 2), {"user": "who"}, "no column for the user"),
    ],
)
def test_tables_that_are_no_log(column: pa.Array, settings: dict[str, str], message: str) -> None:
    table = ibis.duckdb.connect().create_table("t", pa.table({"user": ["a", "b"], "time": column}))
    with pytest.raises(InputError, match=message):
        log_of_table(table, LogSettings.make(**settings), source="t")
