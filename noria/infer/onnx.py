"""A fast engine for encoders: the folder's `engine/model.onnx` in ONNX Runtime, any batch and length; fastest for one text at a time.

A graph is data: it names operations of the library, and no code of a folder is run. Weights that lie beside it are read from
the folder alone: a name that leads out of it is refused by the library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from noria.machine import has_vnni

from .engine import Kind
from .graph import Graph

onnxruntime.disable_telemetry_events()

_NUMBERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float)": np.float32}
"""NumPy's types of what a graph is given."""
_FATAL = 4
"""The only severity that is logged: what goes wrong is raised too."""


class OnnxEngine(Graph):
    """An engine in ONNX Runtime, on the CPU; see `Graph`."""

    kind: Kind = "onnx"

    def opened(self, file: Path, threads: int) -> list[tuple[str, Any]]:
        """Open a graph; see `Graph`."""
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
        settings.log_severity_level = _FATAL
        # Threads that wait awake between texts would hold the cores on which a server reads requests and writes answers.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        if not has_vnni() and not self._narrow():  # with VNNI it would take the slower way too
            settings.add_session_config_entry("session.x64quantprecision", "1")
        self._session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
        return [(one.name, _NUMBERS[one.type]) for one in self._session.get_inputs()]

    def computed(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Return the graph's first output; see `Graph`.

        Raises:
            RuntimeError: the graph does not compute for these shapes.
        """
        given = {name: array for (name, _), array in zip(self.wanted, inputs, strict=True)}
        try:
            return np.asarray(self._session.run(None, given)[0], dtype=np.float32)
        except Exception as error:  # the library's own classes share no base
            raise RuntimeError(str(error)) from error

    def _narrow(self) -> bool:
        """Return whether matrices have 7 bits, so that their products overflow nowhere; others are computed exactly without VNNI."""
        engine = self.manifest.facts.get("engine") or {}
        parts = (engine, engine.get("one") or {}, engine.get("several") or {})
        return any((part.get("format"), part.get("method")) == ("ONNX", "int7") for part in parts)

    def close(self) -> None:
        """Give the memory back."""
        del self._session
