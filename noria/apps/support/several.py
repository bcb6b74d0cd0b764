"""The clauses of a message and a matcher -> the questions it asks, one or several, each with what it matches.

A message is cut where both sides ask for something of their own: different entries, each surely enough by itself. Where a sentence
ends in between, a side that only has the form of a question is one, though no entry is near it: it must not be passed over. What
asks for nothing by itself belongs to its neighbour, and what asks for the same entry twice is one question.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from .parts import Clause, joined
from .replies import Costs, Match

Spans = Callable[[Sequence[str]], Awaitable[list[Match]]]
"""Texts -> what each of them matches."""

ENOUGH = {1: 0.35, 2: 0.25, 3: 0.15}
"""Joint -> how likely both sides of it must be matched for a cut: a comma needs more than the end of a sentence."""


async def questions(text: str, parts: list[Clause], match: Spans, costs: Costs) -> list[Match]:
    """Return what each question of a message matches.

    Args:
        text: the whole message.
        parts: its clauses.
        match: matches texts, all of a call at once.
        costs: say when a question alone would be answered.
    """
    if len(parts) < 2:
        return await match([text])
    whole, *alone = await match([text, *(one.text for one in parts)])
    found = dict(zip((one.text for one in parts), alone, strict=True))
    while len(parts) > 1 and (at := _seam(parts, [found[one.text] for one in parts])):
        parts = joined(parts, at)
        if parts[at - 1].text not in found:
            found[parts[at - 1].text] = (await match([parts[at - 1].text]))[0]
    cut = [found[one.text] for one in parts]
    if len(cut) == 1 or all(
        not one.known and costs.action(one.confidence, one.offered, one.language) == "handover" for one in cut
    ):
        return [whole]
    return cut


def _seam(parts: Sequence[Clause], found: Sequence[Match]) -> int:
    """Return the joint where two clauses belong together most, by the place of the one behind it; 0 where none do."""
    weakest, place = 0.0, 0
    for at in range(1, len(parts)):
        lack = _lack(parts[at - 1], parts[at], found[at - 1], found[at])
        if lack > weakest:
            weakest, place = lack, at
    return place


def _lack(before: Clause, behind: Clause, first: Match, second: Match) -> float:
    """Return how much two clauses lack to be two questions; 0 where they are."""
    least = ENOUGH[behind.joint]
    if first.entries[:1] == second.entries[:1] and min(first.confidence, second.confidence) >= least:
        return 2.0 - behind.joint / 10
    lack = 0.0
    for clause, one in ((before, first), (behind, second)):
        if one.known or (behind.joint == 3 and clause.asks):
            continue
        lack = max(lack, least - one.confidence)
    return lack
