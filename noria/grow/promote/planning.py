"""What a promotion plan is made from: files of use, of an experiment and of spend, each of which may be absent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from noria.core.errors import InputError
from noria.core.messages import message
from noria.core.settings import Settings, check_sections, read_toml
from noria.grow.log.lake import events
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_events, read_log

from .experiment import Experiment, analyse
from .plan import Plan, needs_of, plan
from .settings import BudgetSettings, PlanBasis, PlanSettings, SpendSettings, UnitSettings, UpliftSettings
from .study import BudgetStudy, open_spend, open_units, study_budget, uplift_of
from .uplift import Uplift


class PlanFiles(Settings):
    """The files that a plan rests on; paths are relative to the folder of the file that names them."""

    log: str | None = None
    """A lake's folder, or a table with user, time and topic: what users ask about."""
    experiment: str | None = None
    """A table of users with group, outcome and features."""
    spend: str | None = None
    """A table of spend by channel and period."""


SECTIONS: dict[str, type[Settings]] = {
    "files": PlanFiles,
    "plan": PlanSettings,
    "units": UnitSettings,
    "whom": UpliftSettings,
    "columns": SpendSettings,
    "budget": BudgetSettings,
}
"""Sections of a plan's TOML file."""


@dataclass(frozen=True)
class PlanStudy:
    """A plan, and what it rests on."""

    plan: Plan
    tried: Experiment | None
    whom: Uplift | None
    """None where nothing is known of users before."""
    money: BudgetStudy | None


def study_plan(log: str | Path | None, basis: PlanBasis, settings: PlanSettings | None = None) -> PlanStudy:
    """Return the plan that a log of use and what it rests on beside it give.

    Args:
        log: what users ask about: a lake's folder, or a table with user, time and topic.
        basis: the experiment, the spend, and how each is read.
        settings: of the plan.

    Raises:
        InputError: no file was named, or one cannot be used.
    """
    settings = settings or PlanSettings()
    if log is None and basis.experiment is None and basis.spend is None:
        raise InputError(message("grow.plan_needs"), allowed=message("grow.log_use"))
    tried = found = None
    if basis.experiment is not None:
        users = open_units(basis.experiment, basis.units, basis.whom.features)
        tried = analyse(users)
        if (users.features or users.before is not None) and users.weight is None:
            found = uplift_of(users, basis.whom)
    money = None
    if basis.spend is not None:
        money = study_budget(open_spend(basis.spend, basis.columns), basis.budget)
    needs = []
    if log is not None:
        opened = _log(Path(log), settings)
        needs = needs_of(opened, settings.needs)
    made = plan(
        tried=tried,
        whom=found,
        money=money,
        needs=needs,
        reach=settings.reach,
        periods=settings.periods,
        users_a_day=settings.users_a_day,
        power=settings.power,
    )
    return PlanStudy(made, tried, found, money)


def _log(where: Path, settings: PlanSettings) -> Log:
    if not where.is_dir():
        return read_log(where, segment=settings.topic, zone=settings.zone)
    table = events(where)
    return log_of_events(table.filter(table.app == settings.app) if settings.app else table, segment=settings.topic)


def study_plan_file(path: str | Path) -> PlanStudy:
    """Return the plan that a TOML file with `SECTIONS` describes.

    Raises:
        InputError: no such file, or one that it names cannot be used.
        SettingError: an unknown section or key, or a value out of its range.
    """
    path = Path(path)
    told = check_sections(read_toml(path), SECTIONS)
    made = {name: told.get(name, kind()) for name, kind in SECTIONS.items()}
    files, settings = made.pop("files"), made.pop("plan")
    assert isinstance(files, PlanFiles)
    assert isinstance(settings, PlanSettings)
    log, experiment, spend = (
        None if name is None else path.parent / name for name in (files.log, files.experiment, files.spend)
    )
    return study_plan(log, PlanBasis.make(experiment=experiment, spend=spend, **made), settings)


def simulated_plan(seed: int = 0) -> PlanStudy:
    """Return a plan of a simulated campaign and a simulated market: what a plan looks like, before there are data."""
    from .simulated import advertising, campaign

    users = campaign(seed=seed)
    tried, found, money = (
        analyse(users),
        uplift_of(users, UpliftSettings()),
        study_budget(advertising(seed=seed).spend, BudgetSettings(draws=800)),
    )
    return PlanStudy(plan(tried=tried, whom=found, money=money, reach=50_000, users_a_day=800), tried, found, money)
