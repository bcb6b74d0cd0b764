"""Tables with things around them and in them, as reports and exports have: titles, units, sources, totals, merged cells, two rows of names."""

from __future__ import annotations

from pathlib import Path

import pytest

from noria.core.errors import InputError, SettingError
from noria.grow.series.provenance import beside
from noria.grow.series.series import Series, read_series
from noria.grow.series.shapes import SeriesOptions
from tests.made_files import sheet

BY = SeriesOptions(source="x")


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def cells(series: Series) -> dict[tuple[str, ...], float | None]:
    return {
        tuple(part for part in (point.time, point.entity, point.segment) if part): point.value
        for point in series.points
    }


def test_a_workbook_with_a_title_a_unit_a_total_and_a_source_needs_no_flag(tmp_path: Path) -> None:
    path = tmp_path / "phones.xlsx"
    rows: list[list[object]] = [
        ["2024年手机市场"],
        ["单位：万台"],
        [None],
        ["月份", "品牌", "销量", "份额", "同比"],
        ["2024-01", "星河", 310, "60.2%", "5.1%"],
        ["2024-01", "远山", 205, "39.8%", "-3.0%"],
        ["合计", None, 515, None, None],
        ["数据来源：行业协会"],
    ]
    path.write_bytes(sheet(rows))
    series = read_series(path)
    assert series.provenance.source == "行业协会"
    assert {point.measure: point.unit for point in series.points} == {"销量": "万台", "份额": "percent"}
    assert [point.value for point in series.points if point.measure == "销量"] == [310, 205]
    said = " ".join(flag.text()["en"] for flag in series.flags)
    for part in ("1 rows of totals", "the unit is a line of the file: 万台", "columns not read: 同比", "行业协会"):
        assert part in said
    assert not beside(path).exists()  # nobody said anything


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (
            "品牌,2024年,,2025年,\n,上半年,下半年,上半年,下半年\n甲,10,12,14,15\n",
            {("2024-01", "甲"): 10, ("2024-07", "甲"): 12, ("2025-01", "甲"): 14, ("2025-07", "甲"): 15},
        ),
        (
            "Region,Brand,Jan 2024,Feb 2024\nEast,A,10,11\n,B,5,6\nWest,A,20,21\n,B,9,8\n",
            {
                ("2024-01", "A", "East"): 10,
                ("2024-02", "A", "East"): 11,
                ("2024-01", "B", "East"): 5,
                ("2024-02", "B", "East"): 6,
                ("2024-01", "A", "West"): 20,
                ("2024-02", "A", "West"): 21,
                ("2024-01", "B", "West"): 9,
                ("2024-02", "B", "West"): 8,
            },
        ),
        (
            'Month,Company,"Revenue, USD",,\n2024-01,"The ""Rock"" & Co","1,200",,\n# checked by Ann,,,,\n2024-02,O\'Neil,900,,\nTotal,,"2,100",,\n',
            {("2024-01", 'The "Rock" & Co'): 1200, ("2024-02", "O'Neil"): 900},
        ),
        ("week,product,orders\n2024-W05,A,10\n2024-W06,A,11\n", {("2024-01-29", "A"): 10, ("2024-02-05", "A"): 11}),
        (
            "日期,渠道,金额(万元)\n24/3/1,线上,5\n24/3/15,线上,6\n",
            {("2024-03-01", "线上"): 5, ("2024-03-15", "线上"): 6},
        ),
        (
            "Year,Alpha,Total\n2019,10.5,30.5\n2020,,31\n",
            {("2019", "Alpha"): 10.5, ("2020", "Alpha"): None, ("2019", "Total"): 30.5, ("2020", "Total"): 31},
        ),
    ],
)
def test_tables_of_other_shapes(text: str, meant: dict[tuple[str, ...], float | None], tmp_path: Path) -> None:
    assert cells(read_series(written(tmp_path / "t.csv", text), BY)) == meant


def test_json_lines_are_a_series_too(tmp_path: Path) -> None:
    path = written(
        tmp_path / "s.jsonl", '{"month":"2024-01","brand":"A","sales":3}\n{"month":"2024-01","brand":"B","sales":5.5}\n'
    )
    assert cells(read_series(path, BY)) == {("2024-01", "A"): 3, ("2024-01", "B"): 5.5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("月份,甲,,月份,乙\n2024-01,1,,2024-01,3\n", "two columns of one name: found '月份'"),
        (
            "Week,A,B\n2024-01-07,78,20\n2024-01-14,80,<1\n2024-01-21,80,2\n",
            "line 3, field 'value'.*found '<1'.*write the value itself",
        ),
        ("when,x\nsoon,1\n", "no column for the time: found 'when, x'.*--time"),
        ("month,a,b,x\n2024-01,u,v,1\n", "which column names the entity: found 'a, b'.*--segment"),
        (
            "time,entity,value\n1/2/2024,A,1\n3/4/2024,A,2\n",
            "line 2: it cannot be told whether days or months.*--date-order",
        ),
        (
            "time;entity;value\n2024-01;A;1,234\n2024-02;A;5,678\n",
            "line 2, field 'value': a thousand, or a part.*--decimal",
        ),
        ("time,entity,value\n1704038400,A,1\n1706716800,A,2\n", "line 2, field 'time'.*--zone"),
    ],
)
def test_what_cannot_be_told_is_asked_with_its_line_and_the_flag(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read_series(written(tmp_path / "t.csv", text), BY)
    assert not beside(tmp_path / "t.csv").exists()  # what could not be read is not kept


def test_what_a_person_said_is_kept_replaced_and_checked(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "time,entity,value\n1/2/2024,A,1\n3/4/2024,A,2\n")
    first = read_series(path, SeriesOptions(source="CRM", unit="orders", date_order="dmy"))
    assert beside(path).read_text(encoding="utf-8").splitlines()[1:] == [
        'date_order = "dmy"',
        'source = "CRM"',
        'unit = "orders"',
    ]
    again = read_series(path)
    assert (again.points, again.provenance) == (first.points, first.provenance)
    assert not any(flag.code == "provenance" for flag in again.flags)
    other = read_series(path, SeriesOptions(date_order="mdy", licence="CC0"))
    assert [point.time for point in other.points] == ["2024-01-02", "2024-03-04"]
    assert read_series(path).provenance.licence == "CC0"
    beside(path).write_text('sorce = "x"\n', encoding="utf-8")
    with pytest.raises(SettingError, match="did you mean source"):
        read_series(path)
