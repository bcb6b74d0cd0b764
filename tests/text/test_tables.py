"""Tables in every dialect, written and read back: rows in = rows out and counted errors, and no cell in another's place."""

from __future__ import annotations

import csv
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noria.core.errors import RowError
from noria.text.records import records_in

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "gb18030", "big5hkscs", "cp1252")
CHINESE = "很好，也不错"
TRADITIONAL = "這個很好，來了"
WESTERN = "the café is good, they said"
# What once cut a row or took it for a remark: Unicode line ends, separators of ASCII, a # at a line's start.
ODD = ["\u2028", "\u2029", "\x85", "\x1c", "\x1d", "\x0b", "\x0c", "#", "'", "007", " ", "\u3000", "，", "。", "%", "="]
SPECIAL = [",", ";", "\t", "|", '"', "\n", "\r\n", "\r"]


@dataclass(frozen=True)
class Written:
    """A table as it was meant, and the bytes of it."""

    image: bytes
    rows: list[list[str]]
    names: list[str]
    bad: int
    """Rows with more filled cells than columns."""
    repeated: int


def cells_for(encoding: str, banned: str) -> st.SearchStrategy[str]:
    words = {"big5hkscs": [TRADITIONAL], "cp1252": [WESTERN, "price 3", "naïve café"]}.get(
        encoding, [CHINESE, WESTERN, "price 3", "naïve café"]
    )
    pieces = [piece for piece in (*words, *ODD, *SPECIAL) if not set(piece) & set(banned)]
    pieces = [piece for piece in pieces if encodes(piece, encoding)]
    return (
        st.lists(st.sampled_from(pieces), min_size=1, max_size=4).map("".join).filter(lambda cell: bool(cell.strip()))
    )


def encodes(text: str, encoding: str) -> bool:
    try:
        return text.encode(encoding).decode(encoding) == text
    except UnicodeError:
        return False


def written(cell: str, delimiter: str, quoting: int) -> str:
    """Return a cell as RFC 4180 has it; csv.writer leaves a lone carriage return bare where lines end with a line feed."""
    if quoting == csv.QUOTE_NONE or (quoting == csv.QUOTE_MINIMAL and not set(cell) & {delimiter, '"', "\r", "\n"}):
        return cell
    return '"' + cell.replace('"', '""') + '"'


@st.composite
def tables(draw: st.DrawFn) -> Written:
    encoding = draw(st.sampled_from(ENCODINGS))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    banned = f'{delimiter}"\r\n' if quoting == csv.QUOTE_NONE else ""
    width = draw(st.integers(2, 5))
    traditional = encoding == "big5hkscs"
    names = (["內容", "標籤", "備註", "來源", "日期"] if traditional else ["text", "label", "note", "source", "day"])[
        :width
    ]
    cell = cells_for(encoding, banned)
    # A first row that speaks the encoding's language, without which no encoding can be told.
    first = {"big5hkscs": TRADITIONAL, "cp1252": "the café is good"}.get(encoding, CHINESE)
    rows = [
        [first] + ["x"] * (width - 1),
        *draw(st.lists(st.lists(cell, min_size=width, max_size=width), min_size=2, max_size=8)),
    ]
    lines: list[list[str]] = []
    bad = repeated = 0
    meant: list[list[str]] = []
    for number, row in enumerate(rows):
        form = (
            draw(st.sampled_from(["whole"] * 6 + ["short", "trailing", "surplus", "blank", "header"]))
            if number > 1
            else "whole"
        )
        if form == "short":
            lines.append(row[:1])
            meant.append([row[0], *[""] * (width - 1)])
            continue
        if form == "trailing":
            lines.append([*row, "", ""])
        elif form == "surplus":
            lines.append([*row, "one more"])
            bad += 1
            continue
        else:
            if form == "blank":
                lines.append([])
            if form == "header":
                lines.append(names)
                repeated += 1
            lines.append(row)
        meant.append(row)
    text = "".join(delimiter.join(written(cell, delimiter, quoting) for cell in line) + end for line in [names, *lines])
    if draw(st.booleans()):
        text = f"sep={delimiter}{end}{text}"
    return Written(text.encode(encoding), meant, names, bad, repeated)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), st.sampled_from(["r.csv", "r.tsv"]))
def test_what_is_written_is_read_back_or_counted(table: Written, name: str) -> None:
    records = records_in(table.image, name)
    found = list(records)
    rows = [record for _, record in found if isinstance(record, dict)]
    faults = [record for _, record in found if isinstance(record, RowError)]
    assert [list(row.values()) for row in rows] == table.rows
    assert all(list(row) == table.names for row in rows)
    assert len(faults) == table.bad
    assert sum(records._notes.counts.values()) == table.repeated


A, B = {"text": "好", "label": "a"}, {"text": "坏", "label": "b"}


@pytest.mark.parametrize(
    ("name", "text", "rows", "notes"),
    [
        ("r.csv", "内容，标签\n好，a\n", [{"内容": "好", "标签": "a"}], 0),
        ("r.csv", "\n,,\ntext,label,,\n好,a,,\n,,,\n坏,b\n", [A, B], 1),
        ("r.csv", "text,label\n好,a\n\ufefftext,label,,\nlabel,text\nb,坏\n", [A, B], 2),
        ("r.csv", ",text,label\n0,好,a\n1,坏,b\n", [A, B], 1),
        ("r.csv", "'text','label'\n'好','a'\n'坏','b'\n", [A, B], 0),
        ("r.csv", 'text, label\n"好, 坏", "a, b"\n', [{"text": "好, 坏", "label": "a, b"}], 0),
        ("r.csv", 'text,label\n"say \\"好, 坏\\"",a\n', [{"text": 'say "好, 坏"', "label": "a"}], 0),
        ("r.csv", "text\tlabel\n好,坏\ta\n", [{"text": "好,坏", "label": "a"}], 0),
        ("r.tsv", "text,label\n好,a\n坏,b\n", [A, B], 0),
        ("r.tsv", 'text\tlabel\n"5"" screen"\ta\n', [{"text": '5" screen', "label": "a"}], 0),
        ("r.tsv", 'text\tlabel\n"好\n坏"\ta\n', [{"text": "好\n坏", "label": "a"}], 0),
        ("r.csv", "SEP=|\r\ntext|label\r\n好|a\r\n", [A], 0),
        ("r.csv", "day;value\n1;3,50\n2;4,00\n", [{"day": "1", "value": "3,50"}, {"day": "2", "value": "4,00"}], 0),
    ],
)
def test_small_tables_of_every_kind(name: str, text: str, rows: list[dict[str, str]], notes: int) -> None:
    records = records_in(text.encode(), name)
    assert [record for _, record in records] == rows
    assert len(records.notes()) == notes


def test_one_short_row_or_stray_quote_in_three_thousand_is_that_row_alone() -> None:
    lines = [f"评论{number}很好,好评" for number in range(3_000)]
    for spoilt, bad in (("质量太差", 0), ('"质量太差,差评', 1), ('"质量"太差,差评', 1), ("质量,太差,差评", 1)):
        image = "\n".join(["text,label", *lines[:1_500], spoilt, *lines[1_500:]]).encode()
        found = list(records_in(image, "r.csv"))
        assert len(found) == 3_001
        assert [line for line, record in found if isinstance(record, RowError)] == [1_502] * bad


def test_a_quote_that_runs_on_to_another_takes_no_row_with_it() -> None:
    lines = [f"评论{number}很好,好评" for number in range(50)]
    image = "\n".join(["text,label", *lines, '"质量太差,差评', *lines, '屏幕5",好评', *lines]).encode()
    found = list(records_in(image, "r.csv"))
    assert len(found) == 152
    assert [line for line, record in found if isinstance(record, RowError)] == [52]
