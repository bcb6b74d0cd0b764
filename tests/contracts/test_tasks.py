"""The contract of every task: what training and serving may rely on, whatever the task."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import logits, texts
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from noria.core.errors import FolderError, InputError, RowError, SettingError
from noria.core.folder import Manifest
from noria.tasks.task import IGNORED, Features, Task, read_rows, task_for, task_of

CONTEXT = "王小明在北京 Anna was in London"
TASKS = {
    "classify": (task_for("classify", ["negative", "positive"]), {"text": "很好 good", "label": "positive"}),
    "pairs": (
        task_for("classify", ["no", "yes"]),
        {"text": "王小明在北京", "pair": "他在北京 Anna", "label": "yes"},
    ),
    "many": (task_for("classify", ["北京", "good"], many=True), {"text": "北京 good", "labels": ["good", "北京"]}),
    "numeric": (task_for("numeric", ["no", "yes"], width=3), {"features": [1.5, -2.0, 3.0], "label": "yes"}),
    "tag": (
        task_for("tag", ["LOC", "PER"]),
        {
            "text": "王小明在北京 Anna",
            "spans": [{"start": 4, "end": 6, "label": "LOC"}, {"start": 7, "end": 11, "label": "PER"}],
        },
    ),
    "answer": (
        task_for("answer"),
        {"context": CONTEXT, "question": "王小明在?", "answers": [{"text": "北京", "start": 4}]},
    ),
    "translate": (task_for("translate"), {"source": "王小明在北京", "target": "Anna was in London"}),
    "summarise": (task_for("summarise"), {"source": "Anna was in London and 北京", "target": "北京"}),
    "chat": (
        task_for("chat"),
        {
            "messages": [
                {"role": "system", "content": "good"},
                {"role": "user", "content": "你好"},
                {"role": "assistant", "content": "hello 王小明"},
            ]
        },
    ),
    "embed": (task_for("embed"), {"anchor": "你好", "positive": "hello"}),
    "complete": (task_for("complete"), {"text": "从前有座山 once upon a time"}),
}
ONE_TEXT = pytest.mark.parametrize("name", ["classify", "many", "tag", "translate", "summarise", "embed", "complete"])
"""Tasks that read a bare text as it is."""
EVERY = pytest.mark.parametrize("name", TASKS)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A Unigram tokenizer that knows some characters and leaves the rest unknown."""
    pieces = ["<s>", "</s>", "<unk>", "▁", "▁good", "▁Anna", "北京", "你好", *"王小明在山有从前座abcdefghilnostuw"]
    vocabulary = [(piece, -float(number)) for number, piece in enumerate(pieces)]
    made = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    return made


def outputs(task: Task, features: Features) -> st.SearchStrategy[Any]:
    """Return what a head might put out for one text."""
    length, classes = len(features.ids), len(task.outputs)
    if task.head == "seq2seq" or task.name == "chat":
        return texts
    shapes = {
        "sequence": (classes,),
        "vector": (classes,),
        "token": (length, classes),
        "span": (length, 2),
        "embedding": (length, 8),
        "causal": (length, 60),
    }
    return logits(*shapes[task.head])


@EVERY
def test_a_good_row_comes_back_in_one_normal_form(name: str):
    task, row = TASKS[name]
    once = task.check(row)
    assert task.check(once) == once
    assert json.loads(json.dumps(once)) == once


@EVERY
def test_a_bad_row_names_file_line_and_field(name: str):
    task, row = TASKS[name]
    for field in row:
        wrong = (None, 3, "", "  \n", ["x"], {})
        for bad in wrong[:-2] if field == "labels" else wrong:
            with pytest.raises(RowError) as error:
                task.check({**row, field: bad}, file="rows.jsonl", line=7)
            assert "rows.jsonl, line 7" in str(error.value)
            assert repr(field) in str(error.value)
        if field != "pair":
            with pytest.raises(RowError):
                task.check({key: value for key, value in row.items() if key != field})


@ONE_TEXT
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts, max_length=st.integers(3, 40))
def test_features_lie_within_the_text_and_the_bound(name: str, tokenizer: Tokenizer, text: str, max_length: int):
    task, _ = TASKS[name]
    features = task.features(tokenizer, text, max_length)
    assert 2 <= len(features.ids) <= max_length
    assert len(features.offsets) == len(features.ids)
    assert features.meta["text"] == text
    previous = 0
    for start, end in features.offsets[1:-1]:
        assert previous <= start <= end <= len(text)
        previous = end if end > start else previous
    whole = tokenizer.encode(text)
    assert features.meta["truncated"] == (len(whole.ids) > max_length)
    if not features.meta["truncated"]:
        assert features.ids == whole.ids


@EVERY
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts, more=texts, max_length=st.integers(12, 40))
def test_windows_fit_the_model_and_lie_within_the_text(
    name: str, tokenizer: Tokenizer, text: str, more: str, max_length: int
):
    task, row = TASKS[name]
    longer = {
        field: value if field != next(iter(row)) or not isinstance(value, str) else text + more
        for field, value in row.items()
    }
    for given_row in (row, longer):
        windows = task.windows(
            tokenizer, {key: value for key, value in given_row.items() if key != "target"}, max_length
        )
        assert windows
        for window in windows:
            assert len(window.ids) <= max_length
            assert len(window.offsets) == len(window.ids)
            assert window.types == [] or len(window.types) == len(window.ids)
            assert all(0 <= start <= end <= len(window.meta["text"]) for start, end in window.offsets)


@ONE_TEXT
def test_a_prefix_moves_no_offset(name: str, tokenizer: Tokenizer):
    task, _ = TASKS[name]
    prefixed = replace(task, prefix="query: ")
    text = "王小明在北京 Anna"
    bare, after = task.features(tokenizer, text, 64), prefixed.features(tokenizer, text, 64)
    assert after.meta["text"] == text
    assert [one for one in after.offsets if one[0] < one[1]] == [one for one in bare.offsets if one[0] < one[1]]


@EVERY
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_answer_is_json_and_the_same_every_time_and_can_be_scored(
    name: str, tokenizer: Tokenizer, data: st.DataObject
):
    task, row = TASKS[name]
    checked = task.check(row)
    if task.name == "chat":
        checked = {**checked, "messages": checked["messages"][:-1]}
    windows = task.windows(tokenizer, checked, 24)
    drawn = [data.draw(outputs(task, window)) for window in windows]
    answers = [task.answer(window, output) for window, output in zip(windows, drawn, strict=True)]
    answer = task.join(answers)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    again = [
        window_output.copy() if isinstance(window_output, np.ndarray) else window_output for window_output in drawn
    ]
    assert task.join([task.answer(window, one) for window, one in zip(windows, again, strict=True)]) == answer
    told = {"anchor": answer, "positive": answer} if task.head == "embedding" else answer
    scores = task.scores([task.check(row)], [told])
    assert [len(one.counts) for one in scores] == [1] * len(scores)
    assert task.measures([task.check(row)], [told]) == {one.key: one.value for one in scores}
    assert all(np.isfinite(one.value) for one in scores)


@EVERY
def test_a_target_is_what_the_head_can_say(name: str, tokenizer: Tokenizer):
    task, row = TASKS[name]
    checked = task.check(row)
    for features in task.windows(tokenizer, checked, 64):
        target = task.target(checked, features)
        if task.head in ("token", "causal"):
            assert isinstance(target, list)
            assert len(target) == len(features.ids)
            most = len(task.outputs) if task.head == "token" else 60
            assert all(value == IGNORED or 0 <= value < most for value in target)
            assert any(value != IGNORED for value in target)
        elif task.head == "span":
            assert isinstance(target, tuple)
            assert 0 <= target[0] <= target[1] < len(features.ids)
        elif task.head == "seq2seq":
            assert target[-1] == tokenizer.token_to_id("</s>")
        elif isinstance(target, list):
            assert len(target) == len(task.outputs)
            assert set(target) <= {0.0, 1.0}
        else:
            assert target == IGNORED or 0 <= target < len(task.outputs)


@pytest.mark.parametrize("name", sorted(TASKS.keys() - {"embed"}))  # pairs have no target of their own
def test_a_head_that_says_the_target_is_right(name: str, tokenizer: Tokenizer):
    task, row = TASKS[name]
    checked = task.check(row)
    windows = task.windows(tokenizer, checked, 16 if task.head in ("token", "span") else 64)
    said = [spoken(task, checked, window) for window in windows]
    answer = task.join([task.answer(window, one) for window, one in zip(windows, said, strict=True)])
    first = task.scores([checked], [answer])[0]
    assert first.value == pytest.approx(
        100.0 if first.name == "BLEU" else 0.0 if first.lower_is_better else 1.0, abs=1e-3
    )


def spoken(task: Task, row: dict, features: Features) -> Any:
    """Return what a head puts out that says exactly the target."""
    target = task.target(row, features)
    if task.head == "seq2seq":
        return row["target"]
    if task.head == "span":
        values = np.full((len(features.ids), 2), -30.0)
        values[list(target), [0, 1]] = 30.0
        return values
    if task.head == "causal":
        values = np.full((len(target), 60), -30.0)
        values[np.arange(len(target)) - 1, [max(value, 0) for value in target]] = 30.0
        return values
    if task.head == "token":
        values = np.full((len(target), len(task.outputs)), -30.0)
        values[np.arange(len(target)), [max(value, 0) for value in target]] = 30.0
        return values
    if isinstance(target, list):
        return np.array(target) * 60 - 30
    return np.eye(len(task.outputs))[target] * 60 - 30


@EVERY
def test_training_rows_make_the_task(name: str):
    task, row = TASKS[name]
    bare = type(task)()
    rows = [bare.check(row)]
    fitted = bare.fitted(rows)
    assert type(fitted) is type(task)
    assert fitted.check(row) == rows[0]
    assert fitted.fitted(rows) == fitted
    assert bare.texts(rows[0])
    assert all(isinstance(text, str) for text in bare.texts(rows[0]))


@EVERY
def test_a_task_comes_back_from_a_model_folder(name: str):
    task, _ = TASKS[name]
    facts = {**json.loads(json.dumps(task.facts())), "prefix": "query: ", "temperature": 1.5, "steps": 3}
    manifest = Manifest("model", "", "", {}, (), facts, {})
    back = task_of(manifest)
    assert back == replace(task, prefix="query: ", temperature=1.5)


@EVERY
def test_rows_are_read_or_refused_with_their_place(name: str, tmp_path: Path):
    task, row = TASKS[name]
    file = tmp_path / "rows.jsonl"
    good = json.dumps(row, ensure_ascii=False)
    file.write_text(f"\ufeff{good}\n\n{{bad\n{good}\n[]\n", encoding="utf-8")
    with pytest.raises(RowError, match=r"line 3: not JSON"):
        read_rows(file, task)
    assert read_rows(file, task, skip_bad=True) == [task.check(row)] * 2


def test_unknown_tasks_and_folders_are_told():
    with pytest.raises(SettingError, match="did you mean classify"):
        task_for("clasify")
    with pytest.raises(FolderError):
        task_of(Manifest("corpus", "", "", {}, (), {}, {}))


def test_unusable_files_are_told(tmp_path: Path):
    task, _ = TASKS["classify"]
    with pytest.raises(InputError, match="file not found"):
        read_rows(tmp_path / "none.jsonl", task)
    with pytest.raises(InputError, match="a folder"):
        read_rows(tmp_path, task)
    (tmp_path / "binary.jsonl").write_bytes(b"\x00\x01")
    with pytest.raises(InputError, match="is not text"):
        read_rows(tmp_path / "binary.jsonl", task)
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(InputError, match="no usable row"):
        read_rows(tmp_path / "empty.jsonl", task)


def test_tasks_know_nothing_of_torch():
    import subprocess
    import sys

    code = "import sys; from noria.tasks.task import BUILT_IN, task_for; [task_for(name) for name in BUILT_IN]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_logits_of_any_float_type_give_the_same_label():
    task, _ = TASKS["classify"]
    features = task.features(Tokenizer(models.Unigram([("<unk>", 0.0)], unk_id=0)), "x", 8)
    values = np.array([0.25, 1.5])
    assert task.answer(features, values.astype(np.float16)) == task.answer(features, values)
