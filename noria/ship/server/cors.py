"""Pages of other sites: a browser may call the API from origins that were named, and from no others."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.datastructures import Headers

from noria.core.errors import SettingError

from .sending import Answer, Scope, Send

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")
_ASKED = b"authorization, content-type, idempotency-key, x-noria-user, x-noria-segment, x-noria-consent"
_TOLD = b"x-request-id, retry-after, x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens"


class Cors:
    """The origins whose pages may call the API with a key; cookies of the console are never for them.

    Raises:
        SettingError: an origin is none, or stands for all sites.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise SettingError("not an origin", found=origin, allowed="https://host or https://host:port")
        self.origins = frozenset(origin.encode() for origin in origins)

    async def answers(self, scope: Scope, answer: Answer, send: Send) -> bool:
        """Answer a preflight and return True; let the page read the answer to come and return False."""
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        if origin not in self.origins or not scope["path"].startswith("/v1/"):
            return False
        assert origin
        common = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        if scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope):
            told = [*common, (b"access-control-allow-methods", b"GET, POST"), (b"access-control-allow-headers", _ASKED),
                    (b"access-control-max-age", b"600")]  # fmt: skip
            await send({"type": "http.response.start", "status": 204, "headers": told})
            await send({"type": "http.response.body", "body": b""})
            return True
        answer.extra += [*common, (b"access-control-expose-headers", _TOLD)]
        return False
