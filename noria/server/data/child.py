"""Long work on a data set in a process of its own, held to a memory and a time: what breaks it costs one file, and no request waits.

    in_child("read", file="客服.csv", task="classify", out="rows.jsonl", cwd=part)

The child stands in the folder of its work and names files by their names alone, so that no message tells a path of the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import InputError, NoriaError
from noria.core.messages import Message, message, message_of
from noria.text.sources import PACKED, Source

if TYPE_CHECKING:
    from noria.tasks.deeds import Deeds

MEMORY_BYTES = 6 << 30
"""Address space of the child, or half of the machine's memory where that is less."""
SECONDS = 900
"""Processor time of the child."""
UNPACKED_BYTES = 4 << 30
"""Most that a packed file may unpack to."""
ROWS, REPORT, NAMES = "rows.jsonl", "read.json", "names.json"
_COLUMNS = ("user", "item", "kind", "value", "time")
"""Of a log of deeds, besides its names."""
_PIECE = 1 << 20
_ONE = threading.Semaphore(1)
"""One at a time: requests keep the rest of the machine."""
_working: list[subprocess.Popen[bytes]] = []


def end_work() -> None:
    """End what is done in processes of their own, as a server does that stops: of what was not finished nothing is kept."""
    for work in list(_working):
        work.kill()


def in_child(do: str, cwd: Path, **asked: Any) -> dict[str, Any]:
    """Return what one of `WORK` found, done in a process of its own that stands in `cwd`.

    Raises:
        InputError: the file cannot be used, or takes more memory or time than it may.
    """
    home = str(Path(__file__).parents[3])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OMP_NUM_THREADS": "1",  # threads of a library take address space each
        "OPENBLAS_NUM_THREADS": "1",
    }
    with _ONE:
        work = subprocess.Popen(
            [sys.executable, "-P", "-m", "noria.server.data.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=cwd,
            env=environment,
        )
        _working.append(work)
        try:
            out, _ = work.communicate(json.dumps({"do": do, **asked}).encode())
        finally:
            _working.remove(work)
            work.kill()
            work.wait()
    try:
        told: dict[str, Any] = json.loads(out)
    except ValueError:
        name = str(asked.get("file", do))
        if work.returncode == -signal.SIGXCPU:
            allowed = message("text.processor_time", seconds=SECONDS)
            raise InputError(message("text.takes_too", name=name), allowed=allowed) from None
        raise _too_much(name) from None
    if "error" in told:
        raise InputError(message_of(told["error"]))
    return told


def read(file: str, task: str, out: str, base: str = "", guess: bool = True) -> dict[str, Any]:
    """Read a file as rows of a task behind those of a version, if one is named; write them, and the report beside them."""
    from .reading import merged, read_upload
    from .rows import rows_of, write_rows

    _check_packed(Source(file))
    upload = read_upload(Path(file), task, guess=guess)
    rows = merged(rows_of(Path(base)), upload) if base else upload.rows
    written = write_rows(Path(out), rows, task)
    facts = upload.facts()
    Path(REPORT).write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
    return {"written": asdict(written), "read": facts}


def edit(base: str, columns: dict[str, str | None], task: str, out: str) -> dict[str, Any]:
    """Write a version anew with columns renamed, or dropped where the new name is null, and read it as rows of a task."""
    from .rows import rows_of, write_rows

    def renamed() -> Any:
        for row in rows_of(Path(base)):
            yield {new: value for name, value in row.items() if (new := columns.get(name, name)) is not None}

    write_rows(Path("edited.jsonl"), renamed(), "")
    return read("edited.jsonl", task, out, guess=False)


def look(base: str, task: str, out: str) -> dict[str, Any]:
    """Write what a person should look at in a version: doubtful labels, and texts that come again."""
    from .review import review
    from .rows import rows_of

    found = review(list(rows_of(Path(base))), task)
    Path(out).write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    return {}


def divide(base: str, task: str, valid: float, test: float, seed: int) -> dict[str, Any]:
    """Write the parts of a version: train, valid and test."""
    from .review import split
    from .rows import rows_of

    parts = split(list(rows_of(Path(base))), task, Path.cwd(), valid=valid, test=test, seed=seed)
    return {"parts": {name: asdict(one) for name, one in parts.items()}}


def items(file: str, out: str) -> dict[str, Any]:
    """Write the items of a file, a line each; tell which rows are none, and what the reader noted."""
    from noria.tasks.items import read_items

    from .reading import Refusals

    _check_packed(Source(file))
    refused, notes = Refusals(), list[str]()
    found = read_items(
        file, None, notes.append, refused=lambda one: refused.add(one, one.line, str(one.found or one.hint or ""))
    )
    with Path(out).open("w", encoding="utf-8", errors="replace") as stream:
        stream.writelines(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in found)
    return {"notes": _plain_notes(notes), "refused": refused.as_list()}


def deeds(file: str, out: str) -> dict[str, Any]:
    """Write a log of what users did as columns, and the names of users and items beside them; tell what the reader noted."""
    import numpy as np

    from noria.tasks.deeds import read_deeds

    _check_packed(Source(file))
    notes: list[str] = []
    found = read_deeds(file, None, notes.append)
    columns = {name: getattr(found, name) for name in _COLUMNS}
    with Path(out).open("wb") as stream:
        np.savez(stream, **columns)
    names = {"users": found.users, "items": found.items, "timed": found.timed}
    Path(NAMES).write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8", errors="replace")
    return {"notes": _plain_notes(notes)}


def deeds_in(folder: Path, out: str) -> Deeds:
    """Return the log that `deeds` wrote into a folder."""
    import numpy as np

    from noria.tasks.deeds import Deeds

    names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
    with np.load(folder / out, allow_pickle=False) as columns:
        return Deeds(**names, **{name: columns[name] for name in _COLUMNS})


def _plain_notes(notes: list[str]) -> list[Any]:
    return [one.as_dict() if isinstance(one, Message) else one for one in notes]


WORK: dict[str, Callable[..., dict[str, Any]]] = {
    "read": read,
    "edit": edit,
    "look": look,
    "divide": divide,
    "items": items,
    "deeds": deeds,
}


def _too_much(name: str) -> InputError:
    return InputError(message("text.memory", name=name), hint=message("data.fewer_rows"))


def _check_packed(source: Source) -> None:
    """Refuse a packed file that unpacks to more than it may, before any of it is kept."""
    with Path(source.name).open("rb") as stream:
        start = stream.read(6)
    if not any(start.startswith(mark) for mark, _ in PACKED.values()):
        return
    size = 0
    with source.open() as stream:
        while piece := stream.read(_PIECE):
            size += len(piece)
            if size > UNPACKED_BYTES:
                raise InputError(
                    message("data.unpacks", name=source.name),
                    allowed=message("data.most_gib", gib=UNPACKED_BYTES >> 30),
                )


def _bound() -> None:
    import resource

    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    memory = min(MEMORY_BYTES, half, most) if most > 0 else min(MEMORY_BYTES, half)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, most))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _main() -> None:
    question = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no reply
    _bound()
    name = str(question.get("file", question["do"]))
    reply: dict[str, Any]
    try:
        reply = WORK[question.pop("do")](**question)
    except NoriaError as error:
        reply = {"error": error.as_message().as_dict()}
    except MemoryError:
        reply = {"error": _too_much(name).as_message().as_dict()}
    except Exception as error:  # whatever a library throws at what somebody sent
        found = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        reply = {"error": InputError(message("text.damaged", name=name), found=found).as_message().as_dict()}
    with contextlib.suppress(BrokenPipeError):
        json.dump(reply, out, ensure_ascii=False)
        out.flush()


if __name__ == "__main__":
    _main()
