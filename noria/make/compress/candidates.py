"""What may answer faster than a trained encoder on this machine: made cheaply, timed for a second or two, the fastest first.

    packed     torch without padding (`noria.infer.unpadded`), matrices packed as bfloat16 or 8-bit integers
    onnx       a graph in ONNX Runtime, its products in 8-bit integers: quick for one text alone
    openvino   a graph of the trained weights ("float"), with weights stored in 8 bits ("weights"), or computed in 8-bit
               integers ("int8"), which takes long to make: so it is made only if it can win

Whether it can is asked of one matrix product: the whole graph gains at most what its products do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save_file

from noria.core.errors import FolderError
from noria.core.folder import new_folder, read_manifest, source_of, write_json
from noria.core.messages import Message, message
from noria.core.progress import Report
from noria.infer.choose import open_engine
from noria.infer.engine import ENGINES, Engine, Kind
from noria.infer.signal_stack import signal_stack_kept
from noria.infer.torch import TorchEngine
from noria.infer.unpadded import SCALES, SHARE, applies, ranges, smoothing
from noria.machine import bf16_is_fast, cores, has_vnni
from noria.make.models.load import Head
from noria.tasks.task import Features, task_of

from .certify import batches, seconds
from .onnx import ALIKE, export_onnx, make_onnx
from .quantize import copy_files, export, quantize
from .settings import CompressSettings, Method

TOKENS, ALONE, TURNS = 512, 4, 3
"""Tokens timed in batches, texts timed one by one, and times that each is, in turns with the trained model."""
RANGED = 8_000
"""Tokens, at most, that show the ranges of activations: they are the largest of many, and settle soon."""
NEARLY = 0.95
"""A candidate that seemed so fast for a moment is left to its certificate."""
CLEAR = 1.4
"""What is so fast both ways is not reached by the same products in another library: 1.0 to 1.2 were measured of an encoder's."""

GRAPH_SECONDS, ONNX_SECONDS, INTEGER_SECONDS = 12.0, 10.0, 20.0
"""About what exporting a graph of 12 layers, writing it twice and compiling it twice takes; what ONNX files of them take; and what
learning the ranges of 8-bit integers takes where they may win."""


@dataclass(frozen=True)
class Candidate:
    """An engine, and how its matrices are kept."""

    kind: Kind
    method: str
    """packed: bfloat16 or int8; onnx: int8 or int7; openvino: float, weights or int8; torch: trained."""
    parts: tuple[Candidate, ...] = ()
    """Of a pair what answers one text, and what answers several."""

    @property
    def title(self) -> Message:
        """Return its name for people."""
        if self.parts:
            return message("make.engine_pair", one=self.parts[0].title, several=self.parts[1].title)
        return message(f"make.engine_{self.kind}_{self.method}")


@dataclass(frozen=True)
class Timed:
    """A candidate's engine on disk, and how many times as fast as the trained model it was for a moment."""

    candidate: Candidate
    folder: Path
    batched: float
    single: float

    @property
    def rank(self) -> tuple[bool, float]:
        """Return what the best has most of: faster both ways first, then by both together."""
        return self.least > NEARLY, self.batched * self.single

    @property
    def least(self) -> float:
        """Return the lower of the two."""
        return min(self.batched, self.single)


PACKED = (Candidate("packed", "bfloat16"), Candidate("packed", "int8"))
ONNX = (Candidate("onnx", "int7"), Candidate("onnx", "int8"))
GRAPHS = (Candidate("openvino", "weights"), Candidate("openvino", "float"))
INTEGERS = Candidate("openvino", "int8")


def candidates(method: Method, *, packable: bool = True) -> tuple[Candidate, ...]:
    """Return what a method asks to be tried, cheap ones first; `packable` tells whether torch's way takes the model."""
    wanted = {"int8": {"int8", "int7"}, "weights": {"weights"}, "float": {"bfloat16", "float"}}.get(method)
    return tuple(
        one
        for one in (*PACKED, *ONNX, *GRAPHS, INTEGERS)
        if (wanted is None or one.method in wanted)
        and (one.kind != "packed" or packable)
        and (one.method != "bfloat16" or bf16_is_fast())
        # Without VNNI 8 bits have to be widened before they are added: half as fast as 7, which need not be.
        and (one.kind != "onnx" or one.method == ("int8" if has_vnni() else "int7"))
    )


def note_timed(report: Report, name: str, title: Message, batched: float, single: float) -> None:
    """Say how many times as fast as the trained model a candidate is, in words and as a row for programs.

    Args:
        report: where it is said.
        name: of the model.
        title: of the candidate.
        batched: times as fast with several texts together.
        single: times as fast with one alone.
    """
    told = message("make.candidate_timed", name=name, candidate=title, batched=batched, single=single)
    report.note(told, candidate={"title": title.as_dict(), "batched": batched, "single": single})


class Screening:
    """Makes and times candidates for one trained model, each in a folder of its own below `place`.

    Args:
        folder: the trained model.
        trained: its engine.
        shown: texts that int8 learns the ranges of activations from.
        features: texts to time with.
        place: where the folders may lie, made here; the caller removes it.
        settings: of the compression.
        report: where it is told what each did.
    """

    def __init__(
        self,
        folder: Path,
        trained: Engine,
        shown: Sequence[Features],
        features: Sequence[Features],
        place: Path,
        settings: CompressSettings,
        report: Report,
    ) -> None:
        self.folder, self.trained, self.shown, self.place = folder, trained, shown, place
        self.settings, self.report = settings, report
        place.mkdir(parents=True)
        drawn = np.random.default_rng(settings.seed).permutation(len(features))
        sizes = np.cumsum([len(features[place].ids) for place in drawn])
        chosen = [features[place] for place in drawn[: 1 + int(np.searchsorted(sizes, TOKENS))]]
        batched = [[chosen[row] for row in rows] for rows in batches([len(one.ids) for one in chosen])]
        self._work = batched, [[one] for one in chosen[:ALONE]]
        self._graph: Any = None
        self._put_off: list[Candidate] = []
        self._product_gain: float | None = None
        self._ranges: list[tuple[torch.Tensor, torch.Tensor]] | None = None
        for _ in range(2):  # what is made on first use is not timed
            batched_seconds, single_seconds = (seconds(trained.outputs, work, time.perf_counter) for work in self._work)
        self.seconds_a_token = batched_seconds / sum(len(one.ids) for one in chosen)
        """Of the trained model, in batches."""
        self.seconds_a_token_alone = single_seconds / max(1, sum(len(one.ids) for one in chosen[:ALONE]))
        """Of the trained model, text by text."""
        self._spent = batched_seconds + single_seconds

    def expected(self) -> float:
        """Return about how many seconds `run` takes."""
        tries = candidates(self.settings.method, packable=self._packable)
        making = {"openvino": GRAPH_SECONDS, "onnx": ONNX_SECONDS}
        made = sum(making.get(kind, 0.0) for kind in {one.kind for one in tries})
        made += INTEGER_SECONDS * (INTEGERS in tries and self._gain() > 1)
        learned = any(one.method == "int8" for one in tries) * min(RANGED, sum(len(one.ids) for one in self.shown))
        return made + self.seconds_a_token * learned + 2 * len(tries) * (TURNS + 1) * self._spent

    @property
    def _packable(self) -> bool:
        return isinstance(self.trained, TorchEngine) and applies(self.trained.model)

    def run(self) -> list[Timed]:
        """Return the candidates that run here, the best first; a graph that computes in fp32, as the trained model does, is put
        off where another is clearly faster."""
        found: list[Timed] = []
        for one in candidates(self.settings.method, packable=self._packable):
            if one.kind == "openvino" and not bf16_is_fast() and any(each.least > CLEAR for each in found):
                self._put_off.append(one)
            elif one != INTEGERS or self._may_win(found):
                found += self._timed(one)
        return sorted(found, key=lambda one: one.rank, reverse=True)

    def put_off(self) -> list[Timed]:
        """Return the candidates that were put off, for none of what seemed faster may pass; once, and then none."""
        found: list[Timed] = []
        while self._put_off:
            one = self._put_off.pop(0)
            if one != INTEGERS or self._may_win(found):
                found += self._timed(one)
        return sorted(found, key=lambda one: one.rank, reverse=True)

    def _timed(self, one: Candidate) -> list[Timed]:
        target = self.place / f"{one.kind}-{one.method}"
        try:
            self._make(one, target)
            engine = open_engine(target, prefer=one.kind)
            batched, single = (self._times_as_fast(engine, work) for work in self._work)
            engine.close()
        # A library without these products, a family that cannot be written as a graph, or not for every shape.
        except (RuntimeError, AttributeError, NotImplementedError, FolderError) as error:
            why = str(error).splitlines()[0]
            self.report.note(
                message("make.candidate_does_not_run", name=self.folder.name, candidate=one.title, error=why)
            )
            return []
        note_timed(self.report, self.folder.name, one.title, batched, single)
        return [Timed(one, target, batched, single)]

    def _make(self, one: Candidate, target: Path) -> None:
        if one.kind == "packed":
            pack(self.folder, target, one.method, self.settings, self._scales() if one.method == "int8" else [])
            return
        if one.kind == "onnx":
            graph = self.place / "graph.onnx"
            if not graph.exists():
                export_onnx(self.folder, graph, self._scales(ALIKE) if self._packable else [])
            make_onnx(self.folder, target, graph, one.method, self.settings)
            return
        if self._graph is None:
            self._graph = export(self.folder, cast(Head, task_of(read_manifest(self.folder)).head))
        settings = self.settings.replace(method=one.method)
        quantize(self.folder, self.shown, target, settings, self.report, graph=self._graph)

    def _scales(self, share: float = SHARE) -> list[torch.Tensor]:
        if self._ranges is None:
            ends = np.cumsum([len(one.ids) for one in self.shown])
            shown = [one.ids for one in self.shown[: 1 + int(np.searchsorted(ends, RANGED))]]
            assert isinstance(self.trained, TorchEngine)
            texts = ([shown[place] for place in places] for places in batches([len(ids) for ids in shown]))
            self._ranges = ranges(self.trained.model, texts) if shown else []
        return smoothing(self._ranges, share)

    def _may_win(self, found: Sequence[Timed]) -> bool:
        """Return whether 8-bit integers may make a graph the fastest, by what they gain in one product."""
        graph = next((one for one in found if one.candidate.kind == "openvino"), None)
        if graph is None:
            return True
        gain = self._gain()
        bound = graph.batched * gain * graph.single * gain
        best = max(one.batched * one.single for one in found)
        if bound > max(1.0, best):
            return True
        name, title = self.folder.name, INTEGERS.title
        self.report.note(message("make.candidate_cannot_win", name=name, candidate=title, gain=gain))
        return False

    def _gain(self) -> float:
        if self._product_gain is None:
            self._product_gain = product_gain()
        return self._product_gain

    def _times_as_fast(self, engine: Engine, work: Sequence[Sequence[Features]]) -> float:
        """Return the trained model's seconds by an engine's, of each the least of some turns."""
        least = [float("inf"), float("inf")]
        for turn in range(TURNS + 1):  # what is made on first use is not timed
            for place, one in enumerate((self.trained, engine)):
                took = seconds(one.outputs, work, time.perf_counter)
                least[place] = min(least[place], took) if turn else least[place]
        return least[0] / least[1]


def pack(
    folder: Path, target: Path, number: str, settings: CompressSettings, scales: Sequence[torch.Tensor] = ()
) -> Path:
    """Write a copy of a model folder that torch answers with packed matrices; they are packed as the engine starts.

    Args:
        folder: the trained model.
        target: the folder to write.
        number: bfloat16 or int8.
        settings: of the compression.
        scales: for int8 what `noria.infer.unpadded.smoothing` gave.
    """
    with new_folder(
        target, kind="model", settings=settings.model_dump(mode="json"), sources=[source_of(folder)]
    ) as out:
        copy_files(folder, out.path)
        file = out.path / ENGINES["packed"]
        file.parent.mkdir()
        write_json(file, {"number": number})
        if scales:
            save_file({str(place): one for place, one in enumerate(scales)}, out.path / SCALES)
        out.facts.update(read_manifest(folder).facts)
        out.facts["engine"] = {
            "format": "packed",
            "runtime": "torch",
            "method": number,
            "bytes": _bytes(folder, number),
        }
    return target


def _bytes(folder: Path, number: str) -> int:
    """Return the bytes of the weights once they are packed."""
    from safetensors import safe_open

    width, total = {"bfloat16": 2, "int8": 1}[number], 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict
                shape = tensors.get_slice(name).get_shape()
                packed = ".layer." in name and len(shape) == 2
                total += int(np.prod(shape)) * (width if packed else 4)
    return total


@signal_stack_kept()
def product_gain(rows: int = 256, width: int = 384, turns: int = 5) -> float:
    """Return how many times as fast OpenVINO multiplies in 8-bit integers as otherwise, at an encoder's sizes, on all cores."""
    import openvino
    from openvino import opset13 as ops

    from noria.infer.openvino import options

    random = np.random.default_rng(0)
    matrix = random.normal(size=(4 * width, width)).astype(np.float32)
    given = random.normal(size=(rows, width)).astype(np.float32)
    least = []
    for integers in (False, True):
        parameter = ops.parameter([rows, width], np.float32)
        left, right = parameter, ops.constant(matrix)
        if integers:
            left = ops.fake_quantize(left, -4.0, 4.0, -4.0, 4.0, 256)
            edge = np.abs(matrix).max(1, keepdims=True)
            right = ops.fake_quantize(right, -edge, edge, -edge, edge, 255)
        model = openvino.Model([ops.matmul(left, right, False, True)], [parameter])
        request = openvino.Core().compile_model(model, "CPU", options(cores())).create_infer_request()
        took = []
        for _ in range(turns):
            start = time.perf_counter()
            request.infer([given])
            took.append(time.perf_counter() - start)
        least.append(min(took))
    return least[0] / least[1]
