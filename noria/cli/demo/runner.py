"""Run the stages of the main job: skip what is done, go on with what was cut, keep the ledger."""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noria import __version__
from noria.core.errors import ResourceError, told_plainly, unknown
from noria.core.folder import clear_partial, write_json
from noria.core.memory import release_memory
from noria.core.progress import Report
from noria.core.settings import fingerprint

from .serve import check_port, serve
from .settings import DemoSettings
from .stage import Context, Stage

INPUTS: dict[str, tuple[str, ...]] = {
    # stage -> the stages it reads and the settings it depends on; it is done again when one of them changed
    "corpus": ("seed",),
    "pretrain": ("corpus", "pretrain_seconds", "seed"),
    "base": ("corpus",),
    "sentiment": ("base", "sentiment_minutes", "seed"),
    "entities": ("base", "entities_minutes", "seed"),
    "compress": ("sentiment", "entities"),
    "ship": ("compress", "pretrain", "quick", "seed"),
    "grow": ("ship", "seed"),
}


def stages() -> list[Stage]:
    """Return the stages of the main job, in order."""
    from . import compress, corpus, finetune, grow, pretrain, ship

    return [corpus.STAGE, pretrain.STAGE, finetune.BASE, finetune.SENTIMENT, finetune.ENTITIES, compress.STAGE,
            ship.STAGE, grow.STAGE]  # fmt: skip


def turn(settings: DemoSettings, report: Report, redo: Sequence[str] = ()) -> int:
    """Run every stage that is not done, print the ledger, and open the console where the settings ask for it.

    Args:
        settings: budgets and places.
        report: where progress, plan and ledger go.
        redo: names of stages to run again although they are done; a stage that reads one of them is run again too.

    Raises:
        SettingError: a stage to redo is unknown.
        ResourceError: another run holds the folder, or the port is in use.
    """
    for name in redo:
        if name not in INPUTS:
            raise unknown("stage", name, INPUTS)
    settings = settings.budgets()
    root = Path(settings.out)
    if settings.serve:
        check_port(settings)
    with told_plainly():
        root.mkdir(parents=True, exist_ok=True)
    with held(root):
        clear_partial(root)
        context = Context(root, settings, report)
        forget(root, redo)
        chosen = stages()
        started = time.monotonic()
        for number, stage in enumerate(chosen, 1):
            run_stage(stage, context, f"{number}/{len(chosen)}")
        write_ledger(chosen, context, time.monotonic() - started)
        if not settings.serve:
            return 0
        return serve(context)


def run_stage(stage: Stage, context: Context, position: str) -> None:
    """Run one stage unless it is done with the same settings and inputs.

    The record is written when the stage begins, with the key of its settings and inputs: what a killed run left is gone
    on with under the same key, and cleared away under another.
    """
    record = stage_file(context.root, stage.name)
    key = stage_key(stage.name, context)
    known = read_record(context.root, stage.name)
    if known.get("key") == key and "line" in known:
        context.report.ledger(f"{position} {stage.name}: done before. {known['line']}", stage=stage.name, again=False)
        return
    if known.get("key") != key:
        clear(context.root, stage)
        write_json(record, {"name": stage.name, "key": key})
    context.report.plan(f"{position} {stage.name}: {stage.plan(context)}", stage=stage.name)
    started = time.monotonic()
    result = stage.run(context)
    seconds = time.monotonic() - started
    release_memory()
    value = {
        "name": stage.name,
        "title": stage.title,
        "key": key,
        "line": result.line,
        "seconds": round(seconds, 1),
        "figures": [figure.as_dict() for figure in result.figures],
        "facts": result.facts,
        "noria": __version__,
    }
    write_json(record, value)
    context.report.ledger(
        f"{position} {stage.name} ({seconds:,.0f} s): {result.line}", stage=stage.name, seconds=seconds
    )


def forget(root: Path, names: Sequence[str]) -> None:
    """Drop the records of the stages `names` and of all that read them."""
    stale = set(names)
    for name, reads in INPUTS.items():  # in order, so one pass finds all that follow
        if name in stale or stale.intersection(reads):
            stale.add(name)
            stage_file(root, name).unlink(missing_ok=True)


def stage_key(name: str, context: Context) -> str:
    """Return a hash of everything that decides a stage's result: its settings and the keys of the stages it reads."""
    values = context.settings.model_dump(mode="json")
    parts: dict[str, Any] = {"stage": name, "noria": __version__}
    for item in INPUTS[name]:
        parts[item] = stage_key(item, context) if item in INPUTS else values[item]
    return fingerprint(parts)


def stage_file(root: Path, name: str) -> Path:
    """Return where a stage's record lies."""
    return root / f"{name}.stage.json"


def read_record(root: Path, name: str) -> Mapping[str, Any]:
    """Return the record of a stage, finished or begun; empty where there is none."""
    try:
        record = json.loads(stage_file(root, name).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def read_stage(root: Path, name: str) -> Mapping[str, Any] | None:
    """Return the record of a finished stage, or None."""
    record = read_record(root, name)
    return record if "line" in record else None


def clear(root: Path, stage: Stage) -> None:
    """Remove what a stage wrote, and what it was writing."""
    for name in stage.outputs or (stage.name,):
        shutil.rmtree(root / name, ignore_errors=True)
        shutil.rmtree(root / f".{name}.work", ignore_errors=True)


def write_ledger(chosen: list[Stage], context: Context, seconds: float) -> None:
    """Write `ledger.json` and say the ledger on one screen."""
    records = [read_stage(context.root, stage.name) for stage in chosen]
    done = [record for record in records if record]
    write_json(context.root / "ledger.json", {"settings": context.settings.model_dump(mode="json"), "stages": done})
    context.report.note("")
    context.report.note(f"The wheel has turned once, in {seconds / 60:.1f} min now "
                        f"({sum(record['seconds'] for record in done) / 60:.1f} min in all).")  # fmt: skip
    for record in done:
        context.report.note(f"{record['name']:<10} {record['seconds']:>6.0f} s  {record['line']}")
    context.report.note(f"report: {context.root / 'report.html'}", **{"report": str(context.root / "report.html")})


@contextmanager
def held(root: Path) -> Iterator[None]:
    """Hold the folder of a run against a second run; the hold ends with the process, however it ends.

    Raises:
        ResourceError: another run holds it.
    """
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResourceError(
                "another run uses this folder", found=str(root), hint="wait for it, or give --out"
            ) from None
        yield
