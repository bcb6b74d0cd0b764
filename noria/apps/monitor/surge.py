"""What is watched and what is raised: mentions, windows and alerts, and their JSON-able form.

An alert proves itself: what is too much of what, since when, how much was expected, how rare such a thing is, the first and the most
telling texts, and what the other side says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

Of = Literal["topic", "entity", "aspect", "source"]
Kind = Literal["negatives", "volume", "silence"]
Verdict = Literal["", "confirmed", "dismissed"]
TELLING = 5
"""Texts of an alert that are told first."""
NEGATIVE = "negative"
Own = Mapping[str, Any]
"""What a text says of one entity or aspect: {label, score}; empty where only the label of the whole text is known."""


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
    by_entity: Mapping[str, Own] = field(default_factory=dict)
    """What it says of each entity, where a model judges that."""
    by_aspect: Mapping[str, Own] = field(default_factory=dict)
    """The given aspects that it speaks of, and what it says of each."""

    def own(self, of: Of, name: str) -> Own:
        """Return what it says of one entity or aspect; empty where that is not known, and of topics."""
        known = {"entity": self.by_entity, "aspect": self.by_aspect}.get(of, {})
        return known.get(name, {})

    def is_negative(self, of: Of, name: str) -> bool:
        """Return whether it is negative of a topic, an entity or an aspect: by its label of that where it has one, else as a whole."""
        own = self.own(of, name)
        return bool(own["label"] == NEGATIVE) if own else self.negative

    def sureness(self, of: Of, name: str) -> float:
        """Return the probability of the label that `is_negative` goes by."""
        own = self.own(of, name)
        return float(own["score"]) if own else self.score


@dataclass
class Count:
    """Texts of one topic, entity or aspect in one window."""

    total: int = 0
    negative: int = 0
    surge: bool = False
    """An alert was raised or lasted in it."""
    reposts: int = 0
    """Texts of stories that were told before, in none of the other numbers."""


@dataclass
class Alert:
    """Too many negatives or texts on a topic, entity or aspect, or a source that fell silent; it grows while that lasts."""

    id: str
    topic: str
    """The topic, entity, aspect or source."""
    start: datetime
    end: datetime
    negative: int
    total: int
    """Negatives and texts since the start."""
    baseline_negative: int
    baseline_total: int
    baseline_windows: int
    """Negatives, texts and windows before it, of those that are kept; of a topic only."""
    p: float
    """How improbable it was by what was expected: at most this (Chernoff)."""
    threshold: float
    """The p-value below which an alarm was raised, by what was seen before."""
    mentions: list[Mention] = field(default_factory=list)
    """The first texts that it is about."""
    kind: Kind = "negatives"
    of: Of = "topic"
    found: int = 0
    """What was counted when it was raised: negatives, texts, or minutes of silence."""
    expected: float | None = None
    """What was expected instead, of a silence how many texts; unknown of alerts of before."""
    low: float | None = None
    high: float | None = None
    """Between which that lies in 95 of 100 times."""
    a_week: float | None = None
    """How often a week chance alone brings such a thing, here and in everything else that is watched, by what was seen before."""
    history_hours: float = 0.0
    """For how long this had been watched."""
    reposts: int = 0
    voices: list[Mention] = field(default_factory=list)
    """Of an alert on negatives: texts on the same that are not negative, the surest first."""
    verdict: Verdict = ""
    by: str = ""
    """Who said so."""
    surprise: float = 0.0
    """How far above what was expected, as `counts.surprise` tells it, and on which scale, from 0."""
    scale: int = 0

    @property
    def telling(self) -> list[str]:
        """Return the ids of the most telling texts: the surest, one a story."""
        ordered = sorted(self.mentions, key=lambda one: (-one.sureness(self.of, self.topic), one.time))
        once = {one.story or one.text: one.id for one in reversed(ordered)}
        return [one.id for one in ordered if once[one.story or one.text] == one.id][:TELLING]

    @property
    def label_of(self) -> Literal["text", "itself"]:
        """Return by which label its texts count: each text's own, or what it says of the entity or aspect itself."""
        itself = self.mentions and all(one.own(self.of, self.topic) for one in self.mentions)
        return "itself" if itself else "text"


@dataclass(frozen=True)
class Window:
    """A closed window."""

    start: datetime
    counts: dict[str, Count]
    """By topic."""
    entities: dict[str, Count] = field(default_factory=dict)
    """Of those that were named in it."""
    aspects: dict[str, Count] = field(default_factory=dict)
    """Of those that were spoken of in it."""

    @property
    def texts(self) -> int:
        """Return the texts on all topics."""
        return sum(count.total for count in self.counts.values())


_TIMES = ("start", "end")
LISTS = ("mentions", "voices")
"""Of an alert, with texts."""
_COUNTED = ("counts", "entities", "aspects")


def alert_dict(alert: Alert, *, texts: bool = True) -> dict[str, Any]:
    """Return an alert as JSON-able dict, with its texts or only their number."""
    value = {name: getattr(alert, name) for name in Alert.__dataclass_fields__ if name not in LISTS}
    value |= {name: getattr(alert, name).isoformat() for name in _TIMES}
    if texts:
        value |= {name: [mention_dict(mention) for mention in getattr(alert, name)] for name in LISTS}
        value["telling"] = alert.telling
    return value | {"texts": len(alert.mentions), "label_of": alert.label_of}


def read_alert(value: dict[str, Any]) -> Alert:
    """Return the alert that `alert_dict` gave with its texts; what an earlier version did not write is as by default."""
    facts = {name: value[name] for name in Alert.__dataclass_fields__ if name in value}
    facts |= {name: datetime.fromisoformat(value[name]) for name in _TIMES}
    return Alert(**{**facts, **{name: [read_mention(one) for one in value.get(name, ())] for name in LISTS}})


def mention_dict(mention: Mention) -> dict[str, Any]:
    """Return a mention as JSON-able dict."""
    return {**vars(mention), "time": mention.time.isoformat(), "entities": list(mention.entities)}


def read_mention(value: dict[str, Any]) -> Mention:
    """Return the mention that `mention_dict` gave."""
    return Mention(**{**value, "time": datetime.fromisoformat(value["time"]), "entities": tuple(value["entities"])})


def window_dict(window: Window) -> dict[str, Any]:
    """Return a closed window as JSON-able dict."""
    counted = {part: getattr(window, part) for part in _COUNTED}
    return {
        "start": window.start.isoformat(),
        **{part: {name: asdict(one) for name, one in counts.items()} for part, counts in counted.items()},
    }


def read_window(value: dict[str, Any]) -> Window:
    """Return the window that `window_dict` gave."""
    counted = ({name: Count(**one) for name, one in value.get(part, {}).items()} for part in _COUNTED)
    return Window(datetime.fromisoformat(value["start"]), *counted)
