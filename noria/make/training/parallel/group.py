"""One of several processes that train one model: who holds which rows and which weights, and how they are summed.

The processes form a mesh of two dimensions, data x tensor. Those along data hold different rows; those along tensor the
same rows, and different parts of the layers' matrices. The optimiser works on the parts that lie in its own process, as
plain tensors: AdamW treats every number by itself, so a part is stepped as it would be within the whole. Muon does not: the
gradient of a matrix that is cut is put together for its step.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor

from noria.infer.device import place_of
from noria.make.tokens.batches import Batch, BatchSource, Sharded
from noria.make.training.loop.checkpoint import States, learned, weights
from noria.make.training.loop.muon import Muon, direction
from noria.make.training.loop.optimizer import make_optimizer, scale_and_clip
from noria.make.training.loop.rng_state import seed_all
from noria.make.training.settings import OptimizerSettings, ParallelSettings

from .processes import tensor_width
from .single import Objective, SingleProcess
from .split import Scored, fully_sharded, tensor_parallel

T = TypeVar("T")
BUCKET = 8 << 20
"""Numbers of one sum: large enough that starting it costs nothing beside it, small enough that copies stay short-lived."""


class ProcessGroup(SingleProcess):
    """This process among the others; every method but `score` is called by all of them, in the same order.

    Args:
        settings: the layout.
        module: the same in every process; the first one's weights are taken.
        objective: module and batch -> loss sum and weight.
        seed: seed of dropout.

    Raises:
        SettingError: the model does not suit the layout.
    """

    def __init__(self, settings: ParallelSettings, module: nn.Module, objective: Objective, *, seed: int) -> None:
        self.workers = dist.get_world_size()
        self.is_main = dist.get_rank() == 0
        self.place = place_of(module)
        width = tensor_width(settings)
        self.mesh = init_device_mesh(self.place.type, (self.workers // width, width), mesh_dim_names=("data", "tensor"))
        self._seconds = {"waiting": 0.0, "summing": 0.0}
        self._seed, self._module, self._objective = seed, module, objective
        for tensor in weights(module).values():
            first = tensor.contiguous()
            dist.broadcast(first, 0)
            tensor.copy_(first)
        self.learner, self._scored = module, None
        if settings.layout != "data":
            self.learner = copy.deepcopy(module)
        self._split = self.learner is not module
        if settings.layout in ("tensor", "data+tensor"):
            tensor_parallel(self.learner, self.mesh["tensor"])
        elif settings.layout == "fsdp":
            self._scored = Scored(self.learner, objective)
            fully_sharded(self._scored, self.mesh["data"])
        self._sharded_over = {"fsdp": "data", "tensor": "tensor", "data+tensor": "tensor"}.get(settings.layout)
        self._sums = settings.layout != "fsdp" and self.mesh["data"].size() > 1
        self._whole: list[nn.Parameter] = []
        self._own: list[torch.Tensor] = []

    def optimizer(self, settings: OptimizerSettings) -> torch.optim.Optimizer:
        """Return a new optimiser over this process's parts."""
        optimizer = make_optimizer(self.learner, settings)
        self._whole = [one for group in optimizer.param_groups for one in group["params"]]
        self._own = [_local(one) for one in self._whole]
        parts = iter(self._own)
        for group in optimizer.param_groups:
            group["params"] = [next(parts) for _ in group["params"]]
        if isinstance(optimizer, Muon):
            optimizer.direction = self._direction
        return optimizer

    def shard(self, batches: BatchSource) -> BatchSource:
        """Return the rows of this process's place along data."""
        data = self.mesh["data"]
        return Sharded(batches, data.get_local_rank(), data.size())

    def seed_step(self, step: int) -> None:
        """Seed by run, step and place along data: the same where the run goes on, the same along tensor."""
        numbers = np.random.SeedSequence([self._seed % 2**64, step, self.mesh["data"].get_local_rank()])
        seed_all(int(numbers.generate_state(1)[0]))

    def score(self, batch: Batch) -> tuple[torch.Tensor, float]:
        """Score this process's rows; where it has none and all must take part, another's pass and count nothing."""
        batch = batch.beside(self.learner)
        if self._scored is not None:
            loss, weight = self._scored(batch)
            return (loss, weight) if batch.share else (loss * 0.0, 0.0)
        if not batch.share:
            return torch.zeros((), requires_grad=True, device=self.place), 0.0
        return self._objective(self.learner, batch)

    def all_reduce_sum(self, *values: float) -> tuple[float, ...]:
        """Sum over the data dimension."""
        start = time.perf_counter()
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums, group=self.mesh["data"].get_group())
        self._seconds["waiting"] += time.perf_counter() - start
        return tuple(sums.tolist())

    def reduce_and_clip(self, optimizer: torch.optim.Optimizer, weight: float, clip: float) -> float:
        """Sum the gradients that differ between processes; divide, and clip by the length of the whole gradient."""
        for whole, own in zip(self._whole, self._own, strict=True):
            if own is not whole and whole.grad is not None:
                own.grad, whole.grad = _local_gradient(whole), None
        start = time.perf_counter()
        if self._sums:
            self._sum_gradients()
        self._seconds["summing"] += time.perf_counter() - start
        return scale_and_clip(optimizer, weight, clip, self._length)

    def on_main(self, call: Callable[[], T]) -> T:
        """Call in the first process, while the others wait; return what it gave."""
        box: list[Any] = [call() if self.is_main else None]
        dist.broadcast_object_list(box, 0, device=torch.device("cpu"))
        given: T = box[0]
        return given

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is up in any process."""
        found = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return tuple(bool(flag) for flag in found)

    def seconds(self) -> dict[str, float]:
        """Return the seconds spent waiting for the slowest and summing gradients, since weights were last spread."""
        return dict(self._seconds)

    def gather_weights(self) -> None:
        """Fill the caller's module, in the first process, from all parts."""
        if self._split:
            own = learned(self._module)
            for name, tensor in learned(self.learner).items():
                whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
                if self.is_main:
                    own[name].copy_(whole)

    def scatter_weights(self) -> None:
        """Fill this process's parts from the caller's module."""
        self._seconds = dict.fromkeys(self._seconds, 0.0)  # steps on trial are over
        if self._split:
            own = learned(self._module)
            with torch.no_grad():
                for name, tensor in learned(self.learner).items():
                    _local(tensor).copy_(_part_of(own[name].to(self.place), tensor))

    def optimizer_states(self, optimizer: torch.optim.Optimizer) -> States:
        """Return the optimiser's state with every tensor whole, on the processor."""
        return {
            number: {key: _joined(value, self._whole[number]).cpu() for key, value in state.items()}
            for number, state in optimizer.state_dict()["state"].items()
        }

    def restore(self, optimizer: torch.optim.Optimizer, optimizer_states: States) -> None:
        """Give the optimiser its parts of a whole state."""
        parts = {
            number: {
                key: _part_of(value, self._whole[number]) if value.shape == self._whole[number].shape else value
                for key, value in state.items()
            }
            for number, state in optimizer_states.items()
        }
        super().restore(optimizer, parts)

    def _direction(self, parameter: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Return this process's part of where a matrix moves by Muon, and the longer side of all of it."""
        like = next(whole for whole, own in zip(self._whole, self._own, strict=True) if own is parameter)
        moved, longest = direction(like, _joined(gradient, like))
        return _part_of(moved, like), longest

    def _sum_gradients(self) -> None:
        """Sum gradients over the processes with other rows; what has a gradient in none of them stays without."""
        group = self.mesh["data"].get_group()
        there = torch.tensor([own.grad is not None for own in self._own], dtype=torch.int32)
        dist.all_reduce(there, dist.ReduceOp.MAX, group=group)
        gradients = []
        for own, anywhere in zip(self._own, there.tolist(), strict=True):
            if anywhere:
                own.grad = torch.zeros_like(own) if own.grad is None else own.grad
                gradients.append(own.grad)
        for bucket in _buckets(gradients):
            flat = torch.cat([one.reshape(-1) for one in bucket])
            dist.all_reduce(flat, group=group)
            for one, found in zip(bucket, flat.split([one.numel() for one in bucket]), strict=True):
                one.copy_(found.view_as(one))

    def _length(self, gradients: list[torch.Tensor]) -> float:
        """Return the Euclidean norm of the whole gradient: parts summed over processes, what all hold counted once."""
        parts = {id(own.grad) for whole, own in zip(self._whole, self._own, strict=True) if _is_part(whole)}
        squares = torch.zeros(2, dtype=torch.float64)
        for gradient, length in zip(gradients, torch._foreach_norm(gradients), strict=True):
            squares[int(id(gradient) in parts)] += float(length) ** 2
        if self._sharded_over:
            dist.all_reduce(squares[1:], group=self.mesh[self._sharded_over].get_group())
        return float(squares.sum().sqrt())


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """Return what of a tensor lies in this process; writing to it writes to the tensor."""
    with torch.no_grad():
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _local_gradient(parameter: nn.Parameter) -> torch.Tensor:
    gradient, placements = cast(DTensor, parameter.grad), cast(DTensor, parameter).placements
    if gradient.placements != placements:
        gradient = gradient.redistribute(placements=placements)
    return _local(gradient)


def _is_part(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, DTensor) and any(placement.is_shard() for placement in tensor.placements)


def _part_of(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the part of a whole tensor that this process holds of `like`."""
    if not isinstance(like, DTensor):
        return whole
    # Every process has read the whole, so none is sent.
    return _local(distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)).clone()


def _joined(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the whole of an optimiser's value, kept in parts like its parameter; a count is the same everywhere."""
    if not isinstance(like, DTensor) or value.shape != _local(like).shape:
        return value
    parts = DTensor.from_local(
        value, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )
    return parts.full_tensor()


def _buckets(tensors: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    bucket: list[torch.Tensor] = []
    for tensor in tensors:
        if bucket and sum(one.numel() for one in bucket) + tensor.numel() > BUCKET:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
