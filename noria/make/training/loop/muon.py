"""Muon: a layer's matrix moves by its momentum with all singular values made about one; the rest learns by AdamW.

Jordan et al. (2024), "Muon: An optimizer for hidden layers in neural networks". Steps are scaled so that their root mean
square is about that of AdamW's (Liu et al. 2025, "Muon is Scalable for LLM Training", equation 4), so that one learning
rate and one decay serve both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from noria.make.training.settings import OptimizerSettings

MOMENTUM = 0.95
_STEPS = 5
_FACTORS = (3.4445, -4.7750, 2.0315)
"""Of the quintic whose repeated use brings singular values near one (Jordan et al. 2024)."""
_SCALE = 0.2
"""Root mean square of AdamW's steps, as Liu et al. (2025) found it."""
Direction = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, int]]
"""A parameter and its gradient -> where it moves, and the longer side of the whole matrix."""


def muon_groups(module: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups cut in two: matrices inside layers, which Muon moves, and the rest."""
    inside = {
        id(parameter)
        for part in module.modules()
        if isinstance(part, nn.ModuleList)
        for parameter in part.parameters()
        if parameter.ndim == 2
    }
    found = []
    for group in groups:
        for muon in (True, False):
            parameters = [one for one in group["params"] if (id(one) in inside) == muon]
            if parameters:
                found.append({**group, "params": parameters, "muon": muon})
    return found


class Muon(torch.optim.Optimizer):
    """Muon over groups with `muon` set, AdamW over the others.

    Args:
        groups: as `muon_groups` returns them.
        settings: rates, decay, and AdamW's memories.
    """

    def __init__(self, groups: list[dict[str, Any]], settings: OptimizerSettings) -> None:
        defaults = {
            "lr": settings.learning_rate,
            "betas": (settings.beta1, settings.beta2),
            "eps": settings.epsilon,
            "weight_decay": settings.weight_decay,
            "muon": False,
        }
        super().__init__(groups, defaults)
        self.direction: Direction = direction
        """How a matrix moves: where a process holds a part of it, that part of how the whole moves."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step with the gradients that are there."""
        for group in self.param_groups:
            parameters = [one for one in group["params"] if one.grad is not None]
            if group["muon"]:
                for parameter in parameters:
                    self._move(parameter, parameter.grad, group["lr"], group["weight_decay"])
            elif parameters:
                self._adamw(parameters, group)

    def _move(self, parameter: torch.Tensor, gradient: torch.Tensor, rate: float, decay: float) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        moved, longest = self.direction(parameter, gradient.lerp(momentum, MOMENTUM))  # Nesterov's look ahead
        parameter.mul_(1 - rate * decay)
        parameter.add_(moved, alpha=-rate * _SCALE * longest**0.5)

    def _adamw(self, parameters: list[torch.Tensor], group: dict[str, Any]) -> None:
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32)
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        states = [self.state[parameter] for parameter in parameters]
        torch._foreach_add_([state["step"] for state in states], 1)
        torch._fused_adamw_(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


def direction(parameter: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Return where a whole matrix moves, with all singular values about one, and its longer side."""
    return orthogonal(gradient), max(parameter.shape)


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Return about the nearest matrix whose singular values are all one, by Newton-Schulz steps; in bf16 inside autocast."""
    first, third, fifth = _FACTORS
    # The steps bear bf16 (Jordan et al. 2024); where it is emulated they are in the matrix's own type.
    x = matrix.bfloat16() if torch.is_autocast_enabled("cpu") else matrix
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(_STEPS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=third, alpha=fifth), x, beta=first)
    return (x.T if tall else x).to(matrix.dtype)
