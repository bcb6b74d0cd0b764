"""A study of users for people, figures by heading, and for programs, all of it as JSON has it."""

from __future__ import annotations

from typing import Any

import numpy as np

from noria.core.figure import Figure
from noria.core.messages import message

from .holdout import HoldOut, LifetimeAhead
from .lifetime import LifetimeModel
from .spend import Spend
from .study import UserStudy


def figures_of(study: UserStudy) -> dict[str, list[Figure]]:
    """Return the figures that people see, by heading."""
    lived: list[Figure] = (
        [figure for figure in (study.survival.at(min(180, study.survival.longest)), study.survival.median()) if figure]
        if study.survival
        else []
    )
    known = [need for need in study.needs if need.topic != "(none)"][:8]
    return {
        message(
            "figures.heading.retention",
            kind=message(f"habits.names.{study.retention.kind}"),
            unit=message(f"units.one.{study.retention.unit}"),
        ): [
            *study.retention.curve()[1:4],
            *study.stickiness[-1:],
        ],
        message("figures.heading.journey"): study.journey.figures(),
        message("figures.heading.use", days=study.power.days)
        if study.power.days > 1
        else message("figures.heading.use_day"): study.power.figures(),
        message("figures.heading.needs"): [
            figure for need in known for figure in (need.asked, need.change, need.unmet) if figure
        ],
        message("figures.heading.survival"): [*lived, *(study.rhythm.figures() if study.rhythm else [])],
        message("figures.heading.lifetime"): [
            *(study.holdout.figures() if study.holdout else []),
            *(study.spend.figures() if study.spend else []),
        ],
        message("figures.heading.ahead"): [study.future.figure()] if study.future else [],
    }


def estimates_of(model: LifetimeModel | Spend) -> dict[str, Any]:
    """Return a model's parameters with their 95 % intervals, and its log-likelihood."""
    values = model.parameters.tolist()
    return {
        "parameters": {
            name: {"value": value, "low": low, "high": high}
            for value, (name, (low, high)) in zip(values, model.intervals().items(), strict=True)
        },
        "log_likelihood": model.log_likelihood,
        "users": model.users,
    }


def _lifetime(held: HoldOut) -> dict[str, Any]:
    low, high = held.ahead.interval(0.95)
    return {
        "until": held.history.until.isoformat(),
        "weeks": held.weeks,
        "model": held.chosen,
        "verdict": held.verdict().both(),
        "rivals": [
            {
                "model": rival.name,
                "acts": rival.total,
                "error": rival.error.as_dict(),
                "error_behind": rival.behind.as_dict(),
                "deviance": rival.deviance.as_dict() if rival.deviance else None,
                "deviance_behind": rival.deviance_behind.as_dict() if rival.deviance_behind else None,
                "log_likelihood": rival.log_likelihood,
                "standing": "chosen" if rival.name == held.chosen else rival.standing,
            }
            for rival in held.rivals()
        ],
        "by_week": [
            {"week": week, "low": float(a), "high": float(b), "came": float(came)}
            for week, (a, b, came) in enumerate(zip(low, high, held.outcome.by_week, strict=True), 1)
        ],
        "silences": dict(held.silences),
    }


def _future(ahead: LifetimeAhead) -> dict[str, Any]:
    low, high = ahead.acts.interval(0.95)
    middle = np.median(ahead.acts.by_week, axis=0)
    return {
        "until": ahead.history.until.isoformat(),
        "weeks": ahead.weeks,
        "model": ahead.model.name,
        "verdict": ahead.reason.both(),
        **estimates_of(ahead.model),
        "acts": ahead.figure().as_dict(),
        "by_week": [
            {"week": week, "median": float(b), "low": float(a), "high": float(c)}
            for week, (a, b, c) in enumerate(zip(low, middle, high, strict=True), 1)
        ],
    }


def facts_of(study: UserStudy) -> dict[str, Any]:
    """Return all of a study that programs may want."""
    log, held, spend = study.log, study.holdout, study.spend
    return {
        "source": log.source,
        "rows": log.rows,
        "users": log.users,
        "first": log.first.isoformat(),
        "as_of": log.as_of.isoformat(),
        "days": {
            "zone": log.calendar.zone,
            "weeks": log.calendar.week_starts,
            "months": log.calendar.years.fiscal or "calendar",
            "years": log.calendar.years.starts,
        },
        "problems": [problem.text() for problem in log.problems],
        "notes": list(log.notes),
        "growth": [row.as_dict() for row in study.growths[0].rows],
        "defects": study.growths[0].defects(),
        "retention": {"unit": study.retention.unit, "kind": study.retention.kind, "counts": study.retention.counts},
        "curves": {kept.kind: [point.as_dict() for point in kept.curve()] for kept in study.kinds},
        "power": {"days": study.power.days, "histogram": study.power.histogram},
        "funnel": {"order": study.funnel.order, "days": study.funnel.days, "steps": study.funnel.rows()}
        if study.funnel
        else None,
        "needs": [
            {
                "app": need.app,
                "topic": need.topic,
                "requests": need.requests,
                "asked": need.asked.as_dict(),
                "change": need.change.as_dict() if need.change else None,
                "unmet": need.unmet.as_dict() if need.unmet else None,
            }
            for need in study.needs
        ],
        "survival": {
            "days": study.survival.days.tolist(),
            "share": study.survival.share.tolist(),
            "users": study.survival.users,
        }
        if study.survival
        else None,
        "models": {
            **{name: estimates_of(model) for name, model in (held.models if held else {}).items()},
            **({"Gamma-Gamma": estimates_of(spend.model)} if spend else {}),
        },
        "lifetime": _lifetime(held) if held else None,
        "future": _future(study.future) if study.future else None,
        "figures": [figure.as_dict() for figures in figures_of(study).values() for figure in figures],
        "silence": study.silence,
        "silences": {**study.journey.silence, **study.silences},
    }
