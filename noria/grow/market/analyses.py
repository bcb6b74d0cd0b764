"""Everything that can be asked of a market in one call: shares, what moved them, drivers, events, size, reach and targets.

    found = analyse("market.csv", MarketSettings(measure="revenue"), decompose=True)
    found.shares.latest(), found.movement.decomposition.changes, found.as_dict()

What was not asked is None; what cannot be said yet is None, and `silence` says why.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.errors import InsufficientDataError
from noria.core.figure import Figure
from noria.grow.log.log import Log
from noria.grow.series.series import Series
from noria.grow.series.units import scale_of
from noria.grow.settings import LogSettings, MarketSettings
from noria.grow.users.study import open_log

from .bases import Bases, bases, by_segment
from .penetration import Penetration
from .potential import Potential
from .ranks import rank_stability
from .settings import BasisSettings, DriverSettings, PotentialSettings, TargetSettings
from .share import Shares, concentration, shares, whole_market
from .study import Drivers, Movement, drivers, movement, open_market, position, reach_of, sizes_of
from .targets import Target
from .tidy import without_whole_segments


@dataclass(frozen=True)
class MarketAnalyses:
    """What was asked of a market."""

    source: str = ""
    shares: Shares | None = None
    """On one base; None where several bases or segments stand beside each other, or only something else was asked."""
    segments: dict[str, Shares] = field(default_factory=dict)
    """Shares within each segment, where there are several."""
    bases: Bases | None = None
    """The latest shares on every base, where the series has several and none was named."""
    movement: Movement | None = None
    drivers: Drivers = field(default_factory=Drivers)
    potential: Potential | None = None
    reach: Penetration | None = None
    position: tuple[Target, ...] = ()
    silence: dict[str, str] = field(default_factory=dict)
    """decomposition or position -> why it cannot be said yet."""

    def asked(self) -> dict[str, Any]:
        """Return the answers beside the shares, JSON-able; empty where only shares were asked."""
        results: dict[str, Any] = {}
        if self.potential:
            results["potential"] = self.potential.as_dict()
        if self.position:
            results["position"] = [target.as_dict() for target in self.position]
        if self.drivers.explained:
            results["drivers"] = self.drivers.explained.as_dict()
        if self.drivers.followed:
            results["events"] = self.drivers.followed.as_dict()
        if self.reach:
            figures = [figure.as_dict() for figure in self.reach.figures()]
            results["penetration"] = {"figures": figures, "why": self.reach.why and self.reach.why.both()}
        if self.silence:
            results["silence"] = self.silence
        return results

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, JSON-able."""
        if self.bases:
            last = {base: market.times[-1] for base, market in self.bases.markets.items()}
            return {"source": self.source, "time": last, "bases": self.rows(), "silence": self.bases.silence}
        parts = {name: shares_facts(part) for name, part in self.segments.items()}
        if self.shares is None:
            return {**({"segments": parts} if parts else {}), **self.asked()}
        results = shares_facts(self.shares)
        if self.movement:
            return {**results, "decomposition": movement_facts(self.movement), **self.asked()}
        return {**results, **({"segments": parts} if parts else {}), **self.asked()}

    def rows(self) -> list[dict[str, Any]]:
        """Return the main table: shares by time, by base or by segment; or the answers, where no shares were asked."""
        if self.bases:
            markets = self.bases.markets
            names = dict.fromkeys(name for market in markets.values() for name in market.entities)
            return [
                {"entity": name, **{base: _last(market, name) for base, market in markets.items()}} for name in names
            ]
        if self.shares is not None:
            results = shares_facts(self.shares)
            return [
                {**row, "hhi": item["hhi"]}
                for row, item in zip(results["shares"], results["concentration"], strict=True)
            ]
        if self.segments:
            return [
                {"segment": name, **row} for name, part in self.segments.items() for row in shares_facts(part)["shares"]
            ]
        return _answers(self.asked())

    def figures(self) -> list[Figure]:
        """Return the latest shares, or the sizes and the reach where these were asked."""
        found = self.shares.latest() if self.shares is not None and self.shares.whole.any() else []
        return [
            *found,
            *(self.potential.sizes if self.potential else ()),
            *(self.reach.figures() if self.reach else ()),
        ]


def analyse(
    where: str | Path | None = None,
    market: MarketSettings | None = None,
    *,
    basis: BasisSettings | None = None,
    log: LogSettings | None = None,
    drive: DriverSettings | None = None,
    sizing: PotentialSettings | None = None,
    targeting: TargetSettings | None = None,
    decompose: bool = False,
    happenings: Path | None = None,
    potential: Path | None = None,
    position_of: str | Path | None = None,
) -> MarketAnalyses:
    """Return what was asked of the market at `where`.

    Args:
        where: a series or a lake's folder; the bundled chatbot shares where None.
        market: measure and segment.
        basis: whose shares, between which times.
        log: how a lake's folder, or the log of `position_of`, is read.
        drive: which measures may drive the one asked for.
        sizing: how ranges of size are drawn, and the ceiling of use.
        targeting: how users are put into segments.
        decompose: say what each change of share is made of.
        happenings: file of events: what followed each.
        potential: file of ranges: how large the market could be.
        position_of: a log whose users are put into segments and scored.

    Raises:
        InputError, SettingError: a file or a setting cannot be used.
    """
    market, basis, log = market or MarketSettings(), basis or BasisSettings(), log or LogSettings()
    drive, sizing = drive or DriverSettings(), sizing or PotentialSettings()
    found = MarketAnalyses()
    if potential is not None:
        found = replace(found, potential=sizes_of(potential, sizing))
    if position_of is not None:
        found = _with_position(found, position_of, log, targeting or TargetSettings())
    if found.asked() and where is None and not (decompose or drive.driver or happenings or sizing.ceiling):
        return found
    shared = log is None or position_of is None or where is None or Path(where).is_dir()
    series = open_market(where, log if shared else LogSettings(), basis)  # columns of a log are none of the series'
    found = replace(
        found,
        source=series.provenance.text(),
        drivers=drivers(series, market.measure, market.market, drive, happenings, basis.unlisted),
        reach=reach_of(series, market.measure, market.market, sizing),
    )
    several = market.measure is None and len(series.measures) > 1 and not decompose
    alone = len({point.entity for point in series.points}) == 1
    if found.asked() and (several or alone):  # the share of a single name is one, and says nothing
        return found
    if several:
        return replace(found, bases=bases(series, market.market, unlisted=basis.unlisted))
    return _with_shares(found, series, market, basis, decompose)


def _with_position(
    found: MarketAnalyses, where: str | Path, log: LogSettings, settings: TargetSettings
) -> MarketAnalyses:
    opened: Log
    try:
        with closing(open_log(where, log)) as opened:
            return replace(found, position=position(opened, settings))
    except InsufficientDataError as error:
        return replace(found, silence={"position": error.as_message()})


def _with_shares(
    found: MarketAnalyses, series: Series, market: MarketSettings, basis: BasisSettings, decompose: bool
) -> MarketAnalyses:
    """Return the shares too, what moved them where that was asked, and those of each segment where there are several."""
    if decompose:
        try:
            moved = movement(series, market.measure, market.market, basis)
            return replace(found, shares=moved.market, movement=moved)
        except InsufficientDataError as error:
            found = replace(found, silence={**found.silence, "decomposition": error.as_message()})
    if market.market is not None:
        return replace(found, shares=shares(series, market.measure, market.market, unlisted=basis.unlisted))
    points = [point for point in without_whole_segments(series).points if market.measure in (None, point.measure)]
    several = len({point.segment for point in points}) > 1
    parts = by_segment(series, market.measure, unlisted=basis.unlisted) if several else {}
    if several and scale_of(points[0].unit):  # shares, which cannot be summed
        return replace(found, segments=parts)
    return replace(found, shares=whole_market(series, market.measure, unlisted=basis.unlisted), segments=parts)


def shares_facts(market: Shares) -> dict[str, Any]:
    """Return shares with their concentration, order and flags, JSON-able."""
    rows = [
        {"time": time, **{entity: _part(value) for entity, value in zip(market.entities, row, strict=True)}}
        for time, row in zip(market.times, market.values, strict=True)
    ]
    cells, named = market.cells, market.entities

    def listed(row: int, columns: Any) -> dict[str, Any]:
        return {"time": market.times[row], **{named[at]: cells.facts(row, int(at)) for at in columns}}

    return {
        "base": market.base,
        "source": market.provenance.text(),
        "shares": rows,
        "cells": cells.counts(),
        "open": [listed(row, np.flatnonzero(columns)) for row, columns in enumerate(market.open) if columns.any()],
        "concentration": [item.as_dict() for item in concentration(market)],
        "ranks": [step.as_dict() for step in rank_stability(market)],
        "flags": [flag.as_dict() for flag in market.flags],
    }


def movement_facts(moved: Movement) -> dict[str, Any]:
    """Return what moved shares, JSON-able."""
    found = moved.decomposition
    return {
        "before": found.before,
        "after": found.after,
        "segments": found.segments,
        "changes": [item.as_dict() for item in found.changes],
        "links": [item.as_dict() for item in found.links],
        "defects": found.defects(),
        "silence": found.silence.both() if found.silence else {},
        "notes": [note.both() for note in found.notes],
    }


def _answers(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the answers as one flat table: what was asked, of what, the value, its range and n."""
    rows: list[dict[str, Any]] = []

    def add(asked: str, name: str, value: Any, low: Any, high: Any, n: Any) -> None:
        rows.append({"asked": asked, "name": name, "value": value, "low": low, "high": high, "n": n})

    for effect in results.get("drivers", {}).get("effects", []):
        add("driver", effect["driver"], effect["value"], effect["low"], effect["high"], effect["n"])
    if "events" in results:
        effect = results["events"]["effect"]
        add("event", effect["driver"], effect["value"], effect["low"], effect["high"], effect["n"])
    for figure in [*results.get("potential", {}).get("sizes", []), *results.get("penetration", {}).get("figures", [])]:
        add("potential", figure["name"], figure["value"], figure["low"], figure["high"], figure["n"])
    for target in results.get("position", []):
        first = target["first"]
        add("position", target["segment"]["en"], target["score"], None, None, target["measures"]["users"]["n"])
        add("position, first", target["segment"]["en"], first["value"], first["low"], first["high"], first["n"])
    return rows


def _last(market: Shares, name: str) -> float | None:
    return _part(market.values[-1, market.entities.index(name)]) if name in market.entities else None


def _part(value: float) -> float | None:
    return None if value != value else float(value)
