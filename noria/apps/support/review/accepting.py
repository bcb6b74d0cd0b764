"""Proposals of a served desk: looked for in its lake, edited, accepted and known at once, or dropped; for the console and by API.

Its routes need a key that names the scope `inbox`, or an admin's: proposals come from what customers said.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, Field

from noria.apps.embedding import embedder
from noria.apps.support.faq import Entry, Faq, entries_of
from noria.apps.support.inbox import SCOPE
from noria.apps.support.mining import mine
from noria.apps.support.plain import plain
from noria.core.errors import InputError
from noria.core.folder import write_bytes
from noria.core.messages import message
from noria.lake.event import EPOCH
from noria.server.errors import ApiError
from noria.server.http import replies
from noria.server.http.context import RequestContext
from noria.server.http.fields import INTEGRAL, Body, Given
from noria.server.http.routing import Route

from .asked import questions
from .figures import since_weeks
from .proposals import beside, unanswered
from .table import Held, State, accepted, changing, read_table, table_of

if TYPE_CHECKING:
    from noria.server.http.state import State as Server

MOST = 500
"""Proposals that a list shows at most."""
Phrase = Annotated[Given, Field(max_length=2_000)]


class InState(BaseModel):
    """GET /proposals."""

    state: State = "waiting"


class ProposalSearch(Body):
    """POST /proposals."""

    weeks: Annotated[int, Field(ge=1, le=1_000), INTEGRAL] | None = None
    """This week and so many whole ones before it; left out, all of the lake."""
    least: Annotated[int, Field(ge=1, le=1_000_000), INTEGRAL] = 2
    """How often a question must have been asked."""


class ProposalChange(Body):
    """POST /proposals/{proposal}; what is left out stays as it is."""

    state: State | None = None
    """accepted: known from now on, also as it is edited here; dropped: proposed no more; waiting."""
    question: Phrase | None = None
    similar: Annotated[list[Phrase], Field(max_length=100)] | None = None
    """Other ways to ask it, in the place of those that it has."""
    answer: Annotated[Given, Field(max_length=8_000)] | None = None


class Proposed(replies.Reply):
    """A question that customers asked, with what it may be answered."""

    id: str
    """What the routes name it by; another one after every change."""
    state: State
    asked: int
    """How often, in so many words or others."""
    question: str
    similar: list[str]
    answer: str
    """Empty where nobody has answered it yet."""
    sources: list[str]
    """Where it was asked: names of files, or ids of conversations."""


class ProposedList(replies.Reply):
    """Proposals in a state."""

    counts: dict[str, int]
    """State -> how many there are."""
    proposals: list[Proposed]


class LookedFor(replies.Reply):
    """What was found."""

    new: int
    """Proposals that were not there before."""


class Proposals:
    """The proposals of one desk, in a table that people may also change by hand.

    Args:
        file: the table; in the server's lake where it is left out.
        base: gives what the desk knows besides.
        learn: makes the desk know entries from now on, in the place of those that it was given before.
        model: name of the embedding model.
    """

    def __init__(
        self,
        file: str | Path | None,
        base: Callable[[], Faq],
        learn: Callable[[Sequence[Entry]], Awaitable[None]],
        model: str | None = None,
    ) -> None:
        self._given = Path(file) if file else None
        self._base, self._learn, self._model = base, learn, model
        self._lock = asyncio.Lock()
        self._state: Server | None = None

    async def start(self, state: Server) -> None:
        """Let the desk know what was accepted before.

        Raises:
            InputError: the table cannot be read.
        """
        self._state = state
        await self._learn(await self.accepted())

    async def accepted(self) -> Sequence[Entry]:
        """Return what was accepted so far.

        Raises:
            InputError: the table cannot be read.
        """
        return await asyncio.to_thread(accepted, self.file)

    @property
    def file(self) -> Path:
        """Return the table's path."""
        return self._given or table_of(self.state.lake)

    @property
    def state(self) -> Server:
        """Return the running server."""
        assert self._state
        return self._state

    async def listed(self, state: State) -> tuple[list[Held], Counter[str]]:
        """Return the proposals in a state, the most asked first, and how many are in each."""
        held = (await asyncio.to_thread(read_table, self.file)).held()
        found = sorted((one for one in held if one.state == state), key=lambda one: -one.asked)
        return found, Counter(one.state for one in held)

    async def change(
        self,
        proposal: str,
        *,
        state: State | None = None,
        question: str | None = None,
        similar: Sequence[str] | None = None,
        answer: str | None = None,
    ) -> Held:
        """Return a proposal after it was changed; what is accepted the desk knows when this returns.

        Raises:
            ApiError: there is no such proposal, or it was changed meanwhile.
            InputError: what would be accepted has no answer, or is known already; nothing was changed.
        """
        values = {
            "state": state,
            "question": question,
            "similar": None if similar is None else tuple(one for one in similar if one.strip()),
            "answer": answer,
        }
        async with self._lock:
            held, entries = await asyncio.to_thread(self._changed, proposal, values)
            if entries is not None:
                await self._learn(entries)
        return held

    async def look(self, weeks: int | None = None, least: int = 2) -> int:
        """Put what the desk could not answer below the table, and return how many proposals are new; it takes its time.

        Args:
            weeks: this week and so many whole ones before it; all of the lake where not given.
            least: how often a question must have been asked.
        """
        state, loop = self.state, asyncio.get_running_loop()
        ask = embedder(RequestContext(state), self._model)
        since = since_weeks(weeks, state.meter.now(), state.settings.day_zone) if weeks else EPOCH
        known = [text for entry in self._base().entries for _, text in entry.known()]

        async def here(texts: Sequence[str]) -> np.ndarray:
            return await ask(texts)

        async def embed(texts: Sequence[str]) -> np.ndarray:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(here(texts), loop))

        def work() -> int:
            found = asyncio.run(mine(unanswered(questions(state.lake, since)), embed, least=least))
            with changing(self.file):
                table = asyncio.run(beside(self.file, found, embed, known))
                if table.new:
                    write_bytes(self.file, table.csv())
            return len(table.new)

        async with self._lock:
            return await asyncio.to_thread(work)

    def _changed(self, proposal: str, values: dict[str, Any]) -> tuple[Held, list[Entry] | None]:
        """Return a proposal as it is kept after a change, and the entries that are accepted where these may be others now."""
        with changing(self.file):
            table = read_table(self.file)
            held = table.held()
            at = next((at for at, one in enumerate(held) if one.id == proposal), None)
            if at is None:
                what, hint = message("apps.proposal_changed"), message("apps.look_again")
                raise ApiError(409, what, param="proposal", code="no_such_proposal", hint=hint)
            changed = table.changed(held[at], **values)
            after = changed.held()[at]
            entries = None
            if "accepted" in (held[at].state, after.state):
                if after.state == "accepted":
                    self._check(after)
                entries = entries_of(changed.read, self.file, [])
            write_bytes(self.file, changed.csv())
        return after, entries

    def _check(self, held: Held) -> None:
        if not held.question.strip() or not held.answer.strip():
            lacking = message("apps.needs_answer" if held.question.strip() else "apps.needs_question")
            raise InputError(lacking, found=message("apps.nothing"))
        known = {plain(text): entry for entry in self._base().entries for _, text in entry.known()}
        entry = known.get(plain(held.question))
        answers = () if entry is None else entry.answers.values()
        if answers and plain(held.answer) not in map(plain, answers):
            raise InputError(message("apps.answered_already"), found=held.question, hint=message("apps.change_there"))

    def routes(self) -> Sequence[Route]:
        """Return GET and POST /proposals, and POST /proposals/{proposal}."""
        return (
            Route("GET", "/proposals", self._list, query=InState, reply=ProposedList, scope=SCOPE),
            Route("POST", "/proposals", self._look, body=ProposalSearch, reply=LookedFor, scope=SCOPE),
            Route(
                "POST",
                "/proposals/{proposal}",
                self._change,
                body=ProposalChange,
                reply=Proposed,
                scope=SCOPE,
                people="editor",
                action="proposal.change",
            ),
        )

    async def _list(self, context: RequestContext, query: InState) -> dict[str, Any]:
        """List what customers asked and the desk did not know, or what was made of it, the most asked first."""
        found, counts = await self.listed(query.state)
        return {"counts": dict(counts), "proposals": [asdict(one) for one in found[:MOST]]}

    async def _look(self, context: RequestContext, body: ProposalSearch) -> dict[str, Any]:
        """Look in conversations for questions that were not answered, and propose those that are new; it takes its time."""
        context.counted = False  # the desk's own work
        return {"new": await self.look(body.weeks, body.least)}

    async def _change(self, context: RequestContext, body: ProposalChange, proposal: str) -> dict[str, Any]:
        """Edit a proposal, accept it, so that the desk knows it when this is answered, or drop it."""
        context.counted = False
        made = await self.change(
            proposal, state=body.state, question=body.question, similar=body.similar, answer=body.answer
        )
        return asdict(made)
