"""Messages of a conversation: several questions in one, follow-ups, corrections, repeats, other languages and scripts, curses."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from noria.apps.support.certainty import Certainty
from noria.apps.support.conversation import START, Conversation, abuse, correction, follows, language_wished
from noria.apps.support.desk import Desk
from noria.apps.support.faq import read_faq
from noria.apps.support.matching import Matcher
from noria.apps.support.opening import known_texts
from noria.apps.support.parts import clauses
from noria.apps.support.pinyin import meant, syllables
from noria.apps.support.replies import Reply
from noria.lake.event import new_id

ENTRIES = {
    "return": (["怎么退货？", "我想退货"], ["How do I return an item?", "Can I send an item back?"]),
    "warranty": (["保修多久？", "质保期多长"], ["How long is the warranty?", "What is the warranty period?"]),
    "invoice": (["怎么开发票？", "可以开发票吗"], ["How do I get an invoice?", "Can you send me an invoice?"]),
    "shipping": (["什么时候发货？", "几天能发货"], ["When will my order ship?", "When do you ship orders?"]),
    "fee": (["退货运费谁出？", "退货邮费多少钱"], ["Who pays the return shipping?", "What does a return cost?"]),
    "student": (["学生有优惠吗？", "学生打折吗"], ["Is there a student discount?", "Do students pay less?"]),
    "price": (["会员多少钱一年？", "会员价格是多少"], ["What does membership cost?", "What is the membership price?"]),
    "wifi": (["WiFi 密码是多少？", "无线网密码"], ["What is the WiFi password?", "How do I get on the WiFi?"]),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, object]:
    """A desk whose embedding is letters, and whose certainty has weights that were set by hand."""
    file = tmp_path_factory.mktemp("list") / "faq.jsonl"
    rows = [
        {"id": name, "questions": {"zh": zh, "en": en}, "answer": {"zh": f"答案：{name}", "en": f"Answer: {name}"}}
        for name, (zh, en) in ENTRIES.items()
    ]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    faq = read_faq(file)
    known = known_texts(faq)

    def grams(text: str) -> list[str]:
        words = re.findall(r"[a-z]+|[\u4e00-\u9fff]+", text.lower())
        return [
            f" {word} "[at : at + size] for word in words for size in (1, 2, 3, 4) for at in range(len(word) + 3 - size)
        ]

    counts = Counter(gram for text in known for gram in set(grams(text.text)))
    places = {gram: at for at, gram in enumerate(counts)}

    async def embed(texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), len(places)))
        for row, text in enumerate(texts):
            for gram, count in Counter(grams(text)).items():
                if gram in places:
                    found[row, places[gram]] = (1 + math.log(count)) * math.log(len(known) / counts[gram] + 1)
        return found

    vectors = asyncio.run(embed([text.text for text in known]))
    sure = Certainty(np.array([6.0, 6, 0, 1, 6, 0, 4, 0, 0, 3]), 0.99)
    return Desk(faq, Matcher(known, vectors), {"zh": sure, "en": sure}), embed


class Talk:
    """One asker at the desk."""

    def __init__(self, desk: tuple[Desk, object]) -> None:
        self.desk, self.embed = desk
        self.kept: Conversation = START

    def say(self, text: str) -> Reply:
        reply, kept = asyncio.run(self.desk.turn(text, self.embed, self.kept))  # type: ignore[arg-type]
        self.kept = Conversation.of(json.loads(json.dumps(kept.as_dict())))
        return reply


def named(reply: Reply) -> list[str]:
    """Return the entries that a reply answers or offers."""
    return [choice.entry for part in (reply.parts or (reply,)) for choice in part.choices]


# Several questions

JOINTS = ("{0}？{1}？", "{0}，{1}", "{0}，另外{1}？", "{0}还有{1}", "你好，{0}？还有{1}？谢谢")
JOINTS_EN = ("{0}? {1}?", "{0} and {1}?", "{0}, and also {1}", "Hi, {0}? {1}? Thanks", "{0}. {1}", "{0} {1}")


@pytest.mark.parametrize("joint", [*JOINTS, *JOINTS_EN])
def test_two_questions_in_one_message_are_both_answered(desk: tuple[Desk, object], joint: str) -> None:
    english = joint in JOINTS_EN
    names = [*ENTRIES]
    pairs = list(zip(names, names[3:], strict=False))
    good = 0
    for one, two in pairs:
        texts = [ENTRIES[name][english][0].rstrip("?？") for name in (one, two)]
        if english:
            texts[1] = texts[1][0].lower() + texts[1][1:] if "." not in joint else texts[1]
        reply = Talk(desk).say(joint.format(*texts))
        good += {one, two} <= set(named(reply))
        if reply.parts:
            assert all(f"{name}" in reply.text for part in reply.parts for name in [part.entry])
    assert good >= len(pairs) - 1, (good, len(pairs))


@pytest.mark.parametrize(
    "text",
    [
        "我上周买了个手机，坏了，保修多久？",
        "How do I return an item that I bought last week and never opened?",
        "我想退货，怎么退货？",
        "Can I send an item back, please?",
        "I would like to know how long the warranty is",
        "怎么开发票",
    ],
)
def test_one_question_is_not_cut(desk: tuple[Desk, object], text: str) -> None:
    assert not Talk(desk).say(text).parts


def test_what_has_no_answer_beside_what_has_is_not_passed_over(desk: tuple[Desk, object]) -> None:
    reply = Talk(desk).say("怎么退货？今天会下雨吗？")
    assert [part.action for part in reply.parts] == ["answer", "handover"]
    assert "答案：return" in reply.text
    assert "今天会下雨吗" in reply.text


def test_of_several_offered_several_may_be_chosen(desk: tuple[Desk, object]) -> None:
    talk = Talk(desk)
    talk.kept = Conversation(question="?", language="en", offered=("return", "fee", "wifi"), parts=True)
    assert [part.entry for part in talk.say("1 and 3").parts] == ["return", "wifi"]
    talk.kept = Conversation(question="?", language="zh", offered=("return", "fee", "wifi"))
    assert talk.say("1和3").action == "confirm", "of one question one is meant"


def test_clauses_keep_every_word_and_their_order() -> None:
    for text in ("怎么退货？保修多久", "How do I pay, and what does it cost?", "a, b and c? d. E f g"):
        found = clauses(text)
        assert [one.start for one in found] == sorted(one.start for one in found)
        assert len(found) <= 6
    assert len(clauses("几点开门？" * 30)) <= 6


# What was said before


@pytest.mark.parametrize(
    ("first", "then", "entry"),
    [
        ("会员多少钱一年？", "那学生呢？", "student"),
        ("What does membership cost?", "and for students?", "student"),
        ("怎么退货？", "那邮费多少钱？", "fee"),
        ("How do I return an item?", "And who pays the shipping?", "fee"),
    ],
)
def test_a_follow_up_is_read_behind_what_was_asked(
    desk: tuple[Desk, object], first: str, then: str, entry: str
) -> None:
    talk = Talk(desk)
    assert talk.say(first).action == "answer"
    reply = talk.say(then)
    assert entry in named(reply)
    assert reply.entry in ("", entry), "asked back, or the right answer"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("怎么退货？", "不对，我是说怎么开发票"),
        ("怎么退货？", "我问的是怎么开发票"),
        ("怎么退货？", "不是，怎么开发票？"),
        ("How do I return an item?", "No, I meant how do I get an invoice"),
        ("How do I return an item?", "sorry, I mean an invoice"),
        ("How do I return an item?", "actually I want an invoice"),
    ],
)
def test_a_correction_is_answered_and_not_by_what_it_corrects(desk: tuple[Desk, object], first: str, then: str) -> None:
    talk = Talk(desk)
    talk.say(first)
    reply = talk.say(then)
    assert named(reply)[:1] == ["invoice"]


@pytest.mark.parametrize("wrong", ["答非所问", "不对", "That's not what I asked", "wrong"])
def test_who_says_that_it_was_wrong_gets_another_try_and_then_a_person(desk: tuple[Desk, object], wrong: str) -> None:
    talk = Talk(desk)
    talk.say("How do I return an item?" if wrong.isascii() else "怎么退货？")
    assert talk.say(wrong).action == "confirm"
    assert talk.say(wrong).action == "handover"


def test_the_same_again_and_again_brings_a_person(desk: tuple[Desk, object]) -> None:
    for text in ("怎么退货？", "How do I return an item?"):
        talk = Talk(desk)
        assert [talk.say(text).action for _ in range(4)] == ["answer", "answer", "handover", "answer"]


@pytest.mark.parametrize(
    ("first", "then", "language"),
    [
        ("怎么退货？", "请用英文回答", "en"),
        ("怎么退货？", "English please", "en"),
        ("How do I return an item?", "中文", "zh"),
        ("How do I return an item?", "in Chinese?", "zh"),
    ],
)
def test_the_answer_comes_again_in_another_language(
    desk: tuple[Desk, object], first: str, then: str, language: str
) -> None:
    talk = Talk(desk)
    talk.say(first)
    reply = talk.say(then)
    assert (reply.action, reply.entry, reply.language) == ("answer", "return", language)


def test_a_language_may_change_with_every_message(desk: tuple[Desk, object]) -> None:
    talk = Talk(desk)
    said = ("怎么退货？", "How long is the warranty?", "無線網密碼", "Can you send me an invoice?")
    assert [(reply.language, reply.entry) for reply in map(talk.say, said)] == [
        ("zh", "return"),
        ("en", "warranty"),
        ("zh", "wifi"),
        ("en", "invoice"),
    ]


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("zenme tuihuo", "return"),
        ("zen me kai fa piao", "invoice"),
        ("shenme shihou fahuo", "shipping"),
        ("xuesheng you youhui ma", "student"),
        ("怎麼開發票", "invoice"),
        ("How do I retrun an itm?", "return"),
        ("what is the warrenty peroid", "warranty"),
        ("怎么退或", "return"),
    ],
)
def test_pinyin_traditional_and_typing_errors_are_understood(desk: tuple[Desk, object], text: str, entry: str) -> None:
    assert named(Talk(desk).say(text))[:1] == [entry]


def test_pinyin_is_never_read_out_of_other_languages(shared_data: Path) -> None:
    known = {form: name for name, (chinese, _) in ENTRIES.items() for form in chinese}
    for file in ("banking77/test", "clinc150/val"):
        for line in (shared_data / "intent" / f"{file}.jsonl").read_text(encoding="utf-8").splitlines():
            assert meant(json.loads(line)["text"], known) is None
    assert syllables("wo yao tui huo") == ["wo", "yao", "tui", "huo"]


@pytest.mark.parametrize("text", ["垃圾客服", "你们真是一群骗子！", "You are useless!!", "fuck off", "stupid bot"])
def test_a_curse_brings_a_person_politely(desk: tuple[Desk, object], text: str) -> None:
    reply = Talk(desk).say(text)
    assert reply.action == "handover"
    assert any(word in reply.text for word in ("抱歉", "sorry"))


@pytest.mark.parametrize(
    "text", ["垃圾袋多少钱", "Where do I throw the trash?", "Is this a scam?", "我的手机有病毒吗", "damn, how do I pay"]
)
def test_a_question_with_a_rude_word_is_a_question(text: str) -> None:
    assert not abuse(text)


def test_shapes_of_a_conversation_are_rare_among_first_questions(shared_data: Path) -> None:
    """Of 7,000 real first questions few look like follow-ups, and hardly any like corrections, curses or wishes for a language."""
    texts = [
        json.loads(line)["text"]
        for file in ("banking77/test", "clinc150/val")
        for line in (shared_data / "intent" / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert len(texts) > 6_000
    assert sum(map(follows, texts)) <= 0.03 * len(texts)
    assert sum(map(abuse, texts)) <= 2
    assert sum(bool(correction(text)) for text in texts) <= 10
    assert sum(bool(language_wished(text)) for text in texts) <= 5


def test_a_conversation_of_another_version_is_read(desk: tuple[Desk, object]) -> None:
    kept = Conversation(question="a", entry="return", offered=("fee",)).as_dict() | {"mood": new_id()}
    assert Conversation.of(kept) == Conversation(question="a", entry="return", offered=("fee",))
