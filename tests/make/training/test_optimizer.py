"""Rates over layers and over time."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn
from transformers import T5ForConditionalGeneration

from noria.make.models.sizes import sequence_to_sequence
from noria.make.training.loop.optimizer import make_optimizer, parameter_groups, rate, scale_and_clip, set_rate
from noria.make.training.settings import OptimizerSettings


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Sequential(nn.Embedding(4, 2))
        self.layer = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        self.classifier = nn.Linear(2, 2)


def test_groups_by_layer_and_decay() -> None:
    module = Encoder()
    settings = OptimizerSettings(layer_decay=0.5, head_rate=4, weight_decay=0.1)
    groups = parameter_groups(module, settings)
    found = {id(p): (group["scale"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert found[id(module.classifier.weight)] == (4, 0.1)
    assert found[id(module.classifier.bias)] == (4, 0)
    assert found[id(module.layer[2].weight)] == (1, 0.1)
    assert found[id(module.layer[0].bias)] == (0.25, 0)
    assert found[id(module.embeddings[0].weight)] == (0.125, 0.1)
    assert len(found) == len(list(module.parameters()))


def test_both_sides_of_an_encoder_decoder_have_layers() -> None:
    module = T5ForConditionalGeneration(sequence_to_sequence(2_000_000, 300, 16))
    last = module.config.num_layers - 1
    settings = OptimizerSettings(layer_decay=0.5, head_rate=4)
    found = {id(p): group["scale"] for group in parameter_groups(module, settings) for p in group["params"]}
    assert last > 0
    assert found[id(module.shared.weight)] == 0.5 ** (last + 1)
    for side in (module.encoder, module.decoder):
        assert found[id(side.block[last].layer[0].SelfAttention.q.weight)] == 1
        assert found[id(side.block[0].layer[-1].DenseReluDense.wo.weight)] == 0.5**last
        assert found[id(side.final_layer_norm.weight)] == 4


def test_frozen_parameters_are_left_out() -> None:
    module = Encoder()
    module.embeddings.requires_grad_(False)
    counted = sum(len(group["params"]) for group in parameter_groups(module, OptimizerSettings()))
    assert counted == len(list(module.parameters())) - 1


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_rate_rises_then_falls_to_the_final_share(schedule: str) -> None:
    settings = OptimizerSettings(learning_rate=2.0, schedule=schedule, warmup=0.1, decay=0.4, final=0.25)
    rates = [rate(step, 100, settings) for step in range(101)]
    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert max(rates) == pytest.approx(2.0)
    assert rates[100] == pytest.approx(0.5)
    assert all(after <= before + 1e-12 for before, after in pairwise(rates[10:]))
    if schedule == "constant":
        assert rates[59] == 2.0
        assert rates[80] == pytest.approx(1.25)


def test_a_run_of_one_step_learns() -> None:
    assert rate(0, 1, OptimizerSettings(learning_rate=1.0, warmup=0.06)) == 1.0


def test_gradients_are_divided_by_their_weight_and_shortened() -> None:
    module = nn.Linear(2, 1, bias=False)
    optimizer = make_optimizer(module, OptimizerSettings())
    module.weight.grad = torch.tensor([[30.0, 40.0]])
    assert scale_and_clip(optimizer, weight=10, clip=1.0) == pytest.approx(5.0)
    assert module.weight.grad.tolist() == [pytest.approx([0.6, 0.8])]
    module.weight.grad = torch.tensor([[30.0, 40.0]])
    scale_and_clip(optimizer, weight=10, clip=0)
    assert module.weight.grad.tolist() == [pytest.approx([3.0, 4.0])]


def test_rates_reach_the_groups() -> None:
    optimizer = make_optimizer(Encoder(), OptimizerSettings(layer_decay=0.5))
    set_rate(optimizer, 0.01)
    assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx([0.00125, 0.0025, 0.005, 0.01])
