"""Who is signed in: signed cookies that name a key, and one-time tokens that stand for one; and headers that keep pages to themselves.

A cookie is `<payload>.<signature>`: base64 of a JSON object {key, tenant, expires, nonce} and its HMAC-SHA-256. The secret lives only
in the server's memory, so a restart signs everybody out and nothing on the disk is worth stealing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "noria_console"
LIFETIME_SECONDS = 12 * 3600
TOKEN_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Session:
    """A signed-in browser."""

    key: str
    """Public name of the server key that opened it; never the key itself."""
    tenant: str
    """Pseudonym that the key's events are counted under."""
    expires: float
    """Unix time after which the cookie is worth nothing."""
    nonce: str
    """Tells this browser from another one with the same key."""


class Sessions:
    """Signs and reads session cookies; hands out one-time tokens.

    `clock` gives Unix time; `secret` signs.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, secret: bytes | None = None) -> None:
        self._clock = clock
        self._secret = secret or secrets.token_bytes(32)
        self._tokens: dict[bytes, tuple[str, str, float]] = {}
        self._lock = threading.Lock()

    def start(self, key: str, tenant: str) -> str:
        """Return the cookie of a new session."""
        session = Session(key, tenant, self._clock() + LIFETIME_SECONDS, secrets.token_urlsafe(12))
        payload = _encode(json.dumps(asdict(session), separators=(",", ":")).encode())
        return f"{payload}.{self._sign(payload)}"

    def read(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie, or None where it is missing, altered or too old."""
        payload, _, signature = (cookie or "").partition(".")
        if not hmac.compare_digest(self._sign(payload).encode(), signature.encode("utf-8", "replace")):
            return None
        # Only what this process signed gets here, so it has the fields of a Session.
        session = Session(**json.loads(_decode(payload)))
        return session if session.expires > self._clock() else None

    def one_time(self, key: str, tenant: str) -> str:
        """Return a token that opens one session, once, within a day."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens[_digest(token)] = (key, tenant, self._clock() + TOKEN_SECONDS)
        return token

    def redeem(self, token: str) -> str | None:
        """Return the cookie that a one-time token buys, or None where it was used, is too old or never was."""
        with self._lock:
            found = self._tokens.pop(_digest(token), None)
        if found is None or found[2] <= self._clock():
            return None
        return self.start(found[0], found[1])

    def _sign(self, payload: str) -> str:
        return _encode(hmac.new(self._secret, payload.encode("utf-8", "replace"), hashlib.sha256).digest())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


HEADERS = {
    # Nothing of the console is ever fetched from elsewhere. Vue compiles templates in the page, hence unsafe-eval.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}


class Sealed:
    """An ASGI application that adds `HEADERS` to every answer of `inner`."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.inner(scope, receive, send_with_headers)
