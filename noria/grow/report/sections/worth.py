"""How long users stay and what they are worth, in the report: survival, rival lifetime models, amounts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from noria.core.figure import Figure
from noria.grow.log.log import Log
from noria.grow.report.charts.chart import Text
from noria.grow.report.charts.habits import survival_chart
from noria.grow.report.page import Section, Shown, Table
from noria.grow.users.holdout import HoldOut
from noria.grow.users.spend import SpendHoldOut
from noria.grow.users.study import UserStudy

_PARAMETERS = [
    {"en": "parameter", "zh": "参数"},
    {"en": "value", "zh": "值"},
    {"en": "95% low", "zh": "95% 下限"},
    {"en": "95% high", "zh": "95% 上限"},
]


def worth_section(study: UserStudy) -> Section | None:
    """Return survival, rivals and amounts; None where the log carries none of them."""
    log = study.log
    facts: dict[str, Any] = {"licence": log.licence, "as_of": log.as_of.isoformat()}
    shown: list[Shown] = []
    tables: list[Table] = []
    notes: list[Text] = []
    if study.survival:
        shown += _stay(study, facts)
    if study.holdout:
        tables += [rivals_table(study.holdout, log), *pareto_table(study.holdout, log)]
        if study.holdout.silence:
            notes.append({"en": study.holdout.silence, "zh": f"Pareto/NBD 无法由这些数据估计：{study.holdout.silence}"})
    if study.spend:
        shown += _paid(study.spend, facts)
        tables.append(spend_table(study.spend, log))
    if not shown and not tables:
        return None
    charts = [replace(survival_chart(study.survival), source=log.texts())] if study.survival else []
    return Section(
        "worth",
        {"en": "How long users stay, and what they are worth", "zh": "用户停留多久、价值几何"},
        {
            "en": f"Survival of all users; models of frequency and amount against one another and against plain baselines: {log.source}.",
            "zh": f"全部用户的存续；频率模型与金额模型相互比较，并与简单基线比较：{log.source}。",
        },
        shown,
        charts,
        tables,
        notes,
    )


def _stay(study: UserStudy, facts: dict[str, Any]) -> list[Shown]:
    found = study.survival
    assert found
    days = min(180, found.longest)
    shown = [
        Shown(
            found.at(days),
            {"en": f"Still there after {days} days", "zh": f"{days} 天后仍在"},
            {
                "en": f"Part of the users who had not gone {found.lapse_days} days without an act by then.",
                "zh": f"届时尚未连续 {found.lapse_days} 天无活动的用户比例。",
            },
            percent=True,
            **facts,
        )
    ]
    median = found.median()
    if median:
        unit: dict[str, Any] = {"unit": {"en": "days", "zh": "天"}}
        shown.append(
            Shown(
                median,
                {"en": "Median stay", "zh": "停留中位数"},
                {
                    "en": "After so many days half of the users had made their last act before a lapse.",
                    "zh": "到这一天，一半用户已做完流失前的最后一次活动。",
                },
                **facts,
                **unit,
            )
        )
    return shown


def _paid(found: SpendHoldOut, facts: dict[str, Any]) -> list[Shown]:
    tied = (
        found.dependence.low is not None
        and found.dependence.high is not None
        and found.dependence.low * found.dependence.high > 0
    )
    nearer = found.error.baseline is not None and found.error.value < min(found.error.baseline, found.error_of_one)
    verdict: Text = (
        {"en": "the model came nearer than both plain guesses.", "zh": "模型比两种简单猜测都更接近。"}
        if nearer
        else {"en": "a plain guess came as near or nearer.", "zh": "某种简单猜测同样或更接近。"}
    )
    return [
        Shown(
            found.error,
            {"en": "Error of a user's amount", "zh": "人均金额误差"},
            {
                "en": f"The baseline expects each user's own mean; the mean of all would miss by {found.error_of_one:.3g}: {verdict['en']}",
                "zh": f"基线为每位用户自己的均值；以全体均值预测的误差为 {found.error_of_one:.3g}：{verdict['zh']}",
            },
            **facts,
        ),
        Shown(
            found.dependence,
            {"en": "Frequency and amount", "zh": "频率与金额的相关"},
            {
                "en": "Their correlation over users; the model takes it for 0"
                + (", and it is not: amounts of frequent users are misjudged a little." if tied else "."),
                "zh": "用户间二者的相关系数；模型假定为 0"
                + ("，而实际并非如此：对高频用户的金额会略有误判。" if tied else "。"),
            },
            **facts,
        ),
    ]


def rivals_table(held: HoldOut, log: Log) -> Table:
    """Return every model and baseline on the held-out weeks."""
    came = float(held.outcome.by_user.sum())
    names = {
        "BG/NBD": "BG/NBD",
        "Pareto/NBD": "Pareto/NBD",
        "own rate goes on": "保持自己的频率",
        "mean of the last weeks": "最后数周的均值",
    }
    rows: list[list[str | float | Text | None]] = []
    for rival in held.rivals():
        told: Figure = rival.behind
        alike = told.low is not None and told.high is not None and told.low <= 0 <= told.high
        verdict: Text = (
            {"en": "–", "zh": "–"}
            if rival.name == "BG/NBD"
            else {"en": "cannot be told apart", "zh": "无法区分"}
            if alike
            else {"en": "worse", "zh": "更差"}
            if told.value > 0
            else {"en": "better", "zh": "更好"}
        )
        rows.append(
            [
                {"en": rival.name, "zh": names[rival.name]},
                rival.total,
                rival.total / came - 1 if came else None,
                rival.error.value,
                rival.error.low,
                rival.error.high,
                rival.log_likelihood,
                verdict,
            ]
        )
    heads = [
        ("model", "模型"),
        ("acts expected", "预期次数"),
        ("off by", "相对偏差"),
        ("error a user", "人均误差"),
        ("95% low", "95% 下限"),
        ("95% high", "95% 上限"),
        ("log-likelihood", "对数似然"),
        ("against BG/NBD", "与 BG/NBD 相比"),
    ]
    return Table(
        {
            "en": f"Held out: {came:,.0f} acts came in {held.weeks} weeks (n = {held.model.users:,} users)",
            "zh": f"留出检验：{held.weeks} 周内实际 {came:,.0f} 次（n = {held.model.users:,} 位用户）",
        },
        [{"en": en, "zh": zh} for en, zh in heads],
        rows,
        log.texts(),
    )


def pareto_table(held: HoldOut, log: Log) -> list[Table]:
    """Return the parameters of the Pareto/NBD model, where there is one."""
    if held.pareto is None:
        return []
    ends = held.pareto.intervals()
    rows = [[name, value, *ends[name]] for name, value in zip(ends, held.pareto.parameters.tolist(), strict=True)]
    return [
        Table(
            {
                "en": "Pareto/NBD parameters, maximum likelihood (alpha and beta in weeks)",
                "zh": "Pareto/NBD 参数（最大似然；alpha、beta 以周计）",
            },
            _PARAMETERS,
            rows,
            log.texts(),
        )
    ]


def spend_table(found: SpendHoldOut, log: Log) -> Table:
    """Return the parameters of the Gamma-Gamma model."""
    ends = found.model.intervals()
    rows = [[name, value, *ends[name]] for name, value in zip(ends, found.model.parameters.tolist(), strict=True)]
    return Table(
        {
            "en": f"Gamma-Gamma parameters, maximum likelihood (n = {found.model.users:,} users who paid again)",
            "zh": f"Gamma-Gamma 参数（最大似然；n = {found.model.users:,} 位再次付费的用户）",
        },
        _PARAMETERS,
        rows,
        log.texts(),
    )
