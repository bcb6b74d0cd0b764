"""Charts of habits: retention of every kind, funnels, active days, growth by segment, and how long users stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noria.grow.users.activity import Growth
from noria.grow.users.funnel import Funnel
from noria.grow.users.power import Power
from noria.grow.users.retention import Retention
from noria.grow.users.survival import Survival

from .chart import PALETTE, Chart, Text, band, frame, line, percent

KINDS: dict[str, Text] = {
    "first": {"en": "of newcomers, in just that period", "zh": "新用户，恰在该期"},
    "recurring": {"en": "of anyone active, in just that period", "zh": "任一活跃用户，恰在该期"},
    "rolling": {"en": "of newcomers, then or later", "zh": "新用户，该期或之后"},
}
"""Kinds that share one axis of ages; brackets have their own."""
_UNITS = {"day": ("days", "天"), "week": ("weeks", "周"), "month": ("months", "个月")}


def kinds_chart(kinds: Sequence[Retention]) -> Chart:
    """Return the pooled curves of retention, one a kind."""
    drawn = [(kept, kept.curve()[1:]) for kept in kinds if kept.kind in KINDS]
    ages = max(len(points) for _, points in drawn)
    options = frame([str(age) for age in range(1, ages + 1)], {"en": "% of cohort", "zh": "占同期群 %"})
    unit = _UNITS[kinds[0].unit]
    options["xAxis"]["name"] = {"en": f"{unit[0]} later", "zh": f"之后的{unit[1]}数"}
    options["series"] = [
        line(KINDS[kept.kind], [percent(point.value) for point in points], PALETTE[place])
        for place, (kept, points) in enumerate(drawn)
    ]
    return Chart(
        {"en": "What “retention” means changes the curve", "zh": "“留存”的定义不同，曲线也不同"},
        {
            "en": "The same users by three definitions; compare a product only with figures of the same one. Intervals stand in the table.",
            "zh": "同一批用户按三种定义计算；只可与同一定义的数字相比。区间见表。",
        },
        kinds[0].source,
        options,
    )


def funnel_chart(found: Funnel) -> Chart:
    """Return the users that came to each step."""
    options = frame(list(found.steps), {"en": "users", "zh": "用户"})
    options["legend"]["show"] = False
    options["series"] = [
        {
            "type": "bar",
            "name": {"en": "users", "zh": "用户"},
            "data": list(found.users),
            "barMaxWidth": 64,
            "itemStyle": {"color": PALETTE[0]},
            "label": {"show": True, "position": "top"},
        }
    ]
    lost = [one - other for one, other in zip(found.users, found.users[1:], strict=False)]
    place = int(np.argmax(lost))
    en, zh = {
        "ordered": ("in this order", "按此顺序"),
        "strict": ("one right after the other", "紧接着依次"),
        "any": ("in any order", "不论顺序"),
    }[found.order]
    window = (
        {"en": f" within {found.days:g} days", "zh": f"，{found.days:g} 天之内"} if found.days else {"en": "", "zh": ""}
    )
    return Chart(
        {"en": "Funnel", "zh": "转化漏斗"},
        {
            "en": f"Users who took the steps {en}{window['en']}; most are lost at “{found.steps[place + 1]}”.",
            "zh": f"{zh}{window['zh']}完成各步骤的用户；流失最多的一步是“{found.steps[place + 1]}”。",
        },
        found.source,
        options,
        300,
    )


def power_chart(found: Power) -> Chart:
    """Return how many users were active on 1, 2 ... of the last days."""
    options = frame([str(day) for day in range(1, found.days + 1)], {"en": "users", "zh": "用户"})
    options["legend"]["show"] = False
    options["xAxis"]["name"] = {
        "en": f"active days of the last {found.days}",
        "zh": f"最近 {found.days} 天中的活跃天数",
    }
    options["series"] = [
        {
            "type": "bar",
            "name": {"en": "users", "zh": "用户"},
            "data": list(found.histogram),
            "itemStyle": {"color": PALETTE[0]},
        }
    ]
    return Chart(
        {"en": "Power users", "zh": "重度用户"},
        {
            "en": "A product used by habit has a second hill at the right; one without it is used now and then.",
            "zh": "习惯性使用的产品在右侧有第二个高峰；没有则说明只是偶尔使用。",
        },
        found.top[0].source,
        options,
        280,
    )


def survival_chart(found: Survival) -> Chart:
    """Return the Kaplan-Meier curve with Greenwood's band."""
    at = np.unique(np.linspace(0, found.longest, 80).astype(int))
    points = [found.at(int(day)) for day in at]
    options = frame([str(day) for day in at], {"en": "% of users", "zh": "占用户 %"})
    options["xAxis"]["name"] = {"en": "days after the first act", "zh": "首次活动后的天数"}
    options["series"] = [
        *band(
            [percent(point.low) for point in points],
            [percent(point.high) for point in points],
            PALETTE[0],
            {"en": "95% interval", "zh": "95% 区间"},
        ),
        {
            **line({"en": "not lapsed", "zh": "未流失"}, [percent(point.value) for point in points], PALETTE[0]),
            "step": "end",
        },
    ]
    return Chart(
        {"en": "How long users stay", "zh": "用户停留多久"},
        {
            "en": f"Part of {found.users:,} users who had not yet gone {found.lapse_days} days without an act; users still there count as far as "
            "they were watched.",
            "zh": f"{found.users:,} 位用户中尚未连续 {found.lapse_days} 天无活动者的比例；仍活跃者只计到其观察期末。",
        },
        found.source,
        options,
    )


def segments_chart(growth: Growth, most: int = 8) -> Chart:
    """Return the active users of the largest segments of a rollup's first column."""
    top = [name for name in growth.segments() if any(row.depth == 1 for row in growth.segment(name))][:most]
    whole = [row.period for row in growth.segment() if row.complete]
    options = frame(whole, {"en": "active users", "zh": "活跃用户"})
    options["series"] = [
        line(
            {"en": name, "zh": name},
            [row.active for row in growth.segment(name) if row.complete],
            PALETTE[place % len(PALETTE)],
        )
        for place, name in enumerate(top)
    ]
    return Chart(
        {"en": f"Active users by {growth.by[0]}", "zh": f"按 {growth.by[0]} 划分的活跃用户"},
        {
            "en": "A user of two segments counts in both, so the lines add up to more than all users.",
            "zh": "使用两个分组的用户在两处各计一次，故各线之和大于全部用户。",
        },
        growth.source,
        options,
    )
