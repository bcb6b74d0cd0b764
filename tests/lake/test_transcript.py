"""What was said: masked before it is stored, spans where they stood, nothing kept that is no part of an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import InputError
from noria.lake.transcript import LONGEST, Correction, Exchange, moved, read_exchange
from noria.text.personal_data import mask

TEXT = "电话13800138000，找王芳；邮箱 wang@mail.cn，或李红"


def span(word: str, label: str = "person", text: str = TEXT) -> dict[str, object]:
    start = text.index(word)
    return {"start": start, "end": start + len(word), "label": label}


def test_personal_data_is_masked_and_spans_move_along():
    answer = {"spans": [{**span("王芳"), "text": "王芳", "score": 0.9}, span("李红")], "scores": [1, 2]}
    exchange = Exchange("tag", [TEXT], [answer]).masked(mask)
    assert exchange.input == ["电话<PHONE>，找王芳；邮箱 <EMAIL>，或李红"]
    assert [exchange.input[0][one["start"] : one["end"]] for one in exchange.output[0]["spans"]] == ["王芳", "李红"]
    assert set(exchange.output[0]) == {"spans"}
    assert read_exchange(exchange.text()) == exchange


def test_a_span_that_is_masked_whole_stays_and_one_cut_through_takes_the_answer_along():
    whole = Exchange("tag", [TEXT], [{"spans": [span("13800138000", "phone")]}]).masked(mask)
    place = whole.output[0]["spans"][0]
    assert whole.input[0][place["start"] : place["end"]] == "<PHONE>"
    cut = Exchange("tag", [TEXT], [{"spans": [span("0138000，找", "x"), span("王芳")]}]).masked(mask)
    assert cut.output == [{}]


def test_rows_conversations_and_written_answers_are_masked_throughout():
    turns = {"messages": [{"role": "user", "content": "我的手机是13800138000"}]}
    exchange = Exchange("chat", [turns], [{"text": "请打13900139000", "embedding": [0.1]}]).masked(mask)
    assert exchange.input[0]["messages"][0] == {"role": "user", "content": "我的手机是<PHONE>"}
    assert exchange.output == [{"text": "请打<PHONE>"}]
    assert read_exchange(Correction(2, "写信到 a@b.cn").masked(mask).text()) == Correction(2, "写信到 <EMAIL>")


@given(st.text(max_size=30), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=4))
def test_a_text_without_personal_data_is_kept_as_it_is(text, pairs):
    clean, found = mask(text)
    spans = [{"start": min(pair), "end": max(pair), "label": "x"} for pair in pairs]
    exchange = Exchange("tag", [text], [{"spans": spans}]).masked(mask)
    assert exchange.input == [clean]
    if not found:
        assert exchange.output[0]["spans"] == spans
    assert moved(spans, None) == []


def test_what_is_too_long_is_not_kept_and_what_is_damaged_is_told():
    assert Exchange("classify", ["长" * LONGEST], [{"label": "a"}], [[]]).text() == ""
    for text in ("{", '{"task": "classify"}', '{"index": 0}', "[1]"):
        with pytest.raises(InputError, match="text cannot be read"):
            read_exchange(text)
