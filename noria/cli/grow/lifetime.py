"""The lifetime models as `noria grow users` prints them: beside one another on the weeks held out, with what was estimated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from noria.core.messages import for_terminal, message

from .shown import print_table

if TYPE_CHECKING:
    from noria.core.figure import Figure
    from noria.grow.users.holdout import HoldOut, LifetimeAhead
    from noria.grow.users.lifetime import LifetimeModel


def print_held_out(held: HoldOut) -> None:
    """Print every model and baseline on the weeks held out, which was chosen and why, and what was estimated."""
    came = float(held.outcome.by_user.sum())
    print(for_terminal(message("worth.table.held_out_acts_came", came=came, weeks=held.weeks, users=held.model.users)))
    print_table(
        [
            {
                "model": for_terminal(rival.title()),
                "acts": f"{rival.total:,.0f}",
                "error a user": _interval(rival.error),
                "deviance a user": _interval(rival.deviance),
                "log_likelihood": None if rival.log_likelihood is None else f"{rival.log_likelihood:,.1f}",
                "standing": for_terminal(held.standing(rival)),
            }
            for rival in held.rivals()
        ],
        ["model", "acts", "error a user", "deviance a user", "log_likelihood", "standing"],
    )
    print(for_terminal(held.verdict()))
    _print_estimates(list(held.models.values()))
    for name, why in held.silences.items():
        print(for_terminal(message("worth.note.silent", model=name, silence=why)))


def print_ahead(ahead: LifetimeAhead) -> None:
    """Print the model of the weeks to come, fitted on all that it may see."""
    print(for_terminal(message("worth.chosen.refitted", model=ahead.model.name, until=ahead.history.until)))
    _print_estimates([ahead.model])


def _print_estimates(models: Sequence[LifetimeModel]) -> None:
    print_table(
        [
            {
                "model": model.name,
                "parameter": name,
                **{key: f"{value:.3f}" for key, value in (("value", estimate), ("low", low), ("high", high))},
                "log_likelihood": f"{model.log_likelihood:,.1f}",
            }
            for model in models
            for estimate, (name, (low, high)) in zip(model.parameters.tolist(), model.intervals().items(), strict=True)
        ],
        ["model", "parameter", "value", "low", "high", "log_likelihood"],
    )


def _interval(figure: Figure | None) -> str | None:
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]" if figure else None
