"""What the commands, the report and the console ask of a market, in one call each.

series = open_market("runs/demo/lake", LogSettings(segment="model"), BasisSettings())
asked = movement(series, "requests", None, BasisSettings())
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..bundled import chatbot_shares
from ..lake import events
from ..series import Series, read_series
from ..settings import LogSettings
from .chosen import over_segments, without
from .decompose import Decomposition, decompose
from .served import served_series
from .settings import BasisSettings
from .share import Shares, shares


@dataclass(frozen=True)
class Movement:
    """A market's shares, and what moved them."""

    market: Shares
    decomposition: Decomposition


def open_market(where: str | Path | None, log: LogSettings | None = None, basis: BasisSettings | None = None) -> Series:
    """Return the series at `where`: a CSV or Parquet file, a lake's folder, or the bundled chatbot shares where none is named.

    Raises:
        InputError: there is nothing to read there.
        SettingError: an entity to leave out is not in it.
    """
    log, basis = log or LogSettings(), basis or BasisSettings()
    if where is None:
        series = read_series(chatbot_shares())
    elif Path(where).is_dir():
        by = "app" if log.segment == LogSettings().segment and basis.split != "app" else log.segment
        series = served_series(events(where), by, log.period, split=basis.split)
    else:
        series = read_series(where)
    return without(series, basis.without) if basis.without else series


def movement(series: Series, measure: str | None, segment: str | None, basis: BasisSettings) -> Movement:
    """Return the shares of a market, and what moved them between two times.

    Raises:
        InputError: as `shares` and `decompose`.
    """
    if segment is not None:
        series = series.only(measure, segment)
    found = decompose(series, measure, first=basis.first, last=basis.last, unlisted=basis.unlisted)
    market = shares(over_segments(series, found.base), found.base, unlisted=basis.unlisted)
    return Movement(market, found)
