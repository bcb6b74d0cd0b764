"""A promotion plan: whom to address, what they need to hear, where the money goes, what it brings, and how that will be measured.

made = plan(whom=uplift(units), money=study_budget(spend), needs=needs_of(log), reach=50_000)
print(made.text("zh"))
made.as_dict()

It joins what was found and adds nothing of its own: a part for which nothing was found stands in `gaps`, with what would fill
it. Users expected from addressing and users expected from moving money are told apart and never added: they may be the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noria.core.figure import Figure, proportion
from noria.core.messages import LANGUAGES, Message, as_is, joined, message
from noria.grow.log.log import Log

from .audience import Audience, Found, of_experiment, of_uplift
from .budget import Budget, Channel
from .design import Design, design
from .experiment import Experiment
from .study import BudgetStudy
from .uplift import Uplift


@dataclass(frozen=True)
class Measure:
    """How one part of the plan will be measured."""

    what: Message
    how: Message
    design: Design | None
    """None where no size can be told."""


@dataclass(frozen=True)
class Expected:
    """What one part of the plan is expected to bring."""

    name: Message
    figure: Figure


@dataclass(frozen=True)
class Plan:
    """A promotion plan."""

    audience: tuple[Audience, ...]
    needs: tuple[Figure, ...]
    """Topics by the share of users who asked about them, the most asked first."""
    budget: Budget | None
    expected: tuple[Expected, ...]
    measures: tuple[Measure, ...]
    gaps: tuple[Message, ...]
    """What is not known, and what would tell."""
    simulated: bool
    """Whether any part rests on simulated data."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "audience": [
                {
                    **vars(item),
                    "name": item.name.both(),
                    "effect": None if item.effect is None else item.effect.as_dict(),
                }
                for item in self.audience
            ],
            "needs": [need.as_dict() for need in self.needs],
            "budget": None if self.budget is None else self.budget.as_dict(),
            "expected": [{"name": item.name.both(), "figure": item.figure.as_dict()} for item in self.expected],
            "measures": [
                {
                    "what": item.what.both(),
                    "how": item.how.both(),
                    "design": None if item.design is None else item.design.as_dict(),
                }
                for item in self.measures
            ],
            "gaps": [gap.both() for gap in self.gaps],
            "simulated": self.simulated,
            "text": {language: self.text(language) for language in LANGUAGES},
        }

    def text(self, language: str = "en") -> str:
        """Return the plan as plain text, in English (en) or Chinese (zh)."""
        lines = [message("plan.title")[language]]
        if self.simulated:
            lines.append(message("plan.rests_on_simulated")[language])
        for title, items in self.parts():
            lines += ["", title[language], *(f"  - {item[language]}" for item in items)]
        return "\n".join(lines)

    def parts(self) -> list[tuple[Message, list[Message]]]:
        """Return the plan's parts: a title, and what is said under it."""
        found = {
            "audience": [_audience(item) for item in self.audience],
            "needs": [_need(need) for need in self.needs],
            "budget": [] if self.budget is None else [self.budget.text()],
            "expected": [
                message("plan.named", name=item.name, what=_figure_text(item.figure, percent=False))
                for item in self.expected
            ],
            "measures": [message("plan.named", name=item.what, what=item.how) for item in self.measures],
            "gaps": list(self.gaps),
        }
        return [(message(f"plan.part.{name}"), items) for name, items in found.items() if items]


_GAPS: dict[str, Message] = {
    "who": message("plan.gaps.who"),
    "differ": message("plan.gaps.differ"),
    "reach": message("plan.gaps.reach"),
    "needs": message("plan.gaps.needs"),
    "money": message("plan.gaps.money"),
    "same": message("plan.gaps.same"),
}


def plan(
    *,
    tried: Experiment | None = None,
    whom: Uplift | None = None,
    money: BudgetStudy | None = None,
    needs: Sequence[Figure] = (),
    reach: int | None = None,
    periods: int = 12,
    users_a_day: float | None = None,
    power: float = 0.8,
) -> Plan:
    """Return a promotion plan made of what was found.

    Args:
        tried: an experiment.
        whom: whom to address, as the same experiment tells.
        money: how to divide the budget.
        needs: what users ask about.
        reach: users that can be addressed.
        periods: for how many periods of the budget the plan runs.
        users_a_day: users expected a day in the experiment that measures it; tells its days.
        power: of that experiment.
    """
    gaps: list[Message] = []
    expected: list[Expected] = []
    measures: list[Measure] = []
    audience: tuple[Audience, ...] = ()
    who = of_uplift(whom) if whom is not None else of_experiment(tried) if tried is not None else None
    if tried is not None and not tried.balance.sound:
        gaps.append(tried.balance.text())
    if tried is not None:
        gaps += [item.moved for item in tried.comparisons if item.moved]
    if who is None:
        gaps.append(_GAPS["who"])
    elif tried is None or tried.balance.state != "mismatch":
        audience = who.audience
        expected += _expected_users(who, reach)
        measures += _held_out(who, users_a_day, power)
        gaps += [_GAPS["differ"]] if whom is None else []
        gaps += [_GAPS["reach"]] if reach is None and expected else []
    gaps += [] if needs else [_GAPS["needs"]]
    if money is None:
        gaps.append(_GAPS["money"])
    else:
        gained = _expected_gain(money.budget, periods)
        gaps += [_GAPS["same"]] if gained and expected else []
        expected += gained
        measures += _channel_test(money.budget, power)
    notes = [
        tried.units.note if tried else "",
        whom.units.note if whom else "",
        money.budget.responses.spend.note if money else "",
    ]
    budget = money.budget if money else None
    return Plan(audience, tuple(needs), budget, tuple(expected), tuple(measures), tuple(gaps), "simulated" in notes)


def needs_of(log: Log, most: int = 6) -> list[Figure]:
    """Return what users ask about: each topic (the log's segment) with the share of users who did, the most asked first."""
    table = log.table.filter(log.table.segment != "")
    counted = table.group_by("segment").aggregate(users=table.user.nunique()).to_pyarrow().to_pylist()
    ordered = sorted(counted, key=lambda row: (-row["users"], row["segment"]))[:most]
    return [proportion(row["segment"], int(row["users"]), log.users, source=log.source) for row in ordered]


def _expected_users(found: Found, reach: int | None) -> list[Expected]:
    """Return what addressing brings: the effect on those addressed, times how many they are."""
    gap = found.gap
    if gap is None:
        return []
    users = 1000 if reach is None else round(reach * found.share)
    name = message("plan.won.thousand") if reach is None else message("plan.won.users", users=users)
    return [
        Expected(
            name,
            Figure(
                "users won",
                gap.value * users,
                gap.n,
                gap.low * users,
                gap.high * users,
                source=found.units.source,
                level=gap.level,
                note=found.units.note,
            ),
        )
    ]


def _expected_gain(budget: Budget, periods: int) -> list[Expected]:
    """Return what moving the money brings over the plan's periods."""
    if not budget.recommended or budget.gain is None:
        return []
    spend, gain = budget.responses.spend, budget.gain
    name = message("plan.from_moving_money", outcome=spend.outcome_name, periods=periods, unit=spend.unit)
    values = [end * periods for end in (gain.value, gain.low or 0.0, gain.high or 0.0)]
    return [
        Expected(
            name,
            Figure(
                "gain", values[0], gain.n, values[1], values[2], source=gain.source, level=gain.level, note=gain.note
            ),
        )
    ]


def _held_out(found: Found, users_a_day: float | None, power: float) -> list[Measure]:
    """Return the experiment that measures addressing: half of those to be addressed are held out, at random."""
    gap, units = found.gap, found.units
    if gap is None or units.weight is not None:
        return []
    control = units.outcome[units.group == 0]
    # Half of what was found: an estimate that was chosen for being large is more often too large than too small.
    base, effect = float(control.mean()), gap.value / 2
    if found.percent and not 0 < base + effect < 1:
        return []
    made = design(
        base,
        effect,
        deviation=None if found.percent else float(control.std(ddof=1)),
        power=power,
        users_a_day=users_a_day,
    )
    said = message("plan.half_them_held_out_at")
    return [Measure(message("plan.addressing.title"), joined("join.nothing", [said, made.text()]), made)]


def _channel_test(budget: Budget, power: float) -> list[Measure]:
    """Return the experiment that measures the money: one channel up and down by half in periods drawn at random."""
    channel = _to_test(budget)
    if channel is None:
        return []
    responses = budget.responses
    unit = responses.spend.unit
    place = responses.channels.index(channel.name) if channel.name in responses.channels else None
    what = message("plan.channel", name=channel.name)
    if place is None:
        return [
            Measure(
                what,
                message("plan.switch_by_half", unit=unit),
                None,
            )
        ]
    curves = responses.curves([0.5, 1.5], recent=budget.recent)[:, place]
    effect = float(np.median(curves[:, 1] - curves[:, 0]))
    mean = float(responses.spend.outcome[-budget.recent :].mean())
    if not effect > 0 or not responses.noise > 0:
        return []
    made = design(mean, effect, deviation=responses.noise, power=power)
    weeks = math.ceil(made.users)
    return [
        Measure(
            what,
            message("plan.half_and_half_again", unit=unit, weeks=weeks, effect=effect, power=power),
            made,
        )
    ]


def _to_test(budget: Budget) -> Channel | None:
    """Return the channel whose test tells the most: the largest that is not identified, or else the one that is moved furthest."""
    unknown = [channel for channel in budget.channels if channel.status == "unidentified" and channel.spend > 0]
    if unknown:
        return max(unknown, key=lambda channel: channel.spend)
    moved = [channel for channel in budget.channels if channel.planned is not None and channel.spend > 0]
    return max(moved, key=lambda channel: abs((channel.planned or 0.0) - channel.spend), default=None)


def _audience(item: Audience) -> Message:
    effect = (
        as_is("")
        if item.effect is None
        else message("plan.effect", effect=_figure_text(item.effect, percent=item.percent))
    )
    told = {"name": item.name, "share": item.share, "effect": effect}
    return message("plan.address", **told) if item.address else message("plan.leave_out", **told)


def _need(need: Figure) -> Message:
    return message("plan.need", topic=need.name, share=need.value, low=need.low or 0.0, high=need.high or 0.0, n=need.n)


def _figure_text(figure: Figure, *, percent: bool) -> Message:
    scale, unit = (100, message("plan.points")) if percent else (1, as_is(""))
    value, low, high = (f"{scale * (end or 0.0):+,.4g}" for end in (figure.value, figure.low, figure.high))
    return message("plan.figure", value=value, unit=unit, low=low, high=high, level=figure.level, n=figure.n)
