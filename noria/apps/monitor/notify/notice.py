"""What a message says, before any service's format: a title, parts with lines, links; in one language, and with nothing in it that is read as marks.

    notice = alert_notice(alert, subscription, titles, address, key)
    notice.plain()                              # a text that a person would forward
    Notice.of(json.loads(json.dumps(notice.as_dict()))) == notice

What people wrote stands in it as one line each, without control characters, so that no text can pass for another line of the message.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from noria.core.figure import number
from noria.core.messages import Language, Message, joined, message

from .settings import Subscription, severity_of

QUOTED, CHARACTERS = 3, 240
"""Texts of a part, and characters of each, where there is room."""
_SHORTER = ((QUOTED, CHARACTERS), (3, 120), (2, 80), (1, 60), (1, 30), (0, 30))
"""How texts are cut where there is less."""
LISTED, LONGEST = 20, 2_000
"""Texts of an alert that a webhook lists beside the telling ones, and characters of each."""
API = "/v1/apps/monitor/"
_WEEKS_SURE = 1_000
"""Weeks from which seldom is seldom enough to be said."""


@dataclass(frozen=True)
class Line:
    """One line."""

    text: str
    link: str = ""
    """Where its reader finds the source."""
    quoted: bool = False
    """Somebody else's words: cut where there is too little room."""


@dataclass(frozen=True)
class Part:
    """Lines under a heading."""

    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Notice:
    """A whole message."""

    kind: str
    """alert or brief."""
    language: Language
    title: str
    parts: tuple[Part, ...]
    made: str
    """When, as ISO 8601."""
    judge: str = ""
    """Address at which an alert is confirmed or dismissed."""
    facts: Mapping[str, Any] | None = None
    """The alert, or the brief, for programs."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Notice:
        """Return the notice that `as_dict` gave."""
        parts = tuple(Part(one["heading"], tuple(Line(**line) for line in one["lines"])) for one in value["parts"])
        return cls(**{**value, "parts": parts})

    def shorter(self, texts: int, characters: int) -> Notice:
        """Return it with so many quoted texts a part, of so many characters each."""
        parts = []
        for one in self.parts:
            quoted = [line for line in one.lines if line.quoted][:texts]
            kept = tuple(
                replace(line, text=clean(line.text, characters)) if line.quoted else line
                for line in one.lines
                if not line.quoted or line in quoted
            )
            parts += [replace(one, lines=kept)] if kept else []
        return replace(self, parts=tuple(parts))

    def fitted(self, size: Callable[[Notice], int], most: int) -> Notice:
        """Return it with as much of what is quoted as fits.

        Args:
            size: gives the bytes of a notice in a service's format.
            most: bytes that the service takes.
        """
        made = self
        for texts, characters in _SHORTER:
            made = self.shorter(texts, characters)
            if size(made) <= most:
                return made
        while made.parts and size(made) > most:  # of a long brief what comes last
            *before, last = made.parts
            rest = (replace(last, lines=last.lines[:-1]),) if len(last.lines) > 1 else ()
            made = replace(made, parts=(*before, *rest))
        return made

    def text(self) -> str:
        """Return all below the title, as plain text."""
        blocks = []
        for one in self.parts:
            lines = [f"· {line.text}" if line.quoted else line.text for line in one.lines]
            # What only a key opens is left to formats in which a link is no more than a word.
            links = [f"\n  {line.link}" if line.link and API not in line.link else "" for line in one.lines]
            shown = [text + link for text, link in zip(lines, links, strict=True)]
            blocks.append("\n".join([*([f"{one.heading}"] if one.heading else []), *shown]))
        if self.judge:
            blocks.append(f"{message('notify.judge')[self.language]}\n{self.judge}")
        return "\n\n".join(blocks)

    def plain(self) -> str:
        """Return the whole of it as plain text."""
        return f"{self.title}\n\n{self.text()}"


def clean(text: str, most: int) -> str:
    """Return a text as one line of so many characters at most, without what is not seen: controls, overrides of its direction.

    >>> clean("  It burns!\\n\\u202eConfirm:   yes", 40), clean("一二三四五六", 4)
    ('It burns! Confirm: yes', '一二三…')
    """
    seen = "".join(
        " " if one.isspace() else one for one in text if one.isspace() or unicodedata.category(one)[0] != "C"
    )
    line = re.sub(" +", " ", seen).strip()
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def safe_link(url: str) -> str:
    """Return an address that a page may be read at; nothing where it is of another kind, or could end what stands round it.

    >>> safe_link("https://a.example/1"), safe_link("javascript:alert(1)"), safe_link('https://a.example/">x')
    ('https://a.example/1', '', '')
    """
    if re.search(r"[\s<>\"'`\\^{}|\x00-\x1f\x7f]", url) or len(url) > 1_000:
        return ""
    try:
        found = urlsplit(url)
        return url if found.scheme in ("http", "https") and found.hostname and found.username is None else ""
    except ValueError:
        return ""


def name_of_alert(alert: Mapping[str, Any], titles: Mapping[str, Mapping[str, str]], language: Language) -> str:
    """Return what an alert is about, in a language: a topic and an aspect by its title."""
    name = str(alert["topic"])
    title = titles.get(name, {}).get(language) if alert.get("of", "topic") in ("topic", "aspect") else None
    return clean(title or name, 60)


def title_of(
    alert: Mapping[str, Any], titles: Mapping[str, Mapping[str, str]], language: Language, zone: str
) -> Message:
    """Return an alert as one sentence: what, how much, since when, where so much was expected."""
    expected = alert.get("expected")
    return message(
        f"notify.title.{alert.get('kind', 'negatives')}",
        name=name_of_alert(alert, titles, language),
        found=alert.get("found") or alert["negative"],
        expected="–" if expected is None else short(expected),
        start=at(alert["start"], zone),
    )


def alert_notice(
    alert: Mapping[str, Any],
    one: Subscription,
    titles: Mapping[str, Mapping[str, str]],
    judge: str,
    now: datetime,
    also: Sequence[Mapping[str, Any]] = (),
) -> Notice:
    """Return the message on an alert: what, since when, how sure, expected against found, texts with links, the other side, how to judge it.

    Args:
        alert: as `alert_dict` gives it, with its texts.
        one: whose language and time zone it is in.
        titles: topic or aspect -> language -> title.
        judge: address at which it is confirmed or dismissed; empty where there is none.
        now: when it is made.
        also: alerts on the same texts.
    """
    language, zone = one.language, one.zone
    facts = [line[language] for line in _facts(alert, zone, judge)]
    if also:
        names = joined("join.list", [name_of_alert(each, titles, language) for each in also])
        facts.append(message("notify.also", names=names)[language])
    parts = [Part("", tuple(Line(text) for text in facts))]
    known = {mention["id"]: mention for mention in alert["mentions"]}
    first = [mention["id"] for mention in alert["mentions"][:QUOTED]]
    telling = [known[id] for id in alert.get("telling", ()) if id in known and id not in first]
    for code, mentions in (("first", alert["mentions"]), ("telling", telling), ("voices", alert.get("voices", ()))):
        lines = tuple(_quoted(mention, zone) for mention in list(mentions)[:QUOTED])
        if lines:
            parts.append(Part(message(f"notify.part.{code}")[language], lines))
    title = title_of(alert, titles, language, zone)[language]
    return Notice("alert", language, title, tuple(parts), now.isoformat(), judge, _for_programs(alert))


def _for_programs(alert: Mapping[str, Any]) -> dict[str, Any]:
    """Return an alert with its first and its telling texts alone, none of them long: it goes to somebody else's program."""
    telling = alert.get("telling", ())
    listed = [one for place, one in enumerate(alert["mentions"]) if place < LISTED or one["id"] in telling]
    lists = {"mentions": listed, "voices": alert.get("voices", ())}
    cut = {name: [{**one, "text": one["text"][:LONGEST]} for one in mentions] for name, mentions in lists.items()}
    return {**alert, **cut}


def _facts(alert: Mapping[str, Any], zone: str, judge: str) -> list[Message]:
    """Return what is known of an alert, a sentence each."""
    a_week = alert.get("a_week")
    facts = [message("notify.since", start=at(alert["start"], zone), end=at(alert["end"], zone), zone=zone)]
    if alert.get("expected") is not None:
        values = {name: short(alert[name]) for name in ("expected", "low", "high")}
        silent = alert["kind"] == "silence"
        facts.append(
            message("notify.expected_missing" if silent else "notify.expected", found=alert["found"], **values)
        )
    if alert.get("kind") != "silence":
        told = {name: alert[name] for name in ("negative", "total")}
        facts.append(message("notify.so_far", **told, reposts=alert.get("reposts", 0)))
    if alert.get("kind") == "negatives" and alert.get("of") in ("entity", "aspect"):
        facts.append(message(f"notify.label.{alert.get('label_of', 'text')}"))
    if a_week is not None:
        hours = number(alert.get("history_hours", 0.0))
        often = how_often(a_week)
        facts.append(
            message("notify.sure", often=often, hours=hours, severity=message(f"notify.severity.{severity_of(a_week)}"))
        )
    if alert.get("verdict"):
        facts.append(verdict_message(alert))
    if not judge:
        facts.append(message("notify.judge_elsewhere", id=alert["id"]))
    return facts


def verdict_message(alert: Mapping[str, Any]) -> Message:
    """Return what was said of an alert, and by whom."""
    if not alert.get("verdict"):
        return message("notify.not_judged")
    return message(f"notify.verdict.{alert['verdict']}", by=clean(str(alert.get("by") or "–"), 60))


def short(value: float) -> str:
    """Return a number as briefly as one says it.

    >>> short(0.02934), short(1.24), short(23570.0)
    ('0.0293', '1.24', '23,570')
    """
    return f"{value:.3g}" if value < 1000 else number(value)


def how_often(a_week: float) -> Message:
    """Return how often that is.

    >>> how_often(2.5), how_often(0.1), how_often(1e-9)
    ('2.5 times a week', 'once in 10 weeks', 'less than once in 1,000 weeks')
    """
    if a_week >= 1:
        return message("notify.a_week", times=f"{a_week:.2g}")
    weeks = 1 / max(a_week, 1e-12)
    if weeks > _WEEKS_SURE:
        return message("notify.seldom", weeks=_WEEKS_SURE)
    return message("notify.in_weeks", weeks=round(weeks))


def _quoted(mention: Mapping[str, Any], zone: str) -> Line:
    source = clean(str(mention.get("source") or ""), 40)
    told = f"{at(mention['time'], zone)} {source}".strip()
    return Line(f"{told}: {clean(str(mention['text']), CHARACTERS)}", safe_link(str(mention.get("link") or "")), True)


def at(moment: str | datetime, zone: str) -> str:
    """Return a moment by the clock of a place, as in 2026-11-30 20:05."""
    found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{found.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def again(notice: Notice, key: str) -> Notice:
    """Return a notice that says that it may have come before, for services that know no keys."""
    line = Line(message("notify.again", key=key)[notice.language])
    return replace(notice, parts=(*notice.parts, Part("", (line,))))


def brief_notice(
    title: str, parts: Sequence[tuple[str, Sequence[Line]]], language: Language, facts: Mapping[str, Any], now: datetime
) -> Notice:
    """Return the message of a brief: its sentences under their headings."""
    made = tuple(Part(heading, tuple(lines)) for heading, lines in parts if lines)
    return Notice("brief", language, title, made, now.isoformat(), "", facts)
