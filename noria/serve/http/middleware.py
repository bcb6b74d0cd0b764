"""The way in and out of the server: who may pass, how much is read, what is recorded, what is told on error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from urllib.parse import quote

from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request

from noria.core.errors import NoriaError
from noria.serve.errors import ApiError, api_error

from .cors import Cors, is_preflight
from .direct import Direct
from .faults import invalid
from .fields import most_rows
from .idempotency import Idempotency
from .keys import Caller
from .logs import Log, where
from .metrics import Metrics
from .proxy import Proxies, same_origin
from .sending import Answer, ASGIApp, Elsewhere, Message, Receive, Replay, Scope, Send
from .state import State, Usage, begin

_FOR_CLIENTS = ("/v1/", "/openapi.json")
"""What a key without the admin role may use."""
_SAFE = ("GET", "HEAD", "OPTIONS")
HEAD = "noria.head"
"""Key of a scope whose GET was asked as HEAD."""
_YES = ("1", "true", "yes")
_NO = ("0", "false", "no", "")


class RequestMiddleware:
    """ASGI middleware round everything: nothing below it is reached without passing here."""

    def __init__(
        self,
        app: ASGIApp,
        state: State,
        metrics: Metrics,
        log: Log,
        direct: Mapping[str, Direct],
        cors: Cors,
        proxies: Proxies,
    ) -> None:
        self._app, self._state, self._metrics, self._log, self._direct = app, state, metrics, log, direct
        self._idempotency = Idempotency()
        self._cors, self._proxies = cors, proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection or request."""
        if scope["type"] == "http":
            self._proxies.read(scope)
            if scope["method"] == "HEAD":
                await self._head(scope, receive, send)
            else:
                await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            self._proxies.read(scope)
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        caller, by_key = self._caller(connection)
        allowed = caller and caller.role == "admin" and (by_key or same_origin(connection.headers))
        if not allowed and not self._state.gate.is_open(scope["path"], "GET"):
            await receive()
            await send({"type": "websocket.close", "code": 4401, "reason": "a key is needed"})
            return
        await self._app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as to GET, without the body: whatever can be read can be asked about."""

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._request({**scope, "method": "GET", HEAD: True}, receive, send_head)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        usage = Usage(counted=False)
        answer = Answer(self._state, usage, send)
        self._state.in_flight += 1
        begin(usage)
        most_rows.set(self._state.settings.max_rows)
        try:
            if await self._cors.answers(scope, answer):
                return
            receive = await self._admit(scope, receive, usage)
            if not await self._repeated(scope, receive, usage, answer):
                app = await self._directly(scope, receive) or self._app
                await app(scope, receive, answer)
        except NoriaError as error:
            await answer.fail(api_error(error))
        except Exception as error:
            self._log("fault", id=usage.id, error=where(error))
            await answer.fail(ApiError(500, "internal error", hint=f"request {usage.id}"))
        finally:
            self._state.in_flight -= 1
            answer.drop()
            await self._close(scope, usage, answer)

    async def _directly(self, scope: Scope, receive: Receive) -> ASGIApp | None:
        """Return the answer of a route that is called without the framework, where the request is in order."""
        direct = self._direct.get(scope["path"]) if scope["method"] == "POST" else None
        if direct is None or not isinstance(receive, Replay):
            return None
        try:
            return await direct.answer(scope, receive)
        except RequestValidationError as error:
            return await invalid(Request(scope), error)

    async def _repeated(self, scope: Scope, receive: Receive, usage: Usage, answer: Answer) -> bool:
        """Give the answer that an idempotency key stands for and return True; or see to it that this one is kept."""
        if not isinstance(receive, Replay) or not usage.counted or usage.caller is None:
            return False
        key = Headers(scope=scope).get("idempotency-key")
        if key is None:
            return False
        place, kept = self._idempotency.begin(usage.caller.tenant, scope["path"], key, receive.content)
        if kept:
            await answer.repeat(kept)
            return True
        answer.keep(self._idempotency, place)
        return False

    async def _close(self, scope: Scope, usage: Usage, answer: Answer) -> None:
        try:
            # Already settled unless the client left before the end.
            await self._state.finish(usage, "ok" if answer.status < 400 else "failed")
        except NoriaError as error:
            self._log("lost", id=usage.id, error=str(error))
        seconds = time.perf_counter() - usage.started
        route = getattr(scope.get("route"), "path", "other")
        if usage.app != "api" and not route.startswith("/v1/") and route != "other":
            route = f"/v1/apps/{usage.app}{route}"  # FastAPI tells an included route without its prefix
        method = "HEAD" if HEAD in scope else scope["method"]
        self._metrics.count(route, method, answer.status, seconds, usage.model, usage.tokens)
        self._log(
            "request",
            id=usage.id,
            method=method,
            route=route,
            status=answer.status,
            ms=round(seconds * 1e3, 2),
            key=usage.caller.key if usage.caller else None,
            app=usage.app,
            model=usage.model,
            units=usage.units,
        )

    async def _admit(self, scope: Scope, receive: Receive, usage: Usage) -> Receive:
        """Return the reader of the request's body, once the request may pass.

        Raises:
            ApiError: it may not.
        """
        state, path, method = self._state, scope["path"], scope["method"]
        connection = HTTPConnection(scope)
        usage.caller, by_key = self._caller(connection)
        if not state.gate.is_open(path, method):
            self._check_caller(connection, path, method, usage.caller, by_key)
            assert usage.caller
            if state.in_flight > state.settings.max_in_flight and method not in _SAFE:
                raise ApiError(503, "the server has its hands full", code="overloaded", retry_after=1)
            state.rates.admit(usage.caller)
            usage.counted = method == "POST" and path.startswith("/v1/")
            _read_headers(connection.headers, usage)
            if path.startswith("/v1/apps/"):
                name = path.split("/")[3]
                usage.app = name if any(app.name == name for app in state.apps) else "api"
        if state.draining and method not in _SAFE:
            usage.counted = False
            raise ApiError(503, "the server is stopping", code="stopping", retry_after=5)
        if usage.counted:
            # What could not be recorded is not begun.
            usage.counted = False
            state.meter.outbox.check()
            usage.counted = True
        return await self._body(connection.headers, receive) if method not in _SAFE else receive

    def _caller(self, connection: HTTPConnection) -> tuple[Caller | None, bool]:
        """Return who asks, and whether by a key (and not by what a browser sends along by itself)."""
        scheme, _, key = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._state.keys.check(key.strip()), True
        for recogniser in self._state.gate.recognisers:
            if caller := recogniser(connection):
                return caller, False
        return None, False

    def _check_caller(
        self, connection: HTTPConnection, path: str, method: str, caller: Caller | None, by_key: bool
    ) -> None:
        if caller is None:
            wants_page = method in _SAFE and "text/html" in connection.headers.get("accept", "")
            if wants_page and self._state.gate.sign_in and not path.startswith("/v1/"):
                raise Elsewhere(f"{self._state.gate.sign_in}?next={quote(path)}")
            raise ApiError(
                401,
                "a valid key is needed",
                code="invalid_api_key",
                hint="start the server with --cors and the page's origin"
                if is_preflight(connection.headers, method)
                else "Authorization: Bearer <key>; noria ship key make",
            )
        if caller.role != "admin" and not path.startswith(_FOR_CLIENTS):
            raise ApiError(403, "this needs an admin key", code="permission_denied")
        if not caller.may_use(path):
            raise ApiError(403, "the key is not made for this route", code="permission_denied", allowed=caller.scopes)
        if method not in _SAFE and not by_key and not same_origin(connection.headers):
            raise ApiError(
                403,
                "the request comes from another site",
                code="cross_origin",
                hint="behind a proxy: X-Forwarded-Host, and --forwarded-allow-ips",
            )

    async def _body(self, headers: Headers, receive: Receive) -> Receive:
        """Return a reader that gives the whole body at once, after reading it within its bound."""
        if (coding := headers.get("content-encoding", "identity").lower()) != "identity":
            raise ApiError(
                415,
                "bodies are read as they are",
                code="unsupported_media_type",
                found=f"content-encoding {coding[:64]}",
                hint="send the body uncompressed",
            )
        most = self._state.settings.max_body
        told = headers.get("content-length", "0")
        too_large = ApiError(
            413, "the body is too large", code="body_too_large", allowed=f"up to {most:,} bytes", hint="send fewer rows"
        )
        if not told.isascii() or not told.isdigit() or int(told[:19]) > most:
            raise too_large
        content = bytearray()
        try:
            async with asyncio.timeout(self._state.settings.timeout):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ApiError(400, "the client left before its request was whole")
                    content += message.get("body", b"")
                    if len(content) > most:
                        raise too_large
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            raise ApiError(408, "the body took too long to arrive") from None
        return Replay(bytes(content), receive)


def _read_headers(headers: Headers, usage: Usage) -> None:
    """Take the user, the segment and the consent that a client says by headers; fields of a body override them.

    Raises:
        ApiError: a name is too long, or consent is neither yes nor no (422).
    """
    usage.user = _name(headers, "X-Noria-User", 256)
    usage.segment = _name(headers, "X-Noria-Segment", 64)
    consent = headers.get("x-noria-consent", "").lower()
    if consent not in (*_YES, *_NO):
        raise ApiError(
            422, "consent is yes or no", param="X-Noria-Consent", code="invalid_field", allowed="true, false"
        )
    usage.consent = consent in _YES


def _name(headers: Headers, header: str, longest: int) -> str:
    # HTTP hands bytes over as Latin-1; clients mean UTF-8.
    value = headers.get(header, "").encode("latin-1").decode("utf-8", "replace")
    if len(value) > longest:
        raise ApiError(
            422,
            "the header is too long",
            param=header,
            code="invalid_field",
            found=f"{len(value)} characters",
            allowed=f"up to {longest}",
        )
    return value
