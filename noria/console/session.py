"""Who is signed in: signed cookies that name a key, and one-time tokens that stand for one; and what each role may open.

A cookie is `<payload>.<signature>`: base64 of a JSON object {key, tenant, role, expires, nonce} and its HMAC-SHA-256. The secret lives
only in the server's memory, so a restart signs everybody out and nothing on the disk is worth stealing. A session ends with its
key, with its time, or when its browser signs out: the cookie is worth nothing then, in whosever hands it is.
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

from noria.core.errors import UserError
from noria.core.messages import message
from noria.server.http.keys import Role, may

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
    role: Role
    """What its person may."""
    expires: float
    """Unix time after which the cookie is worth nothing."""
    nonce: str
    """Tells this browser from another one with the same key."""


class Forbidden(UserError):  # noqa: N818 - a refusal is an answer, not a fault
    """What a session's role is not enough for."""


NEEDS: dict[str, Role] = {
    "data": "editor",
    "playground": "agent",
    "support": "agent",
    "inbox": "agent",
    "keys": "admin",
    "events": "admin",
    "audit": "admin",
    "settings": "admin",
}
"""Page -> the least role that opens it; all others are open to viewers."""


def require(session: Session, need: Role) -> None:
    """Pass where a session's role is enough: every page asks when it is opened, and what changes something when it is done.

    Raises:
        Forbidden: it is not.
    """
    if not may(session.role, need):
        raise Forbidden(
            message("server.needs_role", need=message(f"server.role_{need}")),
            found=message(f"server.role_{session.role}"),
        )


class Sessions:
    """Signs and reads session cookies; hands out one-time tokens.

    `clock` gives Unix time; `secret` signs.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, secret: bytes | None = None) -> None:
        self._clock = clock
        self._secret = secret or secrets.token_bytes(32)
        self._tokens: dict[bytes, tuple[str, str, Role, float]] = {}
        self._ended: dict[str, float] = {}
        self._lock = threading.Lock()

    def start(self, key: str, tenant: str, role: Role) -> str:
        """Return the cookie of a new session."""
        session = Session(key, tenant, role, self._clock() + LIFETIME_SECONDS, secrets.token_urlsafe(12))
        payload = _encode(json.dumps(asdict(session), separators=(",", ":")).encode())
        return f"{payload}.{self._sign(payload)}"

    def read(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie, or None where it is missing, altered, too old or was ended."""
        payload, _, signature = (cookie or "").partition(".")
        if not hmac.compare_digest(self._sign(payload).encode(), signature.encode("utf-8", "replace")):
            return None
        # Only what this process signed gets here, so it has the fields of a Session.
        session = Session(**json.loads(_decode(payload)))
        return session if session.expires > self._clock() and session.nonce not in self._ended else None

    def end(self, session: Session) -> None:
        """Make a session's cookie worthless from now on, wherever it was copied to."""
        with self._lock:
            now = self._clock()
            self._ended = {nonce: expires for nonce, expires in self._ended.items() if expires > now}
            self._ended[session.nonce] = session.expires

    def one_time(self, key: str, tenant: str, role: Role) -> str:
        """Return a token that opens one session, once, within a day."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens[_digest(token)] = (key, tenant, role, self._clock() + TOKEN_SECONDS)
        return token

    def redeem(self, token: str) -> str | None:
        """Return the cookie that a one-time token buys, or None where it was used, is too old or never was."""
        with self._lock:
            found = self._tokens.pop(_digest(token), None)
        if found is None or found[3] <= self._clock():
            return None
        return self.start(*found[:3])

    def _sign(self, payload: str) -> str:
        return _encode(hmac.new(self._secret, payload.encode("utf-8", "replace"), hashlib.sha256).digest())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
