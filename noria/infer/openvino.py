"""A fast engine for encoders: the folder's `engine/model.xml` in OpenVINO, any batch and length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from noria.core.packages import forbid_telemetry
from noria.machine import bf16_is_native

from .engine import Kind
from .graph import INPUTS, Graph
from .signal_stack import signal_stack_kept

forbid_telemetry()

import openvino  # noqa: E402 - it would send usage data at the mere import


class OpenVinoEngine(Graph):
    """An engine in OpenVINO, on the CPU; see `Graph`. The weights lie beside the graph, in `engine/model.bin`."""

    kind: Kind = "openvino"
    # Every layer is made ready anew for a shape that it has not seen lately, which takes longer than some padding.
    widths = 8

    def opened(self, file: Path, threads: int) -> list[tuple[str, Any]]:
        """Compile a graph; see `Graph`."""
        with signal_stack_kept():
            self._model = openvino.Core().compile_model(str(file), "CPU", options(threads))
        self._request = self._model.create_infer_request()
        return [
            (next(iter(sorted(node.get_names() & set(INPUTS))), ""), node.get_element_type().to_dtype())
            for node in self._model.inputs
        ]

    def computed(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Return the graph's first output; see `Graph`."""
        self._request.infer(inputs, share_inputs=True)
        # A copy: the request writes its next answer to the same memory.
        return np.array(self._request.get_output_tensor(0).data, dtype=np.float32)

    def close(self) -> None:
        """Give the memory back."""
        with signal_stack_kept():
            del self._request, self._model


def options(threads: int) -> dict[str, Any]:
    """Return how OpenVINO compiles a model here: all threads for one inference, which is what a worker that batches by itself wants."""
    # By itself it goes by the processor alone: held to AVX2 by ONEDNN_MAX_CPU_ISA it would compute nothing.
    exact = {} if bf16_is_native() else {"INFERENCE_PRECISION_HINT": "f32"}
    return {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, **exact}
