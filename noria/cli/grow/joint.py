"""`noria grow forecast --of rivals | generations`: series that act on one another, printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noria.core.messages import Message, for_terminal

from .backtested import print_tested
from .shown import print_table

if TYPE_CHECKING:
    from noria.grow.forecast.ahead import Outcome

TITLES = {
    "rivals": "what each does to another's growth, at its latest size",
    "generations": "p and q a period, and what each generation adds to the market",
}


def print_joint(found: Outcome, rows: list[dict[str, Any]], verdict: Message, draws: int) -> None:
    """Print who acts on whom, how good such forecasts were, and what may come."""
    from noria.grow.series.calendars import calendar_of

    ahead: Any = found.study
    history = ahead.history
    print(
        f"{', '.join(history.names)}, {history.unit}: {history.provenance.text()}, "
        f"{len(history.times)} periods from {history.times[0]} to {history.times[-1]}, "
        f"{for_terminal(calendar_of(history.times).text())}"
    )
    print_tested(ahead.backtest, verdict)
    print(f"{TITLES[found.of]}, 90 % intervals:")
    print_table(
        [
            {
                "what": figure.name,
                "value": figure.value,
                "low": figure.low,
                "high": figure.high,
                "n": figure.n,
                "note": figure.note or None,
            }
            for figure in found.figures
        ],
        ["what", "value", "low", "high", "n", "note"],
    )
    end = ahead.times[-1]
    print(f"{ahead.model}, {end}, median and 90 % interval of {draws:,} draws, none below zero:")
    print_table([row for row in rows if row["time"] == end], ["entity", "median", "low", "high"])
    if found.launches:
        print("  launched: " + ", ".join(f"{name} {time}" for name, time in found.launches.items()))
