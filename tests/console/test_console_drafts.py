"""What a person puts together for a row: whatever is chosen, spans stay what training takes, and the page shows the text as it is."""

from __future__ import annotations

import re
from html import unescape

from hypothesis import given, settings
from hypothesis import strategies as st

from noria.console.pages.data_drafts import Several, Spans, marked_html
from noria.tasks.task import task_for

TEXTS = st.text(st.sampled_from("张三在北京 \r\n\t<b>&amp; Ann😀é"), max_size=24)
PLACES = st.tuples(st.integers(-2, 30), st.integers(-2, 30))
LABELS = ("人名", "地名", '<i "x">')


@settings(max_examples=120, deadline=None)
@given(TEXTS, st.lists(st.tuples(st.booleans(), PLACES, st.sampled_from(LABELS)), max_size=9))
def test_spans_are_those_that_training_takes_whatever_was_chosen(
    text: str, done: list[tuple[bool, tuple[int, int], str]]
) -> None:
    draft = Spans(text, [])
    for put, at, label in done:
        before = draft.value
        if not put:
            draft.drop(at)
            assert all(one in before for one in draft.value)
            assert not any(one["start"] <= at[0] < one["end"] for one in draft.value)
            continue
        under = text[max(0, at[0]) : max(0, at[1])].strip()
        assert draft.put(label, at) == bool(under)
        if under:
            mine = [one for one in draft.value if one not in before] or [one for one in draft.value if one in before]
            assert (under, label) in [(text[one["start"] : one["end"]], one["label"]) for one in mine]
        else:
            assert draft.value is before
    if text.strip():
        assert task_for("tag").check({"text": text, "spans": draft.value})["spans"] == draft.value
    html = marked_html(text, draft.value, LABELS)
    assert unescape(re.sub(r"<[^>]*>", "", html.replace("&#13;", "\x00"))).replace("\x00", "\r") == text
    assert html.count("<mark ") == len(draft.value) == len(draft.parts())


@given(st.lists(st.sampled_from(LABELS), max_size=9))
def test_a_label_that_is_pressed_twice_is_off_again(pressed: list[str]) -> None:
    draft = Several([])
    for label in pressed:
        draft.put(label)
    assert sorted(draft.value) == sorted(label for label in LABELS if pressed.count(label) % 2)
    held = draft.value
    draft.drop()
    assert draft.value == held[:-1]
