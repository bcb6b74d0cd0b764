"""`noria grow forecast`: shares, levels and users to come, back-tested."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from noria.core.messages import Message, for_terminal
from noria.grow.market.settings import BasisSettings, ListingSettings
from noria.grow.settings import ForecastSettings, JointSettings, LogSettings, MarketSettings

if TYPE_CHECKING:
    from noria.grow.analysis import MarketStudy
    from noria.grow.forecast.study import LevelStudy

from .backtested import print_tested, tested, verdict_of
from .shown import Flatten, Switch, percent, print_json, print_table, write_parquet


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
    json: Switch = False,
) -> int:
    """Forecasts with intervals, back-tested against "nothing changes": shares, levels, flows, a log's users, rivals, generations.

    Every draw of shares sums to one; growth curves (Bass, Gompertz, logistic) saturate, and say so where their ceiling cannot be told.

    Examples::

        noria grow forecast
        noria grow forecast market.csv --measure revenue --horizon 12 --model blend
        noria grow forecast sales.csv --of flow --entity phones
        noria grow forecast sales.csv --of flow --measure sales --effort price
        noria grow forecast purchases.csv --of users --user customer --period week
        noria grow forecast makers.csv --of rivals --take A --take B
        noria grow forecast systems.csv --of generations --launch "Windows XP=2001-10"

    A log is read by month where it covers nine of them, else by week or by day, unless --period says otherwise.

    Parameters
    ----------
    series
        A CSV or Parquet file of points with a header of provenance; with --of users a log, as `noria grow users` reads it.
    out
        Write median and interval there, as Parquet.
    json
        Print JSON, for programs.
    """
    from noria.core.errors import InputError, SettingError

    if what.of != "shares" and listing != ListingSettings():
        raise SettingError(
            "labels are left out and unlisted ones read for shares",
            found=f"--of {what.of}",
            allowed="--of shares",
            hint="name those that are wanted with --take or --entity",
        )
    if what.of in ("rivals", "generations"):
        from .joint import several

        return several(series, what, settings, joint, out, json)
    if what.of != "shares":
        return _levels(series, what, settings, log, joint, out, json)
    from noria.grow.analysis import study_market
    from noria.grow.forecast.shares.entry import entries
    from noria.grow.market.study import open_market

    opened = open_market(series, log, BasisSettings(without=listing.without))
    study = study_market(opened, settings, newcomers=what.newcomers, unlisted=listing.unlisted)
    if study.forecast is None:
        raise InputError(f"no forecast: {study.silence}")
    rows = _forecast_rows(study)
    if out:
        write_parquet(rows, out)
    verdict = verdict_of(study.backtest, study.silence)
    if json:
        return print_json(
            {
                "base": study.market.base,
                "source": study.market.provenance.text(),
                "model": study.model,
                "forecast": rows,
                **tested(study.backtest),
                "verdict": verdict.both(),
                "flags": [flag.as_dict() for flag in study.market.flags],
            }
        )
    _print_shares(study, rows, verdict, settings.draws)
    if what.newcomers:
        print(f"  {entries(study.market).pace().text()}")
    return 0


def _print_shares(study: MarketStudy, rows: list[dict[str, Any]], verdict: Message, draws: int) -> None:
    from noria.grow.market.share import gathered
    from noria.grow.series.calendars import calendar_of

    assert study.forecast is not None
    market = study.market
    print(
        f"{market.base}: {market.provenance.text()}, {len(market.times)} periods from {market.times[0]} to {market.times[-1]}, "
        f"{for_terminal(calendar_of(market.times).text())}"
    )
    for flag in gathered(market.flags):
        if flag.code not in ("rounded", "provisional"):
            print(f"  {for_terminal(flag.text())}")
    print_tested(study.backtest, verdict)
    end = study.forecast.times[-1]
    print(f"{study.model}, {end}, median and 90 % interval of {draws:,} draws that each sum to one:")
    shown = [
        {"entity": row["entity"], **{key: percent(row[key]) for key in ("median", "low", "high")}}
        for row in rows
        if row["time"] == end
    ]
    print_table(shown, ["entity", "median", "low", "high"])


def _levels(
    where: Path | None,
    what: ForecastSettings,
    settings: MarketSettings,
    log: LogSettings,
    joint: JointSettings,
    out: Path | None,
    json: bool,
) -> int:
    from noria.core.errors import InputError

    study, notes = _studied(where, what, settings, log, joint)
    if study.outlook is None:
        raise InputError(f"no forecast: {study.silence}")
    low, high = study.outlook.interval(0.9)
    rows = [
        {
            "time": time,
            "entity": study.history.name,
            "median": float(middle),
            "low": float(a),
            "high": float(b),
            "level": 0.9,
            "unit": study.history.unit,
        }
        for time, middle, a, b in zip(study.times, study.outlook.median(), low, high, strict=True)
    ]
    if out:
        write_parquet(rows, out)
    verdict = verdict_of(study.backtest, study.silence)
    if json:
        return print_json(
            {
                "entity": study.history.name,
                "of": what.of,
                "source": study.source,
                "model": study.model,
                "forecast": rows,
                "curves": {
                    name: {"figures": [figure.as_dict() for figure in one.figures()], "verdict": one.verdict().both()}
                    for name, one in study.adoptions.items()
                },
                **tested(study.backtest),
                "verdict": verdict.both(),
                "notes": [note.both() for note in notes],
            }
        )
    _print_levels(study, rows, verdict, settings.draws)
    for note in notes:
        print(f"  {for_terminal(note)}")
    return 0


def _studied(
    where: Path | None, what: ForecastSettings, settings: MarketSettings, log: LogSettings, joint: JointSettings
) -> tuple[LevelStudy, list[Message]]:
    """Return the study of one series above zero, and what is to be known with its forecast."""
    from noria.core.errors import InputError, SettingError
    from noria.grow.analysis import open_log
    from noria.grow.forecast.levels.effort import effort_of, study_effort
    from noria.grow.forecast.levels.levels import levels_of
    from noria.grow.forecast.study import period_for, study_levels, study_users_ahead
    from noria.grow.series.series import read_series

    facts: dict[str, Any] = {
        "horizon": settings.horizon,
        "holdout": settings.holdout,
        "model": what.curve,
        "draws": settings.draws,
        "seed": settings.seed,
    }
    if joint.effort and what.of != "flow":
        raise SettingError("an effort speeds a flow up", found=f"--of {what.of}", allowed="--of flow")
    allowed = _curves(what.of, joint.effort)
    if what.curve not in allowed:
        raise SettingError(f"no such model of a {what.of}", found=what.curve, allowed=allowed)
    if what.of == "users":
        opened = open_log(where, log)
        period = log.period if "period" in log.model_fields_set else period_for(opened)
        return study_users_ahead(opened, period, **facts), []
    if where is None:
        raise InputError(f"a forecast of a {what.of} needs a series", hint="name a CSV or Parquet file of points")
    series = read_series(where)
    history = levels_of(
        series, "flow" if what.of == "flow" else "level", settings.measure, settings.market, what.entity
    )
    notes = [flag.text() for flag in series.flags]
    if not joint.effort:
        return study_levels(history, **facts), notes
    effort = effort_of(series, joint.effort, history, settings.market)
    return study_effort(history, effort, **facts), [*notes, effort.note(settings.horizon)]


def _curves(of: str, effort: tuple[str, ...]) -> list[str]:
    """Return the models that can forecast one series above zero."""
    more = ["cohorts"] if of == "users" else ["generalised"] if effort else []
    return ["best", "persistence", "drift", "bass", "gompertz", "logistic", *more, "blend"]


def _print_levels(study: LevelStudy, rows: list[dict[str, Any]], verdict: Message, draws: int) -> None:
    from noria.grow.series.calendars import calendar_of

    history = study.history
    print(
        f"{history.name}, {history.unit}: {study.source}, {history.n} values from {history.times[0]} to {history.times[-1]}, "
        f"{for_terminal(calendar_of(history.times).text())}"
    )
    print_tested(study.backtest, verdict)
    for name, one in study.adoptions.items():
        print(f"  {name}: {for_terminal(one.verdict())}")
        for figure in one.figures():
            print(f"    {figure.text()}")
    print(f"{study.model}, median and 90 % interval of {draws:,} draws:")
    print_table(rows, ["time", "median", "low", "high"])


def _forecast_rows(study: MarketStudy) -> list[dict[str, Any]]:
    assert study.forecast is not None
    low, high = study.forecast.interval(0.9)
    middle = study.forecast.median()
    return [
        {
            "time": time,
            "entity": entity,
            "median": float(middle[row, column]),
            "low": float(low[row, column]),
            "high": float(high[row, column]),
            "level": 0.9,
        }
        for row, time in enumerate(study.forecast.times)
        for column, entity in enumerate(study.forecast.entities)
    ]
