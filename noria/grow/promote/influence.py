"""How far a difference rests on a few users: what it is without the one, and without the few, that move it furthest.

first = influence(units, values, found, level=0.95)[0]
first.outcome, first.following      # 49854.0, 2961.0
first.without.value                 # the difference without that user
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from noria.core.messages import Message, message

from .difference import Difference, Floats, arm_of_units, difference
from .units import Units

FEW = 0.001
"""Part of the users, two at least, that is left out together."""
ONE_MOVES, FEW_MOVE, TURNS = 0.4, 0.75, 0.1
"""Standard errors that one user, or the few, must move a difference to be told; and one whose verdict turns with them."""


@dataclass(frozen=True)
class Influence:
    """A difference without the users who move it furthest."""

    users: int
    group: str
    """Of the one user who moves it furthest."""
    outcome: float
    following: float
    """Outcome of the next user of that group who moves it the same way."""
    whole: Difference
    without: Difference

    @property
    def moved(self) -> float:
        """How far these users move the difference."""
        return self.whole.value - self.without.value

    @property
    def notable(self) -> bool:
        """Whether a reader must know: they move it far, or the verdict turns with them."""
        if not self.without.has_interval:
            return True
        turned = self.whole.clear != self.without.clear
        far = abs(self.moved) / self.without.error
        return far >= (ONE_MOVES if self.users == 1 else FEW_MOVE) or (turned and far >= TURNS)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        without = self.without.as_dict()
        return {
            "users": self.users,
            "group": self.group,
            "outcome": self.outcome,
            "following": self.following,
            "moved": self.moved,
            "without": {name: without[name] for name in ("value", "low", "high", "p", "clear")},
            "notable": self.notable,
        }

    def text(self) -> Message:
        """Return who moves the difference, and what it is without them."""
        gap = self.without
        told = {
            "variant": gap.variant,
            "control": gap.control,
            "whole": self.whole.value,
            "without": gap.value,
            "interval": f"[{gap.low:+.4g}, {gap.high:+.4g}]" if gap.has_interval else "[–]",
            "group": self.group,
            "outcome": self.outcome,
        }
        if self.users == 1:
            return message("experiment.influence.one", **told, following=self.following)
        return message("experiment.influence.few", **told, users=self.users)


def influence(units: Units, values: Floats, whole: Difference, *, plain: bool) -> tuple[Influence, ...]:
    """Return the difference without the one user who moves it furthest, and without the few; nothing where it has no interval.

    Args:
        units: the users.
        values: one number a user whose mean is the group's metric, (N,).
        whole: the difference with all of them.
        plain: whether outcomes are compared as they are; else `values` are.
    """
    if not whole.has_interval:
        return ()
    places = [units.names.index(name) for name in (whole.variant, whole.control)]
    rows = [np.flatnonzero(units.group == place) for place in places]
    if min(map(len, rows)) < 4:
        return ()
    far = [values[part] - values[part].mean() for part in rows]
    pull = np.concatenate([far[0] / (rows[0].size - 1), far[1] / (1 - rows[1].size)])
    both = np.concatenate(rows)
    first = int(np.abs(pull).argmax())
    side = int(first >= rows[0].size)
    # The next one of that group who pulls the same way.
    own = (pull[rows[0].size :] if side else pull[: rows[0].size]) * np.sign(pull[first])
    own[first - side * rows[0].size] = -np.inf
    following = float(units.outcome[rows[side][int(own.argmax())]])
    # Those furthest out, whichever way they pull: of users who stand level with the last of them, none.
    out = np.abs(values[both] - values[both].mean())
    few = max(2, math.ceil(FEW * both.size))
    furthest = np.flatnonzero(out > np.partition(out, -few - 1)[-few - 1])
    found: list[Influence] = []
    for leave in (np.array([first]), furthest):
        if leave.size < (2 if found else 1):
            continue
        users = int(leave.size)
        kept = np.ones(both.size, dtype=np.bool_)
        kept[leave] = False
        left = both[: rows[0].size][kept[: rows[0].size]], both[rows[0].size :][kept[rows[0].size :]]
        if min(map(len, left)) < 2:
            continue
        arms = [
            arm_of_units(
                units.names[place],
                units.outcome[part] if plain else values[part],
                units.weight[part] if plain and units.weight is not None else None,
            )
            for place, part in zip(places, left, strict=True)
        ]
        without = difference(arms[0], arms[1], level=whole.level, method=whole.method)
        found.append(
            Influence(
                users,
                units.names[places[side]],
                float(units.outcome[both[first]]),
                following,
                whole,
                without,
            )
        )
    return tuple(found)
