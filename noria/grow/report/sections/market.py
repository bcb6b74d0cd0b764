"""A market in the report: shares, concentration, forecast and back-test."""

from __future__ import annotations

from typing import Any

from noria.core.figure import Figure
from noria.grow.forecast.names import BASELINE, NAMES
from noria.grow.forecast.scoring.rolling import Backtest
from noria.grow.forecast.shares.attraction import ShareForecast
from noria.grow.market.share import Shares, concentration, gathered
from noria.grow.report.charts.chart import Text
from noria.grow.report.charts.forecast import standings_chart
from noria.grow.report.charts.market import base_name, concentration_chart, forecast_chart, share_chart
from noria.grow.report.page import Section, Shown, Table

from .forecast import standings_table


def market_section(
    market: Shares, forecast: ShareForecast | None, test: Backtest | None, model: str | None = None
) -> Section:
    """Return shares, concentration, forecast and back-test of one market; `model` made the forecast, the winner if not given."""
    facts: dict[str, Any] = {"licence": market.provenance.licence, "as_of": market.provenance.as_of.isoformat()}
    source = market.provenance.source
    n = int(market.whole.sum())
    latest = [row for row in concentration(market) if row.hhi is not None]
    shown = [
        Shown(
            Figure(figure.name, figure.value, n, figure.low, figure.high, source=source, level=figure.level),
            {"en": f"{entity}, share", "zh": f"{'其他' if entity == 'Other' else entity} 的份额"},
            {
                "en": f"In {figure.name[len(entity) + 1 :]}; the interval is what the source's rounding leaves open, n the periods known.",
                "zh": f"{figure.name[len(entity) + 1 :]}；区间为来源四舍五入所致，n 为已知期数。",
            },
            percent=True,
            **facts,
        )
        for entity, figure in list(zip(market.entities, market.latest(), strict=True))[:3]
    ]
    if latest:
        shown.append(
            Shown(
                Figure(
                    "HHI",
                    latest[-1].hhi or 0.0,
                    len(market.entities),
                    latest[-1].hhi,
                    latest[-1].hhi_high,
                    source=source,
                    level=1.0,
                ),
                {"en": "Concentration (HHI)", "zh": "集中度（HHI）"},
                {
                    "en": f"In {latest[-1].time}, 0 to 10,000; its bounds are a rest spread over many and a rest in one hand. n counts the names.",
                    "zh": f"{latest[-1].time}，取值 0 至 10,000；界限为“其他”分散于众家与归于一家。n 为名称数。",
                },
                **facts,
            )
        )
    charts, tables = [share_chart(market), concentration_chart(market)], []
    notes: list[Text] = [
        {"en": f"{flag.texts()['en']}.", "zh": f"{flag.texts()['zh']}。"} for flag in gathered(market.flags)
    ]
    if test is not None:
        notes.insert(0, test.verdict())
        charts.append(standings_chart(test, market.provenance.texts()))
        tables.append(standings_table(test, market.provenance.texts()))
    if forecast is not None:
        used = NAMES[model or (test.winner if test else BASELINE)]
        leader, *rivals = [entity for entity in market.entities[:5] if entity != "Other"]
        charts += [
            forecast_chart(
                market,
                forecast,
                [leader],
                {"en": f"Share forecast: {leader} ({used['en']})", "zh": f"份额预测：{leader}（{used['zh']}）"},
            ),
            forecast_chart(
                market,
                forecast,
                rivals,
                {"en": f"Share forecast: rivals ({used['en']})", "zh": f"份额预测：竞争者（{used['zh']}）"},
            ),
        ]
        tables.append(forecast_table(market, forecast))
    return Section(
        "market",
        {"en": "Market", "zh": "市场"},
        {
            "en": f"Who holds which share, on one base: {market.base}.",
            "zh": f"按同一口径，谁占多少份额：{base_name(market.base)['zh']}。",
        },
        shown,
        charts,
        tables,
        notes,
    )


def forecast_table(market: Shares, forecast: ShareForecast) -> Table:
    """Return the last forecast month's shares with intervals."""
    low, high = forecast.interval(0.9)
    middle = forecast.median()
    rows: list[list[str | float | Text | None]] = [
        [
            {"en": entity, "zh": "其他" if entity == "Other" else entity},
            f"{market.values[-1, column]:.1%}",
            f"{middle[-1, column]:.1%}",
            f"{low[-1, column]:.1%}",
            f"{high[-1, column]:.1%}",
        ]
        for column, entity in enumerate(market.entities)
    ]
    end = forecast.times[-1]
    return Table(
        {"en": f"Share forecast for {end}; every draw sums to 100%", "zh": f"{end} 的份额预测；每次模拟合计 100%"},
        [
            {"en": "name", "zh": "名称"},
            {"en": market.times[-1], "zh": market.times[-1]},
            {"en": "median", "zh": "中位数"},
            {"en": "90% low", "zh": "90% 下限"},
            {"en": "90% high", "zh": "90% 上限"},
        ],
        rows,
        market.provenance.texts(),
    )
