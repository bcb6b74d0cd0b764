"""Labelled rows and a pretrained encoder -> a model folder that classifies or tags.

    folder = finetune(task_for("classify"), base, train, valid, out, FinetuneSettings(minutes=5), report, test=test)

On a processor, speed is accuracy: what a time budget buys is rows seen. So text is batched by length, matrix products run
in bf16 where that is measured fast, dropout is off, and attention is computed step by step (its fused form has a slow
backward pass on processors: 528 against 223 ms for 2,048 tokens of a 12-layer encoder).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, pre_tokenizers
from torch import nn

from noria.build.evaluate.calibration import fit_temperature
from noria.build.evaluate.card import Assessment, assess, card
from noria.build.evaluate.predict import answers, padded, predict
from noria.build.model.load import load, quiet_transformers
from noria.build.tokens.batches import Batch, Buckets
from noria.core.errors import InputError, SettingError
from noria.core.folder import MANIFEST, OpenFolder, Source, new_folder, read_manifest, sha256_file, source_of
from noria.core.progress import Report
from noria.core.settings import fingerprint
from noria.tasks.tag import Tag
from noria.tasks.task import Features, Row, Task, labels_in, read_rows

from .loop import Evaluation, Evaluator, TrainResult, train
from .objectives import supervised
from .settings import FinetuneSettings, OptimizerSettings, TrainSettings

JUDGED_TOKENS = 100_000
"""Valid rows judge the weights up to this many tokens: enough to choose by, and a few seconds each time."""
HAN = Regex(r"\p{Han}")


@dataclass(frozen=True)
class Examples:
    """Rows of one file as the model sees them."""

    rows: list[Row]
    features: list[Features]
    targets: list[Any]

    @classmethod
    def of(cls, task: Task, tokenizer: Tokenizer, rows: list[Row], max_length: int) -> Examples:
        """Encode rows and their targets."""
        features = [task.features(tokenizer, row, max_length) for row in rows]
        return cls(rows, features, [task.target(row, one) for row, one in zip(rows, features, strict=True)])

    def some(self, tokens: int) -> Examples:
        """Return the first rows that together have no more than `tokens` tokens, at least one."""
        ends = np.cumsum([len(one.ids) for one in self.features])
        count = max(1, int(np.searchsorted(ends, tokens, side="right")))
        return Examples(self.rows[:count], self.features[:count], self.targets[:count])


def finetune(
    task: Task,
    base: Path,
    train_file: Path,
    valid_file: Path,
    out: Path,
    settings: FinetuneSettings,
    report: Report,
    *,
    test_file: Path | None = None,
) -> Path:
    """Fine-tune `base` on labelled rows and write a model folder; a killed run goes on where it was.

    Valid rows choose the weights and the temperature that calibrates confidences; test rows, where given, are only
    judged, beside the task's baseline.

    Args:
        task: classify or tag; without labels of its own it takes those of the training rows.
        base: folder of a pretrained encoder.
        train_file, valid_file, test_file: rows (JSONL).
        out: the folder to write; the unfinished run lies beside it, in `.<out>.work`.
        settings: budget, rates and lengths.
        report: where plan, progress and result are told.

    Raises:
        RowError, InputError: a file of rows cannot be used.
        FolderError: `base` is no usable model.
        SettingError: the task cannot be fine-tuned this way, or `max_length` is beyond the model's.
        Interrupted: stopped by a signal; the same call goes on.
    """
    if task.head not in ("sequence", "token"):
        raise SettingError("the task has no head to fine-tune", found=task.name, allowed=("classify", "tag"))
    rows = read_rows(train_file, task)
    if not task.labels:
        task = replace(task, labels=labels_in(rows))
    if len(task.outputs) < 2:
        raise InputError(f"{train_file} holds nothing to tell apart", found=task.labels, allowed="two labels or more")
    test = read_rows(test_file, task) if test_file else []
    _warn_of_leaks(rows, test, report)
    module, tokenizer = prepared(task, base, settings)
    training = Examples.of(task, tokenizer, rows, settings.max_length)
    valid = Examples.of(task, tokenizer, read_rows(valid_file, task), settings.max_length).some(JUDGED_TOKENS)
    work = out.with_name(f".{out.name}.work")
    identity = _identity(base, train_file, valid_file)
    result = fit(task, module, training, valid, work, settings, report, identity=identity)
    bf16 = result.plan.machine.number_type == "bf16"
    task = replace(task, temperature=fit_temperature(predict(module, valid.features, bf16=bf16), valid.targets))
    assessment = None
    if test_file:
        features = [task.features(tokenizer, row, settings.max_length) for row in test]
        told = answers(task, features, predict(module, features, bf16=bf16))
        assessment = assess(task, rows, test, told, source=f"{test_file.parent.name}/{test_file.name}", report=report)
    facts = _facts(task, base, settings, result, module, assessment)
    facts["epochs"] = result.tokens / sum(len(one.ids) for one in training.features)
    sources = [_lineage(base), *(Source(file.name, sha256_file(file)) for file in (train_file, valid_file))]
    with new_folder(out, kind="model", settings=settings.model_dump(mode="json"), sources=sources) as folder:
        folder.facts.update(facts)
        write_model(folder, module, tokenizer, base)
    shutil.rmtree(work, ignore_errors=True)
    return out


def _warn_of_leaks(training: list[Row], test: list[Row], report: Report) -> None:
    known = {row["text"] for row in training}
    leaked = sum(row["text"] in known for row in test)
    if leaked:
        report.note(
            f"{leaked:,} of {len(test):,} test texts are also training texts: the figures will flatter", leaked=leaked
        )


def prepared(task: Task, base: Path, settings: FinetuneSettings) -> tuple[nn.Module, Tokenizer]:
    """Return the base with the task's head, made fit for training, and the tokenizer that the task reads with."""
    module, tokenizer = load(base, task.head, task.outputs, seed=settings.seed)
    longest = getattr(module.config, "max_position_embeddings", settings.max_length)
    if settings.max_length > longest:
        raise SettingError("max_length is beyond the model's", found=settings.max_length, allowed=f"up to {longest}")
    if settings.layers is not None:
        keep_lowest(module, settings.layers)
    module.set_attn_implementation("eager")
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = settings.dropout
    if isinstance(task, Tag) and settings.by_character:
        tokenizer = by_character(tokenizer)
    return module, tokenizer


def keep_lowest(module: nn.Module, count: int) -> None:
    """Cut an encoder down to its lowest layers, in place.

    Raises:
        SettingError: it has no layers that can be cut, or not as many.
    """
    encoder = getattr(module.base_model, "encoder", None)
    layers = getattr(encoder, "layer", None)
    if layers is None or not 1 <= count <= len(layers):
        raise SettingError(
            "layers is beyond the model's", found=count, allowed=f"1 to {len(layers)}" if layers else "no layers to cut"
        )
    encoder.layer = layers[:count]
    module.config.num_hidden_layers = count


def by_character(tokenizer: Tokenizer) -> Tokenizer:
    """Return a copy of a tokenizer for which every Chinese character is a piece of its own.

    The cut comes after all other pre-tokenisation, so a character in mid-word gets no word-start mark.
    """
    copy = Tokenizer.from_str(tokenizer.to_str())
    cut = pre_tokenizers.Split(HAN, "isolated")
    before = copy.pre_tokenizer
    copy.pre_tokenizer = pre_tokenizers.Sequence([before, cut]) if before is not None else cut
    return copy


def collate(examples: Examples, pad: int, rows: np.ndarray) -> Batch:
    """Return rows as one batch: ids, labels, and a mask where they differ in length."""
    ids, mask = padded([examples.features[row].ids for row in rows], pad)
    targets = [examples.targets[row] for row in rows]
    if isinstance(targets[0], list):
        labels = np.full(ids.shape, -100, dtype=np.int64)
        for place, values in enumerate(targets):
            labels[place, : len(values)] = values
    else:
        labels = np.array(targets, dtype=np.int64)
    tensors = {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}
    if not mask.all():
        tensors["attention_mask"] = torch.from_numpy(mask)
    return Batch(tensors, [int(row) for row in rows], int(mask.sum()))


def fit(
    task: Task,
    module: nn.Module,
    training: Examples,
    valid: Examples | None,
    work: Path,
    settings: FinetuneSettings,
    report: Report,
    *,
    identity: str = "",
) -> TrainResult:
    """Train a prepared module in place; where there are valid rows it ends with the weights that judge them best.

    Args:
        task: what the rows are for.
        module: from `prepared`.
        training: rows to learn from.
        valid: rows that choose the weights.
        work: folder of the unfinished run.
        settings: budget and rates.
        report: where plan and progress are told.
        identity: hash of what the run depends on beside the settings.
    """
    pad = module.config.pad_token_id or 0
    batches = Buckets(
        [len(one.ids) for one in training.features], partial(collate, training, pad),
        tokens_per_batch=settings.tokens_per_batch, seed=settings.seed, identity=identity,
    )  # fmt: skip
    optimizer = OptimizerSettings(
        learning_rate=settings.learning_rate, warmup=settings.warmup,
        layer_decay=settings.layer_decay, head_rate=settings.head_rate,
    )  # fmt: skip
    pace = TrainSettings(
        seed=settings.seed, steps=settings.steps, seconds=settings.minutes * 60, optimizer=optimizer,
        number_type=settings.number_type, evaluations=settings.evaluations,
    )  # fmt: skip
    rows_per_step = len(training.rows) / batches.steps_per_epoch if task.head == "sequence" else None
    objective = partial(evenly, rows_per_step=rows_per_step, smoothing=settings.smoothing)
    return train(
        module, batches, objective, pace, work, report,
        _judge_of(task, valid, pad, settings) if valid else None,
        title=f"fine-tune {work.name.strip('.').removesuffix('.work')}",
        identity=fingerprint([identity, settings.model_dump(mode="json")]),
    )  # fmt: skip


def evenly(
    module: nn.Module, batch: Batch, *, rows_per_step: float | None, smoothing: float
) -> tuple[torch.Tensor, float]:
    """Score labels so that every row weighs the same, however many rows share its step.

    A batch of long texts holds fewer rows than one of short texts. Where the loss was divided by the batch's own rows,
    a short text would teach several times less than a long one; dividing by the rows of an average step does not.
    """
    loss, scored = supervised(module, batch, smoothing=smoothing)
    return loss, scored if rows_per_step is None else rows_per_step


def _judge_of(task: Task, valid: Examples, pad: int, settings: FinetuneSettings) -> Evaluator:
    def judge(module: nn.Module) -> Evaluation:
        # bf16 answers are as good for choosing among weights, and twice as fast where the machine has it.
        logits = predict(module, valid.features, bf16=settings.number_type != "fp32", pad=pad)
        measures = task.measures(valid.rows, answers(task, valid.features, logits))
        return Evaluation(next(iter(measures.values())), measures)

    return judge


def write_model(folder: OpenFolder, module: nn.Module, tokenizer: Tokenizer, base: Path) -> None:
    """Write weights, configuration and tokenizer in the Hugging Face layout, and the model's card as its README."""
    with quiet_transformers():
        module.save_pretrained(folder.path)
    tokenizer.save(str(folder.path / "tokenizer.json"), pretty=False)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (base / name).exists():
            shutil.copyfile(base / name, folder.path / name)
    page = card(folder.facts, folder.settings, folder.sources)
    (folder.path / "README.md").write_text(page, encoding="utf-8")


def _facts(
    task: Task,
    base: Path,
    settings: FinetuneSettings,
    result: TrainResult,
    module: nn.Module,
    assessment: Assessment | None,
) -> dict[str, Any]:
    known = read_manifest(base).facts if (base / MANIFEST).exists() else {}
    return {
        "task": task.name, "labels": list(task.labels), "temperature": task.temperature, "prefix": task.prefix,
        "pooling": "cls", "max_length": settings.max_length, "base": known.get("base", base.name),
        "licence": known.get("licence", ""), "parameters": sum(tensor.numel() for tensor in module.parameters()),
        "metrics": [figure.as_dict() for figure in assessment.metrics] if assessment else [],
        "baseline": [figure.as_dict() for figure in assessment.baseline] if assessment else [],
        "verdict": assessment.verdict if assessment else "not judged", "curves": result.curves,
        "steps": result.steps, "tokens": result.tokens, "best_step": result.best_step,
        "tokens_per_second": result.tokens_per_second, "number_type": result.plan.machine.number_type,
    }  # fmt: skip


def _lineage(base: Path) -> Source:
    if (base / MANIFEST).exists():
        return source_of(base)
    return Source(base.name, sha256_file(next(iter(sorted(base.glob("*.safetensors"))))))


def _identity(base: Path, *files: Path) -> str:
    return fingerprint([_lineage(base).sha256, *(sha256_file(file) for file in files)])
