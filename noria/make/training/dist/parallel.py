"""One process, or several that train one model: data, fully sharded, tensor, or data and tensor parallel.

    together = join(settings.parallel, module, objective, 0, whole=False)  # Alone, or one of a Group
    optimizer = together.optimizer(settings.optimizer)
    for batch in together.share(batches).at(step):                       # this process's rows of the step's batches
        loss, weight = together.score(batch)
        loss.backward()
    loss, weight, tokens = together.total(loss, weight, tokens)          # over all rows of the step
    length = together.settle(optimizer, weight, clip)

Who starts the processes is not its business: `launch.py` does on one machine, torchrun does anywhere; both say in RANK
and WORLD_SIZE which process this is. The loss does not depend on how many there are: a step's rows are the same, losses and
weights are summed before the division, gradients are clipped by their global length.

Data parallel sums gradients in flat buckets after a step's last backward pass. torch's DistributedDataParallel would begin
while that pass still runs; on processors, whose cores both compute and carry the sums, that gains little, and it hangs
where a process has no row of a batch. Sharded layouts are FSDP2 (`fully_shard`) and tensor parallel (`parallelize_module`).
What they split is a copy: the module that the caller holds stays whole, and is filled from the parts where it must be
judged or saved, so evaluators and checkpoints know nothing of layouts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import nn

from noria.make.tokens.batches import Batch, BatchSource
from noria.core.errors import SettingError

from noria.make.training.loop.checkpoint import States
from noria.make.training.loop.optimizer import make_optimizer, settle_gradients
from noria.make.training.settings import OptimizerSettings, ParallelSettings

T = TypeVar("T")
Objective = Callable[[nn.Module, Batch], tuple[torch.Tensor, float]]
PATIENCE = timedelta(hours=12)
"""How long a process waits for the others; one that dies is noticed at once, so this only bounds a machine that hangs."""


class Alone:
    """One process: nothing to share, nothing to wait for. Says what each method is for; a `Group` does it among many."""

    main = True
    """Whether this process writes files, shows progress and asks the evaluator."""
    workers = 1
    device = torch.device("cpu")

    def __init__(self, module: nn.Module, objective: Objective) -> None:
        self.learner = module
        """What learns: the caller's module, or its split copy."""
        self._objective = objective

    def optimizer(self, settings: OptimizerSettings) -> torch.optim.Optimizer:
        """Return a new optimiser over what of the learner lies in this process."""
        return make_optimizer(self.learner, settings)

    def share(self, batches: BatchSource) -> BatchSource:
        """Return this process's rows of every batch."""
        return batches

    def begin(self, step: int) -> None:
        """Prepare for a step: among many, randomness depends on seed, step and rows, not on what was drawn before."""

    def score(self, batch: Batch) -> tuple[torch.Tensor, float]:
        """Return the batch's summed loss, ready to go backward from, and its weight."""
        return self._objective(self.learner, batch)

    def total(self, *values: float) -> tuple[float, ...]:
        """Return each value summed over the processes that hold different rows."""
        return values

    def settle(self, optimizer: torch.optim.Optimizer, weight: float, clip: float) -> float:
        """Sum gradients over all rows, divide by the weight, clip by the global length, and return that length."""
        return settle_gradients(optimizer, weight, clip)

    def first(self, call: Callable[[], T]) -> T:
        """Call in the first process, while the others wait; return what it gave in every process."""
        return call()

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is up in any process."""
        return flags

    def seconds(self) -> dict[str, float]:
        """Return the seconds of this process's steps that went into waiting for the slowest and into summing gradients."""
        return {}

    def gather(self) -> None:
        """Fill the caller's module from the learner."""

    def spread(self) -> None:
        """Fill the learner from the caller's module."""

    def states(self, optimizer: torch.optim.Optimizer) -> States:
        """Return the optimiser's state, whole."""
        return optimizer.state_dict()["state"]

    def restore(self, optimizer: torch.optim.Optimizer, states: States) -> None:
        """Give the optimiser its part of a whole state."""
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        laid = {
            number: {key: _laid_like(parameters[number], value) for key, value in state.items()}
            for number, state in states.items()
        }
        optimizer.load_state_dict({**optimizer.state_dict(), "state": laid})


def _laid_like(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    # A file holds rows one after the other; fused AdamW pairs the numbers of a parameter laid out by columns with those of
    # its means as they lie in memory, so the means must lie as they did.
    if value.shape != parameter.shape or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def join(settings: ParallelSettings, module: nn.Module, objective: Objective, seed: int, *, whole: bool) -> Alone:
    """Return this process's place in the run: alone, or one of the group that RANK and WORLD_SIZE tell of.

    Args:
        settings: the layout.
        module: what learns.
        objective: module and batch -> loss sum and weight.
        seed: seed of dropout.
        whole: something changes the module's weights between steps, so that it cannot be split.

    Raises:
        SettingError: the model or the number of processes does not suit the layout.
    """
    if world_size() == 1:
        return Alone(module, objective)
    if whole and settings.layout != "data":
        raise SettingError(
            "the adapter is changed as a whole between steps", found=settings.layout, allowed="layout data"
        )
    width = tensor_width(settings)
    if world_size() % width:
        raise SettingError(
            f"{world_size()} processes cannot be laid out as {settings.layout}", found=f"{width} along tensor",
            allowed=f"a divisor of {world_size()}",
        )
    from .group import Group

    enter()
    return Group(settings, module, objective, seed=seed)


def tensor_width(settings: ParallelSettings) -> int:
    """Return how many processes share a layer's matrices."""
    return {"tensor": world_size(), "data+tensor": settings.tensor}.get(settings.layout, 1)


def world_size() -> int:
    """Return how many processes there are, this one included."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def local_processes() -> int:
    """Return how many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world_size() > 1 else 1


def first_process() -> bool:
    """Return whether this process is the one that writes and tells."""
    return world_size() == 1 or os.environ["RANK"] == "0"


def enter() -> None:
    """Join the process group, once; whoever started the process has put the address into the environment."""
    import torch.distributed as dist

    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        address = os.environ.get("NORIA_RENDEZVOUS", "env://")
        rank = int(os.environ["RANK"])
        dist.init_process_group(backend, address, rank=rank, world_size=world_size(), timeout=PATIENCE)


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process do the block before the others, so that what it writes is there when they come."""
    if world_size() == 1:
        yield
        return
    import torch.distributed as dist

    enter()
    if not first_process():
        dist.barrier()
    yield
    if first_process():
        dist.barrier()
