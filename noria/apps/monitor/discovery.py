"""Discovered topics of the live stream and of the replay: fed by what is counted, grouped anew now and then, shown by GET /topics.

Where no model embeds texts nothing is discovered. Grouping takes a second of one core at most, every few minutes, and again when the server
stops, so that a kill costs the texts of those minutes their place in the sample and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from noria.core.errors import NoriaError
from noria.server.http.context import RequestContext
from noria.server.http.routing import Route

from .discovered import Discovered
from .stream import SetAside
from .surge import Mention


class WhichTopics(BaseModel):
    """GET /topics: of the live stream, or of the replay."""

    replay: bool = False


class Discovery:
    """What both streams are about."""

    def __init__(self) -> None:
        self.found: dict[bool, Discovered] = {}

    def open(self, folder: Path, encoder: str, *, replay: bool) -> None:
        """Take up what was known in a folder; `encoder` says which model makes the vectors."""
        self.found[replay] = Discovered(folder, encoder)

    def take(
        self,
        mentions: Sequence[Mention],
        vectors: Sequence[Sequence[float]] | None,
        aside: Sequence[SetAside],
        *,
        replay: bool,
    ) -> None:
        """Take in what was counted of some texts."""
        if vectors is None or replay not in self.found:
            return
        not_counted = {one.id for one in aside}
        pairs = [(one, vector) for one, vector in zip(mentions, vectors, strict=True) if one.id not in not_counted]
        self.found[replay].add([one for one, _ in pairs], [vector for _, vector in pairs])

    def forget(self, authors: frozenset[str], *, replay: bool) -> None:
        """Take the texts of authors, by pseudonym, out of the sample and the examples."""
        if replay in self.found:
            self.found[replay].forget(authors)

    async def update(self) -> None:
        """Group anew where enough has come; of a full disk the next request tells."""
        for found in self.found.values():
            if found.is_stale:
                with suppress(NoriaError):
                    await asyncio.to_thread(found.update)

    def close(self) -> None:
        """Group anew what has come, and keep it."""
        for found in self.found.values():
            if found.has_new:
                with suppress(NoriaError):
                    found.update()

    async def shown(self, *, replay: bool) -> Discovered | None:
        """Return what was discovered; the first topics as soon as there can be any. None where no model embeds texts."""
        found = self.found.get(replay)
        if found is not None and not found.topics and found.is_stale:
            await asyncio.to_thread(found.update)
        return found

    def routes(self) -> Sequence[Route]:
        """Return GET /topics."""
        return (Route("GET", "/topics", self._list, query=WhichTopics, reply=dict[str, Any]),)

    async def _list(self, context: RequestContext, query: WhichTopics) -> dict[str, Any]:
        """List the topics that were discovered, the largest first, and of how many texts of how many days."""
        found = await self.shown(replay=query.replay)
        if found is None:
            return {"topics": [], "texts": 0, "days": 0}
        return {"topics": [topic.as_dict() for topic in found.topics], "texts": len(found), "days": found.days}
