"""The BG/NBD fit: Noria beside clvkit, on the same histories of CDNOW customers, in one process, alternating.

Both maximise the same likelihood of the same x, t_x and T; the found parameters must agree to three digits, or the benchmark fails.
Told are the fit of histories that lie ready, of the published tenth and of all customers, and the whole way from the purchases.
What either needs to be imported, and its first fit, are not counted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import date
from typing import Any

from .line import Line, compare

PEER = "clvkit BGNBD, defaults"
UNTIL = date(1997, 9, 30)


def measure(*, quick: bool) -> list[Line]:
    """Return a line for each part of the work; quick repeats it less often."""
    from noria.grow.bundled import cdnow, cdnow_sample

    repeats = 5 if quick else 20
    lines = []
    for name, log in (("2,357 customers", cdnow_sample()), ("23,570 customers", cdnow())):
        whole, ready = _ours(log)
        their_whole, their_ready = _theirs(log)
        for what, ours, theirs in (
            ("fit of ready histories", ready, their_ready),
            ("from purchases to parameters", whole, their_whole),
        ):
            found = _alternating(ours, theirs, repeats if "2,357" in name else max(repeats // 4, 3))
            print(f"lifetime {name}, {what}: {found}", file=sys.stderr)
            lines.append(
                compare("lifetime", f"BG/NBD, {what}, CDNOW {name}", *found, PEER, "s", higher_is_better=False)
            )
    return lines


def _ours(log: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    from dataclasses import replace

    from noria.grow.users.lifetime import fit, repeat_purchases

    history = repeat_purchases(log, UNTIL)
    # A copy of the log forgets what was folded from it.
    return lambda: fit(repeat_purchases(replace(log), UNTIL)).parameters, lambda: fit(history).parameters


def _theirs(log: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    from clvkit.clv.bgnbd import BGNBD
    from clvkit.customer_base import CustomerBase

    frame = log.table.select("user", "time").to_pandas()
    frame = frame[frame["time"] < "1997-10-01"]

    def base() -> Any:
        return CustomerBase.from_transactions(
            frame,
            customer_id_col="user",
            datetime_col="time",
            amount_col=None,
            time_unit="W",
            collapse="D",
            observation_period_end="1997-09-30",
        )

    ready = base()

    def fitted(customers: Any) -> Any:
        parameters: Any = BGNBD().fit(customers).params_
        return parameters.to_numpy()

    return lambda: fitted(base()), lambda: fitted(ready)


def _alternating(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each repeat of both.

    Raises:
        RuntimeError: they found other parameters.
    """
    mine, other = ours(), theirs()
    if (abs(mine / other - 1) > 2e-3).any():
        raise RuntimeError(f"not the same model: {mine} and {other}")
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(repeats):
        for which in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            (ours, theirs)[which]()
            seconds[which].append(time.perf_counter() - start)
    return seconds
