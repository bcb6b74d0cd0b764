"""A ranking judged by what another one showed: asked anew at its time, with exact probabilities and no look ahead."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from noria.apps.recommend.judging import replay
from noria.apps.recommend.remembering import Memory
from noria.apps.recommend.shelf import Shelf
from noria.apps.recommend.states import key_of
from noria.apps.settings import RecommendSettings
from noria.cli.main import main
from noria.core.errors import InputError
from noria.lake.event import Event, new_id
from noria.lake.outbox import Outbox
from noria.tasks.items import Item

START = datetime(2026, 5, 1, tzinfo=UTC)
ITEMS = [Item(f"i/{number}", f"title {number}", "text") for number in range(40)]
VECTORS = np.random.default_rng(4).normal(size=(40, 8))


def shelf_of(settings: RecommendSettings) -> Shelf:
    shelf = Shelf(settings)
    shelf.put(ITEMS, VECTORS)
    return shelf


def serve(lake: Path, settings: RecommendSettings, visits: int = 60, places: int = 4) -> list[Event]:
    """Events of users who like some items, served by a shelf that writes down its probabilities."""
    random, memory = np.random.default_rng(0), Memory(lake, shelf_of(settings), key_of)
    written: list[Event] = []

    def tell(kind: str, user: str, item: str, **facts: object) -> None:
        time = START + timedelta(seconds=len(written))
        written.append(Event(**{"id": new_id(), "time": time, "kind": kind, "user": user, "subject": item, **facts}))
        memory.on_event(written[-1])

    for visit in range(visits):
        user = f"u{visit % 9}"
        picks = memory.shelf.choose(key_of("", user), places)
        for place, pick in enumerate(picks, 1):
            tell("impression", user, pick.item.id, value=float(place), propensity=pick.propensity, segment=pick.why)
        for pick in picks:
            if random.random() < (0.6 if int(pick.item.id[2:]) % 9 == visit % 9 else 0.1):
                tell("click" if random.random() < 0.8 else "conversion", user, pick.item.id)
    tell("impression", "u1", "i/3")  # of another program: nobody knows how likely it was
    with Outbox(lake) as outbox:
        outbox.append(written)
        outbox.seal(before=START + timedelta(days=2))
    return written


@pytest.mark.parametrize(("chance", "nearby"), [(0.3, 0.5), (1.0, 0.0), (0.1, 1.0)])
def test_the_ranking_that_was_live_decides_again_as_it_did(chance: float, nearby: float, tmp_path: Path) -> None:
    settings = RecommendSettings(chance=chance, nearby=nearby)
    written = serve(tmp_path, settings)
    found = replay(tmp_path, shelf_of(settings), key_of)
    shown = [one for one in written if one.propensity is not None]
    assert [row.item for row in found.rows] == [one.subject for one in shown]
    assert [row.target for row in found.rows] == pytest.approx([one.propensity for one in shown])
    clicks = sum(one.kind != "impression" for one in written)
    assert sum(row.reward for row in found.rows) == clicks


def test_what_comes_later_changes_no_decision_before_it(tmp_path: Path) -> None:
    settings, other = RecommendSettings(chance=0.3), RecommendSettings(memory=0.1, chance=0.2)
    written = serve(tmp_path / "whole", settings)
    half = written[: len(written) // 2]
    with Outbox(tmp_path / "half") as outbox:
        outbox.append(half)
    whole = replay(tmp_path / "whole", shelf_of(other), key_of).rows
    part = replay(tmp_path / "half", shelf_of(other), key_of).rows
    # Of the list that was cut, and of its clicks, less is known.
    assert [replace(row, reward=0.0) for row in part[:-8]] == [
        replace(row, reward=0.0) for row in whole[: len(part) - 8]
    ]


def test_another_ranking_is_weighed_on_the_whole_as_often_as_it_was_drawn(tmp_path: Path) -> None:
    serve(tmp_path, RecommendSettings(chance=0.6), visits=300)
    rows = replay(tmp_path, shelf_of(RecommendSettings(taste=False, chance=0.6)), key_of).rows
    weights = np.array([row.target / row.propensity for row in rows])
    spread = weights.std() / len(weights) ** 0.5
    assert abs(weights.mean() - 1) < 5 * spread
    assert weights.std() > 0.1
    assert all(0 < row.expected < 1 and 0 < row.expected_target < 1 for row in rows)


def test_what_cannot_be_judged_is_said(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.append([Event(new_id(), START, "impression", "u", subject="i/1")])
    with pytest.raises(InputError, match="no showing"):
        replay(tmp_path, shelf_of(RecommendSettings()), key_of)


def test_the_command_judges_as_the_table_that_it_writes(
    embedder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = tmp_path / "items.jsonl"
    items.write_text(
        "".join(json.dumps({"id": item.id, "title": item.title}) + "\n" for item in ITEMS), encoding="utf-8"
    )
    serve(tmp_path / "lake", RecommendSettings(chance=0.5), visits=150)
    words = ["ship", "recommend", "judge", str(embedder), str(items), "--lake", str(tmp_path / "lake")]
    words += ["--shelf.chance", "0.3", "--out", str(tmp_path / "decisions.csv")]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["users"]) == (600, 9)
    assert main(["grow", "promote", "policy", str(tmp_path / "decisions.csv"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    for one, other in zip(told["figures"], again["figures"], strict=True):
        assert (one["value"], one["low"]) == pytest.approx((other["value"], other["low"]))
    assert main(words) == 0
    assert "doubly robust" in capsys.readouterr().out
