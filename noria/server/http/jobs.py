"""Jobs over HTTP: train, plan, judge or compress in a process of its own; look, stop, go on. The console asks by the same functions.

What a job reads and writes is named, never a path of the machine: rows are a data set, or a file below the folder of the run; models lie
right below that folder, and so does what is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from noria.core.errors import SettingError
from noria.core.folder import MANIFEST
from noria.core.messages import message
from noria.server.errors import ApiError
from noria.server.jobs import FINAL, Job

from .context import RequestContext
from .fields import INTEGRAL, Body, Name, Number
from .replies import Reply
from .state import State

Kind = Literal["finetune", "align", "pretrain", "recommend", "plan", "evaluate", "compress"]
Folder = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
Recipe = Literal["auto", "full", "head", "top", "lora"]
PARTS = ("train", "valid", "test")
LAKE = "@lake"
"""Name, in the place of rows, of what the server's own users did and said."""
SHOWN = 2_000
"""Lines of a job that are told, the latest ones."""
READ = (".jsonl", ".json", ".csv", ".tsv", ".xlsx", ".xls", ".parquet", ".arrow", ".gz", ".zip")
"""Endings of files that are offered as rows."""
_DEEP, _MOST = 4, 200
"""Folders below that of the run in which files of rows are looked for, and how many are offered."""
TRAINED: tuple[Kind, ...] = ("finetune", "align", "pretrain", "recommend")
"""Kinds of jobs that make a model by learning."""
_NEEDS: dict[Kind, tuple[str, ...]] = {
    "finetune": ("task", "name"),
    "align": ("model", "name"),
    "pretrain": ("name",),
    "recommend": ("behaviour", "name"),
    "plan": (),
    "evaluate": ("model",),
    "compress": ("model", "name"),
}


class NewJob(Body):
    """POST /v1/jobs."""

    kind: Kind
    """finetune: train a model on labelled rows; align: a tuned decoder with what people prefer; pretrain: a language model on a corpus;
    recommend: a ranker on items and what people did with them; plan: what one of these would take, without doing it; evaluate: judge a
    model on held-out rows; compress: make a faster one that earns its certificate on them."""
    of: Literal["finetune", "align", "pretrain", "recommend"] = "finetune"
    """Of plan: what is planned."""
    rows: Annotated[Name, Field(min_length=1)]
    """Rows to learn from, or held-out rows: a data set as NAME, NAME@VERSION or NAME:PART, or a file below the folder of the run. Of
    align, pairs or thumbs, or @lake: those of the server's own users. Of pretrain, a folder of a corpus. Of recommend, items."""
    behaviour: Name = ""
    """Of recommend, what people did with the items: rows of user, item, time; or @lake."""
    objective: Literal["causal", "masked", "words", "spans"] = "causal"
    """Of pretrain: what is learned."""
    task: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")] | None = None
    """Of finetune and its plan: classify, tag, answer, numeric ..."""
    model: Folder | None = None
    """Folder of the base, or of the model that is judged or compressed."""
    name: Folder | None = None
    """Folder to write, one that is not there yet; of a plan only where another kind than finetune is planned."""
    test: Name = ""
    """Of finetune, held-out rows that only judge."""
    calibration: Name = ""
    """Of compress, rows as those it was trained on, whose texts show the model what is to come."""
    beside: Folder | None = None
    """Of evaluate, another model that is judged on the same rows, text by text."""
    recipe: Recipe = "auto"
    """Of finetune and plan: what learns."""
    minutes: Annotated[Number, Field(gt=0, le=6000)] = 5.0
    """Of all that learns: the time budget of the whole run."""
    steps: Annotated[int, Field(ge=1, le=10**9), INTEGRAL] | None = None
    """Of all that learns but recommend: optimiser steps; where given, minutes are not looked at."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1), INTEGRAL] = 0
    """Of all that learns: of first weights, of the order of rows and of dropout."""
    many: bool = False
    """Of finetune and plan: a text may have several labels, or none."""
    text_column: Name = ""
    """Column that holds the text, where its name does not say so."""
    label_column: Name = ""
    """Column that holds the label, where its name does not say so."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> NewJob:
        needed = _NEEDS[self.learns or self.kind]
        if self.kind == "plan" and self.of == "finetune":
            needed = ("task",)
        for field in needed:
            if getattr(self, field) in (None, ""):
                raise ValueError(f"{self.kind} needs {field}")
        return self

    @property
    def learns(self) -> Kind | None:
        """Return what trains a model, or is planned to; None of other work."""
        kind = self.of if self.kind == "plan" else self.kind
        return kind if kind in TRAINED else None


class JobChange(Body):
    """POST /v1/jobs/{job}."""

    action: Literal["stop", "resume"]
    """stop: do not begin, or end, keeping what a training has learned; resume: go on from there."""


class JobShown(Reply):
    """A job."""

    id: str
    title: str
    kind: str
    actor: str
    state: Literal["waiting", "running", "done", "failed", "stopped"]
    made: str
    started: str | None
    ended: str | None
    code: int | None
    """Exit code of its command; null where it has none."""
    runs: int
    """How often it was begun."""
    out: str | None
    """Name of the folder that it writes."""


class JobsListed(Reply):
    """Answer of /v1/jobs."""

    object: Literal["list"]
    data: list[JobShown]


class JobLines(JobShown):
    """A job with what it said."""

    lines: list[dict[str, Any]]
    """Plan, notes, progress and ledger, as `--json` writes them, with their times."""


async def jobs(context: RequestContext) -> dict[str, Any]:
    """List the jobs, the latest first."""
    found = await asyncio.to_thread(context.state.jobs.list)
    return {"object": "list", "data": [_described(job) for job in reversed(found)]}


async def job(context: RequestContext, job: str) -> dict[str, Any]:
    """Show a job: its state, and what it said so far."""
    return await asyncio.to_thread(_with_lines, context.state, job)


async def start_job(context: RequestContext, body: NewJob) -> dict[str, Any]:
    """Let a job wait for its turn: a training, a plan, a judgement or a compression in a process of its own."""
    context.counted = False  # work on the models is no use of them
    assert context.caller
    return _described(await asyncio.to_thread(add_job, context.state, body, context.caller.key))


async def change_job(context: RequestContext, body: JobChange, job: str) -> dict[str, Any]:
    """Stop a job, or let one that was stopped or failed go on."""
    context.counted = False
    assert context.caller
    _known(context.state, job)
    return _described(await asyncio.to_thread(change, context.state, job, body.action, context.caller.key))


def add_job(state: State, body: NewJob, actor: str, language: str = "") -> Job:
    """Keep a job that was asked for, note it in the audit log, and return it.

    Raises:
        SettingError: rows or a model that are not there, or a folder that is.
    """
    out = None if body.name is None else _new_folder(state, body.name)
    title = body.name or " / ".join(one for one in (body.model or body.task, body.beside) if one)
    command = _command(state, body, out, actor)
    made = state.jobs.add(
        command if "--dry-run" in command else [*command, "--json"],  # what is planned is told in sentences
        title,
        actor,
        None if body.kind == "plan" else out,
        language=language,
        beside=body.kind == "plan",
        facts=body.model_dump(exclude_unset=True),
    )
    state.audit.add(actor, "job.start", made.id, title=title, kind=body.kind)
    return made


def change(state: State, job: str, action: Literal["stop", "resume"], actor: str) -> Job:
    """Stop or resume a job, note it in the audit log, and return it.

    Raises:
        SettingError: there is no such job, or it is in no state for that.
    """
    changed = state.jobs.stop(job, actor) if action == "stop" else state.jobs.resume(job, actor)
    state.audit.add(actor, f"job.{action}", job, title=changed.title)
    return changed


def offered_rows(state: State) -> list[str]:
    """Return the names by which rows can be asked for: data sets and their parts, then files below the folder of the run."""
    sets = []
    for one in state.data.list():
        sets.append(one.name)
        for part in PARTS:
            with suppress(ApiError):  # it was not split
                state.data.path(one.name, one.current.version, part)
                sets.append(f"{one.name}:{part}")
    return [*sets, *(str(one) for one in _files(state.root))]


def offered_models(state: State) -> list[str]:
    """Return the names of the model folders right below that of the run."""
    return sorted(path.parent.name for path in state.root.glob(f"*/{MANIFEST}") if path.parent.name[0] != ".")


def offered_corpora(state: State) -> list[str]:
    """Return the names of folders below that of the run that hold documents to learn from, to choose by, and to judge on."""
    files = set(_files(state.root))
    parts = {path.parent for path in files if all(path.with_name(f"{part}.jsonl") in files for part in PARTS)}
    folders = {one for part in parts for one in (part, part.parent)} - {Path()}
    return sorted(str(one) for one in folders)


def _files(root: Path, deep: int = _DEEP) -> Iterator[Path]:
    """Yield files that may hold rows, relative to the folder of the run: none of a model's, of a lake's, or hidden."""
    found: list[Path] = []
    folders = [(root, 0)]
    while folders and len(found) < _MOST:
        folder, depth = folders.pop(0)
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name.startswith(".") or path.is_symlink():
                continue
            if path.is_dir() and depth < deep and not _closed(path):
                folders.append((path, depth + 1))
            elif path.is_file() and path.suffix.lower() in READ and not path.name.endswith((".stage.json", MANIFEST)):
                found.append(path.relative_to(root))
    yield from found[:_MOST]


def _closed(folder: Path) -> bool:
    """Return whether a folder is none of files that people put there: a model's, or a lake's."""
    return (folder / "server").is_dir() or (folder / "config.json").exists()


def _rows(state: State, given: str, by: str, *, lake: bool = False) -> Path:
    if lake and given == LAKE:
        return state.lake.absolute()
    name, _, part = given.partition(":")
    name, _, version = name.partition("@")
    if name in [one.name for one in state.data.list()]:
        return state.data.path(name, version, part, by=by).absolute()
    root = state.root.resolve()
    try:
        path = (root / given).resolve()
        inside = path.is_relative_to(root) and not path.is_relative_to(state.lake.resolve()) and path.is_file()
    except (OSError, ValueError):  # too long, or no name at all
        inside = False
    if not inside or any(part.startswith(".") for part in path.relative_to(root).parts):
        raise SettingError(message("jobs.no_rows"), found=given, allowed=offered_rows(state)[:20])
    return path


def _model(state: State, name: str) -> Path:
    if name not in offered_models(state):
        raise SettingError(message("jobs.no_model"), found=name, allowed=offered_models(state))
    return (state.root / name).absolute()


def _new_folder(state: State, name: str) -> Path:
    """Return the folder that a job will write.

    Raises:
        SettingError: it is there, or another job is to write it.
    """
    out = (state.root / name).absolute()
    taken = [one for one in state.jobs.list() if one.out == out and one.state not in FINAL]
    if out.exists() or taken:
        raise SettingError(message("jobs.taken"), found=name, hint=message("jobs.other_name"))
    return out


def _command(state: State, body: NewJob, out: Path | None, by: str) -> list[str]:
    """Return what follows `noria`. Values of a client's stand behind an equals sign: none is taken for a flag."""
    if body.learns in ("align", "pretrain", "recommend"):
        return _learning(state, body, out, by)
    rows = str(_rows(state, body.rows, by))
    model = str(_model(state, body.model)) if body.model else None
    named = {"--text-column": body.text_column, "--label-column": body.label_column}
    columns = [f"{flag}={value}" for flag, value in named.items() if value]
    if body.kind == "evaluate":
        beside = ["--beside", str(_model(state, body.beside))] if body.beside else []
        return ["build", "evaluate", str(model), rows, *beside, *columns]
    if body.kind == "compress":
        calibration = ["--calibration", str(_rows(state, body.calibration, by))] if body.calibration else []
        return ["build", "compress", str(model), "--rows", rows, "--out", str(out), *calibration, *columns]
    base = ["--base", model] if model else []
    many = ["--many"] if body.many else []
    budget = [f"--minutes={body.minutes:g}"] if body.steps is None else [f"--steps={body.steps}"]
    budget += [f"--seed={body.seed}", f"--recipe={body.recipe}"]
    asked = [str(body.task), "--train", rows, *base, *many, *columns, *budget]
    if body.kind == "plan":
        return ["build", "advise", *asked]
    test = ["--test", str(_rows(state, body.test, by))] if body.test else []
    return ["build", "finetune", *asked, "--out", str(out), *test]


def _learning(state: State, body: NewJob, out: Path | None, by: str) -> list[str]:
    """Return what follows `noria` where a model is aligned, trained from text, or learns what to recommend; or that is planned."""
    model = str(_model(state, body.model)) if body.model else None
    budget = [f"--minutes={body.minutes:g}"] if body.steps is None else [f"--steps={body.steps}"]
    ends = [f"--out={out}", f"--seed={body.seed}", *(["--dry-run"] if body.kind == "plan" else [])]
    if body.learns == "align":
        return ["build", "align", str(model), "--train", str(_rows(state, body.rows, by, lake=True)), *budget, *ends]
    if body.learns == "pretrain":
        if body.rows not in offered_corpora(state):
            raise SettingError(message("jobs.no_corpus"), found=body.rows, allowed=offered_corpora(state)[:20])
        base = [f"--base={model}"] if model else []
        corpus = str((state.root / body.rows).absolute())
        return ["build", "pretrain", corpus, f"--objective={body.objective}", *base, *budget, *ends]
    items, behaviour = _rows(state, body.rows, by), _rows(state, body.behaviour, by, lake=True)
    text = [f"--model={model}"] if model else []
    return ["build", "finetune", "recommend", str(items), str(behaviour), *text, f"--minutes={body.minutes:g}", *ends]


def _known(state: State, job: str) -> Job:
    try:
        return state.jobs.get(job)
    except SettingError as error:
        raise ApiError(404, error.what, param="job", code="job_not_found", found=job) from None


def _with_lines(state: State, job: str) -> dict[str, Any]:
    found = _known(state, job)
    return {**_described(found), "lines": found.lines()[-SHOWN:]}


def _described(job: Job) -> dict[str, Any]:
    told = {name: getattr(job, name) for name in ("id", "title", "actor", "state", "made", "started", "ended")}
    out = None if job.out is None else job.out.name
    code = job.code if job.state in FINAL else None
    return {**told, "kind": job.facts.get("kind", ""), "code": code, "runs": job.runs, "out": out}
