"""What else was asked of `noria grow share`, printed: drivers, events, potential, penetration, position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.core.messages import for_terminal

from .shown import percent, print_table

if TYPE_CHECKING:
    from noria.grow.market.analyses import MarketAnalyses
    from noria.grow.market.drivers.attraction import DriverStudy
    from noria.grow.market.drivers.eventstudy import EventStudy
    from noria.grow.market.penetration import Penetration
    from noria.grow.market.potential import Potential
    from noria.grow.market.targets import Target

_NOT_YET = {"decomposition": "what moved the shares", "position": "segments and targets"}


def print_asked(found: MarketAnalyses) -> None:
    """Print the answers beside the shares, and what cannot be said yet."""
    if found.potential:
        _print_potential(found.potential)
    if found.position:
        _print_position(found.position)
    if found.drivers.explained:
        _print_drivers(found.drivers.explained)
    if found.drivers.followed:
        _print_events(found.drivers.followed)
    if found.reach:
        _print_reach(found.reach)
    for name, why in found.silence.items():
        print(f"{_NOT_YET[name]}: not yet: {why}")


def _print_reach(found: Penetration) -> None:
    for figure in found.figures():
        print(figure.text())
    if found.why:
        print(f"not identified: {for_terminal(found.why)}")


def _print_drivers(study: DriverStudy) -> None:
    print(
        f"what goes with the logarithm of {study.panel.outcome} ({study.panel.form}), entities and periods held fixed, "
        f"n = {study.panel.y.size:,}, {study.explained:.0%} of what is left explained:"
    )
    print_table(
        [
            {
                "driver": effect.driver,
                "effect": _digits(effect.value) if effect.identified else None,
                "low": _digits(effect.low),
                "high": _digits(effect.high),
                "error ignored": _digits(effect.naive),
                "clusters": effect.clusters,
                "interval": effect.method,
                "meaning": for_terminal(effect.verdict),
            }
            for effect in study.effects
        ],
        ["driver", "effect", "low", "high", "error ignored", "clusters", "interval", "meaning"],
    )
    for driver, values in study.elasticities().items():
        print(f"  own elasticity to {driver}: " + ", ".join(f"{name} {value:+.3f}" for name, value in values.items()))
    for problem in study.panel.problems:
        print(f"  {for_terminal(problem)}")
    print("  association, not an experiment: what drives both a driver and the share would show here too")


def _print_events(study: EventStudy) -> None:
    import math

    effect = study.effect
    if effect.identified and effect.low is not None and effect.high is not None:
        value, low, high = (math.expm1(x) for x in (effect.value, effect.low, effect.high))
        print(
            f"after {effect.driver}: share beside rivals {value:+.1%} [{low:+.1%}, {high:+.1%}] n={effect.n} event(s), "
            f"{study.placebos} placebo events, p = {effect.p:.2f}"
        )
    print(f"  {for_terminal(effect.verdict)}")
    print_table(
        [
            {
                "period": f"{offset:+d}",
                "seen": f"{math.expm1(path):+.1%}",
                "placebo band": None if low != low else f"{math.expm1(low):+.1%} to {math.expm1(high):+.1%}",
            }
            for offset, path, low, high in zip(study.offsets, study.path, study.low, study.high, strict=True)
        ],
        ["period", "seen", "placebo band"],
    )
    for item, why in study.skipped:
        print(f"  {item.entity} {item.time} left out: {for_terminal(why)}")


def _print_potential(found: Potential) -> None:
    print(
        f"market size{f' in {found.unit}' if found.unit else ''}, {found.within:.0%} of {found.sizes[0].n:,} draws from the ranges:"
    )
    print_table(
        [
            {"size": figure.name, "median": figure.value, "low": figure.low, "high": figure.high}
            for figure in found.sizes
        ],
        ["size", "median", "low", "high"],
    )
    for approach, bars in found.tornado.items():
        print(f"{approach}: what the range comes from, the total with one input at its ends")
        print_table(
            [
                {
                    "input": f"{bar.industry}: {bar.factor}" if bar.industry else bar.factor,
                    "at its low": bar.low,
                    "at its high": bar.high,
                    "part of the range": percent(bar.part),
                    "source": bar.source,
                }
                for bar in bars
            ],
            ["input", "at its low", "at its high", "part of the range", "source"],
        )
    for item in found.agreements:
        print(
            f"  {item.industry or 'all'}: bottom-up over top-down {item.ratio:.2f} [{item.low:.2f}, {item.high:.2f}]: {for_terminal(item.verdict)}"
        )


def _print_position(found: tuple[Target, ...]) -> None:
    print(f"segments of {found[0].segment.users.n:,} users, {found[0].segment.users.source}, the best target first:")
    print_table(
        [
            {
                "segment": for_terminal(target.segment.name),
                "users": percent(target.segment.users.value),
                "value": percent(target.segment.value.value),
                "a user": target.segment.each.value,
                "score": target.score,
                "first in": percent(target.first.value),
                "why": for_terminal(target.reason),
            }
            for target in found
        ],
        ["segment", "users", "value", "a user", "score", "first in", "why"],
    )
    for target in found:
        print(f"  {for_terminal(target.segment.name)}: {for_terminal(target.segment.reason)}")


def _digits(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
