"""Classifying texts: Noria's engine beside a transformers pipeline and ONNX Runtime in 8-bit integers, the same model and texts.

Two encoders, MiniLM (6 layers) and multilingual-e5-small trimmed to the reviews (12), both of width 384, with a head that was
fitted to reviews while the encoder rested. Noria serves what `compress` makes of it here, certificate included. The pipeline
runs as it comes, and with the settings its documentation advises (bf16 where the processor has it, all texts in one batch);
ONNX Runtime runs the weights in 8-bit integers, quantised dynamically and statically, all texts in one batch. Counted are
texts a second from text to label, 1, 8 and 32 together, drawn from real reviews cut at 128 tokens. Every system is a process
of its own that stays; they answer the same texts in turns, every second repeat backwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from noria.machine import cores, isa

from .classifier import LABELS, MAX_LENGTH, Model
from .isa import here
from .line import Line, compare
from .serve import to_onnx
from .served import make_classifier

TOGETHER = {1: 8, 8: 2, 32: 1}
"""Texts that come together -> times that so many are asked in a repeat."""
PIPELINES = ("transformers pipeline, defaults", "transformers pipeline, bf16 and best settings")
RUNTIMES = ("ONNX Runtime, int8 dynamic", "ONNX Runtime, int8 static")
WANTED = {"AMX": (6.0, 1.3), "AVX2": (2.0, 1.2)}
"""How many times as fast Noria is wanted to be: beside the better pipeline, and beside the better int8."""
FITTED, HELD, SHOWN = 400, 120, 40
"""Reviews that fit a head, that certify an engine, and that show int8 the ranges of activations."""


def measure(*, quick: bool) -> list[Line]:
    """Return a line for each encoder, number of texts and peer, and those of what is wanted; quick takes 3 repeats, else 9."""
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as there:
        rows = _reviews()
        lines = []
        for title, base in bases(Path(there), [row["text"] for row in rows]).items():
            folder = Path(there) / f"{base.name}-served" / "model"
            prepare(folder, base, rows)
            lines += _lines(title, folder, [row["text"] for row in rows[FITTED + HELD :]], 3 if quick else 9)
        return lines


def _reviews() -> list[dict[str, str]]:
    """Return distinct reviews with their labels, in an order of their own."""
    import random

    from noria.make.corpus.bundled import reviews

    known = {document.text: str(document.meta["label"]) for document in reviews() if document.text.strip()}
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
    """Write a classifier, its ONNX files beside the weights, and beside the folder what `compress` makes of it."""
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
    print(f"classify: {base.name}: {certificate_text(certificate)}", file=sys.stderr)
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


def _lines(title: str, folder: Path, texts: Sequence[str], repeats: int) -> list[Line]:
    names = ("noria", *PIPELINES, *RUNTIMES)
    found: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        ask = {name: stack.enter_context(_child(folder, name)) for name in names}
        for name in names:
            ask[name]([list(texts[:8])])
        for number in range(repeats):
            random = np.random.default_rng(number)
            for together, times in TOGETHER.items():
                drawn = [[texts[place] for place in random.choice(len(texts), together)] for _ in range(times)]
                for name in names if number % 2 == 0 else names[::-1]:
                    rate = together * times / ask[name](drawn)
                    found.setdefault((name, together), []).append(rate)
                    print(f"classify {title} {number + 1}/{repeats}, {together}: {name}: {rate:.1f}", file=sys.stderr)
    lines = []
    for together in TOGETHER:
        measure, ours = f"texts a second, {together} together, {title}", found["noria", together]
        for peer in (*PIPELINES, *RUNTIMES):
            lines.append(compare("classify", measure, ours, found[peer, together], peer, "texts/s"))
        for peers, kind, times_as_fast in zip(
            (PIPELINES, RUNTIMES),
            ("pipeline", "ONNX Runtime int8"),
            WANTED["AMX" if isa() == "AMX" else "AVX2"],
            strict=True,
        ):
            best = max((found[peer, together] for peer in peers), key=lambda rates: float(np.mean(np.log(rates))))
            told = [times_as_fast * rate for rate in best]
            peer = f"wanted: {times_as_fast:g} times as fast as the better {kind}"
            lines.append(compare("classify", measure, ours, told, peer, "texts/s"))
    return lines


@contextmanager
def _child(folder: Path, name: str) -> Iterator[Callable[[list[list[str]]], float]]:
    """Give what asks a system in a process of its own for batches of texts, and returns the seconds it took."""
    command = [sys.executable, "-m", "benchmarks.classify", str(folder), name]
    environment = {**os.environ, "OMP_NUM_THREADS": str(cores()), "TOKENIZERS_PARALLELISM": "false"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdin
        assert process.stdout

        def ask(batches: list[list[str]]) -> float:
            print(json.dumps(batches), file=process.stdin, flush=True)
            assert process.stdout
            if not (told := process.stdout.readline()):
                raise RuntimeError(f"{name} ended")
            return float(told)

        try:
            yield ask
        finally:
            process.stdin.close()
            process.wait()


def system(folder: Path, name: str) -> Callable[[list[str]], Any]:
    """Return what classifies texts that come together."""
    import torch

    torch.set_num_threads(cores())
    if name == "noria":
        from noria.infer.choose import open_engine
        from noria.infer.engine import answer

        engine = open_engine(folder.with_name("noria"))
        return lambda texts: answer(engine, texts)
    if name in RUNTIMES:
        return Model(folder, file=folder.with_name("dynamic.onnx" if name == RUNTIMES[0] else "static.onnx"))
    import transformers

    best = here({"bf16": True}) if name == PIPELINES[1] else {}
    given: dict[str, Any] = {"dtype": torch.bfloat16} if best else {}
    tokenizer: Any = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(transformers.AutoConfig.from_pretrained(folder).pad_token_id)
    pipeline: Any = transformers.pipeline(
        "text-classification", model=str(folder), tokenizer=tokenizer, device="cpu", **given
    )
    batch = {"batch_size": 32} if name == PIPELINES[1] else {}
    return lambda texts: pipeline(texts, truncation=True, max_length=MAX_LENGTH, **batch)


def main(folder: str, name: str) -> None:
    """Answer batches, a line of JSON each, with the seconds that they took."""
    classify, told = system(Path(folder), name), sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        start = time.perf_counter()
        for texts in json.loads(line):
            classify(texts)
        print(time.perf_counter() - start, file=told, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
