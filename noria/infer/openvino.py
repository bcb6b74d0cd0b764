"""The fast engine for encoders: the folder's `engine/model.xml` in OpenVINO, any batch and length."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.core.errors import FolderError, SettingError
from noria.core.folder import Manifest
from noria.core.messages import message
from noria.core.packages import forbid_telemetry
from noria.machine import bf16_is_native
from noria.tasks.complete import Sampling
from noria.tasks.padding import like_groups, padded, padding_of
from noria.tasks.task import Features, Task
from noria.tasks.tokenizer import read_tokenizer

from .engine import Kind, in_parts, logits_of, longest, read_config, unpadded
from .signal_stack import signal_stack_kept

if TYPE_CHECKING:
    from .scheduler import Scheduler

forbid_telemetry()

import openvino  # noqa: E402 - it would send usage data at the mere import

_WIDTHS = 8
"""Widths of batches are multiples of this, so that shapes are few."""
_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


class OpenVinoEngine:
    """An engine in OpenVINO, on the CPU.

    Args:
        folder: model folder with `engine/model.xml` and `engine/model.bin`; the first output holds what the task's head says.
        manifest: its manifest.
        task: its task.
        threads: of one inference.
        hint: LATENCY gives all threads to one batch, which is what a worker that batches by itself wants; THROUGHPUT
            splits them into streams.

    Raises:
        FolderError: there is no such model, it cannot be read, or it wants inputs that no task gives.
    """

    kind: Kind = "openvino"

    def __init__(self, folder: Path, manifest: Manifest, task: Task, *, threads: int, hint: str = "LATENCY") -> None:
        self.folder, self.manifest, self.task = folder, manifest, task
        config = read_config(folder)
        self.tokenizer = read_tokenizer(folder)
        self.max_length = longest(manifest, config)
        self.padding = padding_of(config)
        file = folder / "engine" / "model.xml"
        if not file.is_file():
            raise FolderError(message("infer.holds_engine", folder=folder), hint=message("infer.compress_model"))
        try:
            with signal_stack_kept():
                self._model = openvino.Core().compile_model(str(file), "CPU", options(threads, hint))
        except RuntimeError as error:
            raise FolderError(
                message("infer.cannot_read", file=file), found=str(error).strip().splitlines()[-1]
            ) from error
        self._names = [sorted(node.get_names() & set(_INPUTS)) for node in self._model.inputs]
        if not all(self._names):
            raise FolderError(message("infer.wants_unknown", file=file), allowed=_INPUTS)
        self._request = self._model.create_infer_request()

    def forward(self, batch: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None) -> list[np.ndarray]:
        """Return each text's logits; see `Engine`."""
        if len(parts := like_groups([len(text) for text in batch], self.padding)) > 1:
            return in_parts(self, parts, batch, types)
        types = types if self.padding.types else None
        # Every layer is made ready anew for a shape that it has not seen lately, which takes longer than some padding.
        longest_text = max(map(len, batch))
        width = max(longest_text, min(-(-longest_text // _WIDTHS) * _WIDTHS, self.max_length))
        width = longest_text if self.padding.alike else width
        ids, mask = padded(batch, self.padding, width=width)
        given = {"input_ids": ids, "attention_mask": mask}
        if types is not None:
            if not any("token_type_ids" in names for names in self._names):
                raise SettingError(
                    message("infer.compressed_single", name=self.folder.name), found=message("infer.pair_texts")
                )
            given["token_type_ids"] = padded(types, self.padding, width=width, filler=0)[0]
        inputs = []
        for node, names in zip(self._model.inputs, self._names, strict=True):
            if names[0] == "position_ids":
                array = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
            else:
                array = given.get(names[0], np.zeros_like(ids))
            inputs.append(np.ascontiguousarray(array, dtype=node.get_element_type().to_dtype()))
        self._request.infer(inputs, share_inputs=True)
        # A copy: the request writes its next answer to the same memory.
        logits = np.array(self._request.get_output_tensor(0).data, dtype=np.float32)
        return unpadded(self.task, logits, batch, self.padding)

    def outputs(self, features: Sequence[Features]) -> list[Any]:
        """Return what `Task.answer` takes for each text; see `Engine`."""
        return logits_of(self, features)

    def generate(self, ids: Sequence[int], sampling: Sampling, stop: Collection[int] = ()) -> Iterator[int]:
        """Refuse: see `Engine`."""
        raise SettingError(message("infer.only_causal"), found=self.task.name)

    def scheduler(self) -> Scheduler:
        """Refuse: see `Engine`."""
        raise SettingError(message("infer.only_causal"), found=self.task.name)

    def close(self) -> None:
        """Give the memory back."""
        with signal_stack_kept():
            del self._request, self._model


def options(threads: int, hint: str = "LATENCY") -> dict[str, Any]:
    """Return how OpenVINO compiles a model here: threads of an inference, and float32 where bf16 is none of the processor's."""
    # By itself it goes by the processor alone: held to AVX2 by ONEDNN_MAX_CPU_ISA it would compute nothing.
    exact = {} if bf16_is_native() else {"INFERENCE_PRECISION_HINT": "f32"}
    return {"PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": threads, **exact}
