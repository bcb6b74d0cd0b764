"""What the commands, the report and the console ask of a market, in one call each.

series = open_market("runs/demo/lake", LogSettings(segment="model"), BasisSettings())
asked = movement(series, "requests", None, BasisSettings())
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from noria.core.errors import InputError, unknown
from noria.core.messages import message
from noria.core.progress import stage
from noria.grow.bundled import chatbot_shares
from noria.grow.log.lake import events
from noria.grow.log.log import Log
from noria.grow.series.series import Series, read_series
from noria.grow.series.shapes import SeriesOptions
from noria.grow.series.units import scale_of
from noria.grow.settings import LogSettings

from .bases import by_segment, without
from .decompose import Decomposition, decompose
from .drivers.attraction import DriverStudy, explain
from .drivers.eventstudy import EventStudy, event_study, read_happenings
from .drivers.panel import STANDARD_ERROR, panel_of
from .penetration import Penetration, penetration
from .positioning import by_clusters, by_own, by_rules, customers
from .potential import Potential, potential, read_ranges
from .served import served_series
from .settings import BasisSettings, DriverSettings, PotentialSettings, TargetSettings
from .share import Shares, Unlisted, shares, whole_market
from .targets import Target, targets


@dataclass(frozen=True)
class Drivers:
    """What moves shares or growth, as far as the data can tell; each is None where it was not asked."""

    explained: DriverStudy | None = None
    followed: EventStudy | None = None


@dataclass(frozen=True)
class Movement:
    """A market's shares, and what moved them."""

    market: Shares
    decomposition: Decomposition
    parts: dict[str, Shares]
    """Shares within each segment; empty where there is one."""


def series_options(log: LogSettings) -> SeriesOptions:
    """Return what a person says of a series' file by the settings that a log has, too."""
    return SeriesOptions(
        source=log.source,
        licence=log.licence,
        unit=log.unit,
        time=log.time,
        value=log.value,
        segment=log.segment,
        date_order=log.date_order,
        decimal=log.decimal,
        zone=log.zone or "",
    )


def open_market(where: str | Path | None, log: LogSettings | None = None, basis: BasisSettings | None = None) -> Series:
    """Return the series at `where`: a CSV, Excel or Parquet file, a lake's folder, or the bundled chatbot shares where none is named.

    Raises:
        InputError: there is nothing to read there.
        SettingError: an entity to leave out is not in it.
    """
    log, basis = log or LogSettings(), basis or BasisSettings()
    if where is None:
        series = read_series(chatbot_shares())
    elif Path(where).is_dir():
        by = "app" if log.segment == LogSettings().segment and basis.market_column != "app" else log.segment
        series = served_series(events(where), by, log.period, split=basis.market_column, calendar=log.calendar())
    else:
        series = read_series(where, series_options(log))
    return without(series, basis.without) if basis.without else series


def movement(series: Series, measure: str | None, segment: str | None, basis: BasisSettings) -> Movement:
    """Return the shares of a market, and what moved them between two times.

    Raises:
        InputError: as `shares` and `decompose`.
    """
    if segment is not None:
        series = series.only(measure, segment)
    found = decompose(series, measure, first=basis.first, last=basis.last, unlisted=basis.unlisted)
    market = whole_market(series, found.base, unlisted=basis.unlisted)
    parts = by_segment(series, found.base, unlisted=basis.unlisted) if len(found.segments) > 1 else {}
    return Movement(market, found, parts)


@stage(message("progress.drivers"))
def drivers(
    series: Series,
    measure: str | None,
    segment: str | None,
    settings: DriverSettings,
    happenings: Path | None = None,
    unlisted: Unlisted = "auto",
) -> Drivers:
    """Return what the named drivers do to the measure, and what followed the happenings in a file.

    Raises:
        InputError: as `panel_of`, `read_happenings` and `event_study`; or several measures and none was named.
    """
    explained = followed = None
    if settings.driver:
        asides = {*settings.driver, *(f"{name}{STANDARD_ERROR}" for name in settings.driver)}
        others = [name for name in series.measures if name not in asides]
        if measure is None and len(others) != 1:
            raise InputError(
                message("grow.what_explained"),
                found=", ".join(others) or message("grow.only_drivers"),
                allowed=message("grow.one_measure"),
                hint=message("grow.name_measure"),
            )
        panel = panel_of(
            series,
            measure or others[0],
            settings.driver,
            segment=segment,
            form=settings.form,
            lag=settings.lag,
            unlisted=unlisted,
        )
        explained = explain(panel, level=settings.level, repeats=settings.repeats, seed=settings.chance)
    if happenings is not None:
        market = shares(series, measure, segment, unlisted=unlisted)
        followed = event_study(
            market,
            read_happenings(happenings),
            window=settings.window,
            level=settings.level,
            repeats=settings.repeats,
            seed=settings.chance,
        )
    return Drivers(explained, followed)


@stage(message("progress.targets"))
def position(log: Log, settings: TargetSettings, *, seed: int = 0) -> tuple[Target, ...]:
    """Return the segments of a log's users, scored as targets, the best first.

    Raises:
        InputError: as `customers` and `targets`.
    """
    people = customers(log)
    found = (
        by_clusters(people, seed=seed)
        if settings.grouping == "clusters"
        else by_own(people)
        if settings.grouping == "own"
        else by_rules(people)
    )
    weights = {
        "users": settings.weight_users,
        "value": settings.weight_value,
        "active": settings.weight_active,
        "new": settings.weight_new,
    }
    return targets(found, weights, seed=seed)


def sizes_of(path: Path, settings: PotentialSettings) -> Potential:
    """Return the market sizes that a file of ranges leads to.

    Raises:
        InputError: as `read_ranges`.
    """
    return potential(
        read_ranges(path), draws=settings.sizes, seed=settings.dice, within=settings.within, unit=settings.size_unit
    )


def reach_of(
    series: Series, measure: str | None, segment: str | None, settings: PotentialSettings
) -> Penetration | None:
    """Return how far an entity's use is under the ceiling; None where no ceiling was given.

    Raises:
        InputError: as `penetration`, or shares where use is asked for.
    """
    if settings.ceiling is None:
        return None
    chosen = series.only(measure, segment)
    if scale_of(chosen.unit):
        raise InputError(
            message("grow.penetration_asks"),
            found=message("grow.unit", unit=chosen.unit),
            allowed=message("grow.amount"),
        )
    times, entities, values = chosen.matrix()
    entity = settings.entity or entities[0]
    if entity not in entities:
        raise unknown("entity", entity, entities)
    known = [
        (time, float(value))
        for time, value in zip(times, values[:, entities.index(entity)], strict=True)
        if value == value
    ]
    return penetration(
        [time for time, _ in known],
        [value for _, value in known],
        settings.ceiling,
        source=series.provenance.text(),
        draws=settings.sizes,
        seed=settings.dice,
        level=settings.within,
    )
