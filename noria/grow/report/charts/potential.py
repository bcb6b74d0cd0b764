"""Charts of what is left to win and whom to address: sizes as ranges, what the ranges come from, and targets by their reasons."""

from __future__ import annotations

from collections.abc import Sequence

from noria.core.messages import as_is, message
from noria.grow.market.potential import Bar, Potential
from noria.grow.market.targets import MEASURES, Target

from .chart import PALETTE, Chart, Text, frame


def tornado_chart(found: Potential, approach: str, most: int = 10) -> Chart:
    """Return bars from the total with an input at its low end to the total with it at its high end."""
    bars = list(found.tornado[approach][:most])[::-1]  # ECharts draws the first category at the bottom
    options = frame([_input(bar) for bar in bars], as_is(""))
    options["xAxis"], options["yAxis"] = (
        {
            "type": "value",
            "scale": True,
            "name": (message("potential.name", unit=found.unit) if found.unit else message("potential.whole.total")),
            "nameLocation": "middle",
            "nameGap": 28,
            "axisLabel": {"hideOverlap": True},
        },
        {
            "type": "category",
            "data": [_input(bar) for bar in bars],
            "axisLabel": {"width": 190, "overflow": "truncate"},
        },
    )
    low = [round(bar.low, 3) for bar in bars]
    options["legend"]["show"] = False
    options["series"] = [
        {
            "type": "bar",
            "stack": "range",
            "data": low,
            "itemStyle": {"opacity": 0},
            "silent": True,
            "tooltip": {"show": False},
        },
        {
            "type": "bar",
            "stack": "range",
            "name": message("potential.name_2"),
            "barMaxWidth": 18,
            "data": [round(bar.high - bar.low, 3) for bar in bars],
            "itemStyle": {"color": PALETTE[0]},
        },
    ]
    way = message(f"potential.approach.{approach.replace('-', '_')}")
    return Chart(
        message("potential.what_range_comes_from.title", approach=way),
        message("potential.what_range_comes_from.meaning"),
        "; ".join(dict.fromkeys(bar.source for bar in bars)),
        options,
        max(220, 34 * len(bars) + 110),
    )


def targets_chart(found: Sequence[Target], source: str | Text) -> Chart:
    """Return each segment's score, stacked from what the measures bring."""
    options = frame([target.segment.name for target in found], message("potential.score"))
    options["xAxis"]["data"] = [target.segment.name for target in found]
    options["xAxis"]["axisLabel"] = {"interval": 0, "fontSize": 11}
    names = list(found[0].contributions)
    options["series"] = [
        {
            "type": "bar",
            "stack": "all",
            "name": MEASURES[name],
            "barMaxWidth": 44,
            "itemStyle": {"color": PALETTE[place]},
            "data": [round(target.contributions[name], 3) for target in found],
        }
        for place, name in enumerate(names)
    ]
    return Chart(
        message("potential.targets_why.title"),
        message(
            "potential.targets_why.meaning", name=found[0].segment.name, first=found[0].first.value, n=found[0].first.n
        ),
        source,
        options,
        280,
    )


def _input(bar: Bar) -> str:
    return f"{bar.industry}: {bar.factor}" if bar.industry else bar.factor
