"""Filters keep ordinary Chinese and English, and say why they drop the rest."""

from __future__ import annotations

import pytest

from noria.core.errors import SettingError
from noria.make.corpus.filters import reason_to_drop, repetition, standard_filters
from noria.make.corpus.settings import CleanSettings
from noria.text.script import han_share, length

KEPT = [
    "房间很小，有点像招待所.............四星...............",
    "太美了，。。空气，绿化，。人流量。。温泉。。",
    "丁凤英（女）、王小风（女）、王玉珏（女）、王光美（女）、王晓棠（女）",
    "The room was small, but the staff were kind; we'd stay again!",
    "def add(a, b):\n    return a + b\n\nprint(add(1, 2))  # prints 3",
    "1998年1月1日，气温-5℃，风力3级。",
]
DROPPED = [
    ("", "empty"),
    (" \n\t", "empty"),
    ("一般", "too short"),
    ("Too short", "too short"),
    ("★☆★☆★☆★☆ 好好好 你我他 $%^&*()_+", "mostly symbols"),
    ("不错" * 30, "repeats itself"),
    ("buy now " * 40, "repeats itself"),
    ("\n".join(["Home | About | Contact us today"] * 8), "repeats itself"),
    ("哈" * 30, "repeats itself"),
]


@pytest.mark.parametrize("text", KEPT)
def test_ordinary_text_is_kept(text: str) -> None:
    assert reason_to_drop(text, standard_filters(CleanSettings())) is None


@pytest.mark.parametrize(("text", "reason"), DROPPED)
def test_the_rest_goes_with_its_reason(text: str, reason: str) -> None:
    assert reason_to_drop(text, standard_filters(CleanSettings())) == reason


def test_too_long_counts_characters_of_chinese_and_words_of_english() -> None:
    filters = standard_filters(CleanSettings(max_length=5))
    assert reason_to_drop("我爱北京天安门", filters) == "too long"
    assert reason_to_drop("five words are not long", filters) is None
    assert length("我爱iPhone 15") == 4
    assert length("don't stop—go") == 3


def test_language_on_request() -> None:
    chinese = "今天的天气非常好，我们一起去公园散步，看见了许多人。"
    english = "The weather is lovely today, so we went for a walk in the park."
    german = "Das Wetter ist heute sehr schön, deshalb gehen wir im Park spazieren."
    filters = standard_filters(CleanSettings(languages=("zh", "en"), min_length=1))
    assert [reason_to_drop(text, filters) for text in (chinese, english, german)] == [None, None, "language de"]
    assert reason_to_drop("Guten Tag Leute, ja", filters) is None  # too short to tell
    assert reason_to_drop(chinese, standard_filters(CleanSettings(languages=("en",)))) == "language zh"


def test_repetition_is_alike_for_chinese_and_english() -> None:
    chinese = (
        "春天来了，江南的花都开了。我们在湖边走了一会儿，说起从前的事情，大家都笑了起来。后来下起小雨，便回家喝茶去了。"
        * 2
    )
    english = "Spring had come and every garden was in flower; we walked along the lake and talked of old times until it rained."
    assert repetition(english) < 0.2
    assert repetition(chinese[: len(chinese) // 2]) < 0.2
    assert repetition(chinese * 20) > 0.7
    assert repetition(english * 40) > 0.7


def test_han_share() -> None:
    assert han_share("中文 ab") == 0.5
    assert han_share("") == 0


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(SettingError, match="nothing for training"):
        CleanSettings.make(valid_share=0.5, test_share=0.5)
    with pytest.raises(SettingError, match="min_length 9 is above max_length 3"):
        CleanSettings.make(min_length=9, max_length=3)
