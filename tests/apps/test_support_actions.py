"""Actions of the desk: fields asked for until they are known, one signed call however often a message is sent, a person where it cannot be done."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from endpoints import Endpoint, answered, endpoint
from hypothesis import given
from hypothesis import strategies as st

from noria.apps.support.actions.dates import day_in
from noria.apps.support.actions.fields import FieldSettings, value_in
from noria.apps.support.actions.flow import filled, read_actions
from noria.apps.support.actions.running import Actions, Utterance
from noria.apps.support.conversation import START, Conversation
from noria.apps.support.desk import Desk
from noria.apps.support.faq import Faq, read_faq, with_more
from noria.apps.support.knowledge.base import Knowledge
from noria.apps.support.knowledge.building import build
from noria.apps.support.languages import language_among
from noria.apps.support.opening import open_desk
from noria.apps.support.replies import Reply
from noria.core.errors import InputError, NoriaError, SettingError
from noria.server.webhook import verified

TODAY = date(2026, 9, 30)
"""A Wednesday."""
FILE = """
[order]
title = {zh = "查询订单", en = "Order status"}
words = ["查订单", "订单 哪", "where is my order"]
examples = ["我的包裹到哪了", "has my parcel left yet?"]
retries = 1
answer = {zh = "订单 {order}：{reply.state}，{reply.days} 天内送到。", en = "Order {order} is {reply.state}: {reply.days} days."}
statuses.404 = {zh = "没有订单 {order}，请核对。", en = "There is no order {order}."}

[[order.fields]]
name = "order"
kind = "pattern"
pattern = '[A-Z]{2}\\d{8}'
ask = {zh = "请提供订单号。", en = "What is the order number?"}

[order.webhook]
url = "URL/order"
secret_env = "ORDER_SECRET"
allow_private = true
attempts = 1

[pickup]
title = {zh = "上门取件", en = "Pick-up"}
pattern = "取件|pick.?up"
confirm = {zh = "{day} 上门取 {pieces} 件（{what}），地址：{address}。", en = "We come on {day} for {pieces} ({what}) at {address}."}
answer = {zh = "已预约，编号 {reply.number}。", en = "Booked as {reply.number}."}
cancel = ["不寄了"]

[[pickup.fields]]
name = "what"
kind = "choice"
ask = {zh = "寄什么？", en = "What is it?"}
choices = [
  {value = "letter", words = {zh = ["文件", "信"], en = ["a letter", "letter", "documents"]}},
  {value = "box", words = {zh = ["包裹", "箱子"], en = ["a box", "box", "parcel"]}},
]

[[pickup.fields]]
name = "day"
kind = "date"
earliest = 0
latest = 30
ask = {zh = "哪天取？", en = "On which day?"}
again = {zh = "三十天以内的哪一天？", en = "A day within the next thirty, please."}

[[pickup.fields]]
name = "pieces"
kind = "number"
least = 1
most = 20
whole = true
ask = {zh = "几件？", en = "How many?"}

[[pickup.fields]]
name = "address"
kind = "text"
ask = {zh = "地址？", en = "At which address?"}

[pickup.webhook]
url = "URL/pickup"
secret_env = "PICKUP_SECRET"
allow_private = true
attempts = 1
"""
SECRETS = {"ORDER_SECRET": "one", "PICKUP_SECRET": "two"}


async def nothing(texts: Any) -> np.ndarray:
    return np.zeros((len(texts), 2))


@pytest.fixture(scope="module")
def desk() -> Desk:
    return asyncio.run(open_desk(Faq((), ()), nothing))


@pytest.fixture
def shop() -> Iterator[Endpoint]:
    with endpoint(lambda sent: answered({"state": "on its way", "days": 2, "number": "N7"})) as made:
        yield made


class Talk:
    """A conversation; between two messages all that is remembered goes through a file, and the server is another one."""

    def __init__(self, desk: Desk, shop: Endpoint, folder: Path) -> None:
        self.desk, self.kept, self.count = desk, START, 0
        self.file = folder / "actions.toml"
        self.file.write_text(FILE.replace("URL", shop.url), encoding="utf-8")

    def say(self, text: str, id: str = "") -> Reply:
        self.count += 1
        actions = Actions(read_actions(self.file), lambda: TODAY, environ=SECRETS)
        given = Utterance(text, id or f"m{self.count}", "chat-7", language_among(text, ("zh", "en")))

        async def reply() -> tuple[Reply, Conversation]:
            if done := await actions.reply(given, self.kept, self.desk):
                return done
            turn = await self.desk.turn(text, nothing, self.kept)
            return await actions.matched(turn[0], given, self.kept) or turn

        found, kept = asyncio.run(reply())
        self.kept = Conversation.of(json.loads(json.dumps(kept.as_dict())))
        return found


@pytest.fixture
def talk(desk: Desk, shop: Endpoint, tmp_path: Path) -> Talk:
    return Talk(desk, shop, tmp_path)


@pytest.mark.parametrize(
    ("texts", "asked", "told"),
    [
        (["我想查订单", "ＡＢ12345678，谢谢"], "请提供订单号。", "订单 AB12345678：on its way，2 天内送到。"),
        (
            ["Where is my order?", "it is ab12345678"],
            "What is the order number?",
            "Order ab12345678 is on its way: 2 days.",
        ),
        (["我的订单AB12345678到哪了"], "", "订单 AB12345678：on its way，2 天内送到。"),
    ],
)
def test_what_is_missing_is_asked_for_and_the_webhook_is_called_once_and_signed(
    talk: Talk, shop: Endpoint, texts: list[str], asked: str, told: str
) -> None:
    replies = [talk.say(text) for text in texts]
    assert [one.text for one in replies] == [*([asked] if asked else []), told]
    assert [one.action for one in replies] == [*(["confirm"] if asked else []), "answer"]
    assert {one.flow for one in replies} == {"order"}
    (sent,) = shop.requests
    assert verified(sent.headers, sent.body, "one", time.time()) == f"m{len(texts)}" == sent.headers["idempotency-key"]
    body = sent.json()
    assert (body["action"], body["conversation"]) == ("order", "chat-7")
    assert body["fields"]["order"].upper() == "AB12345678"
    assert talk.kept.flow == {}


def test_all_kinds_of_fields_a_confirmation_and_a_change_of_mind(talk: Talk, shop: Endpoint) -> None:
    texts = ["预约上门取件", "第二个", "后天", "三件", "人民路 8 号", "不对，改成10月5号", "确认"]
    replies = [talk.say(text) for text in texts]
    assert replies[0].text == "寄什么？\n1. 文件  2. 包裹"
    assert [one.text for one in replies[1:4]] == ["哪天取？", "几件？", "地址？"]
    assert replies[4].text.startswith("2026-10-02 上门取 3 件（包裹），地址：人民路 8 号。")
    assert replies[5].text.startswith("2026-10-05 上门取 3 件（包裹），地址：人民路 8 号。")
    assert (replies[6].action, replies[6].text) == ("answer", "已预约，编号 N7。")
    assert [one["fields"] for one in shop.bodies()] == [
        {"what": "box", "day": "2026-10-05", "pieces": 3, "address": "人民路 8 号"}
    ]


@pytest.mark.parametrize("ending", ["取消", "算了吧", "cancel", "Never mind, thanks", "不寄了", "我不要了，取消"])
def test_who_cancels_is_asked_nothing_more_and_nothing_is_called(talk: Talk, shop: Endpoint, ending: str) -> None:
    talk.say("上门取件")
    reply = talk.say(ending)
    if ending == "我不要了，取消":
        assert reply.action == "confirm"  # no plain word: asked again, and the next one is
        reply = talk.say("取消")
    assert (reply.action, talk.kept.flow, shop.requests) == ("courtesy", {}, [])
    assert talk.say("AB12345678").flow == ""


@pytest.mark.parametrize("no", ["不", "no", "不是", "取消", "no, cancel it"])
def test_a_no_to_the_confirmation_calls_nothing(talk: Talk, shop: Endpoint, no: str) -> None:
    for text in ("pick-up please", "box", "tomorrow", "2", "1 High Street"):
        talk.say(text)
    assert (talk.say(no).action, shop.requests) == ("courtesy", [])


def test_what_is_not_understood_is_asked_again_so_often_and_then_a_person_has_what_is_known(talk: Talk) -> None:
    talk.say("上门取件")
    talk.say("包裹")
    again = [talk.say(text) for text in ("随便哪天", "12月25号")]  # no day, and one too late
    assert {one.text for one in again} == {"三十天以内的哪一天？\n哪天取？"}
    handed = talk.say("不知道呀")
    assert (handed.action, handed.flow, talk.kept.flow) == ("handover", "pickup", {})
    assert "人工" in handed.text
    assert "上门取件" in talk.kept.note
    assert "what = 包裹" in talk.kept.note
    assert "day" in talk.kept.note


def test_a_wish_for_a_person_and_a_courtesy_beside_it(talk: Talk) -> None:
    talk.say("where is my order")
    aside = talk.say("Thank you!")
    assert aside.action == "confirm"
    assert aside.text.endswith("What is the order number?")
    handed = talk.say("I want to talk to a person")
    assert (handed.action, talk.kept.flow) == ("handover", {})
    assert "Order status" in talk.kept.note


@pytest.mark.parametrize(
    ("answer", "action", "text", "note"),
    [
        (answered({}, 404), "answer", "There is no order AB12345678.", ""),
        (answered({}, 403), "handover", "cannot be done right now", "HTTP 403"),
        (answered({}, 500), "handover", "cannot be done right now", "HTTP 500"),
        (answered({"state": "lost"}), "handover", "cannot be done right now", "lacks"),
        (answered({"state": {"a": 1}, "days": 1}), "handover", "cannot be done right now", "lacks"),
        ((200, {}, b"<html>no json"), "handover", "cannot be done right now", "lacks"),
        ((302, {"location": "http://127.0.0.1:1/"}, b""), "handover", "cannot be done right now", "HTTP 302"),
    ],
)
def test_an_endpoint_that_cannot_ends_politely_with_a_person(
    talk: Talk, shop: Endpoint, answer: Any, action: str, text: str, note: str
) -> None:
    shop.answer = lambda sent: answer
    talk.say("Where is my order?")
    reply = talk.say("AB12345678")
    assert reply.action == action
    assert text in reply.text
    assert note in talk.kept.note
    assert action == "answer" or "order = AB12345678" in talk.kept.note
    assert str(shop.url) not in reply.text


def test_a_message_that_is_sent_again_is_one_call_to_the_endpoint(talk: Talk, shop: Endpoint) -> None:
    talk.say("查订单")
    before = talk.kept
    talk.say("AB12345678", id="the message")
    talk.kept = before  # killed between the call and the reply
    talk.say("AB12345678", id="the message")
    assert [one.headers["idempotency-key"] for one in shop.requests] == ["the message"] * 2


async def letters(texts: Any) -> np.ndarray:
    return np.array(
        [[text.lower().count(one) + 0.01 for one in "abcdefghijklmnopqrstuvwxyz包裹到哪"] for text in texts]
    )


def test_an_example_begins_an_action_and_so_does_the_choice_of_it(talk: Talk, shop: Endpoint, tmp_path: Path) -> None:
    file = tmp_path / "faq.csv"
    file.write_text("question,answer\n怎么退货,七天内可退。\nIs it free?,It is.\n", encoding="utf-8")
    actions = Actions(read_actions(talk.file), lambda: TODAY, environ=SECRETS)
    talk.desk = asyncio.run(open_desk(with_more(read_faq(file), actions.entries()), letters))
    for text, asked in (
        ("Has my parcel left yet?", "What is the order number?"),
        ("我的包裹到哪了？", "请提供订单号。"),
    ):
        reply = talk.say(text)
        assert (reply.action, reply.flow, reply.text) == ("confirm", "order", asked)
        assert talk.say("cancel").action == "courtesy"
    assert talk.say("怎么退货").text == "七天内可退。"
    talk.kept = replace(START, question="AB12345678 怎么还没来", offered=("action:order", "line-2"), language="zh")
    assert (
        talk.say("1").text == "订单 AB12345678：on its way，2 天内送到。"
    )  # what was said before is not asked for again
    assert len(shop.requests) == 1
    talk.kept = replace(START, question="AB12345678 怎么还没来", offered=("action:order", "line-2"), language="zh")
    assert talk.say("2").text == "七天内可退。"


def test_an_example_of_two_actions_is_refused(talk: Talk) -> None:
    twice = FILE.replace('pattern = "取件|pick.?up"', 'examples = ["我的包裹到哪了？"]')
    talk.file.write_text(twice.replace("URL", "https://shop.example"), encoding="utf-8")
    with pytest.raises(InputError, match="one question stands under two entries"):
        Actions(read_actions(talk.file), lambda: TODAY, environ=SECRETS).entries()


def test_a_rule_begins_an_action(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "rules.csv").write_text("words,action,handover\n物流,order,\n投诉,,true\n", encoding="utf-8")
    (tmp_path / "lamp.md").write_text("# Lamp\n\nThe lamp is bright.\n", encoding="utf-8")
    build([tmp_path / "rules.csv", tmp_path / "lamp.md"], tmp_path / "kb")
    talk.desk = asyncio.run(open_desk(Faq((), ()), nothing, knowledge=Knowledge.open(tmp_path / "kb")))
    assert talk.say("物流信息").text == "请提供订单号。"
    assert talk.say("取消").action == "courtesy"
    assert (talk.say("我要投诉").action, talk.kept.flow) == ("handover", {})


@given(st.text(max_size=30), st.dictionaries(st.text(max_size=5), st.text(max_size=10), max_size=3))
def test_what_comes_back_is_put_in_as_it_is_and_never_read_again(value: str, more: dict[str, str]) -> None:
    kept = filled("a {reply.x} b", {}, {**more, "x": f"{{y}} {{reply.x}} {value}"})
    assert kept is not None
    assert kept.startswith("a {y} {reply.x}")
    assert all(one == "\n" or one.isprintable() or not one.isascii() for one in kept)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('kind = "pattern"', 'kind = "regex"', "kind"),
        ("[A-Z]{2}", "[A-Z", "regular expression"),
        ('kind = "text"', 'kind = "text"\nleast = 2', "kind number"),
        ("{reply.number}", "{number}", "names no field"),
        ("{day} 上门", "{reply.day} 上门", "names no field"),
        ('name = "day"', 'name = "what"', "name of its own"),
        ('secret_env = "PICKUP_SECRET"', 'secret = "two"', "secret_env"),
        ("allow_private = true", "allow_private = false", "no address"),
        ('title = {zh = "上门取件", en = "Pick-up"}', "", "title"),
        ("retries = 1", "retrys = 1", "did you mean"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_line_that_names_the_action(
    talk: Talk, before: str, after: str, words: str
) -> None:
    assert before in FILE
    talk.file.write_text(talk.file.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    with pytest.raises(NoriaError) as refused:
        read_actions(talk.file)
    told = str(refused.value)
    assert words in told
    assert "actions.toml [" in told
    assert "\n" not in told


def test_a_secret_that_is_missing_is_told_at_the_start(talk: Talk) -> None:
    with pytest.raises(SettingError, match="PICKUP_SECRET"):
        Actions(read_actions(talk.file), lambda: TODAY, environ={"ORDER_SECRET": "one"})


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("2026年10月1日", "zh", "2026-10-01"),
        ("2026-10-01", "en", "2026-10-01"),
        ("2026/10/1 上午", "zh", "2026-10-01"),
        ("10月1号可以吗", "zh", "2026-10-01"),
        ("明天吧", "zh", "2026-10-01"),
        ("大后天", "zh", "2026-10-03"),
        ("三天后", "zh", "2026-10-03"),
        ("周五", "zh", "2026-10-02"),
        ("下周三", "zh", "2026-10-07"),
        ("10/5", "zh", "2026-10-05"),
        ("1 October", "en", "2026-10-01"),
        ("Oct 1st, 2027", "en", "2027-10-01"),
        ("the day after tomorrow", "en", "2026-10-02"),
        ("on Friday please", "en", "2026-10-02"),
        ("25/12", "en", "2026-12-25"),
        ("March 3", "en", "2027-03-03"),
        ("3/4", "en", None),
        ("next Friday", "en", None),
        ("10月1号或者10月2号", "zh", None),
        ("2月30日", "zh", None),
        ("I sat in the sun", "en", None),
        ("whenever", "en", None),
    ],
)
def test_a_day_is_read_where_one_is_named(text: str, language: str, found: str | None) -> None:
    day = day_in(text, TODAY, language, "ahead")
    assert (day.isoformat() if day else None) == found


@given(st.dates(date(2020, 1, 1), date(2030, 12, 31)), st.sampled_from(["zh", "en"]))
def test_every_way_to_write_a_day_whole_reads_it_back(day: date, language: str) -> None:
    for form in ("%Y-%m-%d", "%Y年%m月%d日", "%Y/%m/%d", "on %d %B %Y", "%b %d, %Y"):
        assert day_in(f"好的 {day.strftime(form)} ok", TODAY, language) == day


CHOICE = FieldSettings.make(
    name="what",
    kind="choice",
    ask={"en": "?"},
    choices=[
        {"value": "return", "words": {"zh": ["退货"], "en": ["return"]}},
        {"value": "label", "words": {"zh": ["退货标签"], "en": ["return label"]}},
        {"value": "swap", "words": {"zh": ["换货"], "en": ["exchange", "swap"]}},
    ],
)
NUMBER = FieldSettings.make(name="n", kind="number", least=1, most=50_000, whole=True, ask={"en": "?"})
CODE = FieldSettings.make(name="c", kind="pattern", pattern=r"\d{6}", ask={"en": "?"})


@pytest.mark.parametrize(
    ("field", "text", "found"),
    [
        (CHOICE, "我要退货", "return"),
        (CHOICE, "退货标签", "label"),
        (CHOICE, "不要退货，要换货", "swap"),
        (CHOICE, "退货或者换货", None),
        (CHOICE, "3", "swap"),
        (CHOICE, "第２个", "label"),
        (CHOICE, "the second one", "label"),
        (CHOICE, "4", None),
        (CHOICE, "An exchange, please", "swap"),
        (CHOICE, "exchanged", None),
        (CHOICE, "换貨", "swap"),
        (NUMBER, "３ 件", "3"),
        (NUMBER, "十二", "12"),
        (NUMBER, "two", "2"),
        (NUMBER, "1,200", "1200"),
        (NUMBER, "3万", "30000"),
        (NUMBER, "2.5", None),
        (NUMBER, "0", None),
        (NUMBER, "2 or 3", None),
        (NUMBER, "many", None),
        (CODE, "验证码是１２３４５６。", "123456"),
        (CODE, "1234567", None),
        (CODE, "123456 and 654321", None),
        (CODE, "123456, again 123456", "123456"),
    ],
)
def test_a_field_is_read_where_a_message_says_one_thing(field: FieldSettings, text: str, found: str | None) -> None:
    assert value_in(field, text, TODAY, "zh") == found
