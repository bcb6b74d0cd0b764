"""Charts of what moves a market: drivers' effects with intervals, and what followed an event."""

from __future__ import annotations

import numpy as np

from noria.grow.market.drivers.attraction import DriverStudy
from noria.grow.market.drivers.eventstudy import EventStudy
from noria.grow.series.series import Floats

from .chart import GREY, PALETTE, Chart, band, frame, line


def effects_chart(study: DriverStudy) -> Chart | None:
    """Return identified effects in units of each driver's own spread, with intervals; None where there are none."""
    rows = [(effect, place) for place, effect in enumerate(study.effects) if effect.identified]
    if not rows:
        return None
    spreads = study.panel.x.std(0)
    names = [effect.driver for effect, _ in rows]
    scaled = [
        [100 * float(value or 0.0) * float(spreads[place]) for value in (effect.low, effect.value, effect.high)]
        for effect, place in rows
    ]
    options = frame(names, {"en": "% for one standard deviation", "zh": "每一标准差的 %"})
    options["legend"]["show"] = False
    options["xAxis"]["axisLabel"] = {"interval": 0, "fontSize": 11}
    options["yAxis"]["scale"] = True
    # Each interval is a line of its own through its driver's place, and the value a dot on it.
    options["series"] = [
        {
            "type": "line",
            "name": name,
            "symbol": "rect",
            "symbolSize": [12, 2],
            "lineStyle": {"color": PALETTE[0], "width": 2},
            "itemStyle": {"color": PALETTE[0]},
            "data": [[place, round(scaled[place][0], 3)], [place, round(scaled[place][2], 3)]],
        }
        for place, name in enumerate(names)
    ]
    options["series"].append(
        {
            "type": "scatter",
            "name": {"en": "effect", "zh": "效应"},
            "symbolSize": 9,
            "itemStyle": {"color": PALETTE[1]},
            "data": [[place, round(row[1], 3)] for place, row in enumerate(scaled)],
        }
    )
    level = rows[0][0].level
    return Chart(
        {"en": "What goes with share, driver by driver", "zh": "各因素与份额的关系"},
        {
            "en": f"Change of {study.panel.outcome}, in percent, for one standard deviation of each driver, with its {level:.0%} interval; entities and "
            "periods held fixed. It is association, not an experiment.",
            "zh": f"各因素每变动一个标准差，{study.panel.outcome} 变动的百分比及 {level:.0%} 区间；已固定个体与时期。这是相关关系，而非实验结论。",
        },
        study.panel.provenance.texts(),
        options,
        280,
    )


def event_chart(study: EventStudy) -> Chart:
    """Return the path around the events, with the band that placebo events keep to."""
    options = frame(
        [f"{offset:+d}" if offset else "0" for offset in study.offsets], {"en": "% beside rivals", "zh": "相对竞争者 %"}
    )
    options["xAxis"]["name"] = {"en": "periods after the event", "zh": "事件后的期数"}
    path = _percents(study.path)
    options["series"] = [line({"en": "seen", "zh": "实际"}, path, PALETTE[0])]
    if not np.isnan(study.low).any():
        options["series"] = [
            *band(_percents(study.low), _percents(study.high), GREY, {"en": "placebo events", "zh": "安慰剂事件"}),
            *options["series"],
        ]
    return Chart(
        {"en": f"What followed: {study.effect.driver}", "zh": f"事件之后：{study.effect.driver}"},
        {
            "en": f"Share beside rivals, beside its own mean before; grey is where {study.effect.level:.0%} of {study.placebos} events that never were fall.",
            "zh": f"相对竞争者、相对自身事前均值的份额；灰带为 {study.placebos} 个虚构事件中 {study.effect.level:.0%} 的范围。",
        },
        study.cited,
        options,
        280,
    )


def _percents(logs: Floats) -> list[float | None]:
    return [round(100 * float(np.expm1(value)), 2) for value in logs]
