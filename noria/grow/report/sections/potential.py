"""What is left to win and whom to address, in the report: market size as ranges, needs not met, and target segments with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from noria.core.figure import Figure, number
from noria.grow.log.log import SERVER_EVENTS, Log
from noria.grow.market.needs import Need
from noria.grow.market.penetration import Penetration
from noria.grow.market.potential import Potential
from noria.grow.market.targets import MEASURES, SHORT, Target
from noria.grow.report.charts.chart import Chart, Text
from noria.grow.report.charts.potential import targets_chart, tornado_chart
from noria.grow.report.page import Section, Shown, Table

Row = list[str | float | Text | None]
SERVER: Text = {"en": "server events", "zh": "服务事件"}
_APPROACHES = {"top-down": "自上而下", "bottom-up": "自下而上"}
_REASONS = {"not answered": "未答复", "handed over": "转人工", "judged wrong": "被评为错误"}


def potential_section(found: Potential | None, reach: Penetration | None = None) -> Section:
    """Return how large the market could be, what its range comes from, and how much of it is reached."""
    shown: list[Shown] = []
    charts: list[Chart] = []
    notes: list[Text] = []
    tables: list[Table] = []
    if found:
        shown += [_size(figure) for figure in found.sizes]
        charts += [tornado_chart(found, approach) for approach in found.tornado]
        for item in found.agreements:
            where: Text = {"en": item.industry or "all industries", "zh": item.industry or "全部行业"}
            notes.append(
                {
                    "en": f"{where['en']}: bottom-up over top-down {item.ratio:.2f} [{item.low:.2f}, {item.high:.2f}]; {item.verdict['en']}.",
                    "zh": f"{where['zh']}：自下而上 / 自上而下 = {item.ratio:.2f} [{item.low:.2f}, {item.high:.2f}]；{item.verdict['zh']}。",
                }
            )
        tables.append(_inputs(found))
    if reach:
        shown += [_reached(figure) for figure in reach.figures()]
        if reach.why:
            notes.append({"en": f"Not identified: {reach.why['en']}.", "zh": f"无法识别：{reach.why['zh']}。"})
    return Section(
        "potential",
        {"en": "Potential", "zh": "市场潜力"},
        {
            "en": "How large the market could be, as ranges drawn from the ranges of its inputs.",
            "zh": "市场可能有多大：由各输入的范围抽样得出的范围。",
        },
        shown,
        charts,
        tables,
        notes,
    )


def position_section(found: Sequence[Target], log: Log) -> Section:
    """Return the segments of a log's users, scored as targets."""
    name: Text = {"en": log.source, "zh": SERVER["zh"] if log.source == SERVER_EVENTS else log.source}
    facts: dict[str, Any] = {"licence": log.licence, "as_of": log.as_of.isoformat(), "source": name}
    best = found[0]
    source = log.texts()
    shown = [
        Shown(
            replace(best.first, name="first"),
            {"en": f"Target: {best.segment.name['en']}", "zh": f"目标：{best.segment.name['zh']}"},
            {
                "en": f"Part of the draws over weights and sampling error in which it comes first. Rule: {best.segment.reason['en']}.",
                "zh": f"在权重与抽样误差的模拟中居首的比例。规则：{best.segment.reason['zh']}。",
            },
            percent=True,
            **facts,
        ),
        *(
            Shown(
                target.segment.value,
                {"en": f"Value held by: {target.segment.name['en']}", "zh": f"价值占比：{target.segment.name['zh']}"},
                {
                    "en": f"Part of all value, from {target.segment.users.value:.1%} of users.",
                    "zh": f"占全部价值的比例，来自 {target.segment.users.value:.1%} 的用户。",
                },
                percent=True,
                **facts,
            )
            for target in found[:3]
        ),
    ]
    rows: list[Row] = [
        [
            target.segment.name,
            f"{target.segment.users.value:.1%}",
            f"{target.segment.value.value:.1%}",
            number(target.segment.each.value),
            f"{target.score:.2f}",
            f"{target.first.value:.0%}",
            target.reason,
        ]
        for target in found
    ]
    unit = best.segment.each.unit
    columns: list[Text] = [
        {"en": "segment", "zh": "细分"},
        {"en": "users", "zh": "用户"},
        {"en": "value", "zh": "价值"},
        {"en": f"a user, {unit}", "zh": f"人均（{'用量' if unit == 'units' else unit}）"},
        {"en": "score", "zh": "得分"},
        {"en": "first in", "zh": "居首"},
        {"en": "why", "zh": "理由"},
    ]
    rules: list[Row] = [[target.segment.name, target.segment.reason] for target in found]
    users = best.segment.users.n
    weights: Text = {
        "en": f"Scores weigh {'; '.join(f'{SHORT[name][0]}: {MEASURES[name][0]}' for name in best.contributions)}.",
        "zh": f"得分综合：{'；'.join(f'{SHORT[name][1]}：{MEASURES[name][1]}' for name in best.contributions)}。",
    }
    return Section(
        "position",
        {"en": "Position: segments and targets", "zh": "定位：细分与目标"},
        {
            "en": f"{users:,} users in segments by use and value, and whom to address first.",
            "zh": f"按使用与价值对 {users:,} 位用户细分，并给出优先触达的对象。",
        },
        shown,
        [targets_chart(found, source)],
        [
            Table({"en": "Segments, the best target first", "zh": "各细分（按目标得分）"}, columns, rows, source),
            Table(
                {"en": "Who is in which segment: the first rule that fits", "zh": "各细分的规则（取首条符合者）"},
                [{"en": "segment", "zh": "细分"}, {"en": "rule", "zh": "规则"}],
                rules,
            ),
        ],
        [weights],
    )


def needs_section(found: Sequence[Need], as_of: str) -> Section:
    """Return what is asked of the server and not met."""
    top = found[0]
    facts: dict[str, Any] = {"as_of": as_of, "source": SERVER}
    shown = [
        Shown(
            replace(top.unmet, name="unmet"),
            {"en": f"Not met: {top.topic}", "zh": f"未满足：{top.topic}"},
            {
                "en": "Part of the topic's requests that were refused, failed, handed over or judged wrong; it has the most of them.",
                "zh": "该主题中被拒绝、失败、转人工或被评为错误的请求比例；未满足的请求以此主题最多。",
            },
            percent=True,
            **facts,
        ),
        Shown(
            replace(top.demand, name="demand"),
            {"en": f"Demand: {top.topic}", "zh": f"需求占比：{top.topic}"},
            {"en": "Its part of all requests.", "zh": "占全部请求的比例。"},
            percent=True,
            **facts,
        ),
    ]
    rows: list[Row] = [
        [
            {"en": need.topic, "zh": "（无）" if need.topic == "(none)" else need.topic},
            need.requests,
            need.users,
            f"{need.demand.value:.1%}",
            f"{need.unmet.value:.1%} [{need.unmet.low:.1%}, {need.unmet.high:.1%}]",
            *(need.reasons[name] for name in _REASONS),
        ]
        for need in found
    ]
    columns: list[Text] = [
        {"en": "topic", "zh": "主题"},
        {"en": "requests", "zh": "请求数"},
        {"en": "users", "zh": "用户数"},
        {"en": "demand", "zh": "需求占比"},
        {"en": "not met, 95%", "zh": "未满足（95%）"},
        *({"en": name, "zh": chinese} for name, chinese in _REASONS.items()),
    ]
    return Section(
        "unmet",
        {"en": "Needs not met", "zh": "未满足的需求"},
        {
            "en": "What is asked of the server by topic, and how much of it was not met: the potential that already knocks.",
            "zh": "按主题统计对服务的需求，以及其中未被满足的部分：已经上门的潜力。",
        },
        shown,
        (),
        [Table({"en": "Topics, the most unmet first", "zh": "各主题（按未满足数）"}, columns, rows, SERVER)],
    )


def _size(figure: Figure) -> Shown:
    approach, industry = figure.name.split(", ", 1)
    chinese = "合计" if industry == "total" else "全部" if industry == "all" else industry
    return Shown(
        figure,
        {"en": f"{industry}, {approach}", "zh": f"{chinese}，{_APPROACHES[approach]}"},
        {
            "en": "Median and range of the draws; n counts draws, the range is that of the inputs.",
            "zh": "抽样的中位数与范围；n 为抽样次数，范围来自输入。",
        },
    )


def _reached(figure: Figure) -> Shown:
    words: dict[str, tuple[Text, Text]] = {
        "part of the ceiling reached": (
            {"en": "Penetration", "zh": "渗透率"},
            {
                "en": f"Part of the given ceiling reached {figure.note}; n counts points.",
                "zh": "已达到给定上限的比例；n 为数据点数。",
            },
        ),
        "growth of the odds a year": (
            {"en": "Pace", "zh": "速度"},
            {
                "en": "Growth a year of reached over not yet reached, a logistic curve's only speed.",
                "zh": "“已达到/未达到”之比的年增长，即逻辑曲线的速度。",
            },
        ),
        "years until half of the ceiling": (
            {"en": "Years until half", "zh": "达到一半所需年数"},
            {
                "en": "Years after the last point until half of the ceiling, should the pace hold.",
                "zh": "若速度不变，自最后数据点起达到上限一半所需的年数。",
            },
        ),
    }
    name, meaning = words[figure.name]
    unit: Text | None = {"en": "years", "zh": "年"} if figure.unit else None
    return Shown(figure, name, meaning, percent=not figure.unit, unit=unit)


def _inputs(found: Potential) -> Table:
    rows: list[Row] = []
    for approach, bars in found.tornado.items():
        for bar in bars:
            item = next(
                item
                for item in found.ranges
                if (item.industry, item.approach, item.factor) == (bar.industry, approach, bar.factor)
            )
            rows.append(
                [
                    {"en": approach, "zh": _APPROACHES[approach]},
                    {"en": item.industry or "all", "zh": item.industry or "全部"},
                    _same(item.factor),
                    number(item.low),
                    number(item.high),
                    _same(item.unit),
                    f"{bar.part:.0%}",
                    _same(item.source),
                ]
            )
    columns: list[Text] = [
        {"en": "approach", "zh": "方法"},
        {"en": "industry", "zh": "行业"},
        {"en": "input", "zh": "输入"},
        {"en": "low", "zh": "下限"},
        {"en": "high", "zh": "上限"},
        {"en": "unit", "zh": "单位"},
        {"en": "part of the range", "zh": "占范围"},
        {"en": "source", "zh": "来源"},
    ]
    return Table({"en": "Inputs and their ranges, nine in ten", "zh": "各输入及其范围（九成把握）"}, columns, rows)


def _same(text: str) -> Text:
    """Return a text of the data, which has no other language."""
    return {"en": text, "zh": text}
