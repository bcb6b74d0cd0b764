"""The desk: replies to what someone asks, or asks them back, by calibrated confidence; it knows nothing of HTTP or models.

desk = await open_desk(read_faq(), embed)        # embed: texts -> embeddings
reply = await desk.ask("怎么安装？", embed)        # Reply(action="answer", language="zh", text="...")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from noria.apps.embedding import Embed
from noria.core.errors import InputError
from noria.core.figure import Figure, proportion
from noria.core.messages import message

from .certainty import ALTERNATIVES, Certainty, certainties, confused, reference_language, reference_texts
from .courtesies import Courtesy, chosen, courtesy, question_in, wants_person
from .faq import SHOWN, Entry, Faq, read_faq
from .languages import language_among, phrase_language
from .matching import Kind, Known, Matcher, unit
from .phrases import PHRASES
from .plain import plain, tokens

Action = Literal["answer", "confirm", "handover", "courtesy"]
# An answer that begins so says yes or no to its own question; to one asked the other way round it would say the opposite.
_YES_OR_NO = re.compile(
    r"(?:(?:yes|no|nope|yeah|sure|certainly|of course|never|always|not (?:yet|really|at all)|absolutely)(?: (?:you (?:can|cannot|can't|must|need not|do|don't)|"
    r"(?:it|we|they) (?:is|does|do|can|cannot|are)(?: not|n't)?))?"
    r"|(?:不|没|可|能|会|有|需|要|支持|行|当然|无需|无须|不必|必须|是|对)(?:是|对|以|能|会|有|需要|要|用|支持|行|可以|不行|的)*)"
    r"\s*(?:[,.;:!，。；：！—]|$)",
    re.I,
)


@dataclass(frozen=True)
class Costs:
    """What each outcome costs, in units of one question asked back. They decide when to answer."""

    wrong: float = 10.0
    """A wrong answer given."""
    person: float = 3.0
    """A person's time."""
    confirm: float = 1.0
    """The asker's time, asked back."""

    def action(self, confidence: float, offered: float | None = None) -> Action:
        """Return the cheapest action.

        Answering costs (1 - p) wrong; asking back costs confirm + (1 - q) person; handing over costs person.

        Args:
            confidence: p, the probability that the first match is meant.
            offered: q, that one of those is meant that asking back would offer; p where not given.
        """
        missing = 1 - (confidence if offered is None else offered)
        costs: dict[Action, float] = {
            "answer": (1 - confidence) * self.wrong,
            "confirm": self.confirm + missing * self.person,
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


class Desk:
    """Questions in, replies out.

    Args:
        faq: questions and answers.
        matcher: scores questions against its entries.
        sure: how sure to be of the first entry, by language.
        costs: what decides when to answer.
        notes: what the writer of the questions should look at.
    """

    def __init__(
        self,
        faq: Faq,
        matcher: Matcher,
        sure: Mapping[str, Certainty],
        costs: Costs | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.faq = faq
        self.matcher = matcher
        self.costs = costs or Costs()
        self.notes = tuple(notes)
        self._sure = sure
        self._entries = {entry.id: entry for entry in faq.entries}
        self._known = {plain(text): entry.id for entry in faq.entries for _, text in entry.known()}
        self._tight = _tight(self._known)

    async def ask(self, text: str, embed: Embed) -> Reply:
        """Return the reply to what someone says, embedding it where that is needed."""
        known = self.at_once(text)
        return known if known is not None else self.reply(text, (await embed([question_in(text)]))[0])

    def at_once(self, text: str) -> Reply | None:
        """Return the reply that needs no embedding: to a known question, a courtesy or a wish for a person; None else."""
        language = self._language(text)
        question = question_in(text)
        for form in (text, question):
            if entry := self._entry(form):
                return self.answer(entry, language, asked=form)
        if kind := courtesy(text):
            return self.courtesy(kind, language)
        if wants_person(text) or wants_person(question):
            return Reply("handover", language, self.phrase(language, "person"), 0.0)
        return None

    def reply(self, text: str, vector: np.ndarray) -> Reply:
        """Return the reply to a text; `vector` [width] is the embedding of `question_in(text)`."""
        known = self.at_once(text)
        if known is not None:
            return known
        question = question_in(text)
        language = self._language(question)
        facts = self.matcher.facts([question], np.asarray(vector)[None, :], [language])
        sure = self._sure.get(language) or self._sure[reference_language(language)]
        confidence, offered = map(float, sure(facts)[0])
        entries = [self.faq.entries[index] for index in facts.order[0][:ALTERNATIVES]]
        action = self.costs.action(confidence, offered)
        if action == "answer":
            return self.answer(entries[0].id, language, confidence, asked=question)
        if action == "handover":
            return self.handover(language, confidence)
        return self._offer(
            "confirm", tuple(Choice(one.id, one.title(language)) for one in entries), language, confidence
        )

    def answer(self, entry: str, language: str, confidence: float = 1.0, asked: str = "") -> Reply:
        """Return the answer of an entry.

        Args:
            entry: its id.
            language: of the asker; an entry that has no answer in it gives the one it has.
            confidence: how sure to be that the entry is meant.
            asked: the asker's words. An answer that only says yes or no comes with the question that it answers, unless that
                was asked in so many words.

        Raises:
            InputError: no such entry.
        """
        found = self._entries.get(entry)
        if found is None:
            raise InputError(message("apps.unknown_entry"), found=entry)
        text, title = found.answer(language), found.title(language)
        if asked and plain(asked) != plain(title) and _YES_OR_NO.match(text):
            text = self.phrase(self._language(title), "about").format(question=title) + text
        return Reply("answer", language, text, confidence, entry, (Choice(entry, title),))

    def handover(self, language: str, confidence: float = 0.0) -> Reply:
        """Return the reply that hands over to a person."""
        return Reply("handover", language, self.phrase(language, "handover"), confidence)

    def courtesy(self, kind: Courtesy, language: str) -> Reply:
        """Return the reply to a greeting, thanks or a farewell."""
        return Reply("courtesy", language, self.phrase(language, kind), 1.0)

    def go_on(self, before: Reply, text: str, *, again: bool = False) -> Reply | str:
        """Return the reply to what the asker says after being asked back, or what they ask instead.

        Args:
            before: the reply that asked back.
            text: what the asker says.
            again: they were asked a second time already; who then names none of the questions offered gets a person.
        """
        if (entry := self._entry(text)) is not None:
            return self.answer(entry, self._language(text), asked=text)
        meant = chosen(text, [choice.question for choice in before.choices])
        if isinstance(meant, int):
            return self.answer(before.choices[meant].entry, before.language)
        if meant == "none" or (meant == "unclear" and again):
            return self.handover(before.language, before.confidence)
        if meant == "unclear":
            return self._offer("again", before.choices, before.language, before.confidence)
        return text if meant is None else meant

    def _entry(self, text: str) -> str | None:
        """Return the entry that a text asks for in so many words, whether or not it spaces them."""
        form = plain(text)
        return self._known.get(form) or self._tight.get(form.replace(" ", ""))

    def _language(self, text: str) -> str:
        """Return the language that someone asks in; a text without a letter has none, and gets that of the list."""
        return language_among(text, self.faq.languages)

    def phrase(self, language: str, name: str) -> str:
        """Return what the desk itself says: in the asker's language where it is written in it, else in the list's."""
        return PHRASES[phrase_language(language, self.faq.languages, PHRASES)][name]

    def _offer(self, phrase: str, choices: tuple[Choice, ...], language: str, confidence: float) -> Reply:
        shown = "  ".join(f"{number}. {choice.question}" for number, choice in enumerate(choices, 1))
        text = self.phrase(language, phrase).format(choices=shown, count=len(choices))
        # Two question marks in a row, where the last choice brings its own.
        return Reply("confirm", language, re.sub(r"([？?])[？?]", r"\1", text), confidence, choices=choices)


def _tight(known: Mapping[str, str]) -> dict[str, str]:
    """Return known forms without their spaces -> entry, where that leaves no two entries alike: iPhone15 is iPhone 15."""
    owners: dict[str, set[str]] = {}
    for form, entry in known.items():
        owners.setdefault(form.replace(" ", ""), set()).add(entry)
    return {form: min(entries) for form, entries in owners.items() if len(entries) == 1}


def known_texts(faq: Faq) -> list[Known]:
    """Return every text that questions are compared with; those kept for judging are not among them."""
    known: list[Known] = []
    groups: tuple[tuple[Mapping[str, tuple[str, ...]], Kind], ...]
    for index, entry in enumerate(faq.entries):
        groups = ((entry.questions, "question"), (entry.paraphrases, "paraphrase"))
        for group, kind in groups:
            for language, texts in group.items():
                known += [Known(text, kind, index, language) for text in texts]
        known += [Known(answer, "answer", index, language) for language, answer in entry.answers.items()]
    known += [Known(row.text, "outside", -1, row.language) for row in faq.outside if row.split == "calibrate"]
    return known


async def open_desk(faq: Faq, embed: Embed, costs: Costs | None = None) -> Desk:
    """Return a desk that knows `faq`, after embedding all of it and the bundled questions by which it tells how sure to be."""
    reference = read_faq()
    known = known_texts(faq)
    answers = [
        Known(text, "answer", -1, language) for entry in reference.entries for language, text in entry.answers.items()
    ]
    texts = list(dict.fromkeys([text.text for text in known] + reference_texts(reference)))
    vectors = dict(zip(texts, np.asarray(await embed(texts), dtype=np.float64), strict=True))
    known += answers
    near = _answerable(known, vectors)
    kept = [text for text in known if text.text not in near]
    matcher = Matcher(kept, np.array([vectors[text.text] for text in kept]))
    notes = list(faq.notes)
    if near:
        shown = ", ".join(repr(text) for text in sorted(near)[:SHOWN])
        notes.append(f"{len(near):,} bundled outside questions are near to these and left out: {shown}")
    return Desk(
        faq, matcher, certainties(matcher, reference, vectors), costs, notes + _confusions(matcher, faq.entries)
    )


NEAR, NEAR_IN_WORDS, SAME_WORDS = 0.6, 0.4, 0.4
"""An outside question so near to a known one is taken for one that has an answer: by embedding alone, or by embedding and words."""


def _answerable(known: Sequence[Known], vectors: Mapping[str, np.ndarray]) -> set[str]:
    """Return the outside questions that the entries may well answer: a shop's list knows how goods are sent back."""
    matcher = Matcher(known, np.array([vectors[text.text] for text in known]))
    forms, outside = (np.flatnonzero(matcher.groups == group) for group in (0, 2))
    if not len(outside):
        return set()
    near = unit(matcher.rows[outside]) @ matcher.rows[forms].T
    words = [set(tokens(matcher.known[at].text)) for at in forms]
    found = set()
    for row, at in zip(near, outside, strict=True):
        mine = set(tokens(matcher.known[at].text))
        for place in np.flatnonzero(row >= NEAR_IN_WORDS):
            shared = len(mine & words[place]) / max(1, min(len(mine), len(words[place])))
            if row[place] >= NEAR or shared >= SAME_WORDS:
                found.add(matcher.known[at].text)
                break
    return found if len(found) < len(outside) / 2 else set()  # an embedding to which all is near says nothing


def _confusions(matcher: Matcher, entries: Sequence[Entry]) -> list[str]:
    found = confused(matcher)
    if not found:
        return []
    shown = "; ".join(f"{one.text!r} of {entries[one.entry].id} as {entries[best].id}" for one, best in found[:SHOWN])
    return [f"{len(found):,} phrasings would be taken for another entry, were they not known: {shown}"]


async def judge(desk: Desk, embed: Embed) -> list[Figure]:
    """Return how well the desk does on the questions kept for judging, in each language and outside its scope."""
    asked = [
        (entry.id, language, text)
        for entry in desk.faq.entries
        for language, texts in entry.test.items()
        for text in texts
    ]
    outside = [("", row.language, row.text) for row in desk.faq.outside if row.split == "test"]
    vectors = await embed([question_in(text) for _, _, text in asked + outside])
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

    languages = sorted({reply.language for _, reply in inside}, key=lambda one: (one != "zh", one))
    by_language = [
        share(f"right entry first, {language}", [row for row in inside if row[1].language == language], first)
        for language in languages
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
