"""Customer service: answers in the asker's language, asks back, or hands over to a person, by calibrated confidence.

    desk = await open_desk(read_faq(), embed)        # embed: texts -> embeddings, here through the server's model
    reply = desk.reply("怎么安装？", vector)           # Reply(action="answer", language="zh", text="...")

The desk knows nothing of HTTP or models; `Support` mounts it at /v1/apps/support.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from noria.core.errors import InputError
from noria.core.figure import Figure, proportion
from noria.core.said import Better, Said

from ..server.answers import tell
from ..server.bodies import Body, Given, Name
from .embedding import Embed, embedder, keeping
from .faq import BUNDLED, BUNDLED_OUTSIDE, Faq, read_faq
from .matching import Known, Match, Matcher

if TYPE_CHECKING:
    from fastapi import APIRouter

    from ..server.state import State

Action = Literal["answer", "confirm", "handover"]
CONVERSATIONS = 10_000
"""Open questions back that are remembered; the oldest is forgotten first."""

_PHRASES = {
    "zh": {
        "confirm": "您是想问：{choices}？请回复编号；都不是请回复“不是”，我帮您转人工。",
        "handover": "这个问题我没有把握，已经为您转给人工，请稍候。",
    },
    "en": {
        "confirm": "Did you mean: {choices}? Reply with the number, or “no” for a person.",
        "handover": "I am not sure about this one, so I have handed it over to a person. One moment, please.",
    },
}
_PERSON = re.compile(
    r"转?人工(客服)?|真人|(speak|talk) to (a|an|some) ?(human|person|agent|one)|human agent|real person", re.I
)
_YES = re.compile(r"\s*(是的?|对的?|没错|嗯|好的?|yes|yeah|yep|right|correct|ok)[。.!！]?\s*", re.I)
_NO = re.compile(r"\s*(不是|不对|都不是|没有|不|no|nope|none( of (these|them))?|neither)[。.!！]?\s*", re.I)
_NUMBER = re.compile(r"\s*[#（(]?([1-3])[)）.。]?\s*")


@dataclass(frozen=True)
class Costs:
    """What each outcome costs, in units of one question asked back. They decide when to answer."""

    wrong: float = 10.0
    """A wrong answer given."""
    person: float = 3.0
    """A person's time."""
    confirm: float = 1.0
    """The asker's time, asked back."""

    def action(self, confidence: float) -> Action:
        """Return the cheapest action when the first match is right with probability `confidence`.

        Answering costs (1 - p) wrong; asking back costs confirm + (1 - p) person; handing over costs person.
        """
        doubt = 1 - confidence
        costs: dict[Action, float] = {
            "answer": doubt * self.wrong,
            "confirm": self.confirm + doubt * self.person,
            "handover": self.person,
        }
        return min(costs, key=lambda action: costs[action])


@dataclass(frozen=True)
class Choice:
    """One entry offered to the asker."""

    entry: str
    question: str


@dataclass(frozen=True)
class Reply:
    """What the desk says."""

    action: Action
    language: str
    text: str
    """What to show the asker."""
    confidence: float
    """Calibrated probability that the first choice is what was meant."""
    entry: str = ""
    """Id of the entry that was answered; empty else."""
    choices: tuple[Choice, ...] = ()
    """The entries it may have meant, likeliest first."""


def language_of(text: str) -> str:
    """Return zh where a text has a Chinese character, else en: the two languages the desk answers in."""
    return "zh" if re.search(r"[\u3400-\u9fff]", text) else "en"


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().casefold()


class Desk:
    """Questions in, replies out."""

    def __init__(self, faq: Faq, matcher: Matcher, costs: Costs | None = None) -> None:
        self.faq = faq
        self.matcher = matcher
        self.costs = costs or Costs()
        self._known = {
            _plain(text): entry.id
            for entry in faq.entries
            for forms in (entry.questions, entry.paraphrases)
            for texts in forms.values()
            for text in texts
        }

    def reply(self, question: str, vector: np.ndarray) -> Reply:
        """Return the reply to a question with embedding [width]."""
        language = language_of(question)
        if known := self._known.get(_plain(question)):
            return self.answer(known, language)
        if _PERSON.search(question):
            return self.handover(language)
        match = self.matcher.match(np.asarray(vector)[None, :], [language])[0]
        return self._reply(match, language)

    def answer(self, entry: str, language: str, confidence: float = 1.0) -> Reply:
        """Return the answer of an entry.

        Raises:
            InputError: no such entry.
        """
        found = next((known for known in self.faq.entries if known.id == entry), None)
        if found is None:
            raise InputError("unknown entry", found=entry)
        choice = Choice(entry, found.questions[language][0])
        return Reply("answer", language, found.answer[language], confidence, entry, (choice,))

    def handover(self, language: str, confidence: float = 0.0) -> Reply:
        """Return the reply that hands over to a person."""
        return Reply("handover", language, _PHRASES[language]["handover"], confidence)

    def go_on(self, before: Reply, text: str) -> Reply | None:
        """Return the reply to what the asker says after being asked back; None where it is a new question."""
        if _NO.fullmatch(text):
            return self.handover(before.language, before.confidence)
        number = 1 if _YES.fullmatch(text) else int(match[1]) if (match := _NUMBER.fullmatch(text)) else 0
        if 0 < number <= len(before.choices):
            return self.answer(before.choices[number - 1].entry, before.language)
        return None

    def _reply(self, match: Match, language: str) -> Reply:
        entries = [self.faq.entries[index] for index in match.entries]
        action = self.costs.action(match.confidence)
        if action == "answer":
            return self.answer(entries[0].id, language, match.confidence)
        if action == "handover":
            return self.handover(language, match.confidence)
        choices = tuple(Choice(entry.id, entry.questions[language][0]) for entry in entries)
        shown = "  ".join(f"{number}. {choice.question}" for number, choice in enumerate(choices, 1))
        return Reply(
            "confirm",
            language,
            _PHRASES[language]["confirm"].format(choices=shown),
            match.confidence,
            choices=choices,
        )


def known_texts(faq: Faq) -> list[Known]:
    """Return every text that questions are compared with; those kept for judging are not among them."""
    known = []
    for index, entry in enumerate(faq.entries):
        for language, answer in entry.answer.items():
            known += [Known(text, "question", index, language) for text in entry.questions[language]]
            known += [Known(text, "paraphrase", index, language) for text in entry.paraphrases[language]]
            known.append(Known(answer, "answer", index, language))
    known += [Known(row.text, "outside", -1, row.language) for row in faq.outside if row.split == "calibrate"]
    return known


async def open_desk(faq: Faq, embed: Embed, costs: Costs | None = None) -> Desk:
    """Return a desk that knows `faq`, after embedding all of it."""
    known = known_texts(faq)
    return Desk(faq, Matcher(known, await embed([text.text for text in known])), costs)


async def judge(desk: Desk, embed: Embed) -> list[Figure]:
    """Return how well the desk does on the questions kept for judging, in each language and outside its scope."""
    asked = [
        (entry.id, language, text)
        for entry in desk.faq.entries
        for language, texts in entry.test.items()
        for text in texts
    ]
    outside = [("", row.language, row.text) for row in desk.faq.outside if row.split == "test"]
    vectors = await embed([text for _, _, text in asked + outside])
    replies = [desk.reply(row[2], vector) for row, vector in zip(asked + outside, vectors, strict=True)]
    return figures_of([(row[0], reply) for row, reply in zip(asked + outside, replies, strict=True)])


def figures_of(rows: Sequence[tuple[str, Reply]]) -> list[Figure]:
    """Return the figures of replies to questions, each with the entry that was meant, "" where there is none."""
    inside = [row for row in rows if row[0]]
    outside = [row for row in rows if not row[0]]
    answered = [row for row in inside if row[1].action == "answer"]
    facts: dict[str, Any] = {"source": "FAQ on Noria, test questions", "note": "questions written by Noria's authors"}

    def share(name: str, chosen: Sequence[tuple[str, Reply]], true: Callable[[str, Reply], bool]) -> Figure:
        return proportion(name, sum(true(*row) for row in chosen), len(chosen), **facts)

    def offered(entry: str, reply: Reply) -> bool:
        return entry in [choice.entry for choice in reply.choices]

    def first(entry: str, reply: Reply) -> bool:
        return bool(reply.choices) and reply.choices[0].entry == entry

    by_language = [
        share(f"right entry first, {language}", [row for row in inside if row[1].language == language], first)
        for language in ("zh", "en")
    ]
    return [
        share("solved at once or after asking back", inside, offered),
        *by_language,
        share("answered at once", inside, lambda entry, reply: reply.action == "answer"),
        share("right when answered at once", answered, first),
        share("handed over in scope", inside, lambda entry, reply: reply.action == "handover"),
        share("handed over out of scope", outside, lambda entry, reply: reply.action == "handover"),
        share("no wrong answer out of scope", outside, lambda entry, reply: reply.action != "answer"),
    ]


class Ask(Body):
    """POST /ask."""

    question: Annotated[Given, Field(max_length=2_000)]
    user: Name = ""
    consent: bool | None = None
    """The user agreed that their masked text may become training data."""
    conversation: Name = ""
    """A name the client gives a conversation, so that "yes" or "2" can answer a question back."""


class Choose(Body):
    """POST /choose: which of the offered entries was meant; null for none of them."""

    entry: Name | None
    language: Literal["zh", "en"] = "zh"
    user: Name = ""
    about: Name = ""
    """Id of the request that asked back."""
    consent: bool | None = None


class Support:
    """The application at /v1/apps/support.

    Args:
        model: name of the embedding model among those served; None takes the first one.
        faq: questions and answers.
        outside: questions to be handed over; None where there are none.
    """

    name = "support"

    def __init__(
        self, model: str | None = None, faq: str | Path = BUNDLED, outside: str | Path | None = BUNDLED_OUTSIDE
    ) -> None:
        self.model = model
        self.faq = read_faq(faq, outside)
        self.desk: Desk | None = None
        self._open: OrderedDict[tuple[str, str], Reply] = OrderedDict()

    async def start(self, state: State) -> None:
        """Embed the questions and answers through the served model."""
        self.desk = await open_desk(self.faq, keeping(state, self.name, self.model))

    async def ask(self, state: State, question: str, conversation: str = "") -> tuple[Reply, str]:
        """Return the reply to a question and the id of the request; a handover is recorded as an event."""
        desk = self._ready()
        usage = state.usage()
        place = (usage.caller.tenant if usage.caller else "", conversation)
        before = self._open.pop(place, None) if conversation else None
        reply = desk.go_on(before, question) if before else None
        if reply is None:
            vectors = await embedder(state, self.model)([question])
            reply = desk.reply(question, vectors[0])
        if conversation and reply.action == "confirm":
            self._open[place] = reply
            while len(self._open) > CONVERSATIONS:
                self._open.popitem(last=False)
        usage.segment = reply.language
        usage.said = Said("chat", [{"messages": [{"role": "user", "content": question}]}], [{"text": reply.text}])
        await self._record(state, reply, usage.id)
        return reply, usage.id

    async def choose(self, state: State, entry: str | None, language: str, about: str = "") -> Reply:
        """Return the answer of the entry the asker chose among those offered, or hand over where none was meant."""
        desk = self._ready()
        usage = state.usage()
        usage.segment, usage.subject = language, about
        reply = desk.answer(entry, language) if entry is not None else desk.handover(language)
        if entry is not None:
            usage.said = Better(0, reply.text)  # who chooses says what the question asked for
        await self._record(state, reply, about or usage.id)
        return reply

    def router(self, state: State) -> APIRouter:
        """Return POST /ask, POST /choose and GET /entries."""
        from fastapi import APIRouter

        router = APIRouter()

        @router.post("/ask")
        async def ask(body: Ask) -> dict[str, Any]:
            """Answer, ask back or hand over; the id of the request is what feedback and /choose refer to."""
            tell(state, body.user, body.consent)
            reply, request = await self.ask(state, body.question, body.conversation)
            return {**asdict(reply), "id": request}

        @router.post("/choose")
        async def choose(body: Choose) -> dict[str, Any]:
            """Answer with the entry that was meant, or hand over."""
            tell(state, body.user, body.consent)
            reply = await self.choose(state, body.entry, body.language, body.about)
            return {**asdict(reply), "id": state.usage().id}

        @router.get("/entries")
        async def entries(language: Literal["zh", "en"] = "zh") -> list[dict[str, str]]:
            """List what the desk can answer."""
            return [
                {"entry": entry.id, "question": entry.questions[language][0], "answer": entry.answer[language]}
                for entry in self.faq.entries
            ]

        return router

    def _ready(self) -> Desk:
        if self.desk is None:
            raise InputError("customer service has not started")
        return self.desk

    async def _record(self, state: State, reply: Reply, about: str) -> None:
        if reply.action == "handover":
            await state.record(
                "handover", app=self.name, subject=about, segment=reply.language, value=round(reply.confidence, 4)
            )
