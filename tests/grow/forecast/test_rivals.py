"""Lotka-Volterra and Norton-Bass: simulated truths come back, intervals hold them, and what cannot be told says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from noria.core.errors import InputError, SettingError
from noria.grow.forecast.joint.competition import fit_rivals
from noria.grow.forecast.joint.generations import fit_generations, in_use
from noria.grow.series.series import Floats

GROWTH = np.array([0.5, 0.4, 0.3])
EFFECTS = np.array([[-0.005, -0.002, 0.0], [-0.003, -0.004, 0.0], [0.0, -0.001, -0.006]])


def simulated(periods: int, noise: float, seed: int) -> Floats:
    """Return three simulated rivals whose growth is disturbed in every period."""
    random = np.random.default_rng(seed)
    logs = np.log([5.0, 3.0, 8.0])
    seen = [logs]
    for _ in range(periods - 1):
        run = solve_ivp(lambda _, state: GROWTH + EFFECTS @ np.exp(state), (0, 1), logs, rtol=1e-8)
        logs = run.y[:, -1] + noise * random.standard_normal(3)
        seen.append(logs)
    return np.exp(seen)


@pytest.mark.parametrize("method", ["steps", "paths"])
def test_without_noise_the_truth_comes_back(method: str) -> None:
    fitted = fit_rivals(simulated(30, 0.0, 0), method=method)  # type: ignore[arg-type]
    np.testing.assert_allclose(fitted.growth, GROWTH, rtol=0.03)
    np.testing.assert_allclose(fitted.interaction, EFFECTS, atol=6e-4)
    assert fitted.problem == ""
    balance = fitted.balance()
    assert balance is not None
    np.testing.assert_allclose(balance, np.linalg.solve(EFFECTS, -GROWTH), rtol=0.2)


def test_simulated_intervals_cover_effects_and_what_comes() -> None:
    inside, came = [], []
    for seed in range(60):
        rivals = simulated(33, 0.05, seed)
        fitted = fit_rivals(rivals[:30])
        truth = np.column_stack([GROWTH, EFFECTS])
        inside.append((fitted.low <= truth) & (truth <= fitted.high))
        low, high = np.quantile(fitted.ahead(3, draws=400, seed=seed), [0.05, 0.95], axis=0)
        came.append((low <= rivals[30:]) & (rivals[30:] <= high))
    assert 0.84 <= np.mean(inside) <= 0.96
    assert 0.84 <= np.mean(came) <= 0.96


def test_effects_say_who_takes_from_whom() -> None:
    told = {figure.name: figure for figure in fit_rivals(simulated(60, 0.03, 1), names=["a", "b", "c"]).effects()}
    assert told["a on b"].high is not None
    assert told["a on b"].high < 0
    assert told["c on b"].note == "not identified"


def test_draws_stay_above_zero_and_a_runaway_is_told() -> None:
    ahead = fit_rivals(simulated(30, 0.05, 2)).ahead(12, draws=200)
    assert ahead.shape == (200, 12, 3)
    assert (ahead > 0).all()
    # dx/dt = 0.02 x²: growth that feeds on itself
    rising = (
        1
        / (np.array([0.3, 0.4]) - 0.02 * np.arange(13)[:, None])
        * np.exp(np.random.default_rng(0).normal(0, 0.005, (13, 2)))
    )
    with pytest.raises(InputError, match="run away in nearly every draw"):
        fit_rivals(rising).ahead(40, draws=100)


def test_rivals_that_move_together_are_not_identified() -> None:
    one = simulated(20, 0.05, 3)[:, :1]
    fitted = fit_rivals(np.column_stack([one, 2 * one]))
    assert "move exactly together" in fitted.problem
    assert all(figure.note == "not identified" for figure in fitted.effects())


def test_bad_rivals_are_named() -> None:
    with pytest.raises(InputError, match="must be above zero"):
        fit_rivals([[1.0, 0.0]] * 9)
    with pytest.raises(InputError, match="two rivals or more"):
        fit_rivals([[1.0]] * 9)
    with pytest.raises(InputError, match="too few periods for so many rivals"):
        fit_rivals(simulated(5, 0.1, 0))
    with pytest.raises(SettingError, match="unknown method"):
        fit_rivals(simulated(9, 0.1, 0), method="magic")  # type: ignore[arg-type]


LAUNCHES = np.array([0.0, 20.0, 40.0])


RATES = np.tile([[0.01, 0.25]], (3, 1))


def three(noise: float, seed: int = 0) -> Floats:
    """Return three simulated generations in use, with one p and q."""
    truth = in_use(RATES, np.array([100.0, 50.0, 80.0]), LAUNCHES, np.arange(1.0, 61.0))
    return np.maximum(truth + np.random.default_rng(seed).normal(0, noise, truth.shape), 0.0)


def test_generations_without_noise_come_back_and_are_foreseen() -> None:
    truth = three(0.0)
    fitted = fit_generations(truth[:50], LAUNCHES)
    np.testing.assert_allclose(fitted.rates[0], [0.01, 0.25], rtol=1e-3)
    np.testing.assert_allclose(fitted.markets, [100, 50, 80], rtol=1e-2)
    np.testing.assert_allclose(fitted.expected(10), truth[50:], atol=0.1)


def test_what_one_generation_loses_the_next_has_gained() -> None:
    total = in_use(RATES, np.ones(3), LAUNCHES, np.array([500.0])).sum()
    assert total == pytest.approx(3.0, abs=1e-6)  # in the end every unit is in use in the last generation


def test_simulated_intervals_of_generations_cover() -> None:
    inside = []
    for seed in range(40):
        figures = fit_generations(three(1.5, seed)[:50], LAUNCHES).figures(0.9)
        truth = [0.01, 0.25, 100.0, 50.0, 80.0]
        inside.append([f.low <= value <= f.high for f, value in zip(figures, truth, strict=True)])  # type: ignore[operator]
    assert 0.8 <= np.mean(inside) <= 0.97


@pytest.mark.parametrize("shared", [True, False])
def test_slopes_of_generations_are_exact(shared: bool) -> None:
    fitted = fit_generations(three(1.5)[:50], LAUNCHES, shared=shared)
    found, slopes = fitted.problem.deviations(fitted.logs[None])
    step = 1e-6 * np.eye(fitted.logs.size)
    up, down = (fitted.problem.deviations(fitted.logs + side * step)[0] for side in (1, -1))
    np.testing.assert_allclose(slopes[0].T, (up - down) / 2e-6, atol=1e-7)
    assert np.abs(slopes[0].T @ found[0]).max() < 1e-4  # a minimum


def test_zeros_before_a_launch_tell_nothing() -> None:
    seen = three(1.5)[:50]
    unknown = seen.copy()
    unknown[:20, 1] = unknown[:40, 2] = np.nan
    one, other = fit_generations(seen, LAUNCHES), fit_generations(unknown, LAUNCHES)
    assert one.n == other.n == 90
    np.testing.assert_array_equal(one.intervals(), other.intervals())
    assert one.residual == pytest.approx(1.5, rel=0.2)


def test_what_lasts_widens_the_intervals_of_generations() -> None:
    noise = np.random.default_rng(1).normal(0, 1.5, (50, 3))
    for row in range(1, 50):
        noise[row] = 0.8 * noise[row - 1] + 0.6 * noise[row]
    lasting = fit_generations(np.maximum(three(0.0)[:50] + noise, 0.0), LAUNCHES)
    assert lasting.lasting > 0.5
    assert "lasts from period to period" in lasting.notes()[0]
    alike = replace(lasting, lasting=0.0)
    assert np.all(np.ptp(lasting.intervals(), axis=1) > 1.4 * np.ptp(alike.intervals(), axis=1))
    assert alike.notes() == []


def test_a_generation_just_launched_is_not_identified() -> None:
    values = three(1.5)[:43]
    notes = {figure.name: figure.note for figure in fit_generations(values, LAUNCHES, shared=False).figures()}
    assert notes["market, generation 1"] == ""
    assert notes["market, generation 3"] == "not identified"


def test_bad_generations_are_named() -> None:
    with pytest.raises(InputError, match="one launch each, in rising order"):
        fit_generations(three(0.0), [0, 40, 20])
    with pytest.raises(InputError, match="too few values for so many generations"):
        fit_generations(three(0.0)[:2], LAUNCHES)
    with pytest.raises(InputError, match="cannot be below zero"):
        fit_generations(-three(0.0), LAUNCHES)
