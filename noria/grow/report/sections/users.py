"""Users in the report: activity, retention, growth accounting, and who will come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from noria.core.figure import Figure
from noria.grow.log.log import Log
from noria.grow.report.charts.chart import Chart, Text
from noria.grow.report.charts.users import acts_forecast_chart, growth_chart, retention_curve, retention_heat
from noria.grow.report.page import Section, Shown, Table
from noria.grow.users.activity import Growth
from noria.grow.users.holdout import HoldOut
from noria.grow.users.retention import Retention

COUNTED = {"day": "天", "week": "周", "month": "个月"}
UNITS: dict[str, tuple[str, str]] = {"day": ("day", "日"), "week": ("week", "周"), "month": ("month", "月")}


def users_section(log: Log, growths: Sequence[Growth], kept: Retention, sticky: Sequence[Figure]) -> Section:
    """Return active users, growth accounting and retention of a log; `growths` by several periods, the first is drawn."""
    facts: dict[str, Any] = {"licence": log.licence, "as_of": log.as_of.isoformat()}
    shown = [
        Shown(
            Figure("users", log.users, log.rows, source=log.source),
            {"en": "Users in the log", "zh": "日志中的用户"},
            {
                "en": f"People who acted at least once from {log.first} to {log.as_of}; n is their acts.",
                "zh": f"{log.first} 至 {log.as_of} 期间至少活动一次的人数；n 为活动次数。",
            },
            **facts,
        ),
    ]
    for growth in growths:
        en, zh = UNITS[growth.unit]
        whole = [row for row in growth.segment() if row.complete]
        if whole:
            shown.append(
                Shown(
                    Figure(f"active by {en}", whole[-1].active, len(whole), source=log.source),
                    {"en": f"Active in the last whole {en}", "zh": f"最近完整{zh}的活跃用户"},
                    {
                        "en": f"Counted from {whole[-1].period}; n is the whole {en}s in the log.",
                        "zh": f"自 {whole[-1].period} 起计；n 为日志中完整的{zh}数。",
                    },
                    **facts,
                )
            )
    en, zh = UNITS[kept.unit]
    shown += [
        Shown(
            point,
            {"en": f"Retention, {en} {age}", "zh": f"第 {age} {COUNTED[kept.unit]}留存"},
            {
                "en": f"Part of all newcomers who were active again exactly {age} {en}{'s' if age > 1 else ''} after their first.",
                "zh": f"新用户在首次活跃后的第 {age} {COUNTED[kept.unit]}再次活跃的比例。",
            },
            percent=True,
            **facts,
        )
        for age, point in enumerate(kept.curve())
        if age in (1, 6, 12)
    ]
    if sticky:
        shown.append(
            Shown(
                sticky[-1],
                {"en": "Stickiness (DAU/MAU)", "zh": "黏性（DAU/MAU）"},
                {
                    "en": "On how large a part of a month's days its users were active, in the last whole month.",
                    "zh": "最近完整月份中，用户活跃天数占全月天数的平均比例。",
                },
                percent=True,
                **facts,
            )
        )
    checked = sum(len(growth.rows) for growth in growths)
    broken = sum(len(growth.defects()) for growth in growths)
    notes: list[Text] = [
        {
            "en": f"Growth accounting checked in {checked:,} periods: active = active before + new + resurrected − churned in "
            f"{'every one' if not broken else f'all but {broken}'}.",
            "zh": f"增长核算已检验 {checked:,} 个时期：{'全部' if not broken else f'除 {broken} 期外均'}满足"
            "“活跃 = 上期活跃 + 新增 + 回流 − 流失”。",
        },
    ]
    notes += [problem.texts() for problem in log.problems]
    charts: list[Chart] = [growth_chart(growth) for growth in growths[:1]]
    charts += [retention_curve(kept), retention_heat(kept)] if len(kept.counts) > 2 else []
    return Section(
        "users",
        {"en": "Users", "zh": "用户"},
        {
            "en": f"Who is active, who is new, who comes back: {log.source}.",
            "zh": f"谁在活跃、谁是新人、谁会回来：{log.source}。",
        },
        shown,
        [replace(chart, source=log.texts()) for chart in charts],
        [replace(growth_table(growth), source=log.texts()) for growth in growths[-1:]],
        notes,
    )


def growth_table(growth: Growth, last: int = 12) -> Table:
    """Return the last periods of growth accounting."""
    names = [
        ("period", "时期"),
        ("before", "上期活跃"),
        ("new", "新增"),
        ("resur\u00adrected", "回流"),
        ("churned", "流失"),
        ("active", "活跃"),
        ("quick ratio", "速动比"),
    ]
    rows: list[list[str | float | Text | None]] = [
        [
            (row.period[:7] if growth.unit == "month" else row.period) + ("" if row.complete else " *"),
            row.before,
            row.new,
            row.resurrected,
            row.churned,
            row.active,
            row.quick_ratio,
        ]
        for row in growth.segment()[-last:]
    ]
    en, zh = UNITS[growth.unit]
    return Table(
        {
            "en": f"Growth accounting, last {len(rows)} {en}s (* not whole)",
            "zh": f"增长核算，最近 {len(rows)} {zh}（* 为不完整）",
        },
        [{"en": name, "zh": chinese} for name, chinese in names],
        rows,
        growth.source,
    )


def lifetime_section(result: HoldOut, log: Log) -> Section:
    """Return the lifetime model's parameters, forecast and hold-out."""
    total, weeks, error = result.figures()
    came = result.outcome.by_week.sum()
    facts: dict[str, Any] = {"licence": log.licence, "as_of": log.as_of.isoformat()}
    verdict: Text = (
        {"en": f"What came, {came:,.0f}, lies inside the interval.", "zh": f"实际为 {came:,.0f}，落在区间之内。"}
        if result.inside
        else {
            "en": f"What came, {came:,.0f}, lies outside the interval: the model knows neither seasons nor campaigns.",
            "zh": f"实际为 {came:,.0f}，落在区间之外：模型不了解季节与营销活动。",
        }
    )
    shown = [
        Shown(
            total,
            {"en": f"Repeat purchases, next {result.weeks} weeks", "zh": f"未来 {result.weeks} 周的复购次数"},
            {
                "en": f"{verdict['en']} The baseline repeats the last 13 weeks{'' if result.nearer else ', and came nearer'}.",
                "zh": f"{verdict['zh']}基线为重复最后 13 周{'' if result.nearer else '，且更接近实际'}。",
            },
            **facts,
        ),
        Shown(
            weeks,
            {"en": "Weeks inside the interval", "zh": "落在区间内的周"},
            {
                "en": "Part of the held-out weeks inside the forecast's 95% interval; 95% is what it promises.",
                "zh": "留出期中落在 95% 预测区间内的周所占比例；承诺值为 95%。",
            },
            percent=True,
            **facts,
        ),
        Shown(
            error,
            {"en": "Error per user", "zh": "人均误差"},
            {
                "en": "Mean absolute error of each user's forecast, in purchases; the baseline lets each user go on at their own rate.",
                "zh": "每位用户预测的平均绝对误差（次）；基线为每位用户保持自己以往的频率。",
            },
            **facts,
        ),
    ]
    parameters = result.model.intervals()
    words = {
        "r": ("shape of the rates", "频率分布的形状"),
        "alpha": ("scale of the rates, weeks", "频率分布的尺度（周）"),
        "a": ("leaving, first shape", "流失分布的第一形状参数"),
        "b": ("leaving, second shape", "流失分布的第二形状参数"),
    }
    tables = [
        Table(
            {"en": "BG/NBD parameters, maximum likelihood", "zh": "BG/NBD 参数（最大似然）"},
            [
                {"en": "parameter", "zh": "参数"},
                {"en": "value", "zh": "值"},
                {"en": "95% low", "zh": "95% 下限"},
                {"en": "95% high", "zh": "95% 上限"},
            ],
            [
                [{"en": f"{name}: {words[name][0]}", "zh": f"{name}：{words[name][1]}"}, value, *parameters[name]]
                for name, value in zip(parameters, result.model.parameters.tolist(), strict=True)
            ],
            log.texts(),
        ),
        Table(
            {"en": "Calibration: purchases a user, by purchases so far", "zh": "校准：按已有复购次数分组的人均购买"},
            [
                {"en": "repeats so far", "zh": "已有复购"},
                {"en": "users", "zh": "用户"},
                {"en": "forecast", "zh": "预测"},
                {"en": "seen", "zh": "实际"},
            ],
            [list(row) for row in result.calibration()],
            log.texts(),
        ),
    ]
    return Section(
        "lifetime",
        {"en": "Lifetime", "zh": "用户生命周期"},
        {
            "en": f"How much known users will still buy: BG/NBD fitted on the weeks up to {result.history.until}, judged on the {result.weeks} "
            "after.",
            "zh": f"现有用户还会购买多少：以截至 {result.history.until} 的数据拟合 BG/NBD，再用其后 {result.weeks} 周检验。",
        },
        shown,
        [acts_forecast_chart(result.ahead, result.outcome.by_week, result.flat, log.texts())],
        tables,
    )
