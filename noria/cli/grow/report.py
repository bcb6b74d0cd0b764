"""`noria grow report`: one page of users, lifetime and market."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from noria.grow.settings import LogSettings, MarketSettings

from .shown import Flatten


def report(
    log: Path | None = None,
    /,
    *,
    series: Path | None = None,
    settings: Annotated[LogSettings, Flatten] = LogSettings(),
    market: Annotated[MarketSettings, Flatten] = MarketSettings(),
    out: Path = Path("report.html"),
) -> int:
    """One HTML page with users, lifetime and market: self-contained, in English and Chinese, fit to print.

    Examples::

        noria grow report
        noria grow report runs/demo/lake --series market.csv --out report.html

    Parameters
    ----------
    log
        A lake's folder, or a CSV or Parquet file with a user and a time.
    series
        A CSV or Parquet file of market points with a header of provenance.
    out
        Where to write the page.
    """
    from noria.grow.analysis import open_log, study_market, study_users
    from noria.grow.bundled import chatbot_shares
    from noria.grow.forecast.study import period_for, study_users_ahead
    from noria.grow.lake import events
    from noria.grow.report import write_report
    from noria.grow.sections.forecast import forecast_section
    from noria.grow.sections.market import market_section
    from noria.grow.sections.usage import usage_section
    from noria.grow.sections.users import lifetime_section, users_section
    from noria.grow.series import read_series
    from noria.grow.usage import usage

    study = study_users(open_log(log, settings), settings.period)
    sections = [users_section(study.log, study.growths, study.retention, study.stickiness)]
    if study.holdout:
        sections.append(lifetime_section(study.holdout, study.log))
    ahead = study_users_ahead(study.log, period_for(study.log), horizon=market.horizon, seed=market.seed)
    sections.append(forecast_section(ahead))
    if log is not None and log.is_dir():
        sections.append(usage_section(usage(events(log))))
    seen = study_market(read_series(series or chatbot_shares()), market)
    sections.append(market_section(seen.market, seen.forecast, seen.backtest, seen.model))
    print(write_report(out, sections))
    return 0
