"""Events as a person looks them up: a page of them, newest first; all that are wanted, each once; and how much each key used.

    found = find("runs/lake", Wanted(kind="feedback"), most=50)
    found = find("runs/lake", Wanted(kind="feedback"), most=50, after=found.next)

Of sealed files only the row groups are read that may hold what is wanted, the newest first: a page of the newest costs the same in a large
lake as in a small one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .event import COLUMNS, EPOCH, Event, from_microseconds, microseconds
from .read import ARROW, check_lake, filled, outboxes, read_outbox, read_sealed, sealed_columns, sealed_files

_TIME = ARROW.field("time").type
_DAY = timedelta(days=1)
_EXACT = ("kind", "user", "tenant", "app", "model", "outcome")
"""Columns that are asked for by what they hold, whole."""


@dataclass(frozen=True)
class Wanted:
    """Which events; what is left empty asks for nothing."""

    since: datetime | None = None
    """UTC; from then on."""
    until: datetime | None = None
    """UTC; before then."""
    kind: str = ""
    user: str = ""
    """A pseudonym."""
    tenant: str = ""
    app: str = ""
    model: str = ""
    outcome: str = ""
    text: str = ""
    """Part of what was said, where that is kept."""

    @property
    def columns(self) -> list[str]:
        """Return the columns that tell whether an event is one of them."""
        return ["id", "time", *(name for name in (*_EXACT, "text") if getattr(self, name))]

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the events of a batch that are wanted."""
        return batch.filter(self.mask(batch))

    def mask(self, batch: pa.RecordBatch) -> Any:
        """Return for every event of a batch whether it is wanted."""
        parts = [pc.equal(batch[name], getattr(self, name)) for name in _EXACT if getattr(self, name)]
        if self.since:
            parts.append(pc.greater_equal(batch["time"], pa.scalar(self.since, _TIME)))
        if self.until:
            parts.append(pc.less(batch["time"], pa.scalar(self.until, _TIME)))
        if self.text:
            written = json.dumps(self.text, ensure_ascii=False)[1:-1]  # as it stands in the event
            parts.append(pc.match_substring(batch["text"], written, ignore_case=True))
        made = parts.pop() if parts else pa.repeat(True, batch.num_rows)
        for part in parts:
            made = pc.and_(made, part)
        return made

    def days(self, lake: Path) -> list[Path]:
        """Return the sealed files whose day may hold any, oldest day first."""
        first = f"day={self.since.astimezone(UTC).date()}" if self.since else ""
        last = f"day={self.until.astimezone(UTC).date()}" if self.until else "day=~"
        return [path for path in sealed_files(lake) if first <= path.parent.name <= last]


@dataclass(frozen=True)
class Found:
    """A page of events."""

    events: list[Event]
    """Newest first."""
    next: str = ""
    """Where the next page begins; empty where there is none."""


def find(lake: str | Path, wanted: Wanted, most: int = 50, after: str = "") -> Found:
    """Return a page of events, newest first.

    Args:
        lake: the lake's folder; its server may go on writing.
        wanted: which.
        most: how many.
        after: `next` of the page before.

    Raises:
        InputError: there is no lake, or one of its files cannot be read.
    """
    lake = check_lake(lake)
    newest = _Newest(most + 1, _place(after))
    for path in outboxes(lake):
        for batch in read_outbox(path):
            newest.take(wanted.of(batch))
    for name, files in groupby(reversed(wanted.days(lake)), key=lambda path: path.parent.name):
        ends = datetime.fromisoformat(name.removeprefix("day=")).replace(tzinfo=UTC) + _DAY
        if newest.oldest >= microseconds(ends):
            break
        for path in files:
            _read_newest(path, wanted, newest)
    kept = newest.rows[:most]
    events = [Event(**row) for row in kept]
    more = len(newest.rows) > most
    return Found(events, f"{microseconds(events[-1].time)}-{events[-1].id}" if more and events else "")


def each(lake: str | Path, wanted: Wanted, columns: Sequence[str] = tuple(COLUMNS)) -> Iterator[pa.RecordBatch]:
    """Yield all events that are wanted, each once, some at a time: those not sealed yet, then day by day.

    Args:
        lake: the lake's folder; its server may go on writing.
        wanted: which.
        columns: what of them.

    Raises:
        InputError: there is no lake, or one of its files cannot be read.
    """
    lake = check_lake(lake)
    needed = list(dict.fromkeys([*columns, *wanted.columns]))
    waiting: list[pa.Array] = []
    for path in outboxes(lake):
        before = _Ids(waiting)
        for batch in read_outbox(path, needed):
            some = before.without(wanted.of(batch))
            waiting.append(some["id"])
            yield some.select(list(columns))
    before = _Ids(waiting)  # what was sealed meanwhile was read already; sealed files hold each event once
    for path in wanted.days(lake):
        for batch in read_sealed(path, needed):
            yield before.without(wanted.of(batch)).select(list(columns))


@dataclass
class Use:
    """What one key used."""

    requests: int = 0
    answered: int = 0
    """Of the requests, those that went well."""
    units: dict[str, int] = field(default_factory=dict)
    """Unit -> how many: tokens, items."""
    last: datetime = EPOCH
    """When it asked last, UTC."""


def uses(lake: str | Path, since: datetime) -> dict[str, Use]:
    """Return what each tenant used since then, from requests alone.

    Raises:
        InputError: there is no lake, or one of its files cannot be read.
    """
    found: dict[str, Use] = {}
    columns = ("id", "time", "tenant", "outcome", "unit", "units")
    for batch in each(lake, Wanted(since=since, kind="request"), columns):
        if not batch.num_rows:
            continue
        grouped = pa.Table.from_batches([batch]).group_by(["tenant", "outcome", "unit"])
        told = grouped.aggregate([("units", "sum"), ("time", "max"), ("id", "count")])
        for row in told.to_pylist():
            one = found.setdefault(row["tenant"], Use())
            one.requests += row["id_count"]
            one.answered += row["id_count"] if row["outcome"] == "ok" else 0
            one.units[row["unit"]] = one.units.get(row["unit"], 0) + row["units_sum"]
            one.last = max(one.last, row["time_max"])
    return found


class _Newest:
    """The newest events of what is handed in, each once."""

    def __init__(self, most: int, before: tuple[int, str] | None) -> None:
        self.rows: list[dict[str, Any]] = []
        self._most, self._before = most, before
        self._ids: set[str] = set()

    @property
    def oldest(self) -> int:
        """Return the time, in microseconds, before which nothing is kept any more; -1 while there is room."""
        return microseconds(self.rows[-1]["time"]) if len(self.rows) >= self._most else -1

    def chosen(self, batch: pa.RecordBatch) -> pa.Array:
        """Return the places in a batch of those that may be kept; it has at least id and time."""
        mask = pc.greater_equal(batch["time"].cast(pa.int64()), self.oldest)
        if self._before:
            stamp, last = self._before
            times = batch["time"].cast(pa.int64())
            earlier = pc.or_(pc.less(times, stamp), pc.and_(pc.equal(times, stamp), pc.less(batch["id"], last)))
            mask = pc.and_(mask, earlier)
        places = pc.indices_nonzero(mask)
        if len(places) <= self._most:
            return places
        order = [("time", "descending"), ("id", "descending")]
        some = pa.Table.from_batches([batch]).select(["time", "id"]).take(places)
        return places.take(pc.select_k_unstable(some, self._most, sort_keys=order))

    def take(self, batch: pa.RecordBatch) -> None:
        """Keep the newest of what there is and a batch, which has all columns."""
        for row in batch.take(self.chosen(batch)).to_pylist():
            if row["id"] not in self._ids:
                self._ids.add(row["id"])
                self.rows.append(row)
        self.rows.sort(key=lambda row: (row["time"], row["id"]), reverse=True)
        del self.rows[self._most :]


def _read_newest(path: Path, wanted: Wanted, newest: _Newest) -> None:
    """Hand in what is wanted of a sealed file, from its newest row group on, until the rest is too old."""
    there = sealed_columns(path)
    few = [name for name in wanted.columns if name in there]
    if "text" in wanted.columns and "text" not in there:
        return
    with pq.ParquetFile(path) as file:
        for latest, number in _groups(file):
            if latest < newest.oldest:
                return
            batch = _group(file, number, few)
            mask = wanted.mask(batch)
            if not pc.any(mask).as_py():
                continue
            places = pc.indices_nonzero(mask)
            places = places.take(newest.chosen(batch.take(places)))
            if len(places):
                newest.take(filled(_group(file, number, there).take(places), tuple(COLUMNS)))


def _groups(file: pq.ParquetFile) -> list[tuple[int, int]]:
    """Return the time of every row group's newest event, in microseconds, and its number, the newest first."""
    column = file.schema_arrow.names.index("time")
    found = []
    for number in range(file.metadata.num_row_groups):
        told = file.metadata.row_group(number).column(column).statistics
        latest = microseconds(told.max) if told is not None and told.has_min_max else 1 << 62
        found.append((latest, number))
    return sorted(found, reverse=True)


def _group(file: pq.ParquetFile, number: int, columns: Sequence[str]) -> pa.RecordBatch:
    table = file.read_row_group(number, list(columns)).combine_chunks()
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema)


class _Ids:
    """Ids that came before."""

    def __init__(self, arrays: Sequence[pa.Array]) -> None:
        self._known = pa.concat_arrays(arrays) if arrays else pa.array([], pa.string())
        bounds = pc.min_max(self._known).as_py()
        self._first, self._last = bounds["min"] or "", bounds["max"] or ""

    def without(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the events of a batch that are none of these. Ids sort by time, so most batches are told by their bounds."""
        if not len(self._known) or not batch.num_rows:
            return batch
        bounds = pc.min_max(batch["id"]).as_py()
        if bounds["max"] < self._first or bounds["min"] > self._last:
            return batch
        return batch.filter(pc.invert(pc.is_in(batch["id"], self._known)))


def _place(after: str) -> tuple[int, str] | None:
    """Return time and id that a page's events come before; one that is none begins anew."""
    time, _, identity = after.partition("-")
    try:
        from_microseconds(int(time))
    except (ValueError, OverflowError):
        return None
    return int(time), identity
