"""Muon: steps with equal singular values for the layers' matrices, AdamW's own steps for the rest."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import LlamaForCausalLM

from noria.make.models.sizes import causal
from noria.make.training.loop.muon import Muon, orthogonal
from noria.make.training.loop.optimizer import make_optimizer
from noria.make.training.settings import OptimizerSettings


@pytest.mark.parametrize("shape", [(64, 64), (48, 96), (96, 48)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 7
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.quantile(0.1) > 0.5, "but for the few that were near nothing"
    assert values.max() < 1.4
    kept = (orthogonal(matrix) * matrix).sum() / (orthogonal(matrix).norm() * matrix.norm())
    assert kept > 0.7, "it points where the matrix does"


def test_layers_matrices_go_by_muon_and_the_rest_as_with_adamw() -> None:
    torch.manual_seed(0)
    left = LlamaForCausalLM(causal(200_000, 300, 32))
    right = copy.deepcopy(left)
    before = {name: parameter.detach().clone() for name, parameter in left.named_parameters()}
    settings = OptimizerSettings(learning_rate=1e-2, weight_decay=0.0)
    optimizers = [make_optimizer(left, settings.replace(method="muon")), make_optimizer(right, settings)]
    assert isinstance(optimizers[0], Muon)
    for _ in range(2):
        for module, optimizer in zip((left, right), optimizers, strict=True):
            for number, parameter in enumerate(module.parameters()):
                parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            optimizer.step()
    other = dict(right.named_parameters())
    for name, parameter in left.named_parameters():
        if ".layers." in name and parameter.ndim == 2:
            step = (parameter - before[name]).square().mean().sqrt().item()
            assert step == pytest.approx(2 * 1e-2 * 0.2, rel=0.3), name
        else:
            assert torch.allclose(parameter, other[name], atol=1e-6), name
