"""`noria grow share`: market shares on one base, and how concentrated the market is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from noria.grow.settings import MarketSettings

from .shown import Flatten, Switch, percent, print_json, print_table, write_parquet


def share(
    series: Path | None = None,
    /,
    *,
    settings: Annotated[MarketSettings, Flatten] = MarketSettings(),
    out: Path | None = None,
    json: Switch = False,
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
        write_parquet([{**row, "hhi": item["hhi"]} for row, item in zip(rows, measured, strict=True)], out)
    if json:
        return print_json({
            "base": market.base, "source": market.provenance.text(), "shares": rows, "concentration": measured,
            "flags": [vars(flag) for flag in market.flags],
        })  # fmt: skip
    print(f"{market.base}: {market.provenance.text()}")
    table = [{**{key: value if key == "time" else percent(value) for key, value in row.items()}, "HHI": item["hhi"],
              "CR4": percent(item["cr4"])} for row, item in zip(rows, measured, strict=True)]  # fmt: skip
    print_table(table[-12:], ["time", *market.entities, "HHI", "CR4"])
    for flag in market.flags:
        print(f"  {flag.time}: {flag.en}")
    return 0


def _part(value: float) -> float | None:
    return None if value != value else float(value)
