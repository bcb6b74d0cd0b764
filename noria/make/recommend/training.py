"""Behaviour and texts -> a ranker: settings and weights from what is held out, signals from all of it.

    fitted = fit(behaviour, texts, vectors, settings)
    fitted.ranker.scores([...]), fitted.choice

The models that the weights are fitted on know nothing of the held-out part; those that rank are learned from all, in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from noria.core.messages import message
from noria.core.progress import Report
from noria.infer.item_text import TextPlaces
from noria.infer.recommend import Ranker

from .baselines import best_half_life, best_linear
from .behaviour import Behaviour, Split, at_random, by_time, last_of_each
from .content import fit_places
from .fit import Choice, fit_signals
from .join import LEAST, Window, fit_join
from .settings import RecommendTraining

USERS_A_MINUTE, MOST_USERS = 400, 800
"""Held-out users that the weights are fitted on."""
HEAD, SHORT_HEAD, SHORT_MINUTES = 4_096, 2_048, 1.0
"""Items in the linear item model, whose solve takes the third power of it: seconds for the first; and where time is short."""
FEW_USERS, EARLIER = 400, 3
"""Users below which those of earlier times are added, of so many: their weights differ less than chance moves those of few."""


@dataclass(frozen=True)
class Fitted:
    """A ranker, and how it came about."""

    ranker: Ranker
    split: Split
    """What was held out to fit the weights."""
    choice: Choice
    places: TextPlaces
    content: np.ndarray


def fit(
    behaviour: Behaviour,
    texts: Sequence[str],
    vectors: np.ndarray | None,
    settings: RecommendTraining,
    *,
    encoder: str = "",
    report: Report | None = None,
) -> Fitted:
    """Return the ranker that behaviour gives.

    Args:
        behaviour: of the items that `texts` tell of.
        texts: what is told of each item.
        vectors: an encoder's of the texts, float32 [N, W]; None without one.
        settings: see `RecommendTraining`.
        encoder: identity of the encoder.
        report: shown how far it is.
    """
    report = report or Report.silent()
    with report.bar("recommend", total=4, unit="part") as bar:
        places = fit_places(texts, vectors, settings.seed)
        content = places.content(vectors, texts)
        split = held_out(behaviour, settings, int(min(MOST_USERS, max(100, USERS_A_MINUTE * settings.minutes))))
        choice = Choice(head=SHORT_HEAD if settings.minutes < SHORT_MINUTES else HEAD)
        if split.cases:
            choice = best_linear(split, replace(choice, half_life=best_half_life(split)))
        bar.advance()
        windows = []
        for one in (split, *_earlier(split, settings)):
            before, _ = fit_signals(one.train, places, content, choice, settings.seed)
            windows.append(Window(before, one.cases, behaviour.end if one.cut is None else one.cut))
        bar.advance()
        join = fit_join(windows, settings.seed)
        del windows, before
        bar.advance()
        facts: dict[str, Any] = {
            "encoder": encoder,
            "trained": behaviour.end,
            "least": behaviour.least if np.isfinite(behaviour.least) else -1e30,
            "calibrated": sum(len(case.history.places) > 0 for case in split.cases) >= LEAST,
            "seconds": split.seconds,
        }
        ids = [item.id for item in behaviour.items]
        signals, by_text = fit_signals(behaviour, places, content, choice, settings.seed)
        bar.advance()
    return Fitted(Ranker(ids, signals, join, by_text, facts), split, choice, places, content)


def refitted(fitted: Fitted, behaviour: Behaviour, seed: int = 0) -> Ranker:
    """Return a ranker with the same settings and weights, its signals from more behaviour: what was judged, brought up to date."""
    signals, by_text = fit_signals(behaviour, fitted.places, fitted.content, fitted.choice, seed)
    old = fitted.ranker
    return Ranker(old.items, signals, old.join, by_text, old.facts | {"trained": behaviour.end})


def held_out(behaviour: Behaviour, settings: RecommendTraining, most: int, since: float | None = None) -> Split:
    """Return a part of the behaviour to learn from, and users to judge on, as the settings say, at most so many.

    Where nobody is left to judge on by time, as where all was done at one moment, it is by lot. `since` is a moment, Unix seconds,
    after which all is held out, whatever share it is.
    """
    if since is not None or settings.split == "time" or (settings.split == "auto" and behaviour.deeds.timed):
        split = by_time(behaviour, settings.held_out, most, settings.seed, since)
        if since is not None or (split.cases and len(split.train)):
            return split
    if settings.split == "last":
        return last_of_each(behaviour, settings.held_out, most, settings.seed)
    return at_random(behaviour, settings.held_out, settings.seed, most)


def _earlier(split: Split, settings: RecommendTraining) -> list[Split]:
    """Return the splits before this one, each of what came before the last one's moment, until there are users enough."""
    found = [split]
    while found[-1].cut is not None and sum(len(one.cases) for one in found) < FEW_USERS and len(found) <= EARLIER:
        one = by_time(found[-1].train, settings.held_out, FEW_USERS, settings.seed)
        if not one.cases or not len(one.train):
            break
        found.append(one)
    return found[1:]


def source_of(split: Split, settings: RecommendTraining) -> str:
    """Return what was held out, in words."""
    way = "time" if split.cut is not None else "last" if settings.split == "last" else "random"
    return message(f"recommend.split.{way}")
