"""Answers under conditions: who asks gets the answer that holds for them, is asked back where that is not known, and nobody gets another's."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.apps.support.conditions import Case, case_of
from noria.apps.support.conversation import START, Conversation, knowing
from noria.apps.support.desk import Desk
from noria.apps.support.faq import Entry, Faq, read_faq
from noria.apps.support.holding import under_conditions, with_cases
from noria.apps.support.matching import Known, Matcher
from noria.apps.support.replies import Choice, Match, Reply
from noria.core.errors import RowError

TABLE = """id,question,answer,when
fee,What does the library card cost?,10 euros a year.,
fee,What does the library card cost?,Nothing.,audience = student
fee,What does the library card cost?,5 euros.,audience = teacher; plan = basic
fee,What does the library card cost?,7 euros.,audience = teacher; plan = pro
,延期怎么收费？,免费。,学生
,延期怎么收费？,每天一元。,教师 | 访客
summer,When are you open?,8 to 20.,until 2026-08-31
summer,When are you open?,9 to 17.,from 2026-09-01
loan,How long may I keep a book?,Four weeks.,
"""
TODAY = date(2026, 7, 1)


async def none(texts: Sequence[str]) -> np.ndarray:
    return np.ones((len(texts), 2))


@pytest.fixture(scope="module")
def faq(tmp_path_factory: pytest.TempPathFactory) -> Faq:
    file = tmp_path_factory.mktemp("faq") / "faq.csv"
    file.write_text(TABLE, encoding="utf-8")
    return read_faq(file)


class KnownAlone(Desk):
    """A desk to which whatever is not known in so many words means nothing."""

    def matches(self, texts: Sequence[str], vectors: np.ndarray, without: Collection[str] = ()) -> list[Match]:
        return [Match(text, "en", 0.0, 0.0, ()) for text in texts]


class Talk:
    """A conversation with such a desk."""

    def __init__(self, faq: Faq, facts: dict[str, str] | None = None) -> None:
        known = [Known(text, "question", at, of) for at, one in enumerate(faq.entries) for of, text in one.known()]
        self.desk = KnownAlone(faq, Matcher(known, np.ones((len(known), 2))), {}, today=lambda: TODAY)
        self.kept: Conversation = knowing(START, facts)

    def say(self, text: str) -> Reply:
        reply, self.kept = asyncio.run(self.desk.turn(text, none, self.kept))
        return reply


FEE, DELAY = "What does the library card cost?", "延期怎么收费？"


def test_rows_of_one_question_are_one_entry_with_its_cases(faq: Faq) -> None:
    assert [(one.id, len(one.cases)) for one in faq.entries] == [("fee", 4), ("line-6", 2), ("summer", 2), ("loan", 0)]
    fee = faq.entries[0]
    assert fee.questions == {"en": (FEE,)}
    assert fee.answer("en").splitlines() == [
        "student: Nothing.",
        "teacher; basic: 5 euros.",
        "teacher; pro: 7 euros.",
        "10 euros a year.",
    ]


@pytest.mark.parametrize(
    ("facts", "answer"),
    [
        ({"audience": "student"}, "Nothing."),
        ({"Audience": "Students"}, "Nothing."),
        ({"audience": "teacher", "plan": "pro"}, "7 euros."),
        ({"audience": "guest"}, "10 euros a year."),
    ],
)
def test_what_the_request_says_decides(faq: Faq, facts: dict[str, str], answer: str) -> None:
    reply = Talk(faq, facts).say(FEE)
    assert (reply.action, reply.text, reply.entry) == ("answer", answer, "fee")


def test_what_is_not_known_is_asked_and_remembered(faq: Faq) -> None:
    talk = Talk(faq)
    back = talk.say(FEE)
    assert (back.action, [one.question for one in back.choices]) == (
        "confirm",
        ["student", "teacher; basic", "teacher; pro", "none of these"],
    )
    reply = talk.say("1")
    assert (reply.action, reply.text, reply.entry, reply.choices) == (
        "answer",
        "Nothing.",
        "fee",
        (Choice("fee", FEE),),
    )
    assert talk.say(FEE).text == "Nothing."
    talk = Talk(faq, {"audience": "teacher"})
    assert [one.question for one in talk.say(FEE).choices] == ["teacher; basic", "teacher; pro", "none of these"]
    assert talk.say("2").text == "7 euros."


@pytest.mark.parametrize(("said", "answer"), [("学生", "免费。"), ("我是访客", "每天一元。"), ("2", "每天一元。")])
def test_who_asks_says_it_in_words_or_by_number(faq: Faq, said: str, answer: str) -> None:
    talk = Talk(faq)
    assert talk.say(DELAY).action == "confirm"
    assert talk.say(said).text == answer


@pytest.mark.parametrize(("today", "answer"), [(date(2026, 8, 31), "8 to 20."), (date(2026, 9, 1), "9 to 17.")])
def test_answers_hold_for_their_time(faq: Faq, today: date, answer: str) -> None:
    entries = with_cases(faq.entries)
    given_reply = Reply("answer", "en", "", 1.0, "summer")
    reply, _ = under_conditions(entries, lambda language, name: "", (given_reply, START), "", START, today)
    assert reply.text == answer


def test_without_conditions_all_is_as_it_was(faq: Faq) -> None:
    reply = Talk(faq).say("How long may I keep a book?")
    assert (reply.action, reply.text) == ("answer", "Four weeks.")


def test_a_day_that_is_none_is_refused_with_its_line() -> None:
    with pytest.raises(RowError, match="line 3"):
        case_of("until 2026-02-30", {}, "a.csv", 3)


names, values = st.sampled_from("abc"), st.sampled_from(["x", "y", "z"])
conditions = st.dictionaries(names, st.lists(values, min_size=1, max_size=2, unique=True).map(tuple), max_size=3)


@given(st.lists(conditions, min_size=1, max_size=5), st.dictionaries(names, values))
def test_nobody_gets_an_answer_whose_condition_does_not_hold(
    given: list[dict[str, tuple[str, ...]]], facts: dict[str, str]
) -> None:
    cases = tuple(Case({"en": str(at)}, values) for at, values in enumerate(given))
    entry = Entry("e", {"en": ("q",)}, {}, {}, {"en": "all"}, cases=cases)
    before = replace(START, facts=facts)
    turn = (Reply("answer", "en", "all", 1.0, "e"), before)
    reply, _ = under_conditions(with_cases([entry]), lambda language, name: "{choices}", turn, "", before, TODAY)
    holds = [case.holds(facts, TODAY) for case in cases]
    if reply.action == "answer":
        assert holds[int(reply.text)]
    elif reply.action == "confirm":
        assert all(holds[int(one.entry.partition("#")[2])] is not False for one in reply.choices)
        assert None in holds
    else:
        assert set(holds) == {False}
