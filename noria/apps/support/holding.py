"""Which of an entry's answers holds for who asks: by the request, the conversation and the message; else the desk asks back.

reply, after = under_conditions(entries, phrase, (reply, after), text, before, today)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from .conditions import Case, stems
from .conversation import Conversation, follows
from .faq import Entry
from .plain import plain
from .replies import Choice, Reply, listed, tidy

LANGUAGE = "language"
"""Name of what is known of everybody: the language they ask in."""
APART = "#"
"""Stands between an entry's id and the place of its case."""
_OTHERWISE = {"zh": ("其他情况",), "en": ("none of these",)}


def with_cases(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return entries by their ids, and every case of them as an entry of its own, which may be offered and chosen."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found[entry.id] = entry
        for at, case in enumerate(entry.cases):
            title = dict.fromkeys(case.answers, (case.label,)) if case.label else _OTHERWISE
            one = replace(entry, id=f"{entry.id}{APART}{at}", questions=title, paraphrases={}, test={}, cases=())
            found[one.id] = replace(one, answers=case.answers)
    return found


def under_conditions(
    entries: Mapping[str, Entry],
    phrase: Callable[[str, str], str],
    turn: tuple[Reply, Conversation],
    text: str,
    before: Conversation,
    today: date,
) -> tuple[Reply, Conversation]:
    """Return a reply, and what is remembered after it, with the answer that holds for who asks, or asking which does.

    Of several questions in one message, and where nobody can be asked, the reply has every answer with its condition.

    Args:
        entries: id -> entry, its cases among them.
        phrase: language and name -> what the desk says.
        turn: the reply, and what is remembered, without conditions.
        text: the message.
        before: what was remembered before it.
        today: the day on which it is asked.
    """
    reply, after = turn
    facts = dict(before.facts)
    if reply.action != "answer" and (added := _added(entries, text, before, reply.language, today)) is not None:
        return added
    id, _, place = reply.entry.partition(APART)
    entry = entries.get(id)
    if entry is None or not entry.cases or reply.action != "answer" or reply.parts:
        return reply, replace(after, facts=facts)
    if place:  # the asker chose
        facts |= {name: values[0] for name, values in entry.cases[int(place)].values.items()}
        whole = (Choice(id, entry.title(reply.language)),)
        return replace(reply, entry=id, choices=whole), replace(after, entry=id, facts=facts)
    facts |= _mentioned(text, entry.cases)
    after = replace(after, facts=facts)
    told, asked = _holding(entry.cases, {LANGUAGE: reply.language, **facts}, today)
    if told is not None:
        return replace(reply, text=entries[f"{id}{APART}{told}"].answer(reply.language)), after
    if not asked:
        return Reply("handover", reply.language, phrase(reply.language, "handover"), reply.confidence), after
    names = [f"{id}{APART}{at}" for at in asked]
    choices = tuple(Choice(name, entries[name].title(reply.language)) for name in names)
    depends = tidy(phrase(reply.language, "depends").format(choices=listed(choices)))
    back = Reply("confirm", reply.language, depends, reply.confidence, choices=choices)
    return back, replace(after, offered=tuple(names), parts=False, again=False)


def _added(
    entries: Mapping[str, Entry], text: str, before: Conversation, language: str, today: date
) -> tuple[Reply, Conversation] | None:
    """Return the answer to a message that only adds for whom its conversation asks: "I am a student", "and for students?"; None of any other."""
    offered = before.offered[0] if before.offered else ""
    id = offered.partition(APART)[0] if APART in offered else before.entry if follows(text) else ""
    entry = entries.get(id)
    if entry is None or not (mentioned := _mentioned(text, entry.cases)):
        return None
    facts = {**before.facts, **mentioned}
    told, _ = _holding(entry.cases, {LANGUAGE: language, **facts}, today)
    if told is None:
        return None
    whole = (Choice(id, entry.title(language)),)
    reply = Reply("answer", language, entries[f"{id}{APART}{told}"].answer(language), 1.0, id, whole)
    return reply, replace(before, entry=id, language=language, offered=(), again=False, facts=facts)


def _holding(cases: Sequence[Case], facts: Mapping[str, str], today: date) -> tuple[int | None, list[int]]:
    """Return the place of the case that holds, or None and those that may: one that asks for more goes before one that asks for less."""
    holds = [case.holds(facts, today) for case in cases]
    sure = [at for at, one in enumerate(holds) if one]
    best = max(sure, key=lambda at: len(cases[at].values), default=None)
    least = -1 if best is None else len(cases[best].values)
    maybe = [at for at, one in enumerate(holds) if one is None and len(cases[at].values) > least]
    if maybe:
        return None, [*maybe, *([] if best is None else [best])]
    return best, []


def _mentioned(text: str, cases: Sequence[Case]) -> dict[str, str]:
    """Return what a message says of conditions: of each name the one value that it mentions."""
    found: dict[str, set[str]] = {}
    for case in cases:
        for name, values in case.values.items():
            found.setdefault(name, set()).update(value for value in values if _stands(value, text))
    return {name: next(iter(values)) for name, values in found.items() if len(values) == 1}


def _stands(value: str, text: str) -> bool:
    if not value.isascii():
        return plain(value) in plain(text)
    words, held = stems(value), stems(text)
    return bool(words) and any(held[at : at + len(words)] == words for at in range(len(held) - len(words) + 1))
