"""Customer service on any list of questions: what is read, who is answered, asked back, handed over or merely greeted."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from noria.apps.support.conversation import Conversation
from noria.apps.support.courtesies import chosen, courtesy, question_in, wants_person
from noria.apps.support.desk import Desk
from noria.apps.support.faq import BUNDLED_OUTSIDE, Faq, read_faq
from noria.apps.support.opening import open_desk
from noria.apps.support.plain import plain, symbols
from noria.apps.support.replies import Reply
from noria.core.errors import InputError, NoriaError
from noria.text.script import has_han

CASES = Path(__file__).parent / "inputs" / "ship-grow"
Embed = Callable[[Sequence[str]], "asyncio.Future[np.ndarray]"]


@pytest.fixture(scope="module")
def embed(e5_full: Path) -> Iterator[Embed]:
    """The bundled multilingual encoder; every text is embedded once."""
    from noria.infer.choose import open_engine
    from noria.infer.engine import answer

    engine = open_engine(e5_full)
    seen: dict[str, np.ndarray] = {}

    async def embed(texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in seen]
        for start in range(0, len(new), 64):
            part = new[start : start + 64]
            seen.update(zip(part, (np.array(one["embedding"]) for one in answer(engine, part)), strict=True))
        return np.array([seen[text] for text in texts])

    yield embed  # type: ignore[misc]
    engine.close()


def desk_of(faq: Faq, embed: Embed) -> Desk:
    return asyncio.run(open_desk(faq, embed))  # type: ignore[arg-type]


def ask(desk: Desk, text: str, embed: Embed) -> Reply:
    return asyncio.run(desk.ask(text, embed))  # type: ignore[arg-type]


def written(tmp_path: Path, rows: Sequence[dict[str, object]], name: str = "faq.jsonl") -> Path:
    file = tmp_path / name
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


# What is read


@pytest.mark.parametrize(
    ("name", "entries", "languages"),
    [
        ("faq-near.jsonl", 5, ("zh", "en")),
        ("faq-zh-only.jsonl", 2, ("zh",)),
        ("faq-u2028.jsonl", 2, ("zh", "en")),
        ("faq-bom.jsonl", 5, ("zh", "en")),
    ],
)
def test_a_list_is_read_whole_whatever_its_language_and_line_ends(
    name: str, entries: int, languages: tuple[str]
) -> None:
    faq = read_faq(CASES / name)
    assert (len(faq.entries), faq.languages) == (entries, languages)
    assert {row.language for row in faq.outside} == {"zh", "en"}, "questions outside are always there"


def test_a_separator_within_an_answer_stays() -> None:
    assert read_faq(CASES / "faq-u2028.jsonl").entries[0].answer("zh") == "七天内\u2028可退"


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("a.csv", "问题,答案\n怎么退货？,七天内可退\n如何退货,七天内可退\n保修多久|质保期多长,一年\n", "utf-8-sig"),
        ("b.csv", '编号;问题;答案\nr;怎么退货？;七天内可退\nr;如何退货;\nw;"保修多久\n质保期多长";一年\n', "gb18030"),
        (
            "c.tsv",
            "Question\tAnswer\nHow do I return it?\tWithin 7 days\nCan I send it back?\tWithin 7 days\nHow long is the warranty?|Warranty period\tOne year\n",
            "utf-16",
        ),
        (
            "d.jsonl",
            '{"question": ["怎么退货？", "如何退货"], "answer": "七天内可退"}\n\n{"问题": "保修多久", "相似问法": ["质保期多长"], "答案": "一年"}\n',
            "utf-8",
        ),
        (
            "e.json",
            '[{"questions": {"zh": ["怎么退货？", "如何退货"]}, "answer": {"zh": "七天内可退"}}, {"question": "保修多久|质保期多长", "answer": "一年"}]',
            "utf-8",
        ),
    ],
)
def test_every_form_of_a_list_gives_the_same_entries(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    faq = read_faq(tmp_path / name)
    assert [len(list(entry.known())) for entry in faq.entries] == [2, 2]
    assert len(faq.languages) == 1


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [
                {"id": "a", "question": "怎么退货", "answer": "七天"},
                {"id": "b", "question": "怎麼退貨？", "answer": "八天"},
            ],
            r"under a \(line 1\) and b \(line 2\)",
        ),
        (
            [{"question": "How do I return it?", "answer": "x"}, {"question": "how do i RETURN it", "answer": "y"}],
            r"line-1 \(line 1\) and line-2 \(line 2\)",
        ),
        (
            [{"id": "a", "question": "q", "answer": "x"}, {"id": "a", "question": "r", "answer": "y"}],
            "another answer than on line 1",
        ),
        ([{"id": "a", "question": "", "answer": "x"}], "needs a question"),
        ([{"id": "a", "question": "x"}], "needs an answer"),
        ([{"id": "a", "questions": {"topic": ["Wie?"]}, "answer": {"de": "So."}}], "unknown language"),
        ([], "empty|holds no question"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(
    tmp_path: Path, rows: list[dict[str, object]], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        read_faq(written(tmp_path, rows))


def test_near_twins_repeats_and_unused_fields_are_told(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "question": ["订单怎么退款", "订单怎么退款？"], "answer": "七天", "topic": "x"},
        {"id": "b", "question": "订单怎么付款", "answer": "支付宝"},
    ]
    notes = " ".join(read_faq(written(tmp_path, rows)).notes)
    assert (
        re.search(r"nearly the same: '订单怎么退款' of a \(line 1\) and '订单怎么付款' of b \(line 2\)", notes) is None
    )  # 5 of 6
    assert "1 questions repeat" in notes
    assert "'topic' of 1 rows is not used" in notes
    assert "'怎么学 C#？' of cs (line 2) and '怎么学 C？' of c (line 3)" in " ".join(
        read_faq(CASES / "faq-near.jsonl").notes
    )


def test_a_question_both_answered_and_handed_over_is_refused(tmp_path: Path) -> None:
    outside = written(tmp_path, [{"text": "怎么退款？"}], "outside.jsonl")
    with pytest.raises(InputError, match=r"entry 'a' \(line 1\) answers it"):
        read_faq(CASES / "faq-zh-only.jsonl", outside)


# Symbols


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("怎么学 C++？", "怎么学 C？"),
        ("C#", "C"),
        ("Learn .NET", "Learn NET"),
        ("R&D tax", "R D tax"),
        ("A+ 评级", "A 评级"),
        ("5G 套餐", "4G 套餐"),
        ("涨了 5%", "涨了 5"),
        ("$100", "€100"),
        ("订单 >100 元", "订单 <100 元"),
        ("-5 度", "5 度"),
        ("v1.2", "v12"),
        ("A/B 测试", "AB 测试"),
    ],
)
def test_symbols_that_mean_something_tell_questions_apart(one: str, other: str) -> None:
    assert plain(one) != plain(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("怎么学 Ｃ＋＋？", "怎么学C++"),
        ("怎么退货？", "怎麼退貨!"),
        ("How do I return it?", "how do i  return it ..."),
        ("怎么退款😊", "“怎么退款”～"),
        ("订单 ＞ 100 元", "订单>100元"),
        ("80 %", "80%"),
        ("\ufeff怎么\u200b退款", "怎么退款。"),
        ("Node.js?", "NODE.JS"),
    ],
)
def test_width_case_script_and_marks_of_a_sentence_do_not(one: str, other: str) -> None:
    assert plain(one) == plain(other)
    assert symbols(one) == symbols(other)


# People


WISHES = (
    "转人工",
    "人工",
    "人工客服",
    "我要人工",
    "转接人工服务",
    "请帮我转人工客服，谢谢",
    "能不能转人工",
    "给我转人工！",
    "我想找真人客服",
    "有人工客服吗",
    "找个活人来说话",
    "不要机器人",
    "别让机器人回答了",
    "我要和真人聊",
    "怎么转人工",
    "退款一直没到，我要找人工客服",
    "我需要人工",
    "呼叫人工坐席",
    "叫你们经理来",
    "联系在线客服",
    "人工人工！",
    "Can I talk to a person?",
    "I want to talk to a human",
    "human please",
    "agent",
    "speak to a representative",
    "Let me speak to someone",
    "Transfer me to an agent",
    "I need a real person",
    "connect me with customer service",
    "live agent",
    "Operator!",
    "I'd like to speak with a human about my refund",
    "can you put me through to a supervisor please",
    "i need to talk to someone on the phone",
    "I don't want to talk to a bot",
    "My card is blocked. Please let me talk to somebody.",
    "is there someone I can talk to?",
    "give me a human",
    "Get me a manager now",
    "no more bots",
    "客服",
    "在线客服",
    "跟人说话",
    "给我个活人",
    "I need help from a human",
    "get me a rep",
    "put me through to support",
)
QUESTIONS = (
    "X 是人工智能吗？",
    "需要人工审核吗？",
    "真人秀",
    "人工费多少钱",
    "人工智能客服怎么收费",
    "真人秀几点播",
    "人工降雨是什么原理",
    "提现是人工审核还是自动的",
    "人工翻译一千字多少钱",
    "真人 CS 门票",
    "人工湖在哪",
    "人工客服几点上班",
    "机器人怎么退货",
    "人工授精费用",
    "转账要人工处理多久",
    "手工和人工的区别",
    "人工呼吸怎么做",
    "How do I become an insurance agent?",
    "Where is human resources?",
    "What does a travel agent cost?",
    "Is the human eye better than a camera?",
    "Who is the operator of this site?",
    "Can someone else drop off my luggage?",
    "How do I report a person?",
    "Does your robot vacuum work on carpets?",
    "put smooth operator by sade on my playlist",
    "what is the human resources phone number",
    "transfer money to a person in France",
    "Can I send money to another person?",
    "agent commission rates",
    "What is a user agent?",
    "do you want 16 digit is it compulsory in previous issue another agent ask only last 4 digit number",
)


@pytest.mark.parametrize("text", WISHES)
def test_who_asks_for_a_person_is_understood(text: str) -> None:
    assert wants_person(text)


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_word_inside_a_word_calls_no_one(text: str) -> None:
    assert not wants_person(text)


def test_hardly_any_real_question_is_a_wish_for_a_person_or_a_courtesy(shared_data: Path) -> None:
    """14,000 real questions to a bank and an assistant, and 500 dialogues on travel."""
    texts: list[tuple[str, str]] = []
    for file in ("banking77/test", "banking77/train", "clinc150/val"):
        for line in (shared_data / "intent" / f"{file}.jsonl").read_text(encoding="utf-8").split("\n"):
            if line:
                row = json.loads(line)
                texts.append((row["text"], row["label"]))
    chat = {
        "greeting",
        "thank_you",
        "goodbye",
        "are_you_a_bot",
        "how_old_are_you",
        "what_is_your_name",
        "yes",
        "no",
        "maybe",
    }
    business = [text for text, label in texts if label not in chat]
    assert len(business) > 13_000
    wrong = [text for text in business if wants_person(text) or courtesy(text)]
    assert len(wrong) <= 15, wrong
    friendly = [text for text, label in texts if label in ("thank_you", "goodbye")]
    assert sum(courtesy(text) is not None for text in friendly) >= 0.4 * len(friendly)
    turns = [
        turn["text"]
        for line in (shared_data / "dialogue" / "crosswoz" / "val.jsonl").read_text(encoding="utf-8").split("\n")
        if line
        for turn in json.loads(line)["turns"]
        if turn["speaker"] == "user"
    ]
    assert not [text for text in turns if wants_person(text)]
    assert not [text for text in turns if courtesy(text) and re.search("[？?]", text)]
    assert sum(courtesy(text) is not None for text in turns) > 300


# Courtesies


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("你好", "greeting"),
        ("您好！在吗？", "greeting"),
        ("哈喽", "greeting"),
        ("Hi there!", "greeting"),
        ("Good morning", "greeting"),
        ("谢谢", "thanks"),
        ("好的，谢谢！", "thanks"),
        ("非常感谢您的帮助", "thanks"),
        ("Thanks a lot!", "thanks"),
        ("ok thank you very much", "thanks"),
        ("再见", "goodbye"),
        ("谢谢，再见", "goodbye"),
        ("Bye!", "goodbye"),
        ("Thanks, bye.", "goodbye"),
        ("thank you so much bye", "goodbye"),
        ("Have a nice day", "goodbye"),
        ("你是机器人吗？", "identity"),
        ("Are you a real person?", "identity"),
        ("辛苦了", "thanks"),
        ("OK，我清楚了，非常感谢！", "thanks"),
        ("nice", "thanks"),
        ("👍", "thanks"),
        ("🙏🙏", "thanks"),
        ("解决了", "thanks"),
        ("it works now", "thanks"),
        ("886", "goodbye"),
    ],
)
def test_courtesies_are_known(text: str, kind: str) -> None:
    assert courtesy(text) == kind


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("谢谢，再问一下退货怎么办", "再问一下退货怎么办"),
        ("你好，怎么退货？", "怎么退货？"),
        ("你好请问怎么退货", "请问怎么退货"),
        ("Hello! How do I return it? Thanks.", "How do I return it?"),
        ("Thanks, one more thing: what does it cost", "one more thing: what does it cost"),
        ("Hello Kitty 多少钱", "Hello Kitty 多少钱"),
        ("谢谢参与活动怎么领奖", "谢谢参与活动怎么领奖"),
        ("你好看的衣服有吗", "你好看的衣服有吗"),
    ],
)
def test_a_question_behind_a_courtesy_is_a_question(text: str, question: str) -> None:
    assert courtesy(text) is None
    assert question_in(text) == question


# "Which one?"


OPTIONS = ("怎么退货？", "怎么退款到银行卡？", "Where are refunds sent?")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("２", 1),
        ("二", 1),
        ("第一个", 0),
        ("选1", 0),
        ("1、", 0),
        ("是的，谢谢", 0),
        ("the first one", 0),
        ("（2）", 1),
        ("②", 1),
        ("第 2 个", 1),
        ("选第二个吧", 1),
        ("1.", 0),
        ("#1", 0),
        ("2号", 1),
        ("No. 2", 1),
        ("No.3", 2),
        ("option 2", 1),
        ("number two, please", 1),
        ("The 2nd", 1),
        ("second", 1),
        ("最后一个", 2),
        ("the last one", 2),
        ("我要第三个，谢谢", 2),
        ("就第一个吧", 0),
        ("yes", 0),
        ("Yes, thanks!", 0),
        ("对，第二个", 1),
        ("yes, the second one", 1),
        ("Ⅱ", 1),
        ("貳", 1),
        ("怎么退款到银行卡", 1),
        ("银行卡", 1),
        ("退款那个", 1),
        ("the one about refunds", 2),
        ("I meant where refunds are sent", 2),
        ("都不是", "none"),
        ("哪个都不是", "none"),
        ("不是", "none"),
        ("没有", "none"),
        ("neither", "none"),
        ("None of the above.", "none"),
        ("no", "none"),
        ("No, thanks", "none"),
        ("9", "unclear"),
        ("第五个", "unclear"),
        ("1和2", "unclear"),
        ("both", "unclear"),
        ("都要", "unclear"),
        ("0", "unclear"),
        ("2️⃣", 1),
        ("第三题", 2),
        ("倒数第二个", 1),
        ("最下面那个", 2),
        ("上面的", 0),
        ("中间那个", 1),
        ("嗯，2", 1),
        ("嗯 2", 1),
        ("就这个", 0),
        ("算了", "none"),
        ("never mind", "none"),
        ("不要第一个，要第二个", 1),
        ("the second, not the first", 1),
        ("not the first", "unclear"),
        ("1,2", "unclear"),
        ("2、3", "unclear"),
        ("1/2", "unclear"),
        ("都行", "unclear"),
        ("不知道", "unclear"),
        ("what?", "unclear"),
        ("不是，怎么换货？", "怎么换货？"),
        ("No, how do I cancel", "how do I cancel"),
        ("……不是，怎么换货？", "怎么换货？"),
        ("不是﹐怎么换货？", "怎么换货?"),
        ("今天天气怎么样", None),
        ("怎么换货？", None),
        ("2 天能到吗", None),
        ("一共多少钱", None),
    ],
)
def test_which_of_the_offered_questions_was_meant(text: str, meant: int | str | None) -> None:
    assert chosen(text, OPTIONS) == meant


def test_asked_back_twice_and_still_unclear_a_person_comes(embed: Embed) -> None:
    desk = desk_of(read_faq(CASES / "faq-zh-only.jsonl"), embed)
    offered = tuple(entry.id for entry in desk.faq.entries[:2])
    start = Conversation(question="?", language="zh", offered=offered)

    def said(text: str, before: Conversation) -> tuple[Reply, Conversation]:
        return asyncio.run(desk.turn(text, embed, before))  # type: ignore[arg-type]

    reply, after = said("9", start)
    assert (reply.action, tuple(choice.entry for choice in reply.choices)) == ("confirm", offered)
    assert "1 到 2" in reply.text
    assert said("9", after)[0].action == "handover"
    assert said("第二个", start)[0].entry == offered[1]


# Answers


def test_a_refused_place_of_two_leaves_the_other() -> None:
    assert [chosen("不是第一个", OPTIONS[:2]), chosen("not the second", OPTIONS[:2])] == [1, 0]


def test_words_run_together_are_the_same_question_and_a_sign_has_no_language(tmp_path: Path, embed: Embed) -> None:
    rows = [
        {"question": f"iPhone 15{kind} 多少钱？", "answer": price} for kind, price in (("", "5999"), (" Pro", "7999"))
    ]
    desk = desk_of(read_faq(written(tmp_path, rows)), embed)
    assert [ask(desk, text, embed).text for text in ("iPhone15多少钱", "iphone15pro 多少钱")] == ["5999", "7999"]
    assert {ask(desk, text, embed).language for text in ("？", "12345", "👍")} == {"zh"}


def test_near_questions_are_told_apart_by_their_symbols(embed: Embed) -> None:
    desk = desk_of(read_faq(CASES / "faq-near.jsonl"), embed)
    for text, entry in (
        ("怎么学 C++？", "cpp"),
        ("怎么学C#", "cs"),
        ("怎么学 C", "c"),
        ("怎么学习 C++ 呢", "cpp"),
        ("How can I learn C#", "cs"),
        ("订单 > 100 元怎么退款？", "big"),
        ("订单<100元退款方法", "small"),
    ):
        reply = ask(desk, text, embed)
        assert reply.choices, text
        assert reply.choices[0].entry == entry, text
    assert ask(desk, "怎么学 C++ 呢", embed).confidence <= (10 + 1) / (10 + 2)


SMALL = {
    "warranty": [("保修多久？", "整机保修一年。")],
    "shop": [
        ("怎么退货？", "签收后七天内可以退货。"),
        ("什么时候发货？", "下单后 24 小时内发货。"),
        ("可以开发票吗？", "可以。在订单页申请。"),
        ("支持哪些付款方式？", "支付宝、微信和银行卡。"),
        ("怎么修改收货地址？", "发货前在订单页修改。"),
        ("会员有什么优惠？", "会员全场九五折。"),
    ],
    "english": [
        ("How do I reset my password?", "Use the link on the sign-in page."),
        ("How do I cancel my order?", "Open the order and press cancel."),
    ],
    "generic": [
        ("怎么退货？", "请联系客服。"),
        ("怎么换货？", "请看说明书第 2 页。"),
        ("运费谁出？", "请看说明书第 3 页。"),
    ],
}
FAR = (
    "今天天气怎么样",
    "What is the weather like today?",
    "给我讲个笑话",
    "Who won the match last night?",
    "红烧肉怎么做",
    "How do I cook rice?",
)


@pytest.mark.parametrize("name", SMALL)
def test_a_small_list_answers_its_own_and_hands_over_what_is_far(tmp_path: Path, embed: Embed, name: str) -> None:
    faq = read_faq(written(tmp_path, [{"question": question, "answer": text} for question, text in SMALL[name]]))
    desk = desk_of(faq, embed)
    for text in FAR:
        assert ask(desk, text, embed).action == "handover", text
    for question, text in SMALL[name]:
        reply = ask(desk, question, embed)
        assert (reply.action, reply.text) == ("answer", text)
    asked = ["保修期是几年", "我要退货", "几天能发货", "发票怎么开", "forgot my password", "I want to cancel an order"]
    for text in asked:
        reply = ask(desk, text, embed)
        assert reply.confidence <= (len(SMALL[name]) + 1) / (len(SMALL[name]) + 2)


def test_an_answer_that_says_only_no_comes_with_its_question(tmp_path: Path, embed: Embed) -> None:
    rows = [
        {
            "id": "gpu",
            "question": ["Do I need a GPU?", "Can I run it without a graphics card?"],
            "answer": "No. CPUs do.",
        }
    ]
    desk = desk_of(read_faq(written(tmp_path, rows)), embed)
    assert desk.answer("gpu", "en", asked="Do I need a GPU").text == "No. CPUs do."
    assert ask(desk, "Can I run it without a graphics card?", embed).text == "“Do I need a GPU?” No. CPUs do."
    bundled = read_faq()
    polar = re.compile(r"(yes|no)\b[,.]|(可以|不可以|有|没有|需要|不需要|是|不是|能|不能)[，。]", re.IGNORECASE)
    assert not [entry.id for entry in bundled.entries for text in entry.answers.values() if polar.match(text)]


def test_what_the_desk_is_asked_about_itself_in_the_demo(embed: Embed) -> None:
    """Answered rightly, asked back or handed over: never a wrong answer, and no person called by a word inside a word."""
    desk = desk_of(read_faq(), embed)
    reply = ask(desk, "Can I run it without a GPU?", embed)
    assert reply.choices
    assert reply.choices[0].entry == "gpu"
    assert not reply.text.startswith("No.")
    for text in ("X 是人工智能吗？", "需要人工审核吗？", "真人秀"):
        reply = ask(desk, text, embed)
        assert "好的，已经为您转给人工" not in reply.text
        assert reply.action != "answer"
    for text in FAR:
        assert ask(desk, text, embed).action != "answer"


GERMAN = [
    ("Wie kann ich einen Artikel zurückgeben?", "Innerhalb von 14 Tagen."),
    ("Wie lange dauert der Versand?", "Zwei bis drei Tage."),
    ("Welche Zahlungsarten gibt es?", "Karte und Lastschrift."),
    ("Wie ändere ich meine Lieferadresse?", "Im Kundenkonto, vor dem Versand."),
]


def test_a_list_of_another_language_is_a_desk_like_any_other(tmp_path: Path, embed: Embed) -> None:
    faq = read_faq(written(tmp_path, [{"question": question, "answer": text} for question, text in GERMAN]))
    assert faq.languages == ("de",)
    desk = desk_of(faq, embed)
    for question, text in GERMAN:
        assert ask(desk, question.upper(), embed).text == text
    assert {ask(desk, text, embed).action for text in FAR} == {"handover"}
    for text in ("Wie wird das Wetter morgen?", "Wer hat das Spiel gewonnen?"):
        assert ask(desk, text, embed).action != "answer", text
    for text, at in (
        ("Ich möchte etwas zurückschicken", 0),
        ("Wann kommt mein Paket an?", 1),
        ("Kann ich mit Karte zahlen?", 2),
    ):
        reply = ask(desk, text, embed)
        assert reply.action in ("answer", "confirm", "handover")
        if reply.choices:
            assert faq.entries[at].id in [choice.entry for choice in reply.choices]


@pytest.mark.parametrize("name", ["shop", "english"])
def test_with_a_budget_what_is_known_is_answered_and_little_else_of_a_small_list(
    tmp_path: Path, embed: Embed, name: str
) -> None:
    faq = read_faq(written(tmp_path, [{"question": question, "answer": text} for question, text in SMALL[name]]))
    desk = asyncio.run(open_desk(faq, embed, wrong=0.01))  # type: ignore[arg-type]
    assert any(faq.languages[0] in note and "1.0 %" in note.replace("1.0%", "1.0 %") for note in desk.notes)
    for question, text in SMALL[name]:
        assert ask(desk, question, embed).text == text
    assert not [text for text in FAR if ask(desk, text, embed).action == "answer"]


# The kind: real questions of other domains


def _domains(shared_data: Path) -> dict[str, dict[str, list[str]]]:
    def rows(file: str) -> list[dict[str, str]]:
        text = (shared_data / f"{file}.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.split("\n") if line]

    found: dict[str, dict[str, list[str]]] = {"banking": {}, "assistant": {}, "travel": {}}
    for name, file in (("banking", "intent/banking77/train"), ("assistant", "intent/clinc150/train")):
        for row in rows(file):
            if row["label"] != "oos":
                found[name].setdefault(row["label"], []).append(row["text"].strip())
    facets = {
        "address": "地址",
        "phone": "电话",
        "rating": "评分",
        "ticket": "门票",
        "hours": "游玩时间",
        "dishes": "推荐菜",
        "food": "周边.*餐馆",
        "sights": "周边.*景点",
        "hotels": "周边.*酒店",
        "pickup": "接机|接站",
        "wake": "叫醒",
    }
    for dialogue in rows("dialogue/crosswoz/val"):
        for turn in dialogue["turns"]:  # type: ignore[union-attr]
            text = turn["text"]  # type: ignore[index]
            hits = [name for name, words in facets.items() if re.search(words, text)]
            if turn["speaker"] == "user" and len(text) < 30 and len(hits) == 1 and not courtesy(text):  # type: ignore[index]
                found["travel"].setdefault(hits[0], []).append(text)
    return {name: {key: list(dict.fromkeys(texts)) for key, texts in groups.items()} for name, groups in found.items()}


def test_lists_of_any_size_keep_their_promise_on_real_questions(
    tmp_path: Path, embed: Embed, shared_data: Path
) -> None:
    """Lists of 1, 2, 6 and 30 entries from real questions of three domains, with one or four phrasings an entry.

    Promised: an answer is given where it costs less than asking back, that is above 6/7; of questions outside at most 3 % are
    answered at all.
    """
    outside = [
        json.loads(line)["text"]
        for line in (shared_data / "intent" / "clinc150" / "oos_test.jsonl")
        .read_text(encoding="utf-8")
        .split("\n")[:40]
        if line
    ]
    outside += [
        row["text"]
        for row in map(json.loads, BUNDLED_OUTSIDE.read_text(encoding="utf-8").split("\n")[:-1])
        if row["split"] == "test"
    ]
    answered = right = asked = wrong_outside = probed = 0
    sure: list[tuple[float, bool]] = []
    for domain, groups in _domains(shared_data).items():
        for count, forms in ((1, 1), (2, 1), (6, 1), (6, 4), (30, 4)):
            chooser = random.Random(f"{domain} {count} {forms}")
            names = [name for name in sorted(groups) if len(groups[name]) >= 8]
            names = chooser.sample(names, min(count, len(names)))
            picked = {name: chooser.sample(groups[name], 6) for name in names}
            rows = [{"id": name, "question": picked[name][:forms], "answer": f"见 {name}。"} for name in names]
            try:
                faq = read_faq(written(tmp_path, rows))
            except NoriaError:
                continue  # a real set holds one question under two labels
            desk = desk_of(faq, embed)
            chinese = has_han(rows[0]["question"][0])
            asking = [text for name in names[:12] for text in picked[name][4:]]
            asyncio.run(embed([question_in(text) for text in (*asking, *outside)]))  # type: ignore[arg-type]  # in few batches
            for name in names[:12]:
                for text in picked[name][4:]:
                    reply = ask(desk, text, embed)
                    asked += 1
                    hit = bool(reply.choices) and reply.choices[0].entry == name
                    answered += reply.action == "answer"
                    right += reply.action == "answer" and hit
                    if reply.choices:
                        sure.append((reply.confidence, hit))
            for text in outside:
                if has_han(text) == chinese:
                    probed += 1
                    wrong_outside += ask(desk, text, embed).action == "answer"
    assert probed > 500
    assert asked > 100
    assert wrong_outside <= 0.03 * probed, (wrong_outside, probed)
    assert right >= 6 / 7 * answered, (right, answered)
    assert answered >= 0.1 * asked, (answered, asked)
    chance = float(np.mean([one for one, _ in sure]))
    came = float(np.mean([hit for _, hit in sure]))
    assert came > chance - 0.1, (chance, came)  # careful it may be, and is; never sure of what does not come
