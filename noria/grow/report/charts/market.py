"""Charts of a market: shares, concentration, and the share forecast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noria.core.messages import as_is, message
from noria.grow.forecast.shares.attraction import ShareForecast
from noria.grow.market.decompose import Decomposition
from noria.grow.market.share import Shares, concentration

from .chart import PALETTE, Chart, Text, band, dotted, entity_name, frame, line, percent


def share_chart(market: Shares) -> Chart:
    """Return the shares over time, stacked to one."""
    options = frame(list(market.times), message("market.percent"))
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
        message("market.market_share.title"),
        message("market.market_share.meaning", base=base_name(market.base)),
        market.provenance.text(),
        options,
    )


def concentration_chart(market: Shares) -> Chart:
    """Return the Herfindahl-Hirschman index over time."""
    rows = concentration(market)
    options = frame([row.time for row in rows], message("market.hhi"))
    options["yAxis"]["scale"] = True
    options["series"] = [
        line(message("market.hhi"), [None if row.hhi is None else round(row.hhi) for row in rows], PALETTE[3])
    ]
    return Chart(
        message("market.concentration.title"),
        message("market.concentration.meaning"),
        market.provenance.text(),
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
    options = frame(times, message("market.percent"))
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
        message("market.dashed_median_band_holds_each.meaning", level=level, count=len(forecast.draws)),
        market.provenance.text(),
        options,
    )


def decomposition_chart(found: Decomposition, most: int = 8) -> Chart:
    """Return the change of each entity's share, stacked from what it is made of."""
    rows = found.changes[:most]
    options = frame([row.entity for row in rows], message("market.points_share"))
    options["xAxis"]["data"] = [entity_name(row.entity) for row in rows]
    options["xAxis"]["axisLabel"] = {"interval": 0, "fontSize": 11}
    names: list[tuple[Text, str]] = [
        (message("market.within_segments"), "within"),
        (message("market.mix_segments"), "mix"),
        (message("market.entry"), "entry"),
        (message("market.exit"), "exit"),
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
        message("market.what_moved_shares.title", before=found.before, after=found.after),
        message("market.what_moved_shares.meaning"),
        found.provenance.text(),
        options,
        280,
    )


def base_name(base: str) -> Text:
    """Return a base's name, as the data have it where it is none of ours."""
    return message(f"market.base.{_BASES[base]}") if base in _BASES else as_is(base)


_BASES = {
    "share of referred page views": "share_of_referred_page_views",
    **{name: name for name in ("requests", "tokens", "items", "users", "reach", "revenue")},
}
"""Base -> the end of its name's code."""
