"""`noria grow report`: one page of users, lifetime, market, forecasts and promotion."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from noria.grow.market.settings import BasisSettings, DriverSettings, ListingSettings, PotentialSettings, TargetSettings
from noria.grow.promote.settings import PlanBasis
from noria.grow.settings import LogSettings, MarketSettings, UserSettings

from .shown import Flatten

if TYPE_CHECKING:
    from noria.grow.log.log import Log
    from noria.grow.market.share import Unlisted
    from noria.grow.report.page import Section
    from noria.grow.series.series import Series


def report(
    log: str | None = None,
    /,
    *,
    series: Path | None = None,
    happenings: Path | None = None,
    potential: Path | None = None,
    settings: Annotated[LogSettings, Flatten] = LogSettings(),
    user_settings: Annotated[UserSettings, Flatten] = UserSettings(),
    market: Annotated[MarketSettings, Flatten] = MarketSettings(),
    drive: Annotated[DriverSettings, Flatten] = DriverSettings(),
    sizing: Annotated[PotentialSettings, Flatten] = PotentialSettings(),
    basis: Annotated[PlanBasis, Flatten] = PlanBasis(),
    listing: Annotated[ListingSettings, Flatten] = ListingSettings(),
    out: Path = Path("report.html"),
) -> int:
    """One HTML page with users, lifetime, market, forecasts and promotion: self-contained, in English and Chinese, fit to print.

    Examples::

        noria grow report
        noria grow report runs/demo/lake --series market.csv --out report.html
        noria grow report runs/demo/lake --experiment campaign.csv --whom.features visits

    Parameters
    ----------
    log
        A lake's folder, a CSV or Parquet file with a user and a time, or the address of an engine.
    series
        A CSV or Parquet file of market points with a header of provenance.
    happenings
        A CSV file with the columns time, entity and name: what followed each, beside rivals and placebo events.
    potential
        A CSV file of ranges of inputs: market size top-down and bottom-up.
    out
        Where to write the page.
    """
    from noria.grow.analysis import open_log
    from noria.grow.bundled import chatbot_shares
    from noria.grow.market.chosen import without
    from noria.grow.report.page import write_report
    from noria.grow.series.series import read_series

    points = read_series(series or chatbot_shares())
    points = without(points, listing.without) if listing.without else points
    with closing(open_log(log, settings)) as opened:
        sections = _of_users(opened, settings, user_settings, market)
        sections += _of_market(points, market, listing.unlisted, drive, happenings, sizing, potential)
        sections += _or_why("segments and targets", lambda: _of_targets(opened))
    if basis.experiment is not None or basis.spend is not None:
        from noria.grow.promote.planning import study_plan
        from noria.grow.report.sections.promotion import promotion_sections

        lake = Path(log) if log is not None and Path(log).is_dir() else None
        sections += promotion_sections(study_plan(lake, basis))
    print(write_report(out, sections))
    return 0


def _or_why(what: str, make: Callable[[], list[Section]]) -> list[Section]:
    """Return sections, or none and a word on the screen: what one part cannot say is no reason to have no report."""
    from noria.core.errors import InputError

    try:
        return make()
    except InputError as error:
        print(f"not in the report: {what}: {error}", file=sys.stderr)
        return []


def _of_users(opened: Log, settings: LogSettings, user_settings: UserSettings, market: MarketSettings) -> list[Section]:
    """Return who they are, what the server's own events say of their use, and how many there will be."""
    from noria.grow.analysis import study_users
    from noria.grow.forecast.study import period_for, study_users_ahead
    from noria.grow.report.sections.forecast import forecast_section
    from noria.grow.report.sections.own import own_sections
    from noria.grow.report.sections.study import user_sections
    from noria.grow.report.sections.usage import usage_section
    from noria.grow.usage import usage

    sections = user_sections(study_users(opened, settings.period, settings=user_settings))
    facts = opened.facts
    if facts is not None:
        sections.append(usage_section(usage(facts)))
        sections += _or_why(
            "the server's own shares",
            lambda: own_sections(facts, settings.period, targets=False, calendar=settings.calendar()),
        )
    ahead = study_users_ahead(opened, period_for(opened), horizon=market.horizon, seed=market.seed)
    return [*sections, forecast_section(ahead)]


def _of_market(
    points: Series,
    market: MarketSettings,
    unlisted: Unlisted,
    drive: DriverSettings,
    happenings: Path | None,
    sizing: PotentialSettings,
    potential: Path | None,
) -> list[Section]:
    """Return shares with their forecast, what moved them, and what was asked beyond: drivers, events, potential."""
    from noria.grow.analysis import study_market
    from noria.grow.market.study import drivers, movement, reach_of, sizes_of
    from noria.grow.report.sections.drivers import drivers_section
    from noria.grow.report.sections.market import market_section
    from noria.grow.report.sections.potential import potential_section
    from noria.grow.report.sections.shares import movement_section

    def moved() -> list[Section]:
        found = movement(points, market.measure, market.market, BasisSettings(unlisted=unlisted))
        return [movement_section(found.market, found.decomposition, found.parts)]

    seen = study_market(points, market, unlisted=unlisted)
    sections = [market_section(seen.market, seen.forecast, seen.backtest, seen.model)]
    sections += _or_why("what moved the shares", moved)
    if drive.driver or happenings:
        sections.append(drivers_section(drivers(points, market.measure, market.market, drive, happenings, unlisted)))
    if potential or sizing.ceiling:
        sizes = sizes_of(potential, sizing) if potential else None
        sections.append(potential_section(sizes, reach_of(points, market.measure, market.market, sizing)))
    return sections


def _of_targets(opened: Log) -> list[Section]:
    from noria.grow.market.study import position
    from noria.grow.report.sections.potential import position_section

    return [position_section(position(opened, TargetSettings()), opened)]
