"""Routes for admins about who may what and who did what: keys, with what each used, and the audit log."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, StreamingResponse

from noria.core.errors import SettingError
from noria.lake.search import Use, uses
from noria.lake.tables import KINDS, pieces
from noria.server.audit import Entry, Wanted
from noria.server.errors import ApiError

from .context import RequestContext
from .fields import INTEGRAL, Body, Moment, Name, Number
from .keys import Key, Limits, Role
from .replies import Reply
from .routing import Route
from .state import State

DAYS = 30
"""Days whose use is told unless others are asked for."""
AUDIT = pa.schema(
    {"line": pa.int64()} | dict.fromkeys(("at", "actor", "role", "action", "subject", "details", "before"), pa.string())
)
"""The audit log as a table."""
_AT_ONCE = 1_000
_SECRET = {"cache-control": "no-store"}
"""A key is in the answer."""
_Most = Annotated[int, Field(ge=1, le=10**12), INTEGRAL]


class NewKey(Body):
    """POST /keys."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    """What it is for."""
    role: Role = "client"
    scopes: list[Name] = Field(default_factory=list, max_length=64)
    """Parts of the API that a client's key is kept to; none: all of it."""
    models: list[Name] = Field(default_factory=list, max_length=256)
    """Models that a client's key is kept to; none: all of them."""
    requests_minute: _Most | None = None
    tokens_minute: _Most | None = None
    tokens_day: _Most | None = None


class KeyChange(Body):
    """POST /keys/{key}."""

    action: Literal["rotate", "revoke"]
    overlap_hours: Annotated[Number, Field(ge=0, le=8_760)] = 24.0
    """Hours that a key goes on after it was rotated."""


class Days(BaseModel):
    """GET /keys: whose use is told."""

    days: Annotated[int, Field(ge=1, le=3_660)] = DAYS


class Used(Reply):
    """What a key used, counted from the events of its requests; a key that was rotated and its successor are one customer, told with each."""

    requests: int
    answered: int
    units: dict[str, int]
    last: str | None


class KeyReply(Reply):
    """A key, without its secret, which is kept nowhere."""

    id: str
    name: str
    role: Role
    state: Literal["works", "revoked", "expired"]
    created: str
    revoked: str | None
    expires: str | None
    tenant: str
    scopes: list[str]
    models: list[str]
    requests_minute: int | None
    tokens_minute: int | None
    tokens_day: int | None
    tokens_today: int
    """Counted only of a key with limits."""
    used: Used


class KeysReply(Reply):
    """Answer of GET /keys."""

    days: int
    keys: list[KeyReply]


class KeyMade(Reply):
    """What became of a key."""

    id: str
    """Of the new one; of one that was revoked its own."""
    key: str | None
    """The new key, told this once."""
    revoked: str | None


class WhichEntries(BaseModel):
    """GET /audit/export: which entries; what is left out asks for nothing."""

    since: Moment | None = None
    until: Moment | None = None
    actor: Name = ""
    """Id of a key, console, server or command line."""
    action: Name = ""
    """As in key.revoke, or its beginning, as in key."""
    text: Name = ""
    """Part of the subject or of a detail."""


class PageOfEntries(WhichEntries):
    """GET /audit: which, and how many."""

    most: Annotated[int, Field(ge=1, le=1_000)] = 50
    below: Annotated[int, Field(ge=0)] = 0
    """`next` of the page before."""


class TakenEntries(WhichEntries):
    """GET /audit/export: which, and how they are written."""

    format: Literal["csv", "jsonl", "parquet"] = "csv"


class Noted(BaseModel):
    """GET /audit/check: what must still be in the chain."""

    noted: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    """`last` of an earlier check."""


class EntryReply(Reply):
    """One change."""

    line: int
    at: str
    actor: str
    role: str
    action: str
    subject: str
    details: dict[str, str | int | float | bool | None]


class Entries(Reply):
    """Answer of GET /audit, newest first."""

    entries: list[EntryReply]
    next: int
    """Where the next page begins; 0: there is none."""


class Chain(Reply):
    """What the chain of hashes says of the log."""

    whole: bool
    entries: int
    last: str
    """SHA-256 of the last line: note it elsewhere, and ask with it later."""
    broken: int | None
    """First line that does not hold the hash of the one before."""
    torn: int
    """Lines that a crash cut short."""
    missing: bool
    """What was noted earlier is not in the chain."""


async def list_keys(context: RequestContext, query: Days) -> dict[str, Any]:
    """List all keys, revoked ones too, with what each used."""
    state = context.state
    used = await asyncio.to_thread(used_by_key, state, query.days)
    return {"days": query.days, "keys": [key_record(state, key, used) for key in state.keys.list()]}


async def make_key(context: RequestContext, body: NewKey) -> JSONResponse:
    """Make a key and tell it, this once."""
    limits = Limits(body.requests_minute, body.tokens_minute, body.tokens_day)
    key = context.state.keys.make(
        body.name, body.role, scopes=body.scopes, models=body.models, limits=limits, by=context.actor
    )
    return _made(key)


async def change_key(context: RequestContext, body: KeyChange, key: str) -> JSONResponse:
    """Put a new key in the place of one, which goes on for a while, or make one worthless at once; not the last admin's."""
    keys = context.state.keys
    if key not in {one.id for one in keys.list()}:
        raise ApiError(404, "no such key", param="key", code="not_found", found=key)
    try:
        if body.action == "revoke":
            revoked = keys.revoke(key, by=context.actor, last=False).revoked
            return JSONResponse({"id": key, "key": None, "revoked": revoked})
        new = keys.rotate(key, timedelta(hours=body.overlap_hours), by=context.actor)
    except SettingError as error:
        raise ApiError(400, str(error), param="action", code="cannot_be_used") from None
    return _made(new)


def _made(key: str) -> JSONResponse:
    return JSONResponse({"id": key.split("_")[1], "key": key, "revoked": None}, headers=_SECRET)


async def list_entries(context: RequestContext, query: PageOfEntries) -> dict[str, Any]:
    """Tell who changed what, newest first."""
    found, following = await asyncio.to_thread(entries, context.state, query)
    names = tuple(EntryReply.model_fields)
    return {"entries": [{name: getattr(one, name) for name in names} for one in found], "next": following}


async def check_chain(context: RequestContext, query: Noted) -> dict[str, Any]:
    """Check that no line of the audit log was changed, moved or taken out."""
    checked = await asyncio.to_thread(context.state.audit.check, query.noted)
    return {**asdict(checked), "whole": checked.whole}


async def export_entries(context: RequestContext, query: TakenEntries) -> StreamingResponse:
    """Take the audit log away, oldest first, as CSV, JSON lines or Parquet."""
    return audit_taken(context.state, context.actor, query)


def used_by_key(state: State, days: int) -> dict[str, Use]:
    """Return what each tenant used in the last days."""
    return uses(state.lake, datetime.now(UTC) - timedelta(days=days))


def key_record(state: State, key: Key, used: dict[str, Use]) -> dict[str, Any]:
    """Return a key as a reply tells it."""
    told = {name: value for name, value in asdict(key).items() if name != "sha256"}
    tenant = key.tenant or key.id
    use = used.get(tenant, Use())
    last = use.last.isoformat() if use.requests else None
    return {
        **told,
        "tenant": tenant,
        "state": key.status(datetime.now(UTC)),
        "tokens_today": state.rates.day_tokens(tenant),
        "used": {"requests": use.requests, "answered": use.answered, "units": use.units, "last": last},
    }


def wanted_entries(query: WhichEntries, below: int = 0) -> Wanted:
    """Return what a query asks of the audit log."""
    return Wanted(query.since, query.until, query.actor, query.action, query.text, below)


def entries(state: State, query: PageOfEntries) -> tuple[list[Entry], int]:
    """Return a page of the audit log, newest first, and where the next one begins."""
    found = state.audit.latest(wanted_entries(query, query.below), query.most + 1)
    page = found[: query.most]
    return page, page[-1].line if len(found) > query.most else 0


def audit_taken(state: State, actor: str, query: TakenEntries) -> StreamingResponse:
    """Return the audit log as an answer that goes out while it is read, and note who took it."""
    state.audit.add(actor, "audit.export", query.format)

    def some() -> Any:
        rows: list[dict[str, Any]] = []
        for entry in state.audit.entries(wanted_entries(query)):
            rows.append(entry.as_row())
            if len(rows) == _AT_ONCE:
                yield rows
                rows = []
        yield rows

    headers = {"content-disposition": f'attachment; filename="audit.{query.format}"', **_SECRET}
    return StreamingResponse(pieces(query.format, AUDIT, some()), media_type=KINDS[query.format], headers=headers)


ROUTES = (
    Route("GET", "/keys", list_keys, query=Days, reply=KeysReply, tag="keys"),
    Route("POST", "/keys", make_key, body=NewKey, reply=KeyMade, tag="keys"),
    Route("POST", "/keys/{key}", change_key, body=KeyChange, reply=KeyMade, tag="keys"),
    Route("GET", "/audit", list_entries, query=PageOfEntries, reply=Entries, tag="audit"),
    Route("GET", "/audit/check", check_chain, query=Noted, reply=Chain, tag="audit"),
    Route("GET", "/audit/export", export_entries, query=TakenEntries, media=tuple(KINDS.values()), tag="audit"),
)
