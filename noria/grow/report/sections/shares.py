"""Who stands where, in the report: rank stability, what moved the shares, and a server's own shares on every base it knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from noria.core.figure import Figure
from noria.grow.log.log import SERVER_EVENTS
from noria.grow.market.bases import Bases
from noria.grow.market.decompose import Decomposition, concentration_change
from noria.grow.market.ranks import least_stable, rank_stability
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
                {"en": "Rank stability (Kendall tau)", "zh": "名次稳定性（肯德尔 τ）"},
                {
                    "en": f"{steps[-1].time} beside {steps[-1].before}: 1 is the same order. Bounds are what rounding leaves open; n counts names.",
                    "zh": f"{steps[-1].time} 与 {steps[-1].before} 相比：1 表示名次不变。界限为四舍五入所致；n 为名称数。",
                },
                **facts,
            ),
            Shown(
                Figure("least tau", least.tau, least.n, least.low, least.high, source=source, level=1.0),
                {"en": "Least stable step", "zh": "名次变动最大的一期"},
                {
                    "en": f"{least.before} to {least.time}, of {len(steps)} steps.",
                    "zh": f"{least.before} 至 {least.time}，共 {len(steps)} 期。",
                },
                **facts,
            ),
            _moved(market, steps[-1].before, steps[-1].time, steps[-1].moved, source, facts),
        ]
    names: dict[str, Text] = {
        "change": {"en": "change", "zh": "变化"},
        "within": {"en": "within", "zh": "市场内"},
        "mix": {"en": "mix", "zh": "结构"},
        "entry": {"en": "entry", "zh": "进入"},
        "exit": {"en": "exit", "zh": "退出"},
    }
    some = [key for key in names if key in ("change", "within") or any(getattr(item, key) for item in found.changes)]
    rows: list[Row] = [
        [entity_name(item.entity), *(f"{100 * getattr(item, key):+.2f}" for key in some)] for item in found.changes
    ]
    columns: list[Text] = [{"en": "name", "zh": "名称"}, *(names[key] for key in some)]
    cited = found.provenance.texts()
    tables = [
        Table(
            {
                "en": f"Points of share, {found.before} to {found.after}",
                "zh": f"份额变化（百分点），{found.before} 至 {found.after}",
            },
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
        notes.append({"en": f"{found.silence['en'].capitalize()}.", "zh": f"{found.silence['zh']}。"})
    defects = found.defects()
    notes.insert(
        0,
        {"en": "; ".join(defects), "zh": "；".join(defects)}
        if defects
        else {
            "en": f"Within + mix + entry + exit equals the change of all {len(found.changes)} names.",
            "zh": f"全部 {len(found.changes)} 个名称均满足：市场内 + 结构 + 进入 + 退出 = 变化。",
        },
    )
    return Section(
        "movement",
        {"en": "What moved the shares", "zh": "份额为何变化"},
        {
            "en": "How firm the order of the market is, and what each change of share is made of.",
            "zh": "市场名次有多稳固，以及每项份额变化由什么构成。",
        },
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
        {
            "en": f"Growth is the market's growth times the share's, {found.before} to {found.after}",
            "zh": f"增长 = 市场增长 × 份额增长，{found.before} 至 {found.after}",
        },
        [
            {"en": "name", "zh": "名称"},
            {"en": "own growth", "zh": "自身增长"},
            {"en": "market", "zh": "市场"},
            {"en": "share", "zh": "份额"},
            {"en": f"{found.base} from the market", "zh": "来自市场的增量"},
            {"en": f"{found.base} from share", "zh": "来自份额的增量"},
        ],
        rows,
        found.provenance.texts(),
    )


def served_section(sides: Bases) -> Section:
    """Return a server's own shares: one chart a base, and all bases of the latest time side by side."""
    first = next(iter(sides.markets.values()))
    as_of = first.provenance.as_of.isoformat()
    server: Text = {"en": f"{SERVER_EVENTS}, as of {as_of}", "zh": f"服务事件，截至 {as_of}"}
    charts = []
    for name, market in sides.markets.items():
        if name != "reach":  # it overlaps: stacked, it would be read as a whole
            title: Text = {"en": f"Shares by {name}", "zh": f"份额：{base_name(name)['zh']}"}
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
        {
            "en": f"Shares of {first.times[-1]} on every base, n = {len(names)} names",
            "zh": f"{first.times[-1]} 各口径的份额，n = {len(names)}",
        },
        [{"en": "name", "zh": "名称"}, *(base_name(base) for base in sides.markets)],
        rows,
        server,
    )
    notes: list[Text] = []
    open_ = [flag.time for flag in first.flags if flag.code == "provisional"]
    if open_:
        notes.append(
            {"en": f"{open_[-1]} still goes on: its shares will change.", "zh": f"{open_[-1]} 尚未结束：份额还会变化。"}
        )
    told = ("entry", "exit", "provisional", "overlap")  # entries show in the chart; that reach overlaps is said above
    for name, market in sides.markets.items():
        for flag in gathered(market.flags):
            if flag.code not in told:
                notes.append(
                    {
                        "en": f"{name}, {flag.texts()['en']}.",
                        "zh": f"{base_name(name)['zh']}，{flag.texts()['zh']}。",
                    }
                )
    return Section(
        "served",
        {"en": "Shares within the server", "zh": "服务内部的份额"},
        {
            "en": "Counted from the server's own events. Each base is a market of its own: users count once, where they sent most; "
            "reach overlaps and does not sum to one.",
            "zh": "由服务自身的事件计数。每种口径各成一个市场：用户只计一次，归入其使用最多者；触达会重叠，合计不为一。",
        },
        (),
        charts,
        [table],
        notes[:12],
    )


def _moved(market: Shares, before: str, time: str, moved: float, source: str, facts: dict[str, Any]) -> Shown:
    slack = len(market.entities) * market.resolution / 2
    figure = Figure(
        "moved", moved, len(market.entities), max(0.0, moved - slack), min(1.0, moved + slack), source=source, level=1.0
    )
    return Shown(
        figure,
        {"en": "Share that changed hands", "zh": "易手的份额"},
        {
            "en": f"{before} to {time}, the least that can have moved; who took it from whom the totals cannot tell.",
            "zh": f"{before} 至 {time}，至少如此；仅凭合计无法得知由谁转到谁。",
        },
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
    lines.append([{"en": "HHI, change", "zh": "HHI 变化"}, f"{parts.sum():+.1f}"])
    return [
        Table(
            {
                "en": f"Who moved the concentration, {market.times[first]} to {market.times[last]}",
                "zh": f"谁改变了集中度，{market.times[first]} 至 {market.times[last]}",
            },
            [{"en": "name", "zh": "名称"}, {"en": "points of HHI", "zh": "HHI 点数"}],
            lines,
            market.provenance.texts(),
        )
    ]


def _segments_table(parts: Mapping[str, Shares]) -> list[Table]:
    rows: list[Row] = []
    for name, market in parts.items():
        last = next((item for item in reversed(concentration(market)) if item.hhi is not None), None)
        if last and last.hhi is not None and last.leader_share is not None:
            rows.append(
                [
                    {"en": name or "(none)", "zh": name or "（无）"},
                    last.time,
                    {"en": last.leader, "zh": last.leader},
                    f"{last.leader_share:.1%}",
                    round(last.hhi),
                ]
            )
    first = next(iter(parts.values()))
    columns: list[Text] = [
        {"en": "segment", "zh": "细分市场"},
        {"en": "time", "zh": "时间"},
        {"en": "leader", "zh": "领先者"},
        {"en": "share", "zh": "份额"},
        {"en": "HHI", "zh": "HHI"},
    ]
    return [
        Table(
            {"en": "By segment, at its latest whole time", "zh": "各细分市场（最近一个完整时点）"},
            columns,
            rows,
            first.provenance.texts(),
        )
    ]
