"""Rivalry: Lotka-Volterra seen through shares alone, with every draw summing to one.

    fit_rivalry(market).ahead(6)

Rivals that grow as dlog x_i = r_i + sum_j a_ij x_j change their log-ratios against a base by sum_j b_ij s_j, a linear
function of the shares themselves (from shares only these differences can be told, not r and a: see `competition` for
amounts). The coefficients have a matrix-normal posterior given one full covariance, shrunk towards none, which is a
random walk; how hard is weighed by likelihood (Rossi, Allenby and McCulloch 2005, Bayesian Statistics and Marketing, section 2.8).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp
from scipy.stats import invwishart

from noria.core.errors import InputError
from noria.core.messages import message
from noria.grow.market.share import Shares
from noria.grow.series.calendars import following
from noria.grow.series.series import Floats

from .attraction import MINIMUM, ShareForecast, check_forecastable, log_ratios, log_t, shares_of

LOOSENESS = (1e-4, 0.01, 0.1, 1.0, 10.0)
"""Prior variance of a coefficient in units of the noise's, from none to loose."""
_DENSITY_DRAWS = 500


@dataclass(frozen=True)
class Coupling:
    """Coefficients under one prior."""

    mean: Floats
    """(K, P): share j -> change of log-ratio i."""
    precision: Floats
    """(K, K)."""
    scale: Floats
    """Of the noise's inverse Wishart, (P, P)."""
    freedom: float
    log_likelihood: float


@dataclass(frozen=True)
class Rivalry:
    """A fitted model of one market's shares."""

    market: Shares
    couplings: tuple[Coupling, ...]
    weights: Floats
    present: tuple[int, ...]
    last: Floats
    """The last known log-ratios, (P,)."""
    behind: int
    """Periods at the end of the market at which shares are not known."""

    def ahead(self, horizon: int, *, draws: int = 2000, seed: int = 0) -> ShareForecast:
        """Return draws of the next `horizon` periods, each a path."""
        random = np.random.default_rng(seed)
        paths = [path for path, _, _ in self._simulated(horizon + self.behind, draws, random)]
        together = np.concatenate(paths)[:, self.behind :]
        random.shuffle(together)
        full = np.zeros((draws, horizon, len(self.market.entities)))
        full[:, :, list(self.present)] = shares_of(together)
        return ShareForecast(
            tuple(following(self.market.times, horizon)), self.market.entities, full, self.market.provenance.text()
        )

    def log_density(self, ratios: Floats, horizon: int) -> float:
        """Return the log of the density, in log-ratios, that the model gave to what came after `horizon` periods."""
        step = horizon + self.behind
        if step == 1:
            shares = shares_of(self.last)
            terms = []
            for coupling in self.couplings:
                factor = 1 + float(shares @ np.linalg.solve(coupling.precision, shares))
                error = ratios - self.last - shares @ coupling.mean
                terms.append(log_t(error, coupling.scale * factor, coupling.freedom - error.size + 1))
            return float(np.logaddexp.reduce(np.array(terms) + np.log(np.maximum(self.weights, 1e-300))))
        each = []
        for path, matrices, roots in self._paths_for_density[step]:
            before = path[:, step - 2]
            middle = before + np.einsum("dk,dkp->dp", shares_of(before), matrices)
            away = np.linalg.solve(roots, (ratios - middle)[..., None])[..., 0]
            size = np.log(np.einsum("dpp->dp", roots)).sum(1)
            each.append(-0.5 * np.sum(away**2, 1) - size - ratios.size / 2 * np.log(2 * np.pi))
        return float(logsumexp(np.concatenate(each)) - np.log(_DENSITY_DRAWS))

    @cached_property
    def _paths_for_density(self) -> _Paths:
        return _Paths(self)

    def _simulated(self, steps: int, draws: int, random: np.random.Generator) -> list[tuple[Floats, Floats, Floats]]:
        """Return paths of log-ratios (d, steps, P), coefficients (d, K, P) and roots of covariances (d, P, P), prior by prior."""
        size = self.last.size
        found = []
        for coupling, count in zip(self.couplings, random.multinomial(draws, self.weights), strict=True):
            if not count:
                continue
            covariance = np.asarray(invwishart(coupling.freedom, coupling.scale).rvs(count, random_state=random))
            roots = np.linalg.cholesky(covariance.reshape(count, size, size))
            loose = np.linalg.cholesky(np.linalg.inv(coupling.precision))
            noise = random.standard_normal((count, len(loose), size))
            matrices = coupling.mean + np.einsum("kl,dlq,dpq->dkp", loose, noise, roots)
            path, state = np.empty((count, steps, size)), np.tile(self.last, (count, 1))
            for step in range(steps):
                fresh = np.einsum("dpq,dq->dp", roots, random.standard_normal((count, size)))
                state = state + np.einsum("dk,dkp->dp", shares_of(state), matrices) + fresh
                path[:, step] = state
            found.append((path, matrices, roots))
        return found


class _Paths(dict[int, list[tuple[Floats, Floats, Floats]]]):
    """Simulated paths by how far they reach, made when first asked for."""

    def __init__(self, owner: Rivalry) -> None:
        super().__init__()
        self.owner = owner

    def __missing__(self, steps: int) -> list[tuple[Floats, Floats, Floats]]:
        self[steps] = self.owner._simulated(steps, _DENSITY_DRAWS, np.random.default_rng(steps))
        return self[steps]


def fit_rivalry(market: Shares) -> Rivalry:
    """Return the model of a market's shares. Only steps between two periods that are whole are learned from.

    Raises:
        InputError: shares that overlap, too few whole periods, or a single entity.
    """
    check_forecastable(market)
    ratios, present = log_ratios(market, market.values)
    whole = np.flatnonzero(~np.isnan(ratios[:, 0]))
    starts = whole[:-1][np.diff(whole) == 1]
    if len(starts) < MINIMUM - 1:
        raise InputError(
            message("grow.too_few_periods"),
            found=int(whole.size),
            allowed=message("grow.more_row_2", minimum=MINIMUM),
            hint=message("grow.show_shares"),
        )
    changes, shares = ratios[starts + 1] - ratios[starts], shares_of(ratios[starts])
    couplings = tuple(_coupled(changes, shares, looseness) for looseness in LOOSENESS)
    likelihood = np.array([coupling.log_likelihood for coupling in couplings])
    weights = np.exp(likelihood - np.logaddexp.reduce(likelihood))
    return Rivalry(
        market, couplings, weights / weights.sum(), present, ratios[whole[-1]], len(ratios) - 1 - int(whole[-1])
    )


def _coupled(changes: Floats, shares: Floats, looseness: float) -> Coupling:
    n, size = changes.shape
    each = np.mean(changes**2, axis=0)
    prior = np.diag(np.maximum(0.5 * each + 0.5 * np.median(each), 1e-8))
    freedom = float(size + 2)
    # With the freedom of a random walk's prior, coefficients of one unit of looseness would be as wide as the noise.
    start = np.eye(shares.shape[1]) / looseness
    precision = start + shares.T @ shares
    mean = np.linalg.solve(precision, shares.T @ changes)
    scale = prior + changes.T @ changes - mean.T @ precision @ mean
    scale = (scale + scale.T) / 2
    likelihood = (
        size / 2 * (np.linalg.slogdet(start)[1] - np.linalg.slogdet(precision)[1])
        + freedom / 2 * np.linalg.slogdet(prior)[1]
        - (freedom + n) / 2 * np.linalg.slogdet(scale)[1]
    )
    return Coupling(np.asarray(mean, dtype=np.float64), precision, scale, freedom + n, float(likelihood))
