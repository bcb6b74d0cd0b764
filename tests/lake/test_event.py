"""Events: ids that sort, rows that come back, pseudonyms that hold."""

import sqlite3
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from noria.core.errors import InputError
from noria.lake.event import (
    COLUMNS,
    FACTS,
    KINDS,
    OUTBOX_DDL,
    OUTBOX_TABLE,
    OUTCOMES,
    Event,
    day_folder,
    new_id,
    pseudonym,
)

moments = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
events = st.builds(
    Event,
    id=st.uuids(version=4).map(str),
    time=moments,
    kind=st.sampled_from(tuple(KINDS)),
    user=text,
    units=st.integers(0, 2**40),
    latency_ms=st.floats(0, 1e6),
    outcome=st.sampled_from(tuple(OUTCOMES)),
    segment=text,
    consent=st.booleans(),
    value=st.none() | st.floats(-1e9, 1e9),
)


@given(events)
@example(Event(id="0", time=datetime(2106, 3, 1, microsecond=213, tzinfo=UTC), kind="request"))
def test_a_row_comes_back_through_the_outbox_table(event):
    base = sqlite3.connect(":memory:")
    base.execute(OUTBOX_DDL)
    names = ",".join(COLUMNS)
    base.execute(f"INSERT INTO {OUTBOX_TABLE} ({names}) VALUES ({','.join('?' * len(COLUMNS))})", event.row())
    row = base.execute(f"SELECT {','.join(COLUMNS)} FROM {OUTBOX_TABLE}").fetchone()
    base.close()
    assert Event.from_row(row) == event


def test_ids_are_uuid7_sort_and_differ():
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    first = uuid.UUID(ids[0])
    assert (first.version, first.variant) == (7, uuid.RFC_4122)


def test_ids_keep_their_order_when_the_clock_steps_back():
    before = new_id(lambda: 4e9)
    assert new_id(lambda: 3.9e9) > before


def test_pseudonyms_hold_and_need_the_secret():
    assert pseudonym("小王", b"s") == pseudonym("小王", b"s") != pseudonym("小王", b"t")
    assert pseudonym("", b"s") == ""
    assert "小王" not in pseudonym("小王", b"s")


@pytest.mark.parametrize(
    ("change", "says"), [({"kind": "purchase"}, "unknown kind"), ({"outcome": "meh"}, "unknown outcome")]
)
def test_unknown_kinds_are_refused(change, says):
    with pytest.raises(InputError, match=says):
        Event(**{"id": new_id(), "time": datetime.now(UTC), "kind": "request", **change})


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(InputError, match="names no time zone"):
        Event(id=new_id(), time=datetime(2026, 1, 1), kind="request")


def test_text_needs_consent_and_units_fit():
    facts = {"id": new_id(), "time": datetime.now(UTC), "kind": "request"}
    assert Event(**facts, text="{}", consent=True).text == "{}"
    with pytest.raises(InputError, match="without consent"):
        Event(**facts, text="{}")
    with pytest.raises(InputError, match="units of an event are out of range"):
        Event(**facts, units=2**63)


def test_analytics_read_all_but_what_was_said():
    assert list(FACTS) == [name for name in COLUMNS if name not in ("text", "propensity")]


def test_day_folder(tmp_path):
    assert day_folder(tmp_path, "2026-01-02").relative_to(tmp_path).as_posix() == "events/day=2026-01-02"
