"""Every encoder family of the installed transformers: tuned, and then the same answers as its own forward, or refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoder_families import heads_of, make_base, names
from tiny_models import LABELS, TEXTS

from noria.core.errors import FolderError
from noria.make.evaluate.predict import predict
from noria.make.models.load import load, quiet_transformers
from noria.make.tokens.tokenizer import copy_tokenizer
from noria.make.training.finetune.examples import Examples
from noria.make.training.finetune.heads import training_of_head
from noria.make.training.finetune.prepare import prepare_model
from noria.make.training.settings import FinetuneSettings
from noria.tasks.padding import padding_of, usable_length
from noria.tasks.task import Features, Task, task_for

LENGTH = 48
PAIRED = "is of the wrong kind"
REFUSED: dict[str, str] = {
    "bros": "bbox",
    "lxmert": "visual_feats",
    "reformer": "axial_pos_shape",
    "perceiver embed": "'inputs'",
    "t5gemma classify": "changes with what fills it up",
    **{
        f"{name} embed": PAIRED
        for name in (
            "bart",
            "bigbird_pegasus",
            "led",
            "mbart",
            "mt5",
            "mvp",
            "plbart",
            "t5",
            "t5gemma",
            "umt5",
        )
    },
}
"""Family, or family and task -> part of what is said of it: boxes or pictures beside the text, lengths of one kind only, no
mask in its decoder, or an encoder-decoder, which has no states of a text alone."""
NOT_BUILT = {
    "layoutlmv2": "needs the package detectron2",
    "mistral4": "sizes that are not small",
    "nemotron": "sizes that are not small",
    "t5gemma2": "pictures, in sizes that are not small",
    "zamba": "six layers or more",
    "zamba2": "six layers or more",
}
"""Families that cannot be made tiny here, and why."""
ROWS: dict[str, list[dict[str, Any]]] = {
    "classify": [{"text": text, "label": LABELS[place % 2]} for place, text in enumerate(TEXTS)],
    "tag": [{"text": text, "spans": [{"start": 0, "end": 2, "label": "X"}]} for text in TEXTS],
    "answer": [{"context": text, "question": "谁？", "answers": [{"text": text[:2], "start": 0}]} for text in TEXTS],
    "embed": [{"anchor": one, "positive": other} for one, other in zip(TEXTS, TEXTS[::-1], strict=True)],
}
AUTO = {
    "sequence": "AutoModelForSequenceClassification",
    "token": "AutoModelForTokenClassification",
    "span": "AutoModelForQuestionAnswering",
    "embedding": "AutoModel",
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep transformers quiet, and PyTorch's remarks on old ways of some families."""
    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read(task: Task, tokenizer: Any) -> list[Features]:
    """Return the windows of some rows of unlike length, as the model sees them."""
    rows = ROWS[task.name][::3]
    return [task.windows(tokenizer, row["anchor"] if task.name == "embed" else row, LENGTH)[0] for row in rows]


def alone(folder: Path, task: Task, features: list[Features]) -> list[np.ndarray]:
    """Return what plain transformers gives for each text by itself."""
    import transformers

    module = getattr(transformers, AUTO[task.head]).from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    for one in features:
        types = {"token_type_ids": torch.tensor([one.types])} if one.types and padding_of(module.config).types else {}
        with torch.no_grad():
            output = module(input_ids=torch.tensor([one.ids]), **types)
        if task.head == "span":
            found.append(torch.stack([output.start_logits, output.end_logits], dim=-1)[0].numpy())
        else:
            found.append((output.last_hidden_state if task.head == "embedding" else output.logits)[0].numpy())
    return found


def tuned(base: Path, name: str, target: Path) -> None:
    """Tune a base by one step and hold its answers against plain transformers'; raises where it is refused."""
    task = task_for(name, LABELS if name == "classify" else ["X"] if name == "tag" else [])
    settings = FinetuneSettings(max_length=LENGTH)
    module, tokenizer = prepare_model(task, base, settings, ROWS[name])
    examples = Examples.of(task, tokenizer, ROWS[name], LENGTH)
    way = training_of_head(task, examples)
    module.train()
    loss, _ = way.loss(module, way.collate(examples, padding_of(module.config), np.arange(len(TEXTS))))
    loss.backward()
    slopes = [one.grad for one in module.parameters() if one.grad is not None]
    assert sum(float(slope.abs().sum()) for slope in slopes) > 0
    torch.optim.SGD(module.parameters(), lr=1e-3).step()
    module.eval()
    module.save_pretrained(target)
    copy_tokenizer(base, target)
    if name != "answer":  # a reader looks for its separators
        longest = min(usable_length(module.config) or 200, 200)
        assert np.isfinite(predict(module, [Features([9] * (longest - 1) + [2], [(0, 0)] * longest, {})])[0]).all()
    features = read(task, tokenizer)
    together, wanted = predict(module, features), alone(target, task, features)
    other_order = predict(module, features[::-1])[::-1]
    again, _ = load(target, task.head, task.outputs)
    for ours, theirs, turned, loaded in zip(together, wanted, other_order, predict(again, features), strict=True):
        scale = max(1.0, float(np.abs(theirs).max()))
        assert ours.shape == theirs.shape
        for one in (ours, turned, loaded):
            np.testing.assert_allclose(one / scale, theirs / scale, atol=2e-4)


def test_the_families_set_aside_exist():
    assert {*NOT_BUILT, *(one.split()[0] for one in REFUSED)} <= set(names())
    assert len(names()) - len(NOT_BUILT) > 100


@pytest.mark.parametrize("name", sorted(set(names()) - set(NOT_BUILT)))
def test_a_family_is_tuned_or_refused_by_name(name: str, tmp_path: Path):
    base = make_base(name, tmp_path / "base")
    for task in [*heads_of(name), "embed"]:
        known = REFUSED.get(f"{name} {task}", REFUSED.get(name))
        if known is None:
            tuned(base, task, tmp_path / task)
            continue
        with pytest.raises(FolderError, match=known) as caught:
            tuned(base, task, tmp_path / task)
        assert name in str(caught.value)
