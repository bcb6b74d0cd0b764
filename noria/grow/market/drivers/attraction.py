"""Attraction models of share: MNL and MCI, by log-centred regression on a panel; and the same regression for growth.

study = explain(panel_of(series, "share of users", ["price", "rating"]))
study.effects[0].verdict
study.elasticities()["price"]       # own elasticity at each entity's latest share

An entity's share is its attraction over the sum of all. With attraction exp(a + b x) (MNL, McFadden 1974) or exp(a) x^b (MCI,
Nakanishi and Cooper 1974), the logarithm of a share less the mean of that time's logarithms is linear in drivers less their
means (Nakanishi and Cooper 1982: the same as an effect for each period). So shares that sum to one need no constraint, and
what moves the whole market cancels. That rivals lose in proportion to their shares is assumed, not found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from noria.core.messages import Message, joined, message
from noria.grow.series.series import Floats

from .effect import Effect, unknown_effect
from .identify import corrected, reasons
from .panel import Panel
from .regression import Absorber, regress


@dataclass(frozen=True)
class DriverStudy:
    """What each driver does, as far as the data can tell."""

    panel: Panel
    effects: tuple[Effect, ...]
    explained: float
    """Part of the outcome's variance, beyond entities and periods, that the identified drivers explain (within R squared)."""

    def elasticities(self) -> dict[str, dict[str, float]]:
        """Return, for each identified driver, each entity's own elasticity of share at its latest observation with a known share.

        MNL: b x (1 - s); MCI: b (1 - s) (Cooper and Nakanishi 1988, section 2.8). Empty in the form growth.
        """
        if self.panel.form == "growth":
            return {}
        known = [
            np.flatnonzero((self.panel.entity == place) & ~np.isnan(self.panel.share))
            for place in range(len(self.panel.entities))
        ]
        last = {
            name: int(rows[np.argmax(self.panel.time[rows])])
            for name, rows in zip(self.panel.entities, known, strict=True)
            if rows.size
        }
        found: dict[str, dict[str, float]] = {}
        for place, effect in enumerate(self.effects):
            if effect.identified:
                scale = self.panel.x[:, place] if self.panel.form == "mnl" else np.ones(self.panel.y.size)
                found[effect.driver] = {
                    name: float(effect.value * scale[row] * (1 - self.panel.share[row])) for name, row in last.items()
                }
        return found

    def verdict(self) -> Message:
        """Return one sentence on all drivers."""
        told = [
            effect.driver for effect in self.effects if effect.identified and (effect.low or 0) * (effect.high or 0) > 0
        ]
        lost = [effect.driver for effect in self.effects if not effect.identified]
        even = [effect.driver for effect in self.effects if effect.identified and effect.driver not in told]
        parts = [
            (message("drivers.verdict.told", drivers=joined("join.list", told)), told),
            (message("drivers.verdict.even", drivers=joined("join.list", even)), even),
            (message("drivers.verdict.lost", drivers=joined("join.list", lost)), lost),
        ]
        return joined("join.clauses", (words for words, names in parts if names))

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "form": self.panel.form,
            "outcome": self.panel.outcome,
            "effects": [effect.as_dict() for effect in self.effects],
            "explained": self.explained,
            "elasticities": self.elasticities(),
            "problems": [problem.both() for problem in self.panel.problems],
            "verdict": self.verdict().both(),
        }


def explain(panel: Panel, *, level: float = 0.95, repeats: int = 1999, seed: int = 0) -> DriverStudy:
    """Return what each driver of a panel does; those the data cannot tell are named with the reason, and left out of the fit.

    A driver with a standard error of its own is corrected for it, and the naive estimate stands beside.
    """
    absorb = Absorber(panel.groups)
    if len(panel.entities) == 1:
        panel = _with_trend(panel)
    why = reasons(panel, absorb)
    kept = [place for place, name in enumerate(panel.drivers) if name not in why]
    source, n = panel.provenance.text(), panel.y.size
    clusters = len(panel.entities)
    effects = [
        unknown_effect(name, why[name], n=n, clusters=clusters, level=level, method="none", source=source)
        for name in panel.drivers
        if name in why
    ]
    explained = 0.0
    if kept:
        # What is not told apart still moves the outcome: it stays in as far as it can, so that the others are not blamed for it.
        columns = _independent(
            absorb(panel.x), kept, [place for place in range(len(panel.drivers)) if place not in kept]
        )
        noise = np.where(np.isin(columns, kept), panel.noise[:, columns], 0.0)
        part = replace(
            panel, drivers=tuple(panel.drivers[place] for place in columns), x=panel.x[:, columns], noise=noise
        )
        fitted, explained = _fitted(part, absorb, level, repeats, seed)
        effects += [effect for effect in fitted if effect.driver not in why]
    order = {name: place for place, name in enumerate(panel.drivers)}
    effects.sort(key=lambda effect: order[effect.driver])
    shown = [effect for effect in effects if effect.driver != TREND]
    names = tuple(effect.driver for effect in shown)
    columns = [order[name] for name in names]
    return DriverStudy(
        replace(panel, drivers=names, x=panel.x[:, columns], noise=panel.noise[:, columns]), tuple(shown), explained
    )


def _independent(left: Floats, kept: list[int], others: list[int]) -> list[int]:
    """Return the columns kept and, of the others, those that the columns before do not already span."""
    columns = list(kept)
    for place in others:
        own = left[:, place]
        rest = own - left[:, columns] @ np.linalg.lstsq(left[:, columns], own, rcond=None)[0]
        if rest @ rest > 1e-4 * (own @ own) and own @ own > 1e-12:
            columns.append(place)
    return columns


TREND = "(trend)"


def _with_trend(panel: Panel) -> Panel:
    """Add a straight trend: a single entity has no rivals whose common movement could be taken out."""
    if panel.form == "growth":
        return panel
    trend = panel.time[:, None].astype(np.float64)
    return replace(
        panel,
        drivers=(*panel.drivers, TREND),
        x=np.concatenate([panel.x, trend], axis=1),
        noise=np.concatenate([panel.noise, np.zeros_like(trend)], axis=1),
    )


def _fitted(panel: Panel, absorb: Absorber, level: float, repeats: int, seed: int) -> tuple[list[Effect], float]:
    fitted = regress(panel.y, panel.x, absorb, panel.entity, panel.time, level=level, repeats=repeats, seed=seed)
    whole = float(np.sum(absorb(panel.y) ** 2))
    explained = 1 - float(np.sum(fitted.residual**2)) / whole if whole > 0 else 0.0
    source, n = panel.provenance.text(), panel.y.size
    mended = corrected(panel, absorb, level=level) if panel.noise.any() else {}
    effects = []
    for place, name in enumerate(panel.drivers):
        if name in mended:
            effects.append(replace(mended[name], naive=float(fitted.values[place]), source=source))
            continue
        low, high = float(fitted.lows[place]), float(fitted.highs[place])
        why = None if np.isfinite([low, high]).all() else message("drivers.interval_has_no_end_too")
        effects.append(
            Effect(
                name,
                float(fitted.values[place]),
                low,
                high,
                level,
                n,
                fitted.clusters,
                fitted.method,
                float(fitted.p[place]),
                why,
                source=source,
            )
        )
    return effects, explained
