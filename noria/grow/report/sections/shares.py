"""Who stands where, in the report: rank stability, what moved the shares, and a server's own shares on every base it knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from noria.core.figure import Figure
from noria.core.messages import as_is, joined, message
from noria.grow.market.bases import Bases
from noria.grow.market.decompose import Decomposition, concentration_change
from noria.grow.market.ranks import RankStep, least_stable, rank_stability
from noria.grow.market.share import Shares, concentration, gathered
from noria.grow.report.charts.chart import Text, entity_name
from noria.grow.report.charts.market import base_name, decomposition_chart, share_chart
from noria.grow.report.page import Section, Shown, Table

Row = list[str | float | Text | None]


def movement_section(market: Shares, found: Decomposition, parts: Mapping[str, Shares] | None = None) -> Section:
    """Return how firm the order is, what the changes of share are made of, and who leads in each segment, where there are several."""
    facts: dict[str, Any] = {"licence": market.provenance.licence, "as_of": market.provenance.as_of.isoformat()}
    source = market.provenance.source
    steps = rank_stability(market)
    shown = []
    least = least_stable(steps)
    if least:
        shown = [
            Shown(
                Figure("tau", steps[-1].tau, steps[-1].n, steps[-1].low, steps[-1].high, source=source, level=1.0),
                message("shares.rank_stability_kendall_tau.name"),
                message("shares.rank_stability_kendall_tau.meaning", time=steps[-1].time, before=steps[-1].before),
                **facts,
            ),
            Shown(
                Figure("least tau", least.tau, least.n, least.low, least.high, source=source, level=1.0),
                message("shares.least_stable_step.name"),
                message("shares.least_stable_step.meaning", before=least.before, time=least.time, count=len(steps)),
                **facts,
            ),
            _moved(market, steps[-1], source, facts),
        ]
    names: dict[str, Text] = {
        "change": message("shares.names.change"),
        "within": message("shares.names.within"),
        "mix": message("shares.names.mix"),
        "entry": message("shares.names.entry"),
        "exit": message("shares.names.exit"),
    }
    some = [key for key in names if key in ("change", "within") or any(getattr(item, key) for item in found.changes)]
    rows: list[Row] = [
        [entity_name(item.entity), *(f"{100 * getattr(item, key):+.2f}" for key in some)] for item in found.changes
    ]
    columns: list[Text] = [message("report.column.name"), *(names[key] for key in some)]
    cited = found.provenance.text()
    tables = [
        Table(
            message("shares.table.points_share", before=found.before, after=found.after),
            columns,
            rows,
            cited,
        )
    ]
    if found.links:
        tables.append(link_table(found))
    tables += _concentration_table(market, found)
    tables += _segments_table(parts) if parts else []
    notes: list[Text] = []
    notes += found.notes
    if found.silence:
        notes.append(message("shares.note.no_links"))
    defects = found.defects()
    notes.insert(
        0,
        joined("join.clauses", defects)
        if defects
        else message("shares.within_mix_entry_exit_equals", count=len(found.changes)),
    )
    return Section(
        "movement",
        message("shares.movement.title"),
        message("shares.movement.lead"),
        shown,
        [decomposition_chart(found)],
        tables,
        notes,
    )


def link_table(found: Decomposition) -> Table:
    """Return growth as the market's growth and the share's, by entity."""
    rows: list[Row] = [
        [
            entity_name(item.entity),
            f"{np.expm1(item.own):+.1%}",
            f"{np.expm1(item.market):+.1%}",
            f"{np.expm1(item.share):+.1%}",
            item.from_market,
            item.from_share,
        ]
        for item in found.links
    ]
    return Table(
        message("shares.table.growth_market_growth_times", before=found.before, after=found.after),
        [
            message("report.column.name"),
            message("shares.column.own_growth"),
            message("shares.column.market"),
            message("shares.column.share"),
            message("shares.column.from_market", base=base_name(found.base)),
            message("shares.column.from_share", base=base_name(found.base)),
        ],
        rows,
        found.provenance.text(),
    )


def served_section(sides: Bases) -> Section:
    """Return a server's own shares: one chart a base, and all bases of the latest time side by side."""
    first = next(iter(sides.markets.values()))
    as_of = first.provenance.as_of.isoformat()
    server: Text = message("shares.server_events", as_of=as_of)
    if first.provenance.days:
        server = joined("join.nothing", [server, message("log.cited_days", days=first.provenance.days)])
    charts = []
    for name, market in sides.markets.items():
        if name != "reach":  # it overlaps: stacked, it would be read as a whole
            title: Text = message("shares.by_base.title", base=base_name(name))
            charts.append(replace(share_chart(market), title=title, source=server))
    names = list(dict.fromkeys(name for market in sides.markets.values() for name in market.entities[:-1]))
    rows: list[Row] = []
    for name in names:
        cells: Row = [entity_name(name)]
        for market in sides.markets.values():
            value = market.values[-1, market.entities.index(name)] if name in market.entities else np.nan
            cells.append(None if np.isnan(value) else f"{value:.1%}")
        rows.append(cells)
    table = Table(
        message("shares.table.shares_on_every_base", times=first.times[-1], count=len(names)),
        [message("report.column.name"), *(base_name(base) for base in sides.markets)],
        rows,
        server,
    )
    notes: list[Text] = []
    open_ = [flag.time for flag in first.flags if flag.code == "provisional"]
    if open_:
        notes.append(message("shares.note.still_goes_on_shares_will", open=open_[-1]))
    told = ("entry", "exit", "provisional", "overlap")  # entries show in the chart; that reach overlaps is said above
    for name, market in sides.markets.items():
        for flag in gathered(market.flags):
            if flag.code not in told:
                notes.append(message("shares.note.flag", base=base_name(name), flag=flag.text()))
    return Section(
        "served",
        message("shares.served.title"),
        message("shares.served.lead"),
        (),
        charts,
        [table],
        notes[:12],
    )


def _moved(market: Shares, step: RankStep, source: str, facts: dict[str, Any]) -> Shown:
    slack = len(market.entities) * market.resolution / 2
    low, high = max(0.0, step.moved - slack), min(1.0, step.moved_high + slack)
    figure = Figure("moved", step.moved, step.n, low, high, source=source, level=1.0)
    return Shown(
        figure,
        message("shares.share_changed_hands.name"),
        message("shares.share_changed_hands.meaning", before=step.before, time=step.time),
        percent=True,
        **facts,
    )


def _concentration_table(market: Shares, found: Decomposition) -> list[Table]:
    if not {found.before, found.after} <= set(market.times):
        return []
    first, last = market.times.index(found.before), market.times.index(found.after)
    if not (market.whole[first] and market.whole[last]):
        return []
    parts = concentration_change(market.values[first, :-1], market.values[last, :-1])
    order = np.argsort(-np.abs(parts))
    lines: list[Row] = [[entity_name(market.entities[int(place)]), f"{parts[place]:+.1f}"] for place in order]
    lines.append([message("shares.hhi_change"), f"{parts.sum():+.1f}"])
    return [
        Table(
            message("shares.table.who_moved_concentration", times=market.times[first], times_2=market.times[last]),
            [message("report.column.name"), message("shares.column.points_hhi")],
            lines,
            market.provenance.text(),
        )
    ]


def _segments_table(parts: Mapping[str, Shares]) -> list[Table]:
    rows: list[Row] = []
    for name, market in parts.items():
        last = next((item for item in reversed(concentration(market)) if item.hhi is not None), None)
        if last and last.hhi is not None and last.leader_share is not None:
            rows.append(
                [
                    as_is(name) if name else message("report.none"),
                    last.time,
                    as_is(last.leader),
                    f"{last.leader_share:.1%}",
                    round(last.hhi),
                ]
            )
    first = next(iter(parts.values()))
    columns: list[Text] = [
        message("shares.column.segment"),
        message("shares.column.time"),
        message("shares.column.leader"),
        message("shares.column.share"),
        message("shares.column.hhi"),
    ]
    return [
        Table(
            message("shares.table.segment_at_latest_whole"),
            columns,
            rows,
            first.provenance.text(),
        )
    ]
