"""`noria grow promote policy`: what another policy would have brought, told by what one that drew lots brought."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import noria
from noria.cli.grow.shown import Flatten
from noria.cli.manners import printed
from noria.core.messages import environment_language, for_terminal
from noria.grow.promote.settings import PolicySettings


def policy(
    decisions: Path,
    /,
    *,
    settings: Annotated[PolicySettings, Flatten] = PolicySettings(),
) -> int:
    """What another policy would have brought, without having shown it to anybody: IPS, SNIPS and doubly robust, with intervals.

    What was shown must have been drawn with a probability that was written down, as noria ship recommend does.

    Examples::

        noria grow promote policy decisions.csv
        noria grow promote policy decisions.parquet --reward amount --most-weight 50
        noria ship recommend judge --settings shop.toml --out decisions.csv

    Parameters
    ----------
    decisions
        A file with a row for each thing shown: user, reward, propensity, target (the other policy's probability of the same), and, for the doubly robust estimate, expected and expected_target.
    """
    found = noria.promote.policy(decisions, settings=settings)
    figures = [f"  {figure.text(environment_language())}" for figure in found.figures]
    lines = [found.name, *figures, for_terminal(found.study.text())]
    return printed(found.facts, lambda: print(*lines, sep="\n"))
