"""The passes of `kernels.decoder` beside transformers' own: states, every gradient, packed and alone, checkpointed or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from causal_families import build
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.make.kernels import decoder
from noria.make.kernels.decoder_attention import windows
from noria.make.models.adapt import adapt
from noria.make.models.adapt_settings import AdapterSettings
from noria.make.tokens.batches import IGNORED, Batch
from noria.make.training.objectives.language_modeling import causal
from noria.make.training.objectives.scored_tokens import scored_tokens

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"rope_parameters": LLAMA3},
    "mistral": {"sliding_window": 64},
    "qwen2": {},
    "qwen3": {},
    "phi3": {"sliding_window": None},
}
LENGTHS = [40, 10, 20, 30, 30, 3]


def _drawn(family: str, kind: str) -> Any:
    module = build(family, **FAMILIES[family])
    adapt(module, AdapterSettings(kind=kind, rank=4), seed=0)  # type: ignore[arg-type]
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.15)
    return module.train()


def _slopes(module: Any, run: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    module.zero_grad()
    states = run()
    (states * torch.linspace(-1, 1, states.numel()).view(states.shape)).sum().backward()
    return states.detach(), {name: one.grad.clone() for name, one in module.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("kind", ["none", "lora", "adalora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_states_and_slopes_are_those_of_transformers(family: str, kind: str) -> None:
    module = _drawn(family, kind)
    assert decoder.applies(module, LENGTHS)
    ids = torch.randint(3, 96, (sum(LENGTHS),))
    own, wanted = _slopes(
        module,
        lambda: torch.cat(
            [module.base_model(one[None], use_cache=False).last_hidden_state[0] for one in ids.split(LENGTHS)]
        ),
    )
    if kind != "none":
        decoder.hold(module, torch.float32)
    for again in (False, True):
        module.__dict__[decoder.CHECKPOINTING] = again
        states, found = _slopes(module, lambda: decoder.hidden_states(module, ids, LENGTHS, torch.float32))
        torch.testing.assert_close(states, own, rtol=1e-4, atol=1e-4)
        assert found.keys() == wanted.keys()
        for name, slope in wanted.items():
            assert (found[name] - slope).norm() <= 1e-4 * slope.norm() + 1e-6, name


@pytest.mark.parametrize("family", [*FAMILIES, "gemma3_text", "gpt2"])
def test_packed_costs_what_each_document_costs_alone(family: str) -> None:
    module = build(family, **FAMILIES.get(family, {})).eval()
    numbers = torch.tensor([[0] * 9 + [1] * 4 + [2] * 7, [0] * 12 + [1] * 8])
    ids = torch.randint(3, 96, numbers.shape)
    targets = torch.where(torch.rand(numbers.shape) < 0.6, ids.roll(-1, 1), IGNORED)
    targets[:, -1] = IGNORED
    targets[:, :-1][numbers[:, 1:] != numbers[:, :-1]] = IGNORED
    packed, count = causal(module, Batch({"input_ids": ids, "targets": targets, "documents": numbers}, [], 40))
    alone = 0.0
    for row, number in {(place, int(one)) for place in range(2) for one in numbers[place]}:
        own = numbers[row] == number
        logits = module(ids[row, own][None]).logits[0]
        wanted = targets[row, own]
        alone += torch.nn.functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum").item()
    assert count == int((targets != IGNORED).sum())
    assert packed.item() == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("family", ["qwen2", "gemma3_text"])
def test_costs_of_tokens_are_those_of_the_logits(family: str) -> None:
    module = build(family).eval()
    ids = torch.randint(3, 96, (3, 11))
    targets = torch.where(torch.rand(ids.shape) < 0.5, ids.roll(-1, 1), IGNORED)
    targets[1] = IGNORED
    costs, owners = scored_tokens(module, Batch({"input_ids": ids, "targets": targets}, [], 33))
    logits = module(ids).logits
    wanted = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    ).view(ids.shape)
    torch.testing.assert_close(costs, wanted[targets != IGNORED], rtol=1e-4, atol=1e-5)
    assert owners.tolist() == (targets != IGNORED).nonzero()[:, 0].tolist()


def test_a_document_beyond_the_window_goes_by_the_models_own_way() -> None:
    module = build("mistral", sliding_window=8)
    assert decoder.applies(module, [8, 3])
    assert not decoder.applies(module, [9])


@given(st.lists(st.integers(1, 300), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_windows_hold_every_token_once(lengths: list[int]) -> None:
    found = windows(lengths, torch.float32)
    places = [place for one in found for place in range(one.start, one.stop)]
    assert places == list(range(sum(lengths)))
