"""Alarms on a series of counts: what is improbable by what was expected, and rare by what was seen before.

Two questions, one after the other. How improbable is the count by the negative binomial distribution that `History` expects? And,
whatever the counts really follow, how often a week did so improbable ones come? `Tail` answers the second one, and an alarm is raised
where it comes less often than false alarms are allowed. The same code watches texts by topic and any series of numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .counts import History, surprise

WEEK_MINUTES = 7 * 1440.0


class Tail:
    """How often a surprise comes, from the largest of each block of time (block maxima, Gumbel 1958).

    Their upper part falls off exponentially; the slope is the maximum likelihood's where of what raised an alarm it is only known to
    be that large (Epstein and Sobel 1953), and it counts by the odds that chance brought it: far out it is what is looked for. Dismissed
    ones are as large as they were.

    Args:
        block: steps of a block.
        step_minutes: length of a step.
        scale: steps of the scale.
    """

    KEPT_WEEKS = 8
    TRUE_A_WEEK = 0.02
    """Surges a week that a series is thought to have, one a year: what raised an alarm came by chance by the odds of both, until somebody
    says which."""
    UPPER = 1 / 3
    """The part of the blocks that counts as upper."""
    MIDDLE, SLOPE, LEAST_SLOPE = 2.8, 0.5, 0.25
    """Where that begins and how it falls off before any block was seen, and the least slope that is believed."""
    PRIOR_BLOCKS, PRIOR_ABOVE = 3.0, 2.0
    """What those weigh, in blocks and in upper blocks."""

    def __init__(self, block: int, step_minutes: float, scale: int = 1) -> None:
        self.block = block
        self.blocks_a_week = WEEK_MINUTES / (block * step_minutes)
        self._looks = WEEK_MINUTES / (scale * step_minutes)
        self.values: deque[tuple[float, float]] = deque(maxlen=max(8, round(self.KEPT_WEEKS * self.blocks_a_week)))
        self.dismissed: list[float] = []
        self.middle, self.slope = self.MIDDLE, self.SLOPE
        self.seen, self.largest = 0, 0.0
        """Of the block that is not over: its steps, and its largest surprise. Of each that is: that, and 1; of one that raised an alarm the
        alarm's level, and minus the probability that it came by chance."""
        self._ordered: list[tuple[float, float]] = []

    def see(self, value: float, alarm: float) -> None:
        """See the surprise of one step, under a level that raises an alarm."""
        self.seen, self.largest = self.seen + 1, max(self.largest, value)
        if self.seen >= self.block:
            self.add(self.largest, alarm)
            self.leave()

    def leave(self) -> None:
        """Begin a block anew."""
        self.seen, self.largest = 0, 0.0

    def add(self, value: float, alarm: float) -> None:
        """Add a block's largest surprise."""
        if len(self.values) == self.values.maxlen:
            del self._ordered[bisect_left(self._ordered, self.values[0])]
        false = self.rate(value) / (self.rate(value) + self.TRUE_A_WEEK)
        self.values.append((value, 1.0) if value < alarm else (alarm, -false))
        insort(self._ordered, self.values[-1])
        self._fit()

    def confirm(self, first: int, last: int) -> None:
        """Take the blocks from so many steps ago to so many as ordinary ones: they held what is looked for."""
        for back in {-((self.seen - steps) // self.block) for steps in (first, *range(last, first, self.block))}:
            if back <= 0:
                self.largest = 0.0
            elif back <= len(self.values):
                self._ordered.remove(self.values[-back])
                self.values[-back] = (min(self.middle, self.values[-back][0]), 1.0)
                insort(self._ordered, self.values[-back])

    def dismiss(self, value: float) -> None:
        """Take a value as one that came by chance, as large as it is."""
        self.dismissed = [*self.dismissed, value][-32:]

    def rate(self, value: float) -> float:
        """Return how often a week a surprise of that size comes, at most once a block."""
        return self.blocks_a_week * min(1.0, self.UPPER * math.exp(-(value - self.middle) / self.slope))

    def level(self, rate: float) -> float:
        """Return the surprise that comes so often a week, at least one that would be so rare if all were as expected."""
        rare = self.middle + self.slope * math.log(max(1.0, self.UPPER * self.blocks_a_week / rate))
        return max(rare, math.sqrt(2 * math.log(max(1.0, self._looks / rate))))

    def _fit(self) -> None:
        n = len(self._ordered)
        upper = self._ordered[int(n * (1 - self.UPPER)) :]
        self.middle = (n * upper[0][0] + self.PRIOR_BLOCKS * self.MIDDLE) / (n + self.PRIOR_BLOCKS)
        above = [(value, weight) for value, weight in upper if value > self.middle]
        excess = sum(abs(weight) * (value - self.middle) for value, weight in above) + sum(
            max(0.0, one - self.middle) for one in self.dismissed
        )
        count = sum(weight > 0 for _, weight in above) + len(self.dismissed)
        self.slope = max(self.LEAST_SLOPE, (excess + self.PRIOR_ABOVE * self.SLOPE) / (count + self.PRIOR_ABOVE))

    def state(self) -> dict[str, Any]:
        """Return what was seen, JSON-able."""
        return {"values": list(self.values), **{name: getattr(self, name) for name in _TAIL}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` gave."""
        self.values.extend((float(value), float(weight)) for value, weight in state["values"])
        self._ordered = sorted(self.values)
        for name in _TAIL:
            setattr(self, name, state[name])


_TAIL = ("dismissed", "middle", "slope", "seen", "largest")


@dataclass(frozen=True)
class Finding:
    """A step that raises or prolongs an alarm."""

    is_new: bool
    """It begins one; else it belongs to the one before."""
    scale: int
    """Place of the scale on which it is rarest."""
    surprise: float
    alarm: float
    """The surprise from which an alarm is raised."""
    rate: float
    """How often a week such a surprise comes in this series."""
    steps: int
    """How many steps it lasts so far."""
    found: float
    expected: float
    uneven: float
    """Relative variance of what was expected."""


class _Watched:
    """A series with its tails: what `Surges` and `Silences` share."""

    _own: tuple[str, ...] = ("last",)

    def __init__(self, step_minutes: float, hold_off_minutes: float, unseen_steps: float = 0.0) -> None:
        self.history = History(step_minutes, unseen_steps)
        self.hold_off = max(1, round(hold_off_minutes / step_minutes))
        self.tails = [Tail(self.hold_off, step_minutes, scale) for scale in self.history.steps]
        """Of each scale."""
        self.last = -1
        """The last step of the last alarm; -1 before any."""

    def state(self) -> dict[str, Any]:
        """Return all that was learnt, JSON-able."""
        own = {name: getattr(self, name) for name in self._own}
        return {"history": self.history.state(), "tails": [tail.state() for tail in self.tails], **own}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` gave."""
        self.history = History.of(self.history.step_minutes, state["history"])
        for tail, seen in zip(self.tails, state["tails"], strict=True):
            tail.restore(seen)
        for name in self._own:
            setattr(self, name, state[name])


class Surges(_Watched):
    """Raises what is too many: on some scale, and still going on."""

    _own = ("last", "levels")

    def __init__(self, step_minutes: float, hold_off_minutes: float, unseen_steps: float = 0.0) -> None:
        super().__init__(step_minutes, hold_off_minutes, unseen_steps)
        self.levels: list[float] = []
        """Of each scale, when the last alarm was raised: by them it lasts."""

    def add(
        self,
        moment: float,
        count: float,
        allowed: float,
        *,
        least: float = 1.0,
        blind: float = 0.0,
        others: History | None = None,
    ) -> Finding | None:
        """Count one step; return what it raises or prolongs.

        Args:
            moment: when the step began, in seconds since 1970, UTC.
            count: what it held.
            allowed: false alarms a week.
            least: count on a scale below which nothing is raised.
            blind: false alarms a week allowed while nothing is known of the series, of what is too many for any; 0: none is raised.
            others: of the whole stream that this series is a part of, which has counted the step: where the rest of it is
                busier than expected, so much more is expected here.
        """
        history, ongoing = self.history, True
        history.add(moment, count)
        is_new = self.last < 0 or history.n - self.last > self.hold_off
        best: tuple[float, int, float, float, float] | None = None
        sizes: list[tuple[float, float]] = []
        for scale, tail in enumerate(self.tails):
            found, mean = history.found[scale], history.expected[scale]
            if others is not None:
                mean *= _busier(others, scale, found, mean)
            share = blind if history.is_blind(scale) else allowed
            size, alarm = 0.0, tail.level((share or allowed) / len(self.tails)) if is_new else self.levels[scale]
            if ongoing and found >= least and share:
                size = surprise(found, mean, history.uneven(scale) + history.doubt[scale])
                if size >= alarm:
                    rarest = (-tail.rate(size), scale, size, alarm, mean)
                    best = rarest if best is None else max(best, rarest)
            sizes.append((size, alarm))
            ongoing = found > mean  # what is over on this scale is told of no longer one
        if is_new:  # what an alarm is made of, and what follows it, is no example of what chance brings
            for (size, alarm), tail in zip(sizes, self.tails, strict=True):
                if best is None:
                    tail.see(size, alarm)
                else:
                    tail.leave()
                    if size >= alarm:
                        tail.add(size, alarm)
        if best is None:
            return None
        if is_new:
            self.levels = [alarm for _, alarm in sizes]
        rate, scale, size, alarm, mean = best
        self.last = history.n
        since = self._since(scale, mean / max(1e-12, history.expected[scale]))
        return Finding(is_new, scale, size, alarm, -rate * len(self.tails), *since)

    def _since(self, scale: int, factor: float) -> tuple[int, float, float, float]:
        """Return where the surge most likely began: the steps, up to the scale's, whose surprise is largest."""
        history, size = self.history, len(self.history.counts)
        uneven, found, rhythm = history.uneven(scale), 0.0, 0.0
        best = (0.0, 1, 0.0, 0.0, uneven)
        for back in range(history.n - history.begins[scale]):
            place = (history.n - 1 - back) % size
            found, rhythm = found + history.counts[place], rhythm + history.rhythms[place]
            mean, doubt = factor * history.rates[place] * rhythm, uneven + history.doubts[place]
            best = max(best, (surprise(found, mean, doubt), back + 1, found, mean, doubt))
        return best[1:]


def _busier(others: History, scale: int, found: float, mean: float) -> float:
    """Return how many times more is expected of a part while the rest of its stream is busy, as far as its level is known."""
    ratio = (others.found[scale] - found + 1) / (max(0.0, others.expected[scale] - mean) + 1)
    return float(max(1.0, ratio) ** max(0.0, 1 - others.doubt[scale]))


class Silences(_Watched):
    """Raises that nothing came for far longer than the rhythm of a series lets expect."""

    _own = ("last", "quiet", "missing", "most", "rate", "doubt")

    def __init__(self, step_minutes: float, hold_off_minutes: float) -> None:
        super().__init__(step_minutes, hold_off_minutes)
        self.tails = self.tails[:1]
        self.quiet = 0
        """Steps without anything."""
        self.missing, self.most, self.rate, self.doubt = 0.0, 0.0, 0.0, 0.0
        """What was expected of them, by the level before they began, and of any such steps before at most."""

    def hush(self) -> None:
        """Forget that it is silent: nobody listened."""
        self.quiet, self.missing = 0, 0.0

    def add(self, moment: float, count: float, allowed: float) -> Finding | None:
        """Count one step; return the silence that it raises or prolongs. Arguments as of `Surges.add`."""
        history, tail, alarm = self.history, self.tails[0], self.tails[0].level(allowed)
        before, doubt = history.rate, history.rate_doubt
        history.add(moment, count)
        if count > 0:
            self.most, self.quiet, self.missing = max(self.most, self.missing), 0, 0.0
            tail.see(0.0, alarm)
            return None
        if self.quiet == 0:
            self.rate, self.doubt = before, doubt + history.uneven(len(history.steps) // 2)
        self.quiet += 1
        self.missing += self.rate * history.step_expected / max(before, 1e-12)
        shape = 1 / self.doubt
        size = math.sqrt(
            2 * shape * math.log1p(self.missing / shape)
        )  # P(X = 0) of a negative binomial, as `surprise` tells it
        tail.see(size, alarm)
        if size < alarm or self.missing < 2 * self.most:
            return None
        is_new = self.last < history.n - self.quiet
        self.last = history.n
        return Finding(is_new, 0, size, alarm, tail.rate(size), self.quiet, 0.0, self.missing, self.doubt)
