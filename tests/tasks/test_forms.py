"""Rows of other tools become rows of their task, are refused by name for other tasks, and broken ones name their form."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from noria.core.errors import InputError, RowError
from noria.core.progress import Report
from noria.tasks.task import BUILT_IN, read_rows, task_for

TURNS = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "您好"}]
CONTEXT = "诺日利用水流提水"
SPANS = [{"start": 0, "end": 2, "label": "PER"}]
ANSWER = {"context": CONTEXT, "question": "提什么？", "answers": [{"text": "水", "start": 7}]}
FORMS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "ShareGPT": (
        "chat",
        {"conversations": [{"from": "human", "value": "你好"}, {"from": "gpt", "value": "您好"}]},
        {"messages": TURNS},
    ),
    "ShareGPT, roles": ("chat", {"conversations": TURNS}, {"messages": TURNS}),
    "ShareGPT, pairs": ("chat", {"conversation": [{"human": "你好", "assistant": "您好"}]}, {"messages": TURNS}),
    "messages, roles": (
        "chat",
        {"messages": [{"role": "human", "content": "你好"}, {"role": "AI", "content": "您好"}]},
        {"messages": TURNS},
    ),
    "answers in words": (
        "answer",
        {"context": CONTEXT, "question": "提什么？", "answer": "水"},
        {**ANSWER, "answers": [{"text": "水", "start": CONTEXT.index("水")}]},
    ),
    "entities": (
        "tag",
        {"text": "张三来", "entities": [{"start": 0, "end": 2, "type": "PER", "text": "张三"}]},
        {"text": "张三来", "spans": SPANS},
    ),
    "Alpaca": ("chat", {"instruction": "你好", "input": "", "output": "您好"}, {"messages": TURNS}),
    "Alpaca, all": (
        "chat",
        {"system": "s", "instruction": "b", "input": "c", "output": "d", "history": [["你好", "您好"]]},
        {
            "messages": [
                {"role": "system", "content": "s"},
                *TURNS,
                {"role": "user", "content": "b\n\nc"},
                {"role": "assistant", "content": "d"},
            ]
        },
    ),
    "prompt": ("chat", {"prompt": "你好", "completion": "您好"}, {"messages": TURNS}),
    "question": ("chat", {"问题": "你好", "回答": "您好", "id": 3}, {"messages": TURNS}),
    "SQuAD": (
        "answer",
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [{"id": 1, "question": "提什么？", "answers": [{"text": "水", "answer_start": 7}]}],
                }
            ],
        },
        ANSWER,
    ),
    "flat SQuAD": (
        "answer",
        {"context": CONTEXT, "question": "提什么？", "answers": {"text": ["水"], "answer_start": [7]}},
        ANSWER,
    ),
    "SQuAD 2": (
        "answer",
        {"context": CONTEXT, "qas": [{"question": "几个？", "is_impossible": True, "answers": []}]},
        {"context": CONTEXT, "question": "几个？", "answers": []},
    ),
    "doccano": ("tag", {"id": 1, "text": "张三来", "label": [[0, 2, "PER"]]}, {"text": "张三来", "spans": SPANS}),
    "doccano, entities": (
        "tag",
        {
            "text": "张三来",
            "entities": [{"id": 1, "start_offset": 0, "end_offset": 2, "label": "PER"}],
            "relations": [],
        },
        {"text": "张三来", "spans": SPANS},
    ),
    "doccano, none": ("tag", {"text": "没有", "label": []}, {"text": "没有", "spans": []}),
    "doccano, classes": ("classify", {"text": "张三来", "label": ["a"]}, {"text": "张三来", "label": "a"}),
    "CLUENER": ("tag", {"text": "张三来", "label": {"PER": {"张三": [[0, 1]]}}}, {"text": "张三来", "spans": SPANS}),
    "Prodigy": (
        "tag",
        {
            "text": "张三来",
            "tokens": [{"text": "张三", "start": 0, "end": 2, "id": 0}],
            "spans": SPANS,
            "answer": "accept",
        },
        {"text": "张三来", "spans": SPANS},
    ),
    "Label Studio, spans": (
        "tag",
        {
            "data": {"text": "张三来"},
            "annotations": [{"result": [{"value": {"start": 0, "end": 2, "text": "张三", "labels": ["PER"]}}]}],
        },
        {"text": "张三来", "spans": SPANS},
    ),
    "Label Studio, choices": (
        "classify",
        {"data": {"text": "张三来"}, "annotations": [{"result": [{"value": {"choices": ["a"]}}]}]},
        {"text": "张三来", "label": "a"},
    ),
    "FlagEmbedding": (
        "embed",
        {"query": "q", "pos": ["p"], "neg": ["n", "m"]},
        {"anchor": "q", "positive": "p", "negative": "n"},
    ),
    "FinEntity": (
        "classify",
        {"text": "张三来", "entities": [{"start": 0, "end": 2, "text": "张三", "label": "a"}]},
        {"text": "张三来", "pair": "张三", "places": [[0, 2]], "label": "a"},
    ),
    "entity": (
        "classify",
        {"text": "张三来", "entity": "张三", "label": "a"},
        {"text": "张三来", "pair": "张三", "label": "a"},
    ),
    "ASAP": (
        "classify",
        {"text": "贵", "star": 3.0, "aspects": {"price": "negative", "taste": "positive"}},
        {"text": "贵", "labels": ["price", "price:negative", "taste", "taste:positive"]},
    ),
    "NLI": ("classify", {"premise": "a", "hypothesis": "b", "label": 0}, {"text": "a", "pair": "b", "label": "0"}),
}


def put(folder: Path, *records: object) -> Path:
    file = folder / "r.jsonl"
    file.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return file


def outcome(file: Path, task: str) -> list[dict[str, Any]] | str:
    """Return the rows of a file, or the words in which it is refused."""
    try:
        return read_rows(file, task_for(task))
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("name", FORMS)
def test_a_form_becomes_the_row_it_means(tmp_path: Path, name: str) -> None:
    task, record, row = FORMS[name]
    assert read_rows(put(tmp_path, record, record), task_for(task)) == [row, row]


@pytest.mark.parametrize("task", sorted({*BUILT_IN} - {"causal"}))
@pytest.mark.parametrize("name", FORMS)
def test_no_form_ends_in_anything_but_rows_or_words(tmp_path: Path, name: str, task: str) -> None:
    found = outcome(put(tmp_path, FORMS[name][1]), task)
    assert found if isinstance(found, list) else "r.jsonl, line 1" in found


@pytest.mark.parametrize("name", FORMS)
def test_a_broken_record_of_any_form_is_told_with_its_line(tmp_path: Path, name: str) -> None:
    """Every value of the record, put in disorder, is used or refused in words; nothing else is raised."""
    task, record, _ = FORMS[name]
    for key in record:
        for wrong in (None, 3, "", [], {}, [None], [[]], [{}], {"a": None}, ["x", 1], [[1, 2, "x"]], [{"text": 3}]):
            found = outcome(put(tmp_path, {**record, key: wrong}), task)
            assert isinstance(found, list) or "\n" not in found


def test_rows_for_another_task_name_the_way() -> None:
    from noria.tasks.forms import own_rows

    with pytest.raises(RowError, match=r"SQuAD are for answer, not for classify.*noria build finetune answer"):
        own_rows(FORMS["SQuAD"][1], "classify")
    with pytest.raises(RowError, match=r"preferences.*noria build align"):
        own_rows({"prompt": "a", "chosen": "b", "rejected": "c"}, "chat")


def test_every_entity_of_a_text_is_a_row_and_its_places_are_together(tmp_path: Path) -> None:
    text = "甲好，乙差，甲真好"
    spans = [(0, 1, "good"), (3, 4, "bad"), (6, 7, "good"), (3, 4, "good")]
    entities = [{"start": start, "end": end, "text": text[start:end], "label": label} for start, end, label in spans]
    rows = read_rows(put(tmp_path, {"text": text, "entities": entities}), task_for("classify"))
    assert [(row["pair"], row["places"], row["label"]) for row in rows] == [
        ("甲", [[0, 1], [6, 7]], "good"),
        ("乙", [[3, 4]], "bad"),
        ("乙", [[3, 4]], "good"),
    ]
    entities[0]["text"] = "丙"
    with pytest.raises(RowError, match="what stands there"):
        read_rows(put(tmp_path, {"text": text, "entities": entities}), task_for("classify"))
    assert len(read_rows(put(tmp_path, {"text": text, "entities": entities[1:3]}), task_for("tag"))[0]["spans"]) == 2


def test_fast_text_lines(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("__label__好评 物流 很快\n__label__差评 太慢\n", encoding="utf-8")
    assert read_rows(tmp_path / "r.txt", task_for("classify")) == [
        {"text": "物流 很快", "label": "好评"},
        {"text": "太慢", "label": "差评"},
    ]


def test_several_labels_in_doccano_lists_stay_several(tmp_path: Path) -> None:
    rows = read_rows(
        put(tmp_path, {"text": "x", "label": ["b", "a"]}, {"text": "y", "label": []}), task_for("classify")
    )
    assert [row["labels"] for row in rows] == [["a", "b"], []]


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        (["B-A", "I-A", "O", "B-B"], [(0, 2, "A"), (3, 4, "B")]),
        (["I-A", "I-A", "I-B", "O"], [(0, 2, "A"), (2, 3, "B")]),
        (["B-A", "M-A", "E-A", "S-A"], [(0, 3, "A"), (3, 4, "A")]),
        (["B-A", "L-A", "U-A", "I-A"], [(0, 2, "A"), (2, 3, "A"), (3, 4, "A")]),
        (["B_A", "E_A", "o", "s-B "], [(0, 2, "A"), (3, 4, "B")]),
    ],
)
def test_every_scheme_of_tags(tmp_path: Path, tags: list[str], spans: list[tuple[int, int, str]]) -> None:
    row = read_rows(put(tmp_path, {"tokens": list("甲乙丙丁"), "ner_tags": tags}), task_for("tag"))[0]
    assert [(span["start"], span["end"], span["label"]) for span in row["spans"]] == spans


@pytest.mark.parametrize(
    "tags", [[0, 1, 2, 0], ["PER", "PER", "O", "O"], ["A-B", "A-E", "O", "O"], ["X-A", "O", "O", "O"]]
)
def test_other_schemes_are_refused_by_name(tmp_path: Path, tags: list[Any]) -> None:
    with pytest.raises(RowError, match=r"BMES, BIOES"):
        read_rows(put(tmp_path, {"tokens": list("甲乙丙丁"), "tags": tags}), task_for("tag"))


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (list("买iPhone15去"), "买iPhone15去"),
        (["I", "live", "in", "Paris"], "I live in Paris"),
        (["我", "在", "New", "York", "住"], "我在New York住"),
        (["用", "C", "+", "+", "写"], "用C++写"),
        (["a", " ", "b", "中"], "a b中"),
    ],
)
def test_tokens_are_joined_as_the_text_is_served(tmp_path: Path, tokens: list[str], text: str) -> None:
    assert read_rows(put(tmp_path, {"tokens": tokens, "tags": ["O"] * len(tokens)}), task_for("tag"))[0]["text"] == text


def test_several_labels_hidden_in_one_are_told(tmp_path: Path) -> None:
    report = Report(stream=io.StringIO())
    read_rows(
        put(tmp_path, {"text": "x", "label": "物流|价格"}, {"text": "y", "label": "物流"}),
        task_for("classify"),
        report=report,
    )
    assert "--many reads several labels in a cell" in report.stream.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("cell", ["['物流', '价格']", '["物流", "价格"]', "[物流, 价格]", "物流|价格", " 物流 、价格 "])
def test_lists_of_labels_in_cells_however_they_are_printed(tmp_path: Path, cell: str) -> None:
    quoted = cell.replace('"', '""')
    (tmp_path / "r.csv").write_text(f'text,labels\n好,"{quoted}"\n坏,质量\n', encoding="utf-8")
    assert read_rows(tmp_path / "r.csv", task_for("classify"))[0]["labels"] == sorted(["物流", "价格"])


def test_plain_text_is_no_rows(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("好评\t物流很快\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"is plain text.*first line"):
        read_rows(tmp_path / "r.txt", task_for("classify"))
