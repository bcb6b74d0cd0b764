"""Two engines in one folder, where what is fastest for one text is not what is fastest for several.

Two take the memory and the start of both, and answer a text alone a little otherwise than among others. So a pair is tried only
where every engine by itself is a tenth slower than the better of the two at one or the other; the trained model is one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from noria.core.folder import new_folder, read_manifest, source_of, write_json
from noria.infer.engine import ENGINES, Engine
from noria.infer.pair import PairedEngine

from .candidates import Candidate, Timed
from .certify import ALONE, BATCHED, DIFFER, Certificate, Pair
from .quantize import copy_files, put
from .settings import CompressSettings

CLEARLY = 1.1
"""How many times as fast as any one engine a pair is to be, at one text or at several; and as the trained model what answers in its
stead, for that needs no certificate."""
NOT_NEARLY = 0.9 / CLEARLY
"""A speed that is no rival of the trained model's."""
TRAINED = Candidate("torch", "trained")


def with_pair(found: Sequence[Timed], folder: Path, place: Path, settings: CompressSettings) -> list[Timed]:
    """Return candidates, the best first, with a pair of them before the others where one is clearly better.

    Args:
        found: what was timed.
        folder: the trained model, which a pair may have too.
        place: where the pair's folder is written, where there is one.
        settings: of the compression.
    """
    if (pair := best_pair(found, folder)) is None:
        return list(found)
    one, several = pair
    candidate = Candidate("pair", "", (one.candidate, several.candidate))
    target = place / "-".join(("pair", *(part for each in candidate.parts for part in (each.kind, each.method))))
    if not target.exists():
        _write(one, several, folder, target, settings)
    return [Timed(candidate, target, several.batched, one.single), *found]


def best_pair(found: Sequence[Timed], folder: Path) -> tuple[Timed, Timed] | None:
    """Return what is to answer one text, and what several; None where one engine does nearly as well at both. Arguments as above."""
    whole = [*found, Timed(TRAINED, folder, 1.0, 1.0)]
    pairs = [(one, other) for one in whole for other in whole if one.candidate.kind != other.candidate.kind]
    if not pairs:
        return None
    one, several = max(pairs, key=lambda pair: _worth(pair[0], pair[0].single) * _worth(pair[1], pair[1].batched))
    if any(CLEARLY * each.single > one.single and CLEARLY * each.batched > several.batched for each in whole):
        return None
    return one, several


def left(pool: Sequence[Timed], refused: Candidate, certificate: Certificate) -> list[Timed]:
    """Return what may still be tried, once a candidate was refused: of a pair all but the engine to blame.

    An engine that answers as it should, and is surely faster than the trained model at one text or at several, but not at both,
    stays with the speeds that its certificate found: beside the trained model, which does the other, it may be a pair.
    """
    if refused.parts:
        wrong = _blamed(refused.parts, certificate)
        return [one for one in pool if one.candidate != wrong]
    lows = [certificate.figure(name).low or 0.0 for name in (BATCHED, ALONE)]
    kept = certificate.only_slow and max(lows) > CLEARLY
    batched, alone = (low if low > 1 else min(low, NOT_NEARLY) for low in lows)
    return [
        replace(one, batched=batched, single=alone) if one.candidate == refused else one
        for one in pool
        if kept or one.candidate != refused
    ]


def _blamed(parts: tuple[Candidate, ...], certificate: Certificate) -> Candidate:
    one, several = parts
    if TRAINED in parts:
        return several if one == TRAINED else one
    agreed, alone = any(each.name == DIFFER for each in certificate.figures), certificate.figure(ALONE)
    return several if agreed and (alone.low is None or alone.low > 1) else one


def _worth(part: Timed, speed: float) -> float:
    return speed * (CLEARLY if part.candidate == TRAINED else 1.0)


def judged_as(engine: Engine) -> Pair | None:
    """Return how the certificate judges an engine that is a pair; None of any other."""
    if not isinstance(engine, PairedEngine):
        return None
    single = None if engine.one.kind == "torch" else engine.one.outputs
    return Pair(single, {engine.one.kind: ALONE, engine.several.kind: BATCHED}.get("torch", ""))


def _write(one: Timed, several: Timed, folder: Path, target: Path, settings: CompressSettings) -> None:
    with new_folder(
        target, kind="model", settings=settings.model_dump(mode="json"), sources=[source_of(folder)]
    ) as out:
        copy_files(folder, out.path)
        known: dict[str, dict[str, Any]] = {}
        for role, part in (("one", one), ("several", several)):
            if part.candidate == TRAINED:
                weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
                known[role] = {"runtime": "torch", "method": "trained", "bytes": weights}
                continue
            for file in sorted((part.folder / "engine").iterdir()):
                put(file, out.path / "engine" / file.name)
            known[role] = dict(read_manifest(part.folder).facts["engine"])
        write_json(out.path / ENGINES["pair"], {"one": one.candidate.kind, "several": several.candidate.kind})
        out.facts.update(read_manifest(folder).facts)
        out.facts["engine"] = {
            "format": "pair",
            "method": f"{one.candidate.method}, {several.candidate.method}",
            "bytes": sum(int(each["bytes"]) for each in known.values()),
            **known,
        }
