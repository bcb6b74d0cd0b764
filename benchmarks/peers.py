"""Peers that serve a classifier over HTTP from the same ONNX file: LitServe, and a plain FastAPI handler.

`python -m benchmarks.peers NAME FOLDER PORT` serves FOLDER's `model.onnx` and `tokenizer.json` at POST /predict, rows
{"input": text} -> {"label", "score", "scores"}, on this machine only, until it is ended.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .classifier import Model

NAMES = ("LitServe, defaults", "LitServe, batches of 32 within 2 ms", "FastAPI handler", "FastAPI handler, OpenVINO")
"""All run ONNX Runtime on all cores, but the last."""
INTEGERS = "LitServe, int8 dynamic, batches of 32 within 2 ms"
"""The second of them on `dynamic.onnx`, which lies beside the folder."""


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

        file = "../dynamic.onnx" if name == INTEGERS else "model.onnx"
        run(Path(folder), int(port), batched=name != NAMES[0], file=file)
    else:
        fastapi(Path(folder), int(port), "openvino" if name == NAMES[3] else "onnxruntime")


if __name__ == "__main__":
    main(*sys.argv[1:])
