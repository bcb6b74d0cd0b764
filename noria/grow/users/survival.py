"""How long users stay: the Kaplan-Meier curve, with Greenwood's intervals.

    curve = survival(log, lapse_days=90)
    curve.at(180).text()              # part of users still there after 180 days
    curve.median()                    # None where more than half never lapsed

Users seldom say that they leave. One has lapsed at the act after which more than `lapse_days` passed without another; who came
back later lapsed all the same. An act counts only where the log covers the `lapse_days` after it: users are watched until
then, and whoever came later is not counted at all, but told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import ibis
import numpy as np

from noria.core.errors import InputError, SettingError
from noria.core.figure import Figure
from noria.core.messages import message
from noria.core.progress import stage
from noria.grow.log.log import Log
from noria.grow.series.series import Floats

from .periods import AFTER, user_periods


@dataclass(frozen=True)
class Survival:
    """A survival curve; arrays over the distinct days on which someone lapsed, (K,)."""

    lapse_days: int
    days: Floats
    """Days since the first act."""
    at_risk: Floats
    """Users watched, and not lapsed before that day."""
    lapsed: Floats
    """Users who lapsed at that day."""
    users: int
    """Users watched at all."""
    later: int
    """Users who came too late to be watched."""
    longest: int
    """Days that the first users were watched: the curve ends there."""
    source: str

    @property
    def share(self) -> Floats:
        """Part of the users not lapsed by the end of each day, (K,) (Kaplan and Meier 1958, eq. 2b)."""
        return np.asarray(np.cumprod(1 - self.lapsed / self.at_risk), dtype=np.float64)

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Return the ends of the interval at each day, (K,) each.

        Greenwood's variance (1926) of log(-log S) (Kalbfleisch and Prentice 1980, 1.3), which keeps the ends within 0 and 1.
        """
        share = self.share
        alive = self.at_risk - self.lapsed
        sums = np.cumsum(self.lapsed / (self.at_risk * np.maximum(alive, 1)))
        inside = (share > 0) & (share < 1)
        logs = np.log(share, where=inside, out=np.full(share.size, -1.0))
        shift = NormalDist().inv_cdf((1 + level) / 2) * np.sqrt(sums) / np.abs(logs)
        low, high = share ** np.exp(shift), share ** np.exp(-shift)
        return np.where(inside, low, share), np.where(inside, high, share)

    def at(self, day: int, level: float = 0.95) -> Figure:
        """Return the part of users not lapsed by a day.

        Raises:
            SettingError: no one was watched so long.
        """
        if not 0 <= day <= self.longest:
            raise SettingError(
                message("grow.user_watched"), found=day, allowed=message("grow.days_2", longest=self.longest)
            )
        place = int(np.searchsorted(self.days, day, side="right")) - 1
        low, high = self.interval(level)
        ends = (float(self.share[place]), float(low[place]), float(high[place])) if place >= 0 else (1.0, 1.0, 1.0)
        return Figure(
            message("figures.not_lapsed", days=day), ends[0], self.users, *ends[1:], source=self.source, level=level
        )

    def median(self, level: float = 0.95) -> Figure | None:
        """Return the days after which half of the users have lapsed (Brookmeyer and Crowley 1982); None where it is not reached.

        An end of the interval that the log is too short for is the longest time watched, and the note says so.
        """
        low, high = self.interval(level)
        below, first, last = (np.flatnonzero(curve <= 0.5) for curve in (self.share, low, high))
        if not below.size:
            return None
        upper = float(self.days[last[0]]) if last.size else float(self.longest)
        return Figure(
            "median days until lapse",
            float(self.days[below[0]]),
            self.users,
            float(self.days[first[0]]),
            upper,
            unit="days",
            source=self.source,
            level=level,
            note="" if last.size else "upper end not reached",
        )


@stage(message("progress.survival"))
def survival(log: Log, lapse_days: int = 90) -> Survival:
    """Return how long the users of a log stay.

    Raises:
        InputError: the log is too short to see anyone lapse.
    """
    last = (log.as_of - date(1970, 1, 1)).days
    watched = last - lapse_days
    steps = user_periods(log, "day")
    gone = (steps.after - steps.period > lapse_days) & (steps.period <= watched)
    each = steps.group_by("user").aggregate(first=steps.period.min(), gone=gone.ifelse(steps.period, AFTER).min())
    each = each.filter(each["first"] <= watched)
    until = ibis.least(each.gone, watched)
    counts = each.group_by(days=until - each["first"], lapsed=(each.gone < AFTER).cast("int32")).aggregate(
        users=each.count()
    )
    rows = counts.to_pyarrow().to_pylist()
    users = sum(int(row["users"]) for row in rows)
    lapses = sum(int(row["users"]) for row in rows if int(row["lapsed"]))
    if not lapses:
        raise InputError(
            message("grow.user_seen", source=log.source),
            found=message("grow.days_log", days=(log.as_of - log.first).days + 1, users=users),
            allowed=message("grow.more_days", lapse_days=lapse_days),
            hint=message("grow.name_fewer"),
        )
    day = np.array([int(row["days"]) for row in rows])
    left = np.bincount(day, weights=[int(row["users"]) for row in rows])
    lapsed = np.bincount(day, weights=[int(row["users"]) * int(row["lapsed"]) for row in rows])
    at_risk = left[::-1].cumsum()[::-1]
    place = np.flatnonzero(lapsed)
    return Survival(
        lapse_days,
        place.astype(np.float64),
        at_risk[place].astype(np.float64),
        lapsed[place].astype(np.float64),
        users,
        log.users - users,
        int(day.max()),
        log.source,
    )
