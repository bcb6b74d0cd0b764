"""Stories: reposts and rewrites of one text are one story, counted once and with its spread: who told it first, where, how fast it grows.

    stories = Stories(folder)
    names = stories.place(mentions, now)         # the story of each, the same whenever and however often it comes

A text that tells two stories at once shows that they are one: the younger becomes part of the older.

Two texts tell one story where enough of their shingles are shared (MinHash finds such pairs, exact similarity decides), or where their
embeddings are near; and never where each names numbers or tickers that the other does not: a price target of 130 is no repost of one of
200. A short text is an opinion of its own, unless the same author says it again.

Only a window of time is remembered, and no more texts than `most`; a story goes on as long as someone tells it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from noria.core.progress import MetricsLog
from noria.text import minhash

from .likeness import Facts, Vectors, alike, compared, conflicting, facts_of, is_short, signed, unlike
from .stream import EARLIEST
from .surge import Mention

WINDOW = timedelta(hours=72)
"""Texts are compared with those of so long before them."""
MOST = 20_000
"""Texts that others are compared with, at most; and stories."""
_SAME = 0.9
"""Similarity from which a text adds nothing to find others by."""
_BUCKET = 24
"""Texts of one bucket that are looked at, the last ones."""
_QUOTES = 5
_IDS = 200_000
_AUTHORS = 4_096
"""Authors counted an hour, those with most texts."""


@dataclass
class Story:
    """What one story has come to."""

    id: str
    first: dict[str, Any]
    """The text that told it first: id, time, source, author, link, text."""
    texts: int = 0
    last: str = ""
    sources: Counter[str] = field(default_factory=Counter)
    authors: Counter[str] = field(default_factory=Counter)
    hours: Counter[str] = field(default_factory=Counter)
    """Texts by hour, as in 2026-11-30T08."""
    quotes: list[dict[str, Any]] = field(default_factory=list)
    """Other ways in which it was told, the latest ones, each by another author."""

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """Return the story as JSON-able dict, with how fast it grows: texts of this hour and the last, beside those of the two before."""
        recent = [self.hours[_hour(now - timedelta(hours=back))] for back in range(4)]
        return {
            "id": self.id,
            "first": self.first,
            "texts": self.texts,
            "last": self.last,
            "sources": dict(self.sources.most_common(20)),
            "authors": len(self.authors),
            "loudest": self.authors.most_common(1)[0][1] if self.authors else 0,
            "growth": {"texts": sum(recent[:2]), "before": sum(recent[2:])},
            "hours": dict(sorted(self.hours.items())),
            "quotes": self.quotes,
        }


@dataclass(frozen=True)
class _Member:
    """A text that others are compared with."""

    story: str
    time: datetime
    key: str
    shingles: NDArray[np.uint64]
    """Sorted, each once."""
    bands: tuple[int, ...]
    facts: Facts


class Stories:
    """The stories of one stream, kept in a folder. Not for several threads at once.

    Args:
        folder: where they are kept; None remembers nothing beyond this object.
        window: how long texts are compared with later ones.
        most: texts and stories remembered.
    """

    def __init__(self, folder: Path | None = None, window: timedelta = WINDOW, most: int = MOST) -> None:
        self.window, self.most = window, most
        self.stories: OrderedDict[str, Story] = OrderedDict()
        """By id, the one that was told last at the end."""
        self.authors: dict[str, Counter[str]] = {}
        """Hour -> author -> texts."""
        self._bands, self._rows = minhash.bands_for(0.5)
        self._members: OrderedDict[int, _Member] = OrderedDict()
        self._next = 0
        self._merged: dict[str, str] = {}
        """Story -> the older one that a text has shown it to be part of."""
        self._buckets: dict[int, list[int]] = {}
        self._exact: dict[str, int] = {}
        self._story_of: OrderedDict[str, str] = OrderedDict()
        self._vectors: Vectors | None = None
        self._latest = EARLIEST + window
        self._log = MetricsLog(folder / "stories.jsonl") if folder else None
        self._written = 0
        if self._log:
            self._read(self._log.read())

    def place(
        self, mentions: Sequence[Mention], now: datetime, vectors: Sequence[Sequence[float]] | None = None
    ) -> list[str]:
        """Return the story of each text, and count it there; a text whose id came before is not counted again.

        Args:
            mentions: in any order.
            now: the clock: a text that is ahead of it is a story of its own, and so is one from before the window.
            vectors: an embedding of each, of length one; None compares words alone.
        """
        found = [""] * len(mentions)
        keys = [compared(one.text) for one in mentions]
        marks = signed(keys, self._bands, self._rows)
        for place in sorted(range(len(mentions)), key=lambda place: mentions[place].time):
            mention, (shingles, bands) = mentions[place], marks[place]
            known = self._story_of.get(mention.id)
            if known is not None:
                found[place] = known
                continue
            own = f"s{xxhash.xxh64_hexdigest(mention.id.encode())}"
            if mention.time > now + timedelta(minutes=5) or mention.time < self._latest - self.window:
                found[place] = own
                continue
            vector = np.asarray(vectors[place], dtype=np.float32) if vectors is not None else None
            story, similarity = self._find(mention, keys[place], shingles, bands, vector)
            found[place] = story or own
            indexed = not story or similarity < _SAME
            self._count(mention, found[place], indexed=indexed)
            if indexed:
                facts = facts_of(mention.text)
                self._add(_Member(found[place], mention.time, keys[place], shingles, bands, facts), mention, vector)
            self._write(mention, found[place], indexed=indexed)
        self._forget()
        return found

    def loud(self, least: int = 50, share: float = 0.1) -> list[dict[str, Any]]:
        """Return the authors with so many texts and such a share of all in the window, by number."""
        total: Counter[str] = Counter()
        for counts in self.authors.values():
            total += counts
        every = total.total()
        return [
            {"author": name, "texts": count, "of": every}
            for name, count in total.most_common(20)
            if name and count >= least and count >= share * every
        ]

    def _find(
        self,
        mention: Mention,
        key: str,
        shingles: NDArray[np.uint64],
        bands: tuple[int, ...],
        vector: NDArray[np.float32] | None,
    ) -> tuple[str, float]:
        """Return the story that a text tells again, and how similar it is to one of its texts; nothing where it is a new one."""
        if is_short(key):
            number = self._exact.get(_same_author(mention, key), -1) if mention.author else -1
            return (self.resolve(self._members[number].story), 1.0) if number in self._members else ("", 0.0)
        facts = facts_of(mention.text)
        if (number := self._exact.get(key, -1)) in self._members:
            known = self._members[number]
            # In other spacing its numbers may read otherwise: then it is one more to find others by.
            return self.resolve(known.story), 1.0 if known.facts == facts else 0.0
        best, told = 0.0, set[str]()
        for number in sorted({one for band in bands for one in self._buckets.get(band, ())[-_BUCKET:]}, reverse=True):
            member = self._members[number]
            similarity = alike(shingles, member.shingles)
            if similarity and not conflicting(facts, member.facts):
                best = max(best, similarity)
                told.add(self.resolve(member.story))
        if told:
            return self._merge(told), best
        if vector is not None and self._vectors is not None:
            for number in self._vectors.near(vector):
                near = self._members.get(number)
                if near and not conflicting(facts, near.facts) and not unlike(facts, near.facts):
                    return self.resolve(near.story), 0.0
        return "", 0.0

    def resolve(self, name: str) -> str:
        """Return the story that a story has become part of, or itself."""
        while name in self._merged:
            name = self._merged[name]
        return name

    def _merge(self, names: Iterable[str]) -> str:
        """Make one story of several that a text tells at once, and return it: the one that was told first."""
        oldest, *younger = sorted(names, key=lambda name: (self._began(name), name))
        for name in younger:
            self._join(oldest, name)
            if self._log:
                self._log.write(story=oldest, merged=name)
        return oldest

    def _began(self, name: str) -> str:
        return str(self.stories[name].first["time"]) if name in self.stories else ""

    def _join(self, older: str, younger: str) -> None:
        self._merged[younger] = older
        part, whole = self.stories.pop(younger, None), self.stories.get(older)
        if part is None or whole is None:
            return
        whole.texts += part.texts
        whole.last = max(whole.last, part.last)
        whole.sources += part.sources
        whole.authors += part.authors
        whole.hours += part.hours
        whole.quotes = [*whole.quotes, part.first, *part.quotes][-_QUOTES:]

    def _add(self, member: _Member, mention: Mention, vector: NDArray[np.float32] | None) -> None:
        number = self._next
        self._next += 1
        self._members[number] = member
        if is_short(member.key):
            if mention.author:
                self._exact[_same_author(mention, member.key)] = number
            return
        self._exact[member.key] = number
        for band in member.bands:
            self._buckets.setdefault(band, []).append(number)
        if vector is not None:
            if self._vectors is None:
                self._vectors = Vectors(self.most, len(vector))
            self._vectors.add(number, vector)

    def _count(self, mention: Mention, name: str, *, indexed: bool) -> None:
        self._latest = max(self._latest, mention.time)
        self._story_of[mention.id] = name
        story = self.stories.get(name)
        if story is None:
            story = self.stories[name] = Story(name, _voice(mention))
        elif indexed:
            voices = [one for one in story.quotes if one["author"] != mention.author or not mention.author]
            story.quotes = [*voices, _voice(mention)][-_QUOTES:]
        self.stories.move_to_end(name)
        story.texts += 1
        story.last = max(story.last, mention.time.astimezone(UTC).isoformat())
        story.sources[mention.source] += 1
        if mention.author:
            story.authors[mention.author] += 1
            if len(story.authors) > 2 * _AUTHORS:
                story.authors = Counter(dict(story.authors.most_common(_AUTHORS)))
        hour = _hour(mention.time)
        story.hours[hour] += 1
        counts = self.authors.setdefault(hour, Counter())
        counts[mention.author] += 1
        if len(counts) > 2 * _AUTHORS:
            self.authors[hour] = Counter(dict(counts.most_common(_AUTHORS)))

    def _forget(self) -> None:
        """Leave what lies before the window, and the oldest of what is too much."""
        since = self._latest - self.window
        while self._members:
            number, member = next(iter(self._members.items()))
            if member.time >= since and len(self._members) <= self.most:
                break
            self._members.popitem(last=False)
            for band in member.bands:
                numbers = self._buckets.get(band, [])
                if number in numbers:
                    numbers.remove(number)
                if not numbers:
                    self._buckets.pop(band, None)
        if len(self._exact) > 2 * self.most:
            self._exact = {key: number for key, number in self._exact.items() if number in self._members}
        early = since.isoformat()
        while self.stories:
            story = next(iter(self.stories.values()))
            if story.last >= early and len(self.stories) <= self.most:
                break
            self.stories.popitem(last=False)
        hour = _hour(since)
        self.authors = {name: counts for name, counts in self.authors.items() if name >= hour}
        while len(self._story_of) > _IDS:
            self._story_of.popitem(last=False)
        if len(self._merged) > 2 * self.most:
            self._merged = {name: older for name, older in self._merged.items() if self.resolve(older) in self.stories}

    def _write(self, mention: Mention, name: str, *, indexed: bool) -> None:
        if self._log is None:
            return
        voice = _voice(mention)
        if not indexed:  # its words are those of another one, and need not be kept twice
            del voice["text"]
        self._log.write(story=name, **voice)
        self._written += 1
        if self._written > 4 * self.most:
            since = (self._latest - self.window).isoformat()
            firsts = {story.first["id"] for story in self.stories.values()}
            self._log.keep(
                lambda one: (
                    self.resolve(one["story"]) in self.stories
                    and ("merged" in one or one["id"] in firsts or one["time"] >= since)
                )
            )
            self._written = 0

    def _read(self, records: Iterable[dict[str, Any]]) -> None:
        """Remember what was placed before a restart, under the stories of then."""
        kept = [(one, _mention_of(one)) for one in records]
        keys = [compared(mention.text) if mention else "" for _, mention in kept]
        for (one, mention), key, (shingles, bands) in zip(
            kept, keys, signed(keys, self._bands, self._rows), strict=True
        ):
            if mention is None:
                if "merged" in one:
                    self._join(one["story"], one["merged"])
                continue
            if mention.id in self._story_of:
                continue
            indexed, name = "text" in one, one["story"]
            self._count(mention, name, indexed=indexed)
            if indexed:
                self._add(_Member(name, mention.time, key, shingles, bands, facts_of(mention.text)), mention, None)
        self._written = len(kept)
        self._forget()


def _same_author(mention: Mention, key: str) -> str:
    return f"{mention.author}\0{key}"


def _hour(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()[:13]


def _voice(mention: Mention) -> dict[str, Any]:
    facts = {name: getattr(mention, name) for name in ("id", "source", "author", "link", "text")}
    return {**facts, "time": mention.time.astimezone(UTC).isoformat()}


def _mention_of(record: dict[str, Any]) -> Mention | None:
    """Return the text of a record, as far as it was kept; None where the record is none."""
    try:
        facts: dict[str, Any] = {
            name: str(record.get(name) or "") for name in ("id", "source", "author", "link", "text")
        }
        return Mention(time=datetime.fromisoformat(record["time"]), topic="", negative=False, score=0.0, **facts)
    except (KeyError, TypeError, ValueError):
        return None
