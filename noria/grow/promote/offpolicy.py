"""What another policy would have brought, told by what one that drew lots brought: IPS, SNIPS and doubly robust, with intervals.

found = judge(read_logged("decisions.csv"))
found.dr.value, found.dr.low, found.dr.high      # reward a row under the other policy
found.lift                                       # that less what was logged, of the same rows
found.text()

A row is one thing that was shown: the probability with which it was (propensity), that with which the other policy would have shown
it there (target), what followed (reward), and, for the doubly robust estimate, what a model expects of this row (expected) and of
the other policy in its place (expected_target). With w = target / propensity:

    IPS    mean w r                                            (Horvitz and Thompson 1952)
    SNIPS  sum w r / sum w                                     (Swaminathan and Joachims 2015)
    DR     mean expected_target + w (r - expected)             (Dudik, Langford and Li 2011)

Intervals take users as clusters: t over their influences, by the delta method (Deng, Knoblich and Lu 2018, section 3), and follow the
skewness of what few rows of much weight leave (Hall 1992, On the Removal of Skewness by Transformation, with its cubic g).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from noria.core.errors import InputError, RowError
from noria.core.figure import Figure
from noria.core.messages import Message, joined, message
from noria.text.records import read_records

from .settings import PolicySettings

Floats = npt.NDArray[np.float64]
FEW_USERS = 30
"""Users below which the intervals are not to be trusted: their t rests on sums that are near to normal."""
FEW_ROWS = 100
"""Rows of equal weight, of all that there are, below which the estimates hang on single rows."""
_SUPPORT = 4.0
"""Standard errors by which the mean weight may leave 1 by chance; farther, the other policy shows what was never drawn."""


@dataclass(frozen=True)
class Logged:
    """Rows of what was shown, N."""

    user: npt.NDArray[np.int64]
    """Number of each row's user, the cluster, [N]."""
    reward: Floats
    propensity: Floats
    """Above 0."""
    target: Floats
    """Probability of the same under the other policy."""
    expected: Floats | None = None
    """What a model that did not see the row expects of it."""
    expected_target: Floats | None = None
    """What it expects under the other policy in the row's place."""
    source: str = ""
    unit: str = ""
    """Of the reward."""

    def __len__(self) -> int:
        return len(self.reward)


@dataclass(frozen=True)
class OffPolicy:
    """What another policy is worth, by three estimates, beside what was logged."""

    logged: Figure
    ips: Figure
    snips: Figure
    dr: Figure | None
    """None where nothing was expected."""
    lift: Figure
    """Doubly robust less logged, or SNIPS less logged where there is no such; of the same users."""
    rows: int
    users: int
    effective: float
    """Rows of equal weight that would tell as much: (sum w)^2 / sum w^2 (Kish 1965)."""
    mean_weight: float
    """1 but for chance where all that the other policy shows could have been drawn."""
    most_weight: float
    notes: tuple[Message, ...] = ()

    @property
    def best(self) -> Figure:
        """Return the estimate to go by."""
        return self.dr or self.snips

    def text(self) -> Message:
        """Return what is found, in a sentence."""
        assert self.lift.low is not None
        assert self.lift.high is not None
        verdict = "better" if self.lift.low > 0 else "worse" if self.lift.high < 0 else "unclear"
        ends = f"{self.lift.value:+.4g} [{self.lift.low:+.4g}, {self.lift.high:+.4g}]"
        return joined("join.sentences", [message(f"policy.verdict_{verdict}", ends=ends, n=self.users), *self.notes])

    def figures(self) -> tuple[Figure, ...]:
        """Return all estimates."""
        return tuple(one for one in (self.logged, self.ips, self.snips, self.dr, self.lift) if one is not None)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "figures": [one.as_dict() for one in self.figures()],
            "rows": self.rows,
            "users": self.users,
            "effective_rows": self.effective,
            "mean_weight": self.mean_weight,
            "most_weight": self.most_weight,
            "notes": [note.both() for note in self.notes],
            "verdict": self.text().both(),
        }


def judge(logged: Logged, settings: PolicySettings | None = None) -> OffPolicy:
    """Return what the other policy is worth.

    Raises:
        InputError: there are fewer than two users.
    """
    settings = settings or PolicySettings()
    users = len(np.unique(logged.user))
    if users < 2:
        raise InputError(
            message("policy.few_users", source=logged.source), found=users, allowed=message("policy.two_users")
        )
    weight, notes = logged.target / logged.propensity, []
    if settings.most_weight is not None and (cut := int((weight > settings.most_weight).sum())):
        notes.append(message("policy.cut", count=cut, most=settings.most_weight))
        weight = np.minimum(weight, settings.most_weight)
    estimates = _Estimates(logged, settings.level, users)
    once = np.ones(len(logged))
    plain, plain_parts = estimates.ratio(logged.reward, once)
    ips, _ = estimates.ratio(weight * logged.reward, once)
    mean, mean_parts = estimates.ratio(weight, once)
    snips, parts = estimates.ratio(weight * logged.reward, weight) if weight.any() else (0.0, plain_parts * 0)
    _, ips_parts = estimates.ratio(weight * logged.reward, once)
    robust, robust_parts = None, parts
    if logged.expected is not None and logged.expected_target is not None:
        corrected = logged.expected_target + weight * (logged.reward - logged.expected)
        robust, robust_parts = estimates.ratio(corrected, once)
    error = estimates.error(mean_parts)
    if abs(mean - 1) > _SUPPORT * error + 1e-9 and settings.most_weight is None:
        notes.append(message("policy.no_support", mean=mean))
    if users < FEW_USERS:
        notes.append(message("policy.few", n=users))
    effective = float(weight.sum() ** 2 / max(float((weight**2).sum()), 1e-300))
    if effective < FEW_ROWS and len(logged) >= FEW_ROWS:
        notes.append(message("policy.few_rows", effective=effective, rows=len(logged)))
    value = snips if robust is None else robust
    return OffPolicy(
        estimates.figure(message("policy.logged"), plain, plain_parts),
        estimates.figure(message("policy.ips"), ips, ips_parts),
        estimates.figure(message("policy.snips"), snips, parts),
        None if robust is None else estimates.figure(message("policy.dr"), robust, robust_parts),
        estimates.figure(message("policy.lift"), value - plain, robust_parts - plain_parts),
        len(logged),
        users,
        effective,
        float(mean),
        float(weight.max()),
        tuple(notes),
    )


class _Estimates:
    """Ratios of sums over rows, with users as clusters."""

    def __init__(self, logged: Logged, level: float, users: int) -> None:
        _, self._place = np.unique(logged.user, return_inverse=True)
        self._logged, self._level, self._users = logged, level, users

    def ratio(self, above: Floats, below: Floats) -> tuple[float, Floats]:
        """Return a ratio of sums, and each user's part of its distance from the truth; over users they add up to zero."""
        value, total = float(above.sum() / below.sum()), float(below.sum())
        return value, np.bincount(self._place, weights=above - value * below, minlength=self._users) / total

    def error(self, parts: Floats) -> float:
        """Return the standard error of an estimate with these parts."""
        return math.sqrt(self._users / (self._users - 1) * float((parts**2).sum()))

    def figure(self, name: Message, value: float, parts: Floats) -> Figure:
        """Return an estimate with its interval."""
        error, count = self.error(parts), self._users
        limit = float(stdtrit(count - 1, (1 + self._level) / 2))
        spread = float((parts**2).mean())
        skew = float((parts**3).mean()) / spread**1.5 / math.sqrt(count) if spread > 0 else 0.0
        low, high = value - error * _turned_back(limit, skew), value - error * _turned_back(-limit, skew)
        facts: dict[str, Any] = {"unit": self._logged.unit, "source": self._logged.source, "level": self._level}
        return Figure(name, value, count, low, high, **facts)


def _turned_back(limit: float, skew: float) -> float:
    """Return the value of a skewed statistic whose transformed one is `limit`; skew is that of one user over the root of their number.

    g(T) = T + skew T^2 / 3 + skew^2 T^3 / 27 + skew / 6 is near to normal where T is not (Hall 1992, equation 3).
    """
    if abs(skew) < 1e-9:
        return limit
    return 3 / skew * (math.cbrt(1 + skew * (limit - skew / 6)) - 1)


def read_logged(path: str | Path, settings: PolicySettings | None = None) -> Logged:
    """Return the rows of a file, in any format of rows.

    Raises:
        InputError: no such file or column, or nothing usable in it. RowError: a number is none, or out of its bounds.
    """
    settings = settings or PolicySettings()
    records = read_records(path)
    columns: dict[str, list[float]] = {name: [] for name in ("reward", "propensity", "target")}
    hopes: dict[str, list[float]] = {"expected": [], "expected_target": []}
    users: dict[str, int] = {}
    user = []
    for line, record in records:
        if isinstance(record, RowError):
            raise record
        for name, values in columns.items():
            values.append(_number(record, getattr(settings, name), name, str(path), line))
        for name, values in hopes.items():
            if record.get(getattr(settings, name)) not in (None, ""):
                values.append(_number(record, getattr(settings, name), name, str(path), line))
        named = record.get(settings.user)
        user.append(users.setdefault(f"row {line}" if named in (None, "") else f"user {named}", len(users)))
    if not user:
        raise InputError(message("policy.no_rows"), found=str(path), allowed="user, reward, propensity, target")
    reward, propensity, target = (np.array(values) for values in columns.values())
    complete = all(len(values) == len(user) for values in hopes.values())
    expected, hoped = (np.array(values) if complete else None for values in hopes.values())
    numbers = np.array(user, dtype=np.int64)
    return Logged(numbers, reward, propensity, target, expected, hoped, source=Path(path).name)


def _number(record: Any, column: str, name: str, path: str, line: int) -> float:
    low, high = {"propensity": (1e-12, 1.0), "target": (0.0, 1.0)}.get(name, (-math.inf, math.inf))
    found = record.get(column)
    try:
        value = float(found)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and low <= value <= high):
        bounds = message("policy.probability") if math.isfinite(high) else message("policy.number")
        raise RowError(message("policy.no_number", column=column), file=path, line=line, found=found, allowed=bounds)
    return value
