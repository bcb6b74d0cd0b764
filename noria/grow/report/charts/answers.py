"""Charts of a share of answer: who is named by which assistant, with intervals over questions, and wave by wave."""

from __future__ import annotations

from noria.core.messages import as_is, message
from noria.grow.answers.study import AnswerStudy

from .chart import PALETTE, Chart, frame, line
from .chart import percent as in_percent


def named_chart(study: AnswerStudy) -> Chart:
    """Return how often each brand is named in the latest wave: a box from one end of its interval to the other, one an assistant."""
    wave, level = study.waves[-1].time, study.settings.level
    rows = [row for row in study.rows() if row["time"] == wave]
    options = frame([brand.name for brand in study.brands], message("answers.report.percent"))
    options["yAxis"]["max"] = 100
    options["tooltip"] = {"show": False}
    options["xAxis"]["axisLabel"] = {"interval": 0, "width": 90, "overflow": "break"}
    options["series"] = [
        {
            "type": "boxplot",
            "name": as_is(assistant),
            "boxWidth": [8, 28],
            "itemStyle": {"color": f"{colour}2e", "borderColor": colour, "borderWidth": 2},
            "data": [_box(row) for row in rows if row["assistant"] == assistant],
        }
        for assistant, colour in zip(dict.fromkeys(row["assistant"] for row in rows), PALETTE * 8, strict=False)
    ]
    return Chart(
        message("answers.report.chart", wave=wave),
        message("answers.report.chart_meaning", level=level),
        study.source,
        options,
        300,
    )


def waves_chart(study: AnswerStudy, assistant: str) -> Chart:
    """Return how often an assistant names each brand, wave by wave."""
    rows = [row for row in study.rows() if row["assistant"] == assistant]
    times = list(dict.fromkeys(row["time"] for row in rows))
    options = frame(times, message("answers.report.percent"))
    options["yAxis"]["max"] = 100
    options["series"] = [
        line(
            as_is(brand.name),
            [in_percent(row["named"]) for row in rows if row["brand"] == brand.name],
            PALETTE[place % len(PALETTE)],
        )
        for place, brand in enumerate(study.brands)
    ]
    return Chart(
        message("answers.report.over_time", assistant=assistant),
        message("answers.report.over_time_meaning"),
        study.source,
        options,
        280,
    )


def _box(row: dict[str, float | None]) -> list[float | None]:
    if row["named"] is None:
        return []
    low, value, high = (in_percent(row[name]) for name in ("named_low", "named", "named_high"))
    return [low, low, value, high, high]
