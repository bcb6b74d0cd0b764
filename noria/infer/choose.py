"""Which engine runs a model folder: that of its faster file where its certificate was passed, else torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

from noria.core.errors import FolderError, SettingError, unknown
from noria.core.folder import Manifest, read_manifest
from noria.core.messages import message
from noria.machine import allowed_here, cores
from noria.tasks.companion import open_task
from noria.tasks.task import Task

from .device import named
from .engine import ENGINES, KINDS, LEAST_CORES, Engine, Kind
from .gguf.folder import with_weights


def open_engine(
    folder: str | Path,
    *,
    threads: int | None = None,
    prefer: str | None = None,
    device: str = "cpu",
    adapters: Mapping[str, Path] | None = None,
    rounded: bool = False,
) -> Engine:
    """Return the engine for a model folder: that of the file in `engine/` where its certificate was passed, else torch.

    The faster ones are of the processor: on an accelerator torch answers, with the trained weights.

    Args:
        folder: a model folder.
        threads: of one forward pass; all cores by default.
        prefer: torch, packed, openvino, onnx, pair, llamacpp or genai, whatever the certificate says: what certifying itself needs.
        device: where it computes; see `device.chosen`. With an engine of the processor auto is the processor.
        adapters: name -> a LoRA beside the weights of a causal model, of which each completion may have one.
        rounded: where torch answers, an encoder may compute in bfloat16, if that is measured clearly faster: what many texts are
            embedded with, of which no single number counts.

    Raises:
        FolderError: the folder is missing, damaged or no model, or holds no file for the engine asked for; an adapter is damaged or
            was made for another model.
        SettingError: unknown engine or device, the engine asked for does not compute on the device that was named, or takes no adapters.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    task = open_task(folder, manifest)
    threads = threads or cores()
    if prefer not in (None, *KINDS):
        raise unknown("engine", str(prefer), KINDS)
    place = "cpu" if device == "auto" and prefer not in (None, "torch") else named(device)
    if place != "cpu" and prefer not in (None, "torch"):
        raise SettingError(message("infer.engine_on_processor"), found=f"{prefer}, {place}", allowed="torch")
    kind = cast(Kind, prefer) or (best_kind(folder) if place == "cpu" else "torch")
    if adapters and (task.head != "causal" or kind not in ("torch", "llamacpp")):
        raise SettingError(
            message("infer.no_adapters", name=folder.name),
            found=kind if task.head == "causal" else task.name,
            allowed=message("infer.adapters_by"),
        )
    if kind == "pair":
        from .pair import PairedEngine

        return PairedEngine.of(folder, lambda part: _of_encoders(part, folder, manifest, task, threads))
    if kind in ("packed", "openvino", "onnx"):
        return _of_encoders(kind, folder, manifest, task, threads)
    if kind == "llamacpp":
        from .llamacpp import LlamaCppEngine

        return LlamaCppEngine(folder, manifest, task, threads=threads, adapters=adapters)
    if kind == "genai":
        from .genai import GenAiEngine

        return GenAiEngine(folder, manifest, task, threads=threads)
    from .torch import TorchEngine

    number: Literal["rounded", "measured"] = "rounded" if rounded and place == "cpu" else "measured"
    return TorchEngine(
        with_weights(folder), manifest, task, threads=threads, device=place, adapters=adapters, number=number
    )


def _of_encoders(kind: Kind, folder: Path, manifest: Manifest, task: Task, threads: int) -> Engine:
    """Return an engine of encoders, on the processor."""
    if kind == "openvino":
        from .openvino import OpenVinoEngine

        return OpenVinoEngine(folder, manifest, task, threads=threads)
    if kind == "onnx":
        from .onnx import OnnxEngine

        return OnnxEngine(folder, manifest, task, threads=threads)
    from .torch import TorchEngine

    return TorchEngine(
        folder, manifest, task, threads=threads, number=packed_number(folder) if kind == "packed" else "measured"
    )


def packed_number(folder: Path) -> Literal["float32", "bfloat16", "int8"]:
    """Return the type of a folder's packed matrices; float32 instead of a bfloat16 that would be emulated here.

    Raises:
        FolderError: the file that says so is missing or of another form.
    """
    file = folder / ENGINES["packed"]
    try:
        number = json.loads(file.read_text(encoding="utf-8"))["number"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FolderError(message("infer.cannot_read", file=file), found=str(error)) from None
    if number == "int8":
        return "int8"
    if number != "bfloat16":
        raise FolderError(message("infer.cannot_read", file=file), found=str(number), allowed=("bfloat16", "int8"))
    return "bfloat16" if allowed_here("bf16") == "bf16" else "float32"


def best_kind(folder: Path) -> Kind:
    """Return the faster engine whose file the folder holds, where it passed its certificate or is all there is, else torch."""
    found = next((kind for kind, file in ENGINES.items() if (folder / file).is_file()), None)
    if found is None:
        return "torch"
    if found == "llamacpp" and not any(folder.glob("*.safetensors")):  # the file that was brought is the model itself
        return found
    try:
        certificate = json.loads((folder / "certificate.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "torch"
    passed = isinstance(certificate, dict) and certificate.get("passed") is True
    return found if passed and (found != "genai" or cores() >= LEAST_CORES) else "torch"
