"""Power users: on how many of the last days each user was active, and how much of the use the heaviest ones make.

found = power(log, days=28)
found.histogram[6]                # users active on 7 of the last 28 days (L-7 of 28)
found.top[0].text()               # part of all acts that the most active 1 % made
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noria.core.errors import SettingError
from noria.core.figure import Figure, proportion
from noria.core.messages import message
from noria.grow.log.log import Log
from noria.grow.log.user_days import user_days
from noria.grow.series.series import Floats

TOPS = (0.01, 0.1)
"""The parts of the users, most active first, whose part of the acts is told."""
HABIT_DAYS = 14
"""Days of a log from which active days are told: on one day nobody has a habit, and a week holds no second Monday."""
_DRAWS = 400


@dataclass(frozen=True)
class Power:
    """How use spreads over users in the last days of a log."""

    days: int
    histogram: tuple[int, ...]
    """Users active on 1, 2, ... `days` of them."""
    often: Figure
    """Part of the users active on half of the days or more."""
    top: tuple[Figure, ...]
    """Part of the acts that each of `TOPS` made."""
    gini: Figure
    """Of acts over users: 0 where all act as often, near 1 where one does everything."""

    @property
    def users(self) -> int:
        """Users active on any of the days."""
        return sum(self.histogram)

    @property
    def habit(self) -> bool:
        """Return whether the log is long enough to tell a habit."""
        return self.days >= HABIT_DAYS

    def figures(self) -> list[Figure]:
        """Return all of them that the log is long enough for."""
        return [*([self.often] if self.habit else []), *self.top, self.gini]


def power(log: Log, days: int = 28, *, seed: int = 0) -> Power:
    """Return how use spread over users in the last `days` of a log; of a shorter log, in all of its days.

    Intervals of concentration: percentiles of a bootstrap over users.

    Raises:
        SettingError: fewer than two days.
    """
    if days < 2:
        raise SettingError(message("grow.too_few_days"), found=days, allowed=message("grow.more_5"))
    days = min(days, (log.as_of - log.first).days + 1)
    last = (log.as_of - type(log.as_of)(1970, 1, 1)).days
    table = user_days(log)
    table = table.filter((table.day > last - days) & (table.day <= last))
    each = table.group_by("user").aggregate(days=table.count().cast("int64"), acts=table.acts.sum().cast("int64"))
    counts = each.group_by("days", "acts").aggregate(users=each.count()).to_pyarrow().to_pylist()
    histogram = [0] * days
    for row in counts:
        histogram[int(row["days"]) - 1] += int(row["users"])
    users = sum(histogram)
    half = (days + 1) // 2
    often = proportion(
        message("figures.active_on", half=half, days=days), sum(histogram[half - 1 :]), users, source=log.source
    )
    # Users with as many acts are alike: the distinct numbers of acts, and how many users have each.
    acts, place = np.unique([int(row["acts"]) for row in counts], return_inverse=True)
    held = np.bincount(place, weights=[float(row["users"]) for row in counts]) if counts else np.zeros(0)
    top, gini = _concentration(acts.astype(np.float64), held.astype(np.float64), log.source, seed)
    return Power(days, tuple(histogram), often, top, gini)


def _concentration(acts: Floats, users: Floats, source: str, seed: int) -> tuple[tuple[Figure, ...], Figure]:
    """Return the parts of the most active and the Gini index, of `users` with so many `acts` each; acts ascending."""
    count = int(users.sum())
    names: list[str] = [message("figures.most_active", part=part) for part in TOPS] + ["Gini of acts"]
    if not count:
        nothing = [Figure(name, 0.0, 0, 0.0, 1.0, source=source) for name in names]
        return tuple(nothing[:-1]), nothing[-1]
    random = np.random.default_rng(seed)
    drawn = random.multinomial(count, users / count, size=_DRAWS).astype(np.float64)
    found = _spread(acts, users[None, :])[0]
    low, high = np.quantile(_spread(acts, drawn), [0.025, 0.975], axis=0)
    figures = [
        Figure(name, float(value), count, float(min(one, value)), float(max(other, value)), source=source)
        for name, value, one, other in zip(names, found, low, high, strict=True)
    ]
    return tuple(figures[:-1]), figures[-1]


def _spread(acts: Floats, users: Floats) -> Floats:
    """Return the parts of `TOPS`, then the Gini index, of every row of `users` (D, K) over `acts` (K,); (D, 1 + len(TOPS))."""
    made = users * acts
    total, count = made.sum(1, keepdims=True), users.sum(1, keepdims=True)
    above, acts_above = _from_the_top(users) / count, _from_the_top(made) / total  # the users at or above each number
    start, acts_start = above - users / count, acts_above - made / total
    columns = []
    for part in TOPS:
        inside = np.clip(
            (part - start) / np.maximum(above - start, 1e-300), 0.0, 1.0
        )  # of a step cut through, that part
        columns.append((inside * (acts_above - acts_start)).sum(1))
    # Twice the area between the Lorenz curve and equality, by trapezia.
    columns.append(np.maximum(((above - start) * (acts_above + acts_start)).sum(1) - 1, 0.0))
    return np.stack(columns, axis=1)


def _from_the_top(values: Floats) -> Floats:
    return np.asarray(values[:, ::-1].cumsum(1)[:, ::-1], dtype=np.float64)
