"""Rows in sets and in folds: near duplicates on one side, no label lost, strange labels told."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pytest

from noria.core.errors import InputError
from noria.core.progress import Report
from noria.make.training.finetune.rows import folds_of, read_sets, set_aside
from noria.make.training.settings import RowSettings
from noria.tasks.task import task_for

CLASSIFY = task_for("classify")
THINGS = ["房间", "早餐", "物流", "屏幕", "客服", "the hotel", "the phone", "the parcel", "this book", "the battery"]
ENDS = {
    "positive": ["很好很满意", "was far better than I had hoped"],
    "negative": ["太差不会再来", "broke after two days of use"],
}


def rows() -> list[dict]:
    """Forty rows of two labels, one of a rare label, and each of them twice, the second time with other punctuation."""
    plain = [
        {"text": f"{thing}{number} {ends}", "label": label}
        for label, both in ENDS.items()
        for number, ends in enumerate(both)
        for thing in THINGS
    ]
    plain.append({"text": "请问几点开门 when do you open", "label": "question"})
    return plain + [{**row, "text": row["text"] + "！！"} for row in plain]


def put(path: Path, values: list[dict]) -> Path:
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8")
    return path


def near(text: str) -> str:
    return text.rstrip("！")


def test_what_is_set_aside_is_not_seen_in_training_and_takes_no_label_whole():
    training, aside = set_aside(CLASSIFY, rows(), 0.3, seed=1)
    assert Counter(map(str, training + aside)) == Counter(map(str, rows()))
    assert not {near(row["text"]) for row in training} & {near(row["text"]) for row in aside}
    for seed in range(20):
        training, aside = set_aside(CLASSIFY, rows(), 0.5, seed=seed)
        assert {row["label"] for row in training} == {"positive", "negative", "question"}
    assert set_aside(CLASSIFY, rows(), 0.5, seed=3) == set_aside(CLASSIFY, rows(), 0.5, seed=3)
    assert set_aside(CLASSIFY, rows(), 0.5, seed=3) != set_aside(CLASSIFY, rows(), 0.5, seed=4)


def test_too_few_rows_to_set_aside_are_told():
    with pytest.raises(InputError, match="too few different rows"):
        set_aside(CLASSIFY, [{"text": "好", "label": "a"}, {"text": "好！", "label": "a"}], 0.5, seed=0)


def test_folds_hold_every_row_once_and_labels_evenly():
    whole = rows()
    folds = folds_of(CLASSIFY, whole, 4, seed=0)
    assert set(folds) == {0, 1, 2, 3}
    sides: dict[str, set[int]] = {}
    for row, fold in zip(whole, folds, strict=True):
        sides.setdefault(near(row["text"]), set()).add(fold)
    assert all(len(found) == 1 for found in sides.values())
    for label in ("positive", "negative"):
        counts = Counter(fold for row, fold in zip(whole, folds, strict=True) if row["label"] == label)
        assert max(counts.values()) - min(counts.values()) <= 2
    assert folds != folds_of(CLASSIFY, whole, 4, seed=1)
    with pytest.raises(InputError, match="too few different rows for the folds"):
        folds_of(CLASSIFY, whole[:3], 4, seed=0)


def test_sets_with_labels_unseen_in_training(tmp_path: Path):
    train = put(tmp_path / "train.jsonl", rows())
    test = put(tmp_path / "test.jsonl", [{"text": "价格多少", "label": "price"}, {"text": "很好", "label": "positive"}])

    def read(**reading):
        report = Report(stream=io.StringIO())
        sets = read_sets(CLASSIFY, train, None, test, RowSettings(**reading), seed=0, report=report)
        return *sets, report.stream.getvalue()

    with pytest.raises(InputError) as caught:
        read()
    assert str(caught.value) == (
        f"{test}: 1 of 2 rows have labels that no training row has: found 'price'; add training rows of them, mend the "
        "labels, or leave the rows out with --skip-bad-rows"
    )
    task, sets, said = read(skip_bad_rows=True)
    assert task.labels == ("negative", "positive", "question")
    assert [row["text"] for row in sets.test] == ["很好"]
    assert "1 of 2 rows have labels that no training row has (price): left out" in said
    assert f"{len(sets.valid)} of {len(rows())} training rows are set aside" in said


def test_one_class_is_nothing_to_learn(tmp_path: Path):
    file = put(tmp_path / "one.jsonl", [{"text": "好", "label": "a"}, {"text": "坏", "label": "a"}])
    with pytest.raises(InputError, match="holds nothing to tell apart: found 'a'; allowed rows of two labels or more"):
        read_sets(CLASSIFY, file, file, None, RowSettings(), seed=0, report=Report(stream=io.StringIO()))
