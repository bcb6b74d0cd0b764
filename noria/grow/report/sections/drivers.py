"""What moves a market, in the report: drivers with intervals, what followed an event, and what the data cannot tell."""

from __future__ import annotations

import numpy as np

from noria.core.figure import Figure
from noria.grow.market.drivers.attraction import DriverStudy
from noria.grow.market.drivers.effect import Effect
from noria.grow.market.drivers.eventstudy import EventStudy
from noria.grow.market.study import Drivers
from noria.grow.report.charts.chart import Chart, Text
from noria.grow.report.charts.drivers import effects_chart, event_chart
from noria.grow.report.page import Section, Shown, Table

Row = list[str | float | Text | None]
_FORMS: dict[str, Text] = {
    "mnl": {"en": "multinomial logit", "zh": "多项 logit"},
    "mci": {"en": "multiplicative competitive interaction", "zh": "乘法竞争交互"},
    "growth": {"en": "growth", "zh": "增长"},
}
_METHODS = {
    "wild cluster bootstrap": "wild 聚类自助法",
    "cluster-robust": "聚类稳健",
    "Driscoll-Kraay": "Driscoll-Kraay",
    "none": "无",
    "errors in variables, jackknife over entities": "变量误差修正，按个体刀切",
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
            {
                "en": f"{item.entity} {item.time} left out: {why['en']}.",
                "zh": f"舍去 {item.entity} {item.time}：{why['zh']}。",
            }
            for item, why in drivers.followed.skipped
        ]
        if not drivers.followed.effect.identified:
            told: Text = drivers.followed.effect.verdict
            notes.append(told)
    return Section(
        "drivers",
        {"en": "What moves the market", "zh": "什么推动市场"},
        {
            "en": "Drivers and events, with entities and periods held fixed. Where the data cannot tell, it says so.",
            "zh": "在固定个体与时期之后考察各因素与事件；数据无法分辨之处如实说明。",
        },
        shown,
        charts,
        tables,
        notes,
    )


def method_text(effect: Effect) -> Text:
    """Return how an effect's interval was made, in both languages."""
    placebo = effect.method.removeprefix("event study, ").removesuffix(" placebo events")
    chinese = (
        f"事件研究，{placebo} 个安慰剂事件" if effect.method.startswith("event study") else _METHODS[effect.method]
    )
    return {"en": effect.method, "zh": chinese}


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
        {
            "en": f"Effects on the logarithm of {study.panel.outcome} ({form['en']})",
            "zh": f"对 {study.panel.outcome} 对数的效应（{form['zh']}）",
        },
        [
            {"en": "driver", "zh": "因素"},
            {"en": "effect", "zh": "效应"},
            {"en": f"{level:.0%} low", "zh": f"{level:.0%} 下限"},
            {"en": f"{level:.0%} high", "zh": f"{level:.0%} 上限"},
            {"en": "error ignored", "zh": "忽略误差时"},
            {"en": "n", "zh": "n"},
            {"en": "clusters", "zh": "组数"},
            {"en": "interval from", "zh": "区间方法"},
            {"en": "what it means", "zh": "含义"},
        ],
        rows,
        study.panel.provenance.texts(),
    )


def _elasticities_table(study: DriverStudy) -> Table:
    found = study.elasticities()
    rows: list[Row] = [[name, *(f"{found[driver][name]:+.3f}" for driver in found)] for name in study.panel.entities]
    return Table(
        {"en": "Own elasticity of share at each entity's latest point", "zh": "各个体最新时点的份额自弹性"},
        [{"en": "name", "zh": "名称"}, *({"en": driver, "zh": driver} for driver in found)],
        rows,
        study.panel.provenance.texts(),
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
            {"en": f"After {effect.driver}", "zh": f"{effect.driver} 之后"},
            {
                "en": f"Share beside rivals, against before; {verdict['en']}. n counts placebo events.",
                "zh": f"相对竞争者的份额与事前相比；{verdict['zh']}。n 为安慰剂事件数。",
            },
            percent=True,
            source=study.cited,
        )
    ]
