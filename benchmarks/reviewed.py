"""A classifier of reviews in every form that is measured: as trained, as ONNX files that peers run, and as `compress` makes it.

The encoder rests; a head is fitted to reviews, so that what an engine gets wrong can be counted. Beside its folder, whose
`model.onnx` is in float32, stand `dynamic.onnx` and `static.onnx` (8-bit integers of ONNX Runtime) and `noria`, what compress
chose here, certificate included.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noria.machine import isa

from .classifier import LABELS, MAX_LENGTH, Model
from .served import make_classifier

FITTED, HELD, SHOWN = 400, 120, 40
"""Reviews that fit a head, that certify an engine, and that show int8 the ranges of activations."""


def reviews() -> list[dict[str, str]]:
    """Return distinct reviews with their labels, in an order of their own."""
    import random

    from noria.make.corpus.bundled import reviews as bundled

    known = {document.text: str(document.meta["label"]) for document in bundled() if document.text.strip()}
    rows = [{"text": text, "label": label} for text, label in sorted(known.items())]
    random.Random(0).shuffle(rows)
    return rows


def bases(folder: Path, texts: Sequence[str]) -> dict[str, Path]:
    """Return the encoders by their names for people."""
    from noria.make.compress.trim import trim
    from noria.make.models.bundled import e5_small, minilm

    e5_small(folder / "e5-whole")
    return {
        "MiniLM": minilm(folder / "minilm-base"),
        "e5-small, trimmed": trim(folder / "e5-whole", texts, folder / "e5-base"),
    }


def prepare(folder: Path, base: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write a classifier to `folder`, its ONNX file beside the weights, and beside the folder the others."""
    from noria.core.progress import Report
    from noria.make.compress.recipe import certificate_text, compress_model
    from noria.make.compress.settings import CompressSettings

    make_classifier(folder, base)
    fit_head(folder, rows[:FITTED])
    to_onnx(folder)
    texts = [row["text"] for row in rows]
    certificate = compress_model(
        folder,
        texts[:SHOWN],
        list(rows[FITTED : FITTED + HELD]),
        folder.with_name("noria"),
        CompressSettings(rounds=6, samples=SHOWN),
        Report(),
        or_trained=True,
    )
    print(f"{base.name}: {certificate_text(certificate)}", file=sys.stderr)
    in_integers(folder, texts[:SHOWN])


def fit_head(folder: Path, rows: Sequence[dict[str, str]]) -> None:
    """Fit a classifier's head to reviews by logistic regression on the encoder's states of first tokens, in place."""
    import torch
    from safetensors.torch import load_file, save_file
    from sklearn.linear_model import LogisticRegression

    from noria.core.folder import MANIFEST, new_folder, read_manifest
    from noria.infer.choose import open_engine

    engine: Any = open_engine(folder, prefer="torch")
    pooler = engine.model.bert.pooler.dense
    with torch.no_grad():  # what the regression sees is then what the head sees: tanh of the states themselves
        pooler.weight.copy_(torch.eye(len(pooler.weight)))
        pooler.bias.zero_()
        found: list[Any] = []
        engine.model.classifier.register_forward_pre_hook(lambda module, given: found.append(given[0].clone()))
        for row in rows:
            engine.forward([engine.task.features(engine.tokenizer, row["text"], MAX_LENGTH).ids])
    states = torch.cat(found).numpy()
    fitted = LogisticRegression(C=10.0, max_iter=500).fit(states, [row["label"] == LABELS[1] for row in rows])
    tensors = load_file(folder / "model.safetensors")
    half = torch.tensor(np.concatenate([-fitted.coef_, fitted.coef_]) / 2, dtype=torch.float32)
    tensors |= {
        "bert.pooler.dense.weight": pooler.weight.detach().clone(),
        "bert.pooler.dense.bias": pooler.bias.detach().clone(),
        "classifier.weight": half,
        "classifier.bias": torch.tensor(
            np.concatenate([-fitted.intercept_, fitted.intercept_]) / 2, dtype=torch.float32
        ),
    }
    facts = read_manifest(folder).facts
    with new_folder(folder, kind="model") as made:
        for file in sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST):
            (made.path / file.name).write_bytes(file.read_bytes())
        save_file(tensors, made.path / "model.safetensors", metadata={"format": "pt"})
        made.facts.update(facts)


def to_onnx(model: Path) -> None:
    """Write `model.onnx` of a classifier's folder."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from noria.core.folder import MANIFEST, new_folder, read_manifest
    from noria.make.compress.onnx import write_graph

    module = AutoModelForSequenceClassification.from_pretrained(model, attn_implementation="eager").eval()
    ids = torch.arange(34).reshape(2, 17) % module.config.vocab_size
    manifest = read_manifest(model)
    with new_folder(model, kind="model") as made:
        for file in sorted(path for path in model.rglob("*") if path.is_file() and path.name != MANIFEST):
            if file.parent.name != "engine":
                (made.path / file.name).write_bytes(file.read_bytes())
        made.facts.update(manifest.facts)
        # As someone would export it who writes a handler in an afternoon; Noria's own engines have graphs of their own.
        write_graph(module, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, made.path / "model.onnx")


def in_integers(folder: Path, texts: Sequence[str]) -> None:
    """Write `dynamic.onnx` and `static.onnx` beside a folder: its ONNX file with products in 8-bit integers, per channel."""
    import logging

    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.disable(logging.WARNING)
    shown = iter([Model(folder).inputs([text]) for text in texts])

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            return next(shown, None)

    ready, whole = folder.with_name("ready.onnx"), {"per_channel": True, "weight_type": QuantType.QInt8}
    quant_pre_process(str(folder / "model.onnx"), str(ready), skip_symbolic_shape=True)
    # Without VNNI sums of products of 8 bits overflow 16: its documentation advises 7 there.
    narrow = {"reduce_range": isa() in ("none", "AVX2", "AVX-512")}
    quantize_dynamic(str(ready), str(folder.with_name("dynamic.onnx")), **whole, **narrow)
    quantize_static(
        str(ready),
        str(folder.with_name("static.onnx")),
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        op_types_to_quantize=["MatMul"],
        **whole,
        **narrow,
    )


def agreeing(folder: Path, texts: Sequence[str]) -> float:
    """Return the share of texts that `dynamic.onnx` gives the label that `model.onnx` beside it gives them."""
    whole, narrow = Model(folder), Model(folder, file=folder.with_name("dynamic.onnx"))
    return float(np.mean([whole([text])[0]["label"] == narrow([text])[0]["label"] for text in texts]))
