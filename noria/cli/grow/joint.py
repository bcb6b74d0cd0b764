"""`noria grow forecast --of rivals | generations`: series that act on one another, printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noria.core.messages import Message, for_terminal, message

from .backtested import print_tested
from .shown import print_table

if TYPE_CHECKING:
    from noria.grow.forecast.ahead import Outcome


def print_joint(found: Outcome, rows: list[dict[str, Any]], verdict: Message, draws: int) -> None:
    """Print who acts on whom, how good such forecasts were, and what may come."""
    from noria.grow.series.calendars import calendar_of

    ahead: Any = found.study
    history = ahead.history
    print(
        for_terminal(
            message(
                "lines.periods_2",
                names=", ".join(history.names),
                unit=history.unit,
                text=history.provenance.text(),
                times=len(history.times),
                times_2=history.times[0],
                times_3=history.times[-1],
                text_2=for_terminal(calendar_of(history.times).text()),
            )
        )
    )
    print_tested(ahead.backtest, verdict)
    print(for_terminal(message("lines.intervals", titles=message(f"lines.titles.{found.of}"))))
    print_table(
        [
            {
                "what": for_terminal(figure.name),
                "value": figure.value,
                "low": figure.low,
                "high": figure.high,
                "n": figure.n,
                "note": for_terminal(figure.note) or None,
            }
            for figure in found.figures
        ],
        ["what", "value", "low", "high", "n", "note"],
    )
    end = ahead.times[-1]
    print(for_terminal(message("lines.median_interval_draws_none", model=ahead.model, end=end, draws=draws)))
    print_table([row for row in rows if row["time"] == end], ["entity", "median", "low", "high"])
    if found.launches:
        print(f"  {for_terminal(found.launched())}")
