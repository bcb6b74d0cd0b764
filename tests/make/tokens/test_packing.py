"""Packed examples: whole, each once an epoch, rows nearly full, and every loss as if each stood alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from noria.core.errors import InputError
from noria.make.tokens.batches import IGNORED, Sharded
from noria.make.tokens.packing import PackedExamples, packed, seen

VOCABULARY, WIDTH = 60, 32


def examples(count: int, most: int = 20) -> dict[str, list[list[int]]]:
    random = np.random.default_rng(7)
    ids = [random.integers(3, VOCABULARY, random.integers(2, most + 1)).tolist() for _ in range(count)]
    targets = [[one if random.random() < 0.6 else IGNORED for one in example] for example in ids]
    return {"input_ids": ids, "targets": targets}


@given(st.lists(st.integers(1, 30), min_size=1, max_size=200), st.integers(30, 64), st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_every_example_is_packed_once_and_fits(lengths: list[int], context: int, seed: int):
    rows = packed(np.array(lengths), context, np.random.default_rng(seed))
    assert sorted(example for row in rows for example in row) == list(range(len(lengths)))
    sums = sorted(sum(lengths[example] for example in row) for row in rows)
    assert sums[-1] <= context
    assert len(sums) < 2 or sums[0] + sums[1] > context  # two half-empty rows would have been one


def test_rows_are_nearly_full():
    lengths = np.random.default_rng(0).integers(5, 120, 4_000)
    rows = packed(lengths, 512, np.random.default_rng(0))
    assert lengths.sum() > 0.98 * 512 * len(rows)


def test_a_batch_says_where_everything_stands():
    columns = examples(40)
    batches = PackedExamples(columns, context=48, rows=3, seed=1)
    found = {}
    for step in range(batches.steps_per_epoch):
        (batch,) = batches.at(step)
        tensors = {name: tensor.numpy() for name, tensor in batch.tensors.items()}
        assert batch.tokens == (tensors["documents"] >= 0).sum()
        numbers = iter(batch.rows)
        for line, documents in enumerate(tensors["documents"]):
            for number in range(documents.max() + 1):
                example, where = next(numbers), documents == number
                assert tensors["position_ids"][line][where].tolist() == list(range(where.sum()))
                found[example] = (tensors["input_ids"][line][where].tolist(), tensors["targets"][line][where].tolist())
        empty = tensors["documents"] < 0
        assert (tensors["targets"][empty] == IGNORED).all()
    assert found == dict(enumerate(zip(columns["input_ids"], columns["targets"], strict=True)))


def test_any_step_can_be_asked_for_at_any_time():
    columns = examples(90)
    walked = PackedExamples(columns, context=40, rows=4, seed=3)
    wanted = [walked.at(step)[0].tensors["input_ids"].tolist() for step in range(3 * walked.steps_per_epoch)]
    jumped = PackedExamples(columns, context=40, rows=4, seed=3)
    for step in (len(wanted) - 1, 0, 5, len(wanted) // 2, len(wanted) - 2):
        assert jumped.at(step)[0].tensors["input_ids"].tolist() == wanted[step]
    assert walked.fingerprint == jumped.fingerprint != PackedExamples(columns, context=40, rows=4, seed=4).fingerprint
    assert wanted[0] != wanted[walked.steps_per_epoch]


@pytest.mark.parametrize("world", [2, 3])
def test_parts_of_a_step_are_the_step(world: int):
    batches = PackedExamples(examples(50), context=48, rows=5, seed=0)
    for step in range(batches.steps_per_epoch):
        (whole,) = batches.at(step)
        shares = [Sharded(batches, rank, world).at(step)[0] for rank in range(world)]
        lines = [line for share in shares if share.tokens for line in share.tensors["input_ids"].tolist()]
        assert sorted(lines) == sorted(whole.tensors["input_ids"].tolist())
        assert sum(share.tokens for share in shares) == whole.tokens


def decoder() -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            attn_implementation="sdpa",
        )
    ).eval()


def encoder() -> torch.nn.Module:
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    return BertForMaskedLM(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            attn_implementation="sdpa",
        )
    ).eval()


@pytest.mark.parametrize(("make", "causal"), [(decoder, True), (encoder, False)], ids=["decoder", "encoder"])
def test_loss_and_gradient_are_those_of_examples_alone(make, causal: bool):
    columns, module = examples(30), make()
    assert module.config._attn_implementation == "sdpa"
    total, count = torch.zeros(()), 0
    for ids, targets in zip(*columns.values(), strict=True):
        logits = module(torch.tensor([ids])).logits[0]
        total = total + F.cross_entropy(logits, torch.tensor(targets), ignore_index=IGNORED, reduction="sum")
        count += sum(target != IGNORED for target in targets)
    total.backward()
    alone = {name: one.grad.clone() for name, one in module.named_parameters() if one.grad is not None}
    module.zero_grad()
    batches, together = PackedExamples(columns, context=48, rows=4, seed=0), torch.zeros(())
    for step in range(batches.steps_per_epoch):
        tensors = batches.at(step)[0].tensors
        logits = module(
            input_ids=tensors["input_ids"],
            attention_mask=seen(tensors["documents"], causal=causal),
            position_ids=tensors["position_ids"],
        ).logits
        together = together + F.cross_entropy(
            logits.flatten(0, 1), tensors["targets"].flatten(), ignore_index=IGNORED, reduction="sum"
        )
    together.backward()
    assert abs(together.item() - total.item()) / count < 1e-5
    for name, one in module.named_parameters():
        if name in alone:
            torch.testing.assert_close(one.grad / count, alone[name] / count, atol=1e-6, rtol=1e-4)


def test_bad_examples_are_plain_errors():
    with pytest.raises(InputError, match="no example to pack"):
        PackedExamples({"input_ids": []}, context=8, rows=1, seed=0)
    with pytest.raises(InputError, match="example 1 does not fit a row: found 9; allowed 1 to 8 tokens"):
        PackedExamples({"input_ids": [[1], [1] * 9]}, context=8, rows=1, seed=0)
    with pytest.raises(InputError, match="column 'targets' does not fit the tokens"):
        PackedExamples({"input_ids": [[1, 2]], "targets": [[1]]}, context=8, rows=1, seed=0)
