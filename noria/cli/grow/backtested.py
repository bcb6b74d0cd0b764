"""The back-test of a forecast as `noria grow forecast` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.core.messages import Message, for_terminal, message

from .shown import percent, print_table

if TYPE_CHECKING:
    from noria.grow.forecast.scoring.standings import Backtest


def print_tested(test: Backtest | None, verdict: Message) -> None:
    """Print the verdict and how every model did."""
    print(for_terminal(verdict))
    if test is None:
        return
    rows = [
        {
            **item.as_dict(),
            "gain": item.gain.value if item.gain else None,
            "lead": f"{item.lead.value:+.0%}" if item.lead else None,
            "weight": test.weights.get(item.model),
            "inside 90 %": percent(item.coverage["90%"]),
        }
        for item in test.standings
    ]
    print_table(
        rows, ["model", "trials", "energy", "lead", "crps", "log_score", "gain", "mase", "inside 90 %", "weight"]
    )
    for name, why in test.silent.items():
        print(for_terminal(message("lines.took_part", name=name, why=why)))
