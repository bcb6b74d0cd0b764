"""One optimiser step: passes over its batches, alone or among several processes, and what is learned of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from torch import nn

from noria.core.memory import release_memory
from noria.machine import computing
from noria.make.tokens.batches import Batch, BatchSource
from noria.make.training.parallel.process_group import process_group
from noria.make.training.parallel.single import Objective
from noria.make.training.settings import TrainSettings

from .memory import taken
from .optimizer import rate, set_rate
from .plan import Plan

AfterStep = Callable[[int, int], None]
REST = 50
"""Free pages are given back for one part of the time in so many."""


class Stepper:
    """Takes steps of one module; on which numbers and out of how many is set by the plan."""

    plan: Plan

    def __init__(
        self,
        module: nn.Module,
        batches: BatchSource,
        objective: Objective,
        settings: TrainSettings,
        after_step: AfterStep | None,
    ) -> None:
        self.settings, self.after_step = settings.optimizer, after_step
        self.group = process_group(settings.parallel, module, objective, settings.seed, whole=after_step is not None)
        self.shard, self.tokens_per_step = self.group.shard(batches), batches.tokens_per_step
        self._again = 0.0
        self.fresh()

    def fresh(self) -> None:
        """Begin with an optimiser that has seen nothing."""
        self.optimizer = self.group.optimizer(self.settings)

    def passes(self, batches: Sequence[Batch], step: int = 0) -> tuple[float, float]:
        """Add the gradients of all batches up; return the sums of their losses and of their weights."""
        loss_sum, weight_sum = 0.0, 0.0
        self.group.seed_step(step)
        for batch in batches:
            with self.computing():
                loss, weight = self.group.score(batch)
            loss.backward()
            loss_sum, weight_sum = loss_sum + loss.item(), weight_sum + float(weight)
            self._hold_to_plan()
        return loss_sum, weight_sum

    def _hold_to_plan(self) -> None:
        """Give free pages back where the process holds more than was told: passes of other shapes leave pieces that the next cannot use."""
        told, start = self.plan.held_bytes + self.plan.memory_bytes, time.perf_counter()
        if self.plan.held_bytes and start > self._again and taken(self.group.place) > told:
            release_memory()
            now = time.perf_counter()
            self._again = now + REST * (now - start)

    def computing(self) -> AbstractContextManager[Any]:
        """Compute on the plan's numbers."""
        return computing(self.plan.machine.number_type)

    def reduce_and_clip(self, weight: float) -> float:
        """Divide the gradients by their weight, clip them, and return the length they had."""
        return self.group.reduce_and_clip(self.optimizer, weight, self.settings.clip)

    def learn(self, step: int) -> None:
        """Change the weights by the gradients, which are gone afterwards."""
        set_rate(self.optimizer, self.rate(step))
        with self.computing():  # Muon multiplies matrices
            self.optimizer.step()
        if self.after_step is not None:
            plan = self.plan.in_force(step)
            self.after_step(round(plan.place(step + 1)), plan.steps)
        self.optimizer.zero_grad(set_to_none=True)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        plan = self.plan.in_force(step)
        return rate(plan.place(step), plan.steps, self.settings)

    def try_passes(self, batches: Sequence[Batch]) -> None:
        """Take batches forward and backward and learn nothing."""
        self.passes(batches)
        self.group.learner.zero_grad(set_to_none=True)

    def try_step(self, batches: Sequence[Batch]) -> None:
        """Take batches through a whole step; whoever tries puts the weights back."""
        _, weight = self.group.all_reduce_sum(*self.passes(batches))
        self.reduce_and_clip(weight or 1.0)
        self.learn(0)

    def try_number(self, number: int) -> int:
        """Try the step of a number and return its tokens, those of all processes."""
        batches = self.shard.at(number)
        self.try_step(batches)
        return int(self.group.all_reduce_sum(sum(batch.tokens for batch in batches))[0])
