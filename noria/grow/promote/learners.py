"""What is known of a user -> how much the treatment changes their outcome: three ways; and what addressing by it gains.

score = learn(matrix, outcome, treated, "x")(other_matrix)

two: one model of each group, their difference. x: each group's outcome less the other group's model, and a model of that
(Künzel, Sekhon, Bickel and Yu 2019, Metalearners for estimating heterogeneous treatment effects, PNAS 116). transformed: a
model of outcome times (treated - e) / (e (1 - e)), whose mean is the effect (Athey and Imbens 2015). Assignment is taken to be
at random. Every penalty is chosen by generalised cross-validation (Golub, Heath and Wahba 1979), so where there is nothing to
tell users apart by, little is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from noria.core.messages import message
from noria.core.progress import steps

from .difference import Floats

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


_CELLS = 10_000
"""Cells of neighbouring users that the bootstrap draws; up to that many users, each is one."""
_GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Qini:
    """A Qini curve; arrays over `shares`, (101,)."""

    shares: Floats
    """Part of the users addressed."""
    gain: Floats
    low: Floats
    high: Floats
    coefficient: float
    """Area between the curve and the straight line to its end."""
    coefficient_low: float
    coefficient_high: float
    users: int
    level: float

    @property
    def found(self) -> bool:
        """Whether the order is better than one at random, beyond what chance does."""
        return self.coefficient_low > 0


def qini(
    score: Floats,
    outcome: Floats,
    treated: npt.NDArray[np.bool_],
    *,
    scores: int = 1,
    level: float = 0.95,
    draws: int = 500,
    seed: int = 0,
) -> Qini:
    """Return the Qini curve of a score, on users it was not learnt from.

    Radcliffe (2007), Using control groups to target on predicted lift: among the users who come first, the outcomes of the
    treated less those of the control group brought to their number; here over all treated users, so that the curve ends at
    the effect on everyone and its unit is outcome a user. The interval is a bootstrap over users whom the score has not seen:
    the score stays.

    Args:
        score: the higher, the sooner a user is addressed, (N,). Ties are broken at random.
        outcome: (N,).
        treated: whether each user was, (N,).
        scores: how many scores there are, each taught by the users whom the others judge. Where chance lets one half of the users
            agree with the other, both scores gain by it, and where not both lose: at worst their gains are one and the same, so
            that the spread of what the order gains is told as of users of one score alone.
        level: coverage of the intervals.
        draws: of the bootstrap.
        seed: of ties and bootstrap.
    """
    random = np.random.default_rng(seed)
    order = np.lexsort((random.random(score.size), -score))
    cells = _cells(outcome[order], treated[order])
    gain, area = _curve(cells, np.ones((1, cells.shape[1])))
    wider, order_gain = math.sqrt(scores), gain - _GRID * gain[:, -1:]
    gains, areas = [], []
    step = max(1, 2_000_000 // cells.shape[1])
    for start in steps(range(0, draws, step), message("progress.bootstrap")):
        weights = random.poisson(1.0, (min(step, draws - start), cells.shape[1])).astype(np.float64)
        # A draw may hold no user of one group, where they are few: it tells nothing.
        whole = (weights @ cells[:2].T > 0).all(1)
        some, many = _curve(cells, weights[whole])
        straight = _GRID * some[:, -1:]  # what the order does not change
        gains.append(straight + order_gain + wider * (some - straight - order_gain))
        areas.append(area + wider * (many - area))
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.concatenate(gains), ends, axis=0)
    left, right = np.quantile(np.concatenate(areas), ends)
    return Qini(_GRID, gain[0], low, high, float(area[0]), float(left), float(right), score.size, level)


def _cells(outcome: Floats, treated: npt.NDArray[np.bool_]) -> Floats:
    """Return for runs of neighbours users treated and not, and the sum of their outcomes, (4, cells)."""
    rows = np.stack([treated, ~treated, outcome * treated, outcome * ~treated]).astype(np.float64)
    size = -(-outcome.size // _CELLS)
    return np.asarray(np.add.reduceat(rows, np.arange(0, outcome.size, size), axis=1))


def _curve(cells: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the gain at each hundredth, (draws, 101), and the area above the straight line, (draws,)."""
    users, others, won, lost = (np.cumsum(weights * row, axis=1) for row in cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = (won - np.where(others > 0, lost * users / others, 0.0)) / users[:, -1:]
    share = (users + others) / (users + others)[:, -1:]
    share = np.column_stack([np.zeros(len(share)), share])
    gain = np.column_stack([np.zeros(len(gain)), gain])
    area = np.trapezoid(gain, share, axis=1) - gain[:, -1] / 2
    on_grid = np.stack([np.interp(_GRID, at, height) for at, height in zip(share, gain, strict=True)])
    return on_grid, area
