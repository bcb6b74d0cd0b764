"""A panel: the outcome and its possible drivers, by entity and time, from the measures of one series.

panel = panel_of(series, "share of users", ["price", "rating"], form="mnl", lag=1)
panel.y, panel.x         # (n,), (n, k), in logarithms or changes as the form asks
panel.problems           # what was left out, and why

A driver's own uncertainty is the measure named after it: "rating standard error".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from noria.core.errors import InputError, unknown
from noria.core.messages import Message, message
from noria.grow.market.share import Unlisted, shares
from noria.grow.series.calendars import between
from noria.grow.series.series import Floats, Provenance, Series

Form = Literal["mnl", "mci", "growth"]
Ints = npt.NDArray[np.int64]
STANDARD_ERROR = " standard error"


@dataclass(frozen=True)
class Panel:
    """n observations of k drivers, ready to be regressed."""

    outcome: str
    drivers: tuple[str, ...]
    form: Form
    y: Floats
    """(n,): logarithm of the outcome, or its change."""
    x: Floats
    """(n, k): drivers, their logarithms, or their changes."""
    noise: Floats
    """(n, k): standard error of each driver's value, in the same terms; 0 where the driver is taken for exact."""
    share: Floats
    """(n,): the outcome's share at that time; nan where gaps leave it open."""
    entity: Ints
    """(n,): number of the entity: what the observations are clustered by."""
    level: Ints
    """(n,): number of the entity's level: another one after each break."""
    time: Ints
    """(n,): number of the period."""
    entities: tuple[str, ...]
    times: tuple[str, ...]
    provenance: Provenance
    problems: tuple[Message, ...] = ()
    """What was left out, in English and Chinese."""

    @property
    def groups(self) -> list[Ints]:
        """What is held fixed: entities and periods; for changes periods alone; of a single entity its level."""
        if len(self.entities) == 1:
            return [self.level if self.form != "growth" else np.zeros_like(self.level)]
        return [self.time] if self.form == "growth" else [self.level, self.time]


def panel_of(
    series: Series,
    outcome: str,
    drivers: Sequence[str],
    *,
    segment: str | None = None,
    form: Form = "mnl",
    lag: int = 0,
    unlisted: Unlisted = "auto",
) -> Panel:
    """Return the panel of a series.

    Args:
        series: several measures: the outcome, its drivers, and the drivers' standard errors.
        outcome: the measure to explain, a share or an amount.
        drivers: the measures that may explain it.
        segment: which segment; may be left out where there is one.
        form: mnl (log outcome on drivers), mci (on their logarithms) or growth (change of log outcome on changes).
        lag: periods by which a driver comes before what it moves.
        unlisted: how an outcome that was not published is read where shares are taken of all: never as an observation.

    Raises:
        SettingError: no such measure.
        InputError: no driver was named, or outcome and drivers are known together nowhere.
    """
    if not drivers:
        raise InputError(
            message("grow.driver_named"),
            allowed=[name for name in series.measures if name != outcome],
            hint=message("grow.name_one_driver"),
        )
    for name in (outcome, *drivers):
        if name not in series.measures:
            raise unknown("measure", name, series.measures)
    # Outcome and drivers stand on one grid of times and entities.
    segment = segment if segment is not None else series.only(outcome, segment).points[0].segment
    points = [point for point in series.points if point.segment == segment]
    times = between(point.time for point in points)
    entities = list(dict.fromkeys(point.entity for point in points if point.measure == outcome))
    rows, columns = {name: at for at, name in enumerate(times)}, {name: at for at, name in enumerate(entities)}
    measures = [outcome, *drivers, *(f"{name}{STANDARD_ERROR}" for name in drivers)]
    cube = np.full((len(measures), len(times), len(entities)), np.nan)
    breaks = np.zeros((len(times), len(entities)), dtype=np.int64)
    for point in points:
        if point.entity in columns and point.measure in measures and point.value is not None:
            cube[measures.index(point.measure), rows[point.time], columns[point.entity]] = point.value
        if point.entity in columns and point.measure == outcome and point.broken:
            breaks[rows[point.time], columns[point.entity]] = 1
    share = _shares(series, outcome, segment, unlisted, rows, columns)
    return _shaped(cube, share, breaks, outcome, tuple(drivers), form, lag, entities, times, series.provenance)


def _shares(
    series: Series, outcome: str, segment: str, unlisted: Unlisted, rows: Mapping[str, int], columns: Mapping[str, int]
) -> Floats:
    """Return the outcome's shares, (times, entities); nan where gaps leave one open, and where it has none."""
    share = np.full((len(rows), len(columns)), np.nan)
    try:
        market = shares(series, outcome, segment, unlisted=unlisted)
    except InputError:  # it is no share, nor an amount that can be divided
        return share
    kept = [place for place, name in enumerate(market.entities) if name in columns]
    when = [row for row, time in enumerate(market.times) if time in rows]
    at = np.ix_([rows[market.times[row]] for row in when], [columns[market.entities[place]] for place in kept])
    share[at] = np.where(market.cells.known, market.values, np.nan)[np.ix_(when, kept)]
    return share


def _shaped(
    cube: Floats,
    share: Floats,
    breaks: Ints,
    outcome: str,
    drivers: tuple[str, ...],
    form: Form,
    lag: int,
    entities: list[str],
    times: list[str],
    provenance: Provenance,
) -> Panel:
    k = len(drivers)
    y, x, noise = cube[0], cube[1 : 1 + k], np.nan_to_num(cube[1 + k :])
    if lag:
        x, noise = (
            np.concatenate([np.full((k, lag, len(entities)), np.nan), part[:, :-lag]], axis=1) for part in (x, noise)
        )
    problems: list[Message] = []
    asked, named = ~np.isnan(y), dict(enumerate(drivers))
    usable = asked & (np.nan_to_num(y) > 0)
    _count(problems, asked & ~usable, message("drivers.outcome_zero_has_no_logarithm"))
    for place, name in named.items():
        known = ~np.isnan(x[place])
        _count(problems, usable & ~known, message("drivers.not_known", name=name))
        usable &= known
        if form == "mci":
            above = np.nan_to_num(x[place]) > 0
            _count(problems, usable & ~above, message("drivers.zero_has_no_logarithm", name=name))
            usable &= above
    if not usable.any():
        raise InputError(
            message("grow.identified_known", outcome=outcome, drivers=", ".join(drivers)),
            found="; ".join(problems) or message("grow.common_period"),
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        y = np.log(y)
        if form == "mci":
            noise, x = noise / x, np.log(x)  # the standard error of a logarithm, to first order
    if form == "growth":
        y, x, noise, usable = _changes(y, x, noise, usable, breaks, problems)
    rows, columns = np.nonzero(usable)
    if not rows.size:
        raise InputError(message("grow.identified_entity"), found="; ".join(problems))
    level = np.cumsum(breaks, axis=0) * len(entities) + np.arange(len(entities))
    return Panel(
        outcome,
        drivers,
        form,
        y[rows, columns],
        x[:, rows, columns].T.copy(),
        noise[:, rows, columns].T.copy(),
        share[rows, columns],
        _numbered(columns),
        _numbered(level[rows, columns]),
        _numbered(rows),
        tuple(entities[at] for at in np.unique(columns)),
        tuple(times[at] for at in np.unique(rows)),
        provenance,
        tuple(problems),
    )


def _changes(
    y: Floats, x: Floats, noise: Floats, usable: npt.NDArray[np.bool_], breaks: Ints, problems: list[Message]
) -> tuple[Floats, Floats, Floats, npt.NDArray[np.bool_]]:
    both = usable[1:] & usable[:-1]
    _count(problems, both & (breaks[1:] > 0), message("drivers.break_lies_between_two_periods"))
    both &= breaks[1:] == 0
    still = np.zeros((1, y.shape[1]), dtype=bool)
    pad = [(1, 0), (0, 0)]
    change = np.pad(np.diff(y, axis=0), pad)
    moves = np.pad(np.diff(x, axis=1), [(0, 0), *pad])
    unsure = np.pad(np.sqrt(noise[:, 1:] ** 2 + noise[:, :-1] ** 2), [(0, 0), *pad])
    return change, moves, unsure, np.concatenate([still, both])


def _count(problems: list[Message], rows: npt.NDArray[np.bool_], why: Message) -> None:
    if rows.any():
        problems.append(message("drivers.left_out_rows", count=int(rows.sum()), why=why))


def _numbered(codes: npt.NDArray[np.intp] | Ints) -> Ints:
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)
