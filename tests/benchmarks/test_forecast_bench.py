"""The benchmarks of forecasts: the same series every time, and nothing scored that a source filled in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.diffusion import errors, noria, one_by_one, simulated
from benchmarks.recovery import SIMULATIONS
from benchmarks.share_forecast import Peer, _filled, _joined, _lines, levels, markets

DATA = os.environ.get("NORIA_DATA", "")


def test_series_come_from_their_seed() -> None:
    first, second = simulated(5), simulated(5)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (5, 26)
    assert (first >= 0).all()
    assert not np.array_equal(first, simulated(5, seed=1))


def test_both_are_judged_by_the_same_error() -> None:
    table = simulated(6)
    ours, theirs = (errors(fit(table[:, :-6], 6), table, 6) for fit in (noria, one_by_one))
    assert ours.shape == theirs.shape == (6,)
    assert errors(table[:, -6:], table, 6) == pytest.approx(1e-9)
    assert ours.mean() < errors(np.zeros((6, 6)), table, 6).mean()


@pytest.mark.skipif(
    not Path(DATA, "market").is_dir() or not DATA, reason="NORIA_DATA names no folder of shared data sets"
)
def test_real_markets_are_shares_of_one_whole() -> None:
    found = markets()
    assert set(found) == {"chatbots", "chatbots, as published", "browsers", "generations of Windows"}
    for market in found.values():
        assert "overlap" not in {flag.code for flag in market.flags}
        assert market.whole.all()
    windows = found["generations of Windows"]
    assert windows.times[:3] == ("2003-03", "2003-05", "2003-07")
    assert len(levels()["views of ChatGPT's article"].times) == 45


def test_a_gap_is_filled_for_the_peer_alone() -> None:
    np.testing.assert_allclose(_filled(np.array([np.nan, 1.0, np.nan, 3.0])), [1, 2, 3])


def test_a_peer_is_scored_as_noria_is(chatbots_market: object) -> None:
    from noria.grow.forecast.shares.attraction import log_ratios
    from noria.grow.forecast.shares.backtest import backtest
    from noria.grow.forecast.shares.baseline import MODELS

    market = chatbots_market
    answers = {}
    for seen in range(9, 12):
        ratios, _ = log_ratios(market, market.values[:seen])  # type: ignore[attr-defined,arg-type]
        answers[seen] = (np.tile(ratios[-1], (3, 1)), np.full((3, ratios.shape[1]), 0.5))
    persistence = {"persistence": MODELS["persistence"]}
    ours = backtest(market, first=9, draws=200)  # type: ignore[arg-type]
    theirs = backtest(market, first=9, draws=200, models={**persistence, "AutoETS": Peer(answers)})  # type: ignore[arg-type]
    lines = _lines("chatbots", _joined(ours, theirs), "points of share")
    assert [line.measure.split(",")[0] for line in lines[-3:]] == [
        "log score",
        "energy score",
        "coverage of 90 % intervals",
    ]
    assert all(line.ratio > 0 for line in lines)
    assert "AutoETS" in lines[-1].peer_name


@pytest.fixture
def chatbots_market() -> object:
    from noria.grow.bundled import chatbot_shares
    from noria.grow.market.share import shares
    from noria.grow.series.series import read_series

    return shares(read_series(chatbot_shares()))


@pytest.mark.parametrize("name", SIMULATIONS)
def test_every_simulation_tells_which_truths_are_inside(name: str) -> None:
    for inside in SIMULATIONS[name](0).values():
        assert 0 <= np.mean(inside) <= 1
