"""The desk with a knowledge base: rules first, then the list, then what a document says, then a person."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pytest

from noria.apps.support.conversation import START
from noria.apps.support.desk import Desk
from noria.apps.support.faq import Faq, read_faq
from noria.apps.support.knowledge.base import Knowledge
from noria.apps.support.knowledge.building import build
from noria.apps.support.opening import open_desk
from noria.apps.support.replies import Reply

HANDBOOK = """# Lamp handbook

## Warranty

The lamp has a warranty of 24 months. Water damage is not covered.

## 复位

长按按钮十秒，直到灯闪两次，所有设置即恢复为出厂状态。
"""


async def letters(texts: Sequence[str]) -> np.ndarray:
    """Embed by counts of letters: no model, and vectors that mean something."""
    rows = [
        [text.lower().count(letter) + 0.01 for letter in "abcdefghijklmnopqrstuvwxyz退货保修复位"] for text in texts
    ]
    return np.array(rows)


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory: pytest.TempPathFactory) -> Knowledge:
    folder = tmp_path_factory.mktemp("team")
    (folder / "lamp.md").write_text(HANDBOOK, encoding="utf-8")
    (folder / "copy").mkdir()
    (folder / "rules.csv").write_text("words,answer,handover\n投诉,,true\nopening hours,9 to 18.,\n", encoding="utf-8")
    (folder / "faq.csv").write_text("question,answer\nWhere is your shop?,In Lamp Street 3.\n", encoding="utf-8")
    build([folder], folder.parent / "kb")
    return Knowledge.open(folder.parent / "kb")


@pytest.fixture(scope="module", params=["list", "no list"])
def desk(request: pytest.FixtureRequest, knowledge: Knowledge) -> Desk:
    assert knowledge.faq is not None
    faq = read_faq(knowledge.faq) if request.param == "list" else Faq((), ())
    return asyncio.run(open_desk(faq, letters, knowledge=knowledge))


def ask(desk: Desk, text: str) -> Reply:
    return asyncio.run(desk.ask(text, letters))


@pytest.mark.parametrize(
    ("question", "action", "text"),
    [
        ("How long is the warranty of the lamp?", "answer", "The lamp has a warranty of 24 months."),
        ("怎样复位，恢复出厂设置？", "answer", "长按按钮十秒"),
        ("我要投诉你们", "handover", ""),
        ("What are your opening hours?", "answer", "9 to 18."),
        ("可以开增值税专用发票吗？", "handover", ""),
        ("Can I pay with a cheque from abroad?", "handover", ""),
        ("talk to a person", "handover", ""),
        ("你好", "courtesy", ""),
    ],
)
def test_rules_then_documents_then_a_person(desk: Desk, question: str, action: str, text: str) -> None:
    reply = ask(desk, question)
    assert reply.action == action or (action == "handover" and desk.faq.entries and reply.action == "confirm")
    assert text in reply.text


def test_what_the_list_answers_no_document_does(knowledge: Knowledge) -> None:
    assert knowledge.faq is not None
    desk = asyncio.run(open_desk(read_faq(knowledge.faq), letters, knowledge=knowledge))
    reply = ask(desk, "Where is your shop?")
    assert (reply.text, reply.sources) == ("In Lamp Street 3.", ())


def test_a_quotation_says_where_it_stands(desk: Desk) -> None:
    reply = ask(desk, "How long is the warranty of the lamp?")
    (quote,) = reply.sources
    assert (quote.source, quote.section, quote.title) == ("lamp.md", "Lamp handbook > Warranty", "lamp")
    assert quote.text in reply.text
    assert quote.place in reply.text
    assert reply.confidence == quote.probability
    assert json.loads(json.dumps(asdict(reply)))["sources"][0]["start"] == quote.start


def test_a_follow_up_is_read_with_what_it_follows(knowledge: Knowledge) -> None:
    desk = asyncio.run(open_desk(Faq((), ()), letters, knowledge=knowledge))
    reply, after = asyncio.run(desk.turn("How long is the warranty of the lamp?", letters, START))
    assert reply.action == "answer"
    reply, after = asyncio.run(desk.turn("thanks!", letters, after))
    assert reply.action == "courtesy"
    reply, _ = asyncio.run(desk.turn("and water damage?", letters, after))
    assert reply.action == "answer"
    assert "Water damage is not covered." in reply.text
