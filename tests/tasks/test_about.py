"""A mention within a text as a pair: it is marked, what is near it is told, and a light model learns by it whom a text speaks badly of."""

from __future__ import annotations

import random
from typing import Any

import pytest

from noria.core.errors import RowError
from noria.tasks.about import MARK, PASSAGE, STAND_IN, about, places_of
from noria.tasks.classify import Classify
from noria.tasks.task import task_for

TEXTS = [
    ("Siemens rallied while Huhtamaki fell.", "Huhtamaki"),
    ("Up 3%. Levi Strauss & Co <LEVI.N> gained; Gap lost 2%. Nothing else.", "Levi Strauss & Co"),
    ("华为的手机不错，小米的发烫，太差了。", "小米"),
    ("先用的联想，还行。后来换了HP，天天死机！", "HP"),
]


@pytest.mark.parametrize(("text", "mention"), TEXTS)
@pytest.mark.parametrize("padding", [0, 3 * PASSAGE])
def test_the_text_keeps_all_of_itself_and_what_is_near_has_no_name(text: str, mention: str, padding: int) -> None:
    whole = "甲" * padding + "。" + text + "。" + "b " * padding
    marked, near = about(whole, mention)
    assert f"{MARK} {mention} {MARK}" in marked
    assert marked.replace(f"{MARK} {mention} {MARK}", mention) in whole
    assert len(marked) <= min(len(whole), PASSAGE) + 40
    assert STAND_IN in near
    assert mention not in near
    assert all(part in whole.replace(mention, STAND_IN) for part in near.split(" … "))


def test_only_the_places_that_are_meant_are_marked() -> None:
    text = "Porsche was the pearl. Porsche now is free."
    assert places_of(text, "porsche") == [(0, 7), (23, 30)]
    assert about(text, "Porsche")[0].count(MARK) == 4
    assert about(text, "Porsche", [[23, 30]]) == ("Porsche was the pearl. @ Porsche @ now is free.", "X now is free")
    assert places_of("GM and GMC", "GM") == [(0, 2)]  # a word is no part of another
    assert about("nothing of it", "Tesla") == ("nothing of it", "Tesla")


def two(draw: random.Random, names: list[str], frames: list[str], words: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Return the two rows of a text that says something of two names, each its own."""
    first, second = draw.sample(names, 2)
    labels = [draw.choice(sorted(words)), draw.choice(sorted(words))]
    text = draw.choice(frames).format(first, draw.choice(words[labels[0]]), second, draw.choice(words[labels[1]]))
    return [{"text": text, "pair": name, "label": label} for name, label in zip((first, second), labels, strict=True)]


LANGUAGES = {
    "en": (
        ["Acme", "Zorg", "Initech", "Globex", "Hooli"],
        ["{} {}; {} {}.", "We heard that {} {}. Meanwhile {} {}."],
        {"negative": ["fell sharply", "lost money"], "positive": ["rose a lot", "gained ground"]},
    ),
    "zh": (
        ["甲公司", "乙集团", "丙银行", "丁汽车", "戊超市"],
        ["{}{}，{}{}。", "听说{}{}。而{}{}。"],
        {"negative": ["服务太差", "天天出错"], "positive": ["服务很好", "非常可靠"]},
    ),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_light_model_learns_what_is_said_of_each(language: str) -> None:
    """Of two names in one text: where the bare name stands beside the text nothing tells which words are about it."""
    from noria.tasks.ngram_classifier import companion_answers, fit_ngrams

    draw, told = random.Random(0), LANGUAGES[language]
    train, test = ([row for _ in range(count) for row in two(draw, *told)] for count in (150, 60))
    right = {}
    for by_mention in (True, False):
        task = Classify(("negative", "positive"), by_mention=by_mention)
        found = companion_answers(task, fit_ngrams(task, train), test)
        right[by_mention] = sum(one["label"] == row["label"] for one, row in zip(found, test, strict=True)) / len(test)
    assert right[True] > 0.9
    assert right[True] > right[False] + 0.1


def test_rows_decide_whether_a_pair_is_a_mention_and_a_folder_remembers() -> None:
    mentions = [{"text": f"{name} fell today", "pair": name, "label": "a"} for name in ("Acme", "Zorg")]
    others = [{"text": "a man sleeps", "pair": "nobody is awake", "label": "b"}]
    assert Classify().fitted(mentions).by_mention is True
    assert Classify().fitted(others).by_mention is False
    assert Classify().fitted([{"text": "a", "label": "b"}, *mentions]).by_mention is False
    assert Classify(by_mention=False).fitted(mentions).by_mention is False
    fitted = Classify().fitted(mentions)
    assert task_for("classify", **{key: value for key, value in fitted.facts().items() if key != "task"}) == fitted
    assert fitted.as_read(mentions[0]) == {"text": "@ Acme @ fell today", "pair": "X fell today", "label": "a"}
    assert fitted.texts(mentions[0]) == ["Acme fell today", "Acme"]  # rows of one text stay on one side of a split


@pytest.mark.parametrize("places", [[], "0-4", [[0]], [[4, 0]], [[0, 99]], [[0, True]], [0, 4]])
def test_places_that_are_none_are_told(places: object) -> None:
    with pytest.raises(RowError, match="places"):
        Classify().check({"text": "Acme fell", "pair": "Acme", "places": places, "label": "a"})
