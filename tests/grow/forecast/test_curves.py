"""Growth curves: slopes against differences, and what holds for every curve: from nothing to all, never back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.grow.forecast.levels.curves import BASS, CURVES, Curve, Periods, bass_density
from noria.grow.series.series import Floats

TIMES = np.arange(1.0, 13.0)
SHAPES = {
    "bass": [[-4.0, -1.0], [-2.0, -6.0]],
    "logistic": [[-1.0, 4.0], [0.5, 9.0]],
    "gompertz": [[-1.0, 4.0], [0.2, 7.0]],
}


def differences(function: object, shapes: Floats) -> Floats:
    assert callable(function)
    found = []
    for place in range(shapes.shape[1]):
        step = np.zeros_like(shapes)
        step[:, place] = 1e-6
        found.append((function(shapes + step) - function(shapes - step)) / 2e-6)
    return np.stack(found, -1)


@pytest.mark.parametrize("flow", [True, False])
@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_slopes_are_those_of_differences(curve: Curve, flow: bool) -> None:
    periods, shapes = Periods(TIMES, flow), np.array(SHAPES[curve.name])
    part, slopes = periods.parts(curve, shapes)
    np.testing.assert_allclose(part, periods.part(curve, shapes), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(slopes, differences(lambda each: periods.part(curve, each), shapes), atol=1e-8)


def test_slopes_of_generalised_bass_and_of_the_density() -> None:
    effort = np.random.default_rng(0).normal(0, 0.2, (12, 2))
    periods, shapes = Periods(TIMES, True, effort), np.array([[-4.0, -1.0, 0.7, -0.4]])
    np.testing.assert_allclose(
        periods.parts(BASS, shapes)[1], differences(lambda each: periods.part(BASS, each), shapes), atol=1e-8
    )
    plain = shapes[:, :2]
    np.testing.assert_allclose(
        bass_density(plain, TIMES)[1], differences(lambda each: bass_density(each, TIMES)[0], plain), atol=1e-8
    )


def test_effort_without_effect_is_plain_bass_and_more_effort_is_more_time() -> None:
    effort = np.full((12, 1), 0.1)
    plain = Periods(TIMES, False).part(BASS, np.array([[-4.0, -1.0]]))
    np.testing.assert_allclose(Periods(TIMES, False, effort).part(BASS, np.array([[-4.0, -1.0, 0.0]])), plain)
    faster = Periods(TIMES * np.exp(0.1), False).part(BASS, np.array([[-4.0, -1.0]]))
    np.testing.assert_allclose(Periods(TIMES, False, effort).part(BASS, np.array([[-4.0, -1.0, 1.0]])), faster)


@given(st.sampled_from(sorted(CURVES)), st.floats(0, 1), st.floats(0, 1), st.integers(3, 60))
def test_every_curve_rises_from_nothing_to_all(name: str, first: float, second: float, size: int) -> None:
    curve, times = CURVES[name], np.arange(1.0, size + 1)
    box = curve.box(0.0, float(size))
    coordinates = np.array([low + (high - low) * at for (low, high), at in zip(box, (first, second), strict=True)])
    shapes = curve.placed(coordinates[None])
    level = Periods(times, False).part(curve, shapes)
    flow = Periods(times, True).part(curve, shapes)
    assert (level >= 0).all()
    assert (level <= 1).all()
    assert (flow >= -1e-12).all()
    assert flow.sum() <= 1 + 1e-9
    far = Periods(np.array([1e5]), False).part(curve, shapes)
    assert far == pytest.approx(1.0)


def test_the_inflection_is_where_growth_is_greatest() -> None:
    times = np.linspace(0, 30, 30001)
    for name, curve in CURVES.items():
        shapes = np.array(SHAPES[name][:1])
        _, _, density = curve.reach(shapes, times)
        assert times[np.argmax(density)] == pytest.approx(float(curve.inflection(shapes)[0]), abs=0.01)
