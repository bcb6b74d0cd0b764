"""How a run begins: costs measured, a recipe chosen by them, the first head fitted, and all of it written before it is used.

    begun = begin(task, module, training, valid, work, settings, report, budget)
    begun.recipe, begun.settings, begun.kept          # the module is cut, frozen, and answers with the head that was fitted

A run that is killed and started again finds the file beside its folder, and begins with the same module, bit for bit; states of
layers at rest are computed again, in the same batches.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from noria.core.errors import SettingError
from noria.core.messages import message
from noria.core.progress import Report
from noria.core.settings import fingerprint
from noria.infer.device import place_of
from noria.machine import computing, measure
from noria.make.models import anatomy
from noria.make.models.adapt import freeze
from noria.make.models.cut import keep_lowest
from noria.make.tokens.batches import Batch, length_buckets
from noria.make.training.loop.budget import FIGURES, JUDGING, MARGIN, THIRD, Budget
from noria.make.training.loop.checkpoint import save_tensors
from noria.make.training.parallel.processes import world_size
from noria.make.training.settings import FinetuneSettings
from noria.tasks.padding import padding_of
from noria.tasks.task import Task

from . import frozen_states
from .choice import FITTING, Costs, Recipe, choose, deepen
from .examples import Examples
from .first_head import Fitted, Reader, read, reader_of
from .frozen_states import KeptStates
from .heads import HeadTraining, training_of_head

TRIED = 0.03
"""Share of the budget in which a forward pass and a step are timed, once they were taken a first time."""
BACKWARD = 2
"""Backward a pass has so many times the products that it has forward."""
PART = 128
"""Tokens that are taken first: on a slow machine a whole batch takes seconds."""
ADAM = 4_000_000
"""Numbers that the optimiser is timed on."""
SLOWER = 1.2
"""Judging and figures read a text in so many times the time of the hand-made pass."""
FIRST_JUDGED = 0.05
"""Share of the time for learning in which valid rows are read for the first head."""
RATES = {"sequence": 3e-5, "token": 5e-4}
"""Highest rate of layers that learn from a head that was fitted before. One vector a text is read by weights that make much of
small differences: the rate of layers below a head that knows nothing, 1e-4, destroys in the first steps what it has."""


@dataclass(frozen=True)
class Begun:
    """What a run begins with."""

    settings: FinetuneSettings
    training: Examples
    recipe: Recipe | None = None
    """None where all layers learn from a head that knows nothing."""
    kept: KeptStates | None = None
    """Of the training rows."""
    kept_valid: KeptStates | None = None
    row_seconds: float = 0.0
    """Of reading a valid row through the whole model; 0 where it was not measured."""


def applies(module: nn.Module, task: Task, settings: FinetuneSettings) -> Reader | None:
    """Return what reads the module, where a recipe is to be chosen and can be.

    Raises:
        SettingError: a recipe was asked for by name that cannot be followed.
    """
    body = settings.body
    named = settings.recipe in ("head", "top")
    decided = settings.steps is not None or body.layers is not None or body.frozen or body.pairs
    decided = decided or settings.adapter.kind != "none" or bool(settings.regular.augment) or world_size() > 1
    # An accelerator has time for all layers, and the hand-made passes are a processor's.
    decided = decided or place_of(module).type != "cpu"
    if settings.recipe not in ("auto", "head", "top") or (decided and not named):
        return None
    fits = task.head in ("sequence", "token") and not decided and anatomy.only_stack(module) is not None
    reader = reader_of(module, task) if fits else None
    if reader is None and named:
        raise SettingError(
            message("make.recipe_cannot", recipe=settings.recipe), hint=message("make.recipe_cannot_hint")
        )
    return reader


def begin(
    task: Task,
    module: nn.Module,
    training: Examples,
    valid: Examples,
    work: Path,
    settings: FinetuneSettings,
    report: Report,
    budget: Budget,
    *,
    identity: str = "",
) -> Begun:
    """Choose a recipe and carry out its first part; the module is changed in place.

    Args:
        task: what the rows are for.
        module: from `prepare_model`.
        training: rows to learn from.
        valid: rows that choose.
        work: folder of the run; what is written here lies beside it.
        settings: of the run; where they decide already, nothing is done.
        report: where the recipe is told.
        budget: of the whole run.
        identity: hash of what the run depends on beside the settings.
    """
    reader = applies(module, task, settings)
    if reader is None:
        return Begun(settings, training)
    run = Beginning(task, module, reader, training, valid, work, settings, budget)
    identity = fingerprint([identity, settings.model_dump(mode="json", exclude={"trackers", "parallel", "device"})])
    found = _read(first_file(work), identity)
    if found is None:
        with budget.part("measuring"):
            costs = run.measure_costs()
        recipe = choose(costs, partial(run.available, costs), wanted=settings.recipe, by_token=task.head == "token")
        full = run.available(costs, costs.depth) / costs.epoch(costs.depth, costs.depth)
        told = recipe.text(costs.depth, full, settings.minutes)
        report.plan(message("work.named", name=work.name.strip(".").removesuffix(".work"), text=told))
        notes: dict[str, Any] = {
            "identity": identity,
            "recipe": asdict(recipe),
            "row_seconds": run.row_seconds(costs, recipe.layers),
            "number_type": run.number_type,
        }
        if recipe.learning < costs.depth:
            run.shape(recipe)
            with budget.part("the first head"):
                fitted, read_share, slower = run.fit_head(recipe, costs, report)
            recipe = recipe if recipe.learning else replace(recipe, share=read_share)
            if (1 + THIRD) * slower < 1:  # costs were measured in a busy moment
                costs = replace(costs, forward=slower * costs.forward, step=slower * costs.step)
                notes["row_seconds"] = run.row_seconds(costs, recipe.layers)
                if settings.recipe == "auto" and (deeper := run.deepened(recipe, costs)).learning > recipe.learning:
                    recipe, told = deeper, deeper.text(costs.depth, full, settings.minutes)
                    run.rest(recipe)
                    report.plan(message("make.recipe_again", times=1 / slower, text=told))
            notes |= {"recipe": asdict(recipe), "kind": fitted.kind, "loss": fitted.loss}
        work.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(first_file(work), fitted.weights if recipe.learning < costs.depth else {}, notes)
    else:
        notes, weights = found
        recipe = Recipe(**notes["recipe"])
        run.number_type = notes["number_type"]
        if "kind" in notes:
            run.shape(recipe)
            fitted = Fitted(notes["kind"], weights, notes["loss"])
    if "kind" not in notes:
        # Where there is time for all layers, a head that knows nothing learns with them.
        return Begun(settings.replace(number_type=run.number_type), training)
    return run.begun(recipe, fitted, notes)


def first_file(work: Path) -> Path:
    """Return where the recipe and the first head of a run lie until it is over."""
    return work.with_name(f"{work.name.removesuffix('.work')}.first.safetensors")


def _read(file: Path, identity: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
    try:
        with safe_open(file, framework="pt") as opened:
            notes = json.loads(opened.metadata()["noria"])
        return (notes, load_file(file)) if notes["identity"] == identity else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


class Beginning:
    """A run before its first step; without a reader there is no recipe to choose, and its costs are measured all the same."""

    def __init__(
        self,
        task: Task,
        module: nn.Module,
        reader: Reader | None,
        training: Examples,
        valid: Examples,
        work: Path,
        settings: FinetuneSettings,
        budget: Budget,
    ) -> None:
        self.task, self.module, self._reader = task, module, reader
        self.training, self.valid = training, valid
        self.work, self.settings, self.budget = work, settings, budget
        self.head: HeadTraining = training_of_head(task, training)
        self.padding = padding_of(cast(Any, module).config)
        self.number_type = measure(settings.number_type).number_type
        self.depth = len(anatomy.only_stack(module) or ()) or 1
        self.kept: KeptStates | None = None
        self.kept_valid: KeptStates | None = None

    def collate(self, numbers: np.ndarray) -> Batch:
        """Return a batch of training rows."""
        return self.head.collate(self.training, self.padding, numbers)

    def measure_costs(self) -> Costs:
        """Time a forward pass and a step on a real batch, and put the module back."""
        whole = max(self._buckets(self.training), key=lambda one: sum(self.training.lengths[row] for row in one))
        part = whole[: max(1, PART // max(self.training.lengths[row] for row in whole))]
        limit = TRIED / 2 * (self.budget.seconds or 0.0)
        batch = self.collate(part)
        self._step_seconds(batch)  # what is loaded and built once is not the batch's
        forward = min(self._forward_seconds(batch) for _ in range(2)) / batch.tokens
        step = (1 + BACKWARD) * forward  # of so few tokens a step is mostly what it takes however many there are
        whole_batch = self.collate(whole)
        if step * whole_batch.tokens < limit:
            batch = whole_batch
            forward = min(self._forward_seconds(batch) for _ in range(2)) / batch.tokens
            step = min(self._step_seconds(batch) for _ in range(2)) / batch.tokens
        learning = sum(one.numel() for one in self.module.parameters() if one.requires_grad)
        tokens = sum(self.training.lengths)
        step += learning / ADAM * _adam_seconds() * len(self._buckets(self.training)) / tokens
        kept = frozen_states.can_keep(self.module, self.training, self.work.parent, bf16=self.bf16)
        return Costs(self.depth, forward, step, tokens, len(self.training.rows), kept)

    @property
    def reader(self) -> Reader:
        """Return what reads the module."""
        assert self._reader is not None
        return self._reader

    @property
    def bf16(self) -> bool:
        """Return whether products are in bf16."""
        return self.number_type == "bf16"

    def steps_an_epoch(self) -> float:
        """Return how many steps it takes to see every row once."""
        return len(self._buckets(self.training)) / self.settings.accumulate

    def _buckets(self, examples: Examples) -> list[np.ndarray]:
        return length_buckets(examples.lengths, self.settings.tokens_per_batch, self.settings.seed, epoch=0)

    def _forward_seconds(self, batch: Batch) -> float:
        if self._reader is None:
            return self._step_seconds(batch) / (1 + BACKWARD)
        start = self.budget.clock()
        read(self.reader, [batch], self.number_type)
        return self.budget.clock() - start

    def _step_seconds(self, batch: Batch) -> float:
        start = self.budget.clock()
        self.module.train()
        with computing(self.number_type):
            loss, _ = self.head.loss(self.module, batch)
            loss.backward()
        seconds = self.budget.clock() - start
        self.module.zero_grad(set_to_none=True)
        self.module.eval()
        return seconds

    def row_seconds(self, costs: Costs, layers: int) -> float:
        """Return the seconds of judging a valid row by so many layers."""
        return SLOWER * costs.forward * layers / costs.depth * sum(self.valid.lengths) / len(self.valid.rows)

    def available(self, costs: Costs, layers: int) -> float:
        """Return the seconds for learning where so many layers are kept, when judging and the last figures have theirs."""
        budget = self.budget
        whole, others = budget.seconds or 0.0, self._others(costs, layers)
        # As in the plan of the steps, a third of the budget is for learning, where the bound has room.
        least = min(whole / 3, budget.latest() - budget.spent() - others)
        return max(whole - budget.spent() - others, least, whole / 10)

    def _others(self, costs: Costs, layers: int) -> float:
        """Return the seconds of judging and the last figures."""
        budget = self.budget
        whole, row = budget.seconds or 0.0, self.row_seconds(costs, layers)
        rows = min(len(self.valid.rows), JUDGING * whole / (budget.again * row))
        after = budget.final_seconds + rows * (budget.again * row + budget.figure_seconds)
        after = min(after + budget.final_rows * (row + budget.figure_seconds), FIGURES * whole)
        # Judging from kept states costs little more than computing them once.
        times = 1.5 if costs.kept else self.settings.evaluations + 1
        return MARGIN * after + min(times * rows * row, JUDGING * whole)

    def deepened(self, recipe: Recipe, costs: Costs) -> Recipe:
        """Return the recipe of a linear head alone; or one by which layers learn after it, where there is time for that after all."""
        left = (self.budget.seconds or 0.0) - self.budget.spent() - self._others(costs, recipe.layers)
        return recipe if recipe.learning else deepen(costs, recipe, left, by_token=self.task.head == "token")

    def shape(self, recipe: Recipe) -> None:
        """Cut the module to the recipe's layers, and keep what does not learn at rest."""
        if recipe.layers < self.depth:
            keep_lowest(cast(Any, self.module), recipe.layers)
        self.rest(recipe)

    def rest(self, recipe: Recipe) -> None:
        """Keep at rest what does not learn by a recipe, though more of it may have been."""
        resting = recipe.layers - recipe.learning
        freeze(self.module, resting)
        for layer in (anatomy.only_stack(self.module) or ())[resting:]:
            layer.requires_grad_(True)
        if recipe.learning and recipe.share < 1:
            self.training = self.training.some(max(1, int(recipe.share * len(self.training.rows))))
        if recipe.learning and resting:
            self.kept = self._keep(self.training, resting)
        self.kept_valid = self._keep(self.valid, resting) if resting else None

    def _keep(self, examples: Examples, below: int) -> KeptStates | None:
        self.work.parent.mkdir(parents=True, exist_ok=True)
        if not frozen_states.can_precompute(self.module, below, examples, self.work.parent, bf16=self.bf16):
            return None
        collate = partial(self.head.collate, examples, self.padding)
        batches = self._buckets(examples)
        return frozen_states.precompute(
            collate, self.module, below, examples, batches, self.work.parent, bf16=self.bf16
        )

    def fit_head(self, recipe: Recipe, costs: Costs, report: Report) -> tuple[Fitted, float, float]:
        """Read rows and fit the first head in its share of the time; return it, and the share of the rows that were read, and in how
        many times what was measured.

        Args:
            recipe: says whether steps will follow.
            costs: as they were measured.
            report: where it is told.
        """
        budget, left = self.budget, self.available(costs, recipe.layers)
        start = budget.clock()

        def after(seconds: float) -> Callable[[], bool]:
            begun = budget.clock()
            return lambda: budget.clock() - begun > seconds

        judged = read(
            self.reader, self._batches(self.valid, self.kept_valid), self.number_type, over=after(FIRST_JUDGED * left)
        )
        # Rows are read in an order by chance, until time is over: on a machine that has become slower some of them are not. Where
        # steps follow, they have at least half of the time.
        limit = after((0.5 if recipe.learning else 1 - FITTING) * left - (budget.clock() - start))
        with report.bar(message("make.first_head"), total=len(self.training.features), unit="row") as bar:
            batches, reading = self._batches(self.training, self.kept), budget.clock()
            known = read(self.reader, batches, self.number_type, over=limit, advance=bar.advance)
            seconds = budget.clock() - reading
        fitted = self.reader.fit(known, judged, len(self.task.outputs), after(FITTING * left))
        report.note(
            message(
                "make.first_head_fitted", rows=known.rows, loss=fitted.loss, state=message(f"make.reads_{fitted.kind}")
            ),
            rows=known.rows,
            loss=fitted.loss,
        )
        order = np.concatenate(self._buckets(self.training))[: known.rows]
        expected = costs.head(recipe.layers) / costs.tokens * sum(self.training.lengths[row] for row in order)
        return fitted, known.rows / len(self.training.features), seconds / expected

    def _batches(self, examples: Examples, kept: KeptStates | None) -> Iterator[Batch]:
        collate = kept or partial(self.head.collate, examples, self.padding)
        for numbers in self._buckets(examples):
            yield collate(numbers)

    def begun(self, recipe: Recipe, fitted: Fitted, notes: dict[str, Any]) -> Begun:
        """Put the head into the module, and return what the steps that follow go by."""
        self.reader.put(fitted)
        settings, rates = self.settings, self.settings.rates
        resting = recipe.layers - recipe.learning
        settings = settings.replace(
            number_type=self.number_type,
            learning_rate=settings.learning_rate or RATES[self.task.head],
            rates={**rates.model_dump(), "head_rate": rates.head_rate or 1.0},
            body={**settings.body.model_dump(), "frozen": resting},
        )
        return Begun(settings, self.training, recipe, self.kept, self.kept_valid, notes["row_seconds"])


def _adam_seconds() -> float:
    """Return the seconds in which the optimiser changes `ADAM` numbers."""
    weight = nn.Parameter(torch.zeros(ADAM))
    weight.grad = torch.ones(ADAM)
    optimizer = torch.optim.AdamW([weight], fused=True)
    optimizer.step()
    start = time.perf_counter()
    optimizer.step()
    return time.perf_counter() - start
