"""Whom to address: who is moved by the treatment, told by what is known of users before, and proved on users not seen.

found = uplift(units, variant="mailed", seed=0)
found.curve.coefficient      # of Qini, with its interval; zero inside says: no heterogeneity found
found.groups                 # effect in each fifth of the users, by score
found.text()

One part of the users teaches the score, the other judges it, and no user is in both. Where the Qini coefficient's interval
includes zero nothing is recommended but what holds for everyone alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from noria.core.errors import InputError, unknown
from noria.core.figure import Figure
from noria.core.messages import Message, as_is, joined, message

from .balance import Balance, balance
from .difference import Difference, Floats, arm_of_units, difference
from .learners import Encoding, Learner, Qini, Scorer, encode, learn, qini
from .units import Units

FEWEST = 100
"""Users a group, in each part, below which nothing is learnt."""


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
    """Whom to address, as the users tell who were kept back to judge it."""

    units: Units
    variant: str
    learner: Learner
    scorer: Scorer
    """What was learnt, to score any users with."""
    learnt: int
    """Users who taught the score."""
    everyone: Difference
    """The effect on all users kept back."""
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
    kept_back: float = 0.5,
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
        kept_back: part of the users that judges.
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
    treated = units.group[here] == place
    outcome = units.outcome[here]
    teach, judge = _split(treated, kept_back, np.random.default_rng(seed))
    least = min(int(np.count_nonzero(treated[part] == side)) for part in (teach, judge) for side in (True, False))
    if least < FEWEST:
        raise InputError(
            message("grow.too_few_users_learn", source=units.source),
            found=message("grow.smallest_group", least=least),
            allowed=message("grow.more_6", fewest=FEWEST),
        )
    features = {name: values[here] for name, values in units.features.items()}
    if units.before is not None:
        features["before"] = units.before[here]
    how = encode(features, teach)
    if not how.names:
        raise InputError(
            message("grow.nothing_known", source=units.source),
            found=", ".join(features) or message("grow.feature"),
            allowed=message("grow.columns_known"),
            hint=message("grow.name_them"),
        )
    matrix = how.matrix(features)
    scorer = Scorer(how, learn(matrix[teach], outcome[teach], treated[teach], learner))
    score = scorer.model(matrix[judge])
    curve = qini(score, outcome[judge], treated[judge], level=level, draws=draws, seed=seed)
    chosen = score > cost
    ranks = np.argsort(np.argsort(-score, kind="stable"), kind="stable")
    fifths = ranks * 5 // score.size
    names = (units.names[place], units.names[0])
    effects = [
        _effect(outcome[judge], treated[judge], mask, names, level)
        for mask in (np.ones(score.size, bool), chosen, ~chosen, *(fifths == fifth for fifth in range(5)))
    ]
    assert effects[0] is not None
    traits = _traits(
        how,
        {name: values[judge] for name, values in features.items()},
        chosen if 0 < chosen.mean() < 1 else fifths == 0,
    )
    return Uplift(
        units,
        names[0],
        learner,
        scorer,
        teach.size,
        effects[0],
        curve,
        tuple(item for item in effects[3:] if item is not None),
        float(chosen.mean()),
        effects[1],
        effects[2],
        traits,
        cost,
        balance(units.counts, units.meant or None),
    )


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


def _split(treated: npt.NDArray[np.bool_], kept_back: float, random: np.random.Generator) -> tuple[Any, Any]:
    """Return the users who teach and those who judge, each group split alike."""
    teach, judge = [], []
    for side in (True, False):
        users = random.permutation(np.flatnonzero(treated == side))
        cut = round(users.size * kept_back)
        judge.append(users[:cut])
        teach.append(users[cut:])
    return np.sort(np.concatenate(teach)), np.sort(np.concatenate(judge))


def _effect(
    outcome: Floats, treated: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_], names: tuple[str, str], level: float
) -> Difference | None:
    one, other = outcome[mask & treated], outcome[mask & ~treated]
    if min(one.size, other.size) < 2:
        return None
    return difference(arm_of_units(names[0], one), arm_of_units(names[1], other), level=level)


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
