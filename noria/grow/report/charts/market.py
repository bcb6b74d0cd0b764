"""Charts of a market: shares, concentration, and the share forecast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noria.grow.forecast.shares.attraction import ShareForecast
from noria.grow.market.decompose import Decomposition
from noria.grow.market.share import Shares, concentration

from .chart import PALETTE, Chart, Text, band, dotted, entity_name, frame, line, percent


def share_chart(market: Shares) -> Chart:
    """Return the shares over time, stacked to one."""
    options = frame(list(market.times), {"en": "%", "zh": "%"})
    options["yAxis"]["max"] = 100
    shown = [column for column in range(len(market.entities)) if np.nanmax(market.values[:, column], initial=0.0) > 0]
    options["series"] = [
        {
            "type": "line",
            "stack": "all",
            "areaStyle": {"opacity": 0.85},
            "lineStyle": {"width": 0},
            "symbol": "none",
            "name": entity_name(market.entities[column]),
            "itemStyle": {"color": PALETTE[place % len(PALETTE)]},
            "data": dotted([percent(value) for value in market.values[:, column]]),
        }
        for place, column in enumerate(shown)
    ]
    return Chart(
        {"en": "Market share", "zh": "市场份额"},
        {
            "en": f"Base: {market.base}. Every period sums to 100%; shares on another base would look different.",
            "zh": f"口径：{base_name(market.base)['zh']}。每期合计 100%；换一种口径，份额会不同。",
        },
        market.provenance.texts(),
        options,
    )


def concentration_chart(market: Shares) -> Chart:
    """Return the Herfindahl-Hirschman index over time."""
    rows = concentration(market)
    options = frame([row.time for row in rows], {"en": "HHI", "zh": "HHI"})
    options["yAxis"]["scale"] = True
    options["series"] = [
        line({"en": "HHI", "zh": "HHI"}, [None if row.hhi is None else round(row.hhi) for row in rows], PALETTE[3])
    ]
    return Chart(
        {"en": "Concentration", "zh": "集中度"},
        {
            "en": "HHI is the sum of squared shares, 0 to 10,000; above 1,800 the United States' merger guidelines of 2023 call a market highly "
            "concentrated.",
            "zh": "HHI 为各份额平方之和，0 至 10,000；美国 2023 年合并指南称 1,800 以上为高度集中。",
        },
        market.provenance.texts(),
        options,
        240,
    )


def forecast_chart(
    market: Shares, forecast: ShareForecast, entities: Sequence[str], title: Text, level: float = 0.9
) -> Chart:
    """Return the past and the forecast of some entities' shares, with bands."""
    times = [*market.times, *forecast.times]
    past = len(market.times)
    low, high = forecast.interval(level)
    middle = forecast.median()
    options = frame(times, {"en": "%", "zh": "%"})
    options["series"] = []
    for place, entity in enumerate(entities):
        column = market.entities.index(entity)
        colour = PALETTE[market.entities.index(entity) % len(PALETTE)]
        now = percent(market.values[-1, column])
        gap: list[float | None] = [None] * (past - 1)
        options["series"] += band(
            [*gap, now, *map(percent, low[:, column])],
            [*gap, now, *map(percent, high[:, column])],
            colour,
            entity_name(entity),
            stack=f"band {place}",
        )
        options["series"].append(
            line(entity_name(entity), [percent(value) for value in market.values[:, column]], colour)
        )
        options["series"].append(
            line(entity_name(entity), [*gap, now, *map(percent, middle[:, column])], colour, dashed=True)
        )
    options["legend"]["data"] = [entity_name(entity) for entity in entities]
    return Chart(
        title,
        {
            "en": f"Dashed is the median, the band holds {level:.0%}; each of {len(forecast.draws):,} draws is a whole market that sums to one.",
            "zh": f"虚线为中位数，带状为 {level:.0%} 区间；{len(forecast.draws):,} 次模拟中的每一次都是合计为一的完整市场。",
        },
        market.provenance.texts(),
        options,
    )


def decomposition_chart(found: Decomposition, most: int = 8) -> Chart:
    """Return the change of each entity's share, stacked from what it is made of."""
    rows = found.changes[:most]
    options = frame([row.entity for row in rows], {"en": "points of share", "zh": "份额百分点"})
    options["xAxis"]["data"] = [entity_name(row.entity) for row in rows]
    options["xAxis"]["axisLabel"] = {"interval": 0, "fontSize": 11}
    names: list[tuple[Text, str]] = [
        ({"en": "within segments", "zh": "细分市场内"}, "within"),
        ({"en": "mix of segments", "zh": "结构变化"}, "mix"),
        ({"en": "entry", "zh": "进入"}, "entry"),
        ({"en": "exit", "zh": "退出"}, "exit"),
    ]
    options["series"] = [
        {
            "type": "bar",
            "stack": "all",
            "name": name,
            "barMaxWidth": 44,
            "itemStyle": {"color": PALETTE[place]},
            "data": [round(100 * float(getattr(row, key)), 3) for row in rows],
        }
        for place, (name, key) in enumerate(names)
        if any(getattr(row, key) for row in rows)
    ]
    return Chart(
        {
            "en": f"What moved the shares, {found.before} to {found.after}",
            "zh": f"份额变化的来源，{found.before} 至 {found.after}",
        },
        {
            "en": "Within is winning in the same segments, mix is standing in segments that grow, entry and exit are segments joined and "
            "left; the four add up to each change exactly.",
            "zh": "“细分市场内”指在同一细分市场中的得失，“结构变化”指所处细分市场的增减，“进入/退出”指新进与离开的细分市场；四者之和恰为各自的变化。",
        },
        found.provenance.texts(),
        options,
        280,
    )


def base_name(base: str) -> Text:
    """Return a base's name in both languages."""
    return {"en": base, "zh": _BASES_ZH.get(base, base)}


_BASES_ZH = {
    "share of referred page views": "引荐页面浏览量份额",
    "requests": "请求数",
    "tokens": "词元数",
    "items": "条目数",
    "users": "用户数（每人计入其主要使用者）",
    "reach": "触达用户比例",
    "revenue": "收入",
}
