"""The application at /v1/apps/recommend: items in, picks out; it learns from the events that the server makes durable.

What readers were shown, opened and bought it hears from the events themselves, those of its own routes and those of
POST /v1/events alike, and reads them from the lake again when it starts: a restart forgets nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field
from starlette.responses import Response

from noria.apps.embedding import keeping
from noria.apps.settings import RecommendSettings
from noria.core.errors import InputError, RowError
from noria.core.messages import message
from noria.lake.event import Event
from noria.lake.read import recall
from noria.server.errors import ApiError
from noria.server.http.context import RequestContext
from noria.server.http.fields import INTEGRAL, Body, Name, Rows, SomeId
from noria.server.http.routing import Route
from noria.tasks.items import Item, append_items, item_of
from noria.text.lines import json_objects

from .shelf import Catalogue, Pick, Shelf

if TYPE_CHECKING:
    from noria.server.http.state import State

LEAD = 200
"""Characters of an item that its vector is made from: newspapers say first what matters."""
LEARNED_FROM = ("impression", "click", "conversion")


class NewItem(Body):
    """One item to add: an id and a text, a title, or both."""

    id: SomeId
    text: str | None = None
    title: Name | None = None
    meta: dict[str, Any] | None = None
    """A document's facts; `title` is read where the item names none itself."""


class NewItems(Body):
    """POST /items: add to the catalogue; an item whose id is known is replaced."""

    items: Rows[NewItem]


class PickFor(Body):
    """POST /pick."""

    user: SomeId
    count: Annotated[int, Field(ge=1, le=50), INTEGRAL] = 5


class Click(Body):
    """POST /click and POST /buy."""

    user: SomeId
    item: SomeId


class Recommend:
    """The application at /v1/apps/recommend.

    Args:
        items: what to recommend at first; more can be added, and outlive the server.
        model: name of the embedding model among those served; None takes the first one.
        settings: see `RecommendSettings`.
    """

    name = "recommend"

    def __init__(
        self, items: Sequence[Item] = (), model: str | None = None, settings: RecommendSettings | None = None
    ) -> None:
        self.settings = settings or RecommendSettings()
        self.model = model
        self.items = {item.id: item for item in items}
        self.shelf = Shelf(Catalogue([], np.zeros((0, 1))), self.settings)
        self._raw: dict[str, np.ndarray] = {}
        self._turn = asyncio.Lock()

    async def start(self, state: State) -> None:
        """Embed the items through the served model, those added before the last stop too, and hear what the lake says of them."""
        items, self.items = self.items, {}
        await self._put(RequestContext(state), list((_added(self._file(state)) | items).values()))
        earliest = state.meter.now() - timedelta(days=self.settings.history_days)
        for event in await asyncio.to_thread(recall, state.lake, LEARNED_FROM, self.items, earliest):
            self.on_event(event)
        state.meter.listeners.append(self.on_event)

    async def add(self, context: RequestContext, items: Sequence[Item]) -> None:
        """Add items to the catalogue; they are on the disk, and offered, when this returns.

        Raises:
            InputError: there are more than it may hold; none was added.
        """
        await self._put(context, items)
        await asyncio.to_thread(append_items, self._file(context.state), items)

    async def pick(self, context: RequestContext, user: str, count: int) -> list[Pick]:
        """Return items for a reader; every one of them is an impression, on the disk before this returns."""
        usage = context.usage
        usage.user, usage.units, usage.unit = user, count, "items"
        picks = self.shelf.choose(self.reader_of(context, user), count)
        usage.segment = picks[0].why if picks else "nothing left"
        await asyncio.gather(
            *(
                context.record("impression", app=self.name, subject=pick.item.id, segment=pick.why, value=pick.score)
                for pick in picks
            )
        )
        return picks

    def act(self, context: RequestContext, kind: str, user: str, item: str) -> None:
        """Take a click or a conversion: the request that tells it is itself the event, heard when it is on the disk.

        Raises:
            InputError: no such item.
        """
        self.shelf.place(item)
        usage = context.usage
        usage.kind, usage.user, usage.subject = kind, user, item

    def on_event(self, event: Event) -> None:
        """Learn from an event on an item, whoever wrote it; others are passed over."""
        if event.kind not in LEARNED_FROM or event.outcome != "ok" or event.subject not in self.shelf.catalogue.places:
            return
        learn = {"impression": self.shelf.show, "click": self.shelf.click, "conversion": self.shelf.buy}[event.kind]
        learn(_reader(event.tenant, event.user) if event.user else "", event.subject)

    def reader_of(self, context: RequestContext, user: str) -> str:
        """Return the reader's name on the shelf: a pseudonym within their tenant, for two customers may both know an `anna`."""
        return _reader(context.tenant, context.state.meter.pseudonym(user))

    def routes(self) -> Sequence[Route]:
        """Return GET /items, POST /items, POST /pick, POST /click and POST /buy."""
        return (
            Route("GET", "/items", self._items, reply=list[dict[str, Any]]),
            Route("POST", "/items", self._add, body=NewItems, reply=dict[str, int]),
            Route("POST", "/pick", self._pick, body=PickFor, reply=dict[str, Any]),
            Route("POST", "/click", self._click, body=Click, reply=dict[str, str]),
            Route("POST", "/buy", self._buy, body=Click, reply=dict[str, str]),
        )

    async def _items(self, context: RequestContext) -> Response:
        """List the catalogue with showings and clicks."""
        # In a thread: of a long catalogue it takes longer than other requests should wait.
        return Response(await asyncio.to_thread(self._listed), media_type="application/json")

    def _listed(self) -> str:
        shelf = self.shelf
        listed = [
            {"id": item.id, "title": item.title, "shown": int(shown), "clicks": int(clicks)}
            for item, shown, clicks in zip(shelf.catalogue.items, shelf.shown, shelf.clicks, strict=True)
        ]
        return json.dumps(listed, ensure_ascii=False)

    async def _add(self, context: RequestContext, body: NewItems) -> dict[str, int]:
        """Add items."""
        items = []
        for place, one in enumerate(body.items):
            try:
                items.append(item_of(one.model_dump(exclude_none=True)))
            except InputError as error:
                raise ApiError(
                    400,
                    error.what,
                    param=f"items.{place}",
                    code="cannot_be_used",
                    found=error.found,
                    allowed=error.allowed,
                ) from None
        await self.add(context, items)
        return {"items": len(self.items)}

    async def _pick(self, context: RequestContext, body: PickFor) -> dict[str, Any]:
        """Pick items for a reader."""
        picks = await self.pick(context, body.user, body.count)
        return {"picks": [asdict(pick) for pick in picks]}

    async def _click(self, context: RequestContext, body: Click) -> dict[str, str]:
        """Tell that a reader opened an item."""
        self.act(context, "click", body.user, body.item)
        return {"id": context.id}

    async def _buy(self, context: RequestContext, body: Click) -> dict[str, str]:
        """Tell that a reader bought an item: it is not offered to them again."""
        self.act(context, "conversion", body.user, body.item)
        return {"id": context.id}

    async def _put(self, context: RequestContext, items: Sequence[Item]) -> None:
        async with self._turn:
            merged = self.items | {item.id: item for item in items}
            if len(merged) > self.settings.most_items:
                raise InputError(
                    message("apps.too_many"),
                    found=len(merged),
                    allowed=message("apps.up", most_items=self.settings.most_items),
                )
            embed = keeping(context, self.name, self.model)
            if not merged:
                return
            vectors = await embed([f"{item.title}\n{item.text}"[:LEAD] for item in items])
            self._raw |= {item.id: vector for item, vector in zip(items, vectors, strict=True)}
            catalogue = await asyncio.to_thread(
                lambda: Catalogue(list(merged.values()), np.array([self._raw[id] for id in merged]))
            )
            shelf = Shelf(catalogue, self.settings)
            shelf.take_over(self.shelf)
            self.items, self.shelf = merged, shelf

    def _file(self, state: State) -> Path:
        return state.lake / "apps" / self.name / "items.jsonl"


def _reader(tenant: str, user: str) -> str:
    return f"{tenant}/{user}"


def _added(file: Path) -> dict[str, Item]:
    """Return the items that were added to a running server; a line that a power cut tore is passed over."""
    if not file.exists():
        return {}
    found = [
        value for _, value in json_objects(file.read_text(encoding="utf-8"), file) if not isinstance(value, RowError)
    ]
    return {item.id: item for item in map(item_of, found)}
