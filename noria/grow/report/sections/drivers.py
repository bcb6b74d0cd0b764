"""What moves a market, in the report: drivers with intervals, what followed an event, and what the data cannot tell."""

from __future__ import annotations

import numpy as np

from noria.core.figure import Figure
from noria.core.messages import as_is, message
from noria.grow.market.drivers.attraction import DriverStudy
from noria.grow.market.drivers.effect import Effect
from noria.grow.market.drivers.eventstudy import EventStudy
from noria.grow.market.study import Drivers
from noria.grow.report.charts.chart import GREY, PALETTE, Chart, Text, band, frame, line
from noria.grow.report.page import Section, Shown, Table
from noria.grow.series.series import Floats

Row = list[str | float | Text | None]
_FORMS: dict[str, Text] = {
    "mnl": message("drivers.forms.mnl"),
    "mci": message("drivers.forms.mci"),
    "growth": message("drivers.forms.growth"),
}
_METHODS: dict[str, Text] = {
    "wild cluster bootstrap": message("drivers.method.wild_cluster_bootstrap"),
    "cluster-robust": message("drivers.method.cluster_robust"),
    "Driscoll-Kraay": message("drivers.method.driscoll_kraay"),
    "none": message("drivers.method.none"),
    "errors in variables, jackknife over entities": message("drivers.method.errors_in_variables"),
}


def drivers_section(drivers: Drivers) -> Section:
    """Return what the drivers do and what followed the events."""
    shown: list[Shown] = []
    charts: list[Chart] = []
    tables: list[Table] = []
    notes: list[Text] = []
    if drivers.explained:
        study = drivers.explained
        verdict: Text = study.verdict()
        notes.append(verdict)
        notes += study.panel.problems
        drawn = effects_chart(study)
        charts += [drawn] if drawn else []
        tables.append(_effects_table(study))
        if study.elasticities():
            tables.append(_elasticities_table(study))
    if drivers.followed:
        shown += _event_figures(drivers.followed)
        charts.append(event_chart(drivers.followed))
        notes += [
            message("drivers.left_out", entity=item.entity, time=item.time, why=why)
            for item, why in drivers.followed.skipped
        ]
        if not drivers.followed.effect.identified:
            told: Text = drivers.followed.effect.verdict
            notes.append(told)
    return Section(
        "drivers",
        message("drivers.title"),
        message("drivers.lead"),
        shown,
        charts,
        tables,
        notes,
    )


def method_text(effect: Effect) -> Text:
    """Return how an effect's interval was made."""
    if effect.method.startswith("event study"):
        count = effect.method.removeprefix("event study, ").removesuffix(" placebo events")
        return message("drivers.method.event_study", count=count)
    return _METHODS[effect.method]


def _effects_table(study: DriverStudy) -> Table:
    rows: list[Row] = []
    for effect in study.effects:
        verdict: Text = effect.verdict
        numbers: Row = [effect.value, effect.low, effect.high] if effect.identified else [None, None, None]
        rows.append(
            [
                effect.driver,
                *(None if x is None else f"{x:.4g}" for x in numbers),
                effect.naive if effect.naive is None else f"{effect.naive:.4g}",
                effect.n,
                effect.clusters,
                method_text(effect),
                verdict,
            ]
        )
    form = _FORMS[study.panel.form]
    level = study.effects[0].level if study.effects else 0.95
    return Table(
        message("drivers.table.effects_on_logarithm", outcome=study.panel.outcome, form=form),
        [
            message("drivers.column.driver"),
            message("drivers.name"),
            message("drivers.column.low", level=level),
            message("drivers.column.high", level=level),
            message("drivers.column.error_ignored"),
            message("report.column.n"),
            message("drivers.column.clusters"),
            message("drivers.column.interval_from"),
            message("drivers.column.what_means"),
        ],
        rows,
        study.panel.provenance.text(),
    )


def _elasticities_table(study: DriverStudy) -> Table:
    found = study.elasticities()
    rows: list[Row] = [[name, *(f"{found[driver][name]:+.3f}" for driver in found)] for name in study.panel.entities]
    return Table(
        message("drivers.table.own_elasticity_share_at"),
        [message("report.column.name"), *map(as_is, found)],
        rows,
        study.panel.provenance.text(),
    )


def _event_figures(study: EventStudy) -> list[Shown]:
    effect = study.effect
    if not effect.identified or effect.low is None or effect.high is None:
        return []
    value, low, high = (float(np.expm1(x)) for x in (effect.value, effect.low, effect.high))
    verdict = effect.verdict
    figure = Figure("event", value, study.placebos, low, high, source=effect.source, level=effect.level)
    return [
        Shown(
            figure,
            message("drivers.after.name", driver=effect.driver),
            message("drivers.after.meaning", verdict=verdict),
            percent=True,
            source=study.cited,
        )
    ]


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
