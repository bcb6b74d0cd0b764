"""What stands in the report: users, lifetime, market, forecasts and promotion, of a log and a series."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from noria.core.errors import InputError, SettingError
from noria.core.messages import message
from noria.core.progress import stage
from noria.grow.analysis import study_market, study_users
from noria.grow.answers.panel import Panel
from noria.grow.answers.study import study_answers
from noria.grow.bundled import CHATBOTS, chatbot_shares
from noria.grow.changes.finding import Finding, chosen, of_market, of_use
from noria.grow.changes.use import day_before, use_of_events, use_of_log
from noria.grow.forecast.ahead import look_ahead
from noria.grow.forecast.study import period_for, study_users_ahead
from noria.grow.log.log import Log
from noria.grow.market.bases import without
from noria.grow.market.settings import BasisSettings, DriverSettings, ListingSettings, PotentialSettings, TargetSettings
from noria.grow.market.share import Unlisted, shares
from noria.grow.market.study import drivers, movement, position, reach_of, sizes_of
from noria.grow.promote.planning import study_plan
from noria.grow.promote.settings import PlanBasis
from noria.grow.series.series import Series, read_series
from noria.grow.settings import AheadSettings, LogSettings, MarketSettings, UserSettings
from noria.grow.usage import usage
from noria.grow.users.study import UserStudy, open_log
from noria.lake.simulated import simulated_tenants

from .page import Section
from .sections.answers import answers_section
from .sections.drivers import drivers_section
from .sections.forecast import forecast_section
from .sections.habits import habits_section
from .sections.joint import outcome_section
from .sections.market import market_section
from .sections.own import own_sections
from .sections.potential import position_section, potential_section
from .sections.promotion import promotion_sections
from .sections.shares import movement_section
from .sections.usage import usage_section
from .sections.users import lifetime_section, users_section
from .sections.worth import worth_section

FURTHER = ("level", "flow", "rivals", "generations")
"""What the series can be forecast as beside shares, which the market's own section has."""


@dataclass
class Composed:
    """What stands in a report."""

    sections: list[Section] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """The sentences that it begins with."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Each part that cannot be told -> why."""


def compose(
    log: str | Path | None,
    settings: LogSettings,
    user_settings: UserSettings,
    market: MarketSettings,
    *,
    series: Path | None = None,
    happenings: Path | None = None,
    potential: Path | None = None,
    answers: Path | None = None,
    drive: DriverSettings,
    sizing: PotentialSettings,
    basis: PlanBasis,
    listing: ListingSettings,
    ahead: AheadSettings | None = None,
) -> Composed:
    """Return the sections of the report, the sentences that it begins with, and each part that cannot be told with the reason why.

    Args:
        log: a lake's folder, a file, or the address of an engine; the bundled purchases where None.
        settings: how the log is read.
        user_settings: what is asked of its users.
        market: measure and segment of the series, periods ahead.
        series: market points, or `chatbots` for the bundled ones; where None, none beside a log that is named.
        happenings: file of events: what followed each.
        potential: file of ranges: how large the market could be.
        answers: folder of answers: how often assistants name each brand.
        drive: which measures may drive the one shown.
        sizing: how ranges are drawn, and the ceiling of use.
        basis: experiment and spend that a promotion plan rests on.
        listing: whose shares, and how missing labels are read.
        ahead: one more forecast of the series: of a flow, a level, rivals or generations.

    Raises:
        InputError, SettingError: the log or the series cannot be used.
    """
    left_out: dict[str, str] = {}
    ahead = ahead or AheadSettings()
    _check_further(ahead)
    points = _points(log, series, market, drive, happenings, sizing, listing, ahead)
    with stage(message("progress.report"), total=3) as bar, closing(open_log(log, settings)) as opened:
        sections = _of_users(opened, settings, user_settings, market, left_out)
        findings = findings_of(opened, Path(log) if log is not None else None)
        bar.advance()
        if points is not None:
            findings += _moved(points, market, listing.unlisted)
            sections += _of_market(points, market, listing.unlisted, drive, happenings, left_out)
        if potential or sizing.ceiling:
            sizes = sizes_of(potential, sizing) if potential else None
            reach = reach_of(points, market.measure, market.market, sizing) if points is not None else None
            sections.append(potential_section(sizes, reach))
        bar.advance()
        sections += _or_why(left_out, message("lines.part.targets"), lambda: _of_targets(opened))
        bar.advance()
    if ahead.of in FURTHER:
        sections += _or_why(
            left_out,
            message("lines.part.ahead", of=ahead.of),
            lambda: [outcome_section(look_ahead(_file_of(series), ahead, market, log=settings, joint=ahead))],
        )
    if answers is not None:
        sections.append(answers_section(study_answers(Panel(answers))))
    if basis.experiment is not None or basis.spend is not None:
        lake = Path(log) if log is not None and Path(log).is_dir() else None
        sections += promotion_sections(study_plan(lake, basis))
    return Composed(sections, chosen(findings), left_out)


def findings_of(opened: Log, lake: Path | None = None) -> list[Finding]:
    """Return what changed in the use that a log tells of: of a lake's events in shares, too, such as of those who were handed over.

    Args:
        opened: the log.
        lake: the folder of the lake, where it is of one.
    """
    if opened.facts is None:
        return of_use(use_of_log(opened), opened.text())
    # A server's own day goes on: only a day that is over can be compared.
    last = min(opened.as_of, day_before(datetime.now(UTC), opened.calendar))
    made_up = simulated_tenants(lake) if lake is not None else ()
    use = use_of_events(opened.facts, opened.calendar, last, made_up)
    return of_use(use, opened.text()) if use else []


def _moved(points: Series, market: MarketSettings, unlisted: Unlisted) -> list[Finding]:
    try:
        return of_market(shares(points, market.measure, market.market, unlisted=unlisted))
    except InputError:
        return []  # the market's own section says why


def _check_further(ahead: AheadSettings) -> None:
    """Raise where a setting of a further forecast is given and none is asked for."""
    given = ahead.model_fields_set - {"of"}
    if ahead.of not in FURTHER and given:
        raise SettingError(
            message("grow.further_left", names=", ".join(sorted(given))),
            found=f"--ahead.of {ahead.of}",
            allowed=", ".join(f"--ahead.of {name}" for name in FURTHER),
        )


def _or_why(left_out: dict[str, str], what: str, make: Callable[[], list[Section]]) -> list[Section]:
    """Return sections, or none and why: what one part cannot say is no reason to have no report."""
    try:
        return make()
    except InputError as error:
        left_out[what] = error.as_message()
        return []


def _of_users(
    opened: Log, settings: LogSettings, user_settings: UserSettings, market: MarketSettings, left_out: dict[str, str]
) -> list[Section]:
    """Return who they are, what the server's own events say of their use, and how many there will be."""
    sections = user_sections(study_users(opened, settings.period, settings=user_settings))
    facts = opened.facts
    if facts is not None:
        sections.append(usage_section(usage(facts)))
        sections += _or_why(
            left_out,
            message("lines.part.served"),
            lambda: own_sections(facts, settings.period, targets=False, calendar=settings.calendar()),
        )
    ahead = study_users_ahead(opened, period_for(opened), horizon=market.horizon, seed=market.seed)
    return [*sections, forecast_section(ahead)]


def _of_market(
    points: Series,
    market: MarketSettings,
    unlisted: Unlisted,
    drive: DriverSettings,
    happenings: Path | None,
    left_out: dict[str, str],
) -> list[Section]:
    """Return shares with their forecast, what moved them, and what was asked beyond: drivers, events."""

    def moved() -> list[Section]:
        found = movement(points, market.measure, market.market, BasisSettings(unlisted=unlisted))
        return [movement_section(found.market, found.decomposition, found.parts)]

    def held() -> list[Section]:
        seen = study_market(points, market, unlisted=unlisted)
        return [market_section(seen.market, seen.forecast, seen.backtest, seen.model)]

    sections = _or_why(left_out, message("lines.part.shares"), held)
    sections += _or_why(left_out, message("lines.part.moved"), moved)
    if drive.driver or happenings:
        sections.append(drivers_section(drivers(points, market.measure, market.market, drive, happenings, unlisted)))
    return sections


def _file_of(series: Path | None) -> Path:
    """Return the file of the market: the one named, or the bundled one."""
    return chatbot_shares() if series is None or (str(series) == CHATBOTS and not series.is_file()) else series


def _points(
    log: str | Path | None,
    series: Path | None,
    market: MarketSettings,
    drive: DriverSettings,
    happenings: Path | None,
    sizing: PotentialSettings,
    listing: ListingSettings,
    ahead: AheadSettings,
) -> Series | None:
    """Return the market of the report: the one named; beside the bundled purchases the bundled one; beside a log of one's own none.

    Raises:
        SettingError: something is asked of a market, and there is none.
    """
    if series is None and log is not None:
        asked = {
            "--measure": market.measure,
            "--market": market.market,
            "--driver": drive.driver,
            "--happenings": happenings,
            "--ceiling": sizing.ceiling,
            "--without": listing.without,
            "--ahead.of": ahead.of in FURTHER,
            "--unlisted": listing.unlisted != ListingSettings().unlisted,
        }
        if flags := [flag for flag, value in asked.items() if value]:
            raise SettingError(
                message("grow.asks_of_a_market"),
                found=", ".join(flags),
                allowed=message("grow.series_named", bundled=CHATBOTS),
            )
        return None
    points = read_series(_file_of(series))
    return without(points, listing.without) if listing.without else points


def _of_targets(opened: Log) -> list[Section]:
    return [position_section(position(opened, TargetSettings()), opened)]


def user_sections(study: UserStudy) -> list[Section]:
    """Return users, habits, lifetime and worth; what the log does not carry is left out, and the notes say why."""
    sections = [users_section(study.log, study.growths, study.retention, study.stickiness), habits_section(study)]
    if study.holdout:
        sections.append(lifetime_section(study.holdout, study.log))
    worth = worth_section(study)
    return [*sections, *([worth] if worth else [])]
