"""`noria grow report`: one page of users, lifetime, market, forecasts and promotion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import noria
from noria.cli.manners import print_note, printed, record_of
from noria.core.messages import message
from noria.grow.market.settings import DriverSettings, ListingSettings, PotentialSettings
from noria.grow.promote.settings import PlanBasis
from noria.grow.settings import AheadSettings, LogSettings, MarketSettings, UserSettings

from .shown import Flatten


def report(
    log: str | None = None,
    /,
    *,
    series: Path | None = None,
    happenings: Path | None = None,
    potential: Path | None = None,
    answers: Path | None = None,
    settings: Annotated[LogSettings, Flatten] = LogSettings(),
    user_settings: Annotated[UserSettings, Flatten] = UserSettings(),
    market: Annotated[MarketSettings, Flatten] = MarketSettings(),
    drive: Annotated[DriverSettings, Flatten] = DriverSettings(),
    sizing: Annotated[PotentialSettings, Flatten] = PotentialSettings(),
    basis: Annotated[PlanBasis, Flatten] = PlanBasis(),
    listing: Annotated[ListingSettings, Flatten] = ListingSettings(),
    ahead: Annotated[AheadSettings, Parameter(name="ahead")] = AheadSettings(),
    out: Path = Path("report.html"),
) -> int:
    """One HTML page with users, lifetime, market, forecasts and promotion: self-contained, in English and Chinese, fit to print.

    Examples::

        noria grow report
        noria grow report runs/demo/lake --series market.csv --out report.html
        noria grow report purchases.csv --series chatbots
        noria grow report runs/demo/lake --series makers.csv --ahead.of rivals --ahead.take A --ahead.take B
        noria grow report runs/demo/lake --experiment campaign.csv --whom.features visits

    Parameters
    ----------
    log
        A lake's folder, a CSV, Excel or Parquet file with a user and a time, or the address of an engine.
    series
        A CSV, Excel or Parquet file of market points with a header of provenance, or `chatbots` for the bundled market; without one, a report
        on a log of your own has no market beside it.
    happenings
        A CSV file with the columns time, entity and name: what followed each, beside rivals and placebo events.
    potential
        A CSV file of ranges of inputs: market size top-down and bottom-up.
    answers
        The folder that `noria grow answers ask` wrote: how often assistants name each brand.
    out
        Where to write the page.
    """
    found = noria.report(
        log,
        series=series,
        happenings=happenings,
        potential=potential,
        answers=answers,
        ahead=ahead,
        promotion=basis,
        out=out,
        settings=[settings, user_settings, market, drive, sizing, listing],
    )
    for what, why in found.left_out.items():
        print_note(message("lines.report", what=what, why=why))
    return printed(record_of(found), lambda: print(found.path))
