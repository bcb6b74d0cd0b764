"""`noria grow users`: active users, growth accounting, retention, and who will come back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from noria.grow.settings import LogSettings

from .shown import Flatten, Switch, print_json, print_table, write_parquet


def users(
    log: Path | None = None,
    /,
    *,
    settings: Annotated[LogSettings, Flatten] = LogSettings(),
    by_segment: Switch = False,
    out: Path | None = None,
    json: Switch = False,
) -> int:
    """Active users, growth accounting that adds up in every period, retention, and who will come back.

    Examples::

        noria grow users
        noria grow users runs/demo/lake --period day --by-segment
        noria grow users purchases.csv --user customer --zone Asia/Shanghai --json

    Parameters
    ----------
    log
        A lake's folder, or a CSV or Parquet file with a user and a time.
    by_segment
        Account within each segment too.
    out
        Write the growth accounting there, as Parquet.
    json
        Print JSON, for programs.
    """
    from noria.grow.analysis import open_log, study_users
    from noria.grow.users.activity import growth

    opened = open_log(log, settings)
    study = study_users(opened, settings.period)
    accounting = growth(opened, settings.period, by_segment=by_segment) if by_segment else study.growths[0]
    rows = [row.as_dict() for row in accounting.rows]
    if out:
        write_parquet(rows, out)
    figures = [
        *study.retention.curve()[1:4],
        *study.stickiness[-1:],
        *(study.holdout.figures() if study.holdout else []),
    ]
    if json:
        return print_json({
            "source": opened.source, "rows": opened.rows, "users": opened.users, "as_of": opened.as_of.isoformat(),
            "problems": [problem.text() for problem in opened.problems], "growth": rows, "defects": accounting.defects(),
            "retention": {"unit": study.retention.unit, "counts": study.retention.counts},
            "figures": [figure.as_dict() for figure in figures], "silence": study.silence,
        })  # fmt: skip
    print(f"{opened.source}: {opened.rows:,} acts of {opened.users:,} users, {opened.first} to {opened.as_of}")
    for problem in opened.problems:
        print(f"  {problem.text()}")
    columns = [
        "period",
        *(["segment"] if by_segment else []),
        "before",
        "new",
        "resurrected",
        "churned",
        "active",
        "quick_ratio",
    ]
    shown = [{**row, "period": row["period"] + ("" if row["complete"] else " *")} for row in rows]
    print_table(shown if by_segment else shown[-12:], columns)
    defects = accounting.defects()
    print(f"active = before + new + resurrected - churned: {'; '.join(defects) or f'holds in all {len(rows):,} periods'}"
          + ("" if rows[-1]["complete"] else "   (* not covered to its end)"))  # fmt: skip
    for figure in figures:
        print(f"  {figure.text()}")
    if study.silence:
        print(f"  no lifetime forecast: {study.silence}")
    return 0
