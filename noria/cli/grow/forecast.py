"""`noria grow forecast`: shares, levels and users to come, back-tested."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import noria
from noria.cli.manners import printed
from noria.core.messages import Message, for_terminal, message
from noria.grow.market.settings import ListingSettings
from noria.grow.settings import ForecastSettings, JointSettings, LogSettings, MarketSettings

from .backtested import print_tested
from .joint import print_joint
from .shown import Flatten, entity_name, percent, print_table, write_parquet

if TYPE_CHECKING:
    from noria.grow.forecast.ahead import Outcome


def forecast(
    series: Path | None = None,
    /,
    *,
    what: Annotated[ForecastSettings, Flatten] = ForecastSettings(),
    settings: Annotated[MarketSettings, Flatten] = MarketSettings(),
    log: Annotated[LogSettings, Flatten] = LogSettings(),
    joint: Annotated[JointSettings, Flatten] = JointSettings(),
    listing: Annotated[ListingSettings, Flatten] = ListingSettings(),
    out: Path | None = None,
) -> int:
    """Forecasts with intervals, back-tested against "nothing changes": shares, levels, flows, a log's users, rivals, generations.

    Every draw of shares sums to one; growth curves (Bass, Gompertz, logistic) saturate, and say so where their ceiling cannot be told.

    Examples::

        noria grow forecast
        noria grow forecast market.csv --measure revenue --horizon 12 --model blend
        noria grow forecast sales.csv --of flow --entity phones
        noria grow forecast sales.csv --of flow --estimator nls
        noria grow forecast sales.csv --of flow --measure sales --effort price
        noria grow forecast purchases.csv --of users --user customer --period week
        noria grow forecast makers.csv --of rivals --take A --take B
        noria grow forecast systems.csv --of generations --launch "Windows XP=2001-10"

    A log is read by month where it covers nine of them, else by week or by day, unless --period says otherwise.

    Parameters
    ----------
    series
        A CSV, Excel or Parquet file of points with a header of provenance; with --of users a log, as `noria grow users` reads it.
    out
        Write median and interval there, as Parquet.
    """
    found = noria.forecast(series, settings=[what, settings, log, joint, listing])
    if out:
        write_parquet(list(found.rows), out)
    return printed(found.facts, lambda: _print(found.study, list(found.rows), settings.draws))


def _print(found: Outcome, rows: list[dict[str, Any]], draws: int) -> None:
    verdict, study = found.verdict(), found.study
    if found.of in ("rivals", "generations"):
        print_joint(found, rows, verdict, draws)
    elif found.of == "shares":
        _print_shares(study, rows, verdict, draws)
    else:
        _print_levels(study, rows, verdict, draws)
    if found.pace:
        print(f"  {found.pace.text()}")
    for note in found.notes:
        print(f"  {for_terminal(note)}")


def _print_shares(study: Any, rows: list[dict[str, Any]], verdict: Message, draws: int) -> None:
    from noria.grow.market.share import gathered
    from noria.grow.series.calendars import calendar_of

    market = study.market
    print(
        for_terminal(
            message(
                "lines.periods",
                base=market.base,
                text=market.provenance.text(),
                times=len(market.times),
                times_2=market.times[0],
                times_3=market.times[-1],
                text_2=for_terminal(calendar_of(market.times).text()),
            )
        )
    )
    for flag in gathered(market.flags):
        if flag.code not in ("rounded", "provisional"):
            print(f"  {for_terminal(flag.text())}")
    print_tested(study.backtest, verdict)
    end = study.forecast.times[-1]
    print(for_terminal(message("lines.median_interval", model=study.model, end=end, draws=draws)))
    shown = [
        {"entity": entity_name(row["entity"]), **{key: percent(row[key]) for key in ("median", "low", "high")}}
        for row in rows
        if row["time"] == end
    ]
    print_table(shown, ["entity", "median", "low", "high"])


def _print_curves(study: Any) -> None:
    """Print every growth curve by what estimated it, and what other estimators give where that is something else."""
    from noria.core.figure import significant
    from noria.grow.forecast.names import NAMES, parameter_name

    rows = [
        {
            "curve": for_terminal(NAMES[name]),
            "estimator": for_terminal(one.short()),
            "parameter": for_terminal(parameter_name(figure.name)),
            "n": figure.n,
            **{
                key: None if value is None else significant(value)
                for key, value in (("value", figure.value), ("low", figure.low), ("high", figure.high))
            },
            "note": for_terminal(figure.note) or None,
        }
        for name, fitted in study.adoptions.items()
        for one in (fitted, *fitted.others.values())
        for figure in one.figures()
    ]
    print_table(rows, ["curve", "estimator", "parameter", "value", "low", "high", "n", "note"])
    for name, one in study.adoptions.items():
        print(f"  {for_terminal(message('forecast.curve_verdict', curve=NAMES[name], verdict=one.verdict()))}")
        for note in one.notes(NAMES[name]):
            print(f"  {for_terminal(note)}")


def _print_levels(study: Any, rows: list[dict[str, Any]], verdict: Message, draws: int) -> None:
    from noria.grow.series.calendars import calendar_of

    history = study.history
    print(
        for_terminal(
            message(
                "lines.values",
                name=history.name,
                unit=history.unit,
                source=study.source,
                n=history.n,
                times=history.times[0],
                times_2=history.times[-1],
                text=for_terminal(calendar_of(history.times).text()),
            )
        )
    )
    print_tested(study.backtest, verdict)
    if study.adoptions:
        _print_curves(study)
    print(for_terminal(message("lines.median_interval_draws", model=study.model, draws=draws)))
    print_table(rows, ["time", "median", "low", "high"])
