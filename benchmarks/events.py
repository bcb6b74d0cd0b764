"""Events: how many are made durable a second, batched or each waited for; sealing in bounded memory; what metering costs.

Stored is measured with everything that storing takes: pseudonyms, ids, checks, the commit on the disk. The peer is what one
would write by hand with Python's sqlite3 and the same promise, `synchronous=FULL`: one transaction a batch, or a request.
Sealing moves a whole day out of an outbox into Parquet, checks ids against the lake, deletes what it moved; the child's
peak memory is told by the kernel. Metering is the real server on MiniLM, loaded by another process, beside the same server
whose events are thrown away.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from noria.lake.event import COLUMNS, OUTBOX_DDL, Event, new_id

from . import child
from .line import Line, compare

CLIENTS = 64
BATCH = 256
THREADS = 4
FACTS: dict[str, Any] = {
    "tenant": "5f0c2a91b7d3e644",
    "app": "support",
    "model": "sentiment",
    "version": "0123456789ab",
    "units": 3,
    "latency_ms": 1.234,
    "segment": "zh",
}
MIB_WANTED, STORED_WANTED, WAITED_WANTED = 1024.0, 30_000.0, 5_000.0
BY_HAND = "sqlite3 by hand, a transaction a {}, synchronous=FULL"


def measure(*, quick: bool) -> list[Line]:
    """Return the lines; quick stores for 3 seconds 3 times, seals 300,000 events and loads the server for 5 seconds."""
    repeats, seconds, events = (3, 3.0, 300_000) if quick else (5, 10.0, 10_000_000)
    # First: a child's peak is told as no less than what this process holds when it starts one, and lines load torch.
    sealed = _sealing(events, 1 if events > 1_000_000 else repeats)
    found: dict[str, list[float]] = {}
    for number in range(repeats):
        for name in ("batched", "batched-by-hand", "waited", "waited-by-hand"):
            told = child.run("benchmarks.events", name, str(seconds))
            found.setdefault(name, []).append(told["rate"])
            print(f"events {number + 1}/{repeats}: {name}: {told['rate']:,.0f} events/s", file=sys.stderr)
    lines = [
        _line("stored, batches of 256", found["batched"], found["batched-by-hand"], BY_HAND.format("batch")),
        _line("stored, batches of 256", found["batched"], [STORED_WANTED] * repeats, "wanted: at least"),
        _line("stored, 64 clients that wait", found["waited"], found["waited-by-hand"], BY_HAND.format("request")),
        _line("stored, 64 clients that wait", found["waited"], [WAITED_WANTED] * repeats, "wanted: at least"),
    ]
    return [*lines, *_sealed(events, sealed), *_metering(quick=quick)]


def _line(words: str, noria: Sequence[float], peer: Sequence[float], name: str) -> Line:
    return compare("events", words, noria, peer, name, "events/s")


def _sealing(events: int, repeats: int) -> list[dict[str, float]]:
    told = []
    for number in range(repeats):
        with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
            child.run("benchmarks.events", "fill", str(events), folder)
            told.append(child.run("benchmarks.events", "seal", folder))
        print(f"events {number + 1}/{repeats}: sealed {events:,}: {told[-1]}", file=sys.stderr)
    return told


def _sealed(events: int, told: Sequence[dict[str, float]]) -> list[Line]:
    memory, rates = [one["megabytes"] for one in told], [one["rate"] for one in told]
    words = f"sealing {events:,} events"
    return [
        compare(
            "events",
            f"{words}, peak memory",
            memory,
            [MIB_WANTED] * len(told),
            "wanted: at most",
            "MiB",
            higher_is_better=False,
        ),
        _line(words, rates, [STORED_WANTED] * len(told), "wanted: as fast as they are stored"),
    ]


def _metering(*, quick: bool) -> list[Line]:
    from noria.make.models.bundled import minilm

    from .served import make_classifier

    servers, pairs, seconds = (2, 4, 1.0) if quick else (5, 6, 2.0)
    rates: dict[str, list[float]] = {"kept": [], "thrown": []}
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        model = make_classifier(Path(folder) / "model", minilm(Path(folder) / "minilm"))
        for number in range(servers):
            told = child.run("benchmarks.events", "metered", str(model), str(pairs), str(seconds))
            for how, found in rates.items():
                found += [told[f"{how} {pair}"] for pair in range(pairs)]
            print(f"events {number + 1}/{servers}: metered, requests/s: {told}", file=sys.stderr)
    peer = "the same server, its events thrown away"
    return [compare("events", "requests served, 32 clients", rates["kept"], rates["thrown"], peer, "requests/s")]


def batched(seconds: float) -> dict[str, float]:
    """Store batches of events from several threads."""
    from noria.lake.outbox import Outbox, reconcile
    from noria.server.meter import Meter

    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        with Outbox(folder) as outbox:
            meter = Meter(outbox, b"s" * 32)

            def store(name: str) -> int:
                outbox.append([meter.event("request", user=name, **FACTS) for _ in range(BATCH)])
                return BATCH

            rate = _from_threads(store, THREADS, seconds)
        if not reconcile(folder).exact:
            raise RuntimeError("the books do not balance")
    return {"rate": rate}


def waited(seconds: float) -> dict[str, float]:
    """Store single events of clients that each wait for their commit, as requests of a server do."""
    from noria.lake.outbox import Outbox, reconcile
    from noria.server.meter import Meter

    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        with Outbox(folder) as outbox:
            meter, counts = Meter(outbox, b"s" * 32), [0] * CLIENTS

            async def client(place: int, end: float) -> None:
                while time.perf_counter() < end:
                    await meter.record(meter.event("request", user=f"user {place}", **FACTS))
                    counts[place] += 1

            async def clients() -> float:
                begun = time.perf_counter()
                await asyncio.gather(*(client(place, begun + seconds) for place in range(CLIENTS)))
                return sum(counts) / (time.perf_counter() - begun)

            rate = asyncio.run(clients())
        books = reconcile(folder)
        if not books.exact or books.acknowledged != sum(counts):
            raise RuntimeError("the books do not balance")
    return {"rate": rate}


def by_hand(seconds: float, size: int, threads: int) -> dict[str, float]:
    """Store events as one writes it with sqlite3: a lock round one connection, a transaction for every `size`."""
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        base = sqlite3.connect(Path(folder) / "events.sqlite", isolation_level=None, check_same_thread=False)
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        base.execute(OUTBOX_DDL)
        statement = _insert()
        lock = threading.Lock()

        def store(name: str) -> int:
            rows = [Event(new_id(), datetime.now(UTC), "request", name, **FACTS).row() for _ in range(size)]
            with lock:
                base.execute("BEGIN IMMEDIATE")
                base.executemany(statement, rows)
                base.execute("COMMIT")
            return size

        rate = _from_threads(store, threads, seconds)
        base.close()
    return {"rate": rate}


def _from_threads(store: Callable[[str], int], threads: int, seconds: float) -> float:
    counts, begun = [0] * threads, time.perf_counter()

    def one(place: int) -> None:
        while time.perf_counter() - begun < seconds:
            counts[place] += store(f"user {place}")

    running = [threading.Thread(target=one, args=(place,)) for place in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun)


def fill(events: int, lake: Path) -> dict[str, float]:
    """Fill an outbox with a day's events; not timed, so in transactions as large as they like."""
    from noria.lake.outbox import Outbox
    from noria.lake.store import connect, transaction

    with Outbox(lake) as outbox:
        path = outbox.path
    day = datetime(2026, 3, 1, tzinfo=UTC)
    base, statement = connect(path), _insert()
    for start in range(0, events, 100_000):
        count = min(100_000, events - start)
        times = (day + timedelta(seconds=86_399 * (start + place) / events) for place in range(count))
        rows = [
            Event(new_id(time.timestamp), time, "request", f"{place % 50_021:016x}", **FACTS).row()
            for place, time in enumerate(times)
        ]
        with transaction(base):
            base.executemany(statement, rows)
    base.close()
    return {"events": float(events)}


def seal(lake: Path) -> dict[str, float]:
    """Seal everything in an outbox."""
    from noria.lake.read import sealed_files
    from noria.lake.seal import seal_all

    begun = time.perf_counter()
    seal_all(lake, datetime(2026, 3, 2, tzinfo=UTC))
    seconds = time.perf_counter() - begun
    import pyarrow.parquet as pq

    rows = sum(pq.read_metadata(path).num_rows for path in sealed_files(lake))
    return {"rate": rows / seconds, "events": float(rows), "seconds": seconds}


def metered(model: Path, pairs: int, seconds: float) -> dict[str, float]:
    """Serve a model and load it from another process, in turns with its events kept and thrown away.

    Both turns of a pair are one server's and follow each other: a machine's speed drifts by more than what is looked for.
    """
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    found: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(prefix="noria-bench-") as folder,
        serving(ServerSettings(port=0, lake=Path(folder), threads=1), [model]) as server,
    ):
        meter = server.state.meter
        ways = {"kept": meter.record, "thrown": _nothing}
        child.run("benchmarks.events", "load", server.url, server.key, "1.0")  # warm
        for number in range(pairs):
            for how in sorted(ways, reverse=bool(number % 2)):
                meter.record = ways[how]  # type: ignore[method-assign]
                told = child.run("benchmarks.events", "load", server.url, server.key, str(seconds))
                found[f"{how} {number}"] = told["rate"]
    return found


async def _nothing(*events: Event) -> None:
    """Keep no event."""


def load(url: str, key: str, seconds: float) -> dict[str, float]:
    """Ask a server to classify."""
    from .asking import ask
    from .served import TEXTS

    asked = ask(url, key, {"input": TEXTS[0], "user": "anna"}, clients=32, seconds=seconds)
    if set(asked.statuses) != {200}:
        raise RuntimeError(f"not every answer was 200: {dict(asked.statuses)}")
    return {"rate": asked.rate}


def _insert() -> str:
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    return f"INSERT OR IGNORE INTO events ({names}) VALUES ({', '.join('?' * len(COLUMNS))})"


def _main(name: str, *arguments: str) -> dict[str, float]:
    if name in ("batched", "waited"):
        return (batched if name == "batched" else waited)(float(arguments[0]))
    if name.endswith("-by-hand"):
        alone = name.startswith("waited")
        return by_hand(float(arguments[0]), 1 if alone else BATCH, CLIENTS if alone else THREADS)
    if name == "fill":
        return fill(int(arguments[0]), Path(arguments[1]))
    if name == "seal":
        return seal(Path(arguments[0]))
    if name == "metered":
        return metered(Path(arguments[0]), int(arguments[1]), float(arguments[2]))
    return load(arguments[0], arguments[1], float(arguments[2]))


if __name__ == "__main__":
    print(json.dumps(_main(*sys.argv[1:])))
