"""A causal model's faster engine: candidates made, each judged beside the trained model, the fastest that passes taken."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from noria.core.errors import FolderError, ResourceError, SettingError
from noria.core.folder import new_folder, read_manifest, source_of
from noria.core.messages import message
from noria.core.progress import Report
from noria.infer.choose import open_engine
from noria.infer.engine import ENGINES, Engine, Kind, read_config
from noria.infer.gguf.families import FAMILIES
from noria.infer.gguf.renamed import forget_gone
from noria.machine import cores
from noria.tasks.complete import Sampling
from noria.tasks.task import Row, Task, task_of

from .certify import Certificate
from .decoders import WRITTEN, certify_decoder, prompts_of
from .gguf import Number, fault_of, longest_same, rotation, write_gguf
from .quantize import copy_files, seal, size_of
from .settings import CompressSettings

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


class Served:
    """A causal model through its engine, as it is compared."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def likeliest(self, prompt: Sequence[int]) -> int:
        """Return the likeliest token after a prompt; -1 where the text ends there."""
        return next(self.engine.generate(prompt, Sampling(temperature=0, max_tokens=1)), -1)

    def write(self, prompts: Sequence[Sequence[int]], tokens: int) -> None:
        """Write so many tokens after each prompt, all of them together."""
        scheduler = self.engine.scheduler()
        # Temperature one and a seed each: greedy models fall into loops, and end early or late together.
        for number, prompt in enumerate(prompts):
            scheduler.begin(number, prompt, Sampling(temperature=1.0, top_p=1.0, seed=number), max_tokens=tokens)
        while scheduler.busy:
            scheduler.step()
        scheduler.close()


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
    trained = open_engine(folder, prefer="torch")
    found: list[tuple[float, Path, Certificate]] = []
    trials = []
    try:
        texts = [task.features(trained.tokenizer, row, trained.max_length).ids for row in held_out]
        prompts = prompts_of(texts, settings, trained.max_length - WRITTEN)
        for kind, number in product(RUNTIMES, NUMBERS[settings.method]):
            if kind == "genai" and not _genai_reads(config, number):
                continue
            trial = out.with_name(f".{out.name}.{kind}.{number.replace(' ', '')}.part")
            trials.append(trial)
            with new_folder(
                trial, kind="model", settings=settings.model_dump(mode="json"), sources=[source_of(folder)]
            ) as made:
                copy_files(folder, made.path)
                size = write_gguf(folder, made.path / ENGINES[kind], number)
                made.facts.update(manifest.facts)
                made.facts["max_length"] = min(trained.max_length, longest_same(config))
                made.facts["engine"] = {"format": "GGUF", "runtime": RUNTIMES[kind], "method": number, "bytes": size}
            try:
                faster = open_engine(trial, prefer=kind)
            except (FolderError, ResourceError) as error:
                report.note(f"{folder.name}, {RUNTIMES[kind]} in {number}: does not run: {error}")
                continue
            certificate = certify_decoder(
                prompts,
                Served(trained),
                Served(faster),
                sizes=size_of(trial),
                settings=settings,
                source=source,
                threads=cores(),
                report=report,
            )
            faster.close()
            speeds = [certificate.figure(name).value for name in ("speed in batches", "speed of one text")]
            speed = speeds[0] * speeds[1]
            found.append((speed if certificate.passed else -1.0 / speed, trial, certificate))
            report.note(
                f"{folder.name}, {RUNTIMES[kind]} in {number}: {'passed' if certificate.passed else 'refused'}, "
                f"{speeds[0]:.2f} times as fast together, {speeds[1]:.2f} alone"
            )
        if not found:
            raise SettingError(
                message("make.faster_engine_runs", name=folder.name),
                found=", ".join(RUNTIMES.values()),
                allowed="torch",
            )
        _, trial, certificate = max(found, key=lambda one: one[0])
        if not or_trained:
            certificate.or_refuse()
        seal(trial if certificate.passed else folder, out, certificate.as_dict())
    finally:
        trained.close()
        for trial in trials:
            shutil.rmtree(trial, ignore_errors=True)
        forget_gone()
    return certificate


def _genai_reads(config: Mapping[str, Any], number: Number) -> bool:
    """Return whether OpenVINO GenAI makes of a file what llama.cpp does: it knows fewer families, rotations and packings."""
    plain = rotation(config)["rope_type"] == "default" and not (config.get("attention_bias") or config.get("mlp_bias"))
    return plain and number != "4 bits" and config.get("model_type") in ("llama", "mistral", "qwen2", "qwen3")
