"""Series, shares, forecasts and experiments on small inputs that were once read wrongly, through the commands people run."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from noria.cli.grow.forecast import forecast as forecast_command
from noria.cli.grow.promote.experiment import experiment as experiment_command
from noria.cli.grow.share import share as share_command
from noria.cli.manners import with_manners
from noria.core.errors import InputError, RowError, SettingError
from noria.grow.market.settings import BasisSettings, ListingSettings
from noria.grow.promote.settings import UnitSettings
from noria.grow.promote.spend import read_spend
from noria.grow.series.calendars import following
from noria.grow.settings import ForecastSettings, MarketSettings

# As people run them, with the flags that all commands have.
forecast = with_manners(forecast_command)
share = with_manners(share_command)
experiment = with_manners(experiment_command)
CASES = Path(__file__).parent / "inputs" / "ship-grow"
HEAD = "# source: made up\n# licence: CC0\n# as_of: 2026-06-30\ntime,entity,segment,measure,value,unit\n"


def shares_of(path: Path, capsys: pytest.CaptureFixture[str], **settings: Any) -> dict[str, Any]:
    assert share(path, json=True, **settings) == 0
    return json.loads(capsys.readouterr().out)


def forecast_of(path: Path, capsys: pytest.CaptureFixture[str], of: Any = "shares", horizon: int = 3) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            forecast(path, what=ForecastSettings(of=of), settings=MarketSettings(horizon=horizon, draws=200), json=True)
            == 0
        )
    text = capsys.readouterr().out
    assert "NaN" not in text
    assert "Infinity" not in text
    return json.loads(text)


def write(path: Path, *rows: str, head: str = HEAD) -> Path:
    path.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def codes(told: dict[str, Any]) -> list[str]:
    return [flag["code"] for flag in told["flags"]]


def test_a_percentage_is_a_share(capsys: pytest.CaptureFixture[str]) -> None:
    told = shares_of(CASES / "unit-percentage.csv", capsys)
    first, second = told["shares"]
    assert [first[name] for name in ("Anna", "Bert", "Other")] == pytest.approx([0.4, 0.2, 0.4])
    assert [second[name] for name in ("Anna", "Bert", "Other")] == pytest.approx([0.45, 0.2, 0.35])


@pytest.mark.parametrize(
    ("unit", "one"),
    [
        *(
            (unit, 100)
            for unit in (
                "percent",
                "Percent",
                "percentage",
                "pct",
                "pct.",
                "PCT",
                "％",
                "%",
                " % ",
                "per cent",
                "百分比",
                "百分点",
                "% of users",
                "percent of visits",
                "占比（%）",
                "share (%)",
                "份额%",
                "占比",
                "份额",
                "市场份额",
                "share",
                "market share",
            )
        ),
        *(
            (unit, 1)
            for unit in (
                "share",
                "fraction",
                "ratio",
                "Ratio",
                "proportion",
                "占比",
                "份额",
                "比例",
                "fraction of users",
            )
        ),
        *((unit, 1000) for unit in ("‰", "per mille", "permille", "千分比")),
        *((unit, 10_000) for unit in ("basis points", "bps", "万分比", "‱")),
    ],
)
def test_every_way_to_write_a_share_is_one(
    unit: str, one: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"2024-0{month},{name},,m,{part * one:g},{unit}"
        for month in (1, 2)
        for name, part in (("Anna", 0.4), ("Bert", 0.2))
    ]
    told = shares_of(write(tmp_path / "s.csv", *rows), capsys)
    assert [told["shares"][0][name] for name in ("Anna", "Bert", "Other")] == pytest.approx([0.4, 0.2, 0.4])


@pytest.mark.parametrize("unit", ["users", "USD", "万人", "用户", "units", "pieces", "tokens", "people", "元"])
def test_an_amount_stays_an_amount(unit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = shares_of(write(tmp_path / "s.csv", f"2024-01,Anna,,m,40,{unit}", f"2024-01,Bert,,m,20,{unit}"), capsys)
    assert [told["shares"][0][name] for name in ("Anna", "Bert", "Other")] == pytest.approx([2 / 3, 1 / 3, 0])


def test_a_unit_that_contradicts_its_values_or_its_measure_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"2024-0{month},{name},,m,{part},percent" for month in (1, 2) for name, part in (("Anna", 0.7), ("Bert", 0.3))
    ]
    with pytest.raises(Exception, match=r"sum to one, not to 100.*unit 'share' for fractions"):
        shares_of(write(tmp_path / "s.csv", *rows), capsys)
    points = shares_of(
        write(tmp_path / "p.csv", "2024-01,Anna,,share of users,40,points", "2024-01,Bert,,share of users,20,points"),
        capsys,
    )
    assert codes(points) == ["unit"]
    assert "points" in points["flags"][0]["zh"]


def test_a_total_is_no_seller(capsys: pytest.CaptureFixture[str]) -> None:
    told = shares_of(CASES / "total.csv", capsys)
    assert [told["shares"][0][name] for name in ("Anna", "Bert")] == pytest.approx([0.5, 0.5])
    assert "Total" not in told["shares"][0]
    assert "Total is the sum of the others in all 2 periods" in told["flags"][0]["en"]


@pytest.mark.parametrize(
    "name",
    [
        "Total",
        "TOTAL",
        "total ",
        "Grand Total",
        "Sum",
        "All",
        "合计",
        "总计",
        "全部",
        "全市场",
        "Ｔｏｔａｌ",
        "总 计",
        "Nord",
    ],
)
@pytest.mark.parametrize("unit", ["users", "percent"])
def test_a_total_is_known_by_its_name_or_by_its_value(
    name: str, unit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [(50, 30, 20), (45, 35, 20), (40, 35, 25)]
    rows = [
        f"2024-0{month},{who},,m,{value},{unit}"
        for month, values in enumerate(parts, 1)
        for who, value in zip(("Anna", "Bert", "Cleo", name), (*values, sum(values)), strict=True)
    ]
    told = shares_of(write(tmp_path / "s.csv", *rows), capsys)
    assert [told["shares"][0][who] for who in ("Anna", "Bert", "Cleo")] == pytest.approx([0.5, 0.3, 0.2])
    assert codes(told) == ["total"]


def test_a_total_beyond_its_parts_leaves_a_rest_and_a_seller_called_total_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beyond = [
        f"2024-0{month},{who},,sales,{value},units"
        for month in (1, 2)
        for who, value in (("Anna", 50), ("Bert", 30), ("总计", 100))
    ]
    told = shares_of(write(tmp_path / "s.csv", *beyond), capsys)
    assert [told["shares"][0][who] for who in ("Anna", "Bert", "Other")] == pytest.approx([0.5, 0.3, 0.2])
    oil = [
        f"2024-0{month},{who},,sales,{value},units"
        for month in (1, 2)
        for who, value in (("Shell", 50), ("Total", 30), ("BP", 20))
    ]
    told = shares_of(write(tmp_path / "s.csv", *oil), capsys)
    assert told["shares"][0]["Total"] == pytest.approx(0.3)
    assert codes(told) == ["total"]
    # Half of a market is the sum of the rest, and is no total.
    half = [
        f"2024-0{month},{who},,m,{value},percent"
        for month in (1, 2, 3)
        for who, value in (("Anna", 50), ("Bert", 30 + month), ("Cleo", 20 - month))
    ]
    assert shares_of(write(tmp_path / "s.csv", *half), capsys)["shares"][0]["Anna"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "names", [("Other", "Others"), ("其他", "其它"), ("Others", "其他"), ("other ", "Rest"), ("其余", "All others")]
)
@pytest.mark.parametrize("apart", [True, False])
def test_two_rests_are_one(
    names: tuple[str, str], apart: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside one another they are added up; a change of spelling is no exit."""
    rows = []
    for month in (1, 2, 3, 4):
        rest = [(names[month > 2], 20)] if apart else [(names[0], 15), (names[1], 5)]
        rows += [f"2024-0{month},{who},,m,{value},percent" for who, value in (("Anna", 50), ("Bert", 30), *rest)]
    told = shares_of(write(tmp_path / "s.csv", *rows), capsys)
    assert all(row["Other"] == pytest.approx(0.2) for row in told["shares"])
    assert codes(told) == ["others"]


def test_missing_amounts_are_named_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    told = shares_of(CASES / "rename.csv", capsys)
    en = " ".join(flag["en"] for flag in told["flags"])
    assert "nothing was published" not in en
    assert "not known: NewName" in en
    assert "not known: OldName" in en
    assert "OldName ends where NewName begins" in en
    assert "--unlisted outside" in en
    assert any("更名" in flag["zh"] for flag in told["flags"])


def test_month_ends_are_months_for_a_flow(capsys: pytest.CaptureFixture[str]) -> None:
    ends, plain = (forecast_of(CASES / name, capsys, "flow") for name in ("flow-month-ends.csv", "flow-months.csv"))
    assert [row["time"] for row in ends["forecast"]] == ["2025-01-31", "2025-02-28", "2025-03-31"]
    assert [row["time"] for row in plain["forecast"]] == ["2025-01", "2025-02", "2025-03"]
    for told in (ends, plain):
        (ceiling,) = [
            figure["value"] for figure in told["curves"]["logistic"]["figures"] if figure["name"] == "ceiling"
        ]
        assert 6_500 < ceiling < 8_000
    assert [row["median"] for row in ends["forecast"]] == [row["median"] for row in plain["forecast"]]


def test_month_ends_are_months_for_shares(capsys: pytest.CaptureFixture[str]) -> None:
    told = forecast_of(CASES / "month-ends.csv", capsys)
    assert list(dict.fromkeys(row["time"] for row in told["forecast"])) == ["2026-01-31", "2026-02-28", "2026-03-31"]
    assert all(0 < item["mase"] < 100 for item in told["backtest"])


def test_an_entrant_has_room_in_the_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    told = forecast_of(CASES / "entrant.csv", capsys)
    (dora,) = [row for row in told["forecast"] if row["entity"] == "Dora" and row["time"] == "2026-03"]
    # That she came is no movement of her share: the interval is that of a share that stays about where it is.
    assert 0.03 < dora["low"] < 0.07 < dora["high"] < 0.15
    assert [flag["code"] for flag in told["flags"]] == ["bounded", "entry"]


def test_nothing_beats_persistence_where_nothing_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = forecast_of(CASES / "constant.csv", capsys)
    assert told["model"] == "persistence"
    assert "no value moved" in told["verdict"]["en"]
    assert "维持现状" in told["verdict"]["zh"]
    assert [item["mase"] for item in told["backtest"]] == [None] * len(told["backtest"])
    times = following(["2024-01"], 23)
    for of in ("level", "flow"):
        flat = write(tmp_path / "f.csv", *(f"{time},Anna,,users,500,users" for time in times))
        told = forecast_of(flat, capsys, of)
        assert told["model"] == "persistence"
        assert "no value moved" in told["verdict"]["en"]
    both = write(
        tmp_path / "r.csv",
        *(f"{time},{who},,users,{value},users" for time in times for who, value in (("Anna", 500), ("Bert", 300))),
    )
    assert forecast_of(both, capsys, "rivals")["model"] == "persistence"
    amounts = forecast_of(both, capsys)
    assert amounts["model"] == "persistence"
    assert re.search("no value moved", amounts["verdict"]["en"])


def experiment_of(path: Path, capsys: pytest.CaptureFixture[str], **settings: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            experiment(
                path,
                settings=UnitSettings(**settings),
                report=path.with_suffix(".html") if "cases" not in path.parts else None,
                json=True,
            )
            == 0
        )
    return json.loads(capsys.readouterr().out)


def test_outcomes_without_a_spread_get_no_interval(capsys: pytest.CaptureFixture[str]) -> None:
    told = experiment_of(CASES / "zero-variance-means.csv", capsys)
    (comparison,) = told["comparisons"]
    assert (comparison["value"], comparison["low"], comparison["high"], comparison["clear"]) == (2.0, None, None, False)
    assert all(group["low"] is None and group["high"] is None for group in told["groups"])
    assert "without an interval" in told["verdict"]["en"]
    assert "无法给出区间" in told["verdict"]["zh"]


@pytest.mark.parametrize("kind", ["mean", "tenths", "ratio", "cuped", "days", "three"])
def test_no_interval_has_width_zero(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the metric, what is but rounding in outcomes that are all alike is no spread."""
    groups = ["control", "B", "C"] if kind == "three" else ["control", "B"]
    head, rows = "user,variant,outcome", []
    for user in range(300):
        place = user % len(groups)
        outcome: float = {
            "mean": 7 + 2 * place,
            "tenths": 0.1 + 0.2 * place,
            "days": 7 + 2 * place,
            "three": [7, 9, 7 + user % 5][place],
        }.get(kind, 0)
        more = ""
        if kind == "ratio":
            weight = user % 4 + 1
            outcome, more = (7 + 2 * place) * weight / 3, f",{weight}"
        if kind == "cuped":
            outcome, more = user % 7 * 3.3 + place, f",{user % 7}"
        if kind == "days":
            more = f",2026-01-{user % 28 + 1:02d}"
        rows.append(f"u{user},{groups[place]},{outcome}{more}")
    column = {"ratio": ",weight", "cuped": ",before", "days": ",time"}.get(kind, "")
    told = experiment_of(write(tmp_path / "e.csv", *rows, head=f"{head}{column}\n"), capsys)
    for item in [
        *told["comparisons"],
        *told["groups"],
        *(look for row in told["comparisons"] for look in row["looks"]),
    ]:
        assert item["low"] is None or item["high"] is None or item["high"] > item["low"]
    if kind == "three":  # what has a spread keeps the interval that it has alone
        assert told["comparisons"][1]["low"] is not None


def test_groups_that_differ_by_case_are_joined_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    told = experiment_of(CASES / "variant-case.csv", capsys, control="control")
    assert told["balance"]["names"] == ["Control", "B"]
    assert told["balance"]["counts"] == [100, 100]
    assert [sorted(note) for note in told["notes"]] == [["en", "zh"]] * 2
    assert "'Control' and 'control'" in told["notes"][0]["en"]


def test_other_ways_in_which_names_are_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["Ａ", "a", "A", "Group  B", "group b", "Group\u200b B"]
    path = write(
        tmp_path / "e.csv",
        *(f"u{user},{names[user % 6]},{user % 5}" for user in range(120)),
        head="user,variant,outcome\n",
    )
    told = experiment_of(path, capsys)
    assert [told["balance"]["names"], told["balance"]["counts"]] == [["Ａ", "Group B"], [60, 60]]
    numbers = write(
        tmp_path / "n.csv",
        *(f"u{user},{['0', '0.0', '1', '1.0'][user % 4]},{user % 5}" for user in range(120)),
        head="user,variant,outcome\n",
    )
    assert experiment_of(numbers, capsys)["balance"]["names"] == ["0", "1"]


def test_a_row_with_more_fields_than_columns_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        RowError,
        match=r"decimal-comma-unquoted.csv, line 5: .*: found '7 cells'; allowed 6 .*between quotes",
    ):
        shares_of(CASES / "decimal-comma-unquoted.csv", capsys)
    quoted = write(
        tmp_path / "q.csv",
        *(f'2024-01,{who},,share of users,"{value}",percent' for who, value in (("Anna", "12,5"), ("Bert", "37,5"))),
    )
    told = shares_of(quoted, capsys)
    assert [told["shares"][0][who] for who in ("Anna", "Bert", "Other")] == pytest.approx([0.125, 0.375, 0.5])
    assert codes(told) == ["decimal", "rest"]


@pytest.mark.parametrize(
    "cells", [("40%", "20%"), ("40 %", "20%"), ("４０％", "２０％"), ("400‰", "200‰"), ("40,0%", "20,0%")]
)
def test_a_sign_in_the_cell_is_read_with_its_unit(
    cells: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for unit in ("percent", "share", "占比", ""):
        rows = [f'2024-01,{who},,m,"{cell}",{unit}' for who, cell in zip(("Anna", "Bert"), cells, strict=True)]
        told = shares_of(write(tmp_path / "s.csv", *rows), capsys)
        assert [told["shares"][0][who] for who in ("Anna", "Bert")] == pytest.approx([0.4, 0.2])
    with pytest.raises(RowError, match="line 5, field 'value': a share among amounts in 'users'"):
        shares_of(write(tmp_path / "s.csv", "2024-01,Anna,,m,40%,users"), capsys)


def test_names_of_one_entity_in_two_spellings_are_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"2024-0{month},{'ChatGPT' if month < 3 else 'chatgpt '},,m,60,percent" for month in (1, 2, 3, 4)]
    told = shares_of(
        write(
            tmp_path / "s.csv",
            *rows,
            *(row.replace("60", "40").replace("ChatGPT", "B").replace("chatgpt ", "B") for row in rows),
        ),
        capsys,
    )
    assert [row["ChatGPT"] for row in told["shares"]] == pytest.approx([0.6] * 4)
    assert codes(told) == ["spelling"]
    with pytest.raises(RowError, match=r"line 6: this point came before.*differ only in letter case"):
        shares_of(write(tmp_path / "s.csv", "2024-01,Anna,,m,40,users", "2024-01,ANNA,,m,50,users"), capsys)


def test_of_what_is_missing_a_total_tells_only_the_sum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beyond its parts lies the rest, or the one that is not listed: which, only who asks can say."""
    rows = []
    for month in range(1, 7):
        rows += [f"2024-0{month},{who},,sales,{value},units" for who, value in (("Anna", 50), ("合计", 100))]
        rows += [f"2024-0{month},Bert,,sales,20,units"] if month > 3 else []
    path = write(tmp_path / "s.csv", *rows)
    told = shares_of(path, capsys)
    assert [told["shares"][0][who] for who in ("Anna", "Bert", "Other")] == [pytest.approx(0.5), None, None]
    open_ = told["open"][0]
    assert (open_["Bert"]["is"], open_["Bert"]["low"], open_["Bert"]["high"]) == (
        "missing",
        0,
        pytest.approx(0.5, abs=0.02),
    )
    assert [told["shares"][5][who] for who in ("Anna", "Bert", "Other")] == pytest.approx([0.5, 0.2, 0.3])
    assert {"total", "missing", "advice"} <= set(codes(told))
    outside = shares_of(path, capsys, basis=BasisSettings(unlisted="outside"))
    assert [outside["shares"][0][who] for who in ("Anna", "Bert", "Other")] == pytest.approx([0.5, 0.0, 0.5])
    # A true total has no room for another: nobody is missing where it is the sum.
    true = [
        f"2024-0{month},{who},,sales,{value},units"
        for month in (1, 2, 3)
        for who, value in (("Anna", 50), ("Total", 50 if month == 1 else 70), *((("Bert", 20),) if month > 1 else ()))
    ]
    told = shares_of(write(tmp_path / "t.csv", *true), capsys)
    assert [told["shares"][0][who] for who in ("Anna", "Bert")] == pytest.approx([1.0, 0.0])


def test_a_forecast_says_what_is_missing_and_takes_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        InputError,
        match=r"too few periods with all shares known: found 0.*OldName ends where NewName begins.*not known: NewName.*--unlisted outside",
    ):
        forecast(CASES / "rename.csv")
    times = ["2024-01", *following(["2024-01"], 11)]
    rows = [
        f"{time},{who},,users,{50 + place % 3},users"
        for place, time in enumerate(times)
        for who in ("Anna", "OldName" if place < 3 else "NewName", "Total of Asia")
    ]
    listing = ListingSettings(unlisted="outside", without=("Total of Asia",))
    assert (
        forecast(write(tmp_path / "s.csv", *rows), listing=listing, settings=MarketSettings(draws=200), json=True) == 0
    )
    assert "renamed" in [flag["code"] for flag in json.loads(capsys.readouterr().out)["flags"]]
    with pytest.raises(SettingError, match=r"--of flow.*--of shares"):
        forecast(CASES / "flow-months.csv", what=ForecastSettings(of="flow"), listing=listing)


def test_what_has_no_end_is_a_dash_on_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = ["2024-01", *following(["2024-01"], 23)]
    path = write(
        tmp_path / "r.csv",
        *(f"{time},{who},,users,{value},users" for time in times for who, value in (("Anna", 500), ("Bert", 300))),
    )
    assert forecast(path, what=ForecastSettings(of="rivals"), settings=MarketSettings(horizon=3, draws=200)) == 0
    out = capsys.readouterr().out
    assert "not identified" in out
    assert not re.search(r"\b(inf|nan)\b", out)


@pytest.mark.parametrize(
    ("cells", "means"),
    [
        (("0.8%", "1.2%"), (0.008, 0.012)),
        (("14,5", "15,25"), (14.5, 15.25)),
        (("1,234", "2,345,678"), (1234, 2_345_678)),
        (("是", "否"), (1, 0)),
        (("1.234,5", "2.000,5"), (1234.5, 2000.5)),
        (("1.234", "2.000,5"), (1234, 2000.5)),
        (("¥12", "¥15"), (12, 15)),
        (("１２", "15%"), (12, 0.15)),
    ],
)
def test_outcomes_are_read_as_people_write_them(
    cells: tuple[str, str], means: tuple[float, float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f'u{user},{("control", "B")[user % 2]},"{cells[user % 2]}"' for user in range(40)]
    found = experiment_of(write(tmp_path / "e.csv", *rows, head="user,variant,outcome\n"), capsys)
    assert [group["value"] for group in found["groups"]] == pytest.approx(list(means))
    assert any("are read as" in note["en"] for note in found["notes"])


def test_an_outcome_written_in_two_ways_is_set_aside_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f'u{user},{("control", "B")[user % 2]},"{("1,5", "1.25", "7")[user % 3]}"' for user in range(60)]
    with pytest.raises(InputError, match="60 rows set aside: the outcome is missing or no finite number"):
        experiment_of(write(tmp_path / "e.csv", *rows, head="user,variant,outcome\n"), capsys)


@pytest.mark.parametrize("form", ["{month}", "{month}-01", "{month}-15"])
def test_spend_by_months_in_any_form_is_monthly(form: str, tmp_path: Path) -> None:
    months = ["2015-01", *following(["2015-01"], 47)]
    rows = [f'{form.format(month=month)},"1,{100 + place % 7}",{place % 5}' for place, month in enumerate(months)]
    spend = read_spend(write(tmp_path / "b.csv", *rows, head="time,outcome,tv\n"), channels=("tv",))
    assert spend.unit.both() == {"en": "month", "zh": "月"}
    assert spend.outcome[:3].tolist() == [1100, 1101, 1102]


def test_a_subtotal_beside_a_rest_is_no_seller(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        f"2024-0{month},{who},,users,{value},users"
        for month in (1, 2, 3)
        for who, value in (("甲", 50 + month), ("乙", 30), ("小计", 80 + month), ("其它（含未知）", 20))
    ]
    told = shares_of(write(tmp_path / "s.csv", *rows), capsys)
    assert [told["shares"][0][who] for who in ("甲", "乙", "Other")] == pytest.approx([51 / 101, 30 / 101, 20 / 101])
    assert codes(told) == ["total"]


def amounts_of(*columns: tuple[str, list[float]], unit: str = "users") -> list[str]:
    """Return rows of amounts, month by month."""
    return [
        f"2024-{month + 1:02d},{who},,m,{values[month]:g},{unit}"
        for month in range(len(columns[0][1]))
        for who, values in columns
    ]


@pytest.mark.parametrize(
    "name",
    [
        "All brands",
        "Gesamt",
        "总额",
        "全国合计",
        "全行业",
        "Worldwide",
        "Σ",
        "All sellers combined",
        "Combined",
        "Overall market",
        "Everything",
        "行业整体",
    ],
)
def test_a_total_in_any_words_is_known_in_two_periods(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = amounts_of(("Anna", [53, 56]), ("Bert", [29, 28]), (name, [82, 84]))
    told = shares_of(write(tmp_path / "s.csv", *rows), capsys)
    assert [told["shares"][0][who] for who in ("Anna", "Bert")] == pytest.approx([53 / 82, 29 / 82])
    assert codes(told) == ["total"]


def test_a_sum_by_chance_is_no_total_and_is_told_where_it_may_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Two that are alike beside one with a trace are no total and its parts.
    alike = amounts_of(("Anna", [500, 700, 900]), ("Bert", [500, 700, 900]), ("Cleo", [1, 1, 1]))
    told = shares_of(write(tmp_path / "a.csv", *alike), capsys)
    assert told["shares"][0]["Anna"] == pytest.approx(500 / 1001)
    assert codes(told) == []
    # In two periods a sum may be chance: all are kept, and it is told.
    twice = amounts_of(("Nord", [300, 330]), ("Anna", [100, 120]), ("Bert", [200, 210]))
    told = shares_of(write(tmp_path / "t.csv", *twice), capsys)
    assert told["shares"][0]["Nord"] == pytest.approx(0.5)
    assert "--without 'Nord'" in told["flags"][0]["en"]
    assert "Nord" in told["flags"][0]["zh"]


def test_a_total_of_some_beside_the_total_of_all_is_no_seller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = amounts_of(
        ("Anna", [53, 56]), ("Bert", [29, 28]), ("Cleo", [21, 22]), ("Subtotal Top 2", [82, 84]), ("Total", [103, 106])
    )
    told = shares_of(write(tmp_path / "s.csv", *rows), capsys)
    assert [told["shares"][0][who] for who in ("Anna", "Bert", "Cleo")] == pytest.approx([53 / 103, 29 / 103, 21 / 103])
    assert codes(told) == ["total", "total"]


@pytest.mark.parametrize(
    "name",
    [
        "All the others",
        "Everyone else",
        "Sonstige",
        "其他公司",
        "Other vendors",
        "Rest of the market",
        "Others (12 brands)",
        "长尾",
        "其余企业",
    ],
)
def test_a_rest_in_any_words_is_one(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = amounts_of(("Anna", [50, 51]), ("Bert", [30, 30]), (name, [20, 19]), unit="percent")
    assert shares_of(write(tmp_path / "s.csv", *rows), capsys)["shares"][0]["Other"] == pytest.approx(0.2)
    rows = amounts_of(("Anna", [50, 51]), ("Other World Computing", [30, 30]), unit="percent")
    told = shares_of(write(tmp_path / "o.csv", *rows), capsys)
    assert told["shares"][0]["Other World Computing"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("unit", "one"),
    [
        ("Prozent", 100),
        ("pourcent", 100),
        ("pct points", 100),
        ("share in percent", 100),
        ("用户百分比", 100),
        ("parts per thousand", 1000),
        ("ppm", 1e6),
    ],
)
def test_shares_in_other_words(unit: str, one: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = amounts_of(("Anna", [0.4 * one, 0.4 * one]), ("Bert", [0.2 * one, 0.2 * one]), unit=unit)
    assert shares_of(write(tmp_path / "s.csv", *rows), capsys)["shares"][0]["Other"] == pytest.approx(0.4)


def test_words_for_nobody_and_for_no_group_are_no_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        f"{'NULL' if user < 40 else f'u{user}'},{['control', 'B', 'null', '(not set)'][user % 4]},{user % 3}"
        for user in range(240)
    ]
    told = experiment_of(write(tmp_path / "e.csv", *rows, head="user,variant,outcome\n"), capsys)
    assert [told["balance"]["names"], told["balance"]["counts"]] == [["control", "B"], [50, 50]]
    # Users are numbered from zero, and a group that gets nothing may be called none.
    rows = [f"{user},{['none', 'B'][user % 2]},{user % 3}" for user in range(240)]
    told = experiment_of(write(tmp_path / "n.csv", *rows, head="user,variant,outcome\n"), capsys)
    assert [told["balance"]["names"], told["balance"]["counts"]] == [["none", "B"], [120, 120]]


@pytest.mark.parametrize(("name", "codes_told"), [("Total", ["total"]), ("全国", ["total"]), ("South", [])])
def test_a_segment_that_is_the_sum_of_the_others_is_not_added_to_them(
    name: str, codes_told: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {"East": (30, 20), "West": (50, 10), name: (80, 30) if codes_told else (10, 70)}
    rows = [
        f"2024-0{month},{who},{segment},m,{value + month},users"
        for month in (1, 2)
        for segment, values in parts.items()
        for who, value in zip(("Anna", "Bert"), values, strict=True)
    ]
    if codes_told:  # each part grows by one a month, and their sum by two
        rows = [row for row in rows if f",{name}," not in row]
        rows += [
            f"2024-0{month},{who},{name},m,{value + 2 * month},users"
            for month in (1, 2)
            for who, value in (("Anna", 80), ("Bert", 30))
        ]
    told = shares_of(write(tmp_path / "s.csv", *rows), capsys, decompose=True)
    assert [flag["code"] for flag in told["flags"]] == codes_told
    assert len(told["decomposition"]["segments"]) == (2 if codes_told else 3)


def test_several_currencies_and_words_for_nobody_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = shares_of(write(tmp_path / "s.csv", '2024-01,Anna,,m,"$1,234",USD', "2024-01,Bert,,m,￥500,USD"), capsys)
    assert codes(told) == ["currency"]
    with pytest.raises(RowError, match=r"line 5, field 'entity': a word for nobody"):
        shares_of(write(tmp_path / "n.csv", "2024-01,NULL,,m,40,users", "2024-01,Bert,,m,60,users"), capsys)
