"""All that is known of a log's users, in one call: what the command line, the main job, the report and the console share.

study = study_users(open_log("purchases.csv", LogSettings(user="customer")), "week")
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

from noria.core.errors import InputError, SettingError
from noria.core.figure import Figure
from noria.core.messages import message
from noria.core.progress import stage
from noria.grow.bundled import cdnow
from noria.grow.log.engines import is_engine, open_engine
from noria.grow.log.lake import events
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_events, read_log
from noria.grow.settings import LogSettings, UserSettings

from .activity import Growth, growth, stickiness
from .funnel import Funnel, funnel, parse_steps
from .holdout import BEST, HoldOut, LifetimeAhead, ahead_of, hold_out
from .journey import Journey, journey
from .needs import Need, needs
from .periods import LONGER, Period
from .power import Power, power
from .retention import KINDS, Retention, retention
from .rhythm import Rhythm, rhythm
from .spend import SpendHoldOut, hold_out_spend
from .survival import Survival, survival

T = TypeVar("T")


@dataclass(frozen=True)
class UserStudy:
    """All that is known of a log's users. What the log is too short or too thin for is None, and `silences` say why."""

    log: Log
    growths: tuple[Growth, ...]
    """By the period asked for, with its rollup, then by another."""
    retention: Retention
    kinds: tuple[Retention, ...]
    """Retention of every kind, by the same period."""
    stickiness: tuple[Figure, ...]
    power: Power
    journey: Journey
    needs: tuple[Need, ...]
    funnel: Funnel | None
    """None where no steps were asked for."""
    survival: Survival | None
    rhythm: Rhythm | None
    """None where too few users came back."""
    holdout: HoldOut | None
    spend: SpendHoldOut | None
    silences: dict[str, str] = field(default_factory=dict)
    future: LifetimeAhead | None = None
    """Of the weeks after the log, where they were asked for."""

    @property
    def silence(self) -> str:
        """Why there is no lifetime forecast, where there is none."""
        return self.silences.get("lifetime", "")


@stage(message("progress.read"))
def open_log(where: str | Path | None, settings: LogSettings | None = None) -> Log:
    """Return the log at `where`: a lake's folder, a CSV, Excel or Parquet file, the address of an engine such as
    postgres://host/database, or, where nothing is named, the bundled CDNOW log.

    Raises:
        InputError: there is nothing to read there.
        PackageError: the engine's own package is missing.
    """
    settings = settings or LogSettings()
    if where is None:
        return cdnow(calendar=settings.calendar())
    if is_engine(str(where)):
        return open_engine(str(where), settings)
    if Path(where).is_dir():
        segment = "app" if settings.segment == "segment" else settings.segment
        return log_of_events(events(where), segment=segment, calendar=settings.calendar())
    columns = settings.model_dump(exclude={"period", "table"})
    return read_log(where, **columns)


def study_users(log: Log, unit: Period = "week", *, settings: UserSettings | None = None, seed: int = 0) -> UserStudy:
    """Return growth, retention, habits, the funnel asked for, and, where the log carries them, lifetime and worth.

    Raises:
        SettingError: the settings name a column or a step that the log has not.
    """
    settings = settings or UserSettings()
    until, weeks, ahead = _split(log, settings)
    model = _MODELS[settings.lifetime]
    longer = LONGER[unit]
    kept_by: Period = longer if unit == "day" else unit
    wanted = parse_steps(settings.funnel, log) if settings.funnel else ()
    growths = (growth(log, unit, by=settings.rollup()), growth(log, longer))
    kinds = tuple(retention(log, kept_by, kind) for kind in KINDS)
    silences: dict[str, str] = {}

    def held(name: str, make: Callable[[], T]) -> T | None:
        try:
            if weeks < 8 and (settings.until is None or ahead):
                raise InputError(
                    message("grow.too_short"),
                    found=message("grow.days", days=(log.as_of - log.first).days + 1),
                    allowed=message("grow.more_11"),
                )
            return make()
        except InputError as error:
            silences[name] = error.as_message()
            return None

    lifetimes = held("lifetime", lambda: hold_out(log, until, weeks, model=model, seed=seed))
    future: LifetimeAhead | None = None
    if ahead and (lifetimes or model != BEST):  # a model that was named needs no hold-out
        name = lifetimes.chosen if lifetimes else model
        reason = lifetimes.verdict() if lifetimes else message("worth.chosen.named", model=name)
        try:
            future = ahead_of(log, settings.until or log.as_of, ahead, model=name, reason=reason, seed=seed)
        except InputError as error:
            silences["future"] = error.as_message()
    lived: Survival | None = None
    try:
        lived = survival(log, settings.lapse_days)
    except InputError as error:
        silences["survival"] = error.as_message()
    return UserStudy(
        log,
        growths,
        kinds[KINDS.index(settings.retention)],
        kinds,
        tuple(stickiness(log)),
        power(log, settings.power_days, seed=seed),
        journey(log, kept_by, acts=settings.activation_acts, days=settings.activation_days),
        needs(log, settings.power_days),
        funnel(log, wanted, days=settings.funnel_days or None, order=settings.funnel_order) if wanted else None,
        lived,
        rhythm(log),
        lifetimes,
        held("spend", lambda: hold_out_spend(log, until)),
        silences,
        future,
    )


_MODELS = {"best": BEST, "bg-nbd": "BG/NBD", "mbg-nbd": "MBG/NBD", "pareto-nbd": "Pareto/NBD"}
WEEKS_AHEAD = 13
"""Weeks to come that are forecast where none were asked for: a quarter."""


def _split(log: Log, settings: UserSettings) -> tuple[date, int, int]:
    """Return the last day that lifetime models see, the weeks held out after it, and the weeks to come that are forecast.

    Raises:
        SettingError: a day outside the log, or more weeks than it has after that day.
    """
    half = ((log.as_of - log.first).days + 1) // 14
    if settings.until is None:
        if settings.weeks:
            raise SettingError(
                message("grow.weeks_until"), found=f"--weeks {settings.weeks}", hint=message("grow.name_until")
            )
        return log.as_of - timedelta(weeks=half), half, 0
    if not log.first < settings.until <= log.as_of:
        raise SettingError(
            message("grow.until_outside"),
            found=f"--until {settings.until}",
            allowed=message("grow.to", first=log.first, as_of=log.as_of),
        )
    left = (log.as_of - settings.until).days // 7
    if not left:
        return log.as_of - timedelta(weeks=half), half, settings.weeks or WEEKS_AHEAD
    if settings.weeks > left:
        raise SettingError(
            message("grow.weeks_left", until=settings.until),
            found=f"--weeks {settings.weeks}",
            allowed=f"1-{left}",
            hint=message("grow.until_last", as_of=log.as_of),
        )
    return settings.until, settings.weeks or left, 0
