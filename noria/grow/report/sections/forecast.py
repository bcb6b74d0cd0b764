"""A forecast in the report: what may come, growth curves with their parameters, and how models stood in the back-test."""

from __future__ import annotations

from typing import Any

from noria.core.figure import Figure, number
from noria.grow.forecast.names import NAMES
from noria.grow.forecast.scoring.rolling import Backtest
from noria.grow.forecast.study import LevelStudy
from noria.grow.report.charts.chart import Chart, Text
from noria.grow.report.charts.forecast import curves_chart, outlook_chart, standings_chart
from noria.grow.report.page import Section, Shown, Table

_PARAMETERS: dict[str, Text] = {
    "p": {"en": "p, innovation", "zh": "p，创新系数"},
    "q": {"en": "q, imitation", "zh": "q，模仿系数"},
    "rate": {"en": "rate", "zh": "速率"},
    "inflection": {"en": "inflection, periods from the start", "zh": "拐点（自起点的期数）"},
    "ceiling": {"en": "ceiling", "zh": "上限"},
}


def forecast_section(study: LevelStudy, key: str = "forecast") -> Section:
    """Return one series' forecast, growth curves and back-test."""
    facts: dict[str, Any] = {"licence": study.licence, "as_of": study.as_of}
    name: Text = {
        "en": study.history.name,
        "zh": "活跃用户" if study.history.name == "active users" else study.history.name,
    }
    shown: list[Shown] = []
    charts: list[Chart] = []
    notes: list[Text] = []
    if study.silence:
        notes.append({"en": f"Not all could be done: {study.silence}.", "zh": f"部分分析未能完成：{study.silence}。"})
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
                {"en": f"{name['en']}, {study.times[-1]}", "zh": f"{name['zh']}，{study.times[-1]}"},
                {
                    "en": f"Median of the forecast by {model['en']}; n is the periods seen.",
                    "zh": f"{model['zh']}预测的中位数；n 为已知期数。",
                },
                unit={"en": study.history.unit, "zh": {"users": "用户"}.get(study.history.unit, study.history.unit)},
                **facts,
            )
        )
        charts.append(outlook_chart(study))
    tables = []
    if study.adoptions:
        charts.append(curves_chart(study))
        tables.append(curves_table(study))
        notes += [
            {"en": f"{NAMES[curve]['en']}: {one.verdict()['en']}", "zh": f"{NAMES[curve]['zh']}：{one.verdict()['zh']}"}
            for curve, one in study.adoptions.items()
        ]
    if study.backtest is not None:
        charts.append(standings_chart(study.backtest, _cited(study)))
        tables.append(standings_table(study.backtest, _cited(study)))
        notes.insert(0, study.backtest.verdict())
        notes += [
            {
                "en": f"{NAMES[model]['en']} took no part in the back-test: {why}.",
                "zh": f"{NAMES[model]['zh']}未参加回测：{why}。",
            }
            for model, why in study.backtest.silent.items()
        ]
    return Section(
        key,
        {"en": f"What comes next: {name['en']}", "zh": f"未来走势：{name['zh']}"},
        {
            "en": "Forecast with intervals, and how good such forecasts would have been so far.",
            "zh": "带区间的预测，以及此类预测迄今的表现。",
        },
        shown,
        charts,
        tables,
        notes,
    )


def curves_table(study: LevelStudy) -> Table:
    """Return every growth curve's parameters with their intervals; what cannot be told says so."""
    rows: list[list[str | float | Text | None]] = []
    for curve, one in study.adoptions.items():
        for figure in one.figures():
            open_ended: Text = {"en": "not identified", "zh": "无法识别"} if figure.note else {"en": "–", "zh": "–"}
            rows.append(
                [
                    NAMES[curve],
                    _parameter(figure.name),
                    None if figure.note else number(figure.value),
                    open_ended if figure.low is None else number(figure.low),
                    open_ended if figure.high is None else number(figure.high),
                    float(figure.n),
                ]
            )
    return Table(
        {"en": "Growth curves, 90% profile-likelihood intervals", "zh": "增长曲线，90% 轮廓似然区间"},
        [
            {"en": "curve", "zh": "曲线"},
            {"en": "parameter", "zh": "参数"},
            {"en": "value", "zh": "估计值"},
            {"en": "low", "zh": "下限"},
            {"en": "high", "zh": "上限"},
            {"en": "n", "zh": "n"},
        ],
        rows,
        _cited(study),
    )


def _parameter(name: str) -> Text:
    """Return what people read for a parameter; the others are effects of covariates."""
    return _PARAMETERS.get(name) or {"en": name, "zh": name.replace("effect of ", "效应：")}


def standings_table(test: Backtest, source: str | Text) -> Table:
    """Return how each model did in the back-test, and its weight in the blend."""
    names = [
        ("model", "模型"),
        ("log score", "对数得分"),
        ("above persis\u00adtence, 95% together", "高于维持现状，95%"),
        ("energy score", "能量得分"),
        ("CRPS", "CRPS"),
        ("MASE", "MASE"),
        ("inside 90%", "90% 区间内"),
        ("weight", "权重"),
    ]
    rows: list[list[str | float | Text | None]] = []
    for item in test.standings:
        gain = "–" if item.gain is None else f"{item.gain.value:+.2f}"
        if item.gain and item.gain.low is not None:
            gain += f" [{item.gain.low:.2f}, {item.gain.high:.2f}]"
        weight = test.weights.get(item.model)
        rows.append(
            [
                NAMES[item.model],
                item.log_score,
                gain,
                item.energy,
                item.crps,
                item.mase,
                f"{item.coverage['90%']:.0%}",
                "–" if weight is None else f"{weight:.0%}",
            ]
        )
    first = test.standings[0]
    return Table(
        {
            "en": f"Back-test: {first.trials} forecasts from {first.origins} origins, up to {test.horizon} periods ahead",
            "zh": f"滚动起点回测：{first.origins} 个起点、{first.trials} 次预测，最多提前 {test.horizon} 期",
        },
        [{"en": name, "zh": chinese} for name, chinese in names],
        rows,
        source,
    )


def _cited(study: LevelStudy) -> Text:
    cited = f"{study.source} ({study.licence})" if study.licence else study.source
    return {"en": f"{cited}, as of {study.as_of}", "zh": f"{cited}，截至 {study.as_of}"}
