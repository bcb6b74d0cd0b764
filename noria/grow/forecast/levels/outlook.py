"""What may come of a series above zero: draws of its future, and the density they stand for.

Each draw knows where the value would lie and how widely, so that the density of what came is a mean over known densities
(the mixture-of-parameters estimator; Krüger, Lerch, Thorarinsdottir and Gneiting 2021), not one smoothed from points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from noria.grow.series.series import Floats


@dataclass(frozen=True)
class Outlook:
    """Draws of the future of one series, D of H times each; none is below zero."""

    draws: Floats
    """(D, H), each a path."""
    centres: Floats
    """(D, H): the middle of what the draw expects."""
    scales: Floats
    """(D, H): standard deviation around it, of the logarithm where `logged`."""
    logged: Floats
    """(D,): 1 where the value's logarithm is what is normal."""

    def interval(self, level: float = 0.9) -> tuple[Floats, Floats]:
        """Return the ends of the interval, (H,) each."""
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high

    def median(self) -> Floats:
        """Return the median, (H,)."""
        return np.asarray(np.median(self.draws, axis=0), dtype=np.float64)

    def log_density(self, actual: float, ahead: int) -> float:
        """Return the log of the density that was given to what came `ahead` times (1, 2, ...) after the last seen."""
        centre, scale = self.centres[:, ahead - 1], np.maximum(self.scales[:, ahead - 1], 1e-12)
        logged = self.logged > 0
        terms = -0.5 * np.log(2 * np.pi) - np.log(scale)
        even = terms - 0.5 * ((actual - centre) / scale) ** 2
        if actual > 0:
            with np.errstate(divide="ignore"):
                away = (np.log(actual) - np.log(np.maximum(centre, 1e-300))) / scale
            ratio = terms - 0.5 * away**2 - np.log(actual)
        else:
            ratio = np.full(len(scale), -np.inf)
        return float(max(logsumexp(np.where(logged, ratio, even)) - np.log(len(scale)), -745.0))


def natural(logs: Floats) -> Floats:
    """Return values of logarithms, none so large that its square could not be told."""
    return np.asarray(np.exp(np.minimum(logs, 300.0)), dtype=np.float64)


def mixed(outlooks: list[Outlook], counts: Floats, random: np.random.Generator) -> Outlook:
    """Return an outlook of `counts` draws of each."""
    kept = [random.permutation(len(one.draws))[: int(count)] for one, count in zip(outlooks, counts, strict=True)]

    def joined(name: str) -> Floats:
        return np.concatenate([getattr(one, name)[rows] for one, rows in zip(outlooks, kept, strict=True)])

    return Outlook(joined("draws"), joined("centres"), joined("scales"), joined("logged"))
