"""One device seam: what learns on the processor learns the same elsewhere, and a run goes on on another device.

The other device is one that every machine has (`second_device`): it refuses what was left on the processor.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from second_device import second_device

from noria import machine
from noria.core.errors import SettingError
from noria.core.folder import read_manifest
from noria.core.progress import MetricsLog, Report
from noria.infer import device
from noria.make.training.align import recipe as align_recipe
from noria.make.training.align.settings import AlignSettings
from noria.make.training.finetune import prepare as finetune_prepare
from noria.make.training.finetune import ready as finetune_ready
from noria.make.training.finetune import recipe as finetune_recipe
from noria.make.training.loop.loop import train
from noria.make.training.loop.result import Evaluation
from noria.make.training.pretrain import choice as pretrain_choice
from noria.make.training.pretrain import recipe as pretrain_recipe
from noria.make.training.settings import FinetuneSettings, OptimizerSettings, PretrainSettings, TrainSettings
from noria.tasks.task import task_for
from tests.make.training.test_align import base as chat_base
from tests.make.training.test_finetune_tasks import ROWS, bases, files_of
from tests.make.training.test_pretrain import corpus
from tests.make.training.training_runs import KINDS, Setup

__all__ = ["bases", "chat_base", "corpus"]
SETTINGS = TrainSettings(
    seed=11,
    steps=4,
    number_type="fp32",
    evaluations=2,
    checkpoint_seconds=1e-9,
    checkpoint_share=1.0,
    optimizer=OptimizerSettings(learning_rate=3e-4),
)


@pytest.fixture(autouse=True)
def _speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second device is the processor, on which a product as large as an accelerator is measured by takes minutes in bf16."""
    monkeypatch.setattr(machine, "_speeds_on", lambda place: (1e12, 1e12))


class StoppedError(Exception):
    """What ends a run at an evaluation."""


def run(setup: Setup, work: Path, *, stopped: bool = False) -> list[float]:
    """Train to the end, or until the first evaluation, and return the losses."""

    def watch(number: int, evaluation: Evaluation) -> None:
        if stopped:
            raise StoppedError

    settings = SETTINGS.replace(optimizer=OptimizerSettings(learning_rate=3e-4, method=setup.method))
    objective = setup.objective

    def judged(module: torch.nn.Module) -> Evaluation:
        batches = [batch.beside(module) for batch in setup.batches.at(0)[:1]]
        return Evaluation(-sum(float(objective(module, batch)[0]) for batch in batches))

    train(
        setup.module,
        setup.batches,
        objective,
        settings,
        work,
        Report.silent(),
        judged,
        after_step=setup.after_step,
        watch=watch,
    )
    return [record["loss"] for record in MetricsLog(work / "metrics.jsonl").read() if "loss" in record]


def without_dropout(make: Callable[[], Setup]) -> Setup:
    """Return a run in which nothing is drawn: the passes of two devices draw in another order."""
    setup = make()
    for part in setup.module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return setup


# What an LSTM is given stays on the processor in part, by torch's own rule; "words" is "masked" with other places hidden.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("words", "lstm")])
def test_every_objective_and_method_learns_the_same_on_another_device(kind: str, tmp_path: Path):
    here = run(without_dropout(KINDS[kind]), tmp_path / "here" / "run")
    setup = without_dropout(KINDS[kind])
    with second_device() as place:
        device.placed(setup.module, place)
        there = run(setup, tmp_path / "there" / "run")
        assert device.place_of(setup.module) == place
    assert there == pytest.approx(here, rel=2e-3)


@pytest.mark.parametrize("first", ["cpu", "meta"])
def test_a_run_goes_on_on_another_device_from_the_same_checkpoint(first: str, tmp_path: Path):
    whole = run(without_dropout(KINDS["classify"]), tmp_path / "whole" / "run")
    work = tmp_path / "moved" / "run"
    with second_device():
        for place in (first, "cpu" if first == "meta" else "meta"):
            setup = without_dropout(KINDS["classify"])
            device.placed(setup.module, torch.device(place))
            if place == first:
                with pytest.raises(StoppedError):
                    run(setup, work, stopped=True)
            else:
                found = run(setup, work)
    assert found == pytest.approx(whole, rel=2e-3)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `auto` be the second device."""
    for module, name in (
        (finetune_ready, "chosen"),
        (finetune_prepare, "chosen"),
        (pretrain_recipe, "chosen_device"),
        (pretrain_choice, "chosen_device"),
    ):
        monkeypatch.setattr(module, name, lambda given="auto": torch.device("cpu" if given == "cpu" else "meta"))


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", [name for name in ROWS if name != "numbers"])
def test_a_model_is_tuned_judged_and_written_there(name: str, bases: dict[str, Path | None], tmp_path: Path):
    kind, facts, row, base, _ = ROWS[name]
    files = files_of(row, tmp_path, {"train": 40, "valid": 6, "test": 4})
    settings = FinetuneSettings(steps=2, tokens_per_batch=128, max_length=64, evaluations=1, number_type="fp32")
    told: list[dict[str, Any]] = []
    for place in ("cpu", "auto"):
        with second_device():
            out = finetune_recipe.finetune(
                task_for(kind, **facts),
                bases[base],
                files["train"],
                files["valid"],
                tmp_path / place,
                settings.replace(device=place),
                Report.silent(),
                test_file=files["test"],
            )
        told.append(read_manifest(out).facts)
    here, there = (dict(one["curves"]["train"]) for one in told)
    assert list(there.values()) == pytest.approx(list(here.values()), rel=5e-3)
    values = [[figure["value"] for figure in one["metrics"]] for one in told]
    assert values[1] == pytest.approx(values[0], rel=2e-2, abs=2e-2)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("objective", ["causal", "masked", "spans"])
def test_a_model_is_pretrained_there(objective: Any, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # What it writes at the end is written on the processor.
    monkeypatch.setattr(pretrain_recipe, "sample", partial(pretrain_recipe.sample, tokens=2))
    settings = PretrainSettings(
        objective=objective,
        vocab_size=800,
        model={"parameters": 200_000},
        context=32,
        tokens_per_step=256,
        steps=2,
        evaluations=1,
        number_type="fp32",
    )
    with second_device():
        found = [
            read_manifest(
                pretrain_recipe.pretrain(corpus, tmp_path / place, settings.replace(device=place), Report.silent())
            ).facts
            for place in ("cpu", "auto")
        ]
    assert found[1]["metrics"][0]["value"] == pytest.approx(found[0]["metrics"][0]["value"], rel=5e-3)


def test_a_device_that_is_not_there_is_refused_in_one_line():
    for name in ("gpu", "cuda:x", "cpu:1", "auto:0", "mps:0", ""):
        with pytest.raises(SettingError, match=r"cuda"):
            device.chosen(name)
    assert device.chosen("cpu") == torch.device("cpu")
    if not torch.accelerator.is_available():
        assert device.chosen() == torch.device("cpu")
        for name in ("cuda", "cuda:3", "xpu", "mps"):
            with pytest.raises(SettingError, match="cpu"):
                device.chosen(name)


def test_what_is_no_tensor_stays_as_it_is():
    with second_device() as place:
        found = device.moved({"ids": torch.arange(3), "below": 2}, place)
    assert found["below"] == 2
    assert found["ids"].device == place


@pytest.mark.parametrize("method", ["dpo", "kto", "grpo"])
def test_a_model_is_aligned_there(method: str, chat_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(align_recipe, "chosen", lambda given: torch.device("cpu" if given == "cpu" else "meta"))
    monkeypatch.setattr(finetune_prepare, "chosen", align_recipe.chosen)
    pairs = [
        {"prompt": f"第 {n} 个 question?", "chosen": "好的 yes", "rejected": "不行 no"}
        for n in range(8 if method == "kto" else 20)
    ]
    thumbs = [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for row in pairs
        for side in ("chosen", "rejected")
    ]
    rows = {"dpo": pairs, "kto": thumbs, "grpo": [{"prompt": row["prompt"], "answer": "yes"} for row in pairs]}[method]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    settings = AlignSettings(
        method=method,
        steps=2,
        evaluations=1,
        number_type="fp32",
        max_tokens=2,
        group=2,
        reward="match" if method == "grpo" else None,
    )
    found = []
    with second_device():
        for place in ("cpu", "auto"):
            out = align_recipe.align(chat_base, file, tmp_path / place, settings.replace(device=place), Report.silent())
            found.append([loss for _, loss in read_manifest(out).facts["curves"]["train"]])
    assert len(found[0]) == 2
    assert found[1] == pytest.approx(found[0], rel=2e-2, abs=1e-4)
