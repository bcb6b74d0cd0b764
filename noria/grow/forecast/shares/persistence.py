"""The bars of shares: persistence, which is as they are give or take changes like those of now, and the plain last value.

    stay(market).ahead(6).median()[-1]          # today's shares

Log-ratios against the leader walk at random, with one full covariance. How far back the size of changes is remembered, and how
much its intervals are stretched, is learned as in `levels.walk`. Half of the draws are opposites of the others (`mirror`): the median of
every share is today's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit
from scipy.stats import invwishart

from noria.grow.forecast.last_value import last_value
from noria.grow.forecast.levels.walk import LEVEL, MEMORIES, WARM, stretched
from noria.grow.market.share import Shares
from noria.grow.series.calendars import following
from noria.grow.series.series import Floats

from .attraction import ShareForecast, check_forecastable, known_ratios, log_ratios, log_t, shares_of
from .mirror import log_shrinkage, opposite


@dataclass(frozen=True)
class Persistence:
    """A fitted random walk of one market's shares; P log-ratios, M memories."""

    market: Shares
    present: tuple[int, ...]
    last: Floats
    """The last known log-ratios, (P,)."""
    behind: int
    """Periods at the end of the market at which shares are not known."""
    scales: Floats
    """Of the covariance's inverse Wishart posterior, (M, P, P)."""
    freedoms: Floats
    """(M,)."""
    weights: Floats
    """Of the memories, (M,)."""
    changes: Floats
    """Past changes over what their intervals reached, and how many periods ahead: (n, 2)."""

    def spread(self, horizon: int) -> Floats:
        """Return the variance 1 to `horizon` periods ahead in units of one period's, (horizon,)."""
        times = self.behind + np.arange(1, horizon + 1)
        factors, factor = [], 1.0
        for ahead in range(1, int(times[-1]) + 1):
            mine = self.changes[self.changes[:, 1] == ahead, 0]
            # All log-ratios of one time share the leader: together they count as one past forecast.
            factor = stretched(mine, ahead * self.last.size) if len(mine) else factor
            factors.append(factor)
        return np.maximum.accumulate(times * np.array(factors)[times - 1] ** 2)

    def ahead(self, horizon: int, *, draws: int = 2000, seed: int = 0) -> ShareForecast:
        """Return draws of the next `horizon` periods, each a path: half of them walks, and half their opposites."""
        random = np.random.default_rng(seed)
        half = (draws + 1) // 2
        roots = self._roots(half, random)
        fresh = np.einsum("dpq,dhq->dhp", roots, random.standard_normal((half, horizon, self.last.size)))
        grown = np.diff(self.spread(horizon), prepend=0.0)
        walks = shares_of(self.last + np.cumsum(np.sqrt(grown)[:, None] * fresh, 1))
        both = np.stack([walks, opposite(walks, shares_of(self.last))], 1).reshape(-1, *walks.shape[1:])[:draws]
        full = np.zeros((draws, horizon, len(self.market.entities)))
        full[:, :, list(self.present)] = random.permutation(both)  # the energy score pairs draws by place
        times = following(self.market.times, horizon)
        return ShareForecast(tuple(times), self.market.entities, full, self.market.provenance.text())

    def log_density(self, ratios: Floats, horizon: int) -> float:
        """Return the log of the density, in log-ratios, that the model gave to what came after `horizon` periods."""
        factor = float(self.spread(horizon)[-1])

        def walked(ratios: Floats) -> float:
            terms = [
                log_t(ratios - self.last, scale * factor, freedom - ratios.size + 1)
                for scale, freedom in zip(self.scales, self.freedoms, strict=True)
            ]
            return float(np.logaddexp.reduce(np.array(terms) + np.log(np.maximum(self.weights, 1e-300))))

        before, shrinkage = log_shrinkage(ratios, shares_of(self.last))
        mirrored = walked(before) + shrinkage if np.isfinite(shrinkage) else -np.inf
        return float(np.logaddexp(walked(ratios), mirrored) - np.log(2))

    def _roots(self, draws: int, random: np.random.Generator) -> Floats:
        """Return roots of covariances drawn from their posterior, (draws, P, P)."""
        size = self.last.size
        found = []
        for scale, freedom, count in zip(
            self.scales, self.freedoms, random.multinomial(draws, self.weights), strict=True
        ):
            if count:
                drawn = np.asarray(invwishart(freedom, scale).rvs(int(count), random_state=random))
                found.append(np.linalg.cholesky(drawn.reshape(int(count), size, size)))
        together = np.concatenate(found)
        random.shuffle(together)
        return together


@dataclass(frozen=True)
class LastShares:
    """The plain last whole shares, with how far shares moved before as their interval; they give no density."""

    market: Shares

    @property
    def present(self) -> tuple[int, ...]:
        """Columns that take part, the leader first."""
        return log_ratios(self.market, self.market.values)[1]

    def ahead(self, horizon: int, *, draws: int = 2000, seed: int = 0) -> ShareForecast:
        """Return draws of the next `horizon` periods, each a path."""
        check_forecastable(self.market)
        rows = np.flatnonzero(self.market.whole)
        known = np.where(self.market.whole[:, None] > 0, self.market.values, np.nan)[rows[0] :]
        for row, column in self.market.breaks:
            known[: max(row - int(rows[0]), 0), column] = np.nan
        found = last_value(known, horizon, draws, seed, whole=True)
        times = tuple(following(self.market.times, horizon))
        return ShareForecast(times, self.market.entities, found, self.market.provenance.text())

    def log_density(self, ratios: Floats, horizon: int) -> float:
        """Return nan: a point forecast gives no density."""
        return float("nan")


def stay(market: Shares) -> Persistence:
    """Return persistence of a market's shares.

    Raises:
        InputError: shares that overlap, too few whole periods, or a single entity.
    """
    ratios, present, whole = known_ratios(market, market.values)
    known = ratios[whole]
    steps = np.diff(known, axis=0) / np.sqrt(np.diff(whole))[:, None]
    scales, freedoms, weights, variances, told = _remembered(steps)
    moved = _moved(known, whole.astype(float), variances, told)
    return Persistence(market, present, known[-1], len(ratios) - 1 - int(whole[-1]), scales, freedoms, weights, moved)


def _remembered(steps: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return scale, freedom and weight of every memory, and each log-ratio's variance and freedom before each step.

    Before anything is remembered there is a diagonal covariance of the size of the changes, worth about one of them.
    """
    n, size = steps.shape
    scales, freedoms, gained = [], [], []
    variances, told = np.empty((len(MEMORIES), n, size)), np.empty((len(MEMORIES), n))
    density = np.empty((len(MEMORIES), n))
    for place, memory in enumerate(MEMORIES):
        faded = memory ** np.arange(n)[::-1]
        each = (faded @ steps**2) / faded.sum()
        start = np.diag(np.maximum(0.5 * each + 0.5 * np.median(each), 1e-8))
        summed, count = np.zeros((size, size)), 0.0
        for row, step in enumerate(steps):
            freedom = size + 2 + count
            density[place, row] = log_t(step, start + summed, freedom - size + 1)
            told[place, row] = freedom - size + 1
            variances[place, row] = np.diag(start + summed) / told[place, row]
            summed, count = memory * summed + np.outer(step, step), memory * count + 1
        scales.append(start + summed)
        freedoms.append(size + 2 + count)
        gained.append(density[place].sum())
    weights = np.exp(np.array(gained) - np.logaddexp.reduce(gained))
    running = np.cumsum(density, 1) - density
    known = np.exp(running - running.max(0))
    known /= known.sum(0)
    return (
        np.stack(scales),
        np.array(freedoms),
        weights / weights.sum(),
        np.einsum("mn,mnp->np", known, variances),
        np.sum(known * told, 0),
    )


def _moved(known: Floats, whole: Floats, variances: Floats, freedoms: Floats) -> Floats:
    """Return past changes of all log-ratios over what their intervals reached, and the periods ahead: (n, 2)."""
    reach = np.sqrt(variances) * stdtrit(freedoms, (1 + LEVEL) / 2)[:, None]
    found = [np.empty((0, 2))]
    for ahead in range(1, len(known) - WARM):
        starts = np.arange(WARM, len(known) - ahead)
        time = (whole[starts + ahead] - whole[starts])[:, None]
        moved = np.abs(known[starts + ahead] - known[starts]) / (reach[starts] * np.sqrt(time))
        found.append(np.column_stack([moved.ravel(), np.full(moved.size, float(ahead))]))
    return np.concatenate(found)
