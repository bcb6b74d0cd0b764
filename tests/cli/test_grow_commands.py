"""`noria grow`: what each command prints, writes and refuses."""

from __future__ import annotations

import json
from datetime import date, timedelta
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


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """Thirty users over half a year; those of an even number come back, and some of them pay."""
    lines = ["user,time,value,segment"]
    for user in range(30):
        for visit in range(1 + 6 * (user % 2 == 0)):
            day = date(2026, 1, 5) + timedelta(days=user + 17 * visit)
            lines.append(f"u{user},{day}T10:00:00Z,,look")
            if visit % 3 == 2:
                lines.append(f"u{user},{day}T11:00:00Z,{5 + user + visit},buy")
    path = tmp_path / "visits.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_users_in_depth(visits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "--by",
        "segment",
        "--retention",
        "rolling",
        "--funnel",
        "look > buy",
        "--funnel-days",
        "1",
        "--lapse-days",
        "30",
    ]
    assert main(["grow", "users", str(visits), *asked]) == 0
    said = capsys.readouterr().out
    assert "Retention, rolling, by week" in said
    assert "Funnel, ordered, within 1 days" in said
    assert "not lapsed after" in said
    assert "users asking for look 1 [" in said
    assert "referral is not measured: a log without kinds of events tells of no referral" in said
    assert main(["grow", "users", str(visits), *asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["segment"] for row in told["growth"]} == {"", "look", "buy"}
    assert told["defects"] == []
    assert [step["users"] for step in told["funnel"]["steps"]] == [30, 15]
    assert told["funnel"]["steps"][1]["median_hours"] == 1.0
    assert set(told["curves"]) == {"first", "recurring", "bracketed", "rolling"}
    assert sum(told["power"]["histogram"]) > 0
    assert {need["topic"] for need in told["needs"]} <= {"look", "buy"}


def test_one_user_on_one_day_gets_a_report_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "one.csv", tmp_path / "one.html"
    path.write_text("user,time\na,2026-01-05\n", encoding="utf-8")
    assert main(["grow", "users", str(path)]) == 0
    said = capsys.readouterr().out
    assert "1 acts of 1 users" in said
    assert "no survival curve: one.csv: no user was seen to lapse" in said
    assert "activation is not measured: no user was observed for 7 days" in said
    assert main(["grow", "report", str(path), "--out", str(out)]) == 0
    assert '<section id="habits"' in out.read_text(encoding="utf-8")


def test_report_tells_habits_and_worth(visits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert (
        main(
            [
                "grow",
                "report",
                str(visits),
                "--funnel",
                "look > buy",
                "--by",
                "segment",
                "--lapse-days",
                "30",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    page = out.read_text(encoding="utf-8")
    for part in ('<section id="habits"', '<section id="worth"', "“推荐”未测量", "Funnel, step by step", "停留多久"):
        assert part in page
    assert "nan" not in page.split('<script type="application/json"')[0].lower().replace("finance", "")


def test_share_and_forecast_of_the_bundled_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "share", "--out", str(tmp_path / "share.parquet")]) == 0
    said = capsys.readouterr().out
    assert "CC BY-SA 3.0" in said
    assert "not comparable with the time before" in said
    assert pq.read_table(tmp_path / "share.parquet").num_rows == 12
    assert main(["grow", "forecast", "--horizon", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["time"] for row in told["forecast"]} == {"2026-04", "2026-05"}
    assert {standing["model"] for standing in told["backtest"]} == {"persistence", "drift", "attraction"}
    assert set(told["verdict"]) == {"en", "zh"}


def test_forecast_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "forecast", "--model", "persistence"]) == 0
    said = capsys.readouterr().out
    assert "persistence, 2026-09, median and 90 % interval of 2,000 draws that each sum to one" in said


def test_report_of_any_log(purchases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert main(["grow", "report", str(purchases), "--user", "customer", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert '<section id="market"' in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["users", "none.csv"], "no such log: found 'none.csv'"),
        (["users", "--period", "decade"], "--period"),
        (["users", "."], "no lake of events there"),
        (["users", "a.csv", "--lake", "b"], "two logs were named"),
        (
            ["users", "--by", "sgment"],
            "unknown column to split by: found 'sgment'; allowed segment; did you mean segment?",
        ),
        (["users", "--funnel", "look"], "a funnel has two steps or more"),
        (["users", "--funnel", "hue=1 > look"], "unknown column of a step"),
        (["users", "mysql://db/shop"], "unknown kind of engine: found 'mysql'"),
        (["users", "--lapse-days", "0"], "--lapse-days is not allowed"),
        (["share", "none.csv"], "no such series"),
        (["share", "--measure", "revenue"], "unknown measure"),
        (["forecast", "--horizon", "0"], "--horizon is not allowed: found '0'"),
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
