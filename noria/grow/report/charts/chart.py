"""What every chart is made of: a frame, lines and bands, each text a message.

`localised` renders an option's messages in one language, `in_both` in all. Nothing here draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noria.core.messages import Message, as_is, joined, message
from noria.grow.series.series import Floats

Text = Message
PALETTE = ("#12748c", "#b4692b", "#4f8a3c", "#7a5195", "#c23b5a", "#5b6b73", "#a5a58d", "#d4a72c")
GREY = "#8a979c"
FEW = 3
"""Known values below which a line would draw a course that nobody saw: they are dots."""


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
    """Return options with every message replaced by its text in `language`."""
    return _rendered(value, lambda told: told[language])


def in_both(value: Any) -> Any:
    """Return options with every message replaced by its text in each language, which the page's script picks from."""
    return _rendered(value, Message.both)


def _rendered(value: Any, render: Callable[[Message], Any]) -> Any:
    if isinstance(value, Message):
        return render(value)
    if isinstance(value, Mapping):
        return {key: _rendered(item, render) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rendered(item, render) for item in value]
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
    """Return one line of a chart; None leaves a gap, and fewer than `FEW` values are dots."""
    return {
        "type": "line",
        "name": name,
        "data": dotted(data),
        "symbol": "none",
        "itemStyle": {"color": colour},
        "lineStyle": {
            "color": colour,
            "width": 2,
            "type": "dashed" if dashed else "solid",
            **({"opacity": 0} if few(data) else {}),
        },
    }


def few(data: Sequence[float | None]) -> bool:
    """Return whether a line has values, and too few for one."""
    return 0 < sum(value is not None for value in data) < FEW


def dotted(data: Sequence[float | None]) -> list[Any]:
    """Return a line's values, those with none beside them as dots, for of a single point a line draws nothing; all where they are few."""
    return [
        {"value": value, "symbol": "circle", "symbolSize": 7} if isolated else value
        for value, isolated in zip(data, _isolated(data), strict=True)
    ]


def _isolated(data: Sequence[float | None]) -> list[bool]:
    """Return whether each value is known and none beside it is, or they are few in all."""
    if few(data):
        return [value is not None for value in data]
    known = [False, *(value is not None for value in data), False]
    return [known[place] and not known[place - 1] and not known[place + 1] for place in range(1, len(known) - 1)]


def band(
    low: Sequence[float | None], high: Sequence[float | None], colour: str, name: Text, stack: str = "band"
) -> list[dict[str, Any]]:
    """Return the two stacked lines that ECharts draws a band with: the lower end unseen, and the height above it.

    A period with none beside it has no area: there a bar stands from end to end; and so for each of fewer than `FEW`.
    """
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
    lines = [
        {**hidden, "data": list(low)},
        {
            **hidden,
            "name": name,
            "data": height,
            "areaStyle": {"color": colour, "opacity": 0.0 if few(height) else 0.18},
            "itemStyle": {"color": colour},
        },
    ]
    isolated = _isolated(height)
    if not any(isolated):
        return lines
    # A boxplot whose box is the whole interval is a bar from end to end.
    bars = [
        [a, a, (a + b) / 2, b, b] if here and a is not None and b is not None else ["-"] * 5
        for here, a, b in zip(isolated, low, high, strict=True)
    ]
    bar = {
        "type": "boxplot",
        "name": name,
        "data": bars,
        "boxWidth": [6, 18],
        "itemStyle": {"color": colour, "borderColor": colour, "borderWidth": 0, "opacity": 0.3},
        "silent": True,
        "tooltip": {"show": False},
    }
    return [*lines, bar]


def percent(value: float | None) -> float | None:
    """Return a part as percent, and nothing where it is missing."""
    return None if value is None or np.isnan(value) else round(100 * float(value), 2)


def whole(values: Floats) -> list[float | None]:
    """Return values rounded to whole numbers."""
    return [round(float(value)) for value in values]


def entity_name(entity: str) -> Text:
    """Return an entity's name; the one that gathers all others has a name in every language."""
    return message("report.other") if entity == "Other" else as_is(entity)


def cited_data(source: str, licence: str, as_of: str, note: str) -> Text:
    """Return where data came from: source, licence, day, and what is to be known of them."""
    parts = [source if isinstance(source, Message) else as_is(source)]
    parts += [message("report.cited.licence", licence=licence)] if licence else []
    parts += [message("report.cited.as_of", as_of=as_of)] if as_of else []
    if note:
        parts.append(
            message("report.cited.simulated") if note == "simulated" else message("report.cited.note", note=note)
        )
    return joined("join.nothing", parts)
