"""How to divide a budget: what each channel brings, how surely that is known, and a division only where it is known.

found = divide(respond(spend), low=0.5, high=1.5)
found.channels[0].status     # identified, flat or unidentified
found.recommended            # False: no recommendation, and `reason` says why; never an equal split

A channel is identified where the data raise the odds that it brings more than half a percent of the outcome to ten times or
more what they were before (Kass and Raftery 1995, Bayes factors: strong evidence), flat where they lower them to a third or
less, and else unidentified. Only identified channels are moved. The division is the best for one run of draws and is judged by the
other: it is recommended if it beats the same sum divided as now with the probability asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from noria.core.errors import SettingError, unknown
from noria.core.figure import Figure
from noria.core.messages import Message, joined, message

from .allocation import allocate
from .response import Responses
from .spend import Floats

Status = Literal["identified", "flat", "unidentified"]
LEAST_PART = 0.005
"""Of the mean outcome: a channel that brings less does nothing worth telling."""
_STRONG, _WEAK = 10.0, 1 / 3
_POINTS = 61
_LEVEL = 0.9


@dataclass(frozen=True)
class Channel:
    """What is known of one channel, a period of the recent past on average."""

    name: str
    status: Status
    odds: float
    """Bayes factor of bringing more than `LEAST_PART` of the outcome; 1 is what was known before."""
    spend: float
    planned: float | None
    """Spend recommended; None where nothing is."""
    contribution: Figure | None
    """Outcome a period that it brings."""
    returns: Figure | None
    """The same over its spend."""
    marginal: Figure | None
    """What one more unit of spend would bring, near the present."""
    why: str = ""
    """Why nothing can be told, where nothing can."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        figures = {
            name: None if figure is None else figure.as_dict()
            for name, figure in (
                ("contribution", self.contribution),
                ("returns", self.returns),
                ("marginal", self.marginal),
            )
        }
        return {
            "name": self.name,
            "status": self.status,
            "odds": self.odds,
            "spend": self.spend,
            "planned": self.planned,
            "why": self.why,
            **figures,
        }


@dataclass(frozen=True)
class Budget:
    """A budget, divided or not."""

    responses: Responses
    channels: tuple[Channel, ...]
    total: float
    """Spend a period that was to be divided, of all channels."""
    now: float
    """Spend a period at present."""
    recommended: bool
    reason: str
    """ok, unsettled, few identified or unsure."""
    gain: Figure | None
    """Outcome a period above the present one, were the division followed; None without one to judge."""
    probability: float | None
    """Probability that the division beats the same sum divided as now."""
    recent: int
    """Periods that "at present" averages over."""

    def text(self) -> Message:
        """Return the recommendation, or why there is none."""
        unit = self.responses.spend.unit
        kinds = {
            status: [channel.name for channel in self.channels if channel.status == status]
            for status in ("identified", "flat", "unidentified")
        }
        there = [(status, names) for status, names in kinds.items() if names]
        told = joined(
            "join.clauses",
            (
                message(f"budget.channels.{'next' if place else 'first'}.{status}", channels=joined("join.list", names))
                for place, (status, names) in enumerate(there)
            ),
        )
        if self.recommended and self.gain is not None:
            moves = [
                channel
                for channel in self.channels
                if channel.planned is not None
                and abs(channel.planned - channel.spend) > 0.005 * max(channel.spend, 1e-12)
            ]
            steps = [
                message("budget.step", channel=channel.name, spend=channel.spend, planned=channel.planned)
                for channel in moves
            ]
            gain = f"{self.gain.value:+,.4g} [{self.gain.low:+,.4g}, {self.gain.high:+,.4g}]"
            name = self.responses.spend.outcome_name
            return message(
                "budget.move",
                steps=joined("join.comma", steps) if steps else message("budget.no_step"),
                unit=unit,
                outcome=name,
                gain=gain,
                chance=self.probability,
                channels=told,
            )
        why = {
            "unsettled": message("budget.reason.unsettled"),
            "few identified": message("budget.reason.few_identified"),
            "unsure": message("budget.reason.unsure", chance=self.probability or 0),
        }[self.reason]
        return message("budget.no_recommendation", why=why, channels=told)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        spend = self.responses.spend
        return {
            "source": spend.source,
            "note": spend.note,
            "as_of": spend.as_of,
            "outcome": spend.outcome_name,
            "periods": int(spend.outcome.size),
            "period": str(spend.unit),
            "recent": self.recent,
            "now": self.now,
            "total": self.total,
            "recommended": self.recommended,
            "reason": self.reason,
            "chance": self.probability,
            "gain": None if self.gain is None else self.gain.as_dict(),
            "channels": [channel.as_dict() for channel in self.channels],
            "settled": self.responses.settled,
            "ratio": self.responses.ratio,
            "notes": [note.both() for note in self.responses.notes],
            "verdict": self.text().both(),
        }


STATUS = {status: message(f"budget.status.{status}") for status in ("identified", "flat", "unidentified")}
"""What people read for each status."""


def divide(
    responses: Responses,
    *,
    total: float | None = None,
    low: float = 0.5,
    high: float = 1.5,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    recent: int = 52,
    sure: float = 0.9,
) -> Budget:
    """Return what each channel brings and, where that is known, the best division of a budget.

    Args:
        responses: the posterior.
        total: spend a period to divide among all channels; the present sum where not given.
        low: the least that a channel gets, over its present spend.
        high: the most. Beyond what was seen every response is a guess.
        bounds: both for channels of their own.
        recent: periods whose average is "at present".
        sure: probability with which the division must beat the same sum divided as now.

    Raises:
        SettingError: bounds that leave no division, or for a channel that there is not.
    """
    spend = responses.spend
    for name in bounds or {}:
        if name not in spend.channels:
            raise unknown("channel", name, spend.channels)
    recent = min(recent, spend.outcome.size)
    present = spend.amounts[-recent:].mean(0)
    now = dict(zip(spend.channels, present.tolist(), strict=True))
    known = [_known(responses, name, now[name], recent) for name in spend.channels]
    wanted = float(present.sum()) if total is None else total
    free = [channel.name for channel in known if channel.status == "identified" and now[channel.name] > 0]

    def without(reason: str, probability: float | None = None, gain: Figure | None = None) -> Budget:
        return Budget(responses, tuple(known), wanted, float(present.sum()), False, reason, gain, probability, recent)

    if not responses.settled:
        return without("unsettled")
    if len(free) < 2:
        return without("few identified")
    ends = {name: (bounds or {}).get(name, (low, high)) for name in free}
    if any(not 0 <= least < most for least, most in ends.values()):
        raise SettingError(message("grow.bounds_must"), found=ends)
    left = wanted - sum(now[name] for name in spend.channels if name not in free)
    planned, gain, probability = _divided(responses, free, {name: now[name] for name in free}, ends, left, recent)
    if probability < sure:
        return without("unsure", probability, gain)
    moved = tuple(
        Channel(**{**vars(channel), "planned": planned.get(channel.name, channel.spend)}) for channel in known
    )
    return Budget(responses, moved, wanted, float(present.sum()), True, "ok", gain, probability, recent)


def _divided(
    responses: Responses,
    free: list[str],
    now: dict[str, float],
    ends: dict[str, tuple[float, float]],
    total: float,
    recent: int,
) -> tuple[dict[str, float], Figure, float]:
    """Return the best division for one run of draws, its gain and its chance by the other."""
    places = [responses.channels.index(name) for name in free]
    present = np.array([now[name] for name in free])
    multiples = np.stack([np.linspace(*ends[name], _POINTS) for name in free])
    # The pattern of weeks is kept, so a multiple of the pattern is a multiple of the mean spend.
    curves = np.stack(
        [responses.curves(row, recent=recent)[:, place] for row, place in zip(multiples, places, strict=True)], axis=1
    )
    half = len(curves) // 2
    best = allocate(multiples * present[:, None], curves[:half].mean(0), total)
    alike = np.full(len(free), total / present.sum())
    judged = curves[half:]
    planned, as_now, before = (
        _at(judged, multiples, where)
        for where in (best / present, np.clip(alike, multiples[:, 0], multiples[:, -1]), np.ones(len(free)))
    )
    gains = planned - before
    ahead = planned - as_now
    spend = responses.spend
    low, high = np.quantile(gains, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    gain = Figure(
        "gain",
        float(gains.mean()),
        int(spend.outcome.size),
        float(low),
        float(high),
        unit=spend.outcome_name,
        source=spend.source,
        level=_LEVEL,
        note=spend.note,
    )
    return dict(zip(free, best.tolist(), strict=True)), gain, float((ahead > 0).mean())


def _at(curves: Floats, multiples: Floats, where: Floats) -> Floats:
    """Return what all channels bring together at these multiples, by draw, (D,)."""
    found = np.zeros(len(curves))
    for channel, (grid, at) in enumerate(zip(multiples, where, strict=True)):
        place = float(np.clip((at - grid[0]) / (grid[-1] - grid[0]) * (grid.size - 1), 0, grid.size - 1))
        left = min(int(place), grid.size - 2)
        part = place - left
        found += (1 - part) * curves[:, channel, left] + part * curves[:, channel, left + 1]
    return found


def _known(responses: Responses, name: str, now: float, recent: int) -> Channel:
    """Return what the data tell of a channel."""
    spend = responses.spend
    if name in responses.left_out:
        return Channel(name, "unidentified", 1.0, now, None, None, None, None, responses.left_out[name])
    place = responses.channels.index(name)
    whole = responses.curves([1.0])[:, place, 0], responses.curves([1.0], prior=True)[:, place, 0]
    odds = _odds(whole[0], whole[1], LEAST_PART * float(spend.outcome.mean()))
    status: Status = "identified" if odds >= _STRONG else "flat" if odds <= _WEAK else "unidentified"
    here = responses.curves([0.95, 1.0, 1.05], recent=recent)[:, place]
    facts: dict[str, Any] = {"source": spend.source, "note": spend.note}
    n = int(spend.outcome.size)
    contribution = _figure("contribution", here[:, 1], n, unit=spend.outcome_name, **facts)
    if now <= 0:
        return Channel(name, status, odds, now, None, contribution, None, None, "nothing was spent of late")
    return Channel(
        name,
        status,
        odds,
        now,
        None,
        contribution,
        _figure("returns", here[:, 1] / now, n, **facts),
        _figure("marginal", (here[:, 2] - here[:, 0]) / (0.1 * now), n, **facts),
    )


def _odds(posterior: Floats, prior: Floats, least: float) -> float:
    """Return the Bayes factor of bringing more than `least`; half a draw on either side stands for none."""

    def odds(draws: Floats) -> float:
        above = float((draws > least).sum())
        return (above + 0.5) / (draws.size - above + 0.5)

    return odds(posterior) / odds(prior)


def _figure(name: str, draws: Floats, n: int, **facts: Any) -> Figure:
    low, high = np.quantile(draws, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Figure(name, float(draws.mean()), n, float(low), float(high), level=_LEVEL, **facts)
