"""The desk: replies to what someone asks, or asks them back, by calibrated confidence; it knows nothing of HTTP or models.

desk = await open_desk(read_faq(), embed)                       # embed: texts -> embeddings
reply = await desk.ask("怎么安装？", embed)                       # Reply(action="answer", language="zh", text="...")
reply, conversation = await desk.turn("那多少钱？", embed, conversation)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date

import numpy as np

from noria.apps.embedding import Embed
from noria.core.errors import InputError
from noria.core.messages import message
from noria.text.script import simplified

from . import conversation as shapes
from .certainty import ALTERNATIVES, Certainty, reference_language
from .conversation import START, Conversation
from .courtesies import Courtesy, chosen, courtesy, question_in, wants_person
from .faq import Faq
from .holding import under_conditions, with_cases
from .knowledge.base import Knowledge
from .knowledge.quotes import Quote
from .languages import language_among, phrase_language
from .matching import Matcher
from .parts import clauses
from .pinyin import meant
from .plain import plain
from .replies import PHRASES, Choice, Costs, Match, Reply, listed, tidy
from .several import Spans, questions

# An answer that begins so says yes or no to its own question; to one asked the other way round it would say the opposite.
_YES_OR_NO = re.compile(
    r"(?:(?:yes|no|nope|yeah|sure|certainly|of course|never|always|not (?:yet|really|at all)|absolutely)(?: (?:you (?:can|cannot|can't|must|need not|do|don't)|"
    r"(?:it|we|they) (?:is|does|do|can|cannot|are)(?: not|n't)?))?"
    r"|(?:不|没|可|能|会|有|需|要|支持|行|当然|无需|无须|不必|必须|是|对)(?:是|对|以|能|会|有|需要|要|用|支持|行|可以|不行|的)*)"
    r"\s*(?:[,.;:!，。；：！—]|$)",
    re.I,
)


class Desk:
    """Questions in, replies out.

    Args:
        faq: questions and answers.
        matcher: scores questions against its entries.
        sure: how sure to be of the first entry, by language.
        costs: what decides when to answer.
        notes: what the writer of the questions should look at.
        knowledge: rules that come before the list, and documents that are quoted where it has no answer.
        today: the day, by which answers hold that are for a time.
    """

    def __init__(
        self,
        faq: Faq,
        matcher: Matcher,
        sure: Mapping[str, Certainty],
        costs: Costs | None = None,
        notes: Sequence[str] = (),
        knowledge: Knowledge | None = None,
        today: Callable[[], date] = date.today,
    ) -> None:
        self.faq = faq
        self.knowledge = knowledge
        self.matcher = matcher
        self.costs = costs or Costs()
        self.notes = tuple(notes)
        self._sure = sure
        self._entries = with_cases(faq.entries)
        self._today = today
        self._known = {plain(text): entry.id for entry in faq.entries for _, text in entry.known()}
        self._tight = _tight(self._known)

    async def ask(self, text: str, embed: Embed) -> Reply:
        """Return the reply to what someone says without a word before it, embedding it where that is needed."""
        return (await self.turn(text, embed))[0]

    async def turn(self, text: str, embed: Embed, before: Conversation = START) -> tuple[Reply, Conversation]:
        """Return the reply to a message, and what is remembered for the next one of its conversation.

        Args:
            text: the message.
            embed: texts -> embeddings.
            before: what the conversation remembers; nothing at its beginning.
        """
        turn = await self._turn(text, embed, before)
        return under_conditions(self._entries, self.phrase, turn, text, before, self._today())

    async def _turn(self, text: str, embed: Embed, before: Conversation) -> tuple[Reply, Conversation]:
        language = self._language(text)
        if (reply := self._by_rule(text, language)) is not None:
            return reply, self._after(before, text, reply)
        if (reply := self._in_language(text, before)) is not None:
            return reply, replace(before, language=reply.language)
        refused = ""
        if before.offered:
            went = self._chosen(text, before)
            if isinstance(went, Reply):
                return went, self._after(before, text, went)
            text = went
        elif before.question and (said := shapes.correction(text)) is not None:
            if not said:
                reply = self._not_that(before, language)
                return reply, replace(self._after(before, before.question, reply), corrected=before.corrected + 1)
            text, refused = said, before.entry
        reply = self.at_once(text)
        if reply is None and shapes.abuse(text):
            reply = Reply("handover", language, self.phrase(language, "abuse"), 0.0)
        if reply is not None:
            return self._watched(reply, text, before)
        reply, asked = await self._matched(question_in(text), embed, before, refused)
        return self._watched(reply, asked, before)

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

    def matches(self, texts: Sequence[str], vectors: np.ndarray, without: Collection[str] = ()) -> list[Match]:
        """Return what each of several texts asks for.

        Args:
            texts: questions without the courtesies round them.
            vectors: the embeddings of their `form`, [texts, width].
            without: entries that are not meant.
        """
        languages = [self._language(text) for text in texts]
        if not self.faq.entries:
            return [Match(text, language, 0.0, 0.0, ()) for text, language in zip(texts, languages, strict=True)]
        out = [at for at, entry in enumerate(self.faq.entries) if entry.id in without]
        facts = self.matcher.facts([simplified(one) for one in texts], np.asarray(vectors), languages, without=out)
        found = []
        for row, (text, language) in enumerate(zip(texts, languages, strict=True)):
            sure, mine = self._sure.get(language) or self._sure[reference_language(language)], facts.at(row)
            confidence, offered = map(float, sure(mine)[0])
            ranked = [at for at in sure.order(mine)[0] if at not in out]
            order = tuple(self.faq.entries[at].id for at in ranked[:ALTERNATIVES])
            if (known := self._entry(text)) and known not in without:
                others = (one for one in order if one != known)
                found.append(Match(text, language, 1.0, 1.0, (known, *others)[:ALTERNATIVES], known=True))
            else:
                found.append(Match(text, language, confidence, offered, order))
        return found

    def respond(self, match: Match) -> Reply:
        """Return the reply to one question: its answer, a question back or a handover, by what they cost."""
        language, confidence = match.language, match.confidence
        action = "answer" if match.known else self.costs.action(confidence, match.offered, language)
        if not match.entries or action == "handover":
            return self.handover(language, confidence)
        if action == "answer":
            return replace(
                self.answer(match.entries[0], language, confidence, asked=match.text), others=match.entries[1:]
            )
        return self._offer("confirm", self._choices(match.entries, language), language, confidence)

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

    def phrase(self, language: str, name: str) -> str:
        """Return what the desk itself says: in the asker's language where it is written in it, else in the list's."""
        return PHRASES[phrase_language(language, self.faq.languages, PHRASES)][name]

    async def _matched(self, text: str, embed: Embed, before: Conversation, refused: str) -> tuple[Reply, str]:
        """Return the reply to what a message asks by the matcher, and what it was taken to ask."""
        if (spelled := meant(text, self._known)) is not None:
            return self.answer(self._known[spelled], "zh", asked=spelled), text
        without = {refused} - {""}

        async def match(texts: Sequence[str]) -> list[Match]:
            return self.matches(texts, await embed([form(one) for one in texts]), without)

        if before.question and not refused and shapes.follows(text):
            reply, asked = await self._followed(text, match, before)
            return await self._looked_up(reply, asked, embed), asked
        found = await questions(text, clauses(text), match, self.costs)
        replies = [await self._looked_up(self.respond(one), one.text, embed) for one in found]
        return replies[0] if len(found) == 1 else self._several(found, replies), text

    async def _looked_up(self, reply: Reply, text: str, embed: Embed) -> Reply:
        """Return what a document says to a question that the list does not answer, where one is sure enough to; else the reply."""
        if self.knowledge is None or reply.action == "answer":
            return reply
        quote = await self.knowledge.answer(text, embed, least=1 - self.costs.person / self.costs.wrong)
        return reply if quote is None else self._quotation(quote, reply.language)

    def _quotation(self, quote: Quote, language: str) -> Reply:
        found = (quote, *quote.conflicting)
        told = [self.phrase(language, "from").format(text=one.text, place=one.place) for one in found]
        told[1:] = [self.phrase(language, "otherwise").format(text=one) for one in told[1:]]
        return Reply("answer", language, "\n".join(told), quote.probability, sources=found)

    def _by_rule(self, text: str, language: str) -> Reply | None:
        """Return the reply of the first rule that a message matches; what a rule wants done, a person does."""
        rule = self.knowledge.rule(text) if self.knowledge else None
        if rule is None:
            return None
        if rule.answer:
            return Reply("answer", language, rule.answer, 1.0)
        return Reply("handover", language, self.phrase(language, "person"), 1.0)

    async def _followed(self, text: str, match: Spans, before: Conversation) -> tuple[Reply, str]:
        """Return the reply to a message that leans on the one before it.

        Alone it may say all; else it is read behind the last question. An answer is given only where both readings agree that
        another entry is meant: what the last question makes likely by itself is asked back.
        """
        joined = f"{before.question} {shapes.about(text)}"
        alone, read = await match([text, joined])
        if self.costs.action(alone.confidence, alone.offered, alone.language) == "answer" or alone.known:
            return self.respond(alone), text
        order = [one for one in dict.fromkeys((*read.entries, *alone.entries)) if one != before.entry]
        agreed = [one for one in order if one in read.entries and one in alone.entries]
        if not order:
            return self.respond(alone), text
        offered = max(alone.offered, read.offered)
        first = read.entries[0]
        if agreed and first == agreed[0] == alone.entries[0]:
            return self.respond(replace(read, text=text, language=alone.language)), joined
        confidence = min(alone.confidence, read.confidence)
        language = alone.language
        if self.costs.action(0.0, offered, language) == "handover":
            return self.handover(language, confidence), joined
        choices = [*agreed, *(one for one in order if one not in agreed)]
        return self._offer("confirm", self._choices(choices[:ALTERNATIVES], language), language, confidence), joined

    def _several(self, found: Sequence[Match], parts: Sequence[Reply]) -> Reply:
        """Return one reply to several questions, each answered, offered or handed over."""
        language = found[0].language
        lines, number = [], 1
        for match, part in zip(found, parts, strict=True):
            said = part.text
            if part.action == "handover":
                said = self.phrase(language, "unanswered")
            elif part.action == "confirm":
                said = self.phrase(language, "which").format(choices=listed(part.choices, number))
                number += len(part.choices)
            lines.append(tidy(self.phrase(language, "part").format(question=match.text.strip(" ?？。."), text=said)))
        if number > 1:
            lines.append(self.phrase(language, "number"))
        actions = {part.action for part in parts}
        return Reply(
            "confirm" if "confirm" in actions else "handover" if "handover" in actions else "answer",
            language,
            "\n".join(lines),
            min(part.confidence for part in parts),
            next((part.entry for part in parts if part.entry), ""),
            tuple(choice for part in parts if part.action == "confirm" or number == 1 for choice in part.choices),
            tuple(replace(part, asked=match.text) for match, part in zip(found, parts, strict=True)),
            tuple(quote for part in parts for quote in part.sources),
        )

    def _chosen(self, text: str, before: Conversation) -> Reply | str:
        """Return the reply to what the asker says after being asked back, or what they ask instead."""
        language = before.language
        if (entry := self._entry(text)) is not None:
            return self.answer(entry, self._language(text), asked=text)
        choices = self._choices(before.offered, language)
        if before.parts and (places := _places(text, len(choices))):
            return self._answers([choices[at].entry for at in places], language)
        went = chosen(text, [choice.question for choice in choices])
        if isinstance(went, int):
            return self.answer(choices[went].entry, language)
        if went == "none" or (went == "unclear" and before.again):
            return self.handover(language)
        if went == "unclear":
            return self._offer("again", choices, language, 0.0)
        return text if went is None else went

    def _answers(self, entries: Sequence[str], language: str) -> Reply:
        """Return the answers of several entries as one reply."""
        parts = tuple(self.answer(entry, language) for entry in dict.fromkeys(entries))
        if len(parts) == 1:
            return parts[0]
        phrase = self.phrase(language, "part")
        lines = [phrase.format(question=one.choices[0].question.strip(" ?？。."), text=one.text) for one in parts]
        choices = tuple(choice for one in parts for choice in one.choices)
        return Reply("answer", language, "\n".join(lines), 1.0, parts[0].entry, choices, parts)

    def _in_language(self, text: str, before: Conversation) -> Reply | None:
        """Return the last answer in the language that someone wishes, where it is written in it."""
        wished = shapes.language_wished(text)
        entry = self._entries.get(before.entry)
        if not wished or entry is None or self._entry(text) is not None or wished not in entry.answers:
            return None
        return self.answer(before.entry, wished)

    def _not_that(self, before: Conversation, language: str) -> Reply:
        """Return the reply to someone who says that the last answer was none: what else may be meant, then a person."""
        if before.corrected:
            return self.handover(language)
        if before.alternatives:
            return self._offer("confirm", self._choices(before.alternatives, language), language, 0.0)
        return Reply("confirm", language, self.phrase(language, "correction"), 0.0)

    def _watched(self, reply: Reply, asked: str, before: Conversation) -> tuple[Reply, Conversation]:
        """Return a reply and what is remembered; who hears the same again and again gets a person."""
        again = bool(reply.entry) and reply.entry == before.entry and not reply.parts
        if reply.action == "courtesy":
            return reply, replace(before, language=reply.language)
        if again and before.repeats + 2 >= shapes.PATIENCE:
            reply = Reply("handover", reply.language, self.phrase(reply.language, "repeated"), reply.confidence)
        elif reply.action == "confirm" and shapes.same(asked, before.question):
            reply = self.handover(reply.language, reply.confidence)
        after = self._after(before, asked, reply)
        return reply, replace(after, repeats=before.repeats + 1 if again else 0)

    def _after(self, before: Conversation, asked: str, reply: Reply) -> Conversation:
        """Return what is remembered of a conversation after a reply."""
        offered = tuple(choice.entry for choice in reply.choices) if reply.action == "confirm" else ()
        return Conversation(
            question=asked,
            entry=reply.entry or ("" if reply.action == "handover" else before.entry),
            alternatives=reply.others,
            language=reply.language,
            offered=offered,
            parts=len(reply.parts) > 1,
            again=bool(offered) and offered == before.offered,
        )

    def _choices(self, entries: Sequence[str], language: str) -> tuple[Choice, ...]:
        return tuple(Choice(one, self._entries[one].title(language)) for one in entries if one in self._entries)

    def _entry(self, text: str) -> str | None:
        """Return the entry that a text asks for in so many words, whether or not it spaces them."""
        form = plain(text)
        return self._known.get(form) or self._tight.get(form.replace(" ", ""))

    def _language(self, text: str) -> str:
        """Return the language that someone asks in; a text without a letter has none, and gets that of the list."""
        return language_among(text, self.faq.languages)

    def _offer(self, phrase: str, choices: tuple[Choice, ...], language: str, confidence: float) -> Reply:
        text = self.phrase(language, phrase).format(choices=listed(choices), count=len(choices))
        return Reply("confirm", language, tidy(text), confidence, choices=choices)


def form(text: str) -> str:
    """Return what of a message is embedded: its question, in Simplified characters."""
    return simplified(question_in(text))


def _places(text: str, count: int) -> list[int]:
    """Return the places that several numbers name, from 0; nothing where one of them is no place."""
    if not re.fullmatch(r"(?:\s|\d|[,，、.。和与跟及&+/第个]|and|both)*", text.strip(), re.I):
        return []
    found = [int(one) - 1 for one in re.findall(r"\d+", text)]
    return found if len(found) > 1 and all(0 <= at < count for at in found) else []


def _tight(known: Mapping[str, str]) -> dict[str, str]:
    """Return known forms without their spaces -> entry, where that leaves no two entries alike: iPhone15 is iPhone 15."""
    owners: dict[str, set[str]] = {}
    for form, entry in known.items():
        owners.setdefault(form.replace(" ", ""), set()).add(entry)
    return {form: min(entries) for form, entries in owners.items() if len(entries) == 1}
