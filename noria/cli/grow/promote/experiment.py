"""`noria grow promote experiment`: what the groups of an experiment show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from noria.core.messages import for_terminal, message
from noria.grow.promote.settings import CompareSettings, UnitSettings

if TYPE_CHECKING:
    from noria.grow.promote.experiment import Experiment
    from noria.grow.promote.outcomes import Outcomes
    from noria.grow.promote.within import Within

import noria
from noria.cli.grow.shown import Flatten, percent, print_table, write_parquet
from noria.cli.manners import printed


def experiment(
    units: Path,
    /,
    *,
    settings: Annotated[UnitSettings, Flatten] = UnitSettings(),
    compare: Annotated[CompareSettings, Flatten] = CompareSettings(),
    within: Annotated[bool, Parameter(name="--within-users", negative="")] = False,
    report: Path | None = None,
    out: Path | None = None,
) -> int:
    """What an experiment shows: are its groups sound, what differs and how surely, and could it have been stopped.

    Examples::

        noria grow promote experiment campaign.csv
        noria grow promote experiment campaign.csv --variant group --outcome bought --before spend_before --control old
        noria grow promote experiment clicks.csv --outcome clicks --weight views --shares 9 --shares 1
        noria grow promote experiment games.csv --outcome rounds --estimate winsorised --cut 0.001
        noria grow promote experiment games.csv --outcome rounds --estimate quantile --quantile 0.9
        noria grow promote experiment games.csv --outcome rounds --also revenue --also came_back --correction bh
        noria grow promote experiment runs/lake --variant version --outcome feedback --json
        noria grow promote experiment runs/lake --within-users --exposure impression

    Parameters
    ----------
    units
        A CSV, Excel or Parquet file with a user, a group and an outcome, or a lake's folder.
    within
        Of a lake: compare what was shown side by side to the same users, such as items and the clicks on them.
    report
        Write one page with figures and charts there.
    out
        Write the comparisons there, as Parquet.
    """
    found = noria.promote.experiment(units, within=within, report=report, settings=[settings, compare])
    if out:
        write_parquet(list(found.rows), out)
    if compare.also and not within:
        return printed(found.facts, lambda: _show_outcomes(found.study, found.rows))
    return printed(found.facts, lambda: (_show_within if within else _show)(found.study, found.facts))


def _show(result: Experiment, results: Mapping[str, Any]) -> None:
    print(
        for_terminal(
            message(
                "lines.users",
                source=result.units.source,
                n=result.units.n,
                metric=message(f"experiment.metric.{result.metric}"),
            )
        )
    )
    for problem in result.units.problems:
        print(f"  {for_terminal(problem.text())}")
    print(for_terminal(result.balance.text()))
    shown = percent if result.metric == "rate" else lambda value: value
    plain = result.estimate.kind in ("mean", "rank")
    column = result.metric if plain else str(for_terminal(result.estimate.name))
    print_table(
        [
            {
                "group": row["name"],
                "users": row["n"],
                column: shown(row["value"]),
                "low": shown(row["low"]),
                "high": shown(row["high"]),
            }
            for row in results["groups"]
        ],
        ["group", "users", column, "low", "high"],
    )
    print(for_terminal(result.text()))
    if result.reduction is not None:
        print(for_terminal(message("lines.covariate_took", reduction=result.reduction)))
    for item in result.comparisons:
        if item.looks and item.found.has_interval:
            early = item.looks[-1].high == float("inf")
            when = (
                f"clear from {item.decided.time} on"
                if item.decided
                else "too few users yet"
                if early
                else "not clear at any look"
            )
            print(for_terminal(message("lines.looking_every", variant=item.found.variant, when=when)))
    for note in result.notes:
        print(f"  {for_terminal(note)}")


def _show_outcomes(found: Outcomes, rows: Sequence[Mapping[str, Any]]) -> None:
    for name, one in zip(found.names, found.experiments, strict=True):
        print(f"{name}:")
        _show(one, one.as_dict())
        print()
    print_table(
        [
            {
                **{key: row[key] for key in ("outcome", "low", "high")},
                "group": row["variant"],
                "difference": row["value"],
                "p": f"{row['p']:.2g}",
                "p corrected": f"{row['p_adjusted']:.2g}",
                "clear": for_terminal(message(f"experiment.clear.{'yes' if row['clear'] else 'no'}")),
            }
            for row in rows
        ],
        ["outcome", "group", "difference", "low", "high", "p", "p corrected", "clear"],
    )
    print(for_terminal(found.correction_text()))


def _show_within(found: Within, results: Mapping[str, Any]) -> None:
    print(for_terminal(message("lines.what_followed", source=found.source)))
    print_table(
        [
            {
                "group": row["name"],
                "users": row["n"],
                "shown": row["shown"],
                **{key: percent(row[name]) for key, name in (("rate", "value"), ("low", "low"), ("high", "high"))},
            }
            for row in results["groups"]
        ],
        ["group", "users", "shown", "rate", "low", "high"],
    )
    print(for_terminal(found.text()))
