"""The contract of every task: what training and serving may rely on, whatever the task."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import logits, texts
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from noria.core.errors import FolderError, InputError, RowError, SettingError
from noria.core.folder import Manifest
from noria.tasks.task import IGNORED, Task, read_rows, task_for, task_of

TASKS = {
    "classify": (task_for("classify", ["negative", "positive"]), {"text": "很好 good", "label": "positive"}),
    "tag": (
        task_for("tag", ["LOC", "PER"]),
        {"text": "王小明在北京 Anna", "spans": [{"start": 4, "end": 6, "label": "LOC"}, {"start": 7, "end": 11, "label": "PER"}]},
    ),
    "embed": (task_for("embed"), {"anchor": "你好", "positive": "hello"}),
    "complete": (task_for("complete"), {"text": "从前有座山 once upon a time"}),
}  # fmt: skip
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


def width(task: Task) -> int:
    """Return how many numbers the head puts out for a text or token."""
    return {"sequence": len(task.outputs), "token": len(task.outputs), "embedding": 8, "causal": 60}[task.head]


def shape(task: Task, length: int) -> tuple[int, ...]:
    """Return the shape of the logits for one text of `length` tokens."""
    return (width(task),) if task.head == "sequence" else (length, width(task))


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
        for bad in (None, 3, "", "  \n", ["x"], {}):
            with pytest.raises(RowError) as error:
                task.check({**row, field: bad}, file="rows.jsonl", line=7)
            assert "rows.jsonl, line 7" in str(error.value)
            assert repr(field) in str(error.value)
        with pytest.raises(RowError):
            task.check({key: value for key, value in row.items() if key != field})


@EVERY
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
def test_a_prefix_moves_no_offset(name: str, tokenizer: Tokenizer):
    task, _ = TASKS[name]
    prefixed = type(task)(labels=task.labels, prefix="query: ")
    text = "王小明在北京 Anna"
    bare, after = task.features(tokenizer, text, 64), prefixed.features(tokenizer, text, 64)
    assert after.meta["text"] == text
    assert [one for one in after.offsets if one[0] < one[1]] == [one for one in bare.offsets if one[0] < one[1]]


@EVERY
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts, data=st.data())
def test_an_answer_is_json_and_the_same_every_time(name: str, tokenizer: Tokenizer, text: str, data: st.DataObject):
    task, _ = TASKS[name]
    features = task.features(tokenizer, text, 24)
    values = data.draw(logits(*shape(task, len(features.ids))))
    answer = task.answer(features, values)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert task.answer(features, values.copy()) == answer


@EVERY
def test_a_target_is_what_the_head_can_say(name: str, tokenizer: Tokenizer):
    task, row = TASKS[name]
    checked = task.check(row)
    features = task.features(tokenizer, checked.get("text", "x"), 64)
    target = task.target(checked, features)
    values = target if isinstance(target, list) else [target]
    assert all(value == IGNORED or 0 <= value < width(task) for value in values)
    assert len(values) == (len(features.ids) if isinstance(target, list) else 1)


@EVERY
def test_a_task_comes_back_from_a_model_folder(name: str):
    task, _ = TASKS[name]
    facts = {"task": task.name, "labels": list(task.labels), "prefix": "query: ", "temperature": 1.5, "steps": 3}
    manifest = Manifest("model", "", "", {}, (), facts, {})
    back = task_of(manifest)
    assert type(back) is type(task)
    assert (back.labels, back.prefix, back.temperature) == (task.labels, "query: ", 1.5)


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
    (tmp_path / "latin.jsonl").write_bytes(b'{"text": "caf\xe9"}')
    with pytest.raises(InputError, match="not UTF-8"):
        read_rows(tmp_path / "latin.jsonl", task)
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(InputError, match="no usable row"):
        read_rows(tmp_path / "empty.jsonl", task)


def test_tasks_know_nothing_of_torch():
    import subprocess
    import sys

    code = "import sys, noria.tasks.task, noria.tasks.tag, noria.tasks.complete; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_logits_of_any_float_type_give_the_same_label():
    task, _ = TASKS["classify"]
    features = task.features(Tokenizer(models.Unigram([("<unk>", 0.0)], unk_id=0)), "x", 8)
    values = np.array([0.25, 1.5])
    assert task.answer(features, values.astype(np.float16)) == task.answer(features, values)
