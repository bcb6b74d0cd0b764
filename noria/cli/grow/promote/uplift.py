"""`noria grow promote uplift`: whom to address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from noria.core.messages import environment_language, for_terminal, message
from noria.grow.promote.settings import UnitSettings, UpliftSettings

if TYPE_CHECKING:
    from noria.grow.promote.uplift import Uplift

import noria
from noria.cli.grow.shown import Flatten, print_table, write_parquet
from noria.cli.manners import printed


def uplift(
    units: Path,
    /,
    *,
    settings: Annotated[UnitSettings, Flatten] = UnitSettings(),
    how: Annotated[UpliftSettings, Flatten] = UpliftSettings(),
    candidates: Path | None = None,
    scores: Path | None = None,
    report: Path | None = None,
    out: Path | None = None,
) -> int:
    """Whom to address: who is moved by the treatment, proved on all users, each by a score that others taught.

    Examples::

        noria grow promote uplift campaign.csv --features visits --features city
        noria grow promote uplift campaign.csv --features visits --candidates users.csv --scores whom.parquet
        noria grow promote uplift campaign.csv --variant group --treated mailed --features visits --cost 0.01 --json

    Parameters
    ----------
    units
        A CSV, Excel or Parquet file with a user, a group, an outcome, and what was known of users before.
    candidates
        A CSV, Excel or Parquet file of users with the same features: whom of them to address is written to --scores.
    scores
        Write every candidate's score, and whether to address them, there, as Parquet.
    report
        Write one page with figures and charts there.
    out
        Write the Qini curve there, as Parquet.
    """
    from noria.core.errors import SettingError

    if (candidates is None) != (scores is None):
        raise SettingError(
            message("commands.candidates_scored"),
            found=str(candidates or scores),
            allowed=message("commands.candidates_scores"),
        )
    found = noria.promote.uplift(units, candidates=candidates, report=report, settings=[settings, how])
    if scores is not None:
        write_parquet(found.facts["candidates"], scores)
    if out:
        write_parquet(list(found.rows), out)
    facts = {name: value for name, value in found.facts.items() if name != "candidates"}
    return printed(facts, lambda: _show(found.study))


def _show(found: Uplift) -> None:
    print(
        for_terminal(
            message("lines.users_teach", source=found.units.source, learnt=found.learnt, users=found.curve.users)
        )
    )
    for problem in found.units.problems:
        print(f"  {for_terminal(problem.text())}")
    for note in found.units.notes:
        print(f"  {for_terminal(note)}")
    if not found.balance.sound:
        print(for_terminal(found.balance.text()))
    print_table(
        [
            {
                "users by score": for_terminal(message("uplift.fifth", place=place + 1)),
                "users": group.n,
                "effect": group.value,
                "low": group.low if group.has_interval else None,
                "high": group.high if group.has_interval else None,
            }
            for place, group in enumerate(found.groups)
        ],
        ["users by score", "users", "effect", "low", "high"],
    )
    print(f"  {found.figure().text(environment_language())}")
    print(for_terminal(found.text()))
    if found.found:
        print_table(
            [
                {
                    "known before": trait.name,
                    "addressed": trait.addressed,
                    "others": trait.others,
                    "distance": trait.distance,
                }
                for trait in found.traits
            ],
            ["known before", "addressed", "others", "distance"],
        )
