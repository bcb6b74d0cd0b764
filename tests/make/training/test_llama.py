"""The fast Llama and the chunked cross-entropy compute what transformers and torch compute."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from noria.make.kernels import llama, llama_attention
from noria.make.kernels.cross_entropy import CHUNK, cross_entropy
from noria.make.models.sizes import causal as causal_config
from noria.make.tokens.batches import Batch
from noria.make.training.objectives.language_modeling import causal, isolation


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM(causal_config(400_000, 500, 48))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5)
    return model


@pytest.fixture(scope="module")
def batch() -> Batch:
    random = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 500, (3, 48), generator=random)
    documents = torch.randint(0, 4, (3, 48), generator=random).sort(dim=1).values
    targets = ids.roll(-1, 1)
    targets[:, ::7] = -100
    return Batch({"input_ids": ids, "targets": targets, "documents": documents}, [0, 1, 2], ids.numel())


def gradients(model: LlamaForCausalLM, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def reference(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    seen = isolation(batch.tensors["documents"])
    logits = model(input_ids=batch.tensors["input_ids"], attention_mask=seen, use_cache=False).logits
    return F.cross_entropy(logits.float().flatten(0, 1), batch.tensors["targets"].flatten(), reduction="sum")


@pytest.mark.parametrize("blocks", [(128, 1024), (20, 96)])
@pytest.mark.parametrize(("bf16", "tolerance"), [(False, 1e-5), (True, 0.04)])
def test_loss_and_gradients_are_those_of_transformers(
    model: LlamaForCausalLM,
    batch: Batch,
    bf16: bool,
    tolerance: float,
    blocks: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A small model in one block and one chunk, and in several.
    monkeypatch.setattr(llama_attention, "BLOCK", blocks[0])
    monkeypatch.setattr(llama, "CHUNK", blocks[1])
    assert llama.applies(model)
    wanted = reference(model, batch)
    expected = gradients(model, wanted)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss, weight = causal(model, batch)
    assert weight == int((batch.tensors["targets"] != -100).sum())
    assert loss.item() == pytest.approx(wanted.item(), rel=tolerance / 10)
    for name, gradient in gradients(model, loss).items():
        assert (gradient - expected[name]).norm() <= tolerance * expected[name].norm(), name


def test_a_document_does_not_see_its_neighbour(model: LlamaForCausalLM, batch: Batch) -> None:
    ids, documents = batch.tensors["input_ids"], batch.tensors["documents"]
    changed = torch.where(documents == 0, (ids + 1) % 500, ids)
    seen = isolation(documents)
    with torch.no_grad():
        left = llama.hidden_states(model, ids, seen, torch.float32)
        right = llama.hidden_states(model, changed, seen, torch.float32)
    assert torch.equal(left[documents != 0], right[documents != 0])
    assert not torch.equal(left[documents == 0], right[documents == 0])


def test_other_shapes_go_the_plain_way(batch: Batch) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=500,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=48,
    )
    model = LlamaForCausalLM(config)
    assert not llama.applies(model)
    assert causal(model, batch)[0].item() == pytest.approx(reference(model, batch).item(), rel=1e-5)


def test_chunked_cross_entropy_is_torchs() -> None:
    random = torch.Generator().manual_seed(2)
    hidden = torch.randn(CHUNK + 37, 16, generator=random, requires_grad=True)
    weight = torch.randn(90, 16, generator=random, requires_grad=True)
    targets = torch.randint(0, 90, (CHUNK + 37,), generator=random)
    wanted = F.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    expected = torch.autograd.grad(3 * wanted, (hidden, weight))
    loss = cross_entropy(hidden, weight, targets)
    found = torch.autograd.grad(3 * loss, (hidden, weight))
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    for left, right in zip(found, expected, strict=True):
        assert torch.allclose(left, right, rtol=1e-3, atol=1e-4)


def test_dropout_drops_its_share_and_its_gradient_is_that_of_what_it_kept(
    model: LlamaForCausalLM, batch: Batch
) -> None:
    def run(dropout: float) -> tuple[float, dict[str, torch.Tensor]]:
        torch.manual_seed(3)
        model.train()
        with torch.enable_grad():
            loss, _ = causal(model, batch, dropout=dropout)
            return loss.item(), gradients(model, loss)

    kept = llama._kept(torch.Size([1000, 101]), 0.2, torch.float32)
    assert (kept == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert kept.mean().item() == pytest.approx(1, abs=0.01)
    loss, slopes = run(0.3)
    assert loss == run(0.3)[0] != run(0.0)[0]
    weight = model.model.layers[0].mlp.up_proj.weight
    direction = torch.sign(slopes["model.layers.0.mlp.up_proj.weight"])
    with torch.no_grad():
        weight.add_(direction, alpha=1e-3)
        above = run(0.3)[0]
        weight.sub_(direction, alpha=2e-3)
        below = run(0.3)[0]
        weight.add_(direction, alpha=1e-3)
    wanted = float((slopes["model.layers.0.mlp.up_proj.weight"] * direction).sum())
    assert (above - below) / 2e-3 == pytest.approx(wanted, rel=0.02)
    plain = run(0.0)[0]
    model.eval()
    assert causal(model, batch, dropout=0.3)[0].item() == pytest.approx(plain, rel=1e-6)


def test_a_wrapped_matrix_goes_the_plain_way(model: LlamaForCausalLM) -> None:
    class Wrapped(torch.nn.Linear):
        pass

    layer = model.model.layers[0].mlp
    plain, layer.up_proj = layer.up_proj, Wrapped(4, 4)
    try:
        assert not llama.applies(model)
    finally:
        layer.up_proj = plain
