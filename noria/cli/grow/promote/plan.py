"""`noria grow promote plan`: a promotion plan that joins what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from noria.grow.promote.settings import PlanBasis, PlanSettings

if TYPE_CHECKING:
    from noria.grow.promote.plan import Plan

import noria
from noria.cli.grow.shown import Flatten
from noria.cli.manners import printed


def plan(
    log: Path | None = None,
    /,
    *,
    file: Annotated[Path | None, Parameter(name="--settings")] = None,
    settings: Annotated[PlanSettings, Flatten] = PlanSettings(),
    basis: Annotated[PlanBasis, Flatten] = PlanBasis(),
    language: Literal["en", "zh"] = "en",
    report: Path | None = None,
    out: Path | None = None,
) -> int:
    """A promotion plan: whom to address, what they ask about, channels and budget, what to expect, how to measure it.

    Every part comes from data; a part without them is shown as a gap, with what would fill it.

    Examples::

        noria grow promote plan runs/lake --experiment campaign.csv --whom.features visits --reach 50000
        noria grow promote plan --spend weekly.csv --columns.outcome new_users --columns.channels search --columns.channels video
        noria grow promote plan --settings promotion.toml --language zh --out plan.txt

    Parameters
    ----------
    log
        A lake's folder, or a CSV, Excel or Parquet file with a user, a time and a topic: what users ask about.
    file
        A TOML file that names these files and settings, instead of flags: sections files, plan, units, whom, columns, budget.
    language
        Of the text: en or zh.
    report
        Write one page with the plan and what it rests on there.
    out
        Write the plan there: as JSON where the name ends so, else as text.
    """
    found = noria.promote.plan(log, file=file, report=report, settings=[settings, basis])
    made = found.study.plan
    if out:
        _write(made, out, language)
    return printed(found.facts, lambda: print(made.text(language)))


def _write(plan: Plan, out: Path, language: str) -> None:
    import json

    from noria.core.folder import write_bytes

    text = json.dumps(plan.as_dict(), ensure_ascii=False, indent=1) if out.suffix == ".json" else plan.text(language)
    write_bytes(out, (text + "\n").encode())
