"""`--dry-run`: what a command would read, write and take. Files are opened by the reader that the command uses; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.messages import Message, for_terminal, message
from noria.core.settings import Settings, read_toml

from .manners import printed

Count = Callable[[Path], int]


@dataclass(frozen=True)
class Plan:
    """What would be done."""

    rows: Mapping[str, Path | None]
    """What a file of rows is -> its path; what is not given is left out."""
    whole: Mapping[str, Path | None] = field(default_factory=dict)
    """The same of models, corpora and other folders and files that are not read as rows."""
    out: Path | None = None
    """What would be written."""
    minutes: float | None = None
    """Time budget, where there is one."""
    times: int = 1
    """How many trainings have that budget."""
    sends: Message | None = None
    """What would be sent, and where."""


def show(plan: Plan, count: Count | None = None) -> int:
    """Print what would be done; return the exit code 0.

    Args:
        plan: what that is.
        count: gives the rows that the command would read of a file; the records of any file by default.

    Raises:
        InputError: something that would be read is not there, or cannot be read. RowError: a row cannot be used.
    """
    reads = [_read(name, path, count or records_of) for name, path in plan.rows.items() if path is not None]
    reads += [_read(name, path, None) for name, path in plan.whole.items() if path is not None]
    writes = None if plan.out is None else {"path": str(plan.out), "state": _state_of(plan.out)}
    minutes = None if plan.minutes is None else plan.minutes * plan.times
    facts = {"dry_run": True, "reads": reads, "writes": writes, "minutes": minutes, "sends": plan.sends}
    return printed(facts, lambda: print(*map(for_terminal, _lines(reads, writes, plan)), sep="\n"))


def records_of(path: Path) -> int:
    """Return how many records a file holds.

    Raises:
        InputError: it cannot be read. RowError: a line cannot be used.
    """
    from noria.text.records import read_records

    rows = 0
    for _, record in read_records(path):
        if isinstance(record, RowError):
            raise record
        rows += 1
    return rows


def labelled_rows(
    task: str, options: Mapping[str, Any] | None, *, many: bool, skip_bad: bool, columns: Mapping[str, str]
) -> Count:
    """Return what counts the rows of a file that a task would learn from."""
    from noria.tasks.options import task_with
    from noria.tasks.task import read_rows

    wanted = task_with(task, options, many=many)
    return lambda path: len(read_rows(path, wanted, skip_bad=skip_bad, columns=columns))


def minutes_of(settings: Settings, file: Path | None, section: str) -> float | None:
    """Return the time budget that holds: that of a flag, else that of a file's section, else the usual one; None where steps are given."""
    values: dict[str, Any] = {**settings.model_dump(), **(read_toml(file).get(section, {}) if file else {})}
    values |= settings.model_dump(exclude_unset=True)
    return None if values.get("steps") else float(values["minutes"])


def _read(name: str, path: Path, count: Count | None) -> dict[str, Any]:
    if not path.exists():
        raise InputError(message("dry.absent", name=name), found=str(path))
    if path.is_dir():
        rows, size = None, sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    else:
        rows, size = count(path) if count else None, path.stat().st_size
    return {"name": name, "path": str(path), "rows": rows, "bytes": size}


def _state_of(out: Path) -> str:
    if out.with_name(f".{out.name}.work").exists():
        return "resumed"
    return "replaced" if out.exists() else "new"


def _lines(reads: list[dict[str, Any]], writes: dict[str, str] | None, plan: Plan) -> Iterator[Message]:
    for one in reads:
        mib = one["bytes"] / 2**20
        values = {"name": one["name"], "path": one["path"], "mib": mib}
        yield (
            message("dry.read_rows", **values, rows=one["rows"])
            if one["rows"] is not None
            else message("dry.read", **values)
        )
    if writes:
        yield message(f"dry.write.{writes['state']}", path=writes["path"])
    if plan.minutes is not None:
        # The budget's promise, as docs/training.md has it.
        most = plan.times * (1.1 * plan.minutes + 1 / 3)
        yield message("dry.takes", minutes=plan.minutes * plan.times, most=most)
    if plan.sends:
        yield plan.sends
    yield message("dry.nothing")
