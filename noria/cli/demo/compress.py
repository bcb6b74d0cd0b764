"""Stage 4, compression: the fastest engines here for sentiment, entities and embeddings, each with a certificate or a refusal.

What is served lies in `<name>-served`: the compressed model where it earned its certificate, the trained one where it did not.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import noria
from noria.api.stages import StageResult
from noria.core.caveats import caveats
from noria.core.errors import FolderError
from noria.core.folder import read_manifest
from noria.core.messages import Message, joined, message, term
from noria.machine import measure
from noria.make.compress.settings import CompressSettings

from .settings import Context, Stage

if TYPE_CHECKING:
    from noria.make.compress.certify import Certificate

MODELS = {"sentiment": ("sentiment", "reviews"), "entities": ("entities", "entities"), "embed": ("e5", "news")}
"""Name of the result -> the trained model's folder, and the set of the corpus whose test split judges it. What embeds keeps the
whole vocabulary: customers ask in English, too, which the corpus that `base` is trimmed to hardly knows."""
JUDGED = {"sentiment": 800, "entities": 500, "embed": 100}
"""Rows of the test split, spread over it, on which each is certified: the trained model takes most of the time here."""
QUICK = 300
"""Rows of a test split that are enough when it must be quick."""

OPERATIONS = 60 * 43e6
"""Of a row: its tokens, about, and two for every weight of the layers that a token passes."""
MAKING = 40
"""Seconds that making and timing engines takes for each model, about; it was 36 to 38 with AVX2 and with AMX on two cores."""


def plan(context: Context) -> Message:
    """Return what the stage is about to do, with the seconds that this machine's speed makes of it."""
    rows = sum(min(count, QUICK) if context.settings.quick else count for count in JUDGED.values())
    # The trained model answers them all, the faster one too, and both are timed; the rest is making and timing engines.
    seconds = len(MODELS) * MAKING + 2 * rows * OPERATIONS / measure().fp32_flops
    return message("demo.compress.plan", models=len(MODELS), seconds=seconds)


def run(context: Context) -> StageResult:
    """Write root/<name>-served for every model; one that is there from a killed run is kept."""
    from noria.make.compress.recipe import certificate_text

    lines, figures, facts = list[Message](), [], {}
    for name in MODELS:
        certificate = finished(context.root, name)
        if certificate is None:
            compress(context, name)
            certificate = certificate_of(context.root / served(name))
            context.report.note(message("work.named", name=name, text=certificate_text(certificate)))
        told = message("demo.compress.of", name=name, certificate=certificate_text(certificate))
        lines.append(told if certificate.passed else message("demo.compress.trained", told=told))
        known = caveats(read_manifest(context.root / served(name)).facts)
        lines += [message("demo.compress.however", name=name, words=words) for words in known]
        figures += [
            replace(figure, name=message("figures.of_model", model=term(name), measure=term(figure.name)))
            for figure in certificate.figures
        ]
        facts[name] = certificate.as_dict()
    return StageResult(joined("join.clauses", lines), figures, facts)


def served(name: str) -> str:
    """Return the folder of what is served: a name that makes no claim, for a certificate may be refused."""
    return f"{name}-served"


STAGE = Stage("compress", message("demo.compress.title"), plan, run, tuple(map(served, MODELS)))


def compress(context: Context, name: str) -> None:
    """Compress one model on its corpus set."""
    folder, corpus_set = MODELS[name]
    corpus = context.root / "corpus" / corpus_set
    settings = CompressSettings(seed=context.settings.seed, rounds=6, samples=100)
    noria.compress(
        context.root / folder,
        rows=corpus / "test.jsonl",
        out=context.root / served(name),
        calibration=corpus / "train.jsonl",
        most=min(JUDGED[name], QUICK) if context.settings.quick else JUDGED[name],
        source=message("figures.test_file", corpus=term(corpus_set)),
        or_trained=True,
        settings=settings,
        progress=context.report.step(),
    )


def finished(root: Path, name: str) -> Certificate | None:
    """Return the certificate of a folder that a killed run finished, or None."""
    try:
        read_manifest(root / served(name))
        return certificate_of(root / served(name))
    except (FolderError, OSError, ValueError):
        return None


def certificate_of(folder: Path) -> Certificate:
    """Return the certificate in a folder."""
    from noria.make.compress.certify import Certificate

    return Certificate.from_dict(json.loads((folder / "certificate.json").read_text(encoding="utf-8")))
