"""Simulated users and markets whose truth is known: for recovery, for the documentation, and to try a command out.

Everything here says of itself that it is simulated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .response import adstock, saturated
from .spend import Floats, Spend
from .units import Units

SIMULATED = "simulated"


def campaign(n: int = 20_000, *, effect: float = 0.03, spread: float = 0.06, seed: int = 0) -> Units:
    """Return users of a simulated campaign: a mailing moves some of them and not others.

    A user's chance to buy is 5 to 25 %, more for those who bought before. The mailing adds `effect` on average, and `spread` times how
    often they visited, standardised: who visits rarely is not moved, or is annoyed. City and language tell nothing.

    Args:
        n: users.
        effect: average effect of the mailing on the rate.
        spread: how far the effect differs between users; 0 is no heterogeneity.
        seed: of the simulation.
    """
    random = np.random.default_rng(seed)
    visits = random.gamma(2.0, 4.0, n).round(1)
    bought = random.poisson(1.2, n).astype(np.float64)
    city = np.array(["北京", "上海", "成都", "London"])[random.integers(4, size=n)]
    group = random.integers(2, size=n)
    mover = np.clip((visits - 8.0) / 32**0.5, -1.5, 1.5)  # mean 8 and variance 32 of the gamma
    rate = 0.05 + 0.04 * np.minimum(bought, 5) + group * (effect + spread * mover)
    outcome = (random.random(n) < np.clip(rate, 0.005, 0.95)).astype(np.float64)
    day = 20_454 + np.arange(n) * 28 // n  # 2026-01-01 and the four weeks after
    return Units(
        ("control", "mailed"),
        group,
        outcome,
        "simulated campaign",
        day=day,
        note=SIMULATED,
        features={"visits": visits, "city": city},
        before=bought,
    )


@dataclass(frozen=True)
class Advertising:
    """A simulated market whose responses are known."""

    spend: Spend
    strength: Floats
    """Outcome a period that each channel brings at full saturation, (C,)."""
    carry: Floats
    half: Floats
    slope: Floats

    def contributions(self, multiples: npt.ArrayLike = 1.0) -> Floats:
        """Return what each channel brings a period on average, at multiples of its spend, (C,)."""
        many = np.broadcast_to(np.asarray(multiples, dtype=np.float64), self.carry.shape)
        return np.array(
            [
                float(
                    saturated(
                        adstock(column * many[place], self.carry[place]),
                        self.strength[place],
                        self.half[place],
                        self.slope[place],
                    ).mean()
                )
                for place, column in enumerate(self.spend.amounts.T)
            ]
        )


def advertising(
    periods: int = 156, *, noise: float = 0.04, seed: int = 0, flat: bool = False, constant: bool = False
) -> Advertising:
    """Return a simulated market: weekly new users, three channels on and off air, season, trend and a rival's price.

    Args:
        periods: weeks.
        noise: standard deviation of a week, over the level.
        seed: of the simulation.
        flat: no channel does anything.
        constant: every channel spends the same in every week, give or take a thousandth: nothing can be told.
    """
    random = np.random.default_rng(seed)
    names = ("search", "video", "outdoor")
    usual = np.array([400.0, 900.0, 600.0])
    on = random.random((periods, 3)) < np.array([0.95, 0.6, 0.5])
    amounts = usual * random.gamma(4.0, 0.25, (periods, 3)) * on
    if constant:
        amounts = usual * (1 + 0.001 * random.standard_normal((periods, 3)))
    strength = np.zeros(3) if flat else np.array([450.0, 300.0, 120.0])
    carry, half, slope = np.array([0.1, 0.5, 0.3]), np.array([500.0, 600.0, 300.0]), np.array([1.0, 1.3, 1.0])
    at = np.arange(periods)
    rival = random.normal(0, 1, periods)
    level = 1000 + 0.5 * at + 80 * np.sin(2 * np.pi * at / (365.25 / 7)) + 30 * rival
    brought = sum(
        saturated(adstock(column, carry[place]), strength[place], half[place], slope[place])[:, 0]
        for place, column in enumerate(amounts.T)
    )
    outcome = level + brought + 1000 * noise * random.standard_normal(periods)
    days = 19_723 + 7 * at  # from 2024-01-01
    spend = Spend(
        days,
        np.maximum(outcome, 0.0),
        names,
        amounts,
        ("rival price",),
        rival[:, None],
        "simulated advertising",
        "new users",
        note=SIMULATED,
    )
    return Advertising(spend, strength, carry, half, slope)
