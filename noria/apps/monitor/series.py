"""All series that are watched: of every topic, entity and aspect its negatives and its texts, of every source its texts.

A series may raise so many false alarms a week as are allowed over all, divided by how many there are. Negatives are too many for the
time and for the traffic: where all other texts are busier than expected, so much more is expected of them. Topics are watched from
the start, the others from their first text on; entities and sources not named for longest make room for new ones, and those that
a team has given last of all.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from noria.apps.settings import WatchSettings

from .alarms import Finding, Silences, Surges
from .counts import OPENING_MINUTES, History
from .surge import Alert, Count, Kind, Mention, Of, Window

ENTITY_TEXTS = 50
"""Last texts kept of an entity; of a topic as many as an alert lists."""
Key = tuple[Of, str]
Found = tuple[Kind, Key, Finding]


@dataclass
class Pair:
    """What is known of one topic, entity or aspect."""

    negatives: Surges
    volume: Surges
    bad: deque[Mention]
    """The last negative texts, and the last others."""
    good: deque[Mention]
    reposts: deque[datetime] = field(default_factory=lambda: deque(maxlen=1_000))


class AllSeries:
    """The series of one stream.

    Args:
        settings: how they are watched.
        topics: all topics.
        step_minutes: length of a step.
        given: entities that stay while others make room.
    """

    def __init__(
        self, settings: WatchSettings, topics: Sequence[str], step_minutes: float, given: Collection[str] = ()
    ) -> None:
        self.settings, self.step_minutes, self.given = settings, step_minutes, frozenset(given)
        self.everything = History(step_minutes)
        """Of all texts."""
        self.strictness = 1.0
        """By what verdicts make the allowed false alarms fewer."""
        self._pairs: OrderedDict[Key, Pair] = OrderedDict()
        for topic in topics:
            self._pairs["topic", topic] = self._new(settings.kept_texts)
        self._sources: OrderedDict[str, Silences] = OrderedDict()

    def __len__(self) -> int:
        return 2 * len(self._pairs) + len(self._sources)

    def _new(self, kept: int, unseen: float = 0.0) -> Pair:
        off = 60 * self.settings.hold_off_hours
        negatives, volume = Surges(self.step_minutes, off, unseen), Surges(self.step_minutes, off, unseen)
        return Pair(negatives, volume, deque(maxlen=kept), deque(maxlen=kept))

    @property
    def is_opening(self) -> bool:
        """Return whether what is looked at may reach back to where nothing was known."""
        return self.everything.n < 2 * OPENING_MINUTES / self.step_minutes

    def pair(self, key: Key) -> Pair:
        """Return the series of a topic, entity or aspect, made where it is new."""
        if key not in self._pairs:
            entities = [one for one in self._pairs if one[0] == "entity"]
            if key[0] == "entity" and entities and len(entities) >= self.settings.most_entities:
                del self._pairs[next((one for one in entities if one[1] not in self.given), entities[0])]
            # It was not named since the watch began.
            self._pairs[key] = self._new(min(ENTITY_TEXTS, self.settings.kept_texts), float(self.everything.n))
        if key[0] == "entity":
            self._pairs.move_to_end(key)
        return self._pairs[key]

    def source(self, name: str) -> Silences:
        """Return the series of a source, made where it is new."""
        if name not in self._sources:
            if len(self._sources) >= self.settings.most_entities:
                self._sources.popitem(last=False)
            self._sources[name] = Silences(self.step_minutes, 60 * self.settings.hold_off_hours)
        self._sources.move_to_end(name)
        return self._sources[name]

    def watched(self, alert: Alert) -> Surges | Silences | None:
        """Return the series that raised an alert; None where it made room for another."""
        if alert.of == "source":
            return self._sources.get(alert.topic)
        pair = self._pairs.get((alert.of, alert.topic))
        if pair is None:
            return None
        return pair.negatives if alert.kind == "negatives" else pair.volume

    def amend(self, key: Key, back: int, texts: int, negatives: int) -> None:
        """Add texts to a step that is over; see `History.amend`."""
        if key[0] == "source":
            self.source(key[1]).history.amend(back, texts)
            return
        pair = self.pair(key)
        pair.volume.history.amend(back, texts)
        pair.negatives.history.amend(back, negatives)
        if key[0] == "topic":
            self.everything.amend(back, texts)

    def add(self, moment: float, found: Mapping[Key, Sequence[int]], *, hushed: bool = False) -> Iterator[Found]:
        """Count one step in every series; yield what that raises or prolongs.

        Args:
            moment: when it began, in seconds since 1970, UTC.
            found: texts and negatives of each topic, entity and aspect, texts of each source; none of those left out.
            hushed: that nothing came is no silence.
        """
        least = self.settings.least_negatives
        over_all = self.settings.false_alarms_a_week / self.strictness
        allowed = over_all / max(1, len(self))
        self.everything.add(moment, sum(counts[0] for key, counts in found.items() if key[0] == "topic"))
        for key, pair in list(self._pairs.items()):
            texts, negatives = found.get(key, (0, 0))
            volume = pair.volume.add(moment, texts, allowed, least=2 * least)
            surge = pair.negatives.add(moment, negatives, allowed, least=least, blind=over_all, others=self.everything)
            if surge is not None:
                yield "negatives", key, surge
            if volume is not None:
                yield "volume", key, volume
            if key[0] != "topic" and not pair.volume.history.found[-1] and pair.volume.history.sum < 0.5:
                del self._pairs[key]  # what is left to know of it is that it is not named
        for name, silences in self._sources.items():
            if hushed:
                silences.hush()
            silence = silences.add(moment, found.get(("source", name), (0,))[0], allowed)
            if silence is not None:
                yield "silence", ("source", name), silence

    def learn(self, window: Window, steps: int) -> None:
        """Learn levels and rhythms from a window, as if its texts had come evenly, and raise nothing."""
        for number in range(steps):
            moment = window.start.timestamp() + number * 60 * self.step_minutes
            self.everything.add(moment, window.texts / steps)
            for key, pair in self._pairs.items():
                count = window.counts.get(key[1], Count())
                pair.volume.history.add(moment, count.total / steps)
                pair.negatives.history.add(moment, count.negative / steps)

    def state(self) -> dict[str, Any]:
        """Return all that was learnt, JSON-able."""
        return {
            "step_minutes": self.step_minutes,
            "everything": self.everything.state(),
            "pairs": [[*key, pair.negatives.state(), pair.volume.state()] for key, pair in self._pairs.items()],
            "sources": [[name, silences.state()] for name, silences in self._sources.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` gave; topics that are no more are left out."""
        self.everything = History.of(self.step_minutes, state["everything"])
        for of, name, negatives, volume in state["pairs"]:
            if of != "topic" or (of, name) in self._pairs:
                pair = self.pair((of, name))
                pair.negatives.restore(negatives)
                pair.volume.restore(volume)
        for name, learnt in state["sources"]:
            self.source(name).restore(learnt)
