"""The same rows in every format, packed or not, on disk or in memory, are the same records; what is none is named."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_files import html_table, sheet, word

from noria.core.errors import InputError, RowError
from noria.text.formats import ENDINGS
from noria.text.records import read_records, records_in

ROWS = [
    {"text": "物流很快，包装也好", "label": "1"},
    {"text": 'say "hi",\nall', "label": "好评"},
    {"text": "007", "label": "x"},
]
PAGES = Path(__file__).parents[2] / "docs"


def parquet(rows: list[dict[str, str]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def zstandard(image: bytes) -> bytes:
    stream = pa.BufferOutputStream()
    with pa.CompressedOutputStream(stream, "zstd") as packed:
        packed.write(image)
    return stream.getvalue().to_pybytes()


def table(delimiter: str) -> bytes:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    return "".join(
        delimiter.join(map(cell, line)) + "\r\n" for line in [list(ROWS[0]), *(row.values() for row in ROWS)]
    ).encode()


def dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
FORMATS: dict[str, bytes] = {
    "r.jsonl": LINES,
    "r.ndjson": LINES.replace(b"\n", b"\r\n"),
    "misnamed.json": LINES,
    "array.json": dumped(ROWS),
    "pretty.json": json.dumps(ROWS, indent=2, ensure_ascii=False).encode("utf-16"),
    "array.jsonl": dumped(ROWS),
    "data.json": dumped({"version": 1, "data": ROWS}),
    "columns.json": dumped({name: {str(n): row[name] for n, row in enumerate(ROWS)} for name in ROWS[0]}),
    "split.json": dumped({"columns": [*ROWS[0]], "index": [0, 1, 2], "data": [[*row.values()] for row in ROWS]}),
    "lines of an array.jsonl": b"[" + LINES.strip().replace(b"\n", b",\n") + b"]",
    "one after another.json": b"".join(json.dumps(row, indent=1, ensure_ascii=False).encode() + b"\n" for row in ROWS),
    "r.csv": table(","),
    "r.tsv": table("\t"),
    "bars.csv": table("|"),
    "r.xlsx": sheet([list(ROWS[0]), *([*row.values()] for row in ROWS)]),
    "misnamed.csv": sheet([list(ROWS[0]), *([*row.values()] for row in ROWS)]),
    "r.parquet": parquet(ROWS),
    "lines.txt": LINES,
    "r.html": html_table(ROWS),
    "a shop's.xls": html_table(ROWS, "gb18030"),
    "r.docx": word(["前言", [list(ROWS[0]), *([*row.values()] for row in ROWS)], "后记"]),
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda image: image,
    ".gz": gzip.compress,
    ".zst": zstandard,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("name", FORMATS)
def test_the_same_rows_in_every_format(tmp_path: Path, name: str, packed: str) -> None:
    image = PACKERS[packed](FORMATS[name])
    (tmp_path / (name + packed)).write_bytes(image)
    from_disk = read_records(tmp_path / (name + packed))
    assert [record for _, record in from_disk] == ROWS
    assert [record for _, record in from_disk] == ROWS, "and once more"
    assert list(records_in(image, name + packed)) == list(from_disk)


@pytest.mark.parametrize("packed", [packed for packed in PACKERS if packed])
def test_a_packed_file_cut_short_is_said_to_be(packed: str) -> None:
    image = PACKERS[packed](LINES * 5_000)
    with pytest.raises(InputError, match=r"cut short or damaged"):
        list(records_in(image[: len(image) * 2 // 3], f"r.jsonl{packed}"))


def test_a_spreadsheet_tells_its_other_sheets_and_writes_numbers_as_people_do() -> None:
    records = records_in(
        sheet([["text", "label", None], ["a", 1.0], [None, None], ["b", 2.5, "x"], ["c"]], names=("一", "二")), "r.xlsx"
    )
    found = list(records)
    assert found[0] == (2, {"text": "a", "label": "1"})
    assert found[1] == (4, {"text": "b", "label": "2.5"})
    assert found[-1] == (5, {"text": "c", "label": ""})
    told = " ".join(records.notes())
    assert "sheet '二' with 1 rows, not read" in told
    assert "1 cells of column 3, which has no name, left out, the first on line 4" in told


def test_lines_of_an_array_are_those_of_the_file() -> None:
    image = b'[\n  {"a": 1},\n  {"a":\n 2},\n  3\n]\n'
    found = list(records_in(image, "r.json"))
    assert found[:2] == [(2, {"a": 1}), (3, {"a": 2})]
    assert isinstance(found[2][1], RowError)
    assert found[2][0] == 5


@pytest.mark.parametrize(
    ("name", "image", "words"),
    [
        ("r.json", b'[{"a": 1}, {"a": ', "not JSON from line 1 on"),
        ("r.json", b'{"lr": 0.1}', "holds no rows"),
        ("r.json", b'{"train": [{"a": 1}], "test": [{"a": 2}]}', "several lists of rows"),
        ("r.pdf", b"%PDF", "is a PDF, and no table of rows"),
        ("r.html", b"<p>hello", "holds no table, and rows are wanted"),
        ("r.docx", word(["hello"]), "holds no table, and rows are wanted"),
        ("r.docx", b"", "is empty"),
        ("r.pkl", b"\x80\x04", "pickle is never read"),
        ("r.xyz", b"hello", "unknown kind of file"),
        ("r.xlsx", b"PK\x03\x04 no", "is cut short or damaged"),
        ("r.xls", b"<html><table><tr><td>text</td></tr></table></html>", "holds no table, and rows are wanted"),
        ("r.jsonl", b"<html><table><tr><td>text</td></tr></table></html>", "is an HTML page: give it the ending .html"),
        ("r.csv", b"", "is empty"),
        ("r.csv", b"sep=;\r\n", "is empty"),
        ("r.csv", b"a,a\n1,2\n", "two columns of one name"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, image: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        list(records_in(image, name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [("r.csv", "text,label\n", "很好，也不错,a\n"), ("r.jsonl", "", '{"text": "很好，也不错"}\n')],
)
def test_a_row_in_another_encoding_is_that_rows_fault(name: str, header: str, row: str) -> None:
    spoilt = row.encode().replace("很".encode(), b"\xff\xfe", 1)
    image = header.encode() + 9 * row.encode() + spoilt + 9 * row.encode()
    found = list(records_in(image, name))
    assert [line for line, record in found if isinstance(record, RowError)] == [10 + bool(header)]
    assert len(found) == 19


def test_token_columns_and_document_starts() -> None:
    image = "-DOCSTART- -X- O\n\n张\tB-PER\n三\tE-PER\n\n去 O\n京 S-LOC\n".encode()
    for name in ("r.conll", "r.txt"):
        assert [record for _, record in records_in(image, name)] == [
            {"tokens": ["张", "三"], "tags": ["B-PER", "E-PER"]},
            {"tokens": ["去", "京"], "tags": ["O", "S-LOC"]},
        ]


def test_a_text_that_begins_like_json_is_still_a_text() -> None:
    for text in ("[1] 参考文献\n正文", "{不是 JSON}\n正文"):
        assert [record for _, record in records_in(text.encode(), "r.txt")] == [
            {"text": line} for line in text.split("\n")
        ]


def test_the_page_says_what_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PAGES.parent)
    block = re.search(r"```python\n(.*?)```", (PAGES / "rows.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block
    exec(block[1], {})


def test_rows_of_an_array_on_one_line_are_numbered() -> None:
    assert [line for line, _ in records_in(b'[{"a": 1}, {"a": 2}, 3]', "r.json")] == [1, 2, 3]


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_read_or_refused_in_words(seed: int) -> None:
    """Bytes changed, cut out and put in at random, under any name: no error but one in words."""
    random, words = Random(seed), []
    for _ in range(250):
        image = bytearray(
            PACKERS[packed := random.choice(list(PACKERS))](FORMATS[name := random.choice(list(FORMATS))])
        )
        if random.random() < 0.3:
            name = "x" + random.choice(ENDINGS)
        for _ in range(random.randint(0, 6)):
            place = random.randrange(len(image) + 1)
            put = random.choice([b'"', b"\n", b",", b"\r", b"\t", b"[", b"{", b"\xff", b"\x00", b"sep=;\n"])
            image[place : place + random.choice([0, 0, 1, 20])] = random.choice([b"", put, random.randbytes(1)])
        try:
            list(records_in(bytes(image), name + packed))
        except InputError as error:
            words.append(str(error))
    assert words
    assert not any("\n" in one for one in words)
