"""What a recommender must beat: popularity, neighbours of items, the linear item model; and for new items their categories' popularity.

Each takes its settings from the same held-out users as the recommender does, and is learned from the same behaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from noria.infer.signals import Links

from .behaviour import Behaviour, Case, Split
from .fit import Choice, closed_form, gram_of, leading, links_of, solved
from .judge import Score, measure

DAY = 86_400.0
HALF_LIVES = (3 * DAY, 14 * DAY, 60 * DAY, 240 * DAY, np.inf)
"""Tried for popularity, shorter than the behaviour is long."""
NEIGHBOURS, SHRINKS = (30, 200), (0.0, 20.0)
"""Tried for ItemKNN."""
RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0)
"""Tried for the linear item model, from the middle outwards."""
DROPOUTS = (0.2, 0.4)
TRIED = 400
"""Held-out users on whom settings are tried."""
SMALL = 2_048
"""Items in the linear item model while its ridge is tried: the best ridge depends little on how many there are."""


def popularity(likings: Behaviour, half_life: float) -> Score:
    """Return the scores of how many took each item, halved with age."""
    age = likings.end - likings.deeds.time
    fading = np.exp2(-age / half_life) if np.isfinite(half_life) else np.ones(len(age))
    count = np.bincount(likings.deeds.item, fading, minlength=len(likings.items))
    return lambda cases: np.broadcast_to(count, (len(cases), len(count)))


def by_category(behaviour: Behaviour, *, personal: bool = False) -> Score:
    """Return the scores of how many took an item of each item's categories, on average over these, whoever the user is.

    Args:
        behaviour: learned from.
        personal: count instead how often the user took one of each category; without a history, everybody.
    """
    names = sorted({name for item in behaviour.items for name in item.categories})
    places = {name: place for place, name in enumerate(names)}
    member = np.zeros((len(behaviour.items), max(len(names), 1)), np.float32)
    for place, item in enumerate(behaviour.items):
        for name in item.categories:
            member[place, places[name]] = 1 / len(item.categories)
    count = behaviour.likings().matrix().sum(axis=0).A1
    everybody = member.T @ count / np.maximum((member > 0).sum(axis=0), 1)
    plain = member @ everybody

    def score(cases: Sequence[Case]) -> np.ndarray:
        rows = np.tile(plain, (len(cases), 1))
        for row, case in zip(rows, cases, strict=True):
            if personal and len(case.history.places):
                row[:] = member @ member[case.history.places].sum(axis=0) + 1e-6 * plain / max(float(plain.max()), 1e-9)
        return rows

    return score


def neighbours(behaviour: Behaviour, most: int, shrink: float) -> Score:
    """Return the scores of ItemKNN: shrunk cosines of items, summed over the history (Sarwar et al. 2001)."""
    matrix, touched = _ones(behaviour)
    return _linked(links_of(matrix, shrink, most), len(touched))


def _linked(links: Links, size: int) -> Score:
    return lambda cases: np.stack(
        [links.onto(case.history.places, np.ones(len(case.history.places), np.float32), size) for case in cases]
    )


def linear(behaviour: Behaviour, ridge: float, most: int) -> Score:
    """Return the scores of EASE (Steck 2019), of the items that most users took."""
    matrix, touched = _ones(behaviour)
    return _linear(*closed_form(matrix, touched, Choice(ridge=ridge, head=most)), len(touched))


def _ones(behaviour: Behaviour) -> tuple[Any, np.ndarray]:
    matrix = behaviour.likings().matrix()
    matrix.data[:] = 1
    return matrix, np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.float32)


def _linear(head: np.ndarray, weights: np.ndarray, size: int) -> Score:
    rows = np.full(size, -1)
    rows[head] = np.arange(len(head))

    def score(cases: Sequence[Case]) -> np.ndarray:
        found = np.full((len(cases), size), -1.0, np.float32)
        for row, case in zip(found, cases, strict=True):
            inside = rows[case.history.places]
            row[head] = weights[inside[inside >= 0]].sum(axis=0)
        return found

    return score


def best(tried: Mapping[Any, Score], split: Split) -> Any:
    """Return the key whose scores rank best on held-out users, the first of equals; the first where there are none."""
    warm = np.ones(len(split.train.items), bool)
    measured = measure(split.cases[:TRIED], {str(key): score for key, score in tried.items()}, warm)
    return max(tried, key=lambda key: float(measured[str(key)].ndcg.sum()))


def best_half_life(split: Split) -> float:
    """Return the half-life with which popularity ranks best."""
    likings = split.train.likings()
    span = likings.end - float(likings.deeds.time.min()) if len(likings) else 0.0
    lives = [one for one in HALF_LIVES if one < span and likings.deeds.timed and split.seconds] + [np.inf]
    return float(best({one: popularity(likings, one) for one in lives}, split))


def best_linear(split: Split, choice: Choice) -> Choice:
    """Return the choice with the ridge, damping and dropout with which the linear item model ranks best, found one after the other."""
    matrix, touched = _ones(split.train)
    head = leading(touched, SMALL)
    chosen, warm = matrix[:, head].tocsr(), np.ones(len(touched), bool)
    grams: dict[float, np.ndarray] = {}
    found: dict[Choice, float] = {}

    def tried(one: Choice) -> float:
        if one.damping not in grams:
            grams[one.damping] = gram_of(chosen, one.damping)
        if one not in found:
            weights = solved(grams[one.damping].copy(), one.ridge, one.dropout)
            score = {"one": _linear(head, weights, len(touched))}
            found[one] = float(measure(split.cases[:TRIED], score, warm)["one"].ndcg.sum())
        return found[one]

    best = _climbed(replace(choice, ridge=100.0), tried)
    best = replace(best, plain=best.ridge)
    best = max((best, replace(best, damping=0.5)), key=tried)
    # What dropout does to frequent items a ridge does to all: where one grows the other shrinks.
    dropped = max((replace(best, dropout=share, ridge=max(best.ridge / 3, RIDGES[0])) for share in DROPOUTS), key=tried)
    return max((best, dropped), key=tried)


def _climbed(choice: Choice, tried: Callable[[Choice], float]) -> Choice:
    """Return the choice with the ridge from which no step up or down is better."""
    place = RIDGES.index(choice.ridge)
    for step in (-1, 1):
        while 0 <= place + step < len(RIDGES) and tried(replace(choice, ridge=RIDGES[place + step])) > tried(
            replace(choice, ridge=RIDGES[place])
        ):
            place += step
    return replace(choice, ridge=RIDGES[place])


def fitted(split: Split, whole: Behaviour, choice: Choice) -> dict[str, Score]:
    """Return the baselines with the settings that are best on held-out users, learned from all of `whole`.

    Args:
        split: of `whole`.
        whole: what the recommender is learned from.
        choice: its own ridge and half-life, which were tried on the same users.
    """
    tried = {(most, shrink): neighbours(split.train, most, shrink) for most in NEIGHBOURS for shrink in SHRINKS}
    most, shrink = best(tried, split)
    return {
        "popularity": popularity(whole.likings(), choice.half_life),
        "ItemKNN": neighbours(whole, most, shrink),
        "EASE": linear(whole, choice.plain, choice.head),
    }
