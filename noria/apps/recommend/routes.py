"""The application at /v1/apps/recommend: items in, picks out; it learns from the events that the server makes durable.

What users were shown, opened and bought it hears from the events themselves, those of its own routes and those of
POST /v1/events alike, and knows again when it starts, from a snapshot and the lake: a restart forgets nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.responses import Response

from noria.apps.embedding import embedder, keeping
from noria.apps.settings import RecommendSettings
from noria.core.errors import InputError, NoriaError, RowError
from noria.core.folder import read_manifest
from noria.core.messages import message
from noria.infer.recommend import Ranker
from noria.lake.event import new_ids
from noria.server.errors import ApiError
from noria.server.http.context import RequestContext
from noria.server.http.routing import Route
from noria.tasks.items import LEAD, Item, append_items, item_of
from noria.text.lines import json_objects

from .bodies import Click, Like, NewItems, OldItems, PickFor, PicksFor, SearchFor, User
from .catalogue import Catalogue
from .lists import Lists, json_of
from .loops import loops, width_of
from .remembering import Memory, keep_snapshots
from .rollout import Rollout, file_of_rollout, read_rollout, stamp_of
from .rules import Asked
from .search import Search
from .shelf import Pick, Shelf
from .states import key_of

if TYPE_CHECKING:
    from noria.server.http.state import State

LOOK_SECONDS = 2.0
"""How often is looked whether the rollout changed."""


class Recommend:
    """The application at /v1/apps/recommend.

    Args:
        items: what to recommend at first; more can be added, and outlive the server.
        model: name of the embedding model among those served; None takes the first one.
        settings: see `RecommendSettings`.
        ranker: folder of a ranker that learned from behaviour; texts alone rank without one.
        beside: folder of another, which is tried on a share of the users (`RecommendSettings.trial`).
    """

    name = "recommend"

    def __init__(
        self,
        items: Sequence[Item] = (),
        model: str | None = None,
        settings: RecommendSettings | None = None,
        ranker: Path | None = None,
        beside: Path | None = None,
    ) -> None:
        self.settings = settings or RecommendSettings()
        self.model = model
        self.items = {item.id: item for item in items}
        self.versions = [_version(one) for one in (ranker, beside)]
        """Of the rankers, told by the events of what they showed; of text alone that of the model."""
        self._given = ranker
        self._folders: tuple[Path | None, Path | None] = ranker, beside
        self._stamp: tuple[int, int] | None = None
        """Of the file of the rollout, as it was read at the start."""
        self._encoded_by = ""
        """The model whose vectors the items have."""
        self.shelf = Shelf(self.settings, *(Ranker.open(one) if one else None for one in (ranker, beside)))
        self.memory = Memory(Path(), self.shelf, self.key_of)
        self._search: Search | None = None
        self._turn = asyncio.Lock()
        self._lists = Lists(self.shelf)

    async def start(self, state: State) -> None:
        """Embed the items through the served model, those added before the last stop too, and learn what the lake holds of users."""
        self.memory = Memory(state.lake, self.shelf, self.key_of)
        wanted = on_offer(state.lake, self.items)
        ids = await asyncio.to_thread(self.memory.ids)
        # Rows as the snapshot numbers them; of what is gone the row stays.
        listed = {id: wanted.get(id) for id in ids} | wanted
        context = RequestContext(state)
        if listed:
            self.check_count(len(wanted))
            vectors = await self._vectors(context, list(wanted.values())) if wanted else np.zeros((0, 1))
            raw = np.zeros((len(listed), vectors.shape[1]), dtype=np.float32)
            live = np.array([item is not None for item in listed.values()])
            places = {id: place for place, id in enumerate(wanted)}
            raw[live] = vectors[[places[id] for id, item in listed.items() if item is not None]]
            rows = [item or Item(id, id, id, available=False) for id, item in listed.items()]
            self._use(context, await asyncio.to_thread(Catalogue, rows, raw, live))
        self.items = wanted
        earliest = state.meter.now() - timedelta(days=self.settings.history_days)
        await asyncio.to_thread(self.memory.recall, earliest)
        state.meter.listeners.append(self.memory.on_event)
        self._stamp = stamp_of(file_of_rollout(state.lake))
        rollout = await asyncio.to_thread(read_rollout, state.lake, self._given)
        if rollout.trial or rollout.live != rollout.given:
            await self._take_up(rollout)
        keeping_up = keep_snapshots(self.memory, lambda: self.settings.snapshot_minutes)
        state.tasks += [asyncio.create_task(keeping_up), asyncio.create_task(self._follow(state.lake))]

    async def add(self, context: RequestContext, items: Sequence[Item]) -> None:
        """Add items to the catalogue; they are on the disk, and offered, when this returns.

        Raises:
            InputError: there are more than it may hold; none was added.
        """
        async with self._turn:
            merged = self.items | {item.id: item for item in items}
            self.check_count(len(merged))
            vectors = await self._vectors(context, items)
            self._use(context, await asyncio.to_thread(self.shelf.grown, list(items), vectors))
            self.items = merged
            await asyncio.to_thread(append_items, _file(context.state.lake), items)

    async def remove(self, context: RequestContext, ids: Sequence[str]) -> int:
        """Offer items no longer, over a restart too; return how many of them there were."""
        async with self._turn:
            there = [id for id in dict.fromkeys(ids) if id in self.items]
            self._use(context, await asyncio.to_thread(self.shelf.catalogue.without, there))
            self.items = {id: item for id, item in self.items.items() if id not in set(there)}
            await asyncio.to_thread(append_items, _file(context.state.lake), (), there)
        return len(there)

    async def exchange(
        self, context: RequestContext, new: Sequence[Item], vectors: np.ndarray | None, gone: Sequence[str]
    ) -> None:
        """Take what the file of items holds now: offer what is new in it, by their vectors, and no longer what is gone."""
        async with self._turn:
            if vectors is not None:
                self._use(context, await asyncio.to_thread(self.shelf.grown, list(new), vectors))
            if gone:
                self._use(context, await asyncio.to_thread(self.shelf.catalogue.without, list(gone)))
            kept = self.items | {item.id: item for item in new}
            self.items = {id: item for id, item in kept.items() if id not in set(gone)}

    async def pick(self, context: RequestContext, user: str, count: int, asked: Asked | None = None) -> list[Pick]:
        """Return items for a user; every one of them is an impression, on the disk before this returns."""
        usage, meter = context.usage, context.state.meter
        usage.user, usage.units, usage.unit = user, count, "items"
        key = self.key_for(context, user)
        picks = await self._lists.made(key, count, asked)
        version = self.versions[self.shelf.arm(key)] or self._encoded_by
        usage.segment = picks[0].why if picks else "nothing left"
        now = meter.now()
        shown = [
            meter.event(
                "impression",
                id=id,
                user=user,
                time=now,
                tenant=context.tenant,
                app=self.name,
                version=version,
                subject=pick.item.id,
                segment=pick.why,
                value=float(place),
                propensity=pick.propensity,
            )
            for place, (pick, id) in enumerate(zip(picks, new_ids(len(picks), now.timestamp), strict=True), 1)
        ]
        await context.finish(beside=shown)  # one commit for all of them
        return picks

    def act(self, context: RequestContext, kind: str, user: str, item: str) -> None:
        """Take a click or a conversion: the request that tells it is itself the event, heard when it is on the disk.

        Raises:
            InputError: no such item.
        """
        self.shelf.catalogue.row(item)
        usage = context.usage
        usage.kind, usage.user, usage.subject = kind, user, item

    def key_for(self, context: RequestContext, user: str) -> int:
        """Return the number that a user is known by: of their pseudonym, and their tenant where two may both know an `anna`."""
        return self.key_of(context.tenant, context.state.meter.pseudonym(user))

    def routes(self) -> Sequence[Route]:
        """Return GET /items, POST /items and /items/remove, /pick, /picks, /similar, /search, /history, /click and /buy, GET /loops."""
        return (
            Route("GET", "/items", self._items, reply=list[dict[str, Any]]),
            Route("POST", "/items", self._add, body=NewItems, reply=dict[str, int], action="items.add"),
            Route("POST", "/items/remove", self._remove, body=OldItems, reply=dict[str, int], action="items.remove"),
            Route("POST", "/pick", self._pick, body=PickFor, reply=dict[str, Any]),
            Route("POST", "/picks", self._picks, body=PicksFor, reply=dict[str, Any]),
            Route("POST", "/similar", self._similar, body=Like, reply=dict[str, Any]),
            Route("POST", "/search", self._find, body=SearchFor, reply=dict[str, Any]),
            Route("POST", "/history", self._history, body=User, reply=dict[str, Any]),
            Route("POST", "/click", self._click, body=Click, reply=dict[str, str]),
            Route("POST", "/buy", self._buy, body=Click, reply=dict[str, str]),
            Route("GET", "/loops", self._loops, reply=dict[str, Any]),
        )

    async def _items(self, context: RequestContext) -> Response:
        """List the catalogue with showings and clicks."""
        # In a thread: of a long catalogue it takes longer than other requests should wait.
        return Response(await asyncio.to_thread(self._listed), media_type="application/json")

    def _listed(self) -> str:
        shelf, catalogue = self.shelf, self.shelf.catalogue
        listed = [
            {"id": item.id, "title": item.title, "shown": int(shelf.shown[row]), "clicks": int(shelf.clicks[row])}
            for row, item in enumerate(catalogue.items)
            if catalogue.live[row]
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

    async def _remove(self, context: RequestContext, body: OldItems) -> dict[str, int]:
        """Offer items no longer."""
        removed = await self.remove(context, body.ids)
        return {"removed": removed, "items": len(self.items)}

    async def _pick(self, context: RequestContext, body: PickFor) -> Response:
        """Pick items for a user."""
        picks = await self.pick(context, body.user, body.count, body.asked(self.settings.rules))
        told = self._json_of(self.key_for(context, body.user), picks, explain=body.explain)
        return Response(b'{"picks":%b}' % told, media_type="application/json")

    async def _picks(self, context: RequestContext, body: PicksFor) -> Response:
        """Pick items for many users, to be shown elsewhere: nothing counts as shown."""
        asked, found = body.asked(self.settings.rules), []
        for user in body.users:
            key = self.key_for(context, user)
            picks = await self._lists.made(key, body.count, asked)
            told = self._json_of(key, picks, explain=body.explain)
            found.append(b'{"user":%b,"picks":%b}' % (json.dumps(user, ensure_ascii=False).encode(), told))
            await context.pause.now_and_then()
        return Response(b'{"users":[%b]}' % b",".join(found), media_type="application/json")

    async def _similar(self, context: RequestContext, body: Like) -> dict[str, Any]:
        """List what an item is like, the likest first."""
        catalogue = self.shelf.catalogue
        row = catalogue.row(body.item)
        mask = catalogue.live.copy()
        mask[row] = False
        rows, cosines = await asyncio.to_thread(catalogue.nearest, catalogue.vectors[row], body.count, mask)
        return {
            "items": [
                {"item": asdict(catalogue.items[row]), "score": round(float(score), 4)}
                for row, score in zip(rows.tolist(), cosines, strict=True)
            ]
        }

    async def _find(self, context: RequestContext, body: SearchFor) -> dict[str, Any]:
        """Search the catalogue by words and by meaning."""
        catalogue = self.shelf.catalogue
        if self._search is None:
            self._search = Search(_file(context.state.lake).with_name("words"))
        query = await context.enter(body.query, "query")
        vector = (await embedder(context, self.model)([query]))[0] if len(catalogue) else None
        rows = await asyncio.to_thread(self._search.find, catalogue, query, vector, body.count)
        return {"items": [{"item": asdict(catalogue.items[row])} for row in rows]}

    async def _history(self, context: RequestContext, body: User) -> dict[str, Any]:
        """Tell what is known of a user: what they did, the latest first, and how wide their lists were."""
        reader, catalogue = self.shelf.states.look(self.key_for(context, body.user)), self.shelf.catalogue
        deeds = [
            {
                "item": deed.item,
                "title": catalogue.items[catalogue.places[deed.item]].title,
                "kind": deed.kind,
                "time": datetime.fromtimestamp(deed.time, UTC).isoformat(),
            }
            for deed in reversed(self.shelf.history(reader))
        ]
        return {"deeds": deeds, "shown": len(reader.seen), "width": width_of(catalogue, reader)}

    async def _click(self, context: RequestContext, body: Click) -> dict[str, str]:
        """Tell that a user opened an item."""
        self.act(context, "click", body.user, body.item)
        return {"id": context.id}

    async def _buy(self, context: RequestContext, body: Click) -> dict[str, str]:
        """Tell that a user bought an item: it is not offered to them again."""
        self.act(context, "conversion", body.user, body.item)
        return {"id": context.id}

    async def _loops(self, context: RequestContext) -> dict[str, Any]:
        """Tell whether recommending feeds on itself: coverage, concentration and spread of what was shown."""
        shelf = self.shelf
        return asdict(await asyncio.to_thread(loops, shelf.catalogue, shelf.shown.copy(), shelf.clicks.copy()))

    def _json_of(self, key: int, picks: Sequence[Pick], *, explain: bool) -> bytes:
        return json_of(picks, [self.shelf.reason(key, pick).both() for pick in picks] if explain else ())

    def key_of(self, tenant: str, user: str) -> int:
        """Return the number that a user is known by, of a tenant and a pseudonym."""
        return key_of(tenant if self.settings.per_key else "", user)

    def check_count(self, count: int) -> None:
        """Pass where so many items may be held.

        Raises:
            InputError: they are too many.
        """
        most = self.settings.most_items
        if count > most:
            raise InputError(message("apps.too_many"), found=count, allowed=message("apps.up", most_items=most))

    async def _vectors(self, context: RequestContext, items: Sequence[Item]) -> np.ndarray:
        return await keeping(context, self.name, self.model)([item.described[:LEAD] for item in items])

    def _encoder(self, context: RequestContext) -> str:
        name = self.model or context.state.model_for("embed")
        return context.state.models[name].manifest.identity()[:12] if name in context.state.models else ""

    def _use(self, context: RequestContext, catalogue: Catalogue) -> None:
        self._encoded_by = self._encoder(context)
        self.shelf.use(catalogue, encoder=self._encoded_by)

    async def _follow(self, lake: Path) -> None:
        """Rank by what the rollout says, whenever it changes."""
        file, stamp = file_of_rollout(lake), self._stamp
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if (now := stamp_of(file)) != stamp:
                stamp = now
                with suppress(NoriaError):  # a folder that is gone again: the rankers stay as they are
                    await self._take_up(await asyncio.to_thread(read_rollout, lake, self._given))

    async def _take_up(self, rollout: Rollout) -> None:
        """Rank by the rankers of a rollout from now on.

        Raises:
            NoriaError: one of them cannot be opened; all is as before.
        """
        known = dict(zip(self._folders, self.shelf.rankers, strict=False))

        async def opened(folder: Path | None) -> Ranker | None:
            return known.get(folder) or (await asyncio.to_thread(Ranker.open, folder) if folder else None)

        live, trial = [await opened(one) for one in rollout.folders]
        versions = [_version(one) for one in rollout.folders]
        await asyncio.to_thread(self.shelf.rank_by, live, trial, rollout.share, encoder=self._encoded_by)
        self.settings, self.versions, self._folders = self.shelf.settings, versions, rollout.folders


def on_offer(lake: Path, items: Mapping[str, Item]) -> dict[str, Item]:
    """Return what a server of a lake offers that was given some items: these, and those added, less those removed while it ran.

    A line that a power cut tore is passed over.
    """
    added: dict[str, Item] = {}
    removed: set[str] = set()
    file = _file(lake)
    for _, value in json_objects(file.read_text(encoding="utf-8"), file) if file.exists() else ():
        if isinstance(value, RowError):
            continue
        if value.get("removed"):
            added.pop(str(value["id"]), None)
            removed.add(str(value["id"]))
        else:
            item = item_of(value)
            added[item.id] = item
            removed.discard(item.id)
    return {id: item for id, item in (added | dict(items)).items() if id not in removed}


def _version(ranker: Path | None) -> str:
    return read_manifest(ranker).identity()[:12] if ranker else ""


def _file(lake: Path) -> Path:
    return lake / "apps" / Recommend.name / "items.jsonl"
