"""Repairs of text: right for Chinese and English, and stable once done."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.make.corpus.clean import clean, is_page, strip_markup, tidy_spaces
from noria.make.corpus.settings import CleanSettings
from noria.text.script import narrow, simplified

PIECES = st.sampled_from(
    [
        "好",
        "，",
        "。",
        "　",
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "Ａ１",
        "ä½ ",
        "å¥½",
        "&amp;",
        "&lt;",
        "lt;",
        "<p>",
        "</p>",
        "<b>",
        "<",
        ">",
        "a",
        "é",
        "e\u0301",
        "\ufeff",
        "\u200b",
        "\x00",
        "\x1b[0m",
        "後",
        "裏",
        "乾",
        "“",
        "'",
        "\ue5e5",
        "<!--",
        "-->",
        "😀",
        "𠮷",
    ]
)
TEXTS = st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=60)


def test_mojibake_widths_and_controls() -> None:
    assert clean("schÃ¶n â€” fine") == "schön — fine"
    assert clean("价格１２３．５元，ＯＫ！") == "价格123．5元，OK！"
    assert clean("a\ue5e5b\u200bc\x00d\ufeff") == "abcd"
    assert clean("Cafe\u0301") == "Café"


def test_chinese_punctuation_and_quotes_are_left_alone() -> None:
    text = "他说：“好！”——真的？（是的）"
    assert clean(text) == text
    assert clean("It's “fine”, he said.") == "It's “fine”, he said."


def test_spaces_lines_and_indentation() -> None:
    assert (
        tidy_spaces("　　第一段  有  空格 \r\n\r\n\r\n\r\n　第二段\u2028第三段") == "第一段 有 空格\n\n第二段\n第三段"
    )
    assert tidy_spaces("def f():\n    return  1\n") == "def f():\n    return 1"


def test_pages_lose_their_markup_and_prose_about_it_does_not() -> None:
    page = "<html><head><style>p{}</style></head><body><p>你好 &amp; welcome</p><script>x()</script><p>World</p></body></html>"
    assert is_page(page)
    assert clean(page) == "你好 & welcome\n\nWorld"
    prose = "The tag <b> makes text bold; if a < b and b > c then nothing follows. 标签 <b> 用来加粗。" * 3
    assert not is_page(prose)
    assert clean(prose) == prose
    assert "<b>" not in clean(prose, CleanSettings(markup="strip"))
    assert clean(page, CleanSettings(markup="keep")) == page
    assert strip_markup("&quot;a&quot;") == '"a"'


def test_traditional_becomes_simplified_by_phrase_on_request_only() -> None:
    assert simplified("頭髮乾燥，皇后在後面") == "头发干燥，皇后在后面"
    assert clean("漢語") == "漢語"
    assert clean("漢語", CleanSettings(simplify=True)) == "汉语"


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_cleaning_a_clean_text_changes_nothing(text: str) -> None:
    for choice in (CleanSettings(), CleanSettings(markup="strip", simplify=True)):
        once = clean(text, choice)
        assert clean(once, choice) == once


@given(st.text())
def test_narrow_keeps_every_offset(text: str) -> None:
    assert len(narrow(text)) == len(text)


@pytest.mark.parametrize("piece", ["<!--", "<a ", "<!doctype", "&amp;", " ", "\n   ", "<p>", "　", "&#", "</"])
def test_hostile_repetition_takes_linear_time(piece: str) -> None:
    def seconds(times: int) -> float:
        text = "x" + piece * times + "y"
        started = time.process_time()
        clean(text, CleanSettings(markup="keep"))
        is_page(text)
        return time.process_time() - started

    seconds(100)
    assert seconds(40_000) < 40 * max(seconds(4_000), 0.005)  # linear is 10 times; quadratic is 100
