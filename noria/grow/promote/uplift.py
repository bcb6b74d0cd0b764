"""Whom to address: who is moved by the treatment, told by what is known of users before, and proved on all of them, unseen.

found = uplift(units, variant="mailed", seed=0)
found.curve.coefficient      # of Qini, with its interval; zero inside says: no heterogeneity found
found.groups                 # effect in each fifth of the users, by score
found.text()

Every user judges, by a score that others taught: one half teaches the score of the other (cross-fitting; Chernozhukov et al.
2018, Double/debiased machine learning, Econometrics Journal 21), so that the effect on everyone is the experiment's own. Users
are put in order within their half, for the two scores have no common level. Where the Qini coefficient's interval includes zero
nothing is recommended but what holds for everyone alike.

Two halves that teach one another err together: by chance both look alike, and both scores gain, or they do not, and both lose. So
what the order of users changes is told with the spread of one half, which is the worst case (the variance of a mean of two is at
most that of one); of 1,500 simulated users who do not differ, 2 to 3 % of campaigns find that they do, as meant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from noria.core.errors import InputError, unknown
from noria.core.figure import Figure
from noria.core.messages import Message, as_is, joined, message

from .balance import Balance, balance
from .difference import Difference, Floats, arm_of_units, difference
from .experiment import analyse, taken_out
from .learners import Encoding, Learner, Qini, Scorer, encode, learn, qini
from .several import stretched
from .units import Units

HALVES = 2
FEWEST = 100
"""Users a group, in each half, below which nothing is learnt."""


@dataclass(frozen=True)
class Trait:
    """How those to be addressed differ from all others in one thing known of them."""

    name: str
    addressed: float
    """Mean, or share of a word, among those to be addressed."""
    others: float
    distance: float
    """Their difference in standard deviations."""
    word: bool
    """Whether the two are shares."""


@dataclass(frozen=True)
class Uplift:
    """Whom to address, as users tell whose score others taught."""

    units: Units
    variant: str
    learner: Learner
    scorer: Scorer
    """What all users taught, to score any others with; it is judged by its like, that a part of them taught."""
    learnt: int
    """Users who taught each score that judges."""
    everyone: Difference
    """The effect on all users: the experiment's."""
    curve: Qini
    groups: tuple[Difference, ...]
    """The effect in each fifth of them, the highest score first."""
    share: float
    """Part of them whose expected effect is above the cost."""
    addressed: Difference | None
    """The effect on these; None where they are too few to tell."""
    others: Difference | None
    traits: tuple[Trait, ...]
    cost: float
    """Of addressing one user, in units of the outcome."""
    balance: Balance
    """Whether the groups have the sizes that were meant."""

    @property
    def found(self) -> bool:
        """Whether users differ in how much they are moved, so that choosing among them pays."""
        return self.curve.found

    @property
    def binary(self) -> bool:
        """Whether every outcome is 0 or 1, so that effects are told in points."""
        return bool(((self.units.outcome == 0) | (self.units.outcome == 1)).all())

    @property
    def decision(self) -> str:
        """some, everyone, no one or unknown."""
        if self.found and self.addressed is not None and self.addressed.low > self.cost:
            return "some"
        if self.everyone.low > self.cost:
            return "everyone"
        return "no one" if self.everyone.high < self.cost else "unknown"

    @property
    def features(self) -> tuple[str, ...]:
        """The features that the score reads."""
        return tuple(dict.fromkeys(feature for feature, _ in self.scorer.encoding.kinds))

    def scored(self, users: Sequence[str], features: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, Any]]:
        """Return a row for each of these users: the score, and whether to address them.

        Where the decision is everyone, no one or unknown, it is so for each of them: then no score says otherwise.
        """
        score = self.scorer(features)
        address = score > self.cost if self.decision == "some" else np.full(score.size, self.decision == "everyone")
        return [
            {"user": user, "score": float(value), "address": bool(yes)}
            for user, value, yes in zip(users, score, address, strict=True)
        ]

    def figure(self) -> Figure:
        """Return the Qini coefficient."""
        return Figure(
            "Qini coefficient",
            self.curve.coefficient,
            self.curve.users,
            self.curve.coefficient_low,
            self.curve.coefficient_high,
            source=self.units.source,
            level=self.curve.level,
            note=self.units.note,
        )

    def text(self) -> Message:
        """Return whom to address."""
        scale, unit = _scale(self)
        interval = f"{self.curve.coefficient * scale:.3g} [{self.curve.coefficient_low * scale:.3g}, {self.curve.coefficient_high * scale:.3g}]"
        lead = (
            message("uplift.users_differ_how_much_they", interval=interval, unit=unit, users=self.curve.users)
            if self.found
            else message(
                "uplift.no_heterogeneity_found_qini_coefficient", interval=interval, unit=unit, users=self.curve.users
            )
        )
        told = self._decided()
        return joined("join.nothing", [self.balance.doubt, lead, told])

    def _decided(self) -> Message:
        scale, unit = _scale(self)

        def effect(gap: Difference) -> str:
            if not gap.has_interval:
                return f"{gap.value * scale:+.3g} [–]"
            return f"{gap.value * scale:+.3g} [{gap.low * scale:+.3g}, {gap.high * scale:+.3g}]"

        if self.decision == "some":
            assert self.addressed is not None
            told = {"share": self.share, "effect": effect(self.addressed), "unit": unit}
            if self.others is None:
                return message("uplift.some", **told)
            return message("uplift.some_others", **told, others=effect(self.others))
        return message(f"uplift.decision.{self.decision.replace(' ', '_')}", effect=effect(self.everyone), unit=unit)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "source": self.units.source,
            "note": self.units.note,
            "variant": self.variant,
            "learner": self.learner,
            "learnt": self.learnt,
            "qini": self.figure().as_dict(),
            "heterogeneity": self.found,
            "decision": self.decision,
            "share": self.share,
            "cost": self.cost,
            "everyone": _plain(self.everyone),
            "addressed": _plain(self.addressed),
            "others": _plain(self.others),
            "groups": [_plain(group) for group in self.groups],
            "traits": [vars(trait) for trait in self.traits],
            "curve": {
                name: [round(float(value), 9) for value in getattr(self.curve, name)]
                for name in ("shares", "gain", "low", "high")
            },
            "balance": self.balance.as_dict(),
            "problems": [problem.text() for problem in self.units.problems],
            "verdict": self.text().both(),
        }


def uplift(
    units: Units,
    *,
    variant: str | None = None,
    learner: Learner = "x",
    cost: float = 0.0,
    level: float = 0.95,
    draws: int = 500,
    seed: int = 0,
) -> Uplift:
    """Return whom to address with one treatment.

    Args:
        units: users with features from before; two groups of them are compared.
        variant: the treated group; may be left out where there is one.
        learner: see `learners`.
        cost: of addressing one user, in units of the outcome.
        level: coverage of the intervals.
        draws: of the bootstrap.
        seed: of the split, ties and the bootstrap.

    Raises:
        InputError: several treated groups and none named, no feature that tells users apart, a ratio metric, or too few users.
        SettingError: no such group.
    """
    place = _variant(units, variant)
    if units.weight is not None:
        raise InputError(
            message("grow.uplift_needs", source=units.source),
            found=message("grow.ratio_metric"),
            allowed=message("grow.outcome_without"),
        )
    here = np.flatnonzero((units.group == 0) | (units.group == place))
    treated, outcome = units.group[here] == place, units.outcome[here]
    # Judged is what the experiment compares: outcomes less what a covariate tells of them.
    values = (units.outcome if units.before is None else taken_out(units, units.outcome)[0])[here]
    random = np.random.default_rng(seed)
    parts = _halves(treated, random)
    least = min(int(np.count_nonzero(treated[part] == side)) for part in parts for side in (True, False))
    if least < FEWEST:
        raise InputError(
            message("grow.too_few_users_learn", source=units.source),
            found=message("grow.smallest_group", least=least),
            allowed=message("grow.more_6", fewest=FEWEST),
        )
    features = {name: column[here] for name, column in units.features.items()}
    if units.before is not None:
        features["before"] = units.before[here]
    if not encode(features, np.arange(here.size)).names:
        raise InputError(
            message("grow.nothing_known", source=units.source),
            found=", ".join(features) or message("grow.feature"),
            allowed=message("grow.columns_known"),
            hint=message("grow.name_them"),
        )
    score, order = np.empty(here.size), np.empty(here.size)
    for part in parts:
        teach = np.setdiff1d(np.arange(here.size), part, assume_unique=True)
        score[part] = _taught(features, teach, outcome, treated, learner)(
            {name: column[part] for name, column in features.items()}
        )
        ranked = np.lexsort((random.random(part.size), score[part]))
        order[part[ranked]] = (np.arange(part.size) + 0.5) / part.size
    curve = qini(order, values, treated, scores=HALVES, level=level, draws=draws, seed=seed)
    chosen = score > cost
    fifths = np.minimum(((1 - order) * 5).astype(np.int64), 4)
    names = (units.names[place], units.names[0])
    plain = units.before is None
    effects = [
        _effect(values, treated, mask, names, level, plain=plain)
        for mask in (chosen, ~chosen, *(fifths == fifth for fifth in range(5)))
    ]
    scorer = _taught(features, np.arange(here.size), outcome, treated, learner)
    traits = _traits(scorer.encoding, features, chosen if 0 < chosen.mean() < 1 else fifths == 0)
    return Uplift(
        units,
        names[0],
        learner,
        scorer,
        here.size - max(part.size for part in parts),
        analyse(units, level=level).comparisons[place - 1].found,
        curve,
        tuple(item for item in effects[2:] if item is not None),
        float(chosen.mean()),
        effects[0],
        effects[1],
        traits,
        cost,
        balance(units.counts, units.meant or None),
    )


def _taught(
    features: Mapping[str, npt.NDArray[Any]],
    rows: npt.NDArray[np.int64],
    outcome: Floats,
    treated: npt.NDArray[np.bool_],
    learner: Learner,
) -> Scorer:
    """Return what some of the users teach."""
    how = encode(features, rows)
    matrix = how.matrix({name: column[rows] for name, column in features.items()})
    return Scorer(how, learn(matrix, outcome[rows], treated[rows], learner))


def _variant(units: Units, variant: str | None) -> int:
    if variant is None:
        if len(units.names) > 2:
            raise InputError(
                message("grow.several_treated", source=units.source),
                found=", ".join(units.names[1:]),
                allowed=message("grow.one_them"),
                hint=message("grow.name_treated"),
            )
        return 1
    if variant not in units.names[1:]:
        raise unknown("treated group", variant, units.names[1:])
    return units.names.index(variant)


def _halves(treated: npt.NDArray[np.bool_], random: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Return the users in two halves, each group divided alike."""
    place = np.empty(treated.size, dtype=np.int64)
    for side in (True, False):
        users = random.permutation(np.flatnonzero(treated == side))
        place[users] = np.arange(users.size) % HALVES
    return [np.flatnonzero(place == half) for half in range(HALVES)]


def _effect(
    values: Floats,
    treated: npt.NDArray[np.bool_],
    mask: npt.NDArray[np.bool_],
    names: tuple[str, str],
    level: float,
    *,
    plain: bool,
) -> Difference | None:
    """Return the effect on some of the users, whom scores have chosen: see the module for how wide."""
    parts = [values[mask & treated], values[mask & ~treated]]
    if min(part.size for part in parts) < 2:
        return None
    arms = [arm_of_units(name, part) for name, part in zip(names, parts, strict=True)]
    if plain:
        found = difference(arms[0], arms[1], level=level)
    else:
        arms = [replace(arm, successes=None) for arm in arms]
        found = difference(arms[0], arms[1], level=level, method="welch + cuped")
    # Of the variance, the part that the effect on everyone has too is not changed by the order.
    wider = math.sqrt(HALVES - (HALVES - 1) * float(mask.mean()))
    p = 2 * float(ndtr(ndtri(found.p / 2) / wider))
    return replace(stretched(found, wider), error=found.error * wider, p=p)


def _traits(how: Encoding, features: dict[str, Any], chosen: npt.NDArray[np.bool_], most: int = 6) -> tuple[Trait, ...]:
    found = []
    for name, (feature, kind) in zip(how.names, how.kinds, strict=True):
        word = not isinstance(kind, tuple)
        values = (features[feature] == kind).astype(np.float64) if word else features[feature]
        spread = float(np.nanstd(values))
        if not spread or not math.isfinite(spread):
            continue
        one, other = float(np.nanmean(values[chosen])), float(np.nanmean(values[~chosen]))
        if math.isfinite(one - other):
            found.append(Trait(name, one, other, (one - other) / spread, word))
    return tuple(sorted(found, key=lambda trait: -abs(trait.distance))[:most])


def _scale(found: Uplift) -> tuple[int, Message]:
    return (100, message("uplift.points_2")) if found.binary else (1, as_is(""))


def _plain(gap: Difference | None) -> dict[str, Any] | None:
    return None if gap is None else gap.as_dict()
