"""Health: the running server: readiness, disk, models in their processes with their memory, its own routes with their times, the guard."""

from __future__ import annotations

import asyncio
from html import escape

from nicegui import ui

from noria.console.shell import View, block, card, facts, foreign, paragraph, problem
from noria.console.tables import code, show_table
from noria.core.errors import NoriaError
from noria.server.http.metrics import CONSOLE, OTHER, RouteFigures, disk_bytes, own, resident_bytes

EVERY_SECONDS = 3.0


async def show(view: View) -> None:
    """Draw the page, and draw it anew every few seconds while somebody looks."""

    @ui.refreshable
    async def drawn() -> None:
        try:
            waiting = await asyncio.to_thread(view.state.meter.outbox.count)
        except NoriaError as error:
            problem(error.text(view.words.language))
            waiting = -1
        _server(view, waiting)
        _models(view)
        _routes(view)
        _guard(view)

    with ui.element("div").classes("stack").props("data-health"):
        await drawn()
    ui.timer(EVERY_SECONDS, drawn.refresh)


def _server(view: View, waiting: int) -> None:
    words, state = view.words, view.state
    status = "ready" if state.ready else "stopping" if state.draining else "starting"
    with card():
        chip = "chip grow" if state.ready else "chip warn"
        block(
            f'<h2>{escape(words("health.server"))}</h2><span class="{chip}">{escape(words(f"health.{status}"))}</span>',
            "card-head",
        )
        free, size = disk_bytes(state.lake)
        room = words("health.free", free=size_of(free), size=size_of(size))
        low = free < max(1 << 30, size // 20)
        shown = [
            (words("health.in_flight"), f"{state.in_flight:,}"),
            (words("health.disk"), f'<span class="chip warn">{escape(room)}</span>' if low else escape(room)),
            (words("health.lake"), foreign(state.lake)),
        ]
        if waiting >= 0:
            shown.insert(1, (words("health.waiting"), f"{waiting:,}"))
        facts(shown)


def _models(view: View) -> None:
    words = view.words
    rows = []
    for name, served in view.state.models.items():
        health, process = served.worker.health(), served.worker.process_id
        memory = None if served.adapter or process is None else resident_bytes(process)
        rows.append(
            [
                foreign(name),
                escape(words.phrase(served.task)),
                foreign(health.get("engine", "")),
                escape(words(f"health.{health['status']}")),
                f"{health['queue']:,}",
                "–" if memory is None else size_of(memory),
                f"{health['restarts']:,}",
                code(served.version),
            ]
        )
    heads = ["model", "task", "engine", "state", "queue", "memory", "restarts", "version"]
    with card(words("health.models")):
        shown = [words(f"health.{name}") for name in heads]
        show_table(shown, rows, numbers=(4, 5, 6), none=words("health.none"))


def _routes(view: View) -> None:
    words, routes = view.words, view.state.routes()
    rows = [
        [
            foreign(one.route),
            f"{one.requests:,}",
            f"{one.refused:,}",
            f"{one.failed:,}",
            within(one, 0.5),
            within(one, 0.99),
            f"{len(one.times):,}",
        ]
        for one in own(routes)
    ]
    heads = ["route", "requests", "refused", "failed", "half", "nearly", "measured"]
    counts = {one.route: one.requests for one in routes}
    with card(words("health.routes")):
        shown = [words(f"health.{name}") for name in heads]
        show_table(shown, rows, numbers=(1, 2, 3, 4, 5, 6), none=words("health.none"))
        folded = words("health.folded", console=f"{counts.get(CONSOLE, 0):,}", other=f"{counts.get(OTHER, 0):,}")
        paragraph(f"{words('health.source')} {folded}", "small soft")


def _guard(view: View) -> None:
    words = view.words
    rows = [
        [code(rule), escape(words(f"health.{side}")), escape(words(f"health.{action}")), f"{count:,}"]
        for (rule, side, action), count in sorted(view.state.guard.counts.items())
    ]
    with card(words("health.guard")):
        heads = [words(f"health.{name}") for name in ("rule", "side", "action", "times")]
        show_table(heads, rows, numbers=(3,), none=words("health.none"))


def within(one: RouteFigures, part: float) -> str:
    """Return the time within which a part of a route's last requests was answered, with its interval; a dash before the first.

    >>> within(RouteFigures("/x", times=(0.01, 0.02, 0.03)), 0.5)
    '20 ms'
    """
    if not one.times:
        return "–"
    value, *ends = one.quantile(part)
    if ends == [None, None]:  # of so few requests nothing is known but themselves
        return _time(value)
    return f'{_time(value)} <span class="soft">[{", ".join("–" if end is None else _time(end) for end in ends)}]</span>'


def _time(seconds: float) -> str:
    return (
        f"{seconds * 1e3:,.1f} ms"
        if seconds < 0.01
        else f"{seconds * 1e3:,.0f} ms"
        if seconds < 1
        else f"{seconds:,.1f} s"
    )


def size_of(count: int) -> str:
    """Return a number of bytes as people read it.

    >>> size_of(1_340_000_000), size_of(52_500_000)
    ('1.3 GB', '52 MB')
    """
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"
