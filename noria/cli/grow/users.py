"""`noria grow users`: active users, growth accounting, retention, habits, needs, and who will come back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import noria
from noria.cli.manners import printed
from noria.core.messages import environment_language, for_terminal, message
from noria.grow.settings import LogSettings, UserSettings

from .lifetime import print_ahead, print_held_out
from .shown import Flatten, Switch, print_table, write_parquet

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
) -> int:
    """Active users, growth accounting that adds up in every period, retention, habits, needs, and who will come back.

    Examples::

        noria grow users
        noria grow users runs/demo/lake --period day --by app,model
        noria grow users runs/demo/lake --funnel "impression > click > conversion" --funnel-days 7
        noria grow users purchases.csv --user customer --zone Asia/Shanghai --json
        noria grow users purchases.csv --until 2026-06-30 --weeks 26 --lifetime pareto-nbd
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
    """
    from noria.core.errors import SettingError

    if log and lake:
        raise SettingError(
            message("commands.two_logs"),
            found=message("commands.and", log=log, lake=lake),
            allowed=message("commands.one_them"),
        )
    found = noria.users(log or lake, by_segment=by_segment, settings=[settings, user_settings])
    if out:
        write_parquet(list(found.rows), out)
    return printed(found.facts, lambda: _print(found.study))


def _print(study: UserStudy) -> None:
    from noria.grow.users.facts import figures_of

    log = study.log
    print(
        for_terminal(
            message(
                "lines.acts_users",
                source=log.source,
                rows=log.rows,
                users=log.users,
                first=log.first,
                as_of=log.as_of,
                days=message("log.cited_days", days=log.calendar.text()),
            )
        )
    )
    for note in log.notes:
        print(f"  {for_terminal(note)}")
    for problem in log.problems:
        print(f"  {for_terminal(problem.text())}")
    _print_growth(study)
    for title, figures in figures_of(study).items():
        if figures:
            print(for_terminal(title))
        for figure in figures:
            print(f"  {figure.text(environment_language())}")
    if study.holdout:
        print_held_out(study.holdout)
    if study.future:
        print_ahead(study.future)
    if study.funnel:
        most = study.funnel.days
        window = message("lines.within_days", days=most) if most else message("lines.without_window")
        print(for_terminal(message("lines.funnel", order=study.funnel.order, window=window)))
        print_table(study.funnel.rows(), ["step", "users", "of_before", "low", "high", "of_first", "median_hours"])
    for what, why in {**study.journey.silence, **study.silences}.items():
        silent = (
            message(f"lines.silent.{_SILENT[what]}")
            if what in _SILENT
            else message("lines.not_measured", what=message(f"lines.step.{what}"))
        )
        print(for_terminal(message("lines.silence", what=silent, why=why)))


_SILENT = {"future": "future", "lifetime": "lifetime", "spend": "amounts", "survival": "survival"}
"""What may be silent -> what then is not there: code of a message."""


def _print_growth(study: UserStudy) -> None:
    from noria.grow.users.periods import has_names

    accounting = study.growths[0]
    rows = [row.as_dict() for row in accounting.rows]
    segments = bool(accounting.by)
    named = has_names(accounting.unit, study.log.calendar)
    columns = [
        "period",
        *(["name"] if named else []),
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
    holds = "; ".join(defects) or message("lines.holds_all_periods", periods=len(rows))
    end = "" if rows[-1]["complete"] else message("lines.not_to_its_end")
    print(for_terminal(message("lines.accounting", holds=holds, end=end)))
