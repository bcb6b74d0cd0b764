"""What changed: no sentence without its figures, none that its interval does not carry, none of too few users; in both languages."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest

from noria.core.figure import Figure
from noria.core.messages import as_is, message
from noria.grow.changes.compared import (
    LEAST_EACH,
    LEAST_USERS,
    PerUser,
    compare,
    corrected,
    enough,
    last_step,
    share_of,
)
from noria.grow.changes.finding import MOST, Finding, chosen, of_models, of_start, of_use, of_waiting
from noria.grow.changes.use import use_of_events, use_of_log
from noria.grow.log.lake import SCHEMA
from noria.grow.log.log import Log
from noria.grow.log.zones import UTC_DAYS, local_calendar
from noria.lake.simulated import SIMULATED, mark_simulated, simulated_tenants

LAST = date(2026, 3, 28)
SOURCE = as_is("made for a test")
NUMBERS = re.compile(r"\d[\d,.]*\d|\d")


class World:
    """Made-up events, kept as a list beside the table that is told of."""

    def __init__(self, seed: int = 0) -> None:
        self.random, self.rows = np.random.default_rng(seed), list[dict[str, Any]]()

    def add(self, day: date, user: str, kind: str = "request", **facts: Any) -> None:
        seconds = int(self.random.integers(86_400))
        time = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=seconds)
        given = {
            "id": f"{len(self.rows):08d}",
            "time": time,
            "kind": kind,
            "user": user,
            "tenant": "shop",
            "app": "support",
        }
        rest = {"outcome": "ok", "unit": "items", "units": 1, "latency_ms": 1.0, "value": None, "consent": False}
        texts = dict.fromkeys(("model", "version", "segment", "subject"), "")
        self.rows.append(rest | texts | given | facts)

    def table(self) -> ibis.Table:
        connection = ibis.duckdb.connect()
        connection.con.execute("SET TimeZone = 'UTC'")
        columns = {name: [row[name] for row in self.rows] for name in SCHEMA.names}
        connection.con.register("events", pa.table(columns, schema=SCHEMA))
        return connection.sql("SELECT * REPLACE (make_timestamp(epoch_us(time)) AS time) FROM events", dialect="duckdb")


def weeks(users: tuple[int, int], handed: tuple[float, float], seed: int = 0) -> World:
    """Return two weeks, the later one first: so many users, and of their messages such a part handed over; and a week before them."""
    world = World(seed)
    for age, count in ((0, users[0]), (1, users[1]), (2, users[1])):
        for user in range(count):
            for _ in range(int(world.random.integers(1, 6))):
                day = LAST - timedelta(days=7 * age + int(world.random.integers(7)))
                world.add(day, f"u{user}")
                if world.random.random() < handed[min(age, 1)]:
                    world.add(day, f"u{user}", "handover")
    return world


def findings_of(world: World, last: date = LAST, simulated: tuple[str, ...] = ()) -> list[Finding]:
    use = use_of_events(world.table(), UTC_DAYS, last, simulated)
    return of_use(use, SOURCE) if use else []


def test_every_figure_of_a_sentence_can_be_counted_again() -> None:
    world = weeks((150, 60), (0.45, 0.12))
    found = {one.key: one for one in findings_of(world)}
    assert {"active_users", "requests", "handed_over"} <= set(found)

    def counted(kind: str, age: int) -> list[str]:
        return [
            row["user"] for row in world.rows if row["kind"] == kind and (LAST - row["time"].date()).days // 7 == age
        ]

    for age, key in ((0, "now"), (1, "before")):
        requests, handed = counted("request", age), counted("handover", age)
        assert found["active_users"].sentence.values[key] == f"{len(set(requests)):,}"
        assert found["requests"].sentence.values[key] == f"{len(requests):,}"
        assert found["handed_over"].sentence.values[key] == f"{100 * len(handed) / len(requests):.1f} %"
    change = found["active_users"].figure
    assert change is not None
    steps = Counter(set(counted("request", 0))) - Counter(set(counted("request", 1)))
    assert change.value == 90 == len(steps)
    assert change.n == 150
    assert change.low is not None
    assert change.low > 0
    assert "2026-03-22 to 2026-03-28 against the 7 days before" in str(found["active_users"].evidence)


def test_every_sentence_has_n_interval_period_and_source_and_reads_alike_in_both_languages() -> None:
    for world in (weeks((150, 60), (0.45, 0.12)), weeks((40, 44), (0.2, 0.2)), weeks((5, 4), (0.5, 0.1))):
        for one in findings_of(world):
            assert one.evidence is not None
            assert "n = " in one.evidence or "exact" in one.evidence
            assert "made for a test" in one.evidence
            for text in (one.sentence, one.do, one.evidence):
                assert Counter(NUMBERS.findall(text)) == Counter(NUMBERS.findall(text["zh"])), text
                assert re.search("[一-鿿]", text["zh"])
            if one.figure is not None and one.figure.low is not None:
                assert one.figure.level > 0.95
                assert f"{one.evidence.values['looked']} measures" in one.evidence


@pytest.mark.parametrize("users", range(1, LEAST_USERS))
def test_of_too_few_users_no_change_is_told(users: int) -> None:
    for one in findings_of(weeks((users, users), (0.95, 0.02), users)):
        assert one.key == "calm", one.sentence


def test_all_intervals_together_hold_what_they_promise() -> None:
    """Two weeks that differ by chance alone: users of any habit, some of them many times as busy as others."""
    random, wrong, worlds = np.random.default_rng(1), 0, 400
    for _ in range(worlds):
        users = int(random.integers(40, 120))
        busy = random.lognormal(0, 1, users)
        tempted = random.beta(1, 6, users)
        acts = random.poisson(busy[:, None] * 3, (users, 2)).astype(float)
        hits = random.binomial(acts.astype(int), tempted[:, None]).astype(float)
        other = random.binomial(acts.astype(int), 0.3).astype(float)
        measures = {
            "acts": PerUser(acts[:, 0], acts[:, 1]),
            "active_users": PerUser((acts[:, 0] > 0) * 1.0, (acts[:, 1] > 0) * 1.0),
            "handed_over": PerUser(hits[:, 0], hits[:, 1], acts[:, 0], acts[:, 1]),
            "refused": PerUser(other[:, 0], other[:, 1], acts[:, 0], acts[:, 1]),
        }
        wrong += any(one.sure for one in compare(measures))
    assert wrong / worlds <= 0.05 + 3 * (0.05 * 0.95 / worlds) ** 0.5


def test_what_changed_much_is_found_and_the_surest_stands_first() -> None:
    random = np.random.default_rng(2)
    before, now = random.poisson(3, 200).astype(float), random.poisson(5, 200).astype(float)
    asked = random.poisson(4, 200).astype(float)
    wrong = [random.binomial(asked.astype(int), part).astype(float) for part in (0.1, 0.2)]
    found = compare({"a": PerUser(*wrong, asked, asked), "b": PerUser(before, now)})
    assert [one.measure for one in found] == ["b", "a"]
    assert all(one.sure and one.low <= one.value <= one.high for one in found)
    assert found[0].level == corrected(2) == pytest.approx(0.975)


def test_a_share_needs_enough_of_both_kinds() -> None:
    sizes = np.full(LEAST_USERS, 10.0)
    few = np.zeros(LEAST_USERS)
    few[: LEAST_EACH - 1] = 1.0
    assert not enough(PerUser(few, np.zeros(LEAST_USERS), sizes, sizes))
    few[LEAST_EACH - 1] = 1.0
    assert enough(PerUser(few, np.zeros(LEAST_USERS), sizes, sizes))
    assert not enough(PerUser(sizes - few, sizes, sizes, sizes[:1]))
    level = share_of(few, sizes)
    assert level is not None
    assert level[1] < 0.05 == level[0] < level[2]
    assert share_of(few[1:], sizes[1:]) is None


def test_one_day_is_no_habit_and_no_week_is_compared() -> None:
    world = World()
    for user in range(40):
        for number in range(5):
            world.add(LAST, f"u{user}")
            if number < 2:
                world.add(LAST, f"u{user}", "handover")
    first, *levels = findings_of(world)
    assert first.sentence == "One day of use so far, 2026-03-28: users 40, acts 200. One day is no habit."
    assert "2026-04-11" in first.do
    (level,) = levels
    assert level.sentence == "The share of customers' messages handed over to a person: 40.0 %."
    for days in range(1, 14):
        world = World()
        for age in range(days):
            for user in range(30):
                world.add(LAST - timedelta(days=age), f"u{user + 10 * age}")
        assert {one.key for one in findings_of(world)} == {"use"}


def test_the_running_day_is_not_compared_and_a_zone_says_which_it_is() -> None:
    world = weeks((60, 60), (0.2, 0.2))
    for user in range(500):
        world.add(LAST + timedelta(days=1), f"late{user}")
    assert {one.key for one in findings_of(world)} <= {"calm"}
    moved = use_of_events(world.table(), local_calendar("America/Los_Angeles"), LAST)
    assert moved is not None
    assert moved.users > 60  # some of that day's are of the last day there


def test_use_without_names_is_nobodys_habit() -> None:
    world = World()
    for age in range(21):
        for _ in range(30 if age < 7 else 5):
            world.add(LAST - timedelta(days=age), "")
    (only,) = findings_of(world)
    assert only.key == "calm"
    assert only.sentence.code == "changes.too_few"


def test_no_use_for_two_weeks_is_told() -> None:
    world = World()
    world.add(LAST - timedelta(days=40), "u")
    (only,) = findings_of(world)
    assert only.key == "silent"
    assert use_of_events(World().table(), UTC_DAYS, LAST) is None


def test_what_is_made_up_is_marked(tmp_path: Any) -> None:
    world = weeks((150, 60), (0.4, 0.1))
    assert {one.simulated for one in findings_of(world)} == {None}
    assert {one.simulated for one in findings_of(world, simulated=("shop",))} == {message("changes.simulated.all")}
    for row in world.rows[::2]:
        row["tenant"] = "made up"
    part = findings_of(world, simulated=("made up",))[0].simulated
    assert part is not None
    assert re.fullmatch(r"(4\d|5\d)% simulated", part)
    assert simulated_tenants(tmp_path) == {SIMULATED}
    mark_simulated(tmp_path, ["a"])
    mark_simulated(tmp_path, ["b", "a"])
    assert simulated_tenants(tmp_path) == {SIMULATED, "a", "b"}
    (tmp_path / "simulated.json").write_text("{")
    assert simulated_tenants(tmp_path) == {SIMULATED}


def test_a_step_of_a_series_is_held_against_the_steps_before() -> None:
    random = np.random.default_rng(3)
    false = [last_step("a", 0.5 + random.normal(0, 0.01, 14).cumsum(), 1) for _ in range(400)]
    assert sum(one is not None and one.sure for one in false) / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    calm = (0.5 + 0.01 * np.asarray([0, 1, 0, 1, 0, 1, 0, 1, 0, 1])).tolist()
    step = last_step("a", [*calm, 0.4], 1)
    assert step is not None
    assert step.sure
    assert last_step("a", calm[:8], 1) is None
    assert last_step("a", [*calm, float("nan")], 1) is None


def test_any_log_is_told_of_and_its_last_week_counted(cdnow_tenth: Log) -> None:
    use = use_of_log(cdnow_tenth)
    rows = cdnow_tenth.table.select("user", "time").to_pyarrow().to_pylist()
    ages = [(cdnow_tenth.as_of - row["time"].date()).days // 7 for row in rows]
    assert use.acts == sum(age < 2 for age in ages)
    assert use.users == len({row["user"] for row, age in zip(rows, ages, strict=True) if age < 2})
    assert all(one.key in {"active_users", "acts", "came_back", "calm"} for one in of_use(use, SOURCE))


def test_models_are_held_to_their_baselines_on_the_side_that_is_better() -> None:
    def of(name: str, low: float, high: float) -> list[Finding]:
        return of_models({"my_model": [Figure(name, (low + high) / 2, 100, low, high, source="test", baseline=0.5)]})

    assert of("accuracy", 0.6, 0.7) == of("bits per byte", 0.3, 0.4) == of("something", 0.1, 0.2) == []
    assert of("accuracy", 0.3, 0.4)[0].tone == of("bits per byte", 0.6, 0.7)[0].tone == "bad"
    (level,) = of("accuracy", 0.45, 0.55)
    assert "my_model is not shown to be better" in level.sentence
    assert "my_model" in level.sentence["zh"]


def test_three_are_told_what_waits_first() -> None:
    start = of_start(models=False, use=False, growth=False)
    assert [one.key for one in start] == ["first models", "first use", "first grow"]
    waits = of_waiting({"inbox": 0, "monitor": 2, "proposals": 1})
    assert waits[0].sentence == "Waiting for a person: alerts not judged 2, proposed answers 1."
    assert waits[0].place == "monitor"
    assert of_waiting({"inbox": 0}) == []
    some = findings_of(weeks((150, 60), (0.45, 0.12)))
    picked = chosen([*start, *some, *waits, *some])
    assert len(picked) == MOST
    assert [one.key for one in picked] == ["waiting", *(one.key for one in some[:2])]
    assert len({one.key for one in chosen([*start, *start])}) == 3
