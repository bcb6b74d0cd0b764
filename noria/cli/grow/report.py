"""`noria grow report`: one page of users, lifetime, market and promotion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from noria.grow.promote.settings import BudgetSettings, SpendSettings, UnitSettings, UpliftSettings
from noria.grow.settings import LogSettings, MarketSettings

from .shown import Flatten


def report(
    log: Path | None = None,
    /,
    *,
    series: Path | None = None,
    experiment: Path | None = None,
    spend: Path | None = None,
    settings: Annotated[LogSettings, Flatten] = LogSettings(),
    market: Annotated[MarketSettings, Flatten] = MarketSettings(),
    units: UnitSettings = UnitSettings(),
    whom: UpliftSettings = UpliftSettings(),
    columns: SpendSettings = SpendSettings(),
    budget: BudgetSettings = BudgetSettings(),
    out: Path = Path("report.html"),
) -> int:
    """One HTML page with users, lifetime, market and promotion: self-contained, in English and Chinese, fit to print.

    Examples::

        noria grow report
        noria grow report runs/demo/lake --series market.csv --out report.html
        noria grow report runs/demo/lake --experiment campaign.csv --whom.features visits

    Parameters
    ----------
    log
        A lake's folder, or a CSV or Parquet file with a user and a time.
    series
        A CSV or Parquet file of market points with a header of provenance.
    experiment
        A CSV or Parquet file of users with group, outcome and features: the experiment, and whom to address.
    spend
        A CSV or Parquet file of spend by channel and period: the budget.
    units
        Where in the experiment each thing stands.
    whom
        How it is learnt whom to address.
    columns
        Where in the table of spend each thing stands.
    budget
        How the budget may be divided.
    out
        Where to write the page.
    """
    from noria.grow.analysis import open_log, study_market, study_users
    from noria.grow.bundled import chatbot_shares
    from noria.grow.lake import events
    from noria.grow.report import write_report
    from noria.grow.sections.market import market_section
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
    seen = study_market(read_series(series or chatbot_shares()), market)
    sections.append(market_section(seen.market, seen.forecast, seen.backtest))
    if experiment is not None or spend is not None:
        from noria.grow.promote.planning import study_plan
        from noria.grow.sections.promotion import promotion_sections

        lake = log if log is not None and log.is_dir() else None
        sections += promotion_sections(
            study_plan(lake, experiment, spend, units=units, whom=whom, columns=columns, budget=budget)
        )
    print(write_report(out, sections))
    return 0
