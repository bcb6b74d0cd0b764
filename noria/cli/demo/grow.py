"""Stage grow: users, lifetimes and a market from real logs, the server's own use, and the report of the whole run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import noria
from noria.api.stages import StageResult
from noria.core.figure import Figure
from noria.core.messages import Message, joined, message, name_of, term

from .settings import Context, Stage

if TYPE_CHECKING:
    from noria.grow.analysis import MarketStudy
    from noria.grow.market.study import Movement
    from noria.grow.report.page import Section, Shown, Wing
    from noria.grow.users.activity import Growth
    from noria.grow.users.holdout import HoldOut
    from noria.grow.users.periods import Period

HORIZON = 6


def plan(context: Context) -> Message:
    """Return what the stage will do."""
    return message("demo.grow.plan")


def run(context: Context) -> StageResult:
    """Analyse, and write the report with the sections of all stages."""
    from noria.grow.analysis import study_users
    from noria.grow.bundled import cdnow
    from noria.grow.changes.finding import chosen, of_market, of_use
    from noria.grow.changes.use import use_of_log
    from noria.grow.market.settings import TargetSettings
    from noria.grow.market.study import position
    from noria.grow.report.page import write_report
    from noria.grow.report.sections.forecast import forecast_section
    from noria.grow.report.sections.habits import habits_section
    from noria.grow.report.sections.market import market_section
    from noria.grow.report.sections.potential import position_section
    from noria.grow.report.sections.shares import movement_section
    from noria.grow.report.sections.users import lifetime_section, users_section
    from noria.grow.report.sections.worth import worth_section
    from noria.grow.users.activity import growth
    from noria.grow.users.retention import retention

    seed = context.settings.seed
    with context.report.bar("grow", total=6, unit="part") as bar:
        log = cdnow()
        study = study_users(log, "week", seed=seed)
        bar.advance()
        accounts = {"day": growth(log, "day"), **{account.unit: account for account in study.growths}}
        kept, sticky = retention(log, "month"), list(study.stickiness)
        bar.advance()
        held = study.holdout
        assert (
            held is not None
        )  # the log is long enough: 39 weeks are held out after as many, as the literature on it does
        worth = worth_section(study)
        bar.advance()
        market: MarketStudy = noria.forecast(horizon=HORIZON, seed=seed).study.study
        bar.advance()
        moved: Movement = noria.share(decompose=True).study.movement
        served, served_section, own, told = _served(context.root / "lake")
        bar.advance()
        sections: list[Section] = [
            *stage_sections(context.root),
            *([served_section] if served_section else []),
            users_section(log, [accounts["week"], accounts["month"]], kept, sticky),
            habits_section(study),
            lifetime_section(held, log),
            *([worth] if worth else []),
            market_section(market.market, market.forecast, market.backtest, market.model),
            movement_section(moved.market, moved.decomposition, moved.parts),
            forecast_section(noria.forecast(of="users", period="month", horizon=HORIZON, seed=seed).study.study),
            position_section(position(log, TargetSettings(), seed=seed), log),
            *own,
        ]
        write_report(
            context.root / "report.html",
            sections,
            findings=chosen([*told, *of_market(market.market), *of_use(use_of_log(log), log.text())]),
            title=message("demo.title"),
            lead=message("demo.lead"),
        )
        bar.advance()
    figures = _figures(accounts["week"], kept.curve()[1:4], sticky, held, market)
    facts = {
        "log": {
            "source": log.source,
            "licence": log.licence,
            "rows": log.rows,
            "users": log.users,
            "as_of": log.as_of.isoformat(),
        },
        "growth": {unit: [row.as_dict() for row in account.segment()] for unit, account in accounts.items()},
        "defects": {unit: account.defects() for unit, account in accounts.items()},
        "retention": {"unit": kept.unit, "counts": kept.counts},
        "lifetime": {
            "model": held.chosen,
            "parameters": dict(zip(held.model.intervals(), held.model.parameters.tolist(), strict=True)),
            "intervals": held.model.intervals(),
            "log_likelihood": held.model.log_likelihood,
            "calibration": held.calibration(),
        },
        "market": _market_facts(market),
        "served": served,
    }
    return StageResult(_line(accounts, figures, held, market, served), figures, facts)


def _figures(
    week: Growth, curve: list[Figure], sticky: list[Figure], held: HoldOut, market: MarketStudy
) -> list[Figure]:
    from noria.grow.market.share import concentration

    whole = [row for row in week.segment() if row.complete]
    measured = concentration(market.market)[-1]
    figures = [
        Figure("users active in the last whole week", whole[-1].active, len(whole), source=week.source),
        *curve,
        *sticky[-1:],
        *held.figures(),
        market.market.latest()[0],
    ]
    if measured.hhi is not None:
        figures.append(
            Figure(
                "HHI",
                measured.hhi,
                len(market.market.entities),
                measured.hhi,
                measured.hhi_high,
                level=1.0,
                source=market.market.provenance.text(),
            )
        )
    if market.forecast:
        figures.append(market.forecast.figures(len(market.market.times))[0])
    if market.backtest:
        figures += [standing.gain for standing in market.backtest.standings if standing.gain]
    return figures


def _line(
    accounts: Mapping[Period, Growth], figures: list[Figure], held: HoldOut, market: MarketStudy, served: dict[str, Any]
) -> Message:
    periods = sum(len(account.rows) for account in accounts.values())
    defects = sum(len(account.defects()) for account in accounts.values())
    adds = (
        message("demo.grow.fails", defects=defects, periods=periods)
        if defects
        else message("demo.grow.adds", periods=periods)
    )
    total, error = held.figures()[0], held.figures()[2]
    parts = [
        message("demo.grow.users", users=held.model.users, adds=adds),
        message(
            "demo.grow.held",
            value=total.value,
            low=total.low or 0.0,
            high=total.high or 0.0,
            came=float(held.outcome.by_week.sum()),
            outside="" if held.inside else message("demo.grow.outside"),
            nearer="" if held.nearer else message("demo.grow.nearer", baseline=total.baseline or 0.0),
        ),
        message("demo.grow.error", value=error.value, baseline=error.baseline or 0.0),
    ]
    if market.forecast:
        leader = market.forecast.figures(len(market.market.times))[0]
        ends = {"low": leader.low or 0.0, "high": leader.high or 0.0}
        parts.append(message("demo.grow.leader", name=term(leader.name), value=leader.value, **ends))
    if market.backtest:
        ruling = market.backtest.ruling
        told = {
            "beats": message("demo.grow.beats", model=term(str(ruling.model))),
            "does not beat": message("demo.grow.nothing"),
        }
        parts.append(told.get(ruling.verdict, message("demo.grow.unclear", origins=ruling.independent)))
    if served:
        parts.append(message("demo.grow.lake", events=served["events"], users=served["users"]))
    return joined("join.clauses", parts)


def _served(lake: Path) -> tuple[dict[str, Any], Any, list[Any], list[Any]]:
    """Return the facts, the section of the server's own use, those of its own market, and findings; empty where nothing was served."""
    from noria.core.errors import InputError
    from noria.grow.log.lake import connect, events
    from noria.grow.log.read import log_of_events
    from noria.grow.report.compose import findings_of
    from noria.grow.report.sections.own import own_sections
    from noria.grow.report.sections.usage import usage_section
    from noria.grow.usage import usage
    from noria.grow.users.activity import growth

    if not lake.is_dir():
        return {}, None, [], []
    table = events(lake, connect())
    try:
        use = usage(table)
        opened = log_of_events(table)
        account = growth(opened, "day")
    except InputError:  # a server that was started and never asked
        return {}, None, [], []
    facts = {
        "events": use.events,
        "users": use.users,
        "kinds": use.kinds,
        "outcomes": use.outcomes,
        "units": use.units,
        "apps": [figure.as_dict() for figure in use.apps],
        "models": [figure.as_dict() for figure in use.models],
        "latency_ms": [figure.as_dict() for figure in use.latency_ms],
        "right": [figure.as_dict() for figure in use.right],
        "growth": [row.as_dict() for row in account.segment()],
        "defects": account.defects(),
    }
    return facts, usage_section(use, account), own_sections(table, targets=False), findings_of(opened, lake)


def _market_facts(market: MarketStudy) -> dict[str, Any]:
    shares = market.market
    facts: dict[str, Any] = {
        "base": shares.base,
        "source": shares.provenance.text(),
        "times": list(shares.times),
        "entities": list(shares.entities),
        "shares": [[None if value != value else float(value) for value in row] for row in shares.values],
        "flags": [flag.as_dict() for flag in shares.flags],
        "model": market.model,
        "silence": market.silence,
    }
    if market.forecast:
        low, high = market.forecast.interval(0.9)
        facts["forecast"] = {
            "times": list(market.forecast.times),
            "low": low.tolist(),
            "high": high.tolist(),
            "level": 0.9,
            "median": market.forecast.median().tolist(),
            "largest_sum_error": float(abs(market.forecast.draws.sum(-1) - 1).max()),
        }
    if market.backtest:
        facts["backtest"] = [standing.as_dict() for standing in market.backtest.standings]
        facts["verdict"] = market.backtest.verdict().both()
    return facts


STAGE = Stage("grow", message("demo.grow.title"), plan, run, outputs=())


STAGES: dict[str, Wing] = {
    "corpus": "build",
    "pretrain": "build",
    "base": "build",
    "sentiment": "build",
    "entities": "build",
    "compress": "build",
    "ship": "ship",
}
"""Stage -> its wing."""


def stage_sections(root: Path) -> list[Section]:
    """Return a section for every finished stage below `root` that gave figures."""
    from noria.grow.report.page import Section

    sections = []
    for name, wing in STAGES.items():
        record = _record(root / f"{name}.stage.json")
        figures = [_shown(entry) for entry in record.get("figures", [])]
        if figures:
            title, lead = message(f"demo.{name}.title"), message(f"demo.{name}.lead")
            sections.append(Section(name, title, lead, figures, wing=wing))
    return sections


def _shown(entry: dict[str, Any]) -> Shown:
    from noria.grow.report.page import Shown

    figure = Figure(**entry)
    beside = figure.baseline is not None
    meaning = message("demo.measured.beside" if beside else "demo.measured.alone", n=figure.n)
    if figure.note:
        meaning = message("demo.measured.noted", meaning=meaning, note=name_of(figure.note))
    return Shown(figure, name_of(figure.name), meaning, unit=name_of(figure.unit), source=name_of(figure.source))


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) and "line" in record else {}
