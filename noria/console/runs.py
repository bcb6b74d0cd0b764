"""What jobs said, read for showing: how far they are, their curves, figures and candidates; and in what two runs differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from noria.core.figure import Figure
from noria.core.messages import line_of

from .records import figure_of

Line = Mapping[str, Any]
_PROGRESS = ("at", "event", "title", "done", "total", "unit", "tokens/s")
"""Keys of a line of progress that are no measurements."""
_SAME = ("out", "name")
"""Settings in which two runs always differ."""


@dataclass(frozen=True)
class Curves:
    """What was measured while a model learned."""

    loss: list[list[float]] = field(default_factory=list)
    """[step, loss of the batch]."""
    scores: dict[str, list[list[float]]] = field(default_factory=dict)
    """Name of a measure of the valid rows -> [step, value]."""
    to_beat: Figure | None = None
    """What the light baseline reached, before the first step."""


def last_of(lines: Sequence[Line], event: str) -> Line | None:
    """Return the latest line of a kind."""
    return next((line for line in reversed(lines) if line.get("event") == event), None)


def share_done(lines: Sequence[Line]) -> float | None:
    """Return how far the latest piece of work is, 0 to 1; None where that is not known."""
    line = last_of(lines, "progress")
    total = _number(line.get("total")) if line else None
    return min(1.0, float(line["done"]) / total) if line and total else None


def curves_of(lines: Sequence[Line]) -> Curves:
    """Return the curves of the latest training among the lines. A measure is told again until it is measured anew: it has a point
    where it changes."""
    steps = [line for line in lines if line.get("event") == "progress" and line.get("unit") == "step"]
    steps = [line for line in steps if line.get("title") == steps[-1].get("title")]
    found = Curves(to_beat=next(iter(_to_beat(lines)), None))
    for line in steps:
        step = float(line["done"])
        # What came after the checkpoint that a killed run goes on from comes again.
        for points in (found.loss, *found.scores.values()):
            while points and points[-1][0] > step:
                points.pop()
        for name, value in line.items():
            number = None if name in _PROGRESS else _number(value)
            points = found.loss if name == "loss" else found.scores.setdefault(name, []) if number is not None else []
            if number is not None and (name == "loss" or not points or points[-1][1] != number):
                points.append([step, number])
    return found


def figures_in(lines: Sequence[Line]) -> list[Figure]:
    """Return the figures that lines of the ledger tell, by their names the latest."""
    found = {}
    for line in lines:
        if line.get("event") == "ledger" and {"name", "value", "n"} <= line.keys():
            figure = figure_of(dict(line))
            found[figure.name] = figure
    return list(found.values())


def result_figures(lines: Sequence[Line]) -> list[Figure]:
    """Return the figures of what a command gave in the end."""
    last = last_of(lines, "result") or {}
    return [figure_of(one) for one in last.get("figures") or () if {"name", "value", "n"} <= one.keys()]


def texts_in(lines: Sequence[Line], language: str, *events: str) -> list[str]:
    """Return what lines of some kinds say, in a language as far as they are messages."""
    return [line_of(line)[language] for line in lines if line.get("event") in events and line.get("line")]


def listed_in(lines: Sequence[Line], key: str) -> list[Any]:
    """Return what notes tell under a key, in their order: candidates of a compression, texts on which two models differ."""
    return [line[key] for line in lines if key in line and line.get("event") != "progress"]


def differences(settings: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Any]]]:
    """Return the settings in which runs differ, by their whole names, with the value of each run; None where one has none.

    >>> differences([{"seed": 0, "rates": {"warmup": 0.1}}, {"seed": 1, "rates": {"warmup": 0.1}}])
    [('seed', [0, 1])]
    """
    flat = [dict(_flat(one)) for one in settings]
    names = dict.fromkeys(name for one in flat for name in one)
    rows = [(name, [one.get(name) for one in flat]) for name in names if name not in _SAME]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]


def _flat(settings: Mapping[str, Any], within: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in settings.items():
        found += _flat(value, f"{within}{name}.") if isinstance(value, Mapping) else [(f"{within}{name}", value)]
    return found


def _to_beat(lines: Sequence[Line]) -> list[Figure]:
    return [figure_of(dict(one)) for one in reversed(listed_in(lines, "to_beat"))]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
