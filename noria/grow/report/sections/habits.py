"""Habits in the report: from the first act to money, funnel, power users, retention of every kind, and needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from noria.core.figure import Figure
from noria.grow.log.user_days import NO_SEGMENT
from noria.grow.report.charts.chart import Chart, Text
from noria.grow.report.charts.habits import funnel_chart, kinds_chart, power_chart, segments_chart
from noria.grow.report.page import Section, Shown, Table
from noria.grow.users.needs import Need
from noria.grow.users.retention import Retention
from noria.grow.users.study import UserStudy

_STEPS: dict[str, tuple[Text, Text]] = {
    "acquisition": (
        {"en": "Acquisition: new users", "zh": "获取：新用户"},
        {
            "en": "Users whose first act fell into the last whole period; n is all who were active in it.",
            "zh": "首次活动落在最近一个完整周期内的用户；n 为该期全部活跃用户。",
        },
    ),
    "activation": (
        {"en": "Activation", "zh": "激活"},
        {
            "en": "Part of the newcomers who acted often enough in their first days.",
            "zh": "新用户中在最初几天内活动足够多的比例。",
        },
    ),
    "retention": (
        {"en": "Retention, next period", "zh": "留存：下一周期"},
        {
            "en": "Part of the newcomers who were active in the period after their first.",
            "zh": "新用户在首个周期之后的下一周期再次活跃的比例。",
        },
    ),
    "referral": (
        {"en": "Referral", "zh": "推荐"},
        {
            "en": "Part of the users active in the last 28 days who brought someone.",
            "zh": "最近 28 天活跃用户中带来新用户的比例。",
        },
    ),
    "viral": (
        {"en": "Viral coefficient", "zh": "病毒系数"},
        {
            "en": "Newcomers brought a user in 28 days; above one, growth would carry itself.",
            "zh": "28 天内每位用户带来的新用户数；大于 1 则增长可自行持续。",
        },
    ),
    "paying": (
        {"en": "Revenue: paying users", "zh": "收入：付费用户"},
        {"en": "Part of the users active in the last 28 days who paid.", "zh": "最近 28 天活跃用户中付费的比例。"},
    ),
    "revenue": (
        {"en": "Revenue of an active user", "zh": "每位活跃用户的收入"},
        {
            "en": "Amount in 28 days, over all active users, those who paid nothing among them.",
            "zh": "28 天内的金额除以全部活跃用户（含未付费者）。",
        },
    ),
}
_SILENT = {"acquisition": "获取", "activation": "激活", "retention": "留存", "referral": "推荐", "revenue": "收入"}
_PARTS = ("activation", "retention", "referral", "paying")


def habits_section(study: UserStudy) -> Section:
    """Return how users came to use the product, and how they use it."""
    log = study.log
    facts: dict[str, Any] = {"licence": log.licence, "as_of": log.as_of.isoformat()}
    shown = []
    for key, (name, meaning) in _STEPS.items():
        figure: Figure | None = getattr(study.journey, key)
        if figure:
            shown.append(
                Shown(
                    figure,
                    name,
                    {"en": f"{meaning['en']} ({figure.name})", "zh": meaning["zh"]},
                    percent=key in _PARTS,
                    **facts,
                )
            )
    often, top, tenth, gini = study.power.often, *study.power.top, study.power.gini
    shown += [
        Shown(
            often,
            {"en": "Power users", "zh": "重度用户"},
            {
                "en": f"Part of the users active in the last {study.power.days} days who came on half of them or more.",
                "zh": f"最近 {study.power.days} 天的活跃用户中，有一半以上天数活跃的比例。",
            },
            percent=True,
            **facts,
        ),
        Shown(
            top,
            {"en": "Made by the most active 1%", "zh": "最活跃 1% 用户的贡献"},
            {
                "en": "Their part of all acts: how much hangs on a few.",
                "zh": "其活动次数占全部的比例：有多少取决于少数人。",
            },
            percent=True,
            **facts,
        ),
        Shown(
            tenth,
            {"en": "Made by the most active 10%", "zh": "最活跃 10% 用户的贡献"},
            {"en": "Their part of all acts.", "zh": "其活动次数占全部的比例。"},
            percent=True,
            **facts,
        ),
        Shown(
            gini,
            {"en": "Concentration of use (Gini)", "zh": "使用集中度（基尼系数）"},
            {
                "en": "0 where all act as often, near 1 where one does everything.",
                "zh": "人人一样多时为 0，全由一人完成时接近 1。",
            },
            **facts,
        ),
    ]
    charts: list[Chart] = [power_chart(study.power)]
    if study.funnel:
        charts.insert(0, funnel_chart(study.funnel))
    if study.growths[0].by:
        charts.append(segments_chart(study.growths[0]))
    if len(study.retention.counts) > 2:
        charts.append(kinds_chart(study.kinds))
    tables = [
        kinds_table(study.kinds),
        *([funnel_table(study)] if study.funnel else []),
        *needs_tables(study.needs, study.power.days),
    ]
    notes: list[Text] = [
        {
            "en": f"{name.capitalize()} is not measured: {why}.",
            "zh": f"“{_SILENT[name]}”未测量：日志中没有相应记录（{why}）。",
        }
        for name, why in study.journey.silence.items()
    ]
    if not any(need.topic != NO_SEGMENT for need in study.needs):
        notes.append({"en": "Needs are not measured: no act names a topic.", "zh": "需求未测量：没有活动注明主题。"})
    return Section(
        "habits",
        {"en": "Habits and needs", "zh": "使用习惯与需求"},
        {
            "en": "How users come to use the product, how often, and what they ask for.",
            "zh": "用户如何开始使用、多久用一次、想要什么。",
        },
        shown,
        [replace(chart, source=log.texts()) for chart in charts],
        [replace(table, source=log.texts()) for table in tables],
        notes,
    )


def kinds_table(kinds: Sequence[Retention]) -> Table:
    """Return the pooled retention of every kind at its first ages, with intervals."""
    names: dict[str, Text] = {
        "first": {"en": "first-time", "zh": "首次"},
        "recurring": {"en": "recurring", "zh": "重复"},
        "bracketed": {"en": "bracketed", "zh": "分段"},
        "rolling": {"en": "rolling", "zh": "滚动"},
    }
    rows: list[list[str | float | Text | None]] = [
        [
            names[kept.kind],
            kept.age(column + 1),
            round(100 * point.value, 2),
            round(100 * (point.low or 0), 2),
            round(100 * (point.high or 0), 2),
            point.n,
        ]
        for kept in kinds
        for column, point in enumerate(kept.curve()[1:5])
    ]
    heads = [
        ("kind", "类型"),
        (f"{kinds[0].unit}s later", "之后周期"),
        ("% back", "回访 %"),
        ("95% low", "95% 下限"),
        ("95% high", "95% 上限"),
        ("n", "n"),
    ]
    return Table(
        {
            "en": "Retention by four definitions (of recurring cohorts the interval is too narrow: users repeat)",
            "zh": "四种定义的留存（重复型同期群中用户重复出现，区间偏窄）",
        },
        [{"en": en, "zh": zh} for en, zh in heads],
        rows,
    )


def funnel_table(study: UserStudy) -> Table:
    """Return the steps of the funnel with intervals."""
    assert study.funnel
    rows: list[list[str | float | Text | None]] = []
    for at, step in enumerate(study.funnel.steps):
        rate = study.funnel.rate(at) if at else None
        hours = study.funnel.hours(at)
        rows.append(
            [
                step,
                study.funnel.users[at],
                *([100 * rate.value, 100 * (rate.low or 0), 100 * (rate.high or 0)] if rate else [None] * 3),
                *([hours.value, hours.low, hours.high] if hours else [None] * 3),
            ]
        )
    heads = [
        ("step", "步骤"),
        ("users", "用户"),
        ("% of the step before", "占上一步 %"),
        ("95% low", "95% 下限"),
        ("95% high", "95% 上限"),
        ("median hours from entry", "自进入起中位小时"),
        ("95% low", "95% 下限"),
        ("95% high", "95% 上限"),
    ]
    return Table({"en": "Funnel, step by step", "zh": "漏斗各步骤"}, [{"en": en, "zh": zh} for en, zh in heads], rows)


def needs_tables(needs: Sequence[Need], days: int, most: int = 12) -> list[Table]:
    """Return the topics most asked for; none where no topic was noted."""
    named = [need for need in needs if need.topic != NO_SEGMENT]
    if not named:
        return []
    rows: list[list[str | float | Text | None]] = [
        [
            need.app or None,
            need.topic,
            need.requests,
            100 * need.asked.value,
            100 * (need.asked.low or 0),
            100 * (need.asked.high or 0),
            *(
                [100 * need.change.value, f"{100 * (need.change.low or 0):+.1f} … {100 * (need.change.high or 0):+.1f}"]
                if need.change
                else [None, None]
            ),
            100 * need.unmet.value if need.unmet else None,
        ]
        for need in named[:most]
    ]
    heads = [
        ("application", "应用"),
        ("topic", "主题"),
        ("requests", "请求"),
        ("% of users", "占用户 %"),
        ("95% low", "95% 下限"),
        ("95% high", "95% 上限"),
        ("change, points", "变化（百分点）"),
        ("95%", "95% 区间"),
        ("% unmet", "未满足 %"),
    ]
    return [
        Table(
            {
                "en": f"What is asked for, last {days} days ({len(named)} topics)",
                "zh": f"最近 {days} 天的需求（{len(named)} 个主题）",
            },
            [{"en": en, "zh": zh} for en, zh in heads],
            rows,
        )
    ]
