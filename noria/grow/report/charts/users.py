"""Charts of users: growth accounting, retention, and the lifetime model's hold-out."""

from __future__ import annotations

import numpy as np

from noria.core.messages import message
from noria.grow.series.series import Floats
from noria.grow.users.activity import Growth
from noria.grow.users.expected_acts import ActsForecast
from noria.grow.users.retention import Retention

from .chart import GREY, PALETTE, Chart, Text, band, frame, line, percent, whole


def growth_chart(growth: Growth, segment: str = "") -> Chart:
    """Return who came, came back, stayed and left, period by period. Only whole periods are drawn."""
    rows = [row for row in growth.segment(segment) if row.complete]
    unit = message(f"units.one.{growth.unit}")
    parts: list[tuple[Text, list[int], str]] = [
        (message("users.retained"), [row.retained for row in rows], PALETTE[0]),
        (message("users.resurrected"), [row.resurrected for row in rows], PALETTE[2]),
        (message("users.new"), [row.new for row in rows], PALETTE[7]),
        (message("users.churned"), [-row.churned for row in rows], PALETTE[4]),
    ]
    named = growth.unit in ("month", "quarter", "year")
    options = frame([row.name if named else row.period for row in rows], message("users.users"))
    options["series"] = [
        {
            "type": "bar",
            "stack": "all",
            "name": name,
            "data": data,
            "itemStyle": {"color": colour},
            "barCategoryGap": "10%",
        }
        for name, data, colour in parts
    ]
    return Chart(
        message("users.growth_accounting.title", unit=unit),
        message("users.growth_accounting.meaning"),
        growth.source,
        options,
    )


def retention_curve(retention: Retention) -> Chart:
    """Return the pooled retention curve with its band."""
    points = retention.curve()[1:]
    ages = [str(age) for age in range(1, len(points) + 1)]
    options = frame(ages, message("users.percent_cohort"))
    low = [percent(point.low) for point in points]
    high = [percent(point.high) for point in points]
    options["series"] = [
        *band(low, high, PALETTE[0], message("users.interval_95")),
        line(message("users.active_again"), [percent(point.value) for point in points], PALETTE[0]),
    ]
    unit = message(f"units.many.{retention.unit}")
    options["xAxis"]["name"] = message("users.axis_after_first", unit=unit)
    return Chart(
        message("users.retention_curve.title"),
        message("users.retention_curve.meaning", unit=unit),
        retention.source,
        options,
    )


def retention_heat(retention: Retention) -> Chart:
    """Return the triangle of cohorts as a map of colours."""
    cohorts = [name for name, row in retention.counts.items() if row[0]]
    names = dict(zip(retention.counts, retention.names, strict=True))
    ages = max(len(retention.counts[name]) for name in cohorts) - 1
    cells = [
        [age - 1, line, round(100 * row[age] / row[0], 1)]
        for line, name in enumerate(cohorts)
        for row in [retention.counts[name]]
        for age in range(1, len(row))
    ]
    top = float(np.quantile([cell[2] for cell in cells], 0.98)) if cells else 1.0
    options = {
        "tooltip": {"confine": True},
        "grid": {"left": 8, "right": 12, "top": 12, "bottom": 56, "containLabel": True},
        "xAxis": {"type": "category", "data": [str(age) for age in range(1, ages + 1)], "splitArea": {"show": False}},
        "yAxis": {
            "type": "category",
            "data": [names[name] if retention.unit in ("month", "quarter", "year") else name for name in cohorts],
            "inverse": True,
        },
        "visualMap": {
            "min": 0,
            "max": round(top, 1),
            "orient": "horizontal",
            "left": "center",
            "bottom": 0,
            "itemHeight": 120,
            "text": [f"{top:.0f}%", "0%"],
            "inRange": {"color": ["#f2f6f7", "#7fb8c6", "#0d5a6d"]},
        },
        "series": [
            {
                "type": "heatmap",
                "data": cells,
                "name": message("users.name"),
                "label": {"show": ages <= 12 and len(cohorts) <= 12, "fontSize": 10},
            }
        ],
    }
    return Chart(
        message("users.retention_cohort.title"),
        message("users.retention_cohort.meaning"),
        retention.source,
        options,
        max(300, 22 * len(cohorts) + 110),
    )


def acts_forecast_chart(ahead: ActsForecast, actual: Floats, flat: float, source: str | Text) -> Chart:
    """Return a held-out forecast by week, what came, and the flat baseline."""
    low, high = ahead.interval(0.95)
    weeks = [str(week) for week in range(1, actual.size + 1)]
    options = frame(weeks, message("users.acts"))
    options["xAxis"]["name"] = message("users.weeks_after_fit")
    options["series"] = [
        *band(whole(low), whole(high), PALETTE[0], message("users.interval_95")),
        line(message("users.forecast"), whole(np.median(ahead.by_week, axis=0)), PALETTE[0]),
        line(message("users.what_came"), whole(actual), PALETTE[1]),
        line(message("users.baseline"), [round(flat)] * actual.size, GREY, dashed=True),
    ]
    inside = int(np.sum((actual >= low) & (actual <= high)))
    return Chart(
        message("users.purchases_forecast_seen_hold_out.title"),
        message("users.purchases_forecast_seen_hold_out.meaning", inside=inside, size=actual.size),
        source,
        options,
    )
