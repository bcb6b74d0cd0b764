"""Sizes of experiments: published sizes, and laws that bind size, power and effect."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import SettingError
from noria.grow.promote.design import (
    design,
    least_effect,
    least_lift,
    power_of_means,
    power_of_proportions,
    size_of_means,
    size_of_proportions,
)


def test_sizes_for_rates_as_published() -> None:
    # R Core Team, reference manual of the package stats, examples of power.prop.test (rounded there)
    assert size_of_proportions(0.50, 0.75, power=0.90) == pytest.approx(76.7, abs=0.05)
    assert power_of_proportions(0.50, 0.75, 50) == pytest.approx(0.740, abs=0.0005)
    assert 0.50 + least_lift(0.50, 50, power=0.90) == pytest.approx(0.8026, abs=0.0001)
    # Fleiss, Levin and Paik (2003), Table A.4, with continuity correction
    assert round(size_of_proportions(0.60, 0.70, corrected=True)) == 376


def test_sizes_for_means_as_published() -> None:
    # R Core Team, reference manual of the package stats, examples of power.t.test
    assert power_of_means(1, 1, 20) == pytest.approx(0.8689528, abs=1e-6)
    assert size_of_means(1, 1, power=0.90) == pytest.approx(22.02110, abs=2e-5)
    assert size_of_means(1, 1, power=0.90, one_sided=True) == pytest.approx(17.84713, abs=2e-5)


rates = st.floats(0.005, 0.9)
chances = st.floats(0.55, 0.98)


@given(rates, st.floats(0.004, 0.09), chances, st.floats(0.8, 0.999), st.floats(0.2, 5.0))
def test_size_power_and_lift_of_rates_are_one_equation(
    base: float, lift: float, power: float, level: float, ratio: float
) -> None:
    size = size_of_proportions(base, base + lift, power=power, level=level, ratio=ratio)
    assert power_of_proportions(base, base + lift, size, level=level, ratio=ratio) == pytest.approx(power, abs=1e-9)
    assert least_lift(base, size, power=power, level=level, ratio=ratio) == pytest.approx(lift, rel=1e-6)


@given(st.floats(0.05, 2.0), st.floats(0.1, 3.0), chances, st.floats(0.8, 0.99), st.floats(0.5, 3.0))
def test_size_power_and_effect_of_means_are_one_equation(
    effect: float, deviation: float, power: float, level: float, ratio: float
) -> None:
    size = size_of_means(effect, deviation, power=power, level=level, ratio=ratio)
    if size > max(2.0, 2.0 / ratio):  # else the least a t test can have, which finds even more
        assert power_of_means(effect, deviation, size, level=level, ratio=ratio) == pytest.approx(power, abs=1e-6)
        assert least_effect(deviation, size, power=power, level=level, ratio=ratio) == pytest.approx(effect, rel=1e-5)


def test_the_power_promised_is_the_power_found_in_a_simulation() -> None:
    made = design(0.10, 0.03)
    random = np.random.default_rng(7)
    control, treated = random.binomial(made.control, 0.10, 4000), random.binomial(made.treated, 0.13, 4000)
    pooled = (control + treated) / (made.control + made.treated)
    error = np.sqrt(pooled * (1 - pooled) * (1 / made.control + 1 / made.treated))
    found = np.abs(treated / made.treated - control / made.control) / error > 1.96
    assert found.mean() == pytest.approx(0.80, abs=0.025)


def test_a_design_tells_groups_days_and_both_languages() -> None:
    made = design(0.10, 0.02, variants=3, users_a_day=500)
    assert made.control == made.treated == 5124  # Bonferroni: each comparison at 1 - 0.05 / 3
    assert (made.users, made.days) == (20_496, 41)
    assert "2 percentage points" in made.text()
    assert "2 个百分点" in made.text()["zh"]
    halved = design(20, 1, deviation=10, reduction=0.5)
    assert halved.control == pytest.approx(design(20, 1, deviation=10).control / 2, abs=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: design(0.1, 0.0), "both rates are the same"),
        (lambda: design(0.95, 0.1), "the other rate is out of range"),
        (lambda: design(1.2, 0.1), "the base rate is out of range"),
        (lambda: design(0.1, 0.1, power=1.0), "the power is out of range"),
        (lambda: design(0.1, 0.1, level=0.0), "the level is out of range"),
        (lambda: design(0.1, 0.1, reduction=1.0), "the variance taken away"),
        (lambda: design(1.0, 1.0, deviation=0.0), "the standard deviation must be above zero"),
        (lambda: design(1.0, float("nan"), deviation=1.0), "the effect must be other than zero"),
        (lambda: design(0.1, 1e-9), "too small to be found"),
        (lambda: least_lift(0.5, 3), "do not even show a rise"),
    ],
)
def test_what_is_no_experiment_is_refused_by_name(call: object, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        call()  # type: ignore[operator]
