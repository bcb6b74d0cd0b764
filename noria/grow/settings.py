"""The settings of `noria grow`."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from noria.core.settings import Settings

from .log.zones import Fiscal, LocalCalendar, WeekStart, YearWeek, local_calendar


class LogSettings(Settings):
    """Where in a log each thing stands, and how it is split into periods."""

    user: str = "user"
    """Column that names the user."""
    time: str = "time"
    """Column of the time: ISO 8601, a day, seconds since 1970, and what else docs/grow-files.md lists; a bare date is a day of `day_zone`."""
    value: str = "value"
    """Column of an amount; may be absent. One that cannot be read or is negative is set aside, its act kept."""
    units: str = "units"
    """Column of how much was used; 1 where absent."""
    segment: str = "segment"
    """Column to split by; of a lake's events: app, model, tenant or segment."""
    id: str = "id"
    """Column of an id: rows with one id are one act; may be absent, or empty for some."""
    zone: str | None = None
    """Time zone of times that name none, such as UTC, Asia/Shanghai or +08:00."""
    day_zone: str | None = None
    """Time zone that days, weeks, months and years are counted in; that of `zone` where it is not given, else UTC."""
    week_starts: WeekStart = "monday"
    """Day on which weeks begin."""
    fiscal: Fiscal = ""
    """Months, quarters and years of whole weeks: a retailer's 4-4-5, 4-5-4 or 5-4-4, or iso; those of the calendar where left out."""
    year_starts: Annotated[int, Field(ge=1, le=12)] = 1
    """Month in which years and quarters begin: 4 for April."""
    year_week: YearWeek = "nearest"
    """Fiscal years begin with the week nearest to the first of that month, or with the week holding it."""
    date_order: Literal["", "dmy", "mdy", "ymd"] = ""
    """Order of dates such as 12/1/2010; told by the data where a day above 12 or the order of the rows decides it."""
    decimal: Literal["", ".", ","] = ""
    """What stands before the decimals of amounts; told by the data where one can mean nothing else."""
    keep_users: tuple[str, ...] = ()
    """Words for nobody, such as 0 or guest, that are users here; null, None, anonymous and the like are set aside and told."""
    source: str = ""
    """Who published a file's figures, where; a log's name where not given. Of a series asked for once, and kept beside the file."""
    licence: str = ""
    """Under which the log, or the series, may be used; shown with every figure."""
    unit: str = ""
    """Unit of the amount."""
    period: Literal["day", "week", "month", "quarter", "year"] = "week"
    """Period of growth accounting and retention."""
    table: str = "events"
    """Table of an engine that is named by its address; a point parts it from its schema."""

    def calendar(self) -> LocalCalendar:
        """Return what days, weeks, months and years are counted by.

        Raises:
            InputError: there is no such zone.
            SettingError: ISO's months with other weeks or years than ISO's.
        """
        zone = self.day_zone or self.zone
        return local_calendar(zone, self.week_starts, self.fiscal, self.year_starts, self.year_week)


class UserSettings(Settings):
    """What is asked of a log's users."""

    by: str = ""
    """Column to account growth within, or several as a rollup: app,model. Of a lake: segment, app, model, version, tenant, topic."""
    retention: Literal["first", "recurring", "bracketed", "rolling"] = "first"
    """Kind of the retention triangle."""
    funnel: str = ""
    """Steps such as "impression > click > kind=conversion,app=shop"; a bare word is a kind of event, or a segment."""
    funnel_days: Annotated[float, Field(ge=0, le=36_500)] = 7.0
    """Window of the funnel, from its first step; 0 for none."""
    funnel_order: Literal["ordered", "strict", "any"] = "ordered"
    """Other acts may lie between (ordered), none may (strict), or the steps come in any order (any)."""
    activation_acts: Annotated[int, Field(ge=2)] = 3
    """With how many acts a newcomer counts as activated ..."""
    activation_days: Annotated[int, Field(ge=1)] = 7
    """... in how many days, the first one included."""
    power_days: Annotated[int, Field(ge=2, le=366)] = 28
    """Last days of the log in which power users and needs are looked for."""
    lapse_days: Annotated[int, Field(ge=1, le=3660)] = 90
    """A user without an act for more days than these has lapsed."""
    lifetime: Literal["best", "bg-nbd", "mbg-nbd", "pareto-nbd"] = "best"
    """Which model says what users will still do: the best on the weeks held out, or one by name."""
    until: date | None = None
    """Last day that the lifetime models see; half of the log if not given. What the log has after it is held out; where that is
    less than a week, the weeks to come are forecast."""
    weeks: Annotated[int, Field(ge=0, le=260)] = 0
    """Weeks that are held out or forecast after `until`; 0 for all that the log has, or 13 to come."""

    def rollup(self) -> tuple[str, ...]:
        """Return the columns of `by`."""
        return tuple(name.strip() for name in self.by.split(",") if name.strip())


class MarketSettings(Settings):
    """Which market of a series, and how far ahead."""

    measure: str | None = None
    """Which measure of the series; may be left out where it has one. Measures are never mixed."""
    market: str | None = None
    """Which segment of the series; may be left out where it has one."""
    horizon: Annotated[int, Field(ge=1, le=60)] = 6
    """Periods to forecast."""
    model: Literal["best", "persistence", "last-value", "drift", "attraction", "structural", "rivalry", "blend"] = (
        "best"
    )
    """Which model of shares forecasts; best is what the back-test proves, and persistence where it proves nothing."""
    holdout: Annotated[int, Field(ge=1, le=24)] = 3
    """Periods ahead that the back-test scores."""
    draws: Annotated[int, Field(ge=100, le=100_000)] = 2000
    """Simulated markets."""
    seed: int = 0
    """Seed of the simulation."""


class ForecastSettings(Settings):
    """What is forecast."""

    of: Literal["shares", "level", "flow", "users", "rivals", "generations"] = "shares"
    """Shares of a market; one entity's amounts, as a level (users) or a flow (sales); the active users of a log; amounts of
    several that take from one another (rivals), or that replace one another (generations)."""
    entity: str | None = None
    """Whose level or flow; may be left out where the series has one entity."""
    curve: Literal[
        "best",
        "persistence",
        "last-value",
        "drift",
        "bass",
        "generalised",
        "gompertz",
        "logistic",
        "cohorts",
        "lotka-volterra",
        "norton-bass",
        "blend",
    ] = "best"
    """Which model of anything but shares forecasts; best is what the back-test proves. Cohorts are for users, generalised Bass for
    a flow with an effort, Lotka-Volterra for rivals, Norton-Bass for generations."""
    estimator: Literal["likelihood", "nls", "ols", "density"] = "likelihood"
    """What estimates growth curves: maximum likelihood under even or proportional noise, whichever the data speak for; nonlinear
    least squares (nls: Srinivasan and Mason 1986); for Bass flows, regression on cumulative sales (ols: Bass 1969), or
    least squares on the density at each period's end."""
    newcomers: bool = False
    """Leave room among the shares for rivals that are not there yet, at the pace at which some have entered."""


class JointSettings(Settings):
    """What is known of series that act on one another, or on the one that is forecast."""

    take: tuple[str, ...] = ()
    """The entities that are rivals or generations; all where none is named."""
    method: Literal["steps", "paths"] = "steps"
    """Rivals: regress each period's growth on all (steps), or follow the equations themselves (paths)."""
    launch: tuple[str, ...] = ()
    """Generations: NAME=TIME, for those that are there from the first period on."""
    apart: bool = False
    """Generations: p and q of its own for each, instead of one pair for all."""
    effort: tuple[str, ...] = ()
    """Of a flow: measures of the series that speed it up, such as price, at most two (generalised Bass)."""


class AheadSettings(ForecastSettings, JointSettings):
    """One more forecast of a report's series, beside its shares and the log's users: of a flow, a level, rivals or generations."""
