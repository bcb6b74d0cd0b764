"""Real data that is always at hand: a purchase log in an ordinary package, and a market series of Noria's own.

The CDNOW log: every purchase until the end of June 1998 by the 23,570 people who first bought from CDNOW in the first
quarter of 1997 (Fader and Hardie 2001). It is read from the package `lifetimes` as data; the package is not imported.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from noria.core.packages import package_file

from .log.log import Log
from .log.read import log_of_rows
from .log.user_days import between
from .log.zones import UTC_DAYS, LocalCalendar

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

CDNOW_SOURCE = "CDNOW 1997-01/1998-06, lifetimes 0.11.3"
CDNOW_LICENCE = "MIT"
CDNOW_LAST = date(1998, 6, 30)
"""The last day that the log covers."""
_MASTER = "eff6889ed364c5199d6eacbbeb7a6d559971df4406ac876f322c373f00a072ef"
_SAMPLE = "6fae10155c0b0ba363c2c386e30f77990d22328220efd862a5edd1443420d94a"


def cdnow(connection: Backend | None = None, calendar: LocalCalendar = UTC_DAYS) -> Log:
    """Return the whole CDNOW log: 69,659 purchases, `value` in USD, `units` in discs; its days are days in any calendar.

    Raises:
        PackageError: the package `lifetimes` is missing or its file was altered.
    """
    path = package_file("lifetimes", "lifetimes/datasets/CDNOW_master.txt", _MASTER)
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines()[1:])
    user, day, units, value = zip(*(line for line in lines if line), strict=True)
    return _log(user, day, units, value, CDNOW_SOURCE, connection, calendar)


def cdnow_sample(connection: Backend | None = None) -> Log:
    """Return the published tenth of the CDNOW log, 2,357 customers: the one whose parameters are in the literature.

    Raises:
        PackageError: as `cdnow`.
    """
    path = package_file("lifetimes", "lifetimes/datasets/CDNOW_sample.txt", _SAMPLE)
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    _, user, day, units, value = zip(*(line for line in lines if line), strict=True)
    return _log(user, day, units, value, CDNOW_SOURCE.replace("CDNOW", "CDNOW 1/10"), connection)


CHATBOTS = "chatbots"
"""The word by which the bundled market is asked for."""


def chatbot_shares() -> Path:
    """Return the file of chatbot shares by month, 2025-04 to 2026-03 (StatCounter Global Stats, CC BY-SA 3.0)."""
    return Path(str(resources.files("noria.grow") / "data" / "statcounter-chatbots.csv"))


def _log(
    user: tuple[str, ...],
    day: tuple[str, ...],
    units: tuple[str, ...],
    value: tuple[str, ...],
    source: str,
    connection: Backend | None,
    calendar: LocalCalendar = UTC_DAYS,
) -> Log:
    rows = pa.table({"user": user, "time": day, "units": units, "value": value})
    log = log_of_rows(
        rows,
        source=source,
        licence=CDNOW_LICENCE,
        unit="USD",
        now=datetime(1998, 7, 1, tzinfo=UTC),
        connection=connection,
        calendar=calendar,
    )
    return between(log, date(1997, 1, 1), CDNOW_LAST)
