"""The benchmark of the gate: windows that do not overlap, halves by series, and both gates judged on the same forecasts."""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks.gate import HORIZON, Judged, _of, _old_winner
from benchmarks.gate_series import AFTER, SEEN, Case, _starts, level_cases
from noria.grow.forecast.scoring.standings import Trial


def test_windows_do_not_overlap_and_a_series_lies_in_one_half() -> None:
    starts = _starts(203, 3)
    assert len(starts) == 3
    assert all(after - before >= SEEN + AFTER for before, after in itertools.pairwise(starts))
    assert starts[-1] + SEEN + AFTER == 203
    assert _starts(SEEN + AFTER - 1, 3) == []
    cases = level_cases(most=2)
    halves = {case.series: {each.half for each in cases if each.series == case.series} for case in cases}
    assert all(len(each) == 1 for each in halves.values())
    assert {case.half for case in cases} == {"told", "chosen on"}
    assert all(len(case.values) == SEEN + AFTER and not np.isnan(case.values).any() for case in cases)
    assert {case.simulated for case in cases} == {True, False}


def test_the_gate_before_let_through_what_led_in_log_score_alone() -> None:
    random = np.random.default_rng(0)

    def trial(name: str, seen: int, ahead: int, log_score: float) -> Trial:
        return Trial(name, str(seen), ahead, log_score, 2.0, 2.0, 2.0, 1.0, (0.5, 0.8, 0.9), 1.0, seen)

    trials = [
        trial(name, seen, ahead, score)
        for seen in range(8)
        for ahead in range(1, HORIZON + 1)
        for name, score in (("persistence", 0.0), ("drift", 0.7 + random.normal(0, 0.1)), ("last-value", np.nan))
    ]
    assert _old_winner(trials) == "drift"
    assert _old_winner([each for each in trials if each.model != "drift"]) is None


def test_rates_stand_beside_the_peer_and_what_is_wanted() -> None:
    case = Case("a", 0, np.ones(48), False)
    judged = [Judged(case, "beats", place > 0, place > 4, True, (0.9, 0.8), (0.0, np.nan)) for place in range(10)]
    lines = _of("all", judged)
    (wanted,) = [line for line in lines if line.measure.startswith("winners") and line.peer_name.startswith("wanted")]
    assert (wanted.noria, wanted.n) == (0.9, 10)
    assert wanted.ratio == 0.9 / 0.8
    (beside,) = [line for line in lines if line.measure.startswith("winners") and "before" in line.peer_name]
    assert (beside.peer, beside.ratio) == (0.5, 1.8)
