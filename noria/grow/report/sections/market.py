"""A market in the report: shares, concentration, forecast and back-test."""

from __future__ import annotations

from typing import Any

import numpy as np

from noria.core.figure import Figure
from noria.core.messages import as_is, joined, message, term
from noria.grow.forecast.names import BASELINE, NAMES
from noria.grow.forecast.scoring.standings import Backtest
from noria.grow.forecast.shares.attraction import ShareForecast
from noria.grow.market.share import Shares, concentration, gathered
from noria.grow.report.charts.chart import Text, entity_name
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
    latest = [row for row in concentration(market) if row.hhi is not None]
    row = market.values[market.latest_row]
    known = [entity for entity, value in zip(market.entities, row, strict=True) if value == value]
    shown = [
        Shown(
            Figure(figure.name, figure.value, figure.n, figure.low, figure.high, source=source, level=figure.level),
            message("market.share.name", entity=entity_name(entity)),
            message("market.share.meaning", name=figure.name[len(entity) + 1 :]),
            percent=True,
            **facts,
        )
        for entity, figure in list(zip(known, market.latest(), strict=True))[:3]
    ]
    if latest:
        shown.append(
            Shown(
                Figure(
                    "HHI",
                    latest[-1].hhi or 0.0,
                    len(market.entities),
                    latest[-1].least,
                    latest[-1].most,
                    source=source,
                    level=1.0,
                ),
                message("market.concentration_hhi.name"),
                message("market.concentration_hhi.meaning", time=latest[-1].time),
                **facts,
            )
        )
    charts, tables = [share_chart(market), concentration_chart(market)], []
    notes: list[Text] = [message("market.note.text", flag=flag.text()) for flag in gathered(market.flags)]
    notes += cells_note(market)
    if test is not None:
        notes.insert(0, test.verdict())
        charts.append(standings_chart(test, market.provenance.text()))
        tables.append(standings_table(test, market.provenance.text()))
    if forecast is not None:
        used = NAMES[model or (test.winner if test else BASELINE)]
        leader, *rivals = [entity for entity in market.entities[:5] if entity != "Other"]
        charts += [
            forecast_chart(
                market,
                forecast,
                [leader],
                message("market.share_forecast", leader=leader, used=used),
            ),
            forecast_chart(
                market,
                forecast,
                rivals,
                message("market.share_forecast_rivals", used=used),
            ),
        ]
        tables.append(forecast_table(market, forecast))
    return Section(
        "market",
        message("market.title"),
        message("market.lead", base=base_name(market.base)),
        shown,
        charts,
        tables,
        notes,
    )


def cells_note(market: Shares) -> list[Text]:
    """Return how many cells are published, missing ..., where some are not plainly published."""
    counts = {name: count for name, count in market.cells.counts().items() if count}
    if not set(counts) - {"published", "zero", "derived"}:
        return []
    listed = [message("lines.cells.count", count=count, what=term(name)) for name, count in counts.items()]
    return [message("lines.cells.all", cells=joined("join.list", listed))]


def forecast_table(market: Shares, forecast: ShareForecast) -> Table:
    """Return the last forecast month's shares with intervals."""
    low, high = forecast.interval(0.9)
    middle = forecast.median()
    rows: list[list[str | float | Text | None]] = [
        [
            entity_name(entity),
            None if np.isnan(market.values[-1, column]) else f"{market.values[-1, column]:.1%}",
            f"{middle[-1, column]:.1%}",
            f"{low[-1, column]:.1%}",
            f"{high[-1, column]:.1%}",
        ]
        for column, entity in enumerate(market.entities)
    ]
    end = forecast.times[-1]
    return Table(
        message("market.table.share_forecast_for_every", end=end),
        [
            message("report.column.name"),
            as_is(market.times[-1]),
            message("market.column.median"),
            message("market.column.n_90_percent_low"),
            message("market.column.n_90_percent_high"),
        ],
        rows,
        market.provenance.text(),
    )
