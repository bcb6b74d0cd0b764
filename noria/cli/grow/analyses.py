"""What else may be asked of `noria grow share`: drivers, events, potential, penetration, position; for people and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import InsufficientDataError
from noria.core.messages import for_terminal

from .shown import percent, print_json, print_table, write_parquet

if TYPE_CHECKING:
    from noria.grow.market.drivers.attraction import DriverStudy
    from noria.grow.market.drivers.eventstudy import EventStudy
    from noria.grow.market.potential import Potential
    from noria.grow.market.settings import BasisSettings, DriverSettings, PotentialSettings, TargetSettings
    from noria.grow.market.targets import Target
    from noria.grow.series.series import Series
    from noria.grow.settings import LogSettings, MarketSettings


class Analyses:
    """The answers so far: `results` for programs, and what prints each for people."""

    def __init__(self, json: bool) -> None:
        self.json = json
        self.results: dict[str, Any] = {}
        self.silence: dict[str, str] = {}
        self._prints: list[Any] = []

    def drivers(
        self, series: Series, settings: MarketSettings, drive: DriverSettings, basis: BasisSettings, events: Path | None
    ) -> None:
        """Ask what the named drivers do, and what followed the events; nothing where neither was named."""
        if not drive.driver and events is None:
            return
        from noria.grow.market.study import drivers

        found = drivers(series, settings.measure, settings.market, drive, events, basis.unlisted)
        if found.explained:
            study = found.explained
            self._add("drivers", study.as_dict(), lambda: _print_drivers(study))
        if found.followed:
            followed = found.followed
            self._add("events", followed.as_dict(), lambda: _print_events(followed))

    def potential(self, path: Path | None, settings: PotentialSettings) -> None:
        """Ask how large the market could be, where a file of ranges was named."""
        if path is None:
            return
        from noria.grow.market.study import sizes_of

        found = sizes_of(path, settings)
        self._add("potential", found.as_dict(), lambda: _print_potential(found))

    def reach(self, series: Series, settings: MarketSettings, sizing: PotentialSettings) -> None:
        """Ask how much of a ceiling is reached, where one was given."""
        from noria.grow.market.study import reach_of

        found = reach_of(series, settings.measure, settings.market, sizing)
        if found is None:
            return
        figures = found.figures()
        why = for_terminal(found.why) if found.why else ""
        self._add(
            "penetration",
            {"figures": [figure.as_dict() for figure in figures], "why": found.why and found.why.both()},
            lambda: print(
                "\n".join([*(figure.text() for figure in figures), *([f"not identified: {why}"] if why else [])])
            ),
        )

    def position(self, path: Path | None, log: LogSettings, settings: TargetSettings) -> None:
        """Ask whom to address, where a log was named."""
        if path is None:
            return
        from noria.grow.analysis import open_log
        from noria.grow.market.study import position

        try:
            found = position(open_log(path, log), settings)
        except InsufficientDataError as error:
            self.missing("position", "segments and targets", error)
            return
        self._add("position", [target.as_dict() for target in found], lambda: _print_position(found))

    def missing(self, name: str, title: str, why: InsufficientDataError) -> None:
        """Say that one answer cannot be given yet, and why; the others stand."""
        self.silence[name] = str(why)
        self.results["silence"] = self.silence
        self._prints.append(lambda: print(f"{title}: not yet: {why}"))

    def end(self, out: Path | None) -> int:
        """Print everything asked; as JSON all of it in one."""
        if out:
            write_parquet(_rows(self.results), out)
        if self.json:
            return print_json(self.results)
        for show in self._prints:
            show()
        return 0

    def _add(self, name: str, results: Any, show: Any) -> None:
        self.results[name] = results
        self._prints.append(show)


def _rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the answers as one flat table: what was asked, of what, the value, its range and n."""
    rows: list[dict[str, Any]] = []

    def add(analysis: str, name: str, value: Any, low: Any, high: Any, n: Any) -> None:
        rows.append({"asked": analysis, "name": name, "value": value, "low": low, "high": high, "n": n})

    for effect in results.get("drivers", {}).get("effects", []):
        add("driver", effect["driver"], effect["value"], effect["low"], effect["high"], effect["n"])
    if "events" in results:
        effect = results["events"]["effect"]
        add("event", effect["driver"], effect["value"], effect["low"], effect["high"], effect["n"])
    for figure in [*results.get("potential", {}).get("sizes", []), *results.get("penetration", {}).get("figures", [])]:
        add("potential", figure["name"], figure["value"], figure["low"], figure["high"], figure["n"])
    for target in results.get("position", []):
        first = target["first"]
        add("position", target["segment"]["en"], target["score"], None, None, target["measures"]["users"]["n"])
        add("position, first", target["segment"]["en"], first["value"], first["low"], first["high"], first["n"])
    return rows


def _print_drivers(study: DriverStudy) -> None:
    print(
        f"what goes with the logarithm of {study.panel.outcome} ({study.panel.form}), entities and periods held fixed, "
        f"n = {study.panel.y.size:,}, {study.explained:.0%} of what is left explained:"
    )
    print_table(
        [
            {
                "driver": effect.driver,
                "effect": _digits(effect.value) if effect.identified else None,
                "low": _digits(effect.low),
                "high": _digits(effect.high),
                "error ignored": _digits(effect.naive),
                "clusters": effect.clusters,
                "interval": effect.method,
                "meaning": for_terminal(effect.verdict),
            }
            for effect in study.effects
        ],
        ["driver", "effect", "low", "high", "error ignored", "clusters", "interval", "meaning"],
    )
    for driver, values in study.elasticities().items():
        print(f"  own elasticity to {driver}: " + ", ".join(f"{name} {value:+.3f}" for name, value in values.items()))
    for problem in study.panel.problems:
        print(f"  {for_terminal(problem)}")
    print("  association, not an experiment: what drives both a driver and the share would show here too")


def _print_events(study: EventStudy) -> None:
    import math

    effect = study.effect
    if effect.identified and effect.low is not None and effect.high is not None:
        value, low, high = (math.expm1(x) for x in (effect.value, effect.low, effect.high))
        print(
            f"after {effect.driver}: share beside rivals {value:+.1%} [{low:+.1%}, {high:+.1%}] n={effect.n} event(s), "
            f"{study.placebos} placebo events, p = {effect.p:.2f}"
        )
    print(f"  {for_terminal(effect.verdict)}")
    print_table(
        [
            {
                "period": f"{offset:+d}",
                "seen": f"{math.expm1(path):+.1%}",
                "placebo band": None if low != low else f"{math.expm1(low):+.1%} to {math.expm1(high):+.1%}",
            }
            for offset, path, low, high in zip(study.offsets, study.path, study.low, study.high, strict=True)
        ],
        ["period", "seen", "placebo band"],
    )
    for item, why in study.skipped:
        print(f"  {item.entity} {item.time} left out: {for_terminal(why)}")


def _print_potential(found: Potential) -> None:
    print(
        f"market size{f' in {found.unit}' if found.unit else ''}, {found.within:.0%} of {found.sizes[0].n:,} draws from the ranges:"
    )
    print_table(
        [
            {"size": figure.name, "median": figure.value, "low": figure.low, "high": figure.high}
            for figure in found.sizes
        ],
        ["size", "median", "low", "high"],
    )
    for approach, bars in found.tornado.items():
        print(f"{approach}: what the range comes from, the total with one input at its ends")
        print_table(
            [
                {
                    "input": f"{bar.industry}: {bar.factor}" if bar.industry else bar.factor,
                    "at its low": bar.low,
                    "at its high": bar.high,
                    "part of the range": percent(bar.part),
                    "source": bar.source,
                }
                for bar in bars
            ],
            ["input", "at its low", "at its high", "part of the range", "source"],
        )
    for item in found.agreements:
        print(
            f"  {item.industry or 'all'}: bottom-up over top-down {item.ratio:.2f} [{item.low:.2f}, {item.high:.2f}]: {for_terminal(item.verdict)}"
        )


def _print_position(found: tuple[Target, ...]) -> None:
    print(f"segments of {found[0].segment.users.n:,} users, {found[0].segment.users.source}, the best target first:")
    print_table(
        [
            {
                "segment": for_terminal(target.segment.name),
                "users": percent(target.segment.users.value),
                "value": percent(target.segment.value.value),
                "a user": target.segment.each.value,
                "score": target.score,
                "first in": percent(target.first.value),
                "why": for_terminal(target.reason),
            }
            for target in found
        ],
        ["segment", "users", "value", "a user", "score", "first in", "why"],
    )
    for target in found:
        print(f"  {for_terminal(target.segment.name)}: {for_terminal(target.segment.reason)}")


def _digits(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
