"""`noria grow promote size`: how large an experiment must be, or what its size can find."""

from __future__ import annotations

from typing import Annotated

import noria
from noria.cli.grow.shown import Flatten
from noria.cli.manners import printed
from noria.core.messages import for_terminal, message
from noria.grow.promote.settings import SizeSettings


def size(
    base: float,
    /,
    *,
    effect: float | None = None,
    lift: float | None = None,
    users: int | None = None,
    settings: Annotated[SizeSettings, Flatten] = SizeSettings(),
) -> int:
    """How many users an experiment needs; or, with --users, what they can find.

    Examples::

        noria grow promote size 0.10 --effect 0.02
        noria grow promote size 0.10 --lift 0.05 --variants 3 --users-a-day 2000
        noria grow promote size 0.10 --users 5000
        noria grow promote size 31.5 --effect 1 --deviation 12 --reduction 0.3

    Parameters
    ----------
    base
        Rate that the control group is expected to show, such as 0.1; or, with --deviation, its mean.
    effect
        The smallest difference worth finding, in the same unit.
    lift
        The same over the base: 0.05 is 5 %.
    users
        Users of the control group: finds the smallest effect, or with an effect the power.
    """
    found = noria.promote.size(base, effect=effect, lift=lift, users=users, settings=settings)
    lines = [for_terminal(found.study.text())]
    if found.facts["found"] == "size":
        lines.append(for_terminal(message("lines.users_all", users=found.study.users)))
    return printed(found.facts, lambda: print(*lines, sep="\n"))
