"""Losses of causal models: gradients, number types, adapters, and documents that need rows of their own."""

from __future__ import annotations

import pytest
import torch
from causal_families import VOCABULARY, build
from torch import nn

from noria.make.kernels import llama
from noria.make.models.adapt import adapt
from noria.make.models.adapt_settings import AdapterSettings
from noria.make.models.sizes import causal as causal_config
from noria.make.tokens.batches import IGNORED, Batch
from noria.make.training.objectives.causality import form_of
from noria.make.training.objectives.language_modeling import causal, kept_apart

FAMILIES = ("noria", "llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "phi3")
ADAPTERS = ("none", "lora", "adalora", "bottleneck", "prefix")


def model(name: str, attention: str | None = None) -> nn.Module:
    """Return a family's tiny model; noria is the Llama that Noria makes, which has a way of its own."""
    if name != "noria":
        return build(name, attention=attention)
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(causal_config(110_000, VOCABULARY, 64)).eval()


def batch(ids: torch.Tensor, documents: torch.Tensor, scored: torch.Tensor | None = None) -> Batch:
    targets = torch.full_like(ids, IGNORED)
    targets[:, :-1] = torch.where(documents[:, 1:] == documents[:, :-1], ids[:, 1:], IGNORED)
    targets = targets if scored is None else torch.where(scored, targets, IGNORED)
    return Batch({"input_ids": ids, "targets": targets, "documents": documents}, [0], ids.numel())


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, VOCABULARY, (2, 20), generator=torch.Generator().manual_seed(3))
    return ids, torch.tensor([[0] * 8 + [1] * 12, [0] * 14 + [1] * 6])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("name", FAMILIES)
def test_no_adapter_attention_or_number_type_lets_a_token_see_what_it_should_not(
    name: str, kind: str, attention: str, bf16: bool
) -> None:
    if name in ("noria", "gemma2") and attention == "sdpa":
        pytest.skip("one form of attention")
    module = model(name, attention)
    adapt(module, AdapterSettings.make(kind=kind), seed=0)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad and kind != "none":
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    ids, documents = rows()

    def told(*given: torch.Tensor) -> float:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return float(causal(module, batch(*given))[0])

    tolerance = 2e-3 if bf16 else 1e-4
    places = torch.arange(20).expand_as(ids)
    later = torch.where(places >= 7, (ids + 31) % 90 + 5, ids)
    assert told(later, documents, places < 6) == pytest.approx(told(ids, documents, places < 6), rel=tolerance)
    assert told(later, documents, places < 9) != told(ids, documents, places < 9)
    other = torch.where(documents == 0, (ids + 31) % 90 + 5, ids)
    assert told(other, documents, documents == 1) == pytest.approx(told(ids, documents, documents == 1), rel=tolerance)
    alone = sum(
        told(ids[row][documents[row] == one][None], torch.zeros_like(ids[row][documents[row] == one][None]))
        for row in range(2)
        for one in range(2)
    )
    assert told(ids, documents) == pytest.approx(alone, rel=5 * tolerance)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["granite", "cohere", "gemma2", "phi", "gpt2", "opt", "mamba", "bloom", "mistral", "mixtral", "minicpm3"]
)
def test_gradients_are_those_of_the_models_own_loss(name: str) -> None:
    module = build(name)
    ids = torch.randint(5, VOCABULARY, (2, 14), generator=torch.Generator().manual_seed(4))
    # Larger than a model's first logits, so that a cap bends them.
    with torch.no_grad():
        module.get_output_embeddings().weight.mul_(8)
    (module(input_ids=ids, labels=ids).loss * 26).backward()
    wanted = {key: one.grad.clone() for key, one in module.named_parameters() if one.grad is not None}
    module.zero_grad()
    loss, count = causal(module, batch(ids, torch.zeros_like(ids)))
    assert count == 26
    loss.backward()
    for key, gradient in wanted.items():
        found = dict(module.named_parameters())[key].grad
        assert (found - gradient).norm() <= 1e-3 * gradient.norm() + 1e-6, key


@pytest.mark.parametrize(
    ("name", "scale", "cap", "head", "packs"),
    [
        ("llama", 1.0, None, True, True),
        ("granite", 1.0, None, True, True),
        ("cohere", 0.0625, None, True, True),
        ("gemma2", 1.0, 30.0, True, True),
        ("phi", 1.0, None, True, True),
        ("mamba", 1.0, None, True, False),
        ("gpt2", 1.0, None, True, True),
        ("bloom", 1.0, None, True, False),
        ("opt", 1.0, None, False, False),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_a_try_finds(name: str, scale: float, cap: float | None, head: bool, packs: bool) -> None:
    module = build(name).train()
    form = form_of(module)
    assert (form.head, form.packs, form.cap) == (head, packs, cap)
    assert form.scale == pytest.approx(scale, rel=1e-4)
    assert form_of(module) is form
    assert module.training


def test_documents_that_need_rows_of_their_own_share_runs_with_their_like() -> None:
    ids = torch.arange(40).view(2, 20)
    documents = torch.tensor([[0] * 3 + [1] * 10 + [2] * 7, [0] * 20])
    targets = torch.where(documents == 2, IGNORED, ids)
    runs = kept_apart(ids, targets, documents, packs=False, one=False)
    assert [list(one.shape) for one, _, _ in runs] == [[1, 20], [1, 10], [1, 3]]
    assert all(positions is None for _, _, positions in runs)
    [(together, wanted, _)] = kept_apart(ids, targets, documents, packs=False, one=True)
    assert together.shape == (3, 20)
    assert sorted(wanted[wanted != IGNORED].tolist()) == sorted(targets[targets != IGNORED].tolist())
    [(packed, _, positions)] = kept_apart(ids, targets, documents, packs=True, one=False)
    assert packed is ids
    assert positions is not None
    assert positions[0].tolist() == [*range(3), *range(10), *range(7)]


def test_norias_llama_keeps_its_own_way() -> None:
    module = model("noria")
    assert llama.applies(module)
    adapt(module, AdapterSettings.make(kind="lora"), seed=0)
    assert not llama.applies(module)
