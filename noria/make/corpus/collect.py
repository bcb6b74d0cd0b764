"""What users said of answers -> rows to train on: of those who consented, masked, each with where it came from.

    collect("runs/lake", "classify", "rows", model="sentiment", report=report)     # rows/rows.jsonl

A feedback joins its request by id. Right: the answer is the row's truth. Wrong, with a better answer told: that is. Wrong
and nothing better: no row. What is left out is counted by reason.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from noria.core.errors import InputError, RowError
from noria.core.folder import Source, new_folder, sha256_file, write_json
from noria.core.messages import as_is, message
from noria.core.progress import Report
from noria.lake.read import check_lake, outboxes, read_outbox, read_sealed, sealed_files
from noria.lake.transcript import Correction, Exchange, moved, read_exchange
from noria.tasks.task import Row, Task, task_for
from noria.text.dedup import find_duplicates
from noria.text.personal_data import mask

from .documents import write_rows
from .tally import counts

TASKS = ("classify", "numeric", "tag", "answer", "translate", "summarise", "chat", "complete")
"""Tasks whose answers users can judge so that rows come of it."""
_ONE_TRUTH = ("classify", "numeric", "tag", "answer")
"""Tasks in which one text has one right answer: two are a conflict."""
_COLUMNS = ("id", "time", "kind", "subject", "tenant", "app", "model", "version", "value", "consent", "text")


@dataclass(frozen=True)
class Verdict:
    """What somebody said of one answer."""

    id: str
    time: datetime
    request: str
    tenant: str
    right: bool
    better: Correction | None
    """None where the giver did not consent to having their words used."""


@dataclass(frozen=True)
class Collected:
    """One row and where it came from."""

    row: Row
    asked: Any
    truth: Any
    provenance: dict[str, Any]


@dataclass
class _Tally:
    drops: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    files: dict[Path, list[str]] = field(default_factory=dict)
    """File of the lake -> what was used of it."""


class _Left(Exception):  # noqa: N818 - a reason, not a fault
    """Why a verdict gives no row."""


def collect(
    lake: str | Path, task: str, out: str | Path, *, model: str | None = None, report: Report | None = None
) -> Path:
    """Write a folder with rows.jsonl, provenance.jsonl (a line a row) and drops.json; return it.

    Args:
        lake: a server's lake; it may be running.
        task: one of `TASKS`.
        out: the folder to write.
        model: take only what this model answered; needed where several of the task did.
        report: told what was made.

    Raises:
        InputError: no lake, unknown task, several models and none named, or not one row.
    """
    if task not in TASKS:
        raise InputError(message("make.rows_task"), found=task, allowed=TASKS)
    report = report or Report.silent()
    lake = check_lake(lake)
    tally = _Tally()
    verdicts = _verdicts(lake)
    report.plan(message("work.collect", task=as_is(task), answers=len(verdicts)))
    found = list(_rows(lake, task, verdicts, model, tally))
    kept = _without_duplicates(found, task, tally)
    if len(tally.models) > 1:
        raise InputError(
            message("make.several_models"),
            found=", ".join(sorted(tally.models)),
            hint=message("make.take_one"),
        )
    if not kept:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in tally.drops.most_common())
        raise InputError(
            message("make.row_can", task=task),
            found=reasons or message("make.feedback"),
            hint=message("make.rows_need"),
        )
    sources = [_source(lake, path, used) for path, used in sorted(tally.files.items())]
    settings = {"task": task, "model": model}
    with new_folder(out, kind="rows", settings=settings, sources=sources) as folder:
        write_rows(folder.path / "rows.jsonl", (one.row for one in kept))
        write_rows(folder.path / "provenance.jsonl", (one.provenance for one in kept))
        write_json(folder.path / "drops.json", dict(tally.drops.most_common()))
        verdict = Counter(one.provenance["verdict"] for one in kept)
        folder.facts.update(task=task, rows=len(kept), verdicts=dict(verdict), dropped=dict(tally.drops.most_common()))
    report.ledger(
        message(
            "work.collected",
            rows=len(kept),
            task=as_is(task),
            answers=len(verdicts),
            right=verdict["right"],
            better=verdict["better"],
            dropped=message("work.left_out", reasons=counts(tally.drops)) if tally.drops else "",
        ),
        out=str(out),
        rows=len(kept),
        dropped=dict(tally.drops),
    )
    return Path(out)


def thumbs_in(lake: str | Path, report: Report | None = None) -> list[Row]:
    """Return {messages, completion, label} of every answer of a chat that was judged in a lake: liked, or not.

    Where a better answer was told, that is one that was liked, too. Of those who consented, masked; what is left out is counted.

    Raises:
        InputError: no lake, or not one such answer.
    """
    lake, tally, rows = check_lake(lake), Counter[str](), list[Row]()
    verdicts = _verdicts(lake)
    by_request: dict[str, list[Verdict]] = {}
    for verdict in verdicts.values():
        by_request.setdefault(verdict.request, []).append(verdict)
    wanted = pa.array(sorted(by_request), pa.string())
    for _, batch in _batches(lake):
        for event in batch.filter(pc.is_in(batch["id"], wanted)).to_pylist():
            for verdict in by_request.pop(event["id"], ()):
                try:
                    rows += _thumbs(event, verdict)
                except _Left as reason:
                    tally[str(reason)] += 1
    if not rows:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in tally.most_common())
        raise InputError(message("make.row_can", task="chat"), found=reasons or message("make.feedback"))
    if report:
        report.note(message("make.thumbs_found", rows=len(rows), judged=len(verdicts), left=sum(tally.values())))
    return rows


def _thumbs(event: dict[str, Any], verdict: Verdict) -> list[Row]:
    exchange, index = _judged(event, verdict, "chat", None)
    again = exchange.masked(mask)
    asked, said = again.input[index], again.output[index].get("text")
    if not isinstance(asked, dict) or not said:
        raise _Left("no row of the task")
    row = {"messages": asked["messages"], "completion": said, "label": verdict.right}
    better = verdict.better.better if verdict.better else None
    if verdict.right or not isinstance(better, str) or not better.strip():
        return [row]
    return [row, {**row, "completion": Correction(index, better).masked(mask).better, "label": True}]


def _verdicts(lake: Path) -> dict[tuple[str, int], Verdict]:
    """Return the last word on every answer: (request, index of its text) -> verdict; index -1 is the only text there is."""
    last: dict[tuple[str, int], Verdict] = {}
    for _, batch in _batches(lake):
        told = batch.filter(pc.and_(pc.not_equal(batch["subject"], ""), _judges(batch)))
        for event in told.to_pylist():
            exchange = read_exchange(event["text"]) if event["text"] else None
            better = exchange if isinstance(exchange, Correction) and event["consent"] else None
            if event["kind"] != "feedback" and (better is None or better.better is None):
                continue
            right = event["kind"] == "feedback" and (event["value"] or 0) > 0
            one = Verdict(event["id"], event["time"], event["subject"], event["tenant"], right, better)
            place = (one.request, better.index if better else -1)
            before = last.get(place)
            if before is None or (before.time, before.id) < (one.time, one.id):
                last[place] = one
    return last


def _judges(batch: pa.RecordBatch) -> pa.Array:
    # Customer service asks back, and the next request chooses: that is a word on the first one, too.
    return pc.or_(pc.equal(batch["kind"], "feedback"), pc.starts_with(batch["text"], '{"index":'))


def _rows(
    lake: Path, task: str, verdicts: dict[tuple[str, int], Verdict], model: str | None, tally: _Tally
) -> Iterator[Collected]:
    by_request: dict[str, list[Verdict]] = {}
    for verdict in verdicts.values():
        by_request.setdefault(verdict.request, []).append(verdict)
    wanted = pa.array(sorted(by_request), pa.string())
    checker = task_for(task)
    for path, batch in _batches(lake):
        for event in batch.filter(pc.is_in(batch["id"], wanted)).to_pylist():
            for verdict in by_request.pop(event["id"], ()):  # an event that comes twice counts once
                try:
                    collected = _collected(event, verdict, task, checker, model)
                except _Left as reason:
                    tally.drops[str(reason)] += 1
                else:
                    tally.files.setdefault(path, []).append(event["id"] + event["text"])
                    tally.models[event["model"]] += 1
                    yield collected
    tally.drops["about no request there is"] += sum(map(len, by_request.values()))
    tally.drops += Counter()  # reasons that did not come up are not told


def _collected(event: dict[str, Any], verdict: Verdict, task: str, checker: Task, model: str | None) -> Collected:
    exchange, index = _judged(event, verdict, task, model)
    better = verdict.better.better if verdict.better else None
    if not verdict.right and better is None:
        raise _Left("wrong, and nothing better told")
    asked, truth = _input_and_truth(exchange, index, None if verdict.right else better)
    try:
        row = checker.check(row_of(task, asked, truth))
    except RowError:
        raise _Left("no row of the task") from None
    provenance = {
        "sha256": _hash(row),
        "request": event["id"],
        "feedback": verdict.id,
        "verdict": "right" if verdict.right else "better",
        "time": event["time"].isoformat(),
        "app": event["app"],
        "model": event["model"],
        "version": event["version"],
    }
    return Collected(row, asked, truth, provenance)


def _judged(event: dict[str, Any], verdict: Verdict, task: str, model: str | None) -> tuple[Exchange, int]:
    """Return what was exchanged, and which of its answers was judged."""
    if event["tenant"] != verdict.tenant:
        raise _Left("about another customer's request")
    if model is not None and event["model"] != model:
        raise _Left("about another model")
    if not event["consent"] or not event["text"]:
        raise _Left("without consent, or its text is no longer kept")
    exchange = read_exchange(event["text"])
    if not isinstance(exchange, Exchange) or _task(exchange.task) != task:
        raise _Left("about another task")
    if verdict.better is None and len(exchange.input) > 1:
        raise _Left("about one of several texts, told without consent")
    index = verdict.better.index if verdict.better else 0
    if index >= len(exchange.input):
        raise _Left("about a text that was not there")
    return exchange, index


def _input_and_truth(exchange: Exchange, index: int, better: Any) -> tuple[Any, Any]:
    """Return what was asked and what is right, masked once more: what wrote the lake may have known fewer kinds."""
    again = exchange.masked(mask)
    asked = again.input[index]
    if better is None:
        if not again.output[index]:
            raise _Left("its answer stood where something was masked")
        return asked, again.output[index]
    if isinstance(better, list) and better and isinstance(better[0], dict):
        places = exchange.masks[index]
        spans = moved(better, places)
        if asked != exchange.input[index] or len(spans) != len(better):
            raise _Left("its answer stood where something was masked")
        return asked, {"spans": spans}
    return asked, Correction(index, better).masked(mask).better


def row_of(task: str, asked: Any, truth: Any) -> dict[str, Any]:
    """Return the row that what was asked and what is right make.

    Args:
        task: one of `TASKS`.
        asked: a text, or a row of the task without its truth.
        truth: an answer of the task, {label}, {labels}, {spans} or {text}; or what a user said instead: a label, labels, or
            a text.
    """
    given = asked if isinstance(asked, dict) else {"text": asked}
    told = truth if isinstance(truth, dict) else {"told": truth}
    if task in ("classify", "numeric"):
        if "told" in told:
            told = {"labels": told["told"]} if isinstance(told["told"], list) else {"label": told["told"]}
        return {**given, **{name: told[name] for name in ("label", "labels") if name in told}}
    if task == "tag":
        return {**given, "spans": told.get("spans", told.get("told"))}
    words = told.get("text", told.get("told"))
    if task == "answer":
        texts = words if isinstance(words, list) else [words] if words else []
        return {**given, "answers": [{"text": text, "start": given["context"].find(text)} for text in texts]}
    if task == "chat":
        return {"messages": [*given.get("messages", ()), {"role": "assistant", "content": words}]}
    if task == "complete":
        return {"text": f"{given['text']}{words}"}
    return {"source": given["text"], "target": words}


def _without_duplicates(found: Sequence[Collected], task: str, tally: _Tally) -> list[Collected]:
    """Return each row once, oldest first; where one text was told two truths, none of them."""
    found = sorted(found, key=lambda one: (one.provenance["time"], one.provenance["request"]))
    one_truth = task in _ONE_TRUTH
    texts = [_json(one.asked if one_truth else one.row) for one in found]
    truths = [_json(one.row) for one in found] if one_truth else None
    reasons = find_duplicates(texts, labels=truths, near=0).reason if found else []
    for reason in filter(None, reasons):
        tally.drops[{"exact duplicate": "said before", "conflicting labels": "told two truths"}[reason]] += 1
    return [one for one, reason in zip(found, reasons, strict=True) if not reason]


def _batches(lake: Path) -> Iterator[tuple[Path, pa.RecordBatch]]:
    for path in outboxes(lake):
        yield from ((path, batch) for batch in read_outbox(path, _COLUMNS))
    for path in sealed_files(lake):
        yield from ((path, batch) for batch in read_sealed(path, _COLUMNS))


def _source(lake: Path, path: Path, used: Sequence[str]) -> Source:
    """Return the lineage of a file of the lake; of an outbox, which changes, the hash of what was used of it."""
    name = f"events:{path.relative_to(lake)}"
    if path.suffix == ".parquet":
        return Source(name, sha256_file(path), "", "users who consented")
    return Source(name, hashlib.sha256("\n".join(sorted(used)).encode()).hexdigest(), "", "users who consented")


def _task(name: str) -> str:
    return "complete" if name == "causal" else name


def _hash(row: Row) -> str:
    return hashlib.sha256(_json(row).encode()).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
