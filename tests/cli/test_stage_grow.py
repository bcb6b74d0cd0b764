"""The growth stage of the main job: reconciles, reports, and holds with and without a lake."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from noria.cli.demo.grow import STAGE
from noria.cli.demo.settings import Context, DemoSettings
from noria.core.figure import Figure
from noria.core.folder import write_json
from noria.core.progress import Report
from noria.lake.event import Event, new_id
from noria.lake.outbox import Outbox


def test_the_stage_with_other_stages_and_a_lake(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "lake")
    moment = datetime(2026, 6, 1, 9, tzinfo=UTC)
    outbox.append(
        [
            Event(new_id(), moment, "request", user=f"u{n % 4}", app="support", model="sentiment", latency_ms=5.0 + n)
            for n in range(12)
        ]
    )
    outbox.close()
    figure = Figure("accuracy", 0.893, 1746, 0.878, 0.907, source="held-out reviews", baseline=0.858)
    write_json(
        tmp_path / "sentiment.stage.json",
        {
            "name": "sentiment",
            "title": {"en": "Sentiment", "zh": "情感"},
            "line": "done",
            "figures": [figure.as_dict()],
            "facts": {},
        },
    )
    write_json(tmp_path / "corpus.stage.json", {"name": "corpus", "key": "begun, not done"})
    context = Context(tmp_path, DemoSettings(out=tmp_path), Report())
    assert "23,570" in STAGE.plan(context)
    result = STAGE.run(context)
    facts = json.loads(json.dumps(result.facts, allow_nan=False))
    assert facts["defects"] == {"day": [], "week": [], "month": []}
    assert facts["served"]["events"] == 12
    assert facts["served"]["users"] == 4
    assert facts["market"]["forecast"]["largest_sum_error"] < 1e-12
    assert "growth adds up in all" in result.line
    assert "lake 12 events" in result.line
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for anchor in ("sentiment", "usage", "users", "lifetime", "market", "movement", "position", "served", "unmet"):
        assert f'<section id="{anchor}"' in page
    assert '<section id="corpus"' not in page
    assert "情感" in page


def test_the_stage_before_anything_was_served(tmp_path: Path) -> None:
    result = STAGE.run(Context(tmp_path, DemoSettings(out=tmp_path), Report()))
    assert result.facts["served"] == {}
    assert '<section id="usage"' not in (tmp_path / "report.html").read_text(encoding="utf-8")
