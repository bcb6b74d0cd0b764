"""What an act is worth: the Gamma-Gamma model of amounts, beside how often users act; by maximum likelihood, with a hold-out.

    spent = repeat_amounts(log, until=date(1997, 9, 30))
    model = fit_spend(spent)                  # p, q, v with intervals
    model.expected(spent)                     # amount expected of each user's next act

Model: Fader, Hardie and Lee (2005), RFM and CLV, Journal of Marketing Research 42(4); Colombo and Jiang (1999). A user's amounts
are Gamma(p, nu) with nu ~ Gamma(q, v), and do not depend on how often the user acts: `dependence` says how true that is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, gammaln

from noria.core.errors import InputError
from noria.core.figure import Figure
from noria.core.messages import message
from noria.core.progress import stage
from noria.grow.log.log import Log
from noria.grow.log.user_days import user_days

from .likelihood import Floats, greatest, intervals_on_logs

NAMES = ("p", "q", "v")


@dataclass(frozen=True)
class Amounts:
    """What each user paid on the days after their first one; arrays over users with such a day, (N,)."""

    days: Floats
    """x: days with an amount."""
    mean: Floats
    """m: mean amount of such a day."""
    users: npt.NDArray[np.int32]
    """Their numbers in the log, ascending, (N,)."""
    source: str
    unit: str


@dataclass(frozen=True)
class Spend:
    """A fitted Gamma-Gamma model."""

    p: float
    q: float
    v: float
    log_likelihood: float
    users: int
    covariance: Floats
    """Of the logarithms of p, q, v; (3, 3)."""
    source: str

    @property
    def parameters(self) -> Floats:
        """p, q, v."""
        return np.array([self.p, self.q, self.v])

    def intervals(self, z: float = 1.96) -> dict[str, tuple[float, float]]:
        """Return the interval of each parameter: normal on the logarithm."""
        return intervals_on_logs(NAMES, self.parameters, self.covariance, z)

    def expected(self, amounts: Amounts) -> Floats:
        """Return the mean amount expected of each user's later days, (N,) (Fader, Hardie and Lee 2005, eq. 5).

        Between the user's own mean and that of all: the fewer the days, the nearer to the latter.
        """
        return np.asarray(
            self.p * (self.v + amounts.days * amounts.mean) / (self.p * amounts.days + self.q - 1), dtype=np.float64
        )


@dataclass(frozen=True)
class SpendHoldOut:
    """The model fitted on the first part of a log, judged on the amounts that came after, beside plain baselines."""

    model: Spend
    amounts: Amounts
    until: date
    error: Figure
    """Mean absolute error of a user's mean amount; the baseline expects each user's own mean so far."""
    error_of_one: float
    """The same, expecting the mean of all users of everyone."""
    dependence: Figure
    """Correlation of days and mean amount, over users."""

    def figures(self) -> list[Figure]:
        """Return both."""
        return [self.error, self.dependence]


def repeat_amounts(log: Log, until: date, since: date | None = None) -> Amounts:
    """Return what users paid on days after their first one, up to and including `until`, and after `since` where given.

    Raises:
        InputError: no user paid on a second day.
    """
    last = (until - date(1970, 1, 1)).days
    days = user_days(log)
    first = days.group_by("user").aggregate(start=days.day.min())
    later = days.join(first, "user").select("user", "day", "value", "start")
    after = (since - date(1970, 1, 1)).days if since else -1
    later = later.filter((later.day > later.start) & (later.day > after) & (later.day <= last) & (later.value > 0))
    each = later.group_by("user").aggregate(days=later.count(), total=later.value.sum()).order_by("user").to_pyarrow()
    count, total = (each[name].to_numpy().astype(np.float64) for name in ("days", "total"))
    if not count.size:
        raise InputError(
            message("grow.user_paid", source=log.source, until=until),
            allowed=message("grow.log_amounts"),
        )
    return Amounts(count, total / count, each["user"].to_numpy(), log.source, log.unit)


def fit_spend(amounts: Amounts) -> Spend:
    """Return the Gamma-Gamma model of greatest likelihood; its gradient is exact.

    Raises:
        InputError: all paid the same, or the likelihood has no maximum that these data can tell.
    """
    scale = float(amounts.mean.mean())
    if np.quantile(amounts.mean, 0.9) - np.quantile(amounts.mean, 0.1) <= 1e-9 * scale:
        raise InputError(
            message("grow.users_who_paid", source=amounts.source),
            found=message("grow.day_users", scale=scale, size=amounts.days.size),
            allowed=message("grow.amounts_differ"),
        )
    x, mean = amounts.days, amounts.mean / scale

    def value(logs: Floats) -> tuple[float, Floats]:
        likelihood, gradient = log_likelihood(np.exp(logs), x, mean)
        return likelihood, gradient * np.exp(logs)

    found, covariance = greatest(
        value,
        np.array([1.0, 1.0, 0.0]),
        NAMES,
        amounts.source,
        "Gamma-Gamma",
        f"{x.size:,} users, {int(x.sum()):,} amounts",
        x.size,
    )
    p, q, v = np.exp(found)
    likelihood = value(found)[0] - x.size * float(np.log(scale))
    return Spend(float(p), float(q), float(v * scale), likelihood, x.size, covariance, amounts.source)


def log_likelihood(parameters: Floats, x: Floats, mean: Floats) -> tuple[float, Floats]:
    """Return the log-likelihood at p, q, v and its gradient, (3,) (Fader, Hardie and Lee 2005, appendix, eq. A1)."""
    p, q, v = parameters
    paid = x * mean
    both = np.log(v + paid)
    value = (
        gammaln(p * x + q)
        - gammaln(p * x)
        - gammaln(q)
        + q * np.log(v)
        + p * x * np.log(paid)
        - np.log(mean)
        - (p * x + q) * both
    ).sum()
    shared = digamma(p * x + q)
    return float(value), np.array(
        [
            (x * (shared - digamma(p * x) + np.log(paid) - both)).sum(),
            (shared - digamma(q) + np.log(v) - both).sum(),
            (q / v - (p * x + q) / (v + paid)).sum(),
        ]
    )


@stage(message("progress.spend"))
def hold_out_spend(log: Log, until: date) -> SpendHoldOut:
    """Return the model fitted up to the day `until`, judged on the amounts that the same users paid later.

    Raises:
        InputError: no amounts, none later, or no model can be told from them.
    """
    known = repeat_amounts(log, until)
    model = fit_spend(known)
    later = repeat_amounts(log, log.as_of, since=until)
    both = np.isin(known.users, later.users)
    if both.sum() < 2:
        raise InputError(
            message("grow.too_few_users_amounts", source=log.source, until=until),
            found=int(both.sum()),
            allowed=message("grow.more_5"),
        )
    paid = later.mean[np.isin(later.users, known.users)]
    errors = np.abs(model.expected(known)[both] - paid)
    spread = 1.96 * float(errors.std(ddof=1)) / float(np.sqrt(errors.size))
    own = float(np.abs(known.mean[both] - paid).mean())
    one = float(np.abs(known.mean.mean() - paid).mean())
    error = Figure(
        "error of the amount",
        float(errors.mean()),
        errors.size,
        float(errors.mean()) - spread,
        float(errors.mean()) + spread,
        unit=log.unit,
        source=log.source,
        baseline=own,
        note="mean absolute error a user",
    )
    return SpendHoldOut(model, known, until, error, one, _correlation(known))


def _correlation(amounts: Amounts) -> Figure:
    """Return the correlation of days and mean amount with Fisher's interval (1915)."""
    count = amounts.days.size
    spread = float(amounts.days.std() * amounts.mean.std())
    value = (
        float(((amounts.days - amounts.days.mean()) * (amounts.mean - amounts.mean.mean())).mean()) / spread
        if spread
        else 0.0
    )
    half = NormalDist().inv_cdf(0.975) / np.sqrt(max(count - 3, 1))
    middle = np.arctanh(np.clip(value, -0.999999, 0.999999))
    return Figure(
        "correlation of frequency and amount",
        value,
        count,
        float(np.tanh(middle - half)),
        float(np.tanh(middle + half)),
        source=amounts.source,
    )
