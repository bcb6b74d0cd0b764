"""One driver's effect: its size with an interval, or the reason why the data cannot tell it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from noria.core.figure import Figure

Words = dict[str, str]


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
    why: Words | None = None
    """Why it is not identified; None where it is."""
    naive: float | None = None
    """The estimate that takes the driver for exact, where its own uncertainty was treated."""
    source: str = ""

    @property
    def identified(self) -> bool:
        """Whether the data can tell the effect at all, be it small or large."""
        return self.why is None

    @property
    def verdict(self) -> Words:
        """One sentence that says what it means."""
        if self.why is not None:
            return {"en": f"not identified: {self.why['en']}", "zh": f"无法识别：{self.why['zh']}"}
        assert self.low is not None
        assert self.high is not None
        if self.low <= 0 <= self.high:
            return {
                "en": "not told from zero: the interval holds both signs",
                "zh": "与零无法区分：区间包含正负两种方向",
            }
        if self.value > 0:
            return {
                "en": "goes with more, beyond what entities and periods explain",
                "zh": "与更高的份额或增长相伴，超出个体与时期所能解释的部分",
            }
        return {
            "en": "goes with less, beyond what entities and periods explain",
            "zh": "与更低的份额或增长相伴，超出个体与时期所能解释的部分",
        }

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
        told = {**asdict(self), "identified": self.identified, "verdict": self.verdict}
        if not self.identified:
            told.update(value=None, low=None, high=None, p=None, naive=None)
        return told


def unknown_effect(driver: str, why: Words, *, n: int, clusters: int, level: float, method: str, source: str) -> Effect:
    """Return the effect of a driver about which the data cannot tell."""
    return Effect(driver, 0.0, None, None, level, n, clusters, method, why=why, source=source)
