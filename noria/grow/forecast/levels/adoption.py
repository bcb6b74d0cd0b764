"""One series and its growth curve: parameters with intervals, whether the ceiling can be told, and what may come.

one = fit_one([840, 1470, 2110, 4000, 7590, 10950, 10530, 9470, 7790, 5890])
one.identified["ceiling"]            # True: the turn has been seen
one.ahead(4).interval(0.9)           # never below zero, and never above the ceiling in sum
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.stats import f as f_distribution

from noria.core.errors import InputError
from noria.core.figure import Figure, significant
from noria.core.messages import Message, joined, message
from noria.grow.series.series import Floats

from .curves import BASS, Curve
from .diffusion import Diffusions, Estimator, Group, Kind, curve_of, fit_many
from .outlook import Outlook, mixed
from .posterior import Nodes, weighted_nodes
from .problem import LeastSquares, Noise
from .regression import Regression


@dataclass(frozen=True)
class Adoption:
    """A curve fitted to one series."""

    fitted: Diffusions
    n: int
    """Values seen."""
    level: float
    """Of the intervals."""
    source: str = ""
    efforts: tuple[str, ...] = ()
    """What the covariates are called; `effect 1`, ... where nobody named them."""
    others: Mapping[Estimator, Adoption] = field(default_factory=dict)
    """The same curve by estimators that give something else: a parameter outside the other's interval."""

    @property
    def curve(self) -> Curve:
        """The family of curves."""
        return self.fitted.curve

    @property
    def group(self) -> Group:
        """The fit under the noise that the data speak for most."""
        return max(self.fitted.groups, key=lambda group: float(group.log_likelihood[0]))

    @property
    def estimator(self) -> Estimator:
        """What estimated the parameters."""
        return self.fitted.estimator

    def estimation(self) -> Message:
        """Return how the parameters were estimated and under which noise; by likelihood, how clearly the data chose it."""
        name = message(f"forecast.estimator.{self.estimator}")
        if self.estimator != "likelihood":
            return name
        ranked = sorted(self.fitted.groups, key=lambda group: -float(group.log_likelihood[0]))
        noise = ranked[0].problem.noise.text()
        if len(ranked) == 1:
            return message("forecast.estimation.one", name=name, noise=noise)
        ahead = float(ranked[0].log_likelihood[0] - ranked[1].log_likelihood[0])
        best, second = ranked[0].problem.noise, ranked[1].problem.noise
        after = second.text()
        if best.proportional == second.proportional and not second.memory:
            after = message("forecast.noise.forgotten", size=after)
        return message("forecast.estimation.chosen", name=name, noise=noise, ahead=ahead, next=after)

    def short(self) -> Message:
        """Return estimator and noise in a word each."""
        noise = self.group.problem.noise
        size = message(f"forecast.noise_short.{'proportional' if noise.proportional else 'even'}")
        name = message(f"forecast.estimator_short.{self.estimator}")
        return message("forecast.estimator_noise.both", estimator=name, noise=size)

    def notes(self, curve: Message) -> list[Message]:
        """Return how the parameters were estimated, and every estimator that gives something else."""
        return [
            message("forecast.estimation.by", curve=curve, estimation=self.estimation()),
            *(
                message("forecast.estimation.other", curve=curve, estimation=other.short())
                for other in self.others.values()
            ),
        ]

    def differs(self, other: Adoption) -> bool:
        """Return whether a parameter of one lies outside the other's interval."""
        return any(
            not low <= two.parameters[name] <= high
            for one, two in ((self, other), (other, self))
            for name, (low, high) in one.intervals.items()
        )

    def as_dict(self) -> dict[str, Any]:
        """Return parameters, estimator and verdict, JSON-able, and the same of the other estimators."""
        noise = self.group.problem.noise
        return {
            "estimator": self.estimator,
            "noise": "proportional" if noise.proportional else "even",
            "memory": noise.memory,
            "log_likelihood": float(self.group.log_likelihood[0]),
            "estimation": self.estimation().both(),
            "figures": [figure.as_dict() for figure in self.figures()],
            "verdict": self.verdict().both(),
            "others": {name: one.as_dict() for name, one in self.others.items()},
        }

    @property
    def parameters(self) -> dict[str, float]:
        """The most likely parameters."""
        names = {f"effect {place}": f"effect of {name}" for place, name in enumerate(self.efforts, 1)}
        return {names.get(name, name): float(values[0]) for name, values in self.fitted.parameters.items()}

    @property
    def converged(self) -> bool:
        """Whether the search came to rest."""
        return bool(self.group.still[0])

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Profile-likelihood intervals; an end that the data leave open is 0 or infinite."""
        group = self.group
        ends = limits(
            group.problem,
            group.full[0],
            float(group.squares[0]),
            self.level,
            np.array(self.curve.made_up, dtype=np.float64),
        )
        effects = ends.shape[0] - 3
        logged = [*self.curve.logged, *[False] * effects, True]
        shown = [np.exp(pair) if as_log else pair for pair, as_log in zip(ends, logged, strict=True)]
        return {name: (float(low), float(high)) for name, (low, high) in zip(self.parameters, shown, strict=True)}

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors from the curvature at the best fit (what regression printouts show), by the delta method."""
        group = self.group
        freedom = max(self.n - group.full.shape[1], 1)
        spread = np.sqrt(np.diag(group.problem.spread(group.full)[0]) * group.squares[0] / freedom)
        logged = [*self.curve.logged, *[False] * (spread.size - 3), True]
        return {
            name: float(each) * (value if as_log else 1.0)
            for (name, value), each, as_log in zip(self.parameters.items(), spread, logged, strict=True)
        }

    @property
    def identified(self) -> dict[str, bool]:
        """Whether the data put both ends to a parameter: a ceiling without an upper end cannot be told."""
        return {
            name: bool(np.isfinite(high) and (low > 0 or not self._logged(name) or name in ("p", "q")))
            for name, (low, high) in self.intervals.items()
        }

    @property
    def peak(self) -> float:
        """The time of the greatest growth."""
        return float(self.curve.inflection(self.group.full[0, :2]))

    @property
    def fell(self) -> bool:
        """Whether a level has fallen from its peak by more than a fifth, which no growth curve can."""
        values = self.group.problem.values[0]
        return not self.fitted.flow and bool(values[-1] < 0.8 * values.max())

    def verdict(self) -> Message:
        """Return whether the ceiling can be told, as a sentence in each language."""
        low, high = self.intervals["ceiling"]
        values = self.group.problem.values[0]
        if self.fell:
            return message(
                "forecast.values_fell_from_growth_curve", max=significant(values.max()), values=significant(values[-1])
            )
        if not self.fitted.flow and high < values[-1]:
            return message(
                "forecast.ceiling.below",
                low=significant(low),
                high=significant(high),
                level=self.level,
                latest=significant(values[-1]),
            )
        if self.identified["ceiling"]:
            return message(
                "forecast.ceiling_can_be_told_at", low=significant(low), high=significant(high), level=self.level
            )
        turned = self.peak <= self.fitted.last
        least = significant(low)
        return message("forecast.ceiling.bend", low=least) if turned else message("forecast.ceiling.turn", low=least)

    def figures(self) -> list[Figure]:
        """Return every parameter with its interval; one that cannot be told says so, and shows how far it may go."""
        found = []
        for name, value in self.parameters.items():
            low, high = self.intervals[name]
            faults = [] if self.identified[name] else [message("forecast.not_identified")]
            faults += [] if self.converged else [message("forecast.no_rest")]
            found.append(
                Figure(
                    name,
                    value,
                    self.n,
                    low if np.isfinite(low) else None,
                    high if np.isfinite(high) else None,
                    source=self.source,
                    level=self.level,
                    note=joined("join.clauses", faults),
                )
            )
        return found

    @cached_property
    def _nodes(self) -> list[Nodes]:
        return [weighted_nodes(curve_of(group), self.curve, group.periods, group.full) for group in self.fitted.groups]

    def ahead(self, horizon: int, *, draws: int = 2000, seed: int = 0, effort: Floats | None = None) -> Outlook:
        """Return draws of what comes in the next `horizon` periods.

        Raises:
            InputError: the fit knows covariates, and their future was not given.
        """
        random = np.random.default_rng(seed)
        problem = self.group.problem
        if isinstance(problem, Regression):
            return problem.ahead(horizon, draws, random)
        future = self.fitted.future(horizon, effort)
        evidence = np.array([float(nodes.evidence[0]) for nodes in self._nodes])
        weights = np.exp(evidence - np.logaddexp.reduce(evidence))
        counts = random.multinomial(draws, weights / weights.sum())
        many = [
            nodes.draw(future, int(count), random) for nodes, count in zip(self._nodes, counts, strict=True) if count
        ]
        return mixed(many, np.array([len(one.draws) for one in many]), random)

    def path(self) -> Floats:
        """Return the fitted curve at the times seen, (n,)."""
        group = self.group
        if isinstance(group.problem, Regression):
            return np.asarray(group.problem.fitted(group.full)[0])
        return np.asarray(np.exp(group.full[0, -1]) * group.problem.part(group.full[:1, :-1])[0])

    def _logged(self, name: str) -> bool:
        return name == "ceiling" or (
            name in self.curve.parameters and self.curve.logged[self.curve.parameters.index(name)]
        )


def fit_one(
    values: Floats | Sequence[float],
    curve: str = "bass",
    *,
    kind: Kind = "flow",
    noises: Sequence[Noise] | None = None,
    estimator: Estimator = "likelihood",
    effort: Floats | None = None,
    times: Floats | None = None,
    level: float = 0.9,
    source: str = "",
) -> Adoption:
    """Return a curve fitted to one series; the arguments are those of `fit_many`.

    Raises:
        InputError: too few values, or nothing above zero among them.
        SettingError: an unknown curve, or an estimator or covariates that the curve has not.
    """
    given = np.asarray(values, dtype=np.float64)
    fitted = fit_many(given[None], curve, kind=kind, noises=noises, estimator=estimator, effort=effort, times=times)
    if fitted.problems:
        raise InputError(
            message("grow.curve", curve=curve, problems=fitted.problems[0]), hint=message("grow.show_values")
        )
    return Adoption(fitted, int(np.sum(~np.isnan(given))), level, source)


def estimator_for(curve: str, estimator: Estimator) -> Estimator:
    """Return what estimates a curve where an estimator was asked for: regression and density know Bass alone."""
    return estimator if curve == BASS.name or estimator == "nls" else "likelihood"


def fit_compared(
    values: Floats, curve: str, *, kind: Kind, estimator: Estimator, effort: Floats | None = None, source: str = ""
) -> Adoption:
    """Return a curve fitted to one series, with the other estimators of the literature where they give something else.

    Raises:
        InputError, SettingError: as `fit_one`.
    """
    able: list[Estimator] = ["likelihood", "nls"]
    able += ["ols"] if curve == BASS.name and kind == "flow" and effort is None else []
    own = fit_one(values, curve, kind=kind, estimator=estimator, effort=effort, source=source)
    found: dict[Estimator, Adoption] = {}
    for name in able:
        if name == estimator:
            continue
        with suppress(InputError):  # a regression without a ceiling has nothing to compare
            other = fit_one(values, curve, kind=kind, estimator=name, effort=effort, source=source)
            if own.differs(other):
                found[name] = other
    return replace(own, others=found)


DOUBLINGS = 14
HALVINGS = 26
UNBOUNDED = float(np.log(1e4))
"""How much more than all that was seen a ceiling may be, in logarithms, before it is called without end."""


def limits(
    problem: LeastSquares, full: Floats, squares: float, level: float, made_up: Floats, memory: float = 0.0
) -> Floats:
    """Return the ends of each parameter's interval, (K + 1, 2), for a problem of one series.

    The interval of a parameter holds the values at which the smallest sum of squares is below S (1 + F / v), where S is the
    smallest of all, v the degrees of freedom and F the F distribution's quantile with 1 and v (Bates and Watts 1988,
    Nonlinear Regression Analysis and Its Applications, section 6.1). A curve whose ceiling cannot be told keeps fitting
    however high the ceiling is set: its interval then has no upper end, and that is what "not identified" means here.

    Args:
        problem: of one series.
        full: its best shapes and log ceiling, (K + 1,).
        squares: the sum of squares there.
        level: of the intervals.
        made_up: 1 for the bounds of shapes that only end a search, (2, 2): a ceiling's end that leans on one is open.
        memory: part of a deviation that is left one period later, where the problem takes them for independent: v values
            then tell as much as v (1 - memory) / (1 + memory) of such (Bartlett 1935).
    """
    count = full.size
    freedom = problem.values.shape[1] - count
    if freedom < 1:
        return np.tile([-np.inf, np.inf], (count, 1))
    worth = (1 - memory) / (1 + memory)
    independent = max(freedom * worth, 1.0)
    bar = squares * (1 + float(f_distribution.ppf(level, 1, independent)) / (freedom * worth))
    which = np.repeat(np.arange(count), 2)
    side = np.tile([-1.0, 1.0], count)
    fixed = np.eye(count)[which]
    many = problem.of(np.zeros(2 * count))
    top = np.append(problem.high, np.log(problem.order[0, 0]) + UNBOUNDED)
    floor = np.append(problem.low, np.log(problem.order[0, 0]) - UNBOUNDED)
    end = np.where(side > 0, top[which], floor[which])
    spread = np.sqrt(np.maximum(np.diag(problem.spread(full[None])[0]) * squares / freedom, 0.0))[which]
    step = np.clip(spread, 1e-6, 1.0)
    inner, outer, start = full[which].copy(), np.full(2 * count, np.nan), np.tile(full, (2 * count, 1))

    def rise(place: Floats, begin: Floats) -> tuple[Floats, Floats]:
        begin = begin.copy()
        begin[np.arange(2 * count), which] = place
        found, least, _ = many.polish(begin, fixed, rounds=25)
        return found, least - bar

    for _ in range(DOUBLINGS):
        open_ended = np.isnan(outer)
        if not open_ended.any():
            break
        place = np.where(open_ended, inner + side * step, outer)
        place = np.where(side > 0, np.minimum(place, end), np.maximum(place, end))
        found, above = rise(place, start)
        past = open_ended & (above > 0)
        outer[past] = place[past]
        within = open_ended & ~past
        inner[within], start[within] = place[within], found[within]
        step = np.where(within, step * 2, step)
    for _ in range(HALVINGS):
        bounded = ~np.isnan(outer)
        if not bounded.any():
            break
        place = np.where(bounded, (inner + outer) / 2, inner)
        found, above = rise(place, start)
        past = bounded & (above > 0)
        outer[past] = place[past]
        within = bounded & ~past
        inner[within], start[within] = place[within], found[within]
    ends = np.where(np.isnan(outer), side * np.inf, outer)
    low = np.abs(start[:, :2] - problem.low[:2]) < 1e-6
    high = np.abs(start[:, :2] - problem.high[:2]) < 1e-6
    leaning = (low * made_up[:, 0] + high * made_up[:, 1]).any(1) & (which == count - 1)
    ends[leaning] = side[leaning] * np.inf
    return ends.reshape(count, 2)
