"""Rates of answers to questions that are a sample, with draws of each: intervals over questions, not over draws.

    estimate = rates(hits, answers)               # (..., Q) hits among (..., Q) answers
    estimate.value, estimate.low, estimate.high

Draws of one question are alike, so a hundred answers to ten questions know little more than ten. The interval is that of
Clopper and Pearson at the number of independent answers which the spread between questions is worth, with Student's t for
few of them (Korn and Graubard, Survey Methodology 24, 1998). The spread is seen with two questions' worth of draws that are all
alike (`PRIOR`): a rare answer's spread is seen too small whenever its rate is (benchmarks/answers.py measures coverage). Where
every answer agrees, nothing shows how alike draws are, and each question counts once. A difference joins the intervals of its two sides, by their correlation over questions (MOVER; Zou and
Donner, Statistics in Medicine 27, 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, stdtrit

Floats = npt.NDArray[np.float64]
PRIOR = 2.0
"""Degrees of freedom given to the belief that draws of a question are all alike; with none, intervals of rare answers covered
83 % instead of 86 % at worst, over 450 designs."""


@dataclass(frozen=True)
class Estimate:
    """Values with the ends of their intervals, all of one shape."""

    value: Floats
    low: Floats
    high: Floats


def rates(hits: Floats, answers: Floats, level: float = 0.9) -> Estimate:
    """Return mean rates over questions; each question weighs the same, however many answers it has.

    Args:
        hits: (..., Q), answers that hold what is counted.
        answers: (..., Q) or (Q,), all answers; a question with none is left out.
        level: of the intervals.
    """
    means, known = _means(hits, answers)
    questions = known.sum(-1)
    value = _mean(means, known)
    variance = _variance(means, known)
    return _interval(value, variance, np.broadcast_to(answers, hits.shape).sum(-1), questions, level)


def ratios(hits: Floats, totals: Floats, answers: Floats, level: float = 0.9) -> Estimate:
    """Return parts of a total, both counted per answer and summed over questions, such as a brand's part of all that are named.

    Args:
        hits: (..., Q).
        totals: (Q,), of which the hits are a part.
        answers: (Q,), answers to each question.
        level: of the intervals.
    """
    means, known = _means(hits, answers)
    whole, _ = _means(totals, answers)
    middle = _mean(whole, known)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = _mean(means, known) / middle
        away = np.where(known, (means - value[..., None] * whole) / middle[..., None], 0.0)
    return _interval(value, _variance(away, known), totals.sum(-1), (known & (whole > 0)).sum(-1), level)


def differences(
    first: tuple[Floats, Floats], second: tuple[Floats, Floats], level: float = 0.9, *, paired: bool = True
) -> Estimate:
    """Return the second rates minus the first, each side (hits, answers) as `rates` takes them.

    Args:
        first: of one assistant or date.
        second: of another.
        level: of the intervals.
        paired: both sides asked the same questions, column by column; questions without answers on a side are left out of both.
    """
    if paired:
        both = (first[1] > 0) & (second[1] > 0)
        first, second = ((hits, np.where(both, answers, 0.0)) for hits, answers in (first, second))
    one, other = rates(*first, level), rates(*second, level)
    together = _correlation(first, second) if paired else np.zeros(one.value.shape)
    gap = other.value - one.value

    def reach(near: Floats, far: Floats) -> Floats:
        return np.sqrt(np.maximum(near**2 + far**2 - 2 * together * near * far, 0.0))

    low = gap - reach(other.value - other.low, one.high - one.value)
    high = gap + reach(other.high - other.value, one.value - one.low)
    return Estimate(gap, np.maximum(low, -1.0), np.minimum(high, 1.0))


def between_questions(hits: Floats, answers: Floats) -> float | None:
    """Return which part of the variance of single answers lies between questions (intraclass correlation, one-way analysis of
    variance), over all rows of hits; None where no question has two answers, or all answers agree.

    Args:
        hits: (B, Q).
        answers: (Q,).
    """
    answers = np.broadcast_to(answers, hits.shape[-1:])
    kept = answers > 0
    hits, answers = hits[:, kept], answers[kept]
    questions, total = len(answers), answers.sum()
    if questions < 2 or total <= questions:
        return None
    means = hits / answers
    overall = hits.sum(-1, keepdims=True) / total
    between = float((answers * (means - overall) ** 2).sum()) / (questions - 1)
    inside = float((hits * (1 - means)).sum()) / (total - questions)
    size = (total - (answers**2).sum() / total) / (questions - 1)
    spread = between + (size - 1) * inside
    return min(1.0, max(0.0, float((between - inside) / spread))) if spread > 0 else None


def _means(hits: Floats, answers: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    answers = np.broadcast_to(answers, hits.shape)
    known = answers > 0
    return np.where(known, hits / np.maximum(answers, 1.0), 0.0), known


def _mean(means: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(means.sum(-1) / known.sum(-1), dtype=np.float64)


def _variance(means: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    """Return the variance of the mean over questions."""
    questions = known.sum(-1)
    away = np.where(known, means - _mean(means, known)[..., None], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((away**2).sum(-1) / (questions - 1) / questions, dtype=np.float64)


def _correlation(first: tuple[Floats, Floats], second: tuple[Floats, Floats]) -> Floats:
    (one, known), (other, _) = _means(*first), _means(*second)
    one, other = (np.where(known, side - _mean(side, known)[..., None], 0.0) for side in (one, other))
    size = np.sqrt((one**2).sum(-1) * (other**2).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(size > 0, (one * other).sum(-1) / size, 0.0), dtype=np.float64)


def _interval(value: Floats, variance: Floats, counted: Floats, questions: Floats, level: float) -> Estimate:
    """Return values with Clopper and Pearson's interval at the number of independent answers that the variance is worth."""
    tail = (1 - level) / 2
    few = questions < 2
    with np.errstate(invalid="ignore", divide="ignore"):
        prior = PRIOR / (questions - 1 + PRIOR)
        variance = (1 - prior) * variance + prior * value * (1 - value) / questions
        worth = value * (1 - value) / variance
        worth = np.where(value * (1 - value) > 0, np.minimum(worth, counted), questions)
        fall = stdtrit(np.maximum(counted - 1.0, 1.0), 1 - tail) / stdtrit(np.maximum(questions - 1.0, 1.0), 1 - tail)
        worth = np.where(value * (1 - value) > 0, worth * fall**2, worth)
        found = np.clip(value * worth, 0.0, worth)
        low = betaincinv(np.maximum(found, 1e-12), worth - found + 1, tail)
        high = betaincinv(found + 1, np.maximum(worth - found, 1e-12), 1 - tail)
    low = np.where(value <= 0, 0.0, np.minimum(low, value))
    high = np.where(value >= 1, 1.0, np.maximum(high, value))
    unknown = np.isnan(value)
    low, high = np.where(few, 0.0, low), np.where(few, 1.0, high)
    return Estimate(value, np.where(unknown, np.nan, low), np.where(unknown, np.nan, high))
