"""Items as rows: their vectors, and what rules ask of them. A row is one item's for good; an item that leaves keeps its row.

    catalogue = Catalogue(items, embeddings)
    catalogue.rough(taste)                    # [rows], by the axes that tell most apart; all of them only of a short catalogue
    catalogue.exact(rows, taste)              # cosines
    catalogue = catalogue.put([item], embeddings_of_them).without(["item 7"])

Vectors are centred on the mean of the items that are there: raw embeddings of one language all point much the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache

import numpy as np
import xxhash

from noria.core.errors import InputError
from noria.core.messages import message
from noria.tasks.items import Item

from .plan import Pools

AXES = 64
"""Principal axes by which a long catalogue is looked through first: a fifth of the memory to read, which is what takes the time."""
SHORT = 8_192
"""Items up to which all axes are read at once."""
_SAMPLED = 2_048
SAMPLE = 20_000
"""Items that the axes are found by."""


class Catalogue:
    """Items and their vectors.

    Args:
        items: one a row.
        vectors: embeddings, [rows, width]; whatever their length.
        live: which rows hold an item still; all unless told.
    """

    def __init__(self, items: Sequence[Item], vectors: np.ndarray, live: np.ndarray | None = None) -> None:
        self.items = list(items)
        self.places = {item.id: place for place, item in enumerate(self.items)}
        self.raw = np.asarray(vectors, dtype=np.float32)
        self.live = np.ones(len(self.items), dtype=bool) if live is None else live
        there = self.raw[self.live]
        self.mean = (
            there.mean(axis=0, dtype=np.float64).astype(np.float32) if len(there) > 1 else self.raw[:1].sum(0) * 0
        )
        centred = self.raw - self.mean
        centred[~self.live] = 0  # so that what they tell of a taste is the same before and after a restart
        self.vectors = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
        """[rows, width], each of length 1, or 0 of what is not on offer."""
        self.axes, self.head = self._principal()
        self.offered = self.live & np.array([item.available for item in self.items], dtype=bool)
        """Which items can be had at present, a mask [rows]."""
        self.salts = np.fromiter(
            (xxhash.xxh32_intdigest(item.id.encode()) for item in self.items), np.uint32, len(self)
        )
        """Number of each item that its id alone tells, uint32 [rows]: chance so does not hang on the order of rows."""
        self._pools: dict[int, Pools] = {}

    def __len__(self) -> int:
        return len(self.items)

    def _principal(self) -> tuple[np.ndarray | None, np.ndarray]:
        if len(self) <= SHORT or self.vectors.shape[1] <= AXES:
            return None, self.vectors.T
        step = max(len(self) // SAMPLE, 1)
        some = self.vectors[::step]
        _, axes = np.linalg.eigh((some.T @ some).astype(np.float64))
        chosen = np.ascontiguousarray(axes[:, -AXES:], dtype=np.float32)
        # By axis and not by item: the product with a few queries takes half the time so.
        return chosen, np.ascontiguousarray((self.vectors @ chosen).T)

    @cached_property
    def _by_salt(self) -> np.ndarray:
        return np.argsort(self.salts, kind="stable")

    def pools(self, count: int) -> Pools:
        """Return the pools of a list with so many free places, up to 50."""
        if count not in self._pools:
            self._pools[count] = Pools.made(self.salts, self._by_salt, count)
        return self._pools[count]

    @cached_property
    def prices(self) -> np.ndarray:
        """Of each item, NaN where there is none, [rows]."""
        return np.array([np.nan if item.price is None else item.price for item in self.items])

    @cached_property
    def categories(self) -> dict[str, np.ndarray]:
        """Category -> the rows of its items."""
        return self._rows_of(lambda item: item.categories)

    @cached_property
    def labels(self) -> dict[str, np.ndarray]:
        """Category or tag -> the rows of its items."""
        return self._rows_of(lambda item: tuple({*item.categories, *item.tags}))

    def _rows_of(self, labels: Callable[[Item], Sequence[str]]) -> dict[str, np.ndarray]:
        found: dict[str, list[int]] = {}
        for row, item in enumerate(self.items):
            for label in labels(item):
                found.setdefault(label, []).append(row)
        return {label: np.array(rows) for label, rows in found.items()}

    @cached_property
    def groups(self) -> np.ndarray:
        """Number of each item's first category, -1 where it has none, [rows]."""
        names: dict[str, int] = {}
        firsts = [names.setdefault(item.categories[0], len(names)) if item.categories else -1 for item in self.items]
        return np.array(firsts, dtype=np.int64)

    def row(self, id: str) -> int:
        """Return the row of an item that has not left.

        Raises:
            InputError: no such item.
        """
        row = self.places.get(id)
        if row is None or not self.live[row]:
            raise InputError(message("apps.unknown_item"), found=id)
        return row

    def of_category(self, names: Sequence[str]) -> np.ndarray:
        """Return which rows are of one of some categories, a mask."""
        found = np.zeros(len(self), dtype=bool)
        for name in names:
            found[self.categories.get(name, np.zeros(0, np.int64))] = True
        return found

    def towards(self, embedding: np.ndarray) -> np.ndarray:
        """Return an embedding as the items' vectors are: centred, of length 1."""
        centred = np.asarray(embedding, dtype=np.float32) - self.mean
        return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-12))

    def rough(self, queries: np.ndarray) -> np.ndarray:
        """Return about how near each item is to some vectors [queries, width], [queries, rows]; of a short catalogue exactly."""
        return np.asarray((queries if self.axes is None else queries @ self.axes) @ self.head)

    def exact(self, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
        """Return the cosine of some items to a vector of length 1."""
        return np.asarray(self.vectors.take(rows, axis=0) @ query)  # a fifth faster than by index

    def nearest(
        self, query: np.ndarray, count: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows nearest to a vector, the nearest first, and their cosines; ties by id."""
        rough = np.where(
            self.offered if allowed is None else allowed & self.offered, self.rough(query[None])[0], -np.inf
        )
        rows = top(rough, max(8 * count, 400))
        found = self.exact(rows, query)
        order = np.lexsort((self.salts[rows], -found))[:count]
        return rows[order], found[order]

    def put(self, items: Sequence[Item], vectors: np.ndarray) -> Catalogue:
        """Return a catalogue with more items; one whose id is known is replaced, or is back."""
        new = {item.id: place for place, item in enumerate(items)}
        listed, fresh = list(self.items), [id for id in new if id not in self.places]
        raw = np.empty((len(self) + len(fresh), vectors.shape[1]), dtype=np.float32)
        if len(self):
            raw[: len(self)] = self.raw
        live = np.concatenate([self.live, np.ones(len(fresh), dtype=bool)])
        for id, place in new.items():
            if (row := self.places.get(id)) is not None:
                listed[row], raw[row], live[row] = items[place], vectors[place], True
        for row, id in enumerate(fresh, len(self)):
            listed.append(items[new[id]])
            raw[row] = vectors[new[id]]
        return Catalogue(listed, raw, live)

    def without(self, ids: Sequence[str]) -> Catalogue:
        """Return a catalogue that offers some items no longer; those it does not know are passed over."""
        live = self.live.copy()
        live[[self.places[id] for id in ids if id in self.places]] = False
        return Catalogue(self.items, self.raw, live)


def top(values: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the largest values above -inf, in no order."""
    rows = None
    if len(values) > 16 * max(count, _SAMPLED):
        # A sample tells where about the best ones begin: most of what is below is never sorted.
        sample = values[_places(len(values))]
        place = max(len(sample) - 2 * count * len(sample) // len(values) - 8, 0)
        above = np.flatnonzero(values > np.partition(sample, place)[place])
        rows = above if len(above) >= count else None
    if rows is None:
        rows = np.arange(len(values))
    if 0 < count < len(rows):
        rows = rows[np.argpartition(-values[rows], count - 1)[:count]]
    return np.asarray(rows[np.isfinite(values[rows])])


@lru_cache(maxsize=8)
def _places(count: int) -> np.ndarray:
    """Return places drawn from so many: evenly spaced ones may miss a kind that comes at even spaces too."""
    return np.random.default_rng(0).integers(0, count, _SAMPLED)
