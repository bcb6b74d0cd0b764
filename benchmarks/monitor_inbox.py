"""Nothing lost and nothing doubled: a watcher of a feed and a growing file is killed again and again, and every text is counted once.

`kill_run` is one such run: real processes, real kills (SIGKILL), a real HTTP server, the real inbox and stream; only the monitor's models are
left out, for what they say of a text decides nothing here. `measure` makes a line of it, beside what is wanted.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from noria.apps.monitor.sources.delivery import Delivery
from noria.apps.monitor.sources.fetching import Fetcher
from noria.apps.monitor.sources.inbox import Inbox
from noria.apps.monitor.sources.listing import FeedSettings, FilesSettings
from noria.apps.monitor.sources.watching import Watching
from noria.apps.monitor.stream import Stream
from noria.apps.monitor.surge import Mention
from noria.apps.settings import WatchSettings

from .line import Line, compare

KILLS, QUICK_KILLS = 100, 10
FEED, FILE = 120, 600
"""Texts that each source brings in all."""
_SECONDS = 240.0


@dataclass(frozen=True)
class Counted:
    """What came of a run."""

    kills: int
    texts: int
    """That the sources brought."""
    lost: int
    doubled: int
    set_aside: Mapping[str, int]
    """By reason: nothing may be here, but a text that was sent again and known."""


def measure(*, quick: bool) -> list[Line]:
    """Return the line of a run: texts counted exactly once, of those that came; quick kills ten times, else a hundred."""
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        found = kill_run(Path(folder), QUICK_KILLS if quick else KILLS)
    print(f"monitor, {found}", file=sys.stderr)
    right = found.texts - found.lost - found.doubled
    peer = f"wanted: all of them, after {found.kills} kills"
    return [
        compare(
            "monitor",
            "texts counted once between source and window",
            [float(right)],
            [float(found.texts)],
            peer,
            "texts",
        )
    ]


def kill_run(folder: Path, kills: int, seed: int = 0) -> Counted:
    """Return what was counted after a watcher was killed so many times.

    Args:
        folder: an empty one.
        kills: with SIGKILL, at moments drawn with the seed.
        seed: of the moments.
    """
    draw, began = random.Random(seed), time.monotonic()
    rows, now = folder / "rows.jsonl", datetime.now(UTC)
    rows.touch()
    shown, written = 0, 0
    with served(lambda: _feed(shown, now)) as url:
        killed = 0
        while killed < kills and time.monotonic() - began < _SECONDS:
            # A little more to read before each kill.
            shown = min(FEED, shown + FEED // kills + 1)
            written = _grow(rows, written, min(FILE, written + FILE // kills + 1), now)
            with (
                warnings.catch_warnings()
            ):  # the only other thread serves the feed, and holds nothing that the child wants
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                _child(folder, url)
            time.sleep(draw.uniform(0.02, 0.6))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            killed += 1
        shown, written = FEED, _grow(rows, written, FILE, now)
        stream = _watch(folder, url, once=True)
    every, ids = (
        FEED + FILE,
        [one["id"] for one in stream._texts.read()],
    )  # all are there: their times lie within one window
    windows = [*stream.watch.history, *stream.watch._windows.values()]
    counted = sum(count.total for window in windows for count in window.counts.values())
    lost, doubled = every - min(len(set(ids)), counted), max(len(ids), counted) - every
    return Counted(killed, every, max(0, lost), max(0, doubled), dict(stream.set_aside))


def _grow(file: Path, before: int, until: int, now: datetime) -> int:
    with file.open("a", encoding="utf-8") as stream:
        for number in range(before, until):
            row = {"id": f"row-{number}", "text": f"第 {number} 行：手机很好用", "time": now.isoformat()}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return until


def _feed(shown: int, now: datetime) -> bytes:
    items = [
        {
            "id": f"entry-{number}",
            "content_text": f"Entry {number}: the phone is fine",
            "date_published": now.isoformat(),
        }
        for number in reversed(range(shown))
    ]
    return json.dumps({"version": "https://jsonfeed.org/version/1.1", "title": "feed", "items": items}).encode()


@contextmanager
def served(content: Any) -> Iterator[str]:
    """Serve what a function gives on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = content()
            self.send_response(200)
            self.send_header("content-type", "application/feed+json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # who asked was killed
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/feed.json"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _child(folder: Path, url: str) -> None:
    """Watch until the kill, in the process that was forked."""
    code = 0
    try:
        _watch(folder, url, once=False)
    except BaseException as error:
        code = 1
        print(repr(error), file=sys.stderr)
    finally:
        os._exit(code)


def _watch(folder: Path, url: str, *, once: bool) -> Stream:
    stream = Stream(folder / "stream", WatchSettings(window_minutes=1440, grace_minutes=1440), ("other",), bounded=True)
    sources = (
        FeedSettings(name="feed", kind="rss", url=url, minutes=0.0005, allow_private=True),
        FilesSettings(name="file", kind="file", path=folder / "rows.jsonl", minutes=0.0005),
    )

    def monitor(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/sources"):  # how the sources stand
            return httpx.Response(200, json={})
        texts = json.loads(request.content)["texts"]
        mentions = [
            Mention(one["id"], datetime.fromisoformat(one["time"]), "other", False, 0.9, one["text"]) for one in texts
        ]
        raised, aside = stream.take(mentions, datetime.now(UTC), "r")
        told = [{"id": one.id, "reason": one.reason} for one in aside]
        return httpx.Response(200, json={"counted": len(texts) - len(aside), "set_aside": told, "alerts": raised})

    inbox = Inbox(folder / "inbox", lambda text: text)
    delivery = Delivery("http://monitor", "key", httpx.MockTransport(monitor))
    watching = Watching(sources, inbox, delivery, fetcher=Fetcher(gap=0.0))
    while True:
        round = watching.round(everyone=True)
        if once and not round.more and not round.taken.new and not round.waiting:
            break
    watching.close()
    inbox.close()
    return stream
