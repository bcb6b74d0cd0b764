"""Status: the running server: readiness, models in their processes, routes with their times, events, keys, the guard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from nicegui import ui

from noria.console.shell import View, block, card, facts, foreign, paragraph, problem
from noria.core.errors import NoriaError

EVERY_SECONDS = 3.0


async def show(view: View) -> None:
    """Draw the page, and draw it anew every few seconds while somebody looks."""

    @ui.refreshable
    async def drawn() -> None:
        try:
            waiting = await asyncio.to_thread(view.state.meter.outbox.count)
        except NoriaError as error:
            problem(str(error))
            waiting = -1
        _server(view, waiting)
        _models(view)
        _routes(view)
        with ui.element("div").classes("columns"):
            _keys(view)
            _guard(view)

    with ui.element("div").classes("stack").props("data-status"):
        await drawn()
    ui.timer(EVERY_SECONDS, drawn.refresh)


def _server(view: View, waiting: int) -> None:
    words, state = view.words, view.state
    status = "ready" if state.ready else "stopping" if state.draining else "starting"
    with card():
        chip = "chip grow" if state.ready else "chip warn"
        block(
            f'<h2>{escape(words("status.server"))}</h2><span class="{chip}">{escape(words(f"status.{status}"))}</span>',
            "card-head",
        )
        shown = [(words("status.in_flight"), f"{state.in_flight:,}"), (words("status.lake"), foreign(state.lake))]
        if waiting >= 0:
            shown.insert(1, (words("status.waiting"), f"{waiting:,}"))
        facts(shown)


def _models(view: View) -> None:
    words = view.words
    rows = []
    for name, served in view.state.models.items():
        health = served.worker.health()
        rows.append(
            [
                foreign(name),
                escape(words.phrase(served.task)),
                foreign(health.get("engine", "")),
                escape(words(f"status.{health['status']}")),
                f"{health['queue']:,}",
                f"{health['restarts']:,}",
                f"<code translate='no'>{escape(served.version)}</code>",
            ]
        )
    heads = ["model", "task", "engine", "state", "queue", "restarts", "version"]
    with card(words("status.models")):
        _table(view, heads, rows, numbers=(4, 5))


def _routes(view: View) -> None:
    words = view.words
    rows = [
        [
            foreign(words.phrase(one.route) if one.route == "other" else one.route),
            f"{one.requests:,}",
            f"{one.refused:,}",
            f"{one.failed:,}",
            _within(one.half),
            _within(one.nearly_all),
        ]
        for one in view.state.routes()
    ]
    with card(words("status.routes")):
        _table(view, ["route", "requests", "refused", "failed", "half", "nearly"], rows, numbers=(1, 2, 3, 4, 5))
        paragraph(words("status.source"), "small soft")


def _keys(view: View) -> None:
    words, state, now = view.words, view.state, datetime.now(UTC)
    rows = []
    for key in state.keys.list():
        used = state.rates.day_tokens(key.tenant or key.id)
        limit = f" / {key.tokens_day:,}" if key.tokens_day else ""
        rows.append(
            [
                foreign(key.name),
                f"<code translate='no'>{escape(key.id)}</code>",
                escape(words(f"status.{key.role}")),
                escape(words(f"status.{key.status(now)}")),
                f"{used:,}{limit}" if key.limits.any else "–",
            ]
        )
    with card(words("status.keys")):
        _table(view, ["name", "id", "role", "state", "tokens"], rows, numbers=(4,))


def _guard(view: View) -> None:
    words = view.words
    rows = [
        [
            f"<code translate='no'>{escape(rule)}</code>",
            escape(words(f"status.{side}")),
            escape(words(f"status.{action}")),
            f"{count:,}",
        ]
        for (rule, side, action), count in sorted(view.state.guard.counts.items())
    ]
    with card(words("status.guard")):
        _table(view, ["rule", "side", "action", "times"], rows, numbers=(3,))


def _table(view: View, heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> None:
    """Show a table; cells are HTML."""
    if not rows:
        paragraph(view.words("status.none"), "soft")
        return

    def cell(tag: str, place: int, html: str) -> str:
        return f'<{tag} class="number">{html}</{tag}>' if place in numbers else f"<{tag}>{html}</{tag}>"

    head = "".join(cell("th", place, escape(view.words(f"status.{name}"))) for place, name in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(cell("td", place, html) for place, html in enumerate(row)) + "</tr>" for row in rows
    )
    block(f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>', "scroll-x")


def _within(seconds: float | None) -> str:
    """Return the bound of a time, as in ≤ 20 ms; a dash where it is above all bounds."""
    return "–" if seconds is None else f"≤ {seconds * 1000:,.0f} ms" if seconds < 1 else f"≤ {seconds:,.0f} s"
