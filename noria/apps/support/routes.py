"""Customer service over HTTP: the desk at /v1/apps/support, its open questions back, and the events of what it did."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from noria.apps.embedding import embedder, keeping
from noria.apps.settings import PeopleSettings, WidgetSettings
from noria.core.errors import InputError
from noria.core.messages import message
from noria.lake.transcript import Correction, Exchange
from noria.server.http.context import RequestContext
from noria.server.http.fields import Body, Given, Name
from noria.server.http.routing import Route

from .actions.flow import read_actions
from .actions.running import Actions, Utterance
from .channels.intake import Channels
from .conversation import START, Conversation, knowing
from .courtesies import question_in
from .desk import Desk, form
from .faq import Entry, Faq, with_more
from .inbox import SCOPE, Inbox, Suggestion
from .languages import language_among
from .messages import Facts, Messages
from .opening import PROPOSED, open_desk, what_is_known
from .people import People
from .replies import Reply
from .review.accepting import Proposals
from .review.figures import Report, report, since_weeks
from .visitors import Visitors
from .writing import chat_model, written

if TYPE_CHECKING:
    from noria.server.http.state import State

CONVERSATIONS = 10_000
"""Conversations that are remembered; the one longest silent is forgotten first."""

SMALL_TALK = "small talk"
"""Segment of requests that greet, thank or take leave: counted apart, for they ask for nothing."""


LanguageCode = Annotated[str, Field(pattern="^[a-z]{0,3}$")]
"""ISO 639 code of a language, such as zh, en or de."""


class Ask(Body):
    """POST /ask."""

    question: Annotated[Given, Field(max_length=2_000)]
    user: Name = ""
    consent: bool | None = None
    """The user agreed that their masked text may become training data."""
    facts: Facts = Field(default_factory=dict)
    """What is known of who asks, as in {"audience": "student"}: by it answers under conditions hold or not."""
    conversation: Name = ""
    """A name the client gives a conversation, so that "yes" or "2" can answer a question back and "for students?" follows on."""


class Choose(Body):
    """POST /choose: which of the offered entries was meant; null for none of them."""

    entry: Name | None
    language: LanguageCode = ""
    """Of the reply; that of the list where not given."""
    user: Name = ""
    about: Name = ""
    """Id of the request that asked back."""
    consent: bool | None = None


class Entries(BaseModel):
    """GET /entries."""

    language: LanguageCode = ""
    """Of the titles and answers; an entry without it gives what it has."""


class Weeks(BaseModel):
    """GET /report."""

    weeks: Annotated[int, Field(ge=1, le=1_000)] = 8
    """Whole weeks before this one."""


class Support:
    """The application at /v1/apps/support.

    Args:
        model: name of the embedding model among those served; None takes the first one.
        faq: questions and answers; those of the knowledge base where there is one, else the bundled ones.
        outside: questions to be handed over besides the bundled ones.
        wrong: an error budget: the share of all questions that may be answered wrongly; costs decide where it is None.
        people: when people are there, and how long a conversation waits for one of them.
        widget: whose pages may hold the chat widget.
        kb: folder of a knowledge base, whose rules come first and whose documents are quoted.
        writes: whether the served model that chats words what is quoted, or the name of one that does; each sentence is checked against the quotation.
        actions: TOML file of what may be done for customers.
        channels: TOML file of where customers write besides the API and the widget.
        proposals: table of proposals, of which the accepted ones are known; in the server's lake where it is left out.
    """

    name = "support"

    def __init__(
        self,
        model: str | None = None,
        faq: str | Path | None = None,
        outside: str | Path | None = None,
        wrong: float | None = None,
        people: PeopleSettings | None = None,
        widget: WidgetSettings | None = None,
        kb: str | Path | None = None,
        writes: bool | str = False,
        actions: str | Path | None = None,
        channels: str | Path | None = None,
        proposals: str | Path | None = None,
    ) -> None:
        self.model, self.wrong, self.writes = model, wrong, writes
        self.decoder = ""
        """Name of the model that writes, once the application has started."""
        self.people, self.visitors = People(people), Visitors(widget)
        self.listed, self.knowledge = what_is_known(faq, outside, kb)
        self.faq = self.listed
        """What is listed and, once the application has started, what was accepted of proposals."""
        self.proposals = Proposals(proposals, lambda: self.listed, self.learn, model)
        self.actions = Actions(read_actions(actions) if actions else {}, lambda: self.people.today())
        self.messages = Messages(self.reply, self.people)
        self.channels = Channels(channels, self.messages, self.people)
        self.desk: Desk | None = None
        self._conversations: OrderedDict[tuple[str, str], Conversation] = OrderedDict()

    async def start(self, state: State) -> None:
        """Embed the questions and answers through the served model; open the conversations."""
        self.decoder = chat_model(state, self.writes) if self.writes else ""
        self.embed = keeping(RequestContext(state), self.name, self.model)
        await self.proposals.start(state)
        await self.people.start(state)
        self.visitors.start(state)
        await self.channels.start(state)

    async def learn(self, accepted: Sequence[Entry]) -> None:
        """Answer from now on from what is listed and what a person accepted; actions are found by their examples, too."""
        self.desk, self.faq = await self.opened(self, accepted)

    async def opened(self, given: Support, accepted: Sequence[Entry]) -> tuple[Desk, Faq]:
        """Return the desk of what another one was given, which need not have started, and of what a person accepted; and its questions."""
        faq = with_more(given.listed, accepted, PROPOSED)
        known = with_more(faq, given.actions.entries())
        return await open_desk(known, self.embed, wrong=given.wrong, knowledge=given.knowledge), faq

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what the writer of the questions should look at."""
        return self.desk.notes if self.desk else self.faq.notes

    async def ask(
        self, context: RequestContext, question: str, conversation: str = "", facts: Mapping[str, str] | None = None
    ) -> tuple[Reply, str]:
        """Return the reply to a question and the id of the request; a handover is recorded as an event."""
        place = (context.tenant, conversation)
        before = self._conversations.pop(place, START) if conversation else START
        before = knowing(before, facts)
        reply, after = await self.reply(context, question, before, context.id, conversation)
        if conversation:
            self._conversations[place] = after
            while len(self._conversations) > CONVERSATIONS:
                self._conversations.popitem(last=False)
        await self._record(context, reply, context.id)
        return reply, context.id

    async def reply(
        self, context: RequestContext, text: str, before: Conversation, id: str, conversation: str
    ) -> tuple[Reply, Conversation]:
        """Return the reply to a message and what is remembered for the next one; the request's event tells both.

        Args:
            context: the request's.
            text: the message.
            before: what is remembered before it.
            id: of the message: the same where it is sent again.
            conversation: what its client calls the conversation.
        """
        desk = self._ready()
        given = Utterance(text, id, conversation, language_among(text, self.faq.languages))
        done = await self.actions.reply(given, before, desk)
        reply, after = done or await desk.turn(text, embedder(context, self.model), before)
        if done is None and (done := await self.actions.matched(reply, given, before)):
            reply, after = done
        if self.decoder and done is None:
            reply = await written(context, self.decoder, desk, after.question or text, reply)
        usage = context.usage
        usage.segment = SMALL_TALK if reply.action == "courtesy" else reply.language
        if done is None:  # an order's number teaches nothing
            told = [{"messages": [{"role": "user", "content": text}]}]
            usage.exchange = Exchange("chat", told, [{"text": reply.text}])
        return reply, after

    async def suggest(self, context: RequestContext, text: str) -> list[Suggestion]:
        """Return what a person may answer to a text: the entries nearest to it, nearest first."""
        desk, question = self._ready(), question_in(text)
        (match,) = desk.matches([question], await embedder(context, self.model)([form(question)]))
        known = {entry.id: entry for entry in self.faq.entries}
        found = [known[one] for one in match.entries if one in known]
        return [Suggestion(one.title(match.language), one.answer(match.language), one.id) for one in found]

    async def choose(self, context: RequestContext, entry: str | None, language: str, about: str = "") -> Reply:
        """Return the answer of the entry the asker chose among those offered, or hand over where none was meant."""
        desk = self._ready()
        usage, language = context.usage, language or next(iter(self.faq.languages), "en")
        usage.segment, usage.subject = language, about
        reply = desk.answer(entry, language) if entry is not None else desk.handover(language)
        if entry is not None:
            usage.exchange = Correction(0, reply.text)  # who chooses says what the question asked for
        await self._record(context, reply, about or context.id)
        return reply

    def report(self, weeks: int) -> Report:
        """Return how the desk did in this week and so many before it, by the lake; it takes its time, on a thread of its own."""
        state = self.people.state
        now, zone = state.meter.now(), state.settings.day_zone
        return asyncio.run(report(state.lake, since_weeks(weeks, now, zone), now, zone=zone, budget=self.wrong))

    def routes(self) -> Sequence[Route]:
        """Return POST /ask, POST /choose, GET /entries and GET /report, and the routes of conversations, inbox, widget and proposals."""
        return (
            *self.messages.routes(),
            *Inbox(self.suggest, self.people).routes(),
            *self.visitors.routes(),
            *self.channels.routes(),
            *self.proposals.routes(),
            Route("POST", "/ask", self._ask, body=Ask, reply=dict[str, Any]),
            Route("POST", "/choose", self._choose, body=Choose, reply=dict[str, Any]),
            Route("GET", "/entries", self._entries, query=Entries, reply=list[dict[str, str]]),
            Route("GET", "/report", self._report, query=Weeks, reply=dict[str, Any], scope=SCOPE),
        )

    async def _ask(self, context: RequestContext, body: Ask) -> dict[str, Any]:
        """Answer, ask back or hand over; the id of the request is what feedback and /choose refer to."""
        context.note_user(body.user, body.consent)
        reply, request = await self.ask(context, body.question, body.conversation, body.facts)
        return {**asdict(reply), "id": request}

    async def _choose(self, context: RequestContext, body: Choose) -> dict[str, Any]:
        """Answer with the entry that was meant, or hand over."""
        context.note_user(body.user, body.consent)
        reply = await self.choose(context, body.entry, body.language, body.about)
        return {**asdict(reply), "id": context.id}

    async def _entries(self, context: RequestContext, query: Entries) -> list[dict[str, str]]:
        """List what the desk can answer."""
        return [
            {"entry": entry.id, "question": entry.title(query.language), "answer": entry.answer(query.language)}
            for entry in self.faq.entries
        ]

    async def _report(self, context: RequestContext, query: Weeks) -> dict[str, Any]:
        """Say how the desk does, by week and by source, what it stated beside what was found right, and what was asked most without an answer."""
        return (await asyncio.to_thread(self.report, query.weeks)).as_dict()

    def _ready(self) -> Desk:
        if self.desk is None:
            raise InputError(message("apps.customer_service"))
        return self.desk

    async def _record(self, context: RequestContext, reply: Reply, about: str) -> None:
        for one in reply.parts or (reply,):
            if one.action == "handover":
                await context.record(
                    "handover", app=self.name, subject=about, segment=one.language, value=round(one.confidence, 4)
                )
