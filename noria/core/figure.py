"""A number fit to be shown: with its n, its interval and its source.

Figure("accuracy", 0.8927, n=1_746, low=0.878, high=0.907, source="held-out reviews")
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from statistics import NormalDist
from typing import Any

from .messages import Message, message, message_of, term


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    n: int
    """How many observations it rests on."""
    low: float | None = None
    """Lower end of the interval; None where the number is an exact count."""
    high: float | None = None
    unit: str = ""
    """"" for a plain ratio or score, else its unit: "rows", "tokens/s", "bits/byte", "s", "USD" ..."""
    source: str = ""
    """Where it came from: data set and split, or the name of a public source."""
    level: float = 0.95
    """Coverage that the interval promises."""
    baseline: float | None = None
    """The same measure for the baseline, where there is one."""
    note: str = ""
    """What a reader must know: "simulated", "provisional", "baseline wins" ..."""

    messages: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """Which of the texts above are messages: set of a record alone, and gone once they are read from it."""

    def __post_init__(self) -> None:
        for name, kept in (self.messages or {}).items():
            with suppress(KeyError):  # of a newer version: its English text stands
                object.__setattr__(self, name, message_of(kept))
        object.__setattr__(self, "messages", None)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {name: value for name, value in asdict(self).items() if name != "messages"}

    def as_record(self) -> dict[str, Any]:
        """Return a JSON-able dict that keeps the codes of its texts, so that a reader sees them in any language."""
        texts = {name: getattr(self, name) for name in ("name", "unit", "source", "note")}
        kept = {name: text.as_dict() for name, text in texts.items() if isinstance(text, Message)}
        return self.as_dict() | ({"messages": kept} if kept else {})

    def text(self, language: str = "en") -> str:
        """Return the figure on one line, as the ledger shows it.

        >>> Figure("accuracy", 0.8927, n=1746, low=0.878, high=0.907, baseline=0.8575).text()
        'accuracy 0.893 [0.878, 0.907] n=1,746 (baseline 0.858)'
        """
        return self.line()[language]

    def line(self) -> Message:
        """Return the figure on one line, in every language."""
        interval = (
            f" [{number(self.low)}, {number(self.high)}]" if self.low is not None and self.high is not None else ""
        )
        baseline = message("figures.baseline", value=number(self.baseline)) if self.baseline is not None else ""
        unit, note = (message("figures.after", text=term(text)) if text else "" for text in (self.unit, self.note))
        return message(
            "figures.line",
            name=term(self.name),
            value=number(self.value),
            unit=unit,
            interval=interval,
            n=self.n,
            baseline=baseline,
            note=note,
        )


def proportion(name: str, successes: int, n: int, *, level: float = 0.95, **facts: Any) -> Figure:
    """Return the figure of a share of successes, with Wilson's score interval (Wilson 1927).

    Args:
        name: name of the measure.
        successes: how many of the `n` observations count.
        n: how many observations; 0 gives the interval from 0 to 1.
        level: coverage of the interval.
        facts: further fields of `Figure`: source, note, baseline.

    >>> proportion("accuracy", 18, 20).text()
    'accuracy 0.900 [0.699, 0.972] n=20'
    """
    if not n:
        return Figure(name, 0.0, 0, 0.0, 1.0, level=level, **facts)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, shrink = successes / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / shrink
    half = z / shrink * ((share * (1 - share) + z * z / (4 * n)) / n) ** 0.5
    # Rounding may put an end a hair within the share itself, where that is 0 or 1.
    low, high = min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
    return Figure(name, share, n, low, high, level=level, **facts)


# What is better, told by the words of a measure's name.
_MORE = ("accuracy", "f1", "precision", "recall", "agreement", "speed", "right", "hits", "click rate", "log score")
_LESS = ("bits per byte", "perplexity", "loss", "error", "latency", "size", "crps")


def better_side(name: str) -> int:
    """Return 1 where more of a measure is better, -1 where less is, 0 where nobody knows.

    >>> better_side("span F1"), better_side("bits_per_byte"), better_side("users")
    (1, -1, 0)
    """
    name = name.lower().replace("_", " ")
    return -1 if any(word in name for word in _LESS) else 1 if any(word in name for word in _MORE) else 0


def significant(value: float) -> str:
    """Return a number with four significant digits and no exponent, for what may be small or large: parameters, ceilings.

    >>> significant(0.0052337), significant(16947.47), significant(18.71274), significant(float("inf"))
    ('0.005234', '16,947', '18.71', 'inf')
    """
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


def number(value: float) -> str:
    """Return a number with three significant decimals below ten, and thousands separators above.

    >>> number(0.89271), number(12.345), number(23570), number(3.0)
    ('0.893', '12.3', '23,570', '3')
    """
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) < 10:
        return f"{value:.3f}"
    return f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"
