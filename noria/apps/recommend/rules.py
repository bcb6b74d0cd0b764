"""What a shop's rules say of a list, whatever the ranking: which items may stand in it, which are moved, which place is paid for.

Knows the catalogue and one user; the rules themselves are `noria.apps.settings.RulesSettings`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from noria.apps.settings import RulesSettings

from .catalogue import Catalogue
from .states import Reader


@dataclass(frozen=True)
class Asked:
    """The rules of one list: those of the shop, and what its request adds."""

    rules: RulesSettings = field(default_factory=RulesSettings)
    without: tuple[str, ...] = ()
    """Ids of items that stand on the page already."""


def allowed(catalogue: Catalogue, asked: Asked) -> np.ndarray:
    """Return which items may be offered to anybody, a mask [rows]."""
    rules = asked.rules
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
    mask[[catalogue.places[id] for id in asked.without if id in catalogue.places]] = False
    return mask


def unseen(mask: np.ndarray, reader: Reader, rules: RulesSettings) -> np.ndarray:
    """Return which of the allowed items are new to a user, a mask [rows]; what may be bought again always is."""
    new = mask.copy()
    new[[*reader.seen, *(item for _, item, _ in reader.deeds)]] = False
    bought = list(reader.bought)
    new[bought] = mask[bought] if rules.bought_again else False
    return new


def capped(catalogue: Catalogue, mask: np.ndarray, scores: np.ndarray, most: int | None) -> np.ndarray:
    """Return which items a list may be made of that holds at most so many of a category: the best of each, a mask [rows]."""
    if most is None:
        return mask
    rows = np.flatnonzero(mask)
    rows = rows[np.lexsort((catalogue.salts[rows], -scores[rows], catalogue.groups[rows]))]
    groups = catalogue.groups[rows]
    firsts = np.searchsorted(groups, groups)  # where each item's category begins
    kept = np.zeros(len(mask), dtype=bool)
    kept[rows[(np.arange(len(rows)) - firsts < most) | (groups < 0)]] = True
    return kept


def lift(catalogue: Catalogue, rules: RulesSettings, scores: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return scores with boosted items moved by so many standard deviations of the scores of the items that count."""
    if not rules.boosts or not among.any():
        return scores
    lifted, spread = scores.copy(), float(scores[among].std())
    for label, by in rules.boosts.items():
        lifted[catalogue.labels.get(label, np.zeros(0, np.int64))] += by * spread
    return lifted


def sponsored(catalogue: Catalogue, rules: RulesSettings, scores: np.ndarray, new: np.ndarray) -> int | None:
    """Return the row of the sponsored item that suits a user best, of those that may be offered; None without one."""
    rows = [catalogue.places[id] for id in rules.sponsored if id in catalogue.places]
    best = [row for row in rows if new[row]]
    return max(best, key=lambda row: (float(scores[row]), int(catalogue.salts[row])), default=None)
