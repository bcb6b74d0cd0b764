"""Charts of a forecast: a series with what may come, its growth curves, and how models stood in the back-test."""

from __future__ import annotations

import numpy as np

from noria.grow.forecast.names import NAMES
from noria.grow.forecast.scoring.rolling import Backtest
from noria.grow.forecast.study import LevelStudy

from .chart import GREY, PALETTE, Chart, Text, band, frame, line


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
            {"en": f"{level:.0%} interval", "zh": f"{level:.0%} 区间"},
        ),
        line({"en": "seen", "zh": "实际"}, past, PALETTE[0]),
        line(
            {"en": f"forecast ({name['en']})", "zh": f"预测（{name['zh']}）"},
            [*gap, past[-1], *map(_number, study.outlook.median())],
            PALETTE[0],
            dashed=True,
        ),
    ]
    return Chart(
        {"en": f"Forecast: {history.name}", "zh": f"预测：{_entity(history.name)}"},
        {
            "en": f"Dashed is the median, the band holds {level:.0%} of {len(study.outlook.draws):,} draws, none of which is below zero.",
            "zh": f"虚线为中位数，带状为 {len(study.outlook.draws):,} 次模拟的 {level:.0%} 区间，任何一次模拟都不小于零。",
        },
        _source(study),
        options,
    )


def curves_chart(study: LevelStudy) -> Chart:
    """Return the growth curves beside what they were fitted to."""
    options = frame(list(study.history.times), _unit(study))
    seen = ~np.isnan(study.history.values)
    options["series"] = [line({"en": "seen", "zh": "实际"}, [_number(value) for value in study.history.values], GREY)]
    for place, (name, one) in enumerate(study.adoptions.items()):
        path = np.full(len(seen), np.nan)
        path[seen] = one.path()
        options["series"].append(line(NAMES[name], [_number(value) for value in path], PALETTE[place]))
    told = [NAMES[name] for name, one in study.adoptions.items() if one.identified["ceiling"] and not one.fell]
    return Chart(
        {"en": f"Growth curves: {study.history.name}", "zh": f"增长曲线：{_entity(study.history.name)}"},
        {
            "en": f"A ceiling can be told by {' and '.join(name['en'] for name in told)}."
            if told
            else "No curve can tell a ceiling from these data.",
            "zh": f"能识别上限的曲线：{'、'.join(name['zh'] for name in told)}。"
            if told
            else "这些数据不足以识别任何曲线的上限。",
        },
        _source(study),
        options,
    )


def standings_chart(test: Backtest, source: str | Text) -> Chart:
    """Return each model's log score above persistence, with its interval as a line, and its weight in the blend."""
    rows = [item for item in test.standings if item.gain]
    options = frame([], {"en": "nats per forecast", "zh": "每次预测的 nat"})
    options["xAxis"] = {
        "type": "category",
        "data": [NAMES[item.model] for item in rows],
        "axisLabel": {"interval": 0, "width": 90, "overflow": "break"},
    }
    options["legend"]["show"] = False
    gains = [(item.gain.value, item.gain.low, item.gain.high) for item in rows if item.gain]
    options["series"] = [
        {
            "type": "bar",
            "name": {"en": "above persistence", "zh": "高于维持现状"},
            "barMaxWidth": 40,
            "itemStyle": {"color": PALETTE[0]},
            "data": [round(value, 3) for value, _, _ in gains],
        },
        # A boxplot whose box is closed draws a whisker from one end of the interval to the other.
        {
            "type": "boxplot",
            "name": {"en": "95% interval", "zh": "95% 区间"},
            "itemStyle": {"color": GREY, "borderColor": GREY},
            "boxWidth": [1, 12],
            "data": [
                [round(value if each is None else each, 3) for each in (low, value, value, value, high)]
                for value, low, high in gains
            ],
        },
    ]
    return Chart(
        {"en": "Back-test: above or below persistence", "zh": "回测：高于或低于“维持现状”"},
        {"en": test.verdict()["en"], "zh": test.verdict()["zh"]},
        source,
        options,
        280,
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.4g}")


def _unit(study: LevelStudy) -> Text:
    unit = study.history.unit
    return {"en": unit, "zh": {"users": "用户"}.get(unit, unit)}


def _entity(name: str) -> str:
    return {"active users": "活跃用户"}.get(name, name)


def _source(study: LevelStudy) -> Text:
    cited = f"{study.source} ({study.licence})" if study.licence else study.source
    return {"en": f"{cited}, as of {study.as_of}", "zh": f"{cited}，截至 {study.as_of}"}
