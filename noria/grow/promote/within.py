"""Groups that the same users saw side by side: rates of what followed each showing, compared within users.

found = within_events(events("runs/lake"), variant="segment", exposure="impression", outcome="click")
found.differences[0]         # with users as clusters, and what they share between groups taken out

What followed is told by what it is about: a click by its item, given to the last showing of that item to that user; feedback and
handover by the request they name. The rate of a group is what followed over what was shown; the variance of a difference of rates
is the delta method's with users as clusters (Deng, Knoblich and Lu 2018, section 3), their covariance included. That the groups
were shown to the same users does not make it an experiment: it is one only where chance chose which was shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from noria.core.errors import InputError, unknown
from noria.core.figure import Figure
from noria.core.messages import Message, joined, message
from noria.grow.log.log import SERVER_EVENTS

from .difference import Difference, Floats, fieller
from .several import holm
from .units import VARIANT_COLUMNS

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

FOLLOWED = {"impression": ("click",), "request": ("feedback", "handover")}
"""Kind of event that shows -> kinds that can be told to have followed it."""
CAVEAT = message("experiment.shown_side_side_same_users")


@dataclass(frozen=True)
class Within:
    """Rates of groups that the same users saw, and their differences."""

    names: tuple[str, ...]
    """The groups, the control group first."""
    rates: tuple[Figure, ...]
    """What followed over what was shown; n is the users who saw the group."""
    shown: tuple[int, ...]
    differences: tuple[Difference, ...]
    """Each other group less the control group; n is the users who saw either."""
    p_adjusted: tuple[float, ...]
    """Holm's."""
    level: float
    source: str

    def text(self) -> Message:
        """Return what is found."""
        told = []
        for gap, p in zip(self.differences, self.p_adjusted, strict=True):
            ends = f"{100 * gap.value:+.3g} [{100 * gap.low:+.3g}, {100 * gap.high:+.3g}]"
            told.append(message("experiment.within", variant=gap.variant, control=gap.control, ends=ends, p=p))
        return joined("join.sentences", [*told, CAVEAT])

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "source": self.source,
            "groups": [{**rate.as_dict(), "shown": shown} for rate, shown in zip(self.rates, self.shown, strict=True)],
            "comparisons": [
                {**gap.as_dict(), "p_adjusted": p} for gap, p in zip(self.differences, self.p_adjusted, strict=True)
            ],
            "verdict": self.text().both(),
        }


def within_events(
    table: ibis.Table,
    *,
    variant: str = "segment",
    exposure: str = "impression",
    outcome: str = "click",
    control: str | None = None,
    level: float = 0.95,
    connection: Backend | None = None,
) -> Within:
    """Return how often each group of showings was followed by an outcome, compared within users.

    Args:
        table: what `noria.grow.log.lake.events` returned.
        variant: the column that tells the groups apart.
        exposure: the kind of event that shows: impression or request.
        outcome: the kind that follows: a click, feedback (only "right" counts) or handover.
        control: the group that others are compared with; the most shown where not told.
        level: coverage of each interval.
        connection: the table's.

    Raises:
        SettingError: no such column, kind or group.
        InputError: fewer than two groups, or fewer than two users.
    """
    for what, name, known in (
        ("column of variants", variant, VARIANT_COLUMNS),
        ("kind of event that shows", exposure, tuple(FOLLOWED)),
        ("kind of event that follows", outcome, FOLLOWED.get(exposure, ())),
    ):
        if name not in known:
            raise unknown(what, name, known)
    shown = table.filter((table.kind == exposure) & (table.user != "") & (table[variant] != ""))
    after = table.filter((table.kind == outcome) & (table.user != "") & (table.subject != ""))
    after = after.filter(after.value > 0) if outcome == "feedback" else after
    backend: Any = connection or table.get_backend()
    first, second = (ibis.util.gen_name(name) for name in ("shown", "after"))
    backend.con.register(first, shown.select("id", "user", "time", "subject", variant=shown[variant]).to_pyarrow())
    backend.con.register(second, after.select("user", "time", "subject").to_pyarrow())
    match = (
        "ASOF JOIN {0} s ON a.user = s.user AND a.subject = s.subject AND a.time >= s.time"
        if exposure == "impression"
        else "JOIN {0} s ON a.subject = s.id"
    ).format(f'"{first}"')
    data = backend.con.execute(
        f"""WITH followed AS (SELECT s.user AS "user", s.variant AS variant, count(DISTINCT s.id) AS times FROM "{second}" a {match} GROUP BY 1, 2),
        seen AS (SELECT "user", variant, count(*) AS times FROM "{first}" GROUP BY 1, 2)
        SELECT seen.user, seen.variant, seen.times AS shown, coalesce(followed.times, 0) AS followed
        FROM seen LEFT JOIN followed ON seen.user = followed.user AND seen.variant = followed.variant"""
    ).to_arrow_table()
    users, place = np.unique(data["user"].to_numpy(), return_inverse=True)
    names, group = np.unique(data["variant"].to_numpy(), return_inverse=True)
    if len(names) < 2 or len(users) < 2:
        raise InputError(
            message("grow.nothing_compare", server_events=SERVER_EVENTS),
            found=message("grow.groups_users", names=len(names), users=len(users)),
            allowed=message("grow.two_more_each"),
            hint=message("grow.there_more", variant=variant, exposure=exposure),
        )
    if control is not None and control not in names:
        raise unknown("group", control, names.tolist())
    size = (len(users), len(names))
    weight, count = np.zeros(size), np.zeros(size)
    weight[place, group], count[place, group] = data["shown"].to_numpy(), data["followed"].to_numpy()
    leader = names.tolist().index(control) if control is not None else int(weight.sum(0).argmax())
    order = [leader, *(column for column in range(len(names)) if column != leader)]
    return compare_within(tuple(names[order].tolist()), count[:, order], weight[:, order], level=level)


def compare_within(
    names: tuple[str, ...], followed: Floats, shown: Floats, *, level: float = 0.95, source: str = SERVER_EVENTS
) -> Within:
    """Return the groups' rates and their differences from the first group, users being the clusters.

    Args:
        names: of the groups, the control group first, (G,).
        followed: how often an outcome followed, by user and group, (N, G).
        shown: how often the group was shown, (N, G); 0 where the user did not see it.
        level: coverage of each interval.
        source: what the figures cite.
    """
    rates = followed.sum(0) / shown.sum(0)
    # Each user's part of the distance of a rate from its truth; over users they add up to zero.
    parts = (followed - rates * shown) / shown.sum(0)
    told = [
        _rate(name, float(rates[place]), parts[:, place], shown[:, place] > 0, level, source)
        for place, name in enumerate(names)
    ]
    found, p = [], []
    for place in range(1, len(names)):
        saw = (shown[:, place] > 0) | (shown[:, 0] > 0)
        gap, chance = _gap((names[place], names[0]), rates[[place, 0]], parts[:, [place, 0]], saw, level)
        found.append(gap)
        p.append(chance)
    return Within(
        names,
        tuple(told),
        tuple(int(total) for total in shown.sum(0)),
        tuple(found),
        tuple(holm(p).tolist()),
        level,
        source,
    )


def _rate(name: str, rate: float, parts: Floats, saw: npt.NDArray[np.bool_], level: float, source: str) -> Figure:
    n = int(saw.sum())
    if n < 2:
        return Figure(name, rate, n, 0.0, 1.0, source=source, level=level)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(n / (n - 1) * float((parts**2).sum()))
    return Figure(name, rate, n, max(0.0, rate - half), min(1.0, rate + half), source=source, level=level)


def _gap(
    names: tuple[str, str], rates: Floats, parts: Floats, saw: npt.NDArray[np.bool_], level: float
) -> tuple[Difference, float]:
    n = int(saw.sum())
    value = float(rates[0] - rates[1])
    if n < 2:
        return Difference(*names, value, -1.0, 1.0, 1.0, n, math.inf, 1.0, level, "within users"), 1.0
    error = math.sqrt(n / (n - 1) * float(((parts[:, 0] - parts[:, 1]) ** 2).sum()))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * error
    p = 2 * float(stdtr(n - 1, -abs(value) / error)) if error else 1.0
    gap = Difference(
        *names, value, max(-1.0, value - half), min(1.0, value + half), p, n, error, float(n - 1), level, "within users"
    )
    variances = (parts**2).sum(0)
    # Users' covariance between the groups is left out of the lift's interval, which is therefore too wide rather than too narrow.
    lift = fieller(float(rates[0]), float(variances[0]), float(rates[1]), float(variances[1]), level, n - 1)
    return (replace(gap, lift=lift[0] - 1, lift_low=lift[1] - 1, lift_high=lift[2] - 1) if lift else gap), p
