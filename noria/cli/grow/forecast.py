"""`noria grow forecast`: shares to come, back-tested."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from noria.grow.settings import MarketSettings

if TYPE_CHECKING:
    from noria.grow.analysis import MarketStudy

from .shown import Flatten, Switch, percent, print_json, print_table, write_parquet


def forecast(
    series: Path | None = None,
    /,
    *,
    settings: Annotated[MarketSettings, Flatten] = MarketSettings(),
    out: Path | None = None,
    json: Switch = False,
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
        write_parquet(rows, out)
    standings = [standing.as_dict() for standing in study.backtest.standings] if study.backtest else []
    verdict = (
        study.backtest.verdict()
        if study.backtest
        else {"en": f"no back-test: {study.silence}", "zh": f"没有回测：{study.silence}"}
    )
    if json:
        return print_json({
            "base": study.market.base, "source": study.market.provenance.text(), "model": study.model, "forecast": rows,
            "backtest": standings, "verdict": verdict,
        })  # fmt: skip
    print(f"{study.market.base}: {study.market.provenance.text()}")
    print(verdict["en"])
    if standings:
        print_table([{**item, "gain": item["gain"]["value"] if item["gain"] else None, "inside 90 %": percent(item["coverage"]["90%"])}
                      for item in standings], ["model", "trials", "log_score", "gain", "energy", "crps", "mase", "inside 90 %"])  # fmt: skip
    last = [row for row in rows if row["time"] == study.forecast.times[-1]]
    print(
        f"{study.model}, {study.forecast.times[-1]}, median and 90 % interval of {settings.draws:,} draws that each sum to one:"
    )
    print_table([{"entity": row["entity"], **{key: percent(row[key]) for key in ("median", "low", "high")}} for row in last],
                 ["entity", "median", "low", "high"])  # fmt: skip
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
