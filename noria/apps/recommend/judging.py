"""What another ranking would have brought, from what one that drew lots showed: each place of each list asked anew, at its time.

    decisions = replay(lake, shelf, key_of)          # the shelf ranks as it is to be judged, and learns from events as they came
    decisions.columns()                              # user, time, place, item, propensity, target, reward, expected, expected_target

For each item shown, `target` is the probability with which the judged shelf would have shown it at that place to that user, as they
were known then; `reward` is 1 where a click or purchase answered it. What a click is worth is expected by the rate of clicks on the
items until then, which no later event can have touched. Estimates come of it in `noria.grow.promote.offpolicy`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from noria.core.errors import InputError
from noria.core.messages import message
from noria.lake.event import Event
from noria.lake.read import check_lake, outboxes, read_outbox, read_sealed, sealed_files

from .remembering import LEARNED_FROM
from .shelf import Shelf

COLUMNS = ("id", "time", "kind", "user", "tenant", "app", "subject", "value", "outcome", "propensity")
NAMES = ("user", "time", "place", "item", "propensity", "target", "reward", "expected", "expected_target")


@dataclass
class Decision:
    """One item shown, and what the judged shelf would have done in its place."""

    user: str
    time: float
    """Unix seconds."""
    place: int
    """In its list, from 1."""
    item: str
    propensity: float
    target: float
    reward: float
    expected: float
    """Rate of clicks on the item until then."""
    expected_target: float
    """That of what the judged shelf would have shown at the place."""


@dataclass
class Decisions:
    """All items shown with a probability that is known."""

    rows: list[Decision] = field(default_factory=list)
    gone: int = 0
    """Showings of items that are not in the catalogue any more, left out."""

    def columns(self) -> dict[str, list[Any]]:
        """Return the decisions as columns."""
        return {name: [getattr(row, name) for row in self.rows] for name in NAMES}


def replay(lake: str | Path, shelf: Shelf, key_of: Callable[[str, str], int]) -> Decisions:
    """Return every showing of a lake whose probability is known, as the shelf would have decided it.

    Args:
        lake: the lake's folder; its server may go on running.
        shelf: with the catalogue and knowing nobody yet; when this returns it knows all that the lake tells.
        key_of: tenant and pseudonym of a user -> the number that they are known by.

    Raises:
        InputError: there is no lake, or it holds no such showing.
    """
    events = list(_in_order(check_lake(lake)))
    found, waiting = Decisions(), dict[tuple[int, str], Decision]()
    lists = _lists(events, key_of)
    for place, event in enumerate(events):
        key = key_of(event.tenant, event.user) if event.user else None
        if (shown := lists.get(place)) is not None and key is not None:
            for one in _decided(shelf, key, shown, found):
                waiting[key, one.item] = one
        if event.subject not in shelf.catalogue.places:
            continue
        if event.kind == "impression":
            shelf.show(key, event.subject)
            continue
        second = int(event.time.timestamp())
        (shelf.click if event.kind == "click" else shelf.buy)(key, event.subject, max(second, 0))
        if key is not None and (answered := waiting.pop((key, event.subject), None)) is not None:
            answered.reward = 1.0
    if not found.rows:
        raise InputError(message("apps.no_showings", lake=lake), hint=message("apps.serve_first"))
    return found


def _lists(events: list[Event], key_of: Callable[[str, str], int]) -> dict[int, list[Event]]:
    """Return the lists that were shown with known probabilities, each by the place of its first event among all."""
    lists: dict[int, list[Event]] = {}
    latest: dict[int, list[Event]] = {}
    for place, event in enumerate(events):
        if event.kind != "impression" or event.propensity is None or not event.user or event.value is None:
            continue
        key = key_of(event.tenant, event.user)
        if event.value == 1:
            latest[key] = lists[place] = [event]
        elif key in latest and event.value == len(latest[key]) + 1:
            latest[key].append(event)
    return lists


def _decided(shelf: Shelf, key: int, shown: list[Event], found: Decisions) -> Iterator[Decision]:
    plan = shelf.plan(key, len(shown))
    rates = shelf.popularity()
    hoped = plan.expected(rates)
    for at, event in enumerate(shown):
        row = shelf.catalogue.places.get(event.subject)
        if row is None:
            found.gone += 1
            continue
        assert event.propensity is not None
        target, hope = (plan.probability(at, row), float(hoped[at])) if at < len(plan) else (0.0, 0.0)
        time = event.time.timestamp()
        one = Decision(event.user, time, at + 1, event.subject, event.propensity, target, 0.0, float(rates[row]), hope)
        found.rows.append(one)
        yield one


def _in_order(lake: Path) -> Iterator[Event]:
    """Yield the events that a shelf learns from, each once, in the order of time."""
    waiting = [batch for path in outboxes(lake) for batch in read_outbox(path, COLUMNS)]
    sealed = [batch for path in sealed_files(lake) for batch in read_sealed(path, COLUMNS)]
    kinds = pa.array(LEARNED_FROM)
    kept = [
        batch.filter(pc.and_(pc.is_in(batch["kind"], kinds), pc.equal(batch["outcome"], "ok")))
        for batch in (*sealed, *waiting)
    ]
    seen: set[str] = set()
    table = pa.Table.from_batches(kept).sort_by([("time", "ascending"), ("id", "ascending")]) if kept else None
    for batch in table.to_batches() if table is not None else ():
        for row in batch.to_pylist():
            if row["id"] not in seen:
                seen.add(row["id"])
                yield Event(**row)
