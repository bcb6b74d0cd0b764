"""What is known of a user -> how much the treatment changes their outcome: three ways, on ridge and logistic regression.

score = learn(matrix, outcome, treated, "x")(other_matrix)

two: one model of each group, their difference. x: each group's outcome less the other group's model, and a model of that
(Künzel, Sekhon, Bickel and Yu 2019, Metalearners for estimating heterogeneous treatment effects, PNAS 116). transformed: a
model of outcome times (treated - e) / (e (1 - e)), whose mean is the effect (Athey and Imbens 2015). Assignment is taken to be
at random. Every penalty is chosen by generalised cross-validation (Golub, Heath and Wahba 1979), so where there is nothing to
tell users apart by, little is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit

Floats = npt.NDArray[np.float64]
Learner = Literal["x", "two", "transformed"]
Model = Callable[[Floats], Floats]
MOST_WORDS = 12
"""Values of a feature of words that get a column of their own; the rest share one."""


@dataclass(frozen=True)
class Encoding:
    """How features become columns; learnt on the training part alone."""

    names: tuple[str, ...]
    """Of the columns before squares: a feature, or feature = word."""
    kinds: tuple[tuple[str, Any], ...]
    """For each column its feature and, of numbers, centre and spread and filling, of words the word."""

    def columns(self, features: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """Return one column a name, numbers standardised and words as 0 or 1, (N, K)."""
        found = []
        for name, how in self.kinds:
            values = features[name]
            if isinstance(how, tuple):
                centre, spread, filling = how
                numbers = np.where(np.isnan(values), filling, values)
                found.append(np.clip((numbers - centre) / spread, -4, 4))
            else:
                found.append((values == how).astype(np.float64))
        return np.column_stack(found)

    def matrix(self, features: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """Return the columns, and of numbers the squares too, (N, P)."""
        columns = self.columns(features)
        numbers = [place for place, (_, how) in enumerate(self.kinds) if isinstance(how, tuple)]
        return np.column_stack([columns, columns[:, numbers] ** 2]) if numbers else columns


@dataclass(frozen=True)
class Scorer:
    """What was learnt: features of any users -> the uplift expected of each."""

    encoding: Encoding
    model: Model

    def __call__(self, features: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """Return the score of each user, (N,); a missing number counts as its mean, a word never seen as none of those known."""
        return self.model(self.encoding.matrix(features))


def encode(features: Mapping[str, npt.NDArray[Any]], rows: npt.NDArray[np.int64]) -> Encoding:
    """Return how features become columns, learnt on `rows` alone. A feature with one value gives no column."""
    names: list[str] = []
    kinds: list[tuple[str, Any]] = []
    for name, values in features.items():
        seen = values[rows]
        if values.dtype.kind == "f":
            known = seen[~np.isnan(seen)]
            if known.size and known.std() > 0:
                centre, spread = float(known.mean()), float(known.std())
                names.append(name)
                kinds.append((name, (centre, spread, centre)))
            continue
        words, counts = np.unique(seen, return_counts=True)
        common = words[np.argsort(-counts, kind="stable")][:MOST_WORDS].tolist()
        for word in common if len(common) > 1 else []:
            names.append(f"{name} = {word or '–'}")
            kinds.append((name, word))
    return Encoding(tuple(names), tuple(kinds))


def learn(matrix: Floats, outcome: Floats, treated: npt.NDArray[np.bool_], learner: Learner = "x") -> Model:
    """Return a function from a matrix of users to the uplift expected of each, (N, P) -> (N,)."""
    share = float(treated.mean())
    if learner == "transformed":
        changed = (outcome - outcome.mean()) * (treated - share) / (share * (1 - share))
        return ridge(matrix, changed)
    binary = bool(((outcome == 0) | (outcome == 1)).all())
    fit = logistic if binary else ridge
    one, other = fit(matrix[treated], outcome[treated]), fit(matrix[~treated], outcome[~treated])
    if learner == "two":
        return lambda users: one(users) - other(users)
    gained = ridge(matrix[treated], outcome[treated] - other(matrix[treated]))
    missed = ridge(matrix[~treated], one(matrix[~treated]) - outcome[~treated])
    return lambda users: (1 - share) * gained(users) + share * missed(users)


def ridge(matrix: Floats, outcome: Floats) -> Model:
    """Return least squares with a penalty on all but the level, chosen by generalised cross-validation."""
    level, centre = float(outcome.mean()), matrix.mean(0)
    _, weights = _shrunk(matrix - centre, outcome - level)
    return lambda users: np.asarray(level + (users - centre) @ weights)


def logistic(matrix: Floats, outcome: Floats, rounds: int = 30) -> Model:
    """Return the probability of a 1: logistic regression by Newton's method, with the penalty that ridge would choose.

    The penalty is chosen on the linear model at the mean rate, whose curvature p (1 - p) it is then scaled by.
    """
    n, p = outcome.size, float(outcome.mean())
    if p in (0.0, 1.0):
        return lambda users: np.full(len(users), p)
    centre = matrix.mean(0)
    design = np.column_stack([np.ones(n), matrix - centre])
    penalty = np.full(design.shape[1], _shrunk(design[:, 1:], outcome - p)[0] * p * (1 - p))
    penalty[0] = 0.0
    weights = np.zeros(design.shape[1])
    weights[0] = np.log(p / (1 - p))
    for _ in range(rounds):
        rates = expit(design @ weights)
        slope = design.T @ (outcome - rates) - penalty * weights
        curve = (design * np.maximum(rates * (1 - rates), 1e-6)[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curve + 1e-9 * np.eye(len(curve)), slope)
        weights = weights + step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if float(np.abs(step).max()) < 1e-8:
            break
    return lambda users: np.asarray(expit(weights[0] + (users - centre) @ weights[1:]))


def _shrunk(centred: Floats, outcome: Floats) -> tuple[float, Floats]:
    """Return the penalty of least generalised cross-validation, and the weights of least squares with it."""
    values, vectors = np.linalg.eigh(centred.T @ centred)
    values = np.maximum(values, 0.0)
    moments = vectors.T @ (centred.T @ outcome)
    penalties = np.geomspace(1e-3, 1e5, 41)[:, None] * max(float(values.mean()), 1e-12)
    shrunk = moments / (values + penalties)
    left = np.maximum(float((outcome**2).sum()) - 2 * (shrunk * moments).sum(1) + (shrunk**2 * values).sum(1), 0.0)
    used = 1 + (values / (values + penalties)).sum(1)
    best = int(np.argmin(left / np.maximum(outcome.size - used, 1e-9) ** 2))
    return float(penalties[best, 0]), np.asarray(vectors @ shrunk[best])
