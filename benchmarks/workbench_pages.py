"""The console's pages beside a full lake, in a real browser: time until each is useful, cold and warm, and what came over the network.

The lake holds a million events of made-up use: sixty days that ended yesterday, 50,000 users (Zipf), three applications and direct calls,
sealed by day. The server has a process of its own, with two small models, texts in the monitor and items in the recommender. Cold is a page's
first visit since the server's start with an empty browser cache; warm the median of the visits after it by the same browser. Useful is a page
that has drawn everything, charts included, and hears a click. Sizes are as sent, those of the first visit.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from .line import Line, compare, single
from .served import Server, make_classifier, make_embedder, served
from .workbench_browser import Visit, browser, signed_in, visit

if TYPE_CHECKING:
    from noria.lake.event import Event

NAME = "workbench"
DAYS, USERS = 60, 50_000
COLD, WARM = 1.5, 0.5
"""Seconds that were wanted at most."""
WEB_KILOBYTES = 2_652.0
WEB = "the web's median page on a desk (HTTP Archive, Web Almanac 2024)"
AT_MOST = "wanted, at most"
TEXTS, REQUEST = 1_024, 256


def measure(*, quick: bool) -> list[Line]:
    """Return the lines; quick has a lake of 100,000 events and two warm visits of each page, else of a million and seven."""
    events, repeats = (100_000, 2) if quick else (1_000_000, 7)
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        root = Path(folder)
        began = time.perf_counter()
        fill(root / "lake", events)
        print(f"workbench: {events:,} events in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        models = make_classifier(root / "sentiment"), make_embedder(root / "vectors")
        texts = _reviews()
        items = root / "items.jsonl"
        rows = ({"id": str(number), "title": text[:24], "text": text} for number, text in enumerate(texts[:200]))
        items.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        file = root / "noria.toml"
        file.write_text(
            '[serve]\napps = ["support", "recommend", "monitor"]\nconsole = "."\n\n[serve.recommend]\nitems = "items.jsonl"\n'
            '\n[serve.monitor]\nmodels = ["sentiment"]\n',
            encoding="utf-8",
        )
        flags = ("--config", str(file), "--threads", "1")
        with served(root / "lake", *models, flags=flags) as server:
            _watched(server, texts[:TEXTS])
            visits = _visits(server, repeats)
    return lines_of(visits, events)


def lines_of(visits: dict[str, list[Visit]], events: int) -> list[Line]:
    """Return the lines of what was seen.

    Args:
        visits: page -> its visits, the cold one first.
        events: how many were in the lake.
    """
    here = f"{events:,} events in the lake"
    lines = []
    for name, (cold, *warm) in visits.items():
        seconds = [one.useful for one in warm]
        lines += [
            single(NAME, f"{name}: useful, cold, {here}", cold.useful, COLD, AT_MOST, "s", higher_is_better=False),
            compare(
                NAME,
                f"{name}: useful, warm, {here}",
                seconds,
                [WARM] * len(seconds),
                AT_MOST,
                "s",
                higher_is_better=False,
            ),
            single(NAME, f"{name}: sent, cold", cold.kilobytes, WEB_KILOBYTES, WEB, "kB", higher_is_better=False),
        ]
    count = len(visits)
    at_first = sum(found[0].useful <= COLD for found in visits.values())
    later = sum(statistics.median(one.useful for one in found[1:]) <= WARM for found in visits.values())
    slowest = max(visits, key=lambda name: visits[name][0].seen)
    seen = visits[slowest][0].seen
    return [
        *lines,
        single(
            NAME, f"pages useful within {COLD} s, cold, {here}", at_first / count, 1.0, "wanted: all", "share", count
        ),
        single(NAME, f"pages useful within {WARM} s, warm, {here}", later / count, 1.0, "wanted: all", "share", count),
        single(
            NAME,
            f"first sight, cold, of the slowest page ({slowest})",
            seen,
            COLD,
            AT_MOST,
            "s",
            higher_is_better=False,
        ),
    ]


def _visits(server: Server, repeats: int) -> dict[str, list[Visit]]:
    """Return every page's visits, the cold one first."""
    from noria.console.shell import MENU

    found: dict[str, list[Visit]] = {}
    with browser() as chromium:
        for name, path in (page for group in MENU.values() for page in group):
            context = signed_in(chromium, server.url, server.key)
            page = context.new_page()
            found[name] = [visit(page, f"{server.url}/console{path}", name) for _ in range(1 + repeats)]
            context.close()
            told = " ".join(f"{one.useful:.2f}" for one in found[name])
            print(f"workbench, {name}: {told} s, {found[name][0].kilobytes:.0f} kB", file=sys.stderr)
    return found


def fill(lake: Path, events: int, *, seed: int = 0) -> None:
    """Write so many events of made-up use into a lake, sealed by day: sixty days that ended yesterday."""
    from noria.lake.outbox import Outbox

    outbox = Outbox(lake)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = _events(today - timedelta(days=DAYS), events, random.Random(seed))
    batch = []
    for event in made:
        batch.append(event)
        if len(batch) == 20_000:
            outbox.append(batch)
            batch = []
    outbox.append(batch)
    outbox.seal()
    outbox.close()


def _events(start: datetime, count: int, chooser: random.Random) -> Iterator[Event]:
    """Yield events in the order of their times: of ten six requests, the others what came of them, and what was shown and opened."""
    from noria.lake.event import Event, new_id

    apps = ("support", "monitor", "recommend", "api")
    request = ""
    for number in range(count):
        time = start + timedelta(seconds=number * DAYS * 86_400 / count)
        user = f"{min(int(chooser.paretovariate(0.6)), USERS):016x}"
        facts: dict[str, Any] = {"user": user, "tenant": "5f0c2a91b7d3e644", "segment": ("zh", "en")[number % 2]}
        identity, app, part = new_id(time.timestamp), apps[number % len(apps)], number % 10
        if part < 6:
            request = identity
            facts |= {"app": app, "model": "sentiment", "version": "0123456789ab", "units": 12, "unit": "tokens"}
            yield Event(identity, time, "request", latency_ms=3.0 + 4.0 * chooser.random(), **facts)
        elif part == 6:
            yield Event(
                identity,
                time,
                "feedback",
                subject=request,
                value=1.0 if chooser.random() < 0.8 else -1.0,
                app=app,
                **facts,
            )
        elif part == 7:
            yield Event(identity, time, "handover", subject=request, value=0.4, app="support", **facts)
        else:
            kind = "impression" if part == 8 else "click"
            yield Event(identity, time, kind, subject=str(number % 200), value=1.0, app="recommend", **facts)


def _watched(server: Server, texts: list[str]) -> None:
    """Let the monitor hear texts of the last twenty hours: what is more than a day late is counted in no window."""
    now = datetime.now(UTC)
    between = timedelta(hours=20) / len(texts)
    rows = [
        {
            "text": text[:400],
            "time": (now - between * (len(texts) - number)).isoformat(),
            "source": f"source {number % 3}",
        }
        for number, text in enumerate(texts)
    ]
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {server.key}"}, timeout=120) as web:
        for first in range(0, len(rows), REQUEST):
            web.post("/v1/apps/monitor/texts", json={"texts": rows[first : first + REQUEST]}).raise_for_status()


def _reviews() -> list[str]:
    from .reviewed import reviews

    return [row["text"] for row in reviews()]
