"""How each model stood over all origins, what the gate says of them, and whether a break lies among the origins.

test.verdict()               # beats, does not beat, or cannot tell, in each language, with n and interval
test.ruling.as_dict()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from noria.core.figure import Figure, number
from noria.core.messages import Message, joined, message, term
from noria.grow.forecast.names import BASELINE, LAST, name_of
from noria.grow.series.series import Floats

from .breaks import ALARM, Break, breaks_of
from .gate import ENOUGH, LEVEL, Lead, Verdict, blocks_of, leads_of, loses, pick, still_wanted

LEVELS = (0.5, 0.8, 0.9)


@dataclass(frozen=True)
class Trial:
    """One model's forecast from one origin for one horizon, and how it did."""

    model: str
    origin: str
    """Last time the model had seen."""
    horizon: int
    log_score: float
    """Higher is better; nan of a point forecast, which gives no density."""
    energy: float
    """Energy score, in the unit of the values (points of share for shares); lower is better."""
    crps: float
    """Mean over entities, in that unit; lower is better."""
    error: float
    """Mean absolute error of the medians, in that unit."""
    naive: float
    """Mean absolute change from one known value to the next inside the window seen, in that unit."""
    covered: tuple[float, ...]
    """Part of the values inside the interval, for each of `LEVELS`."""
    moved: float = 0.0
    """Largest absolute change from the last value known at the origin to what came, in that unit."""
    seen: int = 0
    """Rows the model had seen."""


@dataclass(frozen=True)
class Past:
    """The values of a back-test as breaks are looked for among them."""

    times: tuple[str, ...]
    names: tuple[str, ...]
    values: Floats
    """(T, K): logarithms, or log-odds of shares, where they can be taken."""
    marked: tuple[tuple[int, int], ...] = ()
    """Row and column of the breaks marked by hand."""

    @cached_property
    def breaks(self) -> tuple[Break, ...]:
        """The breaks marked by hand, and those that the data tell of the `WIDEST` columns."""
        widest = np.argsort(-np.nan_to_num(np.nanmean(np.where(np.isnan(self.values), 0.0, self.values), 0)))[:WIDEST]
        columns = np.sort(widest)
        found = {(each.row, int(columns[each.column])): each for each in breaks_of(self.values[:, columns])}
        told = [Break(row, column, "marked", 0.0) for row, column in self.marked]
        told += [
            Break(row, column, each.kind, each.p)
            for (row, column), each in found.items()
            if (row, column) not in self.marked
        ]
        return tuple(sorted(told, key=lambda each: (each.row, each.column)))


WIDEST = 8
"""Columns in which breaks are looked for: the largest."""
_TOLD = 4
_KINDS: Mapping[str, Message] = {
    "jump": message("forecast.break.jump"),
    "level": message("forecast.break.level"),
    "regime": message("forecast.break.regime"),
}


@dataclass(frozen=True)
class Standing:
    """One model over all trials."""

    model: str
    trials: int
    origins: int
    log_score: float | None
    """None of the last value, which gives no density."""
    energy: float
    crps: float
    mase: float | None
    """None where nothing moved inside the windows seen: there is no change to hold an error against."""
    coverage: dict[str, float]
    """Level in percent -> part of the values inside."""
    gain: Figure | None
    """Log score above persistence, per forecast; None for the bars. The intervals of all models hold together: of many that
    try, one would else beat persistence by chance."""
    lead: Figure | None
    """By what part the energy score is below that of the better bar; None for the bars. Scores at each origin count in units
    of the mean change known by then, so that a series which grew is not judged by its end alone."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)


@dataclass(frozen=True)
class Ruling:
    """What the gate says."""

    verdict: Verdict
    model: str | None
    """The winner, or the model that came nearest."""
    bar: str
    """The better one of the bars."""
    energy: float | None
    """The model's mean energy score, in the unit of the values."""
    bar_energy: float
    lead: Figure | None
    """Of the model: by what part its energy score is below the bar's."""
    gain: Figure | None
    """Of the model in log score above persistence."""
    origins: int
    independent: int
    """Origins that count: those whose forecasts do not overlap."""
    periods_more: int
    """About how many more periods would make them enough."""
    still: bool
    """Whether no value moved after any origin by as much as the source can tell."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {**asdict(self), "origins_wanted": ENOUGH}


@dataclass(frozen=True)
class Backtest:
    """All trials of all models."""

    trials: tuple[Trial, ...]
    standings: tuple[Standing, ...]
    horizon: int
    weights: dict[str, float] = field(default_factory=dict)
    """What the blend gives each model from now on, learned from all trials."""
    silent: dict[str, str] = field(default_factory=dict)
    """Models that could not take part, and why."""
    resolution: float = 0.0
    """The smallest step in which the values are told, in the unit of the scores."""
    unit: str = ""
    """Of the scores."""
    past: Past | None = None

    @property
    def still(self) -> bool:
        """Whether no value moved after any origin by as much as the source can tell: then none can do better than persistence."""
        return all(trial.moved <= max(self.resolution / 2, 1e-9) for trial in self.trials)

    @property
    def winner(self) -> str:
        """The model to use: the one that the gate lets through, else persistence."""
        return self.ruling.model or BASELINE if self.ruling.verdict == "beats" else BASELINE

    @cached_property
    def ruling(self) -> Ruling:
        """What the gate says."""
        standing = {item.model: item for item in self.standings}
        table = Table.of([trial for trial in self.trials if trial.model in standing], self.resolution)
        behind = {name: standing[name].energy >= standing[table.bar].energy for name in table.models}
        losing = {name: lost or behind[name] for name, lost in table.losing().items()}
        verdict, model = pick(table.leads(), losing, table.independent(self.horizon))
        if self.still:
            verdict = "does not beat"
        mine = standing[model] if model else None
        return Ruling(
            verdict,
            model,
            table.bar,
            mine.energy if mine else None,
            standing[table.bar].energy,
            mine.lead if mine else None,
            mine.gain if mine else None,
            len(table.places),
            table.independent(self.horizon),
            still_wanted(len(table.places), table.independent(self.horizon), self.horizon),
            self.still,
        )

    def verdict(self) -> Message:
        """Return what the back-test says, and where its origins lie, as sentences in each language."""
        return joined("join.sentences", [self._summary(), *([] if self.still else self.regimes())])

    def _summary(self) -> Message:
        ruling, lead = self.ruling, self.ruling.lead
        counts = {"n": ruling.independent, "origins": ruling.origins}
        if ruling.still:
            return message("forecast.nothing_beats_persistence_no_value", n=ruling.origins)
        if ruling.model is None or ruling.energy is None or lead is None:
            return message("forecast.no_model_but_bars", **counts)
        facts = {
            "model": name_of(ruling.model),
            "bar": name_of(ruling.bar),
            "energy": number(ruling.energy),
            "bar_energy": number(ruling.bar_energy),
            "unit": term(self.unit),
            "part": lead.value,
            "interval": message("forecast.no_interval")
            if lead.low is None
            else message("forecast.interval_ends", low=lead.low, high=lead.high),
            **counts,
        }
        if ruling.verdict == "cannot tell":
            if self.horizon == 1:  # no horizon is smaller
                return message("forecast.cannot_tell_yet", enough=ENOUGH, more=ruling.periods_more, **facts)
            return message("forecast.cannot_tell", enough=ENOUGH, more=ruling.periods_more, **facts)
        if ruling.verdict == "beats":
            return message("forecast.beats_bar", gain=ruling.gain.value if ruling.gain else 0.0, **facts)
        if lead.low is not None and lead.low > 0:
            return message("forecast.leads_but_loses", **facts)
        return message("forecast.nothing_beats_bar", **facts)

    def break_facts(self) -> list[dict[str, Any]]:
        """Return the breaks, marked or found, JSON-able."""
        past = self.past
        if past is None:
            return []
        return [
            {"time": past.times[each.row], "entity": past.names[each.column], "kind": each.kind, "p": each.p}
            for each in past.breaks
        ]

    def regimes(self) -> list[Message]:
        """Return the breaks, marked by hand or found by the data, and whether the origins lie on one side of them."""
        if self.past is None or not self.trials:
            return []
        breaks, times, names = self.past.breaks, self.past.times, self.past.names
        found = [each for each in breaks if each.kind != "marked"]
        shown = [
            message("forecast.break_at", name=names[each.column], time=times[each.row], kind=_KINDS[each.kind])
            for each in found[-_TOLD:]
        ]
        told = [message("forecast.breaks_found", breaks=joined("join.clauses", shown), alarm=ALARM)] if shown else []
        if len(found) > _TOLD:
            told.append(message("forecast.earlier_breaks", count=len(found) - _TOLD))
        seen = sorted({trial.seen for trial in self.trials})
        inside = [each.row for each in breaks if seen[0] <= each.row < seen[-1] + 1]
        if inside:
            last = inside[-1]
            after = sum(place > last for place in seen)
            return [*told, message("forecast.origins_straddle", time=times[last], after=after, origins=len(seen))]
        return [*told, message("forecast.origins_in_one_regime", origins=len(seen))]


@dataclass(frozen=True)
class Table:
    """Mean scores by origin: N origins, M models that are no bars."""

    models: tuple[str, ...]
    places: tuple[int, ...]
    """Rows seen, (N,)."""
    bar: str
    horizon: int
    energy: dict[str, Floats]
    """Model -> (N,), in units of the mean change seen before the origin."""
    log_score: dict[str, Floats]

    @classmethod
    def of(cls, trials: Sequence[Trial], resolution: float) -> Table:
        """Return the table of trials of models that were all tried at the same origins."""
        names = tuple(dict.fromkeys(trial.model for trial in trials))
        places = tuple(sorted({trial.seen for trial in trials}))

        def by_origin(model: str, value: str) -> Floats:
            mine: dict[int, list[float]] = {place: [] for place in places}
            for trial in trials:
                if trial.model == model:
                    mine[trial.seen].append(getattr(trial, value))
            return np.array([np.mean(mine[place]) for place in places])

        changes = np.maximum(by_origin(names[0], "naive"), max(resolution / 2, 1e-12))
        energy = {name: by_origin(name, "energy") / changes for name in names}
        bars = [name for name in (BASELINE, LAST) if name in energy]
        return cls(
            tuple(name for name in names if name not in bars),
            places,
            min(bars, key=lambda name: float(energy[name].mean())),
            max(trial.horizon for trial in trials),
            energy,
            {name: by_origin(name, "log_score") for name in names},
        )

    def independent(self, horizon: int) -> int:
        """Return how many origins count."""
        return blocks_of(self.places, horizon)[-1] + 1

    def leads(self, level: float = LEVEL) -> dict[str, Lead]:
        """Return by what part each model's energy score is below that of the better bar; none where that was never off."""
        bar = self.energy[self.bar]
        whole = float(bar.mean())
        if whole < 1e-9:
            return {}
        return self._leads([(bar - self.energy[name]) / whole for name in self.models], level)

    def gains(self, level: float = LEVEL) -> dict[str, Lead]:
        """Return how far each model's log score is above persistence."""
        return self._leads([self.log_score[name] - self.log_score[BASELINE] for name in self.models], level)

    def losing(self) -> dict[str, bool]:
        """Return whether each model loses in the log score."""
        gains = self.gains()
        return {name: loses(self.log_score[name] - self.log_score[BASELINE], gains[name]) for name in self.models}

    def _leads(self, columns: list[Floats], level: float) -> dict[str, Lead]:
        if not columns:
            return {}
        return dict(zip(self.models, leads_of(np.stack(columns, 1), self.places, self.horizon, level), strict=True))


def standings_of(trials: Sequence[Trial], resolution: float) -> tuple[Standing, ...]:
    """Return how each model stood."""
    table = Table.of(trials, resolution)
    leads, gains = table.leads(), table.gains()

    def gained(name: str) -> Figure | None:
        what = message("figures.log_score", model=term(name), other=term(BASELINE))
        return gains[name].figure(what, "nats") if name in gains else None

    def led(name: str) -> Figure | None:
        what = message("figures.energy_below", model=term(name), other=term(table.bar))
        return leads[name].figure(what) if name in leads else None

    found = []
    for name in table.energy:
        mine = [trial for trial in trials if trial.model == name]

        def mean_of(value: str, mine: list[Trial] = mine) -> float:
            return float(np.mean([getattr(trial, value) for trial in mine]))

        log_score, naive = mean_of("log_score"), mean_of("naive")
        found.append(
            Standing(
                name,
                len(mine),
                len(table.places),
                None if np.isnan(log_score) else log_score,
                mean_of("energy"),
                mean_of("crps"),
                mean_of("error") / naive if naive > 1e-12 else None,
                {
                    f"{level:.0%}": float(np.mean([trial.covered[place] for trial in mine]))
                    for place, level in enumerate(LEVELS)
                },
                gained(name),
                led(name),
            )
        )
    return tuple(found)
