"""An engine beside this process: a table of events or acts in PostgreSQL, ClickHouse or DuckDB, named by its address.

    log = open_engine("postgres://reader@db.example/shop", LogSettings(table="events"))

The analytics are the same for every engine; only what reads a file needs DuckDB. Nothing is written but temporary tables, which
go with the session. Addresses: postgres://user:password@host:port/database, clickhouse://host:port/database,
chdb://memory or chdb:///folder (ClickHouse inside this process), duckdb:///file.db. A password may stand in the environment
instead (PGPASSWORD, and CLICKHOUSE_PASSWORD).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import ParseResult, parse_qsl, unquote, urlparse

import ibis

from noria.core.errors import InputError, PackageError, SettingError
from noria.core.messages import message
from noria.grow.settings import LogSettings
from noria.lake.event import FACTS

from .acts import log_of_table
from .log import Log
from .read import log_of_events
from .times import utc

_UTC = "UTC"


def is_engine(address: str) -> bool:
    """Return whether an address names an engine rather than a file or a folder."""
    return "://" in address


def connect_engine(address: str) -> Any:
    """Return the ibis backend behind an address, its session in UTC.

    Raises:
        SettingError: no such kind of engine.
        PackageError: the package that speaks to it is missing.
        InputError: it cannot be reached, or refuses.
    """
    parts = urlparse(address)
    opener = _OPENERS.get(parts.scheme)
    if opener is None:
        raise SettingError(message("grow.unknown_kind"), found=parts.scheme, allowed=sorted(_OPENERS))
    shown = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    try:
        return opener(parts)
    except ImportError as error:
        raise PackageError(
            message("grow.package_missing", shown=shown),
            found=message("grow.no", name=error.name),
            hint=f"pip install 'noria[{_EXTRAS[parts.scheme]}]'",
        ) from None
    except Exception as error:
        raise InputError(
            message("grow.cannot_reached", shown=shown),
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
        ) from None


def open_engine(address: str, settings: LogSettings | None = None) -> Log:
    """Return the log in a table of an engine: a lake's events where it has their columns, else any table with a user and a time.

    Raises:
        SettingError, PackageError: as `connect_engine`.
        InputError: as `connect_engine`, or no such table, or a table without a user and a time.
    """
    settings = settings or LogSettings()
    backend = connect_engine(address)
    schema, point, name = settings.table.rpartition(".")
    try:
        table = backend.table(name, database=schema if point else None)
    except Exception:
        held = sorted(backend.list_tables())
        backend.disconnect()
        raise InputError(
            message("grow.such_table"),
            found=settings.table,
            allowed=", ".join(held[:20]) or message("grow.engine_holds"),
            hint=message("grow.name_table"),
        ) from None
    source = f"{table.get_backend().name} table {settings.table}"
    if set(FACTS) <= set(table.columns):
        segment = "app" if settings.segment == "segment" else settings.segment
        return log_of_events(once(table), segment=segment, source=source, calendar=settings.calendar())
    return log_of_table(table, settings, source=source)


def once(table: ibis.Table) -> ibis.Table:
    """Return the events of a table, each once by its id, with `time` as UTC without a zone."""
    latest = table.select(*FACTS).mutate(copy=ibis.row_number().over(ibis.window(group_by="id", order_by="time")))
    events = latest.filter(latest.copy == 0).select(*FACTS)
    return events.mutate(time=utc(events.time))


def _postgres(parts: ParseResult) -> Any:
    named: dict[str, Any] = dict(parse_qsl(parts.query))  # as libpq takes them: sslmode, or a socket's folder as host
    named.setdefault("host", parts.hostname)
    backend = ibis.postgres.connect(
        port=parts.port or 5432,
        user=_plain(parts.username),
        password=_plain(parts.password),
        database=parts.path.strip("/") or None,
        **named,
    )
    backend.raw_sql(f"SET TIME ZONE '{_UTC}'").close()
    return backend


def _clickhouse(parts: ParseResult) -> Any:
    return ibis.clickhouse.connect(
        host=parts.hostname or "localhost",
        port=parts.port,
        database=parts.path.strip("/") or "default",
        user=_plain(parts.username) or "default",
        password=_plain(parts.password) or os.environ.get("CLICKHOUSE_PASSWORD", ""),
        secure=parts.port in (443, 8443) or None,
        settings={"session_timezone": _UTC},
    )


def _chdb(parts: ParseResult) -> Any:
    import clickhouse_connect

    client = clickhouse_connect.get_client(dsn=parts.geturl(), settings={"session_timezone": _UTC})
    return ibis.clickhouse.from_connection(client)


def _duckdb(parts: ParseResult) -> Any:
    backend = ibis.duckdb.connect(unquote(parts.path), read_only=True)
    backend.con.execute(f"SET TimeZone = '{_UTC}'; SET enable_progress_bar = false")
    return backend


def _plain(text: str | None) -> str | None:
    return unquote(text) if text else None


_OPENERS: dict[str, Callable[[ParseResult], Any]] = {
    "postgres": _postgres,
    "postgresql": _postgres,
    "clickhouse": _clickhouse,
    "chdb": _chdb,
    "duckdb": _duckdb,
}
_EXTRAS = {
    "postgres": "postgres",
    "postgresql": "postgres",
    "clickhouse": "clickhouse",
    "chdb": "clickhouse",
    "duckdb": "grow",
}
