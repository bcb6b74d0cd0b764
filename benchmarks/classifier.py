"""The classifier that peers serve: an ONNX file and its tokenizer, as a handler written in an afternoon has them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

LABELS = ("negative", "positive")
MAX_LENGTH = 128


class Model:
    """Text -> label, as a handler written in an afternoon has it."""

    def __init__(self, folder: Path, engine: str = "onnxruntime", file: Path | None = None) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_LENGTH)
        self._tokenizer.enable_padding()
        path, threads = str(file or folder / "model.onnx"), os.cpu_count() or 1
        if engine == "openvino":
            from openvino import Core

            options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
            compiled = Core().compile_model(path, "CPU", options)
            self._run: Any = lambda inputs: compiled(inputs)[0]
        else:
            from onnxruntime import InferenceSession, SessionOptions

            settings = SessionOptions()
            settings.intra_op_num_threads = threads
            session = InferenceSession(path, settings, providers=["CPUExecutionProvider"])
            self._run = lambda inputs: session.run(None, inputs)[0]

    def inputs(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the graph's inputs for texts, filled up to the longest."""
        found = self._tokenizer.encode_batch(list(texts))
        ids = np.array([one.ids for one in found], dtype=np.int64)
        mask = np.array([one.attention_mask for one in found], dtype=np.int64)
        return {"input_ids": ids, "attention_mask": mask}

    def __call__(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the label of every text."""
        logits = self._run(self.inputs(texts))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances = powers / powers.sum(axis=1, keepdims=True)
        return [
            {
                "label": LABELS[int(row.argmax())],
                "score": float(row.max()),
                "scores": dict(zip(LABELS, map(float, row), strict=True)),
            }
            for row in chances
        ]
