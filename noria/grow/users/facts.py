"""A study of users for people, figures by heading, and for programs, all of it as JSON has it."""

from __future__ import annotations

from typing import Any

from noria.core.figure import Figure

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
        f"Retention, {study.retention.kind}, by {study.retention.unit}": [
            *study.retention.curve()[1:4],
            *study.stickiness[-1:],
        ],
        "From the first act to money": study.journey.figures(),
        f"Use over the last {study.power.days} days": study.power.figures(),
        "Needs": [figure for need in known for figure in (need.asked, need.change, need.unmet) if figure],
        "Survival": lived,
        "Lifetime, held out": [
            *(study.holdout.figures() if study.holdout else []),
            *(study.spend.figures() if study.spend else []),
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
            "BG/NBD": held.model.intervals() if held else None,
            "Pareto/NBD": held.pareto.intervals() if held and held.pareto else None,
            "Gamma-Gamma": spend.model.intervals() if spend else None,
        },
        "figures": [figure.as_dict() for figures in figures_of(study).values() for figure in figures],
        "silence": study.silence,
        "silences": {**study.journey.silence, **study.silences},
    }
