"""Splits keep groups whole, hold their shares, and never move old data when new data comes."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from noria.text.dedup import SPLITS, split_of

GROUPS = st.lists(st.text(max_size=4), max_size=60)


@given(GROUPS, st.floats(0, 0.45), st.floats(0, 0.45), st.integers(-5, 2**40))
def test_a_group_never_stands_on_two_sides(groups: list[str], valid: float, test: float, seed: int) -> None:
    sides = defaultdict(set)
    for group, side in zip(groups, split_of(groups, valid=valid, test=test, seed=seed), strict=True):
        assert side in SPLITS
        sides[group].add(side)
    assert all(len(found) == 1 for found in sides.values())


@given(st.integers(0, 1000))
def test_shares_are_met(seed: int) -> None:
    counts = Counter(split_of([str(number) for number in range(5000)], seed=seed))
    assert 3800 < counts["train"] < 4200
    assert 380 < counts["valid"] < 620
    assert 380 < counts["test"] < 620


@given(GROUPS.filter(lambda groups: len(set(groups)) > 2))
def test_no_split_that_was_asked_for_is_empty(groups: list[str]) -> None:
    assert set(split_of(groups)) == set(SPLITS)


def test_training_comes_first_when_there_is_little() -> None:
    assert split_of(["only"] * 5) == ["train"] * 5
    assert sorted(split_of(["a", "b"])) == ["test", "train"]
    assert split_of([]) == []
    assert "valid" not in split_of(list("abcdefghij"), valid=0)


def test_new_data_never_moves_old_data() -> None:
    old = [f"group {number}" for number in range(500)]
    assert split_of([*old, *(f"new {number}" for number in range(500))])[:500] == split_of(old)


def test_the_seed_decides() -> None:
    groups = [str(number) for number in range(200)]
    assert split_of(groups, seed=1) == split_of(groups, seed=1) != split_of(groups, seed=2)
