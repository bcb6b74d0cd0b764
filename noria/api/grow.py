"""Growth: users of a log, shares of a market, what may come of both, and one page of all of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.grow.market.settings import BasisSettings, DriverSettings, ListingSettings, PotentialSettings, TargetSettings
from noria.grow.promote.settings import PlanBasis
from noria.grow.settings import (
    AheadSettings,
    ForecastSettings,
    JointSettings,
    LogSettings,
    MarketSettings,
    UserSettings,
)

from .options import from_settings, watched
from .results import Analysis, Page

if TYPE_CHECKING:
    from noria.grow.market.analyses import MarketAnalyses


@from_settings("users")
@watched
def users(
    log: str | os.PathLike[str] | None = None, *, by_segment: bool = False, reading: LogSettings, asked: UserSettings
) -> Analysis:
    """Active users, growth accounting that adds up in every period, retention, habits, needs, and who will come back.

        noria.users("purchases.csv", user="customer", zone="Asia/Shanghai").figures
        noria.users("runs/lake", period="day", by="app,model").rows

    Args:
        log: a lake's folder, a file (CSV, JSON Lines, XLSX or Parquet) with a user and a time, or the address of an engine
            such as postgres://reader@db.example/shop; the bundled CDNOW purchases where None.
        by_segment: account within each segment too; `by` names other columns.
        progress: a bar of what is at work, on a terminal; False is silent.

    Returns:
        rows: growth accounting, a row a period (and segment): before, new, resurrected, churned, active, in users.
        figures: retention, habits, needs, survival and the held-out lifetime; shares unless their unit says otherwise.
        study: a `noria.grow.users.study.UserStudy`.

    Raises:
        InputError: there is nothing to read there, or a line of it cannot be used.
        SettingError: a setting is unknown or not allowed, or names a column that the log has not.
        PackageError: the engine's own package is missing.
    """
    from noria.grow.users.facts import facts_of, figures_of
    from noria.grow.users.study import open_log, study_users

    chosen = asked.replace(by="segment") if by_segment and not asked.by else asked
    with closing(open_log(_place(log), reading)) as opened:
        study = study_users(opened, reading.period, settings=chosen)
    source = study.log
    return Analysis(
        f"{source.source}: {source.rows:,} acts of {source.users:,} users, {source.first} to {source.as_of}",
        tuple(figure for figures in figures_of(study).values() for figure in figures),
        tuple(row.as_dict() for row in study.growths[0].rows),
        (
            *source.notes,
            *(problem.text() for problem in source.problems),
            *(f"{what}: {why}" for what, why in {**study.journey.silence, **study.silences}.items()),
        ),
        facts_of(study),
        study,
    )


@from_settings("share")
@watched
def share(
    series: str | os.PathLike[str] | None = None,
    *,
    decompose: bool = False,
    happenings: Path | None = None,
    potential: Path | None = None,
    position: str | os.PathLike[str] | None = None,
    market: MarketSettings,
    basis: BasisSettings,
    reading: LogSettings,
    drive: DriverSettings,
    sizing: PotentialSettings,
    targeting: TargetSettings,
) -> Analysis:
    """Market shares on one base, with an explicit rest, how concentrated the market is, and what moved it.

        noria.share("market.csv", measure="revenue", decompose=True)
        noria.share("runs/lake", segment="model", measure="tokens", period="day")
        noria.share(potential="sizes.csv").figures

    Args:
        series: a file of points with a header of provenance, or a lake's folder; the bundled chatbot shares where None.
        decompose: say what each change of share is made of: within, mix, entry and exit.
        happenings: file with the columns time, entity and name: what followed each, beside rivals and placebo events.
        potential: file of ranges (industry, approach, factor, low, high, unit, source): market size top-down and bottom-up.
        position: a lake's folder or a log's file: its users in segments, scored as targets with the reasons.
        progress: a bar of what is at work, on a terminal; False is silent.

    Returns:
        rows: shares, each a part of one, a row a time with its HHI; by base or by segment where there are several; or
            the answers, where only something else was asked.
        study: a `noria.grow.market.analyses.MarketAnalyses`.

    Raises:
        InputError: a file cannot be used, or measures would be mixed.
        SettingError: a setting is unknown or not allowed, or names what is not there.
    """
    from noria.grow.market.analyses import analyse

    study = analyse(
        _place(series),
        market,
        basis=basis,
        log=reading,
        drive=drive,
        sizing=sizing,
        targeting=targeting,
        decompose=decompose,
        happenings=happenings,
        potential=potential,
        position_of=_place(position),
    )
    name = f"{study.shares.base}: {study.source}" if study.shares is not None else study.source or "market"
    return Analysis(name, tuple(study.figures()), tuple(study.rows()), tuple(_sentences(study)), study.as_dict(), study)


@from_settings("forecast")
@watched
def forecast(
    series: str | os.PathLike[str] | None = None,
    *,
    what: ForecastSettings,
    market: MarketSettings,
    reading: LogSettings,
    joint: JointSettings,
    listing: ListingSettings,
) -> Analysis:
    """Forecasts with intervals, back-tested against "nothing changes": shares, levels, flows, a log's users, rivals, generations.

    Every draw of shares sums to one; growth curves (Bass 1969, Gompertz, logistic) saturate, and say so where their ceiling
    cannot be told.

        noria.forecast("market.csv", measure="revenue", horizon=12)
        noria.forecast("purchases.csv", of="users", user="customer", period="week")
        noria.forecast("makers.csv", of="rivals", take=("A", "B"))

    Args:
        series: a file of points with a header of provenance, or, `of="users"`, a log; the bundled chatbot shares, or
            purchases, where None.
        progress: a bar of what is at work, on a terminal; False is silent.

    Returns:
        rows: median, and low and high of the 90 % interval, of every entity at every time; shares as parts of one, else in
            the series' unit.
        study: a `noria.grow.forecast.ahead.Outcome`.

    Raises:
        InputError: the file cannot be used, or nothing can be forecast from it.
        SettingError: a setting is unknown or not allowed, or does not go with what is forecast.
    """
    from noria.grow.forecast.ahead import look_ahead

    study = look_ahead(_place(series), what, market, log=reading, joint=joint, listing=listing)
    rows = study.rows()
    said = (study.verdict(), *study.notes)
    figures = (*study.figures, *((study.pace,) if study.pace else ()))
    name = f"Forecast of {study.of} by {study.study.model}, {rows[0]['time']} to {rows[-1]['time']}"
    return Analysis(name, figures, tuple(rows), said, study.as_dict(), study)


@from_settings("report")
@watched
def report(
    log: str | os.PathLike[str] | None = None,
    *,
    out: Path = Path("report.html"),
    series: Path | None = None,
    happenings: Path | None = None,
    potential: Path | None = None,
    answers: Path | None = None,
    ahead: AheadSettings | Mapping[str, Any] | None = None,
    promotion: PlanBasis | Mapping[str, Any] | None = None,
    reading: LogSettings,
    asked: UserSettings,
    market: MarketSettings,
    drive: DriverSettings,
    sizing: PotentialSettings,
    listing: ListingSettings,
) -> Page:
    """Write one HTML page with users, lifetime, market, forecasts and promotion, in English and Chinese, fit to print.

        noria.report("runs/lake", series="market.csv", out="report.html")
        noria.report("runs/lake", series="makers.csv", ahead={"of": "rivals", "take": ("A", "B")})

    Args:
        log: a lake's folder, a file with a user and a time, or the address of an engine; the bundled purchases where None.
        out: where to write the page; it needs no network and no second file.
        series: market points with a header of provenance, or `chatbots` for the bundled ones; where None, none beside a log of
            your own, and the bundled ones beside the bundled purchases.
        happenings: file with the columns time, entity and name: what followed each.
        potential: file of ranges of inputs: market size top-down and bottom-up.
        answers: folder that `noria grow answers ask` wrote: how often assistants name each brand.
        ahead: one more forecast of the series: `of` a level, flow, rivals or generations, and the settings of that forecast.
        promotion: what a promotion plan rests on: experiment and spend, and how each is read.
        progress: a bar of what is at work, on a terminal; False is silent.

    Raises:
        InputError: the log or the series cannot be used.
        SettingError: a setting is unknown or not allowed.
    """
    from noria.grow.report.compose import compose
    from noria.grow.report.page import write_report

    found = compose(
        _place(log),
        reading,
        asked,
        market,
        series=None if series is None else Path(series),
        happenings=happenings,
        potential=potential,
        answers=answers,
        drive=drive,
        sizing=sizing,
        basis=promotion if isinstance(promotion, PlanBasis) else PlanBasis.make(**(promotion or {})),
        listing=listing,
        ahead=ahead if isinstance(ahead, AheadSettings) else AheadSettings.make(**(ahead or {})),
    )
    path = write_report(out, found.sections, findings=found.findings)
    return Page(Path(path), tuple(one.title["en"] for one in found.sections), found.left_out)


def _place(where: str | os.PathLike[str] | None) -> str | None:
    """Return where a log or series is, as text: the address of an engine is none of a path."""
    return None if where is None else os.fspath(where)


def _sentences(study: MarketAnalyses) -> Sequence[str]:
    from noria.grow.market.share import gathered

    flags = gathered(study.shares.flags) if study.shares is not None else ()
    why: Mapping[str, str] = {**study.silence, **(study.bases.silence if study.bases else {})}
    return [*(flag.text() for flag in flags), *(f"{name}: {reason}" for name, reason in why.items())]
