"""Spend by channel and what came of it, period by period, with whatever else moved it.

spend = read_spend("weekly.csv", time="DATE", outcome="revenue", channels=("tv_S", "search_S"), controls=("competitor_sales_B",))

Periods are days, weeks or months in even steps. Missing is not zero: an empty cell is refused by line, for nobody but its owner
knows whether nothing was spent or nothing was written down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from noria.core.errors import InputError, RowError
from noria.core.messages import Message, message
from noria.grow.log.files import load_table
from noria.grow.log.instants import add_local_times
from noria.grow.log.lake import connect
from noria.grow.log.loaded import NUMBER, quoted
from noria.grow.log.numbers import add_numbers
from noria.text.times import DateOrder

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

Floats = npt.NDArray[np.float64]
FEWEST = 30
"""Periods below which no response is fitted."""
_NONE = ("", "na", "none", "nan", "null")


@dataclass(frozen=True)
class Spend:
    """Spend and outcome; arrays over periods, (T,)."""

    days: npt.NDArray[np.int64]
    """First day of each period, from 1970-01-01, in order."""
    outcome: Floats
    channels: tuple[str, ...]
    amounts: Floats
    """Spend of each channel, (T, C)."""
    controls: tuple[str, ...]
    """What else is known of a period: numbers, and kinds of events as 0 or 1."""
    known: Floats
    """The controls, (T, K)."""
    source: str
    outcome_name: str = "outcome"
    licence: str = ""
    note: str = ""
    """What a reader must know: "simulated"."""

    @property
    def step(self) -> int:
        """Days of a period; 30 for months."""
        return int(np.median(np.diff(self.days)))

    @property
    def unit(self) -> Message:
        """What a period is called."""
        return message(f"budget.period.{'day' if self.step <= 1 else 'week' if self.step <= 7 else 'month'}")

    @property
    def as_of(self) -> str:
        """First day of the last period."""
        return (date(1970, 1, 1) + timedelta(int(self.days[-1]))).isoformat()


def read_spend(
    path: str | Path,
    *,
    time: str = "time",
    outcome: str = "outcome",
    channels: Sequence[str],
    controls: Sequence[str] = (),
    events: str = "",
    zone: str | None = None,
    date_order: DateOrder = "",
    source: str = "",
    licence: str = "",
    connection: Backend | None = None,
) -> Spend:
    """Return spend and outcome in a CSV, Excel or Parquet file, one line a period.

    Args:
        path: the file. CSV has a header line.
        time: the column of the period's first day.
        outcome: what came, a number.
        channels: the columns of spend, not negative.
        controls: columns of numbers that moved the outcome too: prices, competitors, newsletters.
        events: a column of words that name holidays and the like; empty or "na" is none.
        zone: the time zone of times that name none.
        date_order: of dates such as 12/1/2010: dmy, mdy or ymd; told by the data where it can be.
        source: what the figures cite; the file's name where not given.
        licence: under which the data may be used.
        connection: where to put the table.

    Raises:
        InputError: no such file or column, too few periods, or periods that are not in even steps.
        RowError: a cell that is missing, negative or no number; names its line.
    """
    path, connection = Path(path), connection or connect()
    if not channels:
        raise InputError(
            message("grow.channel_spend_named"), allowed=message("grow.columns_table"), hint=message("grow.name_each")
        )
    loaded = load_table(connection, path)
    if loaded.problems:
        raise InputError(f"{path}: {loaded.problems[0].text()}", allowed=message("grow.cell_column"))
    kinds = loaded.kinds
    for flag, column in (
        ("time", time),
        ("outcome", outcome),
        *(("channels", name) for name in channels),
        *(("controls", name) for name in controls),
        *((("events", events),) if events else ()),
    ):
        if column not in kinds:
            raise InputError(
                message("grow.column_3", path=path, column=column),
                found=", ".join(kinds),
                allowed=message("grow.column_there"),
                hint=message("grow.name_2", flag=flag),
            )
    numbers = (outcome, *channels, *controls)
    if kinds[time] == "VARCHAR":  # a month is told by its first day
        month = quoted(time)
        connection.con.execute(
            rf"""UPDATE "{loaded.name}" SET {month} = trim({month}) || '-01' WHERE regexp_full_match(trim({month}), '\d{{4}}-\d\d')"""
        )
    moment = add_local_times(connection, loaded, time, zone, str(path), date_order)
    read = [add_numbers(connection, loaded.name, name)[0] for name in numbers]
    columns = "".join(f", {sql} AS number_{place}" for place, sql in enumerate(read))
    event = f", lower(trim(coalesce(CAST({quoted(events)} AS VARCHAR), ''))) AS event" if events else ""
    data = connection.con.execute(
        f"""SELECT "{NUMBER}" AS line, date_diff('day', DATE '1970-01-01', {moment}) AS day{columns}{event}
        FROM "{loaded.name}" ORDER BY day, line"""
    ).to_arrow_table()
    connection.con.execute(f'DROP TABLE "{loaded.name}"')
    lines = data["line"].to_numpy()
    table = np.column_stack([data[f"number_{place}"].to_numpy() for place in range(len(numbers))]).astype(np.float64)
    _check(str(path), lines, data["day"].to_numpy(), table, (time, *numbers), len(channels), loaded.line)
    dummies, names = _events(data["event"].to_pylist() if events else [])
    known = (
        np.column_stack([table[:, 1 + len(channels) :], *dummies]) if controls or names else np.zeros((len(table), 0))
    )
    return Spend(
        data["day"].to_numpy().astype(np.int64),
        table[:, 0],
        tuple(channels),
        table[:, 1 : 1 + len(channels)],
        (*controls, *names),
        known,
        source or path.name,
        outcome,
        licence,
    )


def _check(
    place: str, lines: Any, days: Any, table: Floats, names: Sequence[str], channels: int, line: Callable[[int], int]
) -> None:
    """Refuse what no response can be fitted to; `names` are those of the time and of the table's columns."""
    if len(lines) < FEWEST:
        raise InputError(
            message("grow.too_few_periods_tell", place=place),
            found=len(lines),
            allowed=message("grow.more_6", fewest=FEWEST),
        )
    days = np.asarray(days, dtype=np.float64)
    if np.isnan(days).any():
        raise RowError(
            message("grow.time_cannot"), file=place, line=line(int(lines[np.isnan(days)][0])), field=names[0]
        )
    for column, name in enumerate(names[1:]):
        values = table[:, column]
        spend = 1 <= column <= channels
        bad = ~np.isfinite(values) | ((values < 0) if spend else False)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            negative = bool(np.isfinite(values[row]))
            raise RowError(
                message("grow.spend_negative") if negative else message("grow.cell_missing"),
                file=place,
                line=line(int(lines[row])),
                field=name,
                found=float(values[row]) if negative else None,
                allowed=message("grow.where_nothing") if spend else message("grow.number_missing"),
            )
    gaps = np.diff(days)
    step = float(np.median(gaps))
    if (gaps == 0).any():
        raise InputError(
            message("grow.two_lines", place=place),
            found=message("grow.line", lines=line(int(lines[1:][gaps == 0][0]))),
            allowed=message("grow.one_line"),
        )
    if step not in (1.0, 7.0) and not 28 <= step <= 31:
        raise InputError(
            message("grow.periods_neither", place=place),
            found=message("grow.days_between", step=step),
            allowed=message("grow.or_to"),
        )
    even = (gaps >= 28) & (gaps <= 31) if 28 <= step <= 31 else gaps == step
    if not even.all():
        raise InputError(
            message("grow.periods_even", place=place),
            found=message("grow.days_before", gaps=int(gaps[~even][0]), lines=lines[1:][~even][0]),
            allowed=message("grow.days_between_most", step=int(step)),
        )


def _events(words: Sequence[str]) -> tuple[list[Floats], tuple[str, ...]]:
    kinds = sorted({word for word in words if word not in _NONE})
    return [np.array([float(word == kind) for word in words]) for kind in kinds], tuple(kinds)
