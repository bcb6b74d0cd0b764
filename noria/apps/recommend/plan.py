"""What may stand at each place of a list, and how likely: the best list, at times turned, and what chance may put in its places.

    plan.draw(random)                       # [(row, probability, by chance), ...]
    plan.probability(place, row)            # of any item at a place: what a ranking that was not live would have done
    plan.expected(values)                   # of a value of items, at each place

With probability `explored` the best list is turned: each item moves on by as many places, any number alike. Then each place draws by
itself: with probability `explored` its item comes from a pool, else it is the list's. Pools are the next best items (the k-th, (n + k)-th,
... of them) or, for the rest of the time, all others whose number leaves k when divided by n; which place has which pool is drawn too. No two places
share an item, so that none comes twice; every item may come to every place, and each probability is exact: clicks on a list can be
weighed place by place for any other ranking (the item-position model: Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay and Wen 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

NEAR = 10
"""Next best items that a pool holds at most."""


@dataclass(frozen=True)
class Pools:
    """All rows, by what their numbers leave when divided by how many places are free."""

    of: np.ndarray
    """The pool of each row, uint8 [rows]."""
    ordered: np.ndarray
    """Rows by pool, those of one in the order of their numbers, [rows]."""
    starts: np.ndarray
    """Where each pool begins in `ordered`, and where the last one ends, [pools + 1]."""

    @classmethod
    def made(cls, salts: np.ndarray, by_salt: np.ndarray, count: int) -> Self:
        """Return the pools of so many places, 50 at most.

        Args:
            salts: numbers of rows, uint32 [rows]: so that no order of rows decides anything.
            by_salt: rows in the order of these, [rows].
            count: places that are free.
        """
        of = (salts % np.uint32(max(count, 1))).astype(np.uint8)
        sizes = np.bincount(of, minlength=max(count, 1))
        return cls(of, by_salt[np.argsort(of[by_salt], kind="stable")], np.concatenate([[0], np.cumsum(sizes)]))

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """Return how many of some rows each pool has, [pools]."""
        return np.bincount(self.of[rows], minlength=len(self.starts) - 1)

    def rows(self, pool: int) -> np.ndarray:
        """Return the rows of a pool, in the order of their numbers."""
        return self.ordered[self.starts[pool] : self.starts[pool + 1]]


@dataclass(frozen=True)
class Plan:
    """The places of one list."""

    best: tuple[int, ...]
    """The row at each place where nothing is left to chance."""
    fixed: frozenset[int]
    """Places where nothing ever is: paid for, or filled with what was seen before."""
    nearby: tuple[int, ...]
    """The next best rows, the best first; none of `best`."""
    others: np.ndarray
    """Which rows may come by chance besides, a mask [rows]; none of `best` or `nearby`."""
    pools: Pools
    """Of all rows, for as many places as are free."""
    sizes: np.ndarray
    """How many of the others each pool has, [pools]."""
    explored: float
    """Share that is left to chance."""
    near_share: float
    """Of what is left to chance, the share of the next best."""

    def __len__(self) -> int:
        return len(self.best)

    @cached_property
    def free(self) -> tuple[int, ...]:
        """The places that are left to chance at times."""
        return tuple(place for place in range(len(self)) if place not in self.fixed)

    def near(self, pool: int) -> tuple[int, ...]:
        """Return the next best rows of a pool."""
        return self.nearby[pool :: len(self.free)][:NEAR]

    @cached_property
    def shares(self) -> list[tuple[float, float, float]]:
        """By pool, the probabilities that a place that has it holds an item of the list, one of the next best, and one of the others."""
        found, sizes = [], self.sizes.tolist()
        for pool in range(len(self.free)):
            near, others = len(self.near(pool)), sizes[pool]
            part = self.near_share if near and others else float(bool(near))
            by_chance = self.explored if near + others else 0.0
            found.append((1 - by_chance, by_chance * part, by_chance * (1 - part)))
        return found

    @cached_property
    def _kept(self) -> float:
        """Probability that a free place holds an item of the list."""
        return sum(best for best, _, _ in self.shares) / len(self.free)

    def probability(self, place: int, row: int) -> float:
        """Return the probability with which a row stands at a place."""
        if place in self.fixed:
            return float(row == self.best[place])
        count = len(self.free)
        if row in self.best:
            at = self.best.index(row)
            if at in self.fixed:
                return 0.0
            return self._kept * ((1 - self.explored) * (at == place) + self.explored / count)
        if row in self.nearby:
            pool = self.nearby.index(row) % count
            rows = self.near(pool)
            return self.shares[pool][1] / (count * len(rows)) if row in rows else 0.0
        pool = int(self.pools.of[row])
        return self.shares[pool][2] / (count * int(self.sizes[pool])) if self.others[row] else 0.0

    def expected(self, values: np.ndarray) -> np.ndarray:
        """Return what is to be expected of a value of items, [rows], at each place, [places]."""
        found = values[list(self.best)].astype(np.float64)
        if not self.free:
            return found
        free, count = list(self.free), len(self.free)
        by_chance = 0.0
        for pool, (_, near, _) in enumerate(self.shares):
            if near:
                by_chance += near / count * float(values[list(self.near(pool))].mean())
        each = np.array([other for _, _, other in self.shares]) / (count * np.maximum(self.sizes, 1))
        rows = np.flatnonzero(self.others)
        by_chance += float(each[self.pools.of[rows]] @ values[rows])
        own = found[free]
        found[free] = self._kept * ((1 - self.explored) * own + self.explored * own.mean()) + by_chance
        return found

    def draw(self, random: np.random.Generator) -> list[tuple[int, float, bool]]:
        """Return what stands at each place: row, the probability with which it does, and whether a pool gave it."""
        drawn: list[tuple[int, float, bool]] = [(row, 1.0, False) for row in self.best]
        if not self.free:
            return drawn
        count = len(self.free)
        shift = int(random.integers(count)) if random.random() < self.explored else 0
        begin = int(random.integers(count))
        lots = random.random(count).tolist()
        for number, place in enumerate(self.free):
            pool = (number + begin) % count
            best, near, other = self.shares[pool]
            if lots[number] < best or not near + other:
                row = self.best[self.free[(number - shift) % count]]
            elif lots[number] < best + near or not other:
                rows = self.near(pool)
                row = rows[int(random.integers(len(rows)))]
            else:
                found = self.pools.rows(pool)
                found = found[self.others[found]]
                row = int(found[int(random.integers(len(found)))])
            drawn[place] = row, self.probability(place, row), row not in self.best
        return drawn
