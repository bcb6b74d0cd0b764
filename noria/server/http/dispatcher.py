"""The dispatcher: every request goes through here from its first byte to its last, on one way.

    CORS -> the route of its path -> key, scope and limits -> its body, read whole -> an answer that an idempotency key stands for
    -> the body as the route's model -> the handler, with the request's context -> the answer, once its event is durable

Nothing below is reached on another way; what is no route of the table (the console's pages) is the framework's, behind the same gate.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

from starlette.datastructures import URL, Headers, QueryParams
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noria.core.errors import NoriaError
from noria.server.errors import ApiError, MethodError, api_error

from .admission import SAFE, admit, caller_of
from .context import CONTEXT, RequestContext
from .cors import Cors, is_preflight
from .idempotency import Idempotency
from .intake import Replay, Upload, body_of_request, query_of_request, read_body
from .keys import may
from .logs import Log, where
from .metrics import CONSOLE, OTHER
from .proxy import Proxies, same_origin
from .routing import Found, Raw, Route, Table, methods_of
from .sending import Answer
from .state import State

_SHUT = {"type": "websocket.close", "code": 4401, "reason": "a key is needed"}
HEAD = "noria.head"
"""Key of a scope whose GET was asked as HEAD."""


class Dispatcher:
    """ASGI middleware round everything: it answers the routes of its table, and lets through to `app` what may pass.

    Args:
        app: what answers the paths that are none of the table's.
        state: what the server holds.
        table: the routes.
        log: takes one line for every request and fault.
        cors: origins of other sites whose pages may call.
        proxies: those that are believed.
    """

    def __init__(self, app: ASGIApp, state: State, table: Table, log: Log, cors: Cors, proxies: Proxies) -> None:
        self._app, self._state, self._table, self._log = app, state, table, log
        self._cors, self._proxies = cors, proxies
        self._idempotency = Idempotency()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection or request."""
        if scope["type"] == "http":
            self._proxies.read(scope)
            if scope["method"] == "HEAD":  # answered as to GET: whatever can be read can be asked about
                await self._request({**scope, "method": "GET", HEAD: True}, receive, _without_body(send))
            else:
                await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            self._proxies.read(scope)
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, state = HTTPConnection(scope).headers, self._state
        asked = dict(scope)  # whoever answers writes into the scope where it stands

        def allowed() -> bool:
            caller, by_key = caller_of(state, asked, headers)
            return caller is not None and may(caller.role, "viewer") and (by_key or same_origin(headers))

        async def receive_while_allowed() -> Message:
            # A session that ended has no ear here any more: what it says next is not heard, and a browser says something every few seconds.
            message = await receive()
            if message["type"] != "websocket.receive" or allowed():
                return message
            with suppress(RuntimeError):  # closed from both sides at once
                await send(_SHUT)
            return {"type": "websocket.disconnect", "code": _SHUT["code"]}

        if allowed():
            await self._app(scope, receive_while_allowed, send)
        elif state.gate.is_open(scope["path"], "GET"):
            await self._app(scope, receive, send)
        else:
            await receive()
            await send(_SHUT)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = scope[CONTEXT] = RequestContext(self._state)
        answer, path = Answer(context, send), scope["path"]
        self._state.in_flight += 1
        try:
            if not await self._cors.answers(scope, answer):
                await self._answer(context, scope, receive, answer)
        except NoriaError as error:
            await answer.fail(api_error(error))
        except Exception as error:
            self._log("fault", id=context.id, error=where(error))
            await answer.fail(ApiError(500, "internal error", hint=f"request {context.id}"))
        finally:
            self._state.in_flight -= 1
            answer.drop()
            await self._close(context, scope, answer, path)

    async def _answer(self, context: RequestContext, scope: Scope, receive: Receive, answer: Answer) -> None:
        headers, found = Headers(scope=scope), self._table.find(scope["path"])
        admit(context, scope, headers, found)
        if scope["method"] not in SAFE and not self._comes_in_pieces(found, scope):
            receive = await read_body(self._state.settings, headers, receive)
            if await self._repeated(context, scope, headers, receive, answer):
                return
        respond = (
            self._elsewhere(scope) if found is None else await self._respond(context, found, scope, headers, receive)
        )
        await respond(scope, receive, answer)

    def _comes_in_pieces(self, found: Found | None, scope: Scope) -> bool:
        """Return whether a body is handed on while it comes: a file, which no memory should hold."""
        if found is None:
            return bool(scope["path"].startswith(tuple(self._state.gate.uploads)))
        route = found[0].get(scope["method"])
        return route is not None and route.upload

    async def _repeated(
        self, context: RequestContext, scope: Scope, headers: Headers, body: Replay, answer: Answer
    ) -> bool:
        """Give the answer that an idempotency key stands for and return True; or see to it that this one is kept."""
        key = headers.get("idempotency-key")
        if key is None or not context.counted or context.caller is None:
            return False
        place, kept = self._idempotency.begin(context.tenant, scope["path"], key, body.content)
        if kept:
            await answer.repeat(kept)
            return True
        answer.keep(self._idempotency, place)
        return False

    async def _respond(
        self, context: RequestContext, found: Found, scope: Scope, headers: Headers, receive: Receive
    ) -> Response:
        """Return what the handler of a route answers.

        Raises:
            ApiError: the path takes other methods (405), its body or query is not in order (400, 422), or the handler refuses it.
        """
        routes, parts = found
        method = scope["method"]
        route = routes.get(method)
        scope["route"] = route or next(iter(routes.values()))  # by which the request is counted
        if route is None:
            return _other_method(routes, method, headers)
        given: list[object] = []
        if route.body is not None:
            assert isinstance(receive, Replay)
            given.append(body_of_request(route.body, receive.content, headers, self._state.settings.max_rows))
        if route.upload:
            given.append(Upload(headers, receive, self._state.settings.timeout))
        if route.raw:
            content = receive.content if isinstance(receive, Replay) else b""
            given.append(Raw(headers, QueryParams(scope["query_string"]), content))
        if route.query is not None:
            given.append(query_of_request(route.query, scope["query_string"]))
        answer = await route.handler(context, *given, **parts)
        if route.action:
            self._state.audit.add(context.actor, route.action, "/".join(parts.values()))
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    def _elsewhere(self, scope: Scope) -> ASGIApp:
        """Return what answers a path that is none of the table's: the framework, or the way to the path without its last slash."""
        path = scope["path"].rstrip("/")
        if path != scope["path"] and self._table.find(path):
            return RedirectResponse(str(URL(scope={**scope, "path": path})))
        return self._app

    def _label(self, route: object, path: str) -> str:
        """Return what a request is counted under: its route, or console for all that the console's pages are made of."""
        if isinstance(route, Route):
            return route.path
        place = self._state.gate.place
        return CONSOLE if place and f"{path}/".startswith(f"{place}/") else OTHER

    async def _close(self, context: RequestContext, scope: Scope, answer: Answer, path: str) -> None:
        try:
            # Already settled unless the client left before the end.
            await context.finish("ok" if answer.status < 400 else "failed")
        except NoriaError as error:
            self._log("lost", id=context.id, error=str(error))
        usage, seconds = context.usage, time.perf_counter() - context.started
        route = self._label(scope.get("route"), path)
        method = "HEAD" if HEAD in scope else scope["method"]
        self._state.metrics.count(route, method, answer.status, seconds, usage.model, context.tokens)
        self._log(
            "request",
            id=context.id,
            method=method,
            route=route,
            status=answer.status,
            ms=round(seconds * 1e3, 2),
            key=context.caller.key if context.caller else None,
            app=usage.app,
            model=usage.model,
            units=usage.units,
        )


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


def _other_method(routes: Mapping[str, Route], method: str, headers: Headers) -> Response:
    """Answer OPTIONS with the methods that a path takes.

    Raises:
        MethodError: another method was asked (405).
    """
    allow = methods_of(routes)
    if method == "OPTIONS" and not is_preflight(headers, method):
        return Response(status_code=204, headers={"allow": allow})
    raise MethodError(method, allow)
