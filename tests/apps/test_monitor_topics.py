"""Discovered topics: the same id from day to day and over a restart, whatever the order of texts; words in both languages; bounded."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.apps.monitor.discovered import LEAST, Discovered
from noria.apps.monitor.grouping import flat, matched
from noria.apps.monitor.naming import names
from noria.apps.monitor.surge import Mention

START = datetime(2026, 11, 2, 8, tzinfo=UTC)
WIDTH, EACH, DAYS = 16, 8, 3
THEMES = 6
Text = tuple[Mention, list[float]]


def texts_of(day: int, theme: int, count: int = EACH) -> list[Text]:
    """Return texts of one day about one theme: vectors near to one axis."""
    made = []
    for number in range(count):
        noise = np.random.default_rng([day, theme, number]).normal(scale=0.04, size=WIDTH)
        vector = np.eye(WIDTH)[theme] + noise
        time = START + timedelta(days=day, minutes=10 * number + theme)
        mention = Mention(
            f"{day}-{theme}-{number}", time, "other", number == 0, 0.9, f"theme{theme} word", author=f"a{number}"
        )
        made.append((mention, (vector / np.linalg.norm(vector)).tolist()))
    return made


def take(found: Discovered, texts: Iterable[Text]) -> None:
    pairs = list(texts)
    found.add([mention for mention, _ in pairs], [vector for _, vector in pairs])


def ids_by_theme(found: Discovered) -> dict[int, str]:
    """Return theme -> the id of its topic, which holds no text of another theme."""
    themes = {}
    for topic in found.topics:
        (theme,) = {int(example["id"].split("-")[1]) for example in topic.examples}
        assert theme not in themes
        themes[theme] = topic.id
    return themes


ACTIVE = st.lists(st.sets(st.integers(0, THEMES - 1), min_size=3), min_size=2, max_size=9)


@settings(max_examples=25)
@given(ACTIVE)
def test_a_topic_keeps_its_id_while_it_lasts_and_when_it_comes_back(days: list[set[int]]) -> None:
    found, known = Discovered(days=DAYS), dict[int, str]()
    for day, active in enumerate(days):
        for theme in active:
            take(found, texts_of(day, theme))
        found.update()
        shown = ids_by_theme(found)
        assert set(shown) == set().union(*days[max(0, day - DAYS + 1) : day + 1])
        assert all(known.get(theme, id) == id for theme, id in shown.items())
        known |= shown
        assert len(set(known.values())) == len(known)


@settings(max_examples=10)
@given(st.randoms(use_true_random=False))
def test_topics_do_not_depend_on_the_order_in_which_texts_come(order: random.Random) -> None:
    texts = [text for day in range(2) for theme in range(4) for text in texts_of(day, theme)]
    shuffled = list(texts)
    order.shuffle(shuffled)
    found = []
    for some in (texts, shuffled):
        one = Discovered(days=DAYS, most=DAYS * 25)  # fewer than come in a day
        take(one, some)
        one.update()
        found.append([topic.as_dict() for topic in one.topics])
    assert found[0] == found[1]
    assert sum(topic["texts"] for topic in found[0]) == 2 * 25


def test_a_restart_goes_on_and_another_encoder_begins_anew(tmp_path: Path) -> None:
    found = Discovered(tmp_path, "e5", days=DAYS)
    for theme in range(4):
        take(found, texts_of(0, theme))
    found.update()
    again = Discovered(tmp_path, "e5", days=DAYS)
    assert [topic.as_dict() for topic in again.topics] == [topic.as_dict() for topic in found.topics]
    take(again, texts_of(1, 1))
    take(again, texts_of(0, 2))  # known before: not taken twice
    again.update()
    assert ids_by_theme(again) == ids_by_theme(found)
    assert {topic.texts for topic in again.topics} == {EACH, 2 * EACH}
    assert len(Discovered(tmp_path, "minilm", days=DAYS)) == 0
    (tmp_path / "discovered.npz").write_bytes(b"damaged")
    assert not Discovered(tmp_path, "e5", days=DAYS).topics


def test_memory_is_bounded_a_story_counts_once_and_few_texts_are_no_topic() -> None:
    found = Discovered(days=DAYS, most=DAYS * 10)
    take(found, texts_of(0, 0, LEAST))
    found.update()
    assert not found.topics
    for day in range(DAYS + 4):
        take(found, [text for theme in range(4) for text in texts_of(day, theme, 40)])
        assert len(found) <= DAYS * 10
    assert {mention.day for mention in found._texts.values()} == {
        (START + timedelta(days=day)).date().isoformat() for day in range(4, DAYS + 4)
    }
    told = Discovered()
    take(told, [(Mention(str(n), START, "other", False, 0.9, "text", story="s1"), [1.0, 0.0]) for n in range(9)])
    assert len(told) == 1


def test_an_author_s_texts_leave_sample_and_examples(tmp_path: Path) -> None:
    found = Discovered(tmp_path, days=DAYS)
    take(found, [text for theme in range(4) for text in texts_of(0, theme)])
    found.update()
    found.forget(frozenset({"a0", "a1"}))
    again = Discovered(tmp_path, days=DAYS)
    for one in (found, again):
        assert len(one) == 4 * (EACH - 2)
        assert not {example["author"] for topic in one.topics for example in topic.examples} & {"a0", "a1"}
    take(again, texts_of(1, 0))
    again.update()
    assert set(ids_by_theme(again).values()) == {topic.id for topic in found.topics}


def test_of_what_splits_the_larger_part_goes_on_and_of_what_joins_the_larger_too() -> None:
    none = np.zeros((2, 1), np.float32)
    assert matched(["ab", "cdef"], ["abcdef"], "abcdef", none) == {1: 0}
    assert matched(["abcdef"], ["ab", "cdef"], "abcdef", none.T) == {0: 1}
    # Texts that only one of both days knew tell nothing.
    assert matched(["abxyz"], ["abuvw"], "ab", np.zeros((1, 1), np.float32)) == {0: 0}
    # Of those gone the place tells, and less than any overlap.
    near = np.full((1, 2), 0.99, np.float32)
    assert matched(["ab"], ["uv", "ab"], "ab", near) == {0: 1}
    assert matched(["xy"], ["uv"], "", np.full((1, 1), 0.5, np.float32)) == {}


@given(st.integers(1, 8), st.floats(0, 2 * np.pi))
def test_a_map_lies_as_it_lay_before(count: int, turn: float) -> None:
    middle = np.random.default_rng(count).normal(size=(count, WIDTH)).astype(np.float32)
    sizes = list(range(1, count + 1))
    first = flat(middle, sizes, np.full((count, 2), np.nan))
    assert first.shape == (count, 2)
    assert np.abs(first).max() <= 1 + 1e-9
    turned = first @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if count >= 2:
        scale = np.abs(turned).max() or 1.0
        np.testing.assert_allclose(flat(middle, sizes, turned), turned / scale, atol=1e-6)


GROUPS: dict[str, list[list[str]]] = {
    "zh": [
        ["手机充电的时候发烫", "更新之后充电发烫得厉害", "一充电就发烫，怎么办", "我的手机充电发烫"],
        ["退款一直没到账", "申请退款被客服拒绝", "客服说退款要等两周", "什么时候退款"],
        ["酒店房间有异味", "房间的空调坏了，酒店不管", "酒店房间太小了", "這家酒店的房間很髒"],
    ],
    "en": [
        [
            "The battery is hot while charging",
            "It charged and got hot",
            "Charging makes my battery hot",
            "a hot battery",
        ],
        [
            "My refund has not arrived",
            "They refused the refunds",
            "When will the refund come?",
            "refunded after two weeks",
        ],
        ["The hotel room smells", "the rooms of this hotel are small", "A hotel room without windows", "hotel rooms"],
    ],
}


@pytest.mark.parametrize(
    ("language", "wanted"),
    [
        ("zh", [{"充电", "发烫"}, {"退款", "客服"}, {"酒店", "房间"}]),
        ("en", [{"hot", "battery", "charging"}, {"refund"}, {"hotel", "room"}]),
    ],
)
def test_characteristic_words_name_a_group(language: str, wanted: list[set[str]]) -> None:
    found = names(GROUPS[language])
    for words, some in zip(found, wanted, strict=True):
        assert words[0] in some
        assert some <= _parts(words)
    assert not {"the", "的", "了", "时候"} & {word for words in found for word in words}


def _parts(words: Sequence[str]) -> set[str]:
    """Return all that stands in a name: its words, and the parts of Chinese ones."""
    return {word[a:b] for word in words for a in range(len(word)) for b in range(a + 1, len(word) + 1)}


@given(st.lists(st.lists(st.text("ab 充电发烫的了。", max_size=12), min_size=1, max_size=6), max_size=4))
def test_any_texts_have_names_of_words_that_several_of_them_hold(groups: list[list[str]]) -> None:
    found = names(groups)
    assert len(found) == len(groups)
    for words, texts in zip(found, groups, strict=True):
        assert len(set(words)) == len(words)
        for word in words:
            assert sum(word in text for text in texts) >= 2
