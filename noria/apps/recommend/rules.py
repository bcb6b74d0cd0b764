"""What a shop's rules say of a list, whatever the ranking: which items may stand in it, which are moved, which place is paid for.

Knows the catalogue and one user; the rules themselves are `noria.apps.settings.RulesSettings`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from noria.apps.settings import RulesSettings

from .catalogue import Catalogue
from .states import Reader

MOST_KEPT = 16
"""Sets of rules whose masks are kept: some 300 kB each of 100,000 items."""


@dataclass(frozen=True)
class Asked:
    """The rules of one list: those of the shop, and what its request adds."""

    rules: RulesSettings = field(default_factory=RulesSettings)
    without: tuple[str, ...] = ()
    """Ids of items that stand on the page already."""


class Offer:
    """What may be offered to anybody under some rules.

    Args:
        catalogue: all items.
        rules: what is said of categories and prices; the rest is of each list.
    """

    def __init__(self, catalogue: Catalogue, rules: RulesSettings) -> None:
        mask: np.ndarray = catalogue.offered.copy()
        if rules.only:
            mask &= catalogue.of_category(rules.only)
        if rules.without:
            mask &= ~catalogue.of_category(rules.without)
        # A comparison with no price is false: such an item stays.
        if rules.least_price is not None:
            mask &= ~(catalogue.prices < rules.least_price)
        if rules.most_price is not None:
            mask &= ~(catalogue.prices > rules.most_price)
        self.mask = mask
        """Which rows may be offered; not to be changed."""
        self.held_back = ~mask if not mask.all() else None
        """Which may not; None where all may."""
        self._catalogue = catalogue
        self._sizes: dict[int, np.ndarray] = {}

    def sizes(self, places: int) -> np.ndarray:
        """Return how many rows each pool has of a list with so many free places, [pools]."""
        if places not in self._sizes:
            self._sizes[places] = self._catalogue.pools(places).sizes(self.mask)
        return self._sizes[places]


class Offers:
    """What a catalogue offers under each set of rules, kept, for most lists are asked for under the same ones."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._kept: dict[tuple[object, ...], Offer] = {}

    def under(self, rules: RulesSettings) -> Offer:
        """Return what may be offered under some rules."""
        key = (rules.only, rules.without, rules.least_price, rules.most_price)
        if (found := self._kept.get(key)) is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            found = self._kept[key] = Offer(self._catalogue, rules)
        return found


def gone(reader: Reader, rules: RulesSettings) -> set[int]:
    """Return the rows that are not new to a user; what may be bought again always is."""
    rows = {*reader.seen, *(row for _, row, _ in reader.deeds)}
    return rows - reader.bought.keys() if rules.bought_again else rows | reader.bought.keys()


def capped(catalogue: Catalogue, rows: np.ndarray, scores: np.ndarray, most: int) -> np.ndarray:
    """Return of some rows those that a list may be made of that holds at most so many of a category: the best of each.

    Args:
        catalogue: all items.
        rows: some of them.
        scores: of these rows.
        most: items of one category.
    """
    order = np.lexsort((catalogue.salts[rows], -scores, catalogue.groups[rows]))
    groups = catalogue.groups[rows[order]]
    firsts = np.searchsorted(groups, groups)  # where each item's category begins
    return np.asarray(rows[order[(np.arange(len(rows)) - firsts < most) | (groups < 0)]])


def lift(catalogue: Catalogue, rules: RulesSettings, scores: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return scores with boosted items moved by so many standard deviations of the scores of the items that count."""
    if not rules.boosts or not among.any():
        return scores
    lifted, spread = scores.copy(), float(scores[among].std())
    for label, by in rules.boosts.items():
        lifted[catalogue.labels.get(label, np.zeros(0, np.int64))] += by * spread
    return lifted


def sponsored(
    catalogue: Catalogue, rules: RulesSettings, scores: np.ndarray, mask: np.ndarray, out: set[int]
) -> int | None:
    """Return the row of the sponsored item that suits a user best, of a mask of rows less some; None without one."""
    rows = [catalogue.places[id] for id in rules.sponsored if id in catalogue.places]
    best = [row for row in rows if mask[row] and row not in out]
    return max(best, key=lambda row: (float(scores[row]), int(catalogue.salts[row])), default=None)
