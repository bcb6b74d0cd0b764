"""Pages of other sites: a browser may call the API from origins that were named, and from no others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from noria.core.errors import SettingError
from noria.core.messages import message

from .sending import Answer

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")
_PORTS = {"http": ":80", "https": ":443"}
"""Ports that a browser leaves out of an origin."""
_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(\s*,\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_LONGEST = 4_096
_PATHS = ("/v1/", "/openapi.json", "/health", "/ready")
_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_ASKED = b"authorization, content-type, idempotency-key, x-noria-user, x-noria-segment, x-noria-consent"
"""Headers that are allowed where a page names none."""
_TOLD = (
    b"x-request-id, retry-after, idempotent-replayed, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, "
    b"x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)


def origin_of(given: str) -> str:
    """Return an origin as browsers write it: in small letters, without a last slash and without the scheme's own port.

    Raises:
        SettingError: it is none, or stands for all sites or for pages without one.
    """
    text = given.strip().removesuffix("/").lower()
    if not text.isascii():
        scheme, _, host = text.partition("://")
        with suppress(UnicodeError):  # told below
            text = f"{scheme}://{host.encode('idna').decode()}"
    if text in ("*", "null"):
        raise SettingError(
            message("server.origin_stands"),
            found=given,
            allowed=message("server.https_host"),
            hint=message("server.name_each"),
        )
    if not _ORIGIN.fullmatch(text):
        raise SettingError(message("server.origin"), found=given, allowed=message("server.https_host_https"))
    return text.removesuffix(_PORTS.get(urlsplit(text).scheme, " "))


def is_preflight(headers: Headers, method: str) -> bool:
    """Return whether a browser asks if a page may call."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


class Cors:
    """The origins whose pages may call the API with a key; cookies of the console are never for them.

    Args:
        origins: whose pages may call all of the API.
        more: origins and the beginnings of paths that their pages may call; it may grow.

    Raises:
        SettingError: an origin is none, or stands for all sites.
    """

    def __init__(self, origins: Sequence[str], more: Sequence[tuple[frozenset[str], tuple[str, ...]]] = ()) -> None:
        self.allow(origins)
        self._more = more

    def allow(self, origins: Sequence[str]) -> None:
        """Let pages of these origins call all of the API, and of no others.

        Raises:
            SettingError: an origin is none, or stands for all sites; all is as before.
        """
        self.origins = frozenset(origin_of(origin).encode() for origin in origins)

    def _may(self, origin: bytes | None, path: str) -> bool:
        if origin in self.origins and path.startswith(_PATHS):
            return True
        name = (origin or b"").decode("latin-1")
        return any(name in origins and path.startswith(paths) for origins, paths in self._more)

    async def answers(self, scope: Scope, answer: Answer) -> bool:
        """Answer a preflight and return True; let the page read the answer to come and return False."""
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        if origin is None or not self._may(origin, scope["path"]):
            if self.origins or self._more:
                answer.extra.append((b"vary", b"origin"))  # a cache must not give this answer to a page that may
            return False
        allowed = (b"access-control-allow-origin", origin)
        if is_preflight(headers := Headers(scope=scope), scope["method"]):
            names = headers.get("access-control-request-headers", "").strip()
            echoed = names.encode("latin-1") if len(names) <= _LONGEST and _NAMES.fullmatch(names) else _ASKED
            told = [
                allowed,
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", echoed),
                (b"access-control-max-age", b"600"),
                (b"vary", b"origin, access-control-request-headers"),
            ]
            if headers.get("access-control-request-private-network") == "true":
                told.append((b"access-control-allow-private-network", b"true"))
            await answer({"type": "http.response.start", "status": 204, "headers": told})
            await answer({"type": "http.response.body", "body": b""})
            return True
        answer.extra += [allowed, (b"vary", b"origin"), (b"access-control-expose-headers", _TOLD)]
        return False
