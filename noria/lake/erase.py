"""What is removed on purpose: one user's events on request, days past their retention, texts sooner. Each with a receipt.

    receipt = erase_user("runs/lake", pseudonym("小王", secret))
    receipt = keep_days("runs/lake", days=365, text_days=90)

Outboxes and sealed files alike. Books go on balancing: what is removed from a sealed file is noted in `removed.json` before
the file is replaced, and counted after; a kill in between is told by how many events the file holds.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from noria.core.errors import plain_errors
from noria.core.folder import sha256_file, sync, write_json

from .conversation import forget
from .event import OUTBOX_TABLE, SCHEMA, from_microseconds, new_id
from .read import check_lake, outboxes, read_outbox, read_sealed, sealed_files, version_of
from .seal import DAY_US, border_of, finish, seal_all, write_events
from .store import connect, locked, locked_outbox, prepare, storage, transaction
from .texts import forget_texts

LEDGER = "removed.json"
_NUMBER = re.compile(r"[0-9a-f-]{36}")
_AT_ONCE = 500
"""Ids that one statement deletes."""


@dataclass(frozen=True)
class Changed:
    """One sealed file that was replaced or removed."""

    file: str
    """Its place below the lake."""
    before: str
    """SHA-256 of what it was."""
    after: str
    """SHA-256 of what it is; empty where nothing was left."""
    removed: int
    """Events taken out of it."""


@dataclass
class Receipt:
    """What was removed, when and why; kept below `receipts/` in the lake."""

    what: str
    """user or retention."""
    user: str = ""
    """Pseudonym of the user whose data was removed."""
    settings: dict[str, Any] = field(default_factory=dict)
    time: str = ""
    """UTC, ISO 8601."""
    from_outboxes: int = 0
    """Events removed from outboxes."""
    from_lake: int = 0
    """Events removed from sealed files."""
    about: int = 0
    """Of both: events of others about the user's own, such as feedback on an answer the user got."""
    texts: int = 0
    """Texts removed from events that stay."""
    turns: int = 0
    """Turns of conversations removed."""
    watched: int = 0
    """Texts removed that a watch kept to be searched."""
    files: list[Changed] = field(default_factory=list)
    id: str = field(default_factory=new_id)

    def text(self) -> str:
        """Return the receipt on one line."""
        whom = f"user {self.user}" if self.what == "user" else "retention"
        return (
            f"{whom}: {self.from_outboxes + self.from_lake:,} events removed ({self.from_outboxes:,} from outboxes, "
            f"{self.from_lake:,} from {len(self.files):,} sealed files), {self.texts:,} texts, {self.turns:,} turns of "
            f"conversations, {self.watched:,} watched texts; receipt {self.id}"
        )


def erase_user(lake: str | Path, user: str) -> Receipt:
    """Remove every event of a user, and those of others about them, from outboxes and sealed files, and the user's conversations and watched texts.

    Args:
        lake: the lake's folder; its server may go on running.
        user: the user's pseudonym, as `noria.lake.event.pseudonym` makes it.

    Raises:
        InputError: there is no lake, or one of its files cannot be read.
        ResourceError: the disk is full; the same call goes on.
    """
    receipt = Receipt("user", user)
    with _locked_lake(check_lake(lake)) as lake:
        mine, about = events_of_user(lake, user)
        receipt.about = len(about)
        gone = mine | about
        for path in outboxes(lake):
            receipt.from_outboxes += _delete(path, gone)
        wanted = pa.array(sorted(gone), pa.string())
        for path in sealed_files(lake) if gone else ():
            _replace(lake, path, receipt, lambda batch: batch.filter(pc.invert(pc.is_in(batch["id"], wanted))))
        receipt.turns = forget(lake, user=user)
        receipt.watched = forget_texts(lake, user=user)
        return _kept(lake, receipt)


def keep_days(
    lake: str | Path, *, days: int | None = None, text_days: int | None = None, now: datetime | None = None
) -> Receipt:
    """Remove events older than `days` whole UTC days, and texts and conversations older than `text_days`.

    Args:
        lake: the lake's folder; its server may go on running.
        days: how long events are kept; None keeps them.
        text_days: how long what users said is kept in them; None keeps it.
        now: UTC; the present by default.

    Raises:
        InputError: there is no lake, or one of its files cannot be read.
        ResourceError: the disk is full; the same call goes on.
    """
    now = now or datetime.now(UTC)
    receipt = Receipt("retention", settings={"days": days, "text_days": text_days})
    lake = check_lake(lake)
    seal_all(lake, now)
    with _locked_lake(lake):
        for path in sealed_files(lake):
            day = datetime.fromisoformat(path.parent.name.removeprefix("day=")).replace(tzinfo=UTC)
            age = (border_of(now) - border_of(day)) // DAY_US
            if days is not None and age > days:
                _replace(lake, path, receipt, lambda batch: batch.slice(0, 0))
            elif text_days is not None and age > text_days:
                _silence(path, receipt, lake)
        told = [most for most in (days, text_days) if most is not None]
        if told:  # a conversation is hardly more than its texts
            midnight = from_microseconds(border_of(now))
            border = midnight - timedelta(days=min(told))
            receipt.turns, receipt.watched = forget(lake, before=border), forget_texts(lake, before=border)
        return _kept(lake, receipt)


def migrate(lake: str | Path) -> int:
    """Bring outboxes and sealed files up to the present schema; return how many sealed files were written anew.

    Older ones are read without it; this saves reading them as old for ever.

    Raises:
        InputError: there is no lake, or a newer Noria wrote one of its files.
        ResourceError: the disk is full; the same call goes on.
    """
    lake = check_lake(lake)
    for path in outboxes(lake):
        prepare(path, lake)
    files = 0
    with _locked_lake(lake):
        for path in sealed_files(lake):
            if version_of(pq.read_schema(path)) < SCHEMA:
                write_events(path, read_sealed(path))
                files += 1
    return files


def receipts(lake: str | Path, most: int = 100) -> list[Receipt]:
    """Return the last receipts, newest first: their ids sort by time."""
    names = sorted((path.stem for path in (Path(lake) / "receipts").glob("*.json")), reverse=True)
    return [one for one in (receipt(lake, name) for name in names[:most]) if one]


def receipt(lake: str | Path, number: str) -> Receipt | None:
    """Return a receipt by its id, None where there is none."""
    path = Path(lake) / "receipts" / f"{number}.json"
    if not _NUMBER.fullmatch(number) or not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    return Receipt(**{**kept, "files": [Changed(**one) for one in kept["files"]]})


def removed_from_lake(lake: Path) -> int:
    """Return how many events were removed from sealed files."""
    ledger = _ledger(lake)
    return int(ledger["removed"]) + _half_done(lake, ledger)


@contextmanager
def _locked_lake(lake: Path) -> Iterator[Path]:
    """Let nothing else move or remove events meanwhile; what was cut short before is finished first."""
    with storage(), plain_errors(), ExitStack() as stack:
        stack.enter_context(locked(lake / ".removed.lock"))
        for path in outboxes(lake):
            stack.enter_context(locked_outbox(path))
            prepare(path, lake)
            with closing(connect(path)) as connection:
                finish(connection, lake)
        ledger = _ledger(lake)
        if ledger["doing"]:
            _note(lake, ledger["removed"] + _half_done(lake, ledger))
        yield lake


def events_of_user(lake: Path, user: str) -> tuple[set[str], set[str]]:
    """Return the ids of a user's events, and of those of others about them."""
    columns = ("id", "user", "subject")

    def batches() -> Iterator[pa.RecordBatch]:
        for path in outboxes(lake):
            yield from read_outbox(path, columns)
        for path in sealed_files(lake):
            yield from read_sealed(path, columns)

    mine: set[str] = set()
    for batch in batches():
        mine.update(batch.filter(pc.equal(batch["user"], user))["id"].to_pylist())
    wanted = pa.array(sorted(mine), pa.string())
    about: set[str] = set()
    for batch in batches() if mine else ():
        about.update(batch.filter(pc.is_in(batch["subject"], wanted))["id"].to_pylist())
    return mine, about - mine


def _delete(path: Path, ids: set[str]) -> int:
    """Delete events from an outbox and from its log on the disk; return how many there were."""
    rows = 0
    listed = sorted(ids)
    with closing(connect(path)) as connection:
        for start in range(0, len(listed), _AT_ONCE):
            some = listed[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            with transaction(connection):
                found = connection.execute(f"DELETE FROM {OUTBOX_TABLE} WHERE id IN ({marks})", some).rowcount
                connection.execute("UPDATE counters SET value = value + ? WHERE name = 'removed'", (found,))
            rows += found
        _forget_log(connection)
    return rows


def _forget_log(connection: sqlite3.Connection) -> None:
    # The write-ahead log still holds the pages as they were.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _replace(lake: Path, path: Path, receipt: Receipt, keep: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
    """Write a sealed file anew with what `keep` leaves of it; where that is all, leave it alone; where none, remove it."""
    before = pq.read_metadata(path).num_rows
    after = sum(keep(batch).num_rows for batch in read_sealed(path))
    if after == before:
        return
    ledger = _ledger(lake)
    old = sha256_file(path)
    name = str(path.relative_to(lake))
    _note(lake, ledger["removed"], {"file": name, "before": before, "after": after})
    if after:
        write_events(path, (keep(batch) for batch in read_sealed(path)))
    else:
        path.unlink()
        sync(path.parent)
    _note(lake, ledger["removed"] + before - after)
    receipt.files.append(Changed(name, old, sha256_file(path) if after else "", before - after))
    receipt.from_lake += before - after


def _silence(path: Path, receipt: Receipt, lake: Path) -> None:
    """Write a sealed file anew without its texts, if it has any."""
    texts = sum(pc.sum(pc.not_equal(batch["text"], "")).as_py() or 0 for batch in read_sealed(path, ("text",)))
    if not texts:
        return
    old = sha256_file(path)
    write_events(path, (_without_text(batch) for batch in read_sealed(path)))
    receipt.files.append(Changed(str(path.relative_to(lake)), old, sha256_file(path), 0))
    receipt.texts += texts


def _without_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = [pa.repeat("", batch.num_rows) if name == "text" else batch[name] for name in batch.schema.names]
    return pa.record_batch(arrays, schema=batch.schema)


def _ledger(lake: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((lake / LEDGER).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {"removed": 0, "doing": None}


def _note(lake: Path, removed: int, doing: dict[str, Any] | None = None) -> None:
    write_json(lake / LEDGER, {"removed": removed, "doing": doing})


def _half_done(lake: Path, ledger: dict[str, Any]) -> int:
    """Return the events that a removal cut short took out of its file and did not count."""
    doing = ledger["doing"]
    if not doing:
        return 0
    path = lake / doing["file"]
    rows = pq.read_metadata(path).num_rows if path.exists() else 0
    return int(doing["before"] - doing["after"]) if rows == doing["after"] else 0


def _kept(lake: Path, receipt: Receipt) -> Receipt:
    # What applications keep of users is made anew from what the lake still holds.
    for snapshot in (lake / "apps").glob("*/*.snapshot"):
        snapshot.unlink(missing_ok=True)
    receipt.time = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(lake / "receipts" / f"{receipt.id}.json", asdict(receipt))
    return receipt
