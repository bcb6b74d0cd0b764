"""Whom to address, as an experiment or its uplift tells: those most moved, everyone alike, or no one."""

from __future__ import annotations

from dataclasses import dataclass

from noria.core.figure import Figure
from noria.core.messages import Message, joined, message

from .difference import Difference
from .experiment import Experiment
from .units import Units
from .uplift import Uplift


@dataclass(frozen=True)
class Audience:
    """Users to address, or not."""

    name: Message
    share: float
    """Of the users of the experiment."""
    effect: Figure | None
    """What addressing one of them changes; None where it is not known."""
    address: bool
    percent: bool
    """Whether the effect is one on a rate, told in points."""


@dataclass(frozen=True)
class Found:
    """Whom to address, and the effect on them, whichever way it was found."""

    audience: tuple[Audience, ...]
    gap: Difference | None
    """On those to be addressed; None where there are none, or too few to tell."""
    share: float
    units: Units
    percent: bool


def of_uplift(whom: Uplift) -> Found:
    """Return those most moved where there are such, else everyone or no one."""
    if whom.decision == "some":
        traits = [f"{trait.name} {'+' if trait.distance > 0 else '−'}" for trait in whom.traits[:3]]
        return Found(
            (
                Audience(
                    message("plan.those_most_moved", traits=joined("join.comma", traits)),
                    whom.share,
                    _effect(whom.addressed, whom.units),
                    True,
                    whom.binary,
                ),
                Audience(
                    message("plan.others"),
                    1 - whom.share,
                    _effect(whom.others, whom.units),
                    False,
                    whom.binary,
                ),
            ),
            whom.addressed,
            whom.share,
            whom.units,
            whom.binary,
        )
    name = message(f"plan.audience.{whom.decision.replace(' ', '_')}")
    address = whom.decision == "everyone"
    one = Audience(name, 1.0, _effect(whom.everyone, whom.units), address, whom.binary)
    return Found((one,), whom.everyone if address else None, 1.0, whom.units, whom.binary)


def of_experiment(tried: Experiment) -> Found:
    """Return everyone with the best of the clear variants, or no one."""
    percent = tried.metric == "rate"
    clear = [item.found for item in tried.comparisons if item.clear and item.found.low > 0]
    if clear:
        best = max(clear, key=lambda gap: gap.value)
        name = message("plan.everyone_alike_with", variant=best.variant)
        return Found((Audience(name, 1.0, _effect(best, tried.units), True, percent),), best, 1.0, tried.units, percent)
    rows = tuple(
        Audience(
            message("plan.everyone_with_no_clear_rise", variant=item.found.variant),
            1.0,
            _effect(item.found, tried.units),
            False,
            percent,
        )
        for item in tried.comparisons
    )
    return Found(rows, None, 1.0, tried.units, percent)


def _effect(gap: Difference | None, units: Units) -> Figure | None:
    return (
        None
        if gap is None
        else Figure(
            "effect", gap.value, gap.n, gap.low, gap.high, source=units.source, level=gap.level, note=units.note
        )
    )
