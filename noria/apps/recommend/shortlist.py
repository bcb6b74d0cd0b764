"""The items that suit a user best, of those that may be offered: of making a list, all that reads the whole catalogue.

    short = shortlist(catalogue, offers.under(rules), wanted, scored)       # in a thread, of a long catalogue
    diverse([short], [20], weight=0.1)
    short.best                                                              # rows: the best list of 20

Knows scores, however they came to be, and nothing of chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .catalogue import Catalogue, top
from .plan import NEAR
from .rules import Asked, Offer, capped, gone, lift, sponsored
from .states import Reader

Why = Literal["taste", "chance", "popular", "again", "sponsored"]
CANDIDATES = 200
"""Most relevant items among which the diverse ones are chosen, at least: far more than are shown."""


@dataclass(frozen=True)
class Wanted:
    """A list that is asked for."""

    key: int
    """The user."""
    reader: Reader
    """What is known of the user: a copy, where the list is made beside what changes it."""
    count: int
    asked: Asked


@dataclass(frozen=True)
class Scored:
    """How well every item suits a user."""

    scores: np.ndarray
    """Of a long catalogue about, [rows]."""
    taste: np.ndarray | None
    """What exact scores are cosines to; None where `scores` are exact."""
    why: Why
    """Why the best ones stand where they do."""
    by_ranker: bool = False
    """Whether a ranker scored them, on a scale of its own."""


@dataclass(frozen=True)
class Shortlist:
    """The best items of one list, and what their diversity is told by."""

    catalogue: Catalogue
    offer: Offer
    scored: Scored
    page: set[int]
    """Rows that stand on the page already."""
    out: set[int]
    """Rows that are not offered in this list, though the rules let them be: these, and what is not new to the user."""
    paid: int | None
    """The sponsored row, where there is one; none of `rows`."""
    rows: np.ndarray
    """The best first."""
    values: np.ndarray
    """What they are ordered by."""
    vectors: np.ndarray
    """Those of the first rows, [some rows, width]."""
    likenesses: np.ndarray
    """Cosines of the very first to them, [fewer rows, some rows]."""
    best: list[int] = field(default_factory=list)
    """Rows of the best list, the best first, without the sponsored one; see `diverse`."""

    def exact(self, rows: Sequence[int]) -> list[float]:
        """Return the scores of some rows, exactly."""
        return [float(one) for one in exact(self.catalogue, np.array(rows, dtype=np.int64), self.scored)]

    def likeness(self, place: int) -> np.ndarray:
        """Return the cosines of one of the first rows to each of them."""
        if place < len(self.likenesses):
            return np.asarray(self.likenesses[place])
        return np.asarray(self.vectors @ self.vectors[place])

    def again(self, reader: Reader, count: int, best: Sequence[int], most: int | None) -> list[int]:
        """Return what a user may be shown once more: not clicked before clicked, the longest ago first."""
        if count <= 0:
            return []
        mask, groups = self.offer.mask, self.catalogue.groups
        known = [row for row in reader.seen if mask[row] and row not in reader.bought and row not in self.page]
        opened = {row for _, row, _ in reader.deeds}
        full, found = Counter(groups[list(best)].tolist()) if most else Counter[int](), list[int]()
        for row in sorted(known, key=opened.__contains__):
            group = int(groups[row])
            if len(found) < count and (most is None or group < 0 or full[group] < most):
                found.append(row)
                full[group] += 1
        return found


def diverse(shorts: Sequence[Shortlist], counts: Sequence[int], weight: float) -> None:
    """Give each of some shortlists its best list of so many, the best first, each little like those before it.

    By maximal marginal relevance (Carbonell and Goldstein 1998): (1 - weight) value - weight largest likeness. Lists of as many items
    are made side by side.
    """
    alike: dict[tuple[int, int, str], list[Shortlist]] = {}
    for short, count in zip(shorts, counts, strict=True):
        count = max(min(count, len(short.vectors)), 0)
        if weight == 0 or not count:
            short.best.extend(short.rows[:count].tolist())
        else:
            alike.setdefault((count, len(short.vectors), short.values.dtype.str), []).append(short)
    for (count, length, _), some in alike.items():
        free = np.array([short.values[:length] for short in some]) * (1 - weight)
        nearest = np.array([short.likenesses[0] for short in some])
        free[:, 0] = -np.inf
        every, places = np.arange(len(some)), [np.zeros(len(some), np.int64)]
        while len(places) < count:
            chosen = (free - nearest * weight).argmax(axis=1)
            places.append(chosen)
            free[every, chosen] = -np.inf
            likeness = [short.likeness(place) for short, place in zip(some, chosen.tolist(), strict=True)]
            np.maximum(nearest, likeness, out=nearest)
        for short, own in zip(some, np.transpose(places), strict=True):
            short.best.extend(short.rows[own].tolist())


def exact(catalogue: Catalogue, rows: np.ndarray, scored: Scored) -> np.ndarray:
    """Return the scores of some rows, exactly."""
    return scored.scores[rows] if scored.taste is None else catalogue.exact(rows, scored.taste)


def shortlist(catalogue: Catalogue, offer: Offer, wanted: Wanted, scored: Scored) -> Shortlist:
    """Return the best items for one list.

    Args:
        catalogue: all items.
        offer: which of them the rules let be offered.
        wanted: the list.
        scored: how well they suit its user; scores that are exact about only are written over where a row may not be offered.
    """
    rules, reader, count = wanted.asked.rules, wanted.reader, wanted.count
    page = {catalogue.places[id] for id in wanted.asked.without if id in catalogue.places}
    out = gone(reader, rules) | page
    away = np.fromiter(out, np.int64, len(out))
    scores = lifted = scored.scores
    if rules.boosts:
        among = offer.mask.copy()
        among[away] = False
        lifted = lift(catalogue, rules, scores, among)
    free = lifted.copy() if lifted is scores and scored.taste is None else lifted
    moved = lifted if lifted is not scores else None
    paid = sponsored(catalogue, rules, scores, offer.mask, out) if count >= rules.sponsored_place else None
    if offer.held_back is not None:
        np.putmask(free, offer.held_back, -np.inf)
    free[away] = -np.inf
    rows = _best(catalogue, free, max(CANDIDATES, (NEAR + 8) * count), rules.most_of_category)
    values = exact(catalogue, rows, scored)
    if moved is not None:
        values = values + moved[rows] - scores[rows]
    order = np.lexsort((catalogue.salts[rows], -values))
    if paid is not None:
        order = order[rows[order] != paid]
    rows, values = rows[order], values[order]
    if scored.by_ranker and len(values):  # of any scale, while likeness is a cosine
        values = (values - values.min()) / max(float(values.max() - values.min()), 1e-12)
    vectors = catalogue.vectors.take(rows[: max(CANDIDATES, 6 * count)], axis=0)
    offer.sizes(count)  # which takes a while the first time
    return Shortlist(catalogue, offer, scored, page, out, paid, rows, values, vectors, vectors[: 2 * count] @ vectors.T)


def _best(catalogue: Catalogue, scores: np.ndarray, count: int, most: int | None) -> np.ndarray:
    """Return the rows of the largest scores above -inf, in no order; at most so many of a category where `most` is told."""
    if most is None:
        return top(scores, count)
    read = 4 * count
    while True:
        rows = top(scores, read)
        kept = capped(catalogue, rows, scores[rows], most)
        if len(kept) >= count or read >= len(scores):
            return np.asarray(kept[top(scores[kept], count)])
        read *= 8  # few categories have most of the best
