"""A small simulated world of a server's events: every kind, duplicates, late ones, people who talk Chinese or English."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from ibis.util import gen_name

from noria.grow.log.engines import once
from noria.grow.log.lake import SCHEMA
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_events
from noria.lake.event import FACTS

START = datetime(2025, 1, 1, tzinfo=UTC)
APPS = ("support", "recommend", "monitor")
TOPICS = ("delivery", "退款", "price", "")


def events_table(seed: int = 0, users: int = 120, days: int = 150) -> pa.Table:
    """Return simulated events with the columns that analytics read; some ids come twice."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []

    def add(kind: str, user: str, time: datetime, **facts: object) -> str:
        identity = f"{len(rows):08d}"
        rows.append(
            {
                "id": identity,
                "time": time,
                "kind": kind,
                "user": user,
                "tenant": f"t{hash_of(user) % 3}",
                "app": "api",
                "model": "",
                "version": "",
                "units": 1,
                "unit": "items",
                "latency_ms": 10.0,
                "outcome": "ok",
                "segment": "",
                "consent": False,
                "subject": "",
                "value": None,
                **facts,
            }
        )
        return identity

    for number in range(users):
        user, begin = f"u{number:03d}", float(random.uniform(0, days * 0.8))
        at, pace, leaving = begin, float(random.gamma(1.2, 3.0)) + 0.05, float(random.beta(1, 8))
        while at < days:
            time = START + timedelta(days=at)
            topic = TOPICS[int(random.integers(4))]
            app = APPS[int(random.choice(3, p=[0.6, 0.3, 0.1]))]
            outcome = "failed" if random.random() < 0.05 else "ok"
            asked = add(
                "request", user, time, app=app, model=f"m{int(random.integers(2))}", segment=topic, outcome=outcome
            )
            step = time + timedelta(minutes=float(random.exponential(30)))
            if random.random() < 0.2:
                add("feedback", user, step, subject=asked, value=float(random.choice([1.0, -1.0])))
            if random.random() < 0.1:
                add("handover", user, step, subject=asked)
            if random.random() < 0.5:
                add("impression", user, step, subject="item", app="recommend")
                if random.random() < 0.4:
                    add(
                        "click",
                        user,
                        step + timedelta(hours=float(random.exponential(20))),
                        subject="item",
                        app="recommend",
                    )
                    if random.random() < 0.4:
                        later = step + timedelta(hours=float(random.exponential(60)))
                        add("conversion", user, later, app="recommend", value=round(float(random.gamma(2, 20)) + 1, 2))
            if random.random() < 0.02:
                add("conversion", user, step, segment="referral")
            if random.random() < leaving:
                break
            at += float(random.exponential(pace))
    add("request", "", START + timedelta(days=1))  # someone unnamed
    kept = [row for row in rows if row["time"] < START + timedelta(days=days)]  # type: ignore[operator]
    kept += kept[:: max(len(kept) // 20, 1)]  # the same events once more
    return pa.Table.from_pylist(kept, schema=SCHEMA).select(list(FACTS))


def world_log(connection: Any) -> Log:
    """Return the log of these events in an engine that takes Arrow, each event once."""
    return log_of_events(once(connection.create_table(gen_name("world"), events_table(), temp=True)), source="world")


def hash_of(name: str) -> int:
    """Return a number that only the name decides."""
    return sum(ord(letter) * (place + 1) for place, letter in enumerate(name))
