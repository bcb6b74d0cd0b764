"""From alerts to subscribers: planned on the disk, held through quiet hours, sent, tried again; and briefs when they are due.

sending = Sending(outbox, material, subscriptions, senders, link)
await sending.plan(alerts)          # on the disk when it returns, as an alert is before it is sent
await sending.run()                 # until it is cancelled; or round by round: await sending.round()
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from noria.apps.hours import Hours
from noria.apps.monitor.stream import strictness
from noria.apps.monitor.surge import read_alert
from noria.core.errors import NoriaError, shorten
from noria.core.messages import message
from noria.server.webhook import DeliveryError, outbox_wait

from .brief import Material, brief_of
from .notice import Notice, alert_notice
from .outbox import Kept, Outbox, Planned
from .senders import Senders
from .settings import AnySubscription, Subscription, wants

SWEEP_SECONDS = 5.0
"""How often it is looked for what is due."""
LAST_SECONDS = 5.0
"""That messages on their way get to arrive when the server stops."""
AT_ONCE = 16
"""Messages on their way at the same time."""
MOST_TRIES = 100
"""Tries after which a message is given up: about a day of them, by `outbox_wait`."""
SAME = 0.8
"""Share of an alert's texts from which another one on them stands for it: nobody is told of the same texts twice."""
_SPECIFIC = {"entity": -2, "aspect": -1}
BRIEF_PATIENCE = timedelta(minutes=15)
"""How long a brief waits for the last window of its time to close."""


class Sending:
    """Sends what an outbox holds.

    Args:
        outbox: keeps it.
        material: what it is made of.
        subscriptions: gives all subscriptions by name, as they are now.
        senders: the ways to them.
        link: gives the address at which the alert of a message is judged, by the message's key; empty where there is none.
        clock: gives the present time, UTC.
        address: of the server, for links to the API.
        paused: gives the names of those to which nothing is sent: of them no alert is planned, and no brief until they are sent to again.
    """

    def __init__(
        self,
        outbox: Outbox,
        material: Material,
        subscriptions: Callable[[], Mapping[str, AnySubscription]],
        senders: Senders,
        link: Callable[[str], str] = lambda key: "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        address: str = "",
        paused: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._outbox, self._material, self._subscriptions = outbox, material, subscriptions
        self._senders, self._link, self._clock, self._address = senders, link, clock, address
        self._paused = paused
        self._changed = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}

    def use(self, material: Material, senders: Senders, address: str) -> None:
        """Make messages of other material, send by other senders and with links to another address, from now on."""
        self._material, self._senders, self._address = material, senders, address

    async def run(self) -> None:
        """Send what is due, until this is cancelled."""
        try:
            while True:
                self._changed.clear()
                with suppress(NoriaError):  # the disk: the next time
                    await self.round()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), SWEEP_SECONDS)
        finally:
            with suppress(NoriaError):  # what was raised just before the end
                await self.round()
            tasks = list(self._busy.values())
            if tasks:  # what arrives and is not noted would be sent again
                await asyncio.wait(tasks, timeout=LAST_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def round(self) -> None:
        """Plan what is not planned yet, and begin with what is due."""
        # A kill between an alert and its plan leaves it here.
        await self.plan(list(self._material.stream.alerts.values()))
        await asyncio.to_thread(self._plan_digests)
        for kept in await asyncio.to_thread(self._outbox.due, self._clock(), 2 * AT_ONCE):
            if kept.key not in self._busy and len(self._busy) < AT_ONCE:
                self._busy[kept.key] = task = asyncio.create_task(self._deliver(kept))
                task.add_done_callback(partial(self._done, kept.key))

    async def settled(self) -> None:
        """Return when what was begun has ended."""
        while self._busy:
            await asyncio.wait(list(self._busy.values()))

    def _done(self, key: str, task: asyncio.Task[None]) -> None:
        self._busy.pop(key, None)
        self._changed.set()

    async def plan(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Keep on the disk to whom each new alert is sent, and when at the earliest.

        Args:
            alerts: as `alert_dict` gives them; those that were planned before are passed by.

        Raises:
            ResourceError: the disk is full; they are planned in the next round.
        """
        new = [alert for alert in alerts if self._outbox.is_new(alert["id"])]
        if new:
            await asyncio.to_thread(self._plan, new)
            self._changed.set()

    def _active(self) -> list[AnySubscription]:
        paused = self._paused()
        return [one for name, one in self._subscriptions().items() if name not in paused]

    def _plan(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        now, watched = self._clock(), len(self._material.stream.watch.series)
        at_once = [one for one in self._active() if not one.digest]
        strict = {one.name: self._strictness(one) for one in at_once if one.false_alarms_a_week is not None}
        plans: dict[str, list[Planned]] = {str(alert["id"]): [] for alert in alerts}
        for one in at_once:
            known = self._recent(one, now)
            # An alert on a name says more than one on the topic that it falls under.
            for alert in sorted(alerts, key=lambda each: (_SPECIFIC.get(each["of"], 0), -each["surprise"])):
                if wants(one, alert, watched, strict.get(one.name, 1.0)):
                    id, texts = str(alert["id"]), _texts(alert)
                    joined = next((name for name, others in known.items() if _same(texts, others)), "")
                    plans[id].append(Planned(one.name, id, due(one, now), joined))
                    known |= {} if joined else {id: texts}
        self._outbox.plan(plans, now)

    def _recent(self, one: Subscription, now: datetime) -> dict[str, frozenset[str]]:
        """Return the alerts that were planned for a subscriber within the hold-off, with their texts."""
        alerts, since = self._material.stream.alerts, now - self._material.stream.watch.hold_off
        kept = self._outbox.of_subscription(one.name)
        return {
            each.about: _texts(alerts[each.about])
            for each in kept
            if each.about in alerts and each.made >= since and each.state not in ("joined", "given up")
        }

    def _strictness(self, one: Subscription) -> float:
        """Return by what a subscription's budget is divided, after its own verdicts on what it was sent."""
        alerts = self._material.stream.alerts
        judged = []
        for kept in self._outbox.of_subscription(one.name):
            if kept.about in alerts:
                alert = read_alert(alerts[kept.about])
                own: Any = kept.verdict or alert.verdict
                judged.append(replace(alert, verdict=own))
        return strictness(judged, one.false_alarms_a_week or 1.0)

    def _plan_digests(self) -> None:
        now, windows = self._clock(), self._material.stream.windows
        for one in [one for one in self._active() if one.digest]:
            since, until = self._outbox.digested(one.name, now), last_digest(one, now)
            if until <= since:
                continue
            length = self._material.stream.watch.length
            closed = datetime.fromisoformat(windows[-1]["start"]) + length if windows else None
            if (closed is None or closed < until) and now < until + BRIEF_PATIENCE:
                continue
            about = f"{since.isoformat()}/{until.isoformat()}"
            self._outbox.plan_digest(Planned(one.name, about, due(one, now)), until, now)

    async def _deliver(self, kept: Kept) -> None:
        """Send one message, and keep what came of it."""
        try:
            one = self._subscriptions().get(kept.subscription)
            notice, why = await asyncio.to_thread(self._worded, one, kept)
            if one is None or notice is None:
                await asyncio.to_thread(self._outbox.end, kept.key, why, sent=False)
                return
            content, attempts = await asyncio.to_thread(self._outbox.begin, kept.key, json.dumps(notice.as_dict()))
            try:
                note = await self._senders.send(one, Notice.of(json.loads(content)), kept.key, again=attempts > 1)
            except Exception as error:  # one message must not stop the others, whatever a library throws over it
                await asyncio.to_thread(self._failed, kept, attempts, error)
            else:
                await asyncio.to_thread(self._outbox.end, kept.key, note)
        except NoriaError:  # the disk is full
            await asyncio.sleep(SWEEP_SECONDS)
            with suppress(NoriaError):
                await asyncio.to_thread(self._outbox.postpone, kept.key, self._clock(), "")

    def _failed(self, kept: Kept, attempts: int, error: Exception) -> None:
        lasting = isinstance(error, DeliveryError) and error.lasting
        why = str(error) if isinstance(error, NoriaError) else shorten(f"{type(error).__name__} {error}")
        if lasting or attempts >= MOST_TRIES:
            self._outbox.end(kept.key, why, sent=False)
        else:
            self._outbox.postpone(kept.key, self._clock() + timedelta(seconds=outbox_wait(attempts)), why)

    def _worded(self, one: AnySubscription | None, kept: Kept) -> tuple[Notice | None, str]:
        """Return what a message says; or nothing and why: nobody to send it to, or an alert that is not kept any more."""
        if one is None:
            return None, message("notify.no_subscription")
        try:
            return self._notice(one, kept), message("notify.page.gone")
        except NoriaError:
            raise
        except Exception as error:  # what cannot be worded now never can
            return None, shorten(f"{type(error).__name__} {error}")

    def _notice(self, one: AnySubscription, kept: Kept) -> Notice | None:
        """Return what a message says: as at its first try, or as things stand now."""
        if kept.content:
            return Notice.of(json.loads(kept.content))
        now, material = self._clock(), self._material
        if "/" in kept.about:
            since, until = (datetime.fromisoformat(part) for part in kept.about.split("/"))
            made = brief_of(material, since, until, one.zone, one.language, only=one, base=self._address)
            return made.notice(now)
        alert = material.stream.alerts.get(kept.about)
        if alert is None:
            return None
        others = [each.about for each in self._outbox.of_subscription(one.name) if each.why == kept.about]
        also = [material.stream.alerts[name] for name in others if name in material.stream.alerts]
        return alert_notice(alert, one, material.titles, self._link(kept.key), now, also)


def _texts(alert: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(str(mention["id"]) for mention in alert["mentions"])


def _same(texts: frozenset[str], others: frozenset[str]) -> bool:
    """Return whether nearly all texts of an alert are those of another."""
    return bool(texts) and len(texts & others) >= SAME * len(texts)


def due(one: Subscription, now: datetime) -> datetime:
    """Return when a message to a subscriber is sent at the earliest: now, or when the quiet hours end.

    >>> due(Subscription(name="a", quiet=("22:00-08:00",), zone="Asia/Shanghai"), datetime(2026, 11, 30, 15, tzinfo=UTC)).isoformat()
    '2026-12-01T08:00:00+08:00'
    """
    return Hours(one.zone, one.quiet).closes(now) or now


def last_digest(one: Subscription, now: datetime) -> datetime:
    """Return the last moment at which a brief was due, UTC: on its day, at its time, by the clock of its place."""
    zone = ZoneInfo(one.zone)
    hour, minute = map(int, one.at.split(":"))
    day = now.astimezone(zone).date()
    moments = [
        datetime.combine(day - timedelta(days=back), time(hour, minute), zone).astimezone(UTC)
        for back in range(9)
        if (day - timedelta(days=back)).weekday() in one.weekdays
    ]
    return next(moment for moment in moments if moment <= now)
