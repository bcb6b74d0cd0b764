"""A causal model's faster engine: candidates made, each judged beside the trained model, the fastest that passes taken."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, cast

from noria.core.errors import FolderError, ResourceError, SettingError
from noria.core.figure import Figure
from noria.core.folder import new_folder, read_manifest, source_of
from noria.core.messages import Message, message, term
from noria.core.progress import Report
from noria.infer.choose import open_engine
from noria.infer.decoder import Decoder
from noria.infer.engine import ENGINES, Engine, Kind, read_config
from noria.infer.gguf.families import FAMILIES
from noria.infer.gguf.renamed import forget_gone
from noria.infer.torch import TorchEngine
from noria.machine import cores
from noria.make.training.objectives.apart import read_apart
from noria.tasks.complete import Sampling
from noria.tasks.task import Row, Task, task_of

from .candidates import note_timed
from .certify import Certificate
from .decoders import LOOKS, WRITTEN, Reference, certificate_figures, certify_decoder, look, places_of
from .gguf import Number, fault_of, longest_same, rotation, write_gguf
from .quantize import copy_files, seal, size_of
from .readings import file_reader, read_alike
from .settings import CompressSettings
from .trained import Reading, Trained

NUMBERS: dict[str, tuple[Number, ...]] = {
    "auto": ("8 bits", "float16"),
    "int8": ("8 bits",),
    "weights": ("8 bits",),
    "int4": ("4 bits",),
    "float": ("float16",),
}
"""Method -> what matrices are stored in, in the order in which it is tried."""
RUNTIMES: dict[Kind, str] = {"llamacpp": "llama.cpp", "genai": "OpenVINO GenAI"}
"""Engine that reads such a file -> its name for people."""
MERGED, MERGED_SHARE = 1e-4, 1e-3
"""Most divergence of merged weights from base and adapter apart, nats, and as a share of what the adapter changes: both are computed in
float32, so that what is beyond rounding is another sum."""


class TimedEngine:
    """A causal model through its engine, as it is timed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def write(self, prompts: Sequence[Sequence[int]], tokens: int) -> None:
        """Write so many tokens after each prompt, all of them together."""
        scheduler = self.engine.scheduler()
        # Temperature one and a seed each: greedy models fall into loops, and end early or late together.
        for number, prompt in enumerate(prompts):
            scheduler.begin(number, prompt, Sampling(temperature=1.0, top_p=1.0, seed=number), max_tokens=tokens)
        while scheduler.busy:
            scheduler.step()
        scheduler.close()


class ServedEngine(TimedEngine):
    """A causal model through a fast engine, as it is compared."""

    def __init__(self, engine: Decoder) -> None:
        super().__init__(engine)
        self.decoder = engine

    def following(self, ids: Sequence[int], expected: int) -> Mapping[int, float]:
        """Return log probabilities of the token after a prompt; see `Decoder`."""
        return self.decoder.following(ids, expected)


def compress_decoder(
    folder: Path,
    held_out: Sequence[Row],
    out: Path,
    settings: CompressSettings,
    report: Report,
    *,
    source: str,
    or_trained: bool = False,
) -> Certificate:
    """Write `out`: the model with the engine that passed its certificate and is fastest; see `compress_model`.

    Raises:
        Refused: none earned its certificate; nothing is written.
        SettingError: the model is none that a faster engine runs.
    """
    manifest = read_manifest(folder)
    task: Task = task_of(manifest)
    config = read_config(folder)
    merged = (manifest.facts.get("adapter") or {"merged": True})["merged"]
    if (fault := fault_of(config)) or not merged:
        raise SettingError(
            message("make.faster_engine", name=folder.name),
            found=fault or message("make.not_merged"),
            allowed=message("make.families_merged", families=", ".join(one.title for one in FAMILIES)),
        )
    reference, known = _as_trained(folder, task, held_out, settings, source, report)
    trained = open_engine(folder, prefer="torch")
    trials: list[Path] = []
    try:
        looked = []
        for kind, number in product(RUNTIMES, NUMBERS[settings.method]):
            if kind == "genai" and not _genai_reads(config, number):
                continue
            trials.append(out.with_name(f".{out.name}.{kind}.{number.replace(' ', '')}.part"))
            _write(folder, trials[-1], kind, number, settings, min(trained.max_length, longest_same(config)))
            title = message("make.engine_decoder", runtime=RUNTIMES[kind], number=term(number))
            if one := _look(trials[-1], kind, title, folder.name, reference, trained, settings, report):
                looked.append(one)
        if not looked:
            raise SettingError(
                message("make.faster_engine_runs", name=folder.name),
                found=", ".join(RUNTIMES.values()),
                allowed="torch",
            )
        known = known.with_file(trials[0] / ENGINES["llamacpp"])  # tokenizer and template are the same in all
        one, certificate = _first_that_passes(looked, folder.name, reference, known, trained, settings, report)
        if not or_trained:
            certificate.or_refuse()
        seal(one.folder if certificate.passed else folder, out, certificate.as_dict())
    finally:
        trained.close()
        for trial in trials:
            shutil.rmtree(trial, ignore_errors=True)
        forget_gone()
    return certificate


@dataclass(frozen=True)
class _Looked:
    """An engine that was made and timed for a moment."""

    folder: Path
    kind: Kind
    title: Message
    speed: float
    """Product of how many times faster it is together and alone."""
    seconds: float
    """That a round of both took, the trained model's and its own."""


def _look(
    trial: Path,
    kind: Kind,
    title: Message,
    name: str,
    reference: Reference,
    trained: Engine,
    settings: CompressSettings,
    report: Report,
) -> _Looked | None:
    """Time an engine for a moment and say how fast it is; return None where it does not run."""
    try:
        engine = open_engine(trial, prefer=kind)
    except (FolderError, ResourceError) as error:
        report.note(message("make.candidate_does_not_run", name=name, candidate=title, error=error))
        return None
    begun = time.perf_counter()
    try:
        prompts = [place.prompt for place in reference.places]
        together, alone = look(prompts, TimedEngine(trained), TimedEngine(engine), settings)
    finally:
        engine.close()
    took = time.perf_counter() - begun
    note_timed(report, name, title, together, alone)
    return _Looked(trial, kind, title, together * alone, took / (LOOKS + 1))


def _first_that_passes(
    looked: Sequence[_Looked],
    name: str,
    reference: Reference,
    known: _Known,
    trained: Engine,
    settings: CompressSettings,
    report: Report,
) -> tuple[_Looked, Certificate]:
    """Return the fastest that passes its certificate, or the fastest of all with the one that it was refused.

    What a moment showed to be slower than the trained model is compared only where nothing else is left to say.
    """
    tried: list[tuple[_Looked, Certificate]] = []
    for one in sorted(looked, key=lambda one: -one.speed):
        if tried and one.speed < 1:
            break
        report.plan(
            message(
                "make.decoder_plan",
                name=name,
                candidate=one.title,
                prompts=len(reference.places),
                seconds=one.seconds * (settings.rounds + 1) + reference.seconds,
            )
        )
        read = known.with_folder(one.folder)
        engine = open_engine(one.folder, prefer=one.kind)
        try:
            certificate = certify_decoder(
                reference,
                TimedEngine(trained),
                ServedEngine(cast(Decoder, engine)),
                sizes=size_of(one.folder),
                settings=settings,
                read=read.figures,
                faults=read.faults,
                threads=cores(),
                report=report,
            )
        finally:
            engine.close()
        tried.append((one, certificate))
        told = message("make.candidate", name=name, candidate=one.title)
        for words in (certificate_figures(certificate), *read.notes, *certificate.reasons):
            report.note(message("certificate.of", engine=told, text=words))
        if certificate.passed:
            return tried[-1]
    return tried[0]


def _write(folder: Path, trial: Path, kind: Kind, number: Number, settings: CompressSettings, longest: int) -> None:
    """Write a copy of a model folder with an engine's file."""
    sources = [source_of(folder)]
    with new_folder(trial, kind="model", settings=settings.model_dump(mode="json"), sources=sources) as made:
        copy_files(folder, made.path)
        size = write_gguf(folder, made.path / ENGINES[kind], number)
        made.facts.update(read_manifest(folder).facts)
        made.facts["max_length"] = longest
        made.facts["engine"] = {"format": "GGUF", "runtime": RUNTIMES[kind], "method": number, "bytes": size}


@dataclass(frozen=True)
class _Known:
    """What is known of a model beside its next tokens: what it reads, and whether it is what was trained."""

    trained: Reading
    figures: tuple[Figure, ...] = ()
    faults: tuple[Message, ...] = ()
    """Reasons to refuse."""
    notes: tuple[Message, ...] = ()
    """What a person should know of it."""

    def with_file(self, file: Path) -> _Known:
        """Return it with what llama.cpp reads of conversations by what stands in a file, as any other program would."""
        with file_reader(file, cores()) as reader:
            share, differing = read_alike(self.trained, reader, []) if reader else (None, [])
        told = [replace(share, name=message("figures.by_the_file", measure=term(share.name)))] if share else []
        notes = [message("certificate.file_reads_otherwise", kind=term(kind), reason=why) for kind, why in differing]
        return replace(self, figures=(*told, *self.figures), notes=(*self.notes, *notes))

    def with_folder(self, folder: Path) -> _Known:
        """Return it with what the folder of an engine reads of conversations."""
        share, differing = read_alike(self.trained, Reading.of(folder), [])
        faults = [message("certificate.reads_otherwise", kind=term(kind), reason=why) for kind, why in differing]
        figures = (*([share] if share else []), *self.figures)
        return replace(self, figures=figures, faults=(*self.faults, *faults))


def _as_trained(
    folder: Path, task: Task, held_out: Sequence[Row], settings: CompressSettings, source: str, report: Report
) -> tuple[Reference, _Known]:
    """Return what the model says in torch and float32, where it stood when it was trained."""
    engine = TorchEngine(folder, read_manifest(folder), task, threads=cores(), number="float32")
    try:
        trained = Trained(engine)
        texts = [task.features(engine.tokenizer, row, engine.max_length) for row in held_out]
        places = places_of(texts, settings, engine.max_length - WRITTEN)
        with report.bar("trained", total=len(places), unit="prompts") as bar:
            reference = Reference(trained, places, source, bar.advance)
        known = _Known(Reading.of(folder), *_merged(trained, folder, settings.seed))
    finally:
        engine.close()
    return reference, known


def _merged(trained: Trained, folder: Path, seed: int) -> tuple[tuple[Figure, ...], tuple[Message, ...]]:
    """Return what merged weights say beside base and adapter apart, and why they are refused."""
    apart = read_apart(folder / "adapter")
    if apart is None:
        return (), ()
    figures = trained.beside_apart(apart, seed)
    divergence = figures[-1].value
    if divergence <= max(MERGED, MERGED_SHARE * apart.effect):
        return tuple(figures), ()
    return tuple(figures), (message("certificate.merged_otherwise", divergence=divergence, effect=apart.effect),)


def _genai_reads(config: Mapping[str, Any], number: Number) -> bool:
    """Return whether OpenVINO GenAI makes of a file what llama.cpp does: it knows fewer families, rotations and packings."""
    plain = rotation(config)["rope_type"] == "default" and not (config.get("attention_bias") or config.get("mlp_bias"))
    return plain and number != "4 bits" and config.get("model_type") in ("llama", "mistral", "qwen2", "qwen3")
