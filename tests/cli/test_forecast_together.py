"""`noria grow forecast` of rivals, generations and a flow with an effort: for people, as JSON, as Parquet, on real series."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from markets import browsers, operating_systems

from noria.cli.main import main

TAKEN = ["--take", "Windows XP", "--take", "Windows 7", "--take", "Windows 10"]


def test_generations_of_a_real_series(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = operating_systems(shared_data, tmp_path / "systems.csv"), tmp_path / "ahead.parquet"
    asked = [
        "grow",
        "forecast",
        str(path),
        "--of",
        "generations",
        *TAKEN,
        "--launch",
        "Windows XP=2001-10",
        "--draws",
        "300",
    ]
    assert main([*asked, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "what each generation adds to the market" in said
    assert "launched: Windows XP 2001-10, Windows 7 2009-01, Windows 10 2015-08" in said
    assert "not identified" in said
    rows = pq.read_table(out).to_pylist()
    assert len(rows) == 18
    assert all(0 <= row["low"] <= row["median"] <= row["high"] for row in rows)
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["launches"]["Windows 7"] == "2009-01"
    assert {item["model"] for item in told["backtest"]} == {"persistence", "last-value", "norton-bass", "blend"}
    assert set(told["verdict"]) == {"en", "zh"}


def test_rivals_of_a_real_series(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = browsers(shared_data, tmp_path / "browsers.csv")
    asked = ["grow", "forecast", str(path), "--of", "rivals", "--take", "Chrome", "--take", "Firefox", "--draws", "300"]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "what each does to another's growth, at its latest size, 90 % intervals" in said
    assert "Chrome on Firefox" in said
    assert "do not add up to one whole" in said
    assert main([*asked, "--json", "--curve", "persistence"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == "persistence"
    assert told["notes"][-1]["zh"].startswith("这些是份额")
    assert len(told["figures"]) == 4


@pytest.fixture
def priced(tmp_path: Path) -> Path:
    path = tmp_path / "priced.csv"
    values = [840, 1470, 2110, 4000, 7590, 10950, 10530, 9470, 7790, 5890]
    lines = [f"{1990 + year},phones,,sales,{value},units" for year, value in enumerate(values)]
    lines += [f"{1990 + year},phones,,price,{300 - 13 * year + 9 * (year % 3)},USD" for year in range(12)]
    head = [
        "# source: a teaching case, prices made",
        "# licence: facts",
        "# as_of: 2013-01-01",
        "time,entity,segment,measure,value,unit",
    ]
    path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    return path


def test_a_flow_with_an_effort(priced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "grow",
        "forecast",
        str(priced),
        "--of",
        "flow",
        "--measure",
        "sales",
        "--effort",
        "price",
        "--draws",
        "200",
        "--horizon",
        "3",
    ]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "effect of price" in said
    assert "follows price for 2 period(s) that the series plans, and leaves it unchanged thereafter" in said
    assert main([*asked, "--json", "--curve", "generalised"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == "generalised"
    assert [figure["name"] for figure in told["curves"]["generalised"]["figures"]] == [
        "p",
        "q",
        "effect of price",
        "ceiling",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--of", "rivals"], "a forecast of rivals needs a series"),
        (["none.csv", "--of", "generations"], "no such series"),
        (["PRICED", "--of", "rivals", "--measure", "sales"], "two entities or more"),
        (["PRICED", "--of", "rivals", "--measure", "sales", "--effort", "price"], "an effort speeds a flow up"),
        (["PRICED", "--of", "flow", "--measure", "sales", "--effort", "prise"], "did you mean price?"),
        (["PRICED", "--of", "flow", "--measure", "sales", "--curve", "generalised"], "no such model of a flow"),
        (["PRICED", "--of", "level", "--measure", "sales", "--curve", "cohorts"], "no such model of a level"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], message: str, priced: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["grow", "forecast", *(str(priced) if word == "PRICED" else word for word in arguments)]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1


def test_an_estimator_is_asked_for_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sales = [840, 1470, 2110, 4000, 7590, 10950, 10530, 9470]  # of a published case (bass-golden.json)
    path = tmp_path / "sales.csv"
    lines = [f"{1980 + place},all,us,sales,{value},units" for place, value in enumerate(sales)]
    head = "# source: teaching case\n# licence: facts\n# as_of: 1962-01-01\ntime,entity,segment,measure,value,unit\n"
    path.write_text(head + "\n".join(lines), encoding="utf-8")
    asked = ["grow", "forecast", str(path), "--of", "flow", "--holdout", "1", "--draws", "100"]
    assert main([*asked, "--estimator", "ols", "--curve", "bass", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["curves"]
    assert {name: one["estimator"] for name, one in told.items()} == {
        "bass": "ols",
        "gompertz": "likelihood",
        "logistic": "likelihood",
    }
    assert told["bass"]["noise"] == "even"
    assert "等幅噪声" in told["bass"]["estimation"]["zh"]
    asked[asked.index("flow")] = "level"
    assert main([*asked, "--estimator", "density"]) == 2
    assert "allowed --estimator likelihood, --estimator nls" in capsys.readouterr().err
