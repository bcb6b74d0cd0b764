"""The watch: texts counted by step, topic, entity, aspect and source; what their series raise becomes alerts with the texts behind them.

Steps are minutes and windows hours: steps are what is tested, windows what is shown and kept. A text that comes late is counted when
it was said, up to a day later. Reposts of a story are counted apart. Memory is bounded by the settings, however many texts,
names and sources come.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from noria.apps.settings import WatchSettings

from .alarms import Finding
from .counts import interval
from .series import AllSeries, Key
from .surge import TELLING, Alert, Count, Kind, Mention, Window, read_window, window_dict

FORGET = timedelta(days=14)
"""A gap longer than this leaves nothing to compare with."""
REACH = timedelta(days=1)
"""Texts up to so late are counted when they were said."""
BASELINE_WINDOWS = 96
"""Windows whose negatives and texts an alert tells beside its own."""
WARM_WINDOWS = 336
"""Windows of a version that kept no state, from which levels and rhythms are learnt."""
STORIES, KEPT_STORIES = 50_000, 5_000
"""Stories remembered, and those of them that outlive a restart."""
WINDOW_ENTITIES = 100
"""Entities kept with a closed window: those named most."""
STREAM = "stream"
"""The source of texts that tell none."""
Closed = tuple[Window | None, list[Alert], list[Alert]]
"""What the end of a step brought: the window that closed with it, the alerts it raised, and those it made longer."""


class Watch:
    """Counts mentions and tells surges.

    Args:
        settings: see `WatchSettings`.
        topics: all topics.
        history: windows closed before, oldest first.
        alerts: alerts raised before, oldest first: what follows may belong to them.
        state: what `state` gave; without it levels and rhythms are learnt from the windows.
        given: entities that a team has listed: they stay while others make room.
    """

    def __init__(
        self,
        settings: WatchSettings,
        topics: Sequence[str],
        history: Sequence[Window] = (),
        alerts: Iterable[Alert] = (),
        state: Mapping[str, Any] | None = None,
        given: Collection[str] = (),
    ) -> None:
        self.settings, self.topics, self.given = settings, tuple(topics), frozenset(given)
        self.length = timedelta(minutes=settings.window_minutes)
        self.step = timedelta(minutes=min(settings.step_minutes, settings.window_minutes))
        self.grace = timedelta(minutes=settings.grace_minutes)
        self.hold_off = timedelta(hours=settings.hold_off_hours)
        self.series = AllSeries(settings, topics, self.step / timedelta(minutes=1), self.given)
        self.history: deque[Window] = deque(history, maxlen=settings.kept_windows)
        self.closed_until: datetime | None = None
        """Up to when steps are closed."""
        self._next: datetime | None = None
        """The first window that is not closed."""
        self._windows: dict[datetime, Window] = {}
        """Those that still take texts."""
        self._open: dict[datetime, dict[Key, list[int]]] = {}
        """Step -> topic, entity, aspect or source -> texts, negatives."""
        self._stories: OrderedDict[str, None] = OrderedDict()
        self._lasting = {(alert.kind, alert.of, alert.topic): alert for alert in alerts}
        """What -> its last alert."""
        self._opening_raised = False
        self.unwatched_until: datetime | None = None
        """Nobody watched until then since the state was kept: that nothing came is no silence."""
        if state is not None and state["series"]["step_minutes"] == self.series.step_minutes:
            self._restore(state)
        elif self.history:
            for window in list(self.history)[-WARM_WINDOWS:]:
                self.series.learn(window, max(1, round(self.length / self.step)))
            self.closed_until = self._next = self.history[-1].start + self.length

    def is_late(self, time: datetime) -> bool:
        """Return whether the step of a time is closed."""
        return self.closed_until is not None and time < self.closed_until

    def reaches(self, time: datetime) -> bool:
        """Return whether a text that is late can still be counted when it was said."""
        if self.closed_until is None or time < self.closed_until - REACH:
            return False
        at = _floor(time, self.length)
        return (self._next is not None and at >= self._next) or self._closed_window(at) is not None

    @property
    def open_since(self) -> datetime | None:
        """Return when the first step that is open began; None where none is."""
        return min(self._open, default=None)

    def _closed_window(self, at: datetime) -> Window | None:
        return next((window for window in reversed(self.history) if window.start == at), None)

    def _new_window(self, at: datetime) -> Window:
        return Window(at, {topic: Count() for topic in self.topics})

    def count(self, mention: Mention) -> Window | None:
        """Count a mention when it was said, late or not; return the closed window that changes, if one does."""
        at = _floor(mention.time, self.length)
        closed = None if at in self._windows else self._closed_window(at)
        window = closed or self._windows.setdefault(at, self._new_window(at))
        again = self._is_repost(mention.story)
        for key in _keys(mention):
            pair, count, negative = self.series.pair(key), self._count(window, key), mention.is_negative(*key)
            if again:
                count.reposts += 1
                pair.reposts.append(mention.time)
                continue
            count.total += 1
            count.negative += negative
            (pair.bad if negative else pair.good).append(mention)
            self._add(mention.time, key, 1, int(negative))
        source = mention.source or STREAM
        self.series.source(source)
        self._add(mention.time, ("source", source), 1, 0)
        return closed

    def _count(self, window: Window, key: Key) -> Count:
        if key[0] == "topic":
            return window.counts.setdefault(key[1], Count())
        if key[0] == "aspect":
            return window.aspects.setdefault(key[1], Count())
        if key[1] not in window.entities and len(window.entities) >= 10 * WINDOW_ENTITIES:
            return Count()
        return window.entities.setdefault(key[1], Count())

    def _is_repost(self, story: str) -> bool:
        """Return whether a story was told before, and remember it."""
        if not story:
            return False
        again = story in self._stories
        self._stories[story] = None
        self._stories.move_to_end(story)
        if len(self._stories) > STORIES:
            self._stories.popitem(last=False)
        return again

    def _add(self, time: datetime, key: Key, texts: int, negatives: int) -> None:
        step = _floor(time, self.step)
        if self.closed_until is not None and step < self.closed_until:
            self.series.amend(key, round((self.closed_until - step) / self.step), texts, negatives)
            return
        counts = self._open.setdefault(step, {}).setdefault(key, [0, 0])
        counts[0] += texts
        counts[1] += negatives

    def add(self, mention: Mention, new_id: str) -> Iterator[Closed]:
        """Count a mention that is not late, after closing the steps whose grace ended before it; yields as `advance`."""
        yield from self.advance(mention.time - self.grace, new_id)
        self.count(mention)

    def advance(self, now: datetime, new_id: str) -> Iterator[Closed]:
        """Close every step that ended by `now`; yields what each brought.

        Args:
            now: the clock; what runs back closes nothing.
            new_id: prefix of the ids of new alerts.
        """
        start = self.closed_until or self.open_since
        while start is not None and start + self.step <= now:
            until = self.open_since or _floor(now, self.step)
            if until - start > FORGET:
                yield from ((window, [], []) for window in self._forget(until))
                start = self.closed_until = until
                continue
            self._next = self._next or _floor(start, self.length)
            raised, longer = self._close(start, self._open.pop(start, {}), new_id)
            start = self.closed_until = start + self.step
            window = None
            if self._next + self.length <= start:
                window = self._close_window(self._windows.pop(self._next, self._new_window(self._next)))
                self._next += self.length
            yield window, raised, longer

    def _forget(self, until: datetime) -> list[Window]:
        """Start anew behind a gap; return the windows before it that were still open."""
        past = [self._windows.pop(at) for at in sorted(self._windows) if at + self.length <= until]
        self.series = AllSeries(self.settings, self.topics, self.series.step_minutes, self.given)
        for key in (key for counts in self._open.values() for key in counts):
            self.series.source(key[1]) if key[0] == "source" else self.series.pair(key)
        self._lasting.clear()
        self.history.clear()
        self._next, self._opening_raised = None, False
        return past

    def _close_window(self, window: Window) -> Window:
        if len(window.entities) > WINDOW_ENTITIES:
            most = sorted(window.entities.items(), key=lambda one: -one[1].total)[:WINDOW_ENTITIES]
            window.entities.clear()
            window.entities.update(most)
        self.history.append(window)
        return window

    def _close(
        self, start: datetime, found: Mapping[Key, Sequence[int]], new_id: str
    ) -> tuple[list[Alert], list[Alert]]:
        raised: list[Alert] = []
        longer: list[Alert] = []
        opening, end = self.series.is_opening, start + self.step
        unwatched = self.unwatched_until is not None and start < self.unwatched_until
        for kind, key, finding in self.series.add(start.timestamp(), found, hushed=unwatched):
            window = self._windows.setdefault(_floor(start, self.length), self._new_window(_floor(start, self.length)))
            if key[0] != "source":
                self._count(window, key).surge = True
            last = self._lasting.get((kind, *key))
            worse = self._lasting.get(("negatives", *key)) if kind == "volume" else None
            if worse is not None and end - worse.end <= self.hold_off:
                continue  # the same texts, and what matters of them is told
            if last is not None and end - last.end <= self.hold_off:
                self._lengthen(last, key, end)
                longer.append(last)
            elif finding.is_new:
                id = f"{new_id}:{self.series.everything.n}-{len(raised)}"
                raised.append(self._alert(id, finding, kind, key, end))
        if opening and raised:
            # While nothing is known all that is busy looks like a surge: only the most improbable one is told.
            most = max(raised, key=lambda alert: alert.surprise)
            for alert in raised:
                if self._opening_raised or alert is not most:
                    del self._lasting[alert.kind, alert.of, alert.topic]
            raised, self._opening_raised = [] if self._opening_raised else [most], True
        return raised, longer

    def _alert(self, id: str, finding: Finding, kind: Kind, key: Key, end: datetime) -> Alert:
        start = end - finding.steps * self.step
        before = [window.counts for window in self.history if window.start < start][-BASELINE_WINDOWS:]
        past = [counts[key[1]] for counts in before if key[0] == "topic" and key[1] in counts]
        low, high = interval(finding.expected, finding.uneven)
        alert = Alert(
            id,
            key[1],
            start,
            start,
            0,
            0,
            sum(count.negative for count in past),
            sum(count.total for count in past),
            len(past),
            math.exp(-(finding.surprise**2) / 2),
            math.exp(-(finding.alarm**2) / 2),
            kind=kind,
            of=key[0],
            found=round(finding.steps * self.series.step_minutes if kind == "silence" else finding.found),
            expected=float(f"{finding.expected:.3g}"),
            low=low,
            high=high,
            a_week=float(f"{finding.rate * len(self.series):.3g}"),
            history_hours=round(self.series.everything.n * self.series.step_minutes / 60, 1),
            surprise=round(finding.surprise, 4),
            scale=finding.scale,
        )
        self._lengthen(alert, key, end)
        self._lasting[kind, key[0], key[1]] = alert
        return alert

    def _lengthen(self, alert: Alert, key: Key, end: datetime) -> None:
        """Count what came since the alert's end, and keep its first texts and the other voices."""
        if end <= alert.end:
            return  # what is counted again after a kill
        steps, alert.end = round((end - alert.end) / self.step), end
        if key[0] == "source":
            return
        pair = self.series.pair(key)
        alert.total += round(pair.volume.history.total(steps))
        alert.negative += round(pair.negatives.history.total(steps))
        alert.reposts = sum(time >= alert.start for time in pair.reposts)
        known = {one.id for one in alert.mentions}
        about = pair.bad if alert.kind == "negatives" else [*pair.bad, *pair.good]
        new = sorted((one for one in about if alert.start <= one.time < end and one.id not in known), key=_when)
        alert.mentions += new[: self.settings.kept_texts - len(alert.mentions)]
        if alert.kind == "negatives":
            voices = {one.id: one for one in (*alert.voices, *(one for one in pair.good if one.time >= alert.start))}
            alert.voices = sorted(voices.values(), key=lambda one: -one.sureness(*key))[:TELLING]

    def lasting(self, now: datetime) -> list[Alert]:
        """Return the alerts that may still go on."""
        return [alert for alert in self._lasting.values() if now - alert.end <= self.hold_off]

    def recall(self, mention: Mention) -> None:
        """Know a text again that was counted before a restart, so that alerts can list it."""
        for key in _keys(mention):
            pair = self.series.pair(key)
            (pair.bad if mention.is_negative(*key) else pair.good).append(mention)

    def judge(self, alert: Alert) -> None:
        """Learn from a verdict: a surge that was one is no example of what chance brings, one that was none is."""
        watched = self.series.watched(alert)
        if watched is not None and self.closed_until is not None and alert.surprise:
            steps = [round((self.closed_until - time) / self.step) for time in (alert.start, alert.end)]
            for scale, tail in enumerate(watched.tails):
                tail.dismissed = [value for value in tail.dismissed if value != alert.surprise]
                if alert.verdict == "confirmed":
                    tail.confirm(*steps)
                elif scale == alert.scale:
                    tail.dismiss(alert.surprise)
        last = self._lasting.get((alert.kind, alert.of, alert.topic))
        if last is not None and last.id == alert.id:
            last.verdict, last.by = alert.verdict, alert.by

    def state(self) -> dict[str, Any]:
        """Return all that was learnt and is not in the closed windows, JSON-able."""
        return {
            "series": self.series.state(),
            "closed_until": self.closed_until and self.closed_until.isoformat(),
            "next": self._next and self._next.isoformat(),
            "windows": [window_dict(window) for window in self._windows.values()],
            "open": [
                [step.isoformat(), [[*key, *found] for key, found in counts.items()]]
                for step, counts in self._open.items()
            ],
            "stories": list(self._stories)[-KEPT_STORIES:],
            "opening_raised": self._opening_raised,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.series.restore(state["series"])
        self._stories = OrderedDict.fromkeys(state["stories"])
        self._windows = {window.start: window for window in map(read_window, state["windows"])}
        self._open = {
            datetime.fromisoformat(step): {(of, name): [texts, negatives] for of, name, texts, negatives in counts}
            for step, counts in state["open"]
        }
        self._opening_raised = state["opening_raised"]
        self.closed_until, self._next = (
            datetime.fromisoformat(state[name]) if state[name] else None for name in ("closed_until", "next")
        )


def _keys(mention: Mention) -> list[Key]:
    """Return all that a text counts to, its source apart."""
    entities: list[Key] = [("entity", name) for name in dict.fromkeys(mention.entities)]
    aspects: list[Key] = [("aspect", name) for name in mention.by_aspect]
    return [("topic", mention.topic), *entities, *aspects]


def _when(mention: Mention) -> datetime:
    return mention.time


def _floor(moment: datetime, length: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // length * length
