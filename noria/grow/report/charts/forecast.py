"""Charts of a forecast: a series with what may come, its growth curves, and how models stood in the back-test."""

from __future__ import annotations

import numpy as np

from noria.core.messages import as_is, joined, message
from noria.grow.forecast.joint.several import JointStudy
from noria.grow.forecast.names import NAMES, name_of
from noria.grow.forecast.scoring.standings import Backtest
from noria.grow.forecast.study import LevelStudy
from noria.grow.series.series import Floats

from .chart import GREY, PALETTE, Chart, Text, band, entity_name, frame, line

MOST = 6
"""Entities that are drawn, the largest at last; the table has all."""


def outlook_chart(study: LevelStudy, level: float = 0.9) -> Chart:
    """Return the past of a series, the forecast's median and its band."""
    history, name = study.history, NAMES[study.model]
    assert study.outlook is not None
    options = frame([*history.times, *study.times], _unit(study))
    low, high = study.outlook.interval(level)
    past = [_number(value) for value in history.values]
    gap: list[float | None] = [None] * (len(past) - 1)
    options["series"] = [
        *band(
            [*gap, past[-1], *map(_number, low)],
            [*gap, past[-1], *map(_number, high)],
            PALETTE[0],
            message("forecast.interval", level=level),
        ),
        line(message("forecast.seen"), past, PALETTE[0]),
        line(
            message("forecast.forecast", name=name),
            [*gap, past[-1], *map(_number, study.outlook.median())],
            PALETTE[0],
            dashed=True,
        ),
    ]
    return Chart(
        message("forecast.chart.title", name=series_name(history.name)),
        message("forecast.forecast_2.meaning", level=level, count=len(study.outlook.draws)),
        _source(study),
        options,
    )


def curves_chart(study: LevelStudy) -> Chart:
    """Return the growth curves beside what they were fitted to."""
    options = frame(list(study.history.times), _unit(study))
    seen = ~np.isnan(study.history.values)
    options["series"] = [line(message("forecast.seen"), [_number(value) for value in study.history.values], GREY)]
    for place, (name, one) in enumerate(study.adoptions.items()):
        path = np.full(len(seen), np.nan)
        path[seen] = one.path()
        options["series"].append(line(NAMES[name], [_number(value) for value in path], PALETTE[place]))
    told = [NAMES[name] for name, one in study.adoptions.items() if one.identified["ceiling"] and not one.fell]
    return Chart(
        message("forecast.curves.title", name=series_name(study.history.name)),
        message("forecast.curves.told", curves=joined("join.and", told)) if told else message("forecast.curves.none"),
        _source(study),
        options,
    )


def joint_chart(study: JointStudy, level: float = 0.9) -> Chart:
    """Return the past of each series, the forecast's median and its band, the largest of them."""
    history = study.history
    options = frame([*history.times, *study.times], as_is(history.unit))
    low, high = study.interval(level)
    middle = study.median()
    series = []
    for place, column in enumerate(largest(study)[:MOST]):
        name, colour = entity_name(history.names[column]), PALETTE[place % len(PALETTE)]
        past = [_number(value) for value in history.values[:, column]]
        seen = max((row for row, value in enumerate(past) if value is not None), default=0)
        # What is missing at the end is bridged, so that a forecast hangs on what was seen last.
        gap: list[float | None] = [None] * seen
        bridge = [None] * (len(past) - 1 - seen)
        ahead = [[*gap, past[seen], *bridge, *map(_number, side[:, column])] for side in (low, middle, high)]
        series += [
            *band(ahead[0], ahead[2], colour, message("forecast.interval_of", name=name, level=level), f"band {place}"),
            line(name, past, colour),
            line(message("forecast.ahead_of", name=name), ahead[1], colour, dashed=True),
        ]
    options["series"] = series
    options["legend"]["data"] = [entity_name(history.names[column]) for column in largest(study)[:MOST]]
    return Chart(
        message("forecast.joint.chart", model=name_of(study.model)),
        message("forecast.joint.chart_meaning", level=level, count=len(study.outlook.draws)),
        history.provenance.text(),
        options,
    )


def largest(study: JointStudy) -> list[int]:
    """Return the columns, the largest at the forecast's end first."""
    last: Floats = np.nan_to_num(study.median()[-1], nan=-1.0)
    return [int(column) for column in np.argsort(-last, kind="stable")]


def standings_chart(test: Backtest, source: str | Text) -> Chart:
    """Return by what part each model's energy score is below that of the better bar, with its interval as a line."""
    rows = [item for item in test.standings if item.lead]
    options = frame([], as_is("%"))
    options["xAxis"] = {
        "type": "category",
        "data": [NAMES[item.model] for item in rows],
        "axisLabel": {"interval": 0, "width": 90, "overflow": "break"},
    }
    options["legend"]["show"] = False
    leads = [
        [None if part is None else 100 * part for part in (item.lead.value, item.lead.low, item.lead.high)]
        for item in rows
        if item.lead
    ]
    options["series"] = [
        {
            "type": "bar",
            "name": message("forecast.ahead_of_bar", bar=NAMES[test.ruling.bar]),
            "barMaxWidth": 40,
            "itemStyle": {"color": PALETTE[0]},
            "data": [_number(value or 0.0) for value, _, _ in leads],
        },
        # A boxplot whose box is closed draws a whisker from one end of the interval to the other.
        {
            "type": "boxplot",
            "name": message("forecast.name_2"),
            "itemStyle": {"color": GREY, "borderColor": GREY},
            "boxWidth": [1, 12],
            "data": [
                [_number((value or 0.0) if each is None else each) for each in (low, value, value, value, high)]
                for value, low, high in leads
            ],
        },
    ]
    return Chart(
        message("forecast.back_test_above_or_below.title"),
        test.verdict(),
        source,
        options,
        280,
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.4g}")


def _unit(study: LevelStudy) -> Text:
    return unit_name(study.history.unit)


def series_name(name: str) -> Text:
    """Return the name of a series, as the data have it where it is none of ours."""
    return message("forecast.series.active_users") if name == "active users" else as_is(name)


def unit_name(unit: str) -> Text:
    """Return the unit of a series, likewise."""
    return message("forecast.unit.users") if unit == "users" else as_is(unit)


def _source(study: LevelStudy) -> Text:
    cited = f"{study.source} ({study.licence})" if study.licence else study.source
    return message("forecast.as", cited=cited, as_of=study.as_of)
