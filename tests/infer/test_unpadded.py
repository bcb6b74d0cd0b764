"""Texts laid end to end: transformers' own answers, for every head, in any number type, beside whatever neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from noria.infer.choose import open_engine
from noria.infer.engine import answer
from noria.infer.unpadded import Unpadded, applies, ranges, smoothing
from noria.make.evaluate.predict import predict
from noria.tasks.task import Features

HEADS = ("SequenceClassification", "TokenClassification", "QuestionAnswering", "")
NEAR = {"float32": 1e-5, "bfloat16": 0.2, "int8": 0.4}
"""How far logits of about one may be from the exact ones."""
POSITIONS = 24


def bert(head: str, **changes: object) -> nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        num_labels=3 if head != "QuestionAnswering" else 2,
        initializer_range=0.2,
        **changes,
    )
    return getattr(transformers, f"BertFor{head}" if head else "BertModel")(config).eval()


MODULES = {head: bert(head) for head in HEADS}


def alone(module: nn.Module, text: list[int], types: list[int]) -> np.ndarray:
    """Return what transformers gives for one text by itself."""
    with torch.inference_mode():
        output = module(input_ids=torch.tensor([text]), token_type_ids=torch.tensor([types]))
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)[0].numpy()
    return (output.logits if "logits" in output else output.last_hidden_state)[0].numpy()


pairs = st.lists(st.tuples(st.integers(0, 49), st.integers(0, 1)), min_size=1, max_size=POSITIONS)


@pytest.mark.parametrize("number", NEAR)
@pytest.mark.parametrize("head", HEADS)
@settings(max_examples=12, deadline=None)
@given(texts=st.lists(pairs, min_size=1, max_size=6))
def test_texts_of_any_lengths_get_what_each_gets_alone(head: str, number: str, texts: list[list[tuple[int, int]]]):
    module = MODULES[head]
    ids, types = ([[one[part] for one in text] for text in texts] for part in (0, 1))
    found = Unpadded(module, number)(ids, types)
    for text, kinds, values in zip(ids, types, found, strict=True):
        wanted = alone(module, text, kinds)
        assert values.shape == wanted.shape
        assert np.abs(values - wanted).max() < NEAR[number] * max(1, np.abs(wanted).max())


def test_outliers_of_activations_are_moved_into_the_matrices():
    """One column of all states a hundred times the others: without, 8 bits hold little of the others."""
    module = bert("")
    for layer in module.encoder.layer:
        for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm):
            norm.weight.data[3] *= 100.0
    texts = [[1, 5, 9, 2], [3, 4], [7, 8, 9, 1, 2, 3], [11, 12, 13]]
    exact, coarse, smooth = (
        np.concatenate(run(texts))
        for run in (
            Unpadded(module),
            Unpadded(module, "int8"),
            Unpadded(module, "int8", smoothing(ranges(module, [texts]))),
        )
    )
    errors = [np.abs(one - exact)[:, :3].mean() for one in (coarse, smooth)]
    assert errors[1] < 0.7 * errors[0]


def test_what_it_does_not_compute_it_does_not_take():
    for changes in ({"hidden_act": "relu"}, {"is_decoder": True}):
        assert not applies(bert("", **changes))
    assert not applies(bert("SequenceClassification").train())
    changed = bert("SequenceClassification")
    changed.bert.encoder.layer[0].output.dense.register_forward_hook(lambda module, given, y: 2 * y)
    assert not applies(changed)
    assert not applies(nn.Linear(3, 3))


@pytest.mark.parametrize("head", HEADS)
def test_judging_gives_what_each_text_gets_alone_whichever_pass_it_takes(head: str):
    """A module with another activation goes by transformers' own pass, padded."""
    texts = [[1, 5, 9, 2], [3], [7, 8, 9, 1, 2, 3], [4, 4]]
    features = [Features(text, [], {}) for text in texts]
    for module in (MODULES[head], bert(head, hidden_act="relu")):
        for text, values in zip(texts, predict(module, features, tokens_per_batch=8), strict=True):
            np.testing.assert_allclose(values, alone(module, text, [0] * len(text)), atol=1e-5)


@pytest.mark.parametrize("fast", [True, False])
def test_many_texts_are_rounded_only_where_that_is_faster(
    embedder: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr("noria.infer.torch.bf16_is_fast", lambda: fast)
    texts = ["物流很快", "It broke after two days, and nobody answers."]
    exact, rounded = (open_engine(embedder, prefer="torch", rounded=one) for one in (False, True))
    assert (exact.kind, rounded.kind) == ("torch", "packed" if fast else "torch")
    vectors = [np.array([one["embedding"] for one in answer(engine, texts)]) for engine in (exact, rounded)]
    assert ((vectors[0] * vectors[1]).sum(axis=1) > 0.99).all()
