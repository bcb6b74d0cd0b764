"""What a series of counts lets expect of the next ones: level, daily and weekly rhythm, and how uneven it is on several scales.

Knows nothing of texts: a series is one count a step. Everything is causal, takes the same time at every step, and needs no
history to begin with: what is not known yet widens what is expected. Bursts teach no more than an unusually high step would.
"""

from __future__ import annotations

import math
from array import array
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

SCALES_MINUTES = (5, 15, 60, 360, 1440)
"""How long what is looked at lasts: from a burst to a bad day."""
OPENING_MINUTES = 30
"""For so long all that was counted is looked at beside nothing; after it, never more than was counted before it."""
MEMORY_DAYS = 3.0
"""The level is an exponential mean over so many days."""
PRIOR_SHAPE, PRIOR_HOUR = 0.5, 1.0
"""Before anything is known one an hour is expected, give or take a factor of ten: a gamma distribution of that shape and mean."""
PRIOR_UNEVEN, PRIOR_UNEVEN_WEIGHT = 0.3, 20.0
"""Relative variance beyond that of independent counts, before it is measured."""
UNEVEN_DAYS = 14.0
DAY_SLOTS, DAY_PRIOR, DAY_VISITS = 48, 4.0, 28.0
WEEK_PRIOR, WEEK_VISITS = 10.0, 8.0
"""Rhythms begin at 1 with these precisions of their logarithm, and are means over about so many days, or weeks."""
CLIP = 3.0
"""Standard deviations beyond which a step teaches no more (Huber 1964)."""


class History:
    """What was counted so far, and what that lets expect. About 10 kB, however long it goes on.

    The level is the mean of a gamma distribution under Poisson counts (West, Harrison and Migon 1985), discounted at every step.

    Args:
        step_minutes: length of a step.
        unseen_steps: steps known to have counted nothing before the first one.
    """

    def __init__(self, step_minutes: float, unseen_steps: float = 0.0) -> None:
        self.step_minutes = step_minutes
        self.steps = tuple(sorted({max(1, round(minutes / step_minutes)) for minutes in SCALES_MINUTES}))
        """Steps of each scale."""
        size, scales = self.steps[-1], len(self.steps)
        self._keep = math.exp(-step_minutes / (MEMORY_DAYS * 1440))
        self._keep_uneven = math.exp(-step_minutes / (UNEVEN_DAYS * 1440))
        self._hour = 60 / step_minutes
        self._at_hour = min(range(scales), key=lambda place: abs(self.steps[place] - self._hour))
        self._opening = max(1, round(OPENING_MINUTES / step_minutes))
        self.n = 0
        """Steps so far."""
        self.unseen = min(unseen_steps, 1 / (1 - self._keep))
        self.sum, self.exposure = 0.0, self.unseen
        """Of counts and of rhythms, each discounted."""
        self.day, self.day_known = [0.0] * DAY_SLOTS, [DAY_PRIOR] * DAY_SLOTS
        self.week, self.week_known = [0.0] * 7, [WEEK_PRIOR] * 7
        """Logarithms of the rhythm's factors, and their precisions."""
        self.day_sum, self.week_sum = float(DAY_SLOTS), 7.0
        """Of the factors themselves: divided by their mean they leave the level alone."""
        self.uneven_sum, self.uneven_weight = [0.0] * scales, [0.0] * scales
        self.counts, self.rhythms = array("d", bytes(8 * size)), array("d", bytes(8 * size))
        self.rates, self.doubts = array("d", bytes(8 * size)), array("d", bytes(8 * size))
        """Of the last steps: the count, the rhythm's factor, and the rate and its relative variance as known before the step."""
        self.begins = [0] * scales
        """The step at which what is looked at on each scale begins."""
        self.found, self.rhythm = [0.0] * scales, [0.0] * scales
        """Sums since then."""
        self.expected, self.doubt = [0.0] * scales, [0.0] * scales
        """What was expected since then by what was known before, and the relative variance of that level."""
        self.step_expected = 0.0
        """What was expected of the last step."""

    @property
    def rate(self) -> float:
        """Return the level: counts a step where the rhythm is 1."""
        return (PRIOR_SHAPE + self.sum) / (PRIOR_SHAPE / PRIOR_HOUR * self._hour + self.exposure)

    @property
    def rate_doubt(self) -> float:
        """Return the level's relative variance: of independent counts, and of hours that differ."""
        hours = self.exposure / self._hour
        return 1 / (PRIOR_SHAPE + self.sum) + self.uneven(self._at_hour) / (1 + hours)

    def uneven(self, scale: int) -> float:
        """Return the relative variance on a scale beyond that of independent counts."""
        known = self.uneven_sum[scale] + PRIOR_UNEVEN * PRIOR_UNEVEN_WEIGHT
        return max(1e-6, known / (self.uneven_weight[scale] + PRIOR_UNEVEN_WEIGHT))

    def is_blind(self, scale: int) -> bool:
        """Return whether next to nothing was known before what is looked at on a scale."""
        return self.begins[scale] < self._opening and self.unseen == 0

    def add(self, moment: float, count: float) -> None:
        """Count one step.

        Args:
            moment: when it began, in seconds since 1970, UTC.
            count: what it held.
        """
        day = int(moment / 86400 % 1 * DAY_SLOTS) % DAY_SLOTS
        week = int((moment / 86400 + 3) % 7)  # 1970 began on a Thursday
        factor = math.exp(self.day[day] + self.week[week]) * DAY_SLOTS / self.day_sum * 7 / self.week_sum
        rate, size, n = self.rate, len(self.counts), self.n
        for scale, length in enumerate(self.steps):
            begin = max(n + 1 - length, 0 if n < self._opening else n // 2 + 1)
            for gone in range(self.begins[scale], begin):
                self.found[scale] -= self.counts[gone % size]
                self.rhythm[scale] -= self.rhythms[gone % size]
            self.begins[scale] = begin
            self.found[scale] += count
            self.rhythm[scale] += factor
        place = n % size
        self.counts[place], self.rhythms[place] = count, factor
        self.rates[place], self.doubts[place] = rate, self.rate_doubt
        for scale, length in enumerate(self.steps):
            begin = self.begins[scale]
            self.expected[scale] = self.rates[begin % size] * self.rhythm[scale]
            self.doubt[scale] = self.doubts[begin % size]
            if begin == n + 1 - length and begin > 0:
                self._learn_uneven(scale, length)
        self.step_expected = rate * factor
        self._learn_level(count, factor, day, week)
        self.n = n + 1

    def amend(self, back: int, count: float) -> None:
        """Add to a step that is over; `back` is 1 for the last one. One longer ago than the longest scale stays as it is."""
        step, size = self.n - back, len(self.counts)
        if step < 0 or back > size:
            return
        self.counts[step % size] += count
        self.sum += count * self._keep**back
        for scale, begin in enumerate(self.begins):
            if begin <= step:
                self.found[scale] += count

    def total(self, steps: int) -> float:
        """Return what the last steps counted, as far back as the longest scale."""
        size = len(self.counts)
        return sum(self.counts[(self.n - 1 - back) % size] for back in range(min(steps, self.n, size)))

    def _learn_uneven(self, scale: int, length: int) -> None:
        mean = max(self.expected[scale], 1e-9)
        own = 1 / mean + self.uneven(scale) + self.doubt[scale]
        square = min((self.found[scale] / mean - 1) ** 2, CLIP**2 * own) - 1 / mean - self.doubt[scale]
        # By the variance of a squared residual; and sums that overlap tell the same thing again.
        weight = 1 / (length * (2 * own**2 + 1 / mean**3))
        self.uneven_sum[scale] = self._keep_uneven * self.uneven_sum[scale] + weight * square
        self.uneven_weight[scale] = self._keep_uneven * self.uneven_weight[scale] + weight

    def _learn_level(self, count: float, factor: float, day: int, week: int) -> None:
        mean = self.step_expected
        spread = math.sqrt(mean + (self.uneven(0) + self.rate_doubt) * mean**2)
        # What opens a series is no burst of it, for all that is known.
        known = self.n >= self._opening or self.unseen > 0
        clipped = min(count, mean + CLIP * spread + 1) if known else count
        # Steps of an hour are alike: together they tell no more of the rhythm than the hour does; and while the level is hardly known,
        # they tell of the level.
        weight = max(0.0, 1 - 10 * self.rate_doubt) / (1 + self.uneven(self._at_hour) * mean * self._hour)
        self.sum = self._keep * self.sum + clipped
        self.exposure = self._keep * self.exposure + factor
        change = weight * min(clipped - mean, mean)
        visits = DAY_VISITS * 1440 / DAY_SLOTS / self.step_minutes
        self.day_sum += _learn(self.day, self.day_known, day, DAY_PRIOR, visits, mean * weight, change)
        visits = WEEK_VISITS * 1440 / self.step_minutes
        self.week_sum += _learn(self.week, self.week_known, week, WEEK_PRIOR, visits, mean * weight, change)

    def state(self) -> dict[str, Any]:
        """Return all that was learnt, JSON-able."""
        values = {name: getattr(self, name) for name in _STATE}
        return {
            name: b64encode(value.tobytes()).decode() if isinstance(value, array) else value
            for name, value in values.items()
        }

    @classmethod
    def of(cls, step_minutes: float, state: Mapping[str, Any]) -> History:
        """Return the history that `state` gave."""
        made = cls(step_minutes)
        for name in _STATE:
            value = state[name]
            setattr(made, name, array("d", b64decode(value)) if isinstance(getattr(made, name), array) else value)
        return made


_STATE = (
    *("day_sum", "week_sum"),
    *("n", "unseen", "sum", "exposure", "day", "day_known", "week", "week_known", "uneven_sum", "uneven_weight"),
    *("counts", "rhythms", "rates", "doubts", "begins", "found", "rhythm"),
)


def _learn(
    effects: list[float], known: list[float], slot: int, prior: float, visits: float, information: float, change: float
) -> float:
    """Move one logarithm of a rhythm by a step of Newton's method; return how much the factor changes."""
    known[slot] = prior + (known[slot] - prior) * (1 - 1 / max(2.0, visits)) + information
    before, effects[slot] = effects[slot], max(-3.0, min(3.0, effects[slot] + change / known[slot]))
    return math.exp(effects[slot]) - math.exp(before)


def surprise(count: float, mean: float, uneven: float) -> float:
    """Return how far a count is above a mean, in standard deviations of a normal deviate that is as improbable.

    The bound of Chernoff (1952) on P(X >= count) of a negative binomial X with a variance of mean + uneven x mean squared,
    as the deviate z with exp(-z^2/2) equal to it; 0 where the count is not above the mean.

    >>> round(surprise(20, 5, 0.0), 2), round(surprise(20, 5, 0.5), 2)
    (5.07, 2.22)
    """
    if count <= mean or mean <= 0:
        return 0.0
    if uneven < 1e-6:
        return math.sqrt(2 * max(0.0, count * math.log(count / mean) - count + mean))
    shape = 1 / uneven
    return math.sqrt(
        2 * max(0.0, count * math.log(count / mean) - (count + shape) * math.log((count + shape) / (mean + shape)))
    )


def interval(mean: float, uneven: float, share: float = 0.95) -> tuple[int, int]:
    """Return between which whole numbers a negative binomial count lies with a probability, as much of it left out on either side.

    Args:
        mean: of the counts.
        uneven: relative variance beyond that of independent counts.
        share: the probability.
    """
    from scipy.special import betainc

    if mean <= 0:
        return 0, 0
    shape = 1 / max(uneven, 1e-6)

    def above(least: int) -> float:
        return 1.0 if least <= 0 else float(betainc(least, shape, mean / (mean + shape)))

    def first(probability: float) -> int:
        """Return the least count that is exceeded with no more than a probability."""
        low, high = 0, 1
        while above(high) > probability:
            high *= 2
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if above(middle + 1) > probability else (low, middle)
        return low

    return first(1 - (1 - share) / 2), first((1 - share) / 2)
