"""One process that trains: nothing to share, nothing to wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from noria.infer.device import place_of
from noria.make.tokens.batches import Batch, BatchSource
from noria.make.training.loop.checkpoint import States
from noria.make.training.loop.optimizer import make_optimizer, scale_and_clip
from noria.make.training.settings import OptimizerSettings

T = TypeVar("T")
Objective = Callable[[nn.Module, Batch], tuple[torch.Tensor, float]]


class SingleProcess:
    """One process: nothing to share, nothing to wait for. Says what each method is for; a `ProcessGroup` does it among many."""

    is_main = True
    """Whether this process writes files, shows progress and asks the evaluator."""
    workers = 1

    def __init__(self, module: nn.Module, objective: Objective) -> None:
        self.learner = module
        """What learns: the caller's module, or its split copy."""
        self.place = place_of(module)
        """The device that it computes on."""
        self._objective = objective

    def optimizer(self, settings: OptimizerSettings) -> torch.optim.Optimizer:
        """Return a new optimiser over what of the learner lies in this process."""
        return make_optimizer(self.learner, settings)

    def shard(self, batches: BatchSource) -> BatchSource:
        """Return this process's rows of every batch."""
        return batches

    def seed_step(self, step: int) -> None:
        """Prepare for a step: among many, randomness depends on seed, step and rows, not on what was drawn before."""

    def score(self, batch: Batch) -> tuple[torch.Tensor, float]:
        """Return the batch's summed loss, ready to go backward from, and its weight."""
        return self._objective(self.learner, batch.beside(self.learner))

    def all_reduce_sum(self, *values: float) -> tuple[float, ...]:
        """Return each value summed over the processes that hold different rows."""
        return values

    def reduce_and_clip(self, optimizer: torch.optim.Optimizer, weight: float, clip: float) -> float:
        """Sum gradients over all rows, divide by the weight, clip by the global length, and return that length."""
        return scale_and_clip(optimizer, weight, clip)

    def on_main(self, call: Callable[[], T]) -> T:
        """Call in the first process, while the others wait; return what it gave in every process."""
        return call()

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is up in any process."""
        return flags

    def seconds(self) -> dict[str, float]:
        """Return the seconds of this process's steps that went into waiting for the slowest and into summing gradients."""
        return {}

    def gather_weights(self) -> None:
        """Fill the caller's module from the learner."""

    def scatter_weights(self) -> None:
        """Fill the learner from the caller's module."""

    def optimizer_states(self, optimizer: torch.optim.Optimizer) -> States:
        """Return the optimiser's state, whole, on the processor."""
        states: States = optimizer.state_dict()["state"]
        return {number: {key: value.cpu() for key, value in state.items()} for number, state in states.items()}

    def restore(self, optimizer: torch.optim.Optimizer, optimizer_states: States) -> None:
        """Give the optimiser its part of a whole state."""
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        laid = {
            number: {key: _laid_like(parameters[number], value) for key, value in state.items()}
            for number, state in optimizer_states.items()
        }
        optimizer.load_state_dict({**optimizer.state_dict(), "state": laid})


def _laid_like(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    # A file holds rows one after the other; fused AdamW pairs the numbers of a parameter laid out by columns with those of
    # its means as they lie in memory, so the means must lie as they did.
    if value.shape != parameter.shape or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
