"""Files in several forms and encodings become Documents; bad ones are told plainly."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noria.core.errors import InputError, RowError
from noria.make.corpus.documents import Document, count_documents, document_of, files_of, read_documents, write_rows
from noria.make.corpus.settings import CleanSettings
from noria.text.encoding import decoded, guess

CHINESE = "春天来了，江南的花都开了。我们在湖边走了一会儿，说起从前的事情，大家都笑了起来。"
TRADITIONAL = "春天來了，江南的花都開了。我們在湖邊走了一會兒，說起從前的事情，大家都笑了起來。"
ENGLISH = "The café opened in spring; nobody knew how long it would stay."


def test_jsonl_gives_ids_texts_and_what_else_is_known(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(
        '{"id": 7, "text": "好", "label": "a", "meta": {"page": 2}}\n\n{"text": "fine"}\n', encoding="utf-8"
    )
    assert list(read_documents(file)) == [
        Document("7", "好", {"page": 2, "label": "a"}),
        Document("rows.jsonl:3", "fine", {}),
    ]


def test_gzip_and_parquet_and_folder(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write(json.dumps({"text": CHINESE}) + "\n")
    pq.write_table(pa.table({"body": [ENGLISH, "two"], "stars": [5, 1]}), tmp_path / "b.parquet")
    (tmp_path / "ignored.png").write_bytes(b"\x89PNG")
    assert [file.name for file in files_of([tmp_path])] == ["a.jsonl.gz", "b.parquet"]
    assert [document.text for document in read_documents(tmp_path / "a.jsonl.gz")] == [CHINESE]
    rows = list(read_documents(tmp_path / "b.parquet", CleanSettings(text_field="body")))
    assert [row.meta["stars"] for row in rows] == [5, 1]
    assert count_documents(files_of([tmp_path]), CleanSettings()) == 3


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        (CHINESE, "utf-8", "utf-8"),
        (CHINESE, "utf-8-sig", "utf-8-sig"),
        (CHINESE, "gb18030", "gb18030"),
        (TRADITIONAL, "big5", "big5hkscs"),
        (CHINESE, "utf-16", "utf-16"),
        (ENGLISH, "cp1252", "cp1252"),
        (ENGLISH, "utf-8", "utf-8"),
    ],
)
def test_encodings_are_told_apart(tmp_path: Path, text: str, encoding: str, name: str) -> None:
    file = tmp_path / "page.txt"
    file.write_bytes(text.encode(encoding))
    assert guess(file.read_bytes()) == name
    assert [document.text for document in read_documents(file)] == [text]


def test_jsonl_in_gb18030(tmp_path: Path) -> None:
    file = tmp_path / "old.jsonl"
    file.write_bytes(json.dumps({"text": CHINESE}, ensure_ascii=False).encode("gb18030") + b"\n")
    assert [document.text for document in read_documents(file)] == [CHINESE]


def test_a_long_file_cut_inside_a_character_is_still_utf8(tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    file.write_bytes(b"a" + "好".encode() * 400_000)
    assert decoded(file.read_bytes(), file) == "a" + "好" * 400_000


def test_text_by_paragraph_and_line(tmp_path: Path) -> None:
    file = tmp_path / "two.txt"
    file.write_bytes(f"{CHINESE}\r\nnext line\r\n\r\n{ENGLISH}\n".encode())
    assert len(list(read_documents(file, CleanSettings(unit="paragraph")))) == 2
    assert [document.id for document in read_documents(file, CleanSettings(unit="line"))] == [
        "two.txt:1",
        "two.txt:2",
        "two.txt:4",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[1, 2]", "not a JSON object"),
        ("{broken", "not JSON"),
        ('{"body": "x"}', "field 'text': the text is missing"),
        ('{"text": 5}', "the text is no text: found 5"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_line(tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(f'{{"text": "good"}}\n{line}\n{{"text": "after"}}\n', encoding="utf-8")
    with pytest.raises(RowError) as caught:
        list(read_documents(file))
    assert f"{file}, line 2" in str(caught.value)
    assert words in str(caught.value)
    bad: list[RowError] = []
    assert [document.text for document in read_documents(file, bad=bad)] == ["good", "after"]
    assert len(bad) == 1


def test_a_row_in_another_encoding_is_that_rows_fault(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    padding = b'{"text": "good"}\n' * 100_000  # past the sample that decides the encoding
    file.write_bytes(padding + b'{"text": "\xff\xfe"}\n')
    bad: list[RowError] = []
    assert sum(1 for _ in read_documents(file, bad=bad)) == 100_000
    assert bad[0].line == 100_001


@pytest.mark.parametrize("content", [b"\x00\x01\x02binary", b"\x81"])
def test_what_is_no_text_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match="not text"):
        list(read_documents(file))


def test_sources_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "x.doc").write_bytes(b"\xd0\xcf")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 1000)[:-20])
    with pytest.raises(InputError, match="no such file"):
        files_of([tmp_path / "none.txt"])
    with pytest.raises(InputError, match="Word of Office 97 is not read"):
        files_of([tmp_path / "x.doc"])
    with pytest.raises(InputError, match="nothing to read"):
        files_of([])
    with pytest.raises(InputError, match="not Parquet"):
        list(read_documents(tmp_path / "bad.parquet"))
    with pytest.raises(InputError, match="cut short"):
        list(read_documents(tmp_path / "cut.jsonl.gz"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file to read"):
        files_of([tmp_path / "empty"])


def test_rows_written_are_read_back(tmp_path: Path) -> None:
    documents = [Document("a", CHINESE, {"label": "x"}), Document("b", "line\nbreak", {})]
    assert write_rows(tmp_path / "deep" / "rows.jsonl", (document.as_dict() for document in documents)) == 2
    assert list(read_documents(tmp_path / "deep" / "rows.jsonl")) == documents


def test_document_of_names_the_flag_that_helps() -> None:
    with pytest.raises(RowError, match="--text-field"):
        document_of({"body": "x"}, file="f", line=1)


def test_guess_never_fails_on_ascii() -> None:
    assert guess(b"") == guess(b"plain") == "utf-8"
