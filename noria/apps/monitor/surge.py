"""Surges of negative texts: the present window against the windows before it, with counts as uneven as they were found.

A window raises an alert when its negatives on a topic are too many both for the time and for the traffic, that is the texts on
all topics: the larger of two p-values must fall below the threshold. So a busy hour alone raises none, and a topic that
is mostly complained of still raises one when the complaints multiply. Real counts vary more than those of independent texts at
a constant rate: how much more is measured on the windows before, and both tests allow for it. After an alert a topic is held
off for a while, in which what follows belongs to the same alert.

The threshold aims at so many false alarms a week: with m topics and windows of w it is (alarms a week) x w / (a week) / m. It
is an aim and no promise: it holds where windows vary as they did before, and real streams also have rhythms and shocks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from noria.apps.settings import WatchSettings

WEEK = timedelta(days=7)


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
    source: str = ""
    """Where it was found, as in the name of a feed."""
    author: str = ""
    link: str = ""
    story: str = ""
    """What it tells, so that reposts of one story are known; a text without it is a story of its own."""


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


@dataclass
class _Open:
    """A window that still takes texts."""

    counts: dict[str, Count] = field(default_factory=dict)
    mentions: dict[str, list[Mention]] = field(default_factory=dict)


Closed = tuple[Window, list[Alert], list[Alert]]
"""A closed window, the alerts it raised, and those it made longer."""


class Watch:
    """Counts mentions by window and topic, and tells surges. Memory is bounded by the settings.

    Args:
        settings: see `WatchSettings`.
        topics: all topics; each is tested in every window.
        history: windows closed before, oldest first.
        alerts: alerts raised before, oldest first: what follows on their topics may belong to them.
    """

    def __init__(
        self,
        settings: WatchSettings,
        topics: Sequence[str],
        history: Sequence[Window] = (),
        alerts: Iterable[Alert] = (),
    ) -> None:
        self.settings = settings
        self.topics = tuple(topics)
        self.length = timedelta(minutes=settings.window_minutes)
        grace = settings.window_minutes / 4 if settings.grace_minutes is None else settings.grace_minutes
        self.grace = timedelta(minutes=grace)
        self.threshold = settings.false_alarms_a_week * (self.length / WEEK) / len(self.topics)
        self.history: deque[Window] = deque(history, maxlen=settings.baseline_windows)
        self.closed_until: datetime | None = self.history[-1].start + self.length if self.history else None
        """Texts said before are late."""
        self._open: dict[datetime, _Open] = {}
        self._lasting = {alert.topic: (alert, round((alert.end - alert.start) / self.length)) for alert in alerts}
        """Topic -> its last alert, and for how many windows it has been a surge."""

    def is_late(self, time: datetime) -> bool:
        """Return whether the window of a time is closed."""
        return self.closed_until is not None and time < self.closed_until

    @property
    def open_since(self) -> datetime | None:
        """Return when the first window that is open began; None where none is."""
        return min(self._open, default=None)

    def count(self, mention: Mention) -> None:
        """Count a mention in its window, which must not be closed."""
        window = self._open.setdefault(_floor(mention.time, self.length), _Open())
        count = window.counts.setdefault(mention.topic, Count())
        count.total += 1
        if mention.negative:
            count.negative += 1
            kept = window.mentions.setdefault(mention.topic, [])
            if len(kept) < self.settings.kept_texts:
                kept.append(mention)

    def add(self, mention: Mention, new_id: str) -> Iterator[Closed]:
        """Count a mention that is not late, after closing the windows whose grace ended before it; yields as `advance`."""
        yield from self.advance(mention.time - self.grace, new_id)
        self.count(mention)

    def advance(self, now: datetime, new_id: str) -> Iterator[Closed]:
        """Close every window that ended by `now`; yields each with the alerts it raised and those it made longer.

        Args:
            now: the clock; what runs back closes nothing.
            new_id: prefix of the ids of new alerts.
        """
        start = self.closed_until or self.open_since
        while start is not None and start + self.length <= now:
            if not self._open and now - start > self.length * (self.settings.baseline_windows + 1):
                # A gap longer than the baseline leaves nothing to compare with: forget, and start anew.
                self.history.clear()
                self._lasting.clear()
                self.closed_until = _floor(now, self.length)
                return
            self.closed_until = start + self.length
            yield self._close(start, self._open.pop(start, _Open()), new_id)
            start = self.closed_until
            if self._open and min(self._open) - start > self.length * (self.settings.baseline_windows + 1):
                self.history.clear()
                self._lasting.clear()
                start = min(self._open)

    def _close(self, start: datetime, found: _Open, new_id: str) -> Closed:
        window = Window(start, {topic: found.counts.get(topic, Count()) for topic in self.topics})
        raised: list[Alert] = []
        longer: list[Alert] = []
        for topic in self.topics:
            alert, is_new = self._test(topic, window, found.mentions.get(topic, []), new_id)
            if alert is not None:
                (raised if is_new else longer).append(alert)
        self.history.append(window)
        return window, raised, longer

    def _test(self, topic: str, window: Window, mentions: list[Mention], new_id: str) -> tuple[Alert | None, bool]:
        count = window.counts[topic]
        if count.negative < self.settings.least_negatives:
            return None, False
        before = [past for past in self.history if topic in past.counts and not past.counts[topic].surge]
        if len(before) < min(self.settings.warm_up_windows, self.settings.baseline_windows // 2):
            return None, False
        negatives = [past.counts[topic].negative for past in before]
        p = surge_p(count.negative, window.texts, negatives, sum(past.texts for past in before))
        if p > self.threshold:
            return None, False
        alert, windows = self._lasting.get(topic, (None, 0))
        end = window.start + self.length
        is_new = alert is None or window.start - alert.end > self.length * self.settings.hold_off_windows
        if alert is None or is_new:
            total = sum(past.counts[topic].total for past in before)
            windows = 0
            alert = Alert(
                f"{new_id}:{topic}",
                topic,
                window.start,
                end,
                count.negative,
                count.total,
                sum(negatives),
                total,
                len(before),
                p,
                self.threshold,
                list(mentions),
            )
        else:
            alert.end, alert.negative, alert.total = end, alert.negative + count.negative, alert.total + count.total
            alert.mentions += mentions[: self.settings.kept_texts - len(alert.mentions)]
        # What lasts longer than half the baseline is no surge any more but the new level, and counts as baseline.
        count.surge = windows < self.settings.baseline_windows // 2
        self._lasting[topic] = (alert, windows + 1)
        return alert, is_new


def surge_p(negative: int, total: int, before_negatives: Sequence[int], before_total: int) -> float:
    """Return the larger of two one-sided p-values for a surge of negatives in one window after others.

    For the time: given all negatives, those of the window are binomial with chance 1 / (1 + windows) if the rate did not
    change (Przyborowski and Wilenski 1940); where the windows before vary more than that allows, they are negative binomial
    with that variance. For the traffic: given all texts and all negatives, those of the window are hypergeometric if their
    share of the texts did not change (Fisher 1935); texts that come in clusters count as so many fewer. Both must be small.

    Args:
        negative: negative texts in the window.
        total: texts of every kind in the window.
        before_negatives: negative texts in each of the windows before.
        before_total: texts of every kind in the windows before.

    >>> round(surge_p(negative=9, total=10, before_negatives=[3, 4, 3, 3, 4, 3], before_total=60), 5)
    0.0166
    """
    before, windows = sum(before_negatives), len(before_negatives)
    spread = dispersion(before_negatives)
    by_time = binomial_tail(negative, negative + before, 1 / (1 + windows))
    if spread > 1:
        # The mean is itself known from so many windows only, which adds its own variance to that of the next one.
        by_time = max(by_time, negative_binomial_tail(negative, before / windows, spread * (1 + 1 / windows)))
    fewer = [round(number / spread) for number in (negative, total, negative + before, total + before_total)]
    return max(by_time, hypergeometric_tail(*fewer))


def dispersion(counts: Sequence[int]) -> float:
    """Return how many times the variance of counts exceeds their mean, at the most likely to be found in one of ten such
    sets, and 1 at least: the upper 90 % bound from the chi-squared distribution of the index of dispersion (Fisher 1925),
    where that index itself is significantly above 1 at the 5 % level; counts that look like independent ones stay so.
    """
    from scipy.special import chdtrc, chdtri

    n, mean = len(counts), sum(counts) / max(len(counts), 1)
    if n < 3 or mean == 0:
        return 1.0
    squares = sum((count - mean) ** 2 for count in counts) / mean
    if chdtrc(n - 1, squares) > 0.05:
        return 1.0
    return max(1.0, float(squares / chdtri(n - 1, 0.9)))


def binomial_tail(least: int, n: int, probability: float) -> float:
    """Return P(X >= least) for X binomial(n, chance)."""
    from scipy.special import betainc

    if least <= 0:
        return 1.0
    return float(betainc(least, n - least + 1, probability)) if least <= n else 0.0


def negative_binomial_tail(least: int, mean: float, spread: float) -> float:
    """Return P(X >= least) for X negative binomial with a mean and a variance of `spread` times it, `spread` above 1."""
    from scipy.special import betainc

    if least <= 0:
        return 1.0
    return float(betainc(least, mean / (spread - 1), 1 - 1 / spread)) if mean > 0 else 0.0


def hypergeometric_tail(least: int, drawn: int, marked: int, n: int) -> float:
    """Return P(X >= least) for X marked ones among `drawn` of `n`, of which `marked` are marked."""
    import numpy as np

    first, last = max(least, drawn + marked - n, 0), min(drawn, marked)
    if first > last:
        return 0.0
    # Terms beyond forty standard deviations above the mean add nothing that a float could hold.
    mean = drawn * marked / n
    wide = 40 * math.sqrt(mean + 1)
    k = np.arange(first, min(last, int(max(first, mean) + wide)) + 1)
    logs = _log_choose(marked, k) + _log_choose(n - marked, drawn - k) - _log_choose(n, drawn)
    return min(1.0, float(np.exp(logs).sum()))


def _log_choose(n: int, k: Any) -> Any:
    from scipy.special import gammaln

    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def _floor(moment: datetime, length: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // length * length


def alert_dict(alert: Alert, *, texts: bool = True) -> dict[str, Any]:
    """Return an alert as JSON-able dict, with its texts or only their number."""
    value = {
        name: getattr(alert, name)
        for name in (
            "id",
            "topic",
            "negative",
            "total",
            "baseline_negative",
            "baseline_total",
            "baseline_windows",
            "p",
            "threshold",
        )
    }
    value |= {"start": alert.start.isoformat(), "end": alert.end.isoformat()}
    if texts:
        value["mentions"] = [mention_dict(mention) for mention in alert.mentions]
    return value | {"texts": len(alert.mentions)}


def read_alert(value: dict[str, Any]) -> Alert:
    """Return the alert that `alert_dict` gave with its texts."""
    facts = {name: fact for name, fact in value.items() if name not in ("texts", "mentions", "start", "end")}
    start, end = datetime.fromisoformat(value["start"]), datetime.fromisoformat(value["end"])
    return Alert(**facts, start=start, end=end, mentions=[read_mention(one) for one in value["mentions"]])


def mention_dict(mention: Mention) -> dict[str, Any]:
    """Return a mention as JSON-able dict."""
    return {**asdict(mention), "time": mention.time.isoformat(), "entities": list(mention.entities)}


def window_dict(window: Window) -> dict[str, Any]:
    """Return a closed window as JSON-able dict."""
    counts = {
        topic: {"total": count.total, "negative": count.negative, "surge": count.surge}
        for topic, count in window.counts.items()
    }
    return {"start": window.start.isoformat(), "counts": counts}


def read_mention(value: dict[str, Any]) -> Mention:
    """Return the mention that `mention_dict` gave."""
    return Mention(**{**value, "time": datetime.fromisoformat(value["time"]), "entities": tuple(value["entities"])})


def read_window(value: dict[str, Any]) -> Window:
    """Return the window that `window_dict` gave."""
    return Window(
        datetime.fromisoformat(value["start"]), {topic: Count(**count) for topic, count in value["counts"].items()}
    )
