"""LoRAs on a base that they are not merged into, as their files say: each text names the one that it is written with.

    changes = read_lora(lora_folder("runs/legal"))        # peft's folder, or a model folder of Noria's with one inside
    changes["model.layers.0.self_attn.q_proj"].up         # float32 [out, rank]

Read without torch, which the process of another engine does not load.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from noria.core.errors import FolderError
from noria.core.messages import message

from .gguf.reader import is_gguf

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ROOT = "base_model.model."
"""What the names of an adapter's tensors begin with."""
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_NUMBERS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


@dataclass(frozen=True)
class Change:
    """What one matrix is changed by: W + up @ down (Hu et al. 2021)."""

    down: np.ndarray
    """float32 [rank, in]."""
    up: np.ndarray
    """float32 [out, rank], its scale in it."""


def lora_folder(path: Path) -> Path:
    """Return where a LoRA lies: a GGUF, a folder as peft writes it, or the `adapter` folder of a model folder."""
    inner = path / "adapter"
    return inner if (inner / CONFIG).is_file() and not (path / CONFIG).is_file() else path


def lora_version(path: Path) -> str:
    """Return what tells the content of a LoRA from another under the same name; empty where it cannot be read."""
    place = lora_folder(path)
    files = [place] if place.is_file() else [place / CONFIG, place / WEIGHTS]
    digest = hashlib.sha256()
    try:
        for file in files:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError:
        return ""
    return digest.hexdigest()[:12]


def odd_parts(config: Mapping[str, Any]) -> str:
    """Return what makes an adapter of peft's something else than low-rank changes of matrices; empty where nothing does."""
    odd = [key for key in ("use_dora", "use_rslora", "lora_bias", "fan_in_fan_out") if config.get(key)]
    if config.get("bias", "none") != "none":
        odd.append(f"bias {config['bias']}")
    return ", ".join(odd) or ("" if config.get("peft_type") == "LORA" else str(config.get("peft_type", "no peft_type")))


def alpha_of(config: Mapping[str, Any], path: str) -> float:
    """Return the numerator of the scale of one matrix's change; its rank is the denominator."""
    patterns = config.get("alpha_pattern") or {}
    found = [alpha for key, alpha in patterns.items() if re.fullmatch(rf"(?:.*\.)?{key}", path)]
    return float(found[0] if found else config["lora_alpha"])


def read_lora(place: Path) -> dict[str, Change]:
    """Return the changes of a LoRA, by the matrix's path in transformers.

    Raises:
        FolderError: it is missing, damaged, or changes something else than matrices.
    """
    if is_gguf(place):
        raise FolderError(message("infer.adapter_gguf", place=place), hint=message("infer.adapter_peft"))
    try:
        config = json.loads((place / CONFIG).read_text(encoding="utf-8"))
        tensors = {name.removeprefix(ROOT): tensor for name, tensor in _parsed(place / WEIGHTS)}
        odd = odd_parts(config)
        strange = next((name for name in tensors if not name.endswith((_DOWN, _UP))), None)
        if odd or strange or not tensors:
            raise FolderError(
                message("infer.adapter_no_lora", place=place), found=odd or strange or message("infer.parts", parts=0)
            )
        paths = dict.fromkeys(name.removesuffix(_DOWN).removesuffix(_UP) for name in tensors)
        changes = {}
        for path in paths:
            down, up = (_array(tensors[path + end]) for end in (_DOWN, _UP))
            changes[path] = Change(down, up * np.float32(alpha_of(config, path) / len(down)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, SafetensorError) as error:
        raise FolderError(message("infer.adapter_cannot", place=place), found=str(error).strip()) from None
    return changes


def check_fit(place: Path, changes: Mapping[str, Change], shapes: Mapping[str, Collection[int]]) -> None:
    """Refuse a LoRA that was made for another base.

    Args:
        place: of the LoRA.
        changes: what it holds.
        shapes: of the base's matrices, (out, in) by path.

    Raises:
        FolderError: the base has no such matrix, or one of another shape.
    """
    for path, change in changes.items():
        own = (len(change.up), change.down.shape[1])
        if tuple(shapes.get(path, ())) != own or change.up.shape[1] != len(change.down):
            found = f"{path}: {own[0]} x {own[1]}"
            there = " x ".join(map(str, shapes[path])) if path in shapes else message("infer.adapter_no_matrix")
            raise FolderError(message("infer.adapter_made", place=place), found=found, allowed=there)


def _parsed(file: Path) -> list[tuple[str, dict[str, Any]]]:
    parsed: list[tuple[str, dict[str, Any]]] = deserialize(file.read_bytes())  # type: ignore[no-untyped-call]
    return parsed


def _array(tensor: Mapping[str, Any]) -> np.ndarray:
    shape = tensor["shape"]
    if len(shape) != 2:
        raise ValueError(f"{len(shape)} dimensions")
    if tensor["dtype"] == "BF16":  # the upper half of a float32
        return (np.frombuffer(tensor["data"], "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(tensor["data"], _NUMBERS[tensor["dtype"]]).astype(np.float32).reshape(shape)
