"""A file of records: JSON Lines, CSV, TSV or Parquet -> one dict a record, with the line it stands on.

    for line, record in read_records("客服.csv", report):       # {"内容": "我要退货", "标签": "退货"}
        ...
    fields = columns_for(("text", "label"), list(record))        # {"text": "内容", "label": "标签"}

It knows nothing of tasks. Text is UTF-8, with or without a mark, UTF-16 with a mark, or GB18030, as spreadsheets write it in China.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.progress import Report
from noria.text.lines import json_objects

TABLES = (".csv", ".tsv", ".parquet")
"""Endings of files whose records have columns; any other file is read as JSON Lines."""
LONGEST_CELL = 1 << 24
LISTS = ("labels", "tokens", "tags", "spans", "answers", "messages", "features")
"""Fields that hold a list: in a table as JSON; labels also as names between | or ;, tokens and tags between spaces."""
_ALIASES = {
    "text": "content sentence text1 sentence1 review comment utterance message query body 文本 内容 正文 句子 评论 问题 留言",
    "label": "category class intent sentiment tag 标签 类别 分类 情感 意图",
    "labels": "categories classes intents 标签 类别 分类",
    "pair": "text2 text_pair sentence2 second 文本2 第二句",
    "context": "passage paragraph document 文章 段落 原文 材料",
    "question": "query 问题 提问",
    "source": "src original document article 原文 正文 文章",
    "target": "tgt translation summary 译文 翻译 摘要",
    "anchor": "query question text1 sentence1 问题 文本1",
    "positive": "answer text2 sentence2 match 答案 回答 文本2",
    "negative": "wrong 负例",
}


def is_table(path: str | Path) -> bool:
    """Return whether a file's records have columns."""
    return Path(path).suffix.lower() in TABLES


def read_records(path: str | Path, report: Report | None = None) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """Yield each record with its 1-based line (in Parquet its number), or the error that stands in its place.

    Empty lines are passed over.

    Raises:
        InputError: the file is missing, in no known encoding, or no table.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError("a folder, not a file of rows", found=str(path), allowed=".jsonl, .csv, .tsv or .parquet")
    if not path.exists():
        raise InputError("file not found", found=str(path))
    kind = path.suffix.lower()
    if kind == ".parquet":
        return _parquet(path)
    text = _text(path, report)
    return _table(text, path, "\t" if kind == ".tsv" else None) if kind in TABLES else json_objects(text, path)


def columns_for(
    fields: Sequence[str], columns: Sequence[str], given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return field -> column for the fields that a table holds under another name.

    A column is guessed only where it is the one that plainly stands for the field: its name is the field's but for case
    and spaces, or the only one of the field's usual names, in English or Chinese, that no other field has a claim to.

    Args:
        fields: fields that rows should have, the most important first.
        columns: the table's columns.
        given: what the person has said; never guessed over.

    Raises:
        InputError: a column that was given is not there.
    """
    chosen = dict(given or {})
    for column in chosen.values():
        if column not in columns:
            raise InputError("no such column", found=column, allowed=columns)
    taken = {*chosen.values(), *(field for field in fields if field in columns)}
    for field in fields:
        if field in columns or field in chosen:
            continue
        free = [column for column in columns if column not in taken]
        same = [column for column in free if _plain(column) == field]
        usual = [column for column in free if _plain(column) in _ALIASES.get(field, "").split()]
        if len(found := same or usual) == 1:
            chosen[field] = found[0]
            taken.add(found[0])
    return chosen


def as_row(
    record: Mapping[str, Any], columns: Mapping[str, str], *, table: bool, numbers: bool = False
) -> dict[str, Any]:
    """Return a record under the names of fields; of a table also with lists and labels in the form of a row.

    A table's label that is a number or a truth value becomes text: 1, 1.0 and "1" are one label.

    Args:
        record: what stands in the file.
        columns: field -> the name it has in the file.
        table: whether the file is a table.
        numbers: whether the columns of a table are the features, all but the label's.
    """
    taken = set(columns.values())
    row = {key: value for key, value in record.items() if key not in taken}
    row |= {field: record[column] for field, column in columns.items() if column in record}
    if not table:
        return row
    if numbers and "features" not in row:
        row["features"] = [_number(row.pop(column)) for column in list(row) if column not in ("label", "labels")]
    for field in LISTS:
        if field in row:
            row[field] = _listed(field, row[field])
    if "label" in row:
        row["label"] = _label(row["label"])
    return row


def by_column(error: RowError, columns: Mapping[str, str]) -> RowError:
    """Return a row's error in the words of a table: it names the column, not the field."""
    if error.field is not None:
        column = columns.get(error.field, error.field)
        error.what = error.what.replace(f", field {error.field!r}", f", column {column!r}", 1)
        if error.what.endswith("the field is missing"):
            flag = f"--{error.field}-column" if error.field in ("text", "label") else f"--columns.{error.field}"
            error.what = error.what.replace("the field is missing", "no such column")
            error.hint = f"say which one it is: {flag} NAME"
    return error


def _plain(column: str) -> str:
    return re.sub(r"[\s_-]+", "_", column.strip().casefold())


def _number(cell: object) -> object:
    try:
        return float(cell) if isinstance(cell, str) else cell
    except ValueError:
        return cell


def _label(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else value


def _listed(field: str, value: object) -> object:
    if not isinstance(value, str):
        return [_label(one) for one in value] if field == "labels" and isinstance(value, list) else value
    if value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except ValueError:
            return value
    if field == "labels":
        return [part.strip() for part in re.split(r"[|;；]", value) if part.strip()]
    return value.split() if field in ("tokens", "tags") else value


def _text(path: Path, report: Report | None) -> str:
    image = path.read_bytes()
    if image.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "gb18030"]
    if "utf-16" not in encodings and b"\x00" in image:
        raise InputError(f"{path} is not text", found="zero bytes", allowed="UTF-8, UTF-16 with a mark, GB18030")
    place = ""
    for encoding in encodings:
        try:
            text = image.decode(encoding)
        except UnicodeDecodeError as error:
            place = place or f"byte {image[error.start]:#x} at {error.start}"
            continue
        if encoding == "gb18030" and report:
            report.note(f"{path} is not UTF-8 ({place}): read as GB18030", encoding=encoding)
        return text
    raise InputError(f"{path} is not text", found=place, allowed="UTF-8, UTF-16 with a mark, GB18030")


def _table(text: str, path: Path, delimiter: str | None) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    first = text.split("\n", 1)[0]
    # A spreadsheet writes ; where the comma is the decimal mark.
    delimiter = delimiter or max(",;\t", key=first.count)
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines = _numbered(reader, path)
    header = next((cells for _, cells in lines if not isinstance(cells, RowError)), [])
    names = [name.strip() for name in header]
    check_header(names, path)
    for line, cells in lines:
        if isinstance(cells, RowError):
            yield line, cells
        elif len(cells) != len(names):
            found = f"{len(cells)} cells"
            yield line, RowError("another number of cells than the header", file=path, line=line, found=found,
                                 allowed=f"{len(names)} ({', '.join(names)})",
                                 hint="put a cell that holds the delimiter between quotes")  # fmt: skip
        else:
            yield line, {name: cell for name, cell in zip(names, cells, strict=True) if name}


def check_header(names: Sequence[str], path: Path) -> None:
    """Refuse a table without names of columns, or with one twice.

    Raises:
        InputError: either of these.
    """
    named = [name for name in names if name]
    if not named:
        raise InputError(f"{path} is empty", allowed="a first line with the names of the columns")
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise InputError(f"{path} has two columns of one name", found=", ".join(twice))


def _numbered(reader: Any, path: Path) -> Iterator[tuple[int, list[str] | RowError]]:
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, RowError("not a line of a table", file=path, line=line, hint=str(error))
            continue
        if any(cell.strip() for cell in cells):
            yield line, cells


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        check_header(file.schema_arrow.names, path)
        batches: Iterable[Any] = file.iter_batches()
    except pyarrow.ArrowException as error:
        raise InputError(f"{path} is no Parquet file", found=str(error)) from None
    return enumerate((record for batch in batches for record in batch.to_pylist()), start=1)
