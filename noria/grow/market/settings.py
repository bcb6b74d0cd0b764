"""The settings of what is asked of a market."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from noria.core.settings import Settings


class ListingSettings(Settings):
    """Whose shares, and how missing and overlapping labels are read."""

    without: tuple[str, ...] = ()
    """Entities to leave out, such as a label that is the sum of others."""
    unlisted: Literal["auto", "missing", "zero", "below-cut", "outside"] = "auto"
    """What was not published at a time that has others: missing; zero; below the smallest of a list of the largest (between zero and
    that); or, before an entity's first and after its last value, outside the market. Auto: a list where it looks like one, else missing."""


class BasisSettings(ListingSettings):
    """Whose shares, between which times, and of which parts."""

    first: str | None = None
    """Time a decomposition begins with; the first whole one where not given."""
    last: str | None = None
    """Time it ends with; the last whole one where not given."""
    market_column: Literal["tenant", "app", "model", "segment"] | None = None
    """Of a lake's events: the column whose values are the markets, of which --market names one."""


class DriverSettings(Settings):
    """What may move share or growth, and how that is asked."""

    driver: tuple[str, ...] = ()
    """Measures of the series that may drive the one asked for; '<name> standard error' is a driver's own uncertainty."""
    form: Literal["mnl", "mci", "growth"] = "mnl"
    """mnl: log share on drivers; mci: on their logarithms; growth: change of log amount on changes of drivers."""
    lag: Annotated[int, Field(ge=0, le=24)] = 0
    """Periods by which drivers come before what they move."""
    window: Annotated[int, Field(ge=1, le=24)] = 3
    """Periods before and after an event that an event study looks at."""
    level: Annotated[float, Field(ge=0.5, le=0.999)] = 0.95
    """Coverage of the intervals."""
    repeats: Annotated[int, Field(ge=99, le=99_999)] = 1999
    """Draws of the wild bootstrap and of placebo events."""
    chance: int = 0
    """Seed of those draws."""


class PotentialSettings(Settings):
    """How ranges of market size are drawn, and when a ceiling would be met."""

    ceiling: tuple[float, float] | None = None
    """Lowest and highest level at which use could saturate, in the unit of the series; asks for penetration."""
    entity: str | None = None
    """Whose use is held against the ceiling; the largest entity's where not given."""
    size_unit: str = ""
    """Unit of a market size, shown with it: the product of its factors' units."""
    sizes: Annotated[int, Field(ge=1000, le=1_000_000)] = 20_000
    """Draws of the input ranges."""
    within: Annotated[float, Field(ge=0.5, le=0.99)] = 0.9
    """Part of the draws that a range shown holds."""
    dice: int = 0
    """Seed of those draws."""


class TargetSettings(Settings):
    """How users are put into segments, and what makes a segment worth addressing."""

    grouping: Literal["rules", "clusters", "own"] = "rules"
    """Plain rules on recency, use and value; k-means clusters of the same; or the log's own segments."""
    weight_users: Annotated[float, Field(ge=0)] = 1.0
    """Weight of a segment's part of all users."""
    weight_value: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the value of one of its users."""
    weight_active: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the part of them active of late."""
    weight_new: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the part of them who are new."""
