"""How often the intervals of off-policy estimates hold the truth: simulated users of CrossWOZ's items, whose clicks are known in advance.

Each user likes one kind of place and one part of its vocabulary more than the rest; the probability of a click is theirs, the item's and the
place's, and nothing else. They are served by a recommender that leaves half of the places to chance; another one, never shown, that
forgets faster and leaves a fifth to chance, is judged by what they clicked. The truth is what the other one would have got in the same situations, averaged over all runs.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .line import Line, machine

if TYPE_CHECKING:
    from noria.apps.recommend.catalogue import Catalogue
    from noria.apps.settings import RecommendSettings
    from noria.lake.event import Event

NAME = "recommend"
USERS, VISITS, PLACES = 300, 3, 5
WIDTH = 32
ATTENTION = 0.9 ** np.arange(PLACES)
"""How likely a place is looked at."""
LOW, HIGH = 0.93, 0.97
CROSSWOZ = Path(os.environ.get("NORIA_DATA", "/nowhere")) / "dialogue" / "crosswoz" / "items.jsonl"
START = datetime(2026, 5, 1, tzinfo=UTC)


def coverage(*, quick: bool) -> list[Line]:
    """Return a line for each estimate; quick judges 20 runs, else 300."""
    runs = 20 if quick else 300
    world = World.of_crosswoz()
    found = []
    for seed in range(runs):
        found.append(run(world, seed))
        if seed % 10 == 9:
            print(f"recommend, off-policy run {seed + 1}/{runs}", file=sys.stderr)
    return lines_of(found)


def lines_of(found: Sequence[Run]) -> list[Line]:
    """Return a line for each estimate, of runs of different seeds."""
    runs = len(found)
    truth = float(np.mean([one.truth for one in found]))
    lines = []
    for name in ("ips", "snips", "dr"):
        ends = [one.ends[name] for one in found]
        held = sum(low <= truth <= high for low, high in ends)
        share = held / runs
        error = float(np.mean([one.values[name] for one in found])) - truth
        width = float(np.mean([high - low for low, high in ends]))
        print(
            f"recommend, {name}: {held} of {runs} intervals hold the truth {truth:.4f}; mean error {error:+.5f}, mean width {width:.4f}",
            file=sys.stderr,
        )
        # 1 where it lies within 93 to 97 %, else by how much it misses the nearer end.
        ratio = 1.0 if LOW <= share <= HIGH else share / LOW if share < LOW else (1 - share + 1e-9) / (1 - HIGH)
        half = 1.96 * math.sqrt(max(share * (1 - share), 0.01) / runs)
        what = f"share of 95 % intervals that hold the truth, {name}, {runs} runs of simulated users"
        lines.append(
            Line(
                NAME,
                what,
                share,
                0.95,
                "wanted: 93 to 97 %",
                "share",
                ratio,
                runs,
                share - half,
                share + half,
                machine(),
            )
        )
    return lines


@dataclass(frozen=True)
class World:
    """Items, and what is true of users."""

    ids: list[str]
    kinds: np.ndarray
    """Number of each item's kind, [items]."""
    vectors: np.ndarray
    """Of its words, [items, WIDTH]."""

    @classmethod
    def of_crosswoz(cls) -> World:
        """Return every fourth of CrossWOZ's items, their vectors made of their terms by a fixed random projection."""
        from noria.text.terms import terms

        rows = [json.loads(line) for line in CROSSWOZ.read_text(encoding="utf-8").splitlines()][::4]
        project = np.random.default_rng(0).normal(size=(4096, WIDTH))
        vectors = np.array([project[np.unique(terms(row["text"]) % 4096)].mean(0) for row in rows])
        names = sorted({row["kind"] for row in rows})
        return cls([row["id"] for row in rows], np.array([names.index(row["kind"]) for row in rows]), vectors)


@dataclass(frozen=True)
class Run:
    """What one run found."""

    truth: float
    values: dict[str, float]
    ends: dict[str, tuple[float, float]]


def run(world: World, seed: int) -> Run:
    """Serve simulated users, judge another ranking by what they clicked, and say what it would have got in truth."""
    from noria.apps.recommend.catalogue import Catalogue
    from noria.apps.recommend.judging import replay
    from noria.apps.recommend.plan import Plan
    from noria.apps.recommend.rules import Asked
    from noria.apps.recommend.shelf import Shelf
    from noria.apps.recommend.states import key_of
    from noria.apps.settings import RecommendSettings
    from noria.grow.promote.offpolicy import Logged, judge
    from noria.lake.outbox import Outbox
    from noria.tasks.items import Item

    true: list[np.ndarray] = []

    class _Watched(Shelf):
        def plan(self, key: int, count: int, asked: Asked | None = None) -> Plan:
            made = super().plan(key, count, asked)
            true.append(made.expected(rates[key]) * ATTENTION)
            return made

    catalogue = Catalogue([Item(id, id, id) for id in world.ids], world.vectors)
    live = RecommendSettings(chance=0.5, nearby=0.8, seed=seed)
    other = RecommendSettings(chance=0.2, nearby=0.8, memory=0.6)
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as place:
        lake, rates = Path(place), _rates(world, seed)
        with Outbox(lake) as outbox:
            outbox.append(_serve(catalogue, live, rates, seed))
        judged = _Watched(other)
        judged.use(catalogue)
        decisions = replay(lake, judged, key_of)
    columns = decisions.columns()
    _, users = np.unique(columns["user"], return_inverse=True)
    reward, propensity, target, expected, hoped = (
        np.array(columns[name]) for name in ("reward", "propensity", "target", "expected", "expected_target")
    )
    found = judge(Logged(users, reward, propensity, target, expected, hoped))
    assert found.dr is not None
    estimates = {"ips": found.ips, "snips": found.snips, "dr": found.dr}
    return Run(
        float(np.concatenate(true).mean()),
        {name: one.value for name, one in estimates.items()},
        {name: (float(one.low or 0.0), float(one.high or 0.0)) for name, one in estimates.items()},
    )


def _rates(world: World, seed: int) -> dict[int, np.ndarray]:
    """Return the probability of a click of each user, by key, on every item, [items]."""
    from noria.apps.recommend.states import key_of

    draw = np.random.default_rng(seed)
    centred = world.vectors - world.vectors.mean(0)
    found = {}
    for user in range(USERS):
        wish = centred[draw.integers(len(world.ids))]
        near = centred @ wish / (np.linalg.norm(centred, axis=1) * np.linalg.norm(wish))
        own = world.kinds == draw.integers(world.kinds.max() + 1)
        found[key_of("", f"user {user}")] = 1 / (1 + np.exp(-(3.0 * near + 1.2 * own - 2.5)))
    return found


def _serve(catalogue: Catalogue, settings: RecommendSettings, rates: dict[int, np.ndarray], seed: int) -> list[Event]:
    """Return the events of users who are served as the settings say, and click as they do."""
    from noria.apps.recommend.shelf import Shelf
    from noria.apps.recommend.states import key_of
    from noria.lake.event import Event, new_id

    shelf, draw = Shelf(settings), np.random.default_rng([seed, 1])
    shelf.use(catalogue)
    written: list[Event] = []

    def tell(kind: str, user: str, item: str, **facts: Any) -> None:
        time = START + timedelta(seconds=len(written))
        written.append(Event(new_id(), time, kind, user, subject=item, **facts))

    for _ in range(VISITS):
        for number in range(USERS):
            user = f"user {number}"
            key = key_of("", user)
            picks = shelf.choose(key, PLACES)
            for place, pick in enumerate(picks, 1):
                tell("impression", user, pick.item.id, value=float(place), propensity=pick.propensity)
                shelf.show(key, pick.item.id)
            for place, pick in enumerate(picks):
                row = catalogue.places[pick.item.id]
                if draw.random() < rates[key][row] * ATTENTION[place]:
                    tell("click", user, pick.item.id)
                    shelf.click(key, pick.item.id, len(written))
    return written
