"""A recommender on users held out: its figures, its baselines', an older one's, and what would flatter them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from noria.core.figure import Figure
from noria.core.messages import joined, message, term
from noria.core.progress import Report
from noria.infer.recommend import Ranker
from noria.infer.signals import History

from .baselines import by_category, fitted
from .behaviour import Behaviour, Case, Split
from .judge import LEAST, Measured, Part, Score, best_of, difference, figures, interval, leaks, measure
from .training import Fitted


def judged(
    behaviour: Behaviour, split: Split, trained: Fitted, source: str, report: Report, older: Ranker | None = None
) -> dict[str, Any]:
    """Return figures on held-out users, as facts of the folder: of the ranker, of its baselines, and by how much it is above the best.

    Args:
        behaviour: all of it.
        split: what was held out, and whom it is judged on.
        trained: on what was not.
        source: what was held out, in words.
        report: told the figures.
        older: a recommender that answers at present, to be judged on the same users.
    """
    ranker = trained.ranker
    warm = ranker.signals.touched > 0
    others = fitted(trained.split, split.train, trained.choice)
    scorers: dict[str, Score] = {"noria": lambda cases: ranker.logits([case.history for case in cases]), **others}
    if older is not None:
        scorers["older"] = score_of(older, behaviour)
    measured = {part: measure(split.cases, scorers, warm, part) for part in ("all", "warm")}
    cold = {"noria": scorers["noria"], "categories": by_category(split.train)}
    measured["cold"] = measure(split.cases, cold, warm, "cold")
    best = best_of(measured["all"], list(others))
    above = difference(measured["all"], "noria", best, "all", source)
    metrics = figures(measured["all"], "noria", "all", source, best)
    parts: tuple[tuple[Part, str], ...] = (("warm", best), ("cold", "categories"))
    for part, other in parts:
        if len(measured[part]["noria"].ndcg):
            metrics += figures(measured[part], "noria", part, source, other)
    beside = [
        replace(one, note=name)
        for name in (best, *(name for name in others if name != best))
        for one in _of(measured, name, source)
    ]
    verdict = _verdict(above)
    found = leaks(behaviour, split)
    told = joined("join.clauses", [metrics[0].line(), above.line()])
    report.ledger(message("work.named", name=told, text=term(verdict)))
    for one in metrics[1:]:
        report.ledger(one.line())
    if found.repeated or found.later:
        report.note(message("recommend.leaked", repeated=found.repeated, likings=found.likings, later=found.later))
    beyond = [difference(measured["all"], "noria", "older", "all", source)] if older is not None else []
    for one in beyond:
        report.ledger(one.line())
    return {
        "verdict": verdict,
        "metrics": [one.as_record() for one in [*metrics, above, *beyond, *_taken(split, trained, source)]],
        "beside": [{"figure": one.as_record(), "better": _verdict(one) == "beats the baseline"} for one in beyond],
        "baseline": [one.as_record() for one in beside],
        "twins": {"items": found.twins, "repeated": found.repeated, "likings": found.likings},
    }


def _of(measured: dict[str, dict[str, Measured]], name: str, source: str) -> list[Figure]:
    return figures(measured["all"], name, "all", source)


def _verdict(above: Figure) -> str:
    if above.n < LEAST or above.low is None or above.high is None:
        return "no clear winner"
    return "beats the baseline" if above.low > 0 else "baseline wins" if above.high < 0 else "no clear winner"


def _taken(split: Split, trained: Fitted, source: str, first: int = 20) -> list[Figure]:
    """Return how much of the first twenty was taken, beside how much their probabilities led one to expect."""
    if not trained.ranker.calibrated:
        return []
    taken, expected = [], []
    for case in split.cases[: LEAST * 50]:
        scores = trained.ranker.probabilities([case.history])[0]
        scores[case.seen] = -1
        best = np.argpartition(-scores, min(first, len(scores) - 1))[:first]
        best = best[scores[best] >= 0]
        if len(best):
            taken.append(float(np.isin(best, case.truth).mean()))
            expected.append(float(scores[best].mean()))
    if not taken:
        return []
    low, high = interval(np.array(taken))
    name = message("recommend.figure.taken", first=first, expected=float(np.mean(expected)))
    return [Figure(name, float(np.mean(taken)), len(taken), float(low), float(high), source=source)]


def score_of(ranker: Ranker, behaviour: Behaviour) -> Score:
    """Return the scores that a ranker of another catalogue gives to the items of this one; of those it does not know none."""
    places = {item: place for place, item in enumerate(ranker.items)}
    theirs = np.array([places.get(item.id, -1) for item in behaviour.items], np.int64)
    known = theirs >= 0

    def score(cases: Sequence[Case]) -> np.ndarray:
        histories = []
        for case in cases:
            inside = known[case.history.places]
            histories.append(History(theirs[case.history.places[inside]], case.history.weights[inside]))
        found = np.full((len(cases), len(theirs)), -np.inf, np.float32)
        found[:, known] = ranker.logits(histories)[:, theirs[known]]
        return found

    return score
