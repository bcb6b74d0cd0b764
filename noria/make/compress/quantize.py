"""A model as OpenVINO runs it, in 8 bits or as trained: a folder that plain transformers still loads, with an engine beside the weights.

Three ways. `float`: the trained weights as they are. `weights`: matrices are stored as 8-bit integers with a scale for every 64 of them, unpacked once when the engine
starts, and computed with in bf16 where the processor has it. `int8`: products of matrices in 8-bit integers throughout.
For a 12-layer encoder of width 384, on a processor with matrix units for both types, the two answered batches in the same
time, a third of float32's; the first agreed with the trained classifier on 99.6 % of texts, the second on 98.7 %, and they
were made in 1 and 18 s. Where a processor has neither, nothing in 8 bits is faster here than `float`.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tokenizers import Tokenizer

from noria.core.errors import InputError, SettingError
from noria.core.figure import Figure, number
from noria.core.folder import MANIFEST, new_folder, read_manifest, source_of
from noria.core.messages import message
from noria.core.packages import forbid_telemetry
from noria.core.progress import Report
from noria.infer.signal_stack import signal_stack_kept
from noria.make.models.load import Head, load, quiet_transformers
from noria.tasks.encode import encode, encode_pair
from noria.tasks.padding import padding_of
from noria.tasks.task import Features, task_of

from .settings import CompressSettings

if TYPE_CHECKING:
    from openvino import Model

ENGINE = "engine/model.xml"
CERTIFICATE = "certificate.json"
GROUP = 64
"""Weights of a matrix that share a scale. Twice as many lose half as much again; half as many gain nothing."""
LEAST = 1 << 14
"""Tensors of fewer weights stay as they are."""


def quantize(
    folder: str | Path,
    calibration: Sequence[Features],
    target: str | Path,
    settings: CompressSettings,
    report: Report | None = None,
    *,
    graph: Model | None = None,
) -> Path:
    """Write a copy of a model folder with an OpenVINO engine in `engine/`. It still needs its certificate.

    Weights and configuration stay as they are (hard links where the disk allows), so that plain transformers gives the
    logits of the trained model. `int8` learns the ranges of activations from the calibration texts, and moves their
    outliers into the weights first (Xiao et al. 2023, "SmoothQuant").

    Args:
        folder: a model folder that says its task.
        calibration: some texts, or pairs, like those to come, as `choose` draws them and the model reads them; never of the
            test set.
        target: the folder to write.
        settings: the method; auto is weights.
        report: where progress goes.
        graph: what `export` gave for the folder, where it is there already.

    Raises:
        FolderError: `folder` is no such model.
        SettingError: a causal model, or a net over numbers.
        InputError: there is no calibration text.
    """
    folder, report = Path(folder), report or Report()
    manifest = read_manifest(folder)
    head = task_of(manifest).head
    if head == "vector":
        raise SettingError(message("make.net_over"), found=head, allowed=message("make.models_read"))
    if not calibration:
        raise InputError(message("make.text_calibrate"), hint=message("make.give_least"))
    with report.bar(message("work.bar.compress", name=folder.name), total=3, unit="step") as bar:
        graph = export(folder, head) if graph is None else graph
        bar.advance()
        method = "weights" if settings.method == "auto" else settings.method
        if method == "int8":
            small = int8(graph, calibration, settings.smoothing)
        else:
            small = weights(graph) if method == "weights" else graph
        bar.advance()
        with new_folder(
            target, kind="model", settings=settings.model_dump(mode="json"), sources=[source_of(folder)]
        ) as out:
            copy_files(folder, out.path)
            size = save(small, out.path / ENGINE)
            out.facts.update(manifest.facts)
            out.facts["engine"] = {
                "format": "OpenVINO IR",
                "method": method,
                "calibration_texts": len(calibration),
                "bytes": size,
            }
        bar.advance()
    return Path(target)


def choose(texts: Sequence[Any], settings: CompressSettings) -> list[Any]:
    """Return the texts to calibrate on: drawn without replacement, the same for the same seed."""
    count = min(settings.samples, len(texts))
    picks = np.random.default_rng(settings.seed).choice(len(texts), count, replace=False)
    return [texts[pick] for pick in sorted(picks)]


@signal_stack_kept()
def int8(graph: Model, chosen: Sequence[Features], smoothing: float) -> Model:
    """Return a graph with weights and activations of matrix products in 8-bit integers."""
    with silent():
        import nncf

        names = {name for node in graph.inputs for name in node.get_names()}
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, AdvancedSmoothQuantParameters

        return nncf.quantize(
            graph.clone(),
            nncf.Dataset([inputs(one, names) for one in chosen]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(chosen),
            advanced_parameters=AdvancedQuantizationParameters(
                smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=smoothing)
            ),
        )


def weights(graph: Model) -> Model:
    """Return a graph whose matrices are stored as 8-bit integers, symmetric, with scales in float32.

    A table of embeddings has one scale a row and stays packed in memory: only rows in use are unpacked. Another matrix has
    one for every `GROUP` weights; the reshape after it makes OpenVINO unpack it when it compiles, not in every product.
    """
    from openvino import Type, opset13

    small = graph.clone()
    for node in small.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != Type.f32:
            continue
        matrix, places = node.data, list(node.output(0).get_target_inputs())
        if matrix.ndim != 2 or matrix.size < LEAST:
            continue
        table = all(place.get_node().get_type_name() == "Gather" for place in places)
        if not table and matrix.shape[1] % GROUP:
            continue
        integers, scales = packed(matrix, matrix.shape[1] if table else GROUP)
        whole = opset13.multiply(opset13.convert(opset13.constant(integers), "f32"), opset13.constant(scales))
        if not table:
            whole = opset13.reshape(whole, opset13.constant(np.array(matrix.shape, np.int64)), False)
        for place in places:
            place.replace_source_output(whole.output(0))
    return small


def packed(matrix: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Return int8 [groups, group] and float32 scales [groups, 1], whose product is the matrix within half a scale."""
    groups = matrix.reshape(-1, group)
    scales = np.abs(groups).max(axis=1, keepdims=True).astype(np.float32) / 127
    scales[scales == 0] = 1
    return np.rint(groups / scales).astype(np.int8), scales


def inputs(one: Features, names: Collection[str]) -> dict[str, np.ndarray]:
    """Return one text, or a pair, as a graph with inputs of these names takes it, int64 [1, T]."""
    given = {
        "input_ids": one.ids,
        "attention_mask": [1] * len(one.ids),
        "token_type_ids": one.types or [0] * len(one.ids),
    }
    return {name: np.array([values], np.int64) for name, values in given.items() if name in names}


@contextmanager
def silent() -> Iterator[None]:
    """Keep NNCF from writing to the terminal and from sending usage data inside the block."""
    import logging
    import warnings

    forbid_telemetry()
    level = logging.root.manager.disable
    with Path(os.devnull).open("w") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield
        finally:
            logging.disable(level)


def copy_files(folder: Path, target: Path, *, engine: bool = False) -> None:
    """Put the files of a folder, manifest apart, into another: hard links where the disk allows, else copies.

    Args:
        folder: where they are.
        target: where they go.
        engine: whether an earlier engine and its certificate go with them; what writes its own must not write into theirs.
    """
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST):
        inner = file.relative_to(folder)
        if not engine and (inner.parts[0] == "engine" or inner.name == CERTIFICATE):
            continue
        put(file, target / inner)


def put(file: Path, place: Path) -> None:
    """Put a file in another place, which is free: a hard link where the disk allows, else a copy."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)


def size_of(folder: Path) -> tuple[int, int]:
    """Return the bytes of the trained weights and those of the engine."""
    trained = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return trained, int(read_manifest(folder).facts["engine"]["bytes"])


def seal(trial: str | Path, target: str | Path, certificate: dict[str, Any]) -> Path:
    """Write the folder at `trial` as `target`, its certificate among its files."""
    trial = Path(trial)
    manifest = read_manifest(trial)
    with new_folder(target, kind="model", settings=manifest.settings, sources=list(manifest.sources)) as out:
        copy_files(trial, out.path, engine=certificate["passed"])
        (out.path / CERTIFICATE).write_text(
            json.dumps(certificate, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
        if (card := out.path / "README.md").is_file():
            text = card.read_text(encoding="utf-8")
            card.unlink()  # it may be a link to the trained model's own
            card.write_text(f"{text.rstrip()}\n\n{_section(certificate)}", encoding="utf-8")
        kept = manifest.facts if certificate["passed"] else {k: v for k, v in manifest.facts.items() if k != "engine"}
        out.facts.update(kept, certified=certificate["passed"])
    return Path(target)


def _section(certificate: Mapping[str, Any]) -> str:
    """Return what a certificate says as a section of a card in Markdown."""
    figures = [Figure(**one) for one in certificate.get("figures", ())]
    lines = [
        "## Certificate",
        "",
        "Passed." if certificate["passed"] else f"Refused: {'; '.join(map(str, certificate.get('reasons', ())))}.",
        f"The rule: {certificate.get('rule', 'none')}.",
        "",
        "| measure | value | interval | n | trained | source |",
        "|---|---|---|---|---|---|",
    ]
    for one in figures:
        ends = "" if one.low is None or one.high is None else f"{number(one.low)} to {number(one.high)}"
        beside = "" if one.baseline is None else number(one.baseline)
        value = f"{number(one.value)} {one.unit}".rstrip()
        lines.append(f"| {one.name} | {value} | {ends} | {one.n:,} | {beside} | {one.source} |")
    return "\n".join([*lines, ""])


class Logits(torch.nn.Module):
    """A Hugging Face model as a function of two tensors, or three, that gives one."""

    def __init__(self, model: torch.nn.Module, head: Head) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return logits, or hidden states of an embedding head."""
        given = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, **given)
        found: torch.Tensor = output.last_hidden_state if self.head == "embedding" else output.logits
        return found


def export(folder: str | Path, head: Head) -> Model:
    """Return the model of a folder as an OpenVINO graph in float32.

    The graph is traced straight from torch. The detour over ONNX gives the same logits, but takes 45 s instead of 5 for a
    12-layer encoder and loses the fused attention.

    Inputs `input_ids` and `attention_mask`, and `token_type_ids` where a model takes them and its texts come with them, all
    int64 [B, T]; output `logits`: [B, labels] of a sequence head, [B, T,
    outputs] of a token head, [B, T, width] hidden states of an embedding head.

    Raises:
        FolderError: `folder` is no usable model.
        SettingError: a causal model; its engine is torch.
    """
    if head == "causal":
        raise SettingError(message("make.causal_model"), found=head, allowed=("sequence", "token", "embedding"))
    forbid_telemetry()
    from openvino import convert_model

    module, tokenizer = load(folder, head)
    example = example_of(module, tokenizer, head)
    # The tracer remarks on every branch it takes: the certificate judges the graph, not the remarks.
    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = convert_model(Logits(module, head), example_input=example)
    graph.outputs[0].get_tensor().set_names({"logits"})
    return graph


def example_of(module: Any, tokenizer: Tokenizer, head: Head) -> dict[str, torch.Tensor]:
    """Return what a graph of a model is given, by name, int64 [3, 17]: token types only where its texts come with them."""
    # Sizes that differ from each other and from 1, and a padded row, so that the trace takes none of them for fixed.
    ids = torch.arange(3 * 17).reshape(3, 17) % module.config.vocab_size
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    example = {"input_ids": ids, "attention_mask": mask}
    if padding_of(module.config).types and has_token_types(tokenizer, pairs=head == "sequence"):
        example["token_type_ids"] = (torch.arange(17) > 5).long().expand(3, 17).contiguous()
    return example


def has_token_types(tokenizer: Tokenizer, *, pairs: bool) -> bool:
    """Return whether a text, or with `pairs` a pair of them, comes with token types, so that a model has to be given them."""
    return bool(encode(tokenizer, "a", 16).types or (pairs and encode_pair(tokenizer, "a", "b", 16).types))


def save(graph: Any, path: Path) -> int:
    """Write a graph as `path` (.xml) and weights beside it (.bin); return the bytes of both."""
    from openvino import save_model

    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(graph, path, compress_to_fp16=False)
    return path.stat().st_size + path.with_suffix(".bin").stat().st_size
