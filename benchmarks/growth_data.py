"""Simulated events for the growth benchmark: skewed, seeded, written as Parquet in row groups of a million.

`python -m benchmarks.growth_data FILE EVENTS` writes them: `user` (16 hexadecimal digits), `time` (UTC, 26 weeks), `kind`. Half of the
acts are those of loyal users, the fewer the more active; half of people who came lately. Nothing here is anyone's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20260101
EVENTS_A_USER = 50
WEEKS = 26
KINDS = ("request", "impression", "click", "conversion")
PARTS = (0.60, 0.24, 0.12, 0.04)
_START = np.datetime64("2026-01-05T00:00:00", "us").astype(np.int64)  # a Monday
_GROUP = 1_000_000


def write(path: Path, events: int) -> None:
    """Write so many simulated events."""
    random = np.random.default_rng(SEED)
    users = max(events // EVENTS_A_USER, 100)
    names = pa.array([f"{number:016x}" for number in random.integers(0, 2**63, users).tolist()])
    span = WEEKS * 7 * 86_400_000_000
    schema = pa.schema([("user", pa.string()), ("time", pa.timestamp("us", "UTC")), ("kind", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for first in range(0, events, _GROUP):
            count = min(_GROUP, events - first)
            # Time goes on through the file as in a lake; whoever has come by then may act.
            part = (first + np.sort(random.random(count)) * count) / events
            there = np.maximum(np.ceil(users * np.minimum(part + 0.05, 1.0)), 1)
            loyal = np.floor(there * random.random(count) ** 3)
            late = np.floor(there - 1 - np.minimum(there, users * 0.2) * random.random(count) ** 2 * 0.999)
            who = np.where(random.random(count) < 0.5, loyal, np.maximum(late, 0)).astype(np.int64)
            kinds = pa.DictionaryArray.from_arrays(
                random.choice(len(KINDS), count, p=PARTS).astype(np.int8), pa.array(KINDS)
            )
            time = pa.array((_START + part * span).astype(np.int64)).cast(pa.timestamp("us", "UTC"))
            file.write_table(
                pa.table([names.take(pa.array(who)), time, kinds.cast(pa.string())], schema=schema),
                row_group_size=_GROUP,
            )


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
    print("{}")
