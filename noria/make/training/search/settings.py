"""The settings of cross-validation and of the search for settings. No torch, no optuna here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from noria.core.settings import Settings


class CrossSettings(Settings):
    """How rows are dealt out to folds, and how often."""

    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Parts that the rows are dealt out to; each is judged once by a model that has not seen it."""
    seeds: Annotated[int, Field(ge=1, le=50)] = 1
    """How often all of it is done, each time with other first weights, order and folds."""


class SearchSettings(Settings):
    """How many trials a search makes, and how surely its winner is known."""

    trials: Annotated[int, Field(ge=1, le=10_000)] = 12
    """Trainings with different settings, those given up early among them."""
    prune: bool = True
    """Give a trial up when it stands below the median of those before it, at the same evaluation."""
    seeds: Annotated[int, Field(ge=1, le=50)] = 3
    """How often the winner is trained again, each time under another seed."""
