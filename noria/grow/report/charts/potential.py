"""Charts of what is left to win and whom to address: sizes as ranges, what the ranges come from, and targets by their reasons."""

from __future__ import annotations

from collections.abc import Sequence

from noria.grow.market.potential import Bar, Potential
from noria.grow.market.targets import MEASURES, Target

from .chart import PALETTE, Chart, Text, frame


def tornado_chart(found: Potential, approach: str, most: int = 10) -> Chart:
    """Return bars from the total with an input at its low end to the total with it at its high end."""
    bars = list(found.tornado[approach][:most])[::-1]  # ECharts draws the first category at the bottom
    options = frame([_input(bar) for bar in bars], {"en": "", "zh": ""})
    options["xAxis"], options["yAxis"] = (
        {
            "type": "value",
            "scale": True,
            "name": {
                "en": f"total, {found.unit}" if found.unit else "total",
                "zh": f"合计（{found.unit}）" if found.unit else "合计",
            },
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
            "name": {"en": "range of the total", "zh": "合计的范围"},
            "barMaxWidth": 18,
            "data": [round(bar.high - bar.low, 3) for bar in bars],
            "itemStyle": {"color": PALETTE[0]},
        },
    ]
    words: Text = (
        {"en": "top-down", "zh": "自上而下"} if approach == "top-down" else {"en": "bottom-up", "zh": "自下而上"}
    )
    return Chart(
        {"en": f"What the range comes from, {words['en']}", "zh": f"范围从何而来：{words['zh']}"},
        {
            "en": "The total with one input at the ends of its range and all others in the middle; the longest bar is the input worth finding out more about.",
            "zh": "将一项输入置于其范围两端、其余取中值时的合计；最长的一条就是最值得进一步查证的输入。",
        },
        "; ".join(dict.fromkeys(bar.source for bar in bars)),
        options,
        max(220, 34 * len(bars) + 110),
    )


def targets_chart(found: Sequence[Target], source: str | Text) -> Chart:
    """Return each segment's score, stacked from what the measures bring."""
    options = frame([target.segment.name["en"] for target in found], {"en": "score", "zh": "得分"})
    options["xAxis"]["data"] = [target.segment.name for target in found]
    options["xAxis"]["axisLabel"] = {"interval": 0, "fontSize": 11}
    names = list(found[0].contributions)
    options["series"] = [
        {
            "type": "bar",
            "stack": "all",
            "name": dict(zip(("en", "zh"), MEASURES[name], strict=True)),
            "barMaxWidth": 44,
            "itemStyle": {"color": PALETTE[place]},
            "data": [round(target.contributions[name], 3) for target in found],
        }
        for place, name in enumerate(names)
    ]
    return Chart(
        {"en": "Targets, and why", "zh": "目标细分及其理由"},
        {
            "en": f"{found[0].segment.name['en']} scores highest, and comes first in {found[0].first.value:.0%} of {found[0].first.n:,} draws over weights "
            "and sampling error.",
            "zh": f"“{found[0].segment.name['zh']}”得分最高，在 {found[0].first.n:,} 次（权重与抽样误差）模拟中有 {found[0].first.value:.0%} 居首。",
        },
        source,
        options,
        280,
    )


def _input(bar: Bar) -> str:
    return f"{bar.industry}: {bar.factor}" if bar.industry else bar.factor
