"""A tuned decoder and what people prefer -> an aligned model folder, judged beside the model that it began as.

    folder = align(base, rows_file, out, AlignSettings(minutes=5), report)

An adapter learns; with it off the module is the reference, and the model that the figures compare with. Held-out rows choose the weights
and judge; nothing else of them is learned from.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import nn

from noria.core.errors import InputError, SettingError
from noria.core.figure import Figure
from noria.core.folder import Source, new_folder, sha256_file
from noria.core.messages import message
from noria.core.progress import Report
from noria.core.settings import fingerprint
from noria.infer.device import chosen, placed
from noria.machine import computing, measure
from noria.make.models.adapt import after_step
from noria.make.tokens.batches import BatchSource, Buckets, Joined
from noria.make.tokens.tokenizer import load_tokenizer
from noria.make.training.finetune.causal import UNBOUND, read_base, served_length
from noria.make.training.finetune.examples import evenly
from noria.make.training.finetune.prepare import prepare_model
from noria.make.training.finetune.publish import facts_of, lineage, write_model
from noria.make.training.finetune.recipe import BYTES_A_SECOND
from noria.make.training.loop.budget import Budget
from noria.make.training.loop.loop import train
from noria.make.training.loop.result import TrainResult
from noria.make.training.settings import FinetuneSettings, OptimizerSettings, ReadSettings, TrainSettings
from noria.tasks.chat import Chat
from noria.tasks.padding import padding_of, usable_length
from noria.tasks.task import Row, read_rows, task_for

from . import assess
from .drawing import Asked, Drawn
from .objectives import Answers, Objective, conversation, names_of, preference
from .rewards import Reward, reward_for
from .rows import held_out, judged_rows
from .settings import AlignSettings

JUDGED = 64
"""Questions that are answered before and after, at most: writing takes long."""
AGAIN = {"dpo": 4, "kto": 4, "grpo": 4}
"""Method -> how often the rows that judge are read beside the evaluations on the way: before the first step and at the end, each time by the
model and by the one that it began as. Of drawn answers the end is three draws."""


@dataclass(frozen=True)
class _Run:
    """What a run learns from, and by what it is judged."""

    module: nn.Module
    tokenizer: Tokenizer
    task: Chat
    method: str
    settings: AlignSettings
    reward: Reward | None
    padding: int
    length: int

    def answers(self, rows: Sequence[Row]) -> Answers:
        """Return judged answers as the model sees them."""
        return Answers.of(self.task, self.tokenizer, rows, self.length, self.padding)

    def asked(self, rows: Sequence[Row]) -> Asked:
        """Return questions as the model sees them."""
        return Asked.of(self.task, self.tokenizer, rows, self.settings, self.length)

    def reward_judge(self, rows: Sequence[Row]) -> assess.RewardJudge:
        """Return what judges by the reward of answers to questions."""
        assert self.reward is not None
        ends = self.task.ends(self.tokenizer)
        return assess.RewardJudge(self.asked(rows), self.tokenizer, ends, self.padding, self.reward)


def align(
    base: Path,
    train_file: Path,
    out: Path,
    settings: AlignSettings,
    report: Report,
    *,
    valid_file: Path | None = None,
    keep_file: Path | None = None,
    reading: ReadSettings | None = None,
) -> Path:
    """Align a tuned decoder and write a model folder; a killed run resumes where it was.

    Args:
        base: folder of the tuned model, which is the reference too.
        train_file: pairs, thumbs or questions; or a server's lake, whose feedback is thumbs.
        out: the folder to write; the unfinished run lies beside it, in `.<out>.work`.
        settings: method, reward, budget and rates.
        report: where plan, progress and result are reported.
        valid_file: held-out rows of the same kind; without them a share of the rows is set aside.
        keep_file: conversations that must not be forgotten: judged before and after, never learned from.
        reading: columns and bad rows.

    Raises:
        RowError, InputError: a file of rows, or the reward, cannot be used.
        FolderError: `base` is no usable model.
        SettingError: the method does not fit the rows, or misses its reward.
        Interrupted: stopped by a signal; the same call goes on.
    """
    reading = reading or ReadSettings()
    budget = Budget(None if settings.steps else 60 * settings.minutes)
    reward = reward_for(settings.reward) if settings.reward else None
    with budget.part("reading"):
        task = cast(Chat, read_base(task_for("chat"), base))
        method, rows = judged_rows(train_file, settings, reading, report)
        if valid_file is None:
            training, valid = held_out(rows, settings.valid_share, seed=settings.seed, file=train_file)
            report.note(message("make.align_aside", valid=len(valid), rows=len(rows)), set_aside=len(valid))
        else:
            training, valid = rows, judged_rows(valid_file, settings, reading, report)[1]
        kept = read_rows(keep_file, task, skip_bad=reading.skip_bad_rows, report=report) if keep_file else []
    with budget.part("the model"):
        run = _prepared(base, task, method, reward, settings, [*training, *valid], report)
    source, objective = _learning(run, training)
    with budget.part("reading"):
        held = run.reward_judge(valid[:JUDGED]) if method == "grpo" else None
        judge = held or assess.PreferenceJudge(run.answers(valid), method, settings.beta_of(method))
    # The folder is written in float32, at the pace of a slow disk; of rows to keep each takes what one that judges does.
    budget.final_seconds += 4 * sum(one.numel() for one in run.module.parameters()) / BYTES_A_SECOND
    budget.again, budget.final_rows = AGAIN[method], float(len(kept))
    files = [file for file in (train_file, valid_file, keep_file) if file and file.is_file()]
    sources = [*lineage(base), *(Source(file.name, sha256_file(file)) for file in files)]
    work = out.with_name(f".{out.name}.work")
    result = train(
        run.module,
        source,
        objective,
        _pace(settings),
        work,
        report,
        judge,
        title=f"align {out.name} by {method}",
        identity=_identity(sources, rows, settings),
        after_step=after_step(run.module),
        budget=budget,
    )
    if not result.best_step:
        report.note(message("make.align_unchanged", rows=len(valid)))
    judged = _some(valid[:JUDGED] if method == "grpo" else valid, result.plan.judged_rows)
    if len(judged) < len(valid):
        report.note(message("make.judged_fewer", judged=len(judged), rows=len(valid)), judged=len(judged))
    kept = _some(kept, math.ceil(result.plan.final_share * len(kept)))
    with computing(result.plan.machine.number_type), budget.part("figures"):
        run.module.eval()
        figures = _figures(run, judged, kept, valid_file or train_file, report)
    with (
        budget.part("writing"),
        new_folder(out, kind="model", settings=settings.model_dump(mode="json"), sources=sources) as folder,
    ):
        folder.facts.update({**run.task.facts(), **_facts(base, run, result, figures)})
        write_model(folder, cast(Any, placed(run.module, torch.device("cpu"))), run.tokenizer, base)
    shutil.rmtree(work, ignore_errors=True)
    report.note(message("make.time_taken", parts=budget.text()), **budget.facts())
    return out


def _prepared(
    base: Path,
    task: Chat,
    method: str,
    reward: Reward | None,
    settings: AlignSettings,
    rows: Sequence[Row],
    report: Report,
) -> _Run:
    """Return the base with an adapter on it, and how long the rows are.

    Raises:
        InputError: rows are longer than the base takes.
        SettingError: the adapter is of a kind that cannot be switched off for the reference.
    """
    if settings.adapter.kind not in ("lora", "adalora"):
        raise SettingError(message("make.align_adapter"), found=settings.adapter.kind, allowed=("lora", "adalora"))
    tokenizer = load_tokenizer(base)
    length = settings.max_length or _length(task, tokenizer, rows, settings.max_tokens if method == "grpo" else 0)
    adapter = settings.adapter
    if reward is not None and adapter.resting == "auto" and measure(settings.number_type).number_type == "fp32":
        # Answers are written by transformers, in the number type of the weights: half ones would be emulated.
        adapter = adapter.replace(resting="fp32")
    tuned = FinetuneSettings.make(
        seed=settings.seed,
        max_length=length,
        tokens_per_batch=settings.tokens_per_batch,
        adapter=adapter.model_dump(),
        number_type=settings.number_type,
        device=settings.device,
    )
    module, tokenizer_ = prepare_model(task, base, tuned, report=report)
    module = placed(module, chosen(settings.device))
    if settings.max_length is None and (most := usable_length(module.config)) and length > most:
        raise InputError(
            message("make.align_too_long", longest=length, most=most), hint=message("make.cut_when_told", most=most)
        )
    padding = padding_of(module.config).id
    return _Run(module, tokenizer_ or tokenizer, task, method, settings, reward, padding, length)


def _length(task: Chat, tokenizer: Tokenizer, rows: Sequence[Row], room: int) -> int:
    """Return the tokens of the longest conversation with an answer, or with room for one."""
    longest = 8
    for row in rows:
        whole = [row] if room else [conversation(row, row[name]) for name in names_of(row)]
        longest = max(longest, *(len(task.features(tokenizer, one, UNBOUND).ids) + room for one in whole))
    return longest


def _learning(run: _Run, rows: Sequence[Row]) -> tuple[BatchSource, Objective]:
    """Return batches of rows and the loss that is learned of them."""
    settings = run.settings
    learned: Answers | Asked
    if run.method == "grpo":
        learned = run.asked(rows)
        assert run.reward is not None
        ends = run.task.ends(run.tokenizer)
        objective: Objective = Drawn(learned, run.tokenizer, ends, run.padding, run.reward, settings)
    else:
        learned = run.answers(rows)
        objective = preference(run.method, settings)
    source: BatchSource = Buckets(
        learned.lengths, learned.collate, tokens_per_batch=settings.tokens_per_batch, seed=settings.seed
    )
    return Joined(source, settings.accumulate) if settings.accumulate > 1 else source, objective


def _identity(sources: Sequence[Source], rows: Sequence[Row], settings: AlignSettings) -> str:
    """Return the hash of all that a run depends on."""
    told = settings.model_dump(mode="json", exclude={"trackers", "device"})
    return fingerprint([[one.sha256 for one in sources], _reward_hash(settings.reward), list(rows), told])


def _reward_hash(name: str | None) -> str:
    """Return the hash of the file that a reward is made of, where it is of one."""
    parts = [Path(part) for part in (name or "").split(":")]
    return "".join(sha256_file(part) for part in parts if part.suffix in (".py", ".json") and part.is_file())


def _some(rows: Sequence[Row], most: int | None) -> list[Row]:
    """Return so many of the rows at most, evenly over all; None: all of them."""
    return [rows[place] for place in evenly(len(rows), len(rows) if most is None else most)]


def _pace(settings: AlignSettings) -> TrainSettings:
    return TrainSettings(
        seed=settings.seed,
        steps=settings.steps,
        seconds=settings.minutes * 60,
        optimizer=OptimizerSettings(learning_rate=settings.learning_rate, **settings.rates.model_dump()),
        number_type=settings.number_type,
        evaluations=settings.evaluations,
        # Where nothing that is learned helps, the model stays as it began; a reward's loss says little of how it goes.
        judge_first=True,
        stop_diverging=False,
        trackers=settings.trackers,
    )


def _figures(run: _Run, valid: Sequence[Row], kept: Sequence[Row], file: Path, report: Report) -> list[Figure]:
    """Return what held-out rows say, and tell it."""
    found: list[Figure] = []
    source = f"{file.name}, {len(valid):,} rows not learned from, which chose the weights"
    if run.method != "grpo":
        answers = run.answers(valid)
        told = assess.beside(run.module, answers)
        found += assess.preference_figures(told, answers, run.settings.beta_of(run.method), source)
        if not kept:  # what was liked stands for what must not be forgotten
            found += assess.forgetting_of(run.task, told, answers, "answers that were preferred")
    if run.reward is not None:
        judge = run.reward_judge(valid[:JUDGED])
        found += assess.reward_figures(run.module, judge, source)
        if run.method == "grpo":
            found.append(assess.divergence_drawn(run.module, judge, source))
    if kept:
        found += assess.forgetting_figures(
            run.task, run.module, run.tokenizer, kept, run.length, "conversations to keep"
        )
    for one in found:
        report.ledger(one.line(), **one.as_dict())
    return found


def _facts(base: Path, run: _Run, result: TrainResult, figures: Sequence[Figure]) -> dict[str, Any]:
    return {
        **facts_of(base, run.module, result, None),
        "max_length": served_length(run.task, run.module, run.length),
        "method": run.method,
        "reference": base.name,
        "metrics": [figure.as_record() for figure in figures],
        "verdict": "aligned" if result.best_step else "unchanged",
    }
