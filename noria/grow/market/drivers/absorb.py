"""Fixed effects taken out: what is left of numbers once every entity's and every period's own level is held fixed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...series import Floats
from .panel import Ints

_DENSE = 400
"""Levels up to which one orthonormal basis is built: exact, and quick for many columns at once."""


class Absorber:
    """Takes fixed effects out of columns of n numbers.

    `rank` is how many effects there are, less what they share; `kept` is the part of each observation's own variance that is
    left, (n,): one less the leverage of its effects.
    """

    def __init__(self, groups: Sequence[Ints]) -> None:
        self.groups = [np.unique(group, return_inverse=True)[1] for group in groups]
        sizes = [int(group.max()) + 1 for group in self.groups]
        self._basis: Floats | None = None
        if sum(sizes) <= _DENSE:
            dummies = np.concatenate(
                [np.eye(size)[group] for size, group in zip(sizes, self.groups, strict=True)], axis=1
            )
            left, values, _ = np.linalg.svd(dummies, full_matrices=False)
            self._basis = left[:, values > 1e-9 * values[0]]
            self.rank = self._basis.shape[1]
            self.kept = 1 - (self._basis**2).sum(1)
        else:
            self.rank = sum(sizes) - (len(sizes) - 1)
            self.kept = np.full(len(self.groups[0]), 1 - self.rank / len(self.groups[0]))

    def __call__(self, values: Floats) -> Floats:
        """Return what is left of (n,) or (n, columns)."""
        if self._basis is not None:
            return np.asarray(values - self._basis @ (self._basis.T @ values), dtype=np.float64)
        left = values.reshape(len(values), -1).astype(np.float64)
        size = np.abs(left).max(initial=1e-300)
        counts = [np.bincount(group) for group in self.groups]
        for _ in range(10_000):  # alternating projections (Guimaraes and Portugal 2010)
            before = left.copy()
            for group, count in zip(self.groups, counts, strict=True):
                for column in range(left.shape[1]):
                    left[:, column] -= (np.bincount(group, left[:, column], count.size) / count)[group]
            if np.abs(left - before).max() <= 1e-13 * size:
                break
        return left.reshape(values.shape)
