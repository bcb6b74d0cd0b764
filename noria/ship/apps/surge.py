"""Surges of negative texts: exact tests of the present window against the windows before it, with false alarms bounded.

A window raises an alert when its negatives on a topic are too many both for the time and for the traffic, that is the texts on
all topics: the larger of two exact p-values must fall below the threshold. So a busy hour alone raises none, and a topic that
is mostly complained of still raises one when the complaints multiply. With m topics and windows of w, the threshold is (false alarms allowed a week) x w / (a week) / m; expectations add up whether or not the tests are
independent, so the promise needs no more than that each test is exact (it is conservative).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

from noria.core.settings import Settings

WEEK = timedelta(days=7)


class WatchSettings(Settings):
    """How negative texts are watched."""

    window_minutes: Annotated[float, Field(gt=0, le=7 * 1440)] = 60.0
    """Length of a window, in minutes."""
    baseline_windows: Annotated[int, Field(ge=2, le=1_000)] = 24
    """Windows before the present one that it is compared with."""
    warm_up_windows: Annotated[int, Field(ge=1, le=1_000)] = 6
    """Windows that must have passed before the first test."""
    false_alarms_a_week: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Most false alarms to expect in a week, over all topics."""
    least_negatives: Annotated[int, Field(ge=1, le=100_000)] = 5
    """Negative texts a window must hold before it can raise an alert."""
    kept_texts: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Most texts kept with a window and topic, and listed by an alert."""
    kept_alerts: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Most alerts kept; the oldest is forgotten first."""


@dataclass(frozen=True)
class Mention:
    """One text that was watched."""

    id: str
    time: datetime
    topic: str
    negative: bool
    score: float
    """Probability of its label."""
    text: str
    """Masked for personal data."""
    entities: tuple[str, ...] = ()


@dataclass
class Count:
    """Texts of one topic in one window."""

    total: int = 0
    negative: int = 0
    surge: bool = False
    """It was part of a surge, and no baseline for what follows."""


@dataclass
class Alert:
    """A surge of negative texts on one topic; it grows while the surge lasts."""

    id: str
    topic: str
    start: datetime
    end: datetime
    negative: int
    total: int
    baseline_negative: int
    baseline_total: int
    baseline_windows: int
    p: float
    """The larger p-value of the two exact tests, in the window that raised it."""
    threshold: float
    mentions: list[Mention] = field(default_factory=list)


@dataclass(frozen=True)
class Window:
    """A closed window."""

    start: datetime
    counts: dict[str, Count]

    @property
    def texts(self) -> int:
        """Return the texts on all topics."""
        return sum(count.total for count in self.counts.values())


class Watch:
    """Counts mentions by window and topic, and tells surges. Memory is bounded by the settings.

    Args:
        settings: see `WatchSettings`.
        topics: all topics; each is tested in every window.
        history: windows closed before, oldest first.
    """

    def __init__(self, settings: WatchSettings, topics: Sequence[str], history: Sequence[Window] = ()) -> None:
        self.settings = settings
        self.topics = tuple(topics)
        self.length = timedelta(minutes=settings.window_minutes)
        self.threshold = settings.false_alarms_a_week * (self.length / WEEK) / len(self.topics)
        self.history: deque[Window] = deque(history, maxlen=settings.baseline_windows)
        self.late = 0
        """Mentions that came after their window was closed; they are counted nowhere else."""
        self._start: datetime | None = self.history[-1].start + self.length if self.history else None
        self._counts: dict[str, Count] = {}
        self._mentions: dict[str, list[Mention]] = {}
        self._lasting: dict[str, tuple[Alert, int]] = {}

    def add(self, mention: Mention, new_id: str) -> Iterator[tuple[Window, list[Alert], list[Alert]]]:
        """Count a mention, after closing the windows that ended before it; yields as `advance`."""
        yield from self.advance(mention.time, new_id)
        if self._start is not None and mention.time < self._start:
            self.late += 1
            return
        count = self._counts.setdefault(mention.topic, Count())
        count.total += 1
        if mention.negative:
            count.negative += 1
            kept = self._mentions.setdefault(mention.topic, [])
            if len(kept) < self.settings.kept_texts:
                kept.append(mention)

    def advance(self, now: datetime, new_id: str) -> Iterator[tuple[Window, list[Alert], list[Alert]]]:
        """Close every window that ended by `now`; yields each with the alerts it raised and those it made longer.

        Args:
            now: the clock; it may be replayed, and never runs back.
            new_id: prefix of the ids of new alerts.
        """
        if self._start is None:
            self._start = _floor(now, self.length)
        if now - self._start > self.length * (self.settings.baseline_windows + 1):
            # A gap longer than the baseline leaves nothing to compare with: close the open window, forget, start anew.
            yield self._close(new_id)
            self.history.clear()
            self._lasting.clear()
            self._start = _floor(now, self.length)
        while now >= self._start + self.length:
            yield self._close(new_id)

    def _close(self, new_id: str) -> tuple[Window, list[Alert], list[Alert]]:
        assert self._start is not None
        window = Window(self._start, {topic: self._counts.get(topic, Count()) for topic in self.topics})
        raised, longer = [], []
        for topic in self.topics:
            alert, is_new = self._test(topic, window, new_id)
            if alert is not None:
                (raised if is_new else longer).append(alert)
        self.history.append(window)
        self._start += self.length
        self._counts, self._mentions = {}, {}
        return window, raised, longer

    def _test(self, topic: str, window: Window, new_id: str) -> tuple[Alert | None, bool]:
        count = window.counts[topic]
        before = [past for past in self.history if topic in past.counts and not past.counts[topic].surge]
        lasting = self._lasting.pop(topic, None)
        if len(before) < min(self.settings.warm_up_windows, self.settings.baseline_windows // 2):
            return None, False
        negative = sum(past.counts[topic].negative for past in before)
        total = sum(past.counts[topic].total for past in before)
        p = surge_p(count.negative, window.texts, negative, sum(past.texts for past in before), len(before))
        if count.negative < self.settings.least_negatives or p > self.threshold:
            return None, False
        mentions = self._mentions.get(topic, [])
        if lasting:
            alert, windows = lasting
            alert.end, alert.negative, alert.total = (
                window.start + self.length,
                alert.negative + count.negative,
                alert.total + count.total,
            )
            alert.mentions += mentions[: self.settings.kept_texts - len(alert.mentions)]
        else:
            windows = 0
            alert = Alert(
                f"{new_id}:{topic}", topic, window.start, window.start + self.length, count.negative, count.total, negative,
                total, len(before), p, self.threshold, list(mentions),
            )  # fmt: skip
        # What lasts longer than half the baseline is no surge any more but the new level, and counts as baseline.
        count.surge = windows < self.settings.baseline_windows // 2
        self._lasting[topic] = (alert, windows + 1)
        return alert, lasting is None


def surge_p(negative: int, total: int, before_negative: int, before_total: int, windows: int) -> float:
    """Return the larger of two exact one-sided p-values for a surge of negatives in one window after `windows` others.

    For the time: given all negatives, those of the window are binomial with chance 1 / (1 + windows) if the rate did not
    change (Przyborowski and Wilenski 1940). For the traffic: given all texts and all negatives, those of the window are
    hypergeometric if their share of the texts did not change (Fisher 1935). Both must be small for a surge.

    Args:
        negative: negative texts in the window.
        total: texts of every kind in the window.
        before_negative: negative texts in the windows before.
        before_total: texts of every kind in the windows before.
        windows: how many windows before.

    >>> round(surge_p(negative=9, total=10, before_negative=20, before_total=60, windows=6), 5)
    0.0166
    """
    negatives, texts = negative + before_negative, total + before_total
    by_time = binomial_tail(negative, negatives, 1 / (1 + windows))
    by_traffic = hypergeometric_tail(negative, total, negatives, texts)
    return max(by_time, by_traffic)


def binomial_tail(least: int, n: int, chance: float) -> float:
    """Return P(X >= least) for X binomial(n, chance)."""
    if least <= 0:
        return 1.0
    logs = [_log_choose(n, k) + k * math.log(chance) + (n - k) * math.log1p(-chance) for k in range(least, n + 1)]
    return min(1.0, math.fsum(map(math.exp, logs)))


def hypergeometric_tail(least: int, drawn: int, marked: int, n: int) -> float:
    """Return P(X >= least) for X marked ones among `drawn` of `n`, of which `marked` are marked."""
    whole = _log_choose(n, drawn)
    first, last = max(least, drawn + marked - n, 0), min(drawn, marked)
    logs = [_log_choose(marked, k) + _log_choose(n - marked, drawn - k) - whole for k in range(first, last + 1)]
    return min(1.0, math.fsum(map(math.exp, logs)))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _floor(moment: datetime, length: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // length * length


def alert_dict(alert: Alert, *, texts: bool = True) -> dict[str, Any]:
    """Return an alert as JSON-able dict, with its texts or only their number."""
    value = {
        name: getattr(alert, name)
        for name in ("id", "topic", "negative", "total", "baseline_negative", "baseline_total", "baseline_windows", "p", "threshold")
    }  # fmt: skip
    value |= {"start": alert.start.isoformat(), "end": alert.end.isoformat()}
    if texts:
        value["mentions"] = [mention_dict(mention) for mention in alert.mentions]
    return value | {"texts": len(alert.mentions)}


def mention_dict(mention: Mention) -> dict[str, Any]:
    """Return a mention as JSON-able dict."""
    return {
        "id": mention.id, "time": mention.time.isoformat(), "topic": mention.topic, "negative": mention.negative,
        "score": mention.score, "text": mention.text, "entities": list(mention.entities),
    }  # fmt: skip


def window_dict(window: Window) -> dict[str, Any]:
    """Return a closed window as JSON-able dict."""
    counts = {topic: {"total": count.total, "negative": count.negative, "surge": count.surge}
              for topic, count in window.counts.items()}  # fmt: skip
    return {"start": window.start.isoformat(), "counts": counts}


def read_window(value: dict[str, Any]) -> Window:
    """Return the window that `window_dict` gave."""
    return Window(
        datetime.fromisoformat(value["start"]), {topic: Count(**count) for topic, count in value["counts"].items()}
    )
