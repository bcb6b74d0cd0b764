"""What people did, numbered by the catalogue: which deeds count as liking, as a matrix and as histories, and parts held out.

    behaviour = behaviour_of(items, deeds, positive=None, now=now)
    split = by_time(behaviour, 0.2)                # or at_random, last_of_each
    split.train, split.cases[0].history, split.cases[0].truth

Held out by time, the models know nothing of what came after the moment of the split: neither popularity nor neighbours. A user who is
new after it is met in the middle of what they then did, as a server meets them whose models are of last night.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sparse

from noria.infer.signals import LONGEST, History
from noria.tasks.deeds import KINDS, WEIGHTS, Deeds
from noria.tasks.items import Item

_RATING = KINDS.index("rating")
_IMPRESSION = KINDS.index("impression")
_LIKED = 0.6
"""Of the way from the lowest rating to the highest, from where one is a liking: 3.4 of 1 to 5, so that 4 is and 3 is not."""


@dataclass(frozen=True)
class Behaviour:
    """Deeds on a catalogue, by user and within each by time. D deeds, U users, N items."""

    items: Sequence[Item]
    deeds: Deeds
    """Whose item numbers are places in `items`."""
    weight: np.ndarray
    """How much each deed speaks for its item; 0 where it is no liking. float32 [D]"""
    least: float
    """Least rating that is a liking."""

    def __len__(self) -> int:
        return int(np.count_nonzero(self.weight))

    def take(self, which: np.ndarray) -> Behaviour:
        """Return some of the deeds, told by a mask."""
        return replace(self, deeds=self.deeds.take(which), weight=self.weight[which])

    @property
    def end(self) -> float:
        """Return the time of the last deed, Unix seconds."""
        return float(self.deeds.time.max()) if len(self.deeds) else 0.0

    def spans(self) -> np.ndarray:
        """Return where each user's deeds begin, and at last where all end, int64 [U + 1]."""
        return np.searchsorted(self.deeds.user, np.arange(len(self.deeds.users) + 1))

    def likings(self) -> Behaviour:
        """Return the last liking of each item by each user, at its strongest; of each user the last `LONGEST`."""
        liked = self.take(self.weight > 0)
        key = liked.deeds.user.astype(np.int64) * len(self.items) + liked.deeds.item
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        if not len(starts):
            return liked
        strongest = np.maximum.reduceat(liked.weight[order], starts)
        last = order[np.append(starts[1:], len(order)) - 1]
        back = np.argsort(last)
        return replace(liked.take(last[back]), weight=strongest[back]).last(LONGEST)

    def last(self, most: int) -> Behaviour:
        """Return the last deeds of each user, at most so many."""
        spans = self.spans()
        to_the_end = np.repeat(spans[1:], np.diff(spans)) - np.arange(len(self.weight))
        return self.take(to_the_end <= most)

    def matrix(self) -> Any:
        """Return the weights of likings as a sparse matrix, float32 [U, N]; of `likings` alone."""
        shape = (max(len(self.deeds.users), 1), len(self.items))
        return sparse.csr_matrix((self.weight, (self.deeds.user, self.deeds.item)), shape=shape, dtype=np.float32)


@dataclass(frozen=True)
class Case:
    """One user who is to be ranked for."""

    user: int
    history: History
    seen: np.ndarray
    """Places that are not ranked, for the user did something with them before."""
    truth: np.ndarray
    """Places that the user liked afterwards, each once, none among `seen`."""
    known: bool
    """Whether the models learned from deeds of this user."""


@dataclass(frozen=True)
class Split:
    """Behaviour to learn from, and users to judge on."""

    train: Behaviour
    cases: list[Case]
    seconds: float
    """How long the time is that was held out; 0 where it is no time."""
    cut: float | None = None
    """The moment from which it is, Unix seconds; None where there is none."""


def behaviour_of(items: Sequence[Item], deeds: Deeds, positive: float | None) -> Behaviour:
    """Return deeds on known items, numbered by the catalogue. Deeds on other items must be gone.

    Args:
        items: the catalogue.
        deeds: cleaned, in any order.
        positive: least rating that is a liking; None for six tenths of the way from the lowest to the highest.
    """
    places = {item.id: place for place, item in enumerate(items)}
    numbers = np.array([places.get(item, -1) for item in deeds.items], np.int32)
    deeds = replace(deeds, items=[item.id for item in items], item=numbers[deeds.item]).in_order()
    ratings = deeds.value[deeds.kind == _RATING]
    least = -np.inf if not len(ratings) else positive
    if least is None:
        low, high = float(ratings.min()), float(ratings.max())
        least = low + _LIKED * (high - low)
    weight = WEIGHTS[deeds.kind].copy()
    weight[(deeds.kind == _RATING) & (deeds.value < least)] = 0
    return Behaviour(items, deeds, weight, float(least))


def history_of(places: np.ndarray, weights: np.ndarray) -> History:
    """Return a history of likings in order: each item once, where it came last, at its strongest."""
    found: dict[int, float] = {}
    for place, weight in zip(places.tolist(), weights.tolist(), strict=True):
        found[place] = max(found.pop(place, 0.0), weight)
    kept = np.fromiter(found, np.int64, len(found)), np.fromiter(found.values(), np.float32, len(found))
    return History(kept[0][-LONGEST:], kept[1][-LONGEST:])


def by_time(
    behaviour: Behaviour, share: float, most: int | None = None, seed: int = 0, since: float | None = None
) -> Split:
    """Return what came before the moment after which that share of the likings came, and who came after it, `most` of them by lot.

    `since` is another moment, Unix seconds: what came after it is held out.
    """
    times = behaviour.deeds.time[behaviour.weight > 0]
    cut = float(np.quantile(times, 1 - share)) if len(times) else 0.0
    if since is not None and len(times):
        cut = float(np.nextafter(since, np.inf))
    later = behaviour.deeds.time >= cut
    cases = []
    spans = behaviour.spans()
    for user in _some(behaviour, later, most, seed):
        rows = np.arange(spans[user], spans[user + 1])
        after = rows[later[rows] & (behaviour.weight[rows] > 0)]
        known = bool(np.any(behaviour.weight[rows[~later[rows]]] > 0))
        first = after[0] if known and len(after) else after[len(after) // 2] if len(after) else spans[user + 1]
        truth = behaviour.deeds.item[after[after >= first]]
        cases.append(_case(behaviour, user, rows[rows < first], truth, known=known))
    train = behaviour.take(~later)
    return Split(train, [case for case in cases if len(case.truth)], behaviour.end - cut, cut)


def at_random(behaviour: Behaviour, share: float, seed: int, most: int | None = None) -> Split:
    """Return a split of each user's likings by lot: a share of the items is held out, with all that was done with them."""
    key = behaviour.deeds.user.astype(np.int64) * len(behaviour.items) + behaviour.deeds.item
    pairs, pair = np.unique(key, return_inverse=True)
    drawn = (np.random.default_rng(seed).random(len(pairs)) < share)[pair]
    return _held_out(behaviour, drawn, most, seed)


def last_of_each(behaviour: Behaviour, share: float, most: int | None = None, seed: int = 0) -> Split:
    """Return a split of each user's deeds, the last ones held out: what others did later is learned from, as it would not be in use."""
    spans = behaviour.spans()
    sizes = np.diff(spans)
    kept = sizes - np.maximum(np.floor(sizes * share), sizes > 1).astype(np.int64)
    within = np.arange(len(behaviour.deeds)) - np.repeat(spans[:-1], sizes)
    return _held_out(behaviour, within >= np.repeat(kept, sizes), most, seed)


def followed(before: Behaviour, after: Behaviour) -> Split:
    """Return what was done before, and who did what afterwards, by another log on the same items."""
    users = {user: number for number, user in enumerate(before.deeds.users)}
    spans, later, cases = before.spans(), after.spans(), []
    for number, name in enumerate(after.deeds.users):
        rows = np.arange(later[number], later[number + 1])
        truth = after.deeds.item[rows[after.weight[rows] > 0]]
        user = users.get(name, -1)
        own = np.arange(spans[user], spans[user + 1]) if user >= 0 else np.zeros(0, np.int64)
        cases.append(_case(before, user, own, truth, known=len(own) > 0))
    timed = before.deeds.timed and after.deeds.timed and len(after.deeds) > 0
    cut = float(after.deeds.time.min()) if timed else None
    seconds = after.end - before.end if cut is not None and cut >= before.end else 0.0
    return Split(before, [case for case in cases if len(case.truth)], seconds, cut)


def _held_out(behaviour: Behaviour, drawn: np.ndarray, most: int | None, seed: int) -> Split:
    spans, cases = behaviour.spans(), []
    for user in _some(behaviour, drawn, most, seed):
        rows = np.arange(spans[user], spans[user + 1])
        truth = behaviour.deeds.item[rows[drawn[rows] & (behaviour.weight[rows] > 0)]]
        cases.append(_case(behaviour, user, rows[~drawn[rows]], truth, known=bool(np.any(~drawn[rows]))))
    return Split(behaviour.take(~drawn), [case for case in cases if len(case.truth)], 0.0)


def _some(behaviour: Behaviour, which: np.ndarray, most: int | None, seed: int) -> list[int]:
    """Return the users of likings that a mask tells, `most` of them by lot, ascending."""
    users = np.unique(behaviour.deeds.user[which & (behaviour.weight > 0)])
    if most is not None and len(users) > most:
        users = np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
    return [int(user) for user in users]


def _case(behaviour: Behaviour, user: int, before: np.ndarray, truth: np.ndarray, *, known: bool) -> Case:
    """Return a user of whom the rows `before` are known, and who liked the places `truth` afterwards."""
    places, kinds = behaviour.deeds.item, behaviour.deeds.kind
    seen = np.unique(places[before[kinds[before] != _IMPRESSION]]).astype(np.int64)
    liked = before[behaviour.weight[before] > 0]
    history = history_of(places[liked], behaviour.weight[liked])
    return Case(user, history, seen, np.setdiff1d(truth, seen).astype(np.int64), known)
