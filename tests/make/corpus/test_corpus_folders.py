"""Every file of a folder is read, or named with the reason it was not, and both are counted in the corpus' manifest."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_files import html_table, pdf, sheet, word

from noria.core.errors import InputError
from noria.core.folder import read_manifest
from noria.core.progress import Report
from noria.make.corpus.build import build_corpus
from noria.make.corpus.documents import gather, read_documents
from noria.make.corpus.settings import CleanSettings

TEXTS = [
    "春天来了，江南的花都开了，我们在湖边走了一会儿。",
    "The café opened in spring; nobody knew how long it would stay.",
]
CONTENTS: dict[str, tuple[str, bytes]] = {
    "text": (".txt", TEXTS[0].encode()),
    "gbk": (".txt", TEXTS[0].encode("gbk")),
    "markdown": (".md", f"# {TEXTS[1]}".encode()),
    "lines": (".jsonl", b'{"text": "one"}\n{"text": "two"}\n'),
    "table": (".csv", b"text,label\ngood,1\n"),
    "sheet": (".xlsx", sheet([["text", "label"], ["good", "1"]])),
    "page": (".html", html_table([{"text": "good", "label": "1"}])),
    "word": (".docx", word(["hello", "world"])),
    "pdf": (".pdf", pdf([["hello"], ["world"]])),
    "scan": (".pdf", pdf([[], []])),
    "locked": (".pdf", pdf([["x"]], locked=True)),
    "cut": (".docx", word(["hello"])[:-80]),
    "binary": (".txt", b"\x00\x01\x02\x03"),
    "image": (".png", b"\x89PNG\r\n\x1a\n"),
    "settings": (".json", b'{"lr": 0.1}'),
    "empty": (".jsonl", b""),
    "unknown": (".xyz", b"what"),
    "bare": ("", b"no ending"),
}
READ = frozenset({"text", "gbk", "markdown", "lines", "table", "sheet", "page", "word", "pdf"})
FOLDERS = ("", "a", "a/b", ".hidden", "a/.deep")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(FOLDERS), st.sampled_from(["", "."]), st.sampled_from(sorted(CONTENTS))), max_size=9
    )
)
def test_every_file_of_a_folder_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[str, str, str]]
) -> None:
    root = tmp_path_factory.mktemp("folder")
    expected = 0
    (root / "sure.txt").write_text("so that there is one", encoding="utf-8")
    for number, (folder, before, kind) in enumerate(made):
        ending, image = CONTENTS[kind]
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{before}{number}{ending}").write_bytes(image)
        expected += kind in READ and not before and ".hidden" not in folder and ".deep" not in folder
    report = Report(stream=io.StringIO())
    gathered = gather([root])
    names = {document.id.split(":")[0] for document in read_documents(gathered, report=report)}
    there = {path for path in root.rglob("*") if path.is_file()}
    left = [path for paths in gathered.left.values() for path in paths]
    assert len(left) == len(set(left))
    assert set(left) <= there
    assert {path.name for path in there} == names | {path.name for path in left}
    assert sum(gathered.read.values()) == expected + 1
    assert len(there) == sum(gathered.read.values()) + len(left)


def test_links_sockets_and_folders_that_are_links_are_named(tmp_path: Path) -> None:
    folder, beside = tmp_path / "raw", tmp_path / "beside"
    (folder / "deep").mkdir(parents=True)
    beside.mkdir()
    (beside / "c.txt").write_text(TEXTS[1])
    (folder / "a.txt").write_text(TEXTS[0], encoding="utf-8")
    (folder / "deep" / "linked.txt").symlink_to(beside / "c.txt")
    (folder / "gone.txt").symlink_to(beside / "nowhere.txt")
    (folder / "elsewhere").symlink_to(beside)
    os.mkfifo(folder / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(folder)
        try:
            one.bind("socket.txt")
        finally:
            os.chdir(here)
        gathered = gather([folder])
    assert [path.name for path in gathered.files] == ["a.txt", "linked.txt"]
    assert {path.name: reason for reason, paths in gathered.left.items() for path in paths} == {
        "gone.txt": "a link to nothing",
        "elsewhere": "a link to a folder: give that folder itself",
        "pipe.txt": "no ordinary file",
        "socket.txt": "no ordinary file",
    }


def test_a_page_a_table_and_a_text_are_three_files_and_both_counts_stand_in_the_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "a.html").write_bytes(f"<h1>{TEXTS[1]}</h1><p>{TEXTS[0]}</p>".encode())
    (folder / "a.csv").write_text("text,label\nquite good all in all,1\n")
    (folder / "b.txt").write_text("Another text that stands alone, and has a few words.", encoding="utf-8")
    (folder / "scan.pdf").write_bytes(CONTENTS["scan"][1])
    (folder / "photo.png").write_bytes(b"\x89PNG")
    report = Report(stream=io.StringIO())
    out = build_corpus([folder], tmp_path / "corpus", CleanSettings(valid_share=0.0, test_share=0.0), report=report)
    facts = read_manifest(out).facts
    assert facts["read"] == {"CSV or TSV": 1, "HTML": 1, "text or Markdown": 1}
    assert {reason: one["names"] for reason, one in facts["not_read"].items()} == {
        "holds no text": ["scan.pdf"],
        "unknown kind of file .png": ["photo.png"],
    }
    assert facts["rows"] == 3
    said = report.stream.getvalue()  # type: ignore[attr-defined]
    assert "not read: 1 file (scan.pdf): holds no text" in said
    assert "not read: 1 file (photo.png): unknown kind of file .png" in said
    with pytest.raises(InputError, match="holds no text"):
        build_corpus([folder / "scan.pdf"], tmp_path / "other", report=Report.silent())


def test_where_a_text_stood_is_kept_while_it_is_cleaned(tmp_path: Path) -> None:
    pages = [
        ["Call 13800138000 or write, and we will answer."],
        ["ＡＢＣ　the second page has its own words."],
        ["第三页的文字在这里。"],
    ]
    (tmp_path / "book.pdf").write_bytes(pdf(pages, title="书"))
    out = build_corpus(
        [tmp_path / "book.pdf"],
        tmp_path / "corpus",
        CleanSettings(valid_share=0.0, test_share=0.0),
        report=Report.silent(),
    )
    (document,) = read_documents(out / "train.jsonl")
    assert document.meta["title"] == "书"
    places = document.meta["places"]
    assert [place["page"] for place in places] == [1, 2, 3]
    begins = ["Call <PHONE>", "ABC the second", "第三页"]
    for place, words in zip(places, begins, strict=True):
        assert document.text[place["start"] :].startswith(words)


@pytest.mark.parametrize("unit", ["paragraph", "line"])
def test_pieces_of_a_document_name_their_heading_and_offset(tmp_path: Path, unit: str) -> None:
    (tmp_path / "a.docx").write_bytes(word([(1, "退货"), "七天内\n可以退货", (1, "运费"), "自理"], title="手册"))
    found = list(read_documents(tmp_path / "a.docx", CleanSettings(unit=unit)))
    (whole,) = read_documents(tmp_path / "a.docx")
    for document in found:
        assert whole.text[document.meta["start"] :].startswith(document.text)
    assert [(one.text, one.meta["heading"]) for one in found][-2:] == [("运费", "运费"), ("自理", "运费")]
    assert len({one.id for one in found}) == len(found) == (4 if unit == "paragraph" else 5)
