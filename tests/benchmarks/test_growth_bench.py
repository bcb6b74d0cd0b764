"""The growth benchmark compares like with like: all who take part count the same users in the same simulated events."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.growth import CHECKS, by_hand, noria, pandas
from benchmarks.growth_data import KINDS, write


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("events") / "events.parquet"
    write(path, 20_000)
    return path


def test_the_events_are_skewed_and_the_same_every_time(events: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.parquet"
    write(again, 20_000)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(events.read_bytes()).digest()
    table = pq.read_table(events)
    assert set(table["kind"].unique().to_pylist()) == set(KINDS)
    acts = sorted((row["counts"] for row in table["user"].value_counts().to_pylist()), reverse=True)
    assert len(acts) > 300
    assert sum(acts[: len(acts) // 10]) > 0.2 * table.num_rows


def test_everyone_counts_the_same(events: Path) -> None:
    ours = noria(str(events))
    assert list(ours) == list(CHECKS)
    assert ours["reached3"] > 0
    assert ours["resurrected"] > 0
    for theirs in (
        by_hand(str(events), once=False),
        by_hand(str(events), once=True),
        pandas(str(events), codes=True),
        pandas(str(events), codes=False),
    ):
        assert theirs == ours
