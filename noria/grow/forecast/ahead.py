"""What is asked of the future in one call: shares, one series above zero, a log's users, rivals, generations.

found = look_ahead("sales.csv", ForecastSettings(of="flow"), MarketSettings(horizon=12))
found.rows(), found.verdict()["zh"], found.as_dict()
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, SettingError
from noria.core.figure import Figure
from noria.core.messages import Message, as_is, joined, message
from noria.grow.analysis import MarketStudy, study_market
from noria.grow.market.settings import BasisSettings, ListingSettings
from noria.grow.market.study import open_market, series_options
from noria.grow.series.series import read_series
from noria.grow.settings import ForecastSettings, JointSettings, LogSettings, MarketSettings
from noria.grow.users.study import open_log

from .joint.rivals import study_rivals
from .joint.several import JointStudy, amounts_of
from .joint.succession import by_launch, study_generations
from .levels.effort import effort_of, study_effort
from .levels.levels import levels_of
from .scoring.standings import Backtest
from .shares.entry import entries
from .study import LevelStudy, period_for, study_levels, study_users_ahead


@dataclass(frozen=True)
class Outcome:
    """A forecast with its back-test, of whatever was asked."""

    of: str
    study: MarketStudy | LevelStudy | JointStudy
    figures: tuple[Figure, ...] = ()
    """Of series that act on one another: what each does to another, or what each generation adds."""
    notes: tuple[Message, ...] = ()
    launches: Mapping[str, str] = field(default_factory=dict)
    """Generation -> when it was launched."""
    pace: Figure | None = None
    """At which rivals have entered, where room was left for newcomers."""

    @property
    def backtest(self) -> Backtest | None:
        """How good such forecasts were; None where the series is too short."""
        return self.study.backtest

    def verdict(self) -> Message:
        """Return what the back-test says, or why there is none."""
        test, silence = self.study.backtest, self.study.silence
        return test.verdict() if test else message("forecast.no_back_test", silence=silence)

    def launched(self) -> Message:
        """Return when each generation was launched."""
        each = [as_is(f"{name} {time}") for name, time in self.launches.items()]
        return message("forecast.joint.launched", launches=joined("join.list", each))

    def rows(self) -> list[dict[str, Any]]:
        """Return median and 90 % interval of every entity at every time to come."""
        study = self.study
        if isinstance(study, LevelStudy):
            return _level_rows(study)
        if isinstance(study, JointStudy):
            low, high = study.interval(0.9)
            return _rows(study.times, study.history.names, study.median(), low, high, study.history.unit)
        assert study.forecast is not None
        low, high = study.forecast.interval(0.9)
        return _rows(study.forecast.times, study.forecast.entities, study.forecast.median(), low, high)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, JSON-able."""
        study, test = self.study, self.study.backtest
        told = {
            "backtest": [item.as_dict() for item in test.standings] if test else [],
            "weights": test.weights if test else {},
            "silent": test.silent if test else {},
            "gate": test.ruling.as_dict() if test else None,
            "breaks": test.break_facts() if test else [],
        }
        facts: dict[str, Any] = {
            "model": study.model,
            "forecast": self.rows(),
            **told,
            "verdict": self.verdict().both(),
        }
        if isinstance(study, LevelStudy):
            curves = {name: one.as_dict() for name, one in study.adoptions.items()}
            facts |= {"entity": study.history.name, "of": self.of, "source": study.source}
            return {**facts, "curves": curves, "notes": [note.both() for note in self.notes]}
        if isinstance(study, JointStudy):
            facts |= {"of": self.of, "unit": study.history.unit, "source": study.history.provenance.text()}
            facts |= {"entities": list(study.history.names), "figures": [figure.as_dict() for figure in self.figures]}
            return {
                **facts,
                **({"launches": dict(self.launches)} if self.launches else {}),
                "notes": [note.both() for note in self.notes],
            }
        facts |= {"base": study.market.base, "source": study.market.provenance.text()}
        return {**facts, "flags": [flag.as_dict() for flag in study.market.flags]}


def look_ahead(
    where: str | Path | None = None,
    what: ForecastSettings | None = None,
    market: MarketSettings | None = None,
    *,
    log: LogSettings | None = None,
    joint: JointSettings | None = None,
    listing: ListingSettings | None = None,
) -> Outcome:
    """Return the forecast that was asked for.

    Args:
        where: a series, or for users a log; the bundled chatbot shares, or purchases, where None.
        what: shares, level, flow, users, rivals or generations, and by which model.
        market: measure and segment, periods ahead, draws.
        log: how a log or a lake is read.
        joint: what is known of series that act on one another, or on the one that is forecast.
        listing: whose shares, and how missing labels are read.

    Raises:
        InputError: the file cannot be used, or nothing can be forecast from it.
        SettingError: settings that do not go with what is forecast.
    """
    what, market, log = what or ForecastSettings(), market or MarketSettings(), log or LogSettings()
    joint, listing = joint or JointSettings(), listing or ListingSettings()
    if what.of != "shares" and listing != ListingSettings():
        raise SettingError(
            message("grow.labels_left"),
            found=f"--of {what.of}",
            allowed="--of shares",
            hint=message("grow.name_those"),
        )
    if what.estimator != "likelihood":
        allowed = [name for name, kinds in _ESTIMATORS.items() if what.of in kinds]
        if what.estimator not in allowed:
            raise SettingError(
                message("grow.estimator_left"),
                found=f"--of {what.of} --estimator {what.estimator}",
                allowed=", ".join(f"--estimator {name}" for name in allowed) or message("grow.estimator_none"),
            )
    if what.of in ("rivals", "generations"):
        return _joint(where, what, market, log, joint)
    if what.of != "shares":
        study, notes = _levels(where, what, market, log, joint)
        if study.outlook is None:
            raise InputError(message("grow.forecast", silence=study.silence))
        return Outcome(what.of, study, notes=tuple(notes))
    opened = open_market(where, log, BasisSettings(without=listing.without))
    found = study_market(opened, market, newcomers=what.newcomers, unlisted=listing.unlisted)
    if found.forecast is None:
        raise InputError(message("grow.forecast", silence=found.silence))
    return Outcome("shares", found, pace=entries(found.market).pace() if what.newcomers else None)


def _joint(
    where: str | Path | None, what: ForecastSettings, market: MarketSettings, log: LogSettings, joint: JointSettings
) -> Outcome:
    if where is None:
        raise InputError(message("grow.forecast_needs", of=what.of), hint=message("grow.name_csv"))
    if joint.effort:
        raise SettingError(message("grow.effort_speeds"), found=f"--of {what.of}", allowed="--of flow")
    history = amounts_of(read_series(where, series_options(log)), market.measure, market.market, joint.take)
    flags = [flag.text() for flag in history.flags]
    facts = _facts(what, market)
    if what.of == "rivals":
        found = study_rivals(history, method=joint.method, **facts)
        return Outcome(what.of, found.ahead, tuple(found.rivals.effects()), (*flags, *found.notes()))
    launched = study_generations(by_launch(history, joint.launch, apart=joint.apart), **facts)
    fitted = launched.generations
    notes = (*flags, *fitted.notes())
    return Outcome(what.of, launched.ahead, tuple(fitted.figures()), notes, dict(launched.launches))


_ESTIMATORS = {
    "likelihood": ("level", "flow", "users"),
    "nls": ("level", "flow", "users"),
    "ols": ("flow",),
    "density": ("flow",),
}
"""Estimator -> what it can be asked for."""


def _facts(what: ForecastSettings, market: MarketSettings) -> dict[str, Any]:
    return {
        "horizon": market.horizon,
        "holdout": market.holdout,
        "model": what.curve,
        "draws": market.draws,
        "seed": market.seed,
    }


def _rows(times: Any, names: Any, middle: Any, low: Any, high: Any, unit: str | None = None) -> list[dict[str, Any]]:
    return [
        {
            "time": time,
            "entity": name,
            "median": float(middle[row, column]),
            "low": float(low[row, column]),
            "high": float(high[row, column]),
            "level": 0.9,
            **({} if unit is None else {"unit": unit}),
        }
        for row, time in enumerate(times)
        for column, name in enumerate(names)
    ]


def _level_rows(study: LevelStudy) -> list[dict[str, Any]]:
    assert study.outlook is not None
    low, high = study.outlook.interval(0.9)
    return [
        {
            "time": time,
            "entity": study.history.name,
            "median": float(middle),
            "low": float(a),
            "high": float(b),
            "level": 0.9,
            "unit": study.history.unit,
        }
        for time, middle, a, b in zip(study.times, study.outlook.median(), low, high, strict=True)
    ]


def _levels(
    where: str | Path | None, what: ForecastSettings, market: MarketSettings, log: LogSettings, joint: JointSettings
) -> tuple[LevelStudy, list[Message]]:
    """Return the study of one series above zero, and what is to be known with its forecast."""
    facts = _facts(what, market) | {"estimator": what.estimator}
    if joint.effort and what.estimator in ("ols", "density"):
        raise SettingError(message("grow.covariates_estimator"), found=what.estimator, allowed="likelihood, nls")
    if joint.effort and what.of != "flow":
        raise SettingError(message("grow.effort_speeds"), found=f"--of {what.of}", allowed="--of flow")
    allowed = _curves(what.of, joint.effort)
    if what.curve not in allowed:
        raise SettingError(message("grow.such_model", of=what.of), found=what.curve, allowed=allowed)
    if what.of == "users":
        with closing(open_log(where, log)) as opened:
            period = log.period if "period" in log.model_fields_set else period_for(opened)
            return study_users_ahead(opened, period, **facts), []
    if where is None:
        raise InputError(message("grow.forecast_needs_series", of=what.of), hint=message("grow.name_csv"))
    series = read_series(where, series_options(log))
    history = levels_of(series, "flow" if what.of == "flow" else "level", market.measure, market.market, what.entity)
    notes = [flag.text() for flag in series.flags]
    if not joint.effort:
        return study_levels(history, **facts), notes
    effort = effort_of(series, joint.effort, history, market.market)
    return study_effort(history, effort, **facts), [*notes, effort.note(market.horizon)]


def _curves(of: str, effort: tuple[str, ...]) -> list[str]:
    """Return the models that can forecast one series above zero."""
    more = ["cohorts"] if of == "users" else ["generalised"] if effort else []
    return ["best", "persistence", "last-value", "drift", "bass", "gompertz", "logistic", *more, "blend"]
