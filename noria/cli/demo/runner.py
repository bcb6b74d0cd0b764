"""Run the stages of the main job: skip what is done, resume what was cut, keep the ledger."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from noria import __version__
from noria.api import stages
from noria.api.stages import KeyedStage, held, read_stage, stage_file
from noria.cli.manners import print_made
from noria.core.errors import plain_errors, unknown
from noria.core.folder import clear_partial, write_json
from noria.core.messages import as_is, line_of, message
from noria.core.progress import Report
from noria.core.settings import fingerprint

from .serve import check_port, serve
from .settings import Context, DemoSettings, Stage

INPUTS: dict[str, tuple[str, ...]] = {
    # stage -> the stages it reads and the settings it depends on; it is done again when one of them changed
    "corpus": ("seed",),
    "pretrain": ("corpus", "pretrain_minutes", "seed"),
    "base": ("corpus",),
    "sentiment": ("base", "sentiment_minutes", "seed"),
    "entities": ("base", "entities_minutes", "seed"),
    "compress": ("sentiment", "entities"),
    "ship": ("compress", "pretrain", "quick", "seed"),
    "grow": ("ship", "seed"),
}


def all_stages() -> list[Stage]:
    """Return the stages of the main job, in order."""
    from . import compress, corpus, finetune, grow, pretrain, ship

    return [
        corpus.STAGE,
        pretrain.STAGE,
        finetune.BASE,
        finetune.SENTIMENT,
        finetune.ENTITIES,
        compress.STAGE,
        ship.STAGE,
        grow.STAGE,
    ]


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
    with plain_errors():
        root.mkdir(parents=True, exist_ok=True)
    with held(root):
        clear_partial(root)
        context = Context(root, settings, report)
        forget(root, redo)
        chosen = all_stages()
        started = time.monotonic()
        for number, stage in enumerate(chosen, 1):
            run_stage(stage, context, f"{number}/{len(chosen)}")
        write_ledger(chosen, context, time.monotonic() - started)
        if not settings.serve:
            return 0
        return serve(context)


def run_stage(stage: Stage, context: Context, position: str) -> None:
    """Run one stage unless it is done with the same settings and inputs."""
    keyed = KeyedStage(
        stage.name,
        stage.title,
        stage_key(stage.name, context),
        partial(stage.plan, context),
        partial(stage.run, context),
        stage.outputs or (stage.name,),
    )
    stages.run_stage(context.root, keyed, position, context.report)


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


def write_ledger(chosen: list[Stage], context: Context, seconds: float) -> None:
    """Write `ledger.json` and say the ledger on one screen."""
    records = [read_stage(context.root, stage.name) for stage in chosen]
    done = [record for record in records if record]
    write_json(context.root / "ledger.json", {"settings": context.settings.model_dump(mode="json"), "stages": done})
    context.report.note(as_is(""))
    in_all = sum(record["seconds"] for record in done) / 60
    context.report.note(message("demo.turned", minutes=seconds / 60, in_all=in_all))
    for record in done:
        context.report.note(message("demo.row", name=record["name"], seconds=record["seconds"], line=line_of(record)))
    page = context.root / "report.html"
    context.report.note(message("demo.report_at", page=page), report=str(page))
    shown = [{name: record[name] for name in ("name", "seconds", "line")} for record in done]
    print_made({"result": "demo", "path": context.root, "report": page, "stages": shown}, page)
