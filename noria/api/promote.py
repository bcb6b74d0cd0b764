"""Promotion: size an experiment, read it, find whom to address, divide a budget, and plan.

noria.promote.size(0.10, lift=0.1)                               # users that an experiment needs
noria.promote.experiment("campaign.csv")                         # what its groups show
noria.promote.uplift("campaign.csv", features=("visits",))       # whom to address
noria.promote.budget("weekly.csv", channels=("search", "video"))
noria.promote.policy("decisions.csv")                            # what another policy would have brought
noria.promote.plan("runs/lake", experiment="campaign.csv", spend="weekly.csv")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import SettingError
from noria.core.figure import Figure
from noria.core.messages import message
from noria.grow.promote.settings import (
    BudgetSettings,
    CompareSettings,
    PlanBasis,
    PlanSettings,
    PolicySettings,
    SizeSettings,
    SpendSettings,
    UnitSettings,
    UpliftSettings,
)

from .options import from_settings, watched
from .results import Analysis

if TYPE_CHECKING:
    from noria.grow.promote.budget import Channel
    from noria.grow.promote.outcomes import Outcomes
    from noria.grow.report.page import Section

__all__ = ["budget", "experiment", "plan", "policy", "size", "uplift"]


@from_settings("size")
def size(
    base: float,
    *,
    effect: float | None = None,
    lift: float | None = None,
    users: int | None = None,
    sizing: SizeSettings,
) -> Analysis:
    """How many users an experiment needs; or, with `users`, what they can find.

        noria.promote.size(0.10, lift=0.05, variants=3, users_a_day=2000).facts["users"]

    Args:
        base: rate that the control group is expected to show, such as 0.1; or, with `deviation`, its mean.
        effect: the smallest difference worth finding, in the same unit.
        lift: the same over the base: 0.05 is 5 %.
        users: users of the control group: finds the smallest effect, or with an effect the power.

    Returns:
        study: a `noria.grow.promote.design.Design`; facts["found"] says which of its parts was found.

    Raises:
        SettingError: neither effect nor users, or both effect and lift, were given, or one is out of range.
    """
    from noria.grow.promote.study import size_experiment

    made, found = size_experiment(base, effect=effect, lift=lift, users=users, settings=sizing)
    facts = {**made.as_dict(), "found": found, "text": made.text().both()}
    return Analysis("Design of an experiment", (), (made.as_dict(),), (made.text(),), facts, made)


@from_settings("experiment")
@watched
def experiment(
    units: Path,
    *,
    within: bool = False,
    report: Path | None = None,
    reading: UnitSettings,
    comparing: CompareSettings,
) -> Analysis:
    """What an experiment shows: are its groups sound, what differs and how surely, and could it have been stopped.

        noria.promote.experiment("campaign.csv", before="spend_before", control="old")
        noria.promote.experiment("games.csv", outcome="rounds", estimate="winsorised", also=("revenue", "came_back"))
        noria.promote.experiment("runs/lake", within=True, exposure="impression")

    Args:
        units: a file with a user, a group and an outcome, or a lake's folder.
        within: of a lake: compare what was shown side by side to the same users, such as items and the clicks on them.
        report: write one page with figures and charts there.
        progress: a bar of what is at work, on a terminal; False is silent.

    Returns:
        figures: the outcome of each group, rate or mean, with its interval.
        rows: the comparisons with the control group.
        study: a `noria.grow.promote.experiment.Experiment`; of several outcomes a `noria.grow.promote.outcomes.Outcomes`; or
            `noria.grow.promote.within.Within`.

    Raises:
        InputError: there is nothing to read there, or no groups.
        SettingError: a setting is unknown or not allowed.
    """
    from noria.grow.promote.study import study_experiment, study_outcomes, study_within

    if within:
        seen = study_within(units, reading, comparing)
        told = seen.as_dict()
        return Analysis(seen.source, tuple(seen.rates), tuple(told["comparisons"]), (seen.text(),), told, seen)
    if comparing.also:
        return _outcomes(study_outcomes(units, reading, comparing), report)
    result = study_experiment(units, reading, comparing)
    if report is not None:
        from noria.grow.report.sections.experiment import experiment_section

        _write(report, [experiment_section(result)])
    told = result.as_dict()
    figures = tuple(Figure(**one) for one in told["groups"])
    said = (
        *(problem.text() for problem in result.units.problems),
        result.balance.text(),
        result.text(),
        *result.notes,
    )
    name = f"{result.units.source}: {result.units.n:,} users, {result.metric}"
    return Analysis(name, figures, tuple(_comparisons(told)), said, told, result)


def _comparisons(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the comparisons of an experiment as flat rows."""
    nested = ("plain", "looks", "influence")
    return [{name: value for name, value in row.items() if name not in nested} for row in facts["comparisons"]]


def _outcomes(found: Outcomes, report: Path | None) -> Analysis:
    """Return several outcomes of an experiment: their groups, and a row for each comparison of each."""
    if report is not None:
        from noria.grow.report.sections.experiment import outcome_sections

        _write(report, outcome_sections(found))
    told = found.as_dict()
    figures = [
        Figure(**{**one, "name": f"{outcome['outcome']}, {one['name']}"})
        for outcome in told["outcomes"]
        for one in outcome["groups"]
    ]
    rows = [{"outcome": one["outcome"], **row} for one in told["outcomes"] for row in _comparisons(one)]
    first = found.experiments[0]
    said = [problem.text() for problem in first.units.problems]
    said += [first.balance.text(), found.text()]
    for name, one in zip(found.names, found.experiments, strict=True):
        said += [message("experiment.of_outcome", outcome=name, told=note) for note in one.notes]
    title = f"{first.units.source}: {first.units.n:,} users, {len(found.names)} outcomes"
    return Analysis(title, tuple(figures), tuple(rows), tuple(said), told, found)


@from_settings("uplift")
@watched
def uplift(
    units: Path,
    *,
    candidates: Path | None = None,
    report: Path | None = None,
    reading: UnitSettings,
    learning: UpliftSettings,
) -> Analysis:
    """Whom to address: who is moved by the treatment, proved on all users, each by a score that others taught.

        found = noria.promote.uplift("campaign.csv", features=("visits", "city"), candidates="users.csv")
        found.facts["candidates"]

    Args:
        units: a file with a user, a group, an outcome, and what was known of users before.
        candidates: a file of users with the same features: facts["candidates"] says whom of them to address.
        report: write one page with figures and charts there.
        progress: a bar of what is at work, on a terminal; False is silent.

    Returns:
        figures: the gain of addressing by score (Qini coefficient), then the effect on each fifth of the users by score.
        rows: the Qini curve: share addressed, gain, low and high.
        study: a `noria.grow.promote.uplift.Uplift`.

    Raises:
        InputError: there is nothing to read there, or nothing is known of users that tells them apart.
        SettingError: a setting is unknown or not allowed.
    """
    from noria.grow.promote.study import study_uplift
    from noria.grow.promote.units import read_features

    found = study_uplift(units, reading, learning)
    facts = found.as_dict()
    if candidates is not None:
        facts["candidates"] = found.scored(*read_features(candidates, found.features, user=reading.user))
    if report is not None:
        from noria.grow.report.sections.uplift import uplift_section

        _write(report, [uplift_section(found)])
    names = ("shares", "gain", "low", "high")
    rows = [{name: float(getattr(found.curve, name)[row]) for name in names} for row in range(found.curve.shares.size)]
    said = (
        *(problem.text() for problem in found.units.problems),
        *found.units.notes,
        *(() if found.balance.sound else (found.balance.text(),)),
        found.text(),
    )
    name = (
        f"{found.units.source}: {found.curve.users:,} users, each judged by a score that {found.learnt:,} others taught"
    )
    return Analysis(name, (found.figure(),), tuple(rows), said, facts, found)


@from_settings("budget")
@watched
def budget(spend: Path, *, report: Path | None = None, reading: SpendSettings, dividing: BudgetSettings) -> Analysis:
    """What each channel brings, how surely that is known, and how to divide the budget; or that the data do not tell.

        noria.promote.budget("weekly.csv", outcome="new_users", channels=("search", "video"), total=120_000)

    Args:
        spend: a file with one line a day, week or month: outcome, spend by channel, what else moved the outcome.
        report: write one page with figures and charts there.
        progress: a bar of what is at work, on a terminal; False is silent.

    Returns:
        rows: a row a channel: spend and planned spend a period, what it returns in units of the outcome, and the margin.
        study: a `noria.grow.promote.study.BudgetStudy`.

    Raises:
        InputError: there is nothing to read there, or nothing can be fitted.
        SettingError: a setting is unknown or not allowed, or bounds leave no division.
    """
    from noria.grow.promote.study import open_spend, study_budget

    study = study_budget(open_spend(spend, reading), dividing)
    found = study.budget
    if report is not None:
        from noria.grow.report.sections.budget import budget_section

        _write(report, [budget_section(study)])
    source = found.responses.spend
    said = (
        found.text(),
        *((study.held.text(),) if study.held is not None else ()),
        *found.responses.notes,
    )
    facts = {**found.as_dict(), "held_out": None if study.held is None else study.held.as_dict()}
    figures = [one for channel in found.channels for one in (channel.returns, channel.marginal) if one is not None]
    name = f"{source.source}: {source.outcome.size} {source.unit}s to {source.as_of}, {source.outcome_name}"
    return Analysis(name, tuple(figures), tuple(_row(one) for one in found.channels), said, facts, study)


@from_settings("policy")
def policy(decisions: Path, *, judging: PolicySettings) -> Analysis:
    """What another policy would have brought, told by what one that drew lots brought: IPS, SNIPS, doubly robust.

        noria.promote.policy("decisions.csv", reward="bought").study.lift

    Args:
        decisions: a file with a row for each thing shown: user, reward, propensity, target, and what a model expected.

    Returns:
        figures: what was logged, the three estimates of the other policy, and its lift.
        study: a `noria.grow.promote.offpolicy.OffPolicy`.

    Raises:
        InputError: there is nothing to read there, or a number is none.
        SettingError: a setting is unknown or not allowed.
    """
    from noria.grow.promote.offpolicy import judge, read_logged

    found = judge(read_logged(decisions, judging), judging)
    name = f"{decisions.name}: {found.rows:,} rows of {found.users:,} users"
    rows = tuple(one.as_dict() for one in found.figures())
    return Analysis(name, found.figures(), rows, (found.text(),), found.as_dict(), found)


@from_settings("plan")
@watched
def plan(
    log: Path | None = None,
    *,
    file: Path | None = None,
    report: Path | None = None,
    planning: PlanSettings,
    basis: PlanBasis,
) -> Analysis:
    """A promotion plan: whom to address, what they ask about, channels and budget, what to expect, how to measure it.

    Every part comes from data; a part without them is shown as a gap, with what would fill it.

        print(noria.promote.plan("runs/lake", experiment="campaign.csv", reach=50_000).study.plan.text("zh"))

    Args:
        log: a lake's folder, or a file with a user, a time and a topic: what users ask about.
        file: a TOML file that names these files and settings instead: sections files, plan, units, whom, columns, budget.
        report: write one page with the plan and what it rests on there.
        progress: a bar of what is at work, on a terminal; False is silent.

    Returns:
        figures: what to expect.
        study: a `noria.grow.promote.planning.PlanStudy`.

    Raises:
        InputError: there is nothing to rest on, or a file cannot be used.
        SettingError: a setting is unknown or not allowed, or both a file and arguments tell of the plan.
    """
    from noria.grow.promote.planning import study_plan, study_plan_file

    if file is not None and (log or basis.experiment or basis.spend):
        raise SettingError(message("commands.plan_told"), found=str(file), allowed=message("commands.file_alone"))
    found = study_plan(log, basis, planning) if file is None else study_plan_file(file)
    if report is not None:
        from noria.grow.report.sections.promotion import promotion_sections

        _write(report, promotion_sections(found))
    figures = tuple(item.figure for item in found.plan.expected)
    said = tuple(line for line in found.plan.text("en").splitlines() if line.strip())
    return Analysis("Promotion plan", figures, (), said, found.plan.as_dict(), found)


def _write(path: Path, sections: Sequence[Section]) -> None:
    from noria.grow.report.page import write_report

    write_report(path, sections)


def _row(channel: Channel) -> dict[str, Any]:
    row: dict[str, Any] = {
        "channel": channel.name,
        "status": channel.status,
        "bayes_factor": channel.odds,
        "spend": channel.spend,
        "planned": channel.planned,
    }
    for name, figure in (("returns", channel.returns), ("marginal", channel.marginal)):
        for end, part in (("", "value"), ("_low", "low"), ("_high", "high")):
            row[name + end] = None if figure is None else getattr(figure, part)
    return row
