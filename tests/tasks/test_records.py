"""Files of rows as people have them: spreadsheets in Chinese and English, older encodings, bad lines."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from noria.core.errors import InputError, RowError
from noria.core.progress import Report
from noria.tasks.records import as_row, columns_for
from noria.tasks.task import read_rows, task_for

CLASSIFY = task_for("classify")


def read(path: Path, **options) -> tuple[list[dict], str]:
    report = Report(stream=io.StringIO())
    return read_rows(path, CLASSIFY, report=report, **options), report.stream.getvalue()


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_spreadsheet_with_quotes_and_line_breaks(tmp_path: Path):
    file = put(tmp_path / "r.csv", 'text,label\r\n"很好, 下次\n还来 ""真的""",positive\r\n\r\nbroke,negative\r\n')
    assert read(file)[0] == [
        {"text": '很好, 下次\n还来 "真的"', "label": "positive"},
        {"text": "broke", "label": "negative"},
    ]


@pytest.mark.parametrize(
    ("encoding", "told"), [("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("gb18030", "read as GB18030")]
)
def test_encodings_of_spreadsheets(tmp_path: Path, encoding: str, told: str):
    rows, said = read(put(tmp_path / "r.csv", "内容,标签\n送货很快，包装也好,好评\n坏了,差评\n".encode(encoding)))
    assert rows == [{"text": "送货很快，包装也好", "label": "好评"}, {"text": "坏了", "label": "差评"}]
    assert told in said
    assert "text from column '内容', label from column '标签'" in said


def test_json_lines_in_gb18030_too(tmp_path: Path):
    rows, said = read(put(tmp_path / "r.jsonl", '{"text": "很好", "label": "好评"}\n'.encode("gb18030")))
    assert rows == [{"text": "很好", "label": "好评"}]
    assert "is not UTF-8" in said


@pytest.mark.parametrize("end", ["csv", "tsv"])
def test_other_delimiters(tmp_path: Path, end: str):
    delimiter = ";" if end == "csv" else "\t"
    file = put(tmp_path / f"r.{end}", f"text{delimiter}label\n3,50 is dear{delimiter}price\n")
    assert read(file)[0] == [{"text": "3,50 is dear", "label": "price"}]


def test_parquet_and_labels_that_are_numbers(tmp_path: Path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"text": ["好", "bad", "so so"], "label": [1.0, 0.0, 2.5], "id": [7, 8, 9]})
    pyarrow.parquet.write_table(table, tmp_path / "r.parquet")
    assert [row["label"] for row in read(tmp_path / "r.parquet")[0]] == ["1", "0", "2.5"]
    assert [row["label"] for row in read(put(tmp_path / "r.csv", "text,label\na,1\nb,0\n"))[0]] == ["1", "0"]


def test_columns_are_guessed_only_where_it_is_plain():
    fields = ("text", "label")
    assert columns_for(fields, ["Text", "Category"]) == {"text": "Text", "label": "Category"}
    assert columns_for(fields, ["content", "review", "label"]) == {}, "two that could be the text"
    assert columns_for(fields, ["text", "label", "category"]) == {}, "nothing is missing"
    assert columns_for(fields, ["a", "b"], {"text": "b"}) == {"text": "b"}
    with pytest.raises(InputError, match="no such column: found 'c'; allowed a, b"):
        columns_for(fields, ["a", "b"], {"text": "c"})


def test_lists_in_cells():
    row = as_row(
        {"tokens": "张 三 来", "tags": "B-PER I-PER O", "labels": "价格; 服务|", "answers": '[{"text": "a"}]'},
        {},
        table=True,
    )
    assert row["tokens"] == ["张", "三", "来"]
    assert row["tags"] == ["B-PER", "I-PER", "O"]
    assert row["labels"] == ["价格", "服务"]
    assert row["answers"] == [{"text": "a"}]


def test_a_table_of_numbers_is_features(tmp_path: Path):
    file = put(tmp_path / "r.csv", "age,spend,类别\n31,5.5,loyal\n20,-1e2,gone\n")
    rows = read_rows(file, task_for("numeric"))
    assert [(row["features"], row["label"]) for row in rows] == [([31.0, 5.5], "loyal"), ([20.0, -100.0], "gone")]
    with pytest.raises(RowError, match="line 3"):
        read_rows(put(file, "age,spend,label\n31,5.5,loyal\n20,much,gone\n"), task_for("numeric"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text,label\ngood,yes\n,no\n", "line 3, column 'text': the text is blank"),
        ("内容,标签\n好,好评\n好,\n", "line 3, column '标签': the text is blank"),
        ("a,b\n1,2\n", "line 2, column 'text': no such column: found 'a, b'; say which one it is: --text-column NAME"),
        (
            "text,label\ngood, really,yes\n",
            "line 2: another number of cells than the header: found '3 cells'; allowed 2",
        ),
        ('text,label\n"good,yes\n', "line 2: not a line of a table"),
    ],
)
def test_bad_rows_name_file_line_and_column(tmp_path: Path, content: str, says: str):
    file = put(tmp_path / "行.csv", content)
    with pytest.raises(RowError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}, {says}")


def test_bad_rows_are_counted_where_asked(tmp_path: Path):
    file = put(tmp_path / "r.csv", "text,label\ngood,yes\n,no\nso so\nbad,no\n")
    rows, said = read(file, skip_bad=True)
    assert [row["text"] for row in rows] == ["good", "bad"]
    assert f"{file}: 2 bad rows skipped, the first: {file}, line 3, column 'text': the text is blank" in said


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("r.csv", b"", "is empty; allowed"),
        ("r.csv", "text,text\na,b\n", "two columns of one name"),
        ("r.csv", "text,label\n", "holds no usable row"),
        ("r.parquet", "text,label\n", "is not Parquet, or is damaged"),
        ("r.jsonl", b"\x00\x01", "is not text: found 'zero bytes'"),
        ("r.jsonl", "café".encode("latin-1"), "is not JSON Lines: found 'café'"),
        ("missing.csv", None, "file not found"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str, content, says: str):
    file = tmp_path / name
    if content is not None:
        put(file, content)
    with pytest.raises(InputError) as caught:
        read(file)
    assert says in str(caught.value).replace(": allowed", "; allowed")
    assert "\n" not in str(caught.value)


def test_a_table_and_json_lines_give_the_same_rows(tmp_path: Path):
    rows = [{"text": "屏幕太暗 😀", "label": "negative"}, {"text": "Fast, really", "label": "positive"}]
    lines = put(tmp_path / "r.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    table = put(tmp_path / "r.csv", 'label,text\nnegative,屏幕太暗 😀\npositive,"Fast, really"\n')
    assert read(lines)[0] == read(table)[0] == rows
