"""Kept states of frozen layers: the same numbers as the whole encoder, and nothing kept that still learns."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from noria.core.progress import Report
from noria.make.kernels import bert
from noria.make.models.adapt import adapt, freeze
from noria.make.models.adapt_settings import AdapterSettings
from noria.make.tokens.batches import Batch
from noria.make.training.finetune import examples, frozen_states
from noria.make.training.finetune.examples import Examples
from noria.tasks.padding import Padding
from noria.tasks.task import Features

QUIET = Report(stream=io.StringIO())


def texts() -> Examples:
    draw = np.random.default_rng(0)
    features = [
        Features([1, *draw.integers(3, 50, length).tolist(), 2], [], {"text": ""}) for length in (5, 3, 11, 2, 8, 3)
    ]
    return Examples([{}] * 6, features, [0, 1, 0, 1, 1, 0], list(range(6)), [len(one.ids) for one in features])


def small(*, frozen: int, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    module = BertForSequenceClassification(
        BertConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=24,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=0.0,
            num_labels=2,
        )
    ).train()
    freeze(module, frozen)
    adapt(module, AdapterSettings(kind="lora", rank=4), seed=1)
    return module


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_batches_of_kept_states_give_the_logits_of_the_texts(bf16: bool, tmp_path: Path):
    module, rows = small(frozen=2), texts()
    collate = partial(examples.texts, rows, Padding())
    assert frozen_states.can_precompute(module, 2, rows, tmp_path, bf16=bf16)
    together = [np.array([4, 0]), np.array([1, 3, 5]), np.array([2])]
    with_states = frozen_states.precompute(collate, module, 2, rows, together, tmp_path, bf16=bf16)
    assert not list(tmp_path.iterdir())
    for numbers in (np.array([0, 1, 2]), np.array([5, 3]), np.array([4])):
        whole, kept = collate(numbers), with_states(numbers)
        assert (kept.rows, kept.tokens, kept.share) == (whole.rows, whole.tokens, whole.share)
        assert torch.equal(kept.tensors.pop("labels"), whole.tensors.pop("labels"))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found, wanted = bert.run(module, kept.tensors).logits, bert.run(module, whole.tensors).logits
        torch.testing.assert_close(found, wanted, atol=2e-2 if bf16 else 1e-5, rtol=1e-2 if bf16 else 1e-5)
        found.sum().backward()
    assert module.bert.encoder.layer[2].output.dense.adapters["default"].up.grad.abs().sum() > 0


def test_states_are_the_same_bits_whichever_batch_asks_first(tmp_path: Path):
    found, together = [], [np.array([4, 0, 3]), np.array([1, 2, 5])]
    for asked in ([np.array([0, 1]), np.array([2, 3, 4, 5])], [np.array([5, 4, 3, 2]), np.array([1])], []):
        module, rows = small(frozen=1), texts()
        with_states = frozen_states.precompute(
            partial(examples.texts, rows, Padding()), module, 1, rows, together, tmp_path, bf16=True
        )
        for numbers in asked:
            with_states(numbers)
        found.append(with_states(np.arange(6)).tensors["states"])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_nothing_is_kept_of_layers_that_learn_or_drop_or_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = texts()
    assert frozen_states.can_precompute(small(frozen=2), 2, rows, tmp_path, bf16=True)
    assert not frozen_states.can_precompute(small(frozen=1), 2, rows, tmp_path, bf16=True)
    assert not frozen_states.can_precompute(small(frozen=2), 0, rows, tmp_path, bf16=True)
    assert not frozen_states.can_precompute(small(frozen=2, dropout=0.1), 2, rows, tmp_path, bf16=True)
    assert not frozen_states.can_precompute(small(frozen=2, dropout=0.1).eval(), 2, rows, tmp_path, bf16=True)
    monkeypatch.setattr(frozen_states, "ROOM", 0.0)
    assert not frozen_states.can_precompute(small(frozen=2), 2, rows, tmp_path, bf16=True)


def test_fine_tuning_takes_it_where_it_pays_and_learns_the_same(tmp_path: Path):
    from noria.make.training.finetune.fit import fit
    from noria.make.training.settings import BodySettings, FinetuneSettings
    from noria.tasks.task import task_for

    task, rows = task_for("classify", ["a", "b"]), texts()
    settings = FinetuneSettings(
        steps=4, tokens_per_batch=64, number_type="fp32", body=BodySettings(frozen=2), learning_rate=1e-2
    )
    collate = partial(examples.texts, rows, Padding())
    weights = []
    for frozen in (2, 0):
        module, asked = small(frozen=2), settings.replace(body=BodySettings(frozen=frozen))
        used = frozen_states.with_frozen_states(collate, task, module, rows, asked, tmp_path, bf16=False)
        assert (used is not collate) == bool(frozen)
        fit(task, module, None, rows, None, tmp_path / "work", asked, QUIET)
        weights.append(dict(module.named_parameters()))
    for name, one in weights[0].items():
        torch.testing.assert_close(one, weights[1][name], atol=1e-4, rtol=1e-3, msg=name)
    once = settings.replace(steps=1)
    assert frozen_states.with_frozen_states(collate, task, small(frozen=2), rows, once, tmp_path, bf16=False) is collate


def test_of_some_rows_no_others_are_computed(tmp_path: Path) -> None:
    module, rows, asked = small(frozen=2).eval(), texts(), set[int]()

    def collate(numbers: np.ndarray) -> Batch:
        asked.update(numbers.tolist())
        return examples.texts(rows, Padding(), numbers)

    together = [np.array([4, 0, 1]), np.array([3, 5, 2])]
    kept = frozen_states.precompute(collate, module, 2, rows, together, tmp_path, bf16=False)
    some = rows.some(2)
    found = kept.only(some).outputs(module, some)
    assert len(asked) == 2
    whole = kept.outputs(module, some)
    assert len(asked) == 6
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
