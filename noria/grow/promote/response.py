"""How an outcome answers to spend: carry-over and saturation of each channel, with what else moves it, as a posterior.

fitted = respond(spend, seed=0)
fitted.draws             # of strength, carry-over, half-saturation and slope of every channel
fitted.curves([0.5, 1.0, 1.5])   # outcome a period at half, the same, and half as much again of every channel's spend

In period t a channel with spend x adds  strength * a^slope / (a^slope + half^slope),  a_t = (1 - carry) x_t + carry a_{t-1}:
geometric carry-over (Broadbent 1979) and Hill's saturation (Jin, Wang, Sun, Chan and Koehler 2017, Bayesian methods for media
mix modeling with carryover and shape effects, eqs. 1-5). Level, trend, season, holidays and other controls come beside it and
are integrated out, as is the noise, whose first autocorrelation is taken out before. Priors, stated and wide: strength half
normal with half the mean outcome as its scale; carry-over about 0.34 (0.06 to 0.76); half-saturation about the usual spend (a
fifth to five times of it); slope about 1 (0.5 to 2). The posterior is drawn by tempered sequential Monte Carlo (Del Moral,
Doucet and Jasra 2006), twice, and the two are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr, ndtri

from noria.core.errors import InputError
from noria.core.messages import Message, message
from noria.core.progress import stage

from .spend import Floats, Spend
from .tempering import Target, temper

STRENGTH, CARRY, HALF, SLOPE = range(4)
_STRENGTH_SCALE = 0.5
"""Of the half-normal prior of a channel's strength, in mean outcomes."""
_HARMONICS = 2
"""Of the yearly season."""
SETTLED = 1.1
"""A ratio of spreads between and within the two runs above this says that the draws cannot be trusted."""


@dataclass(frozen=True)
class Responses:
    """The posterior of every channel's response; D draws, C channels."""

    spend: Spend
    channels: tuple[str, ...]
    """Those whose spend ever changes; only of these anything can be told."""
    left_out: dict[str, str]
    """Channels of which nothing can be told -> why."""
    draws: Floats
    """Strength in units of the outcome, carry-over, half-saturation in units of spend, slope; (D, C, 4)."""
    prior: Floats
    """Draws of the same from the prior, (D, C, 4)."""
    log_evidence: float
    """Of the model, up to a constant that its controls share."""
    autocorrelation: float
    """Of the noise, taken out before."""
    noise: float
    """Standard deviation of what neither spend nor controls explain of a period, in units of the outcome."""
    ratio: float
    """How far the two runs lie apart, over what they spread: 1 when they agree."""
    notes: tuple[Message, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether the two runs agree."""
        return self.ratio < SETTLED

    def amounts(self) -> Floats:
        """Return the modelled channels' spend, (T, C)."""
        columns = [self.spend.channels.index(name) for name in self.channels]
        return self.spend.amounts[:, columns]

    def curves(self, multiples: npt.ArrayLike, *, recent: int | None = None, prior: bool = False) -> Floats:
        """Return the outcome a period that each channel brings at multiples of its spend, in the pattern it had, (D, C, M).

        Args:
            multiples: of the spend in every period, (M,).
            recent: average over this many last periods; over all where not given.
            prior: from draws of the prior.
        """
        many = np.atleast_1d(np.asarray(multiples, dtype=np.float64))
        draws = self.prior if prior else self.draws
        amounts = self.amounts()
        window = slice(None if recent is None else -min(recent, len(amounts)), None)
        found = np.empty((len(draws), len(self.channels), many.size))
        for place in range(len(self.channels)):
            strength, carry, half, slope = draws[:, place].T
            with np.errstate(divide="ignore"):
                logs = np.log(adstock(amounts[:, place], carry))[window] - np.log(half)
                for column, multiple in enumerate(many):
                    found[:, place, column] = strength * expit(slope * (logs + np.log(multiple))).mean(0)
        return found


def adstock(amounts: Floats, carry: npt.ArrayLike) -> Floats:
    """Return spend as it works on: (1 - carry) x_t + carry times the period before, (T,) and (N,) -> (T, N).

    Spend that is the same in every period stays what it is, once it has gone on for long.
    """
    kept = np.atleast_1d(np.asarray(carry, dtype=np.float64))
    found = np.empty((amounts.size, kept.size))
    last = np.full(
        kept.size, float(amounts[0])
    )  # as if it had always been as at first: a level, which the level takes up
    for row, amount in enumerate(amounts.tolist()):
        last = last * kept + (1 - kept) * amount
        found[row] = last
    return found


def saturated(carried: Floats, strength: Floats, half: Floats, slope: Floats) -> Floats:
    """Return Hill's answer to carried-over spend, (T, N)."""
    with np.errstate(divide="ignore"):
        return np.asarray(strength * expit(slope * (np.log(carried) - np.log(half))))


def respond(spend: Spend, *, draws: int = 1000, seed: int = 0) -> Responses:
    """Return the posterior of every channel's response.

    Args:
        spend: periods with spend, outcome and controls.
        draws: of the posterior, from two runs together.
        seed: of the simulation.

    Raises:
        InputError: too few periods for what is to be told, an outcome that never changes, or no channel whose spend changes.
    """
    mean = float(spend.outcome.mean())
    if not spend.outcome.std() > 0 or mean <= 0:
        raise InputError(message("grow.outcome_never", source=spend.source), found=message("grow.mean", mean=mean))
    left_out = {
        name: "nothing was spent" if not column.any() else "the spend never changes"
        for name, column in zip(spend.channels, spend.amounts.T, strict=True)
        if np.ptp(column) <= 1e-9 * abs(column).max()
    }
    channels = tuple(name for name in spend.channels if name not in left_out)
    if not channels:
        raise InputError(
            message("grow.channel_spend", source=spend.source),
            found=", ".join(spend.channels),
            allowed=message("grow.spend_differs"),
        )
    beside, notes = controls_of(spend)
    least = beside.shape[1] + 4 * len(channels)
    if spend.outcome.size <= least:
        raise InputError(
            message(
                "grow.too_few_periods_channels", source=spend.source, channels=len(channels), shape=beside.shape[1]
            ),
            found=spend.outcome.size,
            allowed=message("grow.more_9", least=least),
            hint=message("grow.fewer_channels"),
        )
    amounts = np.column_stack([spend.amounts[:, spend.channels.index(name)] for name in channels])
    usual = np.array([float(column[column > 0].mean()) for column in amounts.T])
    scaled = amounts / usual
    lag = _autocorrelation(spend.outcome / mean, scaled, beside)
    target = _target(spend.outcome / mean, scaled, beside, lag)
    random = np.random.default_rng(seed)
    runs = []
    for run in (1, 2):
        with stage(message("progress.channels", run=run), total=1.0) as bar:
            runs.append(
                temper(target, channels=len(channels), dimensions=4, particles=-(-draws // 2), random=random, bar=bar)
            )
    units = np.stack([np.full(len(channels), mean), np.ones(len(channels)), usual, np.ones(len(channels))], axis=1)
    found = [natural(run.particles) * units for run in runs]
    freedom = spend.outcome.size - beside.shape[1]
    power = np.exp(-2 / freedom * np.concatenate([run.fits for run in runs]))  # r'r, from the likelihood
    noise = mean * float(np.sqrt(power.mean() / freedom / (1 - lag**2)))
    prior = natural(random.standard_normal((4 * draws, len(channels), 4))) * units
    result = Responses(
        spend,
        channels,
        left_out,
        np.concatenate(found),
        prior,
        float(np.mean([run.log_evidence for run in runs])),
        lag,
        noise,
        1.0,
        tuple(notes),
    )
    here = result.curves([1.0])[:, :, 0]
    apart = _ratio(here[: len(found[0])], here[len(found[0]) :])
    return Responses(**{**vars(result), "ratio": apart})


def natural(z: Floats) -> Floats:
    """Return strength, carry-over, half-saturation and slope of standard normal numbers, (..., 4): what defines the prior.

    Strength is in mean outcomes, half-saturation in usual spends.
    """
    strength = _STRENGTH_SCALE * ndtri((1 + np.minimum(ndtr(z[..., STRENGTH]), 1 - 1e-12)) / 2)
    return np.stack(
        [strength, 0.95 * expit(z[..., CARRY] - 0.6), np.exp(0.8 * z[..., HALF]), np.exp(0.35 * z[..., SLOPE])], axis=-1
    )


def controls_of(spend: Spend) -> tuple[Floats, list[Message]]:
    """Return an orthonormal basis of level, trend, season and controls, (T, K), and what was left out and why."""
    size = spend.outcome.size
    at = np.arange(size, dtype=np.float64)
    columns = [np.ones(size), at]
    notes: list[Message] = []
    year = 365.25 / spend.step if spend.step < 28 else 12.0
    if size >= 1.5 * year:
        columns += [
            wave(2 * np.pi * harmonic * at / year) for harmonic in range(1, _HARMONICS + 1) for wave in (np.sin, np.cos)
        ]
    else:
        notes.append(message("budget.note.less_than_year_half_yearly"))
    if spend.step == 1:
        columns += [(spend.days % 7 == day).astype(np.float64) for day in range(6)]
    columns += list(spend.known.T)
    moving = [column for column in columns[1:] if np.ptp(column) > 1e-9 * np.abs(column).max()]
    matrix = np.column_stack([columns[0], *(column - column.mean() for column in moving)])
    left, sizes, _ = np.linalg.svd(matrix / np.linalg.norm(matrix, axis=0), full_matrices=False)
    return np.asarray(left[:, sizes > 1e-8 * sizes[0]]), notes


def _autocorrelation(outcome: Floats, scaled: Floats, beside: Floats) -> float:
    """Return the first autocorrelation of what a rough fit leaves: usual carry-over and saturation, least squares."""
    rough = np.column_stack([saturated(adstock(column, 0.34), *(np.ones(1),) * 3)[:, 0] for column in scaled.T])
    matrix = np.column_stack([beside, rough])
    left = outcome - matrix @ np.linalg.lstsq(matrix, outcome, rcond=None)[0]
    power = float(left @ left)
    return float(np.clip((left[1:] @ left[:-1]) / power, 0.0, 0.9)) if power > 0 else 0.0


def _target(outcome: Floats, scaled: Floats, beside: Floats, lag: float) -> Target:
    """Return what is drawn from: each channel's part of the outcome with controls and autocorrelation taken out, and the likelihood.

    With a flat prior of the controls' weights and one over the variance for the noise, the likelihood of what is left, r, is
    (r'r)^(-(T - K) / 2).
    """

    def whitened(values: Floats) -> Floats:
        first = values[:1] * np.sqrt(1 - lag**2)  # Prais and Winsten (1954)
        return np.concatenate([first, values[1:] - lag * values[:-1]])

    basis, _ = np.linalg.qr(whitened(beside))

    def cleaned(values: Floats) -> Floats:
        white = whitened(values)
        return np.asarray(white - basis @ (basis.T @ white))

    def part(z: Floats, channel: int) -> Floats:
        strength, carry, half, slope = natural(z).T
        return cleaned(saturated(adstock(scaled[:, channel], carry), strength, half, slope))

    freedom = outcome.size - basis.shape[1]
    return Target(cleaned(outcome[:, None]), part, lambda left: -freedom / 2 * np.log((left**2).sum(0)))


def _ratio(one: Floats, other: Floats) -> float:
    """Return the largest of the channels' ratios of spread over both runs to spread within (Gelman and Rubin 1992)."""
    within = (one.var(0) + other.var(0)) / 2
    between = ((one.mean(0) - other.mean(0)) / 2) ** 2
    return float(np.sqrt(1 + between / np.maximum(within, 1e-300)).max())
