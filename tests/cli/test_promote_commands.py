"""`noria grow promote`: what each command prints, writes and refuses."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from noria.cli.main import main


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    path = tmp_path / "campaign.csv"
    lines = [
        f"u{row},{'old' if row % 2 else 'new'},{int(row % 10 < (2 if row % 2 else 5))},2026-03-{1 + row // 50:02d}"
        for row in range(1000)
    ]
    path.write_text("\n".join(["who,group,bought,time", *lines, "u1,,1,2026-03-01"]) + "\n", encoding="utf-8")
    return path


NAMED = ["--user", "who", "--variant", "group", "--outcome", "bought", "--control", "old"]


def test_size_power_and_effect(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "promote", "size", "0.1", "--lift", "0.2", "--users-a-day", "1000"]) == 0
    said = capsys.readouterr().out
    assert "3,841 users in the control group" in said
    assert "8 days" in said
    assert main(["grow", "promote", "size", "0.1", "--users", "3841", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["found"] == "effect"
    assert told["effect"] == pytest.approx(0.02, abs=1e-5)
    assert set(told["text"]) == {"en", "zh"}
    assert main(["grow", "promote", "size", "0.1", "--users", "2000", "--effect", "0.02", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["found"], round(told["power"], 3)) == ("power", 0.524)


def test_experiment_of_any_table(campaign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "found.parquet", tmp_path / "page.html"
    assert main(["grow", "promote", "experiment", str(campaign), *NAMED, "--out", str(out), "--report", str(page)]) == 0
    said = capsys.readouterr().out
    assert "1,000 users, rate" in said
    assert "1 row set aside: the group is empty (first at line 1002)" in said
    assert "Sample ratio as meant (old 500, new 500; p = 1)" in said
    assert "a clear rise" in said
    assert "looking every day, new: clear from 2026-03-" in said
    assert pq.read_table(out).to_pylist()[0]["variant"] == "new"
    assert '<section id="experiment"' in page.read_text(encoding="utf-8")


def test_experiment_as_json(campaign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["grow", "promote", "experiment", str(campaign), *NAMED, "--shares", "9", "--shares", "1", "--json"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["balance"]["sound"] is False
    assert told["verdict"]["zh"].startswith("不可采信")
    assert told["comparisons"][0]["value"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["size", "0.1"], "an experiment is told by its effect or by its users"),
        (["size", "1.5", "--effect", "0.1"], "the base rate is out of range"),
        (["size", "0.1", "--effect", "0.1", "--power", "1"], "--power is not allowed"),
        (["experiment", "none.csv"], "no such table"),
        (["experiment", "."], "no lake of events there"),
        (["experimnt"], "experiment"),
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
    assert main(["grow", "promote", *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1


@pytest.fixture
def weekly(tmp_path: Path) -> Path:
    from noria.grow.promote.simulated import advertising

    spend = advertising(120).spend
    path = tmp_path / "weekly.csv"
    lines = [
        ",".join(
            [
                str(date(1970, 1, 1) + timedelta(int(day))),
                f"{users:.1f}",
                *(f"{amount:.2f}" for amount in amounts),
                f"{known[0]:.3f}",
            ]
        )
        for day, users, amounts, known in zip(spend.days, spend.outcome, spend.amounts, spend.known, strict=True)
    ]
    path.write_text("\n".join(["time,users,search,video,outdoor,price", *lines]) + "\n", encoding="utf-8")
    return path


COLUMNS = [
    "--outcome",
    "users",
    "--channels",
    "search",
    "--channels",
    "video",
    "--channels",
    "outdoor",
    "--controls",
    "price",
    "--note",
    "simulated",
]


def test_budget_of_any_table(weekly: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "channels.parquet", tmp_path / "page.html"
    assert (
        main(
            [
                "grow",
                "promote",
                "budget",
                str(weekly),
                *COLUMNS,
                "--draws",
                "600",
                "--out",
                str(out),
                "--report",
                str(page),
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "120 weeks" in said
    assert "identified" in said
    assert "Held out: of the last 15 periods" in said
    assert [row["channel"] for row in pq.read_table(out).to_pylist()] == ["search", "video", "outdoor"]
    assert '<section id="budget"' in page.read_text(encoding="utf-8")
    assert main(["grow", "promote", "budget", str(weekly), *COLUMNS, "--draws", "600", "--total", "90000"]) == 2
    assert "the bounds leave no way to spend the budget" in capsys.readouterr().err
    assert main(["grow", "promote", "budget", str(weekly), *COLUMNS[2:]]) == 2
    assert "no column 'outcome'" in capsys.readouterr().err


@pytest.fixture
def mailing(tmp_path: Path) -> Path:
    from noria.grow.promote.simulated import campaign

    units = campaign(6000, seed=1)
    path = tmp_path / "mailing.csv"
    lines = [
        f"u{row},{units.names[units.group[row]]},{units.outcome[row]:g},{units.features['visits'][row]}"
        for row in range(units.n)
    ]
    path.write_text("\n".join(["user,variant,outcome,visits", *lines]) + "\n", encoding="utf-8")
    return path


def test_uplift_of_any_table(mailing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "curve.parquet", tmp_path / "page.html"
    assert (
        main(
            [
                "grow",
                "promote",
                "uplift",
                str(mailing),
                "--features",
                "visits",
                "--out",
                str(out),
                "--report",
                str(page),
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "6,000 users, each judged by a score that 2,999 others taught" in said
    assert "Address the" in said
    assert pq.read_table(out).num_rows == 101
    assert '<section id="uplift"' in page.read_text(encoding="utf-8")
    assert main(["grow", "promote", "uplift", str(mailing), "--features", "visits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["heterogeneity"] is True
    scores = tmp_path / "whom.parquet"
    assert (
        main(
            [
                "grow",
                "promote",
                "uplift",
                str(mailing),
                "--features",
                "visits",
                "--candidates",
                str(mailing),
                "--scores",
                str(scores),
            ]
        )
        == 0
    )
    rows = pq.read_table(scores).to_pylist()
    assert len(rows) == 6000
    assert {row["address"] for row in rows} == {True, False}
    capsys.readouterr()
    assert main(["grow", "promote", "uplift", str(mailing), "--features", "visits", "--scores", str(scores)]) == 2
    assert "--candidates and --scores, or neither" in capsys.readouterr().err


def test_plan_in_chinese_and_as_json(
    mailing: Path, weekly: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = [flag.replace("--", "--columns.") for flag in COLUMNS]
    files = [
        "--experiment",
        str(mailing),
        "--whom.features",
        "visits",
        "--spend",
        str(weekly),
        *columns,
        "--budget.draws",
        "600",
    ]
    out, page = tmp_path / "plan.txt", tmp_path / "plan.html"
    assert (
        main(
            [
                "grow",
                "promote",
                "plan",
                *files,
                "--reach",
                "10000",
                "--language",
                "zh",
                "--out",
                str(out),
                "--report",
                str(page),
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "推广计划" in said
    assert "目标人群" in said
    assert out.read_text(encoding="utf-8").strip() == said.strip()
    assert all(
        f'<section id="{key}"' in page.read_text(encoding="utf-8") for key in ("plan", "experiment", "uplift", "budget")
    )
    assert main(["grow", "promote", "plan", *files, "--json", "--out", str(tmp_path / "plan.json")]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert main(["grow", "promote", "plan"]) == 2
    assert "a plan needs something to rest on" in capsys.readouterr().err


def test_the_report_holds_the_promotion(mailing: Path, campaign: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "\n".join(["user,time", *(f"c{row % 5},2026-01-{1 + row % 28:02d}" for row in range(60))]) + "\n",
        encoding="utf-8",
    )
    out = tmp_path / "report.html"
    assert (
        main(["grow", "report", str(log), "--experiment", str(mailing), "--whom.features", "visits", "--out", str(out)])
        == 0
    )
    page = out.read_text(encoding="utf-8")
    assert all(f'<section id="{key}"' in page for key in ("users", "plan", "experiment", "uplift"))
