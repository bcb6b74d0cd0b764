"""Charts of experiments: differences with their intervals, and what every look could say."""

from __future__ import annotations

import math

from noria.core.messages import message
from noria.grow.promote.experiment import Comparison, Experiment
from noria.grow.promote.units import Units

from .chart import GREY, PALETTE, Chart, Text, band, cited_data, frame, line


def difference_chart(result: Experiment) -> Chart:
    """Return each group's difference from the control group as a box from one end of its interval to the other."""
    scale = 100 if result.metric == "rate" else 1
    unit = message("experiment.points") if result.metric == "rate" else message("experiment.difference")
    options = frame([item.found.variant for item in result.comparisons], unit)
    options["legend"]["show"] = False
    options["tooltip"] = {"show": False}
    boxes = []
    for item in result.comparisons:
        low, value, high = (round(scale * end, 6) for end in (item.found.low, item.found.value, item.found.high))
        boxes.append([low, low, value, high, high] if item.found.has_interval else [])
    options["series"] = [
        {
            "type": "boxplot",
            "name": unit,
            "data": boxes,
            "boxWidth": [12, 40],
            "itemStyle": {"color": "rgba(18,116,140,0.18)", "borderColor": PALETTE[0], "borderWidth": 2},
            "markLine": {
                "symbol": "none",
                "silent": True,
                "label": {"show": False},
                "data": [{"yAxis": 0}],
                "lineStyle": {"color": GREY},
            },
        },
    ]
    return Chart(
        message("experiment.difference_from.title", names=result.units.names[0]),
        message("experiment.difference_from.meaning", level=result.level),
        cited(result.units),
        options,
        260,
    )


def looks_chart(result: Experiment, comparison: Comparison) -> Chart:
    """Return what could have been said of one comparison on each day, under any rule of stopping."""
    scale = 100 if result.metric == "rate" else 1
    unit = message("experiment.points") if result.metric == "rate" else message("experiment.difference")
    looks = [look for look in comparison.looks if math.isfinite(look.low)]
    options = frame([look.time for look in looks], unit)
    low = [round(scale * look.low, 6) for look in looks]
    high = [round(scale * look.high, 6) for look in looks]
    options["series"] = [
        *band(
            low,
            high,
            PALETTE[0],
            message("experiment.at_every_look", level=result.level),
        ),
        line(message("experiment.difference"), [round(scale * look.value, 6) for look in looks], PALETTE[0]),
        line(message("experiment.no_difference"), [0.0] * len(looks), GREY, dashed=True),
    ]
    decided = comparison.decided
    names = f"{comparison.found.variant} − {comparison.found.control}"
    said = (
        message("experiment.clear_from_on_whenever_one", time=decided.time)
        if decided
        else message("experiment.at_no_look_was_difference")
    )
    return Chart(
        message("experiment.looking_every_day.title", names=names),
        message("experiment.looking_every_day.meaning", said=said),
        cited(result.units),
        options,
    )


def cited(units: Units) -> Text:
    """Return where users came from."""
    return cited_data(units.source, units.licence, units.as_of, units.note)
