"""`noria grow`: what each command prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from noria.cli.main import main


@pytest.fixture
def purchases(tmp_path: Path) -> Path:
    path = tmp_path / "purchases.csv"
    lines = [f"c{number % 5},2026-0{1 + number // 20}-{1 + number % 20:02d},{number}" for number in range(60)]
    path.write_text("\n".join(["customer,time,value", "c1,nonsense,1", *lines]) + "\n", encoding="utf-8")
    return path


def test_users_of_any_log(purchases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "growth.parquet"
    assert main(["grow", "users", str(purchases), "--user", "customer", "--period", "week", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "60 acts of 5 users, 2026-01-01 to 2026-03-20" in said
    assert "1 rows set aside: the time cannot be read (first at line 2)" in said
    assert "holds in all 12 periods" in said
    assert "no lifetime forecast: too short to hold half of it out" in said
    table = pq.read_table(out).to_pylist()
    assert [row["active"] for row in table][:2] == [4, 5]


def test_users_as_json(purchases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "users", str(purchases), "--user", "customer", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["users"] == 5
    assert told["defects"] == []
    assert told["problems"] == ["1 rows set aside: the time cannot be read (first at line 2)"]
    assert told["growth"][0]["new"] == 4


def test_share_and_forecast_of_the_bundled_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "share", "--out", str(tmp_path / "share.parquet")]) == 0
    said = capsys.readouterr().out
    assert "CC BY-SA 3.0" in said
    assert "not comparable with the time before" in said
    assert pq.read_table(tmp_path / "share.parquet").num_rows == 12
    assert main(["grow", "forecast", "--horizon", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["time"] for row in told["forecast"]} == {"2026-04", "2026-05"}
    assert {standing["model"] for standing in told["backtest"]} == {
        "persistence", "drift", "attraction", "structural", "rivalry", "blend",
    }  # fmt: skip
    assert set(told["verdict"]) == {"en", "zh"}


def test_forecast_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "forecast", "--model", "persistence"]) == 0
    said = capsys.readouterr().out
    assert "persistence, 2026-09, median and 90 % interval of 2,000 draws that each sum to one" in said


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    values = [840, 1470, 2110, 4000, 7590, 10950, 10530, 9470, 7790, 5890]
    lines = [f"{1990 + year},phones,,sales,{value},units" for year, value in enumerate(values)]
    lines += [f"{1990 + year},radios,,sales,{100 + year},units" for year in range(4)]
    head = ["# source: a teaching case", "# licence: facts", "# as_of: 2013-01-01", "time,entity,segment,measure,value,unit"]
    path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    return path


def test_forecast_of_a_flow(sales: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ahead.parquet"
    assert main(["grow", "forecast", str(sales), "--of", "flow", "--entity", "phones", "--out", str(out), "--horizon", "3"]) == 0
    said = capsys.readouterr().out
    assert "bass: The ceiling can be told" in said
    assert "over 4 origins" in said
    rows = pq.read_table(out).to_pylist()
    assert [row["time"] for row in rows] == ["2000", "2001", "2002"]
    assert all(0 <= row["low"] <= row["median"] <= row["high"] for row in rows)
    assert main(["grow", "forecast", str(sales), "--of", "flow", "--entity", "radios", "--curve", "bass", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"]["en"].startswith("no back-test: too few values to hold any out: found 4")
    assert told["curves"]["bass"]["figures"][2]["note"] == "not identified"


def test_forecast_of_users(purchases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "forecast", str(purchases), "--of", "users", "--user", "customer", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["forecast"][0]["time"].startswith("2026-03")  # by week: the log is too short for months
    assert {item["model"] for item in told["backtest"]} >= {"persistence", "blend"}
    assert sum(told["weights"].values()) == pytest.approx(1)


def test_room_for_newcomers_tells_their_pace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "forecast", "--newcomers", "--model", "blend"]) == 0
    said = capsys.readouterr().out
    assert "New rival" in said
    assert "entries a period 0 [0" in said


def test_report_of_any_log(purchases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert main(["grow", "report", str(purchases), "--user", "customer", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    text = out.read_text(encoding="utf-8")
    assert '<section id="market"' in text
    assert '<section id="forecast"' in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["users", "none.csv"], "no such log: found 'none.csv'"),
        (["users", "--period", "decade"], "--period"),
        (["users", "."], "no lake of events there"),
        (["share", "none.csv"], "no such series"),
        (["share", "--measure", "revenue"], "unknown measure"),
        (["forecast", "--horizon", "0"], "--horizon is not allowed: found '0'"),
        (["forecast", "--of", "level"], "a forecast of a level needs a series"),
        (["forecast", "none.csv", "--of", "flow"], "no such series"),
        (["forecast", "--model", "arima"], "--model"),
        (["forecst"], "forecast"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["grow", *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1
    assert said.startswith("noria: ")
