"""What every chart is made of: a frame, lines and bands, each text in English and Chinese.

Every text a person reads is {"en": ..., "zh": ...}; `localised` picks one. Nothing here draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noria.grow.series.series import Floats

Text = Mapping[str, str]
PALETTE = ("#12748c", "#b4692b", "#4f8a3c", "#7a5195", "#c23b5a", "#5b6b73", "#a5a58d", "#d4a72c")
GREY = "#8a979c"


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


def bar_chart(
    names: Sequence[str], values: Sequence[float], title: Text, meaning: Text, source: str | Text, unit: Text
) -> Chart:
    """Return plain bars, one for each name."""
    options = frame(list(names), unit)
    options["legend"]["show"] = False
    options["xAxis"]["axisLabel"] = {"interval": 0, "fontSize": 11}
    options["series"] = [
        {"type": "bar", "name": unit, "data": list(values), "itemStyle": {"color": PALETTE[0]}, "barMaxWidth": 48}
    ]
    return Chart(title, meaning, source, options, 260)


def frame(categories: list[str], unit: Text) -> dict[str, Any]:
    """Return the options that every chart over categories begins with; `unit` names the upward axis."""
    return {
        "animation": False,
        "tooltip": {"trigger": "axis", "confine": True},
        "legend": {"top": 0},
        "grid": {"left": 8, "right": 16, "top": 56, "bottom": 28, "containLabel": True},
        "xAxis": {
            "type": "category",
            "data": categories,
            "nameLocation": "middle",
            "nameGap": 28,
            "axisLabel": {"hideOverlap": True, "alignMaxLabel": "right"},
        },
        "yAxis": {"type": "value", "name": unit, "nameTextStyle": {"align": "left"}},
        "series": [],
    }


def line(name: Text, data: Sequence[float | None], colour: str, *, dashed: bool = False) -> dict[str, Any]:
    """Return one line of a chart; None leaves a gap."""
    return {
        "type": "line",
        "name": name,
        "data": dotted(data),
        "symbol": "none",
        "itemStyle": {"color": colour},
        "lineStyle": {"color": colour, "width": 2, "type": "dashed" if dashed else "solid"},
    }


def dotted(data: Sequence[float | None]) -> list[Any]:
    """Return a line's values, those with none beside them as dots: of a single point a line draws nothing."""
    known = [False, *(value is not None for value in data), False]
    return [
        {"value": value, "symbol": "circle", "symbolSize": 7}
        if known[place] and not known[place - 1] and not known[place + 1]
        else value
        for place, value in enumerate(data, 1)
    ]


def band(
    low: Sequence[float | None], high: Sequence[float | None], colour: str, name: Text, stack: str = "band"
) -> list[dict[str, Any]]:
    """Return the two stacked lines that ECharts draws a band with: the lower end unseen, and the height above it."""
    height = [None if a is None or b is None else round(b - a, 3) for a, b in zip(low, high, strict=True)]
    hidden = {
        "type": "line",
        "stack": stack,
        "stackStrategy": "all",  # a band whose lower end is below zero would else begin at zero
        "symbol": "none",
        "lineStyle": {"opacity": 0},
        "silent": True,
        "tooltip": {"show": False},
    }
    return [
        {**hidden, "data": list(low)},
        {
            **hidden,
            "name": name,
            "data": height,
            "areaStyle": {"color": colour, "opacity": 0.18},
            "itemStyle": {"color": colour},
        },
    ]


def percent(value: float | None) -> float | None:
    """Return a part as percent, and nothing where it is missing."""
    return None if value is None or np.isnan(value) else round(100 * float(value), 2)


def whole(values: Floats) -> list[float | None]:
    """Return values rounded to whole numbers."""
    return [round(float(value)) for value in values]


def entity_name(entity: str) -> Text:
    """Return an entity's name in both languages."""
    return {"en": entity, "zh": "其他" if entity == "Other" else entity}
