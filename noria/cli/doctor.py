"""`noria doctor`: what this machine is fit for, and what would be slow here and why."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import noria
from noria.core.messages import for_terminal

from .manners import Commands, printed

if TYPE_CHECKING:
    from noria.api.doctor import Finding

app = Commands(name="doctor")
MARKS = {"fine": "✓", "slow": "~", "absent": "-", "wrong": "✗"}


@app.default
def doctor(
    folder: Path = Path(),
    /,
    *,
    port: int = 8400,
) -> int:
    """Look at this machine: processor, memory, disk, packages, data, port; say what would be slow here and why.

    Nothing is sent anywhere. The exit code is 2 where something stands in the way of everything: a package that is missing or
    of another version, a port that is taken.

    Examples::

        noria doctor
        noria doctor runs --port 8401
        noria doctor --json

    Parameters
    ----------
    folder
        Where results and the lake would lie.
    port
        That a server would listen on.
    """
    found = noria.doctor(folder, port)
    for one in found:
        advice = one.advice and str(one.advice)
        record = {"area": one.area, "state": one.state, "summary": str(one.summary), "advice": advice}
        printed(record, partial(_print, one))
    return 2 if any(one.state == "wrong" for one in found) else 0


def _print(one: Finding) -> None:
    print(f"{MARKS[one.state]} {for_terminal(one.summary)}")
    if one.advice:
        print(f"    {for_terminal(one.advice)}")
