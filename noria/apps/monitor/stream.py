"""One stream of texts that is watched: what counts, what is set aside and why; its windows, alerts and open texts on the disk.

A text's time is what somebody else's clock said. One ahead of the server's clock is set aside, one whose window is closed is late,
and one id counts once, after a restart too; a request's texts are taken in the order of their times. What is counted outlives a kill: windows and
alerts for good, the texts of open windows until these close.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from noria.apps.settings import WatchSettings
from noria.core.progress import MetricsLog

from .surge import (
    Alert,
    Closed,
    Mention,
    Watch,
    alert_dict,
    mention_dict,
    read_alert,
    read_mention,
    read_window,
    window_dict,
)

SHOWN_WINDOWS = 500
"""Closed windows kept and told at most, unless the baseline is longer."""
EARLIEST, LATEST = datetime(1971, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""A time outside of these is what a program writes that knows none: year 1, 1970, year 9999."""
IDS = 200_000
"""Ids remembered, so that a text sent again is known."""


@dataclass(frozen=True)
class SetAside:
    """A text that was not counted, and why."""

    id: str
    reason: str
    """unset: its time is one that stands for none. ahead: its time is ahead of the server's clock. late: its window is closed.
    repeated: its id was counted before."""
    found: str
    allowed: str


class Stream:
    """A watched stream whose state lies in a folder. Not for several threads at once.

    Args:
        folder: where windows, alerts and open texts are kept.
        settings: windows and alerts.
        topics: all topics.
        bounded: whether times ahead of the server's clock are set aside; a replay brings a clock of its own.
    """

    def __init__(self, folder: Path, settings: WatchSettings, topics: Sequence[str], *, bounded: bool) -> None:
        self.settings, self.topics, self.bounded = settings, tuple(topics), bounded
        self._windows = MetricsLog(folder / "windows.jsonl")
        self._alerts = MetricsLog(folder / "alerts.jsonl")
        self._texts = MetricsLog(folder / "open.jsonl")
        self._counted = MetricsLog(folder / "counted.jsonl")
        self._most = max(SHOWN_WINDOWS, settings.baseline_windows)
        self.windows: list[dict[str, Any]] = self._windows.read()[-self._most :]
        """Closed windows, oldest first."""
        self.alerts: OrderedDict[str, dict[str, Any]] = OrderedDict()
        """Alerts by id, oldest first, as JSON-able dicts with their texts."""
        self.set_aside: Counter[str] = Counter()
        """Texts not counted since the start, by reason."""
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._read_counted()
        for alert in self._alerts.read():
            self._keep(alert)
            self._remember(one["id"] for one in alert["mentions"])
        history = [read_window(window) for window in self.windows]
        same = [window for window in history if set(window.counts) == set(self.topics)]
        self.watch = Watch(settings, topics, same, map(read_alert, self.alerts.values()))
        self._dropped_until: datetime | None = None
        for mention in map(read_mention, self._texts.read()):
            self._remember([mention.id])
            if _is_set(mention.time) and not self.watch.is_late(mention.time) and mention.topic in self.topics:
                self.watch.count(mention)

    def take(self, mentions: Sequence[Mention], now: datetime, new_id: str) -> tuple[list[Alert], list[SetAside]]:
        """Count mentions; return the alerts that raises, and what was set aside, in the order given.

        Args:
            mentions: in any order.
            now: the server's clock.
            new_id: prefix of the ids of new alerts.
        """
        raised: list[Alert] = []
        aside: dict[int, SetAside] = {}
        latest = now + timedelta(minutes=self.settings.ahead_minutes)
        for place in sorted(range(len(mentions)), key=lambda place: mentions[place].time):
            mention = mentions[place]
            told = mention.time.isoformat()
            if mention.id in self._ids:
                aside[place] = SetAside(mention.id, "repeated", mention.id, "an id counts once")
            elif not _is_set(mention.time):
                aside[place] = SetAside(mention.id, "unset", told, f"{EARLIEST.isoformat()} to {LATEST.isoformat()}")
            elif self.bounded and mention.time > latest:
                aside[place] = SetAside(mention.id, "ahead", told, f"up to {latest.isoformat(timespec='seconds')}")
            elif self.watch.is_late(mention.time):
                since = self.watch.closed_until
                aside[place] = SetAside(mention.id, "late", told, f"since {since.isoformat() if since else ''}")
            else:
                self._remember([mention.id])
                self._texts.write(**mention_dict(mention))
                raised += self._closed(self.watch.add(mention, new_id))
        self.set_aside.update(one.reason for one in aside.values())
        self._drop_closed()
        return raised, [aside[place] for place in sorted(aside)]

    def advance(self, now: datetime, new_id: str) -> list[Alert]:
        """Close the windows that ended by `now`, without grace, and return the alerts that raises."""
        raised = self._closed(self.watch.advance(now, new_id))
        self._drop_closed()
        return raised

    def _closed(self, closed: Iterable[Closed]) -> list[Alert]:
        """Keep what closed windows brought; return the alerts they raised."""
        new: list[Alert] = []
        for window, raised, longer in closed:
            value = window_dict(window)
            self._windows.write(**value)
            self.windows = [*self.windows, value][-self._most :]
            for alert in (*raised, *longer):
                self._keep(alert_dict(alert))
                self._alerts.write(**alert_dict(alert))  # of one id the last line holds
            new += raised
        return new

    def _drop_closed(self) -> None:
        """Leave no more of the texts of closed windows than their ids. Once a request: the file is written anew."""
        if self.watch.closed_until == self._dropped_until:
            return
        self._dropped_until = self.watch.closed_until
        past = [text["id"] for text in self._texts.read() if self._is_past(text)]
        if past:
            self._counted.write(ids=past)  # before they leave the other file: an id in both counts once all the same
            self._texts.keep(lambda text: not self._is_past(text))

    def _is_past(self, text: dict[str, Any]) -> bool:
        return self.watch.is_late(datetime.fromisoformat(text["time"]))

    def _read_counted(self) -> None:
        """Remember the ids of texts whose windows are closed; those beyond the most that are remembered leave the file."""
        records = self._counted.read()
        for record in records:
            self._remember(record["ids"])
        if sum(len(record["ids"]) for record in records) > 2 * IDS:
            self._counted.keep(lambda record: any(id in self._ids for id in record["ids"]))

    def _keep(self, alert: dict[str, Any]) -> None:
        self.alerts[alert["id"]] = alert
        while len(self.alerts) > self.settings.kept_alerts:
            self.alerts.popitem(last=False)

    def _remember(self, ids: Iterable[str]) -> None:
        self._ids |= dict.fromkeys(ids)
        while len(self._ids) > IDS:
            self._ids.popitem(last=False)


def _is_set(time: datetime) -> bool:
    return EARLIEST <= time < LATEST
