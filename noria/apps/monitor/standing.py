"""How sources stand: what each brought since the start, and what whoever asks them says of them: failing, silent, when they are asked again.

    standing.note(mentions, now)             # of every text that came
    standing.listed()["phones"]              # {"texts": 41, "last": ..., "state": "failing", "why": ..., "failures": 3, "due": ...}

Whoever asks the sources (`sources.watching`) posts how they stand after a round; a source that only posts its texts is known by these.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from noria.server.http.context import RequestContext
from noria.server.http.fields import Body, Name, whole
from noria.server.http.routing import Route

from .surge import Mention

MOST_SOURCES = 1_000
"""Sources whose last text is remembered, and that may be said to stand somehow."""
_Time = Annotated[AwareDatetime, Field(strict=False)]


class SourceState(Body):
    """How one source stands."""

    name: Name
    kind: Literal["rss", "file", "imap", "push"]
    state: Literal["works", "failing", "silent"]
    why: Annotated[str, Field(max_length=1_000), AfterValidator(whole)] = ""
    """What is wrong with one that fails."""
    failures: Annotated[int, Field(ge=0)] = 0
    """In a row."""
    latest: _Time | None = None
    """When it brought something new last, or was asked first."""
    due: _Time | None = None
    """When it is asked again; later the more often it failed."""


class SourceStates(Body):
    """POST /sources: all sources of a list, as they stand after a round."""

    sources: Annotated[list[SourceState], Field(max_length=MOST_SOURCES)]


class Standing:
    """All sources of one monitor, since its start."""

    def __init__(self) -> None:
        self.brought: dict[str, dict[str, Any]] = {}
        """Source -> how many texts it brought, and when the last one; those that brought one last stand last."""
        self._reported: dict[str, dict[str, Any]] = {}
        self.changes = 0
        """Counts what was posted, so that a page sees that something changed."""

    def note(self, mentions: Sequence[Mention], now: datetime) -> None:
        """Note which sources texts came from."""
        for mention in mentions:
            if mention.source:
                before = self.brought.pop(mention.source, {"texts": 0})
                self.brought[mention.source] = {"texts": before["texts"] + 1, "last": now.isoformat()}
        for name in list(self.brought)[:-MOST_SOURCES]:
            del self.brought[name]

    def report(self, states: Sequence[SourceState]) -> None:
        """Note how sources stand: all that there are."""
        self._reported = {one.name: one.model_dump(mode="json", exclude={"name"}) for one in states}
        self.changes += 1

    def listed(self) -> dict[str, dict[str, Any]]:
        """Return every source with what is known of it; what was not said of it is left out."""
        names = [*self._reported, *(name for name in self.brought if name not in self._reported)]
        return {name: {**self.brought.get(name, {"texts": 0}), **self._reported.get(name, {})} for name in names}

    def routes(self) -> Sequence[Route]:
        """Return GET and POST /sources."""
        return (
            Route("GET", "/sources", self._list, reply=dict[str, Any]),
            Route("POST", "/sources", self._report, body=SourceStates, reply=dict[str, int]),
        )

    async def _list(self, context: RequestContext) -> dict[str, Any]:
        """Tell how many texts each source brought since the start, when the last one, and how it stands."""
        return self.listed()

    async def _report(self, context: RequestContext, body: SourceStates) -> dict[str, int]:
        """Say how the sources stand, as whoever asks them knows."""
        self.report(body.sources)
        return {"sources": len(body.sources)}
