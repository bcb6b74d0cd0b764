"""Rounds: every source that is due is asked, many at once; what is new goes through the inbox to the monitor; what is wrong is said.

watching = Watching(listing.source, inbox, Delivery(url, key))
watching.round()                     # what came, what was set aside and why, which sources fail or are silent
watching.run(report)                 # round after round, until it is interrupted
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from noria.core.errors import NoriaError, shorten
from noria.core.messages import Message, as_is, joined, message, message_of
from noria.core.progress import Report

from . import feeds, files, mailbox
from .delivery import BATCH, Came, Delivery, NotDelivered
from .entry import Asked, SourceError
from .fetching import Fetcher, backed_off
from .inbox import Inbox, Taken
from .listing import FeedSettings, FilesSettings, MailSettings, PushSettings, Source

AT_ONCE = 16
"""Sources that are asked at once: they wait for the network, not for a processor."""
MOST_WAITING = 100_000
"""Texts that wait for the monitor above which no source is asked: its own memory of what it lists is the better store."""
_LOUD, _LOUD_SHARE = 50, 0.5
"""Texts of one author in a round, and their share of the round's, from which he is named: a campaign, or a program."""
_LONGEST_PAUSE = 60.0
REPORTED = timedelta(minutes=5)
"""How often the monitor is told how the sources stand though nothing changed: it may have been started anew."""


@dataclass
class Round:
    """What one round brought."""

    time: datetime
    taken: Taken = field(default_factory=Taken)
    unread: int = 0
    """Rows and entries that cannot be read."""
    came: Came = field(default_factory=Came)
    waiting: int = 0
    """Texts that the monitor has not got yet."""
    more: bool = False
    """Some source has more to give at once."""
    failing: dict[str, Message] = field(default_factory=dict)
    """Source -> why it cannot be read."""
    silent: dict[str, float] = field(default_factory=dict)
    """Source -> hours without a new text."""
    notes: dict[str, Message] = field(default_factory=dict)
    loud: tuple[str, str, int] | None = None
    """The source, author and texts of one who wrote most of the round."""
    held_up: Message | None = None
    """Why the monitor does not take texts."""

    def line(self) -> Message:
        """Return the round as one line."""
        parts: list[Message] = [message("watch.round", new=self.taken.new, repeated=self.taken.repeated)]
        if self.taken.undated:
            parts.append(message("watch.undated", count=self.taken.undated))
        if empty := self.taken.empty + self.unread:
            parts.append(message("watch.empty", count=empty))
        if aside := self.came.set_aside:
            reasons = [message("watch.reason", reason=_reason(one), count=count) for one, count in aside.most_common()]
            parts.append(message("watch.set_aside", count=aside.total(), reasons=joined("join.list", reasons)))
        if self.came.alerts:
            parts.append(message("watch.alerts", count=self.came.alerts))
        if self.loud:
            parts.append(message("watch.loud", name=self.loud[0], author=self.loud[1], count=self.loud[2]))
        if self.waiting:
            parts.append(message("watch.waiting", count=self.waiting, why=self.held_up or as_is("")))
        parts += [message("watch.failing", name=name, why=why) for name, why in self.failing.items()]
        parts += [message("watch.silent", name=name, hours=hours) for name, hours in self.silent.items()]
        parts += [message("watch.noted", name=name, note=note) for name, note in self.notes.items()]
        return joined("join.clauses", parts)

    def facts(self) -> dict[str, Any]:
        """Return the round as JSON-able facts, for programs."""
        return {
            "time": self.time.isoformat(),
            "new": self.taken.new,
            "repeated": self.taken.repeated,
            "undated": self.taken.undated,
            "unread": self.taken.empty + self.unread,
            "counted": self.came.counted,
            "set_aside": dict(self.came.set_aside),
            "alerts": self.came.alerts,
            "waiting": self.waiting,
            "failing": {name: str(why) for name, why in self.failing.items()},
            "silent": self.silent,
        }


def _reason(name: str) -> Message:
    known = ("ahead", "late", "refused", "repeated", "unset")
    return message(f"watch.reasons.{name}") if name in known else as_is(name)


class Watching:
    """Asks the sources of a list, and delivers what they give.

    Args:
        sources: all of them.
        inbox: where what came is kept.
        delivery: the way to the monitor.
        fetcher: fetches feeds and pages.
        clock: gives the present time, UTC.
        pause: waits so many seconds.
        spread: gives a number from 0 to 1, which parts sources that would be asked together.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        inbox: Inbox,
        delivery: Delivery,
        *,
        fetcher: Fetcher | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: Callable[[float], object] = time.sleep,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self.sources, self.inbox, self.delivery = tuple(sources), inbox, delivery
        self._fetcher = fetcher or Fetcher()
        self._clock, self._pause, self._spread = clock, pause, spread
        self._started = clock()
        self._reported = self._started - REPORTED
        self._states: list[dict[str, Any]] = []
        self._pool = ThreadPoolExecutor(AT_ONCE, "source")

    def close(self) -> None:
        """Stop asking; what is being fetched is broken off."""
        self._fetcher.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, report: Report, *, once: bool = False) -> None:
        """Go round after round, a line each, until it is interrupted.

        Args:
            report: is told every round that brought something, or found something wrong that was not so before.
            once: every source is asked once, and whatever it has to give at once is delivered.
        """
        before: tuple[object, ...] | None = None
        while True:
            turn = self.round(everyone=once and before is None)
            wrong = (sorted(turn.failing), sorted(turn.silent), str(turn.held_up))
            if before != wrong or turn.taken.new or turn.came.counted or turn.came.set_aside:
                stamp = turn.time.astimezone().strftime("%H:%M:%S")
                report.ledger(message("work.at", time=stamp, line=turn.line()), **turn.facts())
            before = wrong
            if once and not turn.more:
                return
            if not turn.more:
                self._pause(min(max(1.0, self._until_due()), _LONGEST_PAUSE))

    def round(self, *, everyone: bool = False) -> Round:
        """Ask the sources that are due and deliver what waits.

        Args:
            everyone: ask all, due or not.

        Raises:
            ResourceError: the disk is full; no source's cursor moved.
        """
        turn = Round(self._clock())
        if self.inbox.waiting() < MOST_WAITING:
            due = [one for one in self._pulled() if everyone or self._due(one) <= turn.time.timestamp()]
            for source, asked, taken in self._pool.map(self._ask, due):
                turn.taken.new += taken.new
                turn.taken.repeated += taken.repeated
                turn.taken.empty += taken.empty
                turn.taken.undated += taken.undated
                turn.unread += asked.unread
                turn.more = turn.more or asked.more
                if asked.note:
                    turn.notes[source.name] = asked.note
        self._deliver(turn)
        states = self._look_at(turn)
        if turn.time >= self._reported + REPORTED or states != self._states:
            self._reported, self._states = turn.time, states
            self.delivery.report(states)
        return turn

    def _pulled(self) -> list[FeedSettings | FilesSettings | MailSettings]:
        return [one for one in self.sources if not isinstance(one, PushSettings)]

    def _due(self, source: Source) -> float:
        return float(self.inbox.cursor(source.name).get("due", 0.0))

    def _until_due(self) -> float:
        now = self._clock().timestamp()
        return min((self._due(one) - now for one in self._pulled()), default=_LONGEST_PAUSE)

    def _ask(self, source: FeedSettings | FilesSettings | MailSettings) -> tuple[Source, Asked, Taken]:
        """Ask one source, and keep what it gives together with where to go on."""
        now, state = self._clock(), self.inbox.cursor(source.name)
        entries_of = {"rss": self._feed, "file": self._files, "imap": self._mail}[source.kind]
        try:
            asked = entries_of(source, state.get("cursor") or {}, now)
        except Exception as error:  # one source must not stop the others, whatever a library throws over what it sent
            if self._fetcher.stopped:  # broken off by us, and no fault of the source
                return source, Asked(), Taken()
            failures = int(state.get("failures", 0)) + 1
            wait = error.wait if isinstance(error, SourceError) else 0.0
            what = (
                error.as_message()
                if isinstance(error, NoriaError)
                else as_is(f"{type(error).__name__} {shorten(error)}")
            )
            due = now.timestamp() + backed_off(failures, source.minutes, wait, self._spread)
            failed = {**state, "failures": failures, "due": due, "why": what.as_dict(), "code": str(what)}
            return source, Asked(), self.inbox.take(source.name, [], lambda _: failed, now)
        due = now.timestamp() + (0 if asked.more else source.minutes * 60 * (0.95 + 0.1 * self._spread()))

        def kept(taken: Taken) -> dict[str, Any]:
            last = now.isoformat() if taken.new else state.get("last", now.isoformat())
            return {"cursor": asked.cursor, "due": due, "last": last}

        return source, asked, self.inbox.take(source.name, asked.entries, kept, now)

    def _feed(self, source: Any, cursor: dict[str, Any], now: datetime) -> Asked:
        return feeds.ask(source, cursor, self._fetcher, now, lambda keys: self.inbox.knows(source.name, keys))

    def _files(self, source: Any, cursor: dict[str, Any], now: datetime) -> Asked:
        return files.ask(source, cursor, now)

    def _mail(self, source: Any, cursor: dict[str, Any], now: datetime) -> Asked:
        return mailbox.ask(source, cursor)

    def _deliver(self, turn: Round) -> None:
        """Send what waits, the earliest first."""
        authors: Counter[tuple[str, str]] = Counter()
        sent = 0
        try:
            while batch := self.inbox.batch(BATCH):
                turn.came.add(self.delivery.send(batch))
                self.inbox.delivered(batch)
                authors.update((one.source, one.author) for one in batch if one.author)
                sent += len(batch)
        except NotDelivered as error:
            turn.held_up = error.as_message()
        turn.waiting = self.inbox.waiting()
        if authors:
            (source, author), count = authors.most_common(1)[0]
            if count >= _LOUD and count >= _LOUD_SHARE * sent:
                turn.loud = source, author, count

    def _look_at(self, turn: Round) -> list[dict[str, Any]]:
        """Say which sources fail, and which bring nothing; return how each stands, as the monitor is told."""
        pushed = self.delivery.last_posted() if any(isinstance(one, PushSettings) for one in self.sources) else {}
        states = []
        for source in self.sources:
            state = self.inbox.cursor(source.name)
            last = pushed.get(source.name) if isinstance(source, PushSettings) else state.get("last")
            since = datetime.fromisoformat(last) if last else self._started
            told: dict[str, Any] = {"name": source.name, "kind": source.kind, "state": "works"}
            told |= {"latest": last} if last else {}
            if due := state.get("due"):
                told["due"] = datetime.fromtimestamp(due, UTC).isoformat(timespec="seconds")
            if state.get("failures"):
                turn.failing[source.name] = _message_of(state)
                told |= {"state": "failing", "why": str(turn.failing[source.name])[:1_000]}
                told["failures"] = int(state["failures"])
            elif turn.time - since > timedelta(hours=source.silent_hours):
                turn.silent[source.name] = round((turn.time - since) / timedelta(hours=1), 1)
                told["state"] = "silent"
            states.append(told)
        return states


def _message_of(state: dict[str, Any]) -> Message:
    """Return why a source fails, as it was kept; in English where a newer version kept it."""
    try:
        return message_of(state["why"])
    except (KeyError, TypeError):
        return as_is(state.get("code", ""))
