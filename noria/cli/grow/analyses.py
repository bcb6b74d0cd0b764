"""What else was asked of `noria grow share`, printed: drivers, events, potential, penetration, position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.core.messages import environment_language, for_terminal, message

from .shown import percent, print_table

if TYPE_CHECKING:
    from noria.grow.market.analyses import MarketAnalyses
    from noria.grow.market.drivers.attraction import DriverStudy
    from noria.grow.market.drivers.eventstudy import EventStudy
    from noria.grow.market.penetration import Penetration
    from noria.grow.market.potential import Potential
    from noria.grow.market.targets import Target

_NOT_YET = {"decomposition": "moved", "position": "targets"}


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
        print(for_terminal(message("lines.yet", not_yet=message(f"lines.not_yet.{_NOT_YET[name]}"), why=why)))


def _print_reach(found: Penetration) -> None:
    for figure in found.figures():
        print(figure.text(environment_language()))
    if found.why:
        print(for_terminal(message("lines.identified", why=for_terminal(found.why))))


def _print_drivers(study: DriverStudy) -> None:
    print(
        for_terminal(
            message(
                "lines.what_goes",
                outcome=study.panel.outcome,
                form=study.panel.form,
                size=study.panel.y.size,
                explained=study.explained,
            )
        )
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
    print(for_terminal(message("lines.association_experiment")))


def _print_events(study: EventStudy) -> None:
    import math

    effect = study.effect
    if effect.identified and effect.low is not None and effect.high is not None:
        value, low, high = (math.expm1(x) for x in (effect.value, effect.low, effect.high))
        print(
            for_terminal(
                message(
                    "lines.after_share",
                    driver=effect.driver,
                    value=value,
                    low=low,
                    high=high,
                    n=effect.n,
                    placebos=study.placebos,
                    p=effect.p,
                )
            )
        )
    print(f"  {for_terminal(effect.verdict)}")
    print_table(
        [
            {
                "period": f"{offset:+d}",
                "seen": f"{math.expm1(path):+.1%}",
                "placebo band": None if low != low else f"[{math.expm1(low):+.1%}, {math.expm1(high):+.1%}]",
            }
            for offset, path, low, high in zip(study.offsets, study.path, study.low, study.high, strict=True)
        ],
        ["period", "seen", "placebo band"],
    )
    for item, why in study.skipped:
        print(for_terminal(message("lines.left_out", entity=item.entity, time=item.time, why=for_terminal(why))))


def _print_potential(found: Potential) -> None:
    print(
        for_terminal(
            message(
                "lines.market_size",
                value=message("lines.in_unit", unit=found.unit) if found.unit else "",
                within=found.within,
                n=found.sizes[0].n,
            )
        )
    )
    print_table(
        [
            {"size": figure.name, "median": figure.value, "low": figure.low, "high": figure.high}
            for figure in found.sizes
        ],
        ["size", "median", "low", "high"],
    )
    for approach, bars in found.tornado.items():
        print(for_terminal(message("lines.what_range", approach=approach)))
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
            for_terminal(
                message(
                    "lines.bottom_up",
                    industry=item.industry or message("lines.all_industries"),
                    ratio=item.ratio,
                    low=item.low,
                    high=item.high,
                    verdict=for_terminal(item.verdict),
                )
            )
        )


def _print_position(found: tuple[Target, ...]) -> None:
    print(
        for_terminal(message("lines.segments_users", n=found[0].segment.users.n, source=found[0].segment.users.source))
    )
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
