"""Charts of a market: shares, concentration, and the share forecast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..forecast.attraction import ShareForecast
from ..market.share import Shares, concentration
from .chart import PALETTE, Chart, Text, band, entity_name, frame, line, percent


def share_chart(market: Shares) -> Chart:
    """Return the shares over time, stacked to one."""
    options = frame(list(market.times), {"en": "%", "zh": "%"})
    options["yAxis"]["max"] = 100
    shown = [column for column in range(len(market.entities)) if np.nanmax(market.values[:, column], initial=0.0) > 0]
    options["series"] = [
        {"type": "line", "stack": "all", "areaStyle": {"opacity": 0.85}, "lineStyle": {"width": 0}, "symbol": "none",
         "name": entity_name(market.entities[column]), "itemStyle": {"color": PALETTE[place % len(PALETTE)]},
         "data": [percent(value) for value in market.values[:, column]]}
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
    options = frame([row.time for row in rows], {"en": "HHI", "zh": "HHI"})
    options["yAxis"]["scale"] = True
    options["series"] = [
        line({"en": "HHI", "zh": "HHI"}, [None if row.hhi is None else round(row.hhi) for row in rows], PALETTE[3])
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
    options = frame(times, {"en": "%", "zh": "%"})
    options["series"] = []
    for place, entity in enumerate(entities):
        column = market.entities.index(entity)
        colour = PALETTE[market.entities.index(entity) % len(PALETTE)]
        now = percent(market.values[-1, column])
        gap: list[float | None] = [None] * (past - 1)
        options["series"] += band([*gap, now, *map(percent, low[:, column])], [*gap, now, *map(percent, high[:, column])], colour,
                                   entity_name(entity), stack=f"band {place}")  # fmt: skip
        options["series"].append(
            line(entity_name(entity), [percent(value) for value in market.values[:, column]], colour)
        )
        options["series"].append(
            line(entity_name(entity), [*gap, now, *map(percent, middle[:, column])], colour, dashed=True)
        )
    options["legend"]["data"] = [entity_name(entity) for entity in entities]
    return Chart(
        title,
        {"en": f"Dashed is the median, the band holds {level:.0%}; each of {len(forecast.draws):,} draws is a whole market that sums to one.",
         "zh": f"虚线为中位数，带状为 {level:.0%} 区间；{len(forecast.draws):,} 次模拟中的每一次都是合计为一的完整市场。"},
        market.provenance.texts(), options,
    )  # fmt: skip


def _base_zh(base: str) -> str:
    return {"share of referred page views": "引荐页面浏览量份额"}.get(base, base)
