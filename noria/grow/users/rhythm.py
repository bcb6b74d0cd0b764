"""The rhythm of a log: after how many days users come back, and so who is active, who is lapsing and who is gone.

    found = rhythm(log)
    found.near, found.far       # 9.0, 41.0: of those who come back, three of four within 9 days, and 19 of 20 within 41

A week of silence says much of a chat and nothing of a tax return. So the bounds are the users' own gaps between two active days, each
user counted once however often they come. A gap that the log's end cuts short is not known: the bounds are of those who do come back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noria.core.figure import Figure
from noria.core.messages import message
from noria.grow.log.log import Log

from .periods import NEVER, user_periods

NEAR, FAR = 0.75, 0.95
"""The parts of the returns that come within the two bounds."""
FEWEST = 20
"""Users who came back, below which nothing is said of a rhythm."""


@dataclass(frozen=True)
class Rhythm:
    """After how long users come back."""

    near: float
    """Days within which `NEAR` of the returns come: who was there since is active."""
    far: float
    """Days within which `FAR` of them do: who was not there since is gone, and who was, but not within `near`, is lapsing."""
    users: int
    """Users who came back at all."""
    ends: tuple[tuple[float, float], tuple[float, float]]
    """95 % intervals of the two bounds."""
    source: str = ""

    def figures(self) -> list[Figure]:
        """Return the two bounds in days; intervals are the days at the ends of the parts' own, of so many users."""
        return [
            Figure(message(f"figures.rhythm.{name}"), days, self.users, *ends, unit="days", source=self.source)
            for name, days, ends in zip(("near", "far"), (self.near, self.far), self.ends, strict=True)
        ]


def rhythm(log: Log) -> Rhythm | None:
    """Return how long users of a log stay away between two active days; None where fewer than `FEWEST` came back."""
    steps = user_periods(log, "day")
    gaps = steps.filter(steps.before != NEVER)
    gaps = gaps.select("user", gap=gaps.period - gaps.before)
    each = gaps.group_by("user").aggregate(gaps=gaps.count())
    joined = gaps.join(each, "user")
    rows = joined.group_by("gap", "gaps").aggregate(n=joined.count()).order_by("gap").to_pyarrow()
    gap, of_user, n = (rows[name].to_numpy().astype(np.float64) for name in ("gap", "gaps", "n"))
    weight = n / of_user  # a user's gaps together weigh one
    users = round(float(weight.sum()))
    if users < FEWEST:
        return None
    reached = np.cumsum(weight) / weight.sum()

    def at(part: float) -> float:
        return float(gap[min(int(np.searchsorted(reached, part - 1e-9)), gap.size - 1)])

    halves = {part: 1.96 * (part * (1 - part) / users) ** 0.5 for part in (NEAR, FAR)}
    (near, near_ends), (far, far_ends) = (
        (at(part), (at(part - half), at(part + half))) for part, half in halves.items()
    )
    return Rhythm(near, far, users, (near_ends, far_ends), log.source)
