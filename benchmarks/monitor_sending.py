"""No alert lost and none sent twice: a monitor that raises alerts and posts them to a webhook is killed again and again.

`kill_run` is one such run: real processes, real kills (SIGKILL), a real receiver over HTTP that checks signatures and keeps what it took by its
idempotency key, now and then is busy (503) and often slow, so that kills fall between its answer and the note of it. The real stream raises
the alerts, the real outbox keeps them. Beside it the same without an outbox: a webhook is posted when an alert is raised.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from noria.apps.monitor.notify import sending as sweeping
from noria.apps.monitor.notify.brief import Material
from noria.apps.monitor.notify.outbox import Outbox
from noria.apps.monitor.notify.senders import Senders
from noria.apps.monitor.notify.sending import Sending
from noria.apps.monitor.notify.settings import NotifySettings, WebhookSubscription
from noria.apps.monitor.stories import Stories
from noria.apps.monitor.stream import Stream
from noria.apps.monitor.surge import Mention, alert_dict
from noria.apps.monitor.topics import read_topics
from noria.apps.settings import WatchSettings
from noria.core.errors import NoriaError
from noria.lake.event import new_id
from noria.server import webhook
from noria.server.errors import ApiError
from noria.server.webhook import Client, verified

from .line import Line, compare

KILLS, QUICK_KILLS = 100, 10
BURSTS, QUICK_BURSTS, BURST = 48, 16, 30
"""Bursts of negatives, each on a topic of its own an hour after the one before, and texts of each."""
START = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "a secret of the benchmark"
_SECONDS = 240.0


@dataclass(frozen=True)
class Arrived:
    """What came of a run."""

    kills: int
    raised: int
    """Alerts that the stream holds at the end, but those that another one on the same texts stands for; each was to arrive once."""
    lost: int
    doubled: int
    """Alerts that arrived under two keys, or in two forms under one."""
    repeated: int
    """Posts under a key that the receiver knew, and took no second time."""
    unraised: int
    """Bursts on whose topic no alert was raised."""


@dataclass
class Receiver:
    """What a program took that knows idempotency keys."""

    url: str = ""
    taken: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Key -> alert and body."""
    repeated: int = 0
    changed: int = 0
    """Keys under which another body came."""
    draw: random.Random = field(default_factory=lambda: random.Random(1))

    def take(self, key: str, body: bytes) -> None:
        """Take what came, once a key."""
        alert = str(json.loads(body)["data"]["alert"]["id"])
        if key in self.taken:
            self.repeated += 1
            self.changed += self.taken[key][1] != body
        else:
            self.taken[key] = alert, body


def measure(*, quick: bool) -> list[Line]:
    """Return the lines of two runs, with an outbox and without; quick kills ten times over 16 bursts, else a hundred times over 48."""
    found = []
    for outbox in (True, False):
        with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
            kills, bursts = (QUICK_KILLS, QUICK_BURSTS) if quick else (KILLS, BURSTS)
            found.append(kill_run(Path(folder), kills, bursts=bursts, outbox=outbox))
    print(f"monitor, with an outbox {found[0]}, without {found[1]}", file=sys.stderr)
    name, kills = f"alerts that reach a webhook once, of {found[0].raised} raised", found[0].kills
    shares = [max(1e-9, (one.raised - one.lost - one.doubled) / max(1, one.raised)) for one in found]
    peer = f"a webhook posted when an alert is raised, after {kills} kills"
    wanted = f"wanted: all of them, after {kills} kills"
    return [
        compare("monitor", name, [shares[0]], [shares[1]], peer, "share of alerts"),
        compare("monitor", name, [shares[0]], [1.0], wanted, "share of alerts"),
    ]


def kill_run(folder: Path, kills: int, seed: int = 0, *, bursts: int = BURSTS, outbox: bool = True) -> Arrived:
    """Return what arrived after a monitor was killed so many times.

    Args:
        folder: an empty one.
        kills: with SIGKILL, at moments drawn with the seed.
        seed: of the moments.
        bursts: how many surges there are.
        outbox: alerts are kept before they are sent; else they are posted when they are raised.
    """
    draw, began, texts = random.Random(seed), time.monotonic(), _texts(bursts)
    topics = sorted({text.topic for text in texts})
    with received() as receiver:
        killed = shown = 0
        while killed < kills and time.monotonic() - began < _SECONDS:
            shown = min(len(texts), shown + len(texts) // kills + 1)
            with (
                warnings.catch_warnings()
            ):  # the only other thread is the receiver's, and holds nothing that the child wants
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                _child(folder, receiver.url, topics, texts[:shown], outbox)
            time.sleep(draw.uniform(0.05, 0.8))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            killed += 1
        stream = asyncio.run(_watch(folder, receiver.url, topics, texts, outbox=outbox, once=True))
    arrived = [alert for alert, _ in receiver.taken.values()]
    raised = sorted(set(stream.alerts) - _joined(folder))
    lost = len(set(raised) - set(arrived))
    doubled = len(arrived) - len(set(arrived)) + receiver.changed
    unraised = len({text.topic for text in texts} - {alert["topic"] for alert in stream.alerts.values()})
    return Arrived(killed, len(raised), lost, doubled, receiver.repeated, unraised)


def _joined(folder: Path) -> set[str]:
    outbox = Outbox(folder)
    try:
        return {one.about for one in outbox.of_subscription("hook") if one.state == "joined"}
    finally:
        outbox.close()


def _texts(bursts: int) -> list[Mention]:
    """Return what is watched: a burst an hour, the clock moving on between them."""
    mentions = []
    for place in range(bursts):
        topic = f"t{place:02}"
        begins = START + timedelta(hours=1 + place)
        for number in range(BURST):
            moment = begins + timedelta(seconds=20 * number)
            mentions.append(Mention(f"{topic}-{number}", moment, topic, True, 0.9, f"the phone burns, no. {number}"))
    last = START + timedelta(hours=bursts + 2)
    return [*mentions, Mention("last", last, "t00", False, 0.9, "the phone is fine")]


@contextmanager
def received() -> Iterator[Receiver]:
    """Serve a receiver of signed webhooks on a port of this machine."""
    made, lock = Receiver(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = 200
            with lock:
                busy, slow = made.draw.random() < 0.1, made.draw.random() < 0.5
                try:
                    key = verified(headers, body, SECRET, time.time())
                    if not busy:
                        made.take(key, body)
                except (ApiError, ValueError, KeyError):
                    status = 400
            if slow:
                time.sleep(0.1)
            with suppress(OSError):  # who posted was killed
                self.send_response(503 if busy else status)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who posted was killed
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _child(folder: Path, url: str, topics: Sequence[str], texts: Sequence[Mention], outbox: bool) -> None:
    """Watch until the kill, in the process that was forked."""
    code = 0
    try:
        asyncio.run(_watch(folder, url, topics, texts, outbox=outbox, once=False))
    except BaseException as error:
        code = 1
        print(repr(error), file=sys.stderr)
    finally:
        os._exit(code)


async def _watch(
    folder: Path, url: str, topics: Sequence[str], texts: Sequence[Mention], *, outbox: bool, once: bool
) -> Stream:
    """Take texts up from where the process before left off, and send what they raise."""
    settings = WatchSettings(kept_alerts=10_000, grace_minutes=0)
    stream = Stream(folder, settings, topics, bounded=False)
    post = _Outbox(folder, url, stream) if outbox else _AtOnce(url)
    place = folder / "place"
    done = int(place.read_text()) if place.exists() else 0
    for start in range(done, len(texts), 10):
        batch = texts[start : start + 10]
        raised, _ = await asyncio.to_thread(stream.take, batch, datetime.now(UTC), new_id())
        await post.plan([alert_dict(alert) for alert in raised])
        part = place.with_suffix(".part")
        part.write_text(str(start + len(batch)))
        part.rename(place)
    while not once:
        await asyncio.sleep(1.0)
    await post.finish()
    return stream


class _Outbox:
    """The application's own way."""

    def __init__(self, folder: Path, url: str, stream: Stream) -> None:
        webhook.FIRST_WAIT, sweeping.SWEEP_SECONDS = 0.1, 0.1  # minutes would make the run one of hours
        hook = WebhookSubscription(name="hook", kind="webhook", url=url, secret_env="HOOK", allow_private=True)

        async def judge(*_: Any) -> None:
            return None

        self._outbox = Outbox(folder, list(stream.alerts))
        material = Material(lambda: stream, Stories, {}, read_topics(), judge)
        senders = Senders(NotifySettings(), {"HOOK": SECRET})
        self._sending = Sending(self._outbox, material, lambda: {"hook": hook}, senders)
        self._task = asyncio.create_task(self._sending.run())

    async def plan(self, alerts: Sequence[dict[str, Any]]) -> None:
        await self._sending.plan(alerts)

    async def finish(self) -> None:
        """Return when nothing waits any more."""
        while any(one.state in ("waiting", "trying") for one in self._outbox.of_subscription("hook")):
            await asyncio.sleep(0.05)
        self._task.cancel()
        self._outbox.close()


class _AtOnce:
    """What stands in its place elsewhere: a post when an alert is raised, tried again while the process lives."""

    def __init__(self, url: str) -> None:
        self._url, self._client = url, Client(allow_private=True)

    async def plan(self, alerts: Sequence[dict[str, Any]]) -> None:
        for alert in alerts:
            body = json.dumps({"data": {"alert": {"id": alert["id"]}}}).encode()
            with suppress(NoriaError):
                await self._client.post_signed(self._url, body, id=new_id(), secret=SECRET)

    async def finish(self) -> None:
        """Return: nothing is kept."""
