"""How long users stay and what they are worth, in the report: survival, rival lifetime models, amounts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from noria.core.messages import message
from noria.grow.log.log import Log
from noria.grow.report.charts.chart import Text
from noria.grow.report.charts.habits import survival_chart
from noria.grow.report.page import Section, Shown, Table
from noria.grow.users.holdout import HoldOut
from noria.grow.users.lifetime import LifetimeModel
from noria.grow.users.spend import SpendHoldOut
from noria.grow.users.study import UserStudy

_PARAMETERS = [
    message("report.column.parameter"),
    message("worth.value"),
    message("report.column.low_95"),
    message("report.column.high_95"),
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
        held = study.holdout
        others = [model for name, model in held.models.items() if name != held.chosen]
        tables += [rivals_table(held, log), *(estimates_table(model, log) for model in others)]
        notes.append(held.verdict())
        notes += [message("worth.note.silent", model=name, silence=why) for name, why in held.silences.items()]
    if study.future:
        future = study.future
        shown.append(
            Shown(
                future.figure(),
                message("worth.ahead.name", weeks=future.weeks),
                message("worth.ahead.meaning", model=future.model.name, until=future.history.until),
                **facts,
            )
        )
        tables.append(estimates_table(future.model, log))
        notes += [] if study.holdout else [future.reason]
    if study.spend:
        shown += _paid(study.spend, facts)
        tables.append(spend_table(study.spend, log))
    if not shown and not tables:
        return None
    charts = [replace(survival_chart(study.survival), source=log.text())] if study.survival else []
    return Section(
        "worth",
        message("worth.title"),
        message("worth.lead", source=log.source),
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
            message("worth.still_there_after_days.name", days=days),
            message("worth.still_there_after_days.meaning", lapse_days=found.lapse_days),
            percent=True,
            **facts,
        )
    ]
    median = found.median()
    if median:
        unit: dict[str, Any] = {"unit": message("worth.days")}
        shown.append(
            Shown(
                median,
                message("worth.median_stay.name"),
                message("worth.median_stay.meaning"),
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
        message("worth.model_came_nearer_than_both") if nearer else message("worth.plain_guess_came_as_near")
    )
    return [
        Shown(
            found.error,
            message("worth.error_user_amount.name"),
            message("worth.error_user_amount.meaning", error_of_one=found.error_of_one, verdict=verdict),
            **facts,
        ),
        Shown(
            found.dependence,
            message("worth.frequency_amount.name"),
            message("worth.frequency_amount.tied") if tied else message("worth.frequency_amount.independent"),
            **facts,
        ),
    ]


def rivals_table(held: HoldOut, log: Log) -> Table:
    """Return every model and baseline on the held-out weeks."""
    came = float(held.outcome.by_user.sum())
    rows: list[list[str | float | Text | None]] = [
        [
            rival.title(),
            rival.total,
            rival.total / came - 1 if came else None,
            rival.error.value,
            rival.error.low,
            rival.error.high,
            rival.deviance.value if rival.deviance else None,
            rival.log_likelihood,
            held.standing(rival),
        ]
        for rival in held.rivals()
    ]
    heads = [
        message("worth.column.model"),
        message("worth.column.acts_expected"),
        message("worth.column.off"),
        message("worth.column.error_user"),
        message("report.column.low_95"),
        message("report.column.high_95"),
        message("worth.column.deviance_user"),
        message("worth.column.log_likelihood"),
        message("worth.column.standing", model=held.chosen),
    ]
    return Table(
        message("worth.table.held_out_acts_came", came=came, weeks=held.weeks, users=held.model.users),
        heads,
        rows,
        log.text(),
    )


def estimates_table(model: LifetimeModel, log: Log) -> Table:
    """Return the parameters of a lifetime model with their intervals."""
    ends = model.intervals()
    rows = [[name, value, *ends[name]] for name, value in zip(ends, model.parameters.tolist(), strict=True)]
    title = message(
        "worth.table.parameters_maximum", model=model.name, log_likelihood=model.log_likelihood, users=model.users
    )
    return Table(title, _PARAMETERS, rows, log.text())


def spend_table(found: SpendHoldOut, log: Log) -> Table:
    """Return the parameters of the Gamma-Gamma model."""
    ends = found.model.intervals()
    rows = [[name, value, *ends[name]] for name, value in zip(ends, found.model.parameters.tolist(), strict=True)]
    return Table(
        message("worth.table.gamma_gamma_parameters_maximum", users=found.model.users),
        _PARAMETERS,
        rows,
        log.text(),
    )
