"""Recommendation by text: a reader's taste is the recent mean of what they clicked; diverse, with a share left to chance.

    shelf = Shelf(Catalogue(items, vectors))
    for pick in shelf.pick("reader 1", 5): ...       # Pick(item, score, why="taste" | "chance" | "popular" | "again")
    shelf.click("reader 1", "item 7")
    shelf.buy("reader 1", "item 7")                  # never offered to them again

Knows nothing of HTTP, models or events. What is known of readers is told by the items' ids, so a shelf with other items
takes it over as it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from noria.apps.settings import RecommendSettings
from noria.core.errors import InputError
from noria.core.messages import message
from noria.tasks.items import Item

Why = Literal["taste", "chance", "popular", "again"]
CLICKS = 100
"""Clicks remembered of a reader."""
CANDIDATES = 400
"""Most relevant items among which the diverse ones are chosen, at least: far more than are shown."""


@dataclass(frozen=True)
class Pick:
    """One item recommended."""

    item: Item
    score: float
    """Cosine to the reader's taste, centred on the catalogue; for popular ones the smoothed rate of clicks."""
    why: Why
    """What the reader's taste is near to, what is popular, what chance chose; or again, for they have seen all else."""


@dataclass
class Reader:
    """What is known of a reader, by the ids of items."""

    seen: dict[str, bool] = field(default_factory=dict)
    """Items shown, the latest last -> whether the showing is still unanswered by a click."""
    clicked: list[str] = field(default_factory=list)
    """The last clicks, each item once."""
    bought: set[str] = field(default_factory=set)


class Catalogue:
    """Items and their vectors, centred on their mean: raw embeddings of one language all point much the same way."""

    def __init__(self, items: Sequence[Item], vectors: np.ndarray) -> None:
        self.items = list(items)
        self.places = {item.id: place for place, item in enumerate(self.items)}
        vectors = np.asarray(vectors, dtype=np.float32)
        centred = vectors - vectors.mean(axis=0) if len(self.items) > 1 else vectors
        self.vectors = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
        """[items, width], each of length 1."""

    def __len__(self) -> int:
        return len(self.items)


class Shelf:
    """Picks items for readers and learns from what they do."""

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
        """Return `count` items as `choose` does, and count them as shown."""
        picks = self.choose(name, count)
        for pick in picks:
            self.show(name, pick.item.id)
        return picks

    def choose(self, name: str, count: int) -> list[Pick]:
        """Return `count` items for a reader: what they have not seen first, then what they saw longest ago.

        Never what they bought; fewer items only where the catalogue holds no more than that.
        """
        reader = self.reader(name)
        new = np.ones(len(self.catalogue), dtype=bool)
        new[
            [place for id in (*reader.seen, *reader.bought) if (place := self.catalogue.places.get(id)) is not None]
        ] = False
        taste = self.taste(reader)
        relevance = self.popularity() if taste is None else self.catalogue.vectors @ taste
        why: Why = "popular" if taste is None else "taste"
        picks = self._diverse(np.flatnonzero(new), relevance, count, why)
        for id in self._again(reader, count - len(picks)):
            place = self.catalogue.places[id]
            picks.append(Pick(self.catalogue.items[place], round(float(relevance[place]), 4), "again"))
        return picks

    def show(self, name: str, item: str) -> None:
        """Learn that an item was shown to a reader; what is not on the shelf is passed over."""
        if (place := self.catalogue.places.get(item)) is None:
            return
        self.shown[place] += 1
        if name:
            reader = self.reader(name)
            reader.seen.pop(item, None)
            reader.seen[item] = True

    def click(self, name: str, item: str) -> None:
        """Learn that a reader opened an item. A second click on one showing tells nothing new.

        A click without a showing, such as one from a search, counts as shown: a rate of clicks is one at most.

        Raises:
            InputError: no such item.
        """
        place = self.place(item)
        reader = self.reader(name) if name else Reader()
        if item not in reader.seen:
            self.shown[place] += 1
        elif not reader.seen[item]:
            return
        self.clicks[place] += 1
        reader.seen[item] = False
        reader.clicked = [*(id for id in reader.clicked if id != item), item][-CLICKS:]

    def buy(self, name: str, item: str) -> None:
        """Learn that a reader bought an item: it tells their taste as a click does, and is not offered to them again.

        Raises:
            InputError: no such item.
        """
        self.click(name, item)
        if name:
            self.reader(name).bought.add(item)

    def place(self, item: str) -> int:
        """Return an item's place in the catalogue.

        Raises:
            InputError: no such item.
        """
        if item not in self.catalogue.places:
            raise InputError(message("apps.unknown_item"), found=item)
        return self.catalogue.places[item]

    def taste(self, reader: Reader) -> np.ndarray | None:
        """Return the mean of the clicked items' vectors, of length 1; None before a click, or where tastes are not followed.

        A click weighs memory^a, a the number of clicks behind it, and the weights are divided by their sum: the
        exponential mean with its start corrected (Kingma and Ba 2015, section 3). [width]
        """
        places = [self.catalogue.places[id] for id in reader.clicked if id in self.catalogue.places]
        if not places or not self.settings.taste:
            return None
        weights = self.settings.memory ** np.arange(len(places) - 1, -1, -1)
        mean = (weights / weights.sum()).astype(np.float32) @ self.catalogue.vectors[places]
        # The mean of unit vectors, made a unit vector again: the scores of different readers stay comparable.
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12))

    def popularity(self) -> np.ndarray:
        """Return clicks per showing of every item, drawn towards the mean by ten showings, [items]."""
        mean = (self.clicks.sum() + 1) / (self.shown.sum() + 10)
        return np.asarray((self.clicks + 10 * mean) / (self.shown + 10))

    def take_over(self, old: Shelf) -> None:
        """Take the readers of an older shelf, and the counts of those of its items that stand on this one too."""
        for place, item in enumerate(old.catalogue.items):
            if (now := self.catalogue.places.get(item.id)) is not None:
                self.shown[now], self.clicks[now] = old.shown[place], old.clicks[place]
        self._readers = old._readers

    def _diverse(self, left: np.ndarray, relevance: np.ndarray, count: int, why: Why) -> list[Pick]:
        # Equals are told apart by chance: a new catalogue has no popular items yet.
        left = self._random.permutation(left)
        keep = max(CANDIDATES, 8 * count)
        best = left[np.argpartition(-relevance[left], keep)[:keep]] if len(left) > keep else left
        best = best[np.argsort(-relevance[best], kind="stable")]
        nearest, free = np.zeros(len(best)), np.ones(len(best), dtype=bool)
        taken: set[int] = set()
        picks: list[Pick] = []
        for number in range(min(count, len(left))):
            by_chance = self._random.random() < self.settings.chance
            if by_chance:
                while (place := int(left[self._random.integers(len(left))])) in taken:
                    pass
            else:
                weight = self.settings.diversity if picks else 0.0
                value = np.where(free, relevance[best] * (1 - weight) - nearest * weight, -np.inf)
                place = int(best[np.argmax(value)])
            taken.add(place)
            free &= best != place
            likeness = self.catalogue.vectors[best] @ self.catalogue.vectors[place]
            nearest = np.maximum(nearest, likeness) if number else likeness
            picks.append(
                Pick(self.catalogue.items[place], round(float(relevance[place]), 4), "chance" if by_chance else why)
            )
        return picks

    def _again(self, reader: Reader, count: int) -> list[str]:
        """Return what a reader may be shown once more: not clicked before clicked, the longest ago first."""
        known = [id for id in reader.seen if id in self.catalogue.places and id not in reader.bought]
        opened = set(reader.clicked)
        return sorted(known, key=opened.__contains__)[: max(count, 0)]
