"""Pages, letters and books are read with their places; what is hostile costs one line, and neither memory nor hours."""

from __future__ import annotations

import gzip
import io
import os
import re
import signal
import time
from pathlib import Path

import pytest
from made_files import changed, html_table, pdf, sheet, word

from noria.core.errors import InputError
from noria.core.progress import Report
from noria.text import confined
from noria.text.confined import parts_of
from noria.text.passages import TextDocument, document_in, read_document
from noria.text.pdf import joined
from noria.text.records import records_in
from noria.text.sources import Source
from noria.text.web_page import page_text

KINDS = {".html": "page", ".docx": "word", ".pdf": "pdf", ".md": "text"}
BODY = "xl/worksheets/sheet1.xml"


def document(name: str, image: bytes) -> TextDocument:
    return document_in(Source(name, image), KINDS[Path(name).suffix])  # type: ignore[arg-type]


def refused(name: str, image: bytes) -> str:
    with pytest.raises(InputError) as caught:
        document(name, image)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    return str(caught.value)


def test_every_passage_begins_where_it_says() -> None:
    for name, image in (
        (
            "a.html",
            b"<h1>One</h1><p>two</p><table><tr><td>a<td>b<tr><td>c<td>d</table><h2>Three</h2><pre> x\n  y</pre>",
        ),
        ("a.docx", word([(1, "一"), "二", [["a", "b"], ["c", "d"]], (2, "三"), "四\n五"])),
        ("a.pdf", pdf([["第一页", "两行"], [], ["third"]])),
        ("a.md", "前言\n\n# 一\n二\n\n```\n# no heading\n```\n## 三\n四".encode()),
    ):
        found = document(name, image)
        assert len(found.passages) > 1
        for passage in found.passages:
            assert found.text[passage.start :].startswith(passage.text), name


def test_a_page_gives_its_main_text_under_its_headings() -> None:
    found = document(
        "a.html",
        """<!doctype html><title>退货 &amp; 运费</title><style>p{}</style><nav><a href=/>首页</a></nav><header>横幅</header>
        <div><header><h1>退货</h1></header><p>七天内<b>可以</b>退货，
        请保留包装。</p><script>track()</script><p hidden>看不见</p>
        <ul><li><a>甲</a><li><a>乙</a><li><a>丙</a><li><a>丁</a></ul><h2>运费</h2><p>由买家<br>承担</p>
        <table><tr><th>地区<th>元<tr><td>本市<td rowspan=2>8<tr><td>外省</table></div><footer>版权</footer>""".encode(),
    )
    assert found.title == "退货 & 运费"
    assert [(one.text, one.heading) for one in found.passages] == [
        ("退货", "退货"),
        ("七天内可以退货，请保留包装。", "退货"),
        ("运费", "退货 > 运费"),
        ("由买家\n承担", "退货 > 运费"),
        ("地区 | 元\n本市 | 8\n外省 | 8", "退货 > 运费"),
    ]
    assert found.places() == [{"start": 0, "heading": "退货"}, {"start": 20, "heading": "退货 > 运费"}]
    inside = document("b.html", b"<div>menu</div><main><p>text</p></main><div>more</div>")
    assert inside.text == "text"


@pytest.mark.parametrize(
    ("text", "encoding", "declared", "named"),
    [
        ("春天来了，江南的花都开了。", "gb18030", "gb2312", "gb18030"),
        ("赞", "gbk", "GBK", "gb18030"),
        ("春天來了，江南的花都開了。", "big5", "Big5", "big5hkscs"),
        ("春が来た。花が咲いた。①", "cp932", "Shift_JIS", "cp932"),
        ("봄이 왔다", "euc_kr", "ks_c_5601-1987", "cp949"),
        ("naïve “quotes”", "cp1252", "iso-8859-1", "cp1252"),
        ("春天来了，江南的花都开了。", "utf-8-sig", "gbk", "utf-8-sig"),  # a mark stands above what is declared
        ("春天来了，江南的花都开了。", "utf-16", "utf-8", "utf-16"),
        ("春天来了，江南的花都开了。", "utf-8", "no-such-code", "utf-8-sig"),
        ("春天来了，江南的花都开了。我们在湖边走了一会儿。", "gb18030", "utf-8", "gb18030"),  # declared falsely
    ],
)
def test_the_encoding_of_a_page_is_its_mark_or_what_it_declares_or_what_its_bytes_are(
    text: str, encoding: str, declared: str, named: str
) -> None:
    for meta in (
        f'<meta charset="{declared}">',
        f"<META http-equiv=Content-Type content='text/html; charset={declared}'>",
    ):
        image = f"<html><head>{meta}</head><body><p>{text}</p></body></html>".encode(encoding)
        assert page_text(image, "a.html")[1] == named
        assert document("a.html", image).text == text


def test_a_word_document_is_read_as_it_is_seen() -> None:
    image = word(["留下", (1, "标题"), [["a", "b"], ["c", "d"]]], title="手册")
    image = changed(
        image,
        "word/document.xml",
        lambda xml: xml.replace(
            "留下</w:t></w:r>".encode(),
            "留下</w:t></w:r><w:ins><w:r><w:t>的</w:t></w:r></w:ins><w:del><w:r><w:delText>删去</w:delText></w:r></w:del>"
            "<w:r><w:tab/><w:t>话</w:t></w:r>".encode(),
        ),
    )
    found = document("a.docx", image)
    assert found.title == "手册"
    assert [(one.text, one.heading) for one in found.passages] == [
        ("留下的\t话", ""),
        ("标题", "标题"),
        ("a | b\nc | d", "标题"),
    ]


def test_pages_of_a_pdf_and_those_without_text(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(
        pdf([["很长的一行中文字在这里被", "页面打断了。", "短行"], [], ["third"]], title="书")
    )
    report = Report(stream=io.StringIO())
    found = read_document(tmp_path / "a.pdf", report)
    assert found.title == "书"
    assert [(one.text, one.page) for one in found.passages] == [
        ("很长的一行中文字在这里被页面打断了。\n短行", 1),
        ("third", 3),
    ]
    assert "1 of 3 pages without text (scanned?), the first on line 2" in report.stream.getvalue()  # type: ignore[attr-defined]
    assert joined("well-\r\nknown things that are as wide\r\nas this\r\n\r\nnext") == (
        "well-\nknown things that are as wide as this\n\nnext"
    )


def test_what_cannot_be_opened_is_told_in_a_line() -> None:
    assert "is locked by a password" in refused("a.pdf", pdf([["x"]], locked=True))
    assert "holds no text: found '2 pages without a text layer" in refused("a.pdf", pdf([[], []]))
    assert "is no PDF, or is cut short" in refused("a.pdf", pdf([["x"]])[:150])
    assert "is cut short or damaged" in refused("a.docx", word(["x"])[:-80])
    locked = b"\xd0\xcf\x11\xe0" + bytes(600) + "EncryptedPackage".encode("utf-16-le")
    assert "is locked by a password" in refused("a.docx", locked)
    assert "is of Office 97" in refused("a.docx", b"\xd0\xcf\x11\xe0" + bytes(600))
    assert "not text" in refused("a.html", b"<p>" + bytes(range(256)))
    for name in KINDS:
        if name != ".md":
            assert "is empty" in refused(f"a{name}", b"")


def test_a_bomb_costs_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    monkeypatch.setitem(confined.SECONDS, "page", (1, 0))
    assert "takes too long to open" in refused("deep.html", b"<div>" * 200_000)
    ladder = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 50) for n in range(1, 9))
    head = b'<!DOCTYPE x [<!ENTITY a0 "aaaaaaaa">' + ladder + b"]><w:document"
    laughs = changed(
        word(["x"]),
        "word/document.xml",
        lambda xml: xml.replace(b"<w:document", head, 1).replace(b"<w:t>x", b"<w:t>&a8;"),
    )
    assert "is damaged" in refused("laughs.docx", laughs)
    swollen = changed(word(["x"]), "word/document.xml", lambda xml: xml + b" " * (1 << 20))
    monkeypatch.setattr("noria.text.confined.LARGEST_BYTES", 1 << 12)
    assert "is too large to open" in refused("large.docx", swollen)
    monkeypatch.undo()
    pages = pdf([["a" * 80] * 400])
    again = pages.replace(b"/Count 1 /Kids [7 0 R]", b"/Count 20000 /Kids [" + b"7 0 R " * 20_000 + b"]")
    monkeypatch.setitem(confined.SECONDS, "pdf", (1, 0))
    assert "takes too long to open" in refused("pages.pdf", again)
    monkeypatch.undo()
    assert document("sound.pdf", pdf([["x"]])).text == "x"
    assert time.monotonic() - began < 60


def test_a_sheet_with_a_cell_at_its_far_end_is_refused_and_the_next_is_read() -> None:
    near = sheet([["text", "label"], ["a", "b"]])
    row = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    far = changed(near, BODY, lambda xml: xml.replace(b"</sheetData>", row))
    with pytest.raises(InputError, match="takes more memory than it may"):
        list(records_in(far, "far.xlsx"))
    assert list(records_in(near, "near.xlsx")) == [(2, {"text": "a", "label": "b"})]
    told = bytearray(near)
    place = told.rindex(BODY.encode()) - 46  # the archive's own list, where a bomb says what it unpacks to
    told[place + 24 : place + 28] = (2 << 30).to_bytes(4, "little")
    with pytest.raises(InputError, match="2,048 MiB unpacked"):
        list(records_in(bytes(told), "swollen.xlsx"))


def test_a_reader_that_is_killed_costs_one_file_and_the_next_is_read() -> None:
    image = pdf([["x"]])
    assert parts_of("pdf", image, "a.pdf") == [{"text": "x", "page": 1}]
    child = confined._held[0]
    os.kill(child._process.pid, signal.SIGSTOP)
    os.kill(child._process.pid, signal.SIGKILL)
    child._process.wait()
    assert parts_of("pdf", image, "a.pdf") == [{"text": "x", "page": 1}]


def test_packed_prose_is_read_as_it_is() -> None:
    page = html_table([{"text": "好", "label": "a"}])
    plain = document("a.html", page)
    assert document_in(Source("a.html.gz", gzip.compress(page)), "page") == plain
    assert re.fullmatch(r"text \| label\n好 \| a", plain.text)
