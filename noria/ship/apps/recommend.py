"""Recommendation by text: a reader's taste is the recent mean of what they clicked; diverse, with a share left to chance.

    catalogue = Catalogue(items, vectors)
    shelf = Shelf(catalogue, RecommendSettings())
    for pick in shelf.pick("reader 1", 5): ...       # Pick(item, score, why="taste" | "chance" | "popular")
    shelf.click("reader 1", item)

Knows nothing of HTTP or models; `Recommend` mounts it at /v1/apps/recommend. Tastes are held in memory only: after a restart
readers begin again from what is popular.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from noria.core.errors import InputError, RowError
from noria.core.settings import Settings

from ..server.bodies import INTEGRAL, Body, Given, Name
from .embedding import keeping

if TYPE_CHECKING:
    from fastapi import APIRouter

    from ..server.state import State

Why = Literal["taste", "chance", "popular"]
LEAD = 200
"""Characters of an item that its vector is made from: newspapers say first what matters."""
CLICKS = 100
"""Clicks remembered of a reader: at the default memory the hundredth weighs less than 1e-9."""


class RecommendSettings(Settings):
    """How items are picked."""

    memory: Annotated[float, Field(gt=0, le=1)] = 0.8
    """What a click still weighs after the next one; 1 never forgets."""
    chance: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of places left to chance, so that a taste can widen."""
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Weight of not repeating what is already picked (maximal marginal relevance, Carbonell and Goldstein 1998)."""
    most_items: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """Items held at most; more are refused."""
    readers: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    """Readers remembered; the one not seen for longest is forgotten first."""
    taste: bool = True
    """Follow readers' tastes; without it everybody is shown what is popular."""
    seed: int = 0
    """Seed of what is left to chance."""


@dataclass(frozen=True)
class Item:
    """Something to read."""

    id: str
    title: str
    text: str


@dataclass(frozen=True)
class Pick:
    """One item recommended."""

    item: Item
    score: float
    """Cosine to the reader's taste, centred on the catalogue; for popular ones the smoothed rate of clicks."""
    why: Why


@dataclass
class Reader:
    """What is known of a reader."""

    taste: np.ndarray | None = None
    """Weighted mean of clicked items' vectors, [width]; None before the first click."""
    seen: set[int] = field(default_factory=set)
    clicked: list[int] = field(default_factory=list)


class Catalogue:
    """Items and their vectors, centred on their mean: raw embeddings of one language all point much the same way."""

    def __init__(self, items: Sequence[Item], vectors: np.ndarray) -> None:
        self.items = list(items)
        self.places = {item.id: place for place, item in enumerate(self.items)}
        centred = vectors - vectors.mean(axis=0) if len(self.items) > 1 else vectors
        self.vectors = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
        """[items, width], each of length 1."""

    def __len__(self) -> int:
        return len(self.items)


class Shelf:
    """Picks items for readers and learns from their clicks."""

    def __init__(self, catalogue: Catalogue, settings: RecommendSettings | None = None) -> None:
        self.catalogue = catalogue
        self.settings = settings or RecommendSettings()
        self.shown = np.zeros(len(catalogue))
        self.clicks = np.zeros(len(catalogue))
        self._readers: OrderedDict[str, Reader] = OrderedDict()
        self._random = np.random.default_rng(self.settings.seed)

    def reader(self, name: str) -> Reader:
        """Return what is known of a reader; a new one is unknown but welcome."""
        reader = self._readers.setdefault(name, Reader())
        self._readers.move_to_end(name)
        while len(self._readers) > self.settings.readers:
            self._readers.popitem(last=False)
        return reader

    def pick(self, name: str, count: int) -> list[Pick]:
        """Return `count` items that the reader was not shown before, fewer where fewer are left."""
        reader = self.reader(name)
        left = np.array([place for place in range(len(self.catalogue)) if place not in reader.seen], dtype=int)
        if not len(left):
            return []
        rates = self.popularity()
        taste = reader.taste if self.settings.taste else None
        relevance = rates if taste is None else self.catalogue.vectors @ taste
        why: Why = "popular" if taste is None else "taste"
        picks: list[Pick] = []
        places: list[int] = []
        for _ in range(min(count, len(left))):
            by_chance = self._random.random() < self.settings.chance
            place = int(self._random.choice(left)) if by_chance else self._best(left, relevance, places)
            score = float(relevance[place])
            picks.append(Pick(self.catalogue.items[place], round(score, 4), "chance" if by_chance else why))
            places.append(place)
            left = left[left != place]
        reader.seen.update(places)
        self.shown[places] += 1
        return picks

    def click(self, name: str, item: str) -> None:
        """Learn that the reader opened an item.

        Raises:
            InputError: no such item.
        """
        if item not in self.catalogue.places:
            raise InputError("unknown item", found=item)
        place, reader = self.catalogue.places[item], self.reader(name)
        self._learn(reader, place)
        self.clicks[place] += 1

    def popularity(self) -> np.ndarray:
        """Return clicks per showing of every item, drawn towards the mean by ten showings, [items]."""
        mean = (self.clicks.sum() + 1) / (self.shown.sum() + 10)
        return np.asarray((self.clicks + 10 * mean) / (self.shown + 10))

    def take_over(self, old: Shelf) -> None:
        """Take the counts and readers of an older shelf, all of whose items stand on this one too."""
        moved = [self.catalogue.places[item.id] for item in old.catalogue.items]
        self.shown[moved], self.clicks[moved] = old.shown, old.clicks
        for name, reader in old._readers.items():
            known = self.reader(name)
            known.seen = {moved[place] for place in reader.seen}
            for place in reader.clicked:
                self._learn(known, moved[place])

    def _learn(self, reader: Reader, place: int) -> None:
        vector, memory = self.catalogue.vectors[place], self.settings.memory
        mean = vector if reader.taste is None else memory * reader.taste + (1 - memory) * vector
        # The mean of unit vectors, made a unit vector again: the scores of different readers stay comparable.
        reader.taste = mean / max(float(np.linalg.norm(mean)), 1e-12)
        reader.clicked = [*reader.clicked, place][-CLICKS:]
        reader.seen.add(place)

    def _best(self, left: np.ndarray, relevance: np.ndarray, places: list[int]) -> int:
        weight = self.settings.diversity if places else 0.0
        value = (1 - weight) * relevance[left]
        if places:
            value = value - weight * (self.catalogue.vectors[left] @ self.catalogue.vectors[places].T).max(axis=1)
        # Equals are told apart by chance: a new catalogue has no popular items yet.
        return int(left[np.lexsort((self._random.random(len(left)), -value))[0]])


def read_items(path: str | Path, most: int | None = None) -> list[Item]:
    """Return the items of a file of Documents: JSONL of {id, text, meta: {title}}; the first `most` of them.

    Raises:
        InputError: the file is missing or empty. RowError: a line is no Document.
    """
    import json

    items: list[Item] = []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError("no such file of items", found=str(path)) from None
    for number, line in enumerate(lines[:most], 1):
        try:
            value = json.loads(line)
            id, text = str(value["id"]), value["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise RowError("not an item", file=path, line=number, found=str(error), allowed="{id, text}") from None
        if not isinstance(text, str) or not text.strip():
            raise RowError("needs a text", file=path, line=number, field="text", found=text)
        title = (value.get("meta") or {}).get("title") or title_of(text)
        items.append(Item(id, str(title), text))
    if not items:
        raise InputError("a file of items holds none", found=str(path))
    return items


def title_of(text: str, width: int = 40) -> str:
    """Return the first line of a text, cut to `width` characters."""
    first = text.strip().splitlines()[0]
    return first if len(first) <= width else first[: width - 1] + "…"


class NewItem(Body):
    """One item to add."""

    id: Annotated[Name, Field(min_length=1)]
    text: Given
    title: Name = ""


class NewItems(Body):
    """POST /items: add to the catalogue; an item whose id is known is replaced."""

    items: Annotated[list[NewItem], Field(min_length=1)]


class PickFor(Body):
    """POST /pick."""

    user: Annotated[Name, Field(min_length=1)]
    count: Annotated[int, Field(ge=1, le=50), INTEGRAL] = 5


class Click(Body):
    """POST /click."""

    user: Annotated[Name, Field(min_length=1)]
    item: Annotated[Name, Field(min_length=1)]


class Recommend:
    """The application at /v1/apps/recommend.

    Args:
        items: what to recommend at first; more can be added.
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
        """Embed the items through the served model."""
        items, self.items = list(self.items.values()), {}
        await self.add(state, items)

    async def add(self, state: State, items: Sequence[Item]) -> None:
        """Add items to the catalogue.

        Raises:
            InputError: there are more than it may hold; none was added.
        """
        async with self._turn:
            merged = self.items | {item.id: item for item in items}
            if len(merged) > self.settings.most_items:
                raise InputError("too many items", found=len(merged), allowed=f"up to {self.settings.most_items:,}")
            vectors = await keeping(state, self.name, self.model)(
                [f"{item.title}\n{item.text}"[:LEAD] for item in items]
            )
            self._raw |= {item.id: vector for item, vector in zip(items, vectors, strict=True)}
            self.items = merged
            if merged:
                self._renew()

    async def pick(self, state: State, user: str, count: int) -> list[Pick]:
        """Return items for a reader; every one of them is an impression, on the disk before this returns."""
        usage = state.usage()
        usage.user, usage.units, usage.unit = user, count, "items"
        reader = _scoped(state, user)
        picks = self.shelf.pick(reader, count)
        usage.segment = picks[0].why if picks else "nothing left"
        await asyncio.gather(
            *(state.record("impression", app=self.name, subject=pick.item.id, segment=pick.why, value=pick.score)
              for pick in picks)
        )  # fmt: skip
        return picks

    def click(self, state: State, user: str, item: str) -> None:
        """Learn from a click; the request that tells it is itself the event."""
        usage = state.usage()
        usage.kind, usage.user, usage.subject = "click", user, item
        self.shelf.click(_scoped(state, user), item)

    def router(self, state: State) -> APIRouter:
        """Return POST /items, POST /pick, POST /click and GET /items."""
        from fastapi import APIRouter

        router = APIRouter()

        @router.post("/items")
        async def add(body: NewItems) -> dict[str, int]:
            """Add items."""
            await self.add(state, [Item(one.id, one.title or title_of(one.text), one.text) for one in body.items])
            return {"items": len(self.items)}

        @router.post("/pick")
        async def pick(body: PickFor) -> dict[str, Any]:
            """Pick items for a reader."""
            picks = await self.pick(state, body.user, body.count)
            return {"picks": [asdict(pick) for pick in picks]}

        @router.post("/click")
        async def click(body: Click) -> dict[str, str]:
            """Tell that a reader opened an item."""
            self.click(state, body.user, body.item)
            return {"id": state.usage().id}

        @router.get("/items")
        async def items() -> list[dict[str, Any]]:
            """List the catalogue with showings and clicks."""
            shelf = self.shelf
            return [
                {
                    "id": item.id,
                    "title": item.title,
                    "shown": int(shelf.shown[place]),
                    "clicks": int(shelf.clicks[place]),
                }
                for place, item in enumerate(shelf.catalogue.items)
            ]

        return router

    def _renew(self) -> None:
        """Put the present items on the shelf; readers and counts of the old one go along."""
        old = self.shelf
        ids = list(self.items)
        self.shelf = Shelf(Catalogue(list(self.items.values()), np.array([self._raw[id] for id in ids])), self.settings)
        self.shelf.take_over(old)


def _scoped(state: State, user: str) -> str:
    """Return the reader's name within their tenant: two customers may both know an `anna`."""
    caller = state.usage().caller
    return f"{caller.tenant if caller else ''}/{user}"
