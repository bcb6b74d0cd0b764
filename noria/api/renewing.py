"""The loop of a recommender: what users did -> a ranker that learned anew -> judged -> tried on some users -> live, or not.

found = renew(ShopSettings.given(Path("shop.toml")))        # every night; each call goes as far as it can

A call with no trial under way learns from the lake, beside the live ranker, and begins a trial with what ranks better on held-out users.
One with a trial under way judges it by the clicks of those who had it and of those who had not. The server need not be stopped, nor run.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from noria.apps.recommend.rollout import Rollout, read_rollout, write_rollout
from noria.apps.recommend.routes import on_offer
from noria.apps.settings import RenewalSettings, ShopSettings
from noria.core.errors import InputError, SettingError
from noria.core.figure import Figure
from noria.core.folder import read_manifest
from noria.core.messages import Message, message
from noria.core.progress import Report
from noria.grow.promote.experiment import Experiment
from noria.lake.read import check_lake
from noria.make.recommend.card import VERDICTS
from noria.make.recommend.settings import RecommendTraining
from noria.tasks.items import append_items, read_items

from .stages import held as exclusively

Outcome = Literal["kept", "trial", "going_on", "promoted", "ended"]
KEPT = 3
"""Rankers that are kept besides those that are live or on trial."""


@dataclass(frozen=True)
class Renewal:
    """What became of it."""

    outcome: Outcome
    """kept: what was learned is not better, the live one stays; trial: one began; going_on: it tells too little yet; promoted: it is
    live; ended: it did harm, the live one stays."""
    folder: Path
    """The ranker that it is about."""
    line: Message
    facts: dict[str, Any] = field(default_factory=dict)
    """Figures that it was decided by."""


def renew(
    shop: ShopSettings,
    settings: RenewalSettings | None = None,
    training: RecommendTraining | None = None,
    report: Report | None = None,
    *,
    now: datetime | None = None,
) -> Renewal:
    """Take one step of the loop, as far as it goes.

    Args:
        shop: what is served: its items, its model, its ranker and its lake.
        settings: how a new ranker comes to be live.
        training: how it is trained; its model is the shop's unless it names one.
        report: told what is done.
        now: UTC; the clock's unless told.

    Raises:
        InputError: there is no lake, or nothing to learn from. SettingError: a ranker is tried by hand already.
        ResourceError: another call is at work.
    """
    settings, now = settings or RenewalSettings(), now or datetime.now(UTC)
    if shop.beside is not None:
        raise SettingError(
            message("recommend.renew.by_hand"), found=str(shop.beside), hint=message("recommend.renew.own")
        )
    lake = check_lake(shop.server.lake)
    work = lake / "apps" / "recommend" / "rankers"
    work.mkdir(parents=True, exist_ok=True)
    with exclusively(work):
        held = read_rollout(lake, shop.ranker)
        if held.trial:
            return _judged(lake, held, settings, now)
        training = training or RecommendTraining()
        if training.model is None and shop.model is not None:
            training = training.replace(model=shop.model)
        folder = _trained(work, shop, held, training, report or Report.silent(), now)
        return _offered(lake, held, folder, settings, now)


def _trained(
    work: Path, shop: ShopSettings, held: Rollout, training: RecommendTraining, report: Report, now: datetime
) -> Path:
    """Return the folder of a ranker that learned from the lake what users did with all that the server offers."""
    from noria.make.recommend.recipe import recommend

    lake = shop.server.lake
    known = read_items(shop.items, note=report.note) if shop.items else []
    items = list(on_offer(lake, {item.id: item for item in known}).values())
    if not items:
        raise InputError(message("apps.file_items"), found=str(shop.items or lake))
    file = work / "items.jsonl"
    file.unlink(missing_ok=True)
    append_items(file, items)
    # Always into one folder, whose vectors of texts are so used again; what is served is a copy.
    recommend(file, [lake], work / "next", training, report, beside=held.folders[0], now=now.timestamp())
    folder = work / now.strftime("%Y%m%dT%H%M%S")
    part = folder.with_suffix(".part")
    for left in (part, folder):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(work / "next", part)
    part.rename(folder)
    _removed(work, {*held.folders, folder.resolve()})
    return folder


def _removed(work: Path, needed: set[Path | None]) -> None:
    """Remove all but the last rankers that are neither live nor on trial."""
    others = [one for one in sorted(work.glob("[0-9]*T[0-9]*")) if one.resolve() not in needed]
    for old in others[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _offered(lake: Path, held: Rollout, folder: Path, settings: RenewalSettings, now: datetime) -> Renewal:
    """Begin a trial with a ranker that is better than the live one on held-out users, or than every baseline where there is none."""
    facts = read_manifest(folder).facts
    beside = facts.get("beside") or []
    better = bool(beside and beside[0]["better"]) or (not held.live and facts["verdict"] == "beats the baseline")
    figures = [one["figure"] for one in beside] or facts.get("metrics", [])[:1]
    told = {"folder": folder, "found": _found(Figure(**beside[0]["figure"]) if beside else None, facts["verdict"])}
    if not better:
        return Renewal("kept", folder, message("recommend.renew.kept", **told), {"figures": figures})
    if not settings.share:
        write_rollout(lake, held.promoted(now, folder))
        return Renewal("promoted", folder, message("recommend.renew.live", **told), {"figures": figures})
    write_rollout(lake, held.trying(folder, settings.share, now))
    line = message("recommend.renew.trial", **told, share=settings.share)
    return Renewal("trial", folder, line, {"figures": figures, "share": settings.share})


def _found(above: Figure | None, verdict: str) -> Message:
    if above is None:
        return message("recommend.renew.against_baselines", verdict=message(f"recommend.verdict.{VERDICTS[verdict]}"))
    return message("recommend.renew.against_live", value=above.value, low=above.low, high=above.high, n=above.n)


def _judged(lake: Path, held: Rollout, settings: RenewalSettings, now: datetime) -> Renewal:
    """Decide a trial by clicks a showing, of users who had it and of those who had the live ranker since it began."""
    since = datetime.fromisoformat(held.since)
    over = now >= since + timedelta(days=settings.days)
    folder, end = Path(held.trial), (since + timedelta(days=settings.days)).isoformat(timespec="minutes")
    found = _compared(lake, held, since)
    if found is None:
        line = message("recommend.renew.nothing", folder=folder, end=end)
        return Renewal("going_on", folder, line, {"end": end})
    facts = {"experiment": found.as_dict(), "end": end}
    one, control = found.comparisons[0], found.arms[0].value
    last = one.looks[-1] if one.looks else None
    told: dict[str, Any] = {"folder": folder, "found": found.text()}
    if (last is not None and last.high < 0) or (over and one.found.high < 0):
        write_rollout(lake, held.ended(now))
        return Renewal("ended", folder, message("recommend.renew.ended", **told), facts)
    if over or (last is not None and last.low > -settings.margin * control):
        write_rollout(lake, held.promoted(now))
        return Renewal("promoted", folder, message("recommend.renew.promoted", **told), facts)
    return Renewal("going_on", folder, message("recommend.renew.going_on", **told, end=end), facts)


def _compared(lake: Path, held: Rollout, since: datetime) -> Experiment | None:
    """Return clicks a showing by ranker since a trial began; None while one of the two has hardly any user."""
    from noria.grow.log.lake import events
    from noria.grow.promote.experiment import analyse
    from noria.grow.promote.units import units_of_events

    table = events(lake)
    table = table.filter(table.time >= since.replace(tzinfo=None))
    tried = _version(held.trial)
    live = _version(held.live) if held.live else _other(table, tried)
    if live is None:
        return None
    kept = table.filter((table.kind != "impression") | table.version.isin([live, tried]))
    try:
        return analyse(units_of_events(kept, outcome="click", exposure="impression", ratio=True, control=live))
    except InputError:  # nobody of one of the two, or one user
        return None


def _version(folder: str) -> str:
    return read_manifest(folder).identity()[:12]


def _other(table: Any, tried: str) -> str | None:
    """Return the version of what was shown by texts alone, which is that of the model."""
    shown = table.filter((table.kind == "impression") & (table.version != "") & (table.version != tried))
    counted = shown.group_by("version").aggregate(n=shown.count()).to_pyarrow().to_pylist()
    return str(max(counted, key=lambda one: one["n"])["version"]) if counted else None
