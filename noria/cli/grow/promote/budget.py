"""`noria grow promote budget`: how to divide a budget among channels, where the data tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from noria.core.messages import for_terminal, message
from noria.grow.promote.settings import BudgetSettings, SpendSettings

if TYPE_CHECKING:
    from noria.grow.promote.study import BudgetStudy

import noria
from noria.cli.grow.shown import Flatten, print_table, write_parquet
from noria.cli.manners import printed


def budget(
    spend: Path,
    /,
    *,
    columns: Annotated[SpendSettings, Flatten] = SpendSettings(),
    settings: Annotated[BudgetSettings, Flatten] = BudgetSettings(),
    report: Path | None = None,
    out: Path | None = None,
) -> int:
    """What each channel brings, how surely that is known, and how to divide the budget; or that the data do not tell.

    Examples::

        noria grow promote budget weekly.csv --outcome new_users --channels search --channels video
        noria grow promote budget weekly.csv --channels tv --channels radio --controls price --events holiday
        noria grow promote budget weekly.csv --channels tv --channels radio --total 120000 --bounds tv=0.8:1.2 --json

    Parameters
    ----------
    spend
        A CSV, Excel or Parquet file with one line a day, week or month.
    report
        Write one page with figures and charts there.
    out
        Write the channels there, as Parquet.
    """
    divided = noria.promote.budget(spend, report=report, settings=[columns, settings])
    if out:
        write_parquet(list(divided.rows), out)
    return printed(divided.facts, lambda: _print(divided.study, divided.rows))


def _print(study: BudgetStudy, rows: Sequence[Mapping[str, Any]]) -> None:
    found = study.budget
    source = found.responses.spend
    print(
        for_terminal(
            message(
                "lines.spend",
                source=source.source,
                size=source.outcome.size,
                unit=source.unit,
                as_of=source.as_of,
                outcome_name=source.outcome_name,
            )
        )
    )
    print_table(
        [{**row, "status": for_terminal(message(f"budget.status.{row['status']}"))} for row in rows],
        ["channel", "status", "bayes_factor", "spend", "planned", "returns", "returns_low", "returns_high", "marginal"],
    )
    print(for_terminal(found.text()))
    if study.held is not None:
        print(f"  {for_terminal(study.held.text())}")
    for note in found.responses.notes:
        print(f"  {for_terminal(note)}")
