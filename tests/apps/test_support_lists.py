"""Lists of questions in any form and language: what columns mean, which language is spoken, what a row can be refused for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from noria.apps.support.columns import role_of
from noria.apps.support.faq import read_faq
from noria.apps.support.languages import language_among, main_language
from noria.core.errors import InputError

FORMS = ("怎么退货？", "如何退货", "我想把东西退了"), ("保修多久？", "质保期多长", "坏了管修吗")
ANSWERS = "七天内可以退货。", "整机保修一年。"


def sheet(path: Path, rows: list[list[str]]) -> Path:
    """Write a spreadsheet by the format alone: a zip of XML."""
    import zipfile
    from xml.sax.saxutils import escape

    cells = "".join(
        f'<row r="{at}">'
        + "".join(
            f'<c r="{chr(65 + place)}{at}" t="inlineStr"><is><t>{escape(text)}</t></is></c>'
            for place, text in enumerate(row)
            if text
        )
        + "</row>"
        for at, row in enumerate(rows, 1)
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    types = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>'
    )
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("[Content_Types].xml", types)
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{relations}"><Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="FAQ" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{relations}"><Relationship Id="r1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        )
        book.writestr(
            "xl/worksheets/sheet1.xml", f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>'
        )
    return path


def columns(header: tuple[str, ...]) -> list[list[str]]:
    return [list(header), *([*forms, answer] for forms, answer in zip(FORMS, ANSWERS, strict=True))]


def below() -> list[list[str]]:
    """Similar questions on rows of their own, the answer only beside the first of them."""
    rows = [["问题", "答案"]]
    for forms, answer in zip(FORMS, ANSWERS, strict=True):
        rows += [[text, answer if at == 0 else ""] for at, text in enumerate(forms)]
    return rows


LAYOUTS = {
    "numbered columns": columns(("问题", "相似问题1", "相似问题2", "答案")),
    "english names": columns(("Question", "Similar question 1", "Similar question 2", "Response")),
    "standard question": columns(("标准问", "扩展问 1", "扩展问 2", "标准答案")),
    "rows below": below(),
}


@pytest.mark.parametrize("form", ["csv", "xlsx", "jsonl", "json"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_list_is_the_same_in_every_file_and_layout(tmp_path: Path, form: str, layout: str) -> None:
    rows, file = LAYOUTS[layout], tmp_path / f"faq.{form}"
    records = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    if form == "csv":
        file.write_text("\n".join(",".join(row) for row in rows), encoding="utf-8")
    elif form == "xlsx":
        sheet(file, rows)
    else:
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        file.write_text("\n".join(lines) if form == "jsonl" else f"[{','.join(lines)}]", encoding="utf-8")
    faq = read_faq(file)
    assert [tuple(text for _, text in entry.known()) for entry in faq.entries] == [*FORMS]
    assert [entry.answer("zh") for entry in faq.entries] == [*ANSWERS]
    assert faq.languages == ("zh",)


@pytest.mark.parametrize(
    ("rows", "languages"),
    [
        ([{"question": "怎么退货？", "answer": "七天内可退。"}], ("zh",)),
        ([{"question": "How do I return it?", "answer": "Within 7 days."}], ("en",)),
        (
            [
                {"question": "Wie kann ich die Ware zurückgeben?", "answer": "Innerhalb von 14 Tagen, kostenlos."},
                {"question": "Wo ist meine Bestellung?", "answer": "Sie finden den Stand unter Meine Bestellungen."},
            ],
            ("de",),
        ),
        ([{"question": "返品できますか？", "answer": "7日以内に返品できます。"}], ("ja",)),
        ([{"question": "반품할 수 있나요?", "answer": "7일 이내에 가능합니다."}], ("ko",)),
        (
            [{"question_fr": "Prix ?", "answer_fr": "10 euros", "question_en": "Price?", "answer_en": "10 euros"}],
            ("fr", "en"),
        ),
        ([{"question": "Preis?", "answer": "10", "language": "German"}], ("de",)),
    ],
)
def test_any_language_or_several_is_enough(
    tmp_path: Path, rows: list[dict[str, str]], languages: tuple[str, ...]
) -> None:
    file = tmp_path / "faq.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    faq = read_faq(file)
    assert faq.languages == languages
    assert all(entry.answer("zh") and entry.title("en") for entry in faq.entries)


def test_an_entry_without_an_answer_in_a_language_gives_another_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "faq.json"
    file.write_text(
        '[{"id": "a", "questions": {"zh": ["价格"], "en": ["price"]}, "answer": {"en": "10"}}]', encoding="utf-8"
    )
    faq = read_faq(file)
    assert faq.entries[0].answer("zh") == "10"
    assert any("a (line 1)" in note for note in faq.notes)


def test_only_accepted_rows_are_known_and_the_others_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "proposals.csv"
    file.write_text("accepted,question,answer\nyes,a b c,x\n,d e f,y\nno,g h i,z\n是,j k l,w\n", encoding="utf-8")
    faq = read_faq(file)
    assert [entry.title("en") for entry in faq.entries] == ["a b c", "j k l"]
    assert any("2 rows that no one accepted" in note for note in faq.notes)
    file.write_text("accepted,question,answer\n,d e f,y\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no question"):
        read_faq(file)


def test_names_of_columns_that_are_no_language_stay_what_they_are() -> None:
    assert [role_of(name) for name in ("question_id", "question no", "topic", "类目", "answered by")] == [None] * 5


@pytest.mark.parametrize(
    ("text", "known", "language"),
    [
        ("怎么退货", ("en",), "zh"),
        ("How do I return it?", ("zh",), "en"),
        ("Wo ist meine Bestellung?", ("de", "zh"), "de"),
        ("where is my order please", ("de",), "en"),
        ("¿Cuánto cuesta el envío?", ("es", "fr"), "es"),
        ("返品の方法", ("ja",), "ja"),
        ("返品方法", ("ja",), "ja"),
        ("返品方法", ("zh", "ja"), "zh"),
        ("?!", ("fr", "zh"), "fr"),
    ],
)
def test_who_asks_is_understood_in_the_languages_of_the_list(text: str, known: tuple[str, ...], language: str) -> None:
    assert language_among(text, known) == language


def test_few_words_name_no_language() -> None:
    assert main_language(["VIP", "App", "怎么退货"]) == "en"
