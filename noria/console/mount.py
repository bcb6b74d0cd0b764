"""Put the console on the server: its sign-in, its assets and its pages."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Lifespan

from noria.core.errors import NoriaError
from noria.server.errors import ApiError, api_error
from noria.server.http.admission import check_role
from noria.server.http.context import CONTEXT, RequestContext
from noria.server.http.intake import query_of_request
from noria.server.http.keys import LINK, Caller, Role, may
from noria.server.http.lookup import TakenEvents, events_taken
from noria.server.http.managing import TakenEntries, audit_taken
from noria.server.http.state import State

from .data_files import FILES, files_router
from .session import COOKIE, Sessions
from .sign_in import PREFIX, sign_in_router
from .wheel import mark

if TYPE_CHECKING:
    from .shell import Console

TITLE = "Noria"


def mount(app: FastAPI, state: State, root: str | Path) -> None:
    """Add the console to a server that has not started yet: pages below /console, shut but to signed-in browsers.

    Args:
        app: the server's application.
        state: what the server holds; its gate learns the console's sessions.
        root: the folder of a run, whose results the pages show.
    """
    import nicegui
    from nicegui import client, core, ui

    from .pages import register
    from .sealed import Sealed, number_scripts
    from .shell import Console
    from .summary import Summary

    state.root = Path(root)
    console = Console(state, Path(root), Sessions(), Summary(state, Path(root)))
    app.state.console = console
    app.include_router(files_router())
    app.include_router(
        sign_in_router(
            console.sessions,
            lambda secret: _person(state, secret),
            lambda key, action: state.audit.add(key, action, "console"),
        )
    )
    app.include_router(_files_router(state))
    app.add_api_route(f"{PREFIX}/waiting", console.summary.waiting, methods=["GET"], include_in_schema=False)
    app.mount(f"{PREFIX}/static", StaticFiles(directory=Path(__file__).parent / "static"))
    number_scripts(client.templates.env)

    gate = state.gate
    gate.place = PREFIX
    gate.open(f"{PREFIX}/login", ("GET", "HEAD", "POST"))
    gate.open(f"{PREFIX}/open")
    for path in (
        "/static/",
        "/language/",
        f"/_nicegui/{nicegui.__version__}/static/",
        f"/_nicegui/{nicegui.__version__}/esm/",
        f"/_nicegui/{nicegui.__version__}/components/",
        f"/_nicegui/{nicegui.__version__}/libraries/",
    ):
        gate.open(PREFIX + path)
    gate.uploads.append(f"{PREFIX}{FILES}")
    gate.sign_in = f"{PREFIX}/login"
    gate.recognise(lambda connection: _caller(console, connection))

    # NiceGUI keeps one application a process; a second server in the process (as in tests) takes it over.
    core.app.user_middleware.clear()
    core.app.middleware_stack = None
    register(console)
    before = app.router.lifespan_context
    ui.run_with(
        app,
        title=TITLE,
        mount_path=PREFIX,
        favicon=mark(64),
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=10.0,
    )
    app.router.lifespan_context = _chain_lifespan(core.app, before)
    for route in app.routes:
        if getattr(route, "app", None) is core.app:
            route.app = Sealed(core.app)  # type: ignore[attr-defined]
    logging.getLogger("nicegui").setLevel(logging.WARNING)


def _files_router(state: State) -> APIRouter:
    """Return the routes of what pages hand out as files: their cookie opens them, and no route of the API."""
    router = APIRouter(prefix=PREFIX, include_in_schema=False)

    @router.get("/take/{what}")
    def take(request: Request, what: str) -> Response:
        context: RequestContext = request.scope[CONTEXT]
        query = request.scope["query_string"]
        try:
            check_role(context.caller, "admin")
            if what == "events":
                return events_taken(state, context.actor, query_of_request(TakenEvents, query))
            if what == "audit":
                return audit_taken(state, context.actor, query_of_request(TakenEntries, query))
            raise ApiError(404, "no such file", param="what", found=what, allowed="events, audit")
        except NoriaError as error:
            told = api_error(error)
            return Response(told.body(), told.status, media_type="application/json")

    return router


def _chain_lifespan(console: FastAPI, before: Lifespan[Any]) -> Lifespan[Any]:
    """Return the lifespan of both.

    The one that `ui.run_with` sets looks at every object in memory to find the server: in a process that has trained
    models that takes long, and makes deprecated names of torch speak up.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[Any, None]:
        async with console.router.lifespan_context(console), before(app) as state:
            yield state

    return lifespan


def sign_in_link(app: FastAPI, base: str) -> str:
    """Return an address that signs one browser in, once; `base` is like http://127.0.0.1:8400."""
    console: Console = app.state.console
    return f"{base}{PREFIX}/open?token={console.sessions.one_time(LINK, LINK, 'admin')}"


def _caller(console: Console, connection: HTTPConnection) -> Caller | None:
    if not (connection.url.path + "/").startswith(PREFIX + "/"):
        return None
    session = console.sessions.read(connection.cookies.get(COOKIE))
    if session is None or (session.key != LINK and console.state.keys.working(session.key) is None):
        return None
    return Caller(session.key, session.role, session.tenant)


def _person(state: State, secret: str) -> tuple[str, str, Role] | None:
    caller = state.keys.check(secret)
    return (caller.key, caller.tenant, caller.role) if caller and may(caller.role, "viewer") else None
