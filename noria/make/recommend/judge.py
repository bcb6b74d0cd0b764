"""How good a ranking is: nDCG@10 and Recall@20 of all items, for warm and cold ones apart, with intervals over users.

    measured = measure(cases, {"noria": score, "popularity": popular}, warm)
    measured["noria"].ndcg                      # of each user; figures(measured, "noria") for people

Ranked are all items but those that the user did something with before: a sample of them would favour other models than the whole does
(Krichene and Rendle 2020). Equal scores are ordered by lot, the same for all, so that the order of a catalogue's file says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from noria.core.figure import Figure
from noria.core.messages import message, term
from noria.text.minhash import key_of

from .behaviour import Behaviour, Case, Split

Score = Callable[[Sequence[Case]], np.ndarray]
"""Users -> scores of all items, [users, items]."""
Part = Literal["all", "warm", "cold"]
TOP, RECALL = 10, 20
DRAWS = 2_000
LEAST = 10
"""Users from which a comparison is told."""
_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Measured:
    """What one ranking scored, by user."""

    ndcg: np.ndarray
    """nDCG@10 (Järvelin and Kekäläinen 2002), a liked item counting 1, float64 [users]."""
    recall: np.ndarray
    """Share of the liked items among the first 20, float64 [users]."""


def measure(
    cases: Sequence[Case], scorers: Mapping[str, Score], warm: np.ndarray, part: Part = "all", seed: int = 0
) -> dict[str, Measured]:
    """Return the measures of several rankings on the same users.

    Args:
        cases: users and what they liked.
        scorers: name -> scores.
        warm: whether somebody took each item before, bool [N].
        part: which items are ranked, and may be right: all, those somebody took, or those nobody did. Users who liked none of
            them are left out.
        seed: of the order of equals.
    """
    ranked = np.ones(len(warm), bool) if part == "all" else warm if part == "warm" else ~warm
    chosen = [replace(case, truth=case.truth[ranked[case.truth]]) for case in cases]
    chosen = [case for case in chosen if len(case.truth)]
    order = np.random.default_rng(seed).permutation(len(warm))
    order = order[ranked[order]]
    step = max(1, _AT_ONCE // max(len(warm), 1))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in scorers}
    for start in range(0, len(chosen), step):
        some = chosen[start : start + step]
        for name, score in scorers.items():
            scores = score(some)
            for row, case in zip(scores, some, strict=True):
                found[name].append(_measured(row, case, order))
    return {name: Measured(*np.array(values, float).reshape(-1, 2).T) for name, values in found.items()}


def _measured(scores: np.ndarray, case: Case, order: np.ndarray) -> tuple[float, float]:
    free = scores.astype(np.float32)  # a copy
    free[case.seen] = -np.inf
    free = free[order]
    top = min(RECALL, len(free))
    best = np.argpartition(-free, top - 1)[:top]
    best = best[np.lexsort((best, -free[best]))]
    hits = np.isin(order[best], case.truth) & np.isfinite(free[best])
    discounts = 1 / np.log2(np.arange(2, TOP + 2))
    ideal = discounts[: min(TOP, len(case.truth))].sum()
    gained = float(discounts[: len(hits[:TOP])] @ hits[:TOP])
    return gained / ideal, float(hits.sum()) / len(case.truth)


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the percentile bootstrap interval (95 %) of the mean over users; of a difference by user it is the paired one."""
    if not len(values):
        return 0.0, 0.0
    random = np.random.default_rng(seed)
    means = [float(values[random.integers(0, len(values), len(values))].mean()) for _ in range(DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5])
    # Of equal values the mean of a resample may lie a rounding aside of theirs.
    return min(float(low), float(values.mean())), max(float(high), float(values.mean()))


def figures(measured: Mapping[str, Measured], name: str, part: Part, source: str, baseline: str = "") -> list[Figure]:
    """Return the figures of one ranking, each beside a baseline's where one is named."""
    one, other = measured[name], measured.get(baseline)
    found = []
    for measure_of, values, against in (
        ("nDCG@10", one.ndcg, other.ndcg if other else None),
        ("Recall@20", one.recall, other.recall if other else None),
    ):
        low, high = interval(values)
        told = message("recommend.figure.by_part", measure=measure_of, part=message(f"recommend.part.{part}"))
        beside = float(against.mean()) if against is not None and len(against) else None
        value = float(values.mean()) if len(values) else 0.0
        found.append(Figure(told, value, len(values), low, high, source=source, baseline=beside))
    return found


def difference(measured: Mapping[str, Measured], name: str, other: str, part: Part, source: str) -> Figure:
    """Return by how much the nDCG@10 of one ranking is above another's, user by user."""
    away = measured[name].ndcg - measured[other].ndcg
    low, high = interval(away)
    told = message("recommend.figure.difference", other=term(other), part=message(f"recommend.part.{part}"))
    return Figure(told, float(away.mean()) if len(away) else 0.0, len(away), low, high, source=source)


def best_of(measured: Mapping[str, Measured], names: Sequence[str]) -> str:
    """Return the name whose mean nDCG@10 is highest."""
    return max(names, key=lambda name: float(measured[name].ndcg.mean()) if len(measured[name].ndcg) else 0.0)


@dataclass(frozen=True)
class Leaks:
    """What would flatter the figures."""

    twins: int
    """Items whose told text is another's, but for case and punctuation."""
    repeated: int
    """Held-out likings of an item whose twin the user had touched before."""
    likings: int
    """Held-out likings in all."""
    later: int
    """Deeds learned from that came after the moment of the split."""


def leaks(behaviour: Behaviour, split: Split) -> Leaks:
    """Return what is known of leaks: the same text under two ids, and deeds of the time that was held out among those learned from."""
    keys = [key_of(item.described) for item in behaviour.items]
    counts = Counter(keys)
    numbers = {key: number for number, key in enumerate(counts)}
    text = np.array([numbers[key] for key in keys], np.int64)
    repeated = sum(int(np.isin(text[case.truth], text[case.seen]).sum()) for case in split.cases)
    later = 0 if split.cut is None else int((split.train.deeds.time > split.cut).sum())
    twins = sum(count for count in counts.values() if count > 1)
    return Leaks(twins, repeated, sum(len(case.truth) for case in split.cases), later)
