"""Fixed effects taken out: what is left of numbers once every entity's and every period's own level is held fixed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noria.grow.series.series import Floats

from .panel import Ints


class Absorber:
    """Takes one or two sets of fixed effects out of columns of n numbers, exactly and without iterating.

    The larger set goes by its means; what the smaller adds is one small system of its levels (Frisch and Waugh 1933; Lovell
    1963). `rank` is how many effects there are, less what they share; `kept` is the part of each observation's own variance
    that is left, (n,): one less the leverage of its effects.
    """

    def __init__(self, groups: Sequence[Ints]) -> None:
        codes = sorted(
            (np.unique(group, return_inverse=True)[1] for group in groups), key=lambda group: -int(group.max())
        )
        self._large = codes[0]
        self._counts = np.bincount(self._large).astype(np.float64)
        self.rank = self._counts.size
        self.kept: Floats = 1 - 1 / self._counts[self._large]
        self._small: Ints | None = None
        if len(codes) > 1:
            self._small = codes[1]
            levels = int(codes[1].max()) + 1
            table = np.bincount(self._large * levels + codes[1], minlength=self._counts.size * levels).reshape(
                -1, levels
            )
            self._parts = table / self._counts[:, None]
            values, vectors = np.linalg.eigh(np.diag(table.sum(0).astype(np.float64)) - table.T @ self._parts)
            told = values > 1e-9 * max(values[-1], 1.0)
            self.rank += int(told.sum())
            self._inverse = (vectors[:, told] / values[told]) @ vectors[:, told].T
            spread = self._parts @ self._inverse
            self.kept = self.kept - (
                np.diag(self._inverse)[codes[1]]
                - 2 * spread[self._large, codes[1]]
                + (spread * self._parts).sum(1)[self._large]
            )

    def __call__(self, values: Floats) -> Floats:
        """Return what is left of (n,) or (n, columns)."""
        left = values.reshape(len(values), -1).astype(np.float64)
        left = left - (_sums(left, self._large, self._counts.size) / self._counts[:, None])[self._large]
        if self._small is not None:
            level = self._inverse @ _sums(left, self._small, len(self._inverse))
            left -= level[self._small] - (self._parts @ level)[self._large]
        return left.reshape(values.shape)


def _sums(values: Floats, codes: Ints, levels: int) -> Floats:
    return np.stack([np.bincount(codes, column, levels) for column in values.T], axis=1)
