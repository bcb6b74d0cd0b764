"""Groups that the same users saw: attribution by hand, the variance of a simulation, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from noria.core.errors import InputError, SettingError
from noria.grow.log.lake import events
from noria.grow.promote.within import compare_within, within_events
from noria.lake.event import new_id

Make = Callable[[list[dict[str, object]]], Path]


def test_what_followed_is_told_by_what_it_is_about(lake_of: Make) -> None:
    show = lambda user, item, why: {"kind": "impression", "user": user, "subject": item, "segment": why}  # noqa: E731
    click = lambda user, item: {"kind": "click", "user": user, "subject": item}  # noqa: E731
    rows = [
        click("a", "1"),  # before anything was shown: about nothing
        show("a", "1", "popular"),
        show("a", "2", "popular"),
        click("a", "1"),
        show("a", "1", "taste"),
        click("a", "1"),  # the last showing of the item counts
        show("b", "1", "taste"),
        show("b", "3", "taste"),
        click("b", "1"),
        click("b", "1"),  # twice is once
        show("b", "9", "popular"),
        click("c", "9"),  # another user's click
    ]
    found = within_events(events(lake_of(rows)), control="popular")
    assert found.names == ("popular", "taste")
    assert found.shown == (3, 3)
    assert [rate.value for rate in found.rates] == pytest.approx([1 / 3, 2 / 3])
    assert found.differences[0].value == pytest.approx(1 / 3)
    assert found.differences[0].n == 2
    assert "only where chance chose" in found.text()
    assert json.dumps(found.as_dict(), allow_nan=False)


def test_feedback_follows_the_request_it_names(lake_of: Make) -> None:
    rows: list[dict[str, object]] = []
    for user in range(6):
        for version in ("1", "2"):
            identity = new_id()
            right = version == "2" or user < 3
            rows.append({"id": identity, "kind": "request", "user": f"u{user}", "version": version})
            rows.append({"kind": "feedback", "user": f"u{user}", "subject": identity, "value": 1.0 if right else -1.0})
    lake = lake_of(rows)
    told = within_events(events(lake), variant="version", exposure="request", outcome="feedback", control="1")
    assert [rate.value for rate in told.rates] == [0.5, 1.0]
    with pytest.raises(SettingError, match="unknown kind of event that follows"):
        within_events(events(lake), variant="version", exposure="request", outcome="click")


def test_the_interval_covers_where_users_differ() -> None:
    """Simulated: 60 users of very different habits see both groups; 95 % intervals of the difference cover it."""
    random = np.random.default_rng(2)
    hits, wide = 0, []
    for _ in range(400):
        habit = random.beta(1, 4, 60)[:, None]
        shown = random.integers(1, 40, (60, 2)).astype(float)
        followed = random.binomial(shown.astype(int), np.clip(habit + np.array([0.0, 0.05]), 0, 1)).astype(float)
        gap = compare_within(("a", "b"), followed, shown).differences[0]
        hits += gap.low <= 0.05 <= gap.high
        alone = [compare_within(("a", "b"), followed, shown).rates[place] for place in (0, 1)]
        wide.append((gap.high - gap.low) / np.hypot(*((rate.high or 0) - (rate.low or 0) for rate in alone)))
    assert 0.915 <= hits / 400 <= 0.985
    assert np.mean(wide) < 0.9  # what users share between the groups is taken out


def test_one_group_or_one_user_is_told(lake_of: Make) -> None:
    lake = lake_of([{"kind": "impression", "user": "a", "subject": "1", "segment": "x"}] * 3)
    with pytest.raises(InputError, match="nothing to compare: found '1 groups, 1 users'"):
        within_events(events(lake))
    alone = compare_within(("a", "b"), np.array([[1.0, 0.0]]), np.array([[2.0, 2.0]]))
    assert (alone.differences[0].low, alone.differences[0].high) == (-1.0, 1.0)
