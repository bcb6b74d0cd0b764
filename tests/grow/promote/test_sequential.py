"""Looking at any time keeps the promise; looking every day at a test of fixed size does not. All simulated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.grow.promote.looks import always_valid, mixture_share


def paths(effect: float, trials: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return differences of two rates and their estimated variances at looks every 50 users a group, (trials, looks)."""
    random = np.random.default_rng(seed)
    steps = 100
    n = 50 * np.arange(1, steps + 1)
    one = random.binomial(50, 0.2 + effect, (trials, steps)).cumsum(1) / n
    other = random.binomial(50, 0.2, (trials, steps)).cumsum(1) / n
    return one - other, (one * (1 - one) + other * (1 - other)) / (n - 1)


def test_peeking_keeps_the_error_rate() -> None:
    gaps, variances = paths(0.0, 2000, seed=11)
    fixed = (np.abs(gaps) > 1.96 * np.sqrt(variances)).any(1).mean()
    assert fixed > 0.25  # the usual test, looked at a hundred times
    found = [always_valid(gap, variance, planned=variance[-1]) for gap, variance in zip(gaps, variances, strict=True)]
    wrong = np.mean([path.decided is not None for path in found])
    assert wrong <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000)
    assert np.mean([path.p[-1] <= 0.05 for path in found]) <= 0.06


def test_a_difference_that_is_there_is_found_and_covered() -> None:
    gaps, variances = paths(0.04, 500, seed=12)
    found = [always_valid(gap, variance, planned=variance[-1]) for gap, variance in zip(gaps, variances, strict=True)]
    assert np.mean([path.decided is not None for path in found]) > 0.9
    stopped = [path.decided for path in found if path.decided is not None]
    assert np.mean(stopped) < 70  # of a hundred looks: it may stop early
    assert np.mean([((path.low <= 0.04) & (path.high >= 0.04)).all() for path in found]) >= 0.93


def test_the_mixture_is_narrowest_where_it_was_planned() -> None:
    variances = np.geomspace(4.0, 0.04, 41)
    widths = {plan: always_valid(np.zeros(41), variances, planned=plan).high for plan in (1.0, 0.4, 0.16)}
    for plan, width in widths.items():
        here = int(np.argmin(np.abs(variances - plan)))
        assert width[here] <= min(other[here] for other in widths.values()) + 1e-12
    # the closed form is the least over all mixtures
    share = mixture_share(0.95)
    half = lambda r: np.sqrt((1 + r) / r * (2 * np.log(20) + np.log1p(r)))  # noqa: E731
    assert half(share) <= min(half(share * 1.05), half(share / 1.05))


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(0.01, 10))
def test_p_never_rises_and_agrees_with_the_interval(estimates: list[float], planned: float) -> None:
    variances = 1.0 / np.arange(1, len(estimates) + 1)
    path = always_valid(estimates, variances, planned=planned)
    assert (np.diff(path.p) <= 0).all()
    outside = (path.low > 0) | (path.high < 0)
    assert (outside.cumsum() > 0).tolist() == (path.p < 0.05 - 1e-12).tolist() or path.p.min() == pytest.approx(0.05)


def test_too_early_is_said_as_infinite() -> None:
    path = always_valid([9.0, 9.0], [np.nan, 0.01], planned=0.01)
    assert np.isinf(path.high[0])
    assert path.p[0] == 1.0
    assert path.decided == 1
