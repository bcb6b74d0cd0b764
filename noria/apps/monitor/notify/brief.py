"""The brief of a time: sentences that each say how much they rest on, and where that is.

brief = brief_of(material, since, until, "Asia/Shanghai", "zh")
brief.notice(now), brief.as_dict()              # for a subscriber, for programs; pages of it: `pages`
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from noria.apps.monitor.stories import Stories, Story
from noria.apps.monitor.stream import Stream
from noria.apps.monitor.surge import Verdict
from noria.apps.monitor.topics import Topics
from noria.core.figure import number, proportion
from noria.core.messages import Language, Message, as_is, joined, message

from .notice import Line, Notice, at, brief_notice, clean, safe_link, title_of, verdict_message
from .settings import Subscription

LISTED = 5
"""Topics, entities, stories and silent sources that are told."""
PERIODS = 7
"""Periods before it, of the same length, that say what is usual."""
SILENT = timedelta(hours=24)
"""After which a source that brought texts before is silent."""
PARTS = ("volume", "topics", "aspects", "entities", "stories", "alerts", "sources")
_PLACES = {"alerts": "/alerts", "sources": "/sources"}


@dataclass(frozen=True)
class Material:
    """What messages and briefs are made of, as it is now: streams and stories are opened anew while the server runs."""

    open_stream: Callable[[], Stream]
    open_stories: Callable[[], Stories]
    sources: Mapping[str, Mapping[str, Any]]
    """Source -> texts since the start, and when it brought the last one."""
    topics: Topics
    judge: Callable[[str, Verdict, str, datetime], Awaitable[dict[str, Any] | None]]
    """Keeps what somebody says of an alert."""
    aspects: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Aspect -> language -> title."""

    @property
    def titles(self) -> Mapping[str, Mapping[str, str]]:
        """Return the titles of aspects and topics, by name and language."""
        return {**self.aspects, **self.topics.titles}

    @property
    def stream(self) -> Stream:
        """Return what is watched."""
        return self.open_stream()

    @property
    def stories(self) -> Stories:
        """Return its stories."""
        return self.open_stories()


@dataclass(frozen=True)
class Sentence:
    """One sentence, with what it rests on."""

    part: str
    """One of `PARTS`."""
    text: str
    n: int
    """Texts, alerts or sources that it rests on."""
    where: str
    """What those are."""
    link: str = ""
    """Where they are read: a page, or a route of the API."""

    def shown(self, language: Language) -> str:
        """Return it with what it rests on."""
        return f"{self.text} [{message('notify.brief.source', n=self.n, where=self.where)[language]}]"


@dataclass
class Tally:
    """Texts of one topic or entity in a time."""

    texts: int = 0
    negative: int = 0
    reposts: int = 0


@dataclass(frozen=True)
class Brief:
    """A whole brief, in one language."""

    since: datetime
    until: datetime
    zone: str
    language: Language
    sentences: tuple[Sentence, ...]
    phrased: tuple[Sentence, ...] = ()
    """A model's sentences, each carried by one of the others, whose source it has."""
    dropped: int | None = None
    """Sentences of the model that none carried; None where none wrote."""

    @property
    def title(self) -> Message:
        """Return what it is called."""
        return message(
            "notify.brief.title", since=at(self.since, self.zone), until=at(self.until, self.zone), zone=self.zone
        )

    def parts(self) -> Iterator[tuple[str, list[Sentence]]]:
        """Yield the headings, each with its sentences."""
        if self.dropped is not None:
            yield message("notify.brief.phrased")[self.language], list(self.phrased)
        for part in PARTS:
            if found := [one for one in self.sentences if one.part == part]:
                yield _heading(part)[self.language], found

    @property
    def remarks(self) -> list[str]:
        """Return what a reader must know of all of it."""
        told = [message("notify.brief.lead")[self.language]]
        if self.dropped is not None:
            kept = message("notify.brief.dropped", kept=len(self.phrased), dropped=self.dropped)
            told.append(kept[self.language])
        return told

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        value: dict[str, Any] = {
            "title": self.title[self.language],
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "zone": self.zone,
            "language": self.language,
            "sentences": [vars(one) for one in self.sentences],
        }
        if self.dropped is not None:
            value |= {"phrased": [vars(one) for one in self.phrased], "dropped": self.dropped}
        return value

    def notice(self, now: datetime) -> Notice:
        """Return it as a message to a subscriber."""
        parts = [
            (
                heading,
                [Line(one.shown(self.language), one.link if one.link.startswith("http") else "") for one in found],
            )
            for heading, found in self.parts()
        ]
        return brief_notice(self.title[self.language], parts, self.language, self.as_dict(), now)


def brief_of(
    material: Material,
    since: datetime,
    until: datetime,
    zone: str,
    language: Language,
    *,
    only: Subscription | None = None,
    base: str = "",
) -> Brief:
    """Return the brief of a time.

    Args:
        material: what it is made of.
        since: from when on.
        until: until when.
        zone: by whose clock times are told.
        language: of its sentences.
        only: told is of its topics, entities and sources alone, where it names any.
        base: address of the server, for links to the API.
    """
    told = _Telling(material, since, until, zone, language, only, f"{base}/v1/apps/monitor")
    sentences = [one for part in (told.volume, told.stories, told.alerts, told.sources) for one in part()]
    return Brief(since, until, zone, language, tuple(sentences))


@dataclass
class _Telling:
    """The sentences of one brief while they are made."""

    material: Material
    since: datetime
    until: datetime
    zone: str
    language: Language
    only: Subscription | None
    api: str
    before: list[list[dict[str, Any]]] = field(init=False)
    """Windows of the periods before, the latest first, as far back as windows are kept."""

    def __post_init__(self) -> None:
        windows = self.material.stream.windows
        first = datetime.fromisoformat(windows[0]["start"]) if windows else self.until
        length = self.until - self.since
        starts = [self.since - back * length for back in range(1, PERIODS + 1)]
        self.before = [_within(windows, start, start + length) for start in starts if length and start >= first]

    def sentence(self, part: str, words: Message, n: int, where: Message, link: str = "") -> Sentence:
        place = link or f"{self.api}{_PLACES.get(part, '/windows')}"
        return Sentence(part, words[self.language], n, where[self.language], place)

    def takes(self, of: str, name: str) -> bool:
        """Return whether somebody's brief tells of this."""
        one = self.only
        if one is None or not (one.topics or one.entities or one.sources):
            return True
        names = {"entities": one.entities, "sources": one.sources}.get(of, one.topics)
        return name.casefold() in {each.casefold() for each in names}

    def volume(self) -> Iterator[Sentence]:
        """Tell how many texts came and how negative they were, over all, by topic and by entity."""
        windows = _within(self.material.stream.windows, self.since, self.until)
        where = message("notify.brief.windows", since=at(self.since, self.zone), until=at(self.until, self.zone))
        if not windows:
            yield self.sentence("volume", message("notify.brief.nothing"), 0, where)
            return
        whole, usual = _whole(windows), [_whole(one) for one in self.before]
        low, high = _interval(whole)
        told = message("notify.brief.overall", texts=whole.texts, share=_share(whole), low=low, high=high)
        yield self.sentence("volume", told, whole.texts, where)
        if usual:
            counts = [one.texts for one in usual]
            told = message(
                "notify.brief.usual",
                n=len(usual),
                middle=number(statistics.median(counts)),
                least=number(min(counts)),
                most=number(max(counts)),
                share=_share(_added(usual)),
            )
            earlier = self.since - len(usual) * (self.until - self.since)
            past = message("notify.brief.windows", since=at(earlier, self.zone), until=at(self.since, self.zone))
            yield self.sentence("volume", told, sum(counts), past)
        else:
            yield self.sentence("volume", message("notify.brief.unknown"), 0, where)
        yield from self._named(windows, where)

    def _named(self, windows: Sequence[Mapping[str, Any]], where: Message) -> Iterator[Sentence]:
        """Tell the topics, aspects and entities with most texts, each beside what is usual of it."""
        titles = self.material.titles
        for part, key in (("topics", "counts"), ("aspects", "aspects"), ("entities", "entities")):
            found = _tallies(windows, key)
            past = [_tallies(one, key) for one in self.before]
            named = sorted(
                ((name, one) for name, one in found.items() if one.texts and self.takes(part, name)),
                key=lambda pair: (-pair[1].texts, pair[0]),
            )
            for name, one in named[:LISTED]:
                title = titles.get(name, {}).get(self.language, name) if part != "entities" else name
                told = _of(clean(title, 60), one, [each.get(name, Tally()) for each in past])
                yield self.sentence(part, told, one.texts, where)

    def stories(self) -> Iterator[Sentence]:
        """Tell the stories that were told most often in this time, with their spread and first source."""
        first, last = (
            f"{moment.astimezone(UTC):%Y-%m-%dT%H}" for moment in (self.since, self.until - timedelta(microseconds=1))
        )
        counted = [
            (sum(texts for hour, texts in list(story.hours.items()) if first <= hour <= last), story)
            for story in list(self.material.stories.stories.values())
            if self._about(story)
        ]
        counted = sorted((pair for pair in counted if pair[0] > 1), key=lambda pair: (-pair[0], pair[1].id))
        for texts, story in counted[:LISTED]:
            link = safe_link(str(story.first.get("link") or "")) or f"{self.api}/stories/{story.id}"
            yield self.sentence("stories", self._story(story, texts), texts, message("notify.brief.its_texts"), link)

    def _about(self, story: Story) -> bool:
        """Return whether somebody's brief tells of a story, by the topic and the names of its first text."""
        text, one = str(story.first["text"]), self.only
        if one is None or not (one.topics or one.entities or one.sources):
            return True
        return self.material.topics.of(text) in one.topics or any(
            name.casefold() in text.casefold() for name in one.entities
        )

    def _story(self, story: Story, texts: int) -> Message:
        source = clean(str(story.first.get("source") or ""), 60)
        return message(
            "notify.brief.story",
            text=clean(str(story.first["text"]), 100),
            texts=texts,
            authors=len(story.authors),
            sources=len(story.sources),
            source=source or message("notify.brief.some_source"),
            start=at(story.first["time"], self.zone),
        )

    def alerts(self) -> Iterator[Sentence]:
        """Tell the alerts of this time with their verdicts."""
        group = {"entity": "entities", "source": "sources"}
        found = [
            alert
            for alert in list(self.material.stream.alerts.values())
            if datetime.fromisoformat(alert["end"]) > self.since
            and datetime.fromisoformat(alert["start"]) < self.until
            and self.takes(group.get(alert.get("of", "topic"), "topics"), str(alert["topic"]))
        ]
        if not found:
            yield self.sentence("alerts", message("notify.brief.no_alerts"), 0, message("notify.brief.all_alerts"))
            return
        for alert in found:
            title = title_of(alert, self.material.titles, self.language, self.zone)
            told = message("notify.brief.alert", title=title, verdict=verdict_message(alert))
            link = f"{self.api}/alerts/{alert['id']}"
            yield self.sentence("alerts", told, int(alert["total"]), message("notify.brief.its_alert"), link)
        verdicts = [alert.get("verdict") for alert in found]
        confirmed, dismissed = verdicts.count("confirmed"), verdicts.count("dismissed")
        told = message("notify.brief.judged", n=len(found), confirmed=confirmed, dismissed=dismissed)
        yield self.sentence("alerts", told, len(found), message("notify.brief.all_alerts"))

    def sources(self) -> Iterator[Sentence]:
        """Tell which sources are silent, and what was set aside."""
        where, known = message("notify.brief.all_sources"), dict(self.material.sources)
        late = [
            (name, one)
            for name, one in known.items()
            if self.until - datetime.fromisoformat(str(one["last"])) > SILENT and self.takes("sources", name)
        ]
        for name, one in late[:LISTED]:
            told = message(
                "notify.brief.silent", name=clean(name, 60), last=at(str(one["last"]), self.zone), texts=one["texts"]
            )
            yield self.sentence("sources", told, int(one["texts"]), where)
        if known and not late:
            told = message("notify.brief.no_silence", n=len(known), hours=round(SILENT / timedelta(hours=1)))
            yield self.sentence("sources", told, len(known), where)
        if aside := self.material.stream.set_aside:
            reasons = [message("watch.reason", reason=_reason(one), count=n) for one, n in list(aside.items())]
            told = message("notify.brief.set_aside", count=aside.total(), reasons=joined("join.list", reasons))
            yield self.sentence("sources", told, aside.total(), where)


def _reason(name: str) -> Message:
    with suppress(KeyError):
        return message(f"watch.reasons.{name}")
    return as_is(name)


def _heading(part: str) -> Message:
    return message(f"notify.heading.{part}")


def _within(windows: Sequence[Mapping[str, Any]], since: datetime, until: datetime) -> list[Any]:
    return [one for one in windows if since <= datetime.fromisoformat(one["start"]) < until]


def _tallies(windows: Sequence[Mapping[str, Any]], key: str) -> dict[str, Tally]:
    found: dict[str, Tally] = defaultdict(Tally)
    for window in windows:
        for name, count in window.get(key, {}).items():
            one = found[name]
            one.texts += count["total"]
            one.negative += count["negative"]
            one.reposts += count.get("reposts", 0)
    return dict(found)


def _whole(windows: Sequence[Mapping[str, Any]]) -> Tally:
    return _added(_tallies(windows, "counts").values())


def _added(tallies: Iterable[Tally]) -> Tally:
    whole = Tally()
    for one in tallies:
        whole.texts, whole.negative = whole.texts + one.texts, whole.negative + one.negative
        whole.reposts += one.reposts
    return whole


def _share(one: Tally) -> str:
    return f"{one.negative / one.texts:.0%}" if one.texts else "–"


def _interval(one: Tally) -> tuple[str, str]:
    found = proportion("", one.negative, one.texts)
    return f"{found.low:.0%}", f"{found.high:.0%}"


def _of(name: str, one: Tally, before: Sequence[Tally]) -> Message:
    """Return what is said of a topic or an entity beside what is usual."""
    usual: Message = message("notify.brief.of_unknown")
    if before:
        middle = number(statistics.median(each.texts for each in before))
        usual = message("notify.brief.of_usual", n=len(before), middle=middle, share=_share(_added(before)))
    low, high = _interval(one)
    values = {"texts": one.texts, "share": _share(one), "low": low, "high": high, "reposts": one.reposts}
    return message("notify.brief.of", name=name, usual=usual, **values)
