"""An experiment in the report: are the groups sound, what differs, and could it have been stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from noria.core.figure import Figure
from noria.grow.promote.experiment import Experiment
from noria.grow.report.charts.chart import Text
from noria.grow.report.charts.experiment import cited, difference_chart, looks_chart
from noria.grow.report.page import Section, Shown, Table

METHODS: dict[str, Text] = {
    "newcombe": {"en": "Newcombe", "zh": "Newcombe 法"},
    "welch": {"en": "Welch", "zh": "Welch 法"},
    "delta": {"en": "delta method", "zh": "delta 法"},
    "welch + cuped": {"en": "Welch, CUPED", "zh": "Welch 法，CUPED"},
    "delta + cuped": {"en": "delta method, CUPED", "zh": "delta 法，CUPED"},
}


def experiment_section(result: Experiment) -> Section:
    """Return what an experiment shows."""
    facts: dict[str, Any] = {
        "licence": result.units.licence,
        "as_of": result.units.as_of,
        **points(result.metric == "rate"),
    }
    source = cited(result.units)
    shown = []
    for item in result.comparisons:
        found = item.found
        names = {"en": f"{found.variant} less {found.control}", "zh": f"{found.variant} 与 {found.control} 之差"}
        clear: Text = (
            {"en": "No spread is seen, so no interval can be told", "zh": "未见离散，无法给出区间"}
            if not found.has_interval
            else (
                {"en": "A clear difference", "zh": "差异明确"}
                if found.clear
                else {"en": "No clear difference", "zh": "没有明确差异"}
            )
        )
        shown.append(
            Shown(
                scaled(
                    Figure(
                        names["en"],
                        found.value,
                        found.n,
                        found.low if found.has_interval else None,
                        found.high if found.has_interval else None,
                        source=result.units.source,
                        level=found.level,
                        note=result.units.note,
                    ),
                    result.metric == "rate",
                ),
                names,
                {
                    "en": f"{clear['en']}, p = {item.p_adjusted:.2g}{', all comparisons allowed for' if len(result.comparisons) > 1 else ''}.",
                    "zh": f"{clear['zh']}，p = {item.p_adjusted:.2g}{'（已考虑多重比较）' if len(result.comparisons) > 1 else ''}。",
                },
                **facts,
            )
        )
    notes: list[Text] = [result.balance.texts(), *result.notes]
    if result.reduction is not None:
        notes.append(
            {
                "en": f"The covariate from before took {result.reduction:.1%} of the variance away (CUPED): as if there were "
                f"{1 / max(1e-9, 1 - result.reduction):.2f} times the users.",
                "zh": f"实验前协变量消去了 {result.reduction:.1%} 的方差（CUPED），相当于用户数增至 "
                f"{1 / max(1e-9, 1 - result.reduction):.2f} 倍。",
            }
        )
    notes += [problem.texts() for problem in result.units.problems]
    charts = [difference_chart(result)]
    charts += [
        looks_chart(result, item) for item in result.comparisons[:2] if any(look.low > -1e300 for look in item.looks)
    ]
    return Section(
        "experiment",
        {"en": "Experiment", "zh": "实验"},
        {
            "en": f"What the groups of one experiment show: {result.units.source}.",
            "zh": f"同一实验各组的结果：{result.units.source}。",
        },
        shown,
        charts,
        [group_table(result, source), comparison_table(result, source)],
        notes,
    )


def points(rate: bool) -> dict[str, Any]:
    """Return the unit of a difference of rates, for `Shown`; nothing for other metrics."""
    return {"unit": {"en": "points", "zh": "个百分点"}} if rate else {}


def scaled(figure: Figure, rate: bool) -> Figure:
    """Return a difference of rates in percentage points; any other as it is."""
    if not rate:
        return figure
    low, high = (None if end is None else 100 * end for end in (figure.low, figure.high))
    return replace(figure, value=100 * figure.value, low=low, high=high, unit="points")


def group_table(result: Experiment, source: Text) -> Table:
    """Return each group's size and value."""
    rows: list[list[str | float | Text | None]] = []
    for arm, meant in zip(result.arms, result.balance.expected, strict=True):
        figure = arm.figure(result.level)
        rows.append(
            [
                arm.name,
                arm.n,
                round(meant),
                *(_value(value, result.metric) for value in (figure.value, figure.low, figure.high)),
            ]
        )
    columns = [
        ("group", "组"),
        ("users", "用户"),
        ("meant", "设计人数"),
        (result.metric, {"rate": "比率", "mean": "均值", "ratio": "比值"}[result.metric]),
        (f"{result.level:.0%} low", f"{result.level:.0%} 下限"),
        (f"{result.level:.0%} high", f"{result.level:.0%} 上限"),
    ]
    return Table({"en": "Groups", "zh": "各组"}, [{"en": en, "zh": zh} for en, zh in columns], rows, source)


def comparison_table(result: Experiment, source: Text) -> Table:
    """Return each comparison with its lift and method."""
    rows: list[list[str | float | Text | None]] = []
    for item in result.comparisons:
        found = item.found
        lift = None if found.lift is None else f"{found.lift:+.1%}"
        ends = (
            None
            if found.lift_low is None or found.lift_high is None
            else f"{found.lift_low:+.1%} … {found.lift_high:+.1%}"
        )
        rows.append(
            [
                found.variant,
                _value(found.value, result.metric),
                lift,
                ends,
                f"{found.p:.2g}",
                f"{item.p_adjusted:.2g}",
                METHODS[found.method],
                item.decided.time if item.decided else None,
            ]
        )
    columns = [
        ("group", "组"),
        ("difference", "差异"),
        ("lift", "相对变化"),
        (f"lift, {result.level:.0%}", f"相对变化 {result.level:.0%} 区间"),
        ("p", "p"),
        ("p, adjusted", "校正 p"),
        ("method", "方法"),
        ("clear at any look from", "任意查看时明确始于"),
    ]
    return Table({"en": "Comparisons", "zh": "比较"}, [{"en": en, "zh": zh} for en, zh in columns], rows, source)


def _value(value: float | None, metric: str) -> str | float | None:
    return None if value is None else f"{value:.2%}" if metric == "rate" else float(value)
