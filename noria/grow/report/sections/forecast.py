"""A forecast in the report: what may come, growth curves with their parameters, and how models stood in the back-test."""

from __future__ import annotations

from typing import Any

from noria.core.figure import Figure, significant
from noria.core.messages import as_is, message
from noria.grow.forecast.names import NAMES, parameter_name
from noria.grow.forecast.scoring.standings import Backtest
from noria.grow.forecast.study import LevelStudy
from noria.grow.report.charts.chart import Chart, Text
from noria.grow.report.charts.forecast import curves_chart, outlook_chart, series_name, standings_chart, unit_name
from noria.grow.report.page import Section, Shown, Table


def forecast_section(study: LevelStudy, key: str = "forecast") -> Section:
    """Return one series' forecast, growth curves and back-test."""
    facts: dict[str, Any] = {"licence": study.licence, "as_of": study.as_of}
    name: Text = series_name(study.history.name)
    shown: list[Shown] = []
    charts: list[Chart] = []
    notes: list[Text] = []
    if study.silence:
        notes.append(message("forecast.note.not_all_could_be_done", silence=study.silence))
    if study.outlook is not None:
        low, high = study.outlook.interval(0.9)
        model = NAMES[study.model]
        figure = Figure(
            "forecast",
            float(study.outlook.median()[-1]),
            study.history.n,
            float(low[-1]),
            float(high[-1]),
            source=study.source,
            level=0.9,
            unit=study.history.unit,
        )
        shown.append(
            Shown(
                figure,
                message("forecast.ahead.name", name=name, time=study.times[-1]),
                message("forecast.ahead.meaning", model=model),
                unit=unit_name(study.history.unit),
                **facts,
            )
        )
        charts.append(outlook_chart(study))
    tables = []
    if study.adoptions:
        charts.append(curves_chart(study))
        tables.append(curves_table(study))
        notes += [
            message("forecast.curve_verdict", curve=NAMES[curve], verdict=one.verdict())
            for curve, one in study.adoptions.items()
        ]
        notes += [note for curve, one in study.adoptions.items() for note in one.notes(NAMES[curve])]
    if study.backtest is not None:
        charts.append(standings_chart(study.backtest, _cited(study)))
        tables.append(standings_table(study.backtest, _cited(study)))
        notes.insert(0, study.backtest.verdict())
        notes += [
            message("forecast.took_no_part_back_test", model=NAMES[model], why=why)
            for model, why in study.backtest.silent.items()
        ]
    return Section(
        key,
        message("forecast.title", name=name),
        message("forecast.lead"),
        shown,
        charts,
        tables,
        notes,
    )


def curves_table(study: LevelStudy) -> Table:
    """Return every growth curve's parameters with their intervals; what cannot be told says so."""
    rows: list[list[str | float | Text | None]] = []
    for curve, fitted in study.adoptions.items():
        for one in (fitted, *fitted.others.values()):
            for figure in one.figures():
                open_ended: Text = message("forecast.not_identified") if figure.note else as_is("–")
                rows.append(
                    [
                        NAMES[curve],
                        one.short(),
                        parameter_name(figure.name),
                        None if figure.note else significant(figure.value),
                        open_ended if figure.low is None else significant(figure.low),
                        open_ended if figure.high is None else significant(figure.high),
                        float(figure.n),
                    ]
                )
    return Table(
        message("forecast.table.growth_curves_90_percent"),
        [
            message("forecast.column.curve"),
            message("forecast.column.estimator"),
            message("report.column.parameter"),
            message("forecast.column.value"),
            message("report.column.low"),
            message("report.column.high"),
            message("report.column.n"),
        ],
        rows,
        _cited(study),
    )


def standings_table(test: Backtest, source: str | Text) -> Table:
    """Return how each model did in the back-test, and its weight in the blend."""
    names = [
        message("forecast.model"),
        message("forecast.energy_score"),
        message("forecast.energy_below"),
        as_is("CRPS"),
        message("forecast.log_score"),
        message("forecast.log_score_above"),
        as_is("MASE"),
        message("forecast.inside_90_percent"),
        message("forecast.weight"),
    ]
    rows: list[list[str | float | Text | None]] = []
    for item in test.standings:
        weight = test.weights.get(item.model)
        rows.append(
            [
                NAMES[item.model],
                item.energy,
                _signed(item.lead, percent=True),
                item.crps,
                item.log_score,
                _signed(item.gain),
                item.mase,
                f"{item.coverage['90%']:.0%}",
                "–" if weight is None else f"{weight:.0%}",
            ]
        )
    first = test.standings[0]
    return Table(
        message(
            "forecast.table.back_test_forecasts_from", trials=first.trials, origins=first.origins, horizon=test.horizon
        ),
        names,
        rows,
        source,
    )


def _signed(figure: Figure | None, *, percent: bool = False) -> str:
    """Return a difference with its interval, or a dash."""
    if figure is None:
        return "–"
    form = "{:+.0%}" if percent else "{:+.2f}"
    ends = "" if figure.low is None else f" [{form.format(figure.low)}, {form.format(figure.high)}]"
    return form.format(figure.value) + ends


def _cited(study: LevelStudy) -> Text:
    cited = f"{study.source} ({study.licence})" if study.licence else study.source
    return message("forecast.as", cited=cited, as_of=study.as_of)
