"""A model split over processes: its weights sharded (FSDP2), or its layers' matrices cut (tensor parallel)."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from noria.core.errors import SettingError
from noria.core.messages import message
from noria.make.tokens.batches import Batch

_BY_OUTPUTS = re.compile(
    r"self_attn\.[qkv]_proj|mlp\.(gate|up)_proj|attention\.self\.(query|key|value)|intermediate\.dense"
)
_BY_INPUTS = re.compile(r"self_attn\.o_proj|mlp\.down_proj|(attention\.)?output\.dense")
"""Names, within a layer of Llama's or BERT's kind, of the matrices cut by what they give (whole heads, parts of the
feed-forward) and by what they take: one sum after each pair (Shoeybi et al. 2019, "Megatron-LM", section 3)."""


class Scored(nn.Module):
    """A module and its objective as one forward pass.

    Objectives reach for parts of a module (its layers, the head's weight); within this forward pass FSDP has gathered them.
    """

    def __init__(self, module: nn.Module, objective: Callable[[nn.Module, Batch], tuple[torch.Tensor, float]]) -> None:
        super().__init__()
        self.module, self.objective = module, objective

    def forward(self, batch: Batch) -> tuple[torch.Tensor, float]:
        """Return the objective's loss sum and weight."""
        return self.objective(self.module, batch)


def fully_sharded(scored: Scored, mesh: DeviceMesh) -> None:
    """Shard every layer, and what stands outside of layers, over a mesh of one dimension; gradients are summed."""
    for layer in stacked(scored.module):
        fully_shard(layer, mesh=mesh)
    fully_shard(scored, mesh=mesh)
    for part in scored.modules():
        if isinstance(part, FSDPModule):
            # The loop divides by the weight of all rows; FSDP's own division by processes would come on top.
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)


def stacked(module: nn.Module) -> list[nn.Module]:
    """Return the layers of a model: the members of its lists of modules of one kind."""
    lists = [part for part in module.modules() if isinstance(part, nn.ModuleList)]
    inner = {id(below) for one in lists for member in one for below in member.modules()}
    return [
        member for one in lists if id(one) not in inner and len({type(member) for member in one}) == 1 for member in one
    ]


def tensor_parallel(module: nn.Module, mesh: DeviceMesh) -> None:
    """Cut the matrices of every layer over a mesh of one dimension; norms, embeddings and heads stay whole in all.

    Raises:
        SettingError: the layers are of no known kind, or heads and widths cannot be divided so.
    """
    width, config = mesh.size(), getattr(module, "config", None)
    plan: dict[str, ParallelStyle] = {}
    for name, part in module.named_modules():
        _, layer, within = re.sub(r"\.layers?\.\d+\.", "|layer|", f".{name}", count=1).partition("|layer|")
        if not layer or not any(True for _ in part.parameters(recurse=False)) or type(part).__name__.endswith("Norm"):
            continue
        style = ColwiseParallel if _BY_OUTPUTS.fullmatch(within) else RowwiseParallel
        if not isinstance(part, nn.Linear) or not (style is ColwiseParallel or _BY_INPUTS.fullmatch(within)):
            plan.clear()
            break
        plan[name] = style()
    if not plan:
        raise SettingError(
            message("make.layout_tensor"),
            found=getattr(config, "model_type", type(module).__name__),
            allowed=message("make.llama_bert"),
            hint=message("make.use_layout"),
        )
    for name in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        size = getattr(config, name, None) or width
        if size % width:
            raise SettingError(
                message("make.model_cannot_cut", width=width),
                found=f"{name} {size}",
                allowed=message("make.multiple", width=width),
            )
    parallelize_module(module, mesh, plan)
