"""The tutorial of the chatbot market: every command and block runs as written, and what the page says is what they print."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from noria.cli.main import main
from noria.lake.event import Event, new_id
from noria.lake.outbox import Outbox

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("chatbot-market.md", "chatbot-market.zh-CN.md")


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the python and bash blocks of a page in order: kind and text."""
    return re.findall(r"```(python|bash|text)\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def make_lake(path: Path, minutes: float = 14.0) -> None:
    """Write 600 simulated requests to a server, so many minutes apart: two tenants, two languages, some handed over."""
    random = np.random.default_rng(0)
    start = datetime(2026, 5, 4, 8, tzinfo=UTC)
    events = []
    for number in range(600):
        at, user = start + timedelta(minutes=minutes * number), f"u{int(random.pareto(0.7) * 3) % 40}"
        app = ("support", "monitor", "recommend")[random.integers(3)]
        tenant, segment = ("shop", "bank")[random.integers(2)], ("zh", "en")[random.integers(2)]
        request = Event(
            new_id(),
            at,
            "request",
            user=user,
            tenant=tenant,
            app=app,
            model=f"{app}-int8",
            units=int(random.integers(5, 60)),
            unit="tokens",
            latency_ms=5.0,
            segment=segment,
        )
        events.append(request)
        if random.random() < 0.1:
            events.append(
                Event(new_id(), at, "handover", user=user, tenant=tenant, app=app, subject=request.id, segment=segment)
            )
    outbox = Outbox(path)
    outbox.append(events)
    outbox.seal()
    outbox.close()


def test_both_languages_show_the_same() -> None:
    english, chinese = (blocks(page) for page in PAGES)
    assert [kind for kind, _ in english] == [kind for kind, _ in chinese] != []
    for (kind, one), (_, other) in zip(english, chinese, strict=True):
        if kind == "text":  # what is printed is told in each language, with the same figures
            assert sorted(re.findall(r"\d[\d,.]*\d|\d", one)) == sorted(re.findall(r"\d[\d,.]*\d|\d", other))
        else:
            assert one == other


def test_on_the_first_day_the_commands_say_what_cannot_be_told_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a fresh demo, whose events are of a few minutes."""
    monkeypatch.chdir(tmp_path)
    make_lake(tmp_path / "runs" / "demo" / "lake", minutes=0.001)
    said = {}
    for kind, text in blocks(PAGES[0]):
        for line in text.splitlines() if kind == "bash" else ():
            if "runs/demo/lake" in line and ".csv" not in line:
                assert main(shlex.split(line)[1:]) == 0, line
                said[line] = capsys.readouterr().out
    assert len(said) >= 6
    told = next(text for line, text in said.items() if "--decompose" in line)
    assert "what moved the shares: not yet: a change needs two times: found '2026-05-04'; allowed 2 or more" in told
    assert "segments and targets: not yet: one segment" in said["noria grow share --position runs/demo/lake"]
    assert main(["grow", "share", "--position", "runs/demo/lake", "--json"]) == 0
    assert "one segment" in json.loads(capsys.readouterr().out)["silence"]["position"]


def test_everything_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_lake(tmp_path / "runs" / "demo" / "lake")
    said = {}
    for kind, text in blocks(PAGES[0]):
        if kind == "python":
            exec(compile(text, PAGES[0], "exec"), {})
        for line in text.splitlines() if kind == "bash" else ():
            assert main(shlex.split(line)[1:]) == 0, line
            said[line] = capsys.readouterr().out
    assert (tmp_path / "report.html").is_file()
    page = (DOCS / PAGES[0]).read_text(encoding="utf-8")
    for number in ("78.2", "8.7", "7.1", "6,252", "0.87", "2.7"):
        assert number in said["noria grow share"]
        assert number in page
    moved = said["noria grow share --decompose"]
    assert "Google Gemini       +6.70" in moved
    assert "Perplexity          -4.76" in moved
    assert "growth: not identified" in moved
    assert "growth = market x share" in next(text for line, text in said.items() if "--market-column" in line)
    assert (
        "not told from zero: the interval holds both signs"
        in said["noria grow share --happenings releases.csv --window 2"]
    )
    assert "part of the ceiling reached" in said["noria grow share users.csv --ceiling 3e9 5.5e9"]
