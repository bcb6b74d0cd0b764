"""Questions that customers asked -> how a desk does: resolved without a person, wrong, asked back, handed over; by week and by source.

Shares have Wilson's interval and what they are of. Whether an answer was right is known only where somebody said so: a thumb, a choice among
what was offered, a correction. Who is content seldom says it, so of the answers that were judged more are wrong than of all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any
from zoneinfo import ZoneInfo

from noria.apps.embedding import Embed
from noria.apps.support.mining import Proposal, mine
from noria.core.figure import Figure, proportion
from noria.core.messages import message

from .asked import Asked, questions
from .proposals import unanswered

TOP = 10
"""Questions without an answer that a report lists."""
EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Stated probabilities are compared with what was found between these: fine where desks answer."""


@dataclass(frozen=True)
class Week:
    """What became of the questions of one week."""

    begins: date
    """Its Monday."""
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class SourceFigures:
    """How the answers from one source were taken."""

    source: str
    """Name of a document, or `LISTED`, `RULED` or `ACTED` of `asked`."""
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Report:
    """How a desk does."""

    since: datetime
    until: datetime
    zone: str
    """Whose weeks they are."""
    budget: float | None
    """The share of questions that may be answered wrongly."""
    figures: tuple[Figure, ...]
    weeks: tuple[Week, ...]
    sources: tuple[SourceFigures, ...]
    calibration: tuple[Figure, ...]
    """What was found right of answers whose stated probability lay between two, its mean as the baseline."""
    unanswered: tuple[Proposal, ...]
    """What was asked most and not answered, alike ones as one."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""

        def dicts(figures: Iterable[Figure]) -> list[dict[str, Any]]:
            return [figure.as_dict() for figure in figures]

        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "zone": self.zone,
            "budget": self.budget,
            "figures": dicts(self.figures),
            "weeks": [{"week": one.begins.isoformat(), "figures": dicts(one.figures)} for one in self.weeks],
            "sources": [{"source": one.source, "figures": dicts(one.figures)} for one in self.sources],
            "calibration": dicts(self.calibration),
            "unanswered": [asdict(one) for one in self.unanswered],
        }


def since_weeks(weeks: int, now: datetime, zone: str = "UTC") -> datetime:
    """Return the beginning of the Monday so many whole weeks before the week of now, by the clock of a zone.

    >>> since_weeks(1, datetime(2026, 11, 25, 12, tzinfo=UTC)).isoformat()
    '2026-11-16T00:00:00+00:00'
    """
    local = now.astimezone(ZoneInfo(zone))
    monday = (local - timedelta(days=local.weekday(), weeks=weeks)).replace(hour=0, minute=0, second=0, microsecond=0)
    return monday.astimezone(UTC)


async def report(
    lake: str | Path,
    since: datetime,
    now: datetime,
    *,
    zone: str = "UTC",
    budget: float | None = None,
    embed: Embed | None = None,
) -> Report:
    """Return how a desk did, by the conversations and events of its lake.

    Args:
        lake: the lake's folder.
        since: the first moment that counts.
        now: the present.
        zone: whose weeks are shown.
        budget: the share of questions that may be answered wrongly.
        embed: texts -> embeddings, by which questions in other words are found to be one; without it only those of nearly the same words.

    Raises:
        InputError: there is no lake, or one of its files cannot be read.
    """
    asked = questions(lake, since)
    told = [one for one in asked if not one.single]
    weeks: dict[date, list[Asked]] = defaultdict(list)
    sources: dict[str, list[Asked]] = defaultdict(list)
    for one in told:
        local = one.time.astimezone(ZoneInfo(zone)).date()
        weeks[local - timedelta(days=local.weekday())].append(one)
        if one.source:
            sources[one.source].append(one)
    answers = sum(map(len, sources.values()))
    by_answers = sorted(sources.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return Report(
        since,
        now,
        zone,
        budget,
        (*outcomes(told, budget), *_singles(asked)),
        tuple(Week(monday, outcomes(some, budget)) for monday, some in sorted(weeks.items())),
        tuple(SourceFigures(name, _of_source(some, answers)) for name, some in by_answers),
        calibration((one.confidence, one.right) for one in told),
        tuple((await mine(unanswered(asked), embed, least=1))[:TOP]),
    )


def outcomes(asked: Sequence[Asked], budget: float | None = None) -> tuple[Figure, ...]:
    """Return what became of questions: of conversations, of questions, and of the answers that somebody judged."""
    conversations: dict[str, list[Asked]] = defaultdict(list)
    for one in asked:
        conversations[one.conversation].append(one)
    alone = sum(all(one.ended == "answer" and one.verdict >= 0 for one in some) for some in conversations.values())
    desk = [one for one in asked if one.action != "person"]
    given = [one for one in desk if one.action == "answer"]
    judged = [one for one in given if one.verdict]
    wrong = sum(one.verdict < 0 for one in judged)
    figures = [
        ("resolved without a person", alone, len(conversations), None),
        ("answered at once", len(given), len(desk), None),
        ("asked back", sum(one.action == "confirm" for one in desk), len(desk), None),
        ("handed over", sum(one.ended == "handover" for one in desk), len(desk), None),
        ("wrong answers known, of questions", wrong, len(desk), budget),
        ("wrong, of answers judged", wrong, len(judged), None),
    ]
    found = [proportion(name, count, n, source="conversations", baseline=base) for name, count, n, base in figures if n]
    stated = [one.confidence for one in given if one.confidence is not None]
    if stated:
        found.append(_expected(stated))
    return tuple(found)


def _expected(stated: Sequence[float]) -> Figure:
    """Return the share that is wrong if every stated probability is true, with the normal interval of a mean."""
    n, mean = len(stated), 1 - sum(stated) / len(stated)
    deviation = (sum((1 - one - mean) ** 2 for one in stated) / max(n - 1, 1)) ** 0.5
    half = NormalDist().inv_cdf(0.975) * deviation / n**0.5
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    return Figure("wrong, by stated probability", mean, n, min(low, mean), max(high, mean), source="conversations")


def calibration(
    judged: Iterable[tuple[float | None, bool | None]], source: str = "conversations"
) -> tuple[Figure, ...]:
    """Return the share found right of what was stated with a probability between each two of `EDGES`; its mean as the baseline.

    Args:
        judged: the probability that was stated, and whether it was right; either may be unknown.
        source: who said what was right.
    """
    pairs = [(stated, right) for stated, right in judged if stated is not None and right is not None]
    found = []
    for low, high in pairwise(EDGES):
        inside = [pair for pair in pairs if low <= pair[0] < high or (high == 1.0 == pair[0])]
        if inside:
            mean = sum(stated for stated, _ in inside) / len(inside)
            name = message("figures.stated_between", low=low, high=high)
            found.append(proportion(name, sum(right for _, right in inside), len(inside), baseline=mean, source=source))
    return tuple(found)


def _of_source(some: Sequence[Asked], answers: int) -> tuple[Figure, ...]:
    judged = [one.verdict < 0 for one in some if one.action == "answer" and one.verdict]
    found = [proportion("share of answers", len(some), answers, source="conversations")]
    if judged:
        found.append(proportion("wrong, of answers judged", sum(judged), len(judged), source="conversations"))
    return tuple(found)


def _singles(asked: Sequence[Asked]) -> tuple[Figure, ...]:
    """Return what became of requests outside of conversations, where there were any: events do not say which were asked back."""
    requests = [one for one in asked if one.single]
    if not requests:
        return ()
    handed = sum(one.action == "handover" for one in requests)
    return (proportion("single requests handed over", handed, len(requests), source="events"),)
