"""`noria grow`: usage events and market series -> growth, share, forecast, report."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from noria.grow.settings import LogSettings, MarketSettings

if TYPE_CHECKING:
    from noria.grow.analysis import MarketStudy

app = App(
    name="grow",
    help="""Usage events and market series -> growth, share, forecast, report.

    Without a log the commands read the bundled CDNOW purchases, without a series the bundled chatbot shares.

    Examples::

        noria grow users runs/demo/lake                    growth accounting of a server's own users
        noria grow users purchases.csv --user customer     of any log with a user and a time
        noria grow share                                   shares and concentration
        noria grow forecast --horizon 6                    share forecast, back-tested
        noria grow report runs/demo/lake --out report.html
    """,
)

Flatten = Parameter(name="*")
AsJson = Annotated[bool, Parameter(negative="")]


@app.command
def users(
    log: Path | None = None,
    /,
    *,
    settings: Annotated[LogSettings, Flatten] = LogSettings(),
    by_segment: AsJson = False,
    out: Path | None = None,
    json: AsJson = False,
) -> int:
    """Active users, growth accounting that adds up in every period, retention, and who will come back.

    Examples::

        noria grow users
        noria grow users runs/demo/lake --period day --by-segment
        noria grow users purchases.csv --user customer --zone Asia/Shanghai --json

    Parameters
    ----------
    log
        A lake's folder, or a CSV or Parquet file with a user and a time.
    by_segment
        Account within each segment too.
    out
        Write the growth accounting there, as Parquet.
    json
        Print JSON, for programs.
    """
    from noria.grow.analysis import open_log, study_users
    from noria.grow.users.activity import growth

    opened = open_log(log, settings)
    study = study_users(opened, settings.period)
    accounting = growth(opened, settings.period, by_segment=by_segment) if by_segment else study.growths[0]
    rows = [row.as_dict() for row in accounting.rows]
    if out:
        _write_parquet(rows, out)
    figures = [
        *study.retention.curve()[1:4],
        *study.stickiness[-1:],
        *(study.holdout.figures() if study.holdout else []),
    ]
    if json:
        return _print_json({
            "source": opened.source, "rows": opened.rows, "users": opened.users, "as_of": opened.as_of.isoformat(),
            "problems": [problem.text() for problem in opened.problems], "growth": rows, "defects": accounting.defects(),
            "retention": {"unit": study.retention.unit, "counts": study.retention.counts},
            "figures": [figure.as_dict() for figure in figures], "silence": study.silence,
        })  # fmt: skip
    print(f"{opened.source}: {opened.rows:,} acts of {opened.users:,} users, {opened.first} to {opened.as_of}")
    for problem in opened.problems:
        print(f"  {problem.text()}")
    columns = [
        "period",
        *(["segment"] if by_segment else []),
        "before",
        "new",
        "resurrected",
        "churned",
        "active",
        "quick_ratio",
    ]
    shown = [{**row, "period": row["period"] + ("" if row["complete"] else " *")} for row in rows]
    _print_table(shown if by_segment else shown[-12:], columns)
    defects = accounting.defects()
    print(f"active = before + new + resurrected - churned: {'; '.join(defects) or f'holds in all {len(rows):,} periods'}"
          + ("" if rows[-1]["complete"] else "   (* not covered to its end)"))  # fmt: skip
    for figure in figures:
        print(f"  {figure.text()}")
    if study.silence:
        print(f"  no lifetime forecast: {study.silence}")
    return 0


@app.command
def share(
    series: Path | None = None,
    /,
    *,
    settings: Annotated[MarketSettings, Flatten] = MarketSettings(),
    out: Path | None = None,
    json: AsJson = False,
) -> int:
    """Market shares on one base, with an explicit rest, and how concentrated the market is.

    Examples::

        noria grow share
        noria grow share market.csv --measure revenue --json

    Parameters
    ----------
    series
        A CSV or Parquet file of points with a header of provenance.
    out
        Write the shares there, as Parquet.
    json
        Print JSON, for programs.
    """
    from noria.grow.bundled import chatbot_shares
    from noria.grow.market.share import concentration, shares
    from noria.grow.series import read_series

    market = shares(read_series(series or chatbot_shares()), settings.measure, settings.market)
    rows = [{"time": time, **{entity: _part(value) for entity, value in zip(market.entities, row, strict=True)}}
            for time, row in zip(market.times, market.values, strict=True)]  # fmt: skip
    measured = [item.as_dict() for item in concentration(market)]
    if out:
        _write_parquet([{**row, "hhi": item["hhi"]} for row, item in zip(rows, measured, strict=True)], out)
    if json:
        return _print_json({
            "base": market.base, "source": market.provenance.text(), "shares": rows, "concentration": measured,
            "flags": [vars(flag) for flag in market.flags],
        })  # fmt: skip
    print(f"{market.base}: {market.provenance.text()}")
    table = [{**{key: value if key == "time" else _percent(value) for key, value in row.items()}, "HHI": item["hhi"],
              "CR4": _percent(item["cr4"])} for row, item in zip(rows, measured, strict=True)]  # fmt: skip
    _print_table(table[-12:], ["time", *market.entities, "HHI", "CR4"])
    for flag in market.flags:
        print(f"  {flag.time}: {flag.en}")
    return 0


@app.command
def forecast(
    series: Path | None = None,
    /,
    *,
    settings: Annotated[MarketSettings, Flatten] = MarketSettings(),
    out: Path | None = None,
    json: AsJson = False,
) -> int:
    """Share forecast whose every draw sums to one, back-tested against "nothing changes".

    Examples::

        noria grow forecast
        noria grow forecast market.csv --measure revenue --horizon 12 --model attraction

    Parameters
    ----------
    series
        A CSV or Parquet file of points with a header of provenance.
    out
        Write median and interval there, as Parquet.
    json
        Print JSON, for programs.
    """
    from noria.core.errors import InputError
    from noria.grow.analysis import study_market
    from noria.grow.bundled import chatbot_shares
    from noria.grow.series import read_series

    study = study_market(read_series(series or chatbot_shares()), settings)
    if study.forecast is None:
        raise InputError(f"no forecast: {study.silence}")
    rows = _forecast_rows(study)
    if out:
        _write_parquet(rows, out)
    standings = [standing.as_dict() for standing in study.backtest.standings] if study.backtest else []
    verdict = (
        study.backtest.verdict()
        if study.backtest
        else {"en": f"no back-test: {study.silence}", "zh": f"没有回测：{study.silence}"}
    )
    if json:
        return _print_json({
            "base": study.market.base, "source": study.market.provenance.text(), "model": study.model, "forecast": rows,
            "backtest": standings, "verdict": verdict,
        })  # fmt: skip
    print(f"{study.market.base}: {study.market.provenance.text()}")
    print(verdict["en"])
    if standings:
        _print_table([{**item, "gain": item["gain"]["value"] if item["gain"] else None, "inside 90 %": _percent(item["coverage"]["90%"])}
                      for item in standings], ["model", "trials", "log_score", "gain", "energy", "crps", "mase", "inside 90 %"])  # fmt: skip
    last = [row for row in rows if row["time"] == study.forecast.times[-1]]
    print(
        f"{study.model}, {study.forecast.times[-1]}, median and 90 % interval of {settings.draws:,} draws that each sum to one:"
    )
    _print_table([{"entity": row["entity"], **{key: _percent(row[key]) for key in ("median", "low", "high")}} for row in last],
                 ["entity", "median", "low", "high"])  # fmt: skip
    return 0


@app.command
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
    from noria.grow.lake import events
    from noria.grow.report import write_report
    from noria.grow.sections import lifetime_section, market_section, usage_section, users_section
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
    print(write_report(out, sections))
    return 0


def _forecast_rows(study: MarketStudy) -> list[dict[str, Any]]:
    assert study.forecast is not None
    low, high = study.forecast.interval(0.9)
    middle = study.forecast.median()
    return [
        {"time": time, "entity": entity, "median": float(middle[row, column]), "low": float(low[row, column]),
         "high": float(high[row, column]), "level": 0.9}
        for row, time in enumerate(study.forecast.times) for column, entity in enumerate(study.forecast.entities)
    ]  # fmt: skip


def _part(value: float) -> float | None:
    return None if value != value else float(value)


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}" if value >= 0.001 or value == 0 else f"{value:.2%}"


def _print_json(value: object) -> int:
    print(json_module.dumps(value, ensure_ascii=False, indent=1))
    return 0


def _print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from noria.core.figure import number

    table = Table(*columns, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        cells = [row.get(name) for name in columns]
        table.add_row(*("–" if cell is None else cell if isinstance(cell, str) else number(cell) for cell in cells))
    console = Console()
    # A pipe has no width: let the table have what it needs.
    (console if console.is_terminal else Console(width=200)).print(table)


def _write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from noria.core.folder import write_bytes

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    write_bytes(path, sink.getvalue().to_pybytes())
