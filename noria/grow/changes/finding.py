"""Findings: what changed, as a sentence with its figures and what to do; chosen by rules that never say more than an interval carries.

    for one in of_use(use_of_log(log), log.text()):
        print(one.sentence, one.evidence, one.do)

The rules, in this order: what waits for a person; then what changed beyond chance, surest first; then a model that is not shown to be
better than its baseline; then, where nothing could be compared or nothing changed, that this is so, and what the log holds; then what to
do first. `MOST` of them are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from noria.core.figure import Figure, better_side, number
from noria.core.messages import Message, as_is, joined, message, name_of
from noria.grow.market.share import Shares

from .compared import ALL, Change, compare, last_step
from .use import DAYS, Use

MOST = 3
"""Sentences that are told: more are no answer to "so what"."""
MOST_WATCHED = 5
"""Shares of a market whose last step is looked at."""
WAITING, CHANGED, UNPROVEN, HELD, FIRST = range(5)
Place = Literal[
    "users", "health", "proposals", "service", "recommend", "promote", "market", "models", "playground", "inbox"
]
"""Where something is done: a page of the console."""
_BETTER = {"active_users": 1, "came_back": 1, "conversions": 1, "click_through": 1, "acts": 1}
_BETTER |= dict.fromkeys(("handed_over", "refused", "failed", "judged_wrong"), -1)
"""Measure -> the side to which it changes for the better; the others change, and that is all."""
_PLACES: dict[str, Place] = {
    "active_users": "users",
    "came_back": "users",
    "acts": "users",
    "requests": "health",
    "refused": "health",
    "failed": "health",
    "handed_over": "proposals",
    "judged_wrong": "service",
    "click_through": "recommend",
    "conversions": "promote",
}


@dataclass(frozen=True)
class Finding:
    """One thing worth saying."""

    key: str
    """What it is about: a measure, `models`, `waiting` ..."""
    sentence: Message
    """What changed, or is so."""
    do: Message
    """What to do."""
    place: str
    """Where that is done: a page's name."""
    evidence: Message | None = None
    """What it rests on: n, interval, against what, source."""
    figure: Figure | None = None
    """The same for programs: of a change its difference."""
    tone: Literal["good", "bad", "plain"] = "plain"
    simulated: Message | None = None
    """How much of it is made up, where any is: stands beside its figures."""
    rank: int = CHANGED
    """One of `WAITING`, `CHANGED`, `UNPROVEN`, `HELD` and `FIRST`: in this order findings are told."""


def chosen(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings that are told, by rank and otherwise in the order given; one of a key."""
    first: dict[str, Finding] = {}
    for one in sorted(found, key=lambda one: one.rank):
        first.setdefault(one.key, one)
    return list(first.values())[:MOST]


def of_use(use: Use, source: Message) -> list[Finding]:
    """Return what is to be said of use: changes that are sure; or that there are none; or, of too short a log, what it holds."""
    if not use.whole:
        found = [_short(use, source), *(_level(name, use, source) for name in use.levels)]
    elif not use.acts:
        found = [_silent(use, source)]
    else:
        changes = compare(use.measures)
        found = [_changed(one, use, source) for one in changes if one.sure] or [_calm(use, len(changes), source)]
    mark = simulated(use.simulated)
    return [replace(one, simulated=mark) for one in found]


def simulated(part: float) -> Message | None:
    """Return the mark of what is made up, in all or in part; None where nothing is."""
    if part <= 0:
        return None
    return message("changes.simulated.all") if part >= 1 else message("changes.simulated.part", part=part)


def _changed(one: Change, use: Use, source: Message) -> Finding:
    side = 1 if one.value > 0 else -1
    way: Literal["up", "down"] = "up" if side > 0 else "down"
    shown = _percent if one.share else number
    ends = [_signed(end, share=one.share) for end in (one.low, one.high)]
    evidence = message(
        f"changes.difference.{'share' if one.share else 'total'}",
        n=one.n,
        level=_level_of(one.level),
        low=ends[0],
        high=ends[1],
        looked=one.looked,
        since=(use.last - timedelta(days=DAYS - 1)).isoformat(),
        until=use.last.isoformat(),
        days=DAYS,
        source=source,
    )
    figure = Figure(one.measure, one.value, one.n, one.low, one.high, source=source, level=one.level)
    tone: Literal["good", "bad", "plain"] = (
        "plain" if one.measure not in _BETTER else "good" if _BETTER[one.measure] == side else "bad"
    )
    name = message(f"changes.name.{one.measure}")
    return Finding(
        one.measure,
        message(f"changes.moved.{way}", name=name, before=shown(one.before), now=shown(one.now)),
        message(f"changes.do.{one.measure}.{way}"),
        _PLACES[one.measure],
        evidence,
        figure,
        tone,
    )


def _calm(use: Use, looked: int, source: Message) -> Finding:
    when = {"since": (use.last - timedelta(days=DAYS - 1)).isoformat(), "until": use.last.isoformat(), "days": DAYS}
    evidence = message("changes.evidence.calm", users=use.users, acts=use.acts, **when, source=source)
    sentence = message("changes.calm", looked=looked) if looked else message("changes.too_few")
    figure = Figure("users", use.users, use.users, source=source)
    return Finding("calm", sentence, message("changes.do.calm"), "users", evidence, figure, rank=HELD)


def _silent(use: Use, source: Message) -> Finding:
    return Finding(
        "silent",
        message("changes.silent", days=2 * DAYS, until=use.last.isoformat()),
        message("changes.do.silent"),
        "health",
        message("changes.evidence.source", source=source),
        Figure("users", 0, 0, source=source),
        "bad",
    )


def _short(use: Use, source: Message) -> Finding:
    """Say what a log of less than two weeks holds: counts, and when weeks can be compared."""
    days = max((use.last - use.first).days + 1, 0) or 1
    ready = use.first + timedelta(days=2 * DAYS)
    figure = Figure("users", use.users, use.users, source=source)
    held = {"users": use.users, "acts": use.acts, "day": use.first.isoformat()}
    return Finding(
        "use",
        message("changes.first_day", **held) if days == 1 else message("changes.first_days", days=days, **held),
        message("changes.do.wait", ready=ready.isoformat()),
        "users",
        message("changes.evidence.exact", source=source),
        figure,
        rank=HELD,
    )


def _level(name: str, use: Use, source: Message) -> Finding:
    value, low, high, n, users = use.levels[name]
    figure = Figure(name, value, n, low, high, source=source, level=ALL)
    evidence = message(
        "changes.evidence.level",
        n=n,
        users=users,
        level=_level_of(ALL),
        low=_percent(low),
        high=_percent(high),
        source=source,
    )
    measure = message(f"changes.name.{name}")
    return Finding(
        name,
        message("changes.level", name=measure, value=_percent(value)),
        message(f"changes.do.{name}.up"),
        _PLACES[name],
        evidence,
        figure,
        rank=HELD,
    )


def of_market(market: Shares) -> list[Finding]:
    """Return what the last period brought to a market: shares that moved by more than the periods before let one expect, surest first."""
    names = [name for name in market.entities[:MOST_WATCHED] if name != "Other"]
    steps = [last_step(name, market.values[:, column], len(names)) for column, name in enumerate(names)]
    sure = sorted((one for one in steps if one is not None and one.sure), key=lambda one: -one.strength)
    source = as_is(market.provenance.source)
    found = []
    for one in sure:
        way = "up" if one.value > 0 else "down"
        usual = [_signed(one.value - end, share=True) for end in (one.high, one.low)]
        evidence = message(
            "changes.evidence.market",
            n=one.n,
            level=_level_of(one.level),
            low=usual[0],
            high=usual[1],
            looked=one.looked,
            time=market.times[-1],
            before=market.times[-2],
            source=source,
        )
        said = message(f"changes.market.{way}", name=one.measure, before=_percent(one.before), now=_percent(one.now))
        beyond = (one.low + one.high) / 2  # the step, less the mean of those before
        figure = Figure(one.measure, beyond, one.n, one.low, one.high, source=source, level=one.level)
        found.append(Finding("market", said, message(f"changes.do.market.{way}"), "market", evidence, figure))
    return found


def of_models(models: Mapping[str, Sequence[Figure]]) -> list[Finding]:
    """Return the models whose first measure with a baseline is not shown to be above it: the interval holds the baseline, or is below."""
    found = []
    for name, figures in models.items():
        one = next((figure for figure in figures if figure.baseline is not None and figure.low is not None), None)
        if one is None or one.baseline is None or one.low is None or one.high is None:
            continue
        side = better_side(one.name)
        ahead, behind = (one.low > one.baseline, one.high < one.baseline)[:: side or 1]
        if ahead or not side:
            continue
        values = {
            "model": name,
            "measure": name_of(one.name),
            "value": number(one.value),
            "baseline": number(one.baseline),
        }
        evidence = message(
            "changes.evidence.model",
            n=one.n,
            level=_level_of(one.level),
            low=number(one.low),
            high=number(one.high),
            source=name_of(one.source),
        )
        said = message("changes.model.worse" if behind else "changes.model.level", **values)
        tone: Literal["bad", "plain"] = "bad" if behind else "plain"
        found.append(
            Finding("models", said, message("changes.do.models"), "models", evidence, one, tone, rank=UNPROVEN)
        )
    return found


def of_waiting(counts: Mapping[str, int]) -> list[Finding]:
    """Return that something waits for a person, where anything does.

    Args:
        counts: page -> how much waits there.
    """
    there = {page: count for page, count in counts.items() if count}
    if not there:
        return []
    parts = joined("join.comma", [message(f"changes.waiting.{page}", count=count) for page, count in there.items()])
    first, total = next(iter(there)), sum(there.values())
    sentence = message("changes.waits", what=parts)
    do = message(f"changes.do.waiting.{first}")
    evidence = message("changes.evidence.now")
    return [Finding("waiting", sentence, do, first, evidence, Figure("waiting", total, total), "bad", rank=WAITING)]


def of_start(*, models: bool, use: bool, growth: bool) -> list[Finding]:
    """Return what to do first where there is nothing yet: no model, no use, nothing known of users or of a market."""
    missing: dict[str, bool] = {"models": models, "use": use, "grow": growth}
    places: dict[str, Place] = {"models": "models", "use": "playground", "grow": "users"}
    return [
        Finding(
            f"first {name}",
            message(f"changes.first.{name}"),
            message(f"changes.do.first.{name}"),
            places[name],
            rank=FIRST,
        )
        for name, there in missing.items()
        if not there
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _signed(value: float, *, share: bool) -> str:
    return f"{100 * value:+.1f}" if share else f"{value:+,.0f}"


def _level_of(level: float) -> str:
    """Return a coverage with as many digits as tell it from 95 %.

    >>> _level_of(0.95), _level_of(1 - 0.05 / 9)
    ('95 %', '99.4 %')
    """
    return f"{100 * level:.3g} %"
