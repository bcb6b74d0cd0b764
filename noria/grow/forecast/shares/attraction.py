"""Shares as attraction: a state-space model of log-ratios, whose every draw sums to one.

    model = fit(market, ATTRACTION)
    ahead = model.ahead(horizon=6, seed=0)
    ahead.draws.sum(-1)          # 1.0 everywhere

An entity's share is its attraction over the sum of all attractions, so only ratios of attractions can be seen. Their
logarithms against the leader's follow a level and a slope with one common pattern of noise and one full covariance
between entities, a matrix-normal dynamic model (Quintana and West 1988, Time series analysis of compositional data;
West and Harrison 1997, Bayesian Forecasting and Dynamic Models, section 16.4). Given the pattern, everything is exact: the covariance
has an inverse Wishart posterior and a forecast is a multivariate t. Several patterns are weighed by their likelihood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln
from scipy.stats import invwishart

from noria.core.errors import InputError
from noria.core.figure import Figure
from noria.core.messages import joined, message, term
from noria.grow.market.share import Shares
from noria.grow.series.calendars import following
from noria.grow.series.series import Floats


@dataclass(frozen=True)
class Dynamics:
    """How log-ratios move, all variances in units of the common covariance."""

    noise: float = 0.0
    """Of the observation around the level."""
    level: float = 1.0
    """Of a period's change of level."""
    drift: float = 0.0
    """Of the slope before anything was seen; 0 is no slope at all."""
    slope: float = 0.0
    """Of a period's change of slope."""
    damping: float = 1.0
    """What is left of a slope in the next period."""


PERSISTENCE: tuple[Dynamics, ...] = (Dynamics(),)
"""Shares stay as they are, give or take a random walk: the bar for every other model."""
DRIFT: tuple[Dynamics, ...] = (Dynamics(drift=0.25),)
"""Each log-ratio goes on at its mean pace so far."""
ATTRACTION: tuple[Dynamics, ...] = tuple(
    Dynamics(noise, 1.0, drift, slope, damping)
    for noise in (0.0, 0.3, 1.0, 3.0)
    for drift, slope, damping in ((0.0, 0.0, 1.0), (0.25, 0.0, 1.0), (0.25, 0.05, 0.8), (0.25, 0.2, 0.8))
)
"""Level, noise and a damped slope, weighed by what the series says."""

_GONE = 3
"""Periods at zero after which an entity is taken to have gone."""
MINIMUM = 5
"""Periods below which no covariance can be told from so few changes."""


@dataclass(frozen=True)
class Posterior:
    """What one pattern of dynamics makes of the series; P log-ratios."""

    dynamics: Dynamics
    mean: Floats
    """Level and slope, (2, P)."""
    spread: Floats
    """Their covariance in units of the common one, (2, 2)."""
    scale: Floats
    """Of the common covariance's inverse Wishart posterior, (P, P)."""
    freedom: float
    log_likelihood: float

    def at(self, horizon: int) -> tuple[Floats, float]:
        """Return the mean of the log-ratios `horizon` periods ahead, (P,), and their variance factor."""
        mean, spread = self.mean, self.spread
        step, moves, noise = _matrices(self.dynamics)
        for _ in range(horizon):
            mean, spread = step @ mean, step @ spread @ step.T + moves
        return np.asarray(mean[0]), float(spread[0, 0] + noise)


@dataclass(frozen=True)
class ShareForecast:
    """Draws of future shares."""

    times: tuple[str, ...]
    entities: tuple[str, ...]
    draws: Floats
    """(draws, times, entities); the last axis sums to one."""
    source: str

    def interval(self, level: float = 0.9) -> tuple[Floats, Floats]:
        """Return the ends of the interval, (times, entities) each."""
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high

    def median(self) -> Floats:
        """Return the median of each share, (times, entities); medians need not sum to one, draws do."""
        return np.asarray(np.median(self.draws, axis=0), dtype=np.float64)

    def figures(self, n: int, level: float = 0.9) -> list[Figure]:
        """Return the last time's shares as figures; `n` is the number of periods the forecast rests on."""
        low, high = self.interval(level)
        middle = self.median()
        return [
            Figure(
                message("figures.entity_at", entity=term(entity), time=self.times[-1]),
                float(middle[-1, column]),
                n,
                float(low[-1, column]),
                float(high[-1, column]),
                source=self.source,
                level=level,
            )
            for column, entity in enumerate(self.entities)
        ]


@dataclass(frozen=True)
class Fitted:
    """A fitted model of one market's shares."""

    market: Shares
    posteriors: tuple[Posterior, ...]
    weights: Floats
    """Of the posteriors; they sum to one."""
    present: tuple[int, ...]
    """Columns of the market that take part, the base of the ratios first; the others stay at zero."""

    def ahead(self, horizon: int, *, draws: int = 2000, seed: int = 0) -> ShareForecast:
        """Return draws of the next `horizon` periods, each a path."""
        random = np.random.default_rng(seed)
        counts = random.multinomial(draws, self.weights)
        paths = np.concatenate(
            [
                _paths(posterior, horizon, int(count), random)
                for posterior, count in zip(self.posteriors, counts, strict=True)
                if count
            ]
        )
        random.shuffle(paths)
        full = np.zeros((draws, horizon, len(self.market.entities)))
        full[:, :, list(self.present)] = shares_of(paths)
        times = following(self.market.times, horizon)
        return ShareForecast(tuple(times), self.market.entities, full, self.market.provenance.text())

    def log_density(self, ratios: Floats, horizon: int) -> float:
        """Return the log of the density, in log-ratios, that the model gave to what came after `horizon` periods."""
        terms = []
        for posterior in self.posteriors:
            mean, factor = posterior.at(horizon)
            terms.append(log_t(ratios - mean, posterior.scale * factor, posterior.freedom - mean.size + 1))
        return float(np.logaddexp.reduce(np.array(terms) + np.log(np.maximum(self.weights, 1e-300))))


def fit(market: Shares, patterns: Sequence[Dynamics] = ATTRACTION, *, periods: int | None = None) -> Fitted:
    """Return the model of a market's shares, from its first `periods` periods or from all.

    A period that is not whole is passed over: the model knows that time went by. A share of zero among positive ones is
    taken as half the source's resolution (Martín-Fernández et al. 2003); an entity that was never above zero stays at zero.

    Raises:
        InputError: shares that overlap, fewer than `MINIMUM` whole periods, or a single entity.
    """
    ratios, present, whole = known_ratios(market, market.values[:periods])
    posteriors = tuple(_filtered(ratios[whole[0] :], pattern) for pattern in patterns)
    likelihood = np.array([posterior.log_likelihood for posterior in posteriors])
    weights = np.exp(likelihood - np.logaddexp.reduce(likelihood))
    return Fitted(market, posteriors, weights / weights.sum(), present)


def check_forecastable(market: Shares) -> None:
    """Refuse shares that are no parts of one whole, or known at too few times; say what is missing, and what to do.

    Raises:
        InputError: they overlap, or fewer than `MINIMUM` times are whole.
    """
    overlapping = [flag.time for flag in market.flags if flag.code == "overlap"]
    if overlapping:
        raise InputError(message("grow.shares_overlap"), found=", ".join(overlapping[:3]))
    known = int(market.whole.sum())
    if known < MINIMUM:
        told = [flag.what for flag in market.flags if flag.code in ("missing", "renamed", "advice")]
        raise InputError(
            message("grow.too_few_periods"),
            found=known,
            allowed=message("grow.more_4", minimum=MINIMUM, periods=len(market.times)),
            hint=joined("join.clauses", dict.fromkeys(told[:2] + told[-2:])) if told else message("grow.show_shares"),
        )


def known_ratios(market: Shares, values: Floats) -> tuple[Floats, tuple[int, ...], np.ndarray]:
    """Return what `log_ratios` does, and the numbers of the times that are whole.

    Raises:
        InputError: shares that overlap, fewer than `MINIMUM` whole periods, or a single entity.
    """
    check_forecastable(market)
    ratios, present = log_ratios(market, values)
    whole = np.flatnonzero(~np.isnan(ratios[:, 0]))
    if whole.size < MINIMUM:
        raise InputError(
            message("grow.too_few_periods"),
            found=int(whole.size),
            allowed=message("grow.more_2", minimum=MINIMUM),
            hint=message("grow.show_shares"),
        )
    return ratios, present, whole


def log_ratios(market: Shares, values: Floats) -> tuple[Floats, tuple[int, ...]]:
    """Return the log-ratios against the leader, (times, P), nan where a time is not whole; and the columns they are of."""
    with np.errstate(invalid="ignore"):
        present = [column for column in range(values.shape[1]) if np.nanmax(values[:, column], initial=0.0) > 0]
    if len(present) < 2:
        raise InputError(
            message("grow.forecast_shares_needs"),
            found=len(present),
            hint=message("grow.forecast_what"),
        )
    leader = max(present, key=lambda column: float(np.nanmean(values[:, column])))
    order = (leader, *[column for column in present if column != leader])
    floor = (market.resolution or 1e-6) / 2
    chosen = np.maximum(values[:, order], floor)
    whole = np.abs(values.sum(1) - 1) < 1e-9
    ratios = np.log(chosen[:, 1:] / chosen[:, :1])
    ratios[~whole] = np.nan
    for row, column in (*market.breaks, *_comings(market, values, order)):
        # What came before a break is moved to where the break left the entity: the step itself is not a movement.
        if column in order and 0 < row < len(ratios):
            moved = slice(None) if column == leader else slice(order.index(column) - 1, order.index(column))
            step = ratios[row, moved] - ratios[row - 1, moved]
            ratios[:row, moved] += np.where(np.isnan(step), 0.0, step)
    return ratios, order


def _comings(market: Shares, values: Floats, order: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return where entities other than the leader come from zero or go to it for good: steps that say nothing of how shares move."""
    marked = {column for _, column in market.breaks}
    found = []
    for column in order[1:]:
        there = np.flatnonzero(np.nan_to_num(values[:, column]) > 0)
        before = np.nan_to_num(values[: there[0], column], nan=1.0) == 0
        after = np.nan_to_num(values[there[-1] + 1 :, column], nan=1.0) == 0
        if column not in marked and before.size and before.all():
            found.append((int(there[0]), column))
        if after.size >= _GONE and after.all():
            found.append((int(there[-1]) + 1, column))
    return found


def shares_of(ratios: Floats) -> Floats:
    """Return the shares of log-ratios, (..., P) -> (..., P + 1), the base first; they sum to one."""
    logs = np.concatenate([np.zeros((*ratios.shape[:-1], 1)), ratios], axis=-1)
    parts = np.exp(logs - logs.max(-1, keepdims=True))
    return np.asarray(parts / parts.sum(-1, keepdims=True), dtype=np.float64)


def _matrices(dynamics: Dynamics) -> tuple[Floats, Floats, float]:
    step = np.array([[1.0, 1.0 if dynamics.drift else 0.0], [0.0, dynamics.damping]])
    return step, np.diag([dynamics.level, dynamics.slope]), dynamics.noise


def _filtered(ratios: Floats, dynamics: Dynamics) -> Posterior:
    """Run the filter (West and Harrison 1997, section 16.4.2) from the first observation on."""
    step, moves, noise = _matrices(dynamics)
    size = ratios.shape[1]
    known = ratios[~np.isnan(ratios[:, 0])]
    each = np.mean(np.diff(known, axis=0) ** 2, axis=0)
    # A weak prior: a diagonal covariance of the size of the changes seen, worth about three of them.
    prior = np.maximum(0.5 * each + 0.5 * np.median(each), 1e-8) / (dynamics.level + 2 * noise)
    freedom = float(size + 2)
    scale = np.diag(prior)
    mean = np.stack([ratios[0], np.zeros(size)])
    spread = np.diag([noise, dynamics.drift])
    likelihood = 0.0
    for row in ratios[1:]:
        mean, spread = step @ mean, step @ spread @ step.T + moves
        if np.isnan(row[0]):
            continue
        factor = float(spread[0, 0] + noise)
        error = row - mean[0]
        likelihood += log_t(error, scale * factor, freedom - size + 1)
        gain = spread[:, 0] / factor
        mean = mean + np.outer(gain, error)
        spread = spread - np.outer(gain, gain) * factor
        scale = scale + np.outer(error, error) / factor
        freedom += 1
    return Posterior(dynamics, mean, spread, scale, freedom, likelihood)


def log_t(error: Floats, scale: Floats, freedom: float) -> float:
    """Return the log-density of a multivariate t with scale matrix `scale / freedom`."""
    size = error.size
    root = np.linalg.cholesky(scale)
    distance = float(np.sum(np.linalg.solve(root, error) ** 2))
    return float(
        gammaln((freedom + size) / 2)
        - gammaln(freedom / 2)
        - size / 2 * np.log(np.pi)
        - np.log(np.diag(root)).sum()
        - (freedom + size) / 2 * np.log1p(distance)
    )


def _paths(posterior: Posterior, horizon: int, count: int, random: np.random.Generator) -> Floats:
    """Return paths of the log-ratios, (count, horizon, P)."""
    size = posterior.scale.shape[0]
    step, moves, noise = _matrices(posterior.dynamics)
    covariance = np.asarray(invwishart(posterior.freedom, posterior.scale).rvs(count, random_state=random))
    root = np.linalg.cholesky(covariance.reshape(count, size, size))

    def spread_by(matrix: Floats) -> Floats:
        values, vectors = np.linalg.eigh(matrix)
        outer = vectors * np.sqrt(np.maximum(values, 0.0))
        inner = np.einsum("npq,nsq->nsp", root, random.standard_normal((count, matrix.shape[0], size)))
        return np.asarray(np.einsum("st,ntp->nsp", outer, inner), dtype=np.float64)

    state = posterior.mean + spread_by(posterior.spread)
    paths = np.empty((count, horizon, size))
    for ahead in range(horizon):
        state = np.einsum("st,ntp->nsp", step, state) + spread_by(moves)
        paths[:, ahead] = state[:, 0] + np.sqrt(noise) * np.einsum(
            "npq,nq->np", root, random.standard_normal((count, size))
        )
    return paths
