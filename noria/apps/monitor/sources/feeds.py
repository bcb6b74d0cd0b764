"""A feed that is asked again and again: only for what is new, politely; with the article of each entry's page where that is wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from noria.core.errors import InputError
from noria.core.messages import message
from noria.text.confined import Part, parts_of

from .entry import Asked, Entry, SourceError, keyed, moment_of, titled
from .fetching import Fetched, Fetcher
from .listing import FeedSettings

Known = Callable[[tuple[str, ...]], bool]
"""Tells whether an entry of some keys came before."""
ARTICLES = 50
"""Pages of one source that are read in one round at most; of the other entries the feed's own text counts."""


def ask(source: FeedSettings, cursor: Mapping[str, Any], fetcher: Fetcher, now: datetime, known: Known) -> Asked:
    """Return a feed's entries, or none where it says that it has not changed.

    Args:
        source: the feed.
        cursor: what it gave with its last answer, so that it need not give the same again.
        fetcher: fetches it.
        now: the present time.
        known: tells whether an entry of some keys came before: its page need not be read.

    Raises:
        SourceError: it cannot be had now, or is no feed.
    """
    conditions = {
        name: str(cursor[kept])
        for name, kept in (("if-none-match", "etag"), ("if-modified-since", "modified"))
        if cursor.get(kept)
    }
    most = int(source.most_mib * 2**20)
    found = fetcher.get(source.url, conditions, most_bytes=most, allow_private=source.allow_private)
    if found.status == 304:
        return Asked(cursor=dict(cursor))
    if found.status != 200:
        raise SourceError(message("watch.status"), found=f"HTTP {found.status}", wait=_wait(found, now))
    state = {"etag": found.headers.get("etag", ""), "modified": found.headers.get("last-modified", "")}
    try:
        head, *parts = parts_of(
            "feed", found.body, source.url, url=found.url, content_type=found.headers.get("content-type", "")
        )
    except InputError as error:
        raise SourceError(error.what, found=error.found, allowed=error.allowed) from None
    asked = Asked(cursor=state)
    if not parts:
        asked.note = message("watch.no_entries", title=head.get("feed", ""))
    shared = _shared(parts)
    pages = 0
    for part in parts:
        text = titled(part["title"], part["text"])
        keys = keyed(part["id"], part["link"], part["title"], part["text"], shared)
        if source.article and part["link"] and pages < ARTICLES and not known(keys):
            pages += 1
            text = titled(part["title"], _article(source, part["link"], fetcher) or part["text"])
        time = moment_of(part["time"], source.zone) or moment_of(part["parsed"])
        asked.entries.append(Entry(text, keys, time, part["author"], part["link"]))
    return asked


def _shared(parts: list[Part]) -> list[str]:
    """Return the ids and addresses that several entries of different titles bear, and which so tell none of them."""
    named = {(part[name], part["title"] or part["text"]) for part in parts for name in ("id", "link") if part[name]}
    return [one for one, count in Counter(one for one, _ in named).items() if count > 1]


def _article(source: FeedSettings, link: str, fetcher: Fetcher) -> str:
    """Return the article behind a link; nothing where it is not allowed, not there, or no article."""
    with suppress(InputError):
        gap = fetcher.robots_gap(link, source.allow_private)
        if gap is None:
            return ""
        most = int(source.most_mib * 2**20)
        found = fetcher.get(link, most_bytes=most, allow_private=source.allow_private, gap=gap)
        if found.status == 200 and found.body:
            parts = parts_of("article", found.body, link, url=found.url)
            return "\n".join(str(part["text"]) for part in parts if part.get("text"))
    return ""


def _wait(found: Fetched, now: datetime) -> float:
    """Return the seconds that a server asks to be left alone for: those of Retry-After, or until its date."""
    asked = found.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    try:
        until = parsedate_to_datetime(asked)
    except (TypeError, ValueError, IndexError):
        return 0.0
    return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds())
