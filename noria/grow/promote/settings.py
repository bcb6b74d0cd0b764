"""The settings of `noria grow promote`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from noria.core.settings import Settings

Probability = Annotated[float, Field(gt=0, lt=1)]


class SizeSettings(Settings):
    """How surely an experiment is to find what there is."""

    power: Probability = 0.8
    """Chance of finding the effect, where there is one."""
    level: Probability = 0.95
    """1 less the chance of a false alarm, over all comparisons."""
    deviation: Annotated[float, Field(gt=0)] | None = None
    """Standard deviation of one user's outcome: then the metric is a mean; else it is a rate."""
    variants: Annotated[int, Field(ge=1, le=50)] = 1
    """Treated groups, each compared with one control group."""
    ratio: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Size of a treated group over that of the control group."""
    reduction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the variance that a covariate from before will take away."""
    users_a_day: Annotated[float, Field(gt=0)] | None = None
    """Users expected a day, all groups together; tells the days."""


class UnitSettings(Settings):
    """Where in a table of users each thing stands."""

    user: str = "user"
    """Column that names the user."""
    variant: str = "variant"
    """Column of the group; of a lake's events: version, model, segment, app or tenant."""
    outcome: str = "outcome"
    """Column of the outcome; of a lake's events a kind, such as conversion or click."""
    weight: str = "weight"
    """Column that the outcome is divided by, for a ratio metric; may be absent. Of a lake: exposures."""
    before: str = "before"
    """Column of a covariate from before the experiment; may be absent."""
    time: str = "time"
    """Column of when a user came; may be absent."""
    zone: str | None = None
    """Time zone of times that name none, such as UTC or Asia/Shanghai."""
    date_order: Literal["", "dmy", "mdy", "ymd"] = ""
    """Order of dates such as 12/1/2010; told by the data where it can be."""
    control: str | None = None
    """Name of the control group; that called control or A, or the first by name, where not told."""
    shares: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Share of users that each group was to have, the control group first; even where not told."""
    duplicates: Literal["sum", "any", "first", "refuse"] | None = None
    """How several rows of a user become one: sum; any, whether one is 1; first; refuse. Asked of outcomes of 0 and 1, else sum."""
    exposure: Literal["request", "impression"] = "request"
    """Of a lake: the kind of event by which a user enters."""
    licence: str = ""
    """Under which the data may be used; shown with every figure."""


class CompareSettings(Settings):
    """How the groups of an experiment are compared."""

    level: Probability = 0.95
    """1 less the chance of a false alarm."""
    several: Literal["dunnett", "holm", "bh", "none"] = "dunnett"
    """How several comparisons are allowed for: intervals that hold together, or adjusted p values."""
    also: tuple[str, ...] = ()
    """More outcomes, columns or kinds of event, of the same users, judged in the same run; p values are corrected for all of them."""
    correction: Literal["holm", "bh", "none"] = "holm"
    """How several outcomes are allowed for: Holm bounds any false alarm, bh (Benjamini-Hochberg) the part of false ones found."""
    estimate: Literal["mean", "winsorised", "trimmed", "rank", "quantile"] = "mean"
    """What is compared where a few users could carry a mean; chosen before looking. Of a rate it is the rate."""
    cut: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Part of the users at each end that a winsorised mean pulls in, or a trimmed mean leaves out."""
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The quantile compared; 0.5 is the median."""
    planned: Annotated[int, Field(ge=2)] | None = None
    """Users a group that were planned: there the intervals for any look are narrowest."""


class UpliftSettings(Settings):
    """How it is learnt, and judged, whom to address."""

    features: tuple[str, ...] = ()
    """Columns known of users before the experiment, numbers or words."""
    treated: str | None = None
    """Name of the treated group, where there are several."""
    learner: Literal["x", "two", "transformed"] = "x"
    """How the effect on a user is learnt: X-learner, a model a group, or a transformed outcome."""
    cost: float = 0.0
    """Of addressing one user, in units of the outcome."""
    level: Probability = 0.95
    """Coverage of the intervals."""
    draws: Annotated[int, Field(ge=100, le=20_000)] = 500
    """Draws of the bootstrap."""
    seed: int = 0
    """Seed of split, ties and bootstrap."""


class PolicySettings(Settings):
    """Where in a table of what was shown each thing stands, and how another policy is judged by it."""

    user: str = "user"
    """Column that names the user; each row is a user of its own where it is absent."""
    reward: str = "reward"
    """Column of what followed: 1 for a click, an amount."""
    propensity: str = "propensity"
    """Column of the probability with which the row was shown."""
    target: str = "target"
    """Column of the probability with which the other policy would have shown it."""
    expected: str = "expected"
    """Column of what a model expects of the row; may be absent."""
    expected_target: str = "expected_target"
    """Column of what it expects of the other policy in the row's place; may be absent."""
    most_weight: Annotated[float, Field(gt=0)] | None = None
    """The most that a row may weigh; more is cut, for less spread and some bias. Nothing is cut where not told."""
    level: Probability = 0.95
    """Coverage of the intervals."""


class SpendSettings(Settings):
    """Where in a table of spend each thing stands."""

    time: str = "time"
    """Column of a period's first day."""
    outcome: str = "outcome"
    """Column of what came: new users, revenue."""
    channels: tuple[str, ...] = ()
    """Columns of spend, one a channel."""
    controls: tuple[str, ...] = ()
    """Columns of numbers that moved the outcome too: prices, competitors, newsletters."""
    events: str = ""
    """Column of words that name holidays and the like; empty or na is none."""
    zone: str | None = None
    """Time zone of times that name none, such as UTC or Asia/Shanghai."""
    date_order: Literal["", "dmy", "mdy", "ymd"] = ""
    """Order of dates such as 12/1/2010; told by the data where it can be."""
    licence: str = ""
    """Under which the data may be used; shown with every figure."""
    note: str = ""
    """What a reader must know of the data, such as simulated."""


class BudgetSettings(Settings):
    """How a budget may be divided."""

    total: Annotated[float, Field(gt=0)] | None = None
    """Spend a period to divide among all channels; the present sum where not told."""
    low: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The least that a channel gets, over its present spend."""
    high: Annotated[float, Field(gt=1, le=5)] = 1.5
    """The most that a channel gets, over its present spend."""
    bounds: tuple[str, ...] = ()
    """Bounds of a channel of its own, over its present spend, such as search=0.8:1.2."""
    recent: Annotated[int, Field(ge=1)] = 52
    """Periods whose average is the present."""
    sure: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    """Probability with which a division must beat the present one to be recommended."""
    draws: Annotated[int, Field(ge=200, le=50_000)] = 2000
    """Draws of the posterior."""
    seed: int = 0
    """Seed of the simulation."""


class PlanSettings(Settings):
    """What a promotion plan is made for."""

    reach: Annotated[int, Field(ge=1)] | None = None
    """Users that can be addressed; effects are given per thousand where it is not set."""
    periods: Annotated[int, Field(ge=1, le=520)] = 12
    """For how many periods of the budget the plan runs."""
    users_a_day: Annotated[float, Field(gt=0)] | None = None
    """Users expected a day in the experiment that measures the plan."""
    power: Probability = 0.8
    """Of that experiment."""
    topic: str = "segment"
    """Column of the log, or of a lake's events, that names what a user asked about."""
    app: str = ""
    """Of a lake: only what was asked of this application; all of them where not told."""
    zone: str | None = None
    """Time zone of the log's times that name none, such as UTC or Asia/Shanghai."""
    needs: Annotated[int, Field(ge=1, le=50)] = 6
    """Topics shown, the most asked first."""


class PlanBasis(Settings):
    """What a plan rests on beside a log of use: an experiment and a table of spend, and how each is read."""

    experiment: Path | None = None
    """A CSV, Excel or Parquet file of users with group, outcome and features: the experiment, and whom to address."""
    spend: Path | None = None
    """A CSV, Excel or Parquet file of spend by channel and period: the budget."""
    units: UnitSettings = UnitSettings()
    """Where in the experiment each thing stands."""
    whom: UpliftSettings = UpliftSettings()
    """How it is learnt whom to address."""
    columns: SpendSettings = SpendSettings()
    """Where in the table of spend each thing stands."""
    budget: BudgetSettings = BudgetSettings()
    """How the budget may be divided."""
