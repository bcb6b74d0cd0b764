"""One process, or several that train one model: data, fully sharded, tensor, or data and tensor parallel.

    group = process_group(settings.parallel, module, objective, 0, whole=False)  # a SingleProcess, or one of a ProcessGroup
    optimizer = group.optimizer(settings.optimizer)
    for batch in group.shard(batches).at(step):                       # this process's rows of the step's batches
        loss, weight = group.score(batch)
        loss.backward()
    loss, weight, tokens = group.all_reduce_sum(loss, weight, tokens)          # over all rows of the step
    length = group.reduce_and_clip(optimizer, weight, clip)

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

from torch import nn

from noria.core.errors import SettingError
from noria.core.messages import message
from noria.make.training.settings import ParallelSettings

from .processes import init_process_group, tensor_width, world_size
from .single import Objective, SingleProcess


def process_group(
    settings: ParallelSettings, module: nn.Module, objective: Objective, seed: int, *, whole: bool
) -> SingleProcess:
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
        return SingleProcess(module, objective)
    if whole and settings.layout != "data":
        raise SettingError(message("make.adapter_changed"), found=settings.layout, allowed="layout data")
    width = tensor_width(settings)
    if world_size() % width:
        raise SettingError(
            message("make.processes_cannot", world_size=world_size(), layout=settings.layout),
            found=message("make.along_tensor", width=width),
            allowed=message("make.divisor", world_size=world_size()),
        )
    from .group import ProcessGroup

    init_process_group()
    return ProcessGroup(settings, module, objective, seed=seed)
