"""Adapters as folders: one safetensors file and one JSON file. A LoRA is in peft's layout, so peft and servers load it.

An AdaLoRA is saved as the LoRA that it has become: the triplets that kept their value, each matrix with its own rank.
Bottlenecks and prefixes have a layout of our own, with the same file names.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from noria.core.errors import FolderError, SettingError
from noria.core.folder import write_json
from noria.core.messages import message
from noria.infer.loras import CONFIG, ROOT, WEIGHTS, alpha_of, odd_parts

from . import anatomy, prefix
from .adapt import DEFAULT, Adapter, adapters, enlist, in_use, merge, mergeable, parts, ranks, use
from .adapt_settings import AdapterSettings
from .adapted import AdaptedLinear, Bottleneck
from .lora import LowRank, Triplets, WeightChange

_TASKS = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
    "ForCausalLM": "CAUSAL_LM",
    "ForConditionalGeneration": "SEQ_2_SEQ_LM",
    "MTModel": "SEQ_2_SEQ_LM",
}
"""End of a class's name -> peft's word for its task."""


def save_adapter(module: nn.Module, folder: Path, name: str | None = None) -> None:
    """Write an adapter (the one in use unless named) and its heads into a folder.

    Raises:
        SettingError: the module has no such adapter.
    """
    name = name or in_use(module)
    if name not in adapters(module):
        raise SettingError(message("make.module_such"), found=name, allowed=adapters(module))
    adapter = adapters(module)[name]
    own = dict(parts(module, name))
    heads = {
        f"{path}.{key}": tensor for path, head in adapter.heads.items() for key, tensor in head.state_dict().items()
    }
    if adapter.settings.kind in ("lora", "adalora"):
        config, tensors = _as_lora(module, own, adapter)
    else:
        config = {"noria": adapter.settings.model_dump(mode="json"), "heads": list(adapter.heads)}
        tensors = {f"{path}.{key}": tensor for path, part in own.items() for key, tensor in part.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {ROOT + key: tensor.detach().contiguous() for key, tensor in {**tensors, **heads}.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)
    write_json(folder / CONFIG, config)


def _as_lora(
    module: nn.Module, own: dict[str, nn.Module], adapter: Adapter
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    tensors, found, alphas = {}, {}, {}
    for path, part in own.items():
        change = cast(WeightChange, part)
        up, down = change.factors()
        if isinstance(part, Triplets):
            up, down = up[:, part.kept], down[part.kept]
        if len(down):
            tensors[f"{path}.lora_A.weight"], tensors[f"{path}.lora_B.weight"] = down, up
            found[path], alphas[path] = len(down), change.scale * len(down)
    rank, alpha = adapter.settings.rank, adapter.settings.alpha
    task = next((word for end, word in _TASKS.items() if type(module).__name__.endswith(end)), None)
    config = {
        "peft_type": "LORA",
        "task_type": task,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "target_modules": list(found),
        "rank_pattern": {path: own_rank for path, own_rank in found.items() if own_rank != rank},
        "alpha_pattern": {path: own_alpha for path, own_alpha in alphas.items() if own_alpha != alpha},
        "modules_to_save": sorted({path.rpartition(".")[2] for path in adapter.heads}) or None,
    }
    return config, tensors


def load_adapter(module: nn.Module, folder: Path, name: str = DEFAULT, *, heads: bool = True) -> None:
    """Put a saved adapter on a transformers model under a name, beside any others, and use it.

    Args:
        module: the base, or a base with adapters.
        folder: where `save_adapter` wrote it, or peft a LoRA.
        name: what to call it.
        heads: take its heads too, be there more labels or fewer; else it goes with those that the module has.

    Raises:
        FolderError: no adapter there, one of an unknown layout, or one made for another base.
        SettingError: the module has an adapter of that name already.
    """
    config, tensors = _read(folder)
    settings = _settings(config, folder)
    per_head, per_part = _sorted(module, tensors)
    _check(module, per_part, folder)
    own = {path: module.get_submodule(path) for path in anatomy.heads(module)}
    if heads:
        own |= {path: _head_of(own[path], states) for path, states in per_head.items()}
    enlist(module, name, Adapter(settings, own))
    random = torch.Generator().manual_seed(0)
    for path, state in per_part.items():
        holder = module.get_submodule(path)
        if settings.kind == "prefix":
            before = prefix.Prefix()
            before.fill(state["key"], state["value"])
            prefix.hold(holder).prefixes[name] = before
            continue
        linear = cast(AdaptedLinear, holder)
        if settings.kind == "bottleneck":
            after = Bottleneck(linear, len(state["down"]), random)
            after.load_state_dict(state)
            linear.adapters[name] = after
        else:
            down, up = state["lora_A.weight"], state["lora_B.weight"]
            change = LowRank(linear, len(down), alpha_of(config, path) / len(down), random)
            change.load_state_dict({"down": down, "up": up})
            linear.adapters[name] = change
    use(module, name)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise FolderError(
            message("make.holds_adapter_2", folder=folder), allowed=message("make.and", config=CONFIG, weights=WEIGHTS)
        ) from None
    except (ValueError, OSError, SafetensorError) as error:
        raise FolderError(message("make.cannot_read_2", folder=folder), found=str(error)) from None
    return config, {key.removeprefix(ROOT): tensor for key, tensor in tensors.items()}


def _settings(config: dict[str, Any], folder: Path) -> AdapterSettings:
    if "noria" in config:
        return AdapterSettings.make(**config["noria"])
    if found := odd_parts(config):
        raise FolderError(message("make.holds_adapter", folder=folder), found=found, allowed=message("make.plain_lora"))
    return AdapterSettings.make(kind="lora", rank=config["r"], alpha=config["lora_alpha"])


def _sorted(
    module: nn.Module, tensors: dict[str, torch.Tensor]
) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, dict[str, torch.Tensor]]]:
    """Return the tensors of heads and of parts: path of the head, matrix or attention -> name -> tensor."""
    names = anatomy.heads(module)
    per_head: dict[str, dict[str, torch.Tensor]] = {}
    per_part: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        head = next((path for path in names if key.startswith(path + ".")), None)
        if head is not None:
            per_head.setdefault(head, {})[key.removeprefix(head + ".")] = tensor
        else:
            cut = 2 if key.endswith((".lora_A.weight", ".lora_B.weight")) else 1
            words = key.split(".")
            per_part.setdefault(".".join(words[:-cut]), {})[".".join(words[-cut:])] = tensor
    return per_head, per_part


def _check(module: nn.Module, per_part: dict[str, dict[str, torch.Tensor]], folder: Path) -> None:
    known = dict(module.named_modules())
    for path, state in per_part.items():
        holder = known.get(path)
        wrong = holder is None
        if isinstance(holder, nn.Linear):
            shapes = {key: list(tensor.shape) for key, tensor in state.items()}
            rows, columns = holder.out_features, holder.in_features
            wanted = {"lora_A.weight": (1, columns), "lora_B.weight": (0, rows), "down": (1, rows), "up": (0, rows)}
            wrong = any(shapes[key][axis] != size for key, (axis, size) in wanted.items() if key in shapes)
        if wrong:
            raise FolderError(
                message("make.holds_adapter_another", folder=folder), found=path, allowed=message("make.base_made")
            )


def _head_of(head: nn.Module, state: dict[str, torch.Tensor]) -> nn.Module:
    """Return a copy of a head with these tensors, be there more labels or fewer."""
    new = copy.deepcopy(head)
    for key, tensor in state.items():
        owner, _, last = key.rpartition(".")
        setattr(new.get_submodule(owner), last, nn.Parameter(tensor.clone()))
    return new


def write_adapter(module: nn.Module, folder: Path, *, merging: bool = True) -> dict[str, Any]:
    """Write the adapter in use to `folder/adapter`, merge it where that can be done, and return what a manifest says of it.

    Without `merging` the module stays as it is, for who writes the merged weights by themselves.

    After it, `base_state` is what the model folder's own weights are.
    """
    from .saved import save_adapter

    settings, merged = adapters(module)[in_use(module)].settings, mergeable(module)
    save_adapter(module, folder / "adapter")
    facts = {**settings.model_dump(mode="json"), "merged": merged}
    if settings.kind == "adalora":
        facts["ranks"] = ranks(module)
    if merged and merging:
        merge(module)
    return facts
