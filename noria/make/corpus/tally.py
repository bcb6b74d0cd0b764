"""What became of every row: kept, or dropped for a counted and sampled reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from noria.core.messages import Message, joined, message, term

SAMPLES = 5
_SAMPLE_CHARACTERS = 80


def counts(found: Counter[str]) -> Message:
    """Return how many of each, the most first, as one line."""
    return joined(
        "join.comma", [message("work.count", count=count, what=term(what)) for what, count in found.most_common()]
    )


@dataclass
class Tally:
    """Counts of one cleaning; rows = kept + all drops."""

    rows: int = 0
    kept: int = 0
    repaired: int = 0
    """Texts that cleaning changed."""
    drops: Counter[str] = field(default_factory=Counter)
    """Reason -> rows."""
    masked: Counter[str] = field(default_factory=Counter)
    """Kind of personal data -> pieces masked, in rows that were kept or dropped later than masking."""
    spans_lost: int = 0
    """Marked spans whose own text was changed by a repair or a mask."""
    samples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """Reason -> the first few rows dropped for it: id and the beginning of the text, masked."""

    def drop(self, reason: str, name: str, text: str, count: int = 1) -> None:
        """Count a dropped row, and keep it as a sample while there are few."""
        self.drops[reason] += count
        samples = self.samples.setdefault(reason, [])
        if len(samples) < SAMPLES:
            samples.append({"id": name, "text": " ".join(text.split())[:_SAMPLE_CHARACTERS]})

    def add(self, other: Tally) -> None:
        """Add the counts of another part of the same cleaning."""
        self.rows += other.rows
        self.kept += other.kept
        self.repaired += other.repaired
        self.drops += other.drops
        self.masked += other.masked
        self.spans_lost += other.spans_lost
        for reason, samples in other.samples.items():
            mine = self.samples.setdefault(reason, [])
            mine += samples[: SAMPLES - len(mine)]

    def line(self) -> Message:
        """Return the tally on one line, as the ledger shows it."""
        parts = [message("work.kept", rows=self.rows, kept=self.kept)]
        parts += [message("work.dropped", reasons=counts(self.drops))] if self.drops else []
        parts += [message("work.masked", kinds=counts(self.masked))] if self.masked else []
        return joined("join.clauses", parts)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "rows": self.rows,
            "kept": self.kept,
            "repaired": self.repaired,
            "drops": dict(self.drops.most_common()),
            "masked": dict(self.masked.most_common()),
            "spans_lost": self.spans_lost,
            "samples": self.samples,
        }

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Tally:
        """Return the tally that `as_dict` returned these values for."""
        return cls(**{**raw, "drops": Counter(raw["drops"]), "masked": Counter(raw["masked"])})
