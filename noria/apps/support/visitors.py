"""The chat widget's side of the server: one script tag on a page of a listed origin, and visitors without a key.

A visitor's token is signed, bound to the page's origin and to one visitor, and stands for a caller who may only talk to the desk, in
conversations of their own, so many times a minute. Nothing of it is kept on the server.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from starlette.responses import Response

from noria.apps.settings import WidgetSettings
from noria.server.errors import ApiError
from noria.server.http import replies
from noria.server.http.context import RequestContext
from noria.server.http.cors import origin_of
from noria.server.http.fields import Body
from noria.server.http.keys import Caller, Limits
from noria.server.http.routing import Route
from noria.server.meter import read_secret

if TYPE_CHECKING:
    from noria.server.http.state import State

SCOPES = ("apps/support/messages", "apps/support/conversations", "feedback")
"""Parts of the API that a visitor reaches."""
SCRIPT = Path(__file__).with_name("widget.js")
PATHS = ("/v1/apps/support/", "/v1/feedback")
"""Where pages of the listed origins may call."""
_TOKEN = re.compile(r"visitor_([0-9a-f]{16})_(\d{1,12})_([0-9a-f]{64})")


class Visiting(Body):
    """POST /visitors."""


class Visitor(replies.Reply):
    """Answer of POST /visitors."""

    token: str
    """Goes into Authorization: Bearer."""
    object: Literal["support.visitor"]


class Visitors:
    """The widget's script and its visitors' tokens.

    Args:
        settings: the origins whose pages may hold the widget, and the visitors' limits.

    Raises:
        SettingError: an origin is none, or stands for all sites.
    """

    def __init__(self, settings: WidgetSettings | None = None) -> None:
        self.settings = settings or WidgetSettings()
        self.origins = frozenset(origin_of(origin) for origin in self.settings.origins)
        self._secret = b""
        self._state: State | None = None

    def start(self, state: State) -> None:
        """Recognise visitors by their tokens, and let pages of the origins call, from now on."""
        self._state, self._secret = state, hmac.digest(read_secret(state.lake / "server"), b"noria widget", "sha256")
        state.gate.bearers.append(self.caller)
        self._open()

    def renew(self, given: Visitors) -> None:
        """Take the origins and limits of another one, which has not started, from now on."""
        assert self._state
        self._state.gate.pages[:] = [one for one in self._state.gate.pages if one != (self.origins, PATHS)]
        self.settings, self.origins = given.settings, given.origins
        self._open()

    def _open(self) -> None:
        if self._state and self.origins:
            self._state.gate.pages.append((self.origins, PATHS))

    def routes(self) -> Sequence[Route]:
        """Return GET /widget.js and POST /visitors, which need no key."""
        return (
            Route("GET", "/widget.js", self._script, role="anyone", shown=False),
            Route("POST", "/visitors", self._visitor, body=Visiting, reply=Visitor, role="anyone"),
        )

    async def _script(self, context: RequestContext) -> Response:
        """Give the chat widget, to be put on a page of a listed origin by one script tag."""
        text = await asyncio.to_thread(SCRIPT.read_text, encoding="utf-8")
        return Response(text, media_type="text/javascript; charset=utf-8", headers={"cache-control": "max-age=300"})

    async def _visitor(self, context: RequestContext, body: Visiting) -> dict[str, Any]:
        """Make a token for a new visitor of a page of a listed origin."""
        origin = context.origin
        if origin not in self.origins:
            raise ApiError(
                403,
                "pages of this origin may not hold the widget",
                code="permission_denied",
                found=origin or "no origin",
                hint="noria ship support --widget.origins https://shop.example",
            )
        # All who come from one address are one caller to the limit: whoever makes tokens by the thousand gets few.
        limits = Limits(requests_minute=self.settings.visitors_minute)
        context.state.rates.admit(Caller(f"visitors from {context.address}", "client", "", limits=limits))
        number = secrets.token_hex(8)
        until = int(context.state.meter.now().timestamp()) + round(self.settings.token_days * 86_400)
        return {"token": f"visitor_{number}_{until}_{self._sign(number, until, origin)}", "object": "support.visitor"}

    def caller(self, token: str, origin: str) -> Caller | None:
        """Return who a token stands for; None where it is none, too old, or shown by a page of another origin."""
        found = _TOKEN.fullmatch(token)
        if found is None or origin not in self.origins or self._state is None:
            return None
        number, until = found[1], int(found[2])
        right = hmac.compare_digest(self._sign(number, until, origin), found[3])
        if not right or until <= self._state.meter.now().timestamp():
            return None
        limits = Limits(requests_minute=self.settings.messages_minute)
        return Caller(f"visitor {number}", "client", f"visitor {number}", SCOPES, limits=limits)

    def _sign(self, number: str, until: int, origin: str) -> str:
        return hmac.new(self._secret, f"{number} {until} {origin}".encode(), "sha256").hexdigest()
