"""A linear head fitted to features that do not change, until it gets no better on valid rows: a matter of seconds.

    head = fit_head(features, targets, valid_features, valid_targets, classes)
    logits = features @ head.weight.T + head.bias

Logistic regression, multinomial where a row has one label, one against the rest where it has many, by L-BFGS (Liu and Nocedal
1989). Features are scaled to a mean of 0 and a deviation of 1 for that, which the weights that are given back undo.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

STRENGTHS = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
"""Halves of the squared weights are added to a row's loss with these factors, one after the other, until valid rows are judged worse."""
ROUNDS = 40
"""Steps of L-BFGS for each, each from the weights that the one before found."""


@dataclass(frozen=True)
class LinearHead:
    """What was fitted."""

    weight: torch.Tensor
    """(C classes, D)."""
    bias: torch.Tensor
    """(C)."""
    strength: float
    """Of the penalty that was chosen."""
    loss: float
    """A valid row's mean, in nats."""


def fit_head(
    features: torch.Tensor,
    targets: torch.Tensor,
    valid_features: torch.Tensor,
    valid_targets: torch.Tensor,
    classes: int,
    *,
    over: Callable[[], bool] = lambda: False,
) -> LinearHead:
    """Return the head of the penalty that valid rows judge best.

    Args:
        features, valid_features: (N, D) and (V, D), float32.
        targets, valid_targets: the class of each (N), or 0 and 1 for each of many labels (N, C).
        classes: how many there are, C.
        over: tells that time is over; the best so far is given then. At least one penalty is tried.
    """
    mean, deviation = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
    known, judged = (features - mean) / deviation, (valid_features - mean) / deviation
    weight = torch.zeros(classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    best: LinearHead | None = None
    for strength in STRENGTHS:
        _descend(weight, bias, known, targets, strength)
        with torch.no_grad():
            loss = float(_loss(judged @ weight.T + bias, valid_targets))
            if best is not None and not loss < best.loss:
                break
            scaled = weight / deviation
            best = LinearHead(scaled, bias - scaled @ mean, strength, loss)
        if over():
            break
    assert best is not None
    return best


def _descend(
    weight: torch.Tensor, bias: torch.Tensor, features: torch.Tensor, targets: torch.Tensor, strength: float
) -> None:
    search = torch.optim.LBFGS([weight, bias], max_iter=ROUNDS, tolerance_change=1e-6, line_search_fn="strong_wolfe")

    def loss() -> float:
        search.zero_grad()
        found = _loss(features @ weight.T + bias, targets) + strength / 2 * weight.square().sum()
        found.backward()
        return float(found.detach())

    search.step(loss)


def _loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if targets.is_floating_point():
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(targets)
    return F.cross_entropy(logits, targets)
