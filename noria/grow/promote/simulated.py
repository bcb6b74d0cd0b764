"""Simulated users and markets whose truth is known: for recovery, for the documentation, and to try a command out.

Everything here says of itself that it is simulated.
"""

from __future__ import annotations

import numpy as np

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
    return Units(("control", "mailed"), group, outcome, "simulated campaign", day=day, note=SIMULATED,
                 features={"visits": visits, "bought": bought, "city": city}, before=bought)  # fmt: skip
