"""Charts of what moves a market: drivers' effects with intervals, and what followed an event."""

from __future__ import annotations

import numpy as np

from noria.core.messages import message
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
    options = frame(names, message("drivers.percent_for_one_standard_deviation"))
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
            "name": message("drivers.name"),
            "symbolSize": 9,
            "itemStyle": {"color": PALETTE[1]},
            "data": [[place, round(row[1], 3)] for place, row in enumerate(scaled)],
        }
    )
    level = rows[0][0].level
    return Chart(
        message("drivers.what_goes_with_share_driver.title"),
        message("drivers.what_goes_with_share_driver.meaning", outcome=study.panel.outcome, level=level),
        study.panel.provenance.text(),
        options,
        280,
    )


def event_chart(study: EventStudy) -> Chart:
    """Return the path around the events, with the band that placebo events keep to."""
    options = frame(
        [f"{offset:+d}" if offset else "0" for offset in study.offsets], message("drivers.percent_beside_rivals")
    )
    options["xAxis"]["name"] = message("drivers.periods_after_event")
    path = _percents(study.path)
    options["series"] = [line(message("drivers.seen"), path, PALETTE[0])]
    if not np.isnan(study.low).any():
        options["series"] = [
            *band(_percents(study.low), _percents(study.high), GREY, message("drivers.placebo_events")),
            *options["series"],
        ]
    return Chart(
        message("drivers.what_followed.title", driver=study.effect.driver),
        message("drivers.what_followed.meaning", level=study.effect.level, placebos=study.placebos),
        study.cited,
        options,
        280,
    )


def _percents(logs: Floats) -> list[float | None]:
    return [round(100 * float(np.expm1(value)), 2) for value in logs]
