"""Peers that serve a classifier over HTTP from the same ONNX file: LitServe, and a plain FastAPI handler.

`python -m benchmarks.peers NAME FOLDER PORT` serves FOLDER's `model.onnx` and `tokenizer.json` at POST /predict, rows
{"input": text} -> {"label", "score", "scores"}, on this machine only, until it is ended.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

LABELS = ("negative", "positive")
MAX_LENGTH = 128
NAMES = ("LitServe, defaults", "LitServe, batches of 32 within 2 ms", "FastAPI handler", "FastAPI handler, OpenVINO")
"""All run ONNX Runtime on all cores, but the last."""


class Model:
    """Text -> label, as a handler written in an afternoon has it."""

    def __init__(self, folder: Path, engine: str) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_LENGTH)
        self._tokenizer.enable_padding()
        file, threads = str(folder / "model.onnx"), os.cpu_count() or 1
        if engine == "openvino":
            from openvino import Core

            options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
            compiled = Core().compile_model(file, "CPU", options)
            self._run: Any = lambda inputs: compiled(inputs)[0]
        else:
            from onnxruntime import InferenceSession, SessionOptions

            settings = SessionOptions()
            settings.intra_op_num_threads = threads
            session = InferenceSession(file, settings, providers=["CPUExecutionProvider"])
            self._run = lambda inputs: session.run(None, inputs)[0]

    def __call__(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the label of every text."""
        found = self._tokenizer.encode_batch(list(texts))
        ids = np.array([one.ids for one in found], dtype=np.int64)
        mask = np.array([one.attention_mask for one in found], dtype=np.int64)
        logits = self._run({"input_ids": ids, "attention_mask": mask})
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


def fastapi(folder: Path, port: int, engine: str) -> None:
    """Serve with a plain handler: a function that FastAPI runs in its threads, one text at a time."""
    import threading

    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Asked(BaseModel):
        input: str

    model, lock = Model(folder, engine), threading.Lock()
    app = FastAPI()

    def predict(body: Asked) -> dict[str, Any]:
        # OpenVINO's request is for one thread at a time; ONNX Runtime would share the cores among several.
        with lock:
            return model([body.input])[0]

    predict.__annotations__["body"] = Asked
    app.post("/predict")(predict)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


def main(name: str, folder: str, port: str) -> None:
    """Serve until ended."""
    if name.startswith("LitServe"):
        from .litserved import run

        run(Path(folder), int(port), batched=name != NAMES[0])
    else:
        fastapi(Path(folder), int(port), "openvino" if name == NAMES[3] else "onnxruntime")


if __name__ == "__main__":
    main(*sys.argv[1:])
