"""What a removal would take, counted and left alone.

    receipt = would_erase("runs/lake", pseudonym("小王", secret))       # from_outboxes, from_lake, turns, ... and nothing was touched

The server may go on running: what comes meanwhile may or may not be counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from noria.core.messages import Message, message

from .conversation import conversation_files
from .erase import Changed, Receipt, events_of_user
from .event import EPOCH, from_microseconds, microseconds
from .read import check_lake, outboxes, read_outbox, read_sealed, sealed_files
from .seal import border_of
from .texts import FILE


@dataclass
class Preview(Receipt):
    """The receipt that a removal would give."""

    id: str = ""
    dry_run: bool = True

    def text(self) -> Message:
        """Return on one line what would be removed."""
        return message(
            "lake.would_remove",
            events=self.from_outboxes + self.from_lake,
            outboxes=self.from_outboxes,
            sealed=self.from_lake,
            files=len(self.files),
            texts=self.texts,
            turns=self.turns,
            watched=self.watched,
        )


def would_erase(lake: str | Path, user: str) -> Preview:
    """Return what `erase_user` would remove.

    Raises:
        InputError: there is no lake, or one of its files cannot be read.
    """
    lake = check_lake(lake)
    mine, about = events_of_user(lake, user)
    wanted = pa.array(sorted(mine | about), pa.string())
    found = Preview("user", user, about=len(about))
    found.from_outboxes = sum(_taken(batch, wanted) for path in outboxes(lake) for batch in read_outbox(path, ("id",)))
    for path in sealed_files(lake):
        _add(found, lake, path, sum(_taken(batch, wanted) for batch in read_sealed(path, ("id",))))
    _count_kept(found, lake, user, EPOCH)
    return found


def would_keep(lake: str | Path, *, days: int | None = None, text_days: int | None = None) -> Preview:
    """Return what `keep_days` would remove.

    Raises:
        InputError: there is no lake, or one of its files cannot be read.
    """
    lake, now = check_lake(lake), datetime.now(UTC)
    found = Preview("retention", settings={"days": days, "text_days": text_days})
    midnight = from_microseconds(border_of(now))
    oldest = midnight - timedelta(days=days) if days is not None else EPOCH
    oldest_text = midnight - timedelta(days=text_days) if text_days is not None else EPOCH
    columns = ("time", "text")
    for path in outboxes(lake):
        events, texts = _older(read_outbox(path, columns), oldest, oldest_text)
        found.from_outboxes += events
        found.texts += texts
    for path in sealed_files(lake):
        events, texts = _older(read_sealed(path, columns), oldest, oldest_text)
        found.texts += texts
        _add(found, lake, path, events)
    _count_kept(found, lake, "", max(oldest, oldest_text))
    return found


def _taken(batch: pa.RecordBatch, wanted: pa.Array) -> int:
    return pc.sum(pc.is_in(batch["id"], wanted)).as_py() or 0


def _older(batches: Iterable[pa.RecordBatch], oldest: datetime, oldest_text: datetime) -> tuple[int, int]:
    """Return how many events are older than the one, and how many texts of the others than the other."""
    events = texts = 0
    for batch in batches:
        gone = pc.less(batch["time"], pa.scalar(oldest, batch["time"].type))
        silent = pc.and_(
            pc.less(batch["time"], pa.scalar(oldest_text, batch["time"].type)), pc.not_equal(batch["text"], "")
        )
        events += pc.sum(gone).as_py() or 0
        texts += pc.sum(pc.and_(silent, pc.invert(gone))).as_py() or 0
    return events, texts


def _add(found: Preview, lake: Path, path: Path, events: int) -> None:
    if events:
        found.from_lake += events
        found.files.append(Changed(str(path.relative_to(lake)), "", "", events))


def _count_kept(found: Preview, lake: Path, user: str, before: datetime) -> None:
    """Count the turns of conversations, and the texts that a watch kept, of a user or from before a time."""
    place = (user, microseconds(before))
    whose = "SELECT id FROM conversations WHERE (user = ? AND user != '') OR updated < ?"
    found.turns = sum(
        _counts(conversation_files(lake), f"SELECT count(*) FROM turns WHERE conversation IN ({whose})", place)
    )
    mine = "SELECT count(*) FROM texts WHERE (author = ? AND author != '') OR seen < ?"
    found.watched = sum(_counts(sorted((lake / "apps").rglob(FILE)), mine, place))


def _counts(paths: Iterable[Path], query: str, place: tuple[str, int]) -> Iterator[int]:
    for path in paths:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            yield connection.execute(query, place).fetchone()[0]
