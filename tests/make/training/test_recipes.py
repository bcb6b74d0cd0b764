"""Recipes: the deepest that sees enough epochs is chosen, its first head is fitted, and a killed run goes on with the same bits."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_models import make_encoder
from torch.nn import functional as F

from noria.core.errors import SettingError
from noria.core.folder import read_manifest
from noria.core.progress import Report
from noria.make.kernels import bert
from noria.make.models.load import load
from noria.make.training.finetune.begin import Beginning
from noria.make.training.finetune.choice import (
    ALL_EPOCHS,
    FITTING,
    LEAST_ROWS,
    LEAST_SHARE,
    TEXT_EPOCHS,
    TOP_EPOCHS,
    Costs,
    choose,
)
from noria.make.training.finetune.first_head import PooledReader, mean_layer
from noria.make.training.finetune.linear_head import fit_head
from noria.make.training.finetune.recipe import finetune
from noria.make.training.loop.result import Evaluation
from noria.make.training.settings import BodySettings, FinetuneSettings
from noria.tasks.task import task_for, task_of

QUIET = Report.silent()
PLACES, PERSONS = ["北京", "上海", "Rome", "Paris"], ["王明", "李红", "Anna", "Bob"]
WORDS = {"good": ["很好", "喜欢", "great"], "bad": ["太差", "失望", "awful"], "so": ["一般", "还行", "fair"]}
SETTINGS = FinetuneSettings(minutes=0.06, max_length=32, number_type="fp32", tokens_per_batch=256, evaluations=2)


def opinions(file: Path, count: int, labels: str = "good bad so", *, many: bool = False) -> Path:
    """Write rows whose label shows in one word."""
    draw = random.Random(str(file))
    rows = []
    for _ in range(count):
        label = draw.choice(labels.split())
        text = f"{draw.choice(['这本书', 'the film'])} {draw.choice(WORDS[label])}"
        rows.append({"text": text, "labels": [label]} if many else {"text": text, "label": label})
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def sentences(file: Path, count: int) -> Path:
    """Write rows of persons and places."""
    draw, rows = random.Random(str(file)), []
    for _ in range(count):
        person, place = draw.choice(PERSONS), draw.choice(PLACES)
        text = f"昨天{person}去了{place}。"
        spans = [
            {"start": text.index(one), "end": text.index(one) + len(one), "label": label}
            for one, label in ((person, "PER"), (place, "LOC"))
        ]
        rows.append({"text": text, "spans": spans})
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder with random weights."""
    return make_encoder(tmp_path_factory.mktemp("tiny") / "base", "embed", [], 2, compiled=False)


COSTS = st.builds(
    Costs,
    depth=st.integers(1, 48),
    forward=st.floats(1e-7, 1e-2),
    step=st.floats(1e-6, 1e-1),
    tokens=st.integers(10, 10**8),
    rows=st.integers(1, 10**7),
    kept=st.booleans(),
)


@given(costs=COSTS, seconds=st.floats(0.1, 1e6))
def test_the_deepest_recipe_that_fits_is_taken_and_more_time_never_takes_fewer_rows(costs: Costs, seconds: float):
    found = choose(costs, lambda layers: seconds)
    assert 1 <= found.layers <= costs.depth
    assert 0 <= found.learning <= found.layers
    time = (1 - FITTING) * seconds
    if found.learning:
        whole = found.learning == costs.depth > 2
        assert found.epochs >= (ALL_EPOCHS if whole else min(TOP_EPOCHS, TEXT_EPOCHS))
        # All layers learn with a head that knows nothing: no row is read before the first step.
        read = costs.head(found.layers) if found.learning < costs.depth else 0.0
        spent = found.share * (read + found.epochs * costs.epoch(found.layers, found.learning))
        least = min(1.0, LEAST_ROWS / costs.rows)
        assert spent == pytest.approx(time, rel=1e-6) or found.share == pytest.approx(least) or costs.depth <= 2
    if found.share < 1:
        # There is no time for all rows and the top fifth of the layers.
        assert costs.head(costs.depth) + costs.epoch(costs.depth, max(1, round(costs.depth / 5))) > time
    if not found.learning:
        assert found.share >= LEAST_SHARE or found.layers == max(1, round(2 / 3 * costs.depth))
    more = choose(costs, lambda layers: 4 * seconds)
    assert (more.learning, more.layers) >= (found.learning, found.layers) or more.share >= found.share
    assert (more.learning > 0) >= (found.learning > 0)
    token = choose(costs, lambda layers: seconds, by_token=True)
    assert token.learning >= 1
    assert 0 < token.share <= 1
    assert choose(costs, lambda layers: seconds, wanted="head").learning == 0
    assert choose(costs, lambda layers: seconds, wanted="top").learning >= 1


@pytest.mark.parametrize("many", [False, True], ids=["one label", "many labels"])
def test_a_linear_head_is_where_its_penalised_loss_has_no_slope(many: bool):
    torch.manual_seed(0)
    features = torch.randn(300, 6) * torch.tensor([1.0, 5.0, 0.1, 1.0, 1.0, 1.0]) + 3
    classes = (features @ torch.randn(6, 4)).argmax(1)
    targets = F.one_hot(classes, 4).float() if many else classes
    # No valid row has the last label.
    known = classes[200:] < 3
    head = fit_head(features[:200], targets[:200], features[200:][known], targets[200:][known], 4)
    scaled = (features[:200] - features[:200].mean(0)) / features[:200].std(0, correction=0)
    weight = (head.weight * features[:200].std(0, correction=0)).requires_grad_()
    bias = (head.bias + head.weight @ features[:200].mean(0)).requires_grad_()
    logits = scaled @ weight.T + bias
    loss = F.binary_cross_entropy_with_logits(logits, targets[:200], reduction="sum") / 200 if many else None
    loss = F.cross_entropy(logits, targets[:200]) if loss is None else loss
    (loss + head.strength / 2 * weight.square().sum()).backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert float(weight.grad.abs().max()) < 2e-3
    assert float(bias.grad.abs().max()) < 2e-3
    right = (features[200:] @ head.weight.T + head.bias).argmax(1) == classes[200:]
    assert float(right[known].float().mean()) > 0.8


def test_a_layer_more_gives_the_mean_of_all_tokens_to_the_first(base: Path):
    module, _ = load(base, "sequence", ["a", "b"])
    reader = PooledReader(module, "classifier")
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    mask = (torch.arange(4)[None] < torch.tensor([[4], [2]])).long()
    tensors = {"input_ids": ids, "attention_mask": mask}
    with torch.no_grad():
        states = bert.hidden_states(module.bert, tensors, torch.float32)
        mean = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        found = reader.features(tensors, torch.float32)["mean"]
        torch.testing.assert_close(found, F.layer_norm(mean, mean.shape[1:]), atol=0.2, rtol=0.1)
        module.bert.encoder.layer.append(mean_layer(module.bert))
        module.config.num_hidden_layers += 1
        plain = module.bert(**tensors).last_hidden_state[:, 0]
    torch.testing.assert_close(found, plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("recipe", ["head", "top"])
@pytest.mark.parametrize("task", ["classify", "many", "tag"])
def test_what_a_recipe_writes_is_loaded_by_plain_transformers(recipe: str, task: str, base: Path, tmp_path: Path):
    import transformers

    make = sentences if task == "tag" else opinions
    extra = {"many": True} if task == "many" else {}
    files = [make(tmp_path / f"{name}.jsonl", count, **extra) for name, count in (("train", 150), ("valid", 40))]
    # One label is missing among the valid rows.
    if task == "classify":
        opinions(files[1], 40, "good bad")
    made = task_for("tag") if task == "tag" else task_for("classify", **extra)
    out = finetune(made, base, *files, tmp_path / "out", SETTINGS.replace(recipe=recipe), QUIET)
    facts = read_manifest(out).facts
    assert (facts["steps"] > 0) == (recipe == "top") == (facts["recipe"]["learning"] > 0)
    assert facts["metrics"][0]["value"] > 0.85
    assert facts["epochs"] >= 1
    assert not list(tmp_path.glob(".out*"))
    kind = "AutoModelForTokenClassification" if task == "tag" else "AutoModelForSequenceClassification"
    plain = getattr(transformers, kind).from_pretrained(out).eval()
    module, tokenizer = load(out, "token" if task == "tag" else "sequence")
    features = task_of(read_manifest(out)).features(tokenizer, "昨天王明去了Rome 很好", 32)
    with torch.no_grad():
        ids = torch.tensor([features.ids])
        torch.testing.assert_close(plain(input_ids=ids).logits, module(input_ids=ids).logits)


def test_it_never_ends_worse_than_its_first_head(base: Path, tmp_path: Path):
    files = [opinions(tmp_path / f"{name}.jsonl", count) for name, count in (("train", 200), ("valid", 60))]
    ruinous = SETTINGS.replace(recipe="top", learning_rate=1.0)
    out = finetune(task_for("classify"), base, *files, tmp_path / "out", ruinous, QUIET)
    facts = read_manifest(out).facts
    scores = facts["curves"]["valid"]
    assert [scores[0][0], len(scores)] == [0, 3]
    assert facts["valid"][0]["value"] == pytest.approx(max(score for _, score in scores), abs=1e-6)
    assert facts["metrics"][0]["value"] > 0.85


@pytest.mark.parametrize("recipe", ["top", "auto"])
def test_a_killed_run_ends_with_the_bits_of_one_that_began_with_the_same_plan(
    recipe: Literal["top", "auto"], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With auto its costs are measured in a busy moment, and layers learn after a head that was to be all."""
    files = [opinions(tmp_path / f"{name}.jsonl", count) for name, count in (("train", 200), ("valid", 60))]
    settings = SETTINGS.replace(recipe=recipe)
    if recipe == "auto":
        measured = Beginning.measure_costs

        def in_a_busy_moment(run: Beginning) -> Costs:
            costs = measured(run)
            return replace(costs, forward=2_000 * costs.forward, step=2_000 * costs.step)

        monkeypatch.setattr(Beginning, "measure_costs", in_a_busy_moment)
        base = make_encoder(tmp_path / "base", "embed", [], 2, compiled=False, layers=6)

    def stop(number: int, evaluation: Evaluation) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(task_for("classify"), base, *files, tmp_path / "out", settings, QUIET, watch=stop)
    first, work = tmp_path / ".out.first.safetensors", tmp_path / ".out.work"
    # Told that steps were given, so that no clock revises it.
    plan = json.loads((work / "plan.json").read_text())
    (work / "plan.json").write_text(json.dumps({**plan, "seconds": 0.0}))
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(first, other / first.name)
    shutil.copytree(work, other / work.name)
    for name in (".out.work/checkpoint.safetensors", ".out.work/metrics.jsonl"):
        (other / name).unlink(missing_ok=True)
    found = []
    for folder in (tmp_path, other):
        before = (folder / first.name).read_bytes()
        out = finetune(task_for("classify"), base, *files, folder / "out", settings, QUIET)
        assert before
        assert read_manifest(out).facts["steps"] == plan["steps"]
        assert read_manifest(out).facts["recipe"]["learning"] > 0
        found.append(load_file(out / "model.safetensors"))
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(one, found[1][name]) for name, one in found[0].items())


def test_settings_that_decide_are_followed_and_a_recipe_that_cannot_be_is_refused(base: Path, tmp_path: Path):
    files = [opinions(tmp_path / f"{name}.jsonl", count) for name, count in (("train", 60), ("valid", 20))]
    out = finetune(task_for("classify"), base, *files, tmp_path / "out", SETTINGS.replace(steps=2), QUIET)
    assert "recipe" not in read_manifest(out).facts
    out = finetune(
        task_for("classify"), base, *files, tmp_path / "lora", SETTINGS.replace(steps=2, recipe="lora"), QUIET
    )
    assert read_manifest(out).facts["learning"] < read_manifest(out).facts["parameters"] / 2
    asked = SETTINGS.replace(recipe="head", body=BodySettings(frozen=1))
    with pytest.raises(SettingError, match="head"):
        finetune(task_for("classify"), base, *files, tmp_path / "no", asked, QUIET)
