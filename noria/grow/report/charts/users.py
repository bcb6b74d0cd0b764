"""Charts of users: growth accounting, retention, and the lifetime model's hold-out."""

from __future__ import annotations

import numpy as np

from noria.grow.series.series import Floats
from noria.grow.users.activity import Growth
from noria.grow.users.foresight import ActsForecast
from noria.grow.users.retention import Retention

from .chart import GREY, PALETTE, Chart, Text, band, frame, line, percent, whole


def growth_chart(growth: Growth, segment: str = "") -> Chart:
    """Return who came, came back, stayed and left, period by period. Only whole periods are drawn."""
    rows = [row for row in growth.segment(segment) if row.complete]
    unit = {"day": {"en": "day", "zh": "日"}, "week": {"en": "week", "zh": "周"}, "month": {"en": "month", "zh": "月"}}[
        growth.unit
    ]
    parts: list[tuple[Text, list[int], str]] = [
        ({"en": "retained", "zh": "留存"}, [row.retained for row in rows], PALETTE[0]),
        ({"en": "resurrected", "zh": "回流"}, [row.resurrected for row in rows], PALETTE[2]),
        ({"en": "new", "zh": "新增"}, [row.new for row in rows], PALETTE[7]),
        ({"en": "churned", "zh": "流失"}, [-row.churned for row in rows], PALETTE[4]),
    ]
    options = frame([row.period for row in rows], {"en": "users", "zh": "用户"})
    options["series"] = [
        {
            "type": "bar",
            "stack": "all",
            "name": name,
            "data": data,
            "itemStyle": {"color": colour},
            "barCategoryGap": "10%",
        }
        for name, data, colour in parts
    ]
    return Chart(
        {"en": f"Growth accounting by {unit['en']}", "zh": f"按{unit['zh']}的用户增长核算"},
        {
            "en": "Above zero is who was active, below zero who had been active in the period before and was not; in every period "
            "active = before + new + resurrected − churned.",
            "zh": "零线以上为当期活跃用户，以下为上期活跃而本期未活跃者；每期都有：活跃 = 上期活跃 + 新增 + 回流 − 流失。",
        },
        growth.source,
        options,
    )


def retention_curve(retention: Retention) -> Chart:
    """Return the pooled retention curve with its band."""
    points = retention.curve()[1:]
    ages = [str(age) for age in range(1, len(points) + 1)]
    options = frame(ages, {"en": "% of cohort", "zh": "占同期群 %"})
    low = [percent(point.low) for point in points]
    high = [percent(point.high) for point in points]
    options["series"] = [
        *band(low, high, PALETTE[0], {"en": "95% interval", "zh": "95% 区间"}),
        line({"en": "active again", "zh": "再次活跃"}, [percent(point.value) for point in points], PALETTE[0]),
    ]
    unit = {"day": ("days", "天"), "week": ("weeks", "周"), "month": ("months", "个月")}[retention.unit]
    options["xAxis"]["name"] = {"en": f"{unit[0]} after the first", "zh": f"首次活跃后的{unit[1]}数"}
    return Chart(
        {"en": "Retention curve", "zh": "留存曲线"},
        {
            "en": f"Of those who came, how many were active exactly so many {unit[0]} later; all cohorts observed that long, pooled.",
            "zh": f"首次到来的用户在若干{unit[1]}之后仍活跃的比例；合并所有观察期足够长的同期群。",
        },
        retention.source,
        options,
    )


def retention_heat(retention: Retention) -> Chart:
    """Return the triangle of cohorts as a map of colours."""
    cohorts = [name for name, row in retention.counts.items() if row[0]]
    ages = max(len(retention.counts[name]) for name in cohorts) - 1
    cells = [
        [age - 1, line, round(100 * row[age] / row[0], 1)]
        for line, name in enumerate(cohorts)
        for row in [retention.counts[name]]
        for age in range(1, len(row))
    ]
    top = float(np.quantile([cell[2] for cell in cells], 0.98)) if cells else 1.0
    options = {
        "tooltip": {"confine": True},
        "grid": {"left": 8, "right": 12, "top": 12, "bottom": 56, "containLabel": True},
        "xAxis": {"type": "category", "data": [str(age) for age in range(1, ages + 1)], "splitArea": {"show": False}},
        "yAxis": {
            "type": "category",
            "data": [name[:7] if retention.unit == "month" else name for name in cohorts],
            "inverse": True,
        },
        "visualMap": {
            "min": 0,
            "max": round(top, 1),
            "orient": "horizontal",
            "left": "center",
            "bottom": 0,
            "itemHeight": 120,
            "text": [f"{top:.0f}%", "0%"],
            "inRange": {"color": ["#f2f6f7", "#7fb8c6", "#0d5a6d"]},
        },
        "series": [
            {
                "type": "heatmap",
                "data": cells,
                "name": {"en": "% active", "zh": "活跃 %"},
                "label": {"show": ages <= 12 and len(cohorts) <= 12, "fontSize": 10},
            }
        ],
    }
    return Chart(
        {"en": "Retention by cohort", "zh": "各同期群的留存"},
        {
            "en": "Each row is the users of one first period; the darker a cell, the more of them were active that many periods later.",
            "zh": "每行是同一首次活跃期的用户；颜色越深，表示若干期之后仍活跃的比例越高。",
        },
        retention.source,
        options,
        max(300, 22 * len(cohorts) + 110),
    )


def acts_forecast_chart(ahead: ActsForecast, actual: Floats, flat: float, source: str | Text) -> Chart:
    """Return a held-out forecast by week, what came, and the flat baseline."""
    low, high = ahead.interval(0.95)
    weeks = [str(week) for week in range(1, actual.size + 1)]
    options = frame(weeks, {"en": "acts", "zh": "次数"})
    options["xAxis"]["name"] = {"en": "weeks after the fit", "zh": "拟合后的周数"}
    options["series"] = [
        *band(whole(low), whole(high), PALETTE[0], {"en": "95% interval", "zh": "95% 区间"}),
        line({"en": "forecast", "zh": "预测"}, whole(np.median(ahead.by_week, axis=0)), PALETTE[0]),
        line({"en": "what came", "zh": "实际"}, whole(actual), PALETTE[1]),
        line({"en": "baseline", "zh": "基线"}, [round(flat)] * actual.size, GREY, dashed=True),
    ]
    inside = int(np.sum((actual >= low) & (actual <= high)))
    return Chart(
        {"en": "Purchases forecast and seen, hold-out", "zh": "留出期的购买：预测与实际"},
        {
            "en": f"The model saw nothing of these weeks; {inside} of {actual.size} fall inside the interval. The baseline repeats the "
            "mean of its last 13 weeks.",
            "zh": f"模型未见过这些周；{actual.size} 周中有 {inside} 周落在区间内。基线为拟合期最后 13 周的均值。",
        },
        source,
        options,
    )
