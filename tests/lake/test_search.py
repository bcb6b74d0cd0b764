"""Events looked up: what is found is what a walk over all of them finds, page by page, in lakes of every make; files hold each event once."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from old_lakes import old_file

from noria.core.errors import InputError
from noria.lake.erase import erase_user, receipt, receipts
from noria.lake.event import COLUMNS, KINDS, OUTCOMES, Event, new_id
from noria.lake.outbox import Outbox
from noria.lake.read import ARROW
from noria.lake.search import Wanted, each, find, uses
from noria.lake.tables import Format, pieces

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def fill(lake: Path, count: int = 400, seed: int = 1) -> list[Event]:
    """Events of five days by chance, most of them sealed, in files of many row groups; some come late, some at the same moment."""
    draw = random.Random(seed)
    events = []
    for _ in range(count):
        time = NOON - timedelta(minutes=draw.randrange(5 * 24 * 60))
        said = json.dumps({"input": [draw.choice(["物流太慢了", 'a "quoted" word', "=1+1"])]}, ensure_ascii=False)
        consent = draw.random() < 0.4
        events.append(
            Event(
                new_id(),
                time,
                draw.choice(list(KINDS)),
                user=draw.choice(["ann", "bob", ""]),
                tenant=draw.choice(["k1", "k2"]),
                units=draw.randrange(9),
                outcome=draw.choice(list(OUTCOMES)),
                consent=consent,
                text=said if consent else "",
            )
        )
    with Outbox(lake) as outbox:
        for start in range(0, count, 40):
            outbox.append(events[start : start + 40])
            if start % 120 == 0:
                outbox.seal(before=NOON)
    return events


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    folder = tmp_path_factory.mktemp("lake")
    return folder, fill(folder)


WANTED = [
    (Wanted(), lambda one: True),
    (Wanted(kind="click"), lambda one: one.kind == "click"),
    (Wanted(user="ann", outcome="failed"), lambda one: (one.user, one.outcome) == ("ann", "failed")),
    (
        Wanted(tenant="k2", since=NOON - timedelta(days=2)),
        lambda one: one.tenant == "k2" and one.time >= NOON - timedelta(days=2),
    ),
    (Wanted(until=NOON - timedelta(hours=60)), lambda one: one.time < NOON - timedelta(hours=60)),
    (Wanted(text="太慢"), lambda one: "太慢" in one.text),
    (Wanted(text='A "QUOTED"'), lambda one: "quoted" in one.text),
    (Wanted(model="none"), lambda one: False),
]


def newest(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda one: (one.time, one.id), reverse=True)


@pytest.mark.parametrize(("wanted", "holds"), WANTED)
@pytest.mark.parametrize("most", [1, 7, 1_000])
def test_pages_hold_what_a_walk_over_all_finds(
    lake: tuple[Path, list[Event]], wanted: Wanted, holds, most: int
) -> None:
    folder, events = lake
    expected, found, after = newest([one for one in events if holds(one)]), [], ""
    for _ in range(30):
        page = find(folder, wanted, most, after)
        assert len(page.events) <= most
        found += page.events
        if not page.next:
            break
        after = page.next
    assert found == expected[: len(found)]
    assert len(found) == len(expected) or len(found) == 30 * most


def test_a_page_of_an_old_lake_and_of_none(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        find(tmp_path / "nowhere", Wanted())
    kept = [Event(new_id(), NOON - timedelta(days=3), "request", user="ann")]
    old_file(tmp_path, kept)
    assert [one.id for one in find(tmp_path, Wanted(user="ann")).events] == [kept[0].id]
    assert find(tmp_path, Wanted(text="x")).events == []
    assert find(tmp_path, Wanted(), after="no place").events[0].text == ""


def table(lake: Path, format: Format, wanted: Wanted) -> bytes:
    return b"".join(pieces(format, ARROW, each(lake, wanted)))


@pytest.mark.parametrize(("wanted", "holds"), WANTED)
def test_files_hold_each_event_once_in_every_format(lake: tuple[Path, list[Event]], wanted: Wanted, holds) -> None:
    folder, events = lake
    expected = {one.id: one for one in events if holds(one)}
    parquet = pq.read_table(io.BytesIO(table(folder, "parquet", wanted)))
    assert parquet.schema.names == list(COLUMNS)
    assert {row["id"]: Event(**row) for row in parquet.to_pylist()} == expected
    lines = [json.loads(line) for line in table(folder, "jsonl", wanted).decode().splitlines()]
    assert {row["id"]: Event(**{**row, "time": datetime.fromisoformat(row["time"])}) for row in lines} == expected
    rows = list(csv.DictReader(io.StringIO(table(folder, "csv", wanted).decode("utf-8-sig"))))
    assert {row["id"]: row["text"] for row in rows} == {one.id: one.text for one in expected.values()}
    assert len(parquet) == len(lines) == len(rows) == len(expected)


def test_what_is_sealed_between_two_looks_is_one_event(tmp_path: Path) -> None:
    events = fill(tmp_path, 60, seed=2)
    walk = each(tmp_path, Wanted(), ("id",))
    first = next(walk)
    with Outbox(tmp_path) as outbox:
        outbox.seal(before=NOON + timedelta(days=1))
    ids = [one for batch in (first, *walk) for one in batch["id"].to_pylist()]
    assert sorted(ids) == sorted(one.id for one in events)


def test_no_cell_is_a_formula_and_no_table_waits_for_its_end() -> None:
    asked = iter([[{"a": "=1+1"}], [{"a": "-2"}], [{"a": "报修\n2"}]])
    made = pieces("csv", pa.schema({"a": pa.string()}), asked)
    assert [next(made), next(made)] == [b"\xef\xbb\xbfa\n", b"'=1+1\n"]
    assert next(asked) == [{"a": "-2"}]  # not read before it is wanted

    def endless() -> Iterator[list[dict[str, str]]]:
        while True:
            yield [{"a": "x" * 100}] * 1_000

    made = pieces("parquet", pa.schema({"a": pa.string()}), endless())
    assert all(len(next(made)) < 200_000 for _ in range(20))


def test_use_is_counted_from_requests_alone(lake: tuple[Path, list[Event]]) -> None:
    folder, events = lake
    since = NOON - timedelta(days=3)
    found = uses(folder, since)
    for tenant in ("k1", "k2"):
        mine = [one for one in events if one.tenant == tenant and one.kind == "request" and one.time >= since]
        use = found[tenant]
        assert (use.requests, use.answered) == (len(mine), sum(one.outcome == "ok" for one in mine))
        assert use.units == {"items": sum(one.units for one in mine)}
        assert use.last == max(one.time for one in mine)
    assert set(found) == {"k1", "k2"}
    assert uses(folder, NOON + timedelta(days=1)) == {}


def test_receipts_are_kept_and_read_back(tmp_path: Path) -> None:
    fill(tmp_path, 60)
    made = [erase_user(tmp_path, user) for user in ("ann", "bob")]
    assert receipts(tmp_path) == made[::-1]
    assert receipt(tmp_path, made[0].id) == made[0]
    assert find(tmp_path, Wanted(user="ann")).events == []
    for name in ("../removed", "none", f"../receipts/{made[0].id}"):
        assert receipt(tmp_path, name) is None
    assert receipts(tmp_path / "nowhere") == []
