"""A lake -> every question that customers asked the desk, with what became of it: answered, asked back, handed over, and what was said of that.

    for asked in questions("runs/lake", since):
        asked.text, asked.action, asked.confidence, asked.verdict, asked.answers

Conversations hold what was said; of requests outside of them the lake's events know the words only where the user consented, masked. A
customer who answers a question back with one of its choices says what was meant: that is no question of its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from noria.apps.support.conversation import correction, follows
from noria.apps.support.courtesies import chosen
from noria.apps.support.holding import APART
from noria.apps.support.parts import clauses
from noria.core.errors import InputError
from noria.lake.conversation import Conversation, Turn, conversation_files, dialogues
from noria.lake.event import EPOCH
from noria.lake.read import check_lake, outboxes, read_outbox, read_sealed, sealed_files
from noria.lake.transcript import Correction, Exchange, read_exchange

APP = "support"
LISTED, RULED, ACTED = "list of questions", "rules", "actions"
"""Sources of answers that are no document."""
_COLUMNS = ("id", "time", "kind", "app", "segment", "subject", "value", "outcome", "text")
_KINDS = ("request", "handover", "feedback", "reply")
_NUMBERS = re.compile(r"(?:[\s\d,，、.。&+/第个和与]|and)+", re.I)
_LONGEST_LANGUAGE = 3
"""Letters of a language's code: segments that are longer, as `small talk`, are of requests that ask for nothing."""


@dataclass(frozen=True)
class Asked:
    """A question of a customer, and what became of it."""

    time: datetime
    """UTC."""
    text: str
    """As it was asked, with what it followed; empty where that is not kept."""
    language: str
    action: str
    """What the desk did at once: answer, confirm or handover; person where a person had the conversation; request where events
    say only that it replied."""
    conversation: str
    """Id of the conversation; that of the request where there is none."""
    confidence: float | None = None
    """Probability that the desk stated; None where it is not kept."""
    source: str = ""
    """What was answered from: the name of a document, `LISTED`, `RULED` or `ACTED`; empty where nothing was answered."""
    verdict: int = 0
    """1 and -1 where the customer said that the answer was right or wrong."""
    first_right: bool | None = None
    """Of a question asked back whose asker chose: whether they chose what the desk held likeliest."""
    declined: bool = False
    """Of a question asked back: whether its asker wanted none of the choices, and was handed over."""
    answers: tuple[str, ...] = ()
    """What answers it: a person's replies, the choice's answer, or the better answer of a feedback."""
    single: bool = False
    """Whether it was a request outside of conversations."""

    @property
    def ended(self) -> str:
        """Return what it came to: answer, confirm (asked back, and nothing came of it), handover or person."""
        if self.action == "confirm":
            return "handover" if self.declined else "answer" if self.first_right is not None else "confirm"
        return self.action

    @property
    def unanswered(self) -> bool:
        """Return whether a better list of questions would have answered it at once."""
        return self.action not in ("answer", "request") or self.verdict < 0 or (self.single and bool(self.answers))

    @property
    def right(self) -> bool | None:
        """Return whether what the desk held likeliest was right; None where nobody said."""
        if self.action == "answer":
            return None if not self.verdict else self.verdict > 0
        return self.first_right


@dataclass
class _Known:
    """What events say."""

    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    handed: dict[str, float] = field(default_factory=dict)
    """Id of a request that was handed over -> confidence."""
    verdicts: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    better: dict[str, str] = field(default_factory=dict)
    """Id of a request -> its answer, by a feedback or by what its asker chose."""
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Id of a person's reply -> its event, where it holds words."""

    def verdict(self, request: str) -> int:
        return self.verdicts[request][1] if request in self.verdicts else 0


def questions(lake: str | Path, since: datetime = EPOCH) -> list[Asked]:
    """Return the questions that were asked since then, oldest first.

    Raises:
        InputError: there is no lake, or one of its files cannot be read.
        ResourceError: its conversations cannot be read.
    """
    lake = Path(lake)
    known = _events(lake, since)
    found: list[Asked] = []
    seen: set[str] = set()
    for conversation, turns in dialogues(lake, since):
        seen |= {turn.facts.get("request", "") for turn in turns} | {turn.id for turn in turns}
        found += _of_conversation(conversation, turns, known)
    found += _of_requests(known, seen)
    found += _of_replies(known, seen)
    return sorted((one for one in found if one.time >= since), key=lambda one: (one.time, one.conversation))


def _of_conversation(conversation: Conversation, turns: Sequence[Turn], known: _Known) -> Iterator[Asked]:
    """Yield the questions of a conversation, from what its customer saw of it."""
    replies = {turn.about: turn for turn in turns if turn.kind == "reply"}
    # The reply that asked back, while it waits for its answer; and places of its questions, each with the entries that it offered.
    offered: Mapping[str, Any] = {}
    waiting: dict[int, list[str]] = {}
    found: list[Asked] = []
    acting: int | None = None  # place of the question that an action is about, while it asks for its fields
    for at, turn in enumerate(turns):
        if turn.kind != "message":
            continue
        answers, facts = _by_person(turn.number, turns[at + 1 :]), _facts(replies.get(turn.number))
        if facts is None:
            if answers and any(clause.asks for clause in clauses(turn.text)):
                language = conversation.language
                found.append(Asked(turn.time, turn.text, language, "person", conversation.id, answers=answers))
            continue
        if facts.get("flow"):
            if facts["action"] != "courtesy":  # it was called off
                one = _asked(conversation, turn, "", facts, facts, known, answers)
                if acting is None:
                    found.append(one)
                acting = len(found) - 1
                found[acting] = replace(one, time=found[acting].time)
            offered = {}
            continue
        acting = None
        if offered and _is_choice(turn.text, offered):
            for place, entries in waiting.items():
                found[place] = _chosen(found[place], entries, facts, answers)
            if facts["action"] != "confirm":
                offered = {}
            continue
        offered, waiting = facts if facts["action"] == "confirm" else {}, {}
        meant = correction(turn.text) if found and found[-1].action == "answer" else None
        if meant is not None:
            found[-1] = replace(found[-1], verdict=-1)
        if meant == "":  # says only that the last answer was none; what is offered instead is still to that question
            waiting = {len(found) - 1: _entries(facts)}
            continue
        if facts["action"] == "courtesy":
            continue
        for part in _parts(facts):
            if part["action"] == "confirm":
                waiting[len(found)] = _entries(part)
            text = part.get("asked") or meant or _whole(turn.text, facts)
            found.append(_asked(conversation, turn, text, part, facts, known, answers))
    yield from found


def _asked(
    conversation: Conversation,
    turn: Turn,
    text: str,
    part: Mapping[str, Any],
    facts: Mapping[str, Any],
    known: _Known,
    answers: tuple[str, ...],
) -> Asked:
    """Return one question of a message, with the desk's reply to it alone."""
    request, answered = facts.get("request", ""), part["action"] == "answer"
    better = known.better.get(request) if part is facts else None
    return Asked(
        turn.time,
        text,
        str(part.get("language") or conversation.language),
        part["action"],
        conversation.id,
        part.get("confidence"),
        _source(part) if answered else "",
        known.verdict(request) if answered else 0,
        answers=answers or ((better,) if better else ()),
    )


def _facts(reply: Turn | None) -> Mapping[str, Any] | None:
    return reply.facts if reply is not None and reply.facts.get("action") else None


def _entries(facts: Mapping[str, Any]) -> list[str]:
    """Return the entries that were offered; of one whose answer depends on who asks, the entry."""
    return [choice["entry"].partition(APART)[0] for choice in facts.get("choices", ())]


def _parts(facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return facts.get("parts") or [facts]


def _is_choice(text: str, offered: Mapping[str, Any]) -> bool:
    """Return whether a message says something of the choices that it was asked back with, and asks nothing else."""
    said = chosen(text, [choice["question"] for choice in offered.get("choices", ())])
    return isinstance(said, int) or said in ("none", "unclear") or _NUMBERS.fullmatch(text) is not None


def _chosen(asked: Asked, entries: Sequence[str], facts: Mapping[str, Any], answers: tuple[str, ...]) -> Asked:
    """Return a question that was asked back with what its asker made of the choices."""
    for part in _parts(facts):
        if part["action"] == "answer" and part.get("entry") in entries:
            right = part["entry"] == entries[0]
            return replace(asked, first_right=right, answers=(str(part["text"]),), source=LISTED)
    return replace(asked, declined=True, answers=answers) if facts["action"] == "handover" else asked


def _by_person(number: int, after: Sequence[Turn]) -> tuple[str, ...]:
    """Return what a person replied next, before the customer went on or the desk had the conversation again."""
    found: list[str] = []
    for turn in after:
        if turn.kind == "person":
            found.append(turn.text)
        elif found or (turn.kind == "reply" and turn.about != number):
            break
    return tuple(found)


def _whole(text: str, facts: Mapping[str, Any]) -> str:
    """Return a question with what it followed, where it leans on that."""
    read = str((facts.get("memory") or {}).get("question") or "")
    return read if read and follows(text) else text


def _source(facts: Mapping[str, Any]) -> str:
    sources = facts.get("sources") or ()
    if sources:
        return str(sources[0].get("source") or LISTED)
    if facts.get("flow"):
        return ACTED
    return LISTED if facts.get("entry") else RULED


def _of_requests(known: _Known, seen: Collection[str]) -> Iterator[Asked]:
    """Yield the questions of requests that belong to no conversation that is kept."""
    for id, row in known.requests.items():
        if id in seen or not 0 < len(row["segment"]) <= _LONGEST_LANGUAGE or row["subject"]:
            continue
        exchange = _exchange(row["text"])
        text = _last(exchange) if isinstance(exchange, Exchange) else ""
        action = "handover" if id in known.handed else "request"
        better = known.better.get(id)
        yield Asked(
            row["time"],
            text,
            row["segment"],
            action,
            id,
            known.handed.get(id),
            verdict=known.verdict(id) if action == "request" else 0,
            answers=(better,) if better else (),
            single=True,
        )


def _of_replies(known: _Known, seen: Collection[str]) -> Iterator[Asked]:
    """Yield what people replied to in conversations that are no longer kept, where the customer consented."""
    for id, row in known.replies.items():
        exchange = _exchange(row["text"])
        if id not in seen and isinstance(exchange, Exchange) and (text := _last(exchange)):
            answer = str(exchange.output[0].get("text", ""))
            yield Asked(row["time"], text, row["segment"], "person", id, answers=(answer,) if answer else ())


def _last(exchange: Exchange) -> str:
    """Return what a customer said last in a masked exchange."""
    given = exchange.input[0] if exchange.input else {}
    messages = given.get("messages", ()) if isinstance(given, Mapping) else ()
    return next((str(one["content"]) for one in reversed(messages) if one.get("role") == "user"), "")


def _exchange(text: str) -> Exchange | Correction | None:
    try:
        return read_exchange(text) if text else None
    except InputError:
        return None  # of a newer version: what else the event says stands


def _events(lake: Path, since: datetime) -> _Known:
    """Return what a lake's events say of the desk's requests; there may be none beside conversations."""
    known = _Known()
    if not outboxes(lake) and not sealed_files(lake) and conversation_files(lake):
        return known
    check_lake(lake)
    first = since.strftime("day=%Y-%m-%d")
    days = [path for path in sealed_files(lake) if path.parent.name >= first]
    batches = chain(
        chain.from_iterable(read_outbox(path, _COLUMNS) for path in outboxes(lake)),
        chain.from_iterable(read_sealed(path, _COLUMNS) for path in days),
    )
    for batch in batches:
        ours = pc.or_(pc.equal(batch["app"], APP), pc.equal(batch["kind"], "feedback"))
        kept = pc.and_(
            pc.and_(ours, pc.is_in(batch["kind"], pa.array(_KINDS))),
            pc.and_(
                pc.equal(batch["outcome"], "ok"), pc.greater_equal(batch["time"], pa.scalar(since, batch["time"].type))
            ),
        )
        for row in batch.filter(kept).to_pylist():
            _note(known, row)
    return known


def _note(known: _Known, row: dict[str, Any]) -> None:
    kind, subject, value = row["kind"], row["subject"], row["value"]
    if kind == "request":
        known.requests[row["id"]] = row
    elif kind == "handover":
        known.handed[subject] = float(value or 0.0)
    elif kind == "reply":
        known.replies[row["id"]] = row
    elif value:
        before = known.verdicts.get(subject)
        if before is None or before[0] <= row["time"]:
            known.verdicts[subject] = (row["time"], 1 if value > 0 else -1)
    if kind in ("request", "feedback") and subject:
        exchange = _exchange(row["text"])
        if isinstance(exchange, Correction) and isinstance(exchange.better, str):
            known.better[subject] = exchange.better
