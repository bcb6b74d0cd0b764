"""Labels that only look different are one, whatever nobody sees stands in them; what was joined is told."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from noria.text.labels import Joined, counted, one_label, parts_of, same_label, separator_of

NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=8).filter(
    lambda name: one_label(name) == name
)
UNSEEN = st.sampled_from(["", " ", "\u3000", "\t", "\u200b", "\ufeff", "\u2060", "\u00a0", "\u00ad", "\r\n", "\u200e"])


@given(NAMES, UNSEEN, UNSEEN)
def test_what_nobody_sees_makes_no_other_label(name: str, before: str, after: str) -> None:
    assert one_label(before + name + after) == name
    assert one_label(before + unicodedata.normalize("NFD", name) + after) == name


@given(st.text())
def test_a_label_has_one_name_however_often_it_is_asked(text: str) -> None:
    name = one_label(text)
    assert one_label(name) == name


@given(st.integers(-1000, 1000))
def test_a_number_is_one_label(number: int) -> None:
    ways = [number, float(number), str(number), f"{number}.0", f" {number}.00 "]
    assert {one_label(way) for way in ways} == {str(number)}


def test_truths_and_absences() -> None:
    assert [one_label(value) for value in (True, "True", "TRUE", False, None, float("nan"), "  ")] == [
        "true",
        "true",
        "true",
        "false",
        None,
        None,
        "",
    ]
    assert same_label(True) == same_label(1.0) == same_label("1")
    assert one_label("Good") != one_label("good")
    assert one_label("1.10") != one_label("1.1"), "numbers of sections and versions are no decimals"


def test_a_model_keeps_its_own_names() -> None:
    joined = Joined.for_labels(["好评 ", "1.0"])
    assert [joined.take(value) for value in ("好评", 1, "other")] == ["好评 ", "1.0", "other"]


def test_what_was_joined_is_told_with_what_nobody_sees_made_visible() -> None:
    joined = Joined()
    for value in ("好评", "好评\u200b", "e\u0301", "\u00e9", "Good", "good"):
        joined.take(value)
    lines = joined.lines()
    assert lines[0] == "joined: '好评' (1) and '好评\\u200b' (1) are one label, '好评'"
    assert "(decomposed)" in lines[1]
    assert "differ by case alone are kept apart: 'Good' and 'good'" in lines[2]


def test_true_is_one_only_where_nothing_else_is_meant() -> None:
    binary, other = Joined(), Joined()
    for value in (1, 0, True):
        binary.take(value)
    for value in (1, 2, True):
        other.take(value)
    assert binary.truths() == {"true": "1", "false": "0"}
    assert other.truths() == {}


def test_where_cells_are_cut() -> None:
    assert separator_of(["a|b", "a"]) == "|"
    assert separator_of(["a,b", "c"]) == ","
    assert separator_of(["a, b"] * 3 + ["c"] * 3) == "", "it always comes whole"
    assert separator_of(["a, b"] * 3 + ["b"] * 3) == ",", "a part of it stands alone"
    assert parts_of("物流、 价格；；x", "、；") == ["物流", "价格", "x"]


def test_counts_name_the_rare() -> None:
    assert counted(["a"] * 9 + ["b"] * 6 + ["c"]) == "a 9, b 6; rare: c 1"
    assert counted(["a", "b"]) == "a 1, b 1"
    assert counted(str(number) for number in range(30) for _ in range(9)).endswith("and 20 more")
