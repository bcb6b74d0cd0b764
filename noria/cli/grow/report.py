"""`noria grow report`: one page of users, lifetime and market."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

from noria.grow.settings import LogSettings, MarketSettings, UserSettings

from .shown import Flatten


def report(
    log: str | None = None,
    /,
    *,
    series: Path | None = None,
    settings: Annotated[LogSettings, Flatten] = LogSettings(),
    asked: Annotated[UserSettings, Flatten] = UserSettings(),
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
        A lake's folder, a CSV or Parquet file with a user and a time, or the address of an engine.
    series
        A CSV or Parquet file of market points with a header of provenance.
    out
        Where to write the page.
    """
    from noria.grow.analysis import open_log, study_market, study_users
    from noria.grow.bundled import chatbot_shares
    from noria.grow.report import write_report
    from noria.grow.sections.market import market_section
    from noria.grow.sections.study import user_sections
    from noria.grow.sections.usage import usage_section
    from noria.grow.series import read_series
    from noria.grow.usage import usage

    with closing(open_log(log, settings)) as opened:
        sections = user_sections(study_users(opened, settings.period, settings=asked))
        if opened.facts is not None:
            sections.append(usage_section(usage(opened.facts)))
    seen = study_market(read_series(series or chatbot_shares()), market)
    sections.append(market_section(seen.market, seen.forecast, seen.backtest))
    print(write_report(out, sections))
    return 0
