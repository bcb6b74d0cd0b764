"""Routes for admins about what users did: events searched and taken away, a user forgotten, and the receipt of it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from noria.core.errors import InputError
from noria.core.messages import message
from noria.lake.erase import Receipt, erase_user, receipt, receipts
from noria.lake.event import KINDS as EVENT_KINDS
from noria.lake.event import OUTCOMES
from noria.lake.read import ARROW, check_lake
from noria.lake.search import Found, Wanted, each, find
from noria.lake.tables import KINDS, pieces
from noria.server.errors import ApiError

from .context import RequestContext
from .fields import Body, Moment, Name
from .replies import Reply
from .routing import Route
from .state import State

_PSEUDONYM = "^([0-9a-f]{16})?$"
_Kind = Annotated[str, Field(pattern=f"^({'|'.join(EVENT_KINDS)})?$")]
_Outcome = Annotated[str, Field(pattern=f"^({'|'.join(OUTCOMES)})?$")]


class WhichEvents(BaseModel):
    """GET /events/export: which events; what is left out asks for nothing."""

    since: Moment | None = None
    """From then on, with its time zone."""
    until: Moment | None = None
    """Before then."""
    kind: _Kind = ""
    """request, feedback, click ..."""
    user: Name = ""
    """A user's name, as applications sent it; events hold its pseudonym."""
    pseudonym: Annotated[str, Field(pattern=_PSEUDONYM)] = ""
    """A user, as events tell one."""
    tenant: Name = ""
    """Id of a key: the first of a line of rotations."""
    app: Name = ""
    model: Name = ""
    outcome: _Outcome = ""
    text: Name = ""
    """Part of what was said, where that is kept."""


class PageOfEvents(WhichEvents):
    """GET /events: which, and how many."""

    most: Annotated[int, Field(ge=1, le=1_000)] = 50
    after: Annotated[str, Field(max_length=80)] = ""
    """`next` of the page before."""


class TakenEvents(WhichEvents):
    """GET /events/export: which, and how they are written."""

    format: Literal["csv", "jsonl", "parquet"] = "csv"


class Forget(Body):
    """POST /events/forget: a user, by name or by pseudonym."""

    user: Name = ""
    """The name, as applications sent it."""
    pseudonym: Annotated[str, Field(pattern=_PSEUDONYM)] = ""


class EventReply(Reply):
    """One event, as the lake keeps it."""

    id: str
    time: str
    kind: str
    user: str
    tenant: str
    app: str
    model: str
    version: str
    units: int
    unit: str
    latency_ms: float
    outcome: str
    segment: str
    consent: bool
    subject: str
    value: float | None
    text: str
    propensity: float | None


class EventsReply(Reply):
    """Answer of GET /events, newest first."""

    found: list[EventReply]
    next: str
    """Where the next page begins; empty: there is none."""


class FileReply(Reply):
    """One sealed file that was written anew or removed."""

    file: str
    before: str
    after: str
    removed: int


class ReceiptReply(Reply):
    """What was removed, where, when and on whose behalf; kept in the lake as long as the lake is."""

    id: str
    what: str
    """user or retention."""
    user: str
    """The pseudonym."""
    settings: dict[str, Any]
    time: str
    from_outboxes: int
    from_lake: int
    about: int
    texts: int
    turns: int
    watched: int
    files: list[FileReply]


class Receipts(Reply):
    """Answer of GET /receipts, newest first."""

    receipts: list[ReceiptReply]


async def list_events(context: RequestContext, query: PageOfEvents) -> dict[str, Any]:
    """Find events, newest first: a page of them, and where the next begins."""
    found = await search(context.state, query)
    return {
        "found": [{**asdict(one), "time": one.time.isoformat()} for one in found.events],
        "next": found.next,
    }


async def export_events(context: RequestContext, query: TakenEvents) -> StreamingResponse:
    """Take events away, each once, as CSV, JSON lines or Parquet; they go out while they are read."""
    return events_taken(context.state, context.actor, query)


async def forget(context: RequestContext, body: Forget) -> dict[str, Any]:
    """Remove all that is known of a user, as noria ship events erase does, and give the receipt."""
    if bool(body.user) == bool(body.pseudonym):
        raise ApiError(400, "name a user or a pseudonym, and one of both", param="user", code="cannot_be_used")
    name = body.pseudonym or context.state.meter.pseudonym(body.user)
    return asdict(await forget_user(context.state, context.actor, name))


async def list_receipts(context: RequestContext) -> dict[str, Any]:
    """List the last receipts of what was removed on purpose."""
    found = await asyncio.to_thread(receipts, context.state.lake)
    return {"receipts": [asdict(one) for one in found]}


async def show_receipt(context: RequestContext, receipt: str) -> dict[str, Any]:
    """Tell what was removed, by the id of its receipt."""
    found = await asyncio.to_thread(receipt_of, context.state, receipt)
    if found is None:
        raise ApiError(404, "no such receipt", param="receipt", code="not_found", found=receipt)
    return asdict(found)


def wanted_events(state: State, query: WhichEvents) -> Wanted:
    """Return what a query asks of the lake.

    Raises:
        ApiError: it asks from or until a time that no calendar has (422).
    """
    names = ("kind", "tenant", "app", "model", "outcome", "text")
    user = query.pseudonym or state.meter.pseudonym(query.user)
    try:
        since, until = (one.astimezone(UTC) if one else None for one in (query.since, query.until))
    except OverflowError:
        raise ApiError(422, "no such time", param="since", code="invalid_field") from None
    return Wanted(since, until, user=user, **{name: getattr(query, name) for name in names})


async def search(state: State, query: PageOfEvents) -> Found:
    """Return a page of events.

    Raises:
        ApiError: the query asks for what there cannot be (422).
    """
    return await asyncio.to_thread(find, state.lake, wanted_events(state, query), query.most, query.after)


async def count(state: State, user: str) -> int:
    """Return how many events there are of a user, by pseudonym."""
    wanted = Wanted(user=user)
    return await asyncio.to_thread(lambda: sum(some.num_rows for some in each(state.lake, wanted, ("id",))))


def events_taken(state: State, actor: str, query: TakenEvents) -> StreamingResponse:
    """Return events as an answer that goes out while they are read, and note who took which.

    Raises:
        ApiError: the query asks for what there cannot be (422).
    """
    wanted = wanted_events(state, query)
    asked = {name: str(value) for name, value in vars(wanted).items() if value and name != "text"}
    state.audit.add(actor, "events.export", query.format, by_text=bool(wanted.text), **asked)
    rows = (some for some in each(check_lake(state.lake), wanted) if some.num_rows)
    headers = {"content-disposition": f'attachment; filename="events.{query.format}"', "cache-control": "no-store"}
    return StreamingResponse(pieces(query.format, ARROW, rows), media_type=KINDS[query.format], headers=headers)


async def forget_user(state: State, actor: str, user: str) -> Receipt:
    """Remove all that is known of a user, by pseudonym; the audit log names the receipt, and whoever wished it.

    Raises:
        InputError: nobody was named.
        ResourceError: the disk is full; the same call goes on.
    """
    if not user:
        raise InputError(message("server.no_user"))
    made = await asyncio.to_thread(erase_user, state.lake, user)
    removed = made.from_outboxes + made.from_lake
    state.audit.add(actor, "events.forget", made.id, events=removed, turns=made.turns, watched=made.watched)
    return made


def receipt_of(state: State, number: str) -> Receipt | None:
    """Return a receipt by its id, None where there is none."""
    return receipt(state.lake, number)


ROUTES = (
    Route("GET", "/events", list_events, query=PageOfEvents, reply=EventsReply, tag="events"),
    Route("GET", "/events/export", export_events, query=TakenEvents, media=tuple(KINDS.values()), tag="events"),
    Route("POST", "/events/forget", forget, body=Forget, reply=ReceiptReply, tag="events"),
    Route("GET", "/receipts", list_receipts, reply=Receipts, tag="events"),
    Route("GET", "/receipts/{receipt}", show_receipt, reply=ReceiptReply, tag="events"),
)
