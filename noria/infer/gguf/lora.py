"""A LoRA as the GGUF that llama.cpp puts beside a base: that which was brought, or one written from peft's layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from noria.core.errors import FolderError
from noria.core.messages import message
from noria.infer.loras import Change, check_fit, lora_folder, read_lora

from .families import family_of, gguf_name, tensor_name, turns
from .reader import Gguf, is_gguf, read_gguf

_ENDS = (".lora_a", ".lora_b")


def lora_file(path: Path, base: Gguf, target: Path) -> Path:
    """Return the GGUF of a LoRA for a base: the file that was brought, or `target`, which is written.

    Raises:
        FolderError: it is missing, damaged, no plain LoRA or made for another base, or the base's family is not known.
    """
    place = lora_folder(path)
    if is_gguf(place):
        _check_brought(place, base)
        return place
    changes = read_lora(place)
    family = family_of(base)
    shapes = {
        named.removesuffix(".weight"): tensor.shape
        for name, tensor in base.tensors.items()
        if (named := tensor_name(family, name)) and named.endswith(".weight")
    }
    check_fit(place, changes, shapes)
    _write(changes, base, target)
    return target


def _check_brought(place: Path, base: Gguf) -> None:
    opened = read_gguf(place)
    if opened.facts.get("general.type") != "adapter" or opened.facts.get("adapter.type") != "lora":
        raise FolderError(
            message("infer.adapter_no_lora", place=place), found=opened.facts.get("general.type", "model")
        )
    changed = {name.removesuffix(_ENDS[0]).removesuffix(_ENDS[1]) for name in opened.tensors}
    strange = next(iter(changed - set(base.tensors)), None)
    if opened.architecture != base.architecture or strange:
        raise FolderError(
            message("infer.adapter_made", place=place), found=strange or opened.architecture, allowed=base.architecture
        )


def _write(changes: Mapping[str, Change], base: Gguf, target: Path) -> None:
    """Write changes in llama.cpp's names and order of places; their scale is in them, so the file's is left at none."""
    import gguf

    family = family_of(base)
    heads = base.own("attention.head_count")
    turned = {".attn_q.": heads, ".attn_k.": base.own("attention.head_count_kv", heads)} if family.turned else {}
    out = gguf.GGUFWriter(target, base.architecture)
    out.add_type(gguf.GGUFType.ADAPTER)
    out.add_string("adapter.type", "lora")
    out.add_float32("adapter.lora.alpha", 0.0)
    for path, change in changes.items():
        name = str(gguf_name(family, f"{path}.weight"))
        count = next((count for part, count in turned.items() if part in name), 0)
        up = turns(change.up, count) if count else change.up
        for end, matrix in zip(_ENDS, (change.down, up), strict=True):
            out.add_tensor(name + end, np.ascontiguousarray(matrix, np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
