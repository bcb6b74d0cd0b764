"""The hand-written encoder: transformers' own logits and gradients, for every head, masked or not."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)

from noria.make.kernels import bert

HEADS = {
    BertForSequenceClassification: ("logits",),
    BertForTokenClassification: ("logits",),
    BertForQuestionAnswering: ("start_logits", "end_logits"),
    BertModel: ("last_hidden_state",),
}


def small(kind: type[nn.Module], **changes: object) -> nn.Module:
    """Return a small encoder with a head, in training mode, without dropout."""
    torch.manual_seed(0)
    values = {
        "vocab_size": 50,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 24,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "num_labels": 3,
    }
    if kind is BertForQuestionAnswering:
        values["num_labels"] = 2  # a first and a last token; of any other number transformers itself makes no answer
    return kind(BertConfig(**{**values, **changes})).train()


def batch(*, masked: bool) -> dict[str, torch.Tensor]:
    """Return ids with types; masked: the ends of some rows are filling."""
    torch.manual_seed(1)
    tensors = {"input_ids": torch.randint(1, 50, (5, 17)), "token_type_ids": torch.randint(0, 2, (5, 17))}
    if masked:
        tensors["attention_mask"] = (torch.arange(17)[None] < torch.tensor([17, 9, 3, 16, 12])[:, None]).long()
    return tensors


def loss_and_gradients(module: nn.Module, output: object, names: tuple[str, ...]) -> tuple[list, dict]:
    """Return the outputs, and every weight's gradient of an uneven sum of them."""
    module.zero_grad()
    outputs = [getattr(output, name).float() for name in names]
    weights = [torch.linspace(-1, 1, one.numel()).view(one.shape) for one in outputs]
    sum((one.sin() * weight).sum() for one, weight in zip(outputs, weights, strict=True)).backward()
    gradients = {name: one.grad.clone() for name, one in module.named_parameters() if one.grad is not None}
    return [one.detach() for one in outputs], gradients


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("kind", HEADS, ids=lambda kind: kind.__name__)
def test_it_computes_what_transformers_computes(kind: type[nn.Module], masked: bool):
    module, tensors, names = small(kind), batch(masked=masked), HEADS[kind]
    assert bert.applies(module)
    outputs, gradients = loss_and_gradients(module, bert.run(module, tensors), names)
    wanted, slopes = loss_and_gradients(module, module(**tensors), names)
    seen = tensors.get("attention_mask", torch.ones(5, 17)).bool()
    for one, other in zip(outputs, wanted, strict=True):
        # What stands at a place that is only filling is nobody's answer.
        keep = seen if one.shape[:2] == seen.shape else slice(None)
        torch.testing.assert_close(one[keep], other[keep], atol=1e-5, rtol=1e-4)
    if not masked:
        assert gradients.keys() == slopes.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, slopes[name], atol=2e-4, rtol=1e-3, msg=name)


def test_in_bf16_it_is_as_near_the_truth_as_autocast():
    module, tensors = small(BertForSequenceClassification), batch(masked=True)
    labels = torch.tensor([0, 1, 2, 0, 1])

    def gradient(forward: object, bf16: bool) -> torch.Tensor:
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            F.cross_entropy(forward().logits.float(), labels).backward()
        return torch.cat([one.grad.flatten() for one in module.parameters() if one.grad is not None])

    truth = gradient(lambda: module(**tensors), bf16=False)
    ours = (gradient(lambda: bert.run(module, tensors), bf16=True) - truth).norm() / truth.norm()
    theirs = (gradient(lambda: module(**tensors), bf16=True) - truth).norm() / truth.norm()
    assert ours < max(2 * theirs, 0.02)


def test_it_stands_aside_where_it_would_compute_something_else():
    assert not bert.applies(small(BertForSequenceClassification, hidden_dropout_prob=0.1))
    assert bert.applies(small(BertForSequenceClassification, hidden_dropout_prob=0.1).eval())
    assert not bert.applies(small(BertForSequenceClassification, hidden_act="relu"))

    class Wrapped(nn.Linear):
        """A linear layer that does something more."""

    module = small(BertForSequenceClassification)
    module.bert.encoder.layer[0].attention.self.query = Wrapped(32, 32)
    assert not bert.applies(module)
