"""Segments of users by use and value, with the reasons shown: plain rules, or clusters that say what sets them apart.

found = by_rules(customers(log))
found.segments[0].reason       # "active within 14 days (3 of 4 returns come sooner), on 5 days or more"

Rules are of recency, frequency and monetary value (Hughes 1994). Who is active, lapsing or gone is told by the log's own rhythm, the
days after which its users come back; often and much are the data's own fifths. So they need no tuning and say what they mean. Clusters are k-means (Lloyd 1982; seeding of Arthur and Vassilvitskii 2007) on standardised
logarithms, their number chosen by silhouette (Rousseeuw 1987).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import ibis
import numpy as np
import numpy.typing as npt

from noria.core.errors import InputError
from noria.core.figure import Figure, proportion
from noria.core.messages import Message, as_is, joined, message
from noria.grow.log.log import Log
from noria.grow.log.times import day_number
from noria.grow.series.series import Floats
from noria.grow.users.rhythm import Rhythm, rhythm

Ints = npt.NDArray[np.int64]
FEWEST = 20
"""Users below which fifths mean nothing."""
_FEATURES = {
    "recency": message("potential.features.recency"),
    "days": message("potential.features.days"),
    "value": message("potential.column.value"),
}


@dataclass(frozen=True)
class Customers:
    """One row a user, N users."""

    users: npt.NDArray[np.str_]
    recency: Floats
    """Days from the last act to the log's end."""
    age: Floats
    """Days from the first act to the log's end."""
    days: Floats
    """Days with an act."""
    value: Floats
    """Sum of the amounts, or of the units where the log has no amounts."""
    own: npt.NDArray[np.str_]
    """The log's own segment in which the user acted most."""
    value_name: str
    span: int
    """Days that the log covers."""
    source: str
    licence: str
    as_of: date
    rhythm: Rhythm | None = None
    """After how long users come back; None where too few do."""

    @property
    def near(self) -> float:
        """Days within which a user must have been seen to be active: of the rhythm, or where there is none two fifths of all users."""
        return self.rhythm.near if self.rhythm else float(np.quantile(self.recency, 0.4))

    @property
    def far(self) -> float:
        """Days after which a user who was not seen is gone: of the rhythm, or where there is none the last fifth of all users."""
        return self.rhythm.far if self.rhythm else float(np.quantile(self.recency, 0.8))

    @property
    def fresh(self) -> float:
        """Days since which a user must have come to be new: as long as to be gone, and an eighth of the log at most."""
        return min(self.span / 8, self.far) if self.rhythm else self.span / 8


@dataclass(frozen=True)
class Segment:
    """One segment of users."""

    name: Message
    reason: Message
    """The rule, or what sets the cluster apart."""
    members: Ints
    """Rows of the users."""
    users: Figure
    """Part of all users."""
    value: Figure
    """Part of all value."""
    each: Figure
    """Value of a user, mean."""


@dataclass(frozen=True)
class Segmentation:
    """All users, each in one segment."""

    segments: tuple[Segment, ...]
    """The one with most value first."""
    method: str
    customers: Customers


def customers(log: Log) -> Customers:
    """Return what each user of a log did.

    Raises:
        InputError: too few users to be segmented.
    """
    if log.users < FEWEST:
        raise InputError(message("grow.too_few_users"), found=log.users, allowed=message("grow.more_6", fewest=FEWEST))
    table = log.table
    day = day_number(table.time, log.calendar)
    per_user = table.group_by("user").aggregate(
        first=day.min(),
        last=day.max(),
        days=day.nunique(),
        value=table.value.sum(),
        units=table.units.sum(),
    )
    each = table.group_by(["user", "segment"]).aggregate(n=table.count())
    place = ibis.row_number().over(ibis.window(group_by="user", order_by=[ibis.desc("n"), "segment"]))
    ranked = each.mutate(place=place)
    main = ranked.filter(ranked.place == 0).select("user", "segment")
    rows = per_user.join(main, "user").order_by("user").to_pyarrow()
    end = (log.as_of - date(1970, 1, 1)).days
    value = rows["value"].to_numpy().astype(np.float64)
    name = log.unit or "value"
    if np.isnan(value).all() or np.nansum(value) == 0:
        value, name = rows["units"].to_numpy().astype(np.float64), "units"
    return Customers(
        rows["user"].to_numpy().astype(str),
        end - rows["last"].to_numpy().astype(np.float64),
        end - rows["first"].to_numpy().astype(np.float64),
        rows["days"].to_numpy().astype(np.float64),
        np.nan_to_num(value),
        rows["segment"].to_numpy().astype(str),
        name,
        (log.as_of - log.first).days + 1,
        log.source,
        log.licence,
        log.as_of,
        rhythm(log),
    )


def by_rules(found: Customers) -> Segmentation:
    """Return the users in segments by plain rules; every user falls under the first rule that fits."""
    near, far, fresh = found.near, found.far, found.fresh
    known = "rhythm" if found.rhythm else "fifths"
    near_why, far_why = message(f"potential.{known}.near"), message(f"potential.{known}.far")
    often = max(2.0, float(np.quantile(found.days, 0.8)))
    rich = float(np.quantile(found.value, 0.8))
    much = (found.value >= rich) & (found.value > found.value.min())  # where all are alike none is
    recent, gone = found.recency <= near, found.recency > far
    rules: list[tuple[Message, npt.NDArray[np.bool_], Message]] = [
        (
            message("potential.segment.champions.name"),
            recent & (found.days >= often) & much,
            message("potential.segment.champions.rule", near=near, why=near_why, often=often, rich=rich),
        ),
        (
            message("potential.segment.loyal.name"),
            recent & (found.days >= often),
            message("potential.segment.loyal.rule", near=near, why=near_why, often=often),
        ),
        (
            message("potential.segment.new.name"),
            found.age <= fresh,
            message("potential.segment.new.rule", fresh=fresh),
        ),
        (
            message("potential.segment.at_risk.name"),
            ~recent & ((found.days >= often) | much),
            message("potential.segment.at_risk.rule", often=often, rich=rich, near=near, why=near_why),
        ),
        (
            message("potential.segment.gone.name"),
            gone,
            message("potential.segment.gone.rule", far=far, why=far_why),
        ),
        (
            message("potential.segment.lapsing.name"),
            ~recent,
            message("potential.segment.lapsing.rule", near=near, far=far),
        ),
        (
            message("potential.segment.occasional.name"),
            np.ones(found.users.size, dtype=bool),
            message("potential.segment.occasional.rule"),
        ),
    ]
    left = np.ones(found.users.size, dtype=bool)
    segments = []
    for name, rule, why in rules:
        members = np.flatnonzero(left & rule)
        left &= ~rule
        if members.size:
            segments.append(segment_of(found, members, name, why))
    return Segmentation(_ordered(segments), "rules", found)


def by_own(found: Customers) -> Segmentation:
    """Return the users in the log's own segments: industries, applications, tenants ..."""
    segments = []
    for name in np.unique(found.own).tolist():
        told = name or "(none)"
        reason = message("potential.acted_most", told=told)
        segments.append(segment_of(found, np.flatnonzero(found.own == name), as_is(told), reason))
    return Segmentation(_ordered(segments), "own segments", found)


def by_clusters(found: Customers, *, most: int = 6, seed: int = 0) -> Segmentation:
    """Return the users in as many clusters, 2 to `most`, as their silhouette is highest for.

    Raises:
        InputError: all users are alike.
    """
    features = np.stack([np.log1p(found.recency), np.log1p(found.days), np.log1p(np.maximum(found.value, 0.0))], axis=1)
    spread = features.std(0)
    if not (spread > 1e-9).any():
        raise InputError(
            message("grow.all_users"),
            found=message("grow.users_same", size=found.users.size),
            allowed=message("grow.use_differs"),
        )
    points = (features - features.mean(0)) / np.where(spread > 1e-9, spread, 1.0)
    random = np.random.default_rng(seed)
    sample = random.choice(len(points), min(len(points), 2000), replace=False)
    fits = [_k_means(points, count, random) for count in range(2, min(most, len(np.unique(points, axis=0))) + 1)]
    best = max(fits, key=lambda labels: _silhouette(points[sample], labels[sample]))
    segments = []
    for number in range(int(best.max()) + 1):
        members = np.flatnonzero(best == number)
        centre = points[members].mean(0)
        order = np.argsort(-np.abs(centre))
        words = [list(_FEATURES)[place] for place in order if abs(centre[place]) > 0.25] or [
            list(_FEATURES)[int(order[0])]
        ]
        values = {"recency": found.recency, "days": found.days, "value": found.value}
        told = {name: (float(np.median(values[name][members])), float(np.median(values[name]))) for name in words}
        reason = joined(
            "join.clauses",
            (
                message("potential.beside_all", feature=_FEATURES[name], own=own, all=everyone)
                for name, (own, everyone) in told.items()
            ),
        )
        segments.append(segment_of(found, members, message("potential.cluster", number=number + 1), reason))
    return Segmentation(_ordered(segments), "clusters", found)


def segment_of(found: Customers, members: Ints, name: Message, reason: Message) -> Segment:
    """Return a segment with its part of users and of value; the ratio's interval is the linearised one (Cochran 1977, 6.4)."""
    total, inside = float(found.value.sum()), np.zeros(found.users.size)
    inside[members] = found.value[members]
    part = float(inside.sum()) / total if total > 0 else 0.0
    left = inside - part * found.value
    half = 1.96 * float(np.sqrt(found.users.size * left.var(ddof=1))) / total if total > 0 else 0.0
    mine = found.value[members]
    error = 1.96 * float(mine.std(ddof=1)) / np.sqrt(mine.size) if mine.size > 1 else float("nan")
    low, high = (None, None) if np.isnan(error) else (float(mine.mean()) - error, float(mine.mean()) + error)
    return Segment(
        name,
        reason,
        members,
        proportion(f"{name}, part of users", members.size, found.users.size, source=found.source),
        Figure(
            f"{name}, part of value",
            part,
            found.users.size,
            max(0.0, part - half),
            min(1.0, part + half),
            source=found.source,
        ),
        Figure(
            f"{name}, value of a user",
            float(mine.mean()),
            int(mine.size),
            low,
            high,
            unit=found.value_name,
            source=found.source,
        ),
    )


def _ordered(segments: list[Segment]) -> tuple[Segment, ...]:
    return tuple(sorted(segments, key=lambda segment: (-segment.value.value, segment.name)))


def _k_means(points: Floats, count: int, random: np.random.Generator, restarts: int = 5) -> Ints:
    """Return labels, (N,), of the restart with the least sum of squares."""
    best, least = np.zeros(len(points), dtype=np.int64), np.inf
    for _ in range(restarts):
        centres = points[random.integers(len(points))][None]
        for _ in range(count - 1):
            far = _squared(points, centres).min(1)
            centres = np.concatenate([centres, points[random.choice(len(points), p=far / far.sum())][None]])
        labels = np.zeros(len(points), dtype=np.int64)
        for turn in range(100):
            distance = _squared(points, centres)
            now = distance.argmin(1)
            if turn and (now == labels).all():
                break
            labels = now
            counts = np.maximum(np.bincount(labels, minlength=count), 1)
            centres = (
                np.stack([np.bincount(labels, points[:, axis], count) for axis in range(points.shape[1])], axis=1)
                / counts[:, None]
            )
        spent = float(distance.min(1).sum())
        if spent < least:
            best, least = labels, spent
    return np.unique(best, return_inverse=True)[1].astype(np.int64)


def _squared(points: Floats, others: Floats) -> Floats:
    """Return squared distances, (N, M), by one matrix product."""
    lengths = (points**2).sum(1)[:, None] + (others**2).sum(1)
    return np.asarray(np.maximum(lengths - 2 * points @ others.T, 0.0), dtype=np.float64)


def _silhouette(points: Floats, labels: Ints) -> float:
    """Return the mean silhouette of a sample."""
    distance = np.sqrt(_squared(points, points))
    groups = np.unique(labels)
    if groups.size < 2:
        return -1.0
    sums = np.stack([distance[:, labels == group].sum(1) for group in groups], axis=1)
    counts = np.array([(labels == group).sum() for group in groups])
    own = np.searchsorted(groups, labels)
    rows = np.arange(len(points))
    inner = sums[rows, own] / np.maximum(counts[own] - 1, 1)
    means = sums / counts
    means[rows, own] = np.inf
    outer = means.min(1)
    values = np.where(counts[own] > 1, (outer - inner) / np.maximum(np.maximum(outer, inner), 1e-12), 0.0)
    return float(values.mean())
