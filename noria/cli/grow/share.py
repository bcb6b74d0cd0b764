"""`noria grow share`: who stands where, on which base, and why; what drives it, what is left to win, and whom to address."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import noria
from noria.cli.manners import printed
from noria.core.figure import number
from noria.core.messages import environment_language, for_terminal, joined, message, term
from noria.grow.market.settings import BasisSettings, DriverSettings, PotentialSettings, TargetSettings
from noria.grow.settings import LogSettings, MarketSettings

from .analyses import print_asked
from .shown import (
    Flatten,
    Switch,
    entity_name,
    percent,
    print_lying_or_standing,
    print_table,
    write_parquet,
)

if TYPE_CHECKING:
    from noria.grow.market.analyses import MarketAnalyses
    from noria.grow.market.share import Shares


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
        A CSV, Excel or Parquet file of points with a header of provenance, or a lake's folder.
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
    """
    found = noria.share(
        series,
        decompose=decompose,
        happenings=happenings,
        potential=potential,
        position=position,
        settings=[settings, basis, log, drive, sizing, targeting],
    )
    if out:
        write_parquet(list(found.rows), out)
    return printed(found.facts, lambda: _print(found.study, found.facts, list(found.rows)))


def _print(study: MarketAnalyses, facts: Mapping[str, Any], rows: list[dict[str, Any]]) -> None:
    if study.bases:
        _print_bases(study, rows)
        return
    if study.shares is not None:
        _print_shares(study.shares, facts)
    elif study.segments:
        first = next(iter(facts["segments"].values()))
        print(f"{first['base']}: {first['source']}")
    _print_segments(facts.get("segments", {}))
    if study.shares is None and study.segments:
        print(for_terminal(message("lines.name_one_segment")))
    if "decomposition" in facts:
        _print_movement(facts["decomposition"])
    print_asked(study)


def _print_bases(study: MarketAnalyses, rows: list[dict[str, Any]]) -> None:
    """Print the latest shares on every base: what can be said before one of them is named."""
    assert study.bases is not None
    last = {base: market.times[-1] for base, market in study.bases.markets.items()}
    print(
        for_terminal(
            message(
                "lines.shares_bases", source=study.source, values=", ".join(sorted(set(last.values()))), last=len(last)
            )
        )
    )
    print_table(
        [
            {key: entity_name(str(value)) if key == "entity" else percent(value) for key, value in row.items()}
            for row in rows
        ],
        ["entity", *last],
    )
    for base, why in study.bases.silence.items():
        print(f"  {for_terminal(base)}: {for_terminal(why)}")
    print(for_terminal(message("lines.name_one")))


def _print_segments(results: Mapping[str, Any]) -> None:
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
        print(for_terminal(message("lines.segment_latest")))
        print_table(rows, ["segment", "time", "leader", "share", "HHI", "CR4"])


def _print_shares(market: Shares, results: Mapping[str, Any]) -> None:
    from noria.grow.market.share import gathered

    print(for_terminal(message("lines.base", base=results["base"], source=results["source"])))
    _print_periods(market, results)
    counts = {name: count for name, count in results["cells"].items() if count}
    if set(counts) - {"published", "zero", "derived"}:
        told = [message("lines.cells.count", count=count, what=term(name)) for name, count in counts.items()]
        print(for_terminal(message("lines.cells.all", cells=joined("join.list", told))))
    if results["ranks"]:
        last = results["ranks"][-1]
        least = min(
            (step for step in results["ranks"] if not step["broken"]), key=lambda step: step["tau"], default=last
        )
        print(
            for_terminal(
                message(
                    "lines.order_kendall",
                    tau=last["tau"],
                    low=last["low"],
                    high=last["high"],
                    n=last["n"],
                    time=last["time"],
                    tau_2=least["tau"],
                    time_2=least["time"],
                    moved=percent(last["moved"])
                    if last["moved_high"] - last["moved"] < 5e-4
                    else message("lines.cells.moved", low=percent(last["moved"]), high=percent(last["moved_high"]))
                    if last["moved_high"] < 0.5
                    else message("lines.cells.hidden", low=percent(last["moved"])),
                )
            )
        )
    for flag in gathered(market.flags):
        print(f"  {for_terminal(flag.text())}")


LATEST = 12
"""Periods shown, of those for which anything is known."""
_MANY = 13
"""Columns beyond which each name has a line of its own, and each period a column."""


def _print_periods(market: Shares, results: Mapping[str, Any]) -> None:
    """Print the latest periods: a line each, or, of many names, a column each; a share that is not known by its bounds."""
    open_ = {row["time"]: row for row in results["open"]}
    table = [
        {
            "time": row["time"],
            **{
                entity_name(name): shown_share(row[name], open_.get(row["time"], {}).get(name))
                for name in market.entities
            },
            "HHI": _hhi(item),
            "CR4": percent(item["cr4"]),
            "entropy": item["entropy"],
        }
        for row, item, told in zip(results["shares"], results["concentration"], market.cells.known, strict=True)
        if told.any() or (row["time"] == market.times[-1])
    ][-LATEST:]
    print_lying_or_standing(
        table, ["time", *map(entity_name, market.entities), "HHI", "CR4", "entropy"], "entity", _MANY
    )


def _hhi(item: Mapping[str, Any]) -> str | float | None:
    """Return HHI, or its bounds where these say anything."""
    hhi: float | None = item["hhi"]
    if hhi is not None or item["least"] is None or item["most"] - item["least"] >= 9_999:
        return hhi
    return f"{number(round(item['least']))}–{number(round(item['most']))}"


def shown_share(value: float | None, known: Mapping[str, Any] | None) -> str | None:
    """Return a share as a person reads it: with its bounds where these are apart, or by them alone; None where nothing is known."""
    if known is None:
        return percent(value)
    low, high = known["low"], known["high"]
    if known["is"] == "below the cut" or (not value and low <= 0 and 5e-4 < high < 1):
        return f"≤{percent(high)}"
    if value is None:
        return None if high - low >= 1 else f"{percent(low)}–{percent(high)}"
    return percent(value) if high - low < 5e-4 else f"{percent(value)} [{100 * low:.1f}, {100 * high:.1f}]"


def _print_movement(results: Mapping[str, Any]) -> None:
    import math

    print(
        for_terminal(
            message(
                "lines.points_share",
                before=results["before"],
                after=results["after"],
                segments=len(results["segments"]),
            )
        )
    )
    keys = ["change", "within", "mix", "entry", "exit"]
    print_table(
        [
            {"entity": entity_name(row["entity"]), **{key: f"{100 * row[key]:+.2f}" for key in keys}}
            for row in results["changes"]
        ],
        ["entity", *keys],
    )
    count = len(results["changes"])
    print(
        for_terminal(
            message(
                "lines.within_mix",
                defects="; ".join(results["defects"]) or message("lines.holds_all_names", count=count),
            )
        )
    )
    for note in results["notes"]:
        print(f"  {note[environment_language()]}")
    if results["silence"]:
        print(for_terminal(message("lines.growth", silence=results["silence"][environment_language()])))
        return
    print(for_terminal(message("lines.growth_market")))
    print_table(
        [
            {
                "entity": entity_name(row["entity"]),
                **{key: f"{math.expm1(row[key]):+.1%}" for key in ("own", "market", "share")},
                "from market": row["from_market"],
                "from share": row["from_share"],
            }
            for row in results["links"]
        ],
        ["entity", "own", "market", "share", "from market", "from share"],
    )
