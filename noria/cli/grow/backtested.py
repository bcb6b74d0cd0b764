"""The back-test of a forecast as `noria grow forecast` tells it: for people, and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noria.core.messages import Message, for_terminal, message

from .shown import percent, print_table

if TYPE_CHECKING:
    from noria.grow.forecast.scoring.rolling import Backtest


def verdict_of(test: Backtest | None, silence: str) -> Message:
    """Return what the back-test says, or why there is none."""
    return test.verdict() if test else message("forecast.no_back_test", silence=silence)


def tested(test: Backtest | None) -> dict[str, Any]:
    """Return the back-test for programs."""
    if test is None:
        return {"backtest": [], "weights": {}, "silent": {}}
    return {"backtest": [item.as_dict() for item in test.standings], "weights": test.weights, "silent": test.silent}


def print_tested(test: Backtest | None, verdict: Message) -> None:
    """Print the verdict and how every model did."""
    print(for_terminal(verdict))
    if test is None:
        return
    rows = [
        {
            **item.as_dict(),
            "gain": item.gain.value if item.gain else None,
            "weight": test.weights.get(item.model),
            "inside 90 %": percent(item.coverage["90%"]),
        }
        for item in test.standings
    ]
    print_table(rows, ["model", "trials", "log_score", "gain", "energy", "crps", "mase", "inside 90 %", "weight"])
    for name, why in test.silent.items():
        print(f"  {name} took no part: {why}")
