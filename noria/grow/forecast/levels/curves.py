"""Growth curves, Bass, generalised Bass, Gompertz and logistic: the part of a market reached by a time.

    periods = Periods(ends=np.arange(1.0, 11.0), flow=True)
    part, slopes = periods.parts(BASS, np.log([[0.01, 0.4]]))       # (1, 10), (1, 10, 2)

A curve F rises from 0 to 1 and has two parameters of shape, which are fitted as unbounded numbers so that rates stay
positive: Bass (1969) log p and log q from a launch at time 0; logistic and Gompertz log rate and the time of inflection.
Generalised Bass (Bass, Krishnan and Jain 1994, Why the Bass model fits without decision variables) lets effort speed
time up: time advances by exp(beta . dlog z) a period, to first order their 1 + beta . dz/z, and never back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from noria.grow.series.series import Floats

Part = Callable[[Floats, Floats], Floats]
"""Shapes (..., 2), times (..., T) -> F."""
Reach = Callable[[Floats, Floats], tuple[Floats, Floats, Floats]]
"""The same -> F, dF/dshape (..., T, 2), dF/dtime."""

EARLIEST = -6.5
"""In units of a Gompertz curve's rate; exp(-exp(6.5)) is 1e-289: still a number."""


@dataclass(frozen=True)
class Curve:
    """One family of curves; K numbers of shape, the last of them effects of covariates."""

    name: str
    parameters: tuple[str, ...]
    """Names of the two shape parameters as people read them."""
    logged: tuple[bool, bool]
    """Whether each is fitted as its logarithm."""
    part: Part
    reach: Reach
    box: Callable[[float, float], tuple[tuple[float, float], tuple[float, float]]]
    """First and last time -> the bounds of the two coordinates in which shapes are looked for."""
    placed: Callable[[Floats], Floats]
    """Coordinates (..., 2) -> shapes; the change of variables keeps areas, so that even in one is even in the other."""
    made_up: tuple[tuple[bool, bool], tuple[bool, bool]]
    """Whether each end of each shape's bounds is there only to end a search: a ceiling that leans on it is not told by data."""
    inflection: Callable[[Floats], Floats]
    """Shapes (..., 2) -> the time of the greatest growth, (...)."""


@dataclass(frozen=True)
class Periods:
    """The times that a series is seen at, in periods since a launch or any other start."""

    ends: Floats
    """(T,), rising."""
    flow: bool
    """Whether a value is what came in one period (sales), or what there is at its end (users)."""
    effort: Floats | None = None
    """For generalised Bass: change of the covariates' logarithms in each period, (T, C), from period 1 on without a gap."""
    dense: bool = False
    """Of Bass flows: what came is taken for the density at the period's end, not for what F gains within it."""

    @property
    def effects(self) -> int:
        """How many covariates there are."""
        return 0 if self.effort is None else int(self.effort.shape[1])

    def only(self, seen: Floats) -> Periods:
        """Return the periods where `seen` is true, as far as values are concerned; effort keeps its past."""
        kept = np.asarray(seen, dtype=bool)
        if self.effort is None:
            return replace(self, ends=self.ends[kept])
        return replace(self, ends=self.ends[kept], effort=self.effort[: int(np.ceil(self.ends[kept][-1]))])

    def part(self, curve: Curve, shapes: Floats) -> Floats:
        """Return the part of the ceiling that each value should be, (..., T), without its slopes."""
        if self.effort is not None or self.dense:
            return self.parts(curve, shapes)[0]
        until = curve.part(shapes, self.ends)
        if not self.flow:
            return until
        if np.array_equal(self.ends[1:], self.ends[:-1] + 1):  # one period begins where the last one ended
            before = curve.part(shapes, self.ends[:1] - 1)
            return np.asarray(np.diff(until, axis=-1, prepend=before))
        return until - curve.part(shapes, self.ends - 1)

    def parts(self, curve: Curve, shapes: Floats) -> tuple[Floats, Floats]:
        """Return the part of the ceiling that each value should be, (..., T), and its slopes by shape, (..., T, K)."""
        if self.dense:
            return bass_density(shapes, self.ends)
        two, effects = shapes[..., :2], shapes[..., 2:]
        until, slope = self._reached(curve, two, effects, self.ends)
        if not self.flow:
            return until, slope
        before, slope_before = self._reached(curve, two, effects, self.ends - 1)
        return until - before, slope - slope_before

    def _reached(self, curve: Curve, two: Floats, effects: Floats, times: Floats) -> tuple[Floats, Floats]:
        if self.effort is None:
            part, slope, _ = curve.reach(two, times)
            return part, slope
        speed = np.exp(np.einsum("...c,tc->...t", effects, self.effort))
        # Time runs at speed 1 before the first period; within one it advances evenly.
        place = np.clip(np.ceil(times).astype(int), 0, self.effort.shape[0])
        rest = times - place
        clock = np.concatenate([np.zeros((*speed.shape[:-1], 1)), np.cumsum(speed, -1)], -1)
        last = np.concatenate([np.ones((*speed.shape[:-1], 1)), speed], -1)
        passed = clock[..., place] + rest * last[..., place]
        drift = np.concatenate([np.zeros((1, self.effects)), self.effort])
        moved = np.cumsum(last[..., None] * drift, -2)
        turned = moved[..., place, :] + rest[:, None] * (last[..., None] * drift)[..., place, :]
        part, slope, density = curve.reach(two, passed)
        return part, np.concatenate([slope, density[..., None] * turned], -1)


def _bass_part(shapes: Floats, times: Floats) -> Floats:
    """Bass (1969, A new product growth model for consumer durables), equation for F(T)."""
    p, q = np.exp(shapes[..., :1]), np.exp(shapes[..., 1:])
    fading = np.exp(-(p + q) * np.maximum(times, 0.0))
    return np.asarray((1 - fading) / (1 + q / p * fading))


def _bass(shapes: Floats, times: Floats) -> tuple[Floats, Floats, Floats]:
    times = np.maximum(times, 0.0)
    p, q = np.exp(shapes[..., :1]), np.exp(shapes[..., 1:])
    ratio, fading = q / p, np.exp(-(p + q) * times)
    below, gone = 1 + ratio * fading, 1 - fading
    scale = fading / below**2
    slope_p = scale * (p * times * below + gone * (ratio + q * times))
    slope_q = scale * (q * times * below + gone * ratio * (q * times - 1))
    return gone / below, np.stack([slope_p, slope_q], -1), scale * (p + q) ** 2 / p


def _logistic_part(shapes: Floats, times: Floats) -> Floats:
    return np.asarray(expit(np.exp(shapes[..., :1]) * (times - shapes[..., 1:])))


def _logistic(shapes: Floats, times: Floats) -> tuple[Floats, Floats, Floats]:
    rate = np.exp(shapes[..., :1])
    away = rate * (times - shapes[..., 1:])
    part = expit(away)
    steep = part * expit(-away)
    return part, np.stack([steep * away, -rate * steep], -1), rate * steep


def _gompertz_part(shapes: Floats, times: Floats) -> Floats:
    away = np.maximum(np.exp(shapes[..., :1]) * (times - shapes[..., 1:]), EARLIEST)
    return np.asarray(np.exp(-np.exp(-away)))


def _gompertz(shapes: Floats, times: Floats) -> tuple[Floats, Floats, Floats]:
    rate = np.exp(shapes[..., :1])
    away = np.maximum(rate * (times - shapes[..., 1:]), EARLIEST)
    left = np.exp(-away)
    part = np.exp(-left)
    steep = left * part
    return part, np.stack([steep * away, -rate * steep], -1), rate * steep


def bass_density(shapes: Floats, times: Floats) -> tuple[Floats, Floats]:
    """Return the density dF/dt of Bass curves, (..., T), and its slopes by log p and log q, (..., T, 2)."""
    p, q = np.exp(shapes[..., :1]), np.exp(shapes[..., 1:])
    both, ratio = p + q, q / p
    fading = np.exp(-both * times)
    mixed = ratio * fading / (1 + ratio * fading)
    density = both**2 / p * fading / (1 + ratio * fading) ** 2
    by_p = 2 * p / both - 1 - p * times + 2 * mixed * (1 + p * times)
    by_q = 2 * q / both - q * times - 2 * mixed * (1 - q * times)
    return density, np.stack([density * by_p, density * by_q], -1)


def _speeds(first: float, last: float) -> tuple[float, float]:
    """Return bounds of the log rate: from a curve that hardly bends in the times seen to one that is over in a period."""
    return float(np.log(0.3 / max(last - first, 1.0))), float(np.log(4.0))


def _bass_box(first: float, last: float) -> tuple[tuple[float, float], tuple[float, float]]:
    return _speeds(0.0, last), (-3.0, 12.0)


def _bass_placed(coordinates: Floats) -> Floats:
    """Log of p + q, and log of q / p, to log p and log q."""
    both, ratio = coordinates[..., 0], coordinates[..., 1]
    log_p = both - np.logaddexp(0.0, ratio)
    return np.stack([log_p, log_p + ratio], -1)


def _bass_peak(shapes: Floats) -> Floats:
    p, q = np.exp(shapes[..., 0]), np.exp(shapes[..., 1])
    return np.asarray((shapes[..., 1] - shapes[..., 0]) / (p + q))


def _placed_box(first: float, last: float) -> tuple[tuple[float, float], tuple[float, float]]:
    span = max(last - first, 1.0)
    return _speeds(first, last), (first - span, last + 4 * span)


BASS = Curve(
    "bass",
    ("p", "q"),
    (True, True),
    _bass_part,
    _bass,
    _bass_box,
    _bass_placed,
    ((True, False), (False, False)),
    _bass_peak,
)
LOGISTIC = Curve(
    "logistic",
    ("rate", "inflection"),
    (True, False),
    _logistic_part,
    _logistic,
    _placed_box,
    lambda shapes: shapes,
    ((True, False), (True, True)),
    lambda shapes: np.asarray(shapes[..., 1]),
)
GOMPERTZ = Curve(
    "gompertz",
    ("rate", "inflection"),
    (True, False),
    _gompertz_part,
    _gompertz,
    _placed_box,
    lambda shapes: shapes,
    ((True, False), (True, True)),
    lambda shapes: np.asarray(shapes[..., 1]),
)
CURVES: dict[str, Curve] = {curve.name: curve for curve in (BASS, LOGISTIC, GOMPERTZ)}
"""Generalised Bass is Bass with effort in its periods."""
