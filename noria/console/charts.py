"""ECharts options: plain dicts from plain data, so a chart can be tested without a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from noria.core.figure import Figure

INK, SOFT, LINE = "#15343c", "#57707a", "#e4e2d8"
PALETTE = ("#12748c", "#b4692b", "#4f8a3c", "#7d4f93", "#c2543c", "#6b7f3a", "#3c6fb0", "#a08a2d", "#8a5a6f", "#4d9a95")
FONT = '"Inter", "Segoe UI", system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif'
Options = dict[str, Any]
FEW = 4
"""Points below which a line would draw a course that nobody saw."""
ENOUGH = 20
"""Observations that a point of a course rests on."""


def base(*, x: str = "", y: str = "", legend: Sequence[str] = (), time: bool = False, percent: bool = False) -> Options:
    """Return the options every chart begins with: readable axes with their names, one legend, a tooltip."""
    label = {"color": SOFT, "fontSize": 12, "hideOverlap": True}
    name = {"color": SOFT, "fontSize": 12}
    return {
        "color": list(PALETTE),
        "textStyle": {"fontFamily": FONT, "color": INK},
        "animationDuration": 300,
        "aria": {"enabled": True},
        "grid": {"left": 8, "right": 18, "top": 64 if legend else 34, "bottom": 30 if x else 8, "containLabel": True},
        "legend": {
            "show": bool(legend),
            "data": list(legend),
            "type": "scroll",
            "top": 0,
            "left": 0,
            "itemHeight": 10,
            "textStyle": {"color": INK, "fontSize": 12},
        },
        "tooltip": {"trigger": "axis", "confine": True, "textStyle": {"fontSize": 12}},
        "xAxis": {
            "type": "time" if time else "value",
            "name": x,
            "nameLocation": "middle",
            "nameGap": 30,
            "nameTextStyle": name,
            "axisLabel": dict(label),
            "axisLine": {"lineStyle": {"color": "#b9c4c3"}},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "name": y,
            "nameTextStyle": {**name, "align": "left", "padding": [0, 0, 4, 0]},
            "nameGap": 14,
            "axisLabel": {**label, **({"formatter": "{value}%"} if percent else {})},
            "splitLine": {"lineStyle": {"color": "#efede5"}},
        },
        "series": [],
    }


def lines(
    series: Mapping[str, Sequence[Sequence[Any]]],
    *,
    x: str = "",
    y: str = "",
    time: bool = False,
    percent: bool = False,
) -> Options:
    """Return a line chart of name -> [[x, y], ...]."""
    options = base(x=x, y=y, legend=list(series) if len(series) > 1 else (), time=time, percent=percent)
    options["series"] = [line(name, points, index) for index, (name, points) in enumerate(series.items())]
    return options


def line(name: str, points: Sequence[Sequence[Any]], index: int = 0, *, dashed: bool = False) -> Options:
    """Return one line."""
    return {
        "type": "line",
        "name": name,
        "data": [list(point) for point in points],
        "showSymbol": len(points) < 24,
        "symbolSize": 6,
        "lineStyle": {"width": 2, "type": "dashed" if dashed else "solid"},
        "itemStyle": {"color": PALETTE[index % len(PALETTE)]},
        "emphasis": {"focus": "series"},
        "connectNulls": False,
    }


def band(name: str, points: Sequence[Sequence[Any]], index: int = 0) -> list[Options]:
    """Return an interval as a shaded band of [[x, low, high], ...]: two stacked areas, the lower one unseen; a bar where it is but one."""
    colour = PALETTE[index % len(PALETTE)]
    if len(points) == 1:  # has no area
        x, low, high = points[0]
        stroke = {"width": 16, "opacity": 0.3, "cap": "butt", "color": colour}
        bar = {"type": "line", "name": f"{name}  ", "data": [[x, low], [x, high]], "lineStyle": stroke}
        return [{**bar, "symbol": "none", "silent": True, "tooltip": {"show": False}}]
    hidden = {
        "type": "line",
        "symbol": "none",
        "silent": True,
        "stack": f"band-{name}",
        "stackStrategy": "all",
        "lineStyle": {"opacity": 0},
        "tooltip": {"show": False},
    }
    return [
        {**hidden, "name": f"{name} ", "data": [[x, low] for x, low, _ in points]},
        {
            **hidden,
            "name": f"{name}  ",
            "data": [[x, high - low] for x, low, high in points],
            "areaStyle": {"color": colour, "opacity": 0.16},
        },
    ]


def course(name: str, points: Sequence[tuple[str, Figure]], index: int = 0, *, shaded: bool = False) -> list[Options]:
    """Return shares over time, in percent: a line where there are points enough and each rests on enough, else dots with their intervals.

    `shaded` draws the intervals of a line, too.
    """
    values = [[x, round(100 * one.value, 1)] for x, one in points]
    spread = [
        [
            x,
            round(100 * (one.value if one.low is None else one.low), 1),
            round(100 * (one.value if one.high is None else one.high), 1),
        ]
        for x, one in points
    ]
    drawn = line(name, values, index)
    if len(points) >= FEW and min(one.n for _, one in points) >= ENOUGH:
        return [drawn, *(band(name, spread, index) if shaded else [])]
    dots = {**drawn, "showSymbol": True, "symbolSize": 9, "lineStyle": {"opacity": 0}}
    return [dots, *(bar for one in spread for bar in band(name, [one], index))]


def bars(
    categories: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    x: str = "",
    y: str = "",
    stacked: bool = False,
    colours: Mapping[str, str] | None = None,
) -> Options:
    """Return a bar chart of name -> one value a category."""
    options = base(x=x, y=y, legend=list(series) if len(series) > 1 else ())
    options["xAxis"].update(type="category", data=list(categories))
    options["series"] = [
        {
            "type": "bar",
            "name": name,
            "data": list(values),
            "barMaxWidth": 34,
            **({"stack": "all"} if stacked else {}),
            "itemStyle": {"color": (colours or {}).get(name, PALETTE[index % len(PALETTE)])},
        }
        for index, (name, values) in enumerate(series.items())
    ]
    return options


def learning(series: Mapping[str, Sequence[Sequence[float]]], *, x: str, names: Sequence[str]) -> Options:
    """Return learning curves: the first measure on the left axis, the second, of another scale, on the right."""
    options = base(x=x, legend=names)
    left = options["yAxis"]
    # The legend names the curves; each axis has the colour of its own.
    axes = [
        {
            **left,
            "scale": True,
            "position": ("left", "right")[index],
            "axisLabel": {**left["axisLabel"], "color": PALETTE[index]},
            "splitLine": {**left["splitLine"], "show": index == 0},
        }
        for index in range(len(names[:2]))
    ]
    options["yAxis"] = axes
    options["xAxis"]["minInterval"] = 1
    options["series"] = [
        {**line(name, points, index), "yAxisIndex": min(index, 1)}
        for index, (name, points) in enumerate(series.items())
    ]
    return options


def show(options: Options, label: str, *, tall: bool = False) -> ui.echart:
    """Show a chart; `label` tells those who do not see it what it shows."""
    options["aria"] = {"enabled": True, "label": {"description": label}}
    return ui.echart(options).classes("chart tall" if tall else "chart")
