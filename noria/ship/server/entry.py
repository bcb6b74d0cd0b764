"""The way in and out of the server: who may pass, how much is read, what is recorded, what is told on error."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from noria.core.errors import NoriaError

from .errors import ApiError, api_error, body_of
from .logs import Log, where
from .metrics import Metrics
from .state import Caller, State, Usage, begin

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_FOR_CLIENTS = ("/v1/", "/openapi.json")
"""What a key without the admin role may use."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_LONGEST_NAME = 256


class Entry:
    """ASGI middleware round everything: nothing below it is reached without passing here."""

    def __init__(self, app: ASGIApp, state: State, metrics: Metrics, log: Log) -> None:
        self._app, self._state, self._metrics, self._log = app, state, metrics, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection or request."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        caller, by_key = self._caller(connection)
        allowed = caller and caller.role == "admin" and (by_key or _same_origin(connection.headers))
        if not allowed and not self._state.gate.is_open(scope["path"], "GET"):
            await receive()
            await send({"type": "websocket.close", "code": 4401, "reason": "a key is needed"})
            return
        await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        usage = Usage(counted=False)
        answer = _Answer(self._state, usage, send)
        self._state.in_flight += 1
        begin(usage)
        try:
            receive = await self._admit(scope, receive, usage)
            await self._app(scope, receive, answer)
        except NoriaError as error:
            await answer.fail(api_error(error))
        except Exception as error:
            self._log("fault", id=usage.id, error=where(error))
            await answer.fail(ApiError(500, "internal error", hint=f"request {usage.id}"))
        finally:
            self._state.in_flight -= 1
            await self._close(scope, usage, answer)

    async def _close(self, scope: Scope, usage: Usage, answer: _Answer) -> None:
        try:
            # Already settled unless the client left before the end.
            await self._state.settle(usage, "ok" if answer.status < 400 else "failed")
        except NoriaError as error:
            self._log("lost", id=usage.id, error=str(error))
        seconds = time.perf_counter() - usage.started
        route = getattr(scope.get("route"), "path", "other")
        if usage.app != "api" and not route.startswith("/v1/") and route != "other":
            route = f"/v1/apps/{usage.app}{route}"  # FastAPI tells an included route without its prefix
        self._metrics.count(route, scope["method"], answer.status, seconds)
        self._log(
            "request", id=usage.id, method=scope["method"], route=route, status=answer.status, ms=round(seconds * 1e3, 2),
            key=usage.caller.key if usage.caller else None, app=usage.app, model=usage.model, units=usage.units,
        )  # fmt: skip

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
                raise _Elsewhere(f"{self._state.gate.sign_in}?next={quote(path)}")
            raise ApiError(
                401,
                "a valid key is needed",
                code="invalid_api_key",
                hint="Authorization: Bearer <key>; noria ship key make",
            )
        if caller.role != "admin" and not path.startswith(_FOR_CLIENTS):
            raise ApiError(403, "this needs an admin key", code="permission_denied")
        if method not in _SAFE and not by_key and not _same_origin(connection.headers):
            raise ApiError(403, "the request comes from another site", code="cross_origin")

    async def _body(self, headers: Headers, receive: Receive) -> Receive:
        """Return a reader that gives the whole body at once, after reading it within its bound."""
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
        return _Replay(bytes(content), receive)


class _Replay:
    """A receive that gives a body already read, then what the connection says."""

    def __init__(self, content: bytes, receive: Receive) -> None:
        self._content: bytes | None = content
        self._receive = receive

    async def __call__(self) -> Message:
        if self._content is None:
            return await self._receive()
        content, self._content = self._content, None
        return {"type": "http.request", "body": content, "more_body": False}


class _Answer:
    """A send that records the request's event before the last byte goes out.

    The start of a response is kept back until its first bytes: so that a short one can still become an error when its event
    cannot be stored.
    """

    def __init__(self, state: State, usage: Usage, send: Send) -> None:
        self._state, self._usage, self._send = state, usage, send
        self._start: Message | None = None
        self.status = 499
        """HTTP status; 499 while nothing was answered: the client left."""
        self._begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._usage.id.encode())]
            self._start = message
            return
        if message["type"] == "http.response.body" and not message.get("more_body"):
            await self._state.settle(self._usage, _outcome(self.status))
        if self._start:
            start, self._start, self._begun = self._start, None, True
            await self._send(start)
        await self._send(message)

    async def fail(self, error: ApiError) -> None:
        """Answer with an error, if nothing was answered yet."""
        if self._begun:
            # Too late for a status: an end cut short is the only sign left, and the server gives it.
            self.status = error.status
            raise ConnectionAbortedError
        self._start, self.status = None, error.status
        body = b"" if isinstance(error, _Elsewhere) else _json(error)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.encode(), value.encode("latin-1")) for name, value in error.headers().items()]
        try:
            await self({"type": "http.response.start", "status": error.status, "headers": headers})
            await self({"type": "http.response.body", "body": body})
        except NoriaError as full:
            self._usage.counted = False
            await self.fail(api_error(full))


class _Elsewhere(ApiError):  # noqa: N818 - a way, not a fault
    """A browser is sent to the page where one signs in."""

    def __init__(self, place: str) -> None:
        super().__init__(303, "sign in first")
        self._place = place

    def headers(self) -> dict[str, str]:
        """Return the headers that go with it."""
        return {"location": self._place}


def _json(error: ApiError) -> bytes:
    return json.dumps(body_of(error.status, str(error), param=error.param, code=error.code)).encode()


def _outcome(status: int) -> str:
    return "ok" if status < 400 else "refused" if status < 500 else "failed"


def _same_origin(headers: Headers) -> bool:
    """Return whether a browser's request comes from a page of this server; other clients send no Origin."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _read_headers(headers: Headers, usage: Usage) -> None:
    """Take the user, the segment and the consent that a client says by headers; fields of a body override them."""
    usage.user = _text(headers.get("x-noria-user", ""))[:_LONGEST_NAME]
    usage.segment = _text(headers.get("x-noria-segment", ""))[:64]
    usage.consent = headers.get("x-noria-consent", "").lower() in ("1", "true", "yes")


def _text(value: str) -> str:
    # HTTP hands bytes over as Latin-1; clients mean UTF-8.
    return value.encode("latin-1").decode("utf-8", "replace")
