"""Growth by calls: what a call gives is what the command of the same name prints as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noria
from noria.cli.grow.shown import finite
from noria.cli.main import main
from noria.core.errors import InputError, SettingError

SERIES = """# source: made up
# licence: CC0
# as_of: 2025-01-31
time,entity,segment,measure,value,unit
"""


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Two years of revenue of three makers."""
    lines = [
        f"{2023 + month // 12}-{month % 12 + 1:02},{name},,revenue,{size * (1 + pace * month):.2f},USD"
        for month in range(24)
        for name, size, pace in (("A", 100, 0.02), ("B", 80, 0.01), ("C", 40, 0.05))
    ]
    (tmp_path / "market.csv").write_text(SERIES + "\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "market.csv"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Acts of 40 users over 20 weeks."""
    lines = [
        f"u{user},2025-{1 + day // 28:02}-{1 + day % 28:02}T08:00:00Z,{user % 3 + 1}"
        for user in range(40)
        for day in range(user % 7, 140, 3 + user % 11)
    ]
    (tmp_path / "log.csv").write_text("customer,time,value\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "log.csv"


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """An experiment with a plain effect on those who visit much."""
    lines = []
    for user in range(1200):
        treated, visits = user % 2, user % 5
        bought = int((user * 7919) % 100 < 10 + (25 if treated and visits > 2 else 0))
        lines.append(f"{user},{'B' if treated else 'A'},{bought},{visits}")
    (tmp_path / "campaign.csv").write_text("user,variant,outcome,visits\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "campaign.csv"


def printed(capsys: pytest.CaptureFixture, *words: object) -> Any:
    """Return what a command prints as JSON."""
    capsys.readouterr()
    assert main(["grow", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def as_json(facts: Any) -> Any:
    """Return facts as JSON has them."""
    return json.loads(json.dumps(finite(facts), ensure_ascii=False))


def test_users_are_those_of_the_command(log: Path, capsys: pytest.CaptureFixture):
    found = noria.users(str(log), user="customer", period="week", zone="UTC")
    assert as_json(found.facts) == printed(
        capsys, "users", log, "--user", "customer", "--period", "week", "--zone", "UTC"
    )
    assert found.rows[0]["active"] == found.study.growths[0].rows[0].active
    assert [one.as_dict() for one in found.figures] == found.facts["figures"]
    assert "40 users" in repr(found)
    assert "<table>" in found._repr_html_()


def test_users_of_the_bundled_log_and_by_segment(log: Path):
    assert "23,570 users" in noria.users().name
    with pytest.raises(SettingError, match="unknown column to split by"):
        noria.users(log, user="customer", by="sgment")
    with pytest.raises(InputError):
        noria.users(log.with_name("nothing.csv"))


@pytest.mark.parametrize("arguments", [{}, {"decompose": True}, {"without": ("C",), "unlisted": "outside"}])
def test_shares_are_those_of_the_command(market: Path, arguments: dict[str, Any], capsys: pytest.CaptureFixture):
    words = {
        "decompose": ["--decompose"],
        "without": ["--without", "C"],
        "unlisted": ["--unlisted", "outside"],
    }
    found = noria.share(market, **arguments)
    told = [word for name in arguments for word in words[name]]
    assert as_json(found.facts) == printed(capsys, "share", market, *told)
    last = found.rows[-1]
    assert sum(last[name] for name in found.study.shares.entities) == pytest.approx(1)
    assert bool(found.study.movement) == ("decompose" in arguments)


def test_what_else_is_asked_of_a_market(market: Path, log: Path, capsys: pytest.CaptureFixture):
    found = noria.share(position=log, user="customer")
    assert as_json(found.facts) == printed(capsys, "share", "--position", log, "--user", "customer")
    assert found.study.shares is None
    assert {row["asked"] for row in found.rows} == {"position", "position, first"}
    found = noria.share(market, ceiling=(1000, 3000), entity="A")
    assert as_json(found.facts) == printed(capsys, "share", market, "--ceiling", 1000, 3000, "--entity", "A")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"horizon": 3, "draws": 200}, ["--horizon", 3, "--draws", 200]),
        ({"of": "flow", "entity": "A", "draws": 200}, ["--of", "flow", "--entity", "A", "--draws", 200]),
        (
            {"of": "rivals", "take": ("A", "B"), "draws": 200},
            ["--of", "rivals", "--take", "A", "--take", "B", "--draws", 200],
        ),
    ],
)
def test_forecasts_are_those_of_the_command(
    market: Path, arguments: dict[str, Any], words: list[Any], capsys: pytest.CaptureFixture
):
    found = noria.forecast(market, **arguments)
    assert as_json(found.facts) == printed(capsys, "forecast", market, *words)
    for row in found.rows:
        assert row["low"] <= row["median"] <= row["high"]
    assert found.summary[0] == found.study.verdict()["en"]


def test_users_to_come_are_those_of_the_command(log: Path, capsys: pytest.CaptureFixture):
    found = noria.forecast(log, of="users", user="customer", period="week", draws=200, zone="UTC")
    words = ["--of", "users", "--user", "customer", "--period", "week", "--draws", 200, "--zone", "UTC"]
    assert as_json(found.facts) == printed(capsys, "forecast", log, *words)
    with pytest.raises(SettingError, match="no such model of a users"):
        noria.forecast(log, of="users", curve="norton-bass")


def test_promotion_is_that_of_the_commands(campaign: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    size = noria.promote.size(0.1, lift=0.1)
    assert as_json(size.facts) == printed(capsys, "promote", "size", 0.1, "--lift", 0.1)
    found = noria.promote.experiment(campaign)
    assert as_json(found.facts) == printed(capsys, "promote", "experiment", campaign)
    assert [one.n for one in found.figures] == [600, 600]
    told = {"features": ("visits",), "draws": 100}
    uplift = noria.promote.uplift(campaign, candidates=campaign, **told)
    words = ["--features", "visits", "--draws", 100]
    scored = uplift.facts.pop("candidates")
    assert as_json(uplift.facts) == printed(capsys, "promote", "uplift", campaign, *words)
    assert len(scored) == 1200
    plan = noria.promote.plan(experiment=campaign, whom=told, reach=5000, report=tmp_path / "plan.html")
    words = ["--experiment", campaign, "--whom.features", "visits", "--whom.draws", 100, "--reach", 5000]
    assert as_json(plan.facts) == printed(capsys, "promote", "plan", *words)
    assert (tmp_path / "plan.html").is_file()
    with pytest.raises(InputError, match="a plan needs something to rest on"):
        noria.promote.plan()
    with pytest.raises(SettingError, match="told by its effect or by its users"):
        noria.promote.size(0.1)


def test_a_budget_is_that_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture):
    from noria.grow.promote.simulated import advertising

    made = advertising(seed=1).spend
    names = list(made.channels)
    rows = [
        ",".join(map(str, [np.datetime64(int(day), "D"), outcome, *amounts]))
        for day, outcome, amounts in zip(made.days, made.outcome, made.amounts, strict=True)
    ]
    file = tmp_path / "weekly.csv"
    file.write_text(",".join(["time", "outcome", *names]) + "\n" + "\n".join(rows) + "\n", encoding="utf-8")
    found = noria.promote.budget(file, channels=tuple(names), draws=200)
    words = [word for name in names for word in ("--channels", name)]
    assert as_json(found.facts) == printed(capsys, "promote", "budget", file, *words, "--draws", 200)
    assert [row["channel"] for row in found.rows] == names


def test_a_report_says_what_is_in_it_and_what_is_not(log: Path, market: Path, tmp_path: Path):
    page = noria.report(log, series=market, out=tmp_path / "r.html", user="customer", zone="UTC")
    assert page.path.is_file()
    assert page.sections
    assert set(page.left_out) <= {"what moved the shares", "segments and targets", "the server's own shares"}
    assert str(page.path) in repr(page)
    text = page.path.read_text(encoding="utf-8")
    assert "ChatGPT" not in text
