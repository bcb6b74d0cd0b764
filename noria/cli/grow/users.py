"""`noria grow users`: active users, growth accounting, retention, habits, needs, and who will come back."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from noria.core.messages import for_terminal
from noria.grow.settings import LogSettings, UserSettings

from .shown import Flatten, Switch, print_json, print_table, write_parquet

if TYPE_CHECKING:
    from noria.grow.users.study import UserStudy


def users(
    log: str | None = None,
    /,
    *,
    settings: Annotated[LogSettings, Flatten] = LogSettings(),
    user_settings: Annotated[UserSettings, Flatten] = UserSettings(),
    lake: str | None = None,
    by_segment: Switch = False,
    out: Path | None = None,
    json: Switch = False,
) -> int:
    """Active users, growth accounting that adds up in every period, retention, habits, needs, and who will come back.

    Examples::

        noria grow users
        noria grow users runs/demo/lake --period day --by app,model
        noria grow users runs/demo/lake --funnel "impression > click > conversion" --funnel-days 7
        noria grow users purchases.csv --user customer --zone Asia/Shanghai --json
        noria grow users events.csv --zone UTC --day-zone America/New_York --week-starts sunday
        noria grow users --lake postgres://reader@db.example/shop --table events

    Parameters
    ----------
    log
        A lake's folder, a file (CSV, JSON Lines, XLSX or Parquet) with a user and a time, or the address of an engine.
    lake
        The same, by name: a lake's folder, or the address of an engine that holds the events.
    by_segment
        Account within each segment too; --by names other columns.
    out
        Write the growth accounting there, as Parquet.
    json
        Print JSON, for programs.
    """
    from noria.core.errors import SettingError
    from noria.grow.users.study import open_log, study_users

    if log and lake:
        raise SettingError("two logs were named", found=f"{log} and {lake}", allowed="one of them")
    if by_segment and not user_settings.by:
        user_settings = user_settings.replace(by="segment")
    with closing(open_log(log or lake, settings)) as opened:
        study = study_users(opened, settings.period, settings=user_settings)
    if out:
        write_parquet([row.as_dict() for row in study.growths[0].rows], out)
    if json:
        return print_json(_facts(study))
    _print(study)
    return 0


def _print(study: UserStudy) -> None:
    log = study.log
    days = f", {for_terminal(log.calendar.text())}" if log.calendar.zone != "UTC" else ""
    print(f"{log.source}: {log.rows:,} acts of {log.users:,} users, {log.first} to {log.as_of}{days}")
    for note in log.notes:
        print(f"  {note}")
    for problem in log.problems:
        print(f"  {for_terminal(problem.text())}")
    _print_growth(study)
    for title, figures in _parts(study).items():
        if figures:
            print(title)
        for figure in figures:
            print(f"  {figure.text()}")
    if study.funnel:
        window = f"within {study.funnel.days:g} days" if study.funnel.days else "without a window"
        print(f"Funnel, {study.funnel.order}, {window}")
        print_table(study.funnel.rows(), ["step", "users", "of_before", "low", "high", "of_first", "median_hours"])
    for what, why in {**study.journey.silence, **study.silences}.items():
        print(f"  {_SILENT.get(what, f'{what} is not measured')}: {why}")


_SILENT = {"lifetime": "no lifetime forecast", "spend": "no forecast of amounts", "survival": "no survival curve"}


def _parts(study: UserStudy) -> dict[str, list[Any]]:
    """Return the figures that people see, by heading."""
    lived = (
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


def _facts(study: UserStudy) -> dict[str, Any]:
    """Return all of a study that programs may want."""
    log, held, spend = study.log, study.holdout, study.spend
    return {
        "source": log.source,
        "rows": log.rows,
        "users": log.users,
        "first": log.first.isoformat(),
        "as_of": log.as_of.isoformat(),
        "days": {"zone": log.calendar.zone, "weeks": log.calendar.week_starts},
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
        "figures": [figure.as_dict() for figures in _parts(study).values() for figure in figures],
        "silence": study.silence,
        "silences": {**study.journey.silence, **study.silences},
    }


def _print_growth(study: UserStudy) -> None:
    accounting = study.growths[0]
    rows = [row.as_dict() for row in accounting.rows]
    segments = bool(accounting.by)
    columns = [
        "period",
        *(["segment"] if segments else []),
        "before",
        "new",
        "resurrected",
        "churned",
        "active",
        "quick_ratio",
    ]
    shown = [{**row, "period": row["period"] + ("" if row["complete"] else " *")} for row in rows]
    print_table(shown if segments else shown[-12:], columns)
    defects = accounting.defects()
    print(
        f"active = before + new + resurrected - churned: {'; '.join(defects) or f'holds in all {len(rows):,} periods'}"
        + ("" if rows[-1]["complete"] else "   (* not covered to its end)")
    )
