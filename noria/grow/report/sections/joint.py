"""Whatever was forecast, in the report: rivals and generations with who acts on whom, beside flows, levels, users and shares."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from noria.core.figure import Figure, significant
from noria.core.messages import Message, as_is, message, term
from noria.grow.analysis import MarketStudy
from noria.grow.forecast.ahead import Outcome
from noria.grow.forecast.joint.several import JointStudy
from noria.grow.forecast.names import name_of
from noria.grow.forecast.study import LevelStudy
from noria.grow.report.charts.chart import Chart, Text, entity_name
from noria.grow.report.charts.forecast import joint_chart, largest, standings_chart
from noria.grow.report.page import Section, Shown, Table

from .forecast import forecast_section, standings_table
from .market import market_section

SHOWN = 4
"""Entities that are shown large."""


def outcome_section(found: Outcome, key: str = "ahead") -> Section:
    """Return the section of any forecast, with what must be known of it."""
    study = found.study
    if isinstance(study, JointStudy):
        return _joint(found, study, key)
    if isinstance(study, LevelStudy):
        section = forecast_section(study, key)
        return replace(section, notes=[*section.notes, *found.notes])
    assert isinstance(study, MarketStudy)
    return replace(market_section(study.market, study.forecast, study.backtest, study.model), key=key)


def _joint(found: Outcome, study: JointStudy, key: str) -> Section:
    history, source = study.history, study.history.provenance.text()
    charts: list[Chart] = [joint_chart(study)]
    tables = [_figures(found, source), _ahead(study, source)]
    notes: list[Text] = [found.verdict()]
    if study.backtest is not None:
        charts.append(standings_chart(study.backtest, source))
        tables.append(standings_table(study.backtest, source))
        notes += [
            message("forecast.took_no_part_back_test", model=name_of(model), why=why)
            for model, why in study.backtest.silent.items()
        ]
    if found.launches:
        notes.append(found.launched())
    return Section(
        key,
        message(f"forecast.joint.title_{found.of}"),
        message(f"forecast.joint.lead_{found.of}", unit=history.unit),
        [_shown(study, column) for column in largest(study)[:SHOWN]],
        charts,
        tables,
        [*notes, *found.notes],
    )


def _shown(study: JointStudy, column: int) -> Shown:
    history = study.history
    low, high = study.interval(0.9)
    facts: dict[str, Any] = {
        "licence": history.provenance.licence,
        "as_of": history.provenance.as_of.isoformat(),
        "unit": as_is(history.unit),
    }
    figure = Figure(
        "forecast",
        float(study.median()[-1, column]),
        int((~np.isnan(history.values[:, column])).sum()),
        float(low[-1, column]),
        float(high[-1, column]),
        source=history.provenance.source,
        level=0.9,
        unit=history.unit,
    )
    return Shown(
        figure,
        message("forecast.ahead.name", name=entity_name(history.names[column]), time=study.times[-1]),
        message("forecast.ahead.meaning", model=name_of(study.model)),
        **facts,
    )


def _figures(found: Outcome, source: Text) -> Table:
    """Return who acts on whom, or what each generation adds."""
    rows: list[list[str | float | Text | None]] = [
        [
            figure.name if isinstance(figure.name, Message) else as_is(figure.name),
            None if figure.low is None else significant(figure.value),
            *(None if end is None or not math.isfinite(end) else significant(end) for end in (figure.low, figure.high)),
            term(figure.note) if figure.note else as_is("–"),
            float(figure.n),
        ]
        for figure in found.figures
    ]
    return Table(
        message(f"forecast.joint.figures_{found.of}", level=found.figures[0].level),
        [
            message("report.column.parameter"),
            message("forecast.column.value"),
            message("report.column.low"),
            message("report.column.high"),
            message("forecast.joint.told"),
            message("report.column.n"),
        ],
        rows,
        source,
    )


def _ahead(study: JointStudy, source: Text) -> Table:
    """Return what may come of each at the forecast's end, beside what was seen last."""
    history, middle = study.history, study.median()
    low, high = study.interval(0.9)
    rows: list[list[str | float | Text | None]] = []
    for column in largest(study):
        known = np.flatnonzero(~np.isnan(history.values[:, column]))
        last = significant(float(history.values[known[-1], column])) if known.size else None
        ends = [significant(float(side[-1, column])) for side in (middle, low, high)]
        rows.append([entity_name(history.names[column]), last, *ends])
    return Table(
        message("forecast.joint.ahead", time=study.times[-1], unit=history.unit),
        [
            message("report.column.name"),
            as_is(history.times[-1]),
            message("market.column.median"),
            message("market.column.n_90_percent_low"),
            message("market.column.n_90_percent_high"),
        ],
        rows,
        source,
    )
