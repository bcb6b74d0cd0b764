"""Every task's answers are assessed beside its baselines, with intervals, in Chinese and English."""

from __future__ import annotations

import random

import numpy as np
import pytest

from noria.make.evaluate import written
from noria.make.evaluate.baseline import baselines_of
from noria.make.evaluate.card import assess, baseline_answers
from noria.tasks.task import Task, task_for
from noria.text.script import sentences

ANIMALS = {"猫": "cat", "狗": "dog", "鸟": "bird", "鱼": "fish"}
DOINGS = {"吃": "eats", "看": "sees", "喜欢": "likes"}
draw = random.Random(0)


def clauses(count: int) -> list[tuple[str, str]]:
    """Return Chinese clauses with their English."""
    found = []
    for _ in range(count):
        left, right = draw.sample(sorted(ANIMALS), 2)
        doing = draw.choice(sorted(DOINGS))
        found.append((f"{left}{doing}{right}。", f"{ANIMALS[left]} {DOINGS[doing]} {ANIMALS[right]}."))
    return found


def noisy(count: int) -> list[dict]:
    """Return rows of numbers whose label is the larger of two."""
    random_ = np.random.default_rng(count)
    rows = random_.normal(0, 1, (count, 2)).tolist()
    return [{"features": row, "label": "left" if row[0] > row[1] else "right"} for row in rows]


PAIRS = [
    {"text": zh, "pair": (zh if same else "完全不同的话") + "！", "label": "same" if same else "other"}
    for zh, _ in clauses(60)
    for same in (draw.random() < 0.5,)
]
MANY = [{"text": zh, "labels": [name for name in ANIMALS if name in zh]} for zh, _ in clauses(80)]
TURNS = [
    {"messages": [{"role": "user", "content": zh}, {"role": "assistant", "content": en}]} for zh, en in clauses(60)
]
TASKS: dict[str, tuple[Task, list[dict]]] = {
    "pairs": (task_for("classify", ["other", "same"]), PAIRS),
    "many": (task_for("classify", sorted(ANIMALS), many=True), MANY),
    "numeric": (task_for("numeric", ["left", "right"]), noisy(80)),
    "answer": (
        task_for("answer"),
        [
            {"context": f"今天下雨。{zh}", "question": f"谁{zh[1:]}", "answers": [{"text": zh[0], "start": 5}]}
            for zh, _ in clauses(40)
        ],
    ),
    "zh-en": (task_for("translate"), [{"source": zh, "target": en} for zh, en in clauses(150)]),
    "en-zh": (task_for("translate"), [{"source": en, "target": zh} for zh, en in clauses(150)]),
    "summarise": (
        task_for("summarise"),
        [{"source": f"{zh}今天下雨。明天晴。", "target": zh} for zh, _ in clauses(40)],
    ),
    "chat": (task_for("chat"), TURNS),
    "embed": (
        task_for("embed"),
        [{"anchor": zh, "positive": f"{zh}好"} for zh in dict.fromkeys(zh for zh, _ in clauses(60))],
    ),
}
LEARNED = {"pairs": 0.9, "many": 0.9, "numeric": 0.85, "zh-en": 50.0, "en-zh": 50.0, "summarise": 0.99, "embed": 0.9}
"""What the first baseline reaches at least on rows like these."""


@pytest.mark.parametrize("name", TASKS)
def test_baselines_answer_in_the_tasks_own_form_and_learn(name: str):
    task, rows = TASKS[name]
    training, held_out = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    rows = [task.check(row) for row in rows]
    for other, said in baseline_answers(task, training, held_out).items():
        assert other in baselines_of(task)
        assert len(said) == len(held_out)
    first = next(iter(baseline_answers(task, training, held_out).values()))
    assert task.scores(held_out, first)[0].value >= LEARNED.get(name, 0.0)
    found = assess(task, training, held_out, first, source="made")
    assert found.verdict == "no clear winner"
    assert found.difference is not None
    assert found.difference.value == 0.0
    for figure in found.metrics:
        assert figure.n == len(held_out) or figure.name == "calibration error"
        assert figure.low is not None
        assert figure.low <= figure.value <= (figure.high or 0.0) + 1e-9
    assert all(figure.note in baselines_of(task) for figure in found.baseline)


def test_a_model_with_lower_bits_per_byte_beats_the_baseline():
    task, rows = TASKS["chat"]
    said = written.predicted_turns(task, rows, rows)
    better = [{**answer, "bits": answer["bits"] * 0.5} for answer in said]
    assert assess(task, rows, rows, better, source="made").verdict == "beats the baseline"
    worse = [{**answer, "bits": answer["bits"] * 2} for answer in said]
    found = assess(task, rows, rows, worse, source="made")
    assert (found.verdict, found.metrics[0].note) == ("baseline wins", "baseline wins")
    assert found.metrics[0].unit == "bits/byte"


def test_a_task_without_a_baseline_says_so():
    found = assess(task_for("complete"), [], [{"text": "好"}], [{"bits": 8.0, "bytes": 3}], source="made")
    assert (found.verdict, found.baseline, found.difference) == ("no baseline", [], None)


def test_the_dictionary_learns_words_from_sentences():
    known = written.dictionary([{"source": zh, "target": en} for zh, en in clauses(200)])
    assert {word: known[word] for word in ANIMALS} == ANIMALS
    assert written.dictionary([]) == {}


def test_sentences_end_where_they_should():
    assert sentences("今天下雨。明天晴！It is 3.5 km. Yes?\nno end") == [
        "今天下雨。",
        "明天晴！",
        "It is 3.5 km.",
        "Yes?",
        "no end",
    ]


def test_the_copy_is_a_baseline_of_translation_too():
    task, rows = TASKS["zh-en"]
    assert [answer["text"] for answer in baseline_answers(task, rows, rows)["copy"]] == [row["source"] for row in rows]
