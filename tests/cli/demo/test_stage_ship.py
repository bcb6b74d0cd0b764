from __future__ import annotations

import io
import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_models import make_encoder

from noria.apps.monitor.topics import read_topics
from noria.cli.demo import ship
from noria.cli.demo.replay import make_stream
from noria.cli.demo.settings import Context, DemoSettings
from noria.core.progress import Report
from noria.make.corpus import bundled


@pytest.fixture(scope="module")
def reviews() -> list[dict[str, object]]:
    every = [{"text": document.text, "label": document.meta["label"]} for document in bundled.reviews()]
    return random.Random(0).sample(every, 1_500)


@pytest.fixture(scope="module")
def root(
    classifier: Path,
    embedder: Path,
    writer: Path,
    tmp_path_factory: pytest.TempPathFactory,
    reviews: list[dict[str, object]],
) -> Path:
    """A run as far as the stage needs it: real text, tiny models under the names of the trained ones."""
    root = tmp_path_factory.mktemp("demo")
    for name, model in (("sentiment-served", classifier), ("embed-served", embedder), ("pretrain", writer)):
        shutil.copytree(model, root / name)
    make_encoder(root / "entities-served", "tag", ["PER", "LOC"], 5)
    news = [document.as_dict() for document in bundled.news()][:80]
    for name, rows in (("reviews", reviews), ("news", news)):
        write(root / "corpus" / name / "test.jsonl", rows)
    return root


def write(file: Path, rows: Sequence[object]) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def test_the_stream_is_real_text_in_a_made_up_order_with_one_surge(reviews: list[dict[str, object]]) -> None:
    stream = make_stream(reviews, 24, 6, 12, seed=3)
    rows = [row for hour in stream.windows for row in hour]
    assert [len(hour) for hour in stream.windows] == [6] * 20 + [18] + [6] * 3
    assert stream.burst == 20
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert len({row["id"] for row in rows}) == len(rows) == 24 * 6 + 12
    texts = {str(review["text"]) for review in reviews}
    assert all(row["text"] in texts for row in rows)
    surge = [row for row in rows if row["id"] in stream.burst_ids]
    assert Counter(row["label"] for row in surge) == {"negative": 12}
    assert {read_topics().of(row["text"]) for row in surge} == {"hotel"}
    assert make_stream(reviews, 24, 6, 12, seed=3) == stream
    assert make_stream(reviews, 24, 6, 12, seed=4) != stream


def test_a_cut_replay_is_thrown_away_and_a_lake_in_use_put_aside(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    ship.make_room(lake)
    for complete in (False, True):
        (lake / "outbox").mkdir(parents=True)
        (lake / "outbox" / "main.sqlite").touch()
        (lake / ship.MARK).write_text(json.dumps({"complete": complete}), encoding="utf-8")
        ship.make_room(lake)
        assert not lake.exists()
        assert len(list(tmp_path.iterdir())) == int(complete)
    kept = next(tmp_path.iterdir())
    assert kept.name.startswith("lake-until-")
    assert (kept / "outbox" / "main.sqlite").exists()


def test_a_lake_of_unknown_origin_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "lake" / "outbox").mkdir(parents=True)
    (tmp_path / "lake" / "outbox" / "main.sqlite").touch()
    ship.make_room(tmp_path / "lake")
    assert [path.name.split("-until-")[0] for path in tmp_path.iterdir()] == ["lake"]


def test_everything_sent_is_counted_and_a_cut_stage_ends_as_one_never_cut(root: Path) -> None:
    context = Context(root, DemoSettings(quick=True, out=root), Report("quiet", io.StringIO()))
    lake = root / "lake"
    (lake / "outbox").mkdir(parents=True)
    (lake / "outbox" / "main.sqlite").write_bytes(b"half a page")  # what a kill left
    (lake / ship.MARK).write_text('{"complete": false}', encoding="utf-8")
    result = ship.run(context)
    figures = {figure.name: figure for figure in result.figures}
    sent, counted = figures["requests sent"].value, figures["events counted"]
    assert result.facts["exact"] is True
    assert "exact" in counted.note
    assert figures["requests answered"].value == sent
    assert figures["request errors"].value == 0
    kinds = result.facts["kinds"]
    assert kinds["request"] + kinds.get("feedback", 0) + kinds.get("click", 0) == sent
    assert sum(kinds.values()) == counted.value == result.facts["books"]["acknowledged"]
    assert kinds["impression"] == 12 * 3 * 5
    plan = ship.Plan.of(context)
    assert len(result.facts["monitor"]["windows"]) >= plan.hours
    assert figures["sentiment over HTTP"].n == plan.hours * plan.each + plan.burst
    assert figures["click-through, by taste"].n == 12 * 3 * 5
    assert "simulated" in figures["click-through, by taste"].note
    assert "simulated order" in figures["surges found"].note
    assert json.loads((lake / ship.MARK).read_text(encoding="utf-8")) == {"complete": True}
    json.dumps(result.facts)
    assert str(int(sent)) in result.line.replace(",", "")


def test_a_lost_event_is_told(root: Path) -> None:
    """Runs after the stage: an event taken out of the outbox no longer reconciles."""
    import sqlite3
    from contextlib import closing

    from noria.lake.event import OUTBOX_TABLE, outbox_file

    lake = root / "lake"
    if not outbox_file(lake).exists():
        pytest.skip("needs the lake of the test before")
    before, books = ship.count_events(lake)
    assert books["exact"]
    with closing(sqlite3.connect(outbox_file(lake))) as connection, connection:
        connection.execute(f"DELETE FROM {OUTBOX_TABLE} WHERE id = ?", (min(before["request"]),))
    after, books = ship.count_events(lake)
    assert not books["exact"]
    assert len(before["request"]) - len(after["request"]) == 1
