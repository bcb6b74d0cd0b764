"""The report's sections: results in, words, figures, charts and tables out, in English and Chinese."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from noria.core.figure import Figure

from .charts import (
    Chart,
    Text,
    bar_chart,
    concentration_chart,
    forecast_chart,
    foresight_chart,
    growth_chart,
    retention_curve,
    retention_heat,
    share_chart,
)
from .forecast.attraction import ShareForecast
from .forecast.backtest import Backtest
from .forecast.baseline import NAMES
from .log import Log
from .market.share import Shares, concentration
from .report import Section, Shown, Table
from .usage import Usage
from .users.activity import Growth
from .users.holdout import HoldOut
from .users.retention import Retention

SERVER: Text = {"en": "server events", "zh": "服务事件"}
COUNTED = {"day": "天", "week": "周", "month": "个月"}
UNITS: dict[str, tuple[str, str]] = {"day": ("day", "日"), "week": ("week", "周"), "month": ("month", "月")}


def users_section(log: Log, growths: Sequence[Growth], kept: Retention, sticky: Sequence[Figure]) -> Section:
    """Return active users, growth accounting and retention of a log; `growths` by several periods, the first is drawn."""
    facts: dict[str, Any] = {"licence": log.licence, "as_of": log.as_of.isoformat()}
    shown = [
        Shown(Figure("users", log.users, log.rows, source=log.source), {"en": "Users in the log", "zh": "日志中的用户"},
              {"en": f"People who acted at least once from {log.first} to {log.as_of}; n is their acts.",
               "zh": f"{log.first} 至 {log.as_of} 期间至少活动一次的人数；n 为活动次数。"}, **facts),
    ]  # fmt: skip
    for growth in growths:
        en, zh = UNITS[growth.unit]
        whole = [row for row in growth.segment() if row.complete]
        if whole:
            shown.append(
                Shown(Figure(f"active by {en}", whole[-1].active, len(whole), source=log.source),
                      {"en": f"Active in the last whole {en}", "zh": f"最近完整{zh}的活跃用户"},
                      {"en": f"Counted from {whole[-1].period}; n is the whole {en}s in the log.",
                       "zh": f"自 {whole[-1].period} 起计；n 为日志中完整的{zh}数。"}, **facts)
            )  # fmt: skip
    en, zh = UNITS[kept.unit]
    shown += [
        Shown(point, {"en": f"Retention, {en} {age}", "zh": f"第 {age} {COUNTED[kept.unit]}留存"},
              {"en": f"Part of all newcomers who were active again exactly {age} {en}{'s' if age > 1 else ''} after their first.",
               "zh": f"新用户在首次活跃后的第 {age} {COUNTED[kept.unit]}再次活跃的比例。"}, percent=True, **facts)
        for age, point in enumerate(kept.curve()) if age in (1, 6, 12)
    ]  # fmt: skip
    if sticky:
        shown.append(Shown(sticky[-1], {"en": "Stickiness (DAU/MAU)", "zh": "黏性（DAU/MAU）"},
                           {"en": "On how large a part of a month's days its users were active, in the last whole month.",
                            "zh": "最近完整月份中，用户活跃天数占全月天数的平均比例。"}, percent=True, **facts))  # fmt: skip
    checked = sum(len(growth.rows) for growth in growths)
    broken = sum(len(growth.defects()) for growth in growths)
    notes: list[Text] = [
        {"en": f"Growth accounting checked in {checked:,} periods: active = active before + new + resurrected − churned in "
               f"{'every one' if not broken else f'all but {broken}'}.",
         "zh": f"增长核算已检验 {checked:,} 个时期：{'全部' if not broken else f'除 {broken} 期外均'}满足"
               "“活跃 = 上期活跃 + 新增 + 回流 − 流失”。"},
    ]  # fmt: skip
    notes += [
        {"en": problem.text(), "zh": f"{problem.rows:,} 行被剔除：{problem.what}（首见于 {problem.example}）"}
        for problem in log.problems
    ]
    charts: list[Chart] = [growth_chart(growth) for growth in growths[:1]]
    charts += [retention_curve(kept), retention_heat(kept)] if len(kept.counts) > 2 else []
    return Section("users", {"en": "Users", "zh": "用户"},
                   {"en": f"Who is active, who is new, who comes back: {log.source}.", "zh": f"谁在活跃、谁是新人、谁会回来：{log.source}。"},
                   shown, [replace(chart, source=log.texts()) for chart in charts],
                   [replace(growth_table(growth), source=log.texts()) for growth in growths[-1:]], notes)  # fmt: skip


def growth_table(growth: Growth, last: int = 12) -> Table:
    """Return the last periods of growth accounting."""
    names = [("period", "时期"), ("before", "上期活跃"), ("new", "新增"), ("resur\u00adrected", "回流"), ("churned", "流失"),
             ("active", "活跃"), ("quick ratio", "速动比")]  # fmt: skip
    rows: list[list[str | float | Text | None]] = [
        [
            (row.period[:7] if growth.unit == "month" else row.period) + ("" if row.complete else " *"),
            row.before,
            row.new,
            row.resurrected,
            row.churned,
            row.active,
            row.quick_ratio,
        ]
        for row in growth.segment()[-last:]
    ]
    en, zh = UNITS[growth.unit]
    return Table({"en": f"Growth accounting, last {len(rows)} {en}s (* not whole)", "zh": f"增长核算，最近 {len(rows)} {zh}（* 为不完整）"},
                 [{"en": name, "zh": chinese} for name, chinese in names], rows, growth.source)  # fmt: skip


def lifetime_section(result: HoldOut, log: Log) -> Section:
    """Return the lifetime model's parameters, forecast and hold-out."""
    total, weeks, error = result.figures()
    came = result.outcome.by_week.sum()
    facts: dict[str, Any] = {"licence": log.licence, "as_of": log.as_of.isoformat()}
    verdict: Text = (
        {"en": f"What came, {came:,.0f}, lies inside the interval.", "zh": f"实际为 {came:,.0f}，落在区间之内。"}
        if result.inside else
        {"en": f"What came, {came:,.0f}, lies outside the interval: the model knows neither seasons nor campaigns.",
         "zh": f"实际为 {came:,.0f}，落在区间之外：模型不了解季节与营销活动。"}
    )  # fmt: skip
    shown = [
        Shown(total, {"en": f"Repeat purchases, next {result.weeks} weeks", "zh": f"未来 {result.weeks} 周的复购次数"},
              {"en": f"{verdict['en']} The baseline repeats the last 13 weeks{'' if result.nearer else ', and came nearer'}.",
               "zh": f"{verdict['zh']}基线为重复最后 13 周{'' if result.nearer else '，且更接近实际'}。"}, **facts),
        Shown(weeks, {"en": "Weeks inside the interval", "zh": "落在区间内的周"},
              {"en": "Part of the held-out weeks inside the forecast's 95% interval; 95% is what it promises.",
               "zh": "留出期中落在 95% 预测区间内的周所占比例；承诺值为 95%。"}, percent=True, **facts),
        Shown(error, {"en": "Error per user", "zh": "人均误差"},
              {"en": "Mean absolute error of each user's forecast, in purchases; the baseline lets each user go on at their own rate.",
               "zh": "每位用户预测的平均绝对误差（次）；基线为每位用户保持自己以往的频率。"}, **facts),
    ]  # fmt: skip
    parameters = result.model.intervals()
    words = {"r": ("shape of the rates", "频率分布的形状"), "alpha": ("scale of the rates, weeks", "频率分布的尺度（周）"),
             "a": ("leaving, first shape", "流失分布的第一形状参数"), "b": ("leaving, second shape", "流失分布的第二形状参数")}  # fmt: skip
    tables = [
        Table({"en": "BG/NBD parameters, maximum likelihood", "zh": "BG/NBD 参数（最大似然）"},
              [{"en": "parameter", "zh": "参数"}, {"en": "value", "zh": "值"}, {"en": "95% low", "zh": "95% 下限"}, {"en": "95% high", "zh": "95% 上限"}],
              [[{"en": f"{name}: {words[name][0]}", "zh": f"{name}：{words[name][1]}"}, value, *parameters[name]]
               for name, value in zip(parameters, result.model.parameters.tolist(), strict=True)], log.texts()),
        Table({"en": "Calibration: purchases a user, by purchases so far", "zh": "校准：按已有复购次数分组的人均购买"},
              [{"en": "repeats so far", "zh": "已有复购"}, {"en": "users", "zh": "用户"}, {"en": "forecast", "zh": "预测"}, {"en": "seen", "zh": "实际"}],
              [list(row) for row in result.calibration()], log.texts()),
    ]  # fmt: skip
    return Section(
        "lifetime", {"en": "Lifetime", "zh": "用户生命周期"},
        {"en": f"How much known users will still buy: BG/NBD fitted on the weeks up to {result.history.until}, judged on the {result.weeks} "
               "after.",
         "zh": f"现有用户还会购买多少：以截至 {result.history.until} 的数据拟合 BG/NBD，再用其后 {result.weeks} 周检验。"},
        shown, [foresight_chart(result.ahead, result.outcome.by_week, result.flat, log.texts())], tables,
    )  # fmt: skip


def market_section(market: Shares, forecast: ShareForecast | None, test: Backtest | None) -> Section:
    """Return shares, concentration, forecast and back-test of one market."""
    facts: dict[str, Any] = {"licence": market.provenance.licence, "as_of": market.provenance.as_of.isoformat()}
    source = market.provenance.source
    n = int(market.whole.sum())
    latest = [row for row in concentration(market) if row.hhi is not None]
    shown = [
        Shown(Figure(figure.name, figure.value, n, figure.low, figure.high, source=source, level=figure.level),
              {"en": f"{entity}, share", "zh": f"{'其他' if entity == 'Other' else entity} 的份额"},
              {"en": f"In {figure.name[len(entity) + 1:]}; the interval is what the source's rounding leaves open, n the periods known.",
               "zh": f"{figure.name[len(entity) + 1:]}；区间为来源四舍五入所致，n 为已知期数。"}, percent=True, **facts)
        for entity, figure in list(zip(market.entities, market.latest(), strict=True))[:3]
    ]  # fmt: skip
    if latest:
        shown.append(Shown(Figure("HHI", latest[-1].hhi or 0.0, len(market.entities), latest[-1].hhi, latest[-1].hhi_high, source=source, level=1.0),
                           {"en": "Concentration (HHI)", "zh": "集中度（HHI）"},
                           {"en": f"In {latest[-1].time}, 0 to 10,000; its bounds are a rest spread over many and a rest in one hand. n counts the names.",
                            "zh": f"{latest[-1].time}，取值 0 至 10,000；界限为“其他”分散于众家与归于一家。n 为名称数。"}, **facts))  # fmt: skip
    charts, tables = [share_chart(market), concentration_chart(market)], []
    notes: list[Text] = [{"en": f"{flag.time}: {flag.en}.", "zh": f"{flag.time}：{flag.zh}。"} for flag in market.flags]
    if test is not None:
        notes.insert(0, test.verdict())
        tables.append(backtest_table(test, market))
    if forecast is not None:
        model: Text = NAMES[test.winner if test else "attraction"]
        leader, *rivals = [entity for entity in market.entities[:5] if entity != "Other"]
        charts += [
            forecast_chart(market, forecast, [leader], {"en": f"Share forecast: {leader} ({model['en']})", "zh": f"份额预测：{leader}（{model['zh']}）"}),
            forecast_chart(market, forecast, rivals, {"en": f"Share forecast: rivals ({model['en']})", "zh": f"份额预测：竞争者（{model['zh']}）"}),
        ]  # fmt: skip
        tables.append(forecast_table(market, forecast))
    return Section("market", {"en": "Market", "zh": "市场"},
                   {"en": f"Who holds which share, on one base: {market.base}.", "zh": "按同一口径，谁占多少份额：引荐页面浏览量份额。"
                    if market.base == "share of referred page views" else f"按同一口径，谁占多少份额：{market.base}。"},
                   shown, charts, tables, notes)  # fmt: skip


def backtest_table(test: Backtest, market: Shares) -> Table:
    """Return how each model did."""
    names = [("model", "模型"), ("log score", "对数得分"), ("above persis\u00adtence, 95%", "高于维持现状，95%"),
             ("energy score", "能量得分"), ("CRPS", "CRPS"), ("MASE", "MASE"), ("inside 90%", "90% 区间内")]  # fmt: skip
    rows: list[list[str | float | Text | None]] = []
    for item in test.standings:
        gain = f"{item.gain.value:+.2f} [{item.gain.low:.2f}, {item.gain.high:.2f}]" if item.gain else "–"
        rows.append(
            [
                NAMES[item.model],
                item.log_score,
                gain,
                item.energy,
                item.crps,
                item.mase,
                f"{item.coverage['90%']:.0%}",
            ]
        )
    first = test.standings[0]
    return Table({"en": f"Back-test: {first.trials} forecasts from {first.origins} origins, up to {test.horizon} periods ahead",
                  "zh": f"滚动起点回测：{first.origins} 个起点、{first.trials} 次预测，最多提前 {test.horizon} 期"},
                 [{"en": name, "zh": chinese} for name, chinese in names], rows, market.provenance.texts())  # fmt: skip


def forecast_table(market: Shares, forecast: ShareForecast) -> Table:
    """Return the last forecast month's shares with intervals."""
    low, high = forecast.interval(0.9)
    middle = forecast.median()
    rows: list[list[str | float | Text | None]] = [
        [{"en": entity, "zh": "其他" if entity == "Other" else entity}, f"{market.values[-1, column]:.1%}", f"{middle[-1, column]:.1%}",
         f"{low[-1, column]:.1%}", f"{high[-1, column]:.1%}"]
        for column, entity in enumerate(market.entities)
    ]  # fmt: skip
    end = forecast.times[-1]
    return Table({"en": f"Share forecast for {end}; every draw sums to 100%", "zh": f"{end} 的份额预测；每次模拟合计 100%"},
                 [{"en": "name", "zh": "名称"}, {"en": market.times[-1], "zh": market.times[-1]}, {"en": "median", "zh": "中位数"},
                  {"en": "90% low", "zh": "90% 下限"}, {"en": "90% high", "zh": "90% 上限"}], rows, market.provenance.texts())  # fmt: skip


def usage_section(use: Usage, growth: Growth | None = None) -> Section:
    """Return what the server's own events say."""
    as_of, first, last = use.last[:10], use.first.replace("T", " "), use.last.replace("T", " ")
    count: dict[str, Any] = {"as_of": as_of, "source": SERVER}
    shown = [
        Shown(Figure("events", use.events, use.events, source="server events"), {"en": "Events", "zh": "事件"},
              {"en": "Facts of use in the lake, each counted once.", "zh": "数据湖中的使用事实，每条只计一次。"}, **count),
        Shown(Figure("users", use.users, use.requests, source="server events"), {"en": "Users of the server", "zh": "服务的用户"},
              {"en": "Distinct pseudonyms that sent a request; n is the requests.", "zh": "发出请求的不同化名；n 为请求数。"}, **count),
    ]  # fmt: skip
    shown += [Shown(figure, {"en": f"Application {figure.name}", "zh": f"应用 {figure.name}"},
                    {"en": "Its part of all requests.", "zh": "占全部请求的比例。"}, percent=True, **count) for figure in use.apps]  # fmt: skip
    shown += [Shown(figure, {"en": f"Model {figure.name}", "zh": f"模型 {figure.name}"},
                    {"en": "Its part of the requests that a model answered.", "zh": "占由模型应答的请求的比例。"}, percent=True, **count) for figure in use.models]  # fmt: skip
    shown += [Shown(figure, {"en": f"Judged right: {figure.name}", "zh": f"被评为正确：{figure.name}"},
                    {"en": "Of the answers that users judged; the last word on each counts.", "zh": "在用户评价过的答复中所占比例；以最后一次评价为准。"},
                    percent=True, **count) for figure in use.right]  # fmt: skip
    charts = [bar_chart([figure.name for figure in use.apps], [round(figure.value * figure.n) for figure in use.apps],
                        {"en": "Requests by application", "zh": "各应用的请求数"},
                        {"en": "Counted from the events themselves.", "zh": "直接由事件计数。"}, SERVER, {"en": "requests", "zh": "请求"})]  # fmt: skip
    names = {"request": "请求", "feedback": "反馈", "impression": "曝光", "click": "点击", "conversion": "转化", "handover": "转人工", "alert": "告警",
             "ok": "成功", "refused": "拒绝", "failed": "失败", "blocked": "拦截"}  # fmt: skip
    rows: list[list[str | float | Text | None]] = [
        [{"en": kind, "zh": names[kind]}, n] for kind, n in use.kinds.items()
    ]
    rows += [[{"en": f"requests {outcome}", "zh": f"请求{names[outcome]}"}, n] for outcome, n in use.outcomes.items()]
    latency: list[list[str | float | Text | None]] = [
        [{"en": f.name, "zh": f.name.replace("median", "中位数").replace("95th percentile", "第 95 百分位")}, f.n, f.value, f.low, f.high] for f in use.latency_ms
    ]  # fmt: skip
    tables = [
        Table({"en": "Events by kind", "zh": "各类事件"}, [{"en": "kind", "zh": "类别"}, {"en": "events", "zh": "事件数"}], rows, SERVER),
        Table({"en": "Latency, ms", "zh": "延迟（毫秒）"}, [{"en": "application", "zh": "应用"}, {"en": "requests", "zh": "请求数"}, {"en": "ms", "zh": "毫秒"},
              {"en": "95% low", "zh": "95% 下限"}, {"en": "95% high", "zh": "95% 上限"}], latency, SERVER),
    ]  # fmt: skip
    if growth is not None:
        tables.append(replace(growth_table(growth), source=SERVER))
    return Section("usage", {"en": "Use of the server", "zh": "服务使用"},
                   {"en": f"From the server's own events, {first} to {last} UTC.", "zh": f"来自服务自身的事件，{first} 至 {last}（UTC）。"},
                   shown, charts, tables)  # fmt: skip
