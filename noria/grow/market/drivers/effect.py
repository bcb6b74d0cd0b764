"""One driver's effect: its size with an interval, or the reason why the data cannot tell it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from noria.core.figure import Figure
from noria.core.messages import Message, message


@dataclass(frozen=True)
class Effect:
    """What one driver does to the outcome."""

    driver: str
    value: float
    """Change of the outcome's logarithm for one unit of the driver (of its logarithm, in the form mci); 0 where not identified."""
    low: float | None
    high: float | None
    level: float
    n: int
    """Observations it rests on."""
    clusters: int
    """Independent groups that the interval rests on: entities, or periods where entities are few."""
    method: str
    p: float | None = None
    """Of no effect at all, two-sided."""
    why: Message | None = None
    """Why it is not identified; None where it is."""
    naive: float | None = None
    """The estimate that takes the driver for exact, where its own uncertainty was treated."""
    source: str = ""

    @property
    def identified(self) -> bool:
        """Whether the data can tell the effect at all, be it small or large."""
        return self.why is None

    @property
    def verdict(self) -> Message:
        """One sentence that says what it means."""
        if self.why is not None:
            return message("drivers.not_identified", why=self.why)
        assert self.low is not None
        assert self.high is not None
        if self.low <= 0 <= self.high:
            return message("drivers.not_told_from_zero_interval")
        if self.value > 0:
            return message("drivers.goes_with_more_beyond_what")
        return message("drivers.goes_with_less_beyond_what")

    def figure(self) -> Figure:
        """Return the effect as a figure; only where it is identified."""
        return Figure(
            self.driver,
            self.value,
            self.n,
            self.low,
            self.high,
            source=self.source,
            level=self.level,
            baseline=self.naive,
            note=self.method,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict; an effect that is not identified has no numbers."""
        told = {
            **asdict(self),
            "why": self.why and self.why.both(),
            "identified": self.identified,
            "verdict": self.verdict.both(),
        }
        if not self.identified:
            told.update(value=None, low=None, high=None, p=None, naive=None)
        return told


def unknown_effect(
    driver: str, why: Message, *, n: int, clusters: int, level: float, method: str, source: str
) -> Effect:
    """Return the effect of a driver about which the data cannot tell."""
    return Effect(driver, 0.0, None, None, level, n, clusters, method, why=why, source=source)
