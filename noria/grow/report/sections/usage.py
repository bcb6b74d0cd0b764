"""Use of the server in the report, as its own events tell it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from noria.core.figure import Figure
from noria.grow.report.charts.chart import Text, bar_chart
from noria.grow.report.page import Section, Shown, Table
from noria.grow.usage import Usage
from noria.grow.users.activity import Growth

from .users import growth_table

SERVER: Text = {"en": "server events", "zh": "服务事件"}


def usage_section(use: Usage, growth: Growth | None = None) -> Section:
    """Return what the server's own events say."""
    as_of, first, last = use.last[:10], use.first.replace("T", " "), use.last.replace("T", " ")
    count: dict[str, Any] = {"as_of": as_of, "source": SERVER}
    shown = [
        Shown(
            Figure("events", use.events, use.events, source="server events"),
            {"en": "Events", "zh": "事件"},
            {"en": "Facts of use in the lake, each counted once.", "zh": "数据湖中的使用事实，每条只计一次。"},
            **count,
        ),
        Shown(
            Figure("users", use.users, use.requests, source="server events"),
            {"en": "Users of the server", "zh": "服务的用户"},
            {
                "en": "Distinct pseudonyms that sent a request; n is the requests.",
                "zh": "发出请求的不同化名；n 为请求数。",
            },
            **count,
        ),
    ]
    shown += [
        Shown(
            figure,
            {"en": f"Application {figure.name}", "zh": f"应用 {figure.name}"},
            {"en": "Its part of all requests.", "zh": "占全部请求的比例。"},
            percent=True,
            **count,
        )
        for figure in use.apps
    ]
    shown += [
        Shown(
            figure,
            {"en": f"Model {figure.name}", "zh": f"模型 {figure.name}"},
            {"en": "Its part of the requests that a model answered.", "zh": "占由模型应答的请求的比例。"},
            percent=True,
            **count,
        )
        for figure in use.models
    ]
    shown += [
        Shown(
            figure,
            {"en": f"Judged right: {figure.name}", "zh": f"被评为正确：{figure.name}"},
            {
                "en": "Of the answers that users judged; the last word on each counts.",
                "zh": "在用户评价过的答复中所占比例；以最后一次评价为准。",
            },
            percent=True,
            **count,
        )
        for figure in use.right
    ]
    charts = [
        bar_chart(
            [figure.name for figure in use.apps],
            [round(figure.value * figure.n) for figure in use.apps],
            {"en": "Requests by application", "zh": "各应用的请求数"},
            {"en": "Counted from the events themselves.", "zh": "直接由事件计数。"},
            SERVER,
            {"en": "requests", "zh": "请求"},
        )
    ]
    names = {
        "request": "请求",
        "feedback": "反馈",
        "impression": "曝光",
        "click": "点击",
        "conversion": "转化",
        "handover": "转人工",
        "alert": "告警",
        "ok": "成功",
        "refused": "拒绝",
        "failed": "失败",
        "blocked": "拦截",
    }
    rows: list[list[str | float | Text | None]] = [
        [{"en": kind, "zh": names[kind]}, n] for kind, n in use.kinds.items()
    ]
    rows += [[{"en": f"requests {outcome}", "zh": f"请求{names[outcome]}"}, n] for outcome, n in use.outcomes.items()]
    latency: list[list[str | float | Text | None]] = [
        [
            {"en": f.name, "zh": f.name.replace("median", "中位数").replace("95th percentile", "第 95 百分位")},
            f.n,
            f.value,
            f.low,
            f.high,
        ]
        for f in use.latency_ms
    ]
    tables = [
        Table(
            {"en": "Events by kind", "zh": "各类事件"},
            [{"en": "kind", "zh": "类别"}, {"en": "events", "zh": "事件数"}],
            rows,
            SERVER,
        ),
        Table(
            {"en": "Latency, ms", "zh": "延迟（毫秒）"},
            [
                {"en": "application", "zh": "应用"},
                {"en": "requests", "zh": "请求数"},
                {"en": "ms", "zh": "毫秒"},
                {"en": "95% low", "zh": "95% 下限"},
                {"en": "95% high", "zh": "95% 上限"},
            ],
            latency,
            SERVER,
        ),
    ]
    if growth is not None:
        tables.append(replace(growth_table(growth), source=SERVER))
    return Section(
        "usage",
        {"en": "Use of the server", "zh": "服务使用"},
        {
            "en": f"From the server's own events, {first} to {last} UTC.",
            "zh": f"来自服务自身的事件，{first} 至 {last}（UTC）。",
        },
        shown,
        charts,
        tables,
    )
