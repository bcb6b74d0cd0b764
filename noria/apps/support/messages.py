"""Conversations as customers' programs have them: say something, be replied to, and see what a person says later.

POST /messages keeps the message before anything else, replies, and keeps the reply before it goes out. GET
/conversations/{conversation}/messages waits for what comes after, a person's reply too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from noria.core.errors import NoriaError
from noria.lake.conversation import VISIBLE, Conversation, ConversationError, Turn, named
from noria.lake.conversations import Received
from noria.server.errors import ApiError, api_error, body_of
from noria.server.http import replies
from noria.server.http.context import RequestContext
from noria.server.http.fields import Body, Given, Name
from noria.server.http.routing import Route

from .conversation import START, knowing
from .conversation import Conversation as Memory
from .courtesies import wants_person
from .people import ROLES, People
from .replies import Reply

MOST_CHARACTERS = 8_000
"""Characters that a message may have; nobody types more, and what is pasted beyond is no question."""
MOST_SECONDS = 25.0
"""Seconds that a program may wait for what comes after: below what proxies between allow."""
PERSON = "to a person"
"""Segment of messages in a conversation that a person has, or is to have: the desk says nothing to them."""
STATUSES = {"no_such_conversation": 404, "claimed": 409, "message_id_reused": 409}
State = Literal["open", "waiting", "claimed", "resolved"]
Facts = Annotated[dict[str, Annotated[str, Field(max_length=200)]], Field(max_length=20)]
"""Names and values of what is known of a customer."""
Respond = Callable[[RequestContext, str, Memory, str, str], Awaitable[tuple[Reply, Memory]]]
"""Takes a message's text, what is remembered before it, the message's id and the conversation's name."""
ConversationName = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._:@-]{0,127})?$")]


class Message(Body):
    """POST /messages."""

    text: Annotated[Given, Field(max_length=MOST_CHARACTERS)]
    conversation: ConversationName = ""
    """The client's name for the conversation, one of its key; left out, a new one begins, and the answer says its name."""
    message_id: Name = ""
    """The client's own id of the message: sent again with the same one, it is the same message, and gets the same reply."""
    facts: Facts = Field(default_factory=dict)
    """What is known of the customer, as in {"audience": "student"}: by it answers under conditions hold or not."""
    user: Name = ""
    """The customer, for whom the use is counted; stored as a pseudonym."""
    consent: bool | None = None
    """The customer agreed that their masked text may become training data."""
    stream: bool | None = None
    """Send the reply as a stream, in the form of OpenAI's chat completions; its last chunk holds `reply`, the whole."""


class After(BaseModel):
    """GET /conversations/{conversation}/messages."""

    after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Number of the last turn known."""
    wait: Annotated[float, Field(ge=0, le=MOST_SECONDS)] = 0.0
    """Seconds to wait for one that comes after it."""


class Source(replies.Reply):
    """What an answer rests on."""

    model_config = ConfigDict(extra="allow")
    title: str


class MessageReply(replies.Reply):
    """What became of a message: the desk's reply, or that a person will see it."""

    model_config = ConfigDict(extra="allow")
    id: str
    """Id of the request, which feedback refers to."""
    object: Literal["support.reply"]
    conversation: str
    message: int
    """Number of the message in the conversation."""
    number: int
    """Number of the reply; that of the message where there is none."""
    state: State
    action: str
    """answer, confirm, handover, courtesy; person: no reply, for a person has the conversation or will."""
    text: str
    sources: list[Source]


class Shown(replies.Reply):
    """One thing that was said."""

    number: int
    id: str
    role: Literal["user", "assistant", "person"]
    text: str
    time: str
    """UTC, ISO 8601."""
    author: str
    """Name of the person who replied; empty else."""
    action: str
    """What the desk did; empty but for its replies."""
    choices: list[dict[str, Any]]
    """The entries it asked back with."""
    sources: list[Source]


class ShownTurns(replies.Reply):
    """What was said after a turn."""

    conversation: str
    state: State
    after: int
    """Number of the last turn, seen or not: what to ask with next."""
    messages: list[Shown]


@contextmanager
def refused() -> Iterator[None]:
    """Turn what a conversation refuses into the answer of a route.

    Raises:
        ApiError: there is no such conversation (404), somebody else has it, or an id stood with another text (409).
    """
    try:
        yield
    except ConversationError as error:
        raise ApiError(STATUSES[error.code], error.what, code=error.code, found=error.found, hint=error.hint) from None


class Messages:
    """The routes of customers' programs.

    Args:
        reply: what the desk replies to a message, and what it then remembers.
        people: the conversations.
    """

    def __init__(self, reply: Respond, people: People) -> None:
        self._reply, self._people = reply, people

    def routes(self) -> Sequence[Route]:
        """Return POST /messages and GET /conversations/{conversation}/messages."""
        return (
            Route("POST", "/messages", self._message, body=Message, reply=MessageReply, stream=True),
            Route("GET", "/conversations/{conversation}/messages", self._messages, query=After, reply=ShownTurns),
        )

    async def _message(self, context: RequestContext, body: Message) -> dict[str, Any] | StreamingResponse:
        """Say something as a customer; durable before it is answered, and the same message id is the same message."""
        context.note_user(body.user, body.consent)
        usage = context.usage
        with refused():
            came = await self._people.kept.message(
                context.tenant,
                body.conversation,
                body.text,
                client=body.message_id,
                user=context.state.meter.pseudonym(usage.user),
                consent=usage.consent or body.consent,
            )
        if not body.stream:
            return await self.replied(context, came, body.facts)
        return StreamingResponse(self._lines(context, came, body.facts), media_type="text/event-stream")

    async def _messages(self, context: RequestContext, query: After, conversation: str) -> dict[str, Any]:
        """See what was said in a conversation after a turn, by a person too; waits for it where that is asked."""
        tenant = context.tenant
        found = await self._people.kept.read(lambda connection: named(connection, tenant, conversation))
        if found is None:
            raise ApiError(404, "no such conversation", param="conversation", code="no_such_conversation")
        with refused():  # removed while somebody waited
            stands, turns = await self._people.newer(found.id, query.after, query.wait)
        return {
            "conversation": stands.name,
            "state": stands.state,
            "after": max(query.after, stands.length),
            "messages": [shown_of(turn) for turn in turns if turn.kind in VISIBLE],
        }

    async def replied(
        self, context: RequestContext, came: Received, facts: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return what becomes of a message, durable; one that was replied to before gets the same, and is no new use."""
        if came.replies:
            context.counted = False
            return _shown(came.conversation, came.turn, came.replies, context.id)
        if came.to_person:
            context.usage.segment, context.counted = PERSON, context.counted and not came.again
            return _shown(came.conversation, came.turn, (), context.id)
        with refused():
            _, before = await self._people.turns(came.conversation.id)
            earlier = [one for one in before if one.number < came.turn.number]
            memory = knowing(remembered(earlier), facts)
            reply, after = await self._reply(context, came.turn.text, memory, came.turn.id, came.conversation.name)
            text, reason = reply.text, ""
            if any(one.action == "handover" for one in (reply, *reply.parts)):
                text = f"{text} {self._people.back(reply.language)}".strip()
                reason = "asked" if wants_person(came.turn.text) else "action" if after.note else "unsure"
            told = {**asdict(reply), "text": text, "request": context.id, "memory": after.as_dict()}
            turns = await self._people.kept.reply(
                came.turn, text, told, language=reply.language, handover=reason, note=after.note
            )
        if turns[0].facts.get("request") != context.id:
            context.counted = False  # the same message was sent twice at once, and the other was first
        for turn in turns:
            if turn.kind == "handover":
                await self._people.record_handover(turn)
        stands, _ = await self._people.turns(came.conversation.id, turns[-1].number)
        return _shown(stands, came.turn, turns, context.id)

    async def _lines(self, context: RequestContext, came: Received, known: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Yield the reply in the chunks of OpenAI's chat completions; the first says that the message is durable."""
        head = {"id": context.id, "object": "chat.completion.chunk", "created": int(time.time()), "model": "support"}

        def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
            return _line({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})

        opening = {"role": "assistant", "content": ""}
        yield chunk(opening, conversation=came.conversation.name, message=came.turn.number)
        try:
            # A client that leaves is replied to all the same: it asks for what came after.
            reply = await asyncio.shield(self.replied(context, came, known))
            if reply["text"]:
                yield chunk({"content": reply["text"]})
            await context.finish()
            yield chunk({}, "stop", reply=reply)
        except NoriaError as error:
            # The status is long sent; the message is kept, and sent again it gets its reply.
            reason = api_error(error)
            yield _line(body_of(reason.status, str(reason), param=reason.param, code=reason.code))
            await context.finish("failed")
        yield b"data: [DONE]\n\n"


def shown_of(turn: Turn) -> dict[str, Any]:
    """Return a turn as customers' programs see it."""
    return {
        "number": turn.number,
        "id": turn.id,
        "role": ROLES[turn.kind],
        "text": turn.text,
        "time": turn.time.isoformat(),
        "author": turn.author,
        "action": turn.facts.get("action", ""),
        "choices": list(turn.facts.get("choices", ())),
        "sources": sources_of(turn.facts),
    }


def sources_of(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a reply rests on: its own sources, or the entry of the list that it gives."""
    if facts.get("sources"):
        return [dict(one) for one in facts["sources"]]
    entry = facts.get("entry")
    titles = [one["question"] for one in facts.get("choices", ()) if one["entry"] == entry]
    return [{"title": title, "entry": entry} for title in titles]


def remembered(turns: Sequence[Turn]) -> Memory:
    """Return what the desk remembers of a conversation: what it kept with its last reply, so a restart forgets nothing."""
    kept = next((turn.facts["memory"] for turn in reversed(turns) if "memory" in turn.facts), None)
    return START if kept is None else Memory.of(kept)


def _shown(conversation: Conversation, to: Turn, turns: Sequence[Turn], request: str) -> dict[str, Any]:
    """Return a reply, or that a person will see the message, as the route answers it."""
    reply = next((one for one in turns if one.kind == "reply"), None)
    facts = dict(reply.facts) if reply else {"action": "person", "text": "", "language": conversation.language}
    facts.pop("memory", None)
    request = facts.pop("request", request)
    return {
        **facts,
        "id": request,
        "object": "support.reply",
        "conversation": conversation.name,
        "message": to.number,
        "number": reply.number if reply else to.number,
        "state": conversation.state,
        "sources": sources_of(facts),
    }


def _line(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
