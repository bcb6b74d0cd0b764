"""Ratings over time on a scale that drifts: put on one scale as far as a common shift can, and told where it cannot.

found = aligned(dates, models, ratings)
found.anchors          # [("2024-06-29", 94.1, 66.2)]: models moved by 94, give or take 66: another scale begins
found.noise            # standard error of each model's rating, from how it wanders between dates of one scale

A released model does not change, so what all models do together from one date to the next is the scale's doing, and is taken
out. Where models move so differently from each other that the movement says as much as their ratings did, no shift ties the
two dates together. Compare within one date, or on one scale; never the raw numbers of two dates.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from noria.core.errors import InputError, unknown
from noria.grow.series.series import Floats

COMMON = 5
"""Models listed on two dates in a row, below which no common shift can be told."""
TORN = 0.5
"""Spread of the models' movements over the spread of their ratings, from which on no shift ties two dates."""
_NORMAL = 1.4826
"""Median absolute deviation to standard deviation, were they normal."""


@dataclass(frozen=True)
class Aligned:
    """Ratings on as few scales as they allow."""

    dates: tuple[str, ...]
    models: tuple[str, ...]
    values: Floats
    """(dates, models), each on the scale of the last date of its own stretch; nan where a model is not listed."""
    shifts: Floats
    """(dates,): how far the models moved together since the date before; nan where too few are on both."""
    scale: npt.NDArray[np.int64]
    """(dates,): number of the scale; ratings of two scales cannot be compared."""
    anchors: tuple[tuple[str, float, float], ...]
    """Dates with which another scale begins, the median movement of the models, and its spread; nan where too few are common."""
    noise: Floats
    """(models,): standard error of one rating; nan for a model with fewer than three dates."""

    def ahead(self, model: str, date: str, rivals: Sequence[str]) -> float:
        """Return a model's rating less that of the best rival listed on the same date.

        Raises:
            SettingError: there is no such date or model.
            InputError: the model or every rival is not listed on that date.
        """
        if date not in self.dates:
            raise unknown("date", date, self.dates)
        for name in (model, *rivals):
            if name not in self.models:
                raise unknown("model", name, self.models)
        row = self.dates.index(date)
        own = self.values[row, self.models.index(model)]
        others = [self.values[row, self.models.index(rival)] for rival in rivals if rival != model]
        known = [value for value in others if not np.isnan(value)]
        if np.isnan(own) or not known:
            raise InputError(
                f"{model} cannot be compared on {date}",
                found="not listed, or no rival listed",
                allowed="both on one date",
            )
        return float(own - max(known))


def aligned(dates: Sequence[str], models: Sequence[str], ratings: Floats) -> Aligned:
    """Return ratings, (dates, models), with the common drift of each stretch of dates taken out.

    Raises:
        InputError: fewer than two dates, or a table of another shape.
    """
    if ratings.shape != (len(dates), len(models)) or len(dates) < 2:
        raise InputError(
            "ratings are a table of dates and models", found=f"{ratings.shape}", allowed="two dates or more"
        )
    changes = np.diff(ratings, axis=0)
    shifts, spreads, torn = np.full(len(dates), np.nan), np.full(len(dates), np.nan), np.zeros(len(dates), dtype=bool)
    for row, change in enumerate(changes, 1):
        both = ~np.isnan(change)
        if both.sum() < COMMON:
            torn[row] = True
            continue
        shifts[row], spreads[row] = float(np.median(change[both])), _spread(change[both])
        torn[row] = spreads[row] > TORN * _spread(ratings[row - 1, both])
    scale = np.cumsum(torn)
    later = np.zeros(len(dates))
    for row in range(len(dates) - 2, -1, -1):
        later[row] = 0.0 if torn[row + 1] else later[row + 1] + shifts[row + 1]
    values = ratings + later[:, None]
    anchors = tuple((dates[row], float(shifts[row]), float(spreads[row])) for row in np.flatnonzero(torn).tolist())
    return Aligned(tuple(dates), tuple(models), values, shifts, scale, anchors, _wandering(values, scale))


def _spread(values: Floats) -> float:
    return _NORMAL * float(np.median(np.abs(values - np.median(values))))


def _wandering(values: Floats, scale: npt.NDArray[np.int64]) -> Floats:
    """Return each model's noise: the typical step between dates of one scale, over the root of two.

    Root mean square, not a median: most snapshots repeat a rating that was not measured anew, and a median would call it exact.
    """
    steps = np.where((np.diff(scale) == 0)[:, None], np.diff(values, axis=0), np.nan)
    enough = (~np.isnan(steps)).sum(0) >= 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a model without a step has no mean, and gets none
        return np.asarray(np.where(enough, np.sqrt(np.nanmean(steps**2, axis=0) / 2), np.nan), dtype=np.float64)
