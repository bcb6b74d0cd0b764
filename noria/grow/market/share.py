"""Market shares on one base, with an explicit rest, and how concentrated the market is.

market = shares(read_series("chatbots.csv"))
market.values[-1]             # sums to one, entities in order of size, the rest last
market.flags                  # months that do not sum to one, are missing, provisional ...
concentration(market)[-1].hhi
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from noria.core.errors import InputError
from noria.core.figure import Figure
from noria.core.messages import message, term
from noria.grow.series.cells import Flag
from noria.grow.series.series import Floats, Provenance, Series
from noria.grow.series.units import scale_of

from .labels import OTHER
from .nested import nested
from .tidy import resolution_of, tidied

Bools = npt.NDArray[np.bool_]
Unlisted = Literal["missing", "outside"]
"""How to read an entity before its first and after its last published value: not known, or outside the market."""


@dataclass(frozen=True)
class Shares:
    """Shares of one market on one base."""

    times: tuple[str, ...]
    entities: tuple[str, ...]
    """In order of the latest share, the largest first; `OTHER` is last."""
    values: Floats
    """(times, entities); a row sums to one, or holds nan where it cannot be known."""
    base: str
    """What the shares are shares of."""
    provenance: Provenance
    resolution: float
    """The smallest step in which the source tells a share."""
    flags: tuple[Flag, ...] = ()
    breaks: tuple[tuple[int, int], ...] = ()
    """(row, column) of the values that are not comparable with the row before."""

    @property
    def whole(self) -> Floats:
        """Whether each time's shares are all known and sum to one, (times,) as 0.0 or 1.0."""
        return np.asarray(np.abs(self.values.sum(1) - 1) < 1e-9, dtype=np.float64)

    def latest(self) -> list[Figure]:
        """Return the latest whole shares; n is the times known, the interval what rounding in the source leaves open."""
        rows = np.flatnonzero(self.whole)
        if not rows.size:
            raise InputError(message("grow.time_all"), found=self.provenance.source)
        row, known = int(rows[-1]), int(rows.size)
        return [
            Figure(
                message("figures.entity_at", entity=term(entity), time=self.times[row]),
                float(share),
                known,
                max(0.0, float(share) - self.resolution / 2),
                min(1.0, float(share) + self.resolution / 2),
                source=self.provenance.text(),
                level=1.0,
                note=self.base,
            )
            for entity, share in zip(self.entities, self.values[row], strict=True)
        ]


@dataclass(frozen=True)
class Concentration:
    """How concentrated the market is at one time. None where the shares are not all known."""

    time: str
    hhi: float | None
    """Herfindahl-Hirschman index, 0 to 10,000, were the rest spread over countless sellers."""
    hhi_high: float | None
    """The same, were the rest one seller."""
    cr4: float | None
    """Sum of the four largest named shares."""
    entropy: float | None
    """Shannon's, in nats, the rest taken as one."""
    leader: str
    leader_share: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)


def shares(
    series: Series, measure: str | None = None, segment: str | None = None, *, unlisted: Unlisted = "missing"
) -> Shares:
    """Return the shares in a series of shares or of amounts.

    Shares may come as percent, per mille or fractions (`scale_of`); any other unit is an amount, and is divided by the sum of its
    time. Totals, several rests and what else a market's labels hold twice are mended first (`tidied`).
    What is missing up to one becomes the rest; sums over one are flagged as overlapping and left as they are. With
    `unlisted` "outside", an entity that is not listed yet, or no longer, has no share of its own: what it held of
    published shares is in the rest, and of amounts it held none.

    Raises:
        InputError: the series has several measures or segments and none was named, or a share is over 100 %.
    """
    chosen = tidied(series.only(measure, segment), bound=unlisted == "missing")
    times, entities, values = chosen.matrix()
    outside = _renamed(times, entities, np.isnan(values))
    if unlisted == "outside":
        values, more = _outside(times, entities, values)
        outside += more
    missing = np.isnan(values)
    scale = scale_of(chosen.unit)
    resolution = resolution_of(values) / (scale or 1.0) if scale else 0.0
    if scale:
        values = values / scale
        if np.nanmax(values, initial=0.0) > 1 + 1e-9:
            row, column = np.unravel_index(int(np.nanargmax(values)), values.shape)
            raise InputError(
                message("grow.share_over", entities=entities[column], times=times[row]),
                found=f"{values[row, column]:.2%}",
                allowed=message("grow.unit_percent", unit=chosen.unit),
            )
    else:
        with np.errstate(invalid="ignore"):
            values = values / values.sum(1, keepdims=True)
    order = sorted(range(len(entities)), key=lambda column: entities[column] == OTHER)
    values, missing = values[:, order], missing[:, order]
    names = [entities[column] for column in order]
    if names[-1] != OTHER:
        names.append(OTHER)
        values = np.column_stack([values, np.where(np.isnan(values).any(1), np.nan, 0.0)])
    inside = nested(names, values, resolution) if np.nansum(values, axis=1).max(initial=0.0) > 1 + 1e-9 else []
    values, flags = _completed(times, names, values, missing, resolution)
    flags = [*chosen.flags, *outside, *flags]
    for whole, parts, held in inside:
        listed = ", ".join(parts)
        flags.append(
            Flag(
                "nested",
                times[0],
                message("flags.nested.equals_taken_together_periods", whole=whole, listed=listed, held=held),
            )
        )
    flags += [
        Flag("provisional", time, message("flags.provisional.provisional_publisher_may_revise"))
        for time in chosen.provisional_times
    ]
    broken = [point for point in chosen.points if point.broken]
    flags += [
        Flag(
            "break",
            point.time,
            message("flags.break.not_comparable_with_time", entity=point.entity),
        )
        for point in broken
    ]
    columns = {entities[column]: place for place, column in enumerate(order)}
    breaks = tuple((times.index(point.time), columns[point.entity]) for point in broken)
    return Shares(
        tuple(times),
        tuple(names),
        values,
        chosen.points[0].measure,
        series.provenance,
        resolution,
        tuple(flags),
        breaks,
    )


def concentration(market: Shares) -> list[Concentration]:
    """Return HHI, CR4 and entropy for every time."""
    found = []
    for time, row, whole in zip(market.times, market.values, market.whole, strict=True):
        if not whole:
            found.append(Concentration(time, None, None, None, None, "", None))
            continue
        named, rest = row[:-1], float(row[-1])
        low = float((named**2).sum()) * 10_000
        some = row[row > 0]
        top = int(np.argmax(named))
        found.append(
            Concentration(
                time,
                low,
                low + rest**2 * 10_000,
                float(np.sort(named)[-4:].sum()),
                float(-(some * np.log(some)).sum()),
                market.entities[top],
                float(named[top]),
            )
        )
    return found


def _completed(
    times: list[str], names: list[str], values: Floats, unknown: Bools, resolution: float
) -> tuple[Floats, list[Flag]]:
    """Make every row sum to one where that can be done honestly, and say what was done; `unknown` is what was not published."""
    values = values.copy()
    flags = []
    slack = max(len(names) * resolution / 2, 1e-9)
    worst, worst_time = 0.0, ""
    for row, time in enumerate(times):
        missing = [name for name, none in zip(names, unknown[row], strict=False) if none]
        if unknown[row].all():
            flags.append(Flag("missing", time, message("flags.missing.nothing_was_published_for")))
            continue
        if missing:
            listed = ", ".join(missing)
            flags.append(
                Flag(
                    "missing",
                    time,
                    message("flags.missing.not_known_missing_not", listed=listed),
                )
            )
            continue
        if np.isnan(values[row]).all():
            flags.append(Flag("missing", time, message("flags.missing.every_amount_zero_nothing")))
            continue
        total = float(values[row].sum())
        if total > 1 + slack:
            flags.append(
                Flag(
                    "overlap",
                    time,
                    message("flags.overlap.shares_sum_they_overlap", total=total),
                )
            )
        elif total < 1 - slack:
            values[row, -1] += 1 - total
            flags.append(
                Flag(
                    "rest",
                    time,
                    message("flags.rest.named_shares_sum_rest", total=total),
                )
            )
        else:
            values[row] /= total
            if abs(total - 1) > abs(worst):
                worst, worst_time = total - 1, time
    if abs(worst) > 1e-9:
        flags.append(
            Flag(
                "rounded",
                worst_time,
                message("flags.rounded.rounded_shares_sum_at", worst=1 + worst),
            )
        )
    for column, name in enumerate(names[:-1]):
        there = np.flatnonzero(values[:, column] > 0)
        known = np.flatnonzero(~np.isnan(values[:, column]))
        if there.size and there[0] > known[0]:
            flags.append(Flag("entry", times[int(there[0])], message("flags.entry.enters", name=name)))
        if there.size and there[-1] < known[-1]:
            flags.append(Flag("exit", times[int(there[-1]) + 1], message("flags.exit.leaves", name=name)))
    return values, [*flags, *_advice(times, names, unknown)]


def _advice(times: list[str], names: list[str], unknown: Bools) -> list[Flag]:
    """Return what to do about what is missing."""
    partly = unknown.any(1) & ~unknown.all(1)
    if not partly.any():
        return []
    listed = ", ".join(name for column, name in enumerate(names[: unknown.shape[1]]) if unknown[partly, column].any())
    return [
        Flag(
            "advice",
            "",
            message("flags.advice.know_these_periods_give", listed=listed),
        )
    ]


def _renamed(times: list[str], names: list[str], unknown: Bools) -> list[Flag]:
    """Return the one entity that ends where one other begins: it may be that one under its old name."""
    ended: dict[int, list[str]] = {}
    begun: dict[int, list[str]] = {}
    for column, name in enumerate(names):
        known = np.flatnonzero(~unknown[:, column])
        if known.size:
            ended.setdefault(int(known[-1]) + 1, []).append(name)
            begun.setdefault(int(known[0]), []).append(name)
    return [
        Flag(
            "renamed",
            times[row],
            message("flags.renamed.ends_where_begins_if", olds=olds[0], begun=begun[row][0]),
        )
        for row, olds in sorted(ended.items())
        if len(olds) == 1 and len(begun.get(row, ())) == 1
    ]


def _outside(times: list[str], entities: list[str], values: Floats) -> tuple[Floats, list[Flag]]:
    """Put zero where an entity is not listed yet, or no longer, at times for which something was published."""
    values, flags = values.copy(), []
    published = ~np.isnan(values).all(1)
    for column, entity in enumerate(entities):
        known = np.flatnonzero(~np.isnan(values[:, column]))
        if not known.size:
            continue
        rows = np.arange(len(times))
        away = published & ((rows < known[0]) | (rows > known[-1]))
        if away.any():
            values[away, column] = 0.0
            flags.append(
                Flag(
                    "unlisted",
                    times[int(np.flatnonzero(away)[0])],
                    message("flags.unlisted.not_listed_periods_outside", entity=entity, sum=int(away.sum())),
                )
            )
    return values, flags


def gathered(flags: tuple[Flag, ...]) -> list[Flag]:
    """Return flags with those of many times that say the same told once, as `first to last (n periods)`."""
    groups: dict[tuple[str, str], list[Flag]] = {}
    for flag in flags:
        same = str(flag.what) if flag.code == "missing" else "" if flag.code in _MANY else f"{flag.what} {flag.time}"
        groups.setdefault((flag.code, same), []).append(flag)
    return [group[0] if len(group) == 1 else _gathered(group) for group in groups.values()]


_MANY = ("missing", "provisional", "overlap", "rest")
"""Flags that may hold of period after period."""


def _gathered(group: list[Flag]) -> Flag:
    first, alike = group[0], len({flag.what for flag in group}) == 1
    return Flag(
        first.code,
        f"{first.time} to {group[-1].time} ({len(group)})",
        first.what if alike else message("flags.so_at_first", what=first.what),
    )
