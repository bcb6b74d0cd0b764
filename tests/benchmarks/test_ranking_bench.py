"""The benchmark of recommendation: its simulated clicks, its lines, and how a peer's model is asked about users it has not seen."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import recommend, recommend_train
from benchmarks.recommend_peer import scores
from noria.make.recommend.judge import Measured


def test_simulated_clicks_are_as_many_as_asked_and_unequal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recommend.simulate(tmp_path / "g.npz", users=200, items=300, clicks=4_000)
    given = np.load(tmp_path / "g.npz")
    assert len(given["indptr"]) == 201
    assert 2_500 <= len(given["indices"]) <= 4_000
    for user in range(200):  # a user's items, each once
        own = given["indices"][given["indptr"][user] : given["indptr"][user + 1]]
        assert len(set(own.tolist())) == len(own)
    counts = np.sort(np.bincount(given["indices"], minlength=300))[::-1]
    assert counts[:30].sum() > 3 * counts[150:180].sum()
    recommend_train.main(str(tmp_path / "g.npz"))
    assert json.loads(capsys.readouterr().out)["seconds"] > 0


def test_the_bar_is_reached_only_where_the_whole_interval_is_above_the_peer() -> None:
    random = np.random.default_rng(0)
    peer = random.random(400)
    for gain, reached in ((0.1, True), (0.0, False)):
        ours = peer + gain + random.normal(0, 0.05, 400)
        measured = {"noria": Measured(ours, ours), "peer": Measured(peer, peer)}
        line = recommend._above("nDCG@10", measured, "peer")
        assert (line.ratio >= 1) is reached
        plain = recommend._line("nDCG@10", ours, peer, "peer")
        assert plain.low <= plain.ratio <= plain.high
        assert plain.ratio == pytest.approx(ours.mean() / peer.mean())


def test_a_user_the_peer_has_not_seen_is_folded_in_by_its_own_least_squares() -> None:
    random = np.random.default_rng(1)
    items = random.random((9, 3)).astype(np.float32)
    model = SimpleNamespace(item_factors=items, user_factors=random.random((2, 3)).astype(np.float32))
    given = {"users": np.array([1, -1, -1]), "histories": np.array([0, 4, 7]), "starts": np.array([0, 0, 3, 3])}
    settings = {"regularization": 0.5, "alpha": 4.0}
    found = scores("ALS", settings, model, given)
    assert np.allclose(found[0], model.user_factors[1] @ items.T, atol=1e-5)
    confidence = np.ones(9)
    confidence[[0, 4, 7]] = 4.0
    left = (items * confidence[:, None]).T @ items + 0.5 * np.eye(3)
    user = np.linalg.solve(left, (items * (confidence * (confidence > 1))[:, None]).sum(axis=0))
    assert np.allclose(found[1], items @ user, atol=1e-4)
    assert np.allclose(found[2], model.user_factors.mean(axis=0) @ items.T, atol=1e-5)
