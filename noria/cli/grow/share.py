"""`noria grow share`: who stands where, on which base, and why; what drives it, what is left to win, and whom to address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from noria.core.errors import InsufficientDataError
from noria.core.messages import environment_language, for_terminal
from noria.grow.market.settings import BasisSettings, DriverSettings, PotentialSettings, TargetSettings
from noria.grow.settings import LogSettings, MarketSettings

from .analyses import Analyses
from .shown import Flatten, Switch, percent, print_json, print_table, write_parquet

if TYPE_CHECKING:
    from noria.grow.market.share import Shares
    from noria.grow.market.study import Movement
    from noria.grow.series.series import Series


def share(
    series: Path | None = None,
    /,
    *,
    settings: Annotated[MarketSettings, Flatten] = MarketSettings(),
    basis: Annotated[BasisSettings, Flatten] = BasisSettings(),
    log: Annotated[LogSettings, Flatten] = LogSettings(),
    drive: Annotated[DriverSettings, Flatten] = DriverSettings(),
    sizing: Annotated[PotentialSettings, Flatten] = PotentialSettings(),
    targeting: Annotated[TargetSettings, Flatten] = TargetSettings(),
    decompose: Switch = False,
    happenings: Path | None = None,
    potential: Path | None = None,
    position: Path | None = None,
    out: Path | None = None,
    json: Switch = False,
) -> int:
    """Market shares on one base, with an explicit rest, how concentrated the market is, and what moved it.

    Examples::

        noria grow share
        noria grow share market.csv --measure revenue --json
        noria grow share market.csv --without "All of a maker" --unlisted outside
        noria grow share --decompose --first 2025-06
        noria grow share runs/demo/lake --segment model --measure tokens --period day
        noria grow share panel.csv --measure "share of users" --driver price --driver rating
        noria grow share --happenings releases.csv --window 2
        noria grow share --potential sizes.csv
        noria grow share --position purchases.csv --user customer

    Parameters
    ----------
    series
        A CSV or Parquet file of points with a header of provenance, or a lake's folder.
    decompose
        Say what each change of share is made of: within, mix, entry and exit.
    happenings
        A CSV file with the columns time, entity and name: what followed each, beside rivals and placebo events.
    potential
        A CSV file of ranges, industry, approach, factor, low, high, unit, source: market size top-down and bottom-up.
    position
        A lake's folder or a log's file: its users in segments, scored as targets with the reasons.
    out
        Write the shares there, as Parquet.
    json
        Print JSON, for programs.
    """
    from noria.grow.market.study import open_market

    analyses = Analyses(json)
    analyses.potential(potential, sizing)
    analyses.position(position, log, targeting)
    if analyses.results and series is None and not (decompose or drive.driver or happenings or sizing.ceiling):
        return analyses.end(out)
    opened = open_market(series, log, basis)
    analyses.drivers(opened, settings, drive, basis, happenings)
    analyses.reach(opened, settings, sizing)
    several = settings.measure is None and len(opened.measures) > 1 and not decompose
    alone = len({point.entity for point in opened.points}) == 1
    if analyses.results and (several or alone):  # the share of a single name is one, and says nothing
        return analyses.end(out)
    if several:
        return _sides(opened, settings.market, basis, out, json)
    return _shares_and(analyses, opened, settings, basis, decompose, out)


def _shares_and(
    analyses: Analyses,
    series: Series,
    settings: MarketSettings,
    basis: BasisSettings,
    decompose: bool,
    out: Path | None,
) -> int:
    """Show the shares, what moved them where that was asked, and whatever else was asked."""
    from noria.grow.market.bases import by_segment
    from noria.grow.market.chosen import over_segments
    from noria.grow.market.share import shares
    from noria.grow.market.study import movement

    moved = None
    if decompose:
        try:
            moved = movement(series, settings.measure, settings.market, basis)
        except InsufficientDataError as error:
            analyses.missing("decomposition", "what moved the shares", error)
    if moved is not None:
        market = moved.market
        results = {**_shares(market), "decomposition": _movement(moved)}
    else:
        chosen = series if settings.market else over_segments(series, settings.measure)
        if settings.market is None and len(chosen.segments) > 1:  # shares, which cannot be summed
            return _segments(by_segment(chosen, settings.measure, unlisted=basis.unlisted), analyses, out)
        market = shares(chosen, settings.measure, settings.market, unlisted=basis.unlisted)
        results = _shares(market)
        if chosen is not series:
            parts = by_segment(series, settings.measure, unlisted=basis.unlisted)
            results["segments"] = {name: _shares(part) for name, part in parts.items()}
    if out:
        write_parquet(
            [
                {**row, "hhi": item["hhi"]}
                for row, item in zip(results["shares"], results["concentration"], strict=True)
            ],
            out,
        )
    if analyses.json:
        return print_json({**results, **analyses.results})
    _print_shares(market, results)
    _print_segments(results.get("segments", {}))
    if "decomposition" in results:
        _print_movement(results["decomposition"])
    return analyses.end(None)


def _sides(series: Series, segment: str | None, basis: BasisSettings, out: Path | None, json: bool) -> int:
    """Show the latest shares on every base: what can be said before one of them is named."""
    from noria.grow.market.bases import bases

    sides = bases(series, segment, unlisted=basis.unlisted)
    names = dict.fromkeys(name for market in sides.markets.values() for name in market.entities)
    rows: list[dict[str, Any]] = [
        {
            "entity": name,
            **{
                base: _part(market.values[-1, market.entities.index(name)]) if name in market.entities else None
                for base, market in sides.markets.items()
            },
        }
        for name in names
    ]
    last = {base: market.times[-1] for base, market in sides.markets.items()}
    if out:
        write_parquet(rows, out)
    if json:
        return print_json({"source": series.provenance.text(), "time": last, "bases": rows, "silence": sides.silence})
    print(
        f"{series.provenance.text()}; shares of {', '.join(sorted(set(last.values())))} on {len(last)} bases, which are never mixed:"
    )
    print_table(
        [{key: value if key == "entity" else percent(value) for key, value in row.items()} for row in rows],
        ["entity", *last],
    )
    for base, why in sides.silence.items():
        print(f"  {base}: {why}")
    print("name one base with --measure for its periods, concentration and flags")
    return 0


def _segments(parts: dict[str, Shares], analyses: Analyses, out: Path | None) -> int:
    """Show every segment by itself: there is no whole of shares whose segments' sizes nobody told."""
    results = {name: _shares(part) for name, part in parts.items()}
    if out:
        write_parquet([{"segment": name, **row} for name, one in results.items() for row in one["shares"]], out)
    if analyses.json:
        return print_json({"segments": results, **analyses.results})
    first = next(iter(results.values()))
    print(f"{first['base']}: {first['source']}")
    _print_segments(results)
    print("name one segment with --market for its periods and flags")
    return analyses.end(None)


def _print_segments(results: dict[str, Any]) -> None:
    rows = []
    for name, one in results.items():
        last = next((item for item in reversed(one["concentration"]) if item["hhi"] is not None), None)
        if last:
            rows.append(
                {
                    "segment": name or "(none)",
                    "time": last["time"],
                    "leader": last["leader"],
                    "share": percent(last["leader_share"]),
                    "HHI": last["hhi"],
                    "CR4": percent(last["cr4"]),
                }
            )
    if rows:
        print("by segment, at its latest whole time:")
        print_table(rows, ["segment", "time", "leader", "share", "HHI", "CR4"])


def _shares(market: Shares) -> dict[str, Any]:
    from noria.grow.market.ranks import rank_stability
    from noria.grow.market.share import concentration

    rows = [
        {"time": time, **{entity: _part(value) for entity, value in zip(market.entities, row, strict=True)}}
        for time, row in zip(market.times, market.values, strict=True)
    ]
    return {
        "base": market.base,
        "source": market.provenance.text(),
        "shares": rows,
        "concentration": [item.as_dict() for item in concentration(market)],
        "ranks": [step.as_dict() for step in rank_stability(market)],
        "flags": [flag.as_dict() for flag in market.flags],
    }


def _movement(moved: Movement) -> dict[str, Any]:
    found = moved.decomposition
    return {
        "before": found.before,
        "after": found.after,
        "segments": found.segments,
        "changes": [item.as_dict() for item in found.changes],
        "links": [item.as_dict() for item in found.links],
        "defects": found.defects(),
        "silence": found.silence.both() if found.silence else {},
        "notes": [note.both() for note in found.notes],
    }


def _print_shares(market: Shares, results: dict[str, Any]) -> None:
    from noria.grow.market.share import gathered

    print(f"{results['base']}: {results['source']}")
    table = [
        {
            **{key: value if key == "time" else percent(value) for key, value in row.items()},
            "HHI": item["hhi"],
            "CR4": percent(item["cr4"]),
            "entropy": item["entropy"],
        }
        for row, item in zip(results["shares"], results["concentration"], strict=True)
    ]
    print_table(table[-12:], ["time", *market.entities, "HHI", "CR4", "entropy"])
    if results["ranks"]:
        last = results["ranks"][-1]
        least = min(
            (step for step in results["ranks"] if not step["broken"]), key=lambda step: step["tau"], default=last
        )
        print(
            f"order: Kendall tau {last['tau']:.2f} [{last['low']:.2f}, {last['high']:.2f}] n={last['n']} in {last['time']}, "
            f"least {least['tau']:.2f} in {least['time']}; at least {percent(last['moved'])} changed hands in {last['time']}"
        )
    for flag in gathered(market.flags):
        print(f"  {for_terminal(flag.text())}")


def _print_movement(results: dict[str, Any]) -> None:
    import math

    print(f"points of share from {results['before']} to {results['after']}, in {len(results['segments'])} segment(s):")
    keys = ["change", "within", "mix", "entry", "exit"]
    print_table(
        [{"entity": row["entity"], **{key: f"{100 * row[key]:+.2f}" for key in keys}} for row in results["changes"]],
        ["entity", *keys],
    )
    count = len(results["changes"])
    print(f"within + mix + entry + exit = change: {'; '.join(results['defects']) or f'holds for all {count} names'}")
    for note in results["notes"]:
        print(f"  {note[environment_language()]}")
    if results["silence"]:
        print(f"growth: {results['silence'][environment_language()]}")
        return
    print("growth = market x share:")
    print_table(
        [
            {
                "entity": row["entity"],
                **{key: f"{math.expm1(row[key]):+.1%}" for key in ("own", "market", "share")},
                "from market": row["from_market"],
                "from share": row["from_share"],
            }
            for row in results["links"]
        ],
        ["entity", "own", "market", "share", "from market", "from share"],
    )


def _part(value: float) -> float | None:
    return None if value != value else float(value)
