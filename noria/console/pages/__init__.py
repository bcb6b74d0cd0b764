"""The console's pages, one file a page: `show(view)` draws it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request
from nicegui import ui

from noria.console.session import NEEDS, Forbidden, require
from noria.console.shell import Console, View, frame, problem, view_of
from noria.core.errors import NoriaError

from . import (
    audit,
    data,
    events,
    health,
    inbox,
    keys,
    market,
    models,
    monitor,
    overview,
    playground,
    promote,
    proposals,
    recommend,
    service,
    settings,
    support,
    train,
    users,
)

PAGES: dict[str, tuple[str, Callable[[View], Awaitable[None] | None]]] = {
    "overview": ("/", overview.show),
    "data": ("/data", data.show),
    "train": ("/train", train.show),
    "models": ("/models", models.show),
    "playground": ("/playground", playground.show),
    "support": ("/support", support.show),
    "inbox": ("/inbox", inbox.show),
    "proposals": ("/proposals", proposals.show),
    "service": ("/service", service.show),
    "monitor": ("/monitor", monitor.show),
    "recommend": ("/recommend", recommend.show),
    "users": ("/users", users.show),
    "market": ("/market", market.show),
    "promote": ("/promote", promote.show),
    "keys": ("/keys", keys.show),
    "events": ("/events", events.show),
    "audit": ("/audit", audit.show),
    "health": ("/health", health.show),
    "settings": ("/settings", settings.show),
}


def register(console: Console) -> None:
    """Make the routes of all pages."""
    for name, (path, show) in PAGES.items():
        _route(console, name, path, show)


def _route(console: Console, name: str, path: str, show: Callable[[View], Awaitable[None] | None]) -> None:
    @ui.page(path)
    async def page(request: Request) -> None:
        view = view_of(console, request, path)
        with frame(view, name):
            try:
                require(view.session, NEEDS.get(name, "viewer"))
                drawn = show(view)
                if drawn is not None:
                    await drawn
            except Forbidden as error:
                ui.context.client.status_code = 403
                problem(error.text(view.words.language))
            except NoriaError as error:
                problem(error.text(view.words.language))
