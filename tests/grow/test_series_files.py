"""A series' file in every encoding, dialect and way to write numbers and times: each row is read as it is meant, or refused by line."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import InputError, RowError
from noria.grow.series.series import Series, read_series

COLUMNS = ("time", "entity", "segment", "measure", "value", "unit")
NAMES = ("通义千问", "Anna, Inc.", "B;C", "Zoë", 'the "best"', "one\u2028two", "Dora")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "gb18030")
DELIMITERS = (",", ";", "\t", "|")
ENDS = ("\n", "\r\n", "\r")
HEAD = ("# source: 某统计局, 2024", "# licence: CC0", "# as_of: 2026-06-30")


def told(value: float, style: str) -> str:
    """Return a number as the people of a place write it."""
    plain = f"{value:,.2f}"
    return {
        "plain": f"{value:.2f}",
        "english": plain,
        "german": plain.replace(",", "_").replace(".", ",").replace("_", "."),
        "french": plain.replace(",", "\u202f").replace(".", ","),
        "swiss": plain.replace(",", "’"),
    }[style]


def table(values: list[list[float]], delimiter: str, style: str, *, spreadsheet: bool, blanks: bool) -> str:
    """Return a file's text with \\n at its line ends; `spreadsheet` is what saving it from one leaves in it."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    if spreadsheet and delimiter == ";":
        out.write("sep=;\n")
    for line in HEAD:
        if spreadsheet:
            writer.writerow([line, *[""] * 5])
        else:
            out.write(line + "\n")
    if blanks:
        out.write("\n")
    writer.writerow(COLUMNS)
    for month, row in enumerate(values, 1):
        for name, value in zip(NAMES, row, strict=False):
            writer.writerow([f"2024-{month:02d}", name, "", "用户数", told(value, style), "users"])
        if blanks:
            out.write("\n" if month % 2 else delimiter * 5 + "\n")
    return out.getvalue()


def points(series: Series) -> dict[tuple[str, str], float | None]:
    return {(point.time, point.entity.replace("\u2028", " ")): point.value for point in series.points}


def meant(values: list[list[float]]) -> dict[tuple[str, str], float | None]:
    return {
        (f"2024-{month:02d}", name.replace("\u2028", " ")): value
        for month, row in enumerate(values, 1)
        for name, value in zip(NAMES, row, strict=False)
    }


@pytest.mark.parametrize(("encoding", "delimiter", "end"), list(itertools.product(ENCODINGS, DELIMITERS, ENDS)))
def test_every_dialect_is_read_back(encoding: str, delimiter: str, end: str, tmp_path: Path) -> None:
    values = [[1234.5, 0.25, 7.0, 1_000_000.75, 12.0, 3.5, 99.99], [2234.5, 0.5, 8.0, 1_000_001.75, 13.0, 4.5, 98.99]]
    path = tmp_path / ("s.tsv" if delimiter == "\t" else "s.csv")
    for style, spreadsheet, blanks in itertools.product(
        ("plain", "english", "german", "french", "swiss"), (False, True), (False, True)
    ):
        text = table(values, delimiter, style, spreadsheet=spreadsheet, blanks=blanks)
        image = text.replace("\n", end).encode(encoding)
        path.write_bytes(image)
        series = read_series(path)
        assert points(series) == meant(values), (style, spreadsheet, blanks)
        assert series.provenance.source == "某统计局, 2024"
        assert ("encoding" in [flag.code for flag in series.flags]) == (encoding in ("utf-16", "gb18030"))
        packed = tmp_path / f"{path.name}.gz"
        packed.write_bytes(gzip.compress(image))
        assert read_series(packed) == series


@given(
    st.lists(
        st.lists(st.integers(0, 10**9).map(lambda cents: cents / 100), min_size=7, max_size=7), min_size=1, max_size=4
    ),
    st.sampled_from(DELIMITERS),
    st.sampled_from(["plain", "english", "german", "french", "swiss"]),
)
def test_every_number_is_read_back_or_asked_about(
    tmp_path_factory: pytest.TempPathFactory, values: list[list[float]], delimiter: str, style: str
) -> None:
    path = tmp_path_factory.mktemp("s") / "s.csv"
    path.write_text(table(values, delimiter, style, spreadsheet=False, blanks=False), encoding="utf-8")
    assert points(read_series(path)) == meant(values)


def write(path: Path, *rows: str, head: tuple[str, ...] = HEAD) -> Path:
    path.write_text("\n".join((*head, *rows)) + "\n", encoding="utf-8")
    return path


def test_a_mark_with_three_digits_behind_it_is_asked_about_where_nothing_tells(tmp_path: Path) -> None:
    head = (*HEAD, ";".join(COLUMNS))
    for cell in ("1,234", "1.234"):
        with pytest.raises(
            RowError,
            match=f"line 5, field 'value': a thousand, or a part of one.: found '{cell}'; allowed 1234 or 1.234",
        ):
            read_series(
                write(tmp_path / "s.csv", f"2024-01;Anna;;m;{cell};users", "2024-02;Anna;;m;2000;users", head=head)
            )
    known = read_series(
        write(tmp_path / "s.csv", "2024-01;Anna;;m;1.234;users", "2024-02;Anna;;m;0,5;users", head=head)
    )
    assert [point.value for point in known.points] == [1234.0, 0.5]
    with pytest.raises(InputError, match=r"numbers are written in two ways.*decimal comma.*decimal point"):
        read_series(write(tmp_path / "s.csv", "2024-01;Anna;;m;1,5;users", "2024-02;Anna;;m;1.25;users", head=head))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2024/3", "2024-03"),
        ("2024年3月", "2024-03"),
        ("202403", "2024-03"),
        ("2024Q2", "2024-04"),
        ("2024-03-05 00:00:00", "2024-03-05"),
        ("20240305", "2024-03-05"),
        ("2024.03.05", "2024-03-05"),
        ("2024年3月5日", "2024-03-05"),
        ("2024年", "2024"),
        ("2024-W10", "2024-03-04"),
        ("3/2024", "2024-03"),
        ("Mar 2024", "2024-03"),
        ("Mar-24", "2024-03"),
        ("Q2 2024", "2024-04"),
        ("2Q24", "2024-04"),
        ("2024年二季度", "2024-04"),
        ("2024年下半年", "2024-07"),
        ("2024年第10周", "2024-03-04"),
        ("45356", "2024-03-05"),
        ("1709596800", "2024-03-05"),
        ("1709596800000", "2024-03-05"),
        ("5-Mar-24", "2024-03-05"),
    ],
)
def test_a_time_in_a_form_that_can_be_read_in_one_way_is_read_and_told(written: str, read: str, tmp_path: Path) -> None:
    series = read_series(write(tmp_path / "s.csv", ",".join(COLUMNS), f"{written},a,,m,1,users"))
    assert series.points[0].time == read
    assert [flag.code for flag in series.flags] == ["form"]


@pytest.mark.parametrize(
    "written",
    ["2024.3", "2024-13", "2024-02-30", "2024-03-05 10:00", "yesterday", "1234"],
)
def test_a_time_that_can_be_read_in_two_ways_or_none_is_refused_by_line(written: str, tmp_path: Path) -> None:
    with pytest.raises(RowError, match="line 5, field 'time': not a time"):
        read_series(write(tmp_path / "s.csv", ",".join(COLUMNS), f"{written},a,,m,1,users"))


def test_words_for_missing_are_missing_and_told(tmp_path: Path) -> None:
    rows = [
        f"2024-01,a{place},,m,{cell},users" for place, cell in enumerate(("n/a", "-", "暂无", "..", "NULL", "n/a", ""))
    ]
    series = read_series(write(tmp_path / "s.csv", ",".join(COLUMNS), *rows))
    assert [point.value for point in series.points] == [None] * 7
    assert next(flag.what for flag in series.flags) == "2 values 'n/a' are read as missing"
    assert len(series.flags) == 5


def test_what_is_not_read_is_told(tmp_path: Path) -> None:
    series = read_series(
        write(
            tmp_path / "s.csv",
            ",".join((*COLUMNS, "remark")),
            "2024-01,a,,m,1,users,seen",
            "",
            ",,,,,,",
            "2024-02,a,,m,2,users,",
        )
    )
    assert [flag.what for flag in series.flags] == [
        "columns not read: remark",
        "1 rows of empty cells passed over, the first on line 7",
    ]
    assert [flag.what["zh"] for flag in series.flags] == ["未读取的列：remark", "1 行为空，已跳过，首见于第 7 行"]
    for row, why in (
        ("2024-01,a,,m,1,users,,more", "8 cells"),
        ("2024-01,a,,m", "empty"),
        ("# 2024-01,a,,m,1,users", "not a time"),
        ("2024-01,a,,m,<5,users", "write the value itself"),
    ):
        with pytest.raises(RowError, match=f"line 6.*{why}"):
            read_series(write(tmp_path / "s.csv", ",".join((*COLUMNS, "remark")), "2023-12,a,,m,1,users,", row))
