"""Routes of data sets: upload, look, label, edit, check, divide, download; each change in the name of the key that asked."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from starlette.responses import FileResponse, Response

from noria.core.errors import InputError, ResourceError, plain_errors
from noria.core.messages import Message, message, message_of
from noria.server.data.kept import Change, DataSet, file_name
from noria.server.data.rows import rows_of
from noria.server.data.sets import Given as GivenLabel
from noria.server.data.view import Wanted
from noria.server.errors import ApiError

from .context import RequestContext
from .data_bodies import (
    Back,
    Checked,
    Columns,
    Divided,
    LabelsGiven,
    ReadFacts,
    Removed,
    SetFacts,
    Sets,
    Uploaded,
    WhichFile,
    WhichRows,
    WhichTwo,
)
from .intake import Upload
from .routing import Route

MOST_BYTES = 2 << 30
"""Largest upload."""
SPARE_BYTES = 1 << 29
"""Bytes that an upload leaves free on the disk: events must go on being written."""
_PIECE = 1 << 20
_JUDGED, _BATCH = 20_000, 32
"""Rows that a served model judges at most, and how many at once."""
_LONG = ThreadPoolExecutor(2, thread_name_prefix="data")
Result = TypeVar("Result")


async def list_sets(context: RequestContext) -> dict[str, Any]:
    """List the data sets."""
    data = context.state.data

    def found() -> list[dict[str, Any]]:
        return [_set(context, one) for one in data.list()]

    return {"data": await asyncio.to_thread(found)}


async def upload(context: RequestContext, body: Upload, query: Uploaded, set: str) -> dict[str, Any]:
    """Upload a file of rows, of any format that is read, as a new set or behind the rows of one: every row is taken or counted with the reason."""
    told = await received(context, body, query.file, set, task=query.task, add=query.add)
    return _read(told)


async def show_set(context: RequestContext, set: str) -> dict[str, Any]:
    """Tell what a set holds, and how it came to it."""
    return await _threaded(lambda: _set(context, context.state.data.get(set)))


async def rows(context: RequestContext, query: WhichRows, set: str) -> dict[str, Any]:
    """Give a page of rows, with the labels of now, and what speaks against them once the set was checked."""
    wanted = Wanted(query.search, query.label, query.show, query.start, query.limit)
    page = await _threaded(partial(context.state.data.page, set, wanted, query.version))
    return {"rows": page.rows, "total": page.total, "start": query.start}


async def label(context: RequestContext, body: LabelsGiven, set: str) -> dict[str, Any]:
    """Give rows labels or spans, durable when this is answered; the last stands, and somebody else's that was not seen is told."""
    given = [GivenLabel(one.id, one.truth(), one.known()) for one in body.labels]
    unseen = await _threaded(partial(context.state.data.label, set, given, by=context.actor))
    return {
        "labelled": len(given),
        "replaced": [{"id": one.id, "label": one.label, "by": one.by, "at": one.at} for one in unseen],
    }


async def keep(context: RequestContext, set: str) -> dict[str, Any]:
    """Make a version of the labels given since the last one."""
    await _threaded(partial(context.state.data.keep, set, context.actor))
    return await show_set(context, set)


async def columns(context: RequestContext, body: Columns, set: str) -> dict[str, Any]:
    """Rename columns or drop them, and read the rows anew."""
    asked = partial(
        context.state.data.columns,
        set,
        body.columns,
        by=context.actor,
        version=body.version,
        task=body.task or "",
    )
    return _read(await in_long_thread(asked))


async def remove(context: RequestContext, body: Removed, set: str) -> dict[str, Any]:
    """Remove rows by their ids, or all texts that come again; the version before keeps them."""
    asked = partial(
        context.state.data.remove,
        set,
        by=context.actor,
        version=body.version,
        ids=body.ids,
        repeats=body.repeats,
    )
    await in_long_thread(asked)
    return await show_set(context, set)


async def review(context: RequestContext, body: Checked, set: str) -> dict[str, Any]:
    """Find rows whose label a model doubts that has not seen them, or a served one, and texts that come again; it takes its time."""
    found = await check(context, set, body.model or "")
    reasons = [one["reason"] for one in found["repeats"]]
    return {
        "judged": found["judged"],
        "doubtful": found["doubtful_rows"],
        "repeats": {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)},
        "near": found["near"],
        "model": found["model"],
    }


async def split(context: RequestContext, body: Divided, set: str) -> dict[str, Any]:
    """Divide a set into files for training, validation and test; near duplicates stay on one side."""
    asked = partial(context.state.data.split, set, by=context.actor, valid=body.valid, test=body.test, seed=body.seed)
    return await in_long_thread(asked)


async def back(context: RequestContext, body: Back, set: str) -> dict[str, Any]:
    """Make an earlier version the current one; no version is lost."""
    await _threaded(partial(context.state.data.back, set, body.version, by=context.actor))
    return await show_set(context, set)


async def diff(context: RequestContext, query: WhichTwo, set: str) -> dict[str, Any]:
    """Tell how two versions differ: rows added, removed, labelled otherwise, and the rows of each label."""
    return await _threaded(partial(context.state.data.diff, set, query.before, query.after))


async def file(context: RequestContext, query: WhichFile, set: str) -> Response:
    """Give a version as a file of JSON Lines, which `noria build finetune` takes as it is."""
    return await file_of(context, set, query.version, query.part)


async def delete(context: RequestContext, set: str) -> dict[str, Any]:
    """Remove a set with all of its versions."""
    await _threaded(partial(context.state.data.delete, set, by=context.actor))
    return {"name": set}


ROUTES = (
    Route("GET", "/data", list_sets, reply=Sets, role="viewer", tag="data"),
    Route("GET", "/data/{set}", show_set, reply=SetFacts, role="viewer", tag="data"),
    Route("POST", "/data/{set}", upload, upload=True, query=Uploaded, reply=ReadFacts, role="editor", tag="data"),
    Route("DELETE", "/data/{set}", delete, reply=dict[str, str], role="editor", tag="data"),
    Route("GET", "/data/{set}/rows", rows, query=WhichRows, reply=dict[str, Any], role="viewer", tag="data"),
    Route("POST", "/data/{set}/labels", label, body=LabelsGiven, reply=dict[str, Any], role="editor", tag="data"),
    Route("POST", "/data/{set}/versions", keep, reply=SetFacts, role="editor", tag="data"),
    Route("POST", "/data/{set}/current", back, body=Back, reply=SetFacts, role="editor", tag="data"),
    Route("POST", "/data/{set}/columns", columns, body=Columns, reply=ReadFacts, role="editor", tag="data"),
    Route("POST", "/data/{set}/remove", remove, body=Removed, reply=SetFacts, role="editor", tag="data"),
    Route("POST", "/data/{set}/review", review, body=Checked, reply=dict[str, Any], role="editor", tag="data"),
    Route("POST", "/data/{set}/split", split, body=Divided, reply=dict[str, Any], role="editor", tag="data"),
    Route("GET", "/data/{set}/diff", diff, query=WhichTwo, reply=dict[str, Any], role="viewer", tag="data"),
    Route("GET", "/data/{set}/file", file, query=WhichFile, media=("application/jsonl",), role="editor", tag="data"),
)
"""The routes of data sets; the server's table holds them among its own."""


async def received(
    context: RequestContext, body: Upload, file: str, set: str, *, task: str = "", add: bool = False
) -> dict[str, Any]:
    """Return what was read of an upload, after streaming it to the disk; of one that breaks off nothing is left.

    Raises:
        ApiError: it is too large, breaks off, or the set is there already or is not.
        InputError: it cannot be used.
        ResourceError: the disk has no room for it.
    """
    data = context.state.data
    await asyncio.to_thread(partial(data.place, set, add=add, task=task))
    async with sent(context, body, file) as target:
        asked = partial(data.take, set, target, by=context.actor, task=task, add=add)
        return await in_long_thread(asked)


@asynccontextmanager
async def sent(context: RequestContext, body: Upload, file: str) -> AsyncIterator[Path]:
    """Give the file that an upload was streamed into, in a folder of its own; nothing of it is left when the block ends.

    Raises:
        ApiError: it is too large, or breaks off.
        InputError: it is empty.
        ResourceError: the disk has no room for it.
    """
    body.most = MOST_BYTES
    held = context.state.data.part()
    part = await asyncio.to_thread(held.__enter__)  # it may wait for another change
    try:
        target = part / file_name(file)
        with plain_errors(), target.open("wb") as stream:
            pending = bytearray()
            async for piece in body:
                pending += piece
                if len(pending) >= _PIECE:
                    await asyncio.to_thread(_write, stream, bytes(pending), part)
                    pending.clear()
            await asyncio.to_thread(_write, stream, bytes(pending), part)
        if not target.stat().st_size:
            raise InputError(message("errors.empty", name=target.name), found=message("text.bytes"))
        yield target
    finally:
        await asyncio.to_thread(held.__exit__, None, None, None)


async def file_of(context: RequestContext, set: str, version: str = "", part: str = "") -> Response:
    """Return the response that is a file of a version.

    Raises:
        ApiError: there is no such set, version or part (404).
    """
    data, by = context.state.data, context.actor
    if part:
        path = await _threaded(partial(data.path, set, version, "" if part == "labelled" else part, by=by))
    else:
        path = await _threaded(partial(data.file, set, version, by=by))
    name = f"{set}-{path.name}"
    return FileResponse(path, media_type="application/jsonl", filename=name)


async def check(context: RequestContext, set: str, model: str = "") -> dict[str, Any]:
    """Return what `noria.server.data.review` finds in a set; where a served classifier is named, it judges the labels.

    Of the rows with a label that it knows it is asked about 20,000 at most, through its queue like any client. A row is doubtful where
    it gives another label.

    Raises:
        ApiError: no such set, or no such model, or one that does not classify (404).
        Busy: its queue is full (429).
    """
    data = context.state.data
    labels = frozenset[str]()
    if model:
        served = context.served(model)
        labels = frozenset(served.manifest.facts.get("labels") or ())
        if served.task != "classify":
            raise ApiError(404, message("data.no_classifier"), param="model", code="wrong_task", found=model)
    found = await in_long_thread(partial(data.review, set, by=context.actor, anew=not model))
    if not model:
        return found
    version = data.get(set).current.version
    path = await _threaded(partial(data.path, set, version))
    rows = await _threaded(lambda: [row for row in rows_of(path) if row.get("label") in labels][:_JUDGED])
    doubts = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        asked = [{"text": row["text"], "pair": row["pair"]} if "pair" in row else row["text"] for row in batch]
        for row, answer in zip(batch, await context.ask(model, asked), strict=True):
            if answer["label"] != row["label"]:
                own = round(answer["scores"].get(row["label"], 0.0), 4)
                told = {"label": row["label"], "predicted": answer["label"], "own": own}
                doubts.append({"id": row["id"], **told, "probability": round(answer["score"], 4)})
    doubts.sort(key=lambda one: one["own"] - one["probability"])
    await _threaded(partial(data.doubt, set, version, doubts, judged=len(rows), model=model))
    return data.reviewed(set, version) or found


def text_in(one: Any, language: str = "en") -> str:
    """Return a reason or a note that was kept, in a language as far as it is a message."""
    if isinstance(one, dict):
        one = message_of(one)
    return one[language] if isinstance(one, Message) else str(one)


def _write(stream: Any, piece: bytes, part: Path) -> None:
    if shutil.disk_usage(part).free < SPARE_BYTES + len(piece):
        raise ResourceError(message("errors.system.disk_full"), hint=message("errors.system_hint"))
    stream.write(piece)


async def in_long_thread(work: Callable[[], Result]) -> Result:
    """Return what comes of work that may take minutes, in one of a few threads of its own: what takes a moment never waits for it."""
    return await asyncio.get_running_loop().run_in_executor(_LONG, work)


async def _threaded(work: Callable[[], Result]) -> Result:
    return await asyncio.to_thread(work)


def _set(context: RequestContext, one: DataSet) -> dict[str, Any]:
    data, now = context.state.data, one.current
    read = data.facts(one.name, now.version, "read")
    return {
        "name": one.name,
        "task": one.task,
        "version": now.version,
        "rows": now.rows,
        "labelled": now.labelled,
        "waiting": len(data.journal(one.name).latest()),
        "labels": now.labels,
        "columns": now.columns,
        "changes": [_change(change) for change in one.changes],
        "read": _read(read) if read else None,
    }


def _change(change: Change) -> dict[str, Any]:
    return dict(vars(change))


def _read(facts: dict[str, Any]) -> dict[str, Any]:
    refused = [{**one, "reason": text_in(one["reason"])} for one in facts["refused"]]
    return {**facts, "refused": refused, "notes": [text_in(one) for one in facts["notes"]]}
