"""A lake made of given events."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from noria.lake.event import COLUMNS, OUTBOX_DDL, Event, new_id, outbox_file


@pytest.fixture
def lake_of(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    """Return a function that writes events, a minute apart, into a new lake's outbox."""

    def make(rows: list[dict[str, Any]]) -> Path:
        lake = tmp_path / "lake"
        file = outbox_file(lake)
        file.parent.mkdir(parents=True)
        start = datetime(2026, 3, 1, tzinfo=UTC)
        connection = sqlite3.connect(file)
        connection.execute(OUTBOX_DDL)
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        marks = ", ".join("?" for _ in COLUMNS)
        for number, row in enumerate(rows):
            event = Event(**{"id": new_id(), "time": start + timedelta(minutes=number), **row})
            connection.execute(f"INSERT INTO events ({names}) VALUES ({marks})", event.row())
        connection.commit()
        connection.close()
        return lake

    return make
