"""Baselines learn what they should, in Chinese and English, and the card says who wins."""

from __future__ import annotations

import random

from noria.core.folder import Source
from noria.make.evaluate.baseline import dictionary_tagger, tfidf_classifier
from noria.make.evaluate.card import assess, card
from noria.tasks.task import task_for

ZH = {"positive": ["很好", "喜欢", "推荐"], "negative": ["太差", "失望", "难受"]}
EN = {"positive": ["great", "lovely", "superb"], "negative": ["awful", "boring", "broken"]}


def made(words: dict[str, list[str]], filler: list[str], joint: str, count: int, seed: int) -> list[dict[str, str]]:
    """Return rows whose label shows in one word among fillers."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        label = draw.choice(sorted(words))
        parts = [draw.choice(filler), draw.choice(words[label]), draw.choice(filler)]
        rows.append({"text": joint.join(parts), "label": label})
    return rows


def test_tfidf_learns_chinese_characters_and_english_words():
    for words, filler, joint in (
        (ZH, ["这本书", "酒店", "电脑"], "，"),
        (EN, ["the film", "this hotel", "a book"], " is "),
    ):
        classify = tfidf_classifier(made(words, filler, joint, 200, 0))
        test = made(words, filler, joint, 100, 1)
        assert classify([row["text"] for row in test]) == [row["label"] for row in test]


def named(text: str, **labels: str) -> dict:
    """Return a tag row: names given as name=LABEL."""
    places = [(text.index(name), name, label) for name, label in labels.items() if name in text]
    spans = [{"start": start, "end": start + len(name), "label": label} for start, name, label in sorted(places)]
    return {"text": text, "spans": spans}


def test_the_dictionary_takes_the_longest_name_and_drops_misleading_ones():
    rows = [
        named("上海市在中国", 上海市="LOC"),
        named("上海很大", 上海="LOC"),
        named("高明来了", 高明="PER"),
        {"text": "他的高明之处，高明极了", "spans": []},
    ]
    tag = dictionary_tagger(rows)
    assert [(span["text"], span["label"]) for span in tag("我爱上海市和上海")] == [("上海市", "LOC"), ("上海", "LOC")]
    assert tag("高明") == []


def test_the_dictionary_cuts_no_english_word():
    tag = dictionary_tagger([named("Ann is in Rome", Ann="PER", Rome="LOC")])
    assert [span["text"] for span in tag("Annual news: Ann left Rome.")] == ["Ann", "Rome"]


def test_an_assessment_says_who_wins():
    rows, test = made(EN, ["x y"], " ", 100, 0), made(EN, ["x y"], " ", 200, 1)
    task = task_for("classify", ["negative", "positive"])
    right = [{"label": row["label"], "score": 0.9} for row in test]
    wrong = [{"label": "negative", "score": 0.9} for _ in test]
    even = assess(task, rows, test, right, source="made")
    assert (even.verdict, even.metrics[0].value, even.metrics[0].baseline) == ("no clear winner", 1.0, 1.0)
    worse = assess(task, rows, test, wrong, source="made")
    assert (worse.verdict, worse.metrics[0].note) == ("baseline wins", "baseline wins")
    assert worse.difference.value == worse.metrics[0].value - worse.metrics[0].baseline
    flipped = [{**row, "label": "positive" if row["label"] == "negative" else "negative"} for row in rows]
    assert assess(task, flipped, test, right, source="made").verdict == "beats the baseline"


def test_an_assessment_of_tags_counts_spans():
    rows = [named("Ann is in Rome", Ann="PER", Rome="LOC"), named("Bob", Bob="PER")]
    task = task_for("tag", ["LOC", "PER"])
    answers = [{"spans": [{**span, "score": 0.8} for span in row["spans"]]} for row in rows]
    found = assess(task, rows[:1], rows, answers, source="made")
    assert [figure.name for figure in found.metrics[:3]] == ["span F1", "precision", "recall"]
    assert found.metrics[0].value == 1.0
    assert found.baseline[0].value < 1.0


def test_the_card_holds_figures_sources_and_settings():
    task = task_for("classify", ["negative", "positive"])
    rows, test = made(ZH, ["书"], "", 60, 0), made(ZH, ["书"], "", 40, 1)
    found = assess(
        task, rows, test, [{"label": row["label"], "score": 1.0} for row in test], source="reviews/test.jsonl"
    )
    facts = {
        "task": "classify",
        "labels": ["negative", "positive"],
        "base": "a base",
        "licence": "MIT",
        "parameters": 12_345,
        "metrics": [figure.as_dict() for figure in found.metrics],
    }
    page = card(facts, {"minutes": 5.0}, [Source("rows", "ab" * 32, "MIT")])
    for wanted in ("accuracy | 1.000", "12,345", "license: MIT", "reviews/test.jsonl", "minutes: 5.0", "ab" * 8, "40"):
        assert wanted in page
