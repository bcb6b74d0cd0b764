"""What an evaluation finds, and what a run gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .plan import Plan


@dataclass(frozen=True)
class Evaluation:
    """What an evaluator found."""

    score: float
    """By which the best weights are chosen; higher is better (hand in a loss with its sign turned)."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Name -> number, for the record and the progress bar."""


@dataclass(frozen=True)
class TrainResult:
    """What came of a run."""

    steps: int
    """Optimiser steps taken: those of the plan, or fewer where patience ended the run."""
    tokens: int
    """Tokens trained on, each counted as often as it was seen."""
    seconds: float
    """Time spent training, evaluations and checkpoints apart."""
    saving_seconds: float
    """Time this process spent on writing checkpoints and best weights."""
    best_step: int
    best_score: float | None
    curves: dict[str, list[list[float]]]
    """train: [[step, mean loss since the last point]...]; valid: [[step, score]...]."""
    plan: Plan
    shared_seconds: Mapping[str, float] = field(default_factory=dict)
    """Of `seconds`, those of the first of several processes: waiting for the slowest, and summing gradients."""

    @property
    def tokens_per_second(self) -> float:
        """Training speed."""
        return self.tokens / self.seconds if self.seconds else 0.0


def thinned(records: list[dict[str, Any]], points: int = 200) -> list[list[float]]:
    """Return [step, mean loss] for at most `points` stretches of steps."""
    losses = [(record["step"], record["loss"]) for record in records if "loss" in record and "rate" in record]
    size = max(1, math.ceil(len(losses) / points))
    parts = [losses[start : start + size] for start in range(0, len(losses), size)]
    return [[part[-1][0], sum(loss for _, loss in part) / len(part)] for part in parts]
