"""Charts of experiments: differences with their intervals, and what every look could say."""

from __future__ import annotations

import math

from noria.grow.promote.experiment import Comparison, Experiment
from noria.grow.promote.units import Units

from .chart import GREY, PALETTE, Chart, band, frame, line


def difference_chart(result: Experiment) -> Chart:
    """Return each group's difference from the control group as a box from one end of its interval to the other."""
    scale = 100 if result.metric == "rate" else 1
    unit = {"en": "points", "zh": "百分点"} if result.metric == "rate" else {"en": "difference", "zh": "差异"}
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
        {"en": f"Difference from {result.units.names[0]}", "zh": f"与 {result.units.names[0]} 的差异"},
        {
            "en": f"A box is the {result.level:.0%} interval, its line the estimate; a box that leaves zero out is a clear difference.",
            "zh": f"方框为 {result.level:.0%} 区间，横线为估计值；不含零的方框表示差异明确。",
        },
        cited(result.units),
        options,
        260,
    )


def looks_chart(result: Experiment, comparison: Comparison) -> Chart:
    """Return what could have been said of one comparison on each day, under any rule of stopping."""
    scale = 100 if result.metric == "rate" else 1
    unit = {"en": "points", "zh": "百分点"} if result.metric == "rate" else {"en": "difference", "zh": "差异"}
    looks = [look for look in comparison.looks if math.isfinite(look.low)]
    options = frame([look.time for look in looks], unit)
    low = [round(scale * look.low, 6) for look in looks]
    high = [round(scale * look.high, 6) for look in looks]
    options["series"] = [
        *band(
            low,
            high,
            PALETTE[0],
            {"en": f"{result.level:.0%}, at every look", "zh": f"{result.level:.0%}，任意时刻有效"},
        ),
        line({"en": "difference", "zh": "差异"}, [round(scale * look.value, 6) for look in looks], PALETTE[0]),
        line({"en": "no difference", "zh": "无差异"}, [0.0] * len(looks), GREY, dashed=True),
    ]
    decided = comparison.decided
    names = f"{comparison.found.variant} − {comparison.found.control}"
    said = {
        "en": f"Clear from {decided.time} on, whenever one had looked."
        if decided
        else "At no look was the difference clear.",
        "zh": f"自 {decided.time} 起差异明确，无论何时查看。" if decided else "任何一次查看都未见明确差异。",
    }
    return Chart(
        {"en": f"Looking every day: {names}", "zh": f"逐日查看：{names}"},
        {
            "en": f"{said['en']} The band holds at all looks at once, so one may stop at any.",
            "zh": f"{said['zh']}带状区间对所有时刻同时成立，因此可以随时停止。",
        },
        cited(result.units),
        options,
    )


def cited(units: Units) -> dict[str, str]:
    """Return where users came from, in English and in Chinese."""
    licence = {"en": f" ({units.licence})", "zh": f"（{units.licence}）"} if units.licence else {"en": "", "zh": ""}
    as_of = {"en": f", as of {units.as_of}", "zh": f"，截至 {units.as_of}"} if units.as_of else {"en": "", "zh": ""}
    note = (
        {"en": f", {units.note}", "zh": "，模拟数据" if units.note == "simulated" else f"，{units.note}"}
        if units.note
        else {"en": "", "zh": ""}
    )
    return {key: f"{units.source}{licence[key]}{as_of[key]}{note[key]}" for key in ("en", "zh")}
