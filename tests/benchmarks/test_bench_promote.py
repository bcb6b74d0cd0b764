"""The benchmark of promotion at tiny sizes: Noria and its peers do the same work, and find the same where they must."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.promote import BOOSTED, BOOTSTRAP, LOGISTIC, STATSMODELS, budget, experiment, uplift, write


def test_the_peers_find_the_same_difference(tmp_path: Path):
    write(3000, tmp_path)
    ours, theirs = (experiment(name, tmp_path) for name in ("noria", STATSMODELS))
    assert ours["value"] == pytest.approx(theirs["value"], abs=1e-12)


@pytest.mark.parametrize("name", ["noria", LOGISTIC, BOOSTED])
def test_every_score_finds_who_is_moved(name: str):
    found = uplift(name, 12_000, 1)
    assert found["gain"] > 0.05  # 0.03 on average over all users
    assert found["seconds"] > 0


def test_responses_are_scored_by_their_truth():
    ours, theirs = budget("noria", 60, 1), budget(BOOTSTRAP, 60, 1, refits=2)
    assert 0 < ours["score"] < 5
    assert 0 < theirs["score"] < 5
