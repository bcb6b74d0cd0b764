"""One stream of texts that is watched: what counts, what is set aside and why; its windows, alerts, verdicts and open texts on the disk.

A text's time is what somebody else's clock said. One ahead of the server's clock is set aside, one that comes more than a day late too,
and one id counts once, after a restart too; a request's texts are taken in the order of their times. What is counted outlives a kill:
windows, alerts and verdicts for good; what was learnt as of the last window that closed, and the texts since then beside it.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from noria.apps.settings import WatchSettings
from noria.core.folder import write_bytes
from noria.core.progress import MetricsLog

from .surge import (
    LISTS,
    Alert,
    Mention,
    Verdict,
    Window,
    alert_dict,
    mention_dict,
    read_alert,
    read_mention,
    read_window,
    window_dict,
)
from .watch import REACH, Closed, Watch

EARLIEST, LATEST = datetime(1971, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""A time outside of these is what a program writes that knows none: year 1, 1970, year 9999."""
IDS = 200_000
"""Ids remembered, so that a text sent again is known."""
MOST_STRICT, LEAST_STRICT = 16.0, 0.25
"""How many times fewer false alarms verdicts may make the allowed ones."""


@dataclass(frozen=True)
class SetAside:
    """A text that was not counted, and why."""

    id: str
    reason: str
    """unset: its time is one that stands for none. ahead: its time is ahead of the server's clock. late: it came more than a day late,
    or is older than all that was watched. repeated: its id was counted before."""
    found: str
    allowed: str


class Stream:
    """A watched stream whose state lies in a folder. Not for several threads at once.

    Args:
        folder: where windows, alerts and open texts are kept.
        settings: windows and alerts.
        topics: all topics.
        bounded: whether times ahead of the server's clock are set aside; a replay brings a clock of its own.
        given: entities that a team has listed.
    """

    def __init__(
        self,
        folder: Path,
        settings: WatchSettings,
        topics: Sequence[str],
        *,
        bounded: bool,
        given: Collection[str] = (),
    ) -> None:
        self.settings, self.topics, self.bounded = settings, tuple(topics), bounded
        self._windows = MetricsLog(folder / "windows.jsonl")
        self._alerts = MetricsLog(folder / "alerts.jsonl")
        self._texts = MetricsLog(folder / "open.jsonl")
        self._counted = MetricsLog(folder / "counted.jsonl")
        self._verdicts = MetricsLog(folder / "verdicts.jsonl")
        self._state = folder / "watch.json"
        self.windows: list[dict[str, Any]] = []
        """Closed windows, oldest first."""
        self.alerts: OrderedDict[str, dict[str, Any]] = OrderedDict()
        """Alerts by id, oldest first, as JSON-able dicts with their texts."""
        self.set_aside: Counter[str] = Counter()
        """Texts not counted since the start, by reason."""
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._read_counted()
        self._read_windows()
        for alert in self._alerts.read():
            self._keep(alert)
            self._remember(one["id"] for one in alert["mentions"])
        saved = self._read_state()
        history = [read_window(window) for window in self.windows]
        same = [window for window in history if set(window.counts) == set(self.topics)]
        known = map(read_alert, self.alerts.values())
        self.watch = Watch(settings, topics, same, known, saved and saved["watch"], given)
        self._saved_until = self.watch.closed_until
        self._set_strictness()
        covered = set(saved["covered"]) if saved else set()
        self._open: dict[str, datetime] = {}
        """Ids of the texts of the file of open ones, and their times."""
        for mention in map(read_mention, self._texts.read()):
            self._take_up(mention, mention.id in covered)

    def _take_up(self, mention: Mention, covered: bool) -> None:
        """Count a text of before that nothing covers: neither what was learnt, nor a window that it came late for."""
        if not _is_set(mention.time) or mention.topic not in self.topics:
            return
        late = self.watch.is_late(mention.time)
        known, self._open[mention.id] = mention.id in self._ids, mention.time
        self._remember([mention.id])
        if covered:
            self.watch.recall(mention)
        elif not late:
            self.watch.count(mention)
        elif not known and self._state.exists() and self.watch.reaches(mention.time):
            self._change(self.watch.count(mention), [mention.id])

    def take(self, mentions: Sequence[Mention], now: datetime, new_id: str) -> tuple[list[Alert], list[SetAside]]:
        """Count mentions; return the alerts that raises, and what was set aside, in the order given.

        Args:
            mentions: in any order.
            now: the server's clock.
            new_id: prefix of the ids of new alerts.
        """
        raised: list[Alert] = []
        aside: dict[int, SetAside] = {}
        changed: dict[datetime, tuple[Window, list[str]]] = {}
        for place in sorted(range(len(mentions)), key=lambda place: mentions[place].time):
            mention = mentions[place]
            reason = self._set_aside(mention, now)
            if reason is not None:
                aside[place] = reason
                continue
            self._remember([mention.id])
            self._open[mention.id] = mention.time
            self._texts.write(**mention_dict(mention))
            if not self.watch.is_late(mention.time):
                raised += self._closed(self.watch.add(mention, new_id))
                continue
            window = self.watch.count(mention)
            if window is not None:
                changed.setdefault(window.start, (window, []))[1].append(mention.id)
        for window, ids in changed.values():
            self._change(window, ids)
        self.set_aside.update(one.reason for one in aside.values())
        self._save_closed()
        return raised, [aside[place] for place in sorted(aside)]

    def _set_aside(self, mention: Mention, now: datetime) -> SetAside | None:
        shown, latest = mention.time.isoformat(), now + timedelta(minutes=self.settings.ahead_minutes)
        if mention.id in self._ids:
            return SetAside(mention.id, "repeated", mention.id, "an id counts once")
        if not _is_set(mention.time):
            return SetAside(mention.id, "unset", shown, f"{EARLIEST.isoformat()} to {LATEST.isoformat()}")
        if self.bounded and mention.time > latest:
            return SetAside(mention.id, "ahead", shown, f"up to {latest.isoformat(timespec='seconds')}")
        if self.watch.is_late(mention.time) and not self.watch.reaches(mention.time):
            since = max(self.watch.closed_until or EARLIEST, EARLIEST + REACH) - REACH
            return SetAside(mention.id, "late", shown, f"since {since.isoformat()}")
        return None

    def advance(self, now: datetime, new_id: str) -> list[Alert]:
        """Close the steps and windows that ended by `now`, without grace, and return the alerts that raises."""
        raised = self._closed(self.watch.advance(now, new_id))
        self._save_closed()
        return raised

    def judge(self, id: str, verdict: Verdict, by: str, now: datetime) -> dict[str, Any] | None:
        """Keep what somebody says of an alert, which sets the threshold of those to come; return the alert, None where there is none.

        Args:
            id: of the alert.
            verdict: whether it was a surge, or none.
            by: who says so.
            now: the server's clock.
        """
        if id not in self.alerts:
            return None
        before = self.alerts[id].get("verdict", "")
        alert = replace(read_alert(self.alerts[id]), verdict=verdict, by=by)
        value = alert_dict(alert)
        self._verdicts.write(
            id=id, verdict=verdict, by=by, time=now.isoformat(), kind=alert.kind, of=alert.of, topic=alert.topic
        )
        self.alerts[id] = value
        self._alerts.write(**value)
        if verdict != before:
            self.watch.judge(alert)
        self._set_strictness()
        self._save()
        return value

    def _set_strictness(self) -> None:
        self.watch.series.strictness = strictness(
            map(read_alert, self.alerts.values()), self.settings.false_alarms_a_week
        )

    def _closed(self, closed: Iterable[Closed]) -> list[Alert]:
        """Keep what closed steps brought; return the alerts they raised."""
        new: list[Alert] = []
        for window, raised, longer in closed:
            if window is not None:
                self._change(window, [])
            for alert in (*raised, *longer):
                self._keep(alert_dict(alert))
            for alert in raised:
                self._alerts.write(**alert_dict(alert))  # of one id the last line holds
            if window is not None:
                for alert in longer:
                    self._alerts.write(**alert_dict(alert))
            new += raised
        return new

    def _change(self, window: Window | None, late: Sequence[str]) -> None:
        """Write a window that closed, or that changes by texts that came late; of one start the last line holds."""
        if window is None:
            return
        value = window_dict(window)
        self._windows.write(**value, **({"late": list(late)} if late else {}))
        value |= {"changed": True} if late else {}
        place = next((at for at, one in enumerate(self.windows) if one["start"] == value["start"]), None)
        if place is None:
            self.windows = [*self.windows, value][-self.settings.kept_windows :]
        else:
            self.windows[place] = value

    def _save_closed(self) -> None:
        """Once a request in which a window closed: keep what was learnt, and leave no more of the texts of its windows than their ids."""
        until, length = self.watch.closed_until, self.watch.length
        if until is None or (self._saved_until is not None and until - self._saved_until < length):
            return
        for alert in self.watch.lasting(until):
            self._alerts.write(**alert_dict(alert))
        self._save()
        past = {id for id, time in self._open.items() if time < until - length}
        if past:
            self._counted.write(
                ids=sorted(past)
            )  # before they leave the other file: an id in both counts once all the same
            self._texts.keep(lambda text: text["id"] not in past)
            self._open = {id: time for id, time in self._open.items() if id not in past}

    def _save(self) -> None:
        """Keep what was learnt, and of which open texts."""
        value = {"watch": self.watch.state(), "covered": list(self._open)}
        write_bytes(self._state, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        self._saved_until = self.watch.closed_until

    def _read_state(self) -> dict[str, Any] | None:
        """Return what was kept of what was learnt; None where there is nothing that can be read."""
        try:
            value: dict[str, Any] = json.loads(self._state.read_bytes())
        except (OSError, ValueError):
            return None
        return value

    def _read_windows(self) -> None:
        lines = self._windows.read()
        found: OrderedDict[str, dict[str, Any]] = OrderedDict()
        for line in lines:
            late = line.pop("late", None)
            self._remember(late or ())
            found[line["start"]] = line | (
                {"changed": True} if late or found.get(line["start"], {}).get("changed") else {}
            )
        self.windows = sorted(found.values(), key=lambda one: str(one["start"]))[-self.settings.kept_windows :]
        if len(lines) > 4 * self.settings.kept_windows:
            oldest = self.windows[0]["start"]
            self._windows.keep(lambda line: line["start"] >= oldest)

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


def strictness(alerts: Iterable[Alert], allowed_a_week: float) -> float:
    """Return by what the allowed false alarms are divided, so that as many are dismissed as are allowed.

    The mean of a gamma distribution: dismissed ones beside those that were allowed in that time, both with one more, which is what
    nothing judged comes to. Of alerts that nobody judged nothing is concluded.

    Args:
        alerts: judged or not.
        allowed_a_week: false alarms a week.
    """
    known = list(alerts)
    judged = [alert for alert in known if alert.verdict]
    if not judged:
        return 1.0
    weeks = max(1.0, (max(one.end for one in known) - min(one.start for one in known)) / timedelta(days=7))
    dismissed = sum(alert.verdict == "dismissed" for alert in judged)
    allowed = allowed_a_week * weeks * len(judged) / len(known)
    return min(MOST_STRICT, max(LEAST_STRICT, (dismissed + 1) / (allowed + 1)))


def erase_authors(folder: Path, authors: Collection[str]) -> None:
    """Take the texts of authors, by pseudonym, out of what a stream and its stories keep; what was counted stays counted.

    Args:
        folder: of a stream; what was read of it before must be read anew.
        authors: whose texts go.

    Raises:
        ResourceError: the disk is full.
    """
    for name, drop in (("alerts", ()), ("open", ()), ("stories", ("text",))):
        log = MetricsLog(folder / f"{name}.jsonl")
        if log.path.exists():
            log.rewrite(partial(_without, authors=authors, drop=drop))


def _without(record: dict[str, Any], authors: Collection[str], drop: Sequence[str]) -> dict[str, Any]:
    """Return a record without what authors said: its own words, and texts that it lists."""
    if record.get("author") in authors:
        record = {key: value for key, value in record.items() if key not in drop}
        record |= {key: "" for key in ("text", "author", "link") if key in record}
    if "mentions" not in record:
        return record
    lists = {name: [one for one in record.get(name, ()) if one.get("author") not in authors] for name in LISTS}
    left = {one["id"] for one in lists["mentions"]}
    return record | lists | {"telling": [id for id in record.get("telling", ()) if id in left], "texts": len(left)}


def _is_set(time: datetime) -> bool:
    return EARLIEST <= time < LATEST
