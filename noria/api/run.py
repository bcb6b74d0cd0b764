"""`noria run`: walk the stages of a TOML file, do again only what changed, resume what was cut off.

out = "runs/mine"               # where results are written; runs beside the file, when left out

[base]                          # a section is a stage; its name is that of its result and, unless it says `do`, what it does
name = "e5-small"
trim_to = ["客服.csv"]

[intents]
do = "finetune"
task = "classify"
base = "base"                   # a path that begins with a stage's name is that stage's result
train = "客服.csv"
adapter.kind = "lora"
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from noria import __version__
from noria.apps.serving import SECTION
from noria.core.errors import FolderError, InputError, SettingError, plain_errors, unknown
from noria.core.figure import Figure
from noria.core.folder import clear_partial, read_manifest, sha256_file, write_json
from noria.core.messages import Message, as_is, joined, message, term
from noria.core.settings import fingerprint, read_toml

from .options import PathLike, Progress, as_path, report_of
from .results import Run
from .sections import Section, read_section
from .stages import KeyedStage, StageResult, held, run_stage, stage_file


def run(file: PathLike, *, redo: Sequence[str] = (), progress: Progress = True) -> Run:
    """Walk the stages of a TOML file; do again only what changed, and resume what was cut off.

    A section is a stage. Its keys are the arguments of the function that it stands for: the one of its own name, or that
    which `do` names. A path that begins with the name of a stage above is that stage's result. A stage is done again when
    its keys, or what it reads, have other content than before.

        noria.run("noria.toml").stages[-1]["line"]

    Args:
        file: the TOML file; its paths are relative to where it lies.
        redo: names of stages to run again although nothing changed.
        progress: bars on a terminal, lines where output is piped; False is silent.

    Raises:
        InputError, SettingError: the file, or something that a stage reads, cannot be used; told before the first stage.
        ResourceError: another run holds the folder.
    """
    path: Path = as_path(file)
    report = report_of(progress)
    document = read_toml(path)
    out = document.pop("out", "runs")
    document.pop(SECTION, None)  # what is served, which no stage makes
    if not isinstance(out, str):
        raise SettingError(message("commands.out_folder"), found=out, allowed=message("commands.path_quotes"))
    here = path.parent
    root = here / out
    sections = [read_section(name, values) for name, values in document.items()]
    names = [one.name for one in sections]
    if not names:
        raise InputError(message("commands.stage", path=path), allowed=message("commands.sections_such"))
    for name in redo:
        if name not in names:
            raise unknown("stage", name, names)
    _check_inputs(sections, here)

    def place(path: Path) -> Path:
        return root / path if path.parts and path.parts[0] in names else here / path

    def result_of(section: Section) -> StageResult:
        section.call(root / section.name, place, report)
        return _facts_of(root / section.name, section)

    with plain_errors():
        root.mkdir(parents=True, exist_ok=True)
    records = []
    with held(root):
        clear_partial(root)
        for number, section in enumerate(sections, 1):
            if section.name in redo or not (root / section.name).exists():
                _forget(stage_file(root, section.name), whole=section.name in redo)
            stage = KeyedStage(
                section.name,
                as_is(section.name),
                _key_of(section, place),
                partial(_plan, section),
                partial(result_of, section),
                (section.name,),
            )
            records.append(dict(run_stage(root, stage, f"{number}/{len(sections)}", report)))
        write_json(root / "ledger.json", {"settings": {"file": path.name}, "stages": records})
    return Run(root, tuple(records))


def _check_inputs(sections: Sequence[Section], here: Path) -> None:
    """Refuse a stage that reads one below it, or a file that is not there, before anything is done."""
    names = [one.name for one in sections]
    for number, section in enumerate(sections):
        for path in section.inputs():
            first = path.parts[0] if path.parts else ""
            if first in names[number:]:
                raise SettingError(
                    message("commands.reads_made", name=section.name, path=path),
                    hint=message("commands.move_up", first=first) if first != section.name else None,
                )
            if first not in names and not (here / path).exists():
                raise InputError(
                    message("commands.such_file_folder", name=section.name),
                    found=str(here / path),
                    hint=message("commands.stage_above", names=", ".join(names[:number])) if number else None,
                )


def _plan(section: Section) -> Message:
    return as_is(section.do) if section.do == section.name else message("work.do_as", do=section.do, name=section.name)


def _key_of(section: Section, place: Callable[[Path], Path]) -> str:
    return fingerprint({"noria": __version__, **section.described(lambda path: [path.name, content_of(place(path))])})


def content_of(path: Path) -> str:
    """Return a hash of what a file or folder holds.

    Raises:
        InputError: there is nothing.
    """
    if path.is_file():
        return sha256_file(path)
    if not path.is_dir():
        raise InputError(message("errors.no_file_or_folder"), found=str(path))
    try:
        return read_manifest(path).identity()
    except FolderError:
        files = sorted(one for one in path.rglob("*") if one.is_file())
        return fingerprint([[str(one.relative_to(path)), sha256_file(one)] for one in files])


def _forget(record: Path, *, whole: bool) -> None:
    """Make a stage run again; what a killed run left is resumed, unless all of it is to be done anew."""
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if whole or "line" in known:
        record.unlink()


def _facts_of(folder: Path, section: Section) -> StageResult:
    """Return what a finished stage says of itself, from what its result's manifest says."""
    manifest = read_manifest(folder)
    figures = [Figure(**raw) for raw in manifest.facts.get("metrics", [])]
    parts = [message("work.written", kind=term(manifest.kind), folder=folder)]
    parts += [figures[0].line()] if figures else []
    line, verdict = joined("join.clauses", parts), manifest.facts.get("verdict")
    if verdict is not None and verdict not in line:
        line = message("work.named", name=line, text=term(verdict))
    return StageResult(line, figures, {"do": section.do, "identity": manifest.identity()})
