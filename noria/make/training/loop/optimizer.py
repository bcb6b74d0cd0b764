"""Parameter groups and schedules."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from noria.make.training.settings import OptimizerSettings

from .muon import Muon, muon_groups

FUSED = ("cpu", "cuda", "xpu", "mps")
"""Devices on which AdamW is one pass over all parameters."""
_LAYER = re.compile(r"(?:^|\.)(?:layers?|blocks?|h)\.(\d+)\.")
_EMBEDDING = re.compile(r"(?:^|\.)(?:embeddings?|embed_tokens|shared|wte|wpe)\.")


def parameter_groups(module: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """Return the parameters that learn, grouped by decay and by rate.

    A matrix decays, a vector or a number does not. With L layers, layer l (0 the lowest) learns at
    `layer_decay ** (L - 1 - l)`, the embeddings at `layer_decay ** L * embedding_rate`, and what stands above at `head_rate`
    (discriminative rates: Howard and Ruder 2018, section 3.2).

    Returns:
        groups for a torch optimiser; each has `scale`, its share of the learning rate.
    """
    named = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    depths = [int(match[1]) for name, _ in named if (match := _LAYER.search(name))]
    layers = max(depths, default=-1) + 1
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        groups.setdefault((parameter.ndim >= 2, _scale(name, layers, settings)), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": settings.weight_decay if decays else 0.0, "scale": scale}
        for (decays, scale), parameters in groups.items()
    ]


def _scale(name: str, layers: int, settings: OptimizerSettings) -> float:
    match = _LAYER.search(name)
    if match:
        return settings.layer_decay ** (layers - 1 - int(match[1]))
    if _EMBEDDING.search(name):
        return settings.layer_decay**layers * settings.embedding_rate
    return settings.head_rate if layers else 1.0


def make_optimizer(module: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter 2019) over the module's groups, all parameters of a group in one pass; or Muon."""
    if settings.method == "muon":
        return Muon(muon_groups(module, parameter_groups(module, settings)), settings)
    return torch.optim.AdamW(
        parameter_groups(module, settings),
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        fused=all(one.device.type in FUSED for one in module.parameters()),
    )


def rate(step: float, steps: int, settings: OptimizerSettings) -> float:
    """Return the learning rate of optimiser step `step` (from 0; between two where a plan was revised) of `steps`.

    It rises in a line over the warm-up, then falls to `final` of the highest: in a line, as half a cosine, or in a line
    over the last `decay` of the steps after staying constant.
    """
    done, warmup = step + 1, settings.warmup * steps
    if done < warmup:
        return settings.learning_rate * done / warmup
    start = max(warmup, steps * (1 - settings.decay)) if settings.schedule == "constant" else warmup
    share = min(1.0, max(0.0, (step - start) / max(1.0, steps - start)))
    left = 0.5 * (1 + math.cos(math.pi * share)) if settings.schedule == "cosine" else 1 - share
    return settings.learning_rate * (settings.final + (1 - settings.final) * left)


def set_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group its share of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = value * group["scale"]


def scale_and_clip(
    optimizer: torch.optim.Optimizer,
    weight: float,
    clip: float,
    norm: Callable[[list[torch.Tensor]], float] | None = None,
) -> float:
    """Divide summed gradients by the weight they were summed over, shorten them to `clip`, return their length before.

    The length is the Euclidean norm over all parameters (Pascanu et al. 2013, section 3.2).

    Args:
        optimizer: holds the parameters.
        weight: what the loss was summed over.
        clip: longest gradient that is not shortened; 0 never shortens.
        norm: gives the length of all gradients, where other processes hold parts of them.
    """
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    length = (norm or gradient_norm)(gradients) / weight
    factor = 1 / weight
    if clip and length > clip:
        factor *= clip / length
    torch._foreach_mul_(gradients, factor)
    return length


def gradient_norm(gradients: list[torch.Tensor]) -> float:
    """Return the Euclidean norm over all gradients."""
    return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))))
