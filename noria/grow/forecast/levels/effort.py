"""Effort that speeds a flow up: generalised Bass with measures of the series as its covariates, back-tested beside plain Bass.

    effort = effort_of(series, ("price",), sales)
    study = study_effort(sales, effort)
    study.adoptions["generalised"].figures()            # p, q, the effect of each measure, the ceiling

Bass, Krishnan and Jain (1994): effort speeds time up by the change of a covariate's logarithm times its effect. In the
back-test nobody knows an effort to come, so it stays as it was last; a forecast follows what the series plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from noria.core.errors import InputError, unknown
from noria.core.messages import Message, message
from noria.grow.forecast.study import LevelStudy, study_levels
from noria.grow.series.calendars import following
from noria.grow.series.series import Floats, Series

from .adoption import fit_compared, fit_one
from .diffusion import FORECAST, LEAST_SQUARES, Estimator
from .levels import LevelModel, Levels
from .outlook import Outlook

MODEL = "generalised"


@dataclass(frozen=True)
class Effort:
    """Changes of the logarithms of C measures, period by period."""

    names: tuple[str, ...]
    changes: Floats
    """(T, C), none in the first period."""
    planned: Floats
    """(H, C): after the last period of the flow, as far as the series goes."""

    def ahead(self, horizon: int) -> Floats:
        """Return the next `horizon` periods, (horizon, C): what is planned, and no change thereafter."""
        found = np.zeros((horizon, len(self.names)))
        known = min(horizon, len(self.planned))
        found[:known] = self.planned[:known]
        return found

    def note(self, horizon: int) -> Message:
        """Return what the forecast takes the effort to do, in both languages."""
        known = min(horizon, len(self.planned))
        names = ", ".join(self.names)
        if known == horizon:
            return message("forecast.forecast_follows_as_series_plans", names=names)
        return message("forecast.forecast_follows_for_period_s", names=names, known=known)


def effort_of(series: Series, measures: Sequence[str], flow: Levels, segment: str | None = None) -> Effort:
    """Return measures of a series as efforts behind one entity's flow: the entity's own, or the only one there is.

    Raises:
        SettingError: no such measure.
        InputError: a period without the measure, or values that are not above zero: their logarithm is what counts.
    """
    columns = []
    for measure in measures:
        if measure not in series.measures:
            raise unknown("measure", measure, series.measures)
        chosen = [
            point
            for point in series.points
            if point.measure == measure and (segment is None or point.segment == segment)
        ]
        owners = dict.fromkeys(point.entity for point in chosen)
        owner = flow.name if flow.name in owners else next(iter(owners), "") if len(owners) == 1 else ""
        if not owner:
            raise InputError(message("grow.none_sells", measure=measure), found=", ".join(owners), allowed=flow.name)
        known = {point.time: point.value for point in chosen if point.entity == owner}
        later = following(flow.times, len(known))
        planned = next((place for place, time in enumerate(later) if time not in known), len(later))
        values = [known.get(time) for time in (*flow.times, *later[:planned])]
        for time, value in zip((*flow.times, *later), values, strict=False):
            if value is None or value <= 0:
                raise InputError(
                    message("grow.must_above", measure=measure),
                    found=message("grow.in", value="nothing" if value is None else value, time=time),
                    hint=message("grow.effort_counts"),
                )
        columns.append(np.log(np.array(values, dtype=np.float64)))
    size = min(len(column) for column in columns)
    changes = np.stack([np.diff(column[:size], prepend=column[0]) for column in columns], axis=1)
    return Effort(tuple(measures), changes[: len(flow.times)], changes[len(flow.times) :])


def study_effort(
    flow: Levels,
    effort: Effort,
    *,
    horizon: int = 6,
    holdout: int = 3,
    model: str = "best",
    draws: int = 2000,
    seed: int = 0,
    estimator: Estimator = "likelihood",
) -> LevelStudy:
    """Return the study of a flow, generalised Bass among its models and curves.

    Raises:
        InputError: more than two measures.
    """
    study = study_levels(
        flow,
        horizon=horizon,
        holdout=holdout,
        model=model,
        draws=draws,
        seed=seed,
        extra={MODEL: generalised(effort, estimator)},
        estimator=estimator,
    )
    try:
        fitted = fit_compared(
            flow.values, "bass", kind="flow", estimator=estimator, effort=effort.changes, source=study.source
        )
    except InputError as error:
        if study.outlook is None or model == MODEL:
            raise
        return replace(study, silence=error.as_message())
    others = {name: replace(one, efforts=effort.names) for name, one in fitted.others.items()}
    named = replace(fitted, efforts=effort.names, others=others)
    return replace(study, adoptions={**study.adoptions, MODEL: named})


def generalised(effort: Effort, estimator: Estimator = "likelihood") -> LevelModel:
    """Return generalised Bass as a model to be back-tested: a history cut short knows no effort to come."""
    whole = len(effort.changes)

    def model(history: Levels, horizon: int, draws: int, seed: int) -> Outlook:
        seen = len(history.times)
        known = replace(
            effort, changes=effort.changes[:seen], planned=effort.planned if seen == whole else effort.planned[:0]
        )
        noises = FORECAST["flow"] if estimator == "likelihood" else LEAST_SQUARES
        fitted = fit_one(history.values, "bass", noises=noises, estimator=estimator, effort=known.changes)
        return fitted.ahead(horizon, draws=draws, seed=seed, effort=known.ahead(horizon))

    return model
