"""The inbox as people's programs have it: what waits and for how long; claim, reply, note, hand on, resolve.

Its routes need a key that names the scope `inbox`, or an admin's: a customer's program never reads what others were told. A key shows
the conversations of all customers of the server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from noria.lake.conversation import Conversation, Queued, Turn, counts, known, last_message, queued
from noria.server.errors import ApiError
from noria.server.http import replies
from noria.server.http.context import RequestContext
from noria.server.http.fields import Body, Given, Name
from noria.server.http.routing import Route

from .messages import MOST_CHARACTERS, Source, State, refused, sources_of
from .people import People

SCOPE = "inbox"
MOST = 200
"""Conversations that a list shows at most."""
Agent = Annotated[Name, Field(max_length=80)]


@dataclass(frozen=True)
class Suggestion:
    """What a person may answer."""

    question: str
    answer: str
    entry: str


class Acting(Body):
    """POST /inbox/{conversation}/claim, /release, /resolve and /seen."""

    agent: Agent = ""
    """Name of the person; that of the key where it is left out."""


class Writing(Acting):
    """POST /inbox/{conversation}/reply and /note."""

    text: Annotated[Given, Field(max_length=MOST_CHARACTERS)]
    message_id: Name = ""
    """The client's own id of it: sent again with the same one, it is the same."""


class HandingOn(Acting):
    """POST /inbox/{conversation}/transfer."""

    to: Agent = ""
    """Name of the person who is to have it; whoever is free where it is left out."""


class Which(BaseModel):
    """GET /inbox."""

    state: State = "waiting"
    agent: Agent = ""
    """Only those that this person has."""


class Kept(replies.Reply):
    """A conversation as people see it."""

    id: str
    """What the inbox's routes name it by."""
    conversation: str
    """What the customer's program calls it."""
    user: str
    """Pseudonym of the customer; empty where none was named."""
    language: str
    state: State
    agent: str
    """Who has it; empty where nobody has."""
    until: str
    """When it goes back unless its person is heard of; UTC, ISO 8601. Empty where nobody has it."""
    since: str
    """When it was handed over; empty where it never was."""
    length: int
    """Number of its last turn."""
    updated: str


class Waiting(Kept):
    """A conversation in a list."""

    waiting_seconds: float
    """Seconds since it was handed over, while it waits; 0 else."""
    unread: int
    """Messages of the customer that no person has seen."""
    last: str
    """What the customer said last, cut short."""


class Queue(replies.Reply):
    """Answer of GET /inbox."""

    counts: dict[str, int]
    """Conversations by state."""
    opens: str
    """When people are there next; empty where they are there now."""
    conversations: list[Waiting]


class Happened(replies.Reply):
    """One turn of a conversation."""

    number: int
    id: str
    kind: Literal["message", "reply", "handover", "claim", "release", "person", "note", "transfer", "resolve"]
    author: str
    text: str
    time: str
    sources: list[Source]


class Whole(replies.Reply):
    """Answer of GET /inbox/{conversation}."""

    conversation: Kept
    turns: list[Happened]


class Suggested(replies.Reply):
    """What may be answered, nearest first."""

    question: str
    answer: str
    entry: str


class Suggestions(replies.Reply):
    """Answer of GET /inbox/{conversation}/suggestions."""

    message: str
    """What the customer said last."""
    suggestions: list[Suggested]


class Inbox:
    """The routes of people's programs.

    Args:
        suggest: what may be answered to a text.
        people: the conversations.
    """

    def __init__(self, suggest: Callable[[RequestContext, str], Awaitable[list[Suggestion]]], people: People) -> None:
        self._suggest, self._people = suggest, people

    def routes(self) -> Sequence[Route]:
        """Return GET /inbox and what is below it."""
        one = "/inbox/{conversation}"
        return (
            Route("GET", "/inbox", self._queue, query=Which, reply=Queue, scope=SCOPE),
            Route("GET", one, self._whole, reply=Whole, scope=SCOPE),
            Route("GET", f"{one}/suggestions", self._suggestions, reply=Suggestions, scope=SCOPE),
            Route("POST", f"{one}/claim", self._claim, body=Acting, reply=Kept, scope=SCOPE),
            Route("POST", f"{one}/release", self._release, body=Acting, reply=Kept, scope=SCOPE),
            Route("POST", f"{one}/seen", self._seen, body=Acting, reply=Kept, scope=SCOPE),
            Route("POST", f"{one}/reply", self._reply, body=Writing, reply=Happened, scope=SCOPE),
            Route("POST", f"{one}/note", self._note, body=Writing, reply=Happened, scope=SCOPE),
            Route("POST", f"{one}/transfer", self._transfer, body=HandingOn, reply=Kept, scope=SCOPE),
            Route("POST", f"{one}/resolve", self._resolve, body=Acting, reply=Kept, scope=SCOPE),
        )

    async def _queue(self, context: RequestContext, query: Which) -> dict[str, Any]:
        """List conversations in a state, those that wait longest first, with what is unread in each."""
        found, total = await self._people.kept.read(
            lambda connection: (queued(connection, [query.state], query.agent, MOST), counts(connection))
        )
        now = self._people.state.meter.now()
        opens = self._people.hours.opens(now)
        return {
            "counts": total,
            "opens": opens.isoformat() if opens else "",
            "conversations": [waiting_of(one, now) for one in found],
        }

    async def _whole(self, context: RequestContext, conversation: str) -> dict[str, Any]:
        """Tell a conversation from its first turn, with notes and who had it."""
        with refused():
            stands, turns = await self._people.turns(conversation)
        return {"conversation": kept_of(stands), "turns": [happened(turn) for turn in turns]}

    async def _suggestions(self, context: RequestContext, conversation: str) -> dict[str, Any]:
        """Suggest answers to what the customer said last."""
        with refused():
            last = await self._people.kept.read(
                lambda connection: last_message(connection, known(connection, conversation).id)
            )
        text = last.text
        found = await self._suggest(context, text) if text else []
        return {"message": text, "suggestions": [asdict(one) for one in found]}

    async def _claim(self, context: RequestContext, body: Acting, conversation: str) -> dict[str, Any]:
        """Take a conversation; of two at once one has it, and the other is told who."""
        agent = _agent(context, body)
        with refused():
            return kept_of(await self._people.claim(conversation, agent))

    async def _release(self, context: RequestContext, body: Acting, conversation: str) -> dict[str, Any]:
        """Give a conversation back to those that wait; where somebody else has it, it stays theirs."""
        agent = _agent(context, body)
        with refused():
            return kept_of(await self._people.kept.release(conversation, agent))

    async def _seen(self, context: RequestContext, body: Acting, conversation: str) -> dict[str, Any]:
        """Say that a person looks at a conversation: nothing in it is unread, and their claim goes on."""
        agent = _agent(context, body)
        with refused():
            return kept_of(await self._people.see(conversation, agent))

    async def _reply(self, context: RequestContext, body: Writing, conversation: str) -> dict[str, Any]:
        """Reply to the customer as a person, who sees it in the same conversation; what nobody has is yours with it."""
        agent = _agent(context, body)
        with refused():
            return happened(await self._people.reply(conversation, agent, body.text, body.message_id))

    async def _note(self, context: RequestContext, body: Writing, conversation: str) -> dict[str, Any]:
        """Write a note for colleagues, which the customer never sees."""
        agent = _agent(context, body)
        with refused():
            return happened(await self._people.kept.note(conversation, agent, body.text, client=body.message_id))

    async def _transfer(self, context: RequestContext, body: HandingOn, conversation: str) -> dict[str, Any]:
        """Hand a conversation on, to somebody by name or to whoever is free."""
        agent = _agent(context, body)
        with refused():
            return kept_of(await self._people.transfer(conversation, agent, body.to))

    async def _resolve(self, context: RequestContext, body: Acting, conversation: str) -> dict[str, Any]:
        """Say that a conversation is done; what the customer says next goes to the desk again."""
        agent = _agent(context, body)
        with refused():
            return kept_of(await self._people.kept.resolve(conversation, agent))


def kept_of(conversation: Conversation) -> dict[str, Any]:
    """Return a conversation as people's programs see it."""
    claimed, handed = conversation.state == "claimed", conversation.since.timestamp() > 0
    return {
        "id": conversation.id,
        "conversation": conversation.name,
        "user": conversation.user,
        "language": conversation.language,
        "state": conversation.state,
        "agent": conversation.agent,
        "until": conversation.until.isoformat() if claimed else "",
        "since": conversation.since.isoformat() if handed else "",
        "length": conversation.length,
        "updated": conversation.updated.isoformat(),
    }


SHORT = 120
"""Characters that a list shows of what was said."""


def waiting_of(one: Queued, now: datetime) -> dict[str, Any]:
    """Return a conversation as a list shows it."""
    waits = one.conversation.state == "waiting"
    seconds = max(0.0, (now - one.conversation.since).total_seconds()) if waits else 0.0
    last = one.last.text[:SHORT]
    return {**kept_of(one.conversation), "waiting_seconds": round(seconds, 1), "unread": one.unread, "last": last}


def happened(turn: Turn) -> dict[str, Any]:
    """Return a turn as people's programs see it."""
    return {
        "number": turn.number,
        "id": turn.id,
        "kind": turn.kind,
        "author": turn.author,
        "text": turn.text,
        "time": turn.time.isoformat(),
        "sources": sources_of(turn.facts),
    }


def _agent(context: RequestContext, body: Acting) -> str:
    """Return who acts. What people do is kept in the conversation; it is no use of a model, and no request of a user's."""
    context.counted = False
    if body.agent.strip():
        return body.agent.strip()
    key = context.actor
    named = next((one.name for one in context.state.keys.list() if one.id == key), key)
    if not named:
        raise ApiError(422, "who acts must be named", param="agent", code="invalid_field")
    return named
