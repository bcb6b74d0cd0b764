"""The texts that the monitor kept, to be searched by words, time, source, name, topic and sentiment, and what can be taken away.

A text is found by its terms, as a knowledge base's passages are: Chinese characters and pairs of them, stems of words, Traditional as
Simplified; all that are asked must be its own. Texts are masked before they come here, and leave after the days that the settings allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import xxhash
from pydantic import AwareDatetime, BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from noria.apps.settings import WatchSettings
from noria.lake.tables import KINDS, Row
from noria.lake.texts import FILE, KeptText, Page, Texts, Wanted
from noria.server.errors import ApiError
from noria.server.http.context import RequestContext
from noria.server.http.fields import Name
from noria.server.http.routing import Route
from noria.text.terms import question_terms, terms

from .export import TABLES, alert_row, sent, story_row, text_row, window_rows
from .stories import Stories
from .stream import SetAside, Stream
from .surge import NEGATIVE, Mention


class WhichTexts(BaseModel):
    """GET /texts: which of the kept texts; what is left out asks for nothing."""

    q: Name = ""
    """Words, all of which stand in the text, or a part of a Chinese one."""
    since: AwareDatetime | None = None
    """Said from then on, with its time zone."""
    until: AwareDatetime | None = None
    """Said before then."""
    source: Name = ""
    entity: Name = ""
    """A name that was found in it."""
    topic: Name = ""
    label: Name = ""
    """Its sentiment, as the model names it."""
    story: Name = ""
    author: Name = ""
    """A pseudonym, as texts show it."""
    replay: bool = False


class PageOfTexts(WhichTexts):
    """GET /texts: which, and how many of them."""

    most: Annotated[int, Field(ge=1, le=1_000)] = 50
    after: Annotated[str, Field(max_length=64)] = ""
    """`next` of the page before."""
    order: Literal["newest", "best"] = "newest"
    """The latest first, or those that the words tell most about."""


class Counted(WhichTexts):
    """GET /counts: which texts, and in what stretches of time they are counted."""

    minutes: Annotated[float, Field(gt=0, le=7 * 1440)] = 60.0


class Taken(WhichTexts):
    """GET /export/{what}: windows, alerts and stories by their time alone; texts as they are searched."""

    format: Literal["csv", "parquet"] = "csv"


class Search:
    """Kept texts of the live stream and of the replay, and all that can be exported.

    Args:
        streams: whose windows and alerts are exported, once they are there.
        stories: whose stories are.
        settings: how long texts are kept, and how many.
    """

    def __init__(
        self, streams: Mapping[bool, Stream], stories: Mapping[bool, Stories], settings: WatchSettings
    ) -> None:
        self._streams, self._stories, self.settings = streams, stories, settings
        self.texts: dict[bool, Texts] = {}

    def open(self, folder: Path, *, replay: bool) -> None:
        """Take up the texts in a folder.

        Raises:
            ResourceError: it cannot be written.
        """
        self.texts[replay] = Texts(folder / FILE)

    def keep(
        self,
        mentions: Sequence[Mention],
        labels: Sequence[str],
        aside: Sequence[SetAside],
        now: datetime,
        *,
        replay: bool,
    ) -> None:
        """Keep texts that were counted, once, though they come again because a server was killed in between.

        Args:
            mentions: masked.
            labels: the sentiment of each.
            aside: those that were not counted.
            now: the present time.
            replay: into which stream they came.

        Raises:
            ResourceError: the disk is full; none was kept.
        """
        if not self.settings.text_days or not self.settings.most_texts:
            return
        unfit = {one.id for one in aside if one.reason != "repeated"}
        self.texts[replay].add(
            [
                (_kept(mention, label), indexed(mention.text, mention.entities))
                for mention, label in zip(mentions, labels, strict=True)
                if mention.id not in unfit
            ],
            now,
        )
        self.texts[replay].limit(now - timedelta(days=self.settings.text_days), self.settings.most_texts)

    def limit(self, now: datetime) -> None:
        """Let texts leave whose time is over."""
        for kept in self.texts.values():
            kept.limit(now - timedelta(days=self.settings.text_days), self.settings.most_texts)

    def find(self, query: PageOfTexts) -> Page:
        """Return a page of texts.

        Raises:
            ApiError: nothing of what is asked can be looked for (422).
        """
        best = query.order == "best"
        return self.texts[query.replay].find(wanted(query), query.most, after=query.after, best=best)

    def counts(self, query: Counted) -> dict[datetime, tuple[int, int]]:
        """Return how many texts were said in every stretch of time in which there are any, and how many of these are negative.

        Raises:
            ApiError: nothing of what is asked can be looked for (422).
        """
        return self.texts[query.replay].counts(wanted(query), timedelta(minutes=query.minutes), NEGATIVE)

    def routes(self) -> Sequence[Route]:
        """Return GET /texts, /counts and /export/{what}."""
        return (
            Route("GET", "/texts", self._find, query=PageOfTexts, reply=dict[str, Any]),
            Route("GET", "/counts", self._count, query=Counted, reply=list[dict[str, Any]]),
            Route("GET", "/export/{what}", self._export, query=Taken, media=(KINDS["csv"], KINDS["parquet"])),
        )

    async def _find(self, context: RequestContext, query: PageOfTexts) -> dict[str, Any]:
        """Find kept texts: a page of them, how many there are, and where the next page begins."""
        page = await run_in_threadpool(self.find, query)
        return {"texts": [text.as_dict() for text in page.texts], "found": page.found, "next": page.next}

    async def _count(self, context: RequestContext, query: Counted) -> list[dict[str, Any]]:
        """Count kept texts over time, reposts among them, and the negative ones; stretches without any are left out."""
        found = await run_in_threadpool(self.counts, query)
        return [
            {"start": start.isoformat(), "texts": texts, "negatives": negatives}
            for start, (texts, negatives) in found.items()
        ]

    async def _export(self, context: RequestContext, query: Taken, what: str) -> StreamingResponse:
        """Take windows, alerts, stories or texts away, as CSV or Parquet."""
        if what not in TABLES:
            raise ApiError(404, "no such table", param="what", found=what, allowed=", ".join(TABLES))
        return await run_in_threadpool(sent, what, query.format, self._rows(what, query))

    def _rows(self, what: str, query: Taken) -> Iterator[list[Row]]:
        if what == "texts":
            asked = wanted(query)
            return ([text_row(text) for text in some] for some in self.texts[query.replay].each(asked))
        stream = self._streams[query.replay]
        made: dict[str, Callable[[], list[Row]]] = {
            "windows": lambda: [row for window in list(stream.windows) for row in window_rows(window)],
            "alerts": lambda: [alert_row(alert) for alert in list(stream.alerts.values())],
            "stories": lambda: [story_row(story) for story in list(self._stories[query.replay].stories.values())],
        }
        moment = TABLES[what][0]
        return iter([[row for row in made[what]() if _within(row[moment], query)]])


def wanted(query: WhichTexts) -> Wanted:
    """Return what a query asks of the kept texts.

    Raises:
        ApiError: it asks for words, and has none (422).
    """
    asked = asked_terms(query.q)
    if query.q.strip() and not asked:
        raise ApiError(422, "nothing to look for", param="q", found=query.q, allowed="words or characters")
    if query.entity:
        asked = (*asked, _name_term(query.entity))
    plain = {name: getattr(query, name) for name in ("since", "until", "source", "author", "topic", "label", "story")}
    return Wanted(terms=asked, **plain)


def asked_terms(text: str) -> tuple[str, ...]:
    """Return the terms that a text must have which is asked for by some words; those that say little only where there are no others."""
    found, weights = question_terms(text)
    telling = found[weights >= 1]
    return _written(telling if len(telling) else found)


def indexed(text: str, entities: Sequence[str]) -> str:
    """Return the terms by which a text is found, of its words and of the names in it, parted by blanks."""
    return " ".join([*_written(np.unique(terms(text))), *map(_name_term, entities)])


def _written(numbers: Any) -> tuple[str, ...]:
    return tuple(f"{number:x}" for number in numbers.tolist())


def _name_term(name: str) -> str:
    return f"n{xxhash.xxh64_hexdigest(name.casefold().encode())}"


def _within(moment: datetime, query: WhichTexts) -> bool:
    return (query.since is None or moment >= query.since) and (query.until is None or moment < query.until)


def _kept(mention: Mention, label: str) -> KeptText:
    names = ("id", "time", "source", "author", "topic", "score", "story", "link", "entities", "text")
    return KeptText(label=label, **{name: getattr(mention, name) for name in names})
