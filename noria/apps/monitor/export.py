"""What the monitor knows, as files for other programs: windows, alerts, stories and texts as CSV or Parquet, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa
from starlette.responses import StreamingResponse

from noria.lake.tables import KINDS, Row, pieces
from noria.lake.texts import KeptText

from .stories import Story

_MOMENT, _TEXT, _COUNT, _NUMBER = pa.timestamp("us", "UTC"), pa.string(), pa.int64(), pa.float64()
TABLES: dict[str, tuple[str, pa.Schema]] = {
    "windows": (
        "start",
        pa.schema(
            {
                "start": _MOMENT,
                "of": _TEXT,
                "name": _TEXT,
                "texts": _COUNT,
                "negatives": _COUNT,
                "reposts": _COUNT,
                "surge": pa.bool_(),
            }
        ),
    ),
    "alerts": (
        "start",
        pa.schema(
            dict.fromkeys(("id", "kind", "of", "topic"), _TEXT)
            | dict.fromkeys(("start", "end"), _MOMENT)
            | dict.fromkeys(("found", "expected", "low", "high", "p", "a_week", "history_hours"), _NUMBER)
            | dict.fromkeys(("negative", "total", "reposts"), _COUNT)
            | dict.fromkeys(("verdict", "by"), _TEXT)
        ),
    ),
    "stories": (
        "last",
        pa.schema(
            {"id": _TEXT, "time": _MOMENT, "last": _MOMENT, "texts": _COUNT, "authors": _COUNT}
            | dict.fromkeys(("sources", "source", "author", "link", "text"), _TEXT)
        ),
    ),
    "texts": (
        "time",
        pa.schema(
            {"id": _TEXT, "time": _MOMENT}
            | dict.fromkeys(("source", "author", "topic", "label"), _TEXT)
            | {"score": _NUMBER}
            | dict.fromkeys(("story", "link", "entities", "text"), _TEXT)
        ),
    ),
}
"""What can be taken away: its time, and its columns."""


def sent(what: str, format: Literal["csv", "parquet"], rows: Iterator[list[Row]]) -> StreamingResponse:
    """Return a table as the answer to a request, which goes out while it is made.

    Args:
        what: one of `TABLES`.
        format: how it is written.
        rows: some at a time.
    """
    headers = {"content-disposition": f'attachment; filename="{what}.{format}"'}
    return StreamingResponse(pieces(format, TABLES[what][1], rows), media_type=KINDS[format], headers=headers)


def text_row(text: KeptText) -> Row:
    """Return a kept text as a row."""
    return {**vars(text), "entities": "; ".join(text.entities)}


def window_rows(window: Mapping[str, Any]) -> Iterator[Row]:
    """Yield a row for every topic and name of a closed window."""
    start = datetime.fromisoformat(window["start"])
    for of, part in (("topic", "counts"), ("entity", "entities"), ("aspect", "aspects")):
        for name, one in window.get(part, {}).items():
            told = {"texts": one["total"], "negatives": one["negative"], "reposts": one.get("reposts", 0)}
            yield {"start": start, "of": of, "name": name, **told, "surge": bool(one.get("surge"))}


def alert_row(alert: Mapping[str, Any]) -> Row:
    """Return an alert as a row, without its texts."""
    row = {name: alert.get(name) for name in TABLES["alerts"][1].names}
    return row | {name: datetime.fromisoformat(alert[name]) for name in ("start", "end")}


def story_row(story: Story) -> Row:
    """Return a story as a row, with its first text."""
    row: Row = {name: story.first.get(name, "") for name in ("source", "author", "link", "text")}
    row |= {"id": story.id, "texts": story.texts, "authors": len(story.authors), "sources": "; ".join(story.sources)}
    return row | {"time": datetime.fromisoformat(story.first["time"]), "last": datetime.fromisoformat(story.last)}
