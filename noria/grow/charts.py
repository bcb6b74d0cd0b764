"""Charts as ECharts options: made from the same results that the tables show, drawn by the report and by any page.

Every text a person reads is {"en": ..., "zh": ...}; `localised` picks one. Nothing here draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .forecast.attraction import ShareForecast
from .market.share import Shares, concentration
from .series import Floats
from .users.activity import Growth
from .users.foresight import Foresight
from .users.retention import Retention

Text = Mapping[str, str]
PALETTE = ("#12748c", "#b4692b", "#4f8a3c", "#7a5195", "#c23b5a", "#5b6b73", "#a5a58d", "#d4a72c")
_GREY = "#8a979c"


@dataclass(frozen=True)
class Chart:
    """One chart and what it means."""

    title: Text
    meaning: Text
    """One sentence."""
    source: str | Text
    options: Mapping[str, Any]
    height: int = 320
    """Pixels."""


def localised(value: Any, language: str) -> Any:
    """Return options with every {"en", "zh"} replaced by its text in `language`."""
    if isinstance(value, Mapping):
        if set(value) == {"en", "zh"}:
            return value[language]
        return {key: localised(item, language) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [localised(item, language) for item in value]
    return value


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
    options = _frame([row.period for row in rows], {"en": "users", "zh": "用户"})
    options["series"] = [{"type": "bar", "stack": "all", "name": name, "data": data, "itemStyle": {"color": colour},
                          "barCategoryGap": "10%"} for name, data, colour in parts]  # fmt: skip
    return Chart(
        {"en": f"Growth accounting by {unit['en']}", "zh": f"按{unit['zh']}的用户增长核算"},
        {"en": "Above zero is who was active, below zero who had been active in the period before and was not; in every period "
               "active = before + new + resurrected − churned.",
         "zh": "零线以上为当期活跃用户，以下为上期活跃而本期未活跃者；每期都有：活跃 = 上期活跃 + 新增 + 回流 − 流失。"},
        growth.source, options,
    )  # fmt: skip


def retention_curve(retention: Retention) -> Chart:
    """Return the pooled retention curve with its band."""
    points = retention.curve()[1:]
    ages = [str(age) for age in range(1, len(points) + 1)]
    options = _frame(ages, {"en": "% of cohort", "zh": "占同期群 %"})
    low = [_percent(point.low) for point in points]
    high = [_percent(point.high) for point in points]
    options["series"] = [
        *_band(low, high, PALETTE[0], {"en": "95% interval", "zh": "95% 区间"}),
        _line({"en": "active again", "zh": "再次活跃"}, [_percent(point.value) for point in points], PALETTE[0]),
    ]
    unit = {"day": ("days", "天"), "week": ("weeks", "周"), "month": ("months", "个月")}[retention.unit]
    options["xAxis"]["name"] = {"en": f"{unit[0]} after the first", "zh": f"首次活跃后的{unit[1]}数"}
    return Chart(
        {"en": "Retention curve", "zh": "留存曲线"},
        {"en": f"Of those who came, how many were active exactly so many {unit[0]} later; all cohorts observed that long, pooled.",
         "zh": f"首次到来的用户在若干{unit[1]}之后仍活跃的比例；合并所有观察期足够长的同期群。"},
        retention.source, options,
    )  # fmt: skip


def retention_heat(retention: Retention) -> Chart:
    """Return the triangle of cohorts as a map of colours."""
    cohorts = [name for name, row in retention.counts.items() if row[0]]
    ages = max(len(retention.counts[name]) for name in cohorts) - 1
    cells = [[age - 1, line, round(100 * row[age] / row[0], 1)] for line, name in enumerate(cohorts)
             for row in [retention.counts[name]] for age in range(1, len(row))]  # fmt: skip
    top = float(np.quantile([cell[2] for cell in cells], 0.98)) if cells else 1.0
    options = {
        "tooltip": {"confine": True}, "grid": {"left": 8, "right": 12, "top": 12, "bottom": 56, "containLabel": True},
        "xAxis": {"type": "category", "data": [str(age) for age in range(1, ages + 1)], "splitArea": {"show": False}},
        "yAxis": {"type": "category", "data": [name[:7] if retention.unit == "month" else name for name in cohorts], "inverse": True},
        "visualMap": {"min": 0, "max": round(top, 1), "orient": "horizontal", "left": "center", "bottom": 0, "itemHeight": 120,
                      "text": [f"{top:.0f}%", "0%"], "inRange": {"color": ["#f2f6f7", "#7fb8c6", "#0d5a6d"]}},
        "series": [{"type": "heatmap", "data": cells, "name": {"en": "% active", "zh": "活跃 %"},
                    "label": {"show": ages <= 12 and len(cohorts) <= 12, "fontSize": 10}}],
    }  # fmt: skip
    return Chart(
        {"en": "Retention by cohort", "zh": "各同期群的留存"},
        {"en": "Each row is the users of one first period; the darker a cell, the more of them were active that many periods later.",
         "zh": "每行是同一首次活跃期的用户；颜色越深，表示若干期之后仍活跃的比例越高。"},
        retention.source, options, max(300, 22 * len(cohorts) + 110),
    )  # fmt: skip


def foresight_chart(ahead: Foresight, actual: Floats, flat: float, source: str | Text) -> Chart:
    """Return a held-out forecast by week, what came, and the flat baseline."""
    low, high = ahead.interval(0.95)
    weeks = [str(week) for week in range(1, actual.size + 1)]
    options = _frame(weeks, {"en": "acts", "zh": "次数"})
    options["xAxis"]["name"] = {"en": "weeks after the fit", "zh": "拟合后的周数"}
    options["series"] = [
        *_band(_whole(low), _whole(high), PALETTE[0], {"en": "95% interval", "zh": "95% 区间"}),
        _line({"en": "forecast", "zh": "预测"}, _whole(np.median(ahead.by_week, axis=0)), PALETTE[0]),
        _line({"en": "what came", "zh": "实际"}, _whole(actual), PALETTE[1]),
        _line({"en": "baseline", "zh": "基线"}, [round(flat)] * actual.size, _GREY, dashed=True),
    ]
    inside = int(np.sum((actual >= low) & (actual <= high)))
    return Chart(
        {"en": "Purchases forecast and seen, hold-out", "zh": "留出期的购买：预测与实际"},
        {"en": f"The model saw nothing of these weeks; {inside} of {actual.size} fall inside the interval. The baseline repeats the "
               "mean of its last 13 weeks.",
         "zh": f"模型未见过这些周；{actual.size} 周中有 {inside} 周落在区间内。基线为拟合期最后 13 周的均值。"},
        source, options,
    )  # fmt: skip


def share_chart(market: Shares) -> Chart:
    """Return the shares over time, stacked to one."""
    options = _frame(list(market.times), {"en": "%", "zh": "%"})
    options["yAxis"]["max"] = 100
    shown = [column for column in range(len(market.entities)) if np.nanmax(market.values[:, column], initial=0.0) > 0]
    options["series"] = [
        {"type": "line", "stack": "all", "areaStyle": {"opacity": 0.85}, "lineStyle": {"width": 0}, "symbol": "none",
         "name": _other(market.entities[column]), "itemStyle": {"color": PALETTE[place % len(PALETTE)]},
         "data": [_percent(value) for value in market.values[:, column]]}
        for place, column in enumerate(shown)
    ]  # fmt: skip
    return Chart(
        {"en": "Market share", "zh": "市场份额"},
        {"en": f"Base: {market.base}. Every period sums to 100%; shares on another base would look different.",
         "zh": f"口径：{_base_zh(market.base)}。每期合计 100%；换一种口径，份额会不同。"},
        market.provenance.texts(), options,
    )  # fmt: skip


def concentration_chart(market: Shares) -> Chart:
    """Return the Herfindahl-Hirschman index over time."""
    rows = concentration(market)
    options = _frame([row.time for row in rows], {"en": "HHI", "zh": "HHI"})
    options["yAxis"]["scale"] = True
    options["series"] = [
        _line({"en": "HHI", "zh": "HHI"}, [None if row.hhi is None else round(row.hhi) for row in rows], PALETTE[3])
    ]
    return Chart(
        {"en": "Concentration", "zh": "集中度"},
        {"en": "HHI is the sum of squared shares, 0 to 10,000; above 1,800 the United States' merger guidelines of 2023 call a market highly "
               "concentrated.",
         "zh": "HHI 为各份额平方之和，0 至 10,000；美国 2023 年合并指南称 1,800 以上为高度集中。"},
        market.provenance.texts(), options, 240,
    )  # fmt: skip


def forecast_chart(
    market: Shares, forecast: ShareForecast, entities: Sequence[str], title: Text, level: float = 0.9
) -> Chart:
    """Return the past and the forecast of some entities' shares, with bands."""
    times = [*market.times, *forecast.times]
    past = len(market.times)
    low, high = forecast.interval(level)
    middle = forecast.median()
    options = _frame(times, {"en": "%", "zh": "%"})
    options["series"] = []
    for place, entity in enumerate(entities):
        column = market.entities.index(entity)
        colour = PALETTE[market.entities.index(entity) % len(PALETTE)]
        now = _percent(market.values[-1, column])
        gap: list[float | None] = [None] * (past - 1)
        options["series"] += _band([*gap, now, *map(_percent, low[:, column])], [*gap, now, *map(_percent, high[:, column])], colour,
                                   _other(entity), stack=f"band {place}")  # fmt: skip
        options["series"].append(_line(_other(entity), [_percent(value) for value in market.values[:, column]], colour))
        options["series"].append(
            _line(_other(entity), [*gap, now, *map(_percent, middle[:, column])], colour, dashed=True)
        )
    options["legend"]["data"] = [_other(entity) for entity in entities]
    return Chart(
        title,
        {"en": f"Dashed is the median, the band holds {level:.0%}; each of {len(forecast.draws):,} draws is a whole market that sums to one.",
         "zh": f"虚线为中位数，带状为 {level:.0%} 区间；{len(forecast.draws):,} 次模拟中的每一次都是合计为一的完整市场。"},
        market.provenance.texts(), options,
    )  # fmt: skip


def bar_chart(
    names: Sequence[str], values: Sequence[float], title: Text, meaning: Text, source: str | Text, unit: Text
) -> Chart:
    """Return plain bars, one for each name."""
    options = _frame(list(names), unit)
    options["legend"]["show"] = False
    options["xAxis"]["axisLabel"] = {"interval": 0, "fontSize": 11}
    options["series"] = [
        {"type": "bar", "name": unit, "data": list(values), "itemStyle": {"color": PALETTE[0]}, "barMaxWidth": 48}
    ]
    return Chart(title, meaning, source, options, 260)


def _frame(categories: list[str], unit: Text) -> dict[str, Any]:
    return {
        "animation": False,
        "tooltip": {"trigger": "axis", "confine": True},
        "legend": {"top": 0},
        "grid": {"left": 8, "right": 16, "top": 56, "bottom": 28, "containLabel": True},
        "xAxis": {"type": "category", "data": categories, "nameLocation": "middle", "nameGap": 28, "axisLabel": {"hideOverlap": True}},
        "yAxis": {"type": "value", "name": unit, "nameTextStyle": {"align": "left"}},
        "series": [],
    }  # fmt: skip


def _line(name: Text, data: Sequence[float | None], colour: str, *, dashed: bool = False) -> dict[str, Any]:
    return {"type": "line", "name": name, "data": list(data), "symbol": "none", "itemStyle": {"color": colour},
            "lineStyle": {"color": colour, "width": 2, "type": "dashed" if dashed else "solid"}}  # fmt: skip


def _band(
    low: Sequence[float | None], high: Sequence[float | None], colour: str, name: Text, stack: str = "band"
) -> list[dict[str, Any]]:
    """Return the two stacked lines that ECharts draws a band with: the lower end unseen, and the height above it."""
    height = [None if a is None or b is None else round(b - a, 3) for a, b in zip(low, high, strict=True)]
    hidden = {
        "type": "line",
        "stack": stack,
        "symbol": "none",
        "lineStyle": {"opacity": 0},
        "silent": True,
        "tooltip": {"show": False},
    }
    return [{**hidden, "data": list(low)}, {**hidden, "name": name, "data": height, "areaStyle": {"color": colour, "opacity": 0.18},
                                            "itemStyle": {"color": colour}}]  # fmt: skip


def _percent(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else round(100 * float(value), 2)


def _whole(values: Floats) -> list[float | None]:
    return [round(float(value)) for value in values]


def _other(entity: str) -> Text:
    return {"en": entity, "zh": "其他" if entity == "Other" else entity}


def _base_zh(base: str) -> str:
    return {"share of referred page views": "引荐页面浏览量份额"}.get(base, base)
