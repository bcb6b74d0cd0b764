"""Quantise a model to 8 bits: a folder that plain transformers still loads, with an engine beside the weights."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.core.errors import InputError
from noria.core.folder import MANIFEST, new_folder, read_manifest, source_of
from noria.core.progress import Report
from noria.core.telemetry import forbid_telemetry
from noria.tasks.task import task_of

from .settings import CompressSettings

if TYPE_CHECKING:
    from openvino import Model

Ids = Sequence[Sequence[int]]
ENGINE = "engine/model.xml"


def quantize(
    folder: str | Path, calibration: Ids, target: str | Path, settings: CompressSettings, report: Report | None = None
) -> Path:
    """Write a copy of a model folder with an 8-bit OpenVINO engine in `engine/`. It still needs its certificate.

    Weights and configuration stay as they are (hard links where the disk allows), so that plain transformers gives the
    logits of the trained model. int8 computes matrix products in 8-bit integers: ranges of activations come from the
    calibration texts, their outliers are moved into the weights first (Xiao et al. 2023, "SmoothQuant").

    Args:
        folder: a model folder that says its task.
        calibration: token ids of some texts like those to come, as `choose` draws them, special tokens included; never
            of the test set.
        target: the folder to write.
        settings: the method.
        report: where progress goes.

    Raises:
        FolderError: `folder` is no such model.
        SettingError: a causal model.
        InputError: there is no calibration text.
    """
    from .export import export, save

    folder, report = Path(folder), report or Report()
    manifest = read_manifest(folder)
    head = task_of(manifest).head
    if not calibration:
        raise InputError("no text to calibrate on", hint="give at least a few dozen texts like those to come")
    with report.bar(f"compress {folder.name}", total=3, unit="step") as bar:
        graph = export(folder, head)
        bar.advance()
        method = "weights" if settings.method == "weights" else "int8"
        small = weights(graph) if method == "weights" else int8(graph, calibration, settings.smoothing)
        bar.advance()
        with new_folder(target, kind="model", settings=settings.model_dump(mode="json"), sources=[source_of(folder)]) as out:  # fmt: skip
            copy_files(folder, out.path)
            size = save(small, out.path / ENGINE)
            out.facts.update(manifest.facts)
            out.facts["engine"] = {
                "format": "OpenVINO IR", "method": method, "calibration_texts": len(calibration), "bytes": size
            }  # fmt: skip
        bar.advance()
    return Path(target)


def choose(texts: Sequence[Any], settings: CompressSettings) -> list[Any]:
    """Return the texts to calibrate on: drawn without replacement, the same for the same seed."""
    count = min(settings.calibration, len(texts))
    picks = np.random.default_rng(settings.seed).choice(len(texts), count, replace=False)
    return [texts[pick] for pick in sorted(picks)]


def int8(graph: Model, chosen: Ids, smoothing: float) -> Model:
    """Return a graph with weights and activations of matrix products in 8-bit integers."""
    with silent():
        import nncf
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, AdvancedSmoothQuantParameters

        return nncf.quantize(
            graph.clone(), nncf.Dataset(chosen, inputs), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(chosen),
            advanced_parameters=AdvancedQuantizationParameters(
                smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=smoothing)
            ),
        )  # fmt: skip


def weights(graph: Model) -> Model:
    """Return a graph with weights stored in 8 bits, and computed with in the processor's own fast type."""
    with silent():
        import nncf

        return nncf.compress_weights(graph.clone(), mode=nncf.CompressWeightsMode.INT8_SYM)


def inputs(ids: Sequence[int]) -> dict[str, np.ndarray]:
    """Return one text as the graph takes it, int64 [1, T]."""
    return {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, len(ids)), np.int64)}


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


def copy_files(folder: Path, target: Path) -> None:
    """Put the files of a folder, manifest apart, into another: hard links where the disk allows, else copies."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST):
        place = target / file.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:
            shutil.copyfile(file, place)


def size_of(folder: Path) -> tuple[int, int]:
    """Return the bytes of the trained weights and those of the engine."""
    trained = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return trained, sum(file.stat().st_size for file in (folder / "engine").iterdir())


def seal(trial: str | Path, target: str | Path, certificate: dict[str, Any]) -> Path:
    """Write the folder at `trial` as `target`, its certificate among its files."""
    trial = Path(trial)
    manifest = read_manifest(trial)
    with new_folder(target, kind="model", settings=manifest.settings, sources=list(manifest.sources)) as out:
        copy_files(trial, out.path)
        (out.path / "certificate.json").write_text(
            json.dumps(certificate, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
        out.facts.update(manifest.facts, certified=certificate["passed"])
    return Path(target)
