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
from noria.grow.log.log import Log

from .audience import Audience, Found, Text, of_experiment, of_uplift
from .budget import Budget, Channel
from .design import Design, design
from .experiment import Experiment
from .study import BudgetStudy
from .uplift import Uplift


@dataclass(frozen=True)
class Measure:
    """How one part of the plan will be measured."""

    what: Text
    how: Text
    design: Design | None
    """None where no size can be told."""


@dataclass(frozen=True)
class Expected:
    """What one part of the plan is expected to bring."""

    name: Text
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
    gaps: tuple[Text, ...]
    """What is not known, and what would tell."""
    simulated: bool
    """Whether any part rests on simulated data."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "audience": [
                {**vars(item), "effect": None if item.effect is None else item.effect.as_dict()}
                for item in self.audience
            ],
            "needs": [need.as_dict() for need in self.needs],
            "budget": None if self.budget is None else self.budget.as_dict(),
            "expected": [{"name": item.name, "figure": item.figure.as_dict()} for item in self.expected],
            "measures": [
                {"what": item.what, "how": item.how, "design": None if item.design is None else item.design.as_dict()}
                for item in self.measures
            ],
            "gaps": list(self.gaps),
            "simulated": self.simulated,
            "text": {"en": self.text("en"), "zh": self.text("zh")},
        }

    def text(self, language: str = "en") -> str:
        """Return the plan as plain text, in English (en) or Chinese (zh)."""
        zh = language == "zh"
        lines = ["推广计划" if zh else "Promotion plan"]
        if self.simulated:
            lines.append("（部分依据为模拟数据）" if zh else "(rests in part on simulated data)")
        for title, items in self.parts(language):
            lines += ["", title, *(f"  - {item}" for item in items)]
        return "\n".join(lines)

    def parts(self, language: str) -> list[tuple[str, list[str]]]:
        """Return the plan's parts: a title, and what is said under it."""
        zh = language == "zh"
        mark = "：" if zh else ": "
        found = [
            ("目标人群" if zh else "Whom to address", [_audience(item, language) for item in self.audience]),
            ("信息需求" if zh else "What they ask about", [_need(need, language) for need in self.needs]),
            (
                "渠道与预算" if zh else "Channels and budget",
                [] if self.budget is None else [self.budget.texts()[language]],
            ),
            (
                "预期效果" if zh else "What to expect",
                [f"{item.name[language]}{mark}{_figure_text(item.figure, language)}" for item in self.expected],
            ),
            (
                "如何衡量" if zh else "How it will be measured",
                [f"{item.what[language]}{mark}{item.how[language]}" for item in self.measures],
            ),
            ("尚不清楚" if zh else "Not known", [gap[language] for gap in self.gaps]),
        ]
        return [(title, items) for title, items in found if items]


_GAPS: dict[str, Text] = {
    "who": {
        "en": "Whom to address: an experiment with features of users known before would tell.",
        "zh": "触达谁：需要一次带有用户事前特征的实验。",
    },
    "differ": {
        "en": "Whether users differ in how much they are moved: features known before would tell.",
        "zh": "用户受影响程度是否不同：需要用户的事前特征。",
    },
    "reach": {
        "en": "How many users can be addressed; effects are told per thousand of them.",
        "zh": "可触达的用户数未知；效应按每千人给出。",
    },
    "needs": {
        "en": "What users ask about: a lake of served use, with topics, would tell.",
        "zh": "用户关心什么：需要带主题的服务使用事件。",
    },
    "money": {
        "en": "Channels and budget: spend by channel and week, with what came of it, would tell.",
        "zh": "渠道与预算：需要按周、按渠道的投入与结果数据。",
    },
    "same": {
        "en": "Whether users won by addressing and by moving money are the same: the two are not added.",
        "zh": "触达与预算调整所带来的用户是否重叠：两者不相加。",
    },
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
    gaps: list[Text] = []
    expected: list[Expected] = []
    measures: list[Measure] = []
    audience: tuple[Audience, ...] = ()
    who = of_uplift(whom) if whom is not None else of_experiment(tried) if tried is not None else None
    if tried is not None and not tried.balance.sound:
        gaps.append(tried.balance.texts())
    elif who is None:
        gaps.append(_GAPS["who"])
    else:
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
    name = {
        "en": f"{'A thousand' if reach is None else f'{users:,}'} users addressed, outcome won",
        "zh": f"触达 {'每千' if reach is None else f'{users:,}'} 名用户带来的增量",
    }
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
    en, zh = budget.responses.spend.unit
    gain = budget.gain
    name = {
        "en": f"{budget.responses.spend.outcome_name} from moving money, {periods} {en}s",
        "zh": f"调整预算 {periods} {zh}带来的 {budget.responses.spend.outcome_name}",
    }
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
    said = {
        "en": "half of them are held out at random; half of the effect found is the least worth finding. ",
        "zh": "随机留出一半不触达；以已发现效应的一半为最小可识别效应。",
    }
    return [
        Measure({"en": "Addressing", "zh": "触达"}, {key: said[key] + made.texts()[key] for key in ("en", "zh")}, made)
    ]


def _channel_test(budget: Budget, power: float) -> list[Measure]:
    """Return the experiment that measures the money: one channel up and down by half in periods drawn at random."""
    channel = _to_test(budget)
    if channel is None:
        return []
    responses = budget.responses
    en, zh = responses.spend.unit
    place = responses.channels.index(channel.name) if channel.name in responses.channels else None
    what = {"en": f"Channel {channel.name}", "zh": f"渠道 {channel.name}"}
    if place is None:
        return [
            Measure(
                what,
                {
                    "en": f"nothing can be told before its spend changes: switch it by half, up or down, in {en}s drawn at random.",
                    "zh": f"投入不变则无从判断：在随机抽取的{zh}里将其投入上调或下调一半。",
                },
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
            {
                "en": f"its spend half as much in some {en}s and half as much again in others, drawn at random: {weeks:,} {en}s find the {effect:,.3g} a {en} that it is "
                f"thought to change, with power {power:.0%}.",
                "zh": f"在随机抽取的{zh}里将其投入减半或增加一半：{weeks:,} {zh}可以 {power:.0%} 的功效发现预计每{zh} {effect:,.3g} 的变化。",
            },
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


def _audience(item: Audience, language: str) -> str:
    zh = language == "zh"
    lead = ("触达" if item.address else "不触达") if zh else ("address" if item.address else "leave out")
    mark = "：" if zh else ": "
    effect = (
        ""
        if item.effect is None
        else (("，效应 " if zh else ", effect ") + _figure_text(item.effect, language, item.percent))
    )
    return (
        f"{lead}{mark}{item.name[language]}{'，占' if zh else ', '}{item.share:.0%}{'' if zh else ' of users'}{effect}"
    )


def _need(need: Figure, language: str) -> str:
    ends = f"[{need.low or 0:.1%}, {need.high or 0:.1%}]"
    return (
        f"{need.name}：{need.value:.1%} 的用户 {ends}，n={need.n:,}"
        if language == "zh"
        else f"{need.name}: {need.value:.1%} of users {ends}, n={need.n:,}"
    )


def _figure_text(figure: Figure, language: str, percent: bool = False) -> str:
    level = f"{figure.level:.0%} 区间" if language == "zh" else f"{figure.level:.0%} interval"
    scale, unit = (100, " 个百分点" if language == "zh" else " points") if percent else (1, "")
    value, low, high = (f"{scale * (end or 0.0):+,.4g}" for end in (figure.value, figure.low, figure.high))
    return f"{value}{unit} [{low}, {high}] ({level}, n={figure.n:,})"
