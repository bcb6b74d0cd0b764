"""What is known of users over restarts: each event counts once, whenever the server ended and wherever the event lies by then."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from noria.apps.recommend.catalogue import Catalogue
from noria.apps.recommend.importing import import_deeds
from noria.apps.recommend.remembering import Memory
from noria.apps.recommend.shelf import Shelf
from noria.apps.recommend.states import BUY, CLICK, DEEDS, HOT, SEEN, Reader, States, key_of
from noria.lake.erase import erase_user, keep_days
from noria.lake.event import Event, new_id, pseudonym
from noria.lake.outbox import Outbox, everything, reconcile
from noria.tasks.deeds import deeds_of
from noria.tasks.items import Item

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
IDS = [f"shop/{number}?ü=🍵" for number in range(12)]
USERS = ("ann", "bob", "chen")
KINDS = ("impression", "click", "conversion")


def shelf_of(ids: list[str]) -> Shelf:
    """A shelf of some items, each with a vector that its id decides."""
    vectors = np.array([np.random.default_rng(IDS.index(id)).normal(size=6) for id in ids])
    shelf = Shelf()
    shelf.use(Catalogue([Item(id, id, id) for id in ids], vectors))
    return shelf


def started(lake: Path, earliest: datetime = NOON - timedelta(days=999)) -> Memory:
    """A shelf's memory after a start, its rows numbered as the snapshot has them, then by the catalogue."""
    memory = Memory(lake, Shelf(), key_of)
    known = memory.ids()
    memory = Memory(lake, shelf_of([*known, *(id for id in reversed(IDS) if id not in known)]), key_of)
    memory.recall(earliest)
    return memory


def event(number: int, kind: str, user: str, item: str, **facts: object) -> Event:
    time = NOON + timedelta(seconds=number)
    return Event(**{"id": new_id(), "time": time, "kind": kind, "user": user, "tenant": "t", "subject": item, **facts})


def known(memory: Memory) -> dict[str, object]:
    """All that is known, by the ids of items."""
    shelf, items = memory.shelf, memory.shelf.catalogue.items
    found: dict[str, object] = {}
    for user in USERS:
        reader = shelf.states.look(key_of("t", user))
        found[user] = (
            [(second, items[row].id, kind) for second, row, kind in reader.deeds],
            [(items[row].id, unanswered) for row, unanswered in reader.seen.items()],
            sorted(items[row].id for row in reader.bought),
        )
    for name in ("shown", "clicks"):
        found[name] = {item.id: float(count) for item, count in zip(items, getattr(shelf, name), strict=True)}
    return found


def keep(memory: Memory) -> None:
    memory.forget_erased()
    memory.written(*memory.write(memory.capture()))


def act(random: np.random.Generator, number: int) -> Event:
    kind, user, item = (str(random.choice(some)) for some in (KINDS, USERS, IDS))
    outcome = "refused" if random.random() < 0.1 else "ok"
    return event(number, kind, user, item if random.random() < 0.9 else "no such", outcome=outcome)


@pytest.mark.parametrize("seed", range(6))
def test_every_event_counts_once_whenever_the_server_is_killed(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    whole = Memory(tmp_path / "none", shelf_of(IDS), key_of)
    with Outbox(tmp_path) as outbox:
        memory = started(tmp_path)
        for number in range(120):
            one = act(random, number * 2_400)  # some days
            outbox.append([one])
            whole.on_event(one)
            if random.random() < 0.95:  # else killed between the disk and the listener
                memory.on_event(one)
            else:
                memory = started(tmp_path)
            lot = random.random()
            if lot < 0.05:
                keep(memory)
            elif lot < 0.09:
                outbox.seal(before=one.time if lot < 0.07 else everything())
            elif lot < 0.12:
                memory = started(tmp_path)
                assert known(memory) == known(whole)
        assert known(started(tmp_path)) == known(whole)


@pytest.mark.parametrize("seed", range(4))
def test_a_snapshot_is_of_one_moment_while_clicks_arrive_and_the_server_is_killed(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng([7, seed])
    whole = Memory(tmp_path / "none", shelf_of(IDS), key_of)
    with Outbox(tmp_path) as outbox:
        memory, held, then = started(tmp_path), None, None
        for number in range(150):
            one = act(random, number * 2_400)
            outbox.append([one])
            whole.on_event(one)
            memory.on_event(one)
            lot = random.random()
            if lot < 0.1 and held is None:
                held, then = memory.capture(), known(memory)
            elif lot < 0.25 and held is not None:
                done = memory.write(held)
                if random.random() < 0.7:  # else killed between the file and its note
                    memory.written(*done)
                else:
                    memory = started(tmp_path)
                assert then == of_snapshot(memory)
                held = None
            elif lot < 0.3:
                outbox.seal(before=one.time if lot < 0.28 else everything())
            elif lot < 0.34:
                memory, held = started(tmp_path), None
                assert known(memory) == known(whole)
            elif lot < 0.37 and held is not None:  # the disk is full
                memory.written()
                held = None
        assert known(memory) == known(whole)
        assert known(started(tmp_path)) == known(whole)


def of_snapshot(memory: Memory) -> dict[str, object]:
    """What the snapshot alone tells."""
    alone = Memory(memory.lake, shelf_of(memory.ids()), key_of)
    assert alone._load()
    return known(alone)


def test_the_loop_learns_on_while_a_thread_writes_a_snapshot(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        memory = started(tmp_path)
        users = [f"u{number}" for number in range(HOT + 300)]
        for number, user in enumerate(users):
            memory.on_event(event(number, "click", user, IDS[number % 12]))
        outbox.append([one := event(9_000, "click", "ann", IDS[0])])
        memory.on_event(one)
        held, then = memory.capture(), known(memory)
        with ThreadPoolExecutor(1) as threads:
            writing = threads.submit(memory.write, held)
            number = 0
            while not writing.done() or number < 500:
                memory.on_event(
                    event(10_000 + number, KINDS[number % 3], (*USERS, *users)[number % 400], IDS[number % 5])
                )
                number += 1
            memory.written(*writing.result())
        assert of_snapshot(memory) == then
        assert memory.heard == number
        assert {len(memory.shelf.states), len(set(memory.shelf.states.order()))} == {HOT + 303}


def test_a_start_reads_only_what_the_snapshot_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Outbox(tmp_path) as outbox:
        memory = started(tmp_path)
        for number in range(20):
            outbox.append([one := event(number, "click", "ann", IDS[number % 12])])
            memory.on_event(one)
        outbox.seal(before=everything())
        keep(memory)
        assert memory.position.loose == set()  # they are told by their file
        outbox.append([event(90_000, "conversion", "ann", IDS[3])])
    read: list[Path] = []
    real = Memory._counting
    monkeypatch.setattr(Memory, "_counting", lambda self, batch, since: read.append(batch) or real(self, batch, since))  # type: ignore[arg-type,func-returns-value]
    again = started(tmp_path)
    assert sum(batch.num_rows for batch in read) == 1  # type: ignore[attr-defined]
    assert again.shelf.states.look(key_of("t", "ann")).bought


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "other"])
def test_a_damaged_snapshot_is_done_without(harm: str, tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        memory = started(tmp_path)
        for number in range(30):
            outbox.append([one := event(number, KINDS[number % 3], USERS[number % 2], IDS[number % 7])])
            memory.on_event(one)
        keep(memory)
    content = memory.file.read_bytes()
    flipped = bytearray(content)
    flipped[-40] ^= 1
    harmed = {"cut": content[:-25], "flipped": bytes(flipped), "empty": b"", "other": b'{"format": 99}\n'}[harm]
    memory.file.write_bytes(harmed)
    assert known(started(tmp_path)) == known(memory)


def test_who_is_erased_is_forgotten_by_a_server_that_runs_and_by_the_next(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        memory = started(tmp_path)
        for number in range(12):
            outbox.append([one := event(number, "click", USERS[number % 2], IDS[number])])
            memory.on_event(one)
        keep(memory)
        erase_user(tmp_path, "ann")
        assert not memory.file.exists()
        again = started(tmp_path)
        assert key_of("t", "ann") not in again.shelf.states
        keep(memory)
        for one in (memory, started(tmp_path)):
            assert key_of("t", "ann") not in one.shelf.states
            assert key_of("t", "bob") in one.shelf.states


def test_days_past_their_time_are_known_no_more_after_a_start(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        memory = started(tmp_path)
        for number, user in ((0, "ann"), (86_400 * 5, "bob")):
            outbox.append([one := event(number, "click", user, IDS[0])])
            memory.on_event(one)
        outbox.seal(before=everything())
        keep(memory)
    keep_days(tmp_path, days=2, now=NOON + timedelta(days=5))
    again = started(tmp_path)
    assert key_of("t", "ann") not in again.shelf.states
    assert key_of("t", "bob") in again.shelf.states


def test_items_that_left_keep_their_rows_and_are_known_again_when_they_come_back(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        memory = started(tmp_path)
        outbox.append([one := event(1, "click", "ann", IDS[4])])
        memory.on_event(one)
        keep(memory)
    rows = memory.ids()
    live = np.array([id != IDS[4] for id in rows])
    without = Shelf()
    without.use(Catalogue([Item(id, id, id) for id in rows], np.random.default_rng(0).normal(size=(12, 6)), live))
    gone = Memory(tmp_path, without, key_of)
    gone.recall(NOON)
    ann = key_of("t", "ann")
    assert gone.shelf.taste(gone.shelf.states.look(ann)) is None
    assert IDS[4] not in {pick.item.id for pick in gone.shelf.choose(ann, 12)}
    keep(gone)
    assert known(started(tmp_path)) == known(memory)


@hypothesis.given(
    st.lists(st.tuples(st.sampled_from("sbc"), st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1)), max_size=40)
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_what_is_packed_is_what_was_known(acts: list[tuple[str, int, int]]) -> None:
    reader = Reader()
    for kind, item, second in acts:
        if kind == "s":
            reader.show(item)
        else:
            reader.act(item, BUY if kind == "b" else CLICK, second)
    held = reader.packed()
    again = Reader.unpacked(held)
    assert again == reader
    assert list(again.seen) == list(reader.seen)
    assert len(held) == 12 + 9 * len(reader.deeds) + 4 * (len(reader.seen) + len(reader.bought))
    assert [second for second, _, _ in reader.deeds] == sorted(second for second, _, _ in reader.deeds)


def test_a_user_of_ten_thousand_rows_is_bounded() -> None:
    reader = Reader()
    for number in range(10_000):
        reader.show(number)
        reader.act(number, CLICK, number)
    assert (len(reader.deeds), len(reader.seen)) == (DEEDS, SEEN)
    assert len(reader.packed()) < 2_200


def test_users_are_the_same_packed_or_not_and_the_oldest_make_room() -> None:
    states = States(HOT + 500)
    for key in range(HOT + 600):
        states.of(key).act(key, CLICK, key)
    states.of(700)
    keys, packed = states.freeze().all()
    states.thaw()
    assert keys.tolist()[-1] == 700
    assert HOT + 500 <= len(states) <= HOT + 516
    again = States(HOT + 500)
    again.load(keys.tolist(), packed)
    assert len(again) == HOT + 500
    assert 700 in again
    assert 0 not in again
    assert again.look(800) == states.look(800)
    assert again.look(5_000_000) == Reader()
    assert 5_000_000 not in again


@pytest.mark.parametrize("seed", range(4))
def test_what_was_frozen_stays_and_what_changed_meanwhile_is_as_if_nothing_had_been(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("noria.apps.recommend.states.HOT", 8)
    random, states, other = np.random.default_rng(seed), States(40), States(40)

    def acted() -> None:
        key, item, lot = int(random.integers(35)), int(random.integers(9)), random.random()
        for one in (states, other):
            if lot < 0.1:
                one.forget(key)
            elif lot < 0.5:
                one.of(key).show(item)
            else:
                one.of(key).act(item, CLICK, item)

    def held(of: States) -> list[tuple[int, Reader]]:
        assert len(of) == len(of.order())
        return [(key, of.look(key)) for key in of.order()]

    for _ in range(12):
        for _ in range(int(random.integers(40))):
            acted()
        frozen, then = states.freeze(), [(key, reader.copy()) for key, reader in held(states)]
        for _ in range(int(random.integers(60))):
            acted()
            assert held(states) == held(other)
        keys, packed = frozen.all()
        assert [(key, Reader.unpacked(one)) for key, one in zip(keys.tolist(), packed, strict=True)] == then
        states.thaw()
        assert held(states) == held(other)


@pytest.mark.parametrize("timed", [True, False])
def test_an_imported_log_is_known_at_the_next_start_and_counts_once(timed: bool, tmp_path: Path) -> None:
    secret, now = b"s" * 32, NOON.timestamp()
    rows = [("小王", IDS[n % 12], ("click", "buy", "rating", "cart")[n % 4], float(n), float(n)) for n in range(40)]
    deeds = deeds_of(rows, timed=timed)
    counts = [import_deeds(tmp_path, deeds, secret, now=now) for _ in range(2)]
    assert counts[0] == counts[1] == 35  # the five ratings below the middle one tell no taste
    books = reconcile(tmp_path)
    assert books.exact
    assert books.sealed == 35
    memory = started(tmp_path, NOON - timedelta(days=36_000))
    reader = memory.shelf.states.look(key_of("", pseudonym("小王", secret)))
    last = memory.shelf.catalogue.items[reader.deeds[-1][1]].id
    assert last == IDS[39 % 12]
    assert reader.deeds[-1][0] == (39 if timed else int(now))
