"""Whom to address first: segments scored by size, value, activity and youth, with what each brings to the score shown.

found = targets(by_rules(customers(log)), {"users": 1, "value": 1, "active": 1, "new": 1})
found[0].contributions        # what the score is made of
found[0].first                # in how many of the draws over weights and sampling error it comes first

A score is a weighted mean of measures put between 0 (the lowest segment) and 1 (the highest). Weights are an opinion: so they
are shaken, and a segment that comes first only under one opinion shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from noria.core.errors import InputError, InsufficientDataError, unknown
from noria.core.figure import Figure, proportion
from noria.core.messages import Message, joined, message
from noria.grow.series.series import Floats

from .positioning import Segment, Segmentation

MEASURES: dict[str, Message] = {
    "users": message("potential.measures.users"),
    "value": message("potential.measures.value"),
    "active": message("potential.measures.active"),
    "new": message("potential.measures.new"),
}
SHORT = {
    "users": message("report.column.users"),
    "value": message("potential.column.value"),
    "active": message("potential.short.active"),
    "new": message("potential.short.new"),
}
"""The same in a word."""
EQUAL = dict.fromkeys(MEASURES, 1.0)
SHAKE = 8.0
"""Concentration of the Dirichlet that weights are drawn from: a weight of a quarter then varies by about 0.14."""


@dataclass(frozen=True)
class Target:
    """A segment's standing as a target."""

    segment: Segment
    score: float
    """0 to 1."""
    contributions: dict[str, float]
    """What each measure brings; they sum to the score."""
    measures: dict[str, Figure]
    first: Figure
    """Part of the draws in which it comes first."""

    @property
    def reason(self) -> Message:
        """What the score rests on, the strongest first."""
        order = sorted(self.contributions, key=lambda name: -self.contributions[name])
        parts = [
            message("potential.contribution", short=SHORT[name], part=self.contributions[name])
            for name in order
            if self.contributions[name] > 0
        ]
        return joined("join.comma", parts) if parts else message("potential.lowest_on_every_measure")

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "segment": self.segment.name.both(),
            "rule": self.segment.reason.both(),
            "score": self.score,
            "contributions": self.contributions,
            "measures": {name: figure.as_dict() for name, figure in self.measures.items()},
            "first": self.first.as_dict(),
            "reason": self.reason.both(),
        }


def targets(
    found: Segmentation, weights: Mapping[str, float] = EQUAL, *, draws: int = 2000, seed: int = 0
) -> tuple[Target, ...]:
    """Return the segments scored, the best first.

    Raises:
        SettingError: a weight names no measure.
        InputError: a negative weight, or weights that sum to zero.
        InsufficientDataError: there is a single segment.
    """
    for name in weights:
        if name not in MEASURES:
            raise unknown("measure of a target", name, MEASURES)
    total = sum(weights.values())
    if min(weights.values(), default=0.0) < 0 or total <= 0:
        raise InputError(
            message("grow.weights_negative"),
            found=", ".join(f"{name}={value}" for name, value in weights.items()),
        )
    if len(found.segments) < 2:
        only = found.segments[0].name if found.segments else "none"
        raise InsufficientDataError(message("grow.one_segment"), found=only, allowed=message("grow.more_5"))
    names = [name for name in MEASURES if weights.get(name, 0.0) > 0]
    share = np.array([weights[name] / total for name in names])
    figures = [_measured(found, segment) for segment in found.segments]
    values = np.array([[row[name].value for name in names] for row in figures])
    errors = np.array([[_error(row[name]) for name in names] for row in figures])
    contributions = _scaled(values) * share
    random = np.random.default_rng(seed)
    opinions = random.dirichlet(np.maximum(share * SHAKE, 1e-3), draws)  # draws x measures
    shaken = values + errors * random.standard_normal((draws, *values.shape))
    scores = np.einsum("dsm,dm->ds", _scaled(shaken), opinions)
    wins = np.bincount(scores.argmax(1), minlength=len(figures))
    rows = [
        Target(
            segment,
            float(part.sum()),
            dict(zip(names, part.tolist(), strict=True)),
            row,
            proportion(
                f"{segment.name}, first", int(win), draws, source=found.customers.source, note="simulated weights"
            ),
        )
        for segment, part, row, win in zip(found.segments, contributions, figures, wins, strict=True)
    ]
    return tuple(sorted(rows, key=lambda target: (-target.score, target.segment.name)))


def _measured(found: Segmentation, segment: Segment) -> dict[str, Figure]:
    people = found.customers
    near, fresh = people.near, people.fresh
    n = segment.members.size
    return {
        "users": segment.users,
        "value": segment.each,
        "active": proportion(
            "active late", int((people.recency[segment.members] <= near).sum()), n, source=people.source
        ),
        "new": proportion("new late", int((people.age[segment.members] <= fresh).sum()), n, source=people.source),
    }


def _error(figure: Figure) -> float:
    return 0.0 if figure.low is None or figure.high is None else (figure.high - figure.low) / (2 * 1.96)


def _scaled(values: Floats) -> Floats:
    """Return each measure between 0 and 1 over the segments: (..., segments, measures)."""
    low, high = values.min(-2, keepdims=True), values.max(-2, keepdims=True)
    return np.asarray(
        np.divide(values - low, high - low, out=np.zeros_like(values), where=high > low), dtype=np.float64
    )
