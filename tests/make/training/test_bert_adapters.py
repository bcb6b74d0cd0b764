"""The hand-written encoder with adapters: what transformers computes with the same adapters, and from kept lower states."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification

from noria.make.kernels import bert
from noria.make.models.adapt import adapt, freeze, parts
from noria.make.models.adapt_settings import AdapterSettings

KINDS = {
    "lora": AdapterSettings(kind="lora", rank=4),
    "attention only": AdapterSettings(kind="lora", rank=4, targets="attention"),
    "feed-forward only": AdapterSettings(kind="lora", rank=4, targets="feed_forward"),
    "adalora": AdapterSettings(kind="adalora", rank=2, initial_rank=4),
    "bottleneck": AdapterSettings(kind="bottleneck", width=6, places="houlsby"),
}


def adapted(kind: str, head: type[nn.Module] = BertForSequenceClassification, *, frozen: int = 0) -> nn.Module:
    """Return a small encoder whose adapter has learned something."""
    torch.manual_seed(0)
    module = head(
        BertConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=24,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            num_labels=3,
        )
    ).train()
    freeze(module, frozen)
    adapt(module, KINDS[kind], seed=1)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, part in parts(module):
            for tensor in part.parameters():
                tensor.add_(0.05 * torch.randn(tensor.shape, generator=random))
    return module


def texts() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 50, (5, 17), generator=random)
    return {
        "input_ids": ids,
        "attention_mask": (torch.arange(17)[None] < torch.tensor([17, 9, 3, 16, 12])[:, None]).long(),
    }


def gradients(module: nn.Module, logits: torch.Tensor) -> dict[str, torch.Tensor]:
    module.zero_grad()
    seen = texts()["attention_mask"][:, :, None] if logits.ndim == 3 else 1
    (logits.float() * seen).sin().sum().backward()
    return {name: one.grad.clone() for name, one in module.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("head", [BertForSequenceClassification, BertForTokenClassification], ids=["text", "token"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_computes_what_transformers_computes_with_the_adapter(kind: str, head: type[nn.Module]):
    module = adapted(kind, head)
    assert bert.applies(module)
    found, wanted = bert.run(module, texts()).logits, module(**texts()).logits
    seen = texts()["attention_mask"].bool() if wanted.ndim == 3 else slice(None)
    torch.testing.assert_close(found[seen], wanted[seen], atol=1e-5, rtol=1e-4)
    one, two = gradients(module, found), gradients(module, wanted)
    assert one.keys() == two.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, two[name], atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_is_near(kind: str):
    module = adapted(kind)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = bert.run(module, texts()).logits
    torch.testing.assert_close(found.float(), module(**texts()).logits, atol=0.05, rtol=0.05)


def test_prefixes_are_left_to_the_plain_path():
    module = adapted("lora")
    adapt(module, AdapterSettings(kind="prefix", tokens=3), seed=0, name="prefix")
    assert not bert.applies(module)
    torch.testing.assert_close(bert.run(module, texts()).logits, module(**texts()).logits)


def test_kept_lower_states_give_the_same_logits_and_gradients():
    module, tensors = adapted("lora", frozen=2), texts()
    wanted = bert.run(module, tensors).logits
    states = bert.lower_states(module.bert, tensors, torch.float32, 2)
    assert not states.requires_grad
    kept = {"states": states, "below": torch.tensor(2), "attention_mask": tensors["attention_mask"]}
    found = bert.run(module, kept).logits
    assert torch.equal(found, wanted)
    one, two = gradients(module, found), gradients(module, wanted)
    assert all(torch.equal(one[name], two[name]) for name in two)
