"""`noria grow report`: one page of users, lifetime and market."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from noria.grow.market.settings import BasisSettings, DriverSettings, PotentialSettings, TargetSettings
from noria.grow.settings import LogSettings, MarketSettings

from .shown import Flatten

if TYPE_CHECKING:
    from noria.grow.report import Section
    from noria.grow.series import Series


def report(
    log: Path | None = None,
    /,
    *,
    series: Path | None = None,
    settings: Annotated[LogSettings, Flatten] = LogSettings(),
    market: Annotated[MarketSettings, Flatten] = MarketSettings(),
    drive: Annotated[DriverSettings, Flatten] = DriverSettings(),
    sizing: Annotated[PotentialSettings, Flatten] = PotentialSettings(),
    happenings: Path | None = None,
    potential: Path | None = None,
    out: Path = Path("report.html"),
) -> int:
    """One HTML page with users, lifetime and market: self-contained, in English and Chinese, fit to print.

    Examples::

        noria grow report
        noria grow report runs/demo/lake --series market.csv --out report.html
        noria grow report --happenings releases.csv --potential sizes.csv

    Parameters
    ----------
    log
        A lake's folder, or a CSV or Parquet file with a user and a time.
    series
        A CSV or Parquet file of market points with a header of provenance.
    happenings
        A CSV file with the columns time, entity and name: what followed each, beside rivals and placebo events.
    potential
        A CSV file of ranges of inputs: market size top-down and bottom-up.
    out
        Where to write the page.
    """
    from noria.core.errors import InputError
    from noria.grow.analysis import open_log, study_market, study_users
    from noria.grow.bundled import chatbot_shares
    from noria.grow.lake import events
    from noria.grow.market.study import movement, position
    from noria.grow.report import write_report
    from noria.grow.sections.market import market_section
    from noria.grow.sections.own import own_sections
    from noria.grow.sections.potential import position_section
    from noria.grow.sections.shares import movement_section
    from noria.grow.sections.usage import usage_section
    from noria.grow.sections.users import lifetime_section, users_section
    from noria.grow.series import read_series
    from noria.grow.usage import usage

    study = study_users(open_log(log, settings), settings.period)
    sections = [users_section(study.log, study.growths, study.retention, study.stickiness)]
    if study.holdout:
        sections.append(lifetime_section(study.holdout, study.log))
    if log is not None and log.is_dir():
        sections.append(usage_section(usage(events(log))))
        sections += own_sections(events(log), settings.period, targets=False)
    points = read_series(series or chatbot_shares())
    seen = study_market(points, market)
    sections.append(market_section(seen.market, seen.forecast, seen.backtest))
    try:  # a market that cannot be taken apart, or a log of a handful of users, is no reason to have no report
        moved = movement(points, market.measure, market.market, BasisSettings())
        sections.append(movement_section(moved.market, moved.decomposition, moved.parts))
    except InputError as error:
        print(f"not in the report: what moved the shares: {error}", file=sys.stderr)
    sections += _asked(points, market, drive, happenings, sizing, potential)
    try:
        sections.append(position_section(position(study.log, TargetSettings()), study.log))
    except InputError as error:
        print(f"not in the report: segments and targets: {error}", file=sys.stderr)
    print(write_report(out, sections))
    return 0


def _asked(
    points: Series,
    market: MarketSettings,
    drive: DriverSettings,
    happenings: Path | None,
    sizing: PotentialSettings,
    potential: Path | None,
) -> list[Section]:
    """Return what was asked beyond the shares: drivers, events, potential."""
    from noria.grow.market.study import drivers, reach_of, sizes_of
    from noria.grow.sections.drivers import drivers_section
    from noria.grow.sections.potential import potential_section

    sections = []
    if drive.driver or happenings:
        sections.append(drivers_section(drivers(points, market.measure, market.market, drive, happenings)))
    if potential or sizing.ceiling:
        sizes = sizes_of(potential, sizing) if potential else None
        sections.append(potential_section(sizes, reach_of(points, market.measure, market.market, sizing)))
    return sections
